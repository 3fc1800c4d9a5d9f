"""The VAE-GAN's four updates and its loop: what moves, on what, and what a resumed run must be."""

import contextlib
import dataclasses
import json
import math
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from vae_gan_tiny import SIDE, architecture, data

from shared import latent_codes, run_folders
from shared.fused_layers import FusedAdam
from shared.training_run import TrainingRun
from vae_gan import losses, training
from vae_gan.config import PRESETS, Config
from vae_gan.data import scale_to_symmetric
from vae_gan.networks import build_networks
from vae_gan.training import UPDATES, Noise

DATA = data()  # ten batches of all, seven of what is trained on
ITERATIONS = 10  # an epoch
CONFIG = Config(architecture=architecture(layers=2), batch_size=4)
DC_GAN = dataclasses.replace(CONFIG, mode="DC-GAN")
# The step as Python runs it, operation by operation: for a single step that is faster than tracing it.
untraced_step = training.train_step.python_function


def batch(config=CONFIG, step=0):
    images = scale_to_symmetric(DATA.train_images[training.indices(step, config, len(DATA.train_images))])
    noise = training.sample_noise(config.batch_size, 5, config.mode or "VAE-GAN", latent_codes.key(config.seed, step))
    return tf.constant(images), noise


@pytest.fixture(scope="module")
def networks():
    return build_networks(CONFIG)


class RecordingOptimizer:
    """Keeps what it is given, and applies nothing."""

    def __init__(self):
        self.updates = []

    def apply(self, gradients, variables):
        gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
        self.updates.append((gradients, list(map(id, variables))))


def ids(network):
    return list(map(id, network.trainable_variables))


# The updates


def test_an_iteration_updates_the_discriminator_the_generator_twice_and_the_encoder_each_in_full(networks):
    optimizer = RecordingOptimizer()
    untraced_step(networks, optimizer, *batch(), CONFIG)
    order = [networks.discriminator, networks.generator, networks.generator, networks.encoder]
    assert [updated for _, updated in optimizer.updates] == [ids(network) for network in order]
    silent = [number for number, (gradients, _) in enumerate(optimizer.updates) if not all(map(np.any, gradients))]
    assert silent == [], "a variable without a gradient never learns"


def test_dc_gan_mode_updates_no_encoder_and_shows_samples_alone(networks):
    optimizer, statistics = RecordingOptimizer(), [v.numpy() for v in networks.encoder.variables]
    scalars, histograms = untraced_step(networks, optimizer, *batch(DC_GAN), DC_GAN)
    assert [updated for _, updated in optimizer.updates] == [
        ids(network) for network in (networks.discriminator, networks.generator, networks.generator)
    ]
    assert set(scalars) == {"d_fake", "d_real", "g_fake_1", "g_fake_2"}
    np.testing.assert_array_equal(histograms["logit_fake"], histograms["logit_sample"])
    for variable, before in zip(networks.encoder.variables, statistics):
        np.testing.assert_array_equal(variable, before)


def test_each_update_has_images_and_noise_of_its_own(networks):
    """Changing what one update is given changes its gradients, and the others' not at all: nothing is applied."""
    given = (batch()[0], *batch()[1])
    plain = RecordingOptimizer()
    untraced_step(networks, plain, given[0], Noise(*given[1:]), CONFIG)
    # Of images, of the noise of codes, of the prior: one batch of each changed, and which updates differ then.
    for numbers, differing in (((0, 1, 2), [0, 1, 2]), ((3, 3, 3), [3])):
        images, *noise = (
            tf.tensor_scatter_nd_update(part, [[number]], -part[number : number + 1])
            for part, number in zip(given, numbers)
        )
        optimizer = RecordingOptimizer()
        untraced_step(networks, optimizer, images, Noise(*noise), CONFIG)
        found = [
            number
            for number, ((ours, _), (theirs, _)) in enumerate(zip(optimizer.updates, plain.updates))
            if any((a != b).any() for a, b in zip(ours, theirs))
        ]
        assert found == differing


def expected_losses(networks, images, reparameterization_noise, prior):
    mean, log_variance = networks.encoder(images, training=True)
    z = mean + tf.sqrt(tf.exp(log_variance)) * reparameterization_noise
    real, features = networks.discriminator(images, training=True)
    fake, its_features = networks.discriminator(networks.generator(z, training=True), training=True)
    sampled, _ = networks.discriminator(networks.generator(prior, training=True), training=True)
    return {
        "d_real": losses.cross_entropy(real, 1.0),
        "d_fake": 0.5 * (losses.cross_entropy(fake, 0.0) + losses.cross_entropy(sampled, 0.0)),
        "g_fake": 0.5 * (losses.cross_entropy(fake, 1.0) + losses.cross_entropy(sampled, 1.0)),
        "kl": losses.kl(mean, log_variance),
        "feature_reconstruction": losses.feature_reconstruction(features, its_features),
    }


