"""Every hyper-parameter of Bidirectional InfoGAN, with the original's default. Source: its train_mnist.py."""

import dataclasses
from typing import Literal

from shared.flags import RunFlags, require

OPERATIONS_AT_ONCE = 2  # share the cores in training, faster than one at a time: tests/benchmarks/NOTES.md

Activation = Literal["elu", "relu", "lrelu"]


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    """The flags of train_mnist.py."""

    num_z: int = 16
    """Length of the noise vector."""
    categorical_sizes: tuple[int, ...] = (10,)
    """Classes of each categorical code."""
    num_continuous: int = 2
    """Number of continuous codes."""
    batch_size: int = 128
    """Images a step."""
    iterations: int = 30_000
    """Steps planned; the learning rates fall until the last."""
    lr_d: float = 1e-4
    """Adam's first learning rate for the discriminator."""
    lr_g: float = 5e-4
    """Adam's first learning rate for the generator and the encoder."""
    lr_red: float = 5.0
    """How many times smaller the last learning rates are."""
    beta1_d: float = 0.5
    """Adam's beta 1 for the discriminator."""
    beta1_g: float = 0.5
    """Adam's beta 1 for the generator and the encoder."""
    d_activation: Activation = "elu"
    """Between the discriminator's layers; lrelu has slope 0.2."""
    g_activation: Activation = "elu"
    """Between the generator's layers."""
    e_activation: Activation = "elu"
    """Between the encoder's layers."""
    noise: float = 1.0
    """Scale of the Gaussian noise in the discriminator; 0: none."""
    validation: int = 5000
    """Training images, the first, that samples are picked from and that nothing trains on."""
    picture_every: int = 5000
    """Steps between two sets of pictures."""

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "num_z", "batch_size", "iterations", "lr_red", "picture_every")
        self.require_at_least(2, "categorical_sizes")
        self.require_at_least(0, "num_continuous", "lr_d", "lr_g", "noise", "validation")
        for name in ("beta1_d", "beta1_g"):
            value = getattr(self, name)
            require(0 <= value < 1, f"--{name}: expected 0 or more, below 1; got {value}")


PRESETS = {"default": Config()}
