"""What is measured, and the commands from a tiny training to every picture and the published weights."""

import contextlib
import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from image_translation import (
    classifier,
    evaluate_model,
    evaluation,
    networks,
    pictures,
    train_classifier,
    train_mnist,
    training,
)
from image_translation.config import Config
from shared import classification_score, flags, published_weights, run_folders
from shared.datasets import mnist

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "mnist_sample"
NETWORKS = JUDGE = None


# Numbers


def test_accuracies_and_confusions_are_counted_of_test_images_and_of_500_generated_ones_a_digit(monkeypatch):
    """Here an image's category is its first pixel; the judge takes every generated 9 for a 4, and all else for a 0."""
    categories, labels = np.array([0, 1, 2, 2, 9]), np.array([0, 1, 2, 3, 4])
    images = np.broadcast_to(categories[:, None, None], [5, 28, 28]).astype(np.uint8)
    data = mnist.Mnist(images[:0], labels[:0], images, labels, "")
    drawn = []

    def generate(_, codes):
        drawn.append(codes)
        return codes.categorical[0]

    def classify(_, images):
        seen = tf.argmax(images, axis=1) if images.shape[1] == 10 else tf.zeros([len(images)], tf.int64)
        return tf.where(seen == 9, tf.constant(4, tf.int64), seen)

    monkeypatch.setattr(evaluation, "recognise", lambda _, x: tf.cast(tf.round(x[:, 0, 0, 0] * 255), tf.int64))
    monkeypatch.setattr(pictures, "generate", generate)
    monkeypatch.setattr(classifier, "classify", classify)
    monkeypatch.setattr(evaluation, "BATCH", 3000)  # the last batch is incomplete
    numbers = evaluation.evaluate(NETWORKS, Config(), data, JUDGE)
    assert (numbers["encoder_accuracy"], numbers["wrong"]) == (0.6, 2)
    assert numbers["judge_accuracy"] == 0.2
    assert numbers["generator_accuracy"] == 0.9
    assert numbers["encoder_confusion"][3][2] == numbers["encoder_confusion"][4][9] == 1
    assert numbers["generator_confusion"][9] == [0, 0, 0, 0, 500, 0, 0, 0, 0, 0]
    assert np.trace(numbers["generator_confusion"]) == 4500
    assert sum(len(codes.noise) for codes in drawn) == 5000
    assert len(np.unique(np.concatenate([codes.noise for codes in drawn]), axis=0)) == 5000
    report = evaluation.report(numbers)
    assert "60.00% (2 wrong)" in report
    assert "Generator's accuracy: 90.00%, by a judge that is right on 20.00% of the test images" in report
    scores = {"classification_score": 0.25, "classification_score_of_training_images": 0.75}
    assert evaluation.report(numbers | scores).endswith("score: 25.00%; of the training images: 75.00%")


# The commands


