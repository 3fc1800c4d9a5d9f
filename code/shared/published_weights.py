"""Trained weights as one small file, for evaluation only: numpy's npz of 16-bit, or 8-bit, numbers.

Kernels of four million weights and more are kept in 8 bits, with a scale for each output unit; all else as float16:
InfoGAN's two of 6.4 million would make its file 26 MB.
"""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np

from shared.files import DAMAGED_ARRAYS, written_whole
from shared.flags import UserError

EIGHT_BITS_FROM = 4_000_000  # weights


def save(path: Path, networks: Iterable[keras.Model]) -> None:
    """Writes every weight of the networks, moving statistics included."""
    arrays: dict[str, np.ndarray] = {}
    for name, weight in _weights(networks):
        value = np.asarray(weight)
        if value.size >= EIGHT_BITS_FROM:
            scale = np.abs(value).max(axis=tuple(range(value.ndim - 1))) / 127 + 1e-12
            arrays[f"{name}|scale"] = scale.astype(np.float32)
            arrays[name] = np.rint(value / scale).astype(np.int8)
        else:
            in_range = np.abs(value).max(initial=0) <= np.finfo(np.float16).max  # a moving variance may not be
            arrays[name] = value.astype(np.float16 if in_range else np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        np.savez_compressed(partial, **arrays)


def load(path: Path, networks: Iterable[keras.Model]) -> None:
    """Fills every weight of the networks.

    Raises:
        UserError: the file is damaged, or is of other networks.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            for name, weight in _weights(networks):
                value = file[name]
                weight.assign(value * file[f"{name}|scale"] if value.dtype == np.int8 else value.astype(np.float32))
    except DAMAGED_ARRAYS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is damaged or of other networks: {reason}") from error


def _weights(networks: Iterable[keras.Model]):
    for network in networks:
        for number, weight in enumerate(network.weights):
            yield f"{network.name}|{number:03d}|{weight.name}", weight
