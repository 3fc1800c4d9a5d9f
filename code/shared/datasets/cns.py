"""Chinese characters as pictures: rendered from the TW-Kai font of CNS 11643, or read from a folder or an array file.

A folder holds one picture a character, U<code point, decimal>.jpg; any other folder of pictures is read as well. An
array file is numpy's .npz with `images` and `names`. Source: get_data.sh and iohandler/datareader.py of tf-vaegan,
whose archive of TWKai98_32x32 is gone.
"""

import hashlib
import io
import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shared.files import DAMAGED_ARRAYS, written_whole
from shared.flags import UserError, require

FONT_FILE = "TW-Kai-98_1.ttf"
FONT_PACKAGE = "fonts-cns11643-kai"
LICENCE = (
    "TW-Kai of CNS 11643 (www.cns11643.gov.tw), National Development Council, Taiwan: "
    "Open Government Data License, version 1.0, compatible with CC BY 4.0"
)
FONT_FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts",
    "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts",
)  # fmt: skip
IDEOGRAPHS = range(0x4E00, 0xA000)  # sorted by radical, up to LAST_SORTED
LAST_SORTED = 0x9FA5
NO_CHARACTER = "\uffff"  # Unicode keeps it free: every font draws its box for missing glyphs
ENDINGS = (".jpg", ".jpeg", ".png")
NO_RADICAL = -1
SURROGATES = range(0xD800, 0xE000)  # code points that are no characters and cannot be written


class Characters(NamedTuple):
    """Pictures and what each is called; the arrays are read-only.

    Attributes:
        images: uint8 [number, height, width, channels]; characters are white on black.
        names: the character, or, of a picture that is not called U<code point>, its file's name without the ending.
        sha256: hex digest of all of it.
    """

    images: np.ndarray
    names: tuple[str, ...]
    sha256: str


class Split(NamedTuple):
    """Characters in two; images uint8 [n, height, width, channels]."""

    train_images: np.ndarray
    train_names: tuple[str, ...]
    held_out_images: np.ndarray
    held_out_names: tuple[str, ...]


