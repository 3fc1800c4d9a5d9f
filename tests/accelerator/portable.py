"""A training as a program without TensorFlow: its step as StableHLO, and what each seed's run starts from and takes."""

import contextlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from programs import Program

from shared import latent_codes
from shared.flags import require

STEPS_A_CALL = 100  # at most; of each call the last step's scalars are seen
PHILOX, SCRAMBLE = 1, 0x02461E293EC8F720  # TensorFlow's generator, and the key by which it mixes seeds
# Of a compiled program: which argument a result may take the place of, as only a changed variable's does.
CHANGED = re.compile(r"parameter_number = (\d+) : i64\}, output_index = array<i64: (\d+)>")


class Draw(NamedTuple):
    """How a weight was drawn: by a function of tf.random, of a seed, with these options."""

    function: str
    seed: tuple[int, ...]
    options: dict[str, float]


@contextlib.contextmanager
def draws_of_a_cpu() -> Iterator[dict[bytes, Draw]]:
    """Within it a compiled program draws what TensorFlow draws on a CPU; of the same bits, XLA makes other numbers.

    Yields what is drawn outside of graphs, {bytes of the values: how}: first weights can be drawn again where a run
    is, and need not travel. (Those of a truncated normal distribution must.)
    """
    drawn: dict[bytes, Draw] = {}
    own = {name: getattr(tf.random, name) for name in ("stateless_uniform", "stateless_normal", "fold_in")}

    def stateless_uniform(shape, seed, minval=0, maxval=None, dtype=tf.float32):
        if tf.executing_eagerly():
            values = own["stateless_uniform"](shape, seed, minval, maxval, dtype)
            return noted(values, "stateless_uniform", seed, minval=minval, maxval=1 if maxval is None else maxval)
        if dtype == tf.float32:
            return fractions(shape, seed) * ((1.0 if maxval is None else maxval) - minval) + minval
        key, counter = key_and_counter(seed)
        return tf.raw_ops.StatelessRandomUniformIntV2(
            shape=shape, key=key, counter=counter, alg=PHILOX, minval=tf.cast(minval, dtype), maxval=maxval
        )

    def stateless_normal(shape, seed, mean=0.0, stddev=1.0, dtype=tf.float32):
        if tf.executing_eagerly():
            values = own["stateless_normal"](shape, seed, mean, stddev, dtype)
            return noted(values, "stateless_normal", seed, mean=mean, stddev=stddev)
        number = math.prod(shape)
        uniform, turns = tf.unstack(fractions([(number + 1) // 2, 2], seed), axis=1)  # Box and Muller, as the kernel
        radius, angle = tf.sqrt(-2 * tf.math.log(tf.maximum(uniform, 1e-7))), 2 * math.pi * turns
        pairs = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=1)
        return tf.reshape(tf.reshape(pairs, [-1])[:number], shape) * stddev + mean

    def fold_in(seed, data):
        return tf.stack([random_bits([], seed), data])

    def noted(values, function, seed, **options):
        if values.dtype == tf.float32:
            options = {name: float(value) for name, value in options.items()}
            drawn[values.numpy().tobytes()] = Draw(function, tuple(map(int, seed)), options)
        return values

    for function in (stateless_uniform, stateless_normal, fold_in):
        setattr(tf.random, function.__name__, function)
    try:
        yield drawn
    finally:
        for name, function in own.items():
            setattr(tf.random, name, function)


def key_and_counter(seed):
    """What a CPU makes of a seed, int32 [2]; XLA takes a negative one for another."""
    words = tf.bitcast(tf.cast(seed, tf.int64), tf.uint64)
    mixed = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[2], key=tf.constant([SCRAMBLE], tf.uint64), counter=words, alg=PHILOX, dtype=tf.uint64
    )
    return mixed[:1], tf.concat([tf.zeros([1], tf.uint64), mixed[1:]], axis=0)


def random_bits(shape, seed):
    """int32 of the whole range."""
    key, counter = key_and_counter(seed)
    return tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, key=key, counter=counter, alg=PHILOX, dtype=tf.int32)


def fractions(shape, seed):
    """float32 in [0, 1), of the lower 23 bits, as a CPU makes them; XLA takes the upper ones."""
    return tf.bitcast((random_bits(shape, seed) & 0x7FFFFF) | 0x3F800000, tf.float32) - 1


def steps_a_call(steps: int) -> int:
    """The largest number up to STEPS_A_CALL that divides the steps of a run."""
    return max(number for number in range(1, min(steps, STEPS_A_CALL) + 1) if steps % number == 0)


def batches_of(program: Program, steps: range) -> list[np.ndarray]:
    """What the steps take: for each array of a batch, one of all steps' [steps, ...]."""
    return [np.stack(arrays) for arrays in zip(*(program.batch(step) for step in steps))]


def variables_of(program: Program) -> list[tf.Variable]:
    return [variable.value for part in program.trained for variable in part.variables]


