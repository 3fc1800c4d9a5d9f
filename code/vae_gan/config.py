"""Every hyper-parameter of the VAE-GAN, with the original's default. Source: its train.py and architecture.json."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shared.flags import RunFlags, require
from vae_gan import architecture
from vae_gan.architecture import Architecture

OPERATIONS_AT_ONCE = 1  # has all cores in training; two at a time are no faster: tests/benchmarks/NOTES.md

# On the command line a file; in the config its content, so that a run keeps what it was built of.
FromFile = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="FILE",
    instance_from_str=lambda words: architecture.read(Path(words[0])),
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda text: ["the run's own" if text else "architectures/vae_gan.json"],
)


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    """The flags of train_cns.py and train_mnist.py."""

    EXTENDED_BY = "max_epochs"

    preset: Literal["default", "low_gamma"] = "default"
    """Defaults: those of the original program, or with the gamma whose samples its author found better."""
    data_dir: Annotated[Path | None, tyro.conf.arg(aliases=("--datadir",))] = None
    """The data. Characters: a folder of pictures, or an array file of make_cns.py; digits: a folder of MNIST's files,
    or an .npz file. Default: the user's cache; digits are downloaded, characters made by make_cns.py."""
    architecture: Annotated[str, FromFile] = ""
    """JSON file that describes the networks."""
    mode: Literal["VAE-GAN", "DC-GAN"] | None = None
    """DC-GAN trains without the encoder, on uniform noise; default: what the architecture says."""
    max_epochs: Annotated[int, tyro.conf.arg(aliases=["--n_epoch"])] = 100
    """Epochs planned: of as many iterations as the whole data set has batches, each iteration taking four."""
    batch_size: int = 64
    """Images an update."""
    lr: float = 2e-4
    """Adam's learning rate."""
    beta1: float = 0.5
    """Adam's beta 1."""
    reconst_v_gan: float = 0.1
    """Gamma: weight of the feature reconstruction against the adversarial loss, in the generator's update."""
    l2: float = 0.0
    """Weight of the architecture's L2 penalties; 0, as in the original, which collects them and adds none."""
    held_out: int = 1000
    """Characters that nothing trains on, the same for every --seed; of MNIST it is always the test images."""
    log_every: int = 20
    """Iterations between two lines of the log."""
    save_every: int = 100
    """Iterations between two checkpoints."""

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "max_epochs", "batch_size")
        self.require_at_least(0, "lr", "reconst_v_gan", "l2", "held_out")
        require(0 <= self.beta1 < 1, f"--beta1: expected 0 or more, below 1; got {self.beta1}")


PRESETS = {"default": Config(), "low_gamma": Config(preset="low_gamma", reconst_v_gan=1e-5)}


def with_architecture(config: Config) -> Config:
    """The config with the default architecture written out, and with the mode that holds.

    Raises:
        UserError: architectures/vae_gan.json is missing or wrong.
    """
    text = config.architecture or architecture.read(architecture.DEFAULT)
    return dataclasses.replace(config, architecture=text, mode=config.mode or architecture.parse(text).mode)


def architecture_of(config: Config) -> Architecture:
    """What the networks are built of; its mode is the one that holds."""
    config = with_architecture(config)
    return architecture.parse(config.architecture)._replace(mode=str(config.mode))
