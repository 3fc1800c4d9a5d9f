"""Run folders and the command line: what would be broken is finding, resuming or repeating a run."""

import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from shared import flags, run_folders
from shared.flags import RunFlags, UserError

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    EXTENDED_BY = "max_epochs"

    preset: Literal["default", "paper"] = "default"
    """Which defaults."""
    max_epochs: int = 2
    """Epochs planned."""
    judge: Path | None = None
    """A folder."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bsize"])] = 128
    """Images a step."""
    sizes: tuple[int, ...] = (10,)
    """Classes of each code."""

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "batch_size")


PRESETS = {"default": Config(), "paper": Config(preset="paper", batch_size=50, max_steps=5000)}


@pytest.fixture(autouse=True)
def log_dir(tmp_path, monkeypatch):
    """Where runs are by default: not there yet. And the command that a run records is not pytest's."""
    monkeypatch.setattr(sys, "argv", ["train_mnist.py"])
    return tmp_path / "log_dir"


def parse(log_dir, arguments):
    return run_folders.parse_flags("infogan", PRESETS, log_dir, "Trains.", arguments.split())


def add_checkpoint(folder):
    (folder / "checkpoints" / "step_00000003").mkdir(parents=True)
    return folder


def start(log_dir, config=PRESETS["default"], system="infogan"):
    """A run that has a checkpoint."""
    return add_checkpoint(run_folders.start(system, "mnist", config, log_dir, "abc"))


# The command line


@pytest.mark.parametrize(
    "arguments",
    [
        "--sed 3",  # unknown
        "--batch_siz 3",  # abbreviated
        "--bsiz 3",
        "--resum",
        "--log /tmp",
        "--pres paper",
        "--seed three",  # mistyped
        "--seed 1.5",
        "--seed",
        "--preset papers",
        "--preset",
        "--log_dir",
        "--precision float16",
        "--unverified_data False",  # once read as true
        "--sizes 10 ten",
        "10",
    ],
)
def test_an_unknown_abbreviated_or_mistyped_flag_exits_2_and_writes_nothing(log_dir, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(log_dir, arguments)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told and "usage:" not in told  # which would list the few flags that are looked at first
    assert not log_dir.exists()


def test_help_exits_0_and_shows_every_flag_even_where_there_is_no_run_to_resume(log_dir, capsys):
    for arguments in ("--help", "-h", "--resume --help"):
        with pytest.raises(SystemExit) as stop:
            parse(log_dir, arguments)
        assert not stop.value.code
        shown = capsys.readouterr().out
        for field in dataclasses.fields(Config):
            assert f"--{field.name.replace('_', '-')}" in shown.replace("_", "-")


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        ("", Config()),
        ("--seed 3 --batch_size=4", Config(seed=3, batch_size=4)),
        ("--bsize 4", Config(batch_size=4)),
        ("--sizes 10 3", Config(sizes=(10, 3))),
        ("--sizes", Config(sizes=())),
        ("--unverified_data --data_dir digits", Config(unverified_data=True, data_dir=Path("digits"))),
        ("--preset paper", PRESETS["paper"]),
        ("--preset=paper", PRESETS["paper"]),
        ("--batch_size 7 --preset paper", dataclasses.replace(PRESETS["paper"], batch_size=7)),
        ("--preset default", Config()),
    ],
)
def test_flags_aliases_and_presets_give_the_settings_they_say(log_dir, arguments, config):
    assert parse(log_dir, arguments) == (config, None)


