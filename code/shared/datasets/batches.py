"""Which images make up a step's batch: a pure function of the seed and the step, so a run resumes anywhere."""

from functools import lru_cache

import numpy as np

from shared.flags import UserError


def steps_per_epoch(number_of_images: int, batch_size: int) -> int:
    """Number of whole batches in the data; the last partial batch is dropped, as the originals do.

    Raises:
        UserError: batch_size is below 1 or larger than the data.
    """
    if not 1 <= batch_size <= number_of_images:
        raise UserError(f"batch_size is {batch_size}: allowed are 1 to {number_of_images}, all there is to train on")
    return number_of_images // batch_size


@lru_cache(maxsize=2)  # an epoch's order is drawn once and not at every step
def epoch_order(number_of_images: int, seed: int, epoch: int) -> np.ndarray:
    """Order of the images in an epoch: int64 [number_of_images], each index once, read-only.

    Args:
        number_of_images: size of the data.
        seed: 0 or more.
        epoch: counted from 0; each epoch of each seed has an order of its own.
    Raises:
        UserError: seed is negative.
    """
    if seed < 0:
        raise UserError(f"seed is {seed}: allowed are 0 and above")
    # The epoch as spawn_key: as a second word of entropy, a seed above 32 bits would run into it.
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    order = generator.permutation(np.arange(number_of_images, dtype=np.int64))
    order.setflags(write=False)  # callers share the cached array
    return order


def batch_indices(step: int, batch_size: int, number_of_images: int, seed: int) -> np.ndarray:
    """Indices of the images of a step: int64 [batch_size], read-only.

    Args:
        step: counted from 0 over the whole run, across epochs.
        batch_size: 1 to number_of_images.
        number_of_images: size of the data.
        seed: 0 or more.
    Raises:
        UserError: batch_size is below 1 or larger than the data, or seed is negative.
    """
    epoch, step_in_epoch = divmod(step, steps_per_epoch(number_of_images, batch_size))
    start = step_in_epoch * batch_size
    return epoch_order(number_of_images, seed, epoch)[start : start + batch_size]
