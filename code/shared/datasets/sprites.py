"""2D Sprites: rebuilds the frames from the Liberated Pixel Cup's sheets, or reads the original archive's files.

Either becomes sprites.npy, uint8 [characters, frames, 60, 60, 3], which is memory-mapped where it is used, and
sprites.json, which says what each character wears, what it does in each frame, and the array's sha256.
"""

import itertools
import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from shared.files import sha256
from shared.flags import UserError, require

CELL, FRAME = 64, 60  # pixels: of a sheet's cell, and of what is cut out of its middle
COLUMNS = 13  # cells
FRAMES_OF = {"spellcast": 7, "thrust": 8, "walk": 9, "slash": 6, "shoot": 13, "hurt": 6}  # in the order of the rows
DIRECTIONS = ("up", "left", "down", "right")  # rows of an animation
ONLY_DOWN = "hurt"

SEXES = ("male", "female")
# What a character is composed of, from the skin outwards: by layer and name, the place of the sheet in a checkout of
# the Universal-LPC-spritesheet. The other layout has all of them as <layer>/<sex>/<name>.png.
LAYERS = {
    "body": {
        name: f"body/{{sex}}/{name}.png"
        for name in ("light", "tanned2", "dark", "darkelf", "darkelf2", "orc", "red_orc")
    },
    "legs": {
        "teal_pants": "legs/pants/{sex}/teal_pants_{sex}.png",
        "metal_pants": "legs/armor/{sex}/metal_pants_{sex}.png",
        "golden_greaves": "legs/armor/{sex}/golden_greaves_{sex}.png",
    },
    "torso": {
        "leather": "torso/leather/chest_{sex}.png",
        "chain": "torso/chain/mail_{sex}.png",
        "plate": "torso/plate/chest_{sex}.png",
        "gold": "torso/gold/chest_{sex}.png",
    },
    "hair": {
        "plain_gold": "hair/{sex}/plain/gold.png",
        "long_pink": "hair/{sex}/long/pink.png",
        "mohawk_green": "hair/{sex}/mohawk/green.png",
        "messy1_blue": "hair/{sex}/messy1/blue.png",
    },
}
TEST_SHARE = 0.33
SPLIT_SEED = 42


class Sprites(NamedTuple):
    """The data set.

    Attributes:
        frames: uint8 [characters, frames, height, width, 3], memory-mapped, read-only, black background.
        characters: of each character its attributes by name, such as {"sex": "male", "hair": "long_pink", ...}.
        poses: of each frame what it shows, such as {"animation": "walk", "direction": "up", ...}.
        sha256: hex digest of the array file.
    """

    frames: np.ndarray
    characters: list[dict[str, str]]
    poses: list[dict[str, str]]
    sha256: str


def default_dir() -> Path:
    """Where the data set is, and is made, unless a folder is named."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "disentangled-sprites"


def load(data_dir: Path | None = None, *, unverified: bool = False) -> Sprites:
    """The data set that make_from_sheets or make_from_archive wrote, memory-mapped.

    Args:
        data_dir: folder that holds it; default: default_dir().
        unverified: take the array though its sha256 is not the one in sprites.json.
    Raises:
        UserError: it is not there, is cut or damaged, or the two files do not belong together.
    """
    folder = data_dir or default_dir()
    array, description = folder / "sprites.npy", folder / "sprites.json"
    for path in (array, description):
        require(path.is_file(), f"{path} is not there; code/cycle_vae/make_sprites.py makes it")
    try:
        values = json.loads(description.read_text())
        characters, poses, recorded = values["characters"], values["poses"], values["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{description} is damaged: {error!r}") from None
    try:
        frames = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{array} is cut or damaged: {error}") from None
    shape = [len(characters), len(poses)]
    good = frames.dtype == np.uint8 and frames.ndim == 5 and [*frames.shape[:2]] == shape and frames.shape[4] == 3
    require(good, f"{array}: expected uint8 {shape} frames of 3 colours; got {frames.dtype} {[*frames.shape]}")
    digest = sha256(array)
    require(unverified or digest == recorded, f"{array} is damaged: sha256 {digest}, {description} has {recorded}")
    return Sprites(frames, characters, poses, digest)


def split(number_of_characters: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the characters to train on and of those to test on, each sorted: 450 and 222 of 672.

    The same for every seed of a training, so that a test character is new to every model.

    Raises:
        UserError: fewer than two characters.
    """
    require(number_of_characters >= 2, f"expected at least 2 characters, to split them; got {number_of_characters}")
    order = np.random.default_rng(SPLIT_SEED).permutation(number_of_characters)
    tests = math.ceil(TEST_SHARE * number_of_characters)
    return np.sort(order[tests:]), np.sort(order[:tests])


def poses() -> list[dict[str, str]]:
    """What each of the 178 used cells of a sheet shows, in the order of its rows."""
    return [
        {"animation": animation, "direction": direction, "number": str(number)}
        for animation, count in FRAMES_OF.items()
        for direction in (("down",) if animation == ONLY_DOWN else DIRECTIONS)
        for number in range(count)
    ]


def make_from_sheets(lpc_dir: Path, folder: Path, layers: dict[str, dict[str, str]] = LAYERS) -> None:
    """Rebuilds the data set: every combination of a sex and one sheet of each layer.

    Args:
        lpc_dir: a checkout of the Universal-LPC-spritesheet, or a folder of <layer>/<sex>/<name>.png.
        folder: where sprites.npy and sprites.json are written; made if missing.
        layers: as LAYERS.
    Raises:
        UserError: a sheet is missing, is no picture or has another size; nothing is written.
    """
    sheets = {
        (layer, sex, name): _cells(_find_sheet(lpc_dir, layer, sex, name, place.format(sex=sex)))
        for layer, places in layers.items()
        for name, place in places.items()
        for sex in SEXES
    }
    characters = [
        dict(zip(("sex", *layers), combination)) for combination in itertools.product(SEXES, *layers.values())
    ]
    composed = (_compose(sheets[layer, worn["sex"], worn[layer]] for layer in layers) for worn in characters)
    _write(folder, composed, characters, poses())


