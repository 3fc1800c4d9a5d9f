"""Checkpoints under damage, kills and full disks: what would be broken is that a training can always go on."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared import checkpoints, files, flags
from shared.flags import UserError
from shared.fused_layers import FusedAdam

CODE = Path(__file__).parents[2] / "code"
DATA, INDEX = "variables.data-00000-of-00001", "variables.index"
KILLS = 12


def variable(value=0.0, size=3):
    return tf.Variable(tf.fill([size], tf.constant(value, tf.float32)))


def save(folder, *steps, keep=10):
    """Checkpoints of these steps, each of a variable that holds its step."""
    return [checkpoints.save(folder, step, keep, weights=variable(step)) for step in steps]


def restored(found):
    weights = variable(-1)
    checkpoints.restore(found, weights=weights)
    return weights.numpy().tolist()


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Saving and restoring


class Trained:
    """A small network and its optimizer, after some steps: convolution-free, but with all kinds of variables."""

    def __init__(self, seed, units=4):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input([3])
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(units)(inputs))
        self.network = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        self.optimizer = FusedAdam(0.1)
        self.optimizer.build(self.network.trainable_variables)

    def step(self, seed):
        batch = np.random.default_rng(seed).normal(size=[6, 3]).astype(np.float32)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.network(batch, training=True) ** 2)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)

    def values(self):
        return [value.numpy().tobytes() for value in (*self.network.variables, *self.optimizer.variables)]

    def objects(self):
        return {"networks": (self.network,), "optimizer": self.optimizer}


def test_a_training_goes_on_from_a_checkpoint_to_the_same_bytes(tmp_path):
    unbroken = Trained(seed=1)
    for step in range(3):
        unbroken.step(step)
    checkpoints.save(tmp_path, 3, 2, **unbroken.objects())
    unbroken.step(3)
    resumed = Trained(seed=2)
    found = checkpoints.find(tmp_path)
    assert found and found.step == 3 and found.damage == []
    checkpoints.restore(found, **resumed.objects())
    assert resumed.values() != unbroken.values()
    resumed.step(3)
    assert resumed.values() == unbroken.values()


def test_evaluation_can_fill_the_networks_alone(tmp_path):
    trained, other = Trained(seed=1), Trained(seed=2)
    trained.step(0)
    found = checkpoints.Found(checkpoints.save(tmp_path, 1, 2, **trained.objects()), 1, [])
    checkpoints.restore(found, networks=(other.network,))
    for a, b in zip(trained.network.weights, other.network.weights):
        np.testing.assert_array_equal(a, b)


def test_a_folder_without_checkpoints_has_none_and_that_is_no_error(tmp_path):
    assert checkpoints.find(tmp_path) is None
    assert checkpoints.find(tmp_path / "missing") is None


def test_steps_of_more_digits_are_newer(tmp_path):
    save(tmp_path, 9, 10, 100, 99)
    found = checkpoints.find(tmp_path)
    assert found and found.step == 100 and restored(found) == [100] * 3


def test_the_checkpoint_of_a_step_is_found_by_its_step(tmp_path):
    save(tmp_path, 1, 2, 3)
    found = checkpoints.find(tmp_path, step=2)
    assert found and found.step == 2 and restored(found) == [2] * 3
    with pytest.raises(UserError, match=r"has no checkpoint of step 4; it has \[1, 2, 3\]"):
        checkpoints.find(tmp_path, step=4)


@pytest.mark.parametrize(
    "objects",
    [
        {"weights": variable(size=4)},
        {"weights": variable(), "more": variable()},
        {"others": variable()},
        {"weights": tf.Variable([1, 2, 3])},
    ],
    ids=["shape", "more", "name", "type"],
)
def test_a_checkpoint_of_other_networks_is_refused(tmp_path, objects):
    save(tmp_path, 1)
    found = checkpoints.find(tmp_path)
    assert found
    with pytest.raises(UserError, match="step_00000001 is a checkpoint of other networks: "):
        checkpoints.restore(found, **objects)


def test_a_checkpoint_of_a_wider_network_is_refused(tmp_path):
    found = checkpoints.Found(checkpoints.save(tmp_path, 1, 2, **Trained(seed=1).objects()), 1, [])
    with pytest.raises(UserError, match="step_00000001 is a checkpoint of other networks: "):
        checkpoints.restore(found, **Trained(seed=1, units=5).objects())


# Damage


def cut(checkpoint):
    os.truncate(checkpoint / DATA, (checkpoint / DATA).stat().st_size // 2)


def empty(checkpoint):
    (checkpoint / DATA).write_bytes(b"")


def flip_a_bit_of(name):
    def flip(checkpoint):
        data = bytearray((checkpoint / name).read_bytes())
        data[len(data) // 2] ^= 1
        (checkpoint / name).write_bytes(data)

    return flip


def lose(name):
    return lambda checkpoint: (checkpoint / name).unlink()


def write_manifest(text):
    return lambda checkpoint: (checkpoint / "manifest.json").write_bytes(text)


DAMAGE = {
    "cut data": (cut, f"{DATA} is damaged"),
    "no data": (empty, f"{DATA} is damaged"),
    "flipped bit": (flip_a_bit_of(DATA), f"{DATA} is damaged"),
    "flipped bit in the index": (flip_a_bit_of(INDEX), f"{INDEX} is damaged"),
    "missing data": (lose(DATA), f"{DATA} is missing"),
    "missing index": (lose(INDEX), f"{INDEX} is missing"),
    "missing manifest": (lose("manifest.json"), "manifest.json is missing or damaged"),
    "garbage manifest": (write_manifest(b"\x00\xffgarbage"), "manifest.json is missing or damaged"),
    "empty manifest": (write_manifest(b""), "manifest.json is missing or damaged"),
    "cut manifest": (write_manifest(b'{"step": 3, "sha256": {"variab'), "manifest.json is missing or damaged"),
    "manifest of nothing": (write_manifest(b'{"step": 3, "sha256": {}}'), "manifest.json is missing or damaged"),
    "manifest of another kind": (write_manifest(b"[3]"), "manifest.json is missing or damaged"),
    "empty folder": (lambda path: [file.unlink() for file in path.iterdir()], "manifest.json is missing or damaged"),
}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Checkpoints of steps 1 to 3, to be copied."""
    folder = tmp_path_factory.mktemp("three")
    save(folder, 1, 2, 3)
    return folder