def test_without_arguments_the_command_line_of_the_process_is_read(log_dir, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_mnist.py", "--seed", "6"])
    assert run_folders.parse_flags("infogan", PRESETS, log_dir, "Trains.") == (Config(seed=6), None)


@pytest.mark.parametrize("arguments", ["--batch_size 0", "--seed -1", "--max_steps 0", "--resume a b"])
def test_a_value_out_of_range_is_refused_by_name_and_nothing_is_written(log_dir, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start(tmp_path).rename("a")
    with pytest.raises(UserError, match=rf"^{arguments.split()[0]}: expected"):
        parse(log_dir, arguments)
    assert not log_dir.exists()


# Resuming


def test_resume_alone_goes_on_with_the_newest_run(log_dir):
    older, newer = start(log_dir, Config(seed=1)), start(log_dir, PRESETS["paper"])
    older.rename(log_dir / "20200101-000000_1")
    config, folder = parse(log_dir, "--resume")
    assert folder == newer
    assert dataclasses.replace(config, resume=None) == PRESETS["paper"]


@pytest.mark.parametrize("form", ["--resume {}", "--resume={}"])
def test_resume_with_a_folder_goes_on_with_that_run(log_dir, form):
    wanted = start(log_dir, Config(seed=1, sizes=(3, 4)))
    start(log_dir, Config(seed=2))
    config, folder = parse(log_dir, form.format(wanted))
    assert folder == wanted
    assert dataclasses.replace(config, resume=None) == Config(seed=1, sizes=(3, 4))


@pytest.mark.parametrize("form", ["--resume --log_dir {}", "--log_dir={} --resume", "--resume --log-dir {}"])
def test_resume_looks_for_runs_where_log_dir_says(log_dir, tmp_path, form):
    start(log_dir, Config(seed=1))
    wanted = start(tmp_path / "elsewhere", Config(seed=2))
    config, folder = parse(log_dir, form.format(tmp_path / "elsewhere"))
    assert (config.seed, folder) == (2, wanted)


def test_resuming_nothing_is_refused_and_nothing_is_started(log_dir):
    with pytest.raises(UserError, match=f"--resume: no run with a checkpoint under {log_dir}"):
        parse(log_dir, "--resume")
    assert not log_dir.exists()


def test_what_may_differ_on_resume_is_taken_from_the_command_line(log_dir):
    folder = start(log_dir, Config(data_dir=Path("/old"), max_steps=10))
    typed = "--max_steps 20 --log_every 7 --save_every 8 --data_dir /new --unverified_data --batch_size 128"
    config, _ = parse(log_dir, f"--resume {folder} {typed}")
    assert (config.max_steps, config.log_every, config.save_every) == (20, 7, 8)
    assert (config.data_dir, config.unverified_data, config.batch_size) == (Path("/new"), True, 128)


def test_a_resumed_run_has_the_limits_of_its_last_session(log_dir):
    """Or the command that a stopped session advises would find nothing to train."""
    folder = start(log_dir, Config(max_steps=10))
    config, _ = parse(log_dir, f"--resume {folder} --max_steps 30 --max_epochs 9 --log_every 7 --data_dir data")
    run_folders.record_session(folder, 10, config)
    again, _ = parse(log_dir, f"--resume {folder}")
    assert (again.max_steps, again.max_epochs, again.log_every) == (30, 9, 7)
    assert again.data_dir == Path("data").absolute()


def test_what_extends_a_run_is_its_systems_to_say(log_dir, monkeypatch):
    folder = start(log_dir)
    monkeypatch.setattr(Config, "EXTENDED_BY", None)
    with pytest.raises(UserError, match=r"not the run's: --max_epochs 9 \(the run has 2\)"):
        parse(log_dir, f"--resume {folder} --max_epochs 9")


def test_a_folder_typed_as_it_was_at_first_is_the_same(log_dir):
    folder = start(log_dir, Config(judge=Path("judge")))
    assert parse(log_dir, f"--resume {folder} --judge judge")[1] == folder
    with pytest.raises(UserError, match="not the run's: --judge other"):
        parse(log_dir, f"--resume {folder} --judge other")


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("--seed 5 --bsize 7", "--seed 5 (the run has 1), --batch_size 7 (the run has 128)"),
        ("--sizes 10 2", "--sizes (10, 2) (the run has (10,))"),
        ("--preset paper", "--preset paper (the run has default)"),
        ("--precision mixed_bfloat16", "--precision mixed_bfloat16 (the run has float32)"),
    ],
)
def test_settings_that_are_not_the_runs_are_refused_by_name(log_dir, typed, named):
    folder = start(log_dir, Config(seed=1))
    with pytest.raises(UserError) as caught:
        parse(log_dir, f"--resume {folder} {typed}")
    assert str(caught.value) == f"--resume: these settings are not the run's: {named}"


def test_a_run_of_another_system_is_refused(log_dir):
    folder = start(log_dir, system="vae_gan")
    with pytest.raises(UserError, match=f"{folder} is a run of vae_gan, not of infogan"):
        parse(log_dir, f"--resume {folder}")


@pytest.mark.parametrize("content", [
    None, "", '{"system": "infogan", "con', b"\xff\xfe\x00", "[]", "null", '{"system": "infogan"}',
    '{"system": "infogan", "data_set": "", "config": null, "data_sha256": "", "command": "", "commit": ""}',
])  # fmt: skip
def test_a_folder_that_is_not_a_runs_is_refused(tmp_path, log_dir, content):
    if content is not None:
        (tmp_path / "settings.json").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=f"{tmp_path} is not the folder of a run: no readable settings.json"):
        parse(log_dir, f"--resume {tmp_path}")


def test_a_run_of_another_versions_settings_is_refused(log_dir):
    folder = start(log_dir)
    settings = run_folders.settings(folder)
    del settings["config"]["sizes"]
    (folder / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"another version: they differ in \['sizes'\]"):
        parse(log_dir, f"--resume {folder}")


