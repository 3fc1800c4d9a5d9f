"""How long a training step takes: `python tests/benchmarks/step_time.py --system infogan --against naive`.

`naive` is a plain port of the same step, written beside this file with stock Keras layers, optimizers and noise. The
two alternate in one process, so that the ratio of their times holds on a noisy machine.
"""

import dataclasses
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import tyro

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "code"), str(Path(__file__).resolve().parent)]

from shared import flags

ROUNDS, STEPS_A_ROUND = 5, 3
PEAK_SIZE = 2048  # rows and columns of the matrix product that measures the machine


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of step_time.py."""

    system: Literal["infogan", "bi_infogan", "cycle_vae", "image_translation", "vae_gan"] = "infogan"
    """Whose step."""
    preset: str = "default"
    """Which of its presets."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Of our step; the naive one is float32 always."""
    against: Literal["naive", "nothing"] = "nothing"
    """Also time the plain port, and print the ratio of ours to it."""
    batch_size: int = 128
    """Images a step."""
    threads: int = 0
    """TensorFlow's threads within an operation; 0: one a core."""
    json: bool = False
    """Print one JSON object and nothing else."""
    only_first_step: bool = False
    """Measure only the time to the first step and the peak memory, as JSON; the script runs itself so."""


def main() -> None:
    started = time.perf_counter()
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    flags.require(chosen.threads >= 0, f"--threads: expected 0 or more; got {chosen.threads}")
    flags.import_tensorflow()
    import tensorflow as tf

    if chosen.threads:
        tf.config.threading.set_intra_op_parallelism_threads(chosen.threads)
    steps = importlib.import_module(f"{chosen.system}_steps")
    ours = steps.ours(chosen.preset, chosen.precision, chosen.batch_size)
    if chosen.only_first_step:
        ours()
        first = time.perf_counter() - started
        for _ in range(3):
            ours()
        peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"first_step_s": first, "peak_memory_mb": peak_memory}))
        return

    contestants = {"step": ours}
    if chosen.against == "naive":
        contestants["naive"] = steps.naive(chosen.preset, chosen.batch_size)
    contestants["peak"] = matrix_product()
    times = alternate(contestants)
    own = [sys.executable, __file__, *sys.argv[1:], "--only_first_step"]
    alone = json.loads(subprocess.run(own, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    step_ms = 1000 * statistics.median(times["step"])
    gflop = flops(steps.concrete_step(chosen.preset, chosen.precision, chosen.batch_size)) / 1e9
    peak = 2 * PEAK_SIZE**3 / 1e9 / min(times["peak"])
    numbers = {
        "system": chosen.system,
        "precision": chosen.precision,
        "batch_size": chosen.batch_size,
        "step_ms": step_ms,
        "step_ms_range": [1000 * min(times["step"]), 1000 * max(times["step"])],
        "images_per_s": chosen.batch_size / step_ms * 1000,
        "gflop_per_step": gflop,
        "peak_gflops": peak,
        "share_of_peak": gflop / step_ms * 1000 / peak,
        **alone,
    }
    if "naive" in times:
        ratios = [ours / naive for ours, naive in zip(times["step"], times["naive"])]
        numbers |= {"naive_ms": 1000 * statistics.median(times["naive"]), "ratio": statistics.median(ratios)}
    if chosen.json:
        print(json.dumps(numbers))
    else:
        for name, value in numbers.items():
            print(f"{name:16s} {value:.3f}" if isinstance(value, float) else f"{name:16s} {value}")


def alternate(contestants: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds a call, one figure a round for each contestant; they take turns, after a warm-up of each."""
    for call in contestants.values():
        call()
        call()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, call in contestants.items():
            started = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                call()
            times[name].append((time.perf_counter() - started) / STEPS_A_ROUND)
    return times


def matrix_product() -> Callable[[], None]:
    """A product of two square float32 matrices: what the machine can do at best."""
    import tensorflow as tf

    a, b = tf.random.normal([PEAK_SIZE, PEAK_SIZE]), tf.random.normal([PEAK_SIZE, PEAK_SIZE])
    multiply = tf.function(lambda a, b: tf.reduce_sum(tf.matmul(a, b)))
    return lambda: multiply(a, b).numpy()


def flops(concrete_function) -> int:
    """Floating-point operations of the convolutions and matrix products of a traced step."""
    total = 0
    for operation in concrete_function.graph.get_operations():
        if operation.type == "MatMul":
            rows = operation.inputs[0].shape.num_elements()
            columns = operation.outputs[0].shape[1]
            total += 2 * rows * columns
        elif operation.type in ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
            total += 2 * convolution_products(operation)
    return total


def convolution_products(operation) -> int:
    """Multiplications of a convolution or one of its gradients: output pixels times the kernel's size."""
    shapes = {
        "Conv2D": lambda: (operation.outputs[0].shape, operation.inputs[1].shape),
        "Conv2DBackpropInput": lambda: (operation.inputs[2].shape, operation.inputs[1].shape),
        "Conv2DBackpropFilter": lambda: (operation.inputs[2].shape, operation.outputs[0].shape),
    }
    pixels, kernel = shapes[operation.type]()
    return pixels[:3].num_elements() * kernel.num_elements()


if __name__ == "__main__":
    flags.run(main)
