"""Trains the judge, the classifier of digits that says how many generated images show what they should."""

import shutil
import sys
from pathlib import Path

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from image_translation.config import CLASSIFIER_PRESETS
from shared import flags, run_folders
from shared.datasets import batches, mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "judge"
PUBLISHED = SYSTEM_DIR / "pretrained" / "judge"
NAME = "image_translation_judge"


def main() -> None:
    # TensorFlow is imported once flags and data are known to be good: a mistake is answered at once.
    description = "Trains the judge of image generation and translation on MNIST."
    config, folder = run_folders.parse_flags(NAME, CLASSIFIER_PRESETS, LOG_DIR, description)
    data = mnist.load(config.data_dir, unverified=config.unverified_data)
    split = mnist.split(data, config.validation)
    batches.steps_per_epoch(len(split.train_images), config.batch_size)  # refuses a batch larger than the data
    if config.publish:
        whole = config.max_steps is None or config.max_steps >= config.max_iter
        flags.require(whole, "--publish: a judge that --max_steps cuts short is not published")
        same = not PUBLISHED.is_dir() or run_folders.settings(PUBLISHED)["data_sha256"] == data.sha256
        flags.require(same, f"--publish: {PUBLISHED} is the judge of other data")

    flags.import_tensorflow()
    from image_translation import classifier
    from shared import trained_models
    from shared.training_run import TrainingRun

    folder = folder or run_folders.start(NAME, "mnist", config, config.log_dir or LOG_DIR, data.sha256)
    with TrainingRun(folder, config, data.sha256) as run:
        judge = classifier.train(config, split, run)
        kept = folder / "judge"
        trained_models.publish([judge], folder, run.step, kept)
        judge = classifier.load(kept)  # rounded, as it will judge
        numbers = {
            "judge_accuracy": classifier.accuracy(judge, data.test_images, data.test_labels),
            "validation_accuracy": classifier.accuracy(judge, split.validation_images, split.validation_labels),
            "minutes": round(run.minutes, 1),
        }
        trained_models.write_numbers(numbers, kept, run.step)
    if config.publish:
        shutil.copytree(kept, PUBLISHED, dirs_exist_ok=True)
    print("Judge's test accuracy: {judge_accuracy:.2%} (validation {validation_accuracy:.2%})".format_map(numbers))
    print(f"Weights: {kept}" if not config.publish else f"Weights: {PUBLISHED}")


if __name__ == "__main__":
    flags.run(main)
