"""The cycle-consistent VAE's update step and its loop: what moves, on what weights, and what a resumed run must be."""

import contextlib
import dataclasses
import json
import math
import os
import signal
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cycle_vae import losses, training
from cycle_vae.config import PRESETS, Config
from cycle_vae.networks import build_networks
from cycle_vae.pairs import Batch, PairedImages
from cycle_vae.training import CURVES, Optimizers
from shared import latent_codes, run_folders
from shared.training_run import TrainingRun

CONFIG = Config(filters=(4, 6), style_dim=5, class_dim=3, batch_size=4, max_epochs=3, seed=3)
IMAGES = np.random.default_rng(0).integers(0, 256, [26, 12, 12, 3]).astype(np.uint8)
DATA = PairedImages(IMAGES, np.repeat([0, 1], 13), np.arange(26).reshape(13, 2))  # three batches and a rest
untraced_step = training.train_step.python_function


def make(config):
    networks = build_networks(config)
    return networks, training.build_optimizers(networks, config, steps_per_epoch=3)


def inputs(config):
    shape = [config.batch_size, 12, 12, config.num_channels]
    batch = Batch(*(tf.random.stateless_uniform(shape, [7, number]) for number in range(4)))
    return batch, training.draw_noise(config, latent_codes.key(0, 0))


class RecordingOptimizer:
    """Keeps what it is given; then does `after`."""

    def __init__(self, after=lambda: None):
        self.after = after

    def apply(self, gradients, variables):
        self.gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
        self.variables = list(variables)
        self.after()


def recorded(config, after=lambda networks: None):
    networks = build_networks(config)
    optimizers = Optimizers(RecordingOptimizer(lambda: after(networks)), RecordingOptimizer())
    scalars = untraced_step(networks, optimizers, *inputs(config), config)
    return networks, optimizers, {name: float(value) for name, value in scalars.items()}


def paths(variables):
    return [v.path for v in variables]


# The update


def test_the_forward_cycle_moves_both_networks_and_every_variable_has_a_gradient():
    networks, optimizers, _ = recorded(CONFIG)
    moved = optimizers.auto_encoder
    assert paths(moved.variables) == paths(
        [*networks.encoder.trainable_variables, *networks.decoder.trainable_variables]
    )
    silent = [v.path for g, v in zip(moved.gradients, moved.variables) if not np.any(g)]
    assert silent == []


@pytest.mark.parametrize("data_set, heads", [("sprites", ["s", "z_mean"]), ("mnist", ["z_mean"])])
def test_the_reverse_cycle_moves_the_encoder_alone_and_on_mnist_not_its_s(data_set, heads):
    networks, optimizers, _ = recorded(dataclasses.replace(CONFIG, data_set=data_set))
    moved = paths(optimizers.reverse_cycle.variables)
    assert set(moved) <= set(paths(networks.encoder.trainable_variables))
    names = [path.split("/")[0] for path in moved]
    assert sorted({name for name in names if "conv" not in name}) == heads
    assert sum("conv" in name for name in names) == 4


def test_the_reverse_cycle_sees_the_weights_after_the_forward_cycles_update():
    _, before, plain = recorded(CONFIG)
    _, after, spoilt = recorded(CONFIG, lambda networks: networks.decoder.trainable_variables[-2].assign_add(
        tf.random.stateless_normal(networks.decoder.trainable_variables[-2].shape, [1, 1])))  # fmt: skip
    assert plain["reconstruction_error"] == spoilt["reconstruction_error"]
    assert plain["reverse_cycle_loss"] != spoilt["reverse_cycle_loss"]
    for a, b in zip(before.auto_encoder.gradients, after.auto_encoder.gradients):
        np.testing.assert_array_equal(a, b)


