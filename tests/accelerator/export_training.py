"""Writes a training as a program that runs without TensorFlow, on a machine with a GPU and JAX.

    python tests/accelerator/export_training.py --system bi_infogan --seeds 1 2 3 --log_dir exported
    python run_training.py exported results       (there; it needs JAX, NumPy, and nothing else of the project)
    python tests/accelerator/import_training.py --exported exported --results results

The program is the system's own training step, as TensorFlow compiles it. First weights, batches, codes and noise are
those that the seed gives on a CPU; roundings differ.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Literal

import tyro

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "code"), str(Path(__file__).resolve().parent)]

from shared import files, flags, run_folders


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of export_training.py."""

    log_dir: Path
    """Folder to write to."""
    system: Literal["bi_infogan", "cycle_vae", "image_translation", "infogan", "vae_gan"]
    """Whose training: on MNIST, but for vae_gan's, which is on characters, and cycle_vae's, as --preset says."""
    seeds: tuple[int, ...]
    """One run each."""
    preset: str | None = None
    """Which of the system's presets; of cycle_vae's sprites or mnist."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Arithmetic of the layers."""
    max_steps: int | None = None
    """Steps of a run; default: as the preset plans."""
    max_epochs: int | None = None
    """Epochs of a run, for systems that count them."""
    data_dir: Path | None = None
    """Folder of the data; default: the user's cache."""
    unverified_data: bool = False
    """Take other data in the same format."""


def main() -> None:
    chosen = tyro.cli(Flags, description=__doc__, use_underscores=True)
    in_range = all(0 <= seed < 2**31 for seed in chosen.seeds)
    expected = f"--seeds: expected different numbers, 0 to {2**31 - 1}, one or more"
    flags.require(0 < len(chosen.seeds) == len(set(chosen.seeds)) and in_range, expected)
    flags.require(not chosen.log_dir.exists(), f"--log_dir: {chosen.log_dir} exists already")
    flags.import_tensorflow()
    import portable
    import programs

    settings = {
        name: getattr(chosen, name)
        for name in ("preset", "precision", "max_steps", "max_epochs", "data_dir", "unverified_data")
        if getattr(chosen, name) not in (None, False)
    }
    order = None
    for seed in chosen.seeds:
        with portable.draws_of_a_cpu() as drawn:
            program = programs.PROGRAMS[chosen.system](**settings, seed=seed)
            order = order or portable.export(program, drawn, chosen.log_dir)
        portable.export_run(program, drawn, order, chosen.log_dir / f"seed_{seed}.npz")
        record = run_folders.first_record(chosen.system, program.data_set, program.config, program.data_sha256)
        files.write_text(chosen.log_dir / f"seed_{seed}.json", json.dumps(record, indent=2) + "\n")
        print(f"seed {seed}: {program.steps} steps", file=sys.stderr)


if __name__ == "__main__":
    flags.run(main)
