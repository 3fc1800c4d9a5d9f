"""Trains image generation and translation on MNIST with a few labels."""

import shutil
import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from image_translation import labelled_images
from image_translation.config import OPERATIONS_AT_ONCE, PRESETS, WITHOUT_EFFECT, require_judge
from shared import flags, run_folders
from shared.datasets import batches, mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"
PUBLISHED_JUDGE = SYSTEM_DIR / "pretrained" / "judge"


def main() -> None:
    # TensorFlow is imported once flags, data and judge are known to be good: a mistake is answered at once.
    description = "Trains image generation and translation on MNIST with a few labels."
    config, folder = run_folders.parse_flags("image_translation", PRESETS, LOG_DIR, description)
    for name in WITHOUT_EFFECT:
        if getattr(config, name) != getattr(PRESETS["default"], name):
            print(f"--{name} has no effect", file=sys.stderr)
    data = mnist.load(config.data_dir, unverified=config.unverified_data)
    digits = mnist.split(data, config.validation).train_labels
    labelled = labelled_images.choose(digits, config.num_samples, config.seed)  # refuses more than there are
    batches.steps_per_epoch(len(digits) - len(labelled), config.batch_size)  # refuses a batch larger than the data
    judge_folder = require_judge(folder / "judge" if folder else config.judge or PUBLISHED_JUDGE)
    same = run_folders.settings(judge_folder)["data_sha256"] == data.sha256
    how = "train one on these with train_classifier.py, and name it with --judge"
    flags.require(same or folder is not None, f"{judge_folder} is the judge of other data; {how}")

    flags.import_tensorflow(OPERATIONS_AT_ONCE)
    from image_translation import classifier, evaluation, training
    from image_translation.networks import build_networks
    from shared import trained_models
    from shared.training_run import TrainingRun

    judge = classifier.load(judge_folder)
    right = classifier.accuracy(judge, data.test_images, data.test_labels)
    print(f"Judge: {judge_folder}, test accuracy {right:.2%}", file=sys.stderr)
    if folder is None:
        folder = run_folders.start("image_translation", "mnist", config, config.log_dir or LOG_DIR, data.sha256)
        shutil.copytree(judge_folder, folder / "judge")  # whatever happens to the other, this run has one judge
    with TrainingRun(folder, config, data.sha256) as run:
        trained = training.train(config, data, run, judge)
        networks = trained_models.in_float32(trained, build_networks, config)
        step = trained_models.fill(networks[:2], folder)  # the best
        numbers = evaluation.evaluate(networks, config, data, judge)
        trained_models.write_numbers(numbers, folder, step)
    print(evaluation.report(numbers))
    chosen = "the best" if (folder / "best").is_dir() else "the newest: none was chosen as the best yet"
    print(f"Weights of step {step}, {chosen}; pictures and log: {folder}")


if __name__ == "__main__":
    flags.run(main)