def command(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    flags.run(module.main)


def size(path):
    with Image.open(path) as picture:
        return picture.size


DATA = ["--data_dir", SAMPLE, "--unverified_data", "--validation", 100]
TEST_DATA = DATA[:3]


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def system(tmp_path_factory, monkeymodule, tiny_networks, tiny_judge):
    """A system's folder to write to, in place of the real one; steps untraced: for two that is faster."""
    folder = tmp_path_factory.mktemp("system")
    for module in (train_mnist, evaluate_model):
        monkeymodule.setattr(module, "LOG_DIR", folder / "log_dir" / "mnist")
        monkeymodule.setattr(module, "PUBLISHED_JUDGE", folder / "pretrained" / "judge")
    monkeymodule.setattr(evaluate_model, "SYSTEM_DIR", folder)
    monkeymodule.setattr(evaluate_model, "PUBLISHED", folder / "pretrained" / "default")
    monkeymodule.setattr(train_classifier, "LOG_DIR", folder / "log_dir" / "judge")
    monkeymodule.setattr(train_classifier, "PUBLISHED", folder / "pretrained" / "judge")
    monkeymodule.setattr(evaluation, "GENERATED_OF_DIGIT", 2)
    for module in (networks, training):
        monkeymodule.setattr(module, "build_networks", tiny_networks)
    monkeymodule.setattr(classifier, "build_classifier", tiny_judge)
    monkeymodule.setattr(training, "train_step", training.train_step.python_function)
    monkeymodule.setattr(classifier, "train_step", classifier.train_step.python_function)
    return folder


OF_JUDGE = [*DATA, "--batch_size", 4, "--log_every", 1]


@pytest.fixture(scope="module")
def published_judge(system, monkeymodule):
    """Trained in two sessions, the second of which publishes it."""
    command(monkeymodule, train_classifier, *OF_JUDGE, "--max_iter", 2, "--max_steps", 1)
    command(monkeymodule, train_classifier, *TEST_DATA, "--resume", "--max_steps", 2, "--publish")
    return system / "pretrained" / "judge"


TINY = [*DATA, "--batch_size", 4, "--num_samples", 2, "--num_continuous", 3, "--save_every", 1]


@pytest.fixture(scope="module")
def run_folder(system, published_judge, monkeymodule):
    command(monkeymodule, train_mnist, *TINY, "--max_iter", 2)
    return run_folders.newest(system / "log_dir" / "mnist")


def weights(folder):
    with np.load(folder / "weights.npz") as file:
        return {name: file[name].tobytes() for name in file.files}


def test_a_judge_trained_in_two_sessions_is_that_of_one_and_its_accuracies_are_told(
    system, published_judge, monkeypatch, capsys
):
    command(monkeypatch, train_classifier, *OF_JUDGE, "--max_iter", 2)
    out = capsys.readouterr().out
    kept = run_folders.newest(system / "log_dir" / "judge") / "judge"
    assert weights(kept) == weights(published_judge)
    numbers = json.loads((kept / "evaluation.json").read_text())
    assert numbers["step"] == 2 and numbers["minutes"] >= 0
    assert f"Judge's test accuracy: {numbers['judge_accuracy']:.2%}" in out and f"Weights: {kept}" in out
    recorded = json.loads((published_judge / "settings.json").read_text())
    assert (recorded["system"], recorded["steps"], recorded["config"]["seed"]) == ("image_translation_judge", 2, 0)
    assert recorded["command"].startswith("python ") and str(SAMPLE) not in json.dumps(recorded)


def test_training_ends_with_the_numbers_of_the_best_weights_and_keeps_its_judge(run_folder, published_judge):
    numbers = json.loads((run_folder / "evaluation.json").read_text())
    assert numbers["step"] == 2
    assert [path.name for path in run_folder.glob("best/*")] == ["step_00000002"]
    assert all(0 <= numbers[f"{name}_accuracy"] <= 1 for name in ("encoder", "generator", "judge"))
    assert weights(run_folder / "judge") == weights(published_judge)
    assert (run_folder / "info.txt").read_text().count("\n") == 1
    labelled = json.loads((run_folder / "labelled_images.json").read_text())
    data = mnist.load(SAMPLE, unverified=True)
    assert data.train_labels[labelled["indices"]].tolist() == labelled["labels"] == np.repeat(range(10), 2).tolist()


def test_a_resumed_run_is_judged_by_its_own_judge_though_another_was_published_since(
    published_judge, tiny_judge, tmp_path, monkeypatch, capsys
):
    published = tmp_path / "judge"
    shutil.copytree(published_judge, published)
    monkeypatch.setattr(train_mnist, "PUBLISHED_JUDGE", published)
    command(monkeypatch, train_mnist, *TINY, "--max_iter", 3, "--max_steps", 2, "--log_dir", tmp_path / "runs")
    (run,) = (tmp_path / "runs").iterdir()
    assert "Weights of step 2, the newest: none was chosen" in capsys.readouterr().out
    first = json.loads((run / "evaluation.json").read_text())

    published_weights.save(published / "weights.npz", [tiny_judge(seed=5)])
    command(monkeypatch, train_mnist, *TEST_DATA, "--resume", run, "--max_steps", 3)
    out, err = capsys.readouterr()
    assert f"Judge: {run / 'judge'}, test accuracy {first['judge_accuracy']:.2%}\n" in err
    assert "Weights of step 3, the best" in out
    numbers = json.loads((run / "evaluation.json").read_text())
    data = mnist.load(SAMPLE, unverified=True)
    of_other = classifier.accuracy(classifier.load(published), data.test_images, data.test_labels)
    assert (numbers["step"], numbers["judge_accuracy"]) == (3, first["judge_accuracy"])
    assert of_other != first["judge_accuracy"]


def test_a_run_that_lost_its_judge_is_not_judged_by_another(run_folder, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    shutil.rmtree(copy / "judge")
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, evaluate_model, "--evaluate", "--model_dir", copy, *TEST_DATA)
    assert stop.value.code == 2
    assert f"{copy / 'judge'} holds no trained judge" in capsys.readouterr().err


@pytest.mark.parametrize("script, arguments, told", [
    (train_mnist, TINY, "is the judge of other data; train one on these"),
    (train_classifier, [*OF_JUDGE, "--publish"], "--publish: .*judge is the judge of other data"),
    (train_classifier, [*OF_JUDGE, "--publish", "--max_steps", 3], "--publish: a judge that --max_steps cuts short"),
])  # fmt: skip
def test_neither_is_a_judge_of_other_data_used_nor_a_published_one_lost(
    published_judge, system, tmp_path, monkeypatch, capsys, script, arguments, told
):
    other = tmp_path / "judge"
    shutil.copytree(published_judge, other)
    settings = json.loads((other / "settings.json").read_text())
    (other / "settings.json").write_text(json.dumps(settings | {"data_sha256": "another"}))
    monkeypatch.setattr(train_mnist, "PUBLISHED_JUDGE", other)
    monkeypatch.setattr(train_classifier, "PUBLISHED", other)
    runs = sorted((system / "log_dir").rglob("*"))
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, script, *arguments)
    assert stop.value.code == 2 and re.search(told, capsys.readouterr().err)
    assert weights(other) == weights(published_judge)
    assert sorted((system / "log_dir").rglob("*")) == runs


