"""The three networks of the VAE-GAN, as the architecture file describes them. Source: model/vaegan.py of the original.

Kernels are drawn from Glorot's uniform distribution, Keras's default.
"""

from typing import NamedTuple

import keras
from keras import layers

from shared.fused_layers import FusedBatchNormalization
from shared.thin_convolutions import ThinConv2D, ThinConv2DTranspose
from vae_gan.architecture import Architecture
from vae_gan.config import Config, architecture_of


class Networks(NamedTuple):
    """Built Keras models; images [batch, height, width, channels], in [-1, 1].

    encoder: images -> (mean of z, log variance of z), [batch, z_dim] each.
    generator: z [batch, z_dim] -> images.
    features: images -> the discriminator's features [batch, number]: its first layers, without the others.
    discriminator: images -> (logit of being real [batch, 1], the same features).

    The first three are all that evaluation and published weights need.
    """

    encoder: keras.Model
    generator: keras.Model
    features: keras.Model
    discriminator: keras.Model


def build_networks(config: Config) -> Networks:
    """Networks with freshly drawn weights, a function of config.seed alone."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    architecture = architecture_of(config)
    features, discriminator = features_and_discriminator(architecture)
    return Networks(encoder(architecture), generator(architecture), features, discriminator)


def batch_norm(x):
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def leaky(x):
    return layers.LeakyReLU(negative_slope=0.02)(x)


def penalty(l2_reg: float) -> keras.regularizers.Regularizer:
    """Collected in network.losses, which no update adds unless --l2 says so."""
    return keras.regularizers.L2(l2_reg / 2)


def conv(filters, kernel, stride, l2_reg: float, layer=layers.Conv2D, use_bias=False) -> layers.Layer:
    return layer(filters, kernel, stride, padding="same", use_bias=use_bias, kernel_regularizer=penalty(l2_reg))


def transposed_conv(filters, kernel, stride, l2_reg: float, layer=layers.Conv2DTranspose, use_bias=False):
    return layer(filters, kernel, stride, padding="same", use_bias=use_bias, kernel_regularizer=penalty(l2_reg))


def encoder(architecture: Architecture) -> keras.Model:
    described = architecture.encoder
    image = x = keras.Input(architecture.hwc, name="image")
    for filters, kernel, stride in zip(described.output, described.kernel, described.stride):
        x = leaky(batch_norm(conv(filters, kernel, stride, described.l2_reg)(x)))
    x = layers.Flatten()(x)
    mean, log_variance = (
        layers.Dense(architecture.z_dim, kernel_regularizer=penalty(described.l2_reg), dtype="float32")(x)
        for _ in ("mean", "log variance")
    )
    return keras.Model(image, [mean, log_variance], name="encoder")


def generator(architecture: Architecture) -> keras.Model:
    described, (height, width, channels) = architecture.generator, architecture.generator_hwc
    z = x = keras.Input([architecture.z_dim], name="z")
    if architecture.latent_activation == "tanh":
        x = layers.Activation("tanh")(x)
    x = layers.ReLU()(batch_norm(layers.Dense(height * width * channels, use_bias=False)(x)))
    x = layers.Reshape([height, width, channels])(x)
    *inner, last = zip(described.output, described.kernel, described.stride)
    for filters, kernel, stride in inner:
        x = layers.ReLU()(batch_norm(transposed_conv(filters, kernel, stride, described.l2_reg)(x)))
    x = transposed_conv(*last, described.l2_reg, layer=ThinConv2DTranspose, use_bias=True)(x)
    return keras.Model(z, layers.Activation("tanh", dtype="float32")(x), name="generator")


def features_and_discriminator(architecture: Architecture) -> tuple[keras.Model, keras.Model]:
    described = architecture.discriminator
    image = keras.Input(architecture.hwc, name="image")
    (first, *first_options), *others = zip(described.output, described.kernel, described.stride)
    # No batch norm on the input layer, as DCGAN has it.
    outputs = [leaky(conv(first, *first_options, described.l2_reg, layer=ThinConv2D, use_bias=True)(image))]
    for filters, kernel, stride in others:
        outputs.append(leaky(batch_norm(conv(filters, kernel, stride, described.l2_reg)(outputs[-1]))))
    features = layers.Flatten(dtype="float32")(outputs[architecture.feature_layer - 1])
    head = layers.Dense(1, kernel_regularizer=penalty(described.l2_reg), dtype="float32")
    logit = head(layers.Flatten()(outputs[-1]))
    return (
        keras.Model(image, features, name="features"),
        keras.Model(image, [logit, features], name="discriminator"),
    )
