"""The update step and the loop: what moves, on what weights, what is kept, and what a resumed run must be."""

import contextlib
import dataclasses
import json
import math
import os
import signal
from typing import Any, cast

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from image_translation import evaluation, training
from image_translation.config import PRESETS, Config
from image_translation.networks import build_networks, code_sizes, encoding
from image_translation.training import Optimizers
from shared import latent_codes, run_folders, trained_models
from shared.datasets import mnist
from shared.fused_layers import FusedAdam
from shared.training_run import TrainingRun

BATCH, VALIDATION = 8, 20
IMAGES = np.random.default_rng(0).integers(0, 256, [60, 28, 28]).astype(np.uint8)
LABELS = (np.arange(60) % 10).astype(np.uint8)
# 40 images train, of which 10 are labelled: three batches of the others, and a rest.
DATA = mnist.Mnist(IMAGES, LABELS, IMAGES[:30], LABELS[:30], "the data's hash")
KEY = latent_codes.key(0, 0)
CONFIG = Config(batch_size=BATCH, num_samples=1, validation=VALIDATION, lab_sample_red=0.25)
SCALARS = {
    "d_loss", "total_loss", "g_loss", "e_loss", "d_real", "d_fake", "reconstruction", "supervised", "labelled",
    "adversarial_weight", "cross_entropy_categorical", "cross_entropy_continuous",
}  # fmt: skip
# The original's scalars by name: of the scalars that a step gives.
ORIGINALS_SCALARS = {
    "D_loss": lambda step: step["d_loss"],
    "G_E_loss": lambda step: step["g_loss"] + step["e_loss"],
    "G_loss": lambda step: step["g_loss"],
    "E_loss": lambda step: step["e_loss"],
    "D_data_acc": lambda step: step["d_real"],
    "D_gen_acc": lambda step: 1 - step["d_fake"],
    "cross_entropy_cont": lambda step: step["cross_entropy_continuous"],
    "cross_entropy_discr": lambda step: step["cross_entropy_categorical"],
}
# The step as Python runs it, operation by operation: for a single step that is faster than tracing it.
untraced_step = training.train_step.python_function


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
        self.networks = build_networks(config)
        self.optimizers = training.build_optimizers(self.networks, config)
        self.variables = [v for part in (*self.networks, *self.optimizers) for v in part.variables]
        self.first = [v.numpy() for v in self.variables]

    def reset(self):
        for variable, value in zip(self.variables, self.first):
            variable.assign(value)

    def train(self, config, run_folder, stop_after=None, accuracies=None):
        """Trains from the first weights, or from a checkpoint; a SIGTERM comes in step number `stop_after`."""
        self.reset()
        with pytest.MonkeyPatch.context() as patch, TrainingRun(run_folder, config, DATA.sha256) as run:
            patch.setattr(training, "build_networks", lambda _: self.networks)
            patch.setattr(training, "build_optimizers", lambda *_: self.optimizers)
            patch.setattr(evaluation, "evaluate", lambda *_: {
                "generator_accuracy": (accuracies or {}).get(run.step + 1, 0.0),
                "encoder_accuracy": 0.25,
                "judge_accuracy": 0.994,
            })  # fmt: skip
            log = run.log

            def log_and_stop(scalars):
                if run.step + 1 == stop_after:
                    os.kill(os.getpid(), signal.SIGTERM)
                return log(scalars)

            patch.setattr(run, "log", log_and_stop)
            with contextlib.suppress(SystemExit):
                training.train(config, DATA, run, judge=None)

    def values(self):
        return [v.numpy().tobytes() for v in self.variables]


@pytest.fixture(scope="module")
def built():
    return Built(CONFIG)


# The update


def step(networks, optimizers, labels=None, config=CONFIG):
    images = tf.constant(mnist.scale_to_unit(IMAGES[:BATCH]))
    if labels is None:
        labels = tf.one_hot(LABELS[:BATCH], 10) * tf.constant([[float(row < 3)] for row in range(BATCH)])
    codes = latent_codes.sample(code_sizes(config), BATCH, KEY)
    scalars = untraced_step(networks, optimizers, images, labels, codes, KEY, tf.constant(0.25), config)
    return {name: float(value) for name, value in scalars.items()}


def test_the_labels_and_codes_of_a_repeated_batch_are_learnt(built):
    built.reset()
    first, *_, last = (step(built.networks, built.optimizers) for _ in range(4))
    for name, share in (("supervised", 0.1), ("cross_entropy_categorical", 0.3), ("total_loss", 0.3)):
        assert last[name] < share * first[name], name
    assert all(map(math.isfinite, last.values()))