def test_each_update_follows_the_gradient_of_its_own_loss(networks):
    config = dataclasses.replace(CONFIG, reconst_v_gan=0.3, l2=0.5)
    optimizer, (images, noise) = RecordingOptimizer(), batch()
    scalars, _ = untraced_step(networks, optimizer, images, noise, config)
    seen = []
    for number, network in enumerate(
        (networks.discriminator, networks.generator, networks.generator, networks.encoder)
    ):
        with tf.GradientTape() as tape:
            found = expected_losses(networks, images[number], noise.reparameterization[number], noise.prior[number])
            loss = {
                "discriminator": found["d_real"] + found["d_fake"],
                "generator": found["g_fake"] + 0.3 * found["feature_reconstruction"],
                "encoder": found["kl"] + found["feature_reconstruction"],
            }[network.name] + 0.5 * sum(network.losses)
        for ours, theirs in zip(optimizer.updates[number][0], tape.gradient(loss, network.trainable_variables)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max() + 1e-7)
        seen.append(found)
    expected = {name: seen[0][name] for name in ("d_real", "d_fake")}
    expected |= {"g_fake_1": seen[1]["g_fake"], "g_fake_2": seen[2]["g_fake"]}
    expected |= {name: seen[3][name] for name in ("kl", "feature_reconstruction")}
    assert {name: float(value) for name, value in scalars.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-4
    )


def test_an_update_without_need_of_them_leaves_the_discriminators_last_statistics_alone(networks):
    """As TensorFlow 1 did: the encoder's loss ends at the features, and so do its passes."""
    last = networks.discriminator.non_trainable_variables
    before = [variable.numpy() for variable in last]
    images, noise = batch()
    training.update_encoder(networks, RecordingOptimizer(), images[3], noise.reparameterization[3], CONFIG)
    for variable, value in zip(last, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    training.update_discriminator(networks, RecordingOptimizer(), images[0], *(part[0] for part in noise), CONFIG)
    assert all((variable.numpy() != value).any() for variable, value in zip(last, before))


# The optimizer


def test_one_adam_serves_all_and_its_count_advances_at_every_update():
    networks = build_networks(CONFIG)
    optimizer = training.build_optimizer(networks, dataclasses.replace(CONFIG, lr=0.1, beta1=0.4))
    assert isinstance(optimizer, FusedAdam)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.4, 0.999, 1e-8)
    variables = [network.trainable_variables[-1] for network in networks if network.name != "features"]
    expected = [variable.numpy() for variable in variables]
    moments = [(0.0, 0.0)] * 3
    for step, which in enumerate((2, 1, 1, 0, 2, 1), 1):
        gradient = 0.3 * step - 1
        m, v = moments[which]
        m, v = 0.4 * m + 0.6 * gradient, 0.999 * v + 0.001 * gradient**2
        moments[which] = m, v
        expected[which] = expected[which] - 0.1 * math.sqrt(1 - 0.999**step) / (1 - 0.4**step) * m / (
            math.sqrt(v) + 1e-8
        )
        optimizer.apply([tf.fill(variables[which].shape, gradient)], [variables[which]])
        assert int(optimizer.iterations) == step
    for variable, value in zip(variables, expected):
        np.testing.assert_allclose(variable, value, rtol=1e-3)


def test_defaults_are_the_originals():
    config = PRESETS["default"]
    assert (config.max_epochs, config.batch_size, config.lr, config.beta1) == (100, 64, 2e-4, 0.5)
    assert (config.reconst_v_gan, config.l2) == (0.1, 0)


def test_the_other_gamma_is_a_preset_and_all_else_is_the_default():
    config, _ = run_folders.parse_flags("vae_gan", PRESETS, Path("unused"), "", ["--preset", "low_gamma"])
    assert config == dataclasses.replace(PRESETS["default"], preset="low_gamma", reconst_v_gan=1e-5)


def test_mixed_bfloat16_trains_float32_variables_to_finite_losses():
    config = dataclasses.replace(CONFIG, precision="mixed_bfloat16", l2=0.5)
    networks = build_networks(config)
    optimizer = training.build_optimizer(networks, config)
    variables = [variable for network in networks for variable in network.trainable_variables]
    before = [variable.numpy() for variable in variables]
    scalars, _ = untraced_step(networks, optimizer, *batch(config), config)
    assert {scalar.dtype for scalar in scalars.values()} == {tf.float32}
    assert all(math.isfinite(scalar) for scalar in scalars.values())
    assert {variable.dtype for variable in variables} == {"float32"}
    for variable, value in zip(variables, before):
        assert (variable.numpy() != value).any(), variable.path


