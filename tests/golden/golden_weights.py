"""The fixed weights of the golden files: a function of the seed and of each variable's number, kind and shape."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np

from shared.flags import require

KINDS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


def in_order(layers: Iterable[keras.layers.Layer]) -> list[keras.Variable]:
    """The variables of the layers, within a layer in the files' order."""
    found = [getattr(layer, kind, None) for layer in layers for kind in KINDS]
    return [variable for variable in found if variable is not None]


def assign(variables: Sequence[keras.Variable], described: Sequence[str] | np.ndarray, seed: int) -> None:
    """Gives each variable the value its description, network|kind|shape, stands for.

    Raises:
        UserError: the variables are not those described; the message shows the first that differs.
    """
    require(len(variables) == len(described), f"{len(variables)} variables where {len(described)} are described")
    for number, (variable, description) in enumerate(zip(variables, described, strict=True)):
        _, kind, shape_text = str(description).split("|")
        shape = tuple(int(size) for size in shape_text.split("x"))
        ours = (variable.name, tuple(variable.shape))
        same_shape = np.prod(shape) == np.prod(ours[1]) and shape[-2:] == ours[1][-2:]  # 1x1 convolutions as dense
        require(same_shape and kind == ours[0], f"variable {number}: ours is {ours}, described is {description}")
        variable.assign(value(seed, number, kind, shape).reshape(ours[1]))


def value(seed: int, number: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 value of one variable."""
    drawn = np.random.RandomState(seed * 1000 + number).standard_normal(shape).astype("float32")
    if kind == "kernel":
        return drawn / np.sqrt(np.prod(shape[:-1])).astype("float32")
    if kind in ("gamma", "moving_variance"):
        return 1 + 0.1 * (drawn if kind == "gamma" else np.abs(drawn))
    return 0.1 * drawn
