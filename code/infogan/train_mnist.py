"""Trains InfoGAN on MNIST. `python train_mnist.py --help` lists the flags."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from infogan.config import PRESETS, Config
from shared import flags
from shared.datasets import mnist


def main() -> None:
    # TensorFlow is imported once the flags are read: --help and a mistyped flag answer at once.
    def saved_config(resume: str, preset: Config) -> Config:
        from shared import training_run

        return training_run.saved_config(training_run.to_resume(resume, log_dir(preset)), "infogan", Config)

    config = flags.parse(Config, PRESETS, "Trains InfoGAN on MNIST.", saved_config)
    data = mnist.load(config.data_dir, unverified=config.unverified_data)

    from infogan import evaluation, training
    from shared import trained_models
    from shared.training_run import TrainingRun, to_resume

    if config.resume is None:
        run = TrainingRun.start("infogan", "mnist", config, log_dir(config), data.sha256)
    else:
        run = TrainingRun.resume(to_resume("".join(config.resume), log_dir(config)), config)
    with run:
        networks = training.train(config, data.train_images, run)
        numbers = evaluation.evaluate(networks, config, data)
        trained_models.write_numbers(numbers, run.folder, run.step)
        print(evaluation.report(numbers))
    print(f"Pictures and log: {run.folder}")


def log_dir(config: Config) -> Path:
    return config.log_dir or SYSTEM_DIR / "log_dir" / "mnist"


if __name__ == "__main__":
    flags.run(main)
