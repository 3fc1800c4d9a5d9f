"""Settings as JSON, their ranges, and errors as one line: what would be broken is resuming, or what a user reads."""

import dataclasses
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from shared import flags
from shared.flags import RunFlags, UserError

CODE = Path(__file__).parents[2] / "code"


@dataclasses.dataclass(frozen=True)
class Config(RunFlags):
    """A system's settings, of every kind that systems have."""

    preset: Literal["default", "paper"] = "default"
    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bsize"])] = 128
    rate: float = 2e-4
    sizes: tuple[int, ...] = (10,)
    image_size: tyro.conf.Suppress[int] = 28

    def check(self) -> None:
        super().check()
        self.require_at_least(1, "batch_size")
        self.require_at_least(2, "sizes")
        self.require_at_least(0, "rate")


CONFIGS = [
    Config(),
    Config(data_dir=Path("/data"), log_dir=Path("/runs"), seed=7, max_steps=9, precision="mixed_bfloat16"),
    Config(preset="paper", sizes=(), rate=0.1, unverified_data=True),
    Config(sizes=(10, 3, 2), rate=1e-12, resume=("/runs/a",)),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_come_back_from_json_as_they_were(config):
    written = json.dumps(flags.to_json(config))
    back = flags.from_json(Config, json.loads(written))
    assert back == config
    assert type(back.sizes) is tuple and hash(back) == hash(config)  # a tf.function is traced once a config


def test_folders_are_saved_absolute_as_a_run_is_resumed_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = flags.to_json(Config(data_dir=Path("digits"), log_dir=Path("../runs")))
    assert values["data_dir"] == str(tmp_path / "digits")
    assert Path(str(values["log_dir"])).is_absolute()


@pytest.mark.parametrize(("changes", "named"), [({"rate": None}, "rate"), ({"warmup": 3}, "warmup")])
def test_settings_of_another_version_are_refused_by_name(changes, named):
    values = flags.to_json(Config()) | changes
    values = {name: value for name, value in values.items() if value is not None or name not in changes}
    with pytest.raises(UserError, match=rf"another version: they differ in \['{named}'\]"):
        flags.from_json(Config, values)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("seed", "7", "'7'"),
        ("max_steps", 1.5, "1.5"),
        ("sizes", [10, "2"], r"\[10, '2'\]"),
        ("sizes", 10, "10"),
        ("precision", "float16", "'float16'"),
    ],
)
def test_settings_of_a_wrong_type_are_refused_by_name(name, value, shown):
    with pytest.raises(UserError, match=f"^the settings have a {name} of a wrong type: {shown}$"):
        flags.from_json(Config, flags.to_json(Config()) | {name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "--seed: expected 0 to 2147483647; got -1"),
        ({"seed": 2**31}, "--seed: expected 0 to 2147483647; got 2147483648"),
        ({"max_steps": 0}, "--max_steps: expected 1 or more; got 0"),
        ({"log_every": 0}, "--log_every: expected 1 or more; got 0"),
        ({"save_every": -5}, "--save_every: expected 1 or more; got -5"),
        ({"resume": ("a", "b")}, "--resume: expected one folder; got ('a', 'b')"),
        ({"batch_size": 0}, "--batch_size: expected 1 or more; got 0"),
        ({"sizes": (10, 1)}, "--sizes: expected 2 or more; got 1"),
        ({"rate": -1e-9}, "--rate: expected 0 or more; got -1e-09"),
        ({"rate": float("nan")}, "--rate: expected 0 or more; got nan"),
        ({"rate": float("inf")}, "--rate: expected 0 or more; got inf"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(changes, message):
    with pytest.raises(UserError) as caught:
        Config(**changes).check()
    assert str(caught.value) == message


@pytest.mark.parametrize("config", [*CONFIGS, Config(seed=2**31 - 1), Config(max_steps=1, log_every=1, save_every=1)])
def test_values_at_the_edge_of_their_range_are_taken(config):
    config.check()


def run(main, capsys, monkeypatch):
    """What `flags.run` prints on standard error, and the status it exits with."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/train_mnist.py", "--seed", "1"])
    status = 0
    try:
        flags.run(main)
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err, status


def test_what_the_user_can_mend_is_one_line_and_exit_2(capsys, monkeypatch):
    def main():
        raise UserError("--seed: expected 0 or more; got -1")

    assert run(main, capsys, monkeypatch) == ("train_mnist.py: --seed: expected 0 or more; got -1\n", 2)


def test_a_full_disk_is_one_line_and_exit_2(capsys, monkeypatch):
    def main():
        Path("/dev/full").write_text("the device that is always full")

    assert run(main, capsys, monkeypatch) == ("train_mnist.py: cannot write to the disk: No space left on device\n", 2)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_full_disk_of_any_kind_or_one_to_read_only_names_the_file_where_it_is_known(capsys, monkeypatch, number):
    def main():
        raise OSError(number, "No room", "/runs/a/settings.json")

    assert run(main, capsys, monkeypatch) == ("train_mnist.py: cannot write /runs/a/settings.json: No room\n", 2)


def test_a_full_disk_that_a_folder_is_copied_to_names_the_first_file(tmp_path, capsys, monkeypatch):
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "weights.npz").write_bytes(b"weights")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    def main():
        shutil.copytree(tmp_path / "judge", tmp_path / "copy", copy_function=full)

    err, status = run(main, capsys, monkeypatch)
    assert status == 2 and err.count("\n") == 1
    assert err.startswith(f"train_mnist.py: cannot write {tmp_path / 'copy' / 'weights.npz'}: ") and "No space" in err


def test_what_a_terminal_cannot_show_is_printed_as_an_escape(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), "latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    flags.run(lambda: print("\u00e9 \u916a"))
    terminal.flush()
    assert terminal.buffer.getvalue() == b"\xe9 \\u916a\n"


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EIO])
def test_a_path_that_is_something_else_or_a_failing_disk_is_one_line(capsys, monkeypatch, number):
    def main():
        raise OSError(number, "No good", "/runs/a/samples")

    assert run(main, capsys, monkeypatch) == ("train_mnist.py: cannot use /runs/a/samples: No good\n", 2)


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), FileNotFoundError(errno.ENOENT, "gone"), KeyError("a")], ids=repr
)
def test_other_errors_keep_their_traceback(error, capsys, monkeypatch):
    def main():
        raise error

    with pytest.raises(type(error)) as caught:
        run(main, capsys, monkeypatch)
    assert caught.value is error
    assert capsys.readouterr().err == ""


def test_success_prints_nothing_and_does_not_exit(capsys, monkeypatch):
    called = []
    assert run(lambda: called.append(1), capsys, monkeypatch) == ("", 0)
    assert called == [1]


def test_ctrl_c_outside_a_trainings_steps_is_no_traceback(capsys, monkeypatch):
    def main():
        raise KeyboardInterrupt

    assert run(main, capsys, monkeypatch) == ("", 130)


def test_the_exit_status_of_a_stopped_run_is_passed_on(capsys, monkeypatch):
    assert run(lambda: sys.exit(143), capsys, monkeypatch) == ("", 143)


def test_a_mistake_is_answered_at_once_for_these_modules_import_no_tensorflow():
    modules = "shared.flags, shared.run_folders, shared.image_grids, shared.code_mapping, shared.datasets.mnist"
    program = f"import {modules}, sys; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=CODE).returncode == 0


@pytest.mark.parametrize(
    ("said", "lacks"),
    [
        ("flags : fpu avx2 avx512f avx512_bf16\n", False),
        ("flags : avx512f amx_bf16 amx_tile\n", False),
        ("Features : fp asimd bf16 i8mm\n", False),
        ("flags : fpu avx2 f16c\n", True),
        ("flags : avx512f avx512_vnni\n", True),
        (None, False),  # another system than Linux
    ],
)
def test_whether_there_is_a_bfloat16_unit_is_what_the_system_says(tmp_path, said, lacks):
    if said:
        (tmp_path / "cpuinfo").write_text(said)
    assert flags.lacks_bfloat16(tmp_path / "cpuinfo") is lacks


@pytest.mark.parametrize(
    ("operations_at_once", "cores", "of_the_user", "threads"),
    [(1, 4, None, None), (2, 4, None, "2"), (2, 1, None, "1"), (2, 4, "3", "3"), (1, 4, "3", "3")],
)
def test_operations_that_run_at_once_share_the_cores_unless_the_user_says_otherwise(
    operations_at_once, cores, of_the_user, threads, monkeypatch
):
    monkeypatch.setattr(flags, "cores", lambda: cores)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", of_the_user or "")  # so that the test's end sets it back
    if of_the_user is None:
        monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    flags.import_tensorflow(operations_at_once)
    assert os.environ.get("TF_NUM_INTRAOP_THREADS") == threads
