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
    brought = {}
    for path in sorted(chosen.exported.glob("seed_*.json")):
        parts = sorted(chosen.results.glob(f"{chosen.exported.name}_{path.stem}_*.npz"))
        if parts:
            brought[path] = {name: array for part in parts for name, array in np.load(part).items()}
    flags.require(bool(brought), f"{chosen.results} has no run of those in {chosen.exported}")
    program = json.loads((chosen.exported / "program.json").read_text())
    flags.import_tensorflow()
    for path, arrays in brought.items():
        record = json.loads(path.read_text())
        log_dir = chosen.log_dir or CODE / record["system"] / "log_dir" / record["data_set"]
        print(make_run_folder(record, program, arrays, log_dir))


def make_run_folder(record: dict, program: dict, arrays: dict[str, np.ndarray], log_dir: Path) -> Path:
    """A run's folder, of what it was started with, what its program says of itself, and what came back.

    Raises:
        UserError: a loss was not finite, a weight did not come back, or the folder cannot be made.
    """
    import tensorflow as tf

    from shared import checkpoints

    flags.require(bool(np.isfinite(arrays["scalars"]).all()), "a loss was not finite: the run failed")
    system = record["system"]
    config = flags.from_json(importlib.import_module(f"{system}.config").Config, record["config"])
    networks = importlib.import_module(f"{system}.networks").build_networks(config)
    evaluated = [network for network in networks if any(name.startswith(f"{network.name}|") for name in arrays)]
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
    record["device"] = str(arrays["device"])
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