def test_each_image_is_decoded_from_its_own_z_and_the_others_s():
    batch, noise = inputs(CONFIG)
    networks, _, scalars = recorded(CONFIG)
    (mean_1, log_variance_1, s_1), (mean_2, log_variance_2, s_2) = map(networks.encoder, batch[:2])
    expected = losses.reconstruction_error(
        networks.decoder([training.sample_z(mean_1, log_variance_1, noise.noise_1), s_2]), batch.image_1
    ) + losses.reconstruction_error(
        networks.decoder([training.sample_z(mean_2, log_variance_2, noise.noise_2), s_1]), batch.image_2
    )
    assert scalars["reconstruction_error"] == pytest.approx(float(expected), rel=1e-5)
    kl = sum(losses.kl_divergence(m, v, 12 * 12 * 3) for m, v in ((mean_1, log_variance_1), (mean_2, log_variance_2)))
    assert scalars["kl_divergence_error"] == pytest.approx(float(kl), rel=1e-5)


def test_the_losses_weights_are_the_flags():
    _, heavy, _ = recorded(dataclasses.replace(CONFIG, reconstruction_coef=0.0, kl_divergence_coef=6.0))
    _, light, _ = recorded(dataclasses.replace(CONFIG, reconstruction_coef=0.0))
    _, reverse, _ = recorded(dataclasses.replace(CONFIG, reverse_cycle_coef=20.0))
    np.testing.assert_allclose(
        heavy.auto_encoder.gradients[0], 2 * light.auto_encoder.gradients[0], rtol=1e-4, atol=1e-9
    )
    np.testing.assert_allclose(
        reverse.reverse_cycle.gradients[0], 2 * light.reverse_cycle.gradients[0], rtol=1e-4, atol=1e-6
    )


def test_z_is_sampled_with_its_own_deviation():
    z = training.sample_z(tf.constant([[1.0, 1.0]]), tf.constant([[0.0, math.log(9)]]), tf.constant([[2.0, -1.0]]))
    np.testing.assert_allclose(z, [[3.0, -2.0]], rtol=1e-6)


def test_the_three_noises_of_a_step_and_the_steps_differ():
    drawn = [*training.draw_noise(CONFIG, latent_codes.key(0, 0)), *training.draw_noise(CONFIG, latent_codes.key(0, 1))]
    assert len({noise.numpy().tobytes() for noise in drawn}) == 6
    assert drawn[0].shape == (4, 5)


def test_the_learning_rate_falls_to_a_tenth_after_80_epochs_on_mnist_and_never_on_sprites():
    networks = build_networks(CONFIG)
    for preset, late in (("mnist", 1e-5), ("sprites", 1e-4)):
        for optimizer in training.build_optimizers(networks, PRESETS[preset], steps_per_epoch=10):
            rates, iterations = [], cast(Any, optimizer.iterations)
            for step in (0, 799, 800):
                iterations.assign(step)
                rates.append(float(optimizer.learning_rate))
            assert rates == pytest.approx([1e-4, 1e-4, late])
            assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-8)


@pytest.mark.parametrize("changed", [{"norm": "batch"}, {"precision": "mixed_bfloat16"}], ids=str)
def test_batch_norm_and_mixed_precision_train_float32_variables_to_finite_losses(changed):
    config = dataclasses.replace(CONFIG, **changed)
    networks, optimizers = make(config)
    before = [v.numpy() for network in networks for v in network.trainable_variables if v.name == "kernel"]
    scalars = untraced_step(networks, optimizers, *inputs(config), config)
    assert {scalar.dtype for scalar in scalars.values()} == {tf.float32}
    assert all(math.isfinite(scalar) for scalar in scalars.values())
    after = [v for network in networks for v in network.trainable_variables if v.name == "kernel"]
    assert all((v.numpy() != value).any() for v, value in zip(after, before))


# The loop


class Built:
    """Networks and optimizers that one run after another uses, so that the step is traced only once."""

    def __init__(self, config):
        self.networks, self.optimizers = make(config)
        self.variables = [v for part in (*self.networks, *self.optimizers) for v in part.variables]
        self.first = [v.numpy() for v in self.variables]

    def train(self, config, run_folder, stop_after=None):
        """Trains from the first weights, or from a checkpoint; a SIGTERM comes in step number `stop_after`."""
        for variable, value in zip(self.variables, self.first):
            variable.assign(value)
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
                training.train(config, DATA, run)


