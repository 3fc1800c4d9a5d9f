"""Trained models on disk: filling networks from one, keeping its numbers, publishing it.

A model folder is a run's (settings.json, checkpoints/) or holds published weights (settings.json, weights.npz).
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import keras

from shared import checkpoints, files, published_weights, run_folders, training_run
from shared.flags import ConfigT, UserError, require


def fill(networks: Sequence[keras.Model], folder: Path, iteration: int | None = None) -> int:
    """Fills the networks from a model folder.

    Args:
        iteration: step of the checkpoint wanted; default: the best, where the run keeps it in best/, else the newest
            good one.
    Returns:
        The steps the weights were trained for.
    Raises:
        UserError: no such checkpoint, a damaged one, or one of other networks.
    """
    if run_folders.is_published(folder):
        settings = run_folders.settings(folder)
        require("steps" in settings, f"{folder} is not a folder of published weights: settings.json has no steps")
        steps = settings["steps"]
        require(iteration in (None, steps), f"{folder} holds the weights of step {steps} only")
        published_weights.load(folder / "weights.npz", networks)
        return steps
    best, found = folder / "best", None
    if iteration is None or (best / f"step_{iteration:08d}").exists():
        try:
            found = checkpoints.find(best, iteration)
        except UserError as damage:
            print(f"warning: passed over the best weights: {damage}", file=sys.stderr)
    found = found or checkpoints.find(folder / "checkpoints", iteration)
    if found is None:
        raise UserError(f"{folder} has no checkpoint yet")
    for damage in found.damage:
        print(f"warning: passed over a damaged checkpoint: {damage}", file=sys.stderr)
    checkpoints.restore(found, networks=networks)
    return found.step


NetworksT = TypeVar("NetworksT", bound=Sequence[keras.Model])


def in_float32(trained: NetworksT, build_networks: Callable[[ConfigT], NetworksT], config: ConfigT) -> NetworksT:
    """The trained networks as evaluation takes them: built to compute in float32, whatever they were trained in."""
    networks = build_networks(dataclasses.replace(config, precision="float32"))
    for network, other in zip(networks, trained):
        network.set_weights(other.get_weights())
    return networks


def output_dir(folder: Path, log_dir: Path) -> Path:
    """Where the pictures and numbers of a model go: beside a run's own, or under log_dir for published weights."""
    return log_dir / f"published_{folder.resolve().name}" if run_folders.is_published(folder) else folder


def write_numbers(numbers: dict, folder: Path, step: int) -> None:
    """Writes evaluation.json, with the step whose weights gave the numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "evaluation.json", json.dumps({"step": step} | numbers, indent=2) + "\n")


def record(metrics: dict[str, float], run_folder: Path, step: int, results: Path, published: Path) -> None:
    """Adds a run's numbers to results.json, or replaces those of the same run at the same step.

    Args:
        metrics: the numbers, by name.
        run_folder: the run's.
        step: of its weights.
        results: the file.
        published: folder of the published weights; of a run on other data than theirs that is said, as Fashion-MNIST's
            figures must not stand beside MNIST's.
    """
    settings, sessions = run_folders.settings(run_folder), run_folders.sessions(run_folder)
    other = run_folders.is_of_other_data(run_folder, published)
    entry = {
        "system": settings["system"],
        "data_set": settings["data_set"] + (", other data" if other else ""),
        "preset": settings["config"].get("preset", "default"),
        "seed": settings["config"]["seed"],
        "steps": step,
        "minutes": round(training_run.minutes(run_folder, step), 1),
        "commit": ", ".join(dict.fromkeys(session["commit"] for session in sessions)),
        "command": " && ".join(session["command"] for session in sessions),
        "precision": settings["config"]["precision"],
        "data_sha256": settings["data_sha256"],
        "metrics": metrics,
    }
    if "device" in settings:  # said where it was not TensorFlow on a CPU
        entry["device"] = settings["device"]
    entries = run_folders.recorded_runs(results)
    identity = ("data_set", "data_sha256", "preset", "seed", "steps", "commit", "command", "device")
    entries = [other for other in entries if any(other.get(name) != entry.get(name) for name in identity)]
    files.write_text(results, json.dumps([*entries, entry], indent=2) + "\n")


def record_more(metrics: dict[str, float], published: Path, results: Path) -> None:
    """Adds what was measured of published weights, and not of their run, to what results.json has of that run.

    Raises:
        UserError: it has no such run, or several.
    """
    entries = run_folders.recorded_runs(results)
    its = entries[run_folders.recorded_run(published, results)]
    its["metrics"] = metrics | its["metrics"]
    files.write_text(results, json.dumps(entries, indent=2) + "\n")


def publish(networks: Sequence[keras.Model], run_folder: Path, step: int, pretrained: Path) -> None:
    """Writes the networks' weights and the run's settings as a folder that `fill` takes."""
    settings = run_folders.settings(run_folder)
    published_weights.save(pretrained / "weights.npz", networks)
    (pretrained / "evaluation.json").unlink(missing_ok=True)  # the numbers of the weights that were there before
    own_folders = settings["config"].keys() & {"data_dir", "log_dir", "resume", "judge"}  # the publisher's
    settings["config"] |= dict.fromkeys(own_folders) | {"unverified_data": False}  # which must be named by its folder
    files.write_text(pretrained / "settings.json", json.dumps({"steps": step} | settings, indent=2) + "\n")
