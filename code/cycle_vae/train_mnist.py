"""Trains the cycle-consistent VAE on MNIST."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from cycle_vae import pairs
from cycle_vae.config import OPERATIONS_AT_ONCE, PRESETS
from shared import flags, run_folders
from shared.datasets import mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"


def main() -> None:
    # TensorFlow is imported once flags and data are known to be good: a mistake is answered at once.
    presets = {"default": PRESETS["mnist"]}
    config, folder = run_folders.parse_flags("cycle_vae", presets, LOG_DIR, "Trains the cycle-consistent VAE on MNIST.")
    flags.require(config.data_set == "mnist", f"--resume: {folder} is a run of train_{config.data_set}.py")
    data = mnist.load(config.data_dir, unverified=config.unverified_data)
    size = mnist.IMAGE_SHAPE[0]
    flags.require(
        config.image_size == size, f"--filters {config.filters} make images of {config.image_size} pixels, not {size}"
    )
    paired = pairs.of_mnist(data)
    pairs.steps_per_epoch(paired, config.batch_size)  # refuses a batch larger than the data

    flags.import_tensorflow(OPERATIONS_AT_ONCE)
    from cycle_vae import evaluation, training
    from cycle_vae.networks import build_networks
    from shared import trained_models
    from shared.training_run import TrainingRun

    folder = folder or run_folders.start("cycle_vae", "mnist", config, config.log_dir or LOG_DIR, data.sha256)
    with TrainingRun(folder, config, data.sha256) as run:
        trained = training.train(config, paired, run)
        networks = trained_models.in_float32(trained, build_networks, config)
        numbers = evaluation.quick_probes(networks, config, evaluation.labelled_mnist(data))
        earlier = evaluation.earlier_numbers(folder, run.step)  # where nothing was left to train
        trained_models.write_numbers(earlier | numbers, folder, run.step)
    print(evaluation.report(numbers))
    print(f"Pictures and log: {folder}")


if __name__ == "__main__":
    flags.run(main)
