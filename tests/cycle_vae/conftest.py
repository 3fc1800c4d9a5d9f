"""What tests of probes and of the commands share."""

import numpy as np
import pytest

from shared.datasets.sprites import Sprites, poses


@pytest.fixture(scope="session")
def small_sprites():
    """Six characters of 12 x 12, of 12 frames; what one wears and what it does can be told from the colours."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 60, [6, 12, 12, 12, 3]).astype(np.uint8)
    frames[..., :6, :, 0] += (np.arange(6) * 30).astype(np.uint8)[:, None, None, None]
    frames[..., 6:, :, 1] += (np.arange(12) * 15).astype(np.uint8)[None, :, None, None]
    names = ("sex", "body", "legs", "torso", "hair")
    characters = [{name: "ab"[(k >> i) % 2] for i, name in enumerate(names)} for k in range(6)]
    return Sprites(frames, characters, poses()[:12], "")