def default_path() -> Path:
    """The array file that is made, and looked for, where no other is named: in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "disentangled-cns" / "cns.npz"


# Rendering


def find_font(folders: Sequence[str] = FONT_FOLDERS) -> Path:
    """The TW-Kai font in the usual folders.

    Raises:
        UserError: it is not there; the message says which package brings it.
    """
    for folder in folders:
        found = sorted(Path(folder).expanduser().rglob(FONT_FILE))
        if found:
            return found[0]
    raise UserError(
        f"{FONT_FILE} is not in {', '.join(folders)}: install Debian's package {FONT_PACKAGE}, or give --font a file"
    )


def licence_of(font_path: Path) -> str:
    """The credit that pictures of this font carry: LICENCE of TW-Kai; "" of any other, whose terms are not known."""
    return LICENCE if font_path.name == FONT_FILE else ""


def render(font_path: Path, number: int, size: int = 32) -> tuple[Characters, int]:
    """The first `number` ideographs, in Unicode's order from U+4E00 to U+9FFF, that a font has glyphs for.

    Each is drawn with an em of `size` pixels, white on black, the em in the middle of the picture.

    Args:
        font_path: a TrueType or OpenType font.
        number: of characters, at least 1.
        size: height and width of a picture.
    Returns:
        The characters, and how many code points were skipped on the way for want of a glyph.
    Raises:
        UserError: the font cannot be read, or has fewer glyphs; the message says how many.
    """
    require(number >= 1 and size >= 1, f"number and size: expected 1 or more; got {number} and {size}")
    try:
        font = ImageFont.truetype(str(font_path), size)
    except OSError as error:
        raise UserError(f"{font_path} cannot be read as a font: {error}") from error
    # Pillow does not tell whether a font has a glyph. One that it lacks is drawn as the font's box for such, or not
    # at all; no character looks like either.
    missing = {bytes(size * size), drawn(font, NO_CHARACTER, size).tobytes()}
    images, names, skipped = [], [], 0
    for code_point in IDEOGRAPHS:
        image = drawn(font, chr(code_point), size)
        if image.tobytes() in missing:
            skipped += 1
            continue
        images.append(image)
        names.append(chr(code_point))
        if len(images) == number:
            return characters(np.stack(images)[..., np.newaxis], names), skipped
    raise UserError(
        f"{font_path} has glyphs of {len(images):,} of the {len(IDEOGRAPHS):,} ideographs: {number:,} were wanted"
    )


def drawn(font: ImageFont.FreeTypeFont, character: str, size: int) -> np.ndarray:
    """One character, uint8 [size, size]."""
    picture = Image.new("L", (size, size))
    ImageDraw.Draw(picture).text((size / 2, size / 2), character, fill=255, font=font, anchor="mm")
    return np.asarray(picture)


def characters(images: np.ndarray, names: Sequence[str]) -> Characters:
    """Pictures, uint8 [number, height, width, channels], and their names, with their hash."""
    # A file's name that is not UTF-8 comes with surrogates in it, which can be neither hashed nor printed nor saved.
    names = tuple(name.encode("utf-8", "backslashreplace").decode() for name in names)
    digest = hashlib.sha256(f"{images.shape}\n".encode() + "\n".join(names).encode() + images.tobytes()).hexdigest()
    images.setflags(write=False)  # or the recorded hash could come to lie
    return Characters(images, names, digest)


def write(found: Characters, path: Path, licence: str) -> None:
    """Writes an array file where the path ends in .npz, and else a folder of U<code point>.jpg.

    Args:
        licence: kept with the pictures, unless it is empty: `licence_of` their font.
    Raises:
        UserError: it cannot be written, or the folder has something in it.
    """
    try:
        if path.suffix == ".npz":
            path.parent.mkdir(parents=True, exist_ok=True)
            credit = {"licence": licence} if licence else {}
            with written_whole(path) as partial:
                np.savez_compressed(partial, images=found.images, names=np.array(found.names), **credit)
            return
        path.mkdir(parents=True, exist_ok=True)
        require(not any(path.iterdir()), f"{path} is not empty")
        if licence:
            (path / "LICENCE.txt").write_text(f"{licence}\n", encoding="utf-8")
        for image, name in zip(found.images, found.names):
            Image.fromarray(image[:, :, 0]).save(path / f"U{ord(name)}.jpg", quality=95)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}") from error


# Reading


def read(path: Path, shape: tuple[int, int, int]) -> Characters:
    """The pictures of an array file, or of a folder and the folders in it, in the order of their paths.

    Args:
        path: an .npz file, or a folder of .jpg and .png files.
        shape: height, width and channels that each picture must have; with 1 channel colours become grey.
    Raises:
        UserError: nothing is there; pictures that cannot be read or are of another size (the message names them).
    """
    if path.is_dir():
        return _read_folder(path, shape)
    require(path.is_file(), f"{path} is not there: wanted a folder of pictures, or an .npz file of images and names")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            images, names = archive["images"], archive["names"]
    except DAMAGED_ARRAYS as error:
        raise UserError(f"{path} is damaged, or no array file of images and names: {error}") from error
    expected = f"uint8 [number, {', '.join(map(str, shape))}]"
    require(images.dtype == np.uint8 and images.shape[1:] == shape and len(images) > 0,
            f"{path}: images is {images.dtype} {list(images.shape)}, expected was {expected}")  # fmt: skip
    require(names.shape == (len(images),), f"{path}: {len(images):,} images but names of shape {list(names.shape)}")
    return characters(images, [str(name) for name in names])


def _read_folder(folder: Path, shape: tuple[int, int, int]) -> Characters:
    height, width, channels = shape
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    require(bool(paths), f"{folder} has no pictures: wanted are files ending in {', '.join(ENDINGS)}")
    images, faults = [], []
    for path in paths:
        try:
            with Image.open(path) as picture:
                if picture.mode.startswith(("I", "F")):
                    faults.append(f"{path.name} has more than 8 bits a channel")
                elif picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
                    faults.append(f"{path.name} is transparent in places")
                elif picture.size == (width, height):
                    image = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
                    images.append(image.reshape(shape))
                else:
                    faults.append(f"{path.name} is {picture.height} x {picture.width}")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's, on damaged files
            faults.append(f"{path.name} cannot be read")
    if faults:
        rest = f", and {len(faults) - 5:,} more" if len(faults) > 5 else ""
        raise UserError(f"{folder}: expected pictures of {height} x {width}; {'; '.join(faults[:5])}{rest}")
    return characters(np.stack(images), [name_of(path.stem) for path in paths])


def name_of(stem: str) -> str:
    """The character that a file's name, U<code point, decimal>, stands for; any other name as it is."""
    match = re.fullmatch(r"U(\d{1,7})", stem)
    if match and int(match[1]) <= sys.maxunicode and int(match[1]) not in SURROGATES:
        return chr(int(match[1]))
    return stem


def split(found: Characters, held_out: int, seed: int = 0) -> Split:
    """Draws the characters that are held out; both parts keep their order.

    Args:
        held_out: number, 0 or more, fewer than there are.
        seed: of the draw.
    Raises:
        UserError: nothing would be left to train on.
    """
    number = len(found.names)
    require(0 <= held_out < number, f"held_out is {held_out}: allowed are 0 to {number - 1}, fewer than the pictures")
    is_held_out = np.zeros(number, bool)
    is_held_out[np.random.default_rng(seed).choice(number, held_out, replace=False)] = True
    names = np.array(found.names, object)
    return Split(
        found.images[~is_held_out], tuple(names[~is_held_out]), found.images[is_held_out], tuple(names[is_held_out])
    )


def radicals(names: Sequence[str]) -> np.ndarray:
    """The radical, 1 to 214, under which dictionaries have each character; NO_RADICAL of anything else.

    Unicode sorts U+4E00 to U+9FA5 by radical, and says which of them the radicals themselves are.

    Returns:
        int64 [number].
    """
    first = [ord(unicodedata.normalize("NFKC", chr(radical))) for radical in range(0x2F00, 0x2FD6)]
    code_points = np.array([ord(name) if len(name) == 1 else 0 for name in names], np.int64)
    found = np.searchsorted(first, code_points, side="right")
    return np.where((code_points >= IDEOGRAPHS.start) & (code_points <= LAST_SORTED), found, NO_RADICAL)
