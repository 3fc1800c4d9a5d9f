"""One training step of image generation and translation, and the loop. Source: train_mnist.py of the original."""

import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from image_translation import evaluation, labelled_images, losses, pictures
from image_translation.config import DIGITS, Config
from image_translation.networks import Networks, build_networks, code_sizes, encoding
from shared import checkpoints, files, latent_codes
from shared.datasets import mnist
from shared.fused_layers import FusedAdam
from shared.latent_codes import Codes
from shared.training_run import TrainingRun

RATES_CHANGE_AT = (10_000, 20_000, 30_000, 40_000)
SHARES_OF_FIRST_RATE = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 10)
SETTLED_AFTER = 2000  # steps: before, the adversarial weight is still growing
IGNORED_ABOVE = 0.9  # of ln n
SATURATED = 0.01  # mean probability


class Optimizers(NamedTuple):
    """d trains the discriminator; g the generator and the encoder together."""

    d: keras.optimizers.Optimizer
    g: keras.optimizers.Optimizer


def g_variables(networks: Networks) -> list[keras.Variable]:
    """What the generator's update moves: the encoder too, its partner against the discriminator."""
    return networks.generator.trainable_variables + networks.encoder.trainable_variables


def learning_rate(first: float) -> keras.optimizers.schedules.LearningRateSchedule:
    """Falls in steps to a tenth; a function of the optimizer's own count, so a resumed run goes on."""
    # Keras changes the rate after its boundary; the count of the first update is 0.
    boundaries = [step - 1 for step in RATES_CHANGE_AT]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, [first * s for s in SHARES_OF_FIRST_RATE])


def adversarial_weight(step: int, config: Config) -> float:
    """Weight of the adversarial and the code losses at a step, counted from 0: supervised training comes first."""
    return min(step * config.adv_loss_increase, config.max_adv_loss)


def build_optimizers(networks: Networks, config: Config) -> Optimizers:
    """Two Adams, their slots made, so that a checkpoint can fill them."""
    d = FusedAdam(learning_rate(config.lr_d), beta_1=config.beta1_d, epsilon=1e-8)
    g = FusedAdam(learning_rate(config.lr_g), beta_1=config.beta1_g, epsilon=1e-8)
    d.build(networks.discriminator.trainable_variables)
    g.build(g_variables(networks))
    return Optimizers(d, g)


@tf.function
def train_step(
    networks: Networks, optimizers: Optimizers, images, labels, codes: Codes, key, weight: tf.Tensor, config: Config
):
    """One update of the discriminator and one of generator and encoder, both from one forward pass.

    Args:
        networks, optimizers: what is trained.
        images: float32 [batch, 28, 28, 1], in [0, 1].
        labels: float32 [batch, 10], one-hot; a row of zeros where the image has no label.
        codes: of the same batch size.
        key: int32 [2], for the noise in the discriminator.
        weight: float32 scalar, the adversarial weight of this step; a tensor, or each value would trace anew.
        config: settings.
    Returns:
        Scalars by name, as of before the updates.
    """
    code = latent_codes.concatenate(codes)
    with tf.GradientTape() as g_tape:
        generated = networks.generator(code, training=True)
        outputs = networks.encoder(images, training=True)
        encoded = latent_codes.concatenate(encoding(outputs))
        reconstructed = networks.generator(encoded, training=True)
        _, logits, mean = networks.encoder(generated, training=True)
        # A tape of its own that begins here: the discriminator's gradient ends at its inputs.
        with tf.GradientTape() as d_tape:
            # Each pass has noise of its own.
            d_real = networks.discriminator([images, encoded, tf.random.fold_in(key, 0)], training=True)
            d_fake = networks.discriminator([generated, code, tf.random.fold_in(key, 1)], training=True)
            d_loss = losses.adversarial_d_loss(d_real, d_fake)
        g_loss = losses.adversarial_g_loss(d_fake)
        e_loss = losses.adversarial_e_loss(d_real)
        categorical = losses.categorical_loss(logits, codes.categorical[0])
        continuous = losses.continuous_loss(mean, codes.continuous)
        reconstruction = losses.reconstruction_loss(images, reconstructed)
        supervised = losses.supervised_loss(outputs[1], labels)
        total_loss = (
            config.weight_recon_loss * reconstruction
            + weight * (categorical + continuous)
            + weight * (g_loss + e_loss)
            + config.sup_loss * supervised
        )

    # Both gradients before either update: the second is not to see what the first has changed.
    d_variables, ge_variables = networks.discriminator.trainable_variables, g_variables(networks)
    d_gradients = d_tape.gradient(d_loss, d_variables)
    g_gradients = g_tape.gradient(total_loss, ge_variables)
    optimizers.d.apply(d_gradients, d_variables)
    optimizers.g.apply(g_gradients, ge_variables)
    return {
        "d_loss": d_loss,
        "total_loss": total_loss,
        "g_loss": g_loss,
        "e_loss": e_loss,
        "d_real": tf.reduce_mean(tf.sigmoid(d_real)),
        "d_fake": tf.reduce_mean(tf.sigmoid(d_fake)),
        "reconstruction": reconstruction,
        "supervised": supervised,
        "labelled": tf.reduce_sum(labels),
        "adversarial_weight": weight,
        "cross_entropy_categorical": categorical,
        "cross_entropy_continuous": continuous,
    }


