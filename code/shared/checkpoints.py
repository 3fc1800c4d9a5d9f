"""Checkpoints that are written whole, verified before use, and pruned only once a newer one has been read back.

A checkpoint is a folder step_<steps>/ of what tf.train.Checkpoint writes, and manifest.json with the step and the
sha256 of each file. It is written under a hidden name and renamed when complete, so a kill leaves none half done.
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from shared.files import sha256
from shared.flags import UserError


class Found(NamedTuple):
    """A verified checkpoint, and what was wrong with the newer ones that were passed over."""

    folder: Path
    step: int
    damage: list[str]


def save(folder: Path, step: int, keep: int, **objects) -> Path:
    """Writes the objects' variables as checkpoint `step`, reads it back, removes those older than the newest `keep`.

    Args:
        folder: that holds the run's checkpoints; made if missing.
        step: steps completed.
        keep: checkpoints to keep, this one included; at least 1.
        objects: by name, what tf.train.Checkpoint can track.
    Raises:
        UserError: a weight is not finite, or the disk is full or cannot be written; earlier ones are untouched.
    """
    partial, complete = folder / f".partial_{step:08d}", folder / f"step_{step:08d}"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        prefix = str(partial / "variables")
        tf.train.Checkpoint(**objects).write(prefix)
        files = sorted(path for path in partial.iterdir() if path.name.startswith("variables"))
        manifest = {"step": step, "sha256": {path.name: sha256(path) for path in files}}
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2))
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():  # reading compares every tensor's checksum
            tensor = np.asarray(reader.get_tensor(name))
            if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
                raise UserError(f"{name.split('/.')[0]} is not finite after step {step}: earlier checkpoints are kept")
        shutil.rmtree(complete, ignore_errors=True)
        partial.rename(complete)
    except UserError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot write a checkpoint of step {step} to {folder}: {reason}") from error
    # Newer ones are damaged, or they would have been restored: they stay for whoever looks. Damaged ones do not count.
    kept = 0
    for path in [path for path in _newest_first(folder) if path <= complete]:
        if kept == keep:
            shutil.rmtree(path)
        elif path == complete or _problem(path) is None:
            kept += 1
    return complete


def find(folder: Path, step: int | None = None) -> Found | None:
    """The newest undamaged checkpoint in the folder, or that of `step`; None where the folder has none at all.

    Raises:
        UserError: there are checkpoints and none that was asked for is good; the message says what is wrong.
    """
    candidates = _newest_first(folder)
    if not candidates:
        return None
    if step is not None:
        steps = [int(path.name.removeprefix("step_")) for path in candidates]
        if step not in steps:
            raise UserError(f"{folder} has no checkpoint of step {step}; it has {sorted(steps)}")
        candidates = [candidates[steps.index(step)]]
    damage = []
    for candidate in candidates:
        problem = _problem(candidate)
        if problem is None:
            return Found(candidate, int(candidate.name.removeprefix("step_")), damage)
        damage.append(f"{candidate}: {problem}")
    raise UserError(f"no good checkpoint: {'; '.join(damage)}")


def restore(found: Found, **objects) -> None:
    """Fills the objects' variables, all of them, from a checkpoint that `save` wrote of objects of these names.

    Raises:
        UserError: the checkpoint is of other networks.
    """
    try:
        status = tf.train.Checkpoint(**objects).read(str(found.folder / "variables"))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{found.folder} is a checkpoint of other networks: {str(error).splitlines()[0]}") from error


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process left half written."""
    for partial in folder.glob(".partial_*"):
        shutil.rmtree(partial)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_" + 8 * "[0-9]"), reverse=True)  # as `save` names them, and no copies


def _problem(checkpoint: Path) -> str | None:
    try:
        digests = dict(json.loads((checkpoint / "manifest.json").read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        digests = {}
    if not digests:
        return "manifest.json is missing or damaged"
    for name, digest in digests.items():
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        try:
            intact = sha256(checkpoint / name) == digest
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        if not intact:
            return f"{name} is damaged"
    return None
