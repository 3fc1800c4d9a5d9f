"""A training run, its log, signals, kills and NaNs, on two numbers instead of networks."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shared import checkpoints, flags, run_folders, training_run
from shared.flags import RunFlags, UserError
from shared.training_run import TrainingRun

CODE = Path(__file__).parents[2] / "code"
SHA256 = "abc"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a run that has not begun."""
    monkeypatch.setattr(sys, "argv", ["train_mnist.py"])
    return run_folders.start("infogan", "mnist", RunFlags(), tmp_path / "log_dir", SHA256)


def next_total(total, step):
    """What a training does here; in whole numbers, so that two trainings are equal or not."""
    return (3 * total + step) % 1001


def train(folder, last, *, losses=None, log_every=1, save_every=2, after=None):
    """Trains to `last` steps in all, from wherever the run stands.

    Args:
        losses: by step from 1, where not 0.5.
        after: called with the run and the 0-based step, after each.
    Returns:
        The total, and the steps done, counted from 0.
    """
    total, done = tf.Variable(1), []
    with TrainingRun(folder, RunFlags(log_every=log_every, save_every=save_every), SHA256) as run:
        run.track(total=total)
        for step in run.steps(last):
            total.assign(next_total(total, step))
            loss = tf.constant((losses or {}).get(step + 1, 0.5))
            run.log({"d_loss": tf.constant(0.25), "g_loss": loss, "total": tf.cast(total, tf.float32)})
            done.append(step)
            if after:
                after(run, step)
    return int(total.numpy()), done


def unbroken(last):
    total = 1
    for step in range(last):
        total = next_total(total, step)
    return total


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def logged_steps(folder):
    return [line["step"] for line in lines(folder)]


def saved_steps(folder):
    return sorted(int(path.name.removeprefix("step_")) for path in (folder / "checkpoints").glob("step_*"))


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cut(checkpoint):
    os.truncate(checkpoint / "variables.data-00000-of-00001", 1)


# The log


def test_the_log_has_the_first_step_and_every_nth(folder):
    returned = {}
    with TrainingRun(folder, RunFlags(log_every=3), SHA256) as run:
        run.track(total=tf.Variable(1))
        for step in run.steps(10):
            returned[step + 1] = run.log({"loss": tf.constant(step + 0.5)})
    assert {step: values for step, values in returned.items() if values} == {
        1: {"loss": 0.5},
        3: {"loss": 2.5},
        6: {"loss": 5.5},
        9: {"loss": 8.5},
    }
    written = lines(folder)
    assert [(line["step"], line["loss"]) for line in written] == [(1, 0.5), (3, 2.5), (6, 5.5), (9, 8.5)]
    assert all(set(line) == {"step", "minutes", "loss"} and line["minutes"] >= 0 for line in written)


def test_a_line_of_the_log_is_also_printed_and_shown_by_tensorboard(folder, capsys):
    train(folder, 4, log_every=2)
    printed = capsys.readouterr()
    assert "step 2  d_loss 0.2500  g_loss 0.5000" in printed.err and printed.out == ""
    events = EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["tensors"]) == {"d_loss", "g_loss", "total"}
    assert [event.step for event in events.Tensors("d_loss")] == [1, 2, 4]
    assert [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("g_loss")] == [0.5] * 3


def test_scalars_of_tensorboard_alone_are_not_in_the_log(folder):
    train(folder, 2, after=lambda run, step: run.tensorboard_scalars({"gradient_norm": 3.0}))
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Tensors("gradient_norm")] == [1, 2]
    assert float(tf.make_ndarray(events.Tensors("gradient_norm")[0].tensor_proto)) == 3
    assert "gradient_norm" not in (folder / "metrics.jsonl").read_text()


def test_histograms_are_shown_by_tensorboard(folder):
    values = tf.constant([0.0, 1.0, 1.0, 1.0])
    train(folder, 2, after=lambda run, step: run.tensorboard_histograms({"z": values}))
    events = EventAccumulator(str(folder)).Reload().Tensors("z")
    assert [event.step for event in events] == [1, 2]
    buckets = tf.make_ndarray(events[0].tensor_proto)  # rows of left end, right end, count
    assert (buckets[0, 0], buckets[-1, 1], buckets[0, 2], buckets[-1, 2]) == (0, 1, 1, 3)