def test_a_run_whose_judge_is_of_other_data_goes_on_and_one_whose_judge_was_cut_short_is_not_published(
    run_folder, tmp_path, monkeypatch, capsys
):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    settings = json.loads((copy / "judge" / "settings.json").read_text())
    (copy / "judge" / "settings.json").write_text(json.dumps(settings | {"data_sha256": "another", "steps": 1}))
    command(monkeypatch, train_mnist, *TEST_DATA, "--resume", copy, "--max_iter", 3)
    assert (copy / "checkpoints" / "step_00000003").is_dir()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        command(monkeypatch, evaluate_model, "--publish", "--model_dir", copy, *TEST_DATA)
    assert f"--publish: {copy} has a judge that --max_steps cut short" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shown(run_folder, published_judge, monkeymodule):
    """Of one command that does everything with the newest run: what it printed."""
    for path in published_judge.iterdir():
        path.unlink()
    published_judge.rmdir()
    everything = ["--generate", "--translate", "--interpolate", "--reconstruct", "--evaluate", "--json", "--publish"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        monkeymodule.setattr("sys.stdin", io.StringIO("5\n8\n"))
        command(monkeymodule, evaluate_model, *everything, *TEST_DATA)
    return out.getvalue(), err.getvalue()


def test_every_picture_of_a_run_is_drawn_and_json_leaves_nothing_else_on_standard_output(run_folder, shown):
    out, err = shown
    numbers = json.loads(out)
    assert numbers == {k: v for k, v in json.loads((run_folder / "evaluation.json").read_text()).items() if k != "step"}
    assert err.startswith("Start digit, 0 to 9:\nEnd digit, 0 to 9:\n")
    sizes = {path.stem: size(path) for path in (run_folder / "samples").iterdir()}
    generated = ["generated_imgs_categorical"] + [f"generated_imgs_cont_{k}" for k in range(3)]
    assert sizes == dict.fromkeys(generated, (280, 280)) | {
        "categorical_translations": (11 * 28, 280),
        "continuous_translations": (10 * 28, 280),
        "mnist_class_interpolation_5_8": (11 * 28, 280),
        "reconstructions": (280, 56),
    }


def test_classifiers_learn_from_generated_digits_alone_or_from_training_images_alone(run_folder, monkeypatch, capsys):
    drawn = {}

    def score(draw, images, labels, seed, name):
        assert (len(images), len(labels)) == (200, 200)  # the test images
        drawn[name] = [draw(step) for step in (0, 1)]
        return len(drawn) / 8

    monkeypatch.setattr(classification_score, "score", score)
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: {"encoder_accuracy": 0.5})
    monkeypatch.setattr(pictures, "generate", lambda _, codes: codes)
    before = (run_folder / "evaluation.json").read_text()
    command(monkeypatch, evaluate_model, "--classification_score", "--json", "--model_dir", run_folder, *TEST_DATA)
    found = {"encoder_accuracy": 0.5, "classification_score": 0.125, "classification_score_of_training_images": 0.25}
    assert json.loads(capsys.readouterr().out) == found
    assert json.loads((run_folder / "evaluation.json").read_text()) == {"step": 2} | found
    (run_folder / "evaluation.json").write_text(before)
    (codes, labels), (more, _) = drawn["classification_score"]
    np.testing.assert_array_equal(np.argmax(codes.categorical[0], axis=1), labels)
    assert len(labels) == 128 and (codes.noise.numpy() != more.noise.numpy()).all()
    real = mnist.load(SAMPLE, unverified=True)
    known = {(image.tobytes(), label) for image, label in zip(real.train_images, real.train_labels)}
    for images, labels in drawn["classification_score_of_training_images"]:
        whole = np.rint(images[..., 0] * 255).astype(np.uint8)
        assert {(image.tobytes(), label) for image, label in zip(whole, labels)} <= known


