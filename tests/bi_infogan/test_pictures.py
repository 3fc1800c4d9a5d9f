"""What stands in which cell of Bidirectional InfoGAN's pictures; image number i is a plain grey of value i."""

import numpy as np
import pytest
import tensorflow as tf

from bi_infogan import pictures
from bi_infogan.config import Config
from shared.latent_codes import Codes

NETWORKS = None  # what is drawn from codes is replaced below


def greys(number):
    return np.broadcast_to(np.arange(number, dtype=np.uint8)[:, None, None], [number, 28, 28])


def cells(picture, width=28):
    """The value in the middle of each cell; and that every cell is plain."""
    rows, columns = picture.shape[0] // 28, picture.shape[1] // width
    assert picture.shape == (28 * rows, width * columns, 1)
    values = picture.reshape(rows, 28, columns, width).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    assert (values == values[..., :1]).all()
    return values[..., 0]


@pytest.fixture
def shown(monkeypatch):
    """Codes that were asked for; images of them are black."""
    asked = []

    def generate(_, codes):
        asked.append(codes)
        return tf.zeros([len(codes.noise), 28, 28, 1])

    monkeypatch.setattr(pictures, "generate", generate)
    return asked


# Generated images


@pytest.mark.parametrize("which, classes", [(0, 10), (1, 3)])
def test_each_column_of_a_categorical_grid_is_a_class_and_each_row_shares_all_else(shown, which, classes):
    picture = pictures.vary_discrete(NETWORKS, Config(categorical_sizes=(10, 3)), which)
    (codes,) = shown
    assert picture.shape == (10 * 28, classes * 28, 1)
    assert codes.categorical[which].numpy().argmax(axis=1).tolist() == list(range(classes)) * 10
    for part in (codes.noise, codes.continuous, codes.categorical[1 - which]):
        rows = part.numpy().reshape(10, classes, -1)
        assert (rows == rows[:, :1]).all()
    assert len(np.unique(codes.noise.numpy(), axis=0)) == 10


def test_a_continuous_code_runs_along_five_rows_of_different_classes(shown):
    picture = pictures.vary_continuous(NETWORKS, Config(), which=1)
    (codes,) = shown
    assert picture.shape == (5 * 28, 10 * 28, 1)
    varied, other = (codes.continuous.numpy()[:, k].reshape(5, 10) for k in (1, 0))
    np.testing.assert_allclose(varied, np.broadcast_to(np.linspace(-2, 2, 10), [5, 10]), rtol=1e-6)
    assert (other == other[:, :1]).all()
    assert codes.categorical[0].numpy().argmax(axis=1).tolist() == np.repeat(range(5), 10).tolist()


@pytest.mark.parametrize("sizes", [(), (2,)])
def test_a_continuous_code_is_shown_whatever_the_number_of_classes(shown, sizes):
    assert pictures.vary_continuous(NETWORKS, Config(categorical_sizes=sizes), 0).shape == (140, 280, 1)


@pytest.fixture
def negatives(monkeypatch):
    """Networks that turn an image into its negative."""
    monkeypatch.setattr(pictures, "encode", lambda _, images: images)
    monkeypatch.setattr(pictures, "generate", lambda _, images: 1 - images)


def test_reconstructions_stand_to_the_right_of_their_images(negatives):
    images = greys(7)[1:, ..., None].astype(np.float32) / 255
    found = cells(pictures.reconstructions(NETWORKS, images, columns=4))
    assert found.tolist() == [[1, 254, 2, 253], [3, 252, 4, 251], [5, 250, 6, 249]]


def test_twenty_images_of_each_class_are_reconstructed_and_missing_ones_stay_black(negatives):
    labels = np.repeat(np.arange(10), 25)[:230]  # five images of class 9
    found = cells(pictures.sample_reconstructions(NETWORKS, greys(231)[1:], labels, seed=0))
    assert found.shape == (20, 20)
    originals, decoded = found[:, ::2].reshape(10, 20).astype(int), found[:, 1::2].reshape(10, 20)
    for label in range(9):
        assert set(labels[originals[label] - 1]) == {label}
        assert len(set(originals[label])) == 20
    assert sorted(originals[9]) == [0] * 15 + [226, 227, 228, 229, 230]
    np.testing.assert_array_equal(decoded, np.where(originals > 0, 255 - originals, 0))


# Real images, chosen by their codes


def one_hots(categories, classes, confidence=1.0):
    return np.eye(classes)[categories] * np.broadcast_to(confidence, len(categories))[:, None]