def test_a_run_whose_settings_are_out_of_range_is_refused_by_name(log_dir):
    folder = start(log_dir)
    settings = run_folders.settings(folder)
    settings["config"]["seed"] = -1
    (folder / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="--seed: expected 0 to 2147483647; got -1"):
        run_folders.saved_config(folder, "infogan", Config)


def test_damaged_results_are_refused_by_name(tmp_path):
    assert run_folders.recorded_runs(tmp_path / "results.json") == []
    (tmp_path / "results.json").write_text('[{"system": "infogan"')
    with pytest.raises(UserError, match=f"{tmp_path / 'results.json'} is damaged"):
        run_folders.recorded_runs(tmp_path / "results.json")
    (tmp_path / "results.json").write_text(json.dumps([dict.fromkeys(run_folders.ENTRY), {"seed": 1, "metrics": {}}]))
    with pytest.raises(UserError, match="results.json: entry 2 lacks system, data_set, .*, data_sha256$"):
        run_folders.recorded_runs(tmp_path / "results.json")


def test_the_newest_run_is_the_last_started_that_has_a_checkpoint(log_dir):
    assert run_folders.newest(log_dir) is None
    for name in ("20260102-000000_0", "20260102-000001_0", "20260103-000000_0"):
        (log_dir / name).mkdir(parents=True)
        (log_dir / name / "settings.json").write_text("{}")
    (log_dir / "20260104-000000_0" / "checkpoints" / "step_00000001").mkdir(parents=True)  # no settings
    (log_dir / "20260103-000000_0" / "checkpoints" / ".partial_00000001").mkdir(parents=True)
    assert run_folders.newest(log_dir) is None
    add_checkpoint(log_dir / "20260102-000001_0")
    add_checkpoint(log_dir / "20260102-000000_0")  # touched last, but not started last
    assert run_folders.newest(log_dir) == log_dir / "20260102-000001_0"


# What a run records


def test_a_run_records_all_that_it_takes_to_repeat_it(log_dir, monkeypatch):
    config = Config(seed=4, precision="mixed_bfloat16", sizes=(3, 2))
    monkeypatch.setattr(sys, "argv", [str(ROOT / "code" / "infogan" / "train_mnist.py"), "--seed", "4"])
    folder = run_folders.start("infogan", "mnist", config, log_dir, "abc123")
    recorded = run_folders.settings(folder)
    assert flags.from_json(Config, recorded["config"]) == config
    assert recorded["system"] == "infogan" and recorded["data_set"] == "mnist" and recorded["data_sha256"] == "abc123"
    assert recorded["command"] == "python code/infogan/train_mnist.py --seed 4"
    assert recorded["commit"] == run_folders.commit()
    assert recorded["threads"] >= 1
    assert recorded["versions"]["python"] == platform.python_version()
    assert recorded["versions"]["tensorflow"] == version("tensorflow")
    assert {"keras", "numpy", "tensorflow-probability"} <= set(recorded["versions"])
    assert run_folders.saved_config(folder, "infogan", Config) == config


def test_runs_of_the_same_second_each_have_a_folder_and_keep_their_order(log_dir):
    folders = [start(log_dir, Config(seed=3)) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.name.split("_")[1].startswith("3") for folder in folders)
    assert run_folders.newest(log_dir) == folders[-1]


def test_a_log_dir_that_is_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("mine")
    for log_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=f"--log_dir: .*{log_dir}"):
            start(log_dir)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("--data_dir /home/me --seed 1", "--seed 1"),
        ("--seed 1 --log_dir /home/me", "--seed 1"),
        ("--log_dir=/home/me --data_dir=/home/me --seed 1", "--seed 1"),
        ("--log-dir /home/me --data-dir=/home/me --seed 1", "--seed 1"),
        ("--data_dir /home/me --log_dir /home/me", ""),
        ("--resume /home/me --max_steps 5", "--resume --max_steps 5"),
        ("--max_steps 5 --resume=/home/me", "--max_steps 5 --resume"),
        ("--resume --max_steps 5", "--resume --max_steps 5"),
        ("--seed=1 --sizes 10 3", "--seed=1 --sizes 10 3"),
        ("--architecture /home/me/small.json", "--architecture small.json"),
        ("--architecture=/home/me/small.json", "--architecture=small.json"),
    ],
)
def test_a_recorded_command_has_no_folders_of_the_machine(monkeypatch, typed, recorded):
    monkeypatch.setattr(sys, "argv", ["/home/me/train_mnist.py", *typed.split()])
    assert run_folders.command() == f"python train_mnist.py {recorded}".strip()


