"""The three networks of image generation and translation: generator, encoder, discriminator of (image, code) pairs.

Source: train_mnist.py of the original.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import layers

from image_translation.config import DIGITS, Activation, Config
from shared.fused_layers import FusedBatchNormalization
from shared.keyed_noise import KeyedGaussianNoise, key_input
from shared.latent_codes import Codes, CodeSizes
from shared.thin_convolutions import ThinConv2D, ThinConv2DTranspose


class Networks(NamedTuple):
    """Built Keras models.

    generator: code [batch, total] -> images [batch, 28, 28, 1], in [0, 1].
    encoder: images -> (noise [batch, num_z], in [-1, 1]; logits of the categorical code [batch, 10]; continuous codes).
    discriminator: (images, code, key [2]) -> logit of the pair being a real image and its encoding [batch, 1].

    The first two are all that evaluation and published weights need.
    """

    generator: keras.Model
    encoder: keras.Model
    discriminator: keras.Model


def code_sizes(config: Config) -> CodeSizes:
    """What the generator is fed, and the encoder gives back."""
    return CodeSizes(config.num_z, (DIGITS,), config.num_continuous)


def encoding(outputs: Sequence) -> Codes:
    """The encoder's outputs as codes: probabilities where the generator is fed a one-hot."""
    noise, logits, continuous = outputs
    return Codes(noise, (tf.nn.softmax(logits),), continuous)


def build_networks(config: Config) -> Networks:
    """Networks with freshly drawn weights, a function of config.seed alone."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    return Networks(generator(config), encoder(config), discriminator(config))


truncated_normal = partial(keras.initializers.TruncatedNormal, stddev=0.02)


def original_normal(shape, dtype=None):
    """Kernels of the encoder and the discriminator: N(0, 1 / sqrt(in / 2)), `in` being the shape's first number.

    The original means He's initialisation and takes the first number of the kernel's shape for the inputs of a unit.
    So it is in a dense layer; in a convolution it is the kernel's height, and a 3x3 kernel gets 0.816 whatever its
    channels. The published PDF says "inputs to a unit", but the published result was made with this, so it is kept.
    """
    return keras.random.normal(shape, stddev=(shape[0] / 2) ** -0.5, dtype=dtype)


def original_normal_1x1(shape, dtype=None):
    """The same of a 1x1 convolution that is written as a dense layer: its kernel's height is 1, so 1.414."""
    return original_normal([1, 1, *shape], dtype)[0, 0]


def activate(x, activation: Activation):
    functions = {
        "elu": keras.activations.elu,
        "relu": keras.activations.relu,
        "lrelu": partial(keras.activations.leaky_relu, negative_slope=0.2),
    }
    return functions[activation](x)


def batch_norm(x):
    return FusedBatchNormalization(momentum=0.999, epsilon=1e-3)(x)


def dense(units: int, **options) -> layers.Layer:
    return layers.Dense(units, **{"kernel_initializer": original_normal} | options)


def conv(filters: int, strides: int, layer=layers.Conv2D) -> layers.Layer:
    return layer(filters, 3, strides, padding="valid", kernel_initializer=original_normal)


def transposed_conv(filters: int, strides: int, layer=layers.Conv2DTranspose) -> layers.Layer:
    return layer(filters, 4, strides, padding="same", kernel_initializer=truncated_normal())


def generator(config: Config) -> keras.Model:
    code = keras.Input([code_sizes(config).total], name="code")
    x = activate(batch_norm(dense(7 * 7 * 64, kernel_initializer=truncated_normal())(code)), config.g_activation)
    x = layers.Reshape([7, 7, 64])(x)
    x = activate(batch_norm(transposed_conv(128, strides=2)(x)), config.g_activation)
    x = activate(batch_norm(transposed_conv(64, strides=1)(x)), config.g_activation)
    image = layers.Activation("sigmoid", dtype="float32")(transposed_conv(1, strides=2, layer=ThinConv2DTranspose)(x))
    return keras.Model(code, image, name="generator")


def encoder(config: Config) -> keras.Model:
    image = keras.Input([28, 28, 1], name="image")
    x = activate(batch_norm(conv(32, strides=1, layer=ThinConv2D)(image)), config.e_activation)
    x = activate(batch_norm(conv(64, strides=2)(x)), config.e_activation)
    x = activate(batch_norm(conv(128, strides=2)(x)), config.e_activation)
    x = activate(batch_norm(dense(1024)(layers.Flatten()(x))), config.e_activation)
    noise = dense(config.num_z, activation="tanh", dtype="float32")(x)
    logits = dense(DIGITS, dtype="float32")(x)
    if config.num_continuous:
        continuous = dense(config.num_continuous, dtype="float32")(x)
    else:  # Keras refuses a dense layer of no units
        continuous = keras.ops.cast(x[:, :0], "float32")
    return keras.Model(image, [noise, logits, continuous], name="encoder")


def discriminator(config: Config) -> keras.Model:
    image = keras.Input([28, 28, 1], name="image")
    code, key = keras.Input([code_sizes(config).total], name="code"), key_input()

    def noisy(x, deviation: float, number: int):
        x = activate(batch_norm(x), config.d_activation)
        return KeyedGaussianNoise(config.noise * deviation, number)([x, key])

    x = noisy(conv(64, strides=2, layer=ThinConv2D)(image), 0.3, number=0)
    x = noisy(conv(128, strides=2)(x), 0.5, number=1)
    x = noisy(dense(512)(layers.Flatten()(x)), 0.5, number=2)

    y = noisy(dense(64, kernel_initializer=original_normal_1x1)(code), 0.3, number=3)
    y = noisy(dense(128, kernel_initializer=original_normal_1x1)(y), 0.5, number=4)
    y = noisy(dense(512)(y), 0.5, number=5)

    x = noisy(dense(1024)(layers.Concatenate()([x, y])), 0.5, number=6)
    return keras.Model([image, code, key], dense(1, dtype="float32")(x), name="discriminator")
