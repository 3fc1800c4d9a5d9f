"""Trainings as programs: of each system, what a step takes and what it does, as its train() has them.

The data are given as a whole and stay on the device, and a step is told which images it takes.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from shared import latent_codes
from shared.datasets import batches, mnist, sprites
from shared.flags import ConfigT, RunFlags, require


class Program(NamedTuple):
    """A training that is ready to begin."""

    config: RunFlags
    data_set: str
    data_sha256: str
    steps: int
    networks: tuple[keras.Model, ...]  # those whose weights are published, or that evaluation takes
    trained: tuple  # networks and optimizers, all whose variables a step reads or changes
    data: list[np.ndarray]  # what steps take their batches from, uint8
    batch: Callable[[int], list[np.ndarray]]  # of a step, counted from 0; of the same shapes at each
    step: Callable[[list, list, tf.Tensor], dict[str, tf.Tensor]]  # (data, batch, key) -> scalars; to be traced


def configured(presets: Mapping[str, ConfigT], settings: dict) -> ConfigT:
    """The preset with these settings.

    Raises:
        UserError: there is no such preset, a setting is not one of the system's, or a value is out of range.
    """
    preset = settings.pop("preset", "default")
    require(preset in presets, f"--preset: expected {' or '.join(presets)}")
    config = presets[preset]
    unknown = sorted(settings.keys() - {field.name for field in dataclasses.fields(config)})
    require(not unknown, f"this system has no --{' and no --'.join(unknown)}")
    config = dataclasses.replace(config, **settings)
    config.check()
    return config


def in_epochs(images, config) -> Callable[[int], list[np.ndarray]]:
    """`Program.batch` of a training that goes through its images epoch by epoch."""
    return lambda step: [batches.batch_indices(step, config.batch_size, len(images), config.seed).astype(np.uint32)]


def taken(images, chosen):
    """The chosen images as float32 [..., height, width, channels], 0 to 255."""
    images = tf.cast(tf.gather(images, tf.cast(chosen, tf.int32)), tf.float32)
    return images if images.shape.rank > 3 else images[..., tf.newaxis]


def unit(images, chosen):
    """The chosen images in [0, 1]: the data sets' scale_to_unit."""
    return taken(images, chosen) / tf.constant(255, tf.float32)


def symmetric(images, chosen):
    """The chosen images in [-1, 1]: the data sets' scale_to_symmetric."""
    return taken(images, chosen) / tf.constant(127.5) - 1


def bi_infogan(**settings) -> Program:
    from bi_infogan import training
    from bi_infogan.config import PRESETS
    from bi_infogan.networks import build_networks, code_sizes

    config = configured(PRESETS, settings)
    found = mnist.load(config.data_dir, unverified=config.unverified_data)
    images = mnist.split(found, config.validation).train_images
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config)

    def step(data, batch, key):
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        return training.train_step(networks, optimizers, unit(data[0], batch[0]), codes, key, config)

    steps = min(config.iterations, config.max_steps or config.iterations)
    trained = (*networks, *optimizers)
    return Program(
        config, "mnist", found.sha256, steps, networks[:2], trained, [images], in_epochs(images, config), step
    )


def cycle_vae(**settings) -> Program:
    from cycle_vae import pairs, training
    from cycle_vae.config import PRESETS
    from cycle_vae.networks import build_networks

    config = configured(PRESETS, settings)
    if config.data_set == "sprites":
        found = sprites.load(config.data_dir, unverified=config.unverified_data)
        paired = pairs.of_sprites(found, sprites.split(len(found.characters))[0], config.seed)
    else:
        found = mnist.load(config.data_dir, unverified=config.unverified_data)
        paired = pairs.of_mnist(found)
    steps_per_epoch = pairs.steps_per_epoch(paired, config.batch_size)
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config, steps_per_epoch)

    def batch(step):
        return [rows.astype(np.uint32) for rows in pairs.indices(paired, step, config.batch_size, config.seed)]

    def step(data, batch, key):
        images = pairs.Batch(*(unit(data[0], rows) for rows in batch))
        return training.train_step(networks, optimizers, images, training.draw_noise(config, key), config)

    planned = config.max_epochs * steps_per_epoch
    steps = min(planned, config.max_steps or planned)
    trained = (*networks, *optimizers)
    return Program(config, config.data_set, found.sha256, steps, tuple(networks), trained, [paired.images], batch, step)


