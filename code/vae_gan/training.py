"""One training iteration of the VAE-GAN, and the loop. Source: train.py of the original."""

import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from shared import image_grids, latent_codes
from shared.datasets import batches
from shared.fused_layers import FusedAdam
from shared.training_run import TrainingRun
from vae_gan import losses, pictures
from vae_gan.config import Config, architecture_of
from vae_gan.data import Data, scale_to_symmetric
from vae_gan.networks import Networks, build_networks

UPDATES = 4  # an iteration: discriminator, generator, generator, encoder; each has a batch of its own


class Noise(NamedTuple):
    """The random numbers of an iteration, float32 [UPDATES, batch, z_dim] each."""

    reparameterization: tf.Tensor  # ~ N(0, 1)
    prior: tf.Tensor  # ~ N(0, 1); in DC-GAN mode ~ U(-1, 1)


@tf.function
def sample_noise(batch_size: int, z_dim: int, mode: str, key: tf.Tensor) -> Noise:
    """Draws the noise of an iteration; equal keys, int32 [2], give equal noise."""
    shape = [UPDATES, batch_size, z_dim]
    reparameterization = tf.random.stateless_normal(shape, tf.random.fold_in(key, 0))
    prior_key = tf.random.fold_in(key, 1)
    if mode == "DC-GAN":
        return Noise(reparameterization, tf.random.stateless_uniform(shape, prior_key, minval=-1.0))
    return Noise(reparameterization, tf.random.stateless_normal(shape, prior_key))


def build_optimizer(networks: Networks, config: Config) -> FusedAdam:
    """One Adam for the three networks, its slots made, so that a checkpoint can fill them.

    Its step count, and so the correction of its bias, advances at each of an iteration's updates.
    """
    optimizer = FusedAdam(config.lr, beta_1=config.beta1, epsilon=1e-8)
    trained = (networks.encoder, networks.generator, networks.discriminator)
    optimizer.build([variable for network in trained for variable in network.trainable_variables])
    return optimizer


@tf.function
def train_step(networks: Networks, optimizer: keras.optimizers.Optimizer, images, noise: Noise, config: Config):
    """One update of the discriminator, two of the generator and, but for DC-GAN mode, one of the encoder.

    Args:
        networks, optimizer: what is trained.
        images: float32 [UPDATES, batch, height, width, channels], in [-1, 1].
        noise: of the same batch size.
        config: settings.
    Returns:
        Scalars by name, as each update saw them before it; and what histograms show, by the original's names.
    """
    own = list(zip(tf.unstack(images), tf.unstack(noise.reparameterization), tf.unstack(noise.prior)))
    d_losses, histograms = update_discriminator(networks, optimizer, *own[0], config)
    g_fake_1 = update_generator(networks, optimizer, *own[1], config)
    g_fake_2 = update_generator(networks, optimizer, *own[2], config)
    scalars = d_losses | {"g_fake_1": g_fake_1, "g_fake_2": g_fake_2}
    if architecture_of(config).mode == "VAE-GAN":
        scalars |= update_encoder(networks, optimizer, *own[3][:2], config)
    return scalars, histograms


def update_discriminator(networks, optimizer, images, reparameterization_noise, prior, config: Config):
    """It learns to tell real images from reconstructions and from samples."""
    generated, z = generate(networks, images, reparameterization_noise, prior, config)
    variables = networks.discriminator.trainable_variables
    with tf.GradientTape() as tape:
        # Each pass is normalised by its own statistics: joining them would be another network.
        real_logit, _ = networks.discriminator(images, training=True)
        fake_logits = [networks.discriminator(fake, training=True)[0] for fake in generated]
        d_real = losses.cross_entropy(real_logit, 1.0)
        d_fake = tf.add_n([losses.cross_entropy(logit, 0.0) for logit in fake_logits]) / len(fake_logits)
        loss = d_real + d_fake + penalties(networks.discriminator, config)
    optimizer.apply(tape.gradient(loss, variables), variables)
    histograms = {"z": z, "logit_true": real_logit, "logit_fake": fake_logits[0], "logit_sample": fake_logits[-1]}
    return {"d_fake": d_fake, "d_real": d_real}, histograms


