"""Trains the VAE-GAN on MNIST, its digits padded to 32 x 32."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from shared import flags, run_folders
from vae_gan import data
from vae_gan.config import OPERATIONS_AT_ONCE, PRESETS, with_architecture

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"


def main() -> None:
    # TensorFlow is imported once flags and data are known to be good: a mistake is answered at once.
    config, folder = run_folders.parse_flags("vae_gan", PRESETS, LOG_DIR, str(__doc__))
    config = with_architecture(config)
    found = data.load("mnist", config)

    flags.import_tensorflow(OPERATIONS_AT_ONCE)
    from shared import trained_models
    from shared.training_run import TrainingRun
    from vae_gan import evaluation, training
    from vae_gan.networks import build_networks

    folder = folder or run_folders.start("vae_gan", "mnist", config, config.log_dir or LOG_DIR, found.sha256)
    with TrainingRun(folder, config, found.sha256) as run:
        trained = training.train(config, found, run)
        networks = trained_models.in_float32(trained, build_networks, config)
        numbers = evaluation.evaluate(networks, config, found)
        trained_models.write_numbers(numbers, folder, run.step)
    print(evaluation.report(numbers))
    print(f"Pictures and log: {folder}")


if __name__ == "__main__":
    flags.run(main)
