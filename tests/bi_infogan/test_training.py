"""Bidirectional InfoGAN's update step and its loop: what moves, on what weights, and what a resumed run must be."""

import contextlib
import dataclasses
import json
import math
import os
import signal
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from bi_infogan import training
from bi_infogan.config import PRESETS, Config
from bi_infogan.networks import build_networks, code_sizes, encoding
from bi_infogan.training import Optimizers
from shared import latent_codes, run_folders
from shared.datasets import mnist
from shared.fused_layers import FusedAdam
from shared.training_run import TrainingRun

BATCH = 8
IMAGES = np.random.default_rng(0).integers(0, 256, [61, 28, 28]).astype(np.uint8)
LABELS = np.zeros(61, np.uint8)
SPLIT = mnist.Split(IMAGES[20:], LABELS[20:], IMAGES[:20], LABELS[:20])  # five batches and a rest
KEY = latent_codes.key(0, 0)
CONFIG = Config(batch_size=BATCH)
SCALARS = {
    "d_loss", "g_loss", "d_real", "d_fake", "mutual_information_bound", "mutual_information_ceiling",
    "cross_entropy_continuous", "cross_entropy_categorical_0",
}  # fmt: skip
# The step as Python runs it, operation by operation: for a single step that is faster than tracing it.
untraced_step = training.train_step.python_function


def make(config):
    networks = build_networks(config)
    return networks, training.build_optimizers(networks, config)


def batch(config):
    images = tf.constant(mnist.scale_to_unit(IMAGES[: config.batch_size]))
    return images, latent_codes.sample(code_sizes(config), config.batch_size, KEY)


class Watched:
    """Values of variables, to tell which have moved since."""

    def __init__(self, variables):
        self.variables = list(variables)
        self.before = [v.numpy() for v in self.variables]

    def moved(self):
        return [v.path for v, before in zip(self.variables, self.before) if (v.numpy() != before).any()]

    def all(self):
        return [v.path for v in self.variables]


def trainable(*networks):
    # A bias in front of a batch norm has a gradient of rounding noise only: it may move or stay.
    return [v for network in networks for v in network.trainable_variables if v.name != "bias"]


def first_norm(network):
    """The network's first batch norm, and what goes into it, as a model."""
    norm = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    return norm, keras.Model(network.inputs, norm.input)


class RecordingOptimizer:
    """Keeps what it is given; then does `after`."""

    def __init__(self, after=lambda: None):
        self.after = after

    def apply(self, gradients, variables):
        self.gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
        self.variables = list(variables)
        self.after()


class Built:
    """Networks and optimizers that one test and one run after another uses, so that the step is traced only once."""

    def __init__(self, config):
        self.networks, self.optimizers = make(config)
        self.variables = [v for part in (*self.networks, *self.optimizers) for v in part.variables]
        self.first = [v.numpy() for v in self.variables]

    def reset(self):
        for variable, value in zip(self.variables, self.first):
            variable.assign(value)

    def train(self, config, run_folder, stop_after=None):
        """Trains from the first weights, or from a checkpoint; a SIGTERM comes in step number `stop_after`."""
        self.reset()
        with pytest.MonkeyPatch.context() as patch, TrainingRun(run_folder, config, "the data's hash") as run:
            patch.setattr(training, "build_networks", lambda _: self.networks)
            patch.setattr(training, "build_optimizers", lambda *_: self.optimizers)
            log = run.log

            def log_and_stop(scalars):
                if run.step + 1 == stop_after:
                    os.kill(os.getpid(), signal.SIGTERM)
                return log(scalars)

            patch.setattr(run, "log", log_and_stop)
            with contextlib.suppress(SystemExit):
                training.train(config, SPLIT, run)

    def values(self):
        return [v.numpy().tobytes() for v in self.variables]


@pytest.fixture(scope="module")
def built():
    return Built(CONFIG)


@pytest.fixture
def networks(built):
    built.reset()
    return built.networks


UNMOVED = Optimizers(RecordingOptimizer(), RecordingOptimizer())


# The update


def test_each_loss_moves_its_own_networks_and_both_are_taken_on_the_weights_before_either_update(built):
    networks = built.networks
    images, codes = batch(CONFIG)

    def spoil_discriminator():
        for variable in networks.discriminator.trainable_variables:
            variable.assign(tf.zeros(variable.shape))

    def step(d, g):
        built.reset()
        return untraced_step(networks, Optimizers(d, g), images, codes, KEY, CONFIG)

    plain_d, plain_g = RecordingOptimizer(), RecordingOptimizer()
    spoilt_d, spoilt_g = RecordingOptimizer(spoil_discriminator), RecordingOptimizer()
    plain, spoilt = step(plain_d, plain_g), step(spoilt_d, spoilt_g)
    assert {name: float(value) for name, value in spoilt.items()} == {n: float(v) for n, v in plain.items()}
    for ours, theirs in ((spoilt_d, plain_d), (spoilt_g, plain_g)):
        for a, b in zip(ours.gradients, theirs.gradients, strict=True):
            np.testing.assert_array_equal(a, b)

    assert list(map(id, plain_d.variables)) == list(map(id, networks.discriminator.trainable_variables))
    both = networks.generator.trainable_variables + networks.encoder.trainable_variables
    assert list(map(id, plain_g.variables)) == list(map(id, both))
    silent = [v.path for o in (plain_d, plain_g) for g, v in zip(o.gradients, o.variables) if not np.any(g)]
    assert silent == [], "a variable without a gradient never learns"


