"""InfoGAN's pictures: their sizes, and which code reaches the generator in which cell."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from infogan import pictures
from infogan.config import PRESETS, Config
from infogan.networks import build_networks
from shared import latent_codes

CONFIG = Config(num_z=6, categorical_sizes=(10, 3), num_continuous=2)
FACES = Config(num_z=6, categorical_sizes=(), num_continuous=3)
RANGE = 4.0  # what a painted code may reach
NOISE, FIRST, SECOND, CONTINUOUS = slice(0, 6), slice(6, 16), slice(16, 19), slice(19, 21)


class Painter(NamedTuple):
    """In place of Networks: its generator paints the code it is given, a row of pixels an image."""

    generator: object


def paint(inputs, training):
    code, _ = inputs
    assert training is False
    return code[:, tf.newaxis, :, tf.newaxis] / RANGE


PAINTER = Painter(paint)


def codes_in(picture, columns):
    """The codes that a painter was given, [rows, columns, code], to a 64th."""
    height, width, _ = picture.shape
    return (picture.reshape([height, columns, width // columns]) / 127.5 - 1) * RANGE


def assert_close(codes, expected):
    np.testing.assert_allclose(codes, np.broadcast_to(expected, codes.shape), atol=RANGE / 255 + 1e-6)


def assert_one_hot(codes, classes):
    assert_close(codes, np.eye(codes.shape[-1])[classes])


def test_a_generated_image_is_scaled_from_symmetric_range_to_full_contrast():
    def generator(inputs, training):
        return tf.reshape(tf.constant([-1.0, 0.0, 1.0]), [3, 1, 1, 1])

    codes = pictures.fixed_codes(CONFIG, 3)
    assert pictures.grid(Painter(generator), codes, columns=3).ravel().tolist() == [0, 128, 255]


# Sizes


@pytest.mark.parametrize("config, expected", [
    (PRESETS["paper"], {
        "random_sampling": (280, 280, 1), "vary_discrete_0": (280, 280, 1),
        "interp_cont_0": (280, 280, 1), "interp_cont_1": (280, 280, 1),
    }),
    (Config(num_z=3, categorical_sizes=(), num_continuous=5, image_size=32, channels=3), {
        "random_sampling": (320, 320, 3), **{f"interp_cont_{k}": (160, 320, 3) for k in range(5)},
    }),
])  # fmt: skip
def test_an_epochs_pictures_have_the_originals_names_and_sizes(config, expected):
    networks = build_networks(config)
    drawn = pictures.of_epoch(networks, config)
    assert {name: picture.shape for name, picture in drawn.items()} == expected
    assert {picture.dtype for picture in drawn.values()} == {np.dtype(np.uint8)}
    assert pictures.interpolate(networks, config).shape == (*expected["random_sampling"],)


def test_an_epochs_pictures_show_every_code():
    names = {"random_sampling", "vary_discrete_0", "vary_discrete_1", "interp_cont_0", "interp_cont_1"}
    assert set(pictures.of_epoch(PAINTER, CONFIG)) == names


# Random samples


def test_random_samples_are_100_codes_of_the_training_distribution():
    codes = codes_in(pictures.random_sampling(PAINTER, CONFIG), 10)
    assert codes.shape == (10, 10, 21)
    assert len(np.unique(codes.reshape(100, 21), axis=0)) == 100
    for part in (NOISE, CONTINUOUS):
        assert -1.02 < codes[:, :, part].min() < -0.9 and 0.9 < codes[:, :, part].max() < 1.02
    assert_one_hot(codes[:, :, FIRST], codes[:, :, FIRST].argmax(axis=2))


def test_the_same_codes_are_drawn_after_every_epoch_and_others_for_another_seed():
    first, again = (pictures.random_sampling(PAINTER, CONFIG) for _ in range(2))
    other = pictures.random_sampling(PAINTER, dataclasses.replace(CONFIG, seed=1))
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_pictures_show_no_codes_of_a_training_step():
    shown = pictures.fixed_codes(CONFIG, 4).noise.numpy()
    for step in range(3):
        drawn = latent_codes.sample(pictures.code_sizes(CONFIG), 4, latent_codes.key(CONFIG.seed, step)).noise.numpy()
        assert not np.isin(shown, drawn).any()


# A row a class


def test_a_row_is_a_class_of_the_code_and_its_ten_samples_differ_in_all_else():
    codes = codes_in(pictures.vary_discrete(PAINTER, CONFIG, 0), 10)
    assert codes.shape[:2] == (10, 10)
    assert_one_hot(codes[:, :, FIRST], np.arange(10)[:, np.newaxis])
    assert len(np.unique(codes[:, :, NOISE].reshape(100, -1), axis=0)) == 100
    assert len(np.unique(codes[:, :, CONTINUOUS].reshape(100, -1), axis=0)) > 90


def test_a_second_categorical_code_has_rows_of_its_own_classes():
    codes = codes_in(pictures.vary_discrete(PAINTER, CONFIG, 1), 10)
    assert codes.shape[:2] == (3, 10)
    assert_one_hot(codes[:, :, SECOND], np.arange(3)[:, np.newaxis])
    assert_one_hot(codes[:, :, FIRST], codes[:, :, FIRST].argmax(axis=2))


# Traversals


@pytest.mark.parametrize("limit", [1.0, 2.0])
@pytest.mark.parametrize("which", [0, 1])
def test_a_traversal_walks_one_code_to_its_limits_a_row_a_class_with_all_else_fixed(which, limit):
    codes = codes_in(pictures.vary_continuous(PAINTER, CONFIG, which, limit), 10)
    assert codes.shape[:2] == (10, 10)
    assert_close(codes[:, :, 19 + which], np.linspace(-limit, limit, 10))
    assert_one_hot(codes[:, :, FIRST], np.arange(10)[:, np.newaxis])
    for fixed in (NOISE, SECOND, slice(19 + 1 - which, 19 + 2 - which)):
        assert_close(codes[:, :, fixed], codes[0, 0, fixed])


def test_a_traversal_has_as_many_columns_as_asked_for():
    codes = codes_in(pictures.vary_continuous(PAINTER, CONFIG, 0, 2.0, columns=5), 5)
    assert_close(codes[:, :, 19], [-2, -1, 0, 1, 2])


def test_an_epochs_traversals_end_at_one():
    codes = codes_in(pictures.of_epoch(PAINTER, CONFIG)["interp_cont_1"], 10)
    assert_close(codes[:, [0, -1], 20], [-1, 1])


@pytest.mark.parametrize("which", [0, 2])
def test_without_a_categorical_code_a_traversal_is_five_rows_of_other_codes(which):
    codes = codes_in(pictures.vary_continuous(PAINTER, FACES, which, 1.0), 10)
    assert codes.shape == (5, 10, 9)
    assert_close(codes[:, :, 6 + which], np.linspace(-1, 1, 10))
    others = np.delete(codes, 6 + which, axis=2)
    assert_close(others, others[:, :1])
    assert len(np.unique(others[:, 0], axis=0)) == 5


# Interpolation


def test_an_interpolation_goes_straight_from_one_random_image_to_another():
    codes = codes_in(pictures.interpolate(PAINTER, CONFIG), 10)
    ends = latent_codes.concatenate(pictures.fixed_codes(CONFIG, 20)).numpy()
    assert_close(codes[:, 0], ends[:10])
    assert_close(codes[:, -1], ends[10:])
    share = np.linspace(0, 1, 10)[:, np.newaxis]
    assert_close(codes, (1 - share) * ends[:10, np.newaxis] + share * ends[10:, np.newaxis])


def test_an_interpolation_has_as_many_rows_and_columns_as_asked_for():
    codes = codes_in(pictures.interpolate(PAINTER, FACES, rows=2, columns=3), 3)
    assert codes.shape == (2, 3, 9)
    assert_close(codes[:, 1], (codes[:, 0] + codes[:, 2]) / 2)


def test_the_key_that_pictures_feed_is_int32_or_the_generator_would_refuse_it():
    given = []

    def generator(inputs, training):
        given.append(inputs[1])
        return paint(inputs, training)

    pictures.generate(Painter(generator), pictures.fixed_codes(CONFIG, 1))
    assert [(key.dtype, key.shape) for key in given] == [(tf.int32, (2,))]