class Sessions:
    """One run of 3 epochs of 3 steps without a break, and one that stopped after 4 and was to be of 2 epochs first."""

    def __init__(self, folder):
        config = dataclasses.replace(CONFIG, log_every=1, save_every=6, picture_every=2, initial_learning_rate=3e-3)
        built = Built(config)
        self.unbroken, self.broken = (
            run_folders.start("cycle_vae", "sprites", config, folder / name, "the data's hash")
            for name in ("unbroken", "broken")
        )
        traced = (training.train_step, training.add_to_curves)
        before = [function.experimental_get_tracing_count() for function in traced]
        built.train(config, self.unbroken)
        self.traces = [function.experimental_get_tracing_count() - n for function, n in zip(traced, before)]
        shorter = dataclasses.replace(config, max_epochs=2)
        for planned, stop_after in ((shorter, 4), (shorter, None), (config, None)):
            built.train(planned, self.broken, stop_after)
        step = training.train_step
        self.on_one_batch = [step(built.networks, built.optimizers, *inputs(config), config) for _ in range(30)]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return Sessions(tmp_path_factory.mktemp("sessions"))


def saved(run_folder, step):
    """Every number of a checkpoint by name, but for the minutes and the curves of the epochs to come."""
    reader = tf.train.load_checkpoint(str(run_folder / "checkpoints" / f"step_{step:08d}" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("minutes", "_CHECK"))]
    numbers = {name: np.asarray(reader.get_tensor(name)) for name in names}
    return {name: number[: step // 3] if name.startswith("curves") else number for name, number in numbers.items()}


@pytest.mark.parametrize("step", [6, 9])
def test_resumed_equals_unbroken_byte_for_byte(sessions, step):
    """At 6 after a break at 4, in mid-epoch; at 9 after an end at 6 that was not the last."""
    resumed, unbroken = saved(sessions.broken, step), saved(sessions.unbroken, step)
    assert resumed.keys() == unbroken.keys() and len(unbroken) > 60
    assert [name for name in unbroken if resumed[name].tobytes() != unbroken[name].tobytes()] == []


def log_lines(run_folder):
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "minutes"} for line in lines]


def test_a_resumed_log_reads_like_an_unbroken_one_and_every_step_differs(sessions):
    lines = log_lines(sessions.unbroken)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert log_lines(sessions.broken) == lines
    assert len({line["reconstruction_error"] for line in lines}) == 9


def test_the_curves_are_each_epochs_means_also_across_a_break(sessions):
    lines = log_lines(sessions.unbroken)
    means = [[np.mean([line[name] for line in lines[k : k + 3]]) for name in CURVES] for k in (0, 3, 6)]
    (curves,) = (value for name, value in saved(sessions.broken, 9).items() if name.startswith("curves"))
    np.testing.assert_allclose(curves, means, rtol=1e-5)


def test_grids_are_drawn_after_epochs_0_and_2_and_resuming_leaves_them_and_the_plot_as_they_are(sessions):
    drawn = {str(path.relative_to(sessions.unbroken)): path.read_bytes() for path in sessions.unbroken.rglob("*.png")}
    names = ["original", "style", "style_target", "target"]
    grids = [f"reconstructed_images/{epoch}_{name}.png" for epoch in (0, 2) for name in names]
    assert sorted(drawn) == ["loss_plot.png", *grids]
    for name, picture in drawn.items():
        assert (sessions.broken / name).read_bytes() == picture, name
    with Image.open(sessions.unbroken / grids[0]) as picture:
        assert picture.size == (8 * 12, 2 * 12)


def test_tensorboard_shows_the_curves_and_the_grids(sessions):
    events = EventAccumulator(str(sessions.unbroken), size_guidance={"tensors": 0})
    events.Reload()
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    assert steps["target"] == [3, 9]
    assert steps["reconstruction_error"][-1] == 9


def test_a_run_traces_its_step_and_its_curves_once(sessions):
    assert sessions.traces == [1, 1]


def test_pictures_are_due_after_the_first_epoch_each_tenth_from_it_and_the_last_step():
    config = dataclasses.replace(CONFIG, picture_every=10)
    due = [step for step in range(75) if training.pictures_are_due(step, 75, 3, config)]
    assert due == [2, 32, 62, 74]


def test_a_batch_is_learnt(sessions):
    first, last = (float(sessions.on_one_batch[k]["reconstruction_error"]) for k in (0, -1))
    assert last < 0.7 * first