def test_moving_statistics_move_twice_a_step_in_encoder_and_discriminator_and_once_in_the_generator(networks):
    images, codes = batch(CONFIG)
    code = latent_codes.concatenate(codes)
    statistics = Watched(v for network in networks for v in network.non_trainable_variables)
    norms = [first_norm(network) for network in networks]
    generated = networks.generator(code, training=True)
    (norm, before_norm) = norms[0]
    norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))  # it moved just now
    seen = [[before_norm(code)], *([model(inputs) for inputs in passes] for (_, model), passes in zip(norms[1:], [
        [images, generated], [[images, code, KEY], [generated, code, KEY]],
    ]))]  # fmt: skip
    untraced_step(networks, UNMOVED, images, codes, KEY, CONFIG)
    assert statistics.moved() == statistics.all()
    for (norm, _), passes in zip(norms, seen):
        means = [np.mean(x, axis=tuple(range(len(x.shape) - 1))) for x in passes]
        # Of two passes the first has been shrunk once more, by a thousandth of itself.
        expected = 0.001 * sum(means)
        np.testing.assert_allclose(norm.moving_mean, expected, atol=3e-3 * np.abs(expected).max())
        if len(means) == 2:
            assert np.abs(0.001 * means[0] - expected).max() > 0.1 * np.abs(expected).max()


class Spy:
    """A discriminator that keeps what it is called with."""

    def __init__(self, discriminator):
        self.discriminator, self.calls = discriminator, []
        self.trainable_variables = discriminator.trainable_variables

    def __call__(self, inputs, training=None):
        self.calls.append(([np.asarray(part) for part in inputs], training))
        return self.discriminator(inputs, training=training)


def test_the_discriminator_sees_each_kind_of_pair_once_each_with_noise_of_its_own(networks):
    images, codes = batch(CONFIG)
    encoded = latent_codes.concatenate(encoding(networks.encoder(images, training=True)))
    generated = networks.generator(latent_codes.concatenate(codes), training=True)
    keys = set()
    for step in (0, 1):
        spy = Spy(networks.discriminator)
        spied = networks._replace(discriminator=spy)
        untraced_step(spied, UNMOVED, images, codes, latent_codes.key(0, step), CONFIG)
        (real, real_training), (fake, fake_training) = spy.calls
        assert real_training and fake_training
        np.testing.assert_array_equal(real[0], images)
        np.testing.assert_allclose(real[1], encoded, atol=1e-5)
        np.testing.assert_allclose(fake[0], generated, atol=1e-5)
        np.testing.assert_array_equal(fake[1], latent_codes.concatenate(codes))
        keys |= {tuple(real[2]), tuple(fake[2])}
    assert len(keys) == 4, "the passes of a step, and the steps, must not share noise"


# Optimizers


def test_defaults_are_the_originals():
    config = PRESETS["default"]
    assert (config.num_z, config.categorical_sizes, config.num_continuous) == (16, (10,), 2)
    assert (config.batch_size, config.iterations, config.validation, config.picture_every) == (128, 30000, 5000, 5000)
    assert (config.lr_d, config.lr_g, config.lr_red, config.beta1_d, config.beta1_g) == (1e-4, 5e-4, 5.0, 0.5, 0.5)
    assert (config.d_activation, config.g_activation, config.e_activation, config.noise) == ("elu", "elu", "elu", 1.0)


class FewVariables:
    """Three networks of one variable."""

    def __init__(self):
        self.generator, self.encoder, self.discriminator = self, self, self
        self.trainable_variables = [keras.Variable(np.zeros(2), dtype="float32")]


@pytest.mark.parametrize("step, share", [(0, 1.0), (7500, 0.2 + 0.8 * 0.75**0.5), (30000, 0.2), (40000, 0.2)])
def test_learning_rates_fall_as_a_square_root_to_a_fifth(step, share):
    for first in (1e-4, 5e-4):
        assert float(training.learning_rate(first, PRESETS["default"])(step)) == pytest.approx(first * share, rel=1e-5)


