"""The commands, from a tiny training to every number and picture."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from cycle_vae import evaluate_model, evaluation, make_sprites, probes, train_mnist, train_sprites
from cycle_vae.probes import Training
from shared import flags, run_folders
from shared.flags import UserError

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "mnist_sample"

pytestmark = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def folder(tmp_path_factory, monkeymodule):
    """Logs and published weights go here; probes are small."""
    folder = tmp_path_factory.mktemp("cycle_vae")
    monkeymodule.setattr(train_sprites, "LOG_DIR", folder / "log_dir" / "sprites")
    monkeymodule.setattr(train_mnist, "LOG_DIR", folder / "log_dir" / "mnist")
    monkeymodule.setattr(evaluate_model, "LOG_DIR", folder / "log_dir")
    monkeymodule.setattr(evaluate_model, "SYSTEM_DIR", folder / "system")
    monkeymodule.setattr(evaluate_model, "PUBLISHED", folder / "system" / "pretrained")
    for name in ("COURSE_PROJECT", "MNIST", "QUICK"):
        monkeymodule.setattr(probes, name, Training((8,), name != "COURSE_PROJECT", 100, 1))
    (folder / "system").mkdir()
    return folder


@pytest.fixture(scope="module")
def sprites_dir(folder, small_sprites):
    made = folder / "data"
    made.mkdir()
    np.save(made / "sprites.npy", small_sprites.frames)
    digest = hashlib.sha256((made / "sprites.npy").read_bytes()).hexdigest()
    description = {"sha256": digest, "characters": small_sprites.characters, "poses": small_sprites.poses}
    (made / "sprites.json").write_text(json.dumps(description))
    return made


def command(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    flags.run(module.main)


ERRORS = {"z_to_s_error", "s_to_z_error", "z_to_s_error_best_epoch", "s_to_z_error_best_epoch"}
FACTORS = ("sex", "body", "legs", "torso", "hair", "animation", "direction")
QUICK = {"quick_z_accuracy", "quick_s_accuracy", "quick_chance"}
QUICK |= {f"{factor}_{kind}" for factor in FACTORS for kind in ("s", "z", "chance")}
PROBED = {"quick_z_accuracy": 0.5, "quick_s_accuracy": 0.75, "quick_chance": 0.25, "z_accuracy": 0.25}
SMALL = ["--style_dim", 5, "--class_dim", 4, "--batch_size", 4, "--max_steps", 2, "--save_every", 1]


@pytest.fixture(scope="module")
def sprites_run(folder, sprites_dir, monkeymodule):
    command(monkeymodule, train_sprites, "--data_dir", sprites_dir, "--filters", 4, 6, *SMALL)
    return run_folders.newest(folder / "log_dir" / "sprites")


@pytest.fixture
def run_of_its_own(sprites_run, tmp_path):
    """The run as its training left it, whatever another test measured."""
    copy = tmp_path / sprites_run.name
    shutil.copytree(sprites_run, copy)
    numbers = json.loads((copy / "evaluation.json").read_text())
    (copy / "evaluation.json").write_text(json.dumps({name: numbers[name] for name in QUICK | {"step"}}))
    return copy


def no_quick_probes(monkeypatch):
    """Sets numbers in the place of what the sixteen quick probes would find, where they are not what is tested."""
    monkeypatch.setattr(evaluation, "quick_probes", lambda *_: dict.fromkeys(QUICK, 0.5))


def no_probes(monkeypatch):
    """Sets numbers, PROBED in all, in the place of what the probes of --classify would find."""
    *quick, _ = PROBED
    monkeypatch.setattr(evaluation, "quick_probes", lambda *_: {name: PROBED[name] for name in quick})
    monkeypatch.setattr(evaluation, "classify", lambda *_: [{"z_accuracy": PROBED["z_accuracy"]}])


def sizes(folder):
    found = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            found[path.stem] = picture.size
    return found


def test_a_training_on_sprites_ends_with_how_well_z_tells_identity(sprites_run):
    numbers = json.loads((sprites_run / "evaluation.json").read_text())
    assert numbers["step"] == 2
    assert 0 <= numbers["quick_z_accuracy"] <= 1 and numbers["quick_chance"] == 0.5
    assert len(sizes(sprites_run / "reconstructed_images")) == 4


def test_z_s_leak_is_said_in_a_line_of_its_own():
    numbers = {"quick_z_accuracy": 0.88, "quick_s_accuracy": 0.9, "quick_chance": 0.1}
    assert "identity is told from z 88.00%, from s 90.00%, by chance 10.00%" in evaluation.report(numbers)


def test_every_number_and_picture_of_a_run_and_json_leaves_nothing_else_on_standard_output(
    sprites_run, sprites_dir, monkeypatch, capsys
):
    everything = ["--style_transfer", "--interpolate", "--classify", "--predict", "--reconstruct", "--json"]
    command(monkeypatch, evaluate_model, *everything, "--data_dir", sprites_dir)  # the newest run
    numbers = json.loads(capsys.readouterr().out)
    by_protocol = {f"{code}_accuracy{part}" for code in "sz" for part in ("", "_best_epoch")} | {"chance"}
    assert set(numbers) == QUICK | ERRORS | by_protocol | {f"{name}_test_identities" for name in by_protocol}
    assert numbers["chance"] == pytest.approx(1 / 6, rel=0.05)
    assert json.loads((sprites_run / "evaluation.json").read_text()) == {"step": 2} | numbers
    assert sizes(sprites_run / "samples") == {
        "style_transfer": (9 * 12, 9 * 12),
        "interpolation": (8 * 12, 8 * 12),
        "reconstructions": (8 * 12, 4 * 12),
        "predicted_s_from_z": (8 * 12, 2 * 12),
        "predicted_z_from_s": (8 * 12, 2 * 12),
    }


def test_published_weights_are_evaluated_and_nothing_is_written_beside_them(
    sprites_run, sprites_dir, folder, monkeypatch, capsys
):
    no_quick_probes(monkeypatch)
    where = ["--data_dir", sprites_dir]
    command(monkeypatch, evaluate_model, "--record", "--model_dir", sprites_run, *where)
    assert [path.name for path in (folder / "system").iterdir()] == ["results.json"]
    command(monkeypatch, evaluate_model, "--publish", "--predict", "--model_dir", sprites_run, *where)
    (entry,) = json.loads((folder / "system" / "results.json").read_text())
    assert (entry["system"], entry["data_set"], entry["steps"]) == ("cycle_vae", "sprites", 2)
    assert {"quick_z_accuracy", "z_to_s_error", "s_to_z_error"} <= set(entry["metrics"])
    published = folder / "system" / "pretrained" / "sprites"
    before = sorted(published.rglob("*"))
    beside = folder / "log_dir" / "sprites" / "published_sprites"
    beside.mkdir()
    of_others = {"step": 2, "encoder": "another", "of another run's weights": 1.0}
    (beside / "evaluation.json").write_text(json.dumps(of_others))
    capsys.readouterr()
    command(monkeypatch, evaluate_model, "--predict", "--json", "--model_dir", published, *where)
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["s_to_z_error"] == pytest.approx(entry["metrics"]["s_to_z_error"], rel=0.05)
    assert sorted(published.rglob("*")) == before
    label = {"step": 2, "encoder": evaluated(beside)["encoder"]}
    assert evaluated(beside) == label | numbers and label["encoder"] != "another"
    assert (beside / "samples" / "predicted_z_from_s.png").exists()
    no_probes(monkeypatch)
    monkeypatch.setattr(evaluation, "classify", lambda *_: [{"measured_later": 0.125}])
    command(monkeypatch, evaluate_model, "--classify", "--model_dir", published, *where)  # joins what was measured
    assert evaluated(beside).keys() == label.keys() | numbers.keys() | {
        "measured_later",
        "quick_z_accuracy",
        "quick_s_accuracy",
        "quick_chance",
    }
    command(monkeypatch, evaluate_model, "--record", "--model_dir", published, *where)  # and is recorded with it
    assert evaluated(published)["measured_later"] == 0.125
    (beside / "evaluation.json").unlink()  # or another test's numbers would join these
    (entry,) = json.loads((folder / "system" / "results.json").read_text())
    assert entry["metrics"]["measured_later"] == 0.125


def evaluated(run):
    return json.loads((run / "evaluation.json").read_text())


def test_numbers_are_kept_as_they_come_and_published_with_later_ones(
    run_of_its_own, sprites_dir, folder, monkeypatch, capsys
):
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir]

    def stopped(*_):
        raise UserError("stopped")

    with monkeypatch.context() as patch:
        no_probes(patch)
        patch.setattr(evaluation, "predictors", stopped)
        with pytest.raises(SystemExit):
            command(patch, evaluate_model, "--classify", "--predict", *where)
    assert evaluated(run_of_its_own).keys() == QUICK | {"step", "z_accuracy"}

    capsys.readouterr()
    command(monkeypatch, evaluate_model, "--predict", "--json", *where)
    errors = json.loads(capsys.readouterr().out)
    assert errors.keys() == ERRORS
    together = evaluated(run_of_its_own)
    assert together == together | errors | PROBED

    no_quick_probes(monkeypatch)
    command(monkeypatch, evaluate_model, "--publish", *where)
    metrics = json.loads((folder / "system" / "results.json").read_text())[-1]["metrics"]
    assert metrics.keys() == QUICK | ERRORS | {"z_accuracy"}
    assert evaluated(folder / "system" / "pretrained" / "sprites").keys() == metrics.keys() | {"step"}


def test_what_a_stopped_probing_found_is_kept_and_it_goes_on_from_there(
    run_of_its_own, sprites_dir, monkeypatch, capsys
):
    """Also of published weights, with --record, which adds to what results.json has of their run."""
    no_quick_probes(monkeypatch)
    trained, where = [], ["--data_dir", sprites_dir]
    probe_code = probes.probe_code

    def probe(code, *rest):
        name, folder = rest[5:] if len(rest) > 6 else (*rest[5:], None)
        if folder:
            if len(trained) in (1, 3):
                trained.append("stopped")
                raise UserError("stopped")
            trained.append(f"{name} from {code}")
        return probe_code(code, *rest)

    monkeypatch.setattr(probes, "probe_code", probe)
    monkeypatch.setattr(probes, "SAVE_EVERY", 0.0)
    with pytest.raises(SystemExit):
        command(monkeypatch, evaluate_model, "--classify", "--model_dir", run_of_its_own, *where)
    of_s = {f"{name}_test_identities" for name in ("s_accuracy", "s_accuracy_best_epoch", "chance")}
    assert evaluated(run_of_its_own).keys() == QUICK | of_s | {"step"}
    assert [path.name for path in (run_of_its_own / "probes").glob("*/*")] == ["s_accuracy_test_identities"]

    command(monkeypatch, evaluate_model, "--publish", "--model_dir", run_of_its_own, *where)
    published = evaluate_model.PUBLISHED / "sprites"
    more = ["--classify", "--record", "--model_dir", published, *where]
    with pytest.raises(SystemExit):
        command(monkeypatch, evaluate_model, *more)
    of_z = {f"{name}_test_identities" for name in ("z_accuracy", "z_accuracy_best_epoch")}
    assert evaluated(published).keys() == QUICK | of_s | of_z | {"step"}
    unfinished = evaluate_model.LOG_DIR / "sprites" / "published_sprites" / "probes"
    assert unfinished.exists() and not (published / "probes").exists()
    command(monkeypatch, evaluate_model, *more)
    theirs = ["Identity_test_identities from s", "stopped", "Identity_test_identities from z", "stopped"]
    assert trained == [*theirs, "Identity from s", "Identity from z"]
    assert not unfinished.exists()
    entries = json.loads((evaluate_model.SYSTEM_DIR / "results.json").read_text())
    (entry,) = (entry for entry in entries if "z_accuracy" in entry["metrics"])
    assert entry["metrics"].keys() | {"step"} == evaluated(published).keys()

    (evaluate_model.SYSTEM_DIR / "results.json").write_text("[]")
    before = (published / "evaluation.json").read_bytes()
    for named, problem in [(more, "results.json has 0 runs"), (["--record", *where], "is no run with a checkpoint")]:
        monkeypatch.setattr(evaluate_model, "LOG_DIR", published)  # where there is no run
        with pytest.raises(SystemExit):
            command(monkeypatch, evaluate_model, *named)
        assert problem in capsys.readouterr().err
    assert (published / "evaluation.json").read_bytes() == before


def test_numbers_of_another_step_are_not_kept(run_of_its_own, sprites_dir, monkeypatch):
    no_probes(monkeypatch)
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir]
    command(monkeypatch, evaluate_model, "--classify", "--iteration", 1, *where)
    assert evaluated(run_of_its_own) == {"step": 1} | PROBED


def test_numbers_outlive_a_resume_that_has_nothing_to_train(run_of_its_own, sprites_dir, monkeypatch):
    no_probes(monkeypatch)
    where = ["--data_dir", sprites_dir]
    command(monkeypatch, evaluate_model, "--classify", "--model_dir", run_of_its_own, *where)
    command(monkeypatch, train_sprites, "--resume", run_of_its_own, *where)
    assert evaluated(run_of_its_own).keys() == QUICK | {"step", "z_accuracy"}


def test_the_quick_probes_can_be_had_alone(run_of_its_own, sprites_dir, monkeypatch, capsys):
    monkeypatch.delattr(evaluation, "classify")
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir]
    (run_of_its_own / "evaluation.json").unlink()
    command(monkeypatch, evaluate_model, "--quick_probes", "--json", *where)
    numbers = json.loads(capsys.readouterr().out)
    assert numbers.keys() == QUICK
    assert evaluated(run_of_its_own) == {"step": 2} | numbers


@pytest.mark.parametrize("flags_", [["--evaluate", "--json"], ["--json"]])
def test_every_number_is_had_by_one_flag(run_of_its_own, sprites_dir, monkeypatch, capsys, flags_):
    no_probes(monkeypatch)
    monkeypatch.setattr(evaluation, "predictors", lambda *_: ({"z_to_s_error": 0.5}, None))
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir, "--probe_epochs", 1]
    command(monkeypatch, evaluate_model, *flags_, *where)
    assert json.loads(capsys.readouterr().out) == PROBED | {"z_to_s_error": 0.5}


def test_json_beside_pictures_trains_no_probe(run_of_its_own, sprites_dir, monkeypatch, capsys):
    monkeypatch.delattr(evaluation, "classify")
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir]
    command(monkeypatch, evaluate_model, "--reconstruct", "--json", *where)
    assert json.loads(capsys.readouterr().out) == {}


def test_numbers_on_other_data_are_printed_and_neither_kept_nor_recorded(
    run_of_its_own, sprites_dir, monkeypatch, capsys
):
    no_probes(monkeypatch)
    settings = json.loads((run_of_its_own / "settings.json").read_text())
    (run_of_its_own / "settings.json").write_text(json.dumps(settings | {"data_sha256": "of other data"}))
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir]
    before = evaluated(run_of_its_own)
    command(monkeypatch, evaluate_model, "--classify", "--json", *where)
    assert json.loads(capsys.readouterr().out) == PROBED
    assert evaluated(run_of_its_own) == before
    with pytest.raises(SystemExit):
        command(monkeypatch, evaluate_model, "--record", *where)
    assert f"{run_of_its_own} was trained on other data" in capsys.readouterr().err


def test_numbers_of_shortened_probes_are_printed_and_not_kept(run_of_its_own, sprites_dir, monkeypatch, capsys):
    no_probes(monkeypatch)
    where = ["--model_dir", run_of_its_own, "--data_dir", sprites_dir]
    before = evaluated(run_of_its_own)
    command(monkeypatch, evaluate_model, "--classify", "--probe_epochs", 1, "--json", *where)
    assert json.loads(capsys.readouterr().out) == PROBED
    assert evaluated(run_of_its_own) == before


def test_mnist_is_trained_and_its_test_set_is_what_the_paper_tests_on(folder, monkeymodule, capsys):
    data = ["--data_dir", SAMPLE, "--unverified_data"]
    command(monkeymodule, train_mnist, *data, "--filters", 2, 3, 4, *SMALL)
    assert "z's leak" in capsys.readouterr().out
    command(monkeymodule, evaluate_model, "--data_set", "mnist", "--classify", "--style_transfer", "--json", *data)
    numbers = json.loads(capsys.readouterr().out)
    assert {"s_accuracy", "z_accuracy", "s_accuracy_all_images", "z_accuracy_all_images"} <= set(numbers)
    run = run_folders.newest(folder / "log_dir" / "mnist")
    assert sizes(run / "samples") == {"style_transfer": (9 * 28, 9 * 28)}
    labelled = evaluation.labelled_mnist(evaluation_sample())
    assert (len(labelled.images), labelled.held_out.sum()) == (500, 200)


def evaluation_sample():
    from shared.datasets import mnist

    return mnist.load(SAMPLE, unverified=True)


# What the user can mend


def refusal(capsys, monkeypatch, module, *arguments):
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, module, *arguments)
    out, err = capsys.readouterr()
    assert (error.value.code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize("arguments, problem", [
    ([], r"make images of 60 pixels; the frames have (12, 12)"),
    (["--filters", "4", "6", "--batch_size", "25"], "batch_size is 25: allowed are 1 to 24"),
    (["--step_size", "-1"], "--step_size: expected 0 or more"),
    (["--data_dir", "/nowhere"], "sprites.npy is not there"),
])  # fmt: skip
def test_a_training_on_sprites_that_cannot_be_is_refused_in_a_line_and_leaves_nothing(
    tmp_path, sprites_dir, monkeypatch, capsys, arguments, problem
):
    told = refusal(
        capsys, monkeypatch, train_sprites, "--data_dir", sprites_dir, *arguments, "--log_dir", tmp_path / "runs"
    )
    assert problem in told
    assert list(tmp_path.iterdir()) == []


def test_digits_need_networks_of_their_size(tmp_path, monkeypatch, capsys):
    told = refusal(capsys, monkeypatch, train_mnist, "--data_dir", SAMPLE, "--unverified_data", "--filters", 4, 6,
                   "--log_dir", tmp_path / "runs")  # fmt: skip
    assert "--filters (4, 6) make images of 12 pixels, not 28" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments, problem", [
    ([], "nothing to do; add --evaluate, --style_transfer, --interpolate, --reconstruct, --quick_probes, --classify, "),
    (["--classify", "--probe_epochs", "0"], "--probe_epochs: expected 1 or more; got 0"),
    (["--publish", "--probe_epochs", "1"], "--publish: leave out --probe_epochs"),
    (["--classify", "--model_dir", "/nowhere"], "there is no folder /nowhere"),
])  # fmt: skip
def test_an_evaluation_that_cannot_be_is_refused_in_a_line(monkeypatch, capsys, arguments, problem):
    assert problem in refusal(capsys, monkeypatch, evaluate_model, *arguments)


@pytest.mark.parametrize("arguments, problem", [
    ([], "expected one of --lpc_dir and --mat_dir"),
    (["--lpc_dir", "a", "--mat_dir", "b"], "expected one of --lpc_dir and --mat_dir; got a and b"),
    (["--lpc_dir", "/nowhere"], "/nowhere lacks a sheet"),
    (["--mat_dir", "/nowhere"], "/nowhere has no sprites_<number>.mat"),
])  # fmt: skip
def test_making_sprites_of_nothing_is_refused_in_a_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, problem
):
    assert problem in refusal(capsys, monkeypatch, make_sprites, *arguments, "--data_dir", tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_fewer_characters_than_the_data_set_has_are_made_and_said(tmp_path, monkeypatch, capsys):
    pixels = np.random.default_rng(0).random([4, 60 * 60 * 3])  # of four frames
    for number in range(3):
        with h5py.File(tmp_path / f"sprites_{number}.mat", "w") as file:
            reference = file.create_dataset("frames", data=pixels).ref
            file.create_dataset("sprites", data=np.array([[reference]], h5py.ref_dtype), dtype=h5py.ref_dtype)
    command(monkeypatch, make_sprites, "--mat_dir", tmp_path, "--data_dir", tmp_path / "made")
    printed = capsys.readouterr()
    assert printed.out.endswith("sprites.npy: 3 characters\n")
    assert "warning: the data set is of 672 characters; files may be missing" in printed.err
