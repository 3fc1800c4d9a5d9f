"""What the VAE-GAN's pictures show, and where; networks are played by functions."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from vae_gan_tiny import CONFIG, data

from vae_gan import pictures
from vae_gan.data import scale_to_symmetric

SIDE = 8


class Flat(NamedTuple):
    """Networks whose code is an image's mean, in the first of two values, and whose image of a code is that grey."""

    @staticmethod
    def encoder(images, training):
        assert not training
        mean = tf.reduce_mean(images, axis=[1, 2, 3])
        return tf.stack([mean, tf.ones_like(mean)], axis=1), None

    @staticmethod
    def generator(z, training):
        assert not training
        return z[:, 0, None, None, None] * tf.ones([1, SIDE, SIDE, 1])


def grey(*values):
    """Images of one grey each, uint8."""
    return np.ones([1, SIDE, SIDE, 1], np.uint8) * np.array(values, np.uint8)[:, None, None, None]


def cells(picture, rows, columns):
    """The mean grey of each cell."""
    return picture.reshape(rows, SIDE, columns, SIDE).mean(axis=(1, 3))


@pytest.fixture(autouse=True)
def flat(monkeypatch):
    for name in ("code_distributions", "generate"):
        monkeypatch.setattr(pictures, name, getattr(pictures, name).python_function)


# The way between two codes


def slerp(a, b, number=5):
    return pictures.slerp(np.array(a, np.float32), np.array(b, np.float32), number)


def test_the_way_has_the_cosine_where_spherical_interpolation_has_the_angle():
    a, b = [2.0, 0.0], [0.6, 0.8]  # cosine 0.6
    t = np.linspace(0, 1, 5)[:, None]
    expected = np.sin((1 - t) * 0.6) / np.sin(0.6) * a + np.sin(t * 0.6) / np.sin(0.6) * b
    np.testing.assert_allclose(slerp(a, b), expected, atol=1e-6)


def test_between_equal_vectors_the_way_ends_where_it_began_and_bulges_as_the_originals_did():
    way = slerp([1.0, 2.0], [1.0, 2.0])
    np.testing.assert_allclose(way[[0, -1]], [[1, 2], [1, 2]], atol=1e-6)
    np.testing.assert_allclose(way[2], np.array([1, 2]) * 2 * np.sin(0.5) / np.sin(1), rtol=1e-5)


def test_between_opposite_vectors_the_way_leads_through_zero():
    way = slerp([1.0, -3.0], [-1.0, 3.0])
    np.testing.assert_allclose(way[[0, 2, -1]], [[1, -3], [0, 0], [-1, 3]], atol=1e-6)


