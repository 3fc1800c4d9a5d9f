"""The three networks of InfoGAN: generator, discriminator, and recognition network Q(c|x) on the same trunk."""

from functools import partial
from typing import Any, NamedTuple

import keras
from keras import layers

from infogan.config import Config
from shared.fused_layers import FusedBatchNormalization
from shared.keyed_noise import KeyedDropout, key_input
from shared.latent_codes import CodeSizes
from shared.thin_convolutions import ThinConv2D, ThinConv2DTranspose


class Networks(NamedTuple):
    """Built Keras models.

    generator: (code [batch, total], key [2]) -> images [batch, size, size, channels].
    discriminator: images -> (logit of being real [batch, 1], features [batch, n]).
    recognition: features -> (list of categorical logits, mean, standard deviation of the continuous codes).
    """

    generator: keras.Model
    discriminator: keras.Model
    recognition: keras.Model


def code_sizes(config: Config) -> CodeSizes:
    """What the generator is fed."""
    return CodeSizes(config.num_z, config.categorical_sizes, config.num_continuous)


def build_networks(config: Config) -> Networks:
    """Networks with freshly drawn weights, a function of config.seed alone."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.preset == "paper":
        return Networks(paper_generator(config), paper_discriminator(config), paper_recognition(config))
    return Networks(generator(config), discriminator(config), recognition(config))


normal = partial(keras.initializers.RandomNormal, stddev=0.02)


# The original's networks: DCGAN's discriminator, and its generator less one layer.
# Source: src/models/modules.py of tf-gans. Batch norm shifts but does not scale, as there.


def dense(units: int, **options) -> layers.Layer:
    return layers.Dense(units, kernel_initializer=normal(), **options)


def continuous_head(units: int, x) -> Any:
    if units:
        return dense(units, dtype="float32")(x)
    return keras.ops.cast(x[:, :0], "float32")  # Keras refuses a dense layer of no units


def conv(filters: int, layer=layers.Conv2D) -> layers.Layer:
    return layer(filters, 5, strides=2, padding="same", kernel_initializer=normal())


def transposed_conv(filters: int, height: int, from_height: int, layer=layers.Conv2DTranspose) -> layers.Layer:
    """Doubles the height, less one where the output is odd: 4 -> 7, which cropping an 8 would shift by a pixel."""
    padding = height - 2 * from_height + 1
    return layer(filters, 5, strides=2, padding="same", output_padding=padding, kernel_initializer=normal())


def batch_norm(x):
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, scale=False)(x)


def generator(config: Config) -> keras.Model:
    height = config.image_size
    half = -(-height // 2)
    quarter = -(-half // 2)
    eighth = -(-quarter // 2)
    code, key = keras.Input([code_sizes(config).total], name="code"), key_input()
    x = keras.activations.relu(batch_norm(dense(1024)(code)))
    x = keras.activations.relu(batch_norm(dense(eighth * eighth * 256)(x)))
    x = layers.Reshape([eighth, eighth, 256])(x)
    x = keras.activations.relu(batch_norm(transposed_conv(128, quarter, eighth)(x)))
    x = KeyedDropout(1 - config.keep_prob, number=0)([x, key])
    x = keras.activations.relu(batch_norm(transposed_conv(64, half, quarter)(x)))
    x = KeyedDropout(1 - config.keep_prob, number=1)([x, key])
    x = transposed_conv(config.channels, height, half, layer=ThinConv2DTranspose)(x)
    image = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model([code, key], image, name="generator")


def discriminator(config: Config) -> keras.Model:
    image = keras.Input([config.image_size, config.image_size, config.channels], name="image")
    x = keras.activations.leaky_relu(conv(64, layer=ThinConv2D)(image), 0.2)
    for filters in (128, 256, 512):
        x = keras.activations.leaky_relu(batch_norm(conv(filters)(x)), 0.2)
    features = layers.Flatten()(x)
    return keras.Model(image, [dense(1, dtype="float32")(features), features], name="discriminator")


def recognition(config: Config) -> keras.Model:
    features = keras.Input([(-(-config.image_size // 16)) ** 2 * 512], name="features")
    logits = []
    for classes in config.categorical_sizes:
        x = keras.activations.leaky_relu(batch_norm(dense(128)(features)), 0.2)
        logits.append(dense(classes, dtype="float32")(x))
    mean_and_deviation = continuous_head(2 * config.num_continuous, features)
    mean = mean_and_deviation[:, : config.num_continuous]
    deviation = keras.activations.softplus(mean_and_deviation[:, config.num_continuous :])
    return keras.Model(features, [logits, mean, deviation], name="recognition")


# The paper's MNIST networks. Source: arXiv 1606.03657, appendix C.1.


def paper_conv(filters: int, layer=layers.Conv2D) -> layers.Layer:
    return layer(filters, 4, strides=2, padding="same", kernel_initializer=normal())


def paper_transposed_conv(filters: int, layer=layers.Conv2DTranspose) -> layers.Layer:
    return layer(filters, 4, strides=2, padding="same", kernel_initializer=normal())


def paper_batch_norm(x):
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def paper_generator(config: Config) -> keras.Model:
    quarter = config.image_size // 4
    code, key = keras.Input([code_sizes(config).total], name="code"), key_input()
    x = keras.activations.relu(paper_batch_norm(dense(1024)(code)))
    x = keras.activations.relu(paper_batch_norm(dense(quarter * quarter * 128)(x)))
    x = layers.Reshape([quarter, quarter, 128])(x)
    x = keras.activations.relu(paper_batch_norm(paper_transposed_conv(64)(x)))
    x = KeyedDropout(1 - config.keep_prob, number=0)([x, key])
    # tanh, where the paper has a sigmoid: the same curve on images in [-1, 1], which this folder's are.
    x = paper_transposed_conv(config.channels, layer=ThinConv2DTranspose)(x)
    image = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model([code, key], image, name="generator")


def paper_discriminator(config: Config) -> keras.Model:
    image = keras.Input([config.image_size, config.image_size, config.channels], name="image")
    x = keras.activations.leaky_relu(paper_conv(64, layer=ThinConv2D)(image), 0.1)
    x = keras.activations.leaky_relu(paper_batch_norm(paper_conv(128)(x)), 0.1)
    features = keras.activations.leaky_relu(paper_batch_norm(dense(1024)(layers.Flatten()(x))), 0.1)
    return keras.Model(image, [dense(1, dtype="float32")(features), features], name="discriminator")


def paper_recognition(config: Config) -> keras.Model:
    features = keras.Input([1024], name="features")
    x = keras.activations.leaky_relu(paper_batch_norm(dense(128)(features)), 0.1)
    logits = [dense(classes, dtype="float32")(x) for classes in config.categorical_sizes]
    mean = continuous_head(config.num_continuous, x)
    deviation = keras.ops.ones_like(mean)
    return keras.Model(features, [logits, mean, deviation], name="recognition")