def export(program: Program, drawn: dict[bytes, Draw], folder: Path) -> list[int]:
    """Writes what the runs of all seeds have in common: step.mlir, weights.mlir, data.npz and program.json.

    step.mlir takes seed and first step, int32, the data, the batches of `steps_a_call` steps, and the values of the
    variables; it gives the last step's scalars and the values of the variables that changed. weights.mlir takes the
    seeds, int32 [number, 2], of the variables that are drawn at the start, and gives their values.

    Args:
        program: of any seed, built within draws_of_a_cpu, as this is to be called.
        drawn: what that yielded.
        folder: made where it is missing.
    Returns:
        Which of the program's variables step.mlir takes, in its order.
    Raises:
        UserError: the step draws in a way that draws_of_a_cpu does not know, or was traced before it.
    """

    def step(data, batch, seed, number):
        return program.step(data, batch, latent_codes.key(seed, number))

    def steps(seed, first, *arrays):
        data, batches = list(arrays[: len(program.data)]), arrays[len(program.data) :]
        values = tf.zeros([len(names)])
        for k in tf.range(len(batches[0])):
            scalars = step(data, [tf.gather(array, k) for array in batches], seed, first + k)
            values = tf.stack([tf.cast(scalars[name], tf.float32) for name in names])
        return values

    tf.config.experimental.enable_tensor_float_32_execution(False)  # or a GPU would round factors to 10 bits
    data = [tf.constant(array) for array in program.data]
    batches = [tf.constant(array) for array in batches_of(program, range(steps_a_call(program.steps)))]
    zero = tf.constant(0)
    names = list(tf.function(step).get_concrete_function(data, [b[0] for b in batches], zero, zero).structured_outputs)
    compiled = tf.function(steps, jit_compile=True)
    places = {id(variable.handle): k for k, variable in enumerate(variables_of(program))}
    concrete = compiled.get_concrete_function(zero, zero, *data, *batches)
    require(not draws_otherwise(concrete), "the step draws random numbers that would be others than a CPU's")
    order = [places[id(handle)] for handle in concrete.captured_inputs]
    variables = [variables_of(program)[k] for k in order]
    text = compiled.experimental_get_compiler_ir(zero, zero, *data, *batches)(stage="stablehlo")

    before = 2 + len(data) + len(batches)  # arguments that come before the variables
    changed = {int(argument) - before: int(result) for argument, result in CHANGED.findall(text)}
    assert list(changed.values()) == list(range(1, 1 + len(changed))), "results are not in the order of the variables"
    how = [drawn.get(variable.numpy().tobytes()) for variable in variables]
    published = {w.value.ref(): f"{n.name}|{k:03d}|{w.name}" for n in program.networks for k, w in enumerate(n.weights)}
    description = {
        "steps": program.steps,
        "steps_a_call": steps_a_call(program.steps),
        "scalars": names,
        "changed": [k in changed for k in range(len(variables))],
        "drawn": [draw is not None for draw in how],
        "published": [published.get(variable.ref()) for variable in variables],
    }
    folder.mkdir(parents=True, exist_ok=True)
    # Results are copied, by an operation that is not StableHLO's; a conversion to the type that they have is.
    (folder / "step.mlir").write_text(text.replace("mhlo.copy", "stablehlo.convert"))
    (folder / "weights.mlir").write_text(weights_program(variables, how))
    (folder / "program.json").write_text(json.dumps(description, indent=1) + "\n")
    np.savez_compressed(folder / "data.npz", *program.data)
    return order


def draws_otherwise(concrete) -> bool:
    """Whether a traced function makes keys of seeds by TensorFlow's own operation, or draws from a random state."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    otherwise = ("StatelessRandomGetKeyCounter", "Random", "TruncatedNormal", "Multinomial", "RngReadAndSkip")
    return any(node.op.startswith(otherwise) for node in nodes)


def weights_program(variables: list[tf.Variable], how: list[Draw | None]) -> str:
    """The drawn variables as StableHLO, a function of their seeds, int32 [number, 2]."""
    drawn = [(variable.shape, draw) for variable, draw in zip(variables, how) if draw is not None]

    @tf.function(jit_compile=True)
    def draw_all(seeds):
        return [
            getattr(tf.random, draw.function)(shape, seed, **draw.options)
            for (shape, draw), seed in zip(drawn, tf.unstack(seeds))
        ]

    seeds = tf.constant([draw.seed for _, draw in drawn], tf.int32, [len(drawn), 2])
    return draw_all.experimental_get_compiler_ir(seeds)(stage="stablehlo")


def export_run(program: Program, drawn: dict[bytes, Draw], order: list[int], path: Path) -> None:
    """Writes what a seed's run starts from and takes: seeds of its drawn variables, the others' values, its batches."""
    variables = [variables_of(program)[k] for k in order]
    how = [drawn.get(variable.numpy().tobytes()) for variable in variables]
    values = {f"variable_{k:04d}": v.numpy() for k, (v, draw) in enumerate(zip(variables, how)) if draw is None}
    batches = {f"batch_{k}": array for k, array in enumerate(batches_of(program, range(program.steps)))}
    seeds = np.array([draw.seed for draw in how if draw is not None], np.int32).reshape(-1, 2)
    np.savez_compressed(path, seed=np.int32(program.config.seed), seeds=seeds, **batches, **values)
