"""The two networks of the cycle-consistent VAE: an encoder of images to z and s, and a decoder of both.

Source: cycle_consistent_vae_in.py and cycle_consistent_vae.py of the sprites program, networks.py of the MNIST program.
"""

from functools import partial
from typing import NamedTuple

import keras
from keras import layers

from cycle_vae.config import Config
from shared.fused_layers import FusedBatchNormalization, InstanceNormalization
from shared.thin_convolutions import ThinConv2D, ThinConv2DTranspose

EPSILON = 1e-5


class Networks(NamedTuple):
    """Built Keras models.

    encoder: images [batch, size, size, channels], in [0, 1] -> (mean of z [batch, style_dim], log variance of z
        [batch, style_dim], s [batch, class_dim]).
    decoder: (z [batch, style_dim], s [batch, class_dim]) -> images; of sprites they may leave [0, 1].
    """

    encoder: keras.Model
    decoder: keras.Model


def build_networks(config: Config) -> Networks:
    """Networks with freshly drawn weights, a function of config.seed alone."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    return Networks(encoder(config), decoder(config))


normal = partial(keras.initializers.RandomNormal, stddev=0.05)
leaky_relu = partial(keras.activations.leaky_relu, negative_slope=0.2)


def norm(x, config: Config):
    """Instance norm has no weights and no memory: an image is normalised by its own statistics, in evaluation too."""
    if config.norm == "batch":
        gamma = keras.initializers.RandomNormal(1.0, 0.02)
        return FusedBatchNormalization(momentum=0.9, epsilon=EPSILON, gamma_initializer=gamma)(x)
    return InstanceNormalization(EPSILON)(x)


def dense(units: int, **options) -> layers.Layer:
    return layers.Dense(units, kernel_initializer=normal(), **options)


def conv(x, filters: int, layer=layers.Conv2D):
    """5 x 5, stride 2, one pixel of zeros around: 'same' would pad one pixel more on one side, and shift the image."""
    x = layers.ZeroPadding2D(1)(x)
    return layer(filters, 5, 2, padding="valid", kernel_initializer=normal())(x)


def transposed_conv(x, filters: int, padding: str, layer=layers.Conv2DTranspose):
    """4 x 4, stride 2; kernel and bias begin as PyTorch's do, which takes a unit's inputs to be 4 * 4 * filters."""
    bound = (4 * 4 * filters) ** -0.5
    uniform = partial(keras.initializers.RandomUniform, -bound, bound)
    return layer(filters, 4, 2, padding=padding, kernel_initializer=uniform(), bias_initializer=uniform())(x)


def encoder(config: Config) -> keras.Model:
    image = keras.Input([config.image_size, config.image_size, config.num_channels], name="image")
    first, *others = config.filters
    thin = config.num_channels == 1  # of three channels TensorFlow's own layers are faster
    x = keras.activations.relu(norm(conv(image, first, layer=ThinConv2D if thin else layers.Conv2D), config))
    for filters in others:
        x = keras.activations.relu(norm(conv(x, filters), config))
    x = layers.Flatten()(x)
    mean = dense(config.style_dim, dtype="float32", name="z_mean")(x)
    log_variance = dense(config.style_dim, dtype="float32", name="z_log_variance")(x)
    s = dense(config.class_dim, dtype="float32", name="s")(x)
    return keras.Model(image, [mean, log_variance, s], name="encoder")


def decoder(config: Config) -> keras.Model:
    *hidden, last = config.filters
    z, s = keras.Input([config.style_dim], name="z"), keras.Input([config.class_dim], name="s")
    starts = [layers.Reshape([2, 2, last])(leaky_relu(dense(2 * 2 * last)(code))) for code in (z, s)]
    x = layers.Concatenate()(starts)
    for filters in reversed(hidden):
        x = leaky_relu(norm(transposed_conv(x, filters, "valid"), config))
    thin = config.num_channels == 1  # as in the encoder
    layer = ThinConv2DTranspose if thin else layers.Conv2DTranspose
    x = transposed_conv(x, config.num_channels, "same", layer=layer)
    # Of sprites the image is the last layer's own output, unbounded.
    image = layers.Activation("sigmoid" if config.data_set == "mnist" else "linear", dtype="float32")(x)
    return keras.Model([z, s], image, name="decoder")
