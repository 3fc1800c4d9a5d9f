"""Files that are written whole, read though some of it is damaged, and hashed. Imports no TensorFlow."""

import contextlib
import hashlib
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

# What reading a damaged .npz file raises: a byte that is another may lie in the zip's directory, in compressed data, or
# in an array's header, which is Python.
DAMAGED_ARRAYS = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives the path to write to; the file takes the place of `path` when all is written.

    A kill or a full disk leaves what was there before.
    """
    partial = path.with_name(f".{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def json_lines(path: Path) -> list[dict]:
    """The objects of a file that holds one a line; [] where there is no file.

    A line that is cut, as a kill may leave the last one, or damaged is passed over.
    """
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict)]


def sha256(path: Path) -> str:
    """The file's hex digest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
