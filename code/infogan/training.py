"""One training step of InfoGAN, and the loop. Source: src/nets/infogan.py of tf-gans (train_epoch)."""

import math
import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from infogan import losses, pictures
from infogan.config import Config
from infogan.networks import Networks, build_networks, code_sizes
from shared import image_grids, latent_codes
from shared.datasets import batches, mnist
from shared.fused_layers import FusedAdam
from shared.latent_codes import Codes
from shared.training_run import TrainingRun

SETTLED_AFTER = 500  # steps: before, every code is ignored and nothing follows from it
IGNORED_ABOVE = 0.9  # of ln n
SATURATED = 0.01  # mean probability


class Optimizers(NamedTuple):
    """d trains the discriminator and the recognition network together; g the generator."""

    d: keras.optimizers.Optimizer
    g: keras.optimizers.Optimizer


def d_variables(networks: Networks) -> list[keras.Variable]:
    """What the discriminator's update moves: trunk, real/fake output, and Q, whose trunk it is."""
    return networks.discriminator.trainable_variables + networks.recognition.trainable_variables


def build_optimizers(networks: Networks, config: Config) -> Optimizers:
    """Two Adams, their slots made, so that a checkpoint can fill them."""
    clip_norm = config.clip_norm or None
    d = FusedAdam(config.lr_d, beta_1=0.5, epsilon=1e-8, global_clipnorm=clip_norm)
    g = FusedAdam(config.lr_g, beta_1=0.5, epsilon=1e-8, global_clipnorm=clip_norm)
    d.build(d_variables(networks))
    g.build(networks.generator.trainable_variables)
    return Optimizers(d, g)


def q_losses(networks: Networks, features: tf.Tensor, codes: Codes) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Cross-entropy of each categorical code, and that of the continuous codes together."""
    logits, mean, deviation = networks.recognition(features, training=True)
    categorical = losses.categorical_losses(logits, codes.categorical)
    return categorical, losses.continuous_loss(mean, deviation, codes.continuous)


def mutual_information_bound(categorical: list[tf.Tensor], continuous: tf.Tensor, config: Config) -> tf.Tensor:
    """L_I = H(c) - Q loss, in nats."""
    entropy = losses.code_entropy(config.categorical_sizes, config.num_continuous)
    return entropy - sum(categorical) - config.continuous_weight * continuous


def d_step(networks: Networks, optimizers: Optimizers, images, codes: Codes, key, config: Config):
    """One update of the discriminator and of Q, which learns from generated images only."""
    generated = networks.generator([latent_codes.concatenate(codes), key], training=True)
    with tf.GradientTape() as tape:
        real_logit, _ = networks.discriminator(images, training=True)
        fake_logit, fake_features = networks.discriminator(generated, training=True)
        gan_loss = losses.adversarial_d_loss(real_logit, fake_logit)
        bound = mutual_information_bound(*q_losses(networks, fake_features, codes), config)
        loss = gan_loss - config.w_mutual * bound
    variables = d_variables(networks)
    optimizers.d.apply(tape.gradient(loss, variables), variables)
    return {
        "d_loss": gan_loss,
        "LI_D": bound,
        "d_real": tf.reduce_mean(tf.sigmoid(real_logit)),
        "d_fake": tf.reduce_mean(tf.sigmoid(fake_logit)),
    }


def g_step(networks: Networks, optimizers: Optimizers, codes: Codes, key, config: Config):
    """One update of the generator, through the discriminator and Q."""
    with tf.GradientTape() as tape:
        generated = networks.generator([latent_codes.concatenate(codes), key], training=True)
        fake_logit, fake_features = networks.discriminator(generated, training=True)
        gan_loss = losses.adversarial_g_loss(fake_logit)
        categorical, continuous = q_losses(networks, fake_features, codes)
        bound = mutual_information_bound(categorical, continuous, config)
        loss = gan_loss - config.w_mutual * bound
    variables = networks.generator.trainable_variables
    optimizers.g.apply(tape.gradient(loss, variables), variables)
    return {
        "g_loss": gan_loss,
        "LI_G": bound,
        "mutual_information_bound": losses.code_entropy(config.categorical_sizes, 0) - sum(categorical),
        "mutual_information_ceiling": tf.constant(losses.code_entropy(config.categorical_sizes, 0)),
        "cross_entropy_continuous": continuous,
    } | {f"cross_entropy_categorical_{k}": loss for k, loss in enumerate(categorical)}


@tf.function
def train_step(networks: Networks, optimizers: Optimizers, images, codes: Codes, key, config: Config):
    """`nd` discriminator updates, then `ng` generator updates, all on the codes of this step.

    Args:
        networks, optimizers: what is trained.
        images: float32 [batch, size, size, channels], in [-1, 1].
        codes: of the same batch size.
        key: int32 [2], for the noise inside the networks.
        config: settings.
    Returns:
        Scalars by name, as the last update of each network saw them.
    """
    scalars = {}
    for update in range(config.nd):
        update_key = tf.random.fold_in(key, update)
        scalars |= d_step(networks, optimizers, images, codes, update_key, config)
    for update in range(config.ng):
        update_key = tf.random.fold_in(key, config.nd + update)
        scalars |= g_step(networks, optimizers, codes, update_key, config)
    return scalars


def train(config: Config, images: np.ndarray, run: TrainingRun) -> Networks:
    """Trains to the planned number of steps, from wherever the run stands.

    Args:
        config: settings.
        images: uint8 [number, size, size], a batch or more.
        run: an open run folder.
    Returns:
        The trained networks.
    Raises:
        UserError: a batch larger than the data, a loss that is not finite, a damaged checkpoint, a full disk.
    """
    networks = build_networks(config)
    optimizers = build_optimizers(networks, config)
    run.track(networks=networks, optimizers=optimizers)

    steps_per_epoch = batches.steps_per_epoch(len(images), config.batch_size)
    last = min(config.max_epochs * steps_per_epoch, config.max_steps or sys.maxsize)
    for step in run.steps(last):
        key = latent_codes.key(config.seed, step)
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        batch = images[batches.batch_indices(step, config.batch_size, len(images), config.seed)]
        batch = tf.constant(mnist.scale_to_symmetric(batch))

        scalars = train_step(networks, optimizers, batch, codes, key, config)

        if logged := run.log(scalars):
            warn(logged, step, config, run)
            shown = range(min(10, config.batch_size))
            run.tensorboard_image("real", image_grids.tile((batch[:10].numpy() + 1) / 2, columns=10))
            run.tensorboard_image("generated", pictures.grid(networks, latent_codes.take(codes, shown), columns=10))
        epoch, steps_into_epoch = divmod(step, steps_per_epoch)
        if steps_into_epoch + 1 == steps_per_epoch or step + 1 == last:
            for name, picture in pictures.of_epoch(networks, config).items():
                run.picture(f"{name}_{epoch + 1}", picture)
    return networks


def warn(logged: dict[str, float], step: int, config: Config, run: TrainingRun) -> None:
    """Says so when the game is being lost: a code that the generator ignores, or a discriminator that always wins."""
    if step < SETTLED_AFTER:
        return
    for k, classes in enumerate(config.categorical_sizes):
        loss = logged[f"cross_entropy_categorical_{k}"]
        if loss > IGNORED_ABOVE * math.log(classes):
            run.say(f"warning: categorical code {k} is ignored: cross-entropy {loss:.3f}, ln n {math.log(classes):.3f}")
    if logged["d_real"] > 1 - SATURATED and logged["d_fake"] < SATURATED:
        run.say("warning: the discriminator is saturated: it tells every real image from every generated one")