# Noise and the order of the images


def test_noise_is_normal_and_in_dc_gan_mode_uniform_from_minus_one_to_one():
    key = latent_codes.key(0, 7)
    normal, uniform = (training.sample_noise(1000, 5, mode, key) for mode in ("VAE-GAN", "DC-GAN"))
    for part in normal:
        assert part.shape == (UPDATES, 1000, 5)
        assert np.mean(part) == pytest.approx(0, abs=0.05) and np.std(part) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(np.ravel(normal.reparameterization), np.ravel(normal.prior))[0, 1] == pytest.approx(0, abs=0.05)
    assert (np.min(uniform.prior), np.max(uniform.prior)) == pytest.approx((-1, 1), abs=0.01)
    again, other = (training.sample_noise(1000, 5, "VAE-GAN", latent_codes.key(0, step)) for step in (7, 8))
    np.testing.assert_array_equal(again.prior, normal.prior)
    assert (other.prior.numpy() != normal.prior.numpy()).all()


def test_the_updates_take_one_batch_after_another_through_all_training_images():
    taken = np.concatenate([training.indices(step, CONFIG, 32).ravel() for step in (0, 1)])
    assert sorted(taken) == list(range(32))


# The loop


class Built:
    """Networks and an optimizer that one run after another uses, so that the step is traced only once."""

    def __init__(self, config):
        self.networks = build_networks(config)
        self.optimizer = training.build_optimizer(self.networks, config)
        self.variables = [v for part in (*self.networks, self.optimizer) for v in part.variables]
        self.first = [v.numpy() for v in self.variables]

    def reset(self):
        for variable, value in zip(self.variables, self.first):
            variable.assign(value)

    def train(self, config, run_folder, stop_after=None):
        """Trains from the first weights, or from a checkpoint; a SIGTERM comes in step number `stop_after`."""
        self.reset()
        with pytest.MonkeyPatch.context() as patch, TrainingRun(run_folder, config, DATA.sha256) as run:
            patch.setattr(training, "build_networks", lambda _: self.networks)
            patch.setattr(training, "build_optimizer", lambda *_: self.optimizer)
            log = run.log

            def log_and_stop(scalars):
                if run.step + 1 == stop_after:
                    os.kill(os.getpid(), signal.SIGTERM)
                return log(scalars)

            patch.setattr(run, "log", log_and_stop)
            with contextlib.suppress(SystemExit):
                training.train(config, DATA, run)

    def values(self):
        return [v.numpy().tobytes() for v in self.variables]


class Sessions:
    """One run of 12 steps without a break, and one that stopped in mid-epoch, after 3, and at an epoch's end, 10."""

    def __init__(self, folder):
        config = dataclasses.replace(CONFIG, max_epochs=2, max_steps=12, log_every=1, save_every=5, seed=3, lr=2e-3)
        built = Built(config)
        self.unbroken, self.broken = (
            run_folders.start("vae_gan", "cns", config, folder / name, DATA.sha256) for name in ("unbroken", "broken")
        )
        before = training.train_step.experimental_get_tracing_count()
        built.train(config, self.unbroken)
        self.traces = training.train_step.experimental_get_tracing_count() - before
        self.values = built.values()
        self.count = int(built.optimizer.iterations)
        for stop_after in (3, 10, None):
            built.train(config, self.broken, stop_after)
        self.resumed_values = built.values()

        built.reset()
        images, noise = batch(config)
        images = tf.repeat(images[:1], UPDATES, axis=0)
        noise = Noise(*(tf.repeat(part[:1], UPDATES, axis=0) for part in noise))
        step = partial(training.train_step, built.networks, built.optimizer, images, noise, config)
        self.on_one_batch = [step()[0] for _ in range(25)]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return Sessions(tmp_path_factory.mktemp("sessions"))


def saved(run_folder, step):
    """Every number of a checkpoint but the minutes, as bytes by name."""
    reader = tf.train.load_checkpoint(str(run_folder / "checkpoints" / f"step_{step:08d}" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("minutes", "_CHECK"))]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


@pytest.mark.parametrize("step", [10, 12])
def test_resumed_equals_unbroken_byte_for_byte(sessions, step):
    resumed, unbroken = saved(sessions.broken, step), saved(sessions.unbroken, step)
    assert resumed.keys() == unbroken.keys()
    assert [name for name in unbroken if resumed[name] != unbroken[name]] == []