def test_pictures_are_files_and_shown_by_tensorboard_without_their_number(folder):
    picture = np.random.default_rng(0).integers(0, 256, [4, 6, 1], np.uint8)

    def draw(run, step):
        run.picture(f"random_sampling_{step + 1}", picture)
        run.tensorboard_image("real", picture)

    train(folder, 2, after=draw)
    for number in (1, 2):
        with Image.open(folder / f"random_sampling_{number}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), picture[:, :, 0])
    assert {path.name for path in folder.glob("*.png")} == {"random_sampling_1.png", "random_sampling_2.png"}
    events = EventAccumulator(str(folder)).Reload()
    assert {"random_sampling", "real"} <= set(events.Tags()["tensors"])
    # The step is done by then, but the loop has not been back: it is the step of the log's line.
    assert [event.step for event in events.Tensors("random_sampling")] == [1, 2]


# Saving and going on


def test_checkpoints_come_every_nth_step_and_at_the_end_and_only_the_newest_stay(folder):
    seen = {}
    train(folder, 7, save_every=2, after=lambda run, step: seen.update({step: saved_steps(folder)}))
    assert seen == {0: [], 1: [], 2: [2], 3: [2], 4: [2, 4], 5: [2, 4], 6: [4, 6]}
    assert saved_steps(folder) == [6, 7]
    assert training_run.CHECKPOINTS_KEPT == 2


@pytest.mark.parametrize("first", [1, 3, 4])
def test_a_resumed_training_ends_as_an_unbroken_one_and_its_log_reads_alike(folder, first, tmp_path):
    train(folder, first)
    total, done = train(folder, 7)
    assert done == list(range(first, 7))
    assert total == unbroken(7)
    other = run_folders.start("infogan", "mnist", RunFlags(), tmp_path / "other", SHA256)
    assert train(other, 7) == (total, list(range(7)))
    without_time = [[line | {"minutes": 0} for line in lines(each)] for each in (folder, other)]
    assert without_time[0] == without_time[1]


def test_a_run_that_is_complete_does_nothing_and_saves_nothing(folder):
    def written():
        return [(path.name, path.stat().st_mtime_ns) for path in sorted((folder / "checkpoints").rglob("*"))]

    train(folder, 3)
    before = written(), lines(folder)
    assert train(folder, 3) == (unbroken(3), [])
    assert train(folder, 2) == (unbroken(3), [])
    assert (written(), lines(folder)) == before


@pytest.mark.parametrize(
    ("precision", "lacks", "warned"),
    [("mixed_bfloat16", True, True), ("mixed_bfloat16", False, False), ("float32", True, False)],
)
def test_bfloat16_without_a_unit_for_it_is_warned_of(folder, capsys, monkeypatch, precision, lacks, warned):
    monkeypatch.setattr(flags, "lacks_bfloat16", lambda: lacks)
    with TrainingRun(folder, RunFlags(precision=precision), SHA256) as run:
        run.track(total=tf.Variable(1))
        assert list(run.steps(2)) == [0, 1]
    assert ("this processor has no bfloat16 unit" in capsys.readouterr().err) == warned


@dataclasses.dataclass(frozen=True)
class EpochsToo(RunFlags):
    EXTENDED_BY = "max_epochs"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (RunFlags(), ""),  # its learning rate falls to where the training ends
        (RunFlags(max_steps=3), ". To go further, add: --max_steps"),
        (EpochsToo(max_steps=3), ". To go further, add: --max_steps"),
        (EpochsToo(max_steps=9), ". To go further, add: --max_epochs"),
    ],
)
def test_a_run_that_is_complete_says_which_flag_takes_it_further(folder, capsys, config, told):
    train(folder, 3)
    with TrainingRun(folder, config, SHA256) as run:
        run.track(total=tf.Variable(1))
        assert list(run.steps(3)) == []
    assert capsys.readouterr().err.splitlines()[-1] == f"Nothing to train: 3 steps were planned{told}"


@pytest.mark.parametrize(
    "half",
    [b"", b'{"step": 6, "minu', b'{"step": 6, "minutes": 0.0}', b"\n", b"{}\n", b'{"step": "6"}\n', b"\xff\n}\n"],
)
def test_the_log_is_cut_back_to_the_checkpoint_and_a_half_written_or_damaged_line_goes(folder, half):
    train(folder, 4)
    expected = lines(folder)
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 5, "minutes": 0.1, "g_loss": 0.1}\n' + half)
    train(folder, 4)
    assert lines(folder) == expected
    train(folder, 6)
    assert logged_steps(folder) == [1, 2, 3, 4, 5, 6]


