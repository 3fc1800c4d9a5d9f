"""The order of images: what would be broken if a test here failed is resuming, or an epoch's evenness."""

import numpy as np
import pytest

from shared.datasets.batches import batch_indices, epoch_order, steps_per_epoch
from shared.flags import UserError


def run_of_batches(steps, seed=1):
    return [batch_indices(step, batch_size=8, number_of_images=60, seed=seed).tolist() for step in steps]


def test_an_epoch_shows_every_image_at_most_once_and_drops_only_the_last_partial_batch():
    shown = [index for batch in run_of_batches(range(7)) for index in batch]
    assert steps_per_epoch(60, 8) == 7
    assert len(shown) == len(set(shown)) == 56
    assert set(shown) <= set(range(60))
    assert sorted(epoch_order(60, seed=1, epoch=0).tolist()) == list(range(60))


def test_the_first_step_after_an_epoch_begins_the_next_order():
    assert run_of_batches([6, 7]) == [
        epoch_order(60, seed=1, epoch=0)[48:56].tolist(),
        epoch_order(60, seed=1, epoch=1)[:8].tolist(),
    ]


def test_a_run_resumed_in_mid_epoch_sees_the_batches_of_the_unbroken_run():
    unbroken = run_of_batches(range(25))
    epoch_order.cache_clear()
    assert run_of_batches(range(10, 25)) == unbroken[10:]


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    # 2**32 needs two words of 32 bits, and the second must not pass for an epoch.
    pairs = [(seed, epoch) for seed in (0, 1, 2**32) for epoch in (0, 1, 2)]
    orders = {tuple(epoch_order(60, seed, epoch).tolist()) for seed, epoch in pairs}
    assert len(orders) == len(pairs)


def test_the_order_that_older_runs_were_trained_with_stays():
    assert epoch_order(10, seed=1, epoch=2).tolist() == [7, 8, 6, 2, 4, 1, 0, 5, 9, 3]


def test_a_step_does_not_shuffle_the_data_again():
    epoch_order.cache_clear()
    run_of_batches(range(14))
    assert epoch_order.cache_info().misses == 2


def test_a_caller_cannot_spoil_the_order_of_later_steps():
    with pytest.raises(ValueError, match="read-only"):
        batch_indices(0, batch_size=8, number_of_images=60, seed=1)[0] = 5


def test_indices_are_int64_on_every_platform():
    assert batch_indices(0, batch_size=8, number_of_images=60, seed=1).dtype == np.int64


def test_a_batch_of_all_images_is_allowed():
    assert sorted(batch_indices(3, batch_size=60, number_of_images=60, seed=1).tolist()) == list(range(60))


@pytest.mark.parametrize("batch_size", [61, 0, -8])
def test_a_batch_larger_than_the_data_or_empty_is_refused(batch_size):
    with pytest.raises(UserError, match=f"batch_size is {batch_size}: allowed are 1 to 60"):
        batch_indices(0, batch_size=batch_size, number_of_images=60, seed=1)


def test_a_negative_seed_is_refused_by_name():
    with pytest.raises(UserError, match="seed is -1"):
        batch_indices(0, batch_size=8, number_of_images=60, seed=-1)