class Spy:
    """A network that keeps what it is called with, and what it says."""

    def __init__(self, network):
        self.network, self.calls = network, []
        self.trainable_variables = network.trainable_variables

    def __call__(self, inputs, training=None):
        outputs = self.network(inputs, training=training)
        self.calls.append((inputs, outputs, training))
        return outputs


def test_each_network_runs_twice_on_what_it_should_and_each_loss_moves_its_own(built):
    built.reset()
    spied = type(built.networks)(*map(Spy, built.networks))
    d, g = RecordingOptimizer(), RecordingOptimizer()
    assert set(step(spied, Optimizers(d, g))) == SCALARS

    generator, encoder, discriminator = (network.calls for network in spied)
    assert [training for calls in (generator, encoder, discriminator) for *_, training in calls] == [True] * 6
    (code, fake, _), (encoded, _, _) = generator
    (images, outputs, _), (of_fake, _, _) = encoder
    np.testing.assert_array_equal(images, mnist.scale_to_unit(IMAGES[:BATCH]))
    assert of_fake is fake
    np.testing.assert_array_equal(encoded, latent_codes.concatenate(encoding(outputs)))
    (real_pair, _, _), (fake_pair, _, _) = discriminator
    assert real_pair[0] is images and real_pair[1] is encoded
    assert fake_pair[0] is fake and fake_pair[1] is code
    assert tuple(real_pair[2].numpy()) != tuple(fake_pair[2].numpy()), "the two passes must not share noise"

    networks = built.networks
    assert list(map(id, d.variables)) == list(map(id, networks.discriminator.trainable_variables))
    both = networks.generator.trainable_variables + networks.encoder.trainable_variables
    assert list(map(id, g.variables)) == list(map(id, both))
    silent = [v.path for o in (d, g) for gradient, v in zip(o.gradients, o.variables) if not np.any(gradient)]
    assert silent == [], "a variable without a gradient never learns"


