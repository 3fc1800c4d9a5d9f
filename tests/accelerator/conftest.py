"""Lets the tests of this folder import its modules, as its scripts do, and the tests' small VAE-GAN."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "vae_gan")]
