"""Pictures of characters: drawn from a font, written, read back, split, and what is wrong with a folder, named."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from shared.datasets import cns
from shared.flags import UserError

SHAPE = (16, 16, 1)
LATIN = [ord("A"), 0x4E00, ord("B"), ord(" "), ord("C"), 0x4E01]  # the font has no ideographs, and draws no space


@pytest.fixture(scope="module")
def font(tmp_path_factory):
    """The Latin font that Pillow carries, as a file."""
    path = tmp_path_factory.mktemp("font") / "latin.ttf"
    carried = ImageFont.load_default(16)
    assert isinstance(carried, ImageFont.FreeTypeFont)
    path.write_bytes(carried.font_bytes)
    return path


@pytest.fixture
def latin(monkeypatch):
    monkeypatch.setattr(cns, "IDEOGRAPHS", LATIN)


@pytest.fixture
def letters(font, latin):
    return cns.render(font, 3, 16)[0]


# Rendering


def test_code_points_without_a_glyph_are_skipped_and_counted(font, latin):
    found, skipped = cns.render(font, 3, 16)
    assert (found.names, skipped) == (("A", "B", "C"), 2)
    assert (found.images.shape, found.images.dtype) == ((3, *SHAPE), np.uint8)


def test_characters_are_white_on_black_upright_and_in_the_middle(font, latin):
    (image, *_) = cns.render(font, 1, 40)[0].images[..., 0].astype(float)
    assert image[:3].max() == image[-3:].max() == image[:, :3].max() == 0
    assert image.max() == 255
    rows, columns = image.sum(axis=1), image.sum(axis=0)
    assert abs(columns @ np.arange(40) / columns.sum() - 19.5) < 2
    assert (columns[:18].sum() / columns[22:].sum()) == pytest.approx(1, rel=0.2)
    ink = np.flatnonzero(rows)
    widths = [np.ptp(np.flatnonzero(image[row])) for row in (ink[1], ink[-2])]
    assert widths[1] > 2 * widths[0], "an A stands on its legs"


def test_a_font_with_too_few_glyphs_is_refused_with_their_number(font, latin):
    with pytest.raises(UserError, match="has glyphs of 3 of the 6 ideographs: 4 were wanted"):
        cns.render(font, 4, 16)


def test_a_font_without_any_glyph_is_refused(font, monkeypatch):
    assert len(cns.IDEOGRAPHS) == 20_992
    monkeypatch.setattr(cns, "IDEOGRAPHS", cns.IDEOGRAPHS[:100])
    with pytest.raises(UserError, match="has glyphs of 0 of the 100 ideographs: 1 were wanted"):
        cns.render(font, 1, 8)


def test_what_is_no_font_is_named(tmp_path):
    (tmp_path / "font.ttf").write_text("no font")
    for path in (tmp_path / "font.ttf", tmp_path / "missing.ttf"):
        with pytest.raises(UserError, match=f"{path} cannot be read as a font"):
            cns.render(path, 1)


def test_the_font_is_found_in_a_folder_of_a_folder_and_its_package_is_named_where_it_is_not(tmp_path):
    with pytest.raises(UserError, match="fonts-cns11643-kai, or give --font a file"):
        cns.find_font([str(tmp_path), "/no/such/folder"])
    path = tmp_path / "truetype" / "cns11643" / cns.FONT_FILE
    path.parent.mkdir(parents=True)
    path.touch()
    assert cns.find_font(["/no/such/folder", str(tmp_path)]) == path


# Writing and reading


def test_an_array_file_gives_back_what_was_written_and_its_hash(letters, tmp_path):
    path = tmp_path / "made" / "cns.npz"
    cns.write(letters, path, cns.LICENCE)
    assert [file.name for file in path.parent.iterdir()] == ["cns.npz"]
    found = cns.read(path, SHAPE)
    np.testing.assert_array_equal(found.images, letters.images)
    assert found[1:] == letters[1:]
    assert str(np.load(path)["licence"]) == cns.LICENCE


def test_a_folder_holds_a_picture_of_each_code_point_and_the_licence(letters, tmp_path):
    folder = tmp_path / "pictures"
    cns.write(letters, folder, cns.LICENCE)
    assert sorted(path.name for path in folder.iterdir()) == ["LICENCE.txt", "U65.jpg", "U66.jpg", "U67.jpg"]
    found = cns.read(folder, SHAPE)
    assert found.names == letters.names
    assert np.abs(found.images.astype(int) - letters.images).mean() < 10  # JPEG loses a little
    with pytest.raises(UserError, match="is not empty"):
        cns.write(letters, folder, cns.LICENCE)


def test_the_hash_is_of_pixels_names_and_shape(letters):
    images, names = letters.images.copy(), letters.names
    digests = {letters.sha256, cns.characters(images, "ABD").sha256, cns.characters(images[::-1], names).sha256}
    digests |= {cns.characters(images.reshape(3, 8, 32, 1), names).sha256, cns.characters(images[:2], "AB").sha256}
    assert len(digests) == 5
    assert cns.characters(images.copy(), names).sha256 == letters.sha256


def test_images_cannot_be_changed_behind_their_hash(letters):
    with pytest.raises(ValueError, match="read-only"):
        letters.images[0] = 0


@pytest.mark.parametrize("stem, name", [
    ("U37226", "酪"), ("U65", "A"), ("cat_7", "cat_7"), ("U", "U"), ("U9999999", "U9999999"), ("xU65", "xU65"),
    ("U55295", "\ud7ff"), ("U55296", "U55296"), ("U57343", "U57343"), ("U57344", "\ue000"),
])  # fmt: skip
def test_names_are_characters_where_the_file_is_called_so(stem, name):
    assert cns.name_of(stem) == name


def picture(path, size=(16, 16), mode="RGB", colour=(255, 0, 0)):
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_any_pictures_are_read_in_the_order_of_their_paths_also_from_folders_in_the_folder(tmp_path):
    picture(tmp_path / "b.png", colour=(0, 0, 255))
    picture(tmp_path / "a" / "z.PNG")
    (tmp_path / "notes.txt").write_text("no picture")
    found = cns.read(tmp_path, (16, 16, 3))
    assert found.names == ("z", "b")
    np.testing.assert_array_equal(found.images[:, 0, 0], [[255, 0, 0], [0, 0, 255]])
    grey = cns.read(tmp_path, SHAPE).images
    assert grey.shape == (2, *SHAPE) and 0 < grey[1, 0, 0, 0] < grey[0, 0, 0, 0] < 255


def test_a_files_name_that_is_not_utf8_becomes_text_that_can_be_written():
    """The name as Python has it of a file, and no file: some file systems take no such name."""
    assert cns.characters(np.zeros([1, *SHAPE], np.uint8), ["caf\udce9"]).names == (r"caf\udce9",)


def test_pictures_that_grey_levels_would_misread_are_named_and_an_opaque_alpha_is_none(tmp_path):
    side = SHAPE[:2]
    Image.fromarray(np.full([*side, 4], 255, np.uint8)).save(tmp_path / "opaque.png")
    assert cns.read(tmp_path, SHAPE).images.min() == 255
    Image.fromarray(np.full(side, 40_000, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.zeros([*side, 4], np.uint8)).save(tmp_path / "clear.png")
    with pytest.raises(UserError) as error:
        cns.read(tmp_path, SHAPE)
    assert "clear.png is transparent in places; deep.png has more than 8 bits a channel" in str(error.value)


def test_unreadable_and_wrongly_sized_files_are_named_with_what_was_expected(tmp_path):
    picture(tmp_path / "good.png")
    picture(tmp_path / "large.png", size=(20, 30))
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:50])
    with pytest.raises(UserError) as error:
        cns.read(tmp_path, SHAPE)
    expected = "cut.png cannot be read; large.png is 30 x 20; text.jpg cannot be read"
    assert str(error.value) == f"{tmp_path}: expected pictures of 16 x 16; {expected}"


def test_of_many_bad_files_five_are_named_and_the_others_counted(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(UserError, match="4.png cannot be read, and 2 more$"):
        cns.read(tmp_path, SHAPE)


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(UserError, match="has no pictures: wanted are files ending in .jpg, .jpeg, .png"):
        cns.read(tmp_path, SHAPE)
    with pytest.raises(UserError, match="is not there: wanted a folder"):
        cns.read(tmp_path / "missing", SHAPE)


@pytest.mark.parametrize("arrays, problem", [
    ({"images": np.zeros([2, 8, 8, 1], np.uint8), "names": np.array(["a", "b"])}, r"is uint8 \[2, 8, 8, 1\], expected"),
    ({"images": np.zeros([2, *SHAPE]), "names": np.array(["a", "b"])}, "is float64"),
    ({"images": np.zeros([0, *SHAPE], np.uint8), "names": np.array([], str)}, r"is uint8 \[0, 16, 16, 1\]"),
    ({"images": np.zeros([2, *SHAPE], np.uint8), "names": np.array(["a"])}, r"2 images but names of shape \[1\]"),
    ({"images": np.zeros([2, *SHAPE], np.uint8)}, "no array file of images and names"),
])  # fmt: skip
def test_an_array_file_of_something_else_is_refused(tmp_path, arrays, problem):
    np.savez(tmp_path / "cns.npz", **arrays)
    with pytest.raises(UserError, match=problem):
        cns.read(tmp_path / "cns.npz", SHAPE)


def test_a_damaged_array_file_is_refused(letters, tmp_path):
    cns.write(letters, tmp_path / "cns.npz", cns.LICENCE)
    raw = (tmp_path / "cns.npz").read_bytes()
    directory = raw.index(b"PK\1\2")  # where the zip file says how each of its files is packed
    unknown_packing = raw[: directory + 10] + b"\x63" + raw[directory + 11 :]
    for damaged in (raw[:200], b"", b"<html>", unknown_packing):
        (tmp_path / "cns.npz").write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged, or no array file"):
            cns.read(tmp_path / "cns.npz", SHAPE)


def test_the_default_file_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cns.default_path() == tmp_path / "disentangled-cns" / "cns.npz"


# Splitting, radicals


def numbered(number):
    images = np.arange(number, dtype=np.uint8)[:, None, None, None] * np.ones([1, 2, 2, 1], np.uint8)
    return cns.characters(images, [str(k) for k in range(number)])


def test_the_split_parts_the_characters_by_seed_and_keeps_names_with_images():
    split = cns.split(numbered(50), 10, seed=1)
    assert (len(split.train_names), len(split.held_out_names)) == (40, 10)
    assert sorted(split.train_names + split.held_out_names, key=int) == [str(k) for k in range(50)]
    for images, names in ((split.train_images, split.train_names), (split.held_out_images, split.held_out_names)):
        assert [str(image[0, 0, 0]) for image in images] == list(names)
        assert list(names) == sorted(names, key=int)
    assert cns.split(numbered(50), 10, seed=1).held_out_names == split.held_out_names
    assert cns.split(numbered(50), 10, seed=2).held_out_names != split.held_out_names


def test_nothing_can_be_held_out_and_not_everything():
    assert len(cns.split(numbered(5), 0).train_names) == 5
    for held_out in (5, 6, -1):
        with pytest.raises(UserError, match=f"held_out is {held_out}: allowed are 0 to 4"):
            cns.split(numbered(5), held_out)


def test_radicals_are_those_of_the_dictionaries():
    expected = [1, 85, 85, 156, 164, 164, 167, 167, 214]
    assert cns.radicals("一水沼趕酉酪金鉻龠").tolist() == expected
    assert cns.radicals(["A", "cat", "鿿", "㐀"]).tolist() == [cns.NO_RADICAL] * 4