def test_both_gradients_are_taken_on_the_weights_before_either_update(tiny_networks):
    networks = tiny_networks(CONFIG)

    def spoil_discriminator():
        for variable in networks.discriminator.trainable_variables:
            variable.assign(tf.zeros(variable.shape))

    plain = [RecordingOptimizer(), RecordingOptimizer()]
    spoilt = [RecordingOptimizer(spoil_discriminator), RecordingOptimizer()]
    assert step(networks, Optimizers(*plain)) == step(networks, Optimizers(*spoilt))
    for ours, theirs in zip(spoilt, plain):
        for a, b in zip(ours.gradients, theirs.gradients, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("labelled", [0, 3, BATCH])
def test_the_total_is_the_sum_by_weights_and_finite_without_a_labelled_image_or_with_nothing_else(
    tiny_networks, labelled
):
    config = dataclasses.replace(CONFIG, weight_recon_loss=3.0, sup_loss=7.0)
    labels = tf.one_hot(LABELS[:BATCH], 10) * tf.constant([[float(row < labelled)] for row in range(BATCH)])
    optimizers = Optimizers(RecordingOptimizer(), RecordingOptimizer())
    found = step(tiny_networks(config), optimizers, labels, config)
    parts = ("cross_entropy_categorical", "cross_entropy_continuous", "g_loss", "e_loss")
    expected = 3 * found["reconstruction"] + 7 * found["supervised"] + 0.25 * sum(found[name] for name in parts)
    assert found["total_loss"] == pytest.approx(expected, rel=1e-6)
    assert (found["labelled"], found["adversarial_weight"]) == (labelled, 0.25)
    assert (found["supervised"] == 0) == (labelled == 0)
    for gradient in optimizers.d.gradients + optimizers.g.gradients:
        assert np.isfinite(gradient).all()


# Schedules and optimizers


def test_defaults_are_the_originals():
    config = PRESETS["default"]
    assert (config.num_z, config.num_continuous, config.batch_size, config.max_iter) == (16, 2, 64, 40_000)
    assert (config.num_samples, config.lab_sample_red, config.validation, config.picture_every) == (
        5,
        0.001,
        5000,
        5000,
    )
    assert (config.lr_d, config.lr_g, config.beta1_d, config.beta1_g) == (1e-4, 5e-4, 0.5, 0.5)
    assert (config.d_activation, config.g_activation, config.e_activation, config.noise) == ("elu", "elu", "elu", 1.0)
    assert (config.sup_loss, config.weight_recon_loss) == (10, 1)
    assert (config.max_adv_loss, config.adv_loss_increase) == (1, 0.001)
    assert (config.sup_loss_reduction, config.recon_loss_G, config.gen_img_path) == (10, 0, "mnist_test_imgs")


@pytest.mark.parametrize("count, share", [
    (0, 1), (9999, 1), (10_000, 1 / 2), (19_999, 1 / 2), (20_000, 1 / 4), (30_000, 1 / 8), (39_999, 1 / 8),
    (40_000, 1 / 10), (99_999, 1 / 10),
])  # fmt: skip
def test_learning_rates_fall_at_every_ten_thousandth_step(count, share):
    for first in (1e-4, 5e-4):
        rate = training.learning_rate(first)(tf.constant(count, tf.int64))
        assert float(rate) == pytest.approx(first * share, rel=1e-6)


@pytest.mark.parametrize("step, expected", [(0, 0.0), (1, 0.001), (600, 0.6), (1000, 1.0), (30_000, 1.0)])
def test_the_adversarial_weight_grows_from_zero_to_its_limit(step, expected):
    assert training.adversarial_weight(step, Config()) == pytest.approx(expected)
    assert training.adversarial_weight(step, Config(max_adv_loss=0.3)) == pytest.approx(min(expected, 0.3))


class FewVariables:
    """Three networks of one variable."""

    def __init__(self):
        self.generator, self.encoder, self.discriminator = self, self, self
        self.trainable_variables = [keras.Variable(np.zeros(2), dtype="float32")]


def test_an_original_flag_of_either_optimizer_reaches_it_and_the_rate_follows_its_own_count():
    config = Config(beta1_d=0.1, beta1_g=0.7, lr_d=0.3, lr_g=0.6)
    d, g = (cast(Any, optimizer) for optimizer in training.build_optimizers(FewVariables(), config))
    assert {type(d), type(g)} == {FusedAdam}
    assert (d.beta_1, g.beta_1) == (0.1, 0.7)
    assert (d.beta_2, g.beta_2, d.epsilon, g.epsilon) == (0.999, 0.999, 1e-8, 1e-8)
    assert [float(d.learning_rate), float(g.learning_rate)] == pytest.approx([0.3, 0.6])
    d.iterations.assign(10_000)  # as a checkpoint would
    assert [float(d.learning_rate), float(g.learning_rate)] == pytest.approx([0.15, 0.6])


def test_mixed_bfloat16_trains_float32_variables_to_finite_losses():
    config = dataclasses.replace(CONFIG, precision="mixed_bfloat16", batch_size=4)
    networks = build_networks(config)
    variables = [variable for network in networks for variable in network.trainable_variables]
    before = [variable.numpy() for variable in variables]
    assert {value.dtype for value in before} == {np.dtype("float32")}
    codes = latent_codes.sample(code_sizes(config), 4, KEY)
    images, labels = tf.constant(mnist.scale_to_unit(IMAGES[:4])), tf.one_hot(LABELS[:4], 10)
    optimizers = training.build_optimizers(networks, config)
    scalars = untraced_step(networks, optimizers, images, labels, codes, KEY, tf.constant(0.25), config)
    assert {scalar.dtype for scalar in scalars.values()} == {tf.float32}
    assert all(math.isfinite(scalar) for scalar in scalars.values())
    assert [v.path for v, value in zip(variables, before) if (v.numpy() == value).all()] == []


# The loop

ACCURACIES = {3: 0.9, 5: 0.9}  # of the generator, by step: the last is as good as the best


class Sessions:
    """One run of 5 steps without a break, and one that stopped after 4, in mid-epoch.

    Noise is on, and the share of labelled images and the adversarial weight change from step to step: all must go on.
    """

    def __init__(self, built, folder):
        config = dataclasses.replace(CONFIG, max_iter=5, log_every=1, save_every=5, picture_every=3, seed=3)
        start = [run_folders.start("image_translation", "mnist", config, folder / name, DATA.sha256) for name in "ab"]
        self.unbroken, self.broken = start
        before = training.train_step.experimental_get_tracing_count()
        built.train(config, self.unbroken, accuracies=ACCURACIES)
        self.traces = training.train_step.experimental_get_tracing_count() - before
        self.values = built.values()
        built.train(config, self.broken, stop_after=4, accuracies=ACCURACIES)
        # As of a session that was killed between an evaluation and its checkpoint.
        with (self.broken / "info.txt").open("a") as file:
            file.write("Iteration 5: of a session that was killed\n")
        built.train(config, self.broken, accuracies=ACCURACIES)
        self.resumed_values = built.values()


@pytest.fixture(scope="module")
def sessions(built, tmp_path_factory):
    return Sessions(built, tmp_path_factory.mktemp("sessions"))


def saved(run_folder, step, kept="checkpoints"):
    """Every number of a checkpoint but the minutes, as bytes by name."""
    reader = tf.train.load_checkpoint(str(run_folder / kept / f"step_{step:08d}" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("minutes", "_CHECK"))]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


@pytest.mark.parametrize("step, kept", [(5, "checkpoints"), (3, "best")])
def test_resumed_equals_unbroken_byte_for_byte(sessions, step, kept):
    resumed, unbroken = saved(sessions.broken, step, kept), saved(sessions.unbroken, step, kept)
    assert resumed.keys() == unbroken.keys()
    assert [name for name in unbroken if resumed[name] != unbroken[name]] == []


def test_a_checkpoint_holds_all_networks_and_both_optimizers(sessions):
    """Or comparing two checkpoints would compare too little."""
    kept = set(saved(sessions.unbroken, 5).values())
    assert [number for number, value in enumerate(sessions.values) if value not in kept] == []
    assert sessions.resumed_values == sessions.values


def test_a_resumed_log_reads_like_an_unbroken_one_and_every_step_differs(sessions):
    logs = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (sessions.unbroken, sessions.broken)
    ]
    for line in logs[0] + logs[1]:
        del line["minutes"]
    lines, resumed = logs
    assert resumed == lines
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert set(lines[0]) == SCALARS | {"step"}
    assert len({line["d_loss"] for line in lines}) == 5
    assert [line["adversarial_weight"] for line in lines] == pytest.approx([0.001 * step for step in range(5)])


