"""Trained models on disk: what would be broken is that a number or a picture belongs to the weights it names."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Literal, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared import checkpoints, run_folders, trained_models, training_run
from shared.flags import RunFlags, UserError
from shared.training_run import TrainingRun


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    preset: Literal["default", "paper"] = "default"


class Networks(NamedTuple):
    generator: keras.Model
    discriminator: keras.Model


def model(name, inputs, outputs):
    values = keras.Input([inputs])
    return keras.Model(values, keras.layers.Dense(outputs)(keras.layers.BatchNormalization()(values)), name=name)


def build(generator_outputs=3):
    return Networks(model("generator", 2, generator_outputs), model("discriminator", 3, 1))


def fill_with(networks, value):
    for network in networks:
        for weight in network.weights:
            weight.assign(tf.fill(weight.shape, float(value)))


def values(networks):
    """What every weight is filled with: one number, or more if they were mixed."""
    return {float(number) for network in networks for weight in network.weights for number in weight.numpy().flat}


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_mnist.py", "--seed", "4", "--data_dir", "/home/me/digits"])


def train(log_dir, last=4, config=None):
    """A run with checkpoints of its last two steps; the weights of step k are all k."""
    its_data = {"data_dir": Path("/home/me/digits"), "unverified_data": True}
    config = config or Config(seed=4, save_every=1, log_dir=log_dir, log_every=1, **its_data)
    folder = run_folders.start("infogan", "mnist", config, log_dir, "abc")
    networks = build()
    with TrainingRun(folder, config, "abc") as run:
        run.track(networks=networks)
        for step in run.steps(last):
            fill_with(networks, step + 1)
    return folder


def publish(folder, pretrained, step=4):
    networks = build()
    trained_models.fill(networks, folder, step)
    trained_models.publish(networks, folder, step, pretrained)
    return pretrained


# Filling


def test_networks_are_filled_from_the_checkpoint_that_was_asked_for_and_else_the_newest(tmp_path):
    folder = train(tmp_path)
    for iteration, step in [(3, 3), (4, 4), (None, 4), (3, 3)]:
        networks = build()
        assert trained_models.fill(networks, folder, iteration) == step
        assert values(networks) == {step}


def test_a_damaged_newest_checkpoint_is_named_and_passed_over_unless_it_was_asked_for(tmp_path, capsys):
    folder = train(tmp_path)
    os.truncate(folder / "checkpoints" / "step_00000004" / "variables.data-00000-of-00001", 5)
    networks = build()
    assert trained_models.fill(networks, folder) == 3
    assert values(networks) == {3}
    assert "warning: passed over a damaged checkpoint: " in capsys.readouterr().err
    with pytest.raises(UserError, match="step_00000004: .* is damaged"):
        trained_models.fill(networks, folder, 4)


def test_the_best_weights_come_before_the_newest_where_a_run_keeps_them(tmp_path):
    folder = train(tmp_path)
    networks = build()
    fill_with(networks, 2)
    checkpoints.save(folder / "best", 2, keep=1, networks=networks)
    for iteration, step in [(None, 2), (2, 2), (4, 4)]:
        networks = build()
        assert trained_models.fill(networks, folder, iteration) == step
        assert values(networks) == {step}


def test_what_cannot_fill_the_networks_is_refused(tmp_path):
    folder = train(tmp_path / "a")
    with pytest.raises(UserError, match=r"has no checkpoint of step 9; it has \[3, 4\]"):
        trained_models.fill(build(), folder, 9)
    with pytest.raises(UserError, match="is a checkpoint of other networks"):
        trained_models.fill(build(generator_outputs=5), folder)
    with pytest.raises(UserError, match="has no checkpoint yet"):
        trained_models.fill(build(), run_folders.start("infogan", "mnist", Config(), tmp_path / "b", "abc"))


def test_networks_are_filled_from_published_weights_with_their_step(tmp_path):
    published = publish(train(tmp_path / "log_dir"), tmp_path / "pretrained")
    for iteration in (None, 4):
        networks = build()
        assert trained_models.fill(networks, published, iteration) == 4
        assert values(networks) == {4}
    with pytest.raises(UserError, match=f"{published} holds the weights of step 4 only"):
        trained_models.fill(build(), published, 3)
    with pytest.raises(UserError, match="weights.npz is damaged or of other networks"):
        trained_models.fill(build(generator_outputs=5), published)


# Publishing


def test_published_weights_come_with_the_settings_and_without_the_publishers_folders(tmp_path):
    folder = train(tmp_path / "log_dir")
    before = (folder / "settings.json").read_text()
    published = publish(folder, tmp_path / "pretrained" / "default")
    assert {path.name for path in published.iterdir()} == {"weights.npz", "settings.json"}
    text = (published / "settings.json").read_text()
    assert str(tmp_path) not in text and "/home/me" not in text
    settings = json.loads(text)
    assert settings["steps"] == 4 and settings["command"] == "python train_mnist.py --seed 4"
    config = run_folders.saved_config(published, "infogan", Config)
    assert config == Config(seed=4, save_every=1, log_every=1)
    assert (folder / "settings.json").read_text() == before
    (published / "evaluation.json").write_text('{"accuracy": 0.9}')
    publish(folder, published, step=3)  # again, over the first, whose numbers go with it
    assert {path.name for path in published.iterdir()} == {"weights.npz", "settings.json"}
    assert json.loads((published / "settings.json").read_text())["steps"] == 3
    networks = build()
    assert trained_models.fill(networks, published) == 3 and values(networks) == {3}


def test_what_is_measured_of_published_weights_does_not_go_into_their_folder(tmp_path):
    folder = train(tmp_path / "log_dir")
    published = publish(folder, tmp_path / "pretrained" / "paper")
    assert trained_models.output_dir(folder, tmp_path / "log_dir") == folder
    assert trained_models.output_dir(published, tmp_path / "log_dir") == tmp_path / "log_dir" / "published_paper"


# Numbers


def test_numbers_are_written_with_the_step_of_their_weights_and_replace_older_ones(tmp_path):
    for step, accuracy in [(3, 0.5), (4, 0.75)]:
        trained_models.write_numbers({"accuracy": accuracy, "mapping": [1, 0]}, tmp_path / "new" / "run", step)
        written = json.loads((tmp_path / "new" / "run" / "evaluation.json").read_text())
        assert written == {"step": step, "accuracy": accuracy, "mapping": [1, 0]}


def test_a_recorded_result_says_what_gave_it(tmp_path):
    folder = train(tmp_path / "log_dir", config=Config(seed=4, preset="paper", save_every=1))
    results = tmp_path / "results.json"
    trained_models.record({"accuracy": 0.9}, folder, 4, results, tmp_path / "pretrained")
    (entry,) = json.loads(results.read_text())
    minutes = entry.pop("minutes")
    assert minutes == round(training_run.minutes(folder, 4), 1)
    assert entry == {
        "system": "infogan",
        "data_set": "mnist",
        "preset": "paper",
        "seed": 4,
        "steps": 4,
        "commit": run_folders.commit(),
        "command": "python train_mnist.py --seed 4",
        "precision": "float32",
        "data_sha256": "abc",
        "metrics": {"accuracy": 0.9},
    }


def test_a_result_of_another_device_than_a_cpu_names_it(tmp_path):
    folder, results = train(tmp_path / "log_dir"), tmp_path / "results.json"
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"device": "a GPU"}))
    trained_models.record({"accuracy": 0.9}, folder, 4, results, tmp_path / "pretrained")
    assert json.loads(results.read_text())[0]["device"] == "a GPU"


def test_a_result_on_other_data_than_the_published_weights_is_not_taken_for_one_on_the_data_set(tmp_path):
    folder, results = train(tmp_path / "log_dir"), tmp_path / "results.json"
    published = publish(folder, tmp_path / "pretrained")
    trained_models.record({"accuracy": 0.8}, folder, 3, results, published)
    settings = json.loads((published / "settings.json").read_text())
    (published / "settings.json").write_text(json.dumps(settings | {"data_sha256": "another"}))
    trained_models.record({"accuracy": 0.9}, folder, 4, results, published)
    of_folder = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(of_folder | {"data_sha256": "a third"}))
    trained_models.record({"accuracy": 0.7}, folder, 4, results, published)  # by the same command
    entries = json.loads(results.read_text())
    assert [entry["data_set"] for entry in entries] == ["mnist", "mnist, other data", "mnist, other data"]
    assert [entry["data_sha256"] for entry in entries] == ["abc", "abc", "a third"]


def test_a_result_of_a_resumed_run_names_every_command_and_commit(tmp_path, monkeypatch):
    config = Config(seed=4, save_every=1, log_every=1)
    folder = train(tmp_path / "log_dir", config=config)
    monkeypatch.setattr(sys, "argv", ["train_mnist.py", "--resume", str(folder), "--max_steps", "6"])
    monkeypatch.setattr(run_folders, "commit", lambda: "fedcba9")
    for to_do in ([4, 5], []):  # the second finds nothing to do, and leaves no trace
        with TrainingRun(folder, config, "abc") as run:
            run.track(networks=build())
            assert list(run.steps(6)) == to_do
    first = run_folders.settings(folder)["commit"]
    assert [session["commit"] for session in run_folders.sessions(folder)] == [first, "fedcba9"]
    trained_models.record({"accuracy": 0.9}, folder, 6, tmp_path / "results.json", tmp_path / "pretrained")
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    assert entry["command"] == "python train_mnist.py --seed 4 && python train_mnist.py --resume --max_steps 6"
    assert entry["commit"] == f"{first}, fedcba9"


def test_a_result_replaces_that_of_the_same_run_and_keeps_all_others(tmp_path, monkeypatch):
    results = tmp_path / "results.json"
    folder = train(tmp_path / "log_dir")
    other_seed = train(tmp_path / "log_dir", config=Config(seed=5, save_every=1))
    monkeypatch.setattr(sys, "argv", ["train_mnist.py", "--w_mutual", "0"])
    other_command = train(tmp_path / "log_dir", config=Config(seed=4, save_every=1))
    trained_models.record({"accuracy": 0.1}, folder, 4, results, tmp_path / "pretrained")
    trained_models.record({"accuracy": 0.2}, folder, 3, results, tmp_path / "pretrained")
    trained_models.record({"accuracy": 0.3}, other_seed, 4, results, tmp_path / "pretrained")
    trained_models.record({"accuracy": 0.4}, other_command, 4, results, tmp_path / "pretrained")
    trained_models.record({"accuracy": 0.5}, folder, 4, results, tmp_path / "pretrained")
    assert [entry["metrics"]["accuracy"] for entry in json.loads(results.read_text())] == [0.2, 0.3, 0.4, 0.5]


def test_a_published_model_cannot_be_recorded_as_a_run(tmp_path):
    published = publish(train(tmp_path / "log_dir"), tmp_path / "pretrained")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        trained_models.record({"accuracy": 1.0}, published, 4, tmp_path / "results.json", tmp_path / "pretrained")
    assert not (tmp_path / "results.json").exists()


def test_more_numbers_of_published_weights_join_those_of_their_run_and_of_no_other(tmp_path):
    results = tmp_path / "results.json"
    folder, other_seed = (train(tmp_path / "log_dir", config=Config(seed=seed, save_every=1)) for seed in (4, 5))
    published = publish(folder, tmp_path / "pretrained")
    with pytest.raises(UserError, match="results.json has 0 runs that .*pretrained could be of"):
        trained_models.record_more({"bound": 2.0}, published, results)
    for run, step in [(folder, 3), (folder, 4), (other_seed, 4)]:
        trained_models.record({"accuracy": 0.9}, run, step, results, published)
    trained_models.record_more({"bound": 2.0, "accuracy": 0.8}, published, results)
    of_the_run = {"accuracy": 0.9}  # and not of the rounded weights
    more = of_the_run | {"bound": 2.0}
    assert [entry["metrics"] for entry in json.loads(results.read_text())] == [of_the_run, more, of_the_run]


def test_evaluation_does_not_change_the_run_it_evaluates(tmp_path):
    folder = train(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trained_models.fill(build(), folder)
    trained_models.record({"accuracy": np.float64(0.5)}, folder, 4, tmp_path / "results.json", tmp_path / "pretrained")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_networks_trained_in_bfloat16_are_measured_in_float32_with_the_same_weights():
    seen = []

    def build_networks(config):
        seen.append(config)
        return build()

    trained = build()
    fill_with(trained, 3)
    measured = trained_models.in_float32(trained, build_networks, Config(seed=7, precision="mixed_bfloat16"))
    assert values(measured) == {3.0} and measured.generator is not trained.generator
    assert seen == [Config(seed=7, precision="float32")]


def test_damaged_best_weights_are_named_and_the_newest_taken(tmp_path, capsys):
    folder = train(tmp_path)
    networks = build()
    fill_with(networks, 9)
    checkpoints.save(folder / "best", 4, keep=1, networks=networks)
    (folder / "best" / "step_00000004" / "manifest.json").write_text("")
    assert trained_models.fill(networks, folder) == 4 and values(networks) == {4.0}
    assert "warning: passed over the best weights: no good checkpoint: " in capsys.readouterr().err


def test_minutes_are_the_runs_where_its_best_step_is_its_newest(tmp_path):
    folder = train(tmp_path / "log_dir")
    checkpoints.save(folder / "best", 4, keep=1, networks=build())
    trained_models.record({"accuracy": 0.9}, folder, 4, tmp_path / "results.json", tmp_path / "pretrained")
    assert json.loads((tmp_path / "results.json").read_text())[0]["steps"] == 4
