"""Measures and shows a trained Bidirectional InfoGAN. `python evaluate_model.py --help` lists the flags."""

import dataclasses
import json
import sys
from pathlib import Path

import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from bi_infogan.config import Config
from shared import flags, run_folders
from shared.datasets import mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"
PUBLISHED = SYSTEM_DIR / "pretrained" / "default"
RECORDED = ("accuracy", "mutual_information_bound", "classification_score", "classification_score_of_training_images")


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of evaluate_model.py. Source: evaluate_model.py of the original."""

    model_dir: Path | None = None
    """Folder of a run, or of published weights; default: the newest run, else the published weights."""
    iteration: int | None = None
    """Step of the checkpoint; default: the newest."""
    data_dir: Path | None = None
    """Folder (or .npz file) that holds MNIST; default: the run's, else the user's cache, else a download."""
    unverified_data: bool = False
    """Take whatever data in the same format --data_dir holds, without comparing its sha256."""
    evaluate: bool = False
    """Accuracy of the categorical code as a classifier of the test images, and the bound."""
    map_encodings: bool = False
    """Write encodings.txt, the category of each digit, as training labels have it, unless it was written by hand."""
    sample: bool = False
    """Test images of each digit, and those with the smallest and largest values of each continuous code."""
    reconstruct: bool = False
    """Test images of each class beside G(E(x))."""
    generate: bool = False
    """New images, a column for each class of the categorical code."""
    wrongly_classified: bool = False
    """The test images that are called another digit than theirs, and how many they are."""
    classification_score: bool = False
    """What --evaluate measures, and the accuracy on the test images of a classifier that learnt from generated ones
    alone, and of one that learnt from the training images; takes minutes."""
    json: bool = False
    """Print the numbers of --evaluate as one JSON object, and nothing else, on standard output."""
    record: bool = False
    """Add the numbers of --model_dir, a run, to results.json."""
    publish: bool = False
    """The same, and keep its weights in pretrained/."""


def main() -> None:
    chosen = tyro.cli(Flags, description="Measures and shows a trained Bidirectional InfoGAN.", use_underscores=True)
    known = ("evaluate", "map_encodings", "sample", "reconstruct", "generate", "wrongly_classified")
    known += ("classification_score", "json", "record", "publish")
    wanted = {name for name in known if getattr(chosen, name)}
    flags.require(bool(wanted), f"nothing to do; add --{', --'.join(known)}")

    model_dir = run_folders.find_model(chosen.model_dir, LOG_DIR, PUBLISHED)
    config = run_folders.config_to_evaluate(model_dir, "bi_infogan", Config, chosen)
    of_categories = wanted & {"map_encodings", "sample", "generate", "wrongly_classified", "classification_score"}
    mappable = bool(config.categorical_sizes) or not of_categories
    flags.require(mappable, f"--{', --'.join(sorted(of_categories))}: {model_dir} has no categorical code")
    if chosen.record or chosen.publish:
        run_folders.require_checkpoint(model_dir)
    if chosen.publish:
        run_folders.require_publishable(model_dir, PUBLISHED)
    data = None
    if wanted - {"generate"}:
        data = mnist.load(config.data_dir, unverified=config.unverified_data)

    flags.import_tensorflow()
    from bi_infogan import evaluation, pictures
    from bi_infogan.networks import build_networks
    from shared import image_grids, trained_models

    networks = build_networks(config)
    evaluated = networks[:2]  # generator and encoder: published weights have no discriminator
    step = trained_models.fill(evaluated, model_dir, chosen.iteration)
    output_dir = trained_models.output_dir(model_dir, LOG_DIR)
    print(f"Weights: {model_dir}, step {step}", file=sys.stderr)
    if data is not None:
        own_data = run_folders.check_data(model_dir, data.sha256, chosen.record or chosen.publish)

    classifier = None
    if wanted - {"generate", "reconstruct"}:
        by_hand = model_dir / evaluation.ENCODINGS  # what is written here goes to output_dir, beside published weights
        map_dir = model_dir if by_hand.exists() else output_dir
        classifier = evaluation.classifier(networks, config, data, map_dir, own_data)
    if wanted & {"evaluate", "classification_score", "json", "record", "publish"}:
        numbers = evaluation.evaluate(networks, config, data, classifier)
        if chosen.classification_score:
            numbers |= evaluation.classification_scores(networks, config, data, classifier)
        print(json.dumps(numbers) if chosen.json else evaluation.report(numbers))
        if own_data:
            trained_models.write_numbers(numbers, output_dir, step)
        if chosen.record or chosen.publish:
            metrics = {name: numbers[name] for name in RECORDED if name in numbers}
            trained_models.record(metrics, model_dir, step, SYSTEM_DIR / "results.json", PUBLISHED)
        if chosen.publish:
            trained_models.publish(evaluated, model_dir, step, PUBLISHED)
            # What a fresh clone measures: rounded weights, mapped anew.
            trained_models.fill(evaluated, PUBLISHED)
            published_output = trained_models.output_dir(PUBLISHED, LOG_DIR)
            for folder in (PUBLISHED, published_output):
                evaluation.forget_map(folder)
            published_classifier = evaluation.classifier(networks, config, data, published_output)
            numbers = evaluation.evaluate(networks, config, data, published_classifier)
            trained_models.write_numbers(numbers, PUBLISHED, step)

    drawn = {}
    if chosen.sample:
        drawn |= evaluation.sample(networks, config, data.test_images, classifier)
    if chosen.wrongly_classified:
        digits = evaluation.predict(networks, data.test_images, classifier)
        drawn["wrongly_classified"] = pictures.wrongly_classified(data.test_images, digits, data.test_labels)
        number = f"Wrongly classified: {sum(digits != data.test_labels)} of {len(digits)} test images"
        print(number, file=sys.stderr if chosen.json else sys.stdout)
    if chosen.reconstruct:
        drawn["samples_reconstruction"] = pictures.sample_reconstructions(
            networks, data.test_images, data.test_labels, config.seed
        )
    if chosen.generate:
        for k in range(len(config.categorical_sizes)):
            name = "generated_imgs_categorical" + (f"_{k + 1}" if k else "")
            drawn[name] = pictures.vary_discrete(networks, config, k)
    for name, picture in drawn.items():
        image_grids.save(picture, output_dir / "samples" / f"{name}.png")
        print(output_dir / "samples" / f"{name}.png", file=sys.stderr)


if __name__ == "__main__":
    flags.run(main)