def update_generator(networks, optimizer, images, reparameterization_noise, prior, config: Config):
    """It learns to be taken for real, and reconstructions to have their image's features."""
    variables = networks.generator.trainable_variables
    with tf.GradientTape() as tape:
        generated, _ = generate(networks, images, reparameterization_noise, prior, config)
        seen = [networks.discriminator(fake, training=True) for fake in generated]
        g_fake = tf.add_n([losses.cross_entropy(logit, 1.0) for logit, _ in seen]) / len(seen)
        loss = g_fake + penalties(networks.generator, config)
        if len(generated) == 2:
            features = networks.features(images, training=True)
            loss += config.reconst_v_gan * losses.feature_reconstruction(features, seen[0][1])
    optimizer.apply(tape.gradient(loss, variables), variables)
    return g_fake


def update_encoder(networks, optimizer, images, reparameterization_noise, config: Config):
    """It learns codes that are near N(0, 1) and of which the generator makes the image's features."""
    variables = networks.encoder.trainable_variables
    with tf.GradientTape() as tape:
        mean, log_variance = networks.encoder(images, training=True)
        reconstruction = networks.generator(
            reparameterized(mean, log_variance, reparameterization_noise), training=True
        )
        kl = losses.kl(mean, log_variance)
        feature_reconstruction = losses.feature_reconstruction(
            networks.features(images, training=True), networks.features(reconstruction, training=True)
        )
        loss = kl + feature_reconstruction + penalties(networks.encoder, config)
    optimizer.apply(tape.gradient(loss, variables), variables)
    return {"kl": kl, "feature_reconstruction": feature_reconstruction}


def generate(networks, images, reparameterization_noise, prior, config: Config):
    """[reconstructions, samples], or [samples] in DC-GAN mode; and the z of the first of them. In training mode."""
    if architecture_of(config).mode == "DC-GAN":
        return [networks.generator(prior, training=True)], prior
    z = reparameterized(*networks.encoder(images, training=True), reparameterization_noise)
    return [networks.generator(z, training=True), networks.generator(prior, training=True)], z


def reparameterized(mean: tf.Tensor, log_variance: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    return mean + tf.exp(0.5 * log_variance) * noise


def penalties(network: keras.Model, config: Config) -> tf.Tensor | float:
    return config.l2 * tf.add_n(network.losses) if config.l2 else 0.0


def train(config: Config, data: Data, run: TrainingRun) -> Networks:
    """Trains to the planned number of iterations, from wherever the run stands.

    Args:
        config: settings.
        data: a batch of training images or more, of the architecture's size.
        run: an open run folder.
    Returns:
        The trained networks.
    Raises:
        UserError: a batch larger than the data, a loss that is not finite, a damaged checkpoint, a full disk.
    """
    networks = build_networks(config)
    optimizer = build_optimizer(networks, config)
    run.track(networks=networks, optimizer=optimizer)

    architecture = architecture_of(config)
    # An epoch is counted in the whole data set, as the original counts its files, whatever is held out.
    iterations = batches.steps_per_epoch(data.number_of_images, config.batch_size)
    last = min(config.max_epochs * iterations, config.max_steps or sys.maxsize)
    for step in run.steps(last):
        key = latent_codes.key(config.seed, step)
        noise = sample_noise(config.batch_size, architecture.z_dim, architecture.mode, key)
        images = tf.constant(scale_to_symmetric(data.train_images[indices(step, config, len(data.train_images))]))

        scalars, histograms = train_step(networks, optimizer, images, noise, config)

        run.log(scalars)
        epoch, iteration = divmod(step, iterations)
        if iteration == 0 or step + 1 == last:
            for ending, picture in pictures.of_epoch(networks, config, data).items():
                image_grids.save(picture, run.folder / f"test-Ep{epoch:03d}-It{iteration:04d}{ending}.png")
                run.tensorboard_image("G" + ending, picture)
            run.tensorboard_histograms(histograms)
    return networks


def indices(step: int, config: Config, number_of_images: int) -> np.ndarray:
    """Which images each of an iteration's updates takes: int64 [UPDATES, batch]."""
    return np.stack(
        [
            batches.batch_indices(UPDATES * step + k, config.batch_size, number_of_images, config.seed)
            for k in range(UPDATES)
        ]
    )
