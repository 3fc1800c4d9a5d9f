"""One training step of the cycle-consistent VAE, and the loop.

Source: train_512_64_in.py of the sprites program, training.py of the MNIST program.
"""

import sys
from typing import NamedTuple

import keras
import tensorflow as tf

from cycle_vae import losses, pairs, pictures
from cycle_vae.config import Config
from cycle_vae.networks import Networks, build_networks
from cycle_vae.pairs import Batch, PairedImages
from shared import image_grids, latent_codes
from shared.fused_layers import FusedAdam
from shared.training_run import TrainingRun

CURVES = ("kl_divergence_error", "reconstruction_error", "reverse_cycle_loss")


class Optimizers(NamedTuple):
    """auto_encoder trains both networks in the forward cycle; reverse_cycle the encoder alone in the reverse one."""

    auto_encoder: keras.optimizers.Optimizer
    reverse_cycle: keras.optimizers.Optimizer


class Noise(NamedTuple):
    """The random numbers of a step, float32 [batch, style_dim] each, ~ N(0, 1).

    noise_1 and noise_2 make the z of the pair; reverse_z is the z of the reverse cycle.
    """

    noise_1: tf.Tensor
    noise_2: tf.Tensor
    reverse_z: tf.Tensor


def both_networks(networks: Networks) -> list[keras.Variable]:
    """What the forward cycle moves."""
    return networks.encoder.trainable_variables + networks.decoder.trainable_variables


def build_optimizers(networks: Networks, config: Config, steps_per_epoch: int) -> Optimizers:
    """Two Adams, their slots made, so that a checkpoint can fill them.

    The learning rate is a function of the optimizer's own count, so a resumed run goes on with it.
    """
    rate = config.initial_learning_rate
    if config.step_size:
        rate = keras.optimizers.schedules.ExponentialDecay(
            rate, decay_steps=config.step_size * steps_per_epoch, decay_rate=0.1, staircase=True
        )
    auto_encoder, reverse_cycle = (
        FusedAdam(rate, beta_1=config.beta_1, beta_2=config.beta_2, epsilon=1e-8) for _ in Optimizers._fields
    )
    auto_encoder.build(both_networks(networks))
    reverse_cycle.build(networks.encoder.trainable_variables)
    return Optimizers(auto_encoder, reverse_cycle)


@tf.function
def draw_noise(config: Config, key) -> Noise:
    """The noise of a step, of its key, int32 [2]."""
    shape = [config.batch_size, config.style_dim]
    return Noise(*(tf.random.stateless_normal(shape, tf.random.fold_in(key, number)) for number in range(3)))


