"""What stands in which cell of the cycle-consistent VAE's pictures.

The networks are replaced: z of an image is its red, s its green, and a decoded image has these for red and green.
"""

import numpy as np
import pytest
import tensorflow as tf

from cycle_vae import pictures
from cycle_vae.config import Config
from cycle_vae.pairs import PairedImages

NETWORKS = None


@pytest.fixture(autouse=True)
def colours_for_codes(monkeypatch):
    def encode(_, images):
        return images[:, 0, 0, :1], None, images[:, 0, 0, 1:2]

    def decode(_, z, s):
        decoded = tf.concat([z, s, tf.ones_like(z)], axis=1)  # blue tells what was decoded
        return tf.tile(decoded[:, None, None, :], [1, 2, 2, 1])

    monkeypatch.setattr(pictures, "encode", encode)
    monkeypatch.setattr(pictures, "decode", decode)


def plain(*colours):
    """Images of one colour each, red and green in 0 to 255, blue 0."""
    images = np.zeros([len(colours), 2, 2, 3], np.float32)
    images[..., :2] = np.array(colours)[:, None, None, :] / 255
    return images


def cells(picture):
    """Red, green and blue of each cell, as rows of tuples; every cell is plain."""
    rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
    values = picture.reshape(rows, 2, columns, 2, 3)
    assert (values == values[:, :1, :, :1]).all()
    return [[tuple(map(int, cell)) for cell in row] for row in values[:, 0, :, 0]]


def test_style_transfer_takes_s_from_the_first_row_and_z_from_the_first_column():
    images = plain((1, 11), (2, 12), (3, 13), (4, 14))
    assert cells(pictures.style_transfer(NETWORKS, images)) == [
        [(0, 0, 0), (1, 11, 0), (2, 12, 0)],
        [(3, 13, 0), (3, 11, 255), (3, 12, 255)],
        [(4, 14, 0), (4, 11, 255), (4, 12, 255)],
    ]


def test_interpolation_moves_s_across_and_z_down_between_two_real_corners():
    grid = cells(pictures.interpolation(NETWORKS, plain((0, 70), (70, 0))))
    assert (len(grid), len(grid[0])) == (8, 8)
    assert (grid[0][0], grid[7][7]) == ((0, 70, 0), (70, 0, 0)), "the images themselves"
    assert [cell[1] for cell in grid[3]] == [70, 60, 50, 40, 30, 20, 10, 0]
    assert [row[3][0] for row in grid] == [0, 10, 20, 30, 40, 50, 60, 70]
    assert {cell[0] for cell in grid[3]} == {30} and {row[3][1] for row in grid} == {40}
    assert (grid[0][7], grid[7][0]) == ((0, 0, 255), (70, 70, 255))


def test_reconstructions_stand_below_their_images():
    images = plain(*[(k, k + 100) for k in range(16)])
    grid = cells(pictures.reconstructions(NETWORKS, images))
    assert [len(row) for row in grid] == [8] * 4
    assert grid[0] == [(k, k + 100, 0) for k in range(8)] and grid[1] == [(k, k + 100, 255) for k in range(8)]
    assert grid[2][0] == (8, 108, 0) and grid[3][0] == (8, 108, 255)


def test_predictions_keep_the_code_they_are_made_from():
    drawn = pictures.predictions(NETWORKS, lambda z, training: z * 0 + 50 / 255, lambda s, training: s * 0 + 60 / 255,
                                 plain(*[(k, k + 100) for k in range(8)]))  # fmt: skip
    assert cells(drawn["predicted_s_from_z"])[1] == [(k, 50, 255) for k in range(8)]
    assert cells(drawn["predicted_z_from_s"])[1] == [(60, k + 100, 255) for k in range(8)]


def test_grids_decode_a_pairs_other_s_and_other_images_z_with_it():
    colours = np.zeros([40, 2, 2, 3], np.uint8)
    colours[..., 0] = np.arange(40)[:, None, None]
    colours[..., 1] = np.arange(40)[:, None, None] + 100
    data = PairedImages(colours, np.zeros(40, int), np.arange(40).reshape(20, 2))
    found = {name: sum(cells(p), []) for name, p in pictures.grids(NETWORKS, Config(), data).items()}
    assert list(found) == ["original", "target", "style", "style_target"]
    for original, target, style, transferred in zip(*found.values()):
        partner = original[0] + 1  # pairs are (0, 1), (2, 3), ...
        assert target == (original[0], partner + 100, 255)
        assert transferred == (style[0], partner + 100, 255)
    again = pictures.grids(NETWORKS, Config(), data)
    assert sum(cells(again["original"]), []) == found["original"]


def test_the_loss_plot_is_a_picture_also_of_a_single_epoch():
    one = pictures.loss_plot(np.array([[1.0, 2.0, 3.0]]), ["a", "b", "c"])
    many = pictures.loss_plot(np.random.default_rng(0).random([9, 3]), ["a", "b", "c"])
    assert one.shape == many.shape and one.dtype == np.uint8 and one.shape[2] == 3
    assert (one != many).any() and one.std() > 1
