"""Every hyper-parameter of image generation and translation, with the original's default.

Source: train_mnist.py of the original.
"""

import dataclasses
from pathlib import Path
from typing import Literal

from shared.flags import RunFlags, require

OPERATIONS_AT_ONCE = 2  # share the cores in training, faster than one at a time: tests/benchmarks/NOTES.md

Activation = Literal["elu", "relu", "lrelu"]
DIGITS = 10  # classes of the categorical code: category k is to be digit k


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    """The flags of train_mnist.py."""

    EXTENDED_BY = "max_iter"

    num_z: int = 16
    """Length of the noise vector."""
    num_continuous: int = 2
    """Number of continuous codes."""
    batch_size: int = 64
    """Images a step, labelled and unlabelled together."""
    max_iter: int = 40_000
    """Steps planned."""
    num_samples: int = 5
    """Labelled images of each digit; all others train without their labels."""
    lab_sample_red: float = 0.001
    """How much the share of labelled images in a batch, 1 at first, falls a step, down to their share in the data."""
    lr_d: float = 1e-4
    """Adam's first learning rate for the discriminator."""
    lr_g: float = 5e-4
    """Adam's first learning rate for the generator and the encoder."""
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
    sup_loss: float = 10.0
    """Weight of the supervised loss."""
    weight_recon_loss: float = 1.0
    """Weight of the reconstruction loss."""
    adv_loss_increase: float = 0.001
    """How much the weight of the adversarial and the code losses, 0 at first, grows a step."""
    max_adv_loss: float = 1.0
    """Where that weight stops."""
    validation: int = 5000
    """Training images, the first, that nothing trains on."""
    picture_every: int = 5000
    """Steps between two sets of pictures and lines of info.txt; the best of these weights are kept."""
    judge: Path | None = None
    """Folder of the classifier's weights, as train_classifier.py names it; default: the published ones."""
    sup_loss_reduction: float = 10.0
    """The original's; has no effect, as there."""
    recon_loss_G: float = 0.0
    """The original's; has no effect, as there."""
    gen_img_path: str = "mnist_test_imgs"
    """The original's; has no effect: generated images are judged in memory."""

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "num_z", "batch_size", "max_iter", "num_samples", "picture_every")
        self.require_at_least(0, "num_continuous", "lr_d", "lr_g", "noise", "validation")
        self.require_at_least(0, "lab_sample_red", "sup_loss", "weight_recon_loss", "adv_loss_increase", "max_adv_loss")
        for name in ("beta1_d", "beta1_g"):
            value = getattr(self, name)
            require(0 <= value < 1, f"--{name}: expected 0 or more, below 1; got {value}")


PRESETS = {"default": Config()}
WITHOUT_EFFECT = ("sup_loss_reduction", "recon_loss_G", "gen_img_path")


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(RunFlags):
    """The flags of train_classifier.py."""

    batch_size: int = 128
    """Images a step."""
    max_iter: int = 4000
    """Steps planned; the learning rate falls to 0 until the last."""
    lr: float = 1e-3
    """Adam's first learning rate."""
    shift: int = 2
    """Training images are moved by up to this many pixels; 0: not at all."""
    validation: int = 5000
    """Training images, the first, that show how the training goes."""
    validate_every: int = 500
    """Steps between two accuracies on them."""
    publish: bool = False
    """Also keep the weights in pretrained/judge, where the other scripts look for them."""

    def check(self) -> None:
        super().check()
        require(self.precision == "float32", f"--precision: expected float32, the judge's; got {self.precision}")
        self.require_at_least(1, "batch_size", "max_iter", "validation", "validate_every")
        self.require_at_least(0, "lr", "shift")


CLASSIFIER_PRESETS = {"default": ClassifierConfig()}


def require_judge(folder: Path) -> Path:
    """The folder, if it holds a judge's weights.

    Raises:
        UserError: it does not; the message says how to make one.
    """
    there = (folder / "weights.npz").is_file() and (folder / "settings.json").is_file()
    how = "train_classifier.py makes one, to be copied there or named with --judge"
    require(there, f"{folder} holds no trained judge; {how}")
    return folder