def test_published_weights_are_judged_by_the_judge_that_is_published_with_them(
    shown, run_folder, system, published_judge, monkeypatch, capsys
):
    assert weights(published_judge) == weights(run_folder / "judge")
    (entry,) = json.loads((system / "results.json").read_text())
    assert (entry["system"], entry["steps"], entry["seed"]) == ("image_translation", 2, 0)
    assert set(entry["metrics"]) == {"encoder_accuracy", "generator_accuracy", "judge_accuracy", "best_step"}
    published = system / "pretrained" / "default"
    assert str(system) not in (published / "settings.json").read_text()
    command(monkeypatch, evaluate_model, "--json", "--model_dir", published, *TEST_DATA)
    numbers = json.loads(capsys.readouterr().out)
    assert json.loads((published / "evaluation.json").read_text()) == {"step": 2} | numbers
    assert numbers["judge_accuracy"] == entry["metrics"]["judge_accuracy"]
    assert numbers["encoder_accuracy"] == pytest.approx(entry["metrics"]["encoder_accuracy"], abs=0.02)
    assert (system / "log_dir" / "mnist" / "published_default" / "evaluation.json").exists()


def test_the_numbers_beside_published_weights_are_measured_on_those_and_not_on_the_runs(
    run_folder, tmp_path, monkeypatch
):
    """Here publishing rounds an encoder to one that takes every image for a 0."""
    save = published_weights.save

    def save_coarsely(path, networks):
        save(path, networks)
        with np.load(path) as file:
            coarse = {name: np.zeros_like(file[name]) for name in file.files}
        np.savez(path, **coarse)

    monkeypatch.setattr(published_weights, "save", save_coarsely)
    monkeypatch.setattr(evaluate_model, "SYSTEM_DIR", tmp_path)
    monkeypatch.setattr(evaluate_model, "PUBLISHED", tmp_path / "pretrained" / "default")
    monkeypatch.setattr(evaluate_model, "PUBLISHED_JUDGE", tmp_path / "pretrained" / "judge")
    command(monkeypatch, evaluate_model, "--record", "--model_dir", run_folder, *TEST_DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    command(monkeypatch, evaluate_model, "--publish", "--model_dir", run_folder, *TEST_DATA)
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    of_run = json.loads((run_folder / "evaluation.json").read_text())
    of_published = json.loads((tmp_path / "pretrained" / "default" / "evaluation.json").read_text())
    assert of_published["step"] == of_run["step"] == entry["metrics"]["best_step"] == 2
    assert entry["metrics"]["encoder_accuracy"] == of_run["encoder_accuracy"]
    assert [sum(column) > 0 for column in zip(*of_published["encoder_confusion"])] == [True] + 9 * [False]
    assert of_published["encoder_confusion"] != of_run["encoder_confusion"]


def test_an_earlier_checkpoint_is_taken_by_its_number_and_one_that_is_not_there_is_refused(
    run_folder, monkeypatch, capsys
):
    for arguments, step in (([], 2), (["--iteration", 1], 1)):
        command(monkeypatch, evaluate_model, "--generate", "--model_dir", run_folder, *arguments)
        assert capsys.readouterr().err.startswith(f"Weights: {run_folder}, step {step}\n")
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, evaluate_model, "--generate", "--model_dir", run_folder, "--iteration", 7)
    assert error.value.code == 2
    assert "no checkpoint of step 7; it has [1, 2]" in capsys.readouterr().err


# What the user can mend


def refusal(capsys, monkeypatch, module, *arguments):
    monkeypatch.setattr(flags, "import_tensorflow", lambda: pytest.fail("TensorFlow was waited for"))
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, module, *arguments)
    out, err = capsys.readouterr()
    assert (error.value.code, out, "Traceback" in err) == (2, "", False)
    assert err.splitlines()[-1].startswith(f"{module.__name__}.py: ")
    return err


