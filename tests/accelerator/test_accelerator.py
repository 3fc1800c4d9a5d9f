"""Trainings that run elsewhere: they take and do what train() takes and does, and come back as runs."""

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import portable
import programs
import pytest
import run_training
import tensorflow as tf
import vae_gan_tiny  # pyright: ignore[reportMissingImports]
from import_training import make_run_folder, read

from cycle_vae import pairs
from shared import latent_codes, published_weights, run_folders, trained_models, training_run
from shared.datasets import batches, mnist, sprites
from shared.flags import UserError
from shared.fused_layers import FusedAdam, FusedBatchNormalization
from shared.keyed_noise import KeyedGaussianNoise, key_input
from vae_gan import data as vae_gan_data
from vae_gan.config import PRESETS
from vae_gan.networks import build_networks

FOLDER = Path(__file__).parent
SAMPLE = FOLDER.parent / "data" / "mnist_sample"
STEPS = 4


@pytest.fixture(autouse=True)
def rounding_afterwards():
    yield
    tf.config.experimental.enable_tensor_float_32_execution(True)


# What is drawn

DRAWS = {
    "uniform": lambda seed: tf.random.stateless_uniform([7, 3], seed),
    "uniform between": lambda seed: tf.random.stateless_uniform([50], seed, minval=-1.0),
    "whole numbers": lambda seed: tf.random.stateless_uniform([50], seed, maxval=10, dtype=tf.int32),
    "normal": lambda seed: tf.random.stateless_normal([7, 3], seed, mean=1.0, stddev=2.0),
    "folded": lambda seed: tf.random.fold_in(seed, 3),
    "folded twice": lambda seed: tf.random.fold_in(tf.random.fold_in(seed, 1), 0),
}


@pytest.mark.parametrize("seed", [(5, 29_999), (-2_000_000_000, -3)])
@pytest.mark.parametrize("name", DRAWS)
def test_a_compiled_program_draws_what_a_cpu_draws(name, seed):
    seed = tf.constant(seed)
    expected = DRAWS[name](seed)
    with portable.draws_of_a_cpu():
        compiled = tf.function(DRAWS[name], jit_compile=True, autograph=False)(seed)
    np.testing.assert_allclose(compiled, expected, rtol=0, atol=5e-6)


def test_without_that_it_would_draw_others():
    seed = tf.constant([5, 29_999])
    compiled = tf.function(DRAWS["uniform"], jit_compile=True, autograph=False)(seed)
    assert np.abs(compiled - DRAWS["uniform"](seed)).max() > 0.1


def test_tensorflow_draws_as_before_afterwards():
    before = tf.random.stateless_uniform
    with portable.draws_of_a_cpu():
        assert tf.random.stateless_uniform is not before
    assert tf.random.stateless_uniform is before


# What a step takes


@pytest.fixture
def small_characters(monkeypatch):
    monkeypatch.setattr(vae_gan_data, "load", lambda data_set, config: vae_gan_tiny.data())
    return {"architecture": vae_gan_tiny.architecture(), "batch_size": 4}


@pytest.fixture
def small_sprites(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, [4, 10, 60, 60, 3], np.uint8)
    found = SimpleNamespace(frames=frames, characters=[{}] * 4, sha256="the data's hash")
    monkeypatch.setattr(sprites, "load", lambda data_dir, unverified: found)
    return found


DIGITS = {"data_dir": SAMPLE, "unverified_data": True, "batch_size": 8}
SETTINGS = {
    "bi_infogan": DIGITS | {"validation": 20},
    "cycle_vae mnist": DIGITS | {"preset": "mnist"},
    "cycle_vae sprites": {"preset": "sprites", "batch_size": 2},
    "image_translation": DIGITS | {"validation": 20},
    "infogan": DIGITS | {"preset": "paper"},
    "vae_gan": {},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_is_given_what_train_gives_it(name, small_characters, small_sprites, tmp_path, monkeypatch):
    system = name.split()[0]
    program = programs.PROGRAMS[system](seed=3, **SETTINGS[name], **(small_characters if system == "vae_gan" else {}))
    training = sys.modules[f"{system}.training"]
    given = []
    monkeypatch.setattr(training, "train_step", lambda *arguments: given.append(arguments) or ({}, {}))
    monkeypatch.setattr(training, "add_to_curves", lambda *_: None, raising=False)
    run = SimpleNamespace(folder=tmp_path, track=lambda **_: None, steps=lambda _: iter((1, 2)), log=lambda _: None)
    found = mnist.load(SAMPLE, unverified=True)
    data = {
        "bi_infogan": lambda: [mnist.split(found, 20)],
        "cycle_vae mnist": lambda: [pairs.of_mnist(found)],
        "cycle_vae sprites": lambda: [pairs.of_sprites(small_sprites, sprites.split(4)[0], seed=3)],
        "image_translation": lambda: [found],
        "infogan": lambda: [found.train_images],
        "vae_gan": lambda: [vae_gan_tiny.data()],
    }[name]()
    training.train(program.config, *data, run, *([None] if system == "image_translation" else []))
    of_train = list(given)
    given.clear()
    for step in (1, 2):
        program.step(list(map(tf.constant, program.data)), program.batch(step), latent_codes.key(3, step))
    assert len(of_train) == len(given) == 2
    for theirs, ours in zip(of_train, given):
        assert theirs[-1] == ours[-1] == program.config
        for expected, got in zip(*(tf.nest.flatten(arguments[2:-1]) for arguments in (theirs, ours)), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"preset": "none"}, "--preset"), ({"max_epochs": 2}, "--max_epochs"), ({"seed": -1}, "--seed")],
)
def test_what_a_system_does_not_know_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        programs.bi_infogan(**settings)


