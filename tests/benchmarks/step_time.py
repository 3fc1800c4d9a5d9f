"""How long a training step takes: `python tests/benchmarks/step_time.py --system infogan --against naive`.

`naive` is a plain port of the same step, written beside this file with stock Keras layers, optimizers and noise; losses
and initial weights are the system's own. Each has a process of its own, with the threads that its training would have;
they take turns, so that the ratio of their times holds on a noisy machine.
"""

import dataclasses
import importlib
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
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
    """TensorFlow's threads within an operation of our step; 0: as in training. The naive one has one a core."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main() -> None:
    started = time.perf_counter()
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    flags.require(chosen.threads >= 0, f"--threads: expected 0 or more; got {chosen.threads}")

    processes = {"step": process(first_step, chosen, "step")}
    first_step_s = time.perf_counter() - started
    if chosen.against == "naive":
        processes["naive"] = process(first_step, chosen, "naive")
    processes["peak"] = process(first_step, chosen, "peak")
    times = alternate({name: lambda pool=pool: pool.submit(turn).result() for name, pool in processes.items()})
    peak_memory_mb = processes["step"].submit(peak_memory).result()

    step_ms = 1000 * statistics.median(times["step"])
    gflop = processes["step"].submit(gflop_of_step, chosen).result()  # last: it builds the networks again
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
        "first_step_s": first_step_s,
        "peak_memory_mb": peak_memory_mb,
    }
    if "naive" in times:
        ratios = [ours / naive for ours, naive in zip(times["step"], times["naive"])]
        numbers |= {"naive_ms": 1000 * statistics.median(times["naive"]), "ratio": statistics.median(ratios)}
    if chosen.json:
        print(json.dumps(numbers))
    else:
        for name, value in numbers.items():
            print(f"{name:16s} {value:.3f}" if isinstance(value, float) else f"{name:16s} {value}")


def alternate(turns: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each call returned, one figure a round; the first round, a warm-up, is left out."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(1 + ROUNDS):
        for name, take_turn in turns.items():
            times[name].append(take_turn())
    return {name: figures[1:] for name, figures in times.items()}


def process(task: Callable, *arguments) -> ProcessPoolExecutor:
    """A new process that has done this task and waits for others."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    pool.submit(task, *arguments).result()
    return pool


# What follows runs in the contestants' processes.
step: Callable[[], object]  # one call is one step, waited for; first_step sets it


def first_step(chosen: Flags, role: str) -> None:
    """Sets the process up for our step, the naive one or the matrix product that measures the peak, and calls it."""
    global step
    steps, config = f"{chosen.system}_steps", importlib.import_module(f"{chosen.system}.config")
    if role == "step" and chosen.threads:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(chosen.threads)
    flags.import_tensorflow(config.OPERATIONS_AT_ONCE if role == "step" else 1)
    if role == "step":
        step = importlib.import_module(steps).ours(chosen.preset, chosen.precision, chosen.batch_size)
    elif role == "naive":
        step = importlib.import_module(steps).naive(chosen.preset, chosen.batch_size)
    else:
        step = matrix_product()
    step()


def turn() -> float:
    """Seconds a step, now."""
    started = time.perf_counter()
    for _ in range(STEPS_A_ROUND):
        step()
    return (time.perf_counter() - started) / STEPS_A_ROUND


def peak_memory() -> float:
    """Of this process, so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def gflop_of_step(chosen: Flags) -> float:
    """Floating-point operations of our step, in thousands of millions."""
    steps = importlib.import_module(f"{chosen.system}_steps")
    return flops(steps.concrete_step(chosen.preset, chosen.precision, chosen.batch_size)) / 1e9


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