def make_from_archive(mat_dir: Path, folder: Path) -> None:
    """Reads the original archive's sprites_<number>.mat, in the order of their numbers.

    What a character wears is not in these files; a frame is known by the sequence it is part of.

    Raises:
        UserError: there are none, or one is not such a file or has other frames than the first; no data set is written.
    """
    found = [path for path in mat_dir.glob("sprites_*.mat") if path.stem.removeprefix("sprites_").isdigit()]
    paths = sorted(found, key=lambda path: int(path.stem.removeprefix("sprites_")))
    require(bool(paths), f"{mat_dir} has no sprites_<number>.mat")
    lengths = [len(sequence) for sequence in _sequences(paths[0])]
    in_order = [{"sequence": str(k), "number": str(i)} for k, length in enumerate(lengths) for i in range(length)]

    def frames_of(path: Path) -> np.ndarray:
        sequences = _sequences(path)
        theirs = [len(sequence) for sequence in sequences]
        require(theirs == lengths, f"{path} has sequences of {theirs} frames, {paths[0].name} of {lengths}")
        return np.concatenate(sequences)

    characters = [{"file": path.name} for path in paths]
    _write(folder, map(frames_of, paths), characters, in_order)


def _find_sheet(lpc_dir: Path, layer: str, sex: str, name: str, place: str) -> Path:
    places = [lpc_dir / layer / sex / f"{name}.png", lpc_dir / place]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        named = " nor ".join(dict.fromkeys(map(str, places)))  # of a body, one place
        raise UserError(f"{lpc_dir} lacks a sheet: there is no {named}")
    return found


def _cells(path: Path) -> np.ndarray:
    """The used cells of a sheet, cut to frames: uint8 [frames, FRAME, FRAME, 4], the last value being opacity."""
    rows = [count for name, count in FRAMES_OF.items() for _ in (DIRECTIONS if name != ONLY_DOWN else ("down",))]
    size = (COLUMNS * CELL, len(rows) * CELL)
    try:
        with Image.open(path) as picture:
            require(picture.size == size, f"{path} is {picture.size[0]} x {picture.size[1]} pixels, "
                    f"a sheet has {size[0]} x {size[1]}")  # fmt: skip
            pixels = np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's, on damaged files
        raise UserError(f"{path} is not a picture: {error}") from None
    cells = pixels.reshape(len(rows), CELL, COLUMNS, CELL, 4).transpose(0, 2, 1, 3, 4)
    margin = (CELL - FRAME) // 2
    cells = cells[:, :, margin : margin + FRAME, margin : margin + FRAME]
    return np.concatenate([row[:count] for row, count in zip(cells, rows)])


def _compose(layers: Iterable[np.ndarray]) -> np.ndarray:
    """Frames, uint8 [frames, FRAME, FRAME, 3], of layers with opacity, the first undermost, over black."""
    composed = np.zeros([], np.uint16)
    for layer in layers:
        colour, opacity = layer[..., :3].astype(np.uint16), layer[..., 3:].astype(np.uint16)
        composed = (colour * opacity + composed * (255 - opacity) + 127) // 255
    return composed.astype(np.uint8)


def _sequences(path: Path) -> list[np.ndarray]:
    """The animations in a file of the original archive: uint8 [frames, FRAME, FRAME, 3] each."""
    import h5py  # MATLAB's files of version 7.3 are HDF5

    try:
        with h5py.File(path, "r") as file:
            sequences = [np.asarray(file[reference]) for reference in np.asarray(file["sprites"]).ravel()]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not one of the original's .mat files: {error}") from None
    require(bool(sequences), f"{path} has no sequence of frames")
    values = FRAME * FRAME * 3
    for sequence in sequences:
        require(sequence.ndim == 2 and sequence.shape[1] == values,
                f"{path}: expected rows of {values} values; got shape {list(sequence.shape)}")  # fmt: skip
    # MATLAB counts columns first: a row is [colour, column, row].
    return [_as_bytes(s, path).reshape(-1, 3, FRAME, FRAME).transpose(0, 3, 2, 1) for s in sequences]


def _as_bytes(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    require(bool(np.all((values >= 0) & (values <= 1))), f"{path}: expected bytes, or numbers in [0, 1]")
    return np.rint(values * 255).astype(np.uint8)


def _write(folder: Path, composed: Iterable[np.ndarray], characters: list[dict], in_order: list[dict]) -> None:
    """Writes both files; they appear whole or not at all.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    partial, partial_json = folder / ".sprites.npy", folder / ".sprites.json"
    shape = (len(characters), len(in_order), FRAME, FRAME, 3)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # Not through a memory map: where the disk is full that kills the process instead of raising an error.
            with partial.open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for frames in tqdm(composed, total=shape[0], unit="character", disable=not sys.stderr.isatty()):
                    file.write(frames.tobytes())
            description = {"sha256": sha256(partial), "characters": characters, "poses": in_order}
            partial_json.write_text(json.dumps(description, indent=1) + "\n")
            partial.replace(folder / "sprites.npy")
            partial_json.replace(folder / "sprites.json")
        finally:
            partial.unlink(missing_ok=True)
            partial_json.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder / 'sprites.npy'}: {error}") from error
