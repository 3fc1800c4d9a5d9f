"""InfoGAN's two scripts as a user runs them. Two stories are told once and looked at by many tests.

A training that is stopped is a process of its own; all else that waits for TensorFlow happens within this one.
"""

import contextlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infogan import evaluate_model, evaluation, pictures
from infogan.config import PRESETS
from shared import checkpoints, flags, run_folders

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = ROOT / "code" / "infogan"
TRAIN, EVALUATE = SYSTEM / "train_mnist.py", SYSTEM / "evaluate_model.py"
SAMPLE = ROOT / "tests" / "data" / "mnist_sample"
DATA = ("--data_dir", str(SAMPLE), "--unverified_data")
# As on a user's machine: without what tests set for the golden numbers.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
PATIENCE = 240  # seconds

pytestmark = pytest.mark.usefixtures("untraced")


def words(script, *arguments):
    return [sys.executable, str(script), *map(str, arguments)]


def finish(script, *arguments, cwd, **environment):
    return subprocess.run(
        words(script, *arguments), cwd=cwd, env=ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


def here(script, *arguments):
    """The same within this process, where TensorFlow is imported already: exit status and the two outputs."""
    before, status = (sys.argv, sys.path), 0
    sys.argv, sys.path = [str(script), *map(str, arguments)], sys.path[:]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as complaint:
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as exit_:
            status = exit_.code
        finally:
            sys.argv, sys.path = before
    return status, output.getvalue(), complaint.getvalue()


def terminate(*arguments, cwd):
    """Sends a training SIGTERM once it has logged two steps; its exit status and lines of standard error."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words(TRAIN, *arguments), cwd=cwd, env=ENVIRONMENT, **pipes) as process:
        alarm = threading.Timer(PATIENCE, process.kill)
        alarm.start()
        lines = []
        for line in process.stderr or ():
            lines.append(line.rstrip("\n"))
            if len(steps_in(lines)) == 2 and line.startswith("step "):
                process.terminate()
        status = process.wait()
        alarm.cancel()
    return status, lines


def steps_in(lines):
    return [int(line.split()[1]) for line in lines if line.startswith("step ")]


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def logged_steps(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def size_of(path):
    with Image.open(path) as image:
        return image.size


def few_generated_images(monkeypatch):
    """Nearly all time of an evaluation goes into the 10,000 images for the bound."""
    monkeypatch.setattr(evaluation, "GENERATED", 100)
    monkeypatch.setattr(evaluation, "BATCH", 100)


class Finished:
    """Trained for 2 steps from another working directory; then step 1 evaluated and shown, and resumed to 4."""

    def __init__(self, cwd):
        flags_ = ("--preset", "paper", *DATA, "--batch_size", 16, "--save_every", 1, "--log_every", 1, "--seed", 5)
        self.cwd = cwd
        with pytest.MonkeyPatch.context() as patch:
            few_generated_images(patch)
            patch.chdir(cwd)
            self.trained = here(TRAIN, *flags_, "--max_steps", 2, "--log_dir", "runs")
            (self.run,) = (cwd / "runs").iterdir()
            self.settings = json.loads((self.run / "settings.json").read_text())
            self.files = files_in(self.run)
            self.numbers = [json.loads((self.run / "evaluation.json").read_text())]

            shown = ("--json", "--generate", "--traverse", "--interpolate")
            self.evaluated = here(EVALUATE, "--model_dir", self.run, "--iteration", 1, *DATA, *shown)
            self.numbers.append(json.loads((self.run / "evaluation.json").read_text()))
            self.sizes = {path.name: size_of(path) for path in (self.run / "samples").iterdir()}
            self.resumed = here(TRAIN, "--resume", "--log_dir", cwd / "runs", "--max_steps", 4)
            self.numbers.append(json.loads((self.run / "evaluation.json").read_text()))


class Stopped:
    """A process in another working directory, stopped by SIGTERM; then gone on with to an end."""

    def __init__(self, cwd):
        flags_ = ("--preset", "paper", *DATA, "--batch_size", 16, "--log_every", 1, "--save_every", 1000)
        self.cwd = cwd
        self.status, self.lines = terminate(*flags_, "--log_dir", "runs", cwd=cwd)
        (self.run,) = (cwd / "runs").iterdir()
        found = checkpoints.find(self.run / "checkpoints")
        self.saved = found.step if found else 0
        with pytest.MonkeyPatch.context() as patch:
            few_generated_images(patch)
            self.gone_on, _, complaint = here(TRAIN, "--resume", self.run, "--max_steps", self.saved + 2)
        self.gone_on_lines = complaint.splitlines()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, untraced):
    return Finished(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, untraced):
    return Stopped(tmp_path_factory.mktemp("stopped"))


# A training that finishes


def test_a_training_from_another_folder_ends_with_the_measured_accuracy_and_where_its_pictures_are(finished):
    status, output, _ = finished.trained
    lines = output.splitlines()
    assert status == 0 and re.fullmatch(r"Test accuracy: \d+\.\d\d%", lines[-2])
    assert lines[-1].startswith("Pictures and log: ") and lines[-1].endswith(finished.run.name)
    assert f"Test accuracy: {finished.numbers[0]['accuracy']:.2%}" == lines[-2]


def test_a_training_writes_into_its_run_folder_only(finished):
    assert os.listdir(finished.cwd) == ["runs"]
    assert re.fullmatch(r"\d{8}-\d{6}_5", finished.run.name)


def test_a_run_folder_holds_settings_log_events_pictures_checkpoints_and_numbers(finished):
    events = {name for name in finished.files if name.startswith("events.out.tfevents.")}
    saved = {name for name in finished.files if name.startswith("checkpoints/")}
    drawn = {f"{name}_1.png" for name in ("random_sampling", "vary_discrete_0", "interp_cont_0", "interp_cont_1")}
    assert len(events) == 1
    assert {name.split("/")[1] for name in saved} == {"step_00000001", "step_00000002"}
    rest = finished.files - events - saved
    assert rest - {"lock"} == {"settings.json", "metrics.jsonl", "evaluation.json"} | drawn


def test_settings_record_all_that_the_run_depends_on(finished):
    settings = finished.settings
    assert (settings["system"], settings["data_set"]) == ("infogan", "mnist")
    config = settings["config"]
    assert (config["preset"], config["batch_size"], config["seed"], config["precision"]) == ("paper", 16, 5, "float32")
    assert (config["num_z"], config["clip_norm"], config["max_steps"]) == (62, 0, 2)
    assert config["data_dir"] == str(SAMPLE)
    assert re.fullmatch("[0-9a-f]{64}", settings["data_sha256"])
    assert settings["versions"].keys() == {"python", "tensorflow", "keras", "tensorflow-probability", "numpy"}
    assert settings["threads"] >= 1
    assert settings["commit"]


def test_the_recorded_command_can_be_typed_again_and_names_no_folder_of_this_machine(finished):
    assert finished.settings["command"] == (
        "python code/infogan/train_mnist.py --preset paper --unverified_data --batch_size 16 --save_every 1 "
        "--log_every 1 --seed 5 --max_steps 2"
    )


def test_progress_is_plain_lines_where_there_is_no_terminal(finished):
    lines = finished.trained[2].splitlines()
    assert len(lines) == 2 and steps_in(lines) == [1, 2]
    assert "d_loss " in lines[0] and "g_loss " in lines[0] and "LI_G " in lines[0] and "LI_D " in lines[0]


@pytest.mark.parametrize("arguments, told", [
    (["--preset", "paper", "--max_epochs", 300], "--max_steps 5000 ends it before epoch 300: add --max_steps 5400\n"),
    (["--preset", "paper", "--maxepoch=300"], "--max_steps 5000 ends it before epoch 300: add --max_steps 5400\n"),
    (["--preset", "paper", "--max_epochs", 300, "--max_steps", 20], ""),
    (["--preset", "paper"], ""),
    (["--max_epochs", 300], ""),
    (["--max_epochs", 300, "--max_steps", 20], ""),
])  # fmt: skip
def test_it_is_said_where_the_presets_steps_end_before_the_epochs_that_were_typed(monkeypatch, arguments, told):
    monkeypatch.setattr(flags, "import_tensorflow", lambda *_: sys.exit(7))
    assert here(TRAIN, *arguments, *DATA, "--batch_size", 16) == (7, "", told)


def test_the_default_network_is_trained_and_measured_by_the_same_command(tmp_path, monkeypatch):
    few_generated_images(monkeypatch)
    status, output, _ = here(TRAIN, *DATA, "--batch_size", 4, "--max_steps", 1, "--log_dir", tmp_path)
    (run,) = tmp_path.iterdir()
    assert status == 0 and output.splitlines()[-1] == f"Pictures and log: {run}"
    assert json.loads((run / "settings.json").read_text())["config"]["preset"] == "default"
    assert len(list(run.glob("interp_cont_*_1.png"))) == 4


# Going on


def test_resume_without_a_folder_goes_on_with_the_newest_run_to_the_given_step(finished):
    status, output, complaint = finished.resumed
    lines = complaint.splitlines()
    assert status == 0 and output.splitlines()[-1] == f"Pictures and log: {finished.run}"
    assert lines[0] == f"Going on with {finished.run} from step 2."
    assert steps_in(lines) == [3, 4]
    assert logged_steps(finished.run) == [1, 2, 3, 4]
    assert list((finished.cwd / "runs").iterdir()) == [finished.run]


def test_resume_takes_every_setting_from_the_run(finished):
    """No preset, data or batch size was typed; and what the run was started with stays on record."""
    assert json.loads((finished.run / "settings.json").read_text()) == finished.settings
    assert {path.name for path in (finished.run / "checkpoints").iterdir()} == {"step_00000003", "step_00000004"}


def test_sigterm_finishes_the_step_saves_and_says_how_to_go_on_and_tensorflow_adds_no_word(stopped):
    *lines, before_last, last = stopped.lines
    assert stopped.status == 143
    assert steps_in(lines) == list(range(1, len(lines) + 1))
    assert stopped.saved == len(lines) >= 2
    assert before_last == "Finishing this step and saving; a second signal ends at once."
    run = stopped.run.relative_to(stopped.cwd)
    assert last == f"Stopped after step {stopped.saved}, which is saved. To go on, add: --resume {run}"


def test_what_sigterm_saved_is_gone_on_with(stopped):
    saved = stopped.saved
    assert stopped.gone_on == 0
    assert stopped.gone_on_lines[0] == f"Going on with {stopped.run} from step {saved}."
    assert steps_in(stopped.gone_on_lines) == [saved + 1, saved + 2]
    assert logged_steps(stopped.run) == list(range(1, saved + 3))


# Evaluation


def test_json_prints_one_object_and_nothing_else_on_standard_output(finished):
    status, output, _ = finished.evaluated
    assert status == 0 and output.count("\n") == 1
    numbers = json.loads(output)
    assert 0 <= numbers["accuracy"] <= 1
    assert numbers["mutual_information_bound"] < numbers["mutual_information_ceiling"] == pytest.approx(np.log(10))
    assert sorted(numbers["mapping"]) == list(range(10))
    assert np.shape(numbers["confusion"]) == (10, 11) and np.sum(numbers["confusion"]) == 200
    assert len(numbers["accuracy_per_digit"]) == 10
    assert finished.numbers[1] == {"step": 1} | numbers


def test_evaluate_says_on_standard_error_which_weights_it_took(finished):
    assert f"Weights: {finished.run}, step 1" in finished.evaluated[2]


def test_numbers_are_of_the_step_that_they_are_said_to_be_of(finished):
    """Those of step 2 were in the folder when step 1 was evaluated."""
    assert [numbers["step"] for numbers in finished.numbers] == [2, 1, 4]
    assert len({numbers["mutual_information_bound"] for numbers in finished.numbers}) == 3


def test_generate_traverse_and_interpolate_write_their_pictures(finished):
    names = ["random_sampling", "vary_discrete_0", "interp_cont_0", "interp_cont_1", "interpolate"]
    assert finished.sizes == {f"{name}.png": (280, 280) for name in names}
    for name in names:
        assert str(finished.run / "samples" / f"{name}.png") in finished.evaluated[2]


def test_each_of_two_checkpoints_gives_its_own_numbers_however_often_and_in_whatever_order(finished, monkeypatch):
    few_generated_images(monkeypatch)
    found = {}
    for flag, step in (("--iteration", 3), ("--load", 4), ("--iteration", 3)):
        status, output, _ = here(EVALUATE, "--model_dir", finished.run, flag, step, *DATA, "--json")
        assert status == 0
        numbers = json.loads(output)
        assert found.setdefault(step, numbers) == numbers
        assert json.loads((finished.run / "evaluation.json").read_text()) == {"step": step} | numbers
    assert found[3]["mutual_information_bound"] != found[4]["mutual_information_bound"]


def test_evaluate_reports_the_newest_checkpoint_and_keeps_its_numbers(finished, monkeypatch):
    few_generated_images(monkeypatch)
    status, output, complaint = here(EVALUATE, "--model_dir", finished.run, *DATA, "--evaluate")
    numbers = json.loads((finished.run / "evaluation.json").read_text())
    assert status == 0 and complaint == f"Weights: {finished.run}, step 4\n"
    assert numbers["step"] == 4
    assert output.splitlines()[-1] == f"Test accuracy: {numbers['accuracy']:.2%}"


def test_a_run_is_recorded_alone_or_published_with_weights_that_measure_what_stands_beside_them(
    finished, tmp_path, monkeypatch, capsys
):
    few_generated_images(monkeypatch)
    monkeypatch.setattr(evaluate_model, "SYSTEM_DIR", tmp_path)
    monkeypatch.setattr(evaluate_model, "LOG_DIR", tmp_path / "log_dir")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", [str(EVALUATE), *map(str, arguments), *DATA])
        flags.run(evaluate_model.main)

    command("--record", "--model_dir", finished.run)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    command("--publish", "--model_dir", finished.run)
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    assert (entry["preset"], entry["seed"], entry["steps"]) == ("paper", 5, 4)
    published = tmp_path / "pretrained" / "paper"
    capsys.readouterr()
    command("--json", "--model_dir", published)
    numbers = json.loads(capsys.readouterr().out)
    assert json.loads((published / "evaluation.json").read_text()) == {"step": 4} | numbers
    assert entry["metrics"].keys() == {"accuracy", "mutual_information_bound"} <= numbers.keys()


def test_traverse_goes_to_two_though_training_draws_to_one(finished, monkeypatch):
    drawn = []

    def vary_continuous(networks, config, which, limit):
        drawn.append((which, limit))
        return np.zeros([1, 1, 1], np.uint8)

    monkeypatch.setattr(pictures, "vary_continuous", vary_continuous)
    assert here(EVALUATE, "--model_dir", finished.run, "--traverse")[0] == 0
    assert drawn == [(0, 2.0), (1, 2.0)]


# Mistakes


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def a_run(folder, system="infogan", data_sha256="of the data", config=PRESETS["paper"]):
    run = run_folders.start(system, "mnist", config, folder / "runs", data_sha256)
    (run / "checkpoints").mkdir()
    return run


def with_damaged_checkpoint(run):
    checkpoint = run / "checkpoints" / "step_00000007"
    checkpoint.mkdir()
    (checkpoint / "variables.index").write_bytes(b"cut")
    manifest = {"step": 7, "sha256": {"variables.index": "0" * 64}}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    return run


def assert_refused(result, script, told):
    status, output, complaint = result
    assert (status, output) == (2, "")
    assert re.search(told, complaint), complaint
    assert complaint.startswith(f"{script.name}: ") and complaint.count("\n") == 1
    assert "Traceback" not in complaint


TRAINING_MISTAKES = {
    "missing folder": ("--data_dir nowhere", "nowhere is not there"),
    "empty folder": ("--data_dir empty", "empty lacks train-images-idx3-ubyte"),
    "other data": ("--no_unverified_data", "is not MNIST's"),
    "batch larger than the data": ("--batch_size 301", "batch_size is 301: allowed are 1 to 300"),
    "negative steps": ("--max_steps -1", "--max_steps: expected 1 or more; got -1"),
    "negative batch": ("--bsize -16", "--batch_size: expected 1 or more; got -16"),
    "negative seed": ("--seed -1", "--seed: expected 0 to 2147483647; got -1"),
    "negative learning rate": ("--lr -0.1", "--lr_d: expected 0 or more; got -0.1"),
    "negative weight": ("--w_mutual -1", "--w_mutual: expected 0 or more"),
    "negative number of codes": ("--num_continuous -1", "--num_continuous: expected 0 or more; got -1"),
    "code of one class": ("--categorical_sizes 10 1", "--categorical_sizes: expected 2 or more; got 1"),
    "nothing kept": ("--keep_prob 0", "--keep_prob: expected above 0"),
    "not a number": ("--lr nan", "--lr_d: expected 0 or more; got nan"),
    "no updates": ("--nd 0", "--nd: expected 1 or more; got 0"),
    "resumed from nowhere": ("--resume nowhere", "nowhere is not the folder of a run"),
    "resumed where no run is": ("--resume", "no run with a checkpoint under"),
    "two folders to resume": ("--resume nowhere empty", "nowhere is not the folder of a run|expected one folder"),
}


@pytest.mark.parametrize("typed, told", TRAINING_MISTAKES.values(), ids=TRAINING_MISTAKES)
def test_a_mistake_is_one_line_and_exit_2_before_tensorflow_and_nothing_is_written(monkeypatch, tmp_path, typed, told):
    monkeypatch.setattr(flags, "import_tensorflow", lambda: pytest.fail("TensorFlow was waited for"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    result = here(TRAIN, *DATA, "--log_dir", tmp_path / "runs", "--batch_size", 16, *typed.split())
    assert_refused(result, TRAIN, told)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("typed", [
    "--colour red", "--max_step 2", "--max_steps many", "--max_steps", "--preset papier", "--precision float16", "spam",
])  # fmt: skip
@pytest.mark.parametrize("script", [TRAIN, EVALUATE], ids=["train", "evaluate"])
def test_an_unknown_abbreviated_or_mistyped_flag_is_exit_2_and_nothing_is_written(tmp_path, script, typed):
    where = ("--log_dir", tmp_path / "runs") if script == TRAIN else ("--model_dir", tmp_path / "runs", "--json")
    status, output, complaint = here(script, *DATA, *where, *typed.split())
    assert (status, output) == (2, "")
    assert complaint and "Traceback" not in complaint
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("typed, told", [
    ("", "is a run of bi_infogan, not of infogan"),
    ("--max_steps 9", "is a run of bi_infogan, not of infogan"),
])  # fmt: skip
def test_a_run_of_another_system_is_not_resumed(monkeypatch, tmp_path, typed, told):
    monkeypatch.setattr(flags, "import_tensorflow", lambda: pytest.fail("TensorFlow was waited for"))
    run = a_run(tmp_path, system="bi_infogan")
    before = contents(tmp_path)
    assert_refused(here(TRAIN, *DATA, "--resume", run, *typed.split()), TRAIN, told)
    assert contents(tmp_path) == before


def test_a_run_is_not_resumed_with_other_settings_and_the_message_names_them(monkeypatch, tmp_path):
    monkeypatch.setattr(flags, "import_tensorflow", lambda: pytest.fail("TensorFlow was waited for"))
    run = a_run(tmp_path)
    before = contents(tmp_path)
    result = here(TRAIN, *DATA, "--resume", run, "--w_mutual", 0.5, "--preset", "default", "--log_every", 7)
    told = r"settings are not the run's: --preset default \(the run has paper\), --w_mutual 0.5 \(the run has 1.0\)$"
    assert_refused(result, TRAIN, told)
    assert contents(tmp_path) == before


def test_a_run_on_other_data_is_not_resumed(tmp_path):
    run = a_run(tmp_path)
    before = contents(tmp_path)
    result = here(TRAIN, *DATA, "--batch_size", 128, "--resume", run)
    assert_refused(result, TRAIN, "was started on other data")
    assert contents(tmp_path) == before


def test_a_run_whose_only_checkpoint_is_damaged_is_not_started_from_zero(tmp_path, finished):
    run = with_damaged_checkpoint(a_run(tmp_path, data_sha256=finished.settings["data_sha256"]))
    before = contents(tmp_path)
    result = here(TRAIN, *DATA, "--resume", run)
    assert_refused(result, TRAIN, "no good checkpoint: .*step_00000007: variables.index is damaged")
    after = contents(tmp_path)
    assert after.pop(run / "lock", b"") == b""
    assert after == before


def test_evaluating_with_nothing_to_do_says_what_there_is_to_do(monkeypatch):
    monkeypatch.setattr(flags, "import_tensorflow", lambda: pytest.fail("TensorFlow was waited for"))
    assert_refused(here(EVALUATE), EVALUATE, "nothing to do; add --evaluate, --generate, --traverse, --interpolate")


def no_folder(tmp_path):
    return tmp_path / "nowhere"


def no_run(tmp_path):
    return tmp_path


def damaged(tmp_path):
    return with_damaged_checkpoint(a_run(tmp_path))


def other_system(tmp_path):
    return a_run(tmp_path, system="bi_infogan")


def other_version(tmp_path):
    run = a_run(tmp_path)
    settings = json.loads((run / "settings.json").read_text())
    settings["config"]["gone_since"] = 1
    (run / "settings.json").write_text(json.dumps(settings))
    return run


def cut_settings(tmp_path):
    run = a_run(tmp_path)
    (run / "settings.json").write_text('{"system": "info')
    return run


def cut_weights(tmp_path):
    run = a_run(tmp_path)
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(settings | {"steps": 4}))
    (run / "weights.npz").write_bytes(b"PK\x03\x04 and no more")
    return run


@pytest.mark.parametrize("make, told", [
    (no_folder, "there is no folder .*nowhere"),
    (no_run, "is not the folder of a run"),
    (a_run, "has no checkpoint yet"),
    (damaged, "no good checkpoint: .*variables.index is damaged"),
    (other_system, "is a run of bi_infogan, not of infogan"),
    (other_version, r"another version: they differ in \['gone_since'\]"),
    (cut_settings, "is not the folder of a run"),
    (cut_weights, "weights.npz is damaged or of other networks"),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_a_model_that_cannot_be_evaluated_is_one_line_and_exit_2_and_nothing_is_written(tmp_path, make, told):
    folder = make(tmp_path)
    before = contents(tmp_path)
    assert_refused(here(EVALUATE, "--model_dir", folder, *DATA, "--evaluate", "--generate"), EVALUATE, told)
    assert contents(tmp_path) == before


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(finished):
    result = here(EVALUATE, "--model_dir", finished.run, "--iteration", 99, "--generate")
    assert_refused(result, EVALUATE, r"no checkpoint of step 99; it has \[3, 4\]")


def test_evaluating_on_missing_data_writes_nothing(finished):
    before = files_in(finished.run), (finished.run / "evaluation.json").read_bytes()
    result = here(EVALUATE, "--model_dir", finished.run, "--data_dir", finished.cwd / "nowhere", "--json")
    assert_refused(result, EVALUATE, "nowhere is not there")
    assert before == (files_in(finished.run), (finished.run / "evaluation.json").read_bytes())


# Processes of their own that must not import TensorFlow


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory):
    """PYTHONPATH on which TensorFlow cannot be imported."""
    folder = tmp_path_factory.mktemp("without_tensorflow")
    for name in ("tensorflow", "keras", "tensorflow_probability"):
        (folder / f"{name}.py").write_text("raise SystemError('TensorFlow was imported')\n")
    return str(folder)


@pytest.mark.parametrize("script, own_flags", [
    (TRAIN, [
        "--data_dir", "--log_dir", "--seed", "--max_steps", "--resume", "--precision", "--preset", "--train",
        "--gan_type", "--dataset", "--zlen", "--lr", "--keep_prob", "--bsize", "--maxepoch", "--ng", "--nd",
        "--w_mutual",
    ]),
    (EVALUATE, ["--model_dir", "--evaluate", "--generate", "--traverse", "--interpolate", "--json", "--load"]),
], ids=["train", "evaluate"])  # fmt: skip
def test_help_lists_every_flag_from_any_folder_without_waiting_for_tensorflow(
    script, own_flags, tmp_path, without_tensorflow
):
    helped = [finish(script, "--help", cwd=cwd, PYTHONPATH=without_tensorflow) for cwd in (tmp_path, SYSTEM)]
    for process in helped:
        assert (process.returncode, process.stderr) == (0, "")
        assert [flag for flag in own_flags if not re.search(rf"{flag}\b", process.stdout)] == []
    assert contents(tmp_path) == {}


def test_the_fake_tensorflow_above_would_be_noticed(tmp_path, without_tensorflow):
    flags_ = (*DATA, "--batch_size", 16, "--max_steps", 1, "--log_dir", tmp_path / "runs")
    assert "TensorFlow was imported" in finish(TRAIN, *flags_, cwd=tmp_path, PYTHONPATH=without_tensorflow).stderr


@pytest.mark.parametrize("script, typed", [
    (TRAIN, ["--data_dir", "nowhere"]),
    (TRAIN, [*DATA, "--batch_size", "301"]),
    (TRAIN, ["--max_step", "3"]),
    (EVALUATE, []),
], ids=["missing data", "large batch", "abbreviated flag", "nothing to do"])  # fmt: skip
def test_a_mistake_ends_a_process_with_status_2(tmp_path, without_tensorflow, script, typed):
    process = finish(script, *typed, cwd=tmp_path, PYTHONPATH=without_tensorflow)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr and "Traceback" not in process.stderr
    assert contents(tmp_path) == {}
