"""Every hyper-parameter of the cycle-consistent VAE, with the originals' defaults.

Source: train_512_64_in.py of the sprites program; main.py of the authors' MNIST program, which names the flags.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shared.flags import RunFlags, require

OPERATIONS_AT_ONCE = 2  # share the cores in training, faster than one at a time: tests/benchmarks/NOTES.md

DataSet = Literal["sprites", "mnist"]


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    """The flags of train_sprites.py and train_mnist.py; the defaults are the sprites program's."""

    EXTENDED_BY = "max_epochs"

    data_set: Annotated[DataSet, tyro.conf.Fixed, tyro.conf.Suppress] = "sprites"
    """Which of the two programs this is; the script decides."""
    data_dir: Path | None = None
    """The data. Sprites: a folder that make_sprites.py wrote; digits: a folder of MNIST's files, or an .npz file.
    Default: the user's cache; digits are downloaded, sprites made by make_sprites.py."""
    style_dim: int = 512
    """Length of z, the unspecified code: pose, style."""
    class_dim: int = 64
    """Length of s, the specified code: identity."""
    filters: tuple[int, ...] = (16, 32, 64, 128)
    """Of the encoder's convolutions, mirrored in the decoder: four make images of 60 pixels, three 28, two 12."""
    norm: Literal["instance", "batch"] = "instance"
    """Between the layers."""
    batch_size: int = 16
    """Pairs of images a step; the reverse cycle takes two more batches of single images."""
    max_epochs: Annotated[int, tyro.conf.arg(aliases=["--end_epoch"])] = 500
    """Epochs planned; an epoch has as many steps as there are whole batches of pairs."""
    initial_learning_rate: float = 1e-4
    """Of both Adams."""
    step_size: int = 0
    """Epochs after which the learning rate falls to a tenth, each time; 0: never."""
    beta_1: float = 0.9
    """Of both Adams."""
    beta_2: float = 0.999
    """Of both Adams."""
    reconstruction_coef: float = 2.0
    """Weight of the reconstruction errors."""
    kl_divergence_coef: float = 3.0
    """Weight of the KL divergences."""
    reverse_cycle_coef: float = 10.0
    """Weight of the reverse cycle's loss."""
    picture_every: int = 10
    """Epochs between two sets of grids; the first epoch and the last have theirs."""

    @property
    def num_channels(self) -> int:
        """Of the images."""
        return 3 if self.data_set == "sprites" else 1

    @property
    def image_size(self) -> int:
        """Height and width of the images that the decoder makes of a 2 x 2 start."""
        size = 2
        for _ in self.filters[1:]:
            size = 2 * size + 2
        return 2 * size

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "style_dim", "class_dim", "filters", "batch_size", "max_epochs", "picture_every")
        self.require_at_least(0, "initial_learning_rate", "step_size")
        self.require_at_least(0, "reconstruction_coef", "kl_divergence_coef", "reverse_cycle_coef")
        require(len(self.filters) >= 2, f"--filters: expected two numbers or more; got {self.filters}")
        for name in ("beta_1", "beta_2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"--{name}: expected 0 or more, below 1; got {value}")


PRESETS = {
    "sprites": Config(),
    "mnist": Config(
        data_set="mnist",
        style_dim=16,
        class_dim=16,
        filters=(16, 32, 64),
        batch_size=64,
        max_epochs=100,
        step_size=80,
        picture_every=5,
    ),
}