def image_translation(**settings) -> Program:
    from image_translation import labelled_images, training
    from image_translation.config import DIGITS, PRESETS
    from image_translation.networks import build_networks, code_sizes

    config = configured(PRESETS, settings)
    found = mnist.load(config.data_dir, unverified=config.unverified_data)
    split = mnist.split(found, config.validation)
    images, digits = split.train_images, split.train_labels
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config)
    labelled = labelled_images.choose(digits, config.num_samples, config.seed)
    unlabelled = np.setdiff1d(np.arange(len(images)), labelled)

    def batch(step):
        indices, has_label = labelled_images.batch_of_step(step, labelled, unlabelled, config)
        label = np.where(has_label, digits[indices], DIGITS)  # without one: a number that has a one-hot of zeros
        weight = np.float32(training.adversarial_weight(step, config))
        return [indices.astype(np.uint32), label.astype(np.uint8), weight]

    def step(data, batch, key):
        indices, label, weight = batch
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        images, labels = unit(data[0], indices), tf.one_hot(tf.cast(label, tf.int32), DIGITS)
        return training.train_step(networks, optimizers, images, labels, codes, key, weight, config)

    steps = min(config.max_iter, config.max_steps or config.max_iter)
    trained = (*networks, *optimizers)
    return Program(config, "mnist", found.sha256, steps, networks[:2], trained, [images], batch, step)


def infogan(**settings) -> Program:
    from infogan import training
    from infogan.config import PRESETS
    from infogan.networks import build_networks, code_sizes

    config = configured(PRESETS, settings)
    found = mnist.load(config.data_dir, unverified=config.unverified_data)
    images = found.train_images
    networks = build_networks(config)
    optimizers = training.build_optimizers(networks, config)

    def step(data, batch, key):
        codes = latent_codes.sample(code_sizes(config), config.batch_size, key)
        return training.train_step(networks, optimizers, symmetric(data[0], batch[0]), codes, key, config)

    planned = config.max_epochs * batches.steps_per_epoch(len(images), config.batch_size)
    steps = min(planned, config.max_steps or planned)
    trained = (*networks, *optimizers)
    return Program(
        config, "mnist", found.sha256, steps, tuple(networks), trained, [images], in_epochs(images, config), step
    )


def vae_gan(**settings) -> Program:
    from vae_gan import data as datasets
    from vae_gan import training
    from vae_gan.config import PRESETS, architecture_of, with_architecture
    from vae_gan.networks import build_networks

    config = with_architecture(configured(PRESETS, settings))
    architecture = architecture_of(config)
    found = datasets.load("cns", config)
    images = found.train_images
    networks = build_networks(config)
    optimizer = training.build_optimizer(networks, config)

    def batch(step):
        return [training.indices(step, config, len(images)).astype(np.uint32)]

    def step(data, batch, key):
        noise = training.sample_noise(config.batch_size, architecture.z_dim, architecture.mode, key)
        scalars, _ = training.train_step(networks, optimizer, symmetric(data[0], batch[0]), noise, config)
        return scalars

    planned = config.max_epochs * batches.steps_per_epoch(found.number_of_images, config.batch_size)
    steps = min(planned, config.max_steps or planned)
    trained = (*networks, optimizer)
    return Program(config, "cns", found.sha256, steps, tuple(networks), trained, [images], batch, step)


PROGRAMS = {function.__name__: function for function in (bi_infogan, cycle_vae, image_translation, infogan, vae_gan)}
