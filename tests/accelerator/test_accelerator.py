"""Trainings that run elsewhere: they take and do what train() takes and does, and come back as runs."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import portable
import programs
import pytest
import tensorflow as tf
import vae_gan_tiny  # pyright: ignore[reportMissingImports]
from import_training import make_run_folder

from shared import latent_codes, run_folders, trained_models
from shared.datasets import mnist
from shared.flags import UserError
from vae_gan import data as vae_gan_data
from vae_gan.networks import build_networks

FOLDER = Path(__file__).parent
SAMPLE = FOLDER.parent / "data" / "mnist_sample"
STEPS = 4


@pytest.fixture(autouse=True)
def settings_afterwards():
    yield
    keras.config.set_dtype_policy("float32")
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


@pytest.mark.parametrize("seed", [(0, 0), (5, 29_999), (-5, 7), (-2_000_000_000, -3)])
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


@pytest.mark.parametrize("system", programs.PROGRAMS)
def test_a_step_is_given_what_train_gives_it(system, small_characters, tmp_path, monkeypatch):
    digits = {"data_dir": SAMPLE, "unverified_data": True, "batch_size": 8} | (
        {} if system == "infogan" else {"validation": 20}
    )
    program = programs.PROGRAMS[system](seed=3, **(small_characters if system == "vae_gan" else digits))
    training = sys.modules[f"{system}.training"]
    given = []
    monkeypatch.setattr(training, "train_step", lambda *arguments: given.append(arguments) or ({}, {}))
    run = SimpleNamespace(folder=tmp_path, track=lambda **_: None, steps=lambda _: iter((1, 2)), log=lambda _: None)
    found = mnist.load(SAMPLE, unverified=True)
    data = {
        "bi_infogan": lambda: [mnist.split(found, 20)],
        "image_translation": lambda: [found],
        "infogan": lambda: [found.train_images],
        "vae_gan": lambda: [vae_gan_tiny.data()],
    }[system]()
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


@pytest.fixture
def exported(small_characters, tmp_path, monkeypatch):
    """Two seeds' trainings of four steps, two a call, and what each starts from."""
    small_characters["batch_size"] = 5  # of no other test: what was traced before would draw as it did
    monkeypatch.setattr(portable, "STEPS_A_CALL", 2)
    folder, built, order = tmp_path / "exported", {}, None
    for seed in (1, 2):
        with portable.draws_of_a_cpu() as drawn:
            built[seed] = programs.vae_gan(seed=seed, max_steps=STEPS, **small_characters)
            order = order or portable.export(built[seed], drawn, folder)
        portable.export_run(built[seed], drawn, order, folder / f"seed_{seed}.npz")
    return folder, built


def test_a_run_made_elsewhere_is_the_run_of_its_seed(exported, tmp_path):
    folder, built = exported
    command = [sys.executable, FOLDER / "run_training.py", folder, tmp_path / "results"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    description = json.loads((folder / "program.json").read_text())
    assert any(description["drawn"]) and description["steps_a_call"] == 2
    for seed, program in built.items():
        data, step = list(map(tf.constant, program.data)), tf.function(program.step)
        for number in range(STEPS):
            scalars = step(data, list(map(tf.constant, program.batch(number))), latent_codes.key(seed, number))
        brought = dict(np.load(tmp_path / "results" / f"exported_seed_{seed}_0.npz"))
        expected = [float(scalars[name]) for name in description["scalars"]]
        np.testing.assert_allclose(brought["scalars"][-1], expected, rtol=2e-3)

        record = run_folders.first_record("vae_gan", "cns", program.config, "the data's hash")
        run = make_run_folder(record, description, brought, tmp_path / "runs")
        networks = build_networks(program.config)
        assert trained_models.fill(networks[:3], run) == STEPS
        for ours, theirs in zip(networks[:3], program.networks):
            for got, expected in zip(ours.get_weights(), theirs.get_weights()):
                np.testing.assert_allclose(got, expected, rtol=2e-3, atol=4e-4)  # 16 bits, and twice Adam's step
        assert run_folders.settings(run)["device"] == "cpu"
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == [2, 4]


def test_a_step_that_draws_in_another_way_is_refused(small_characters, tmp_path):
    with portable.draws_of_a_cpu() as drawn:
        program = programs.vae_gan(max_steps=1, **small_characters)
        program = program._replace(step=lambda *_: {"loss": tf.random.stateless_gamma([], [1, 2], 1.0)})
        with pytest.raises(UserError, match="others than a CPU's"):
            portable.export(program, drawn, tmp_path)


def test_a_run_that_failed_or_is_not_whole_is_refused(tmp_path):
    config = vae_gan_tiny.CONFIG
    weights = {
        f"{n.name}|{k:03d}|{w.name}": np.asarray(w) for n in build_networks(config) for k, w in enumerate(n.weights)
    }
    arrays = weights | {"scalars": np.ones([1, 1], np.float32), "seconds": np.array(6.0), "device": np.array("cpu")}
    record = run_folders.first_record("vae_gan", "cns", config, "the data's hash")
    description = {"steps": 1, "steps_a_call": 1, "scalars": ["loss"]}
    with pytest.raises(UserError, match="not finite"):
        make_run_folder(record, description, arrays | {"scalars": np.array([[np.nan]])}, tmp_path)
    lost = next(name for name in arrays if name.startswith("generator|"))
    with pytest.raises(UserError, match="1 weights did not come back, of generator"):
        make_run_folder(record, description, {name: a for name, a in arrays.items() if name != lost}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    make_run_folder(record, description, arrays, tmp_path)
