"""Trains InfoGAN on MNIST."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from infogan.config import OPERATIONS_AT_ONCE, PRESETS
from shared import flags, run_folders
from shared.datasets import batches, mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"


def main() -> None:
    # TensorFlow is imported once flags and data are known to be good: a mistake is answered at once.
    config, folder = run_folders.parse_flags("infogan", PRESETS, LOG_DIR, "Trains InfoGAN on MNIST.")
    data = mnist.load(config.data_dir, unverified=config.unverified_data)
    # This refuses a batch larger than the data.
    planned = config.max_epochs * batches.steps_per_epoch(len(data.train_images), config.batch_size)
    typed = any(word.split("=")[0] in ("--max_epochs", "--max-epochs", "--maxepoch") for word in sys.argv)
    if typed and config.max_steps == PRESETS[config.preset].max_steps and planned > (config.max_steps or planned):
        print(
            f"--max_steps {config.max_steps} ends it before epoch {config.max_epochs}: add --max_steps {planned}",
            file=sys.stderr,
        )

    flags.import_tensorflow(OPERATIONS_AT_ONCE)
    from infogan import evaluation, training
    from infogan.networks import build_networks
    from shared import trained_models
    from shared.training_run import TrainingRun

    folder = folder or run_folders.start("infogan", "mnist", config, config.log_dir or LOG_DIR, data.sha256)
    with TrainingRun(folder, config, data.sha256) as run:
        trained = training.train(config, data.train_images, run)
        networks = trained_models.in_float32(trained, build_networks, config)
        numbers = evaluation.evaluate(networks, config, data)
        trained_models.write_numbers(numbers, folder, run.step)
    print(evaluation.report(numbers))
    print(f"Pictures and log: {folder}")


if __name__ == "__main__":
    flags.run(main)