def train(config: Config, data: mnist.Mnist, run: TrainingRun, judge: keras.Model) -> Networks:
    """Trains to the planned number of steps, from wherever the run stands.

    Args:
        config: settings.
        data: a batch of unlabelled training images or more, and test images to measure on.
        run: an open run folder.
        judge: says which digit a generated image shows.
    Returns:
        The trained networks, as of the last step; those of the best generator accuracy are in best/.
    Raises:
        UserError: too few images of a digit, a batch larger than the data, a loss that is not finite, a damaged
            checkpoint, a full disk.
    """
    networks = build_networks(config)
    optimizers = build_optimizers(networks, config)
    best = tf.Variable(-1.0, dtype=tf.float64)  # generator accuracy; a variable, so that checkpoints keep it
    run.track(networks=networks, optimizers=optimizers, best=best)

    split = mnist.split(data, config.validation)
    images, digits = split.train_images, split.train_labels
    labelled = labelled_images.choose(digits, config.num_samples, config.seed)
    labelled_images.record(run.folder / "labelled_images.json", labelled, digits, config.validation)
    unlabelled = np.setdiff1d(np.arange(len(images)), labelled)
    last = min(config.max_iter, config.max_steps or sys.maxsize)
    for step in run.steps(last):
        key = latent_codes.key(config.seed, step)
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        indices, has_label = labelled_images.batch_of_step(step, labelled, unlabelled, config)
        batch = tf.constant(mnist.scale_to_unit(images[indices]))
        labels = tf.one_hot(digits[indices], DIGITS) * has_label[:, np.newaxis]
        weight = tf.constant(adversarial_weight(step, config))

        scalars = train_step(networks, optimizers, batch, labels, codes, key, weight, config)

        if logged := run.log(scalars):
            warn(logged, step, run)
        # Where --max_steps cuts a run short, it is shown but not chosen: the unbroken run does not look there.
        choosing = (step + 1) % config.picture_every == 0 or step + 1 == config.max_iter
        if choosing or step + 1 == last:
            numbers = evaluation.evaluate(networks, config, data, judge)
            append_info(run.folder / "info.txt", step + 1, numbers, scalars)
            if choosing and numbers["generator_accuracy"] > best.numpy():
                best.assign(numbers["generator_accuracy"])
                checkpoints.save(run.folder / "best", step + 1, keep=1, networks=networks)
            known = evaluation.encoder_accuracy(networks, images[labelled], digits[labelled])
            run.tensorboard_scalars(scalars_of_the_original(scalars) | {"E_sup_acc": known})
            for name, picture in pictures.of_step(networks, config, batch).items():
                run.tensorboard_image(name, picture)
    return networks


def append_info(path: Path, step: int, numbers: dict, scalars: dict[str, tf.Tensor]) -> None:
    """Adds an evaluation's line to info.txt.

    Lines of this step or a later one are of a session that was broken off before its checkpoint: they go.
    """
    accuracies = ", ".join(f"{name} accuracy {numbers[f'{name}_accuracy']:.2%}" for name in evaluation.MEASURED)
    shown = ", ".join(f"{name} {float(value):.4f}" for name, value in scalars.items())
    lines = path.read_text().splitlines() if path.exists() else []
    before = [line for line in lines if (found := re.match(r"Iteration (\d+):", line)) and int(found[1]) < step]
    files.write_text(path, "\n".join([*before, f"Iteration {step}: {accuracies}; {shown}"]) + "\n")


def scalars_of_the_original(scalars: dict[str, tf.Tensor]) -> dict[str, float]:
    """What the original shows in TensorBoard, under its names; D's accuracies are mean probabilities.

    G_E_loss is the adversarial part alone of what generator and encoder minimise.
    """
    named = {
        "D_loss": scalars["d_loss"],
        "G_E_loss": scalars["g_loss"] + scalars["e_loss"],
        "G_loss": scalars["g_loss"],
        "E_loss": scalars["e_loss"],
        "D_data_acc": scalars["d_real"],
        "D_gen_acc": 1 - scalars["d_fake"],
        "cross_entropy_cont": scalars["cross_entropy_continuous"],
        "cross_entropy_discr": scalars["cross_entropy_categorical"],
    }
    return {name: float(value) for name, value in named.items()}


def warn(logged: dict[str, float], step: int, run: TrainingRun) -> None:
    """Says so when the game is being lost: a code that the generator ignores, or a discriminator that always wins."""
    if step < SETTLED_AFTER:
        return
    loss, ceiling = logged["cross_entropy_categorical"], math.log(DIGITS)
    if loss > IGNORED_ABOVE * ceiling:
        run.say(f"warning: the categorical code is ignored: cross-entropy {loss:.3f}, ln n {ceiling:.3f}")
    if logged["d_real"] > 1 - SATURATED and logged["d_fake"] < SATURATED:
        run.say("warning: the discriminator is saturated: it tells every real pair from every generated one")
