"""What the benchmarks count: a step's floating-point operations, and the operations of a profile."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

HERE = Path(__file__).parent


def load(name: str):
    specification = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # its dataclass of flags looks itself up there
    specification.loader.exec_module(module)
    return module


step_time, step_profile = load("step_time"), load("step_profile")


def count(function, *shapes: list[int]) -> int:
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return step_time.flops(tf.function(function).get_concrete_function(*signature))


def test_a_matrix_product_is_two_operations_a_pair_of_factors() -> None:
    assert count(tf.matmul, [2, 3], [3, 5]) == 2 * 2 * 3 * 5
    assert count(lambda a, b: tf.matmul(a, b, transpose_a=True), [3, 2], [3, 5]) == 2 * 2 * 3 * 5


def test_a_convolution_and_each_of_its_gradients_count_alike() -> None:
    def with_gradients(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, strides=2, padding="SAME"))
        return tape.gradient(loss, [images, kernel])

    # 2 images, 4 x 4 output pixels, a kernel of 3 x 3 from 3 to 5 channels
    assert count(with_gradients, [2, 8, 8, 3], [3, 3, 3, 5]) == 3 * 2 * (2 * 4 * 4) * (3 * 3 * 3 * 5)


def test_contestants_take_turns_and_their_first_is_a_warm_up() -> None:
    calls = []
    times = step_time.alternate({name: lambda name=name: calls.append(name) or len(calls) for name in "ab"})
    assert calls == ["a", "b"] * (1 + step_time.ROUNDS)
    assert times == {"a": [3, 5, 7, 9, 11], "b": [4, 6, 8, 10, 12]}


def test_a_profile_is_summed_by_kind_without_what_only_runs_operations(tmp_path: Path) -> None:
    @tf.function
    def step(x):
        return tf.nn.elu(x @ x) + tf.nn.elu(x)

    x = tf.ones([64, 64])
    step(x)
    with tf.profiler.experimental.Profile(str(tmp_path)):
        for _ in range(3):
            step(x)
    milliseconds, calls = step_profile.totals(next(tmp_path.rglob("*.xplane.pb")).read_bytes())
    assert calls["Elu"] == 6
    assert sum(count for kind, count in calls.items() if kind.endswith("MatMul")) == 3
    assert all(milliseconds[kind] > 0 for kind in calls)
    assert not [kind for kind in calls if "inference" in kind or kind in ("Process", "Run")]


@pytest.mark.parametrize("script", ["step_time.py", "step_profile.py"])
def test_an_unknown_system_is_refused(script: str) -> None:
    done = subprocess.run([sys.executable, HERE / script, "--system", "biggan"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "biggan" in done.stderr and "Traceback" not in done.stderr
