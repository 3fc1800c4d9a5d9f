"""An iteration of VAE-GAN, ours and a plain port's, as a function of nothing; data, noise and all."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from shared import latent_codes
from shared.flags import UserError, require
from vae_gan import losses, training
from vae_gan.config import PRESETS
from vae_gan.data import scale_to_symmetric
from vae_gan.networks import build_networks

IMAGES = np.random.default_rng(0).integers(0, 256, [20_000, 32, 32, 1], dtype=np.uint8)


def prepared(preset: str, precision: str, batch_size: int):
    """A config, and what train_step takes at a given step."""
    require(preset in PRESETS, f"--preset: expected one of {', '.join(PRESETS)}; got {preset}")
    config = dataclasses.replace(PRESETS[preset], precision=precision, batch_size=batch_size)
    networks = build_networks(config)
    optimizer = training.build_optimizer(networks, config)

    def arguments(step: int):
        noise = training.sample_noise(batch_size, 100, "VAE-GAN", latent_codes.key(config.seed, step))
        images = IMAGES[training.indices(step, config, len(IMAGES))]
        return networks, optimizer, tf.constant(scale_to_symmetric(images)), noise, config

    return arguments


def ours(preset: str, precision: str, batch_size: int):
    """One call is one iteration as train() does it, four updates, waited for."""
    arguments = prepared(preset, precision, batch_size)
    steps = iter(range(10**9))
    return lambda: training.train_step(*arguments(next(steps)))[0]["d_real"].numpy()


def concrete_step(preset: str, precision: str, batch_size: int):
    """The traced iteration, for counting its operations."""
    return training.train_step.get_concrete_function(*prepared(preset, precision, batch_size)(0))


def naive(preset: str, batch_size: int):
    """One call is one iteration of a plain port, waited for."""
    if preset != "default":
        raise UserError(f"the plain port is of the default preset; got {preset}")
    keras.config.set_dtype_policy("float32")

    def norm(x, slope):
        return layers.LeakyReLU(slope)(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))

    image = x = keras.Input([32, 32, 1])
    for filters in (64, 128, 256, 512):
        x = norm(layers.Conv2D(filters, 5, 2, "same", use_bias=False)(x), 0.02)
    x = layers.Flatten()(x)
    encoder = keras.Model(image, [layers.Dense(100)(x), layers.Dense(100)(x)])

    z = keras.Input([100])
    x = layers.Reshape([2, 2, 512])(norm(layers.Dense(2048, use_bias=False)(z), 0.0))
    for filters in (256, 128, 64):
        x = norm(layers.Conv2DTranspose(filters, 5, 2, "same", use_bias=False)(x), 0.0)
    generator = keras.Model(z, layers.Conv2DTranspose(1, 5, 2, "same", activation="tanh")(x))

    image = keras.Input([32, 32, 1])
    x = layers.LeakyReLU(0.02)(layers.Conv2D(64, 5, 2, "same")(image))
    for filters in (128, 256):
        x = norm(layers.Conv2D(filters, 5, 2, "same", use_bias=False)(x), 0.02)
    features = layers.Flatten()(x)
    x = norm(layers.Conv2D(512, 5, 2, "same", use_bias=False)(x), 0.02)
    discriminator = keras.Model(image, [layers.Dense(1)(layers.Flatten()(x)), features])

    optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)
    optimizer.build([v for network in (encoder, generator, discriminator) for v in network.trainable_variables])

    def forward(images):
        mean, log_variance = encoder(images, training=True)
        code = mean + tf.exp(0.5 * log_variance) * tf.random.normal([batch_size, 100])
        made = generator(code, training=True)
        sampled = generator(tf.random.normal([batch_size, 100]), training=True)
        real, of_real = discriminator(images, training=True)
        fake, of_fake = discriminator(made, training=True)
        fake_sample, _ = discriminator(sampled, training=True)
        reconstruction = losses.feature_reconstruction(of_real, of_fake)
        d_fake = 0.5 * (losses.cross_entropy(fake, 0.0) + losses.cross_entropy(fake_sample, 0.0))
        g_fake = 0.5 * (losses.cross_entropy(fake, 1.0) + losses.cross_entropy(fake_sample, 1.0))
        d_loss = losses.cross_entropy(real, 1.0) + d_fake
        return {
            discriminator: d_loss,
            generator: g_fake + 0.1 * reconstruction,
            encoder: losses.kl(mean, log_variance) + reconstruction,
        }

    def update(network, images):
        with tf.GradientTape() as tape:
            loss = forward(images)[network]
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    @tf.function
    def step(d_images, g_images_1, g_images_2, e_images):
        d_loss = update(discriminator, d_images)
        update(generator, g_images_1)
        update(generator, g_images_2)
        update(encoder, e_images)
        return d_loss

    data = tf.data.Dataset.from_tensor_slices(IMAGES).shuffle(10_000).repeat().batch(batch_size)
    data = iter(data.map(lambda x: tf.cast(x, tf.float32) / 127.5 - 1).prefetch(1))
    return lambda: step(*(next(data) for _ in range(training.UPDATES))).numpy()
