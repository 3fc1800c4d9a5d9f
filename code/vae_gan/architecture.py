"""The JSON file that drives the networks: what it may hold, and what it holds. Imports no TensorFlow.

Source: architecture.json of the original, whose files are taken as they are; latent_activation is new.
"""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from shared.flags import UserError, require

DEFAULT = Path(__file__).resolve().parents[2] / "architectures" / "vae_gan.json"
MODES = ("VAE-GAN", "DC-GAN")
LATENT_ACTIVATIONS = ("none", "tanh")
KEYS = ("hwc", "z_dim", "encoder", "generator", "discriminator")
OPTIONAL_KEYS = ("mode", "latent_activation", "y_dim")  # y_dim: in the original's files, and unused there too
LAYER_KEYS = ("kernel", "stride", "output")
OF_ONE_NETWORK = {"encoder": (), "generator": ("hwc",), "discriminator": ("feature_layer",)}


class Layers(NamedTuple):
    """The convolutions of a network, first to last."""

    kernel: tuple[tuple[int, int], ...]  # height, width
    stride: tuple[tuple[int, int], ...]
    output: tuple[int, ...]  # channels
    l2_reg: float  # of --l2


class Architecture(NamedTuple):
    """What the networks are built of."""

    hwc: tuple[int, int, int]  # height, width and channels of an image
    z_dim: int
    mode: str  # one of MODES, where --mode does not say
    latent_activation: str  # one of LATENT_ACTIVATIONS, between z and the generator's first layer
    encoder: Layers
    generator: Layers
    generator_hwc: tuple[int, int, int]  # of what its dense layer gives
    discriminator: Layers
    feature_layer: int  # the discriminator's convolution, from 1, whose output is the learned similarity's


def read(path: Path) -> str:
    """The file's content as JSON on one line, checked: what a run's settings keep.

    Raises:
        UserError: the file cannot be read, or `parse` refuses it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--architecture: {path} cannot be read: {error}") from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--architecture: {path} is not JSON: {error}") from error
    line = json.dumps(values)
    try:
        parse(line)
    except UserError as error:
        raise UserError(f"--architecture: {path}: {error}") from None
    return line


def parse(text: str) -> Architecture:
    """The architecture that a JSON text describes.

    Raises:
        UserError: the message names the key, what it holds and what is allowed.
    """
    values = json.loads(text)
    _require_keys(values, "the file", KEYS, OPTIONAL_KEYS)
    hwc, z_dim = values["hwc"], values["z_dim"]
    if not _are_whole(hwc, 3) or hwc[2] not in (1, 3):
        _refuse("hwc", hwc, "[height, width, channels], whole numbers from 1, channels 1 or 3")
    if not _are_whole([z_dim]):
        _refuse("z_dim", z_dim, "a whole number from 1")
    mode = _one_of(values.get("mode", MODES[0]), "mode", MODES)
    activation = _one_of(values.get("latent_activation", "none"), "latent_activation", LATENT_ACTIVATIONS)
    encoder, generator, discriminator = (_layers(values[name], name) for name in OF_ONE_NETWORK)

    first = values["generator"]["hwc"]
    if not _are_whole(first, 3):
        _refuse("generator.hwc", first, "[height, width, channels], whole numbers from 1")
    for axis, name in enumerate(("height", "width")):
        size = first[axis] * math.prod(stride[axis] for stride in generator.stride)
        if size != hwc[axis]:
            _refuse("generator.hwc", first, f"a {name} that the strides bring to {hwc[axis]}, here it is {size}")
    if generator.output[-1] != hwc[2]:
        _refuse("generator.output", list(generator.output), f"a last number of {hwc[2]}, the images' channels")
    feature_layer = values["discriminator"]["feature_layer"]
    number = len(discriminator.output)
    if type(feature_layer) is not int or not 1 <= feature_layer <= number:
        _refuse("discriminator.feature_layer", feature_layer, f"1 to {number}, the number of its convolutions")
    return Architecture(
        tuple(hwc), z_dim, mode, activation, encoder, generator, tuple(first), discriminator, feature_layer
    )


def _layers(values: Any, name: str) -> Layers:
    _require_keys(values, name, LAYER_KEYS + OF_ONE_NETWORK[name], ("l2-reg",))
    output = values["output"]
    if not _are_whole(output):
        _refuse(f"{name}.output", output, "a list of whole numbers from 1")
    for key in ("kernel", "stride"):
        pairs = values[key]
        if not isinstance(pairs, list) or not pairs or not all(_are_whole(pair, 2) for pair in pairs):
            _refuse(f"{name}.{key}", pairs, "a list of [height, width], whole numbers from 1")
        # shared.thin_convolutions has no other kernels, and TensorFlow no other strides on a CPU.
        if any(height != width for height, width in pairs):
            _refuse(f"{name}.{key}", pairs, "pairs of equal numbers")
        if len(pairs) != len(output):
            _refuse(f"{name}.{key}", pairs, f"as many pairs as {name}.output has numbers, {len(output)}")
    l2_reg = values.get("l2-reg", 0.0)
    if isinstance(l2_reg, bool) or not isinstance(l2_reg, (int, float)) or not 0 <= l2_reg <= sys.float_info.max:
        _refuse(f"{name}.l2-reg", l2_reg, "a number, 0 or more")
    kernel, stride = (tuple(tuple(pair) for pair in values[key]) for key in ("kernel", "stride"))
    return Layers(kernel, stride, tuple(output), float(l2_reg))


def _require_keys(values: Any, place: str, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    allowed = ", ".join(needed) + f", and if you like {', '.join(optional)}"
    if not isinstance(values, Mapping):
        _refuse(place, values, f"an object of {allowed}")
    unknown = [f"{key} is {json.dumps(value)}" for key, value in values.items() if key not in needed + optional]
    missing = [key for key in needed if key not in values]
    require(not unknown, f"unknown keys in {place}: {', '.join(unknown)}; allowed are {allowed}")
    require(not missing, f"{place} lacks {', '.join(missing)}; it has {', '.join(values) or 'nothing'}")


def _are_whole(values: Any, number: int | None = None) -> bool:
    """Whether it is a list of whole numbers from 1; `number` of them, or any."""
    good = isinstance(values, list) and all(type(value) is int and value >= 1 for value in values)
    return good and len(values) == (number or len(values)) and bool(values)


def _one_of(value: object, key: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        _refuse(key, value, " or ".join(allowed))
    return str(value)


def _refuse(key: str, value: object, allowed: str) -> NoReturn:
    raise UserError(f"{key} is {json.dumps(value)}: allowed is {allowed}")