def test_a_recorded_command_can_be_pasted_into_a_shell(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train mnist.py", "--name", "a b;c"])
    assert run_folders.command() == "python 'train mnist.py' --name 'a b;c'"


def test_the_commit_is_marked_where_the_code_was_changed_since(tmp_path, monkeypatch):
    def git(*words):
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    for name in [name for name in os.environ if name.startswith("GIT_")]:  # set where a hook runs the tests
        monkeypatch.delenv(name)
    code = tmp_path / "code" / "infogan" / "networks.py"  # any file of any system counts
    code.parent.mkdir(parents=True)
    code.write_text("1")
    monkeypatch.setattr(run_folders, "__file__", str(tmp_path / "code" / "shared" / "run_folders.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run_folders.commit() == "unknown"
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert run_folders.commit() == git("rev-parse", "--short", "HEAD") != ""
    code.write_text("2")
    assert run_folders.commit() == git("rev-parse", "--short", "HEAD") + "+"
    monkeypatch.setenv("PATH", "")
    assert shutil.which("git") is None and run_folders.commit() == "unknown"


# What is evaluated


@dataclasses.dataclass(frozen=True)
class Chosen:
    data_dir: Path | None = None
    unverified_data: bool = False


def test_a_model_is_evaluated_in_float32_on_the_runs_own_data_unless_other_data_is_named(log_dir, tmp_path):
    theirs = Config(seed=4, precision="mixed_bfloat16", data_dir=tmp_path / "theirs", unverified_data=True)
    folder = start(log_dir, theirs)
    expected = dataclasses.replace(theirs, precision="float32")
    assert run_folders.config_to_evaluate(folder, "infogan", Config, Chosen()) == expected
    named = run_folders.config_to_evaluate(folder, "infogan", Config, Chosen(tmp_path / "mine"))
    assert named == dataclasses.replace(expected, data_dir=tmp_path / "mine")
    verified = start(log_dir, Config())
    assert run_folders.config_to_evaluate(verified, "infogan", Config, Chosen(tmp_path, True)).unverified_data


def test_measuring_on_other_data_than_the_runs_is_said(log_dir, capsys):
    folder = start(log_dir)
    assert run_folders.check_data(folder, "abc", recorded=True)
    assert capsys.readouterr().err == ""
    assert not run_folders.check_data(folder, "abd", recorded=False)
    assert capsys.readouterr().err == f"warning: {folder} was trained on other data than it is measured on\n"
    with pytest.raises(UserError, match=f"--record, --publish: {folder} was trained on other data"):
        run_folders.check_data(folder, "abd", recorded=True)


def test_what_was_trained_on_other_data_does_not_replace_what_is_published(log_dir, tmp_path):
    run, published = start(log_dir), tmp_path / "pretrained"
    run_folders.require_publishable(run, published)
    shutil.copytree(run, published)
    run_folders.require_publishable(run, published)
    settings = json.loads((published / "settings.json").read_text())
    (published / "settings.json").write_text(json.dumps(settings | {"data_sha256": "another"}))
    with pytest.raises(UserError, match=f"--publish: {run} was trained on other data than {published}"):
        run_folders.require_publishable(run, published)


def test_a_recorded_command_names_the_architecture_file_without_its_folder(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_cns.py", "--architecture", "/home/me/small.json", "--seed", "3"])
    assert run_folders.command() == "python train_cns.py --architecture small.json --seed 3"


def test_published_weights_are_neither_resumed_nor_recorded(log_dir):
    folder = start(log_dir)
    (folder / "weights.npz").touch()
    (folder / "checkpoints" / "step_00000001").mkdir(parents=True)  # as an older version's --resume left it
    with pytest.raises(UserError, match=f"--resume: {folder} holds published weights"):
        parse(log_dir, f"--resume {folder}")
    with pytest.raises(UserError, match=f"{folder} is no run with a checkpoint"):
        run_folders.require_checkpoint(folder)


def test_only_a_run_with_a_checkpoint_can_be_published(log_dir):
    folder = start(log_dir)
    run_folders.require_checkpoint(folder)
    (folder / "checkpoints" / "step_00000003").rmdir()
    with pytest.raises(UserError, match=f"--publish: {folder} is no run with a checkpoint"):
        run_folders.require_checkpoint(folder)


def test_the_model_that_is_named_comes_before_the_newest_run_and_that_before_the_published(log_dir, tmp_path):
    published = tmp_path / "pretrained"
    with pytest.raises(UserError, match=f"there is no folder {published}, and no run under .*: train one first"):
        run_folders.find_model(None, log_dir, published)
    published.mkdir()
    assert run_folders.find_model(None, log_dir, published) == published
    run = start(log_dir)
    assert run_folders.find_model(None, log_dir, published) == run
    (tmp_path / "named").mkdir()
    assert run_folders.find_model(tmp_path / "named", log_dir, published) == tmp_path / "named"
    with pytest.raises(UserError, match=f"there is no folder {tmp_path / 'missing'}"):
        run_folders.find_model(tmp_path / "missing", log_dir, published)