def test_a_checkpoint_that_the_disk_does_not_give_back_is_passed_over(three, monkeypatch):
    def sha256(path):
        if "step_00000003" in str(path):
            raise OSError(errno.EIO, "Input/output error")
        return files.sha256(path)

    monkeypatch.setattr(checkpoints, "sha256", sha256)
    found = checkpoints.find(three)
    assert found and found.step == 2
    assert found.damage == [f"{three / 'step_00000003'}: {DATA} cannot be read: Input/output error"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used_and_nothing_deleted(tmp_path, three, damage):
    spoil, problem = DAMAGE[damage]
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path / "step_00000003")
    before = content(tmp_path)
    found = checkpoints.find(tmp_path)
    assert found
    assert found.step == 2 and restored(found) == [2] * 3
    assert found.damage == [f"{tmp_path / 'step_00000003'}: {problem}"]
    assert content(tmp_path) == before and (tmp_path / "step_00000003").is_dir()
    with pytest.raises(UserError, match=f"step_00000003: {problem}"):
        checkpoints.find(tmp_path, step=3)  # what was asked for by number is not replaced by another


def test_every_bit_of_a_checkpoint_is_guarded(tmp_path, three):
    shutil.copytree(three / "step_00000003", tmp_path / "step_00000003")
    for name in (DATA, INDEX):
        path = tmp_path / "step_00000003" / name
        whole = path.read_bytes()
        for at in range(0, len(whole), 5):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
            with pytest.raises(UserError, match=f"{name} is damaged"):
                checkpoints.find(tmp_path)
        path.write_bytes(whole)
    assert checkpoints.find(tmp_path)


def test_two_damaged_ones_are_both_named_and_the_third_is_used(tmp_path, three):
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    cut(tmp_path / "step_00000003")
    lose(INDEX)(tmp_path / "step_00000002")
    found = checkpoints.find(tmp_path)
    assert found and restored(found) == [1] * 3
    assert [line.split(": ")[0][-1] for line in found.damage] == ["3", "2"]


