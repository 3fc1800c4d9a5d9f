"""A training step of the cycle-consistent VAE, ours and a plain port of it, each as a function of nothing."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cycle_vae import pairs, training
from cycle_vae.config import PRESETS, Config
from cycle_vae.networks import build_networks
from cycle_vae.pairs import Batch, PairedImages
from shared import latent_codes
from shared.flags import UserError


def config_of(preset: str, precision: str, batch_size: int) -> Config:
    """The settings of a preset; `default` is the sprites program's."""
    name = {"default": "sprites"}.get(preset, preset)
    if name not in PRESETS:
        raise UserError(f"--preset: expected default, {', '.join(PRESETS)}; got {preset}")
    return dataclasses.replace(PRESETS[name], precision=precision, batch_size=batch_size)


def drawn_images(config: Config) -> PairedImages:
    """Noise in the place of 6,000 images of ten identities; on sprites in fixed pairs."""
    shape = [6000, config.image_size, config.image_size, config.num_channels]
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    fixed = np.arange(6000).reshape(-1, 2) if config.data_set == "sprites" else None
    return PairedImages(images, np.repeat(np.arange(10), 600), fixed)


def prepared(preset: str, precision: str, batch_size: int):
    """What train_step takes at a given step."""
    config = config_of(preset, precision, batch_size)
    data = drawn_images(config)
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config, pairs.steps_per_epoch(data, batch_size))

    def arguments(step: int):
        batch = Batch(*map(tf.constant, pairs.batch(data, step, batch_size, config.seed)))
        return networks, optimizers, batch, training.draw_noise(config, latent_codes.key(config.seed, step)), config

    return arguments


def ours(preset: str, precision: str, batch_size: int):
    """One call is one step as train() does it, waited for."""
    arguments = prepared(preset, precision, batch_size)
    steps = iter(range(10**9))
    return lambda: training.train_step(*arguments(next(steps)))["reverse_cycle_loss"].numpy()


def concrete_step(preset: str, precision: str, batch_size: int):
    """The traced step, for counting its operations."""
    return training.train_step.get_concrete_function(*prepared(preset, precision, batch_size)(0))


def naive(preset: str, batch_size: int):
    """One call is one step of a plain port, waited for."""
    config = config_of(preset, "float32", batch_size)
    keras.config.set_dtype_policy("float32")
    *hidden, last = config.filters

    def norm(x, slope):
        x = layers.GroupNormalization(groups=-1, epsilon=1e-5, scale=False, center=False)(x)
        return layers.LeakyReLU(slope)(x)

    image = x = keras.Input([config.image_size, config.image_size, config.num_channels])
    for filters in config.filters:
        x = norm(layers.Conv2D(filters, 5, 2)(layers.ZeroPadding2D(1)(x)), 0.0)
    x = layers.Flatten()(x)
    sizes = (config.style_dim, config.style_dim, config.class_dim)
    encoder = keras.Model(image, [layers.Dense(units)(x) for units in sizes])

    codes = [keras.Input([config.style_dim]), keras.Input([config.class_dim])]
    starts = [layers.Reshape([2, 2, last])(layers.LeakyReLU(0.2)(layers.Dense(4 * last)(code))) for code in codes]
    x = layers.Concatenate()(starts)
    for filters in reversed(hidden):
        x = norm(layers.Conv2DTranspose(filters, 4, 2)(x), 0.2)
    activation = "sigmoid" if config.data_set == "mnist" else None
    decoder = keras.Model(codes, layers.Conv2DTranspose(config.num_channels, 4, 2, "same", activation=activation)(x))

    auto_encoder = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    reverse_cycle = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    variables = encoder.trainable_variables + decoder.trainable_variables
    auto_encoder.build(variables)
    reverse_cycle.build(encoder.trainable_variables)

    def kl_divergence(mean, log_variance):
        total = -0.5 * tf.reduce_sum(1 + log_variance - mean**2 - tf.exp(log_variance))
        return 3 * total / (batch_size * config.image_size**2 * config.num_channels)

    @tf.function
    def step(image_1, image_2, image_3, image_4):
        with tf.GradientTape() as tape:
            (mean_1, log_1, s_1), (mean_2, log_2, s_2) = (encoder(x, training=True) for x in (image_1, image_2))
            z_1 = mean_1 + tf.exp(0.5 * log_1) * tf.random.normal(tf.shape(mean_1))
            z_2 = mean_2 + tf.exp(0.5 * log_2) * tf.random.normal(tf.shape(mean_2))
            loss = 2 * tf.reduce_mean((decoder([z_1, s_2], training=True) - image_1) ** 2)
            loss += 2 * tf.reduce_mean((decoder([z_2, s_1], training=True) - image_2) ** 2)
            loss += kl_divergence(mean_1, log_1) + kl_divergence(mean_2, log_2)
        auto_encoder.apply(tape.gradient(loss, variables), variables)
        z = tf.random.normal([batch_size, config.style_dim])
        with tf.GradientTape() as tape:
            s = [encoder(x, training=True)[2] for x in (image_3, image_4)]
            s = [tf.stop_gradient(code) for code in s] if config.data_set == "mnist" else s
            mean_1, mean_2 = (encoder(decoder([z, code], training=True), training=True)[0] for code in s)
            loss = 10 * tf.reduce_mean(tf.abs(mean_1 - mean_2))
        gradients = tape.gradient(loss, encoder.trainable_variables)
        moved = [(g, v) for g, v in zip(gradients, encoder.trainable_variables) if g is not None]
        reverse_cycle.apply(*zip(*moved))
        return loss

    images = drawn_images(config).images
    data = tf.data.Dataset.from_tensor_slices(images).shuffle(1000).repeat().batch(batch_size)
    data = iter(data.map(lambda x: tf.cast(x, tf.float32) / 255).prefetch(4))
    return lambda: step(*(next(data) for _ in range(4))).numpy()
