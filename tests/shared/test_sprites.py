"""2D Sprites: rebuilt from drawn sheets, read from a drawn archive, and refused where anything is wrong."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from shared.datasets import sprites
from shared.flags import UserError

LAYERS = {
    "body": {"light": "body/{sex}/light.png", "dark": "body/{sex}/dark.png"},
    "hair": {"gold": "hair/{sex}/plain/gold.png"},
}
CELL = 8


@pytest.fixture(autouse=True)
def small_cells(monkeypatch):
    monkeypatch.setattr(sprites, "CELL", CELL)
    monkeypatch.setattr(sprites, "FRAME", 4)


def draw_sheet(path, colour, opacity, inside=slice(0, CELL)):
    """A sheet whose cells are plain; red tells the row of a cell, green its column."""
    pixels = np.zeros([21, CELL, 13, CELL, 4], np.uint8)
    pixels[:, inside, :, :, 2] = colour
    pixels[:, inside, :, :, 3] = opacity
    if opacity == 255:
        pixels[..., 0] = np.arange(21)[:, None, None, None]
        pixels[..., 1] = np.arange(13)[None, None, :, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.reshape(21 * CELL, 13 * CELL, 4)).save(path)


@pytest.fixture
def sheets(tmp_path):
    for sex, colour in (("male", 100), ("female", 150)):
        draw_sheet(tmp_path / f"lpc/body/{sex}/light.png", colour, 255)
        draw_sheet(tmp_path / f"lpc/body/{sex}/dark.png", colour + 1, 255)
        draw_sheet(tmp_path / f"lpc/hair/{sex}/gold.png", 200, 128, inside=slice(2, 3))  # the uppermost row of a frame
    return tmp_path / "lpc"


def make(sheets, folder, layers=LAYERS):
    sprites.make_from_sheets(sheets, folder, layers)
    return sprites.load(folder)


# From sheets


def test_every_combination_is_composed_over_black_from_the_used_cells_in_their_order(sheets, tmp_path):
    data = make(sheets, tmp_path / "made")
    assert data.frames.shape == (4, 178, 4, 4, 3)
    assert isinstance(data.frames, np.memmap) and not data.frames.flags.writeable
    assert data.characters[1] == {"sex": "male", "body": "dark", "hair": "gold"}
    assert [(worn["sex"], worn["body"]) for worn in data.characters][2:] == [("female", "light"), ("female", "dark")]
    cells = data.frames[1, :, -1, -1]
    expected = [(row, column, 101) for row, used in enumerate([7] * 4 + [8] * 4 + [9] * 4 + [6] * 4 + [13] * 4 + [6])
                for column in range(used)]  # fmt: skip
    assert [tuple(cell) for cell in cells] == expected
    hair = data.frames[1, :, 0, :, 2]
    assert (hair == round((200 * 128 + 101 * 127) / 255)).all(), "hair lies above the body, half opaque"
    assert (data.frames[1, :, 1:, :, 2] == 101).all()


def test_poses_name_the_animation_and_direction_of_each_frame(sheets, tmp_path):
    poses = make(sheets, tmp_path / "made").poses
    assert len(poses) == 178
    assert poses[0] == {"animation": "spellcast", "direction": "up", "number": "0"}
    assert poses[7] == {"animation": "spellcast", "direction": "left", "number": "0"}
    assert poses[28] == {"animation": "thrust", "direction": "up", "number": "0"}
    assert poses[60]["animation"] == "walk" and poses[96]["animation"] == "slash" and poses[120]["animation"] == "shoot"
    assert poses[177] == {"animation": "hurt", "direction": "down", "number": "5"}


def test_a_checkout_of_the_whole_collection_is_read_by_the_table(sheets, tmp_path):
    made = make(sheets, tmp_path / "flat")
    for sex in sprites.SEXES:
        (sheets / f"hair/{sex}/plain").mkdir()
        (sheets / f"hair/{sex}/gold.png").rename(sheets / f"hair/{sex}/plain/gold.png")
    assert make(sheets, tmp_path / "checkout").sha256 == made.sha256


def test_the_table_makes_672_characters():
    assert 2 * np.prod([len(names) for names in sprites.LAYERS.values()]) == 672
    assert list(sprites.LAYERS) == ["body", "legs", "torso", "hair"], "from the skin outwards"
    assert len(sprites.poses()) == 178


def test_a_transparent_pixel_is_black_whatever_its_hidden_colour(sheets, tmp_path):
    for sex in sprites.SEXES:
        draw_sheet(sheets / f"body/{sex}/light.png", 90, 0)
    data = make(sheets, tmp_path / "made", {"body": {"light": "body/{sex}/light.png"}})
    assert data.frames.shape[0] == 2 and not data.frames.any()


@pytest.mark.parametrize("break_sheet, told", [
    (lambda path: path.unlink(), "lacks a sheet: there is no .*hair/female/gold.png nor .*hair/female/plain/gold.png"),
    (lambda path: Image.new("RGBA", (13 * CELL, 20 * CELL)).save(path),
     "gold.png is 104 x 160 pixels, a sheet has 104 x 168"),
    (lambda path: path.write_text("<html>"), "gold.png is not a picture"),
    (lambda path: path.write_bytes(path.read_bytes().replace(b"IDAT", b"I AT")), "gold.png is not a picture"),
], ids=["missing", "other size", "no picture", "damaged"])  # fmt: skip
def test_a_sheet_that_is_missing_or_of_another_size_is_named_and_nothing_is_written(
    sheets, tmp_path, break_sheet, told
):
    break_sheet(sheets / "hair/female/gold.png")
    with pytest.raises(UserError, match=told):
        make(sheets, tmp_path / "made")
    assert not (tmp_path / "made").exists()


# Where they cannot be written


def test_a_folder_below_a_file_is_refused(sheets, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*file/made/sprites.npy: .*Not a directory"):
        make(sheets, tmp_path / "file" / "made")


def test_a_full_disk_is_refused_and_leaves_what_was_there(sheets, tmp_path, disk_that_takes):
    made = make(sheets, tmp_path / "made").sha256
    with disk_that_takes(20_000), pytest.raises(UserError, match="cannot write .*sprites.npy: .*File too large"):
        make(sheets, tmp_path / "made", {"hair": LAYERS["hair"], "body": LAYERS["body"]})
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["sprites.json", "sprites.npy"]
    assert sprites.load(tmp_path / "made").sha256 == made


def test_frames_are_written_so_that_a_full_disk_can_be_told(sheets, tmp_path, monkeypatch):
    """A write to a memory map of a sparse file ends the process with SIGBUS, which no test survives."""
    monkeypatch.setattr(np.lib.format, "open_memmap", None)
    sprites.make_from_sheets(sheets, tmp_path / "made", LAYERS)


# From the original archive


def write_mat(path, sequences):
    """A file as MATLAB writes cell arrays: references to arrays, each [pixels in columns, frames] seen from HDF5."""
    with h5py.File(path, "w") as file:
        references = [file.create_dataset(f"#refs#/{k}", data=s).ref for k, s in enumerate(sequences)]
        file.create_dataset("sprites", data=np.array([references], h5py.ref_dtype).T, dtype=h5py.ref_dtype)


def as_matlab(frames):
    """[frames, 4 * 4 * 3] column-major, in [0, 1], of frames uint8 [frames, 4, 4, 3]."""
    return np.stack([frame.ravel(order="F") for frame in frames]) / 255


@pytest.fixture
def archive(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, [3, 5, 4, 4, 3]).astype(np.uint8)
    (tmp_path / "mat").mkdir()
    for name, character in ((10, 2), (2, 1), (0, 0)):
        sequences = [as_matlab(frames[character, :2]), as_matlab(frames[character, 2:])]
        write_mat(tmp_path / f"mat/sprites_{name}.mat", sequences)
    (tmp_path / "mat/sprites_splits.mat").write_bytes(b"of no use here")
    return tmp_path / "mat", frames


def test_the_archives_columns_come_first_and_characters_in_the_order_of_their_numbers(archive, tmp_path):
    folder, frames = archive
    sprites.make_from_archive(folder, tmp_path / "made")
    data = sprites.load(tmp_path / "made")
    np.testing.assert_array_equal(data.frames, frames)
    assert [worn["file"] for worn in data.characters] == ["sprites_0.mat", "sprites_2.mat", "sprites_10.mat"]
    assert data.poses[2] == {"sequence": "1", "number": "0"}


@pytest.mark.parametrize("write, told", [
    (lambda path: write_mat(path, [np.zeros([3, 48])]), r"sprites_2.mat has sequences of \[3\] frames"),
    (lambda path: write_mat(path, [np.zeros([2, 47])]), "expected rows of 48 values; got shape"),
    (lambda path: write_mat(path, [np.full([2, 48], 255.0), np.zeros([3, 48])]), r"numbers in \[0, 1\]"),
    (lambda path: path.write_bytes(b"MATLAB 5.0"), "not one of the original's .mat files"),
    (lambda path: write_mat(path, []), "sprites_2.mat has no sequence of frames"),
], ids=["fewer frames", "other size", "other range", "older format", "empty"])  # fmt: skip
def test_a_file_of_the_archive_that_differs_is_named(archive, tmp_path, write, told):
    write(archive[0] / "sprites_2.mat")
    with pytest.raises(UserError, match=told):
        sprites.make_from_archive(archive[0], tmp_path / "made")
    assert not (tmp_path / "made" / "sprites.npy").exists() and not list((tmp_path).glob("made/.sprites*"))


def test_a_folder_without_the_archives_files_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no sprites_<number>.mat"):
        sprites.make_from_archive(tmp_path, tmp_path / "made")


# Loading


@pytest.fixture
def made(sheets, tmp_path):
    make(sheets, tmp_path / "made")
    return tmp_path / "made"


def flip(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 255
    path.write_bytes(content)


def test_data_that_are_not_there_say_how_they_are_made(tmp_path):
    with pytest.raises(UserError, match="sprites.npy is not there; code/cycle_vae/make_sprites.py makes it"):
        sprites.load(tmp_path)


@pytest.mark.parametrize("damage, told", [
    (flip, "is damaged: sha256"),
    (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is cut or damaged"),
    (lambda path: np.save(path, np.zeros([3, 178, 4, 4, 3], np.uint8)), r"expected uint8 \[4, 178\] frames"),
    (lambda path: np.save(path, np.zeros([4, 178, 4, 4, 3])), "got float64"),
    (lambda path: path.with_suffix(".json").write_text('{"characters": '), "sprites.json is damaged"),
    (lambda path: path.with_suffix(".json").unlink(), "sprites.json is not there"),
], ids=["a bit", "cut", "other characters", "other numbers", "cut description", "no description"])  # fmt: skip
def test_damaged_data_are_refused(made, damage, told):
    damage(made / "sprites.npy")
    with pytest.raises(UserError, match=told):
        sprites.load(made)


def test_unverified_data_are_taken_under_their_own_hash(made):
    recorded = json.loads((made / "sprites.json").read_text())["sha256"]
    flip(made / "sprites.npy")
    assert sprites.load(made, unverified=True).sha256 != recorded


# Split


def test_train_and_test_characters_are_disjoint_and_450_to_222():
    train, test = sprites.split(672)
    assert (len(train), len(test)) == (450, 222)
    assert sorted([*train, *test]) == list(range(672))
    again, _ = sprites.split(672)
    np.testing.assert_array_equal(train, again)


def test_one_character_cannot_be_split():
    with pytest.raises(UserError, match="at least 2 characters"):
        sprites.split(1)
