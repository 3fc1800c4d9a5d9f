"""A training step of image generation and translation, ours and a plain port of it, each as a function of nothing."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from image_translation import labelled_images, losses, training
from image_translation.config import PRESETS
from image_translation.networks import build_networks, code_sizes, original_normal, original_normal_1x1
from shared import latent_codes
from shared.datasets import mnist
from shared.flags import require

IMAGES = np.random.default_rng(0).integers(0, 256, [55_000, 28, 28], dtype=np.uint8)
DIGITS = np.arange(55_000, dtype=np.uint8) % 10
BEGUN = 500  # steps: half of each batch is labelled, and every loss has its weight


def prepared(preset: str, precision: str, batch_size: int):
    """A config, and what train_step takes at a given step."""
    require(preset in PRESETS, f"--preset: expected one of {', '.join(PRESETS)}; got {preset}")
    config = dataclasses.replace(PRESETS[preset], precision=precision, batch_size=batch_size)
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config)
    labelled = labelled_images.choose(DIGITS, config.num_samples, config.seed)
    unlabelled = np.setdiff1d(np.arange(len(IMAGES)), labelled)

    def arguments(step: int):
        key = latent_codes.key(config.seed, step)
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        indices, has_label = labelled_images.batch_of_step(step, labelled, unlabelled, config)
        images = tf.constant(mnist.scale_to_unit(IMAGES[indices]))
        labels = tf.one_hot(DIGITS[indices], 10) * has_label[:, np.newaxis]
        weight = tf.constant(training.adversarial_weight(step, config))
        return networks, optimizers, images, labels, codes, key, weight, config

    return arguments


def ours(preset: str, precision: str, batch_size: int):
    """One call is one step as train() does it, waited for."""
    arguments = prepared(preset, precision, batch_size)
    steps = iter(range(BEGUN, 10**9))
    return lambda: training.train_step(*arguments(next(steps)))["d_loss"].numpy()


def concrete_step(preset: str, precision: str, batch_size: int):
    """The traced step, for counting its operations."""
    return training.train_step.get_concrete_function(*prepared(preset, precision, batch_size)(BEGUN))


def naive(preset: str, batch_size: int):
    """One call is one step of a plain port, waited for."""
    keras.config.set_dtype_policy("float32")
    small = keras.initializers.TruncatedNormal(stddev=0.02)

    def norm(x, deviation=0.0):
        x = layers.ELU()(layers.BatchNormalization(momentum=0.999, epsilon=1e-3)(x))
        return layers.GaussianNoise(deviation)(x) if deviation else x

    def dense(units, initializer=original_normal):
        return layers.Dense(units, kernel_initializer=initializer)

    def conv(filters, strides):
        return layers.Conv2D(filters, 3, strides, kernel_initializer=original_normal)

    code = keras.Input([28])
    x = layers.Reshape([7, 7, 64])(norm(dense(3136, small)(code)))
    for filters, strides in ((128, 2), (64, 1)):
        x = norm(layers.Conv2DTranspose(filters, 4, strides, "same", kernel_initializer=small)(x))
    x = layers.Conv2DTranspose(1, 4, 2, "same", kernel_initializer=small, activation="sigmoid")(x)
    generator = keras.Model(code, x)

    image = keras.Input([28, 28, 1])
    x = image
    for filters, strides in ((32, 1), (64, 2), (128, 2)):
        x = norm(conv(filters, strides)(x))
    x = norm(dense(1024)(layers.Flatten()(x)))
    outputs = [layers.Activation("tanh")(dense(16)(x)), layers.Softmax()(dense(10)(x)), dense(2)(x)]
    encoder = keras.Model(image, outputs)

    x = norm(conv(128, 2)(norm(conv(64, 2)(image), 0.3)), 0.5)
    x = norm(dense(512)(layers.Flatten()(x)), 0.5)
    y = norm(dense(128, original_normal_1x1)(norm(dense(64, original_normal_1x1)(code), 0.3)), 0.5)
    y = norm(dense(512)(y), 0.5)
    joint = norm(dense(1024)(layers.Concatenate()([x, y])), 0.5)
    discriminator = keras.Model([image, code], dense(1)(joint))

    def adam(rate):
        boundaries, shares = [10_000, 20_000, 30_000, 40_000], [1, 1 / 2, 1 / 4, 1 / 8, 1 / 10]
        decay = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, [rate * share for share in shares])
        return keras.optimizers.Adam(decay, beta_1=0.5, epsilon=1e-8)

    d_optimizer, g_optimizer = adam(1e-4), adam(5e-4)
    d_variables = discriminator.trainable_variables
    g_variables = generator.trainable_variables + encoder.trainable_variables
    d_optimizer.build(d_variables)
    g_optimizer.build(g_variables)
    cross_entropy = keras.losses.sparse_categorical_crossentropy

    @tf.function
    def step(images, digits, weight):
        labels = tf.random.uniform([batch_size], maxval=10, dtype=tf.int32)
        continuous = tf.random.uniform([batch_size, 2], -1.0)
        codes = tf.concat([tf.random.uniform([batch_size, 16], -1.0), tf.one_hot(labels, 10), continuous], axis=1)
        with tf.GradientTape(persistent=True) as tape:
            generated = generator(codes, training=True)
            parts = encoder(images, training=True)
            encoded = tf.concat(parts, axis=1)
            reconstructed = generator(encoded, training=True)
            _, probabilities, mean = encoder(generated, training=True)
            real = discriminator([images, encoded], training=True)
            fake = discriminator([generated, codes], training=True)
            d_loss = losses.adversarial_d_loss(real, fake)
            categorical = tf.reduce_mean(cross_entropy(labels, probabilities))
            adversarial = losses.adversarial_g_loss(fake) + losses.adversarial_e_loss(real)
            supervised = tf.reduce_mean(cross_entropy(digits, parts[1][: batch_size // 2]))
            g_loss = tf.reduce_mean(tf.square(images - reconstructed)) + 10 * supervised
            g_loss += weight * (categorical + losses.continuous_loss(mean, continuous) + adversarial)
        d_gradients, g_gradients = tape.gradient(d_loss, d_variables), tape.gradient(g_loss, g_variables)
        d_optimizer.apply(d_gradients, d_variables)
        g_optimizer.apply(g_gradients, g_variables)
        return d_loss

    def batches(number):
        data = tf.data.Dataset.from_tensor_slices((IMAGES, DIGITS)).shuffle(10_000).repeat().batch(number)
        return iter(data.map(lambda x, y: (tf.cast(x[..., tf.newaxis], tf.float32) / 255, y)).prefetch(1))

    labelled, unlabelled = batches(batch_size // 2), batches(batch_size - batch_size // 2)

    def one():
        (x, digits), (others, _) = next(labelled), next(unlabelled)
        return step(tf.concat([x, others], axis=0), digits, tf.constant(0.5)).numpy()

    return one
