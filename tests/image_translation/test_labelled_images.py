"""Which images are labelled, and which make up a batch: counts, shares, and that the step alone decides."""

import json

import numpy as np
import pytest

from image_translation import labelled_images
from image_translation.config import Config
from shared.flags import UserError

DIGITS = np.random.default_rng(0).permutation(np.repeat(range(10), 40))
LABELLED = labelled_images.choose(DIGITS, 5, seed=1)
UNLABELLED = np.setdiff1d(np.arange(400), LABELLED)
CONFIG = Config(batch_size=64, seed=3)


def test_as_many_images_of_each_digit_are_chosen_and_the_seed_decides():
    for seed in (0, 1):
        chosen = labelled_images.choose(DIGITS, 5, seed)
        assert len(set(chosen)) == 50
        assert DIGITS[chosen].tolist() == np.repeat(range(10), 5).tolist()
        np.testing.assert_array_equal(chosen, labelled_images.choose(DIGITS, 5, seed))
    assert len(set(LABELLED) & set(labelled_images.choose(DIGITS, 5, seed=0))) < 25


def test_choosing_more_than_a_digit_has_is_refused_and_all_it_has_is_not():
    rare = np.concatenate([DIGITS, np.repeat(range(10), 3)])[~np.isin(np.arange(430), np.flatnonzero(DIGITS == 7))]
    assert len(labelled_images.choose(rare, 3, seed=0)) == 30
    with pytest.raises(UserError, match="--num_samples: expected at most 3, the training images of digit 7; got 4"):
        labelled_images.choose(rare, 4, seed=0)
    with pytest.raises(UserError, match="at most 0, the training images of digit 0; got 1"):
        labelled_images.choose(np.array([1, 2]), 1, seed=0)


def test_the_record_counts_the_images_as_published_not_from_the_end_of_the_validation_images(tmp_path):
    labelled_images.record(tmp_path / "labelled.json", LABELLED, DIGITS, validation=5000)
    found = json.loads((tmp_path / "labelled.json").read_text())
    assert found == {"indices": (LABELLED + 5000).tolist(), "labels": np.repeat(range(10), 5).tolist()}


@pytest.mark.parametrize("step, expected", [(0, 1.0), (1, 0.999), (250, 0.75), (998, 0.002), (1000, 50 / 55000)])
def test_the_share_of_labelled_images_falls_from_all_to_their_share_in_the_data(step, expected):
    assert labelled_images.share(step, 50, 55000, Config()) == pytest.approx(expected)


def batch(step, **settings):
    config = Config(**{"batch_size": 64, "seed": 3} | settings)
    return labelled_images.batch_of_step(step, LABELLED, UNLABELLED, config)


def test_the_labelled_images_of_a_batch_come_first_and_no_unlabelled_one_has_a_label():
    for step in (0, 300, 700, 1500):
        indices, has_label = batch(step)
        assert (len(indices), has_label.dtype) == (64, bool)
        number = has_label.sum()
        assert has_label[:number].all()
        assert set(indices[:number]) <= set(LABELLED)
        assert set(indices[number:]) <= set(UNLABELLED)


def test_a_batch_may_hold_nothing_but_labelled_images_and_none_at_all():
    indices, has_label = batch(0)
    assert has_label.all() and len(set(indices)) < 50  # drawn with replacement: some twice
    numbers = [batch(step, batch_size=4)[1].sum() for step in range(1000, 1030)]
    assert 0 in numbers


def test_the_number_of_labelled_images_is_binomial():
    numbers = np.array([batch(500, seed=seed)[1].sum() for seed in range(400)])
    assert numbers.mean() == pytest.approx(32, abs=4 * 4 / 20)  # four standard errors
    assert numbers.std() == pytest.approx(4, rel=0.2)


def test_a_batch_is_a_function_of_seed_and_step():
    for step in (0, 500):
        first, again, other_step, other_seed = batch(step), batch(step), batch(step + 1), batch(step, seed=4)
        np.testing.assert_array_equal(first[0], again[0])
        assert not np.array_equal(first[0], other_step[0])
        assert not np.array_equal(first[0], other_seed[0])


def test_an_epoch_shows_no_unlabelled_image_twice():
    shown = [batch(step) for step in range(3000, 3000 + 5)]  # 350 images, a batch of 64: five steps, here of two epochs
    of_epoch = [(indices[~has_label], step // 5) for (indices, has_label), step in zip(shown, range(3000, 3005))]
    assert len({epoch for _, epoch in of_epoch}) == 1
    images = np.concatenate([indices for indices, _ in of_epoch])
    assert len(set(images)) == len(images) > 200


def test_the_data_are_left_as_they_are():
    before = UNLABELLED.copy()
    batch(0)
    np.testing.assert_array_equal(UNLABELLED, before)