def test_an_update_uses_the_learning_rate_of_its_step_and_the_originals_adam():
    networks = FewVariables()
    config = Config(lr_d=0.1, lr_red=10.0, beta1_d=0.4, iterations=4)
    optimizer, _ = training.build_optimizers(networks, config)
    assert isinstance(optimizer, FusedAdam)
    variable = networks.trainable_variables[0]
    m = v = expected = 0.0
    for step in range(6):
        gradient = [0.3, -2.0, 1.0, 0.5, 1e-7, 0.2][step]
        rate = 0.01 + 0.09 * (1 - min(step, 4) / 4) ** 0.5
        m, v = 0.4 * m + 0.6 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= rate * math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.4 ** (step + 1)) * m / (math.sqrt(v) + 1e-8)
        optimizer.apply([tf.fill([2], gradient)], [variable])
        np.testing.assert_allclose(variable, [expected] * 2, rtol=1e-4)


def test_an_original_flag_of_either_optimizer_reaches_it_and_no_other():
    d, g = training.build_optimizers(FewVariables(), Config(beta1_d=0.1, beta1_g=0.7, lr_d=0.3, lr_g=0.6))
    assert (d.beta_1, g.beta_1) == (0.1, 0.7)
    assert (d.beta_2, g.beta_2, d.epsilon, g.epsilon) == (0.999, 0.999, 1e-8, 1e-8)
    assert [float(d.learning_rate), float(g.learning_rate)] == pytest.approx([0.3, 0.6])


def test_mixed_bfloat16_trains_float32_variables_to_finite_losses():
    config = dataclasses.replace(CONFIG, precision="mixed_bfloat16", batch_size=4)
    networks, optimizers = make(config)
    images, codes = batch(config)
    moving = Watched(trainable(*networks))
    scalars = untraced_step(networks, optimizers, images, codes, KEY, config)
    assert {scalar.dtype for scalar in scalars.values()} == {tf.float32}
    assert all(math.isfinite(scalar) for scalar in scalars.values())
    assert moving.moved() == moving.all()


# The loop


def start(config, folder):
    return run_folders.start("bi_infogan", "mnist", config, folder, "the data's hash")


class Sessions:
    """One run of 7 steps without a break, and one that stopped after 3, in mid-epoch, and after 5, at an epoch's end.

    Noise is on, and the learning rate falls from step to step: both must go on as well. Were there random state that
    no checkpoint holds, the second run would begin with what the first one left of it.
    """

    def __init__(self, built, folder):
        config = dataclasses.replace(CONFIG, iterations=7, log_every=1, save_every=5, picture_every=6, seed=3)
        self.unbroken, self.broken = start(config, folder / "unbroken"), start(config, folder / "broken")
        before = training.train_step.experimental_get_tracing_count()
        built.train(config, self.unbroken)
        self.traces = training.train_step.experimental_get_tracing_count() - before
        self.values = built.values()
        built.train(config, self.broken, stop_after=3)
        built.train(config, self.broken, stop_after=5)
        self.stopped_at = [int(path.name.removeprefix("step_")) for path in self.broken.glob("checkpoints/step_*")]
        built.train(config, self.broken)
        self.resumed_values = built.values()

        built.reset()
        step = partial(training.train_step, built.networks, built.optimizers, *batch(config), KEY, config)
        self.on_one_batch = [step() for _ in range(12)]


@pytest.fixture(scope="module")
def sessions(built, tmp_path_factory):
    return Sessions(built, tmp_path_factory.mktemp("sessions"))


def saved(run_folder, step):
    """Every number of a checkpoint but the minutes, as bytes by name."""
    reader = tf.train.load_checkpoint(str(run_folder / "checkpoints" / f"step_{step:08d}" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("minutes", "_CHECK"))]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


@pytest.mark.parametrize("step", [5, 7])
def test_resumed_equals_unbroken_byte_for_byte(sessions, step):
    """At 5 after a break at 3, in mid-epoch; at 7 after one more at 5, an epoch's end."""
    resumed, unbroken = saved(sessions.broken, step), saved(sessions.unbroken, step)
    assert resumed.keys() == unbroken.keys()
    assert [name for name in unbroken if resumed[name] != unbroken[name]] == []


def test_a_checkpoint_holds_all_networks_and_both_optimizers(sessions):
    """Or comparing two checkpoints would compare too little."""
    kept = set(saved(sessions.unbroken, 7).values())
    assert [number for number, value in enumerate(sessions.values) if value not in kept] == []
    assert sorted(sessions.stopped_at) == [3, 5]


def test_a_resumed_training_leaves_the_networks_of_an_unbroken_one(sessions):
    assert sessions.resumed_values == sessions.values


def log_lines(run_folder):
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "minutes"} for line in lines]


def test_a_resumed_log_reads_like_an_unbroken_one_and_every_step_differs(sessions):
    lines = log_lines(sessions.unbroken)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert log_lines(sessions.broken) == lines
    assert set(lines[0]) == SCALARS | {"step"}
    assert len({line["d_loss"] for line in lines}) == 7


