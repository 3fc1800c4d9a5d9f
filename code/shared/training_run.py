"""A training run that is under way: its steps, log, pictures, checkpoints, and what happens on a signal or a NaN."""

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

import filelock
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from shared import checkpoints, files, flags, image_grids, run_folders
from shared.flags import RunFlags, UserError, require

CHECKPOINTS_KEPT = 2


class TrainingRun:
    """An open run folder, new or to be resumed, locked against a second process; a context manager.

    Args:
        folder: that run_folders.start made, now or for the run that goes on.
        config: the run's settings; what extends it, and those in run_folders.FREE_ON_RESUME, may be new.
        data_sha256: of the data it is to train on.
    Raises:
        UserError: another process has the run open, or it was started on other data.
    """

    def __init__(self, folder: Path, config: RunFlags, data_sha256: str):
        started_on = run_folders.settings(folder)["data_sha256"]
        require(started_on == data_sha256, f"--resume: {folder} was started on other data, of sha256 {started_on}")
        self.folder = folder
        self.step = 0  # steps completed
        self._minutes = tf.Variable(tf.zeros([], tf.float64))  # a variable, so that checkpoints keep it
        self._config = config
        self._lock = filelock.FileLock(folder / "lock")
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise UserError(f"{folder} is in use by another process") from None
        checkpoints.remove_leftovers(folder / "checkpoints")
        self._objects: dict[str, object] = {}
        self._signal: int | None = None
        self._latest: Mapping[str, tf.Tensor] = {}
        self._events = tf.summary.create_noop_writer()

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
        with self._event_errors():  # not before: a run without a good checkpoint is left as it is
            self._events = tf.summary.create_file_writer(str(self.folder))
        if found is None:
            self._refuse_lost_checkpoints()
            self._forget_lines_after(0)
            return
        for damage in found.damage:
            self.say(f"warning: passed over a damaged checkpoint: {damage}")
        checkpoints.restore(found, minutes=self._minutes, **objects)
        self.step = found.step
        self._forget_lines_after(found.step)
        self.say(f"Going on with {self.folder} from step {self.step}.")

    def steps(self, last: int) -> Iterator[int]:
        """Yields the 0-based number of each step to do, up to `last` in all, behind a progress bar.

        After each it saves if one is due; at the end, and on SIGTERM or Ctrl-C, it saves what was done. A second
        signal ends the process, at once but for the operation of TensorFlow's that it falls into.

        Raises:
            SystemExit: 143 after SIGTERM, 130 after Ctrl-C, when the step is finished and saved.
            UserError: a checkpoint cannot be written, or a loss is not finite.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        minutes_before, started = self.minutes, time.monotonic()
        bar = tqdm(total=last, initial=self.step, unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True)
        saved = self.step
        if self.step >= last:
            limit = "max_steps" if self._config.max_steps == last else self._config.EXTENDED_BY
            further = f". To go further, add: --{limit}" if limit else ""
            self.say(f"Nothing to train: {last} steps were planned{further}")
        else:
            if self._config.precision == "mixed_bfloat16" and flags.lacks_bfloat16():
                self.say("warning: this processor has no bfloat16 unit: float32 may be many times faster")
            if self.step or self._config.resume is not None:  # killed before its first save, a run goes on from 0
                run_folders.record_session(self.folder, self.step, self._config)
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
        with self._event_errors(), self._events.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step)
        self.say(f"step {step}  " + "  ".join(f"{name} {value:.4f}" for name, value in values.items()))
        return values

    def picture(self, name: str, picture: np.ndarray) -> None:
        """Saves a picture, uint8 [height, width, channels], as <name>.png and for TensorBoard."""
        image_grids.save(picture, self.folder / f"{name}.png")
        self.tensorboard_image(name.rsplit("_", 1)[0], picture)

    def tensorboard_scalars(self, scalars: Mapping[str, float]) -> None:
        """Adds scalars, by name, to TensorBoard's alone."""
        with self._event_errors(), self._events.as_default():
            for name, value in scalars.items():
                tf.summary.scalar(name, value, self.step + 1)

    def tensorboard_image(self, name: str, picture: np.ndarray) -> None:
        """Adds a picture, uint8 [height, width, channels], to TensorBoard's images alone."""
        with self._event_errors(), self._events.as_default():
            tf.summary.image(name, picture[np.newaxis], self.step + 1)

    def tensorboard_histograms(self, values: Mapping[str, tf.Tensor]) -> None:
        """Adds histograms of tensors, by name, to TensorBoard's alone."""
        with self._event_errors(), self._events.as_default():
            for name, value in values.items():
                tf.summary.histogram(name, value, self.step + 1)

    def say(self, line: str) -> None:
        """Prints a line on standard error, above the progress bar where there is one."""
        tqdm.write(line, file=sys.stderr)

    @contextlib.contextmanager
    def _event_errors(self) -> Iterator[None]:
        """Makes of a full disk what `flags.run` knows: writing TensorBoard's events raises TensorFlow's own errors."""
        try:
            yield
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"cannot write TensorBoard's events to {self.folder}: {reason}") from error

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(128 + number)
        self._signal = number
        os.write(2, b"Finishing this step and saving; a second signal ends at once.\n")  # safe in a signal handler

    def _save(self) -> int:
        self._finite_values(self.step)  # weights that gave a NaN must not replace a good checkpoint
        objects = {"minutes": self._minutes, **self._objects}
        checkpoints.save(self.folder / "checkpoints", self.step, CHECKPOINTS_KEPT, **objects)
        return self.step

    def _finite_values(self, step: int) -> dict[str, float]:
        values = {name: float(value) for name, value in self._latest.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                good = checkpoints.find(self.folder / "checkpoints")
                where = f"the last good checkpoint is {good.folder}" if good else "no checkpoint was saved before it"
                raise UserError(f"{name} is {value} at step {step}: training stopped; {where}")
        return values

    def _refuse_lost_checkpoints(self) -> None:
        """A run that was killed before its first save begins anew; one that had saved must not."""
        steps = [line["step"] for line in self._logged()]
        saves_every = run_folders.settings(self.folder)["config"]["save_every"]
        if steps and steps[-1] > saves_every:
            raise UserError(f"{self.folder} has no checkpoint, and its log reaches step {steps[-1]}: start a new run")
        if steps:
            self.say("No checkpoint was saved yet: starting from step 0.")

    def _forget_lines_after(self, step: int) -> None:
        """Cuts the log back to the checkpoint, so that a resumed run's reads like an unbroken one's."""
        path = self.folder / "metrics.jsonl"
        files.write_text(path, "".join(json.dumps(line) + "\n" for line in self._logged() if line["step"] <= step))

    def _logged(self) -> list[dict]:
        lines = files.json_lines(self.folder / "metrics.jsonl")
        return [line for line in lines if isinstance(line.get("step"), int)]


def minutes(folder: Path, step: int) -> float:
    """Minutes of training that the checkpoint of a run's step took."""
    found = checkpoints.find(folder / "checkpoints", step)
    if found is None:
        raise UserError(f"{folder} has no checkpoint yet")
    variable = tf.Variable(tf.zeros([], tf.float64))
    checkpoints.restore(found, minutes=variable)
    return float(variable.numpy())