# The whole way


def small_training(seed):
    """A network with weights drawn in two ways, batch norm, noise and Adam, trained to add up four of 30 numbers."""
    keras.utils.set_random_seed(seed)
    numbers, key = keras.Input([4]), key_input()
    x = keras.layers.Dense(8, use_bias=False, kernel_initializer=keras.initializers.RandomNormal(stddev=0.5))(numbers)
    x = KeyedGaussianNoise(0.1, number=0)([FusedBatchNormalization()(x), key])
    network = keras.Model([numbers, key], keras.layers.Dense(1)(x), name="adder")
    optimizer = FusedAdam(1e-2, epsilon=1e-8)
    optimizer.build(network.trainable_variables)

    def step(data, batch, key):
        numbers = tf.cast(tf.gather(data[0], tf.cast(batch[0], tf.int32)), tf.float32)
        with tf.GradientTape() as tape:
            wrong = network([numbers, key], training=True)[:, 0] - tf.reduce_sum(numbers, axis=1)
            loss = tf.reduce_mean(tf.square(wrong + tf.random.stateless_normal([5], key)))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return {"loss": loss, "first": numbers[0, 0]}

    def batch(step):
        return [batches.batch_indices(step, 5, 30, seed).astype(np.uint16)]

    data = np.random.default_rng(0).integers(0, 9, [30, 4], np.uint8)
    config = dataclasses.replace(vae_gan_tiny.CONFIG, seed=seed)
    return programs.Program(config, "numbers", "", STEPS, (network,), (network, optimizer), [data], batch, step)


def test_a_run_made_elsewhere_is_the_run_of_its_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "STEPS_A_CALL", 2)
    monkeypatch.setattr(run_training, "LARGEST_FILE", 100)
    folder, results, order = tmp_path / "exported", tmp_path / "results", None
    for seed in (1, 2):
        with portable.draws_of_a_cpu() as drawn:
            program = small_training(seed)
            order = order or portable.export(program, drawn, folder)
        portable.export_run(program, drawn, order, folder / f"seed_{seed}.npz")
        record = run_folders.first_record("vae_gan", "numbers", program.config, "the data's hash")
        (folder / f"seed_{seed}.json").write_text(json.dumps(record))
    monkeypatch.setattr(sys, "argv", ["run_training.py", str(folder), str(results)])
    run_training.main()
    assert len(list(results.iterdir())) > 4
    description, brought = read(folder, results)
    assert description["steps_a_call"] == 2 and sum(description["drawn"]) == 2
    for seed, (record, arrays) in zip((1, 2), brought, strict=True):
        program, losses = small_training(seed), []
        data, step = [tf.constant(program.data[0])], tf.function(program.step)
        for number in range(STEPS):
            losses.append(step(data, list(map(tf.constant, program.batch(number))), latent_codes.key(seed, number)))
        every_second = [[float(scalars[name]) for name in description["scalars"]] for scalars in losses[1::2]]
        np.testing.assert_allclose(arrays["scalars"], every_second, rtol=1e-4)
        for k, weight in enumerate(program.networks[0].weights):
            got = arrays[f"adder|{k:03d}|{weight.name}"]
            np.testing.assert_allclose(got, weight, rtol=1e-3, atol=1e-4)  # 16 bits
        assert record["config"]["seed"] == seed and str(arrays["device"]) == "cpu"


def test_a_run_that_would_not_end_in_time_is_not_begun(tmp_path, monkeypatch, capsys):
    with portable.draws_of_a_cpu() as drawn:
        program = small_training(1)
        order = portable.export(program, drawn, tmp_path / "exported")
    portable.export_run(program, drawn, order, tmp_path / "exported" / "seed_1.npz")
    arguments = [str(tmp_path / "exported"), str(tmp_path / "results"), "--seconds", "0"]
    monkeypatch.setattr(sys, "argv", ["run_training.py", *arguments])
    run_training.main()
    assert "no time for seed_1" in capsys.readouterr().out
    assert list((tmp_path / "results").iterdir()) == []


