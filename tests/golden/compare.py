"""Compares the port with numbers that the original programs gave: `python tests/golden/compare.py FILE.npz ...`

Prints, for each quantity of each file, the largest relative difference and its bound. Exit status: 0 within all
bounds, 1 beyond one, 2 where a file cannot be read or its system is unknown.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "code"), str(Path(__file__).resolve().parent)]

# oneDNN adds up in another order, and 8 images leave gradients of biases with a thousandth of rounding noise.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from shared import flags
from shared.files import DAMAGED_ARRAYS
from shared.flags import UserError

# The module beside this file that rebuilds each system's numbers.
ADAPTERS = {
    "infogan": "infogan_numbers",
    "infogan_celeba": "infogan_numbers",
    "bi_infogan": "bi_infogan_numbers",
    "image_translation": "image_translation_numbers",
    "vae_gan": "vae_gan_numbers",
    "cycle_vae": "cycle_vae_numbers",
    "cycle_vae_mnist": "cycle_vae_numbers",
}

OUTPUTS_BOUND, GRADIENTS_BOUND, SECOND_STEP_BOUND, KERNELS_BOUND = 1e-4, 1e-3, 1e-2, 1e-3
# Four updates lie between VAE-GAN's first row and its second, and Adam's first ones are little but signs: changing the
# weights by a millionth of themselves moves the second row by 4 %, and in float64 it is 2.4 % off as well. The
# same code is 1.7 % off on a processor with AVX2, and 0.97 % on one with AVX-512; with Keras's own batch norm, Adam or
# convolutions in the place of ours it is 0.8 to 3.5 % off, as chance has it: it is rounding.
VAE_GAN_SECOND_STEP_BOUND = 5e-2
NEGLIGIBLE = 1e-5  # Adam divides by the gradient's own size: rounding makes large ratios of small losses
# What the names of outputs begin with; the second line is cycle_vae's, whose files have no inference and training.
OUTPUTS = ("inference_", "training_")
OUTPUTS += ("encoded_", "swapped_", "kl_", "reconstruction_", "reverse_cycle")


class Difference(NamedTuple):
    """One quantity's largest relative difference; bound None where it is printed only."""

    quantity: str
    relative: float
    bound: float | None

    @property
    def exceeded(self) -> bool:
        return self.bound is not None and not self.relative <= self.bound  # a nan exceeds


def compare(golden: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> list[Difference]:
    """Every number of a golden file against ours of the same name; `ours` must have them all."""
    kinds = [str(variable).split("|")[1] for variable in golden["variables"]]
    shapes = [str(variable).split("|")[2] for variable in golden["variables"]]
    before_batch_norm = [
        kind == "bias" and "beta" in kinds[i + 1 : i + 3] and shapes[i + 1] == shapes[i] for i, kind in enumerate(kinds)
    ]
    is_kernel = np.array([kind == "kernel" for kind in kinds])

    differences = [
        Difference(name, _relative(golden[name], ours[name]), OUTPUTS_BOUND)
        for name in golden
        if name.startswith(OUTPUTS)
    ]
    for name in golden:
        if name.endswith("gradient_norms"):
            bounded = ~np.isnan(golden[name]) & ~np.array(before_batch_norm[: len(golden[name])])
            gradients = _relative_gradients(golden[name], ours[name])[bounded]
            differences.append(Difference(name, gradients.max(), GRADIENTS_BOUND))
    second = VAE_GAN_SECOND_STEP_BOUND if golden["system"] == "vae_gan" else SECOND_STEP_BOUND
    for row, bound in enumerate((OUTPUTS_BOUND, second, None)):
        for column, name in enumerate(golden["loss_names"]):
            a, b = golden["loss_history"][row, column], ours["loss_history"][row, column]
            relative = 0.0 if abs(a - b) < NEGLIGIBLE else _relative(a, b)
            differences.append(Difference(f"step {row + 1} {name}", relative, bound))
    final = _relative_each(golden["final_l2"], ours["final_l2"])
    differences.append(Difference("final_l2 of kernels", final[is_kernel].max(), KERNELS_BOUND))
    differences.append(Difference("final_l2 of the rest", final[~is_kernel].max(), None))
    differences.append(Difference("final_sum", _relative(golden["final_sum"], ours["final_sum"]), None))
    return differences


def _relative(golden: np.ndarray, ours: np.ndarray) -> float:
    """Largest difference over the largest value: elements near zero do not count for more than they are."""
    golden, ours = np.asarray(golden, float), np.asarray(ours, float)
    if golden.shape != ours.shape:
        return float("nan")
    return float(np.max(np.abs(golden - ours)) / max(np.max(np.abs(golden)), 1e-12))


def _relative_gradients(golden: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Each norm's difference over the norm, or over the one before it where it is nothing beside that.

    So it is with a bias in front of an instance norm: what the files have of it is rounding noise, after its kernel.
    """
    before = np.roll(golden, 1)
    return np.abs(golden - ours) / np.where(golden < NEGLIGIBLE * before, before, np.maximum(golden, 1e-12))


def _relative_each(golden: np.ndarray, ours: np.ndarray) -> np.ndarray:
    return np.abs(golden - ours) / np.maximum(np.abs(golden), 1e-12)


def read(path: str) -> dict[str, np.ndarray]:
    """The arrays of a golden file.

    Raises:
        UserError: it is damaged or none, or of a system that is not known.
    """
    try:
        with open(path, "rb") as file:
            golden = dict(np.load(file))
        system = str(golden["system"])
    except DAMAGED_ARRAYS as error:
        raise UserError(f"{path} is not a golden file: {error}") from None
    flags.require(system in ADAPTERS, f"{path}: unknown system {system}; known are {', '.join(ADAPTERS)}")
    return golden


def main() -> None:
    flags.require(len(sys.argv) > 1, "usage: compare.py FILE.npz ...")
    files = {path: read(path) for path in sys.argv[1:]}
    flags.import_tensorflow()
    exceeded = False
    for path, golden in files.items():
        system = str(golden["system"])
        print(f"{path}: {system}")
        try:
            differences = compare(golden, importlib.import_module(ADAPTERS[system]).numbers(golden))
        except KeyError as error:
            raise UserError(f"{path} is not a golden file of {system}: it lacks {error}") from None
        for difference in differences:
            bound = f"bound {difference.bound:.0e}" if difference.bound else "printed only"
            verdict = "EXCEEDED" if difference.exceeded else ""
            print(f"  {difference.quantity:40s} {difference.relative:9.2e}  {bound:14s}{verdict}")
            exceeded |= difference.exceeded
    sys.exit(1 if exceeded else 0)


if __name__ == "__main__":
    flags.run(main)
