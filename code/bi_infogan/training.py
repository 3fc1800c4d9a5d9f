"""One training step of Bidirectional InfoGAN, and the loop. Source: train_mnist.py of the original."""

import math
import sys
from typing import NamedTuple

import keras
import tensorflow as tf

from bi_infogan import losses, pictures
from bi_infogan.config import Config
from bi_infogan.networks import Networks, build_networks, code_sizes, encoding
from shared import image_grids, latent_codes
from shared.datasets import batches, mnist
from shared.fused_layers import FusedAdam
from shared.latent_codes import Codes
from shared.training_run import TrainingRun

SETTLED_AFTER = 500  # steps: before, every code is ignored and nothing follows from it
IGNORED_ABOVE = 0.9  # of ln n
SATURATED = 0.01  # mean probability


class Optimizers(NamedTuple):
    """d trains the discriminator; g the generator and the encoder together."""

    d: keras.optimizers.Optimizer
    g: keras.optimizers.Optimizer


def g_variables(networks: Networks) -> list[keras.Variable]:
    """What the generator's update moves: the encoder too, its partner against the discriminator."""
    return networks.generator.trainable_variables + networks.encoder.trainable_variables


def learning_rate(first: float, config: Config) -> keras.optimizers.schedules.LearningRateSchedule:
    """Falls as a square root to first / lr_red; a function of the optimizer's own count, so a resumed run goes on."""
    return keras.optimizers.schedules.PolynomialDecay(first, config.iterations, first / config.lr_red, power=0.5)


def build_optimizers(networks: Networks, config: Config) -> Optimizers:
    """Two Adams, their slots made, so that a checkpoint can fill them."""
    d = FusedAdam(learning_rate(config.lr_d, config), beta_1=config.beta1_d, epsilon=1e-8)
    g = FusedAdam(learning_rate(config.lr_g, config), beta_1=config.beta1_g, epsilon=1e-8)
    d.build(networks.discriminator.trainable_variables)
    g.build(g_variables(networks))
    return Optimizers(d, g)


@tf.function
def train_step(networks: Networks, optimizers: Optimizers, images, codes: Codes, key, config: Config):
    """One update of the discriminator and one of generator and encoder, both from one forward pass.

    Args:
        networks, optimizers: what is trained.
        images: float32 [batch, 28, 28, 1], in [0, 1].
        codes: of the same batch size.
        key: int32 [2], for the noise in the discriminator.
        config: settings.
    Returns:
        Scalars by name, as of before the updates.
    """
    code = latent_codes.concatenate(codes)
    with tf.GradientTape() as g_tape:
        generated = networks.generator(code, training=True)
        encoded = latent_codes.concatenate(encoding(networks.encoder(images, training=True)))
        _, logits, mean = networks.encoder(generated, training=True)
        # A tape of its own that begins here: the discriminator's gradient ends at its inputs.
        with tf.GradientTape() as d_tape:
            # Each pass has noise of its own.
            d_real = networks.discriminator([images, encoded, tf.random.fold_in(key, 0)], training=True)
            d_fake = networks.discriminator([generated, code, tf.random.fold_in(key, 1)], training=True)
            d_loss = losses.adversarial_d_loss(d_real, d_fake)
        categorical = losses.categorical_losses(logits, codes.categorical)
        continuous = losses.continuous_loss(mean, codes.continuous)
        g_loss = losses.adversarial_g_loss(d_real, d_fake) + sum(categorical) + continuous

    # Both gradients before either update: the second is not to see what the first has changed.
    d_variables, ge_variables = networks.discriminator.trainable_variables, g_variables(networks)
    d_gradients = d_tape.gradient(d_loss, d_variables)
    g_gradients = g_tape.gradient(g_loss, ge_variables)
    optimizers.d.apply(d_gradients, d_variables)
    optimizers.g.apply(g_gradients, ge_variables)
    ceiling = math.fsum(math.log(classes) for classes in config.categorical_sizes)
    return {
        "d_loss": d_loss,
        "g_loss": g_loss,
        "d_real": tf.reduce_mean(tf.sigmoid(d_real)),
        "d_fake": tf.reduce_mean(tf.sigmoid(d_fake)),
        "mutual_information_bound": ceiling - sum(categorical),
        "mutual_information_ceiling": tf.constant(ceiling),
        "cross_entropy_continuous": continuous,
    } | {f"cross_entropy_categorical_{k}": loss for k, loss in enumerate(categorical)}


def train(config: Config, data: mnist.Split, run: TrainingRun) -> Networks:
    """Trains to the planned number of steps, from wherever the run stands.

    Args:
        config: settings.
        data: a batch of training images or more; validation images, which samples are picked from, may be none.
        run: an open run folder.
    Returns:
        The trained networks.
    Raises:
        UserError: a batch larger than the data, a loss that is not finite, a damaged checkpoint, a full disk.
    """
    networks = build_networks(config)
    optimizers = build_optimizers(networks, config)
    run.track(networks=networks, optimizers=optimizers)

    images = data.train_images
    last = min(config.iterations, config.max_steps or sys.maxsize)
    for step in run.steps(last):
        key = latent_codes.key(config.seed, step)
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        batch = images[batches.batch_indices(step, config.batch_size, len(images), config.seed)]
        batch = tf.constant(mnist.scale_to_unit(batch))

        scalars = train_step(networks, optimizers, batch, codes, key, config)

        if logged := run.log(scalars):
            warn(logged, step, config, run)
        if (step + 1) % config.picture_every == 0 or step + 1 == last:
            run.tensorboard_scalars(scalars_of_the_original(scalars))
            for name, picture in pictures.of_step(networks, config, batch).items():
                run.tensorboard_image(name, picture)
            for name, picture in pictures.samples(networks, config, data.validation_images, step + 1).items():
                image_grids.save(picture, run.folder / f"{name}.png")
    return networks


def scalars_of_the_original(scalars: dict[str, tf.Tensor]) -> dict[str, float]:
    """What the original shows in TensorBoard, under its names; its accuracies are mean probabilities."""
    categorical = [loss for name, loss in scalars.items() if name.startswith("cross_entropy_categorical_")]
    named = {
        "D_loss": scalars["d_loss"],
        "G_loss": scalars["g_loss"],
        "D_data_accuracy": scalars["d_real"],
        "D_fake_accuracy": 1 - scalars["d_fake"],
        "c_gen_cont": scalars["cross_entropy_continuous"],
        "c_gen_cat": sum(categorical),
    }
    return {name: float(value) for name, value in named.items()}


def warn(logged: dict[str, float], step: int, config: Config, run: TrainingRun) -> None:
    """Says so when the game is being lost: a code that the generator ignores, or a discriminator that always wins."""
    if step < SETTLED_AFTER:
        return
    for k, classes in enumerate(config.categorical_sizes):
        loss = logged[f"cross_entropy_categorical_{k}"]
        if loss > IGNORED_ABOVE * math.log(classes):
            run.say(f"warning: categorical code {k} is ignored: cross-entropy {loss:.3f}, ln n {math.log(classes):.3f}")
    if logged["d_real"] > 1 - SATURATED and logged["d_fake"] < SATURATED:
        run.say("warning: the discriminator is saturated: it tells every real pair from every generated one")