def test_weights_come_back_as_they_are_published(tmp_path, monkeypatch):
    for module in (published_weights, run_training):
        monkeypatch.setattr(module, "EIGHT_BITS_FROM", 8)
    network = small_training(1).networks[0]
    published_weights.save(tmp_path / "weights.npz", [network])
    arrays = {}
    for k, weight in enumerate(network.weights):
        arrays |= run_training.packed(f"adder|{k:03d}|{weight.name}", np.asarray(weight))
    with np.load(tmp_path / "weights.npz") as published:
        assert set(published.files) == set(arrays) and any(array.dtype == np.int8 for array in arrays.values())
        for name in published.files:
            assert published[name].dtype == arrays[name].dtype
            np.testing.assert_array_equal(published[name], arrays[name])


def test_a_step_that_draws_in_another_way_is_refused(small_characters, tmp_path):
    with portable.draws_of_a_cpu() as drawn:
        program = programs.vae_gan(max_steps=1, **small_characters)
        program = program._replace(step=lambda *_: {"loss": tf.random.stateless_gamma([], [1, 2], 1.0)})
        with pytest.raises(UserError, match="others than a CPU's"):
            portable.export(program, drawn, tmp_path)


@pytest.fixture
def brought():
    """What make_run_folder is given of a run of the small VAE-GAN: its record, its program, what came back."""
    networks = build_networks(vae_gan_tiny.CONFIG)
    weights = {f"{n.name}|{k:03d}|{w.name}": np.asarray(w) + 1 for n in networks for k, w in enumerate(n.weights)}
    weights = {name: value for name, value in weights.items() if not name.startswith("features|")}  # another's too
    arrays = weights | {"scalars": np.array([[1.5], [0.5]]), "seconds": np.array(6.0)}
    arrays |= {"device": np.array("a GPU"), "jax": np.array("0.6.2")}
    record = run_folders.first_record("vae_gan", "cns", vae_gan_tiny.CONFIG, "the data's hash")
    return record, {"steps": 8, "steps_a_call": 4, "scalars": ["loss"]}, arrays


def test_what_came_back_is_a_run_to_evaluate(brought, tmp_path):
    run = make_run_folder(*brought, tmp_path)
    networks = build_networks(vae_gan_tiny.CONFIG)
    before = [network.get_weights() for network in networks]
    assert trained_models.fill(networks[:3], run) == 8
    for network, values in zip(networks[:3], before):
        for got, value in zip(network.get_weights(), values):
            np.testing.assert_allclose(got, value + 1, rtol=1e-6)
    assert training_run.minutes(run, 8) == pytest.approx(0.1)
    assert run_folders.settings(run)["device"] == "a GPU"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 4, "loss": 1.5}, {"step": 8, "loss": 0.5}]


def test_weights_of_eight_bits_are_scaled_back(brought, tmp_path):
    name = next(name for name in brought[2] if name.startswith("encoder|"))
    whole = brought[2][name]
    scale = np.abs(whole).max(axis=(0, 1, 2)) / 127
    brought[2].update({name: np.rint(whole / scale).astype(np.int8), f"{name}|scale": scale.astype(np.float32)})
    networks = build_networks(vae_gan_tiny.CONFIG)
    trained_models.fill(networks[:3], make_run_folder(*brought, tmp_path))
    np.testing.assert_allclose(networks[0].weights[0], whole, atol=scale.max())


def test_a_run_that_lacks_a_weight_is_refused(brought, tmp_path):
    record, program, arrays = brought
    lost = next(name for name in arrays if name.startswith("generator|"))
    with pytest.raises(UserError, match="1 weights did not come back, of generator"):
        make_run_folder(record, program, {name: a for name, a in arrays.items() if name != lost}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_came_back_damaged_or_failed_is_refused_by_name(brought, tmp_path):
    record, program, arrays = brought
    path = tmp_path / "tmp_seed_1_0.npz"  # as of an exported folder of the name tmp

    def refused(message, exported=tmp_path / "tmp", results=tmp_path):
        with pytest.raises(UserError, match=message):
            read(exported, results)

    refused("has no run of those in")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "seed_1.json").write_text(json.dumps(record))
    (tmp_path / "tmp" / "program.json").write_text("{}")
    refused("has no run of those in")
    path.write_text("no arrays")
    refused("tmp_seed_1_0.npz is damaged")
    np.savez(path, **{name: array for name, array in arrays.items() if name != "scalars"})
    refused("has not all of seed_1: no scalars")
    np.savez(path, **arrays | {"scalars": np.array([[np.nan]])})
    refused("seed_1: a loss was not finite")
    np.savez(path, **arrays)
    refused("program.json is damaged: it lacks")
    (tmp_path / "tmp" / "program.json").write_text(json.dumps(program))
    assert read(tmp_path / "tmp", tmp_path)[0] == program
    (tmp_path / "tmp" / "seed_1.json").write_text("{")
    refused("seed_1.json cannot be read")


def test_a_run_made_elsewhere_is_not_resumed(brought, tmp_path):
    run = make_run_folder(*brought, tmp_path)
    with pytest.raises(UserError, match="was made on another machine"):
        run_folders.parse_flags("vae_gan", PRESETS, tmp_path, "", ["--resume", str(run)])