def test_samples_are_drawn_when_due_and_at_the_end_and_resuming_leaves_them_as_they_are(sessions):
    drawn = {str(path.relative_to(sessions.unbroken)): path.read_bytes() for path in sessions.unbroken.glob("s*/*.png")}
    names = ["samples_disc/{}_d1.png", "samples_cont/{}_c1.png", "samples_cont/{}_c2.png"]
    assert set(drawn) == {name.format(step) for name in names for step in (6, 7)}
    for name, picture in drawn.items():
        assert (sessions.broken / name).read_bytes() == picture, name


def test_tensorboard_shows_the_originals_scalars_and_images(sessions):
    events = EventAccumulator(str(sessions.unbroken), size_guidance={"tensors": 0})
    events.Reload()
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    originals = ["D_loss", "G_loss", "D_data_accuracy", "D_fake_accuracy", "c_gen_cont", "c_gen_cat"]
    images = ["image_categorical_0", "image_continuous_0", "image_continuous_1", "image_reconstruction"]
    assert {tag: steps.get(tag) for tag in originals + images} == dict.fromkeys(originals + images, [6, 7])
    logged = log_lines(sessions.unbroken)[5]
    shown = {tag: float(tensor_util.make_ndarray(events.Tensors(tag)[0].tensor_proto)) for tag in originals}
    names = ["d_loss", "g_loss", "d_real", "d_fake", "cross_entropy_continuous", "cross_entropy_categorical_0"]
    expected = [logged[name] for name in names]
    expected[3] = 1 - expected[3]
    assert list(shown.values()) == pytest.approx(expected, rel=1e-6)
    width, height = events.Tensors("image_categorical_0")[0].tensor_proto.string_val[:2]
    assert (int(width), int(height)) == (280, 280)


def test_a_run_traces_its_step_once(sessions):
    assert sessions.traces == 1


def test_the_codes_of_a_repeated_batch_are_learnt(sessions):
    history = sessions.on_one_batch
    assert all(math.isfinite(value) for row in history for value in row.values())
    for name, share in (("cross_entropy_categorical_0", 0.3), ("g_loss", 0.8)):
        values = [float(row[name]) for row in history]
        assert np.mean(values[-3:]) < share * values[0], name
    for row in history:
        bound = math.log(10) - float(row["cross_entropy_categorical_0"])
        assert float(row["mutual_information_bound"]) == pytest.approx(bound, abs=1e-5)
        assert float(row["mutual_information_ceiling"]) == pytest.approx(math.log(10), rel=1e-6)


def test_steps_train_on_the_training_images_alone_and_scale_them_to_one(monkeypatch, tmp_path):
    given = []

    def train_step(networks, optimizers, images, codes, key, config):
        given.append((images.numpy(), codes, tuple(key.numpy())))
        return dict.fromkeys(SCALARS, tf.constant(0.0))

    monkeypatch.setattr(training, "train_step", train_step)
    monkeypatch.setattr(training.pictures, "of_step", lambda *_: {})
    monkeypatch.setattr(training.pictures, "samples", lambda *_: {})
    config = dataclasses.replace(CONFIG, iterations=5, seed=4)
    with TrainingRun(start(config, tmp_path), config, "the data's hash") as run:
        training.train(config, SPLIT, run)
    assert [key for *_, key in given] == [(4, step) for step in range(5)]
    assert len({codes.noise.numpy().tobytes() for _, codes, _ in given}) == 5
    images = np.concatenate([images for images, *_ in given])
    assert (images.shape, images.min(), images.max()) == ((40, 28, 28, 1), 0, 1)
    training_images = {image.tobytes() for image in mnist.scale_to_unit(SPLIT.train_images)}
    assert len({image.tobytes() for image in images} & training_images) == 40


def test_warnings_name_an_ignored_code_and_a_saturated_discriminator_and_wait_for_the_start():
    said = []

    class Run:
        say = staticmethod(said.append)

    config = Config(categorical_sizes=(10, 3))
    fine = {"cross_entropy_categorical_0": 0.1, "cross_entropy_categorical_1": 0.1, "d_real": 0.5, "d_fake": 0.5}
    training.warn(fine, 1000, config, Run)
    training.warn(fine | {"cross_entropy_categorical_1": 1.09}, 499, config, Run)
    training.warn(fine | {"d_real": 0.995}, 1000, config, Run)
    assert said == []
    training.warn(fine | {"cross_entropy_categorical_1": 1.09}, 1000, config, Run)
    assert [line for line in said if "code 1 is ignored" in line] == said != []
    training.warn(fine | {"d_real": 0.995, "d_fake": 0.005}, 1000, config, Run)
    assert "saturated" in said[-1]