def test_a_run_killed_before_its_first_checkpoint_starts_again_with_an_empty_log(folder):
    (folder / "metrics.jsonl").write_text('{"step": 1, "minutes": 0.0, "g_loss": 0.5}\n{"step": 2, "min')
    train(folder, 3)
    assert logged_steps(folder) == [1, 2, 3]
    train(folder, 4)  # once, the half line had run into the next and no session could read the log
    assert logged_steps(folder) == [1, 2, 3, 4]


def test_a_damaged_newest_checkpoint_is_named_and_the_training_goes_on_from_the_one_before(folder, capsys):
    train(folder, 4)
    cut(folder / "checkpoints" / "step_00000004")
    capsys.readouterr()
    total, done = train(folder, 5)
    assert done == [2, 3, 4] and total == unbroken(5)
    assert logged_steps(folder) == [1, 2, 3, 4, 5]
    printed = capsys.readouterr().err
    assert f"warning: passed over a damaged checkpoint: {folder / 'checkpoints' / 'step_00000004'}: " in printed
    assert f"Going on with {folder} from step 2." in printed


def test_where_every_checkpoint_is_damaged_nothing_starts_from_zero_and_nothing_is_written(folder):
    train(folder, 4)
    for checkpoint in (folder / "checkpoints").iterdir():
        cut(checkpoint)
    before = content(folder)
    with pytest.raises(UserError, match="no good checkpoint: .*_00000004: .*_00000002: "):
        train(folder, 6)
    assert content(folder) == before


def test_a_run_whose_checkpoints_are_lost_is_refused_and_its_log_stays(folder):
    train(folder, 4)
    shutil.rmtree(folder / "checkpoints")
    saves_every = run_folders.settings(folder)["config"]["save_every"]
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(f'{{"step": {saves_every + 1}, "minutes": 0.1, "g_loss": 0.1}}\n')
    before = lines(folder)
    with pytest.raises(UserError, match=f"{folder} has no checkpoint, and its log reaches step {saves_every + 1}"):
        train(folder, 6)
    assert lines(folder) == before


def test_a_copy_of_a_checkpoint_is_passed_over(folder):
    train(folder, 4)
    shutil.copytree(folder / "checkpoints" / "step_00000002", folder / "checkpoints" / "step_00000004.bak")
    assert train(folder, 5)[1] == [4]


def test_leftovers_of_a_kill_are_removed_at_the_start(folder):
    (folder / "checkpoints" / ".partial_00000002").mkdir(parents=True)
    with TrainingRun(folder, RunFlags(), SHA256):
        assert list((folder / "checkpoints").iterdir()) == []


def test_other_data_are_refused(folder):
    train(folder, 2)
    before = content(folder)
    with pytest.raises(UserError, match=f"--resume: {folder} was started on other data, of sha256 {SHA256}"):
        TrainingRun(folder, RunFlags(), "another")
    assert content(folder) == before
    assert train(folder, 3)[1] == [2]


def test_minutes_add_up_over_sessions_and_leave_out_what_was_between(folder):
    def session(last):
        started = time.monotonic()
        train(folder, last, after=lambda run, step: time.sleep(0.05))
        return (time.monotonic() - started) / 60

    with pytest.raises(UserError, match=f"{folder} has no checkpoint yet"):
        training_run.minutes(folder, 3)
    first = session(3)
    assert 3 * 0.05 / 60 <= training_run.minutes(folder, 3) <= first
    after_first = training_run.minutes(folder, 3)
    time.sleep(0.5)
    with TrainingRun(folder, RunFlags(), SHA256) as run:
        run.track(total=tf.Variable(1))
        assert run.minutes == after_first
    second = session(7)
    assert after_first + 4 * 0.05 / 60 <= training_run.minutes(folder, 7) <= after_first + second
    assert training_run.minutes(folder, 6) < training_run.minutes(folder, 7)


# NaN and infinity


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_and_is_named(folder, value):
    with pytest.raises(UserError) as caught:
        train(folder, 9, losses={4: value})
    last_good = folder / "checkpoints" / "step_00000002"
    assert (
        str(caught.value) == f"g_loss is {value} at step 4: training stopped; the last good checkpoint is {last_good}"
    )
    assert saved_steps(folder) == [2]
    assert logged_steps(folder) == [1, 2, 3]
    assert train(folder, 5) == (unbroken(5), [2, 3, 4]), "the last good checkpoint is not good"


