"""Every hyper-parameter of InfoGAN, with the original's default. Source: examples/gans.py of tf-gans."""

import dataclasses
from typing import Annotated, Literal

import tyro

from shared.flags import RunFlags, require

OPERATIONS_AT_ONCE = 1  # has all cores in training; two at a time are no faster: tests/benchmarks/NOTES.md


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    """The flags of train_mnist.py."""

    EXTENDED_BY = "max_epochs"

    preset: Literal["default", "paper"] = "default"
    """Networks and defaults: those of the original program, or of the paper's MNIST experiment."""
    num_z: Annotated[int, tyro.conf.arg(aliases=["--zlen"])] = 100
    """Length of the noise vector."""
    categorical_sizes: tuple[int, ...] = (10,)
    """Classes of each categorical code."""
    num_continuous: int = 4
    """Number of continuous codes."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bsize"])] = 128
    """Images a step."""
    max_epochs: Annotated[int, tyro.conf.arg(aliases=["--maxepoch"])] = 50
    """Passes over the 60,000 images."""
    lr_d: Annotated[float, tyro.conf.arg(aliases=["--lr"])] = 2e-4
    """Adam's learning rate for the discriminator and the recognition network."""
    lr_g: float = 1e-3
    """Adam's learning rate for the generator: the program's 1e-3, where its text says 2e-3."""
    keep_prob: float = 1.0
    """Fraction of the generator's convolutional features that dropout keeps in training."""
    nd: int = 1
    """Discriminator updates a step."""
    ng: int = 1
    """Generator updates a step."""
    w_mutual: float = 1.0
    """Weight (lambda) of the mutual-information bound."""
    continuous_weight: float = 0.1
    """Weight of the continuous codes within the bound."""
    clip_norm: float = 10.0
    """Largest global norm of an update's gradients; 0 does not clip."""
    image_size: tyro.conf.Suppress[int] = 28
    channels: tyro.conf.Suppress[int] = 1
    train: bool = False
    """The original's; this script always trains."""
    gan_type: Literal["infogan"] = "infogan"
    """The original's."""
    dataset: Literal["mnist"] = "mnist"
    """The original's."""

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "num_z", "batch_size", "max_epochs", "nd", "ng")
        self.require_at_least(2, "categorical_sizes")
        self.require_at_least(0, "num_continuous", "lr_d", "lr_g", "w_mutual", "continuous_weight", "clip_norm")
        require(0 < self.keep_prob <= 1, f"--keep_prob: expected above 0, at most 1; got {self.keep_prob}")


# The paper leaves the variance of Q(c|x) open for MNIST; its authors' program fixes it at one, unweighted.
PRESETS = {
    "default": Config(),
    "paper": Config(preset="paper", num_z=62, num_continuous=2, max_steps=5000, continuous_weight=1.0, clip_norm=0.0),
}
