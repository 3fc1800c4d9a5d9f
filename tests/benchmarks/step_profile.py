"""Where a training step's time goes: `python tests/benchmarks/step_profile.py --system bi_infogan`.

TensorFlow's profiler times every operation in the thread that runs it. They are summed by kind, so that a ratio of
step_time.py that falls short can be explained.
"""

import collections
import dataclasses
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Literal

import tyro

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "code"), str(Path(__file__).resolve().parent)]

from shared import flags

WARM_UP_STEPS, STEPS = 4, 5


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of step_profile.py."""

    system: Literal["infogan", "bi_infogan", "cycle_vae", "image_translation", "vae_gan"] = "infogan"
    """Whose step."""
    of: Literal["ours", "naive"] = "ours"
    """The system's step, or the plain port of it."""
    preset: str = "default"
    """Which of its presets."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Of our step; the naive one is float32 always."""
    batch_size: int = 128
    """Images a step."""
    top: int = 20
    """Kinds of operation to list."""


def main() -> None:
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    config = importlib.import_module(f"{chosen.system}.config")
    flags.import_tensorflow(config.OPERATIONS_AT_ONCE if chosen.of == "ours" else 1)
    import tensorflow as tf

    steps = importlib.import_module(f"{chosen.system}_steps")
    if chosen.of == "ours":
        step = steps.ours(chosen.preset, chosen.precision, chosen.batch_size)
    else:
        step = steps.naive(chosen.preset, chosen.batch_size)
    for _ in range(WARM_UP_STEPS):
        step()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(STEPS):
                step()
        milliseconds, calls = totals(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    whole = sum(milliseconds.values())
    print(f"{whole / STEPS:.1f} ms of all threads a step")
    for kind, spent in milliseconds.most_common(chosen.top):
        print(f"{spent / STEPS:9.2f} ms {spent / whole:6.1%} {calls[kind] / STEPS:6.0f} calls  {kind}")


def totals(profile: bytes) -> tuple[collections.Counter, collections.Counter]:
    """Sums a profile's events by kind of operation, on the processor.

    Args:
        profile: a serialised XSpace, in which an operation's event is called `name:kind`.
    Returns:
        Milliseconds and calls by kind.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(profile)  # pyright: ignore[reportAttributeAccessIssue]: made on import
    milliseconds, calls = collections.Counter(), collections.Counter()
    for plane in space.planes:
        if not plane.name.startswith("/host:CPU"):
            continue
        for event in (event for line in plane.lines for event in line.events):
            name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if is_operation(name, kind):
                milliseconds[kind] += event.duration_ps / 1e9
                calls[kind] += 1
    return milliseconds, calls


def is_operation(name: str, kind: str) -> bool:
    """False of what only runs operations: the executor's C++ functions (`A::B`), eager calls (`A: B`)."""
    return bool(name) and not name.endswith(":") and not kind.startswith(" ")


if __name__ == "__main__":
    flags.run(main)
