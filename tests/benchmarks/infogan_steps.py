"""A training step of InfoGAN, ours and a plain port of it, each as a function of nothing; data, codes and all."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from infogan import losses, training
from infogan.config import PRESETS
from infogan.networks import build_networks, code_sizes
from shared import latent_codes
from shared.datasets import batches, mnist
from shared.flags import UserError, require

IMAGES = np.random.default_rng(0).integers(0, 256, [60_000, 28, 28], dtype=np.uint8)


def prepared(preset: str, precision: str, batch_size: int):
    """A config, and what train_step takes at a given step."""
    require(preset in PRESETS, f"--preset: expected one of {', '.join(PRESETS)}; got {preset}")
    config = dataclasses.replace(PRESETS[preset], precision=precision, batch_size=batch_size)
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config)

    def arguments(step: int):
        key = latent_codes.key(config.seed, step)
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        images = IMAGES[batches.batch_indices(step, config.batch_size, len(IMAGES), config.seed)]
        return networks, optimizers, tf.constant(mnist.scale_to_symmetric(images)), codes, key, config

    return arguments


def ours(preset: str, precision: str, batch_size: int):
    """One call is one step as train() does it, waited for."""
    arguments = prepared(preset, precision, batch_size)
    steps = iter(range(10**9))
    return lambda: training.train_step(*arguments(next(steps)))["d_loss"].numpy()


def concrete_step(preset: str, precision: str, batch_size: int):
    """The traced step, for counting its operations."""
    return training.train_step.get_concrete_function(*prepared(preset, precision, batch_size)(0))


def naive(preset: str, batch_size: int):
    """One call is one step of a plain port of the default networks, waited for."""
    if preset != "default":
        raise UserError(f"the plain port is of the default preset; got {preset}")
    keras.config.set_dtype_policy("float32")
    init = keras.initializers.RandomNormal(stddev=0.02)

    def norm(x, slope):
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, scale=False)(x)
        return layers.LeakyReLU(slope)(x)

    code = keras.Input([114])
    x = norm(layers.Dense(1024, kernel_initializer=init)(code), 0.0)
    x = norm(layers.Dense(4096, kernel_initializer=init)(x), 0.0)
    x = layers.Reshape([4, 4, 256])(x)
    for filters, padding in ((128, 0), (64, 1)):
        x = layers.Conv2DTranspose(filters, 5, 2, "same", output_padding=padding, kernel_initializer=init)(x)
        x = norm(x, 0.0)
    x = layers.Conv2DTranspose(1, 5, 2, "same", activation="tanh", kernel_initializer=init)(x)
    generator = keras.Model(code, x)

    image = keras.Input([28, 28, 1])
    x = layers.LeakyReLU(0.2)(layers.Conv2D(64, 5, 2, "same", kernel_initializer=init)(image))
    for filters in (128, 256, 512):
        x = norm(layers.Conv2D(filters, 5, 2, "same", kernel_initializer=init)(x), 0.2)
    x = layers.Flatten()(x)
    q = layers.Dense(10, kernel_initializer=init)(norm(layers.Dense(128, kernel_initializer=init)(x), 0.2))
    gaussian = layers.Dense(8, kernel_initializer=init)(x)
    discriminator = keras.Model(image, [layers.Dense(1, kernel_initializer=init)(x), q, gaussian])

    d_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8, global_clipnorm=10.0)
    g_optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5, epsilon=1e-8, global_clipnorm=10.0)
    d_variables, g_variables = discriminator.trainable_variables, generator.trainable_variables
    d_optimizer.build(d_variables)
    g_optimizer.build(g_variables)

    def q_loss(q_logits, gaussian, labels, continuous):
        mean, deviation = gaussian[:, :4], tf.nn.softplus(gaussian[:, 4:])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, q_logits))
        return loss + 0.1 * losses.continuous_loss(mean, deviation, continuous)

    @tf.function
    def step(images):
        labels = tf.random.uniform([batch_size], maxval=10, dtype=tf.int32)
        continuous = tf.random.uniform([batch_size, 4], -1.0)
        z = tf.random.uniform([batch_size, 100], -1.0)
        code = tf.concat([z, tf.one_hot(labels, 10), continuous], axis=1)
        with tf.GradientTape() as tape:
            fake = generator(code, training=True)
            d_fake, q_logits, gaussian = discriminator(fake, training=True)
            d_real, _, _ = discriminator(images, training=True)
            d_loss = losses.adversarial_d_loss(d_real, d_fake) + q_loss(q_logits, gaussian, labels, continuous)
        d_optimizer.apply(tape.gradient(d_loss, d_variables), d_variables)
        with tf.GradientTape() as tape:
            d_fake, q_logits, gaussian = discriminator(generator(code, training=True), training=True)
            g_loss = losses.adversarial_g_loss(d_fake) + q_loss(q_logits, gaussian, labels, continuous)
        g_optimizer.apply(tape.gradient(g_loss, g_variables), g_variables)
        return d_loss

    data = tf.data.Dataset.from_tensor_slices(IMAGES).shuffle(10_000).repeat().batch(batch_size)
    data = iter(data.map(lambda x: tf.cast(x[..., tf.newaxis], tf.float32) / 127.5 - 1).prefetch(1))
    return lambda: step(next(data)).numpy()
