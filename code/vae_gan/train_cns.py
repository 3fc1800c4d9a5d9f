"""Trains the VAE-GAN on Chinese characters, or on any folder of pictures."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from shared import flags, run_folders
from vae_gan import data
from vae_gan.config import OPERATIONS_AT_ONCE, PRESETS, with_architecture

LOG_DIR = SYSTEM_DIR / "log_dir" / "cns"


def main() -> None:
    train_on("cns", LOG_DIR, str(__doc__))


def train_on(data_set: str, log_dir: Path, description: str) -> None:
    """What either training script does: trains as the command line says, measures, and says how it went."""
    # TensorFlow is imported once flags and data are known to be good: a mistake is answered at once.
    config, folder = run_folders.parse_flags("vae_gan", PRESETS, log_dir, description)
    trained_on = run_folders.settings(folder)["data_set"] if folder else data_set
    flags.require(trained_on == data_set, f"--resume: {folder} is a run of train_{trained_on}.py")
    config = with_architecture(config)
    found = data.load(data_set, config)

    flags.import_tensorflow(OPERATIONS_AT_ONCE)
    from shared import trained_models
    from shared.training_run import TrainingRun
    from vae_gan import evaluation, training
    from vae_gan.networks import build_networks

    folder = folder or run_folders.start("vae_gan", data_set, config, config.log_dir or log_dir, found.sha256)
    with TrainingRun(folder, config, found.sha256) as run:
        trained = training.train(config, found, run)
        networks = trained_models.in_float32(trained, build_networks, config)
        numbers = evaluation.evaluate(networks, config, found)
        trained_models.write_numbers(numbers, folder, run.step)
    print(evaluation.report(numbers))
    print(f"Pictures and log: {folder}")


if __name__ == "__main__":
    flags.run(main)
