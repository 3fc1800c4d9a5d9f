"""Makes the 2D Sprites data set, from the Liberated Pixel Cup's sheets or from the original archive's files."""

import dataclasses
import sys
from pathlib import Path

import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from shared import flags
from shared.datasets import sprites

CHARACTERS = 672


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of make_sprites.py; one of the first two is wanted."""

    lpc_dir: Path | None = None
    """A checkout of the Universal-LPC-spritesheet, or a folder of its sheets as <layer>/<sex>/<name>.png."""
    mat_dir: Path | None = None
    """The folder of sprites_<number>.mat from the original's nips2015-analogy-data.tar.gz."""
    data_dir: Path | None = None
    """Where sprites.npy (1.3 GB) and sprites.json are written; default: the user's cache."""


def main() -> None:
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    flags.require(
        (chosen.lpc_dir is None) != (chosen.mat_dir is None),
        f"expected one of --lpc_dir and --mat_dir; got {chosen.lpc_dir} and {chosen.mat_dir}",
    )
    folder = chosen.data_dir or sprites.default_dir()
    if chosen.lpc_dir is not None:
        sprites.make_from_sheets(chosen.lpc_dir, folder)
    else:
        sprites.make_from_archive(chosen.mat_dir, folder)
    number = len(sprites.load(folder).characters)
    print(f"{folder / 'sprites.npy'}: {number} characters")
    if number != CHARACTERS:
        print(f"warning: the data set is of {CHARACTERS} characters; files may be missing", file=sys.stderr)


if __name__ == "__main__":
    flags.run(main)