def test_a_run_traces_its_step_once_whatever_the_number_of_labelled_images(sessions):
    lines = (sessions.unbroken / "metrics.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["labelled"] for line in lines]
    assert numbers[0] == BATCH and len(set(numbers)) > 2
    assert sessions.traces == 1


def test_the_weights_of_the_best_generator_accuracy_are_kept_beside_the_newest_and_are_the_default(sessions, built):
    for run in (sessions.unbroken, sessions.broken):
        assert [path.name for path in run.glob("best/step_*")] == ["step_00000003"]
        assert sorted(path.name for path in run.glob("checkpoints/step_*"))[-1] == "step_00000005"
    networks = built.networks[:2]
    kernel = networks[0].trainable_variables[0]
    found = {}
    for iteration, step in ((None, 3), (5, 5), (3, 3)):
        assert trained_models.fill(networks, sessions.unbroken, iteration) == step
        assert found.setdefault(step, kernel.numpy().tobytes()) == kernel.numpy().tobytes()
    assert found[3] != found[5]


def test_info_has_a_line_an_evaluation_and_resuming_leaves_no_line_twice(sessions):
    lines = (sessions.unbroken / "info.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == ["Iteration 3", "Iteration 5"]
    assert "generator accuracy 90.00%, encoder accuracy 25.00%, judge accuracy 99.40%; d_loss " in lines[0]
    assert all(f" {name} " in lines[0] for name in SCALARS)
    assert (sessions.broken / "info.txt").read_text().splitlines() == lines


def test_tensorboard_shows_the_originals_scalars_and_images(sessions):
    events = EventAccumulator(str(sessions.unbroken), size_guidance={"tensors": 0})
    events.Reload()
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    images = {"image_categorical", "image_continuous_0", "image_continuous_1", "image_reconstruction"}
    known = {*ORIGINALS_SCALARS, "E_sup_acc", *images}
    assert {tag: steps.get(tag) for tag in known} == dict.fromkeys(known, [3, 5])
    logged = json.loads((sessions.unbroken / "metrics.jsonl").read_text().splitlines()[2])
    for tag, of_step in ORIGINALS_SCALARS.items():
        shown = float(tensor_util.make_ndarray(events.Tensors(tag)[0].tensor_proto))
        assert shown == pytest.approx(of_step(logged), rel=1e-5), tag


def test_the_labelled_images_are_recorded_and_are_training_images_of_their_label(sessions):
    chosen = json.loads((sessions.unbroken / "labelled_images.json").read_text())
    assert chosen["labels"] == list(range(10))
    assert [LABELS[index] for index in chosen["indices"]] == chosen["labels"]
    assert min(chosen["indices"]) >= VALIDATION


@pytest.fixture
def trained_on(monkeypatch, tmp_path):
    """Trains one variable, which counts the steps, and keeps what each step is given; returns that and the run."""

    def train(config, accuracies=None, folder=None):
        given = []

        def train_step(networks, optimizers, images, labels, codes, key, weight, config):
            given.append((images.numpy(), labels.numpy(), codes, tuple(key.numpy())))
            networks[0].assign_add(1.0)
            return dict.fromkeys(SCALARS, tf.constant(0.0))

        folder = folder or run_folders.start("image_translation", "mnist", config, tmp_path, DATA.sha256)
        with TrainingRun(folder, config, DATA.sha256) as run:
            measured = {f"{name}_accuracy": 0.0 for name in evaluation.MEASURED}
            monkeypatch.setattr(training, "train_step", train_step)
            monkeypatch.setattr(training.pictures, "of_step", lambda *_: {})
            monkeypatch.setattr(evaluation, "encoder_accuracy", lambda *_: 0.0)
            monkeypatch.setattr(evaluation, "evaluate", lambda *_: measured | {
                "generator_accuracy": (accuracies or {}).get(run.step + 1, 0.0)})  # fmt: skip
            monkeypatch.setattr(training, "build_networks", lambda _: [tf.Variable(0.0)])
            monkeypatch.setattr(training, "build_optimizers", lambda *_: [tf.Variable(0.0)])
            training.train(config, DATA, run, judge=None)
        return given, folder

    return train


def test_labels_reach_the_step_for_the_recorded_images_alone(trained_on):
    given, folder = trained_on(dataclasses.replace(CONFIG, max_iter=8, seed=4))
    chosen = json.loads((folder / "labelled_images.json").read_text())
    pixels = mnist.scale_to_unit(IMAGES)
    labelled = {pixels[index].tobytes(): label for index, label in zip(chosen["indices"], chosen["labels"])}
    training_images = {image.tobytes() for image in pixels[VALIDATION:]}
    for images, labels, *_ in given:
        assert (images.shape, labels.shape) == ((BATCH, 28, 28, 1), (BATCH, 10))
        for image, label in zip(images, labels):
            assert image.tobytes() in training_images
            known = labelled.get(image.tobytes())
            assert label.tolist() == [float(digit == known) for digit in range(10)]
    assert {bool(label.any()) for _, labels, *_ in given for label in labels} == {True, False}
    assert [key for *_, key in given] == [(4, step) for step in range(8)]
    assert len({codes.noise.numpy().tobytes() for *_, codes, _ in given}) == 8


def test_the_best_weights_are_those_of_the_last_improvement(trained_on):
    config = dataclasses.replace(CONFIG, max_iter=9, picture_every=2)
    _, folder = trained_on(config, {2: 0.1, 4: 0.5, 6: 0.4, 8: 0.5})
    assert [path.name for path in folder.glob("best/step_*")] == ["step_00000004"]


@pytest.mark.parametrize("at_the_end, best", [(0.4, 6), (0.6, 8)])
def test_a_run_that_max_steps_cut_short_shows_its_last_step_and_resumed_keeps_the_best_of_the_unbroken(
    trained_on, at_the_end, best
):
    config = dataclasses.replace(CONFIG, max_iter=8, picture_every=3)
    accuracies = {3: 0.1, 4: 0.9, 6: 0.5, 8: at_the_end}
    _, unbroken = trained_on(config, accuracies)
    _, cut = trained_on(dataclasses.replace(config, max_steps=4), accuracies)
    shown = (cut / "info.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in shown] == [
        "Iteration 3: generator accuracy 10.00%", "Iteration 4: generator accuracy 90.00%",
    ]  # fmt: skip
    trained_on(config, accuracies, cut)
    assert [[path.name for path in run.glob("best/*")] for run in (unbroken, cut)] == [[f"step_{best:08d}"]] * 2
    for step, kept in ((8, "checkpoints"), (best, "best")):
        assert saved(cut, step, kept) == saved(unbroken, step, kept)


def test_warnings_name_an_ignored_code_and_a_saturated_discriminator_and_wait_for_the_start():
    said = []

    class Run:
        say = staticmethod(said.append)

    fine = {"cross_entropy_categorical": 0.1, "d_real": 0.5, "d_fake": 0.5}
    ignored = fine | {"cross_entropy_categorical": 0.95 * math.log(10)}
    training.warn(fine, 5000, Run)
    training.warn(ignored, 1999, Run)
    training.warn(fine | {"d_real": 0.995}, 5000, Run)
    assert said == []
    training.warn(ignored, 5000, Run)
    assert "code is ignored" in said[-1]
    training.warn(fine | {"d_real": 0.995, "d_fake": 0.005}, 5000, Run)
    assert "saturated" in said[-1] and len(said) == 2