def test_a_checkpoint_holds_all_networks_and_the_optimizer_and_its_count(sessions):
    kept = set(saved(sessions.unbroken, 12).values())
    assert [number for number, value in enumerate(sessions.values) if value not in kept] == []
    assert sessions.count == 12 * UPDATES


def test_a_resumed_training_leaves_the_networks_of_an_unbroken_one(sessions):
    assert sessions.resumed_values == sessions.values


def log_lines(run_folder):
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "minutes"} for line in lines]


def test_a_resumed_log_reads_like_an_unbroken_one(sessions):
    lines = log_lines(sessions.unbroken)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert log_lines(sessions.broken) == lines
    scalars = {"d_fake", "d_real", "g_fake_1", "g_fake_2", "kl", "feature_reconstruction"}
    assert set(lines[0]) == scalars | {"step"}
    assert len({line["kl"] for line in lines}) == 12


def test_a_run_traces_its_step_once(sessions):
    assert sessions.traces == 1


def test_both_pictures_are_drawn_as_an_epoch_begins_and_at_the_end(sessions):
    pictures = {path.name: path for path in sessions.unbroken.glob("*.png")}
    names = [f"test-Ep{epoch:03d}-It{it:04d}{end}.png" for epoch, it in ((0, 0), (1, 0), (1, 1)) for end in ("", "-dc")]
    assert sorted(pictures) == sorted(names)
    for name, path in pictures.items():
        assert path.read_bytes() == (sessions.broken / name).read_bytes()
        with Image.open(path) as picture:
            assert picture.size == ((8 * SIDE, 8 * SIDE) if "-dc" in name else (12 * SIDE, 5 * SIDE))


def test_tensorboard_shows_scalars_images_and_histograms(sessions):
    events = EventAccumulator(str(sessions.unbroken), size_guidance={"tensors": 0})
    events.Reload()
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    shown = ("G", "G-dc", "z", "logit_true", "logit_fake", "logit_sample")
    assert {tag: steps.get(tag) for tag in shown} == dict.fromkeys(shown, [1, 11, 12])
    assert steps["kl"] == list(range(1, 13))


def test_on_a_repeated_batch_each_network_learns(sessions):
    """The encoder's codes come near the prior; the discriminator knows the images, and the generator fools it."""
    history = sessions.on_one_batch
    assert all(math.isfinite(value) for row in history for value in row.values())
    for name, share in (("kl", 0.2), ("d_real", 0.6), ("g_fake_2", 0.6)):
        assert float(history[-1][name]) < share * float(history[0][name]), name


def test_steps_train_on_training_images_alone_scaled_from_minus_one_to_one(monkeypatch, tmp_path):
    given = []

    def train_step(networks, optimizer, images, noise, config):
        given.append((images.numpy(), noise))
        return {"d_fake": tf.constant(0.0)}, {}

    monkeypatch.setattr(training, "train_step", train_step)
    monkeypatch.setattr(training.pictures, "of_epoch", lambda *_: {})
    config = dataclasses.replace(CONFIG, max_steps=7, seed=4)
    folder = run_folders.start("vae_gan", "cns", config, tmp_path, DATA.sha256)
    with TrainingRun(folder, config, DATA.sha256) as run:
        training.train(config, DATA, run)
    images = np.concatenate([images.reshape([-1, SIDE, SIDE, 1]) for images, _ in given])
    assert (images.min(), images.max()) == (-1, 1)
    trained_on = {image.tobytes() for image in scale_to_symmetric(DATA.train_images)}
    assert {image.tobytes() for image in images} == trained_on, "all of them, and no held-out one"
    assert len({noise.prior.numpy().tobytes() for _, noise in given}) == 7


@pytest.mark.parametrize("max_epochs, max_steps, steps", [(1, None, ITERATIONS), (3, None, 3 * ITERATIONS), (3, 4, 4)])
def test_an_epoch_has_as_many_iterations_as_the_whole_data_set_has_batches(
    monkeypatch, tmp_path, max_epochs, max_steps, steps
):
    monkeypatch.setattr(training, "train_step", lambda *_: ({"d_fake": tf.constant(0.0)}, {}))
    drawn = []
    monkeypatch.setattr(training.pictures, "of_epoch", lambda *_: drawn.append(0) or {})
    config = dataclasses.replace(CONFIG, max_epochs=max_epochs, max_steps=max_steps)
    folder = run_folders.start("vae_gan", "cns", config, tmp_path, DATA.sha256)
    with TrainingRun(folder, config, DATA.sha256) as run:
        training.train(config, DATA, run)
        assert run.step == steps
    assert len(drawn) == -(-steps // ITERATIONS) + 1