@pytest.mark.parametrize("arguments, problem", [
    (["--num_samples", 0], "--num_samples: expected 1 or more; got 0"),
    ([*DATA, "--num_samples", 99], "--num_samples: expected at most 13, the training images of digit 8; got 99"),
    (["--beta1_g", 1], "--beta1_g: expected 0 or more, below 1; got 1.0"),
    (["--lab_sample_red", -0.1], "--lab_sample_red: expected 0 or more; got -0.1"),
    (["--adv_loss_increase", "nan"], "--adv_loss_increase: expected 0 or more; got nan"),
    (["--picture_every", 0], "--picture_every: expected 1 or more; got 0"),
    (["--max_iter", 0], "--max_iter: expected 1 or more; got 0"),
    (TEST_DATA, "validation is 5000 images: allowed are 0 to 299"),
    ([*DATA, "--batch_size", 151], "batch_size is 151: allowed are 1 to 150"),
    ([*DATA, "--judge", "nowhere"], "nowhere holds no trained judge; train_classifier.py makes one"),
])  # fmt: skip
def test_a_training_that_cannot_be_is_refused_in_a_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, problem
):
    told = refusal(capsys, monkeypatch, train_mnist, *arguments, "--log_dir", tmp_path)
    assert problem in told and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments, problem", [
    (["--max_iter", 0], "--max_iter: expected 1 or more; got 0"),
    (["--shift", -1], "--shift: expected 0 or more; got -1"),
    (["--validation", 0], "--validation: expected 1 or more; got 0"),
    (["--precision", "mixed_bfloat16"], "--precision: expected float32, the judge's; got mixed_bfloat16"),
    ([*DATA, "--batch_size", 201], "batch_size is 201: allowed are 1 to 200"),
])  # fmt: skip
def test_a_judge_that_cannot_be_trained_is_refused_in_a_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, problem
):
    assert problem in refusal(capsys, monkeypatch, train_classifier, *arguments, "--log_dir", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments, typed, problem", [
    ([], "", "nothing to do; add --evaluate, --generate, --translate"),
    (["--interpolate", "--start_digit", 10], "", "--start_digit: expected 0 to 9; got 10"),
    (["--interpolate", "--start_digit", 3, "--end_digit", -1], "", "--end_digit: expected 0 to 9; got -1"),
    (["--generate", "--start_digit", 3], "", "--start_digit, --end_digit: of --interpolate, which is not there"),
    (["--interpolate"], "12\n", "--start_digit: expected 0 to 9; got '12'"),
    (["--interpolate", "--start_digit", 3], "seven\n", "--end_digit: expected 0 to 9; got 'seven'"),
    (["--interpolate"], "", "--start_digit: expected 0 to 9; got ''"),
])  # fmt: skip
def test_an_evaluation_that_cannot_be_is_refused_in_a_line(monkeypatch, capsys, arguments, typed, problem):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert problem in refusal(capsys, monkeypatch, evaluate_model, *arguments)


@pytest.mark.parametrize("published", [False, True])
def test_a_folder_without_checkpoints_is_not_published_and_nothing_is_written(tmp_path, monkeypatch, capsys, published):
    for name in ("SYSTEM_DIR", "LOG_DIR", "PUBLISHED", "PUBLISHED_JUDGE"):
        monkeypatch.setattr(evaluate_model, name, tmp_path / name)
    folder = run_folders.start("image_translation", "mnist", Config(), tmp_path, "the data's hash")
    if published:
        folder = folder.rename(tmp_path / "PUBLISHED")
        (folder / "weights.npz").touch()
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    told = refusal(capsys, monkeypatch, evaluate_model, "--publish", "--model_dir", folder, *TEST_DATA)
    assert told.endswith(f"evaluate_model.py: --record, --publish: {folder} is no run with a checkpoint\n")
    assert told.count("\n") == 1
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_flags_of_the_original_without_effect_are_taken_and_said_to_have_none(tmp_path, monkeypatch, capsys):
    idle = ["--sup_loss_reduction", 5, "--recon_loss_G", 1, "--gen_img_path", "images"]
    told = refusal(capsys, monkeypatch, train_mnist, *idle, *DATA, "--judge", "nowhere", "--log_dir", tmp_path)
    for name in ("sup_loss_reduction", "recon_loss_G", "gen_img_path"):
        assert f"--{name} has no effect\n" in told
