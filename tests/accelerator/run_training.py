"""Runs an exported training on JAX's first device, a GPU or a CPU, without TensorFlow.

    python run_training.py exported results [--seconds N]

Trains each seed of the folder in turn (export_training.py says how it is made) and writes results/<its name>_seed_
<seed>_<part>.npz: the weights to be published, the scalars, the seconds and the device. With --seconds, a run that
would not end in time, going by the one before, is not begun. JAX compiles StableHLO by a module that is private to it;
versions 0.6 and 0.11 have it.
"""

import argparse
import json
import math
import time
from pathlib import Path

import jax
import numpy as np
from jax._src.lib import xla_client  # pyright: ignore[reportPrivateImportUsage]

EIGHT_BITS_FROM = 4_000_000  # weights: as published_weights.py keeps them
LARGEST_FILE = 15_000_000  # bytes, before they are compressed: small enough to be carried anywhere


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf)
    chosen = parser.parse_args()
    for name in ("program.json", "step.mlir", "weights.mlir", "data.npz"):
        if not (chosen.exported / name).is_file():
            parser.error(f"{chosen.exported} is no folder of export_training.py's: no {name} there")
    try:
        chosen.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot make {chosen.results}: {error.strerror}")

    jax.config.update("jax_enable_x64", True)  # step counters are 64-bit
    device = jax.devices()[0]
    program = json.loads((chosen.exported / "program.json").read_text())
    step, draw = compiled(chosen.exported / "step.mlir", device), compiled(chosen.exported / "weights.mlir", device)
    print(
        f"{chosen.exported.name}: compiled for {device.device_kind} in {time.monotonic() - started:.1f} s", flush=True
    )
    with np.load(chosen.exported / "data.npz") as file:
        data = [jax.device_put(file[name], device) for name in file.files]

    last_took = 0.0
    for path in sorted(chosen.exported.glob("seed_*.npz")):
        if time.monotonic() - started + last_took > chosen.seconds:
            print(f"{chosen.exported.name}: no time for {path.stem}", flush=True)
            continue
        began = time.monotonic()
        state, scalars = train(program, step, draw, data, np.load(path), device)
        last_took = time.monotonic() - began
        arrays = {"scalars": scalars, "seconds": np.array(last_took)}
        arrays |= {"device": np.array(device.device_kind), "jax": np.array(jax.__version__)}
        for name, value in zip(program["published"], state):
            if name is not None:
                arrays |= packed(name, np.asarray(value))
        for number, part in enumerate(parts(arrays)):
            np.savez_compressed(chosen.results / f"{chosen.exported.name}_{path.stem}_{number}.npz", **part)
        last = "  ".join(f"{name} {value:.4f}" for name, value in zip(program["scalars"], scalars[-1]))
        milliseconds = 1000 * last_took / program["steps"]
        print(
            f"{chosen.exported.name}, {path.stem}: {last_took:.1f} s, {milliseconds:.2f} ms a step  {last}", flush=True
        )


def compiled(path: Path, device):
    """The program of a file, loaded on a device: a function of a list of arrays that gives a list of arrays."""
    devices, options = xla_client.DeviceList((device,)), xla_client.CompileOptions()
    program = device.client.compile_and_load(path.read_bytes(), devices, options)

    def run(arguments):
        outputs = program.execute_sharded(arguments).disassemble_into_single_device_arrays()
        return [shards[0] for shards in outputs]

    return run


def train(program: dict, step, draw, data: list, run, device) -> tuple[list, np.ndarray]:
    """Values of all variables after a run, and each call's scalars: float32 [calls, number of scalars]."""
    drawn = iter(draw([jax.device_put(run["seeds"], device)]))
    names = [f"variable_{k:04d}" for k in range(len(program["drawn"]))]
    state = [
        next(drawn) if was_drawn else jax.device_put(run[name], device)
        for name, was_drawn in zip(names, program["drawn"])
    ]
    changed = np.flatnonzero(program["changed"])
    batches = [run[name] for name in sorted(name for name in run.files if name.startswith("batch_"))]
    seed, scalars, began = jax.device_put(run["seed"], device), [], time.monotonic()
    for first in range(0, program["steps"], program["steps_a_call"]):
        now = [jax.device_put(array[first : first + program["steps_a_call"]], device) for array in batches]
        outputs = step([seed, jax.device_put(np.int32(first), device), *data, *now, *state])
        scalars.append(outputs[0])
        for index, value in zip(changed, outputs[1:]):
            state[index] = value
        if len(scalars) % 20 == 0:  # not further ahead of the device: outputs take memory
            scalars[-1].block_until_ready()
            done = len(scalars) * program["steps_a_call"]
            print(f"step {done}: {1000 * (time.monotonic() - began) / done:.2f} ms a step", flush=True)
    return state, np.stack([np.asarray(values) for values in scalars])


def packed(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    """A weight in 16 bits, or in 8 with a scale for each output, as published weights are kept."""
    if value.size < EIGHT_BITS_FROM:
        in_range = np.abs(value).max(initial=0) <= np.finfo(np.float16).max
        return {name: value.astype(np.float16 if in_range else np.float32)}
    scale = np.abs(value).max(axis=tuple(range(value.ndim - 1))) / 127 + 1e-12
    return {f"{name}|scale": scale.astype(np.float32), name: np.rint(value / scale).astype(np.int8)}


def parts(arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The arrays in portions of at most LARGEST_FILE bytes, but for an array that is larger alone."""
    portions, size = [{}], 0
    for name, value in arrays.items():
        size += value.nbytes
        if size > LARGEST_FILE and portions[-1]:
            portions.append({})
            size = value.nbytes
        portions[-1][name] = value
    return portions


if __name__ == "__main__":
    main()
