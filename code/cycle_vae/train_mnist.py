"""Trains the cycle-consistent VAE on MNIST."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from cycle_vae import pairs
from cycle_vae.config import PRESETS
from cycle_vae.train_sprites import train_on
from shared import flags, run_folders
from shared.datasets import mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"


def main() -> None:
    presets = {"default": PRESETS["mnist"]}
    config, folder = run_folders.parse_flags("cycle_vae", presets, LOG_DIR, str(__doc__))
    flags.require(config.data_set == "mnist", f"--resume: {folder} is a run of train_{config.data_set}.py")
    data = mnist.load(config.data_dir, unverified=config.unverified_data)
    size = mnist.IMAGE_SHAPE[0]
    flags.require(
        config.image_size == size, f"--filters {config.filters} make images of {config.image_size} pixels, not {size}"
    )
    train_on(data, pairs.of_mnist(data), config, folder, LOG_DIR)


if __name__ == "__main__":
    flags.run(main)
