"""Makes run folders of what run_training.py brought back, for evaluate_model.py.

    python tests/accelerator/import_training.py --exported exported --results results

Of a run that was made elsewhere, a folder holds the log and the weights that are published, in 16 bits: enough to
evaluate, record and publish it, not to resume it.
"""

import dataclasses
import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import tyro

CODE = Path(__file__).resolve().parents[2] / "code"
sys.path.insert(0, str(CODE))

from shared import files, flags, run_folders
from shared.flags import UserError


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of import_training.py."""

    exported: Path
    """Folder that export_training.py wrote."""
    results: Path
    """Folder that run_training.py wrote."""
    log_dir: Path | None = None
    """Where the run folders are made; default: where the system's runs are."""


def main() -> None:
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    program, brought = read(chosen.exported, chosen.results)
    flags.import_tensorflow()
    for record, arrays in brought:
        log_dir = chosen.log_dir or CODE / record["system"] / "log_dir" / record["data_set"]
        print(make_run_folder(record, program, arrays, log_dir))


def read(exported: Path, results: Path) -> tuple[dict, list[tuple[dict, dict[str, np.ndarray]]]]:
    """What an exported training says of itself; of each run that came back what it was started with, and what came.

    Raises:
        UserError: nothing came back, a file is missing or damaged, or a loss was not finite.
    """
    brought = []
    for path in sorted(exported.glob("seed_*.json")):
        parts = sorted(results.glob(f"{exported.name}_{path.stem}_*.npz"))
        arrays = {}
        for part in parts:
            try:
                with np.load(part, allow_pickle=False) as file:
                    arrays |= dict(file.items())
            except files.DAMAGED_ARRAYS as error:
                raise UserError(f"{part} is damaged: {error}") from None
        if parts:
            missing = {"scalars", "seconds", "device", "jax"} - arrays.keys()
            flags.require(not missing, f"{results} has not all of {path.stem}: no {', '.join(sorted(missing))}")
            flags.require(bool(np.isfinite(arrays["scalars"]).all()), f"{path.stem}: a loss was not finite")
            brought.append((said_by(path, run_folders.RECORDED), arrays))
    flags.require(bool(brought), f"{results} has no run of those in {exported}")
    return said_by(exported / "program.json", frozenset(("steps", "steps_a_call", "scalars"))), brought


def said_by(path: Path, keys: frozenset[str]) -> dict:
    """The object in a JSON file, which must have the keys."""
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    flags.require(isinstance(said, dict) and said.keys() >= keys, f"{path} is damaged: it lacks some of {sorted(keys)}")
    return said


def make_run_folder(record: dict, program: dict, arrays: dict[str, np.ndarray], log_dir: Path) -> Path:
    """A run's folder, of what it was started with, what its program says of itself, and what came back.

    Raises:
        UserError: a weight did not come back, or the folder cannot be made.
    """
    import tensorflow as tf

    from shared import checkpoints

    system = record["system"]
    config = flags.from_json(importlib.import_module(f"{system}.config").Config, record["config"])
    networks = importlib.import_module(f"{system}.networks").build_networks(config)
    evaluated = [network for network in networks if any(name.startswith(f"{network.name}|") for name in arrays)]
    flags.require(bool(evaluated), "no weights came back")
    evaluated = networks[: networks.index(evaluated[-1]) + 1]  # among them those that are a part of another
    missing = {weight.value.ref(): f"{n.name}, {weight.name}" for n in evaluated for weight in n.weights}
    for network in evaluated:
        for k, weight in enumerate(network.weights):
            name = f"{network.name}|{k:03d}|{weight.name}"
            if name in arrays:
                weight.assign(arrays[name].astype(np.float32) * arrays.get(f"{name}|scale", np.float32(1)))
                missing.pop(weight.value.ref(), None)
    flags.require(not missing, f"{len(missing)} weights did not come back, of {', '.join(missing.values())}")

    folder = run_folders.new_folder(log_dir, config.seed)
    record["command"] += " && python tests/accelerator/run_training.py exported results"
    record["device"] = f"{arrays['device']} by JAX" if arrays["device"] == "cpu" else str(arrays["device"])
    record["versions"]["jax"] = str(arrays["jax"])
    record = {name: value for name, value in record.items() if not name.startswith("threads")}  # of the other machine
    files.write_text(folder / "settings.json", json.dumps(record, indent=2) + "\n")
    lines = [
        {"step": (k + 1) * program["steps_a_call"]} | dict(zip(program["scalars"], map(float, scalars)))
        for k, scalars in enumerate(arrays["scalars"])
    ]
    files.write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    if system == "image_translation":
        shutil.copytree(CODE / system / "pretrained" / "judge", folder / "judge")
    minutes = tf.Variable(tf.constant(float(arrays["seconds"]) / 60, tf.float64))
    checkpoints.save(folder / "checkpoints", program["steps"], 1, networks=evaluated, minutes=minutes)
    return folder


if __name__ == "__main__":
    flags.run(main)