@pytest.mark.parametrize("last", [9, 4], ids=["a save that is due", "the save at the end"])
def test_weights_that_gave_a_nan_between_two_lines_of_the_log_are_not_saved(folder, last):
    save_every = 4 if last == 9 else 3
    train(folder, 1, save_every=save_every)
    before = content(folder / "checkpoints")
    with pytest.raises(UserError, match="^g_loss is nan at step 4: .* is .*step_0000000[13]$"):
        train(folder, last, losses={4: math.nan}, log_every=100, save_every=save_every)
    assert 4 not in saved_steps(folder)
    assert before.items() <= content(folder / "checkpoints").items()


def test_a_nan_before_the_first_checkpoint_says_that_there_is_none(folder):
    with pytest.raises(
        UserError, match="^g_loss is nan at step 1: training stopped; no checkpoint was saved before it$"
    ):
        train(folder, 9, losses={1: math.nan})
    assert saved_steps(folder) == []


def test_a_weight_that_is_not_finite_after_the_update_that_is_saved_is_not_saved(folder):
    """The losses are those of the weights before the update."""
    weight = tf.Variable(1.0)
    with TrainingRun(folder, RunFlags(save_every=2), SHA256) as run:
        run.track(weight=weight)
        with pytest.raises(UserError, match="^weight is not finite after step 4: earlier checkpoints are kept$"):
            for step in run.steps(9):
                weight.assign(math.inf if step == 3 else 2.0)
                run.log({"loss": tf.constant(0.5)})
    assert saved_steps(folder) == [2]
    assert not list((folder / "checkpoints").glob(".partial_*"))


# A full disk


def report_of(main, capsys):
    """The last line that a script which ends with status 2 prints on standard error."""
    with pytest.raises(SystemExit) as stop:
        flags.run(main)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