def test_where_all_are_damaged_each_is_named_and_nothing_starts_from_zero(tmp_path, three):
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    cut(tmp_path / "step_00000003")
    lose("manifest.json")(tmp_path / "step_00000002")
    flip_a_bit_of(INDEX)(tmp_path / "step_00000001")
    before = content(tmp_path)
    with pytest.raises(UserError, match="no good checkpoint: .*_00000003: .*_00000002: .*_00000001: "):
        checkpoints.find(tmp_path)
    assert content(tmp_path) == before


# Keeping and removing


def steps_in(folder):
    return sorted(int(path.name.removeprefix("step_")) for path in folder.glob("step_*"))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept_and_older_ones_removed(tmp_path, keep):
    for number in range(1, 6):
        save(tmp_path, number, keep=keep)
        assert steps_in(tmp_path) == list(range(max(1, number - keep + 1), number + 1))
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_older_ones_stay_until_the_newer_is_complete_and_read_back(tmp_path, monkeypatch):
    save(tmp_path, 1)
    seen = []
    removing, reading = shutil.rmtree, tf.train.load_checkpoint

    def watch_reading(prefix):
        seen.append(("reads", Path(prefix).parent.name, steps_in(tmp_path)))
        return reading(prefix)

    def watch_removing(path, *options, **more):
        if path.name == "step_00000001":
            seen.append(("removes", path.name, steps_in(tmp_path)))
        return removing(path, *options, **more)

    monkeypatch.setattr(shutil, "rmtree", watch_removing)
    monkeypatch.setattr(tf.train, "load_checkpoint", watch_reading)
    save(tmp_path, 2, keep=1)
    assert seen == [("reads", ".partial_00000002", [1]), ("removes", "step_00000001", [1, 2])]


def test_a_checkpoint_that_does_not_read_back_replaces_none(tmp_path, monkeypatch):
    save(tmp_path, 1)
    before = content(tmp_path)
    writing = tf.train.Checkpoint.write

    def write_on_a_bad_disk(self, prefix):
        path = writing(self, prefix)
        flip_a_bit_of(DATA)(Path(prefix).parent)
        return path

    monkeypatch.setattr(tf.train.Checkpoint, "write", write_on_a_bad_disk)
    with pytest.raises(UserError, match="cannot write a checkpoint of step 2"):
        save(tmp_path, 2, keep=1)
    assert content(tmp_path) == before


def test_damaged_newer_ones_do_not_push_out_the_one_just_saved(tmp_path):
    for step in (20, 15, 10):
        save(tmp_path, step)
    cut(tmp_path / "step_00000020")
    cut(tmp_path / "step_00000015")
    save(tmp_path, 12, keep=2)  # resumed from 10
    found = checkpoints.find(tmp_path)
    assert found and found.step == 12 and restored(found) == [12] * 3
    assert steps_in(tmp_path) == [10, 12, 15, 20]


def test_damaged_older_ones_do_not_push_out_a_good_one(tmp_path):
    save(tmp_path, 10, 15)
    cut(tmp_path / "step_00000015")
    save(tmp_path, 20, keep=2)  # resumed from 10
    assert steps_in(tmp_path) == [10, 15, 20]
    save(tmp_path, 30, keep=2)
    assert steps_in(tmp_path) == [20, 30]


def test_a_damaged_checkpoint_is_replaced_when_its_step_is_reached_again(tmp_path):
    save(tmp_path, 10, 20)
    cut(tmp_path / "step_00000020")
    save(tmp_path, 20, keep=2)
    found = checkpoints.find(tmp_path)
    assert found and found.step == 20 and found.damage == [] and restored(found) == [20] * 3


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path):
    save(tmp_path, 1)
    before = content(tmp_path)
    (tmp_path / ".partial_00000002" / "variables_temp").mkdir(parents=True)
    (tmp_path / ".partial_00000002" / "variables_temp" / "part-00000").write_bytes(b"half")
    (tmp_path / ".partial_00000003").mkdir()
    found = checkpoints.find(tmp_path)
    assert found and found.step == 1 and found.damage == []
    checkpoints.remove_leftovers(tmp_path)
    assert content(tmp_path) == before and list(tmp_path.glob(".*")) == []
    checkpoints.remove_leftovers(tmp_path / "missing")


