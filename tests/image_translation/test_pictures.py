"""What stands in which cell of the pictures; a test image is a plain grey that tells its digit and number."""

import numpy as np
import pytest
import tensorflow as tf

from image_translation import pictures
from image_translation.config import Config
from shared.datasets import mnist
from shared.flags import UserError
from shared.latent_codes import Codes

NETWORKS = None  # what encodes and generates is replaced below
# Digit d has the greys 20 d + 1 to 20 d + 12, one image each.
GREYS = np.array([20 * digit + number for digit in range(10) for number in range(1, 13)], np.uint8)
ORDER = np.random.default_rng(0).permutation(len(GREYS))
IMAGES = np.broadcast_to(GREYS[ORDER][:, None, None], [len(GREYS), 28, 28])
DATA = mnist.Mnist(IMAGES[:0], GREYS[:0], IMAGES, GREYS[ORDER] // 20, "")


def cells(picture):
    """The value in the middle of each cell; and that every cell is plain."""
    rows, columns = picture.shape[0] // 28, picture.shape[1] // 28
    assert picture.shape == (28 * rows, 28 * columns, 1)
    values = picture.reshape(rows, 28, columns, 28).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    assert (values == values[..., :1]).all()
    return values[..., 0].astype(int)


@pytest.fixture
def shown(monkeypatch):
    """Codes that were asked for; images of them are their noise's grey."""
    asked = []

    def encode(_, images):
        grey = tf.reshape(images[:, 0, 0, 0], [-1, 1])
        digit = tf.cast(tf.round(grey[:, 0] * 255), tf.int32) // 20
        return Codes(grey, (tf.one_hot(digit, 10),), tf.concat([grey, -grey], axis=1))

    def generate(_, codes):
        asked.append(codes)
        return tf.reshape(codes.noise[:, 0], [-1, 1, 1, 1]) * tf.ones([1, 28, 28, 1])

    monkeypatch.setattr(pictures, "encode", encode)
    monkeypatch.setattr(pictures, "generate", generate)
    return asked


def test_each_column_of_generated_images_is_a_digit_and_each_row_shares_all_else(shown):
    pictures.vary_discrete(NETWORKS, Config())
    (codes,) = shown
    assert codes.categorical[0].numpy().argmax(axis=1).tolist() == list(range(10)) * 10
    for part in (codes.noise, codes.continuous):
        rows = part.numpy().reshape(10, 10, -1)
        assert (rows == rows[:, :1]).all()
    assert len(np.unique(codes.noise.numpy(), axis=0)) == 10


@pytest.mark.parametrize("rows", [10, 5])
def test_a_continuous_code_runs_along_rows_of_different_digits(shown, rows):
    picture = pictures.vary_continuous(NETWORKS, Config(), which=1, rows=rows)
    (codes,) = shown
    assert picture.shape == (rows * 28, 10 * 28, 1)
    varied, other = (codes.continuous.numpy()[:, k].reshape(rows, 10) for k in (1, 0))
    np.testing.assert_allclose(varied, np.broadcast_to(np.linspace(-2, 2, 10), [rows, 10]), rtol=1e-6)
    assert (other == other[:, :1]).all()
    assert codes.categorical[0].numpy().argmax(axis=1).tolist() == np.repeat(range(rows), 10).tolist()


@pytest.mark.parametrize("number", [0, 2, 3])
def test_there_is_a_generated_picture_for_each_continuous_code(shown, number):
    drawn = pictures.generated(NETWORKS, Config(num_continuous=number))
    assert list(drawn) == ["generated_imgs_categorical"] + [f"generated_imgs_cont_{k}" for k in range(number)]
    assert {picture.shape for picture in drawn.values()} == {(280, 280, 1)}


def test_a_translation_begins_with_the_image_and_changes_one_code_a_column(shown):
    drawn = pictures.translations(NETWORKS, Config(), DATA)
    categorical, continuous = (cells(drawn[f"{kind}_translations"]) for kind in ("categorical", "continuous"))
    assert (categorical.shape, continuous.shape) == ((10, 11), (10, 7))
    originals = categorical[:, 0]
    assert (originals // 20).tolist() == list(range(10)), "a test image of each digit, in order"
    np.testing.assert_array_equal(continuous[:, 0], originals)
    own = (originals / 255).astype(np.float32)
    for column, codes in enumerate(shown):
        np.testing.assert_array_equal(codes.noise[:, 0], own)  # the style is kept
        digits = codes.categorical[0].numpy().argmax(axis=1).tolist()
        assert digits == ([column] * 10 if column < 10 else list(range(10)))
        expected = np.stack([own, -own], axis=1)
        if column >= 10:
            expected[:, (column - 10) // 3] = (column - 10) % 3 - 1
        np.testing.assert_array_equal(codes.continuous, expected)
    assert len(shown) == 16


@pytest.mark.parametrize("start, end", [(2, 7), (7, 2), (4, 4)])
def test_an_interpolation_goes_from_one_image_through_both_codes_to_the_other(shown, start, end):
    found = cells(pictures.interpolation(NETWORKS, Config(), DATA, start, end))
    assert found.shape == (10, 11)
    assert set(found[:, 0] // 20) == {start} and set(found[:, 10] // 20) == {end}
    assert len(set(found[:, 0])) == len(set(found[:, 10])) == 10, "ten different images at either end"
    if start == end:
        assert (found[:, 0] != found[:, 10]).any()
    for column, codes in enumerate(shown, start=1):  # here an image is its own reconstruction
        np.testing.assert_allclose(found[:, column], found[:, 0] + (found[:, 10] - found[:, 0]) * column / 10, atol=1)
        digits = np.zeros(10)
        digits[start] += 1 - column / 10
        digits[end] += column / 10
        np.testing.assert_allclose(codes.categorical[0], np.tile(digits, (10, 1)), atol=1e-6)
        np.testing.assert_allclose(codes.continuous[:, 1], -codes.noise[:, 0], rtol=1e-6)


def test_an_interpolation_takes_the_digits_that_were_asked_for_whatever_the_encoder_reads(shown, monkeypatch):
    read = pictures.encode
    wrong = tf.one_hot([9] * 10, 10)
    monkeypatch.setattr(pictures, "encode", lambda *given: read(*given)._replace(categorical=(wrong,)))
    pictures.interpolation(NETWORKS, Config(), DATA, 2, 7)
    assert all(float(tf.reduce_sum(codes.categorical[0][:, 9])) == 0 for codes in shown)


def test_reconstructions_stand_below_their_images(shown):
    found = cells(pictures.reconstructions(NETWORKS, Config(), DATA))
    assert found.shape == (2, 10)
    assert (found[0] // 20).tolist() == list(range(10))
    np.testing.assert_array_equal(found[1], found[0])


def test_the_seed_chooses_the_test_images():
    first, again, other = (pictures.one_of_each(DATA, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert 0 < first.min() <= first.max() < 1


def test_a_digit_of_which_there_are_too_few_test_images_is_named():
    with pytest.raises(UserError, match="the test images hold 12 of digit 3; the picture needs 13"):
        pictures.images_of(DATA, 3, 13, seed=0)


def test_while_it_trains_reconstructions_stand_beside_their_images(shown):
    batch = tf.constant(mnist.scale_to_unit(IMAGES[:64]))
    drawn = pictures.of_step(NETWORKS, Config(), batch)
    assert set(drawn) == {"image_categorical", "image_continuous_0", "image_continuous_1", "image_reconstruction"}
    found = cells(drawn["image_reconstruction"])
    assert found.shape == (5, 20)
    np.testing.assert_array_equal(found[:, ::2].ravel(), IMAGES[:50, 0, 0])
    np.testing.assert_array_equal(found[:, 1::2], found[:, ::2])
    assert drawn["image_continuous_0"].shape == (140, 280, 1)