def test_at_right_angles_and_from_zero_the_way_is_straight_and_not_nan():
    np.testing.assert_allclose(slerp([2.0, 0.0], [0.0, 4.0], 3), [[2, 0], [1, 2], [0, 4]], atol=1e-6)
    np.testing.assert_allclose(slerp([0.0, 0.0], [0.0, 4.0], 3), [[0, 0], [0, 2], [0, 4]], atol=1e-6)
    nearly = slerp([1.0, 0.0], [1e-5, 1.0], 3)
    np.testing.assert_allclose(nearly, [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-4)


def test_the_rows_of_an_interpolation_begin_and_end_with_the_real_images():
    picture = pictures.interpolation(Flat, grey(0, 255, 60, 200))
    assert picture.shape == (2 * SIDE, 12 * SIDE, 1)
    found = cells(picture, 2, 12)
    np.testing.assert_allclose(found[:, [0, 1, -2, -1]], [[0, 0, 255, 255], [60, 60, 200, 200]], atol=1)
    assert (np.diff(found, axis=1) > -1).all() and found[0, 6] > found[0, 4]


# Arithmetic


def test_the_panels_of_an_arithmetic_and_their_coefficients():
    images = grey(160, 150, 140)  # in [-1, 1]: 0.255, 0.176, 0.098; A - B + C: 0.176, so grey 150
    picture = pictures.arithmetic(Flat, images)
    gap = pictures.GAP
    assert picture.shape == (4 * SIDE + 3 * gap, 5 * SIDE, 1)
    panels = [picture[top : top + SIDE] for top in range(0, picture.shape[0], SIDE + gap)]
    np.testing.assert_allclose(cells(panels[0][:, SIDE : 4 * SIDE], 1, 3), [[160, 150, 140]], atol=1)
    np.testing.assert_allclose(cells(panels[1][:, SIDE : 4 * SIDE], 1, 3), [[160, 150, 140]], atol=1)
    results = [127.5 + a * 22.5 for a in (0.25, 0.5, 1, 2, 3)]
    np.testing.assert_allclose(cells(panels[2], 1, 5), [results], atol=1)
    np.testing.assert_allclose(cells(panels[3][:, 2 * SIDE : 3 * SIDE], 1, 1), [[150]], atol=1)
    for panel, edge in zip(panels, (SIDE, SIDE, 0, 2 * SIDE)):
        assert (panel[:, :edge] == pictures.GREY).all() and (panel[:, 5 * SIDE - edge :] == pictures.GREY).all()


def test_an_arithmetic_on_pixels_is_clipped_and_not_wrapped():
    picture = pictures.arithmetic(Flat, grey(255, 0, 255))
    assert picture[-1, 2 * SIDE, 0] == 255


# Samples, reconstructions, sprites


def test_reconstructions_stand_to_the_right_of_their_images():
    images = grey(*range(0, 200, 10))
    images[:, 0, 0] = 255  # so that a reconstruction, flat, differs
    picture = pictures.reconstructions(Flat, images)
    assert picture.shape == (2 * SIDE, 20 * SIDE, 1)
    corners, means = picture[::SIDE, ::SIDE, 0], cells(picture, 2, 20)
    assert (corners[:, ::2] == 255).all() and (corners[:, 1::2] < 255).all()
    np.testing.assert_allclose(means[:, ::2], means[:, 1::2], atol=1)


def test_samples_are_of_the_modes_prior_and_of_the_runs_seed():
    def prior(number, **changes):
        return np.asarray(pictures.prior(dataclasses.replace(CONFIG, **changes), number))

    normal, uniform = prior(2000, mode="VAE-GAN"), prior(2000, mode="DC-GAN")
    assert normal.shape == (2000, 5)
    assert normal.std() == pytest.approx(1, abs=0.03) and np.abs(normal).max() > 3
    assert np.abs(uniform).max() <= 1 and uniform.std() == pytest.approx(3**-0.5, abs=0.02)
    np.testing.assert_array_equal(prior(9), prior(9))
    assert (prior(9) != prior(9, seed=1)).all()
    assert pictures.samples(Flat, prior(9)).shape == (3 * SIDE, 3 * SIDE, 1)


def test_fitted_codes_have_the_moments_of_the_codes_that_the_encoder_samples(monkeypatch):
    images = grey(*range(0, 250, 5))
    greys = scale_to_symmetric(np.arange(0, 250, 5))
    log_variances = tf.math.log([0.5, 2.0]) + tf.zeros([50, 1])  # of each code's noise
    monkeypatch.setattr(pictures, "code_distributions", lambda _, x: (Flat.encoder(x, False)[0], log_variances))
    mean, covariance = pictures.code_moments(Flat, images)
    np.testing.assert_allclose(mean, [greys.mean(), 1], atol=1e-5)
    np.testing.assert_allclose(covariance, [[np.var(greys, ddof=1) + 0.5, 0], [0, 2]], atol=1e-5)
    covariance[0, 1] = covariance[1, 0] = 0.4
    z = pictures.fitted(CONFIG, mean, covariance, 20_000)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(z, rowvar=False), covariance, atol=0.05)


def test_more_images_than_a_batch_are_encoded_and_made_in_order(monkeypatch):
    monkeypatch.setattr(pictures, "BATCH", 3)
    z = pictures.encode_all(Flat, grey(*range(0, 200, 25)))
    np.testing.assert_allclose(z[:, 0], scale_to_symmetric(np.arange(0, 200, 25)), atol=1e-6)
    np.testing.assert_allclose(pictures.generate_all(Flat, z)[:, 0, 0, 0], z[:, 0], atol=1e-6)


@pytest.mark.parametrize("number, side", [(9, 3), (10, 4), (1, 1)])
def test_sprites_fill_a_square_row_by_row(number, side):
    picture = pictures.sprites(grey(*range(50, 50 + number)))
    assert picture.shape[1] == side * SIDE
    found = cells(picture, picture.shape[0] // SIDE, side).ravel()
    np.testing.assert_array_equal(found[:number], np.arange(50, 50 + number))


def test_shown_images_are_held_out_ones_in_pairs_spread_over_all():
    found = data(train=4, held_out=9)
    np.testing.assert_array_equal(pictures.shown(found, 4), found.held_out_images[[0, 2, 5, 8]])
    assert len(pictures.shown(found, 100)) == 8
    none_held_out = found._replace(held_out_images=found.held_out_images[:0])
    np.testing.assert_array_equal(pictures.shown(none_held_out, 100), found.train_images)
