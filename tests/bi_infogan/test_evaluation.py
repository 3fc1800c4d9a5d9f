"""encodings.txt, the measured numbers, and the two commands from a tiny training to every picture."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bi_infogan import evaluate_model, evaluation, pictures, train_mnist
from bi_infogan.config import PRESETS, Config
from shared import classification_score, files, flags, run_folders
from shared.datasets import mnist
from shared.flags import UserError

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "mnist_sample"
NETWORKS = None
LINE = "6,5,9,2,1,8,3,0,4,7"  # the original's example

pytestmark = pytest.mark.usefixtures("untraced")


def data_of(train_labels, test_labels):
    """MNIST-like data whose images are their category, in their first pixel."""
    images = [np.zeros([len(labels), 28, 28], np.uint8) for labels in (train_labels, test_labels)]
    return mnist.Mnist(images[0], np.array(train_labels), images[1], np.array(test_labels), "")


# encodings.txt


def test_the_originals_example_is_read_as_it_says(tmp_path):
    (tmp_path / "encodings.txt").write_text(LINE)
    (mapping,) = evaluation.read_encodings(tmp_path / "encodings.txt", Config())
    assert [mapping[category] for category in (6, 5, 9, 2, 1, 8, 3, 0, 4, 7)] == list(range(10))
    assert evaluation.encodings_line(mapping) == LINE


@pytest.mark.parametrize("line", [
    "6,5,9,2,1,8,3,0,4,4",
    "6,5,9,2,1,8,3,0,4",
    "6,5,9,2,1,8,3,0,4,7,7",
    "6,5,9,2,1,8,3,0,4,10",
    "6,5,9,2,1,8,3,0,4,-1",
    "6,5,9,2,1,8,3,0,4,-",
    "6,5,9,2,1,8,3,0,4,seven",
    "6 5 9 2 1 8 3 0 4 7",
    "6,5,9,2,1,8,3,0,4,7.0",
])  # fmt: skip
def test_a_line_that_is_no_permutation_of_the_digits_is_refused_and_shown(tmp_path, line):
    path = tmp_path / "encodings.txt"
    path.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(UserError) as error:
        evaluation.read_encodings(path, Config(categorical_sizes=(10, 10)))
    assert str(error.value) == f"{path}, line 2: expected each of 0 to 9 once, with commas between; got {line!r}"


@pytest.mark.parametrize("text, lines", [("", 0), (f"{LINE}\n{LINE}", 2)])
def test_a_file_without_a_line_for_each_code_is_refused(tmp_path, text, lines):
    (tmp_path / "encodings.txt").write_text(text)
    with pytest.raises(UserError, match=f"encodings.txt: expected a line for each categorical code, 1; got {lines}"):
        evaluation.read_encodings(tmp_path / "encodings.txt", Config())


@pytest.mark.parametrize("blank", ["", "\n", "\r\n", "  \n\n"])
def test_spaces_and_line_ends_do_not_matter(tmp_path, blank):
    (tmp_path / "encodings.txt").write_text(LINE.replace(",", ", ") + blank)
    (mapping,) = evaluation.read_encodings(tmp_path / "encodings.txt", Config())
    assert evaluation.encodings_line(mapping) == LINE


@pytest.mark.parametrize("classes, line, mapping", [
    (3, "-,2,-,0,-,-,-,-,1,-", [3, 8, 1]),
    (12, "11,1,2,3,4,5,6,7,8,9", [-1, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, 0]),
])  # fmt: skip
def test_a_code_of_other_than_ten_classes_is_written_and_read(tmp_path, classes, line, mapping):
    assert evaluation.encodings_line(np.array(mapping)) == line
    (tmp_path / "encodings.txt").write_text(line)
    (found,) = evaluation.read_encodings(tmp_path / "encodings.txt", Config(categorical_sizes=(classes,)))
    assert found.tolist() == mapping
    wrong = line.replace("-", "0", 1) if "-" in line else line.replace("11", "-")
    (tmp_path / "encodings.txt").write_text(wrong)
    with pytest.raises(UserError, match="different numbers from 0"):
        evaluation.read_encodings(tmp_path / "encodings.txt", Config(categorical_sizes=(classes,)))


# Categories and digits


@pytest.fixture
def said(monkeypatch):
    """Sets what the encoder says of training and test images, by their number."""

    def say(train, test):
        by_number = {len(train): np.array(train), len(test): np.array(test)}
        assert len(by_number) == 2
        monkeypatch.setattr(evaluation, "categories", lambda _, images: by_number[len(images)].reshape(len(images), -1))

    return say  # fmt: skip


TRAIN_LABELS = [0, 0, 1, 1, 2, 2]
TRAIN = [4, 4, 0, 0, 0, 9]  # 0 is most often a one


def test_categories_are_mapped_by_training_labels_whatever_the_test_labels(tmp_path, said, capsys):
    said(TRAIN, [4, 0, 9])
    for number, test_labels in enumerate(([0, 1, 2], [1, 2, 0])):
        folder = tmp_path / str(number)
        found = evaluation.classifier(NETWORKS, Config(), data_of(TRAIN_LABELS, test_labels), folder)
        assert [found.mapping[category] for category in (4, 0, 9)] == [0, 1, 2]
        assert found.train_accuracy == pytest.approx(5 / 6)
        assert (folder / "encodings.txt").read_text().startswith("4,0,9,")
        assert "mapped on training labels" in capsys.readouterr().err


def test_a_file_written_by_hand_is_used_and_never_overwritten(tmp_path, said, capsys):
    said(TRAIN, [4, 0, 9])
    path = tmp_path / "encodings.txt"
    path.write_text(LINE)
    found = evaluation.classifier(NETWORKS, Config(), data_of(TRAIN_LABELS, [0, 1, 2]), tmp_path)
    assert evaluation.encodings_line(found.mapping) == path.read_text() == LINE
    assert found.train_accuracy == 1 / 6  # 9 is a two there
    assert "by hand" in capsys.readouterr().err


def test_a_file_that_was_mapped_for_other_weights_is_mapped_anew_unless_a_person_changed_it(tmp_path, said):
    data = data_of(TRAIN_LABELS, [0, 1, 2])
    path = tmp_path / "encodings.txt"
    said(TRAIN, [4, 0, 9])
    evaluation.classifier(NETWORKS, Config(), data, tmp_path)
    said([1, 1, 2, 2, 3, 3], [4, 0, 9])
    evaluation.classifier(NETWORKS, Config(), data, tmp_path)
    assert path.read_text().startswith("1,2,3,")
    path.write_text(LINE)
    evaluation.classifier(NETWORKS, Config(), data, tmp_path)
    assert path.read_text() == LINE


def test_a_map_that_is_not_to_be_kept_or_is_half_written_does_not_pass_for_one_made_by_hand(
    tmp_path, said, monkeypatch
):
    data = data_of(TRAIN_LABELS, [0, 1, 2])
    path = tmp_path / "encodings.txt"
    said(TRAIN, [4, 0, 9])
    evaluation.classifier(NETWORKS, Config(), data, tmp_path)
    before = path.read_bytes()
    said([1, 1, 2, 2, 3, 3], [4, 0, 9])
    assert evaluation.classifier(NETWORKS, Config(), data, tmp_path, keep_map=False).mapping[1] == TRAIN_LABELS[0]
    assert path.read_bytes() == before

    def stopped(path, text):
        raise OSError("stopped")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="stopped"):
        patch.setattr(files, "write_text", stopped)
        evaluation.classifier(NETWORKS, Config(), data, tmp_path)
    evaluation.classifier(NETWORKS, Config(), data, tmp_path)
    assert path.read_text().startswith("1,2,3,")


def test_of_several_codes_the_one_that_does_best_on_training_labels_is_the_classifier(tmp_path, said):
    config = Config(categorical_sizes=(4, 3))
    blind, seeing = [0, 0, 0, 0, 0, 1], [2, 2, 1, 1, 0, 0]
    said(np.stack([blind, seeing], axis=1), [[0, 2], [0, 1], [3, 0]])
    found = evaluation.classifier(NETWORKS, config, data_of(TRAIN_LABELS, [0, 1, 2]), tmp_path)
    assert (found.code, found.mapping.tolist(), found.train_accuracy) == (1, [2, 1, 0], 1)
    assert (tmp_path / "encodings.txt").read_text().splitlines()[1] == "2,1,0,-,-,-,-,-,-,-"
    assert evaluation.predict(NETWORKS, np.zeros([3, 28, 28]), found).tolist() == [0, 1, 2]


def test_without_a_categorical_code_there_is_no_classifier_and_no_file(tmp_path):
    assert evaluation.classifier(NETWORKS, Config(categorical_sizes=()), data_of([0], [0]), tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="no categorical code"):
        evaluation.predict(NETWORKS, np.zeros([3, 28, 28]), None)


def test_accuracy_confusion_and_wrong_images_are_counted(monkeypatch, said):
    said([0] * 5, [4, 0, 9, 3])
    monkeypatch.setattr(
        evaluation, "bound", lambda *_: {"mutual_information_bound": 1.0, "mutual_information_ceiling": 2.0}
    )
    mapping = np.array([1, -1, -1, -1, 0, -1, -1, -1, -1, 2])
    found = evaluation.Classifier(0, mapping, 0.5)
    numbers = evaluation.evaluate(NETWORKS, Config(), data_of([0] * 5, [0, 2, 2, 5]), found)
    assert (numbers["accuracy"], numbers["wrong"], numbers["train_accuracy"]) == (0.5, 2, 0.5)
    assert numbers["confusion"][2][:3] == [0, 1, 1]
    assert numbers["confusion"][5][10] == 1  # category 3 stands for no digit
    assert (numbers["accuracy_per_digit"][2], numbers["accuracy_per_digit"][5]) == (0.5, 0)
    assert "50.00% (2 wrong)" in evaluation.report(numbers)
    scores = {"classification_score": 0.25, "classification_score_of_training_images": 0.75}
    assert evaluation.report(numbers | scores).endswith("score: 25.00%; of the training images: 75.00%")


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 30.0])
def test_the_bound_is_ln_n_less_the_cross_entropy_over_all_generated_images(monkeypatch, sharpness):
    """From nothing, where the logits say nothing, to ln n, where they are right and sure."""
    monkeypatch.setattr(pictures, "generate", lambda _, codes: codes)
    monkeypatch.setattr(evaluation, "recognise", lambda _, codes: [sharpness * code for code in codes.categorical])
    numbers = evaluation.bound(NETWORKS, Config(categorical_sizes=(10, 3)))
    expected = sum(math.log(n) - math.log(1 + (n - 1) * math.exp(-sharpness)) for n in (10, 3))
    assert numbers["mutual_information_bound"] == pytest.approx(expected, abs=1e-5)
    assert numbers["mutual_information_ceiling"] == pytest.approx(math.log(30))


# The two commands


def command(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    flags.run(module.main)


def size(path):
    with Image.open(path) as picture:
        return picture.size


DATA = ["--data_dir", SAMPLE, "--unverified_data"]
# Not the default codes: whatever is made for one code of ten classes must do for others.
CODES = ["--num_z", 5, "--categorical_sizes", 12, 3, "--num_continuous", 3]
TINY = [*DATA, *CODES, "--max_steps", 2, "--batch_size", 4, "--validation", 100, "--save_every", 1]


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory, monkeymodule):
    folder = tmp_path_factory.mktemp("log_dir")
    for module in (train_mnist, evaluate_model):
        monkeymodule.setattr(module, "LOG_DIR", folder)
    monkeymodule.setattr(evaluate_model, "SYSTEM_DIR", folder / "system")
    monkeymodule.setattr(evaluate_model, "PUBLISHED", folder / "system" / "pretrained" / "default")
    monkeymodule.setattr(evaluation, "GENERATED", 100)
    monkeymodule.setattr(evaluation, "BATCH", 100)
    (folder / "system").mkdir()
    return folder


@pytest.fixture(scope="module")
def run_folder(log_dir, monkeymodule):
    command(monkeymodule, train_mnist, *TINY)
    return run_folders.newest(log_dir)


def test_training_ends_with_the_accuracy_the_samples_and_the_map_beside_the_weights(run_folder):
    numbers = json.loads((run_folder / "evaluation.json").read_text())
    assert numbers["step"] == 2
    assert 0 <= numbers["accuracy"] <= 1
    assert numbers["mutual_information_ceiling"] == pytest.approx(math.log(36))
    assert len(numbers["mapping"]) == (12, 3)[numbers["code"]]
    first, second = (line.split(",") for line in (run_folder / "encodings.txt").read_text().splitlines())
    assert len(set(first)) == 10 and set(first) <= {str(k) for k in range(12)}
    assert sorted(second) == ["-"] * 7 + ["0", "1", "2"]
    drawn = {path.stem: size(path) for path in run_folder.glob("samples_*/*.png")}
    assert drawn == {"2_d1": (280, 336), "2_d2": (280, 84)} | {f"2_c{k}": (336, 56) for k in (1, 2, 3)}


def test_every_picture_of_a_run_is_drawn_and_json_leaves_nothing_else_on_standard_output(
    run_folder, monkeypatch, capsys
):
    everything = ["--sample", "--reconstruct", "--generate", "--wrongly_classified", "--map_encodings", "--json"]
    command(monkeypatch, evaluate_model, *everything, *DATA)  # of the newest run
    out, err = capsys.readouterr()
    numbers = json.loads(out)
    assert {"accuracy", "mutual_information_bound", "confusion", "mapping"} <= set(numbers)
    assert numbers == {k: v for k, v in json.loads((run_folder / "evaluation.json").read_text()).items() if k != "step"}
    assert f"Wrongly classified: {numbers['wrong']} of 200" in err
    wrong_rows = [max(1, -(-(sum(row) - row[k]) // 20)) for k, row in enumerate(numbers["confusion"])]
    test_images = ["samples_categorical", "sample_cont_c1", "sample_cont_c2", "sample_cont_c3"]
    sizes = {path.stem: size(path) for path in (run_folder / "samples").iterdir()}
    assert sizes == dict.fromkeys(test_images, (30 * 28, 20 * 28)) | {
        "samples_reconstruction": (20 * 28, 20 * 28),
        "generated_imgs_categorical": (12 * 28, 10 * 28),
        "generated_imgs_categorical_2": (3 * 28, 10 * 28),
        "wrongly_classified": (21 * 40, sum(wrong_rows) * 28),
    }


def test_classifiers_learn_from_generated_digits_of_their_category_alone_or_from_training_images_alone(
    run_folder, monkeypatch, capsys
):
    drawn = {}

    def score(draw, images, labels, seed, name):
        assert (len(images), len(labels)) == (200, 200)  # the test images
        drawn[name] = [draw(step) for step in (0, 1)]
        return len(drawn) / 8

    mapping = np.array([-1, 7, 3])
    monkeypatch.setattr(classification_score, "score", score)
    monkeypatch.setattr(evaluation, "classifier", lambda *_: evaluation.Classifier(1, mapping, 0.5))
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: {"accuracy": 0.5})
    monkeypatch.setattr(pictures, "generate", lambda _, codes: codes)
    before = (run_folder / "evaluation.json").read_text()
    command(monkeypatch, evaluate_model, "--classification_score", "--json", "--model_dir", run_folder, *DATA)
    found = {"accuracy": 0.5, "classification_score": 0.125, "classification_score_of_training_images": 0.25}
    assert json.loads(capsys.readouterr().out) == found
    assert json.loads((run_folder / "evaluation.json").read_text()) == {"step": 2} | found
    (run_folder / "evaluation.json").write_text(before)
    (codes, labels), (more, _) = drawn["classification_score"]
    assert len(codes.noise) == len(labels) == 128 and set(labels) == {7, 3}  # a category without a digit has no label
    np.testing.assert_array_equal(mapping[np.argmax(codes.categorical[1], axis=1)], labels)
    assert (codes.noise.numpy() != more.noise.numpy()).all()
    real = mnist.load(SAMPLE, unverified=True)
    known = {(image.tobytes(), label) for image, label in zip(real.train_images, real.train_labels)}
    for images, labels in drawn["classification_score_of_training_images"]:
        whole = np.rint(images[..., 0] * 255).astype(np.uint8)
        assert {(image.tobytes(), label) for image, label in zip(whole, labels)} <= known


def test_published_weights_give_the_runs_numbers_and_write_nothing_beside_themselves(
    run_folder, log_dir, monkeypatch, capsys
):
    command(monkeypatch, evaluate_model, "--record", "--model_dir", run_folder, *DATA)
    assert [path.name for path in (log_dir / "system").iterdir()] == ["results.json"]
    command(monkeypatch, evaluate_model, "--publish", "--model_dir", run_folder, *DATA)
    (entry,) = json.loads((log_dir / "system" / "results.json").read_text())
    assert (entry["system"], entry["steps"]) == ("bi_infogan", 2)
    assert "Test accuracy" in capsys.readouterr().out
    published = log_dir / "system" / "pretrained" / "default"
    before = sorted(published.rglob("*"))
    assert (published / "weights.npz").stat().st_size < 10e6
    command(monkeypatch, evaluate_model, "--json", "--model_dir", published, *DATA)
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["mutual_information_bound"] == pytest.approx(entry["metrics"]["mutual_information_bound"], rel=0.02)
    assert sorted(published.rglob("*")) == before
    assert json.loads((published / "evaluation.json").read_text()) == {"step": 2} | numbers
    assert (log_dir / "published_default" / "encodings.txt").exists()


def test_what_is_recorded_of_published_weights_is_by_the_map_that_others_will_make(
    run_folder, log_dir, monkeypatch, capsys
):
    """And not by one that somebody wrote by hand, for the run or for the weights that were published before."""
    written = (run_folder / "encodings.txt").read_text()
    first, second = written.splitlines()
    by_hand = ",".join(reversed(first.split(",")))
    (run_folder / "encodings.txt").write_text(f"{by_hand}\n{second}\n")
    published = log_dir / "system" / "pretrained" / "default"
    command(monkeypatch, evaluate_model, "--publish", "--model_dir", run_folder, *DATA)
    for folder in (published, log_dir / "published_default"):
        (folder / "encodings.txt").write_text(f"{by_hand}\n{second}\n")
    command(monkeypatch, evaluate_model, "--publish", "--model_dir", run_folder, *DATA)
    (run_folder / "encodings.txt").write_text(written)
    assert not (published / "encodings.txt").exists()
    assert f"{published / 'encodings.txt'} is removed" in capsys.readouterr().err
    capsys.readouterr()
    command(monkeypatch, evaluate_model, "--json", "--model_dir", published, *DATA)
    recorded = json.loads((published / "evaluation.json").read_text())
    assert recorded == {"step": 2} | json.loads(capsys.readouterr().out)


def test_what_has_no_checkpoint_is_not_published(run_folder, log_dir, monkeypatch, capsys):
    published = log_dir / "system" / "pretrained" / "default"
    problem = refusal(capsys, monkeypatch, evaluate_model, "--publish", "--model_dir", published, *DATA)
    assert f"--publish: {published} is no run with a checkpoint" in problem


def test_an_earlier_checkpoint_is_taken_by_its_number_and_one_that_is_not_there_is_refused(
    run_folder, monkeypatch, capsys
):
    command(monkeypatch, evaluate_model, "--generate", "--iteration", 1)
    assert ", step 1\n" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, evaluate_model, "--generate", "--iteration", 7)
    assert error.value.code == 2
    assert "no checkpoint of step 7; it has [1, 2]" in capsys.readouterr().err


# What the user can mend


def refusal(capsys, monkeypatch, module, *arguments):
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, module, *arguments)
    out, err = capsys.readouterr()
    assert (error.value.code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize("arguments, problem", [
    (["--lr_red", "0.5"], "--lr_red: expected 1 or more; got 0.5"),
    (["--beta1_g", "1"], "--beta1_g: expected 0 or more, below 1; got 1.0"),
    (["--noise", "-1"], "--noise: expected 0 or more"),
    (["--categorical_sizes", "10", "1"], "--categorical_sizes: expected 2 or more; got 1"),
    (["--num_continuous", "-2"], "--num_continuous: expected 0 or more"),
    (["--picture_every", "0"], "--picture_every: expected 1 or more"),
    ([*DATA], "validation is 5000 images: allowed are 0 to 299"),
    ([*DATA, "--validation", "200"], "batch_size is 128: allowed are 1 to 100"),
])  # fmt: skip
def test_a_training_that_cannot_be_is_refused_in_a_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, problem
):
    assert problem in refusal(capsys, monkeypatch, train_mnist, *arguments, "--log_dir", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments, problem", [
    ([], "nothing to do; add --evaluate, --map_encodings"),
    (["--evaluate", "--model_dir", "/nowhere"], "there is no folder /nowhere"),
    (["--evaluate", "--model_dir", SAMPLE], "is not the folder of a run"),
])  # fmt: skip
def test_an_evaluation_that_cannot_be_is_refused_in_a_line(monkeypatch, capsys, arguments, problem):
    assert problem in refusal(capsys, monkeypatch, evaluate_model, *arguments)


OF_CATEGORIES = ["--map_encodings", "--sample", "--generate", "--wrongly_classified", "--classification_score"]


@pytest.mark.parametrize("flag", OF_CATEGORIES)
def test_what_a_model_without_categorical_code_cannot_show_is_refused(run_folder, tmp_path, monkeypatch, capsys, flag):
    settings = json.loads((run_folder / "settings.json").read_text())
    settings["config"]["categorical_sizes"] = []
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    problem = refusal(capsys, monkeypatch, evaluate_model, flag, "--reconstruct", "--model_dir", tmp_path)
    assert f"{flag}: {tmp_path} has no categorical code" in problem


def test_a_wrong_encodings_file_is_named_when_the_model_is_evaluated(run_folder, monkeypatch, capsys):
    path = run_folder / "encodings.txt"
    before = path.read_text()
    path.write_text("0,1,2,3,4,5,6,7,8,9\n1,1,2,-,-,-,-,-,-,-\n")
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, evaluate_model, "--evaluate", "--model_dir", run_folder, *DATA)
    path.write_text(before)
    assert error.value.code == 2
    expected = (
        f"{path}, line 2: expected 3 different numbers from 0 to 2 and 7 times '-', with commas between; got '1,1,"
    )
    assert expected in capsys.readouterr().err


def test_activations_other_than_the_originals_are_refused(capsys):
    with pytest.raises(SystemExit) as error:
        run_folders.parse_flags("bi_infogan", PRESETS, Path("unused"), "", ["--d_activation", "tanh"])
    assert error.value.code == 2
    for name in ("elu", "relu", "lrelu"):
        arguments = [f"--{network}_activation={name}" for network in "dge"]
        config, _ = run_folders.parse_flags("bi_infogan", PRESETS, Path("unused"), "", arguments)
        assert (config.d_activation, config.g_activation, config.e_activation) == (name, name, name)
