"""Trains the cycle-consistent VAE on 2D Sprites."""

import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from cycle_vae import pairs
from cycle_vae.config import OPERATIONS_AT_ONCE, PRESETS, Config
from cycle_vae.pairs import PairedImages
from shared import flags, run_folders
from shared.datasets import sprites
from shared.datasets.mnist import Mnist
from shared.datasets.sprites import Sprites

LOG_DIR = SYSTEM_DIR / "log_dir" / "sprites"


def main() -> None:
    presets = {"default": PRESETS["sprites"]}
    config, folder = run_folders.parse_flags("cycle_vae", presets, LOG_DIR, str(__doc__))
    flags.require(config.data_set == "sprites", f"--resume: {folder} is a run of train_{config.data_set}.py")
    data = sprites.load(config.data_dir, unverified=config.unverified_data)
    size = data.frames.shape[2:4]
    flags.require(
        size == (config.image_size, config.image_size),
        f"--filters {config.filters} make images of {config.image_size} pixels; the frames have {size}",
    )
    train_characters, _ = sprites.split(len(data.characters))
    train_on(data, pairs.of_sprites(data, train_characters, config.seed), config, folder, LOG_DIR)


def train_on(data: Sprites | Mnist, paired: PairedImages, config: Config, folder: Path | None, log_dir: Path) -> None:
    """What either training script does with its data: trains, measures z's leak, and says how it went."""
    pairs.steps_per_epoch(paired, config.batch_size)  # refuses a batch larger than the data

    # TensorFlow is imported once flags and data are known to be good: a mistake is answered at once.
    flags.import_tensorflow(OPERATIONS_AT_ONCE)
    from cycle_vae import evaluation, training
    from cycle_vae.networks import build_networks
    from shared import trained_models
    from shared.training_run import TrainingRun

    folder = folder or run_folders.start("cycle_vae", config.data_set, config, config.log_dir or log_dir, data.sha256)
    with TrainingRun(folder, config, data.sha256) as run:
        trained = training.train(config, paired, run)
        networks = trained_models.in_float32(trained, build_networks, config)
        numbers = evaluation.quick_probes(networks, config, evaluation.labelled(data))
        earlier = evaluation.earlier_numbers(folder, step=run.step)  # where nothing was left to train
        trained_models.write_numbers(earlier | numbers, folder, run.step)
    print(evaluation.report(numbers))
    print(f"Pictures and log: {folder}")


if __name__ == "__main__":
    flags.run(main)