def test_samples_show_the_most_active_images_of_a_category_and_the_extremes_of_a_continuous_code(monkeypatch):
    categories = np.array([0, 0, 0, 2, 2, 0])
    confidence = np.array([0.5, 0.9, 0.7, 0.6, 0.8, 0.3])
    continuous = np.array([[0.0, 3], [1, 2], [-1, 1], [5, 0], [4, -1], [2, -2]])
    codes = Codes(np.zeros([6, 1]), (one_hots(categories, 3, confidence), np.eye(6)[::-1]), continuous)
    monkeypatch.setattr(pictures, "encode_all", lambda *_: codes)
    drawn = pictures.samples(NETWORKS, Config(categorical_sizes=(3, 6)), greys(7)[1:], step=40)
    assert list(drawn) == [f"samples_disc/40_d{k}" for k in (1, 2)] + [f"samples_cont/40_c{k}" for k in (1, 2)]
    d1, d2 = cells(drawn["samples_disc/40_d1"]), cells(drawn["samples_disc/40_d2"])
    assert d1.shape == (3, 10)
    assert d1[0, :4].tolist() == [2, 3, 1, 6]
    assert d1[2, :2].tolist() == [5, 4]
    assert (d1[:, 6:] == 0).all()  # there are six images, and ten cells
    assert d2[:, 0].tolist() == [6, 5, 4, 3, 2, 1]
    # Above the largest, below the smallest; category 1 has no image.
    assert cells(drawn["samples_cont/40_c1"]).tolist() == [[6, 0, 4], [3, 0, 5]]
    assert cells(drawn["samples_cont/40_c2"]).tolist() == [[1, 0, 4], [6, 0, 5]]


def test_samples_need_neither_categorical_codes_nor_images(monkeypatch):
    codes = Codes(np.zeros([2, 1]), (), np.array([[0.5], [0.1]]))
    monkeypatch.setattr(pictures, "encode_all", lambda *_: codes)
    config = Config(categorical_sizes=(), num_continuous=1)
    drawn = pictures.samples(NETWORKS, config, greys(3)[1:], step=1)
    assert {name: cells(picture).tolist() for name, picture in drawn.items()} == {"samples_cont/1_c1": [[1], [2]]}
    assert pictures.samples(NETWORKS, config, greys(0), step=1) == {}


def test_sixty_random_images_of_each_digit_fill_two_rows_and_missing_ones_stay_black():
    digits = np.array([3] * 100 + [7] * 40 + [-1] * 20)
    first, second = (cells(pictures.sample_categorical(greys(161)[1:], digits, seed)) for seed in (0, 1))
    assert first.shape == (20, 30)
    threes, sevens = first[6:8].ravel(), first[14:16].ravel()
    assert len(set(threes)) == 60 and set(threes) <= set(range(1, 101))
    assert sorted(sevens) == [0] * 20 + list(range(101, 141))
    assert not np.delete(first, [6, 7, 14, 15], axis=0).any()  # unmatched images are called no digit
    assert (first != second).any()


def test_continuous_samples_are_the_extremes_of_confident_images_of_each_digit():
    number = 120
    digits = np.array([4] * 100 + [8] * 20)
    values = np.random.default_rng(0).permutation(number) - 50.0
    confidence = np.full(number, 0.999)
    confidence[::5] = 0.996  # exactly: not above it
    found = cells(pictures.sample_continuous(greys(number + 1)[1:], digits, confidence, values))
    assert found.shape == (20, 30)
    sure = np.flatnonzero(confidence > 0.996)
    for digit, row in ((4, 8), (8, 16)):
        ordered = 1 + sure[digits[sure] == digit][np.argsort(values[sure][digits[sure] == digit])]
        filled = np.zeros([2, 30])
        filled[0, : len(ordered)] = ordered[:30]
        filled[1, : len(ordered)] = ordered[::-1][:30]
        np.testing.assert_array_equal(found[row : row + 2], filled)
    assert not np.delete(found, [8, 9, 16, 17], axis=0).any()


def test_wrong_images_stand_in_rows_of_their_label_beside_what_they_were_called():
    labels = np.array([0, 0, 0, 1] + [2] * 23)
    digits = np.array([0, 5, -1, 1] + [7] * 22 + [2])
    picture = pictures.wrongly_classified(greys(28)[1:], digits, labels)
    assert picture.shape == ((10 + 1) * 28, 21 * 40, 1)  # 22 wrong twos need a second row
    table = picture.reshape(11, 28, 21, 40).transpose(0, 2, 1, 3)

    def written(text, width, size):
        return np.rint(pictures.written(text, width, size)[..., 0] * 255)

    for row, label in enumerate([0, 1, 2, 2, *range(3, 10)]):
        np.testing.assert_array_equal(table[row, 0], 255 - written(str(label), 40, 20))
    placed = {(0, 1): (2, "5"), (0, 2): (3, "-")}
    placed |= {(2, 1 + k): (5 + k, "7") for k in range(20)} | {(3, 1 + k): (25 + k, "7") for k in range(2)}
    for (row, column), (grey, called) in placed.items():
        assert (table[row, column, :, :28] == grey).all()
        np.testing.assert_array_equal(table[row, column, :, 28:], written(called, 12, 14))
    empty = [(r, c) for r in range(11) for c in range(1, 21) if (r, c) not in placed]
    assert not any(table[cell].any() for cell in empty)
    texts = {written(text, 12, 14).tobytes() for text in "0123456789-"}
    assert len(texts) == 11
