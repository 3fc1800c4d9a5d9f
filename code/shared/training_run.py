"""A training run: its folder, settings, log, pictures, checkpoints, and what happens on a signal or a NaN.

<log_dir>/<time>_<seed>/ holds settings.json, metrics.jsonl, pictures, TensorBoard's events and checkpoints/.
"""

import datetime
import json
import math
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import filelock
import numpy as np
import tensorflow as tf
from shared import checkpoints, flags, image_grids
from shared.flags import ConfigT, RunFlags, UserError
from tqdm import tqdm

CHECKPOINTS_KEPT = 2


class TrainingRun:
    """An open run folder, locked against a second process. Made by `start` or `resume`; a context manager."""

    def __init__(self, folder: Path, config: RunFlags):
        self.folder = folder
        self.step = 0  # steps completed
        self._minutes = tf.Variable(0.0, dtype=tf.float64)  # a variable, so that checkpoints keep it
        self._config = config
        self._lock = filelock.FileLock(folder / "lock")
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise UserError(f"{folder} is in use by another process") from None
        self._objects: dict[str, object] = {}
        self._signal: int | None = None
        self._latest: Mapping[str, tf.Tensor] = {}
        self._events = tf.summary.create_file_writer(str(folder))

    @classmethod
    def start(cls, system: str, data_set: str, config: RunFlags, log_dir: Path, data_sha256: str) -> "TrainingRun":
        """Makes the folder of a new run, log_dir/<time>_<seed>, and records what it was started with."""
        folder = new_folder(log_dir, config.seed)
        settings = {
            "system": system,
            "data_set": data_set,
            "config": flags.to_json(config),
            "data_sha256": data_sha256,
            "command": shlex.join([Path(sys.executable).name, *sys.argv]),
            "commit": _commit(),
            "threads": os.cpu_count(),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("tensorflow", "keras", "tensorflow-probability", "numpy")},
        }
        (folder / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
        return cls(folder, config)

    @classmethod
    def resume(cls, folder: Path, config: RunFlags) -> "TrainingRun":
        """Opens the folder of an earlier run to go on with it."""
        run = cls(folder, config)
        checkpoints.remove_leftovers(folder / "checkpoints")
        return run

    @property
    def minutes(self) -> float:
        """Minutes spent training, over all the sessions of this run."""
        return float(self._minutes.numpy())

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(self, *_) -> None:
        self._events.close()
        self._lock.release()

    def track(self, **objects) -> None:
        """Names what checkpoints hold; where the run has one already, fills the objects from it.

        Raises:
            UserError: no checkpoint of the run is good, or they are of other networks.
        """
        self._objects = objects
        found = checkpoints.find(self.folder / "checkpoints")
        if found is None:
            return
        for damage in found.damage:
            self.say(f"warning: passed over a damaged checkpoint: {damage}")
        checkpoints.restore(found, minutes=self._minutes, **objects)
        self.step = found.step
        self._forget_lines_after(found.step)
        self.say(f"Going on from step {self.step}.")

    def steps(self, last: int) -> Iterator[int]:
        """Yields the 0-based number of each step to do, up to `last` in all, behind a progress bar.

        After each it saves if one is due; at the end, and on SIGTERM or Ctrl-C, it saves what was done. A second
        signal ends the process at once.

        Raises:
            SystemExit: 143 after SIGTERM, 130 after Ctrl-C, when the step is finished and saved.
            UserError: a checkpoint cannot be written, or a loss is not finite.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        minutes_before, started = self.minutes, time.monotonic()
        bar = tqdm(total=last, initial=self.step, unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True)
        saved = self.step
        try:
            while self.step < last and self._signal is None:
                yield self.step
                self.step += 1
                bar.update()
                self._minutes.assign(minutes_before + (time.monotonic() - started) / 60)
                if self.step % self._config.save_every == 0:
                    saved = self._save()
            if saved != self.step:
                self._save()
        finally:
            bar.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signal is not None:
            self.say(f"Stopped after step {self.step}, which is saved. To go on, add: --resume {self.folder}")
            sys.exit(128 + self._signal)

    def log(self, scalars: Mapping[str, tf.Tensor]) -> dict[str, float] | None:
        """Takes the scalars of the step just done; every `log_every` steps, and at the first, writes them.

        Returns:
            What was written, as floats, or None between two lines of the log.
        Raises:
            UserError: one of them is not finite.
        """
        self._latest = scalars
        step = self.step + 1
        if step != 1 and step % self._config.log_every:
            return None
        values = self._finite_values(step)
        minutes = round(self.minutes, 3)
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "minutes": minutes} | values) + "\n")
        with self._events.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step)
        self.say(f"step {step}  " + "  ".join(f"{name} {value:.4f}" for name, value in values.items()))
        return values

    def picture(self, name: str, picture: np.ndarray) -> None:
        """Saves a picture, uint8 [height, width, channels], as <name>.png and for TensorBoard."""
        image_grids.save(picture, self.folder / f"{name}.png")
        with self._events.as_default():
            tf.summary.image(name.rsplit("_", 1)[0], picture[np.newaxis], self.step + 1)

    def say(self, line: str) -> None:
        """Prints a line on standard error, above the progress bar where there is one."""
        tqdm.write(line, file=sys.stderr)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(128 + number)
        self._signal = number
        self.say("Finishing this step and saving; a second signal ends at once.")

    def _save(self) -> int:
        self._finite_values(self.step)  # weights that gave a NaN must not replace a good checkpoint
        checkpoints.save(self.folder / "checkpoints", self.step, CHECKPOINTS_KEPT,
                         minutes=self._minutes, **self._objects)  # fmt: skip
        return self.step

    def _finite_values(self, step: int) -> dict[str, float]:
        values = {name: float(value) for name, value in self._latest.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                good = checkpoints.find(self.folder / "checkpoints")
                where = f"the last good checkpoint is {good.folder}" if good else "no checkpoint was saved before it"
                raise UserError(f"{name} is {value} at step {step}: training stopped; {where}")
        return values

    def _forget_lines_after(self, step: int) -> None:
        """Cuts the log back to the checkpoint, so that a resumed run's reads like an unbroken one's."""
        path = self.folder / "metrics.jsonl"
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in lines))


def new_folder(log_dir: Path, seed: int) -> Path:
    """Makes log_dir/<time>_<seed>; a number follows where a run of that name exists."""
    name = f"{datetime.datetime.now():%Y%m%d-%H%M%S}_{seed}"
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = log_dir / f"{name}{suffix}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"--log_dir: cannot make {folder}: {error.strerror}") from None
    raise UserError(f"--log_dir: {log_dir} has too many runs of this second")


def newest(log_dir: Path) -> Path | None:
    """The run folder that was started last and has a checkpoint, or None."""
    runs = [path.parent for path in log_dir.glob("*/settings.json") if any((path.parent / "checkpoints").glob("step_*"))]
    return max(runs, default=None, key=lambda folder: folder.name)


def settings(folder: Path) -> dict:
    """What settings.json of a run, or of published weights, holds.

    Raises:
        UserError: the folder is missing, or is not a run's.
    """
    try:
        return json.loads((folder / "settings.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is not the folder of a run: no readable settings.json there") from error


def saved_config(folder: Path, system: str, config_class: type[ConfigT]) -> ConfigT:
    """The config that a run of this system was started with.

    Raises:
        UserError: not a run's folder, or a run of another system.
    """
    values = settings(folder)
    if values.get("system") != system:
        raise UserError(f"{folder} is a run of {values.get('system')}, not of {system}")
    return flags.from_json(config_class, values["config"])


def minutes(folder: Path) -> float:
    """Minutes of training that the newest checkpoint of a run took."""
    found = checkpoints.find(folder / "checkpoints")
    if found is None:
        raise UserError(f"{folder} has no checkpoint yet")
    variable = tf.Variable(0.0, dtype=tf.float64)
    checkpoints.restore(found, minutes=variable)
    return float(variable.numpy())


def _commit() -> str:
    """The commit of the code that runs, with "+" where it was changed since; "unknown" outside a checkout."""
    try:
        git = ["git", "-C", str(Path(__file__).parent)]
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changes.returncode else "")


def to_resume(resume: str, log_dir: Path) -> Path:
    """The run folder that --resume means: the one it names or, where it names none, the newest.

    Raises:
        UserError: there is none.
    """
    if resume:
        return Path(resume)
    folder = newest(log_dir)
    flags.require(folder is not None, f"--resume: no run with a checkpoint under {log_dir}")
    assert folder is not None
    return folder