def test_a_leftover_of_the_same_step_is_no_part_of_the_next_checkpoint(tmp_path):
    (tmp_path / ".partial_00000001").mkdir()
    (tmp_path / ".partial_00000001" / "variables.data-00001-of-00002").write_bytes(b"half")
    save(tmp_path, 1)
    manifest = json.loads((tmp_path / "step_00000001" / "manifest.json").read_text())
    assert manifest["step"] == 1 and set(manifest["sha256"]) == {DATA, INDEX}
    assert {path.name for path in (tmp_path / "step_00000001").iterdir()} == {DATA, INDEX, "manifest.json"}


# A full disk


@pytest.mark.parametrize("size", [0, 100, 300, 50_000], ids=["nothing", "little", "some", "most"])
def test_on_a_full_disk_the_earlier_checkpoints_stay_and_the_message_is_one_line(
    tmp_path, capsys, size, disk_that_takes
):
    save(tmp_path, 1, 2)
    before = content(tmp_path)
    large = variable(7, size=20_000)

    def main():
        with disk_that_takes(size):
            checkpoints.save(tmp_path, 3, keep=1, weights=large)

    with pytest.raises(SystemExit) as stop:
        flags.run(main)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert f"cannot write a checkpoint of step 3 to {tmp_path}: " in message and "File too large" in message
    assert message.count("\n") == 1
    assert content(tmp_path) == before and list(tmp_path.glob(".*")) == []
    checkpoints.save(tmp_path, 3, keep=1, weights=large)  # once there is room again
    assert steps_in(tmp_path) == [3]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=f"cannot write a checkpoint of step 1 to {tmp_path / 'file'}: "):
        save(tmp_path / "file", 1)
    assert (tmp_path / "file").read_text() == "mine"


# kill -9

# Forks a training that saves after every step, kills it at a random moment, looks, and forks the next, which goes on.
# The parent never runs an operation: TensorFlow's threads do not survive a fork.
KILLED_TRAINING = """
import json, os, random, select, signal, sys, time
from pathlib import Path
import tensorflow as tf
from shared import checkpoints

folder, kills = Path(sys.argv[1]), int(sys.argv[2])

def train(announce):
    checkpoints.remove_leftovers(folder)
    weights, found = tf.Variable(tf.zeros([50_000])), checkpoints.find(folder)
    if found:
        checkpoints.restore(found, weights=weights)
        assert weights.numpy().tolist() == [found.step] * 50_000, "restored something else"
    step = found.step if found else 0
    os.write(announce, b"%d\\n" % step)
    while True:
        step += 1
        weights.assign_add(tf.ones([50_000]))
        checkpoints.save(folder, step, 2, weights=weights)
        os.write(announce, b"%d\\n" % step)

random.seed(0)
for _ in range(kills):
    announced, announce = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(announce)
        finally:
            os._exit(1)
    os.close(announce)
    lines = b""
    if select.select([announced], [], [], 60)[0]:
        lines = os.read(announced, 1000)
    time.sleep(random.uniform(0, 0.15))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while block := os.read(announced, 1000):
        lines += block
    os.close(announced)
    found = checkpoints.find(folder)
    print(json.dumps({
        "killed": os.WIFSIGNALED(status),
        "announced": [int(line) for line in lines.split()],
        "found": found and [found.step, found.damage],
        "left": sorted(path.name for path in folder.glob("*")) if folder.exists() else [],
    }), flush=True)
"""


def test_a_training_killed_at_any_moment_loses_at_most_one_save_and_can_be_resumed(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(CODE), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", KILLED_TRAINING, str(tmp_path / "run"), str(KILLS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == KILLS
    last = 0
    for report in reports:
        assert report["killed"] and report["announced"], f"a training did not start again: {report}\n{done.stderr}"
        assert report["announced"][0] >= last, "it went on from before the newest checkpoint"
        last = report["announced"][-1]
        step, damage = report["found"] or (0, [])
        assert step in (last, last + 1), f"a saved step was lost: {report}"
        assert not damage
    assert last > 0, "the kills came before anything was saved"
    assert any(name.startswith(".partial") for report in reports for name in report["left"]), "no kill hit a save"
    found = checkpoints.find(tmp_path / "run")
    assert found
    weights = variable(size=50_000)
    checkpoints.restore(found, weights=weights)
    assert set(weights.numpy()) == {found.step}
