"""Which images have a label, and which of them make up a step's batch: pure functions of the seed and the step.

Source: train_mnist.py of the original.
"""

import json
from pathlib import Path

import numpy as np

from image_translation.config import DIGITS, Config
from shared.datasets import batches
from shared.flags import require

# Second words of a stream's spawn key; an epoch's order has a key of one word.
OF_BATCHES, OF_CHOICE = 1, 2


def choose(labels: np.ndarray, num_samples: int, seed: int) -> np.ndarray:
    """Indices of the labelled images, int64 [10 * num_samples]: random ones of each digit, the digits in order.

    Args:
        labels: int [number], the digit of each training image.
        num_samples: labelled images of each digit.
        seed: 0 or more.
    Raises:
        UserError: a digit has fewer images.
    """
    counts = np.bincount(labels, minlength=DIGITS)
    rarest = int(counts.argmin())
    require(
        num_samples <= counts[rarest],
        f"--num_samples: expected at most {counts[rarest]}, the training images of digit {rarest}; got {num_samples}",
    )
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, OF_CHOICE))).permutation(len(labels))
    return np.concatenate([order[labels[order] == digit][:num_samples] for digit in range(DIGITS)])


def record(path: Path, labelled: np.ndarray, labels: np.ndarray, validation: int) -> None:
    """Writes which images are labelled, and as what; indices count MNIST's 60,000 training images, as published."""
    chosen = {"indices": (labelled + validation).tolist(), "labels": labels[labelled].tolist()}
    path.write_text(json.dumps(chosen) + "\n")


def share(step: int, number_of_labelled: int, number_of_images: int, config: Config) -> float:
    """Probability of an image of the batch being labelled: falls from 1 to the share of labelled images in the data."""
    return max(1 - config.lab_sample_red * step, number_of_labelled / number_of_images)


def batch_of_step(
    step: int, labelled: np.ndarray, unlabelled: np.ndarray, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images of a step, the labelled first, and which of them are labelled.

    How many are labelled is binomial; these are drawn with replacement. The rest follow the order of an epoch over the
    unlabelled images. Differs: the labelled images take places in that order, and an epoch passes over as many of the
    others; so a step's batch is a function of the step alone.

    Args:
        step: counted from 0.
        labelled, unlabelled: indices of the images of either kind.
        config: settings.
    Returns:
        int64 [batch], and bool [batch].
    Raises:
        UserError: batch_size is larger than the number of unlabelled images.
    """
    generator = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(step, OF_BATCHES)))
    probability = share(step, len(labelled), len(labelled) + len(unlabelled), config)
    number = generator.binomial(config.batch_size, probability)
    indices = unlabelled[batches.batch_indices(step, config.batch_size, len(unlabelled), config.seed)]
    indices[:number] = labelled[generator.integers(len(labelled), size=number)]
    return indices, np.arange(config.batch_size) < number
