"""An architecture small enough for tests, and data to go with it."""

import json

import numpy as np

from vae_gan.config import Config
from vae_gan.data import Data

SIDE = 8


def architecture(side=SIDE, channels=1, layers=3, **changes) -> str:
    """JSON of networks for images of side x side pixels."""
    convolutions = {"kernel": [[3, 3]] * layers, "stride": [[2, 2]] * layers, "l2-reg": 0.01}
    return json.dumps({
        "hwc": [side, side, channels],
        "z_dim": 5,
        "encoder": convolutions | {"output": [4] * layers},
        "generator": convolutions | {"hwc": [side // 2**layers] * 2 + [6], "output": [4] * (layers - 1) + [channels]},
        "discriminator": convolutions | {"output": [4] * layers, "feature_layer": layers - 1},
    } | changes)  # fmt: skip


CONFIG = Config(architecture=architecture(), batch_size=4)


def data(train=30, held_out=10, labels=3, channels=1) -> Data:
    """Random images; of each, its number as its label."""
    images = np.random.default_rng(0).integers(0, 256, [train + held_out, SIDE, SIDE, channels], np.uint8)
    names = tuple(chr(0x4E00 + number) for number in range(train + held_out))
    named = np.arange(train + held_out) % labels
    parts = [(images[part], names[part], named[part]) for part in (slice(train), slice(train, None))]
    return Data(*parts[0], *parts[1], train + held_out, "the data's hash")