def sample_z(mean: tf.Tensor, log_variance: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """A z ~ N(mean, variance), made of noise ~ N(0, 1) so that gradients pass; [batch, style_dim] each."""
    return mean + tf.exp(0.5 * log_variance) * noise


@tf.function
def train_step(networks: Networks, optimizers: Optimizers, batch: Batch, noise: Noise, config: Config):
    """One update of both networks in the forward cycle, then one of the encoder in the reverse cycle.

    Args:
        networks, optimizers: what is trained.
        batch: images [batch, size, size, channels], in [0, 1].
        noise: of the same batch size.
        config: settings.
    Returns:
        Scalars by name, without the losses' weights; the reverse cycle's as of after the first update.
    """
    encoder, decoder = networks
    values_in_image = config.image_size**2 * config.num_channels
    with tf.GradientTape() as tape:
        mean_1, log_variance_1, s_1 = encoder(batch.image_1, training=True)
        mean_2, log_variance_2, s_2 = encoder(batch.image_2, training=True)
        # Each image is decoded from its own z and the s of the other: s can hold only what the two have in common.
        decoded_1 = decoder([sample_z(mean_1, log_variance_1, noise.noise_1), s_2], training=True)
        decoded_2 = decoder([sample_z(mean_2, log_variance_2, noise.noise_2), s_1], training=True)
        reconstruction = losses.reconstruction_error(decoded_1, batch.image_1)
        reconstruction += losses.reconstruction_error(decoded_2, batch.image_2)
        kl_divergence = losses.kl_divergence(mean_1, log_variance_1, values_in_image)
        kl_divergence += losses.kl_divergence(mean_2, log_variance_2, values_in_image)
        loss = config.reconstruction_coef * reconstruction + config.kl_divergence_coef * kl_divergence
    variables = both_networks(networks)
    optimizers.auto_encoder.apply(tape.gradient(loss, variables), variables)

    with tf.GradientTape() as tape:
        _, _, s_1 = encoder(batch.reverse_image_1, training=True)
        _, _, s_2 = encoder(batch.reverse_image_2, training=True)
        if config.data_set == "mnist":  # the MNIST program stops the gradient here, the sprites program does not
            s_1, s_2 = tf.stop_gradient(s_1), tf.stop_gradient(s_2)
        decoded_1 = decoder([noise.reverse_z, s_1], training=True)
        decoded_2 = decoder([noise.reverse_z, s_2], training=True)
        # One z, two identities: what is read back is to be the same, so z learns to leave identity out.
        mean_1, _, _ = encoder(decoded_1, training=True)
        mean_2, _, _ = encoder(decoded_2, training=True)
        reverse_cycle = losses.reverse_cycle_loss(mean_1, mean_2)
        loss = config.reverse_cycle_coef * reverse_cycle
    variables = encoder.trainable_variables
    # The log variance takes no part, nor does a detached s: they have no gradient, and stay as they are.
    moved = [(g, v) for g, v in zip(tape.gradient(loss, variables), variables) if g is not None]
    optimizers.reverse_cycle.apply(*zip(*moved))
    return dict(zip(CURVES, (kl_divergence, reconstruction, reverse_cycle)))


def train(config: Config, data: PairedImages, run: TrainingRun) -> Networks:
    """Trains to the planned number of steps, from wherever the run stands.

    Args:
        config: settings.
        data: a batch of pairs or more, of images of config.image_size.
        run: an open run folder.
    Returns:
        The trained networks.
    Raises:
        UserError: a batch larger than the data, a loss that is not finite, a damaged checkpoint, a full disk.
    """
    steps_per_epoch = pairs.steps_per_epoch(data, config.batch_size)
    networks = build_networks(config)
    optimizers = build_optimizers(networks, config, steps_per_epoch)
    # Each epoch's means; a checkpoint keeps them, which may be of a run that was to end sooner.
    curves = tf.Variable(tf.zeros([config.max_epochs, len(CURVES)]), shape=[None, len(CURVES)])
    run.track(networks=networks, optimizers=optimizers, curves=curves)
    curves.assign(tf.pad(curves, [[0, max(0, config.max_epochs - len(curves.numpy()))], [0, 0]]))

    last = min(config.max_epochs * steps_per_epoch, config.max_steps or sys.maxsize)
    for step in run.steps(last):
        epoch = step // steps_per_epoch
        batch = Batch(*map(tf.constant, pairs.batch(data, step, config.batch_size, config.seed)))
        noise = draw_noise(config, latent_codes.key(config.seed, step))

        scalars = train_step(networks, optimizers, batch, noise, config)

        add_to_curves(curves, tf.constant(epoch), scalars, steps_per_epoch)  # a number would be traced anew
        run.log(scalars)
        if (step + 1) % steps_per_epoch == 0:
            run.tensorboard_scalars({f"epoch/{name}": mean for name, mean in zip(CURVES, curves[epoch].numpy())})
            image_grids.save(pictures.loss_plot(curves[: epoch + 1].numpy(), CURVES), run.folder / "loss_plot.png")
        if pictures_are_due(step, last, steps_per_epoch, config):
            for name, picture in pictures.grids(networks, config, data).items():
                run.tensorboard_image(name, picture)
                image_grids.save(picture, run.folder / "reconstructed_images" / f"{epoch}_{name}.png")
    return networks


@tf.function
def add_to_curves(curves: tf.Variable, epoch, scalars: dict[str, tf.Tensor], steps_per_epoch) -> None:
    """Adds a step's share to its epoch's mean of each loss."""
    values = tf.stack([scalars[name] for name in CURVES])
    curves.scatter_nd_add([[epoch]], [values / tf.cast(steps_per_epoch, tf.float32)])


def pictures_are_due(step: int, last: int, steps_per_epoch: int, config: Config) -> bool:
    """Whether this step is the end of the training, or of an epoch 0, 10, 20, ..."""
    epoch, step_in_epoch = divmod(step + 1, steps_per_epoch)
    return step + 1 == last or (step_in_epoch == 0 and (epoch - 1) % config.picture_every == 0)
