"""Trains the VAE-GAN on MNIST, its digits padded to 32 x 32."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from shared import flags
from vae_gan.train_cns import train_on

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"


def main() -> None:
    train_on("mnist", LOG_DIR, str(__doc__))


if __name__ == "__main__":
    flags.run(main)