NOISE = np.random.default_rng(0).integers(0, 256, [40, 40, 1], np.uint8)
WRITES = {
    "log": (lambda run: run.log({"loss": tf.constant(1.0)}), "to the disk"),
    "picture": (lambda run: run.picture("noise_1", NOISE), "to the disk"),
    "events": (lambda run: run.tensorboard_image("noise", NOISE), "TensorBoard's events to"),
    "checkpoint": (lambda run: None, "a checkpoint of step 6 to"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_disk_that_fills_up_is_one_line_and_exit_2_and_the_checkpoints_stay(folder, capsys, what, disk_that_takes):
    train(folder, 4)
    before = content(folder / "checkpoints")
    write, named = WRITES[what]

    def main():
        # The disk is still full when the run is closed.
        with contextlib.ExitStack() as disk, TrainingRun(folder, RunFlags(log_every=1, save_every=2), SHA256) as run:
            run.track(total=tf.Variable(1))
            steps = run.steps(8)
            next(steps)
            disk.enter_context(disk_that_takes(100))
            for _ in steps:
                write(run)

    message = report_of(main, capsys)
    assert f": cannot write {named}" in message and "File too large" in message
    assert before.items() <= content(folder / "checkpoints").items()
    assert list((folder / "checkpoints").glob(".*")) == []
    assert train(folder, 6)[0] == unbroken(6), "the run cannot go on once there is room again"


@pytest.mark.parametrize(("size", "named"), [(10, "TensorBoard's events to"), (200, "to the disk")])
def test_a_full_disk_does_not_cost_the_log_when_a_run_is_resumed(folder, capsys, size, named, disk_that_takes):
    train(folder, 4)
    before = (folder / "metrics.jsonl").read_bytes()
    assert len(before) > size

    def main():
        with disk_that_takes(size), TrainingRun(folder, RunFlags(), SHA256) as run:
            run.track(total=tf.Variable(1))

    assert f": cannot write {named}" in report_of(main, capsys)
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert train(folder, 5)[1] == [4]


# Locks and signals


def test_a_run_that_is_open_is_refused_to_another_and_free_after_it(folder):
    with TrainingRun(folder, RunFlags(), SHA256):
        with pytest.raises(UserError, match=f"{folder} is in use by another process"):
            TrainingRun(folder, RunFlags(), SHA256)
    with pytest.raises(ZeroDivisionError):
        with TrainingRun(folder, RunFlags(), SHA256):
            raise ZeroDivisionError
    with TrainingRun(folder, RunFlags(), SHA256):
        pass


def test_after_the_last_step_signals_do_again_what_they_did_before(folder):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    inside = []
    train(folder, 1, after=lambda run, step: inside.append(signal.getsignal(signal.SIGTERM)))
    assert inside[0] not in handlers
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


# A script whose forks train, one for each line "<folder> <seconds>" it reads: TensorFlow takes seconds to import.
# The third step lasts so many seconds, and says so on standard output; each end is reported with its exit status.
TRAINING = """
import os, sys, time
from pathlib import Path
from shared import flags

flags.import_tensorflow()
import tensorflow as tf
from shared.flags import RunFlags
from shared.training_run import TrainingRun

print("what the script itself says", file=sys.stderr, flush=True)
print("imported", os.environ["TF_ENABLE_ONEDNN_OPTS"], flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        break
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()

def main():
    folder, seconds, save_every = line.split()
    os.dup2(os.open(f"{folder}/stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    begun, finished = tf.Variable(0), tf.Variable(0)
    with TrainingRun(Path(folder), RunFlags(log_every=1, save_every=int(save_every)), "abc") as run:
        run.track(begun=begun, finished=finished)
        for step in run.steps(1000):
            begun.assign_add(1)
            if step == 2:
                print("in step 3", os.getpid(), flush=True)
                for _ in range(int(20 * float(seconds))):  # a signal just before a sleep is seen after it
                    time.sleep(0.05)
            finished.assign_add(1)
            run.log({"loss": tf.constant(0.5)})

flags.run(main)
"""


class Script:
    """TRAINING under way."""

    def __init__(self, process):
        self.process = process

    def line(self):
        return self.process.stdout.readline().split()

    def begin(self, folder, seconds, save_every):
        """Starts a training; returns its process id when it is in its third step."""
        self.process.stdin.write(f"{folder} {seconds} {save_every}\n")
        self.process.stdin.flush()
        return int(self.line()[-1])

    def ended(self):
        """The exit status of the training, or less the signal that killed it."""
        word, status = self.line()
        assert word == "ended"
        return int(status)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    # None of what conftest.py sets: the script has to be quiet by itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    errors = tmp_path_factory.mktemp("script") / "stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING], env=environment | {"PYTHONPATH": str(CODE)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    started = Script(process)
    try:
        yield started, started.line(), errors.read_text()
    finally:
        process.stdin.close()
        process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()


def wait_for(text, path):
    for _ in range(6000):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.01)
    raise AssertionError(f"{text!r} did not appear in {path}")


def restored(folder):
    """Step of the newest checkpoint, steps begun, steps finished."""
    found = checkpoints.find(folder / "checkpoints")
    assert found and not found.damage
    begun, finished = tf.Variable(0), tf.Variable(0)
    checkpoints.restore(found, begun=begun, finished=finished)
    return found.step, int(begun.numpy()), int(finished.numpy())


def test_tensorflow_is_imported_without_a_word_and_with_one_dnn(script):
    _, imported, errors = script
    assert imported == ["imported", "1"]
    assert errors == "what the script itself says\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_training_when_the_step_is_finished_and_saved(folder, script, number, status):
    training, *_ = script
    process = training.begin(folder, seconds=0.5, save_every=100)
    os.kill(process, number)
    assert training.ended() == status
    assert restored(folder) == (3, 3, 3)
    assert logged_steps(folder) == [1, 2, 3]
    printed = (folder / "stderr").read_text()
    assert f"Stopped after step 3, which is saved. To go on, add: --resume {folder}\n" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_the_training_at_once(folder, script, number, status):
    training, *_ = script
    process = training.begin(folder, seconds=60, save_every=2)
    os.kill(process, number)
    wait_for("Finishing this step and saving; a second signal ends at once.", folder / "stderr")
    started = time.monotonic()
    os.kill(process, number)
    assert training.ended() == status
    assert time.monotonic() - started < 20
    assert restored(folder) == (2, 2, 2)
    assert "Traceback" not in (folder / "stderr").read_text()


def test_a_run_is_refused_to_a_second_process_until_the_first_is_dead(folder, script):
    training, *_ = script
    process = training.begin(folder, seconds=60, save_every=1)
    before = content(folder / "checkpoints")
    with pytest.raises(UserError, match=f"{folder} is in use by another process"):
        TrainingRun(folder, RunFlags(), SHA256)
    assert content(folder / "checkpoints") == before
    os.kill(process, signal.SIGKILL)
    assert training.ended() == -signal.SIGKILL
    assert (folder / "lock").exists(), "a lock that nobody holds is what is to be recognised"
    begun, finished, done = tf.Variable(0), tf.Variable(0), []
    with TrainingRun(folder, RunFlags(log_every=1), SHA256) as run:
        run.track(begun=begun, finished=finished)
        assert (run.step, int(begun.numpy()), int(finished.numpy())) == (2, 2, 2)
        for step in run.steps(4):
            run.log({"loss": tf.constant(0.5)})
            done.append(step)
    assert done == [2, 3] and logged_steps(folder) == [1, 2, 3, 4]
