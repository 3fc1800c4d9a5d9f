"""Image grids, pixel by pixel, and their files: what would be broken is every picture that the project shows."""

import numpy as np
import pytest
from PIL import Image

from shared import image_grids
from shared.flags import UserError

# Six images of 1 x 2 pixels; image k is all k tenths but its last pixel, which is white.
SIX = np.stack([np.array([[[k / 10], [1.0]]]) for k in range(6)])


def test_images_stand_row_by_row_from_the_upper_left():
    picture = image_grids.tile(SIX, columns=3)
    assert picture.dtype == np.uint8
    assert picture[:, :, 0].tolist() == [[0, 255, 26, 255, 51, 255], [76, 255, 102, 255, 128, 255]]


def test_the_pixels_of_an_image_are_neither_turned_nor_mirrored():
    image = np.array([[0.0, 0.2], [0.4, 0.6], [0.8, 1.0]])[np.newaxis, :, :, np.newaxis]
    assert image_grids.tile(image, columns=1)[:, :, 0].tolist() == [[0, 51], [102, 153], [204, 255]]


def test_colours_keep_their_order_and_rows_their_height():
    red, green = np.zeros([2, 3, 3]), np.zeros([2, 3, 3])
    red[..., 0], green[..., 1] = 1, 1
    picture = image_grids.tile(np.stack([red, green, green]), columns=1)
    assert picture.shape == (6, 3, 3)
    assert (picture[:2] == [255, 0, 0]).all() and (picture[2:] == [0, 255, 0]).all()


def test_an_incomplete_last_row_is_filled_up_with_black():
    picture = image_grids.tile(np.ones([5, 2, 2, 1], np.float32), columns=3)
    assert picture.shape == (4, 6, 1)
    assert (picture[:2] == 255).all() and (picture[2:, :4] == 255).all() and (picture[2:, 4:] == 0).all()


def test_more_columns_than_images_fill_one_row():
    assert image_grids.tile(SIX, columns=8)[:, :, 0].tolist() == [[0, 255, 26, 255, 51, 255, 76, 255, 102, 255, 128, 255, 0, 0, 0, 0]]  # fmt: skip # noqa: E501


def test_values_outside_the_range_are_clipped_and_do_not_wrap_around():
    images = np.array([-0.5, -1e-6, 1.000001, 1.5, 300.0]).reshape([5, 1, 1, 1])
    assert image_grids.tile(images, columns=5)[0, :, 0].tolist() == [0, 0, 255, 255, 255]


def test_values_are_rounded_and_not_cut_off():
    images = np.array([0.49, 0.51, 254.49, 254.51]).reshape([4, 1, 1, 1]) / 255
    assert image_grids.tile(images, columns=4)[0, :, 0].tolist() == [0, 1, 254, 255]


@pytest.mark.parametrize("shape", [(4, 4, 1), (0, 4, 4, 1), (2, 4, 4, 2), (2, 4, 4, 4), (1, 2, 4, 4, 1)])
def test_images_of_another_shape_are_refused_with_the_shape(shape):
    with pytest.raises(UserError, match=rf"images: expected .*; got shape \({str(shape)[1:-1]}\)"):
        image_grids.tile(np.zeros(shape), columns=2)


@pytest.mark.parametrize("columns", [0, -3])
def test_no_columns_are_refused(columns):
    with pytest.raises(UserError, match=f"columns: expected at least 1; got {columns}"):
        image_grids.tile(SIX, columns)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_saved_picture_reads_back_as_it_was(tmp_path, channels, mode):
    picture = np.random.default_rng(0).integers(0, 256, [5, 7, channels], np.uint8)
    image_grids.save(picture, tmp_path / "new" / "folder" / "picture.png")
    with Image.open(tmp_path / "new" / "folder" / "picture.png") as image:
        assert (image.mode, image.format) == (mode, "PNG")
        np.testing.assert_array_equal(np.asarray(image).reshape(picture.shape), picture)


def test_a_saved_picture_replaces_the_one_before_and_leaves_nothing_else(tmp_path):
    for value in (10, 200):
        image_grids.save(np.full([4, 4, 1], value, np.uint8), tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    with Image.open(tmp_path / "picture.png") as image:
        assert image.getpixel((0, 0)) == 200


def test_a_picture_that_the_full_disk_cut_is_not_left_in_place_of_the_one_before(tmp_path, disk_that_takes):
    path = tmp_path / "picture.png"
    image_grids.save(np.zeros([4, 4, 1], np.uint8), path)
    before = path.read_bytes()
    noisy = np.random.default_rng(0).integers(0, 256, [200, 200, 1], np.uint8)
    with disk_that_takes(1000), pytest.raises(OSError, match="File too large"):
        image_grids.save(noisy, path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
