"""Makes the data set of Chinese characters from the TW-Kai font."""

import dataclasses
import sys
from pathlib import Path

import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from shared import flags
from shared.datasets import cns

LARGEST = 1024  # pixels a side: 20,000 of them would be 20 GB


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of make_cns.py."""

    output: Path | None = None
    """Array file, where it ends in .npz, or an empty folder for U{code point}.jpg; default: a file in the user's cache,
    where train_cns.py looks for it."""
    font: Path | None = None
    """Font file; default: TW-Kai-98_1.ttf in the usual folders."""
    number: int = 20_000
    """Characters, the first in Unicode's order from U+4E00."""
    size: int = 32
    """Height and width of a picture in pixels."""


def main() -> None:
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    flags.require(chosen.number >= 1, f"--number: expected 1 or more; got {chosen.number}")
    flags.require(1 <= chosen.size <= LARGEST, f"--size: expected 1 to {LARGEST}; got {chosen.size}")
    output = chosen.output or cns.default_path()
    font = chosen.font or cns.find_font()
    found, skipped = cns.render(font, chosen.number, chosen.size)
    licence = cns.licence_of(font)
    cns.write(found, output, licence)
    print(f"{len(found.names):,} characters, {found.names[0]} to {found.names[-1]}: {output}")
    print(f"Code points without a glyph, skipped: {skipped}")
    if licence:
        print(f"Font: {licence}")


if __name__ == "__main__":
    flags.run(main)
