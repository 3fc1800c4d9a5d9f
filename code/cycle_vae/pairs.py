"""Which images make pairs of one identity, and which pairs a step trains on: functions of the seed and the step."""

from typing import NamedTuple

import numpy as np

from shared.datasets import batches
from shared.datasets.mnist import Mnist
from shared.datasets.sprites import Sprites

BATCHES_A_STEP = 3  # one of pairs, two of single images


class PairedImages(NamedTuple):
    """Images and their pairs.

    Attributes:
        images: uint8 [number, height, width, channels]; may be memory-mapped.
        identities: int [number].
        fixed: int [pairs, 2], the images of each pair; None: a pair is an image and any other of its identity.
        members: of each identity the images, in order; empty where the pairs are fixed.
    """

    images: np.ndarray
    identities: np.ndarray
    fixed: np.ndarray | None
    members: tuple[np.ndarray, ...] = ()

    @property
    def number(self) -> int:
        """How many pairs there are."""
        return len(self.images if self.fixed is None else self.fixed)


class Batch(NamedTuple):
    """What a step trains on, float32 [batch, height, width, channels] each, in [0, 1]; 1 and 2 are of one identity."""

    image_1: np.ndarray
    image_2: np.ndarray
    reverse_image_1: np.ndarray
    reverse_image_2: np.ndarray


def of_sprites(data: Sprites, characters: np.ndarray, seed: int) -> PairedImages:
    """Every frame of the characters in one pair with another frame of the same character, once and for all.

    An odd frame out is left out.

    Source: data_split_and_pair.ipynb of the sprites program.
    """
    number_of_frames = data.frames.shape[1]
    generator = np.random.default_rng(seed)
    orders = [character * number_of_frames + generator.permutation(number_of_frames) for character in characters]
    fixed = np.concatenate([order[: number_of_frames // 2 * 2].reshape(-1, 2) for order in orders])
    images = data.frames.reshape(-1, *data.frames.shape[2:])  # a view: nothing is read yet
    return PairedImages(images, np.repeat(np.arange(len(data.frames)), number_of_frames), fixed)


def of_mnist(data: Mnist) -> PairedImages:
    """The training images; a pair is an image and another of its digit, drawn anew each time.

    Source: data_loader.py of the MNIST program.
    """
    labels = data.train_labels
    members = tuple(np.flatnonzero(labels == digit) for digit in range(int(labels.max()) + 1))
    return PairedImages(data.train_images[..., np.newaxis], labels, None, members)


def steps_per_epoch(paired: PairedImages, batch_size: int) -> int:
    """Whole batches of pairs. An epoch takes three times as many batches, and so goes through the data three times.

    Raises:
        UserError: the batch is larger than the data.
    """
    return batches.steps_per_epoch(paired.number, batch_size)


def batch(paired: PairedImages, step: int, batch_size: int, seed: int) -> Batch:
    """The images of a step, counted from 0 over the whole run."""
    return Batch(*(scale_to_unit(paired.images[rows]) for rows in indices(paired, step, batch_size, seed)))


def indices(paired: PairedImages, step: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Numbers of the images that `batch` takes at a step, in the order of `Batch`: int64 [batch] each.

    Differs: each pass through the data has an order of its own, where the originals' itertools.cycle repeats the
    batches of the first pass, and on MNIST its partners, to the end of the training.
    """
    numbers = range(BATCHES_A_STEP * step, BATCHES_A_STEP * (step + 1))
    rows = [batches.batch_indices(number, batch_size, paired.number, seed) for number in numbers]
    if paired.fixed is None:
        first, second = rows, partners(paired, rows[0], seed, step)
    else:
        first, second = [paired.fixed[row, 0] for row in rows], paired.fixed[rows[0], 1]
    return [first[0], second, *first[1:]]


def partners(paired: PairedImages, chosen: np.ndarray, seed: int, step: int) -> np.ndarray:
    """For each chosen image the number of another of its identity, all equally likely; itself if it is the only one."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step, 1)))
    found, identities = np.empty_like(chosen), paired.identities[chosen]
    for identity in np.unique(identities):
        members = paired.members[identity]
        rows = np.flatnonzero(identities == identity)
        # A step of at least one, and of less than the whole way round, among the images of this identity.
        steps = generator.integers(1, max(2, len(members)), len(rows))
        found[rows] = members[(np.searchsorted(members, chosen[rows]) + steps) % len(members)]
    return found


def scale_to_unit(images: np.ndarray) -> np.ndarray:
    """Images, uint8, as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
