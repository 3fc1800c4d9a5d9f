"""Measures and shows trained networks. `python evaluate_model.py --help` lists the flags."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from image_translation.config import DIGITS, Config, require_judge
from shared import flags, run_folders
from shared.datasets import mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"
PUBLISHED = SYSTEM_DIR / "pretrained" / "default"
PUBLISHED_JUDGE = SYSTEM_DIR / "pretrained" / "judge"
RECORDED = ("encoder_accuracy", "generator_accuracy", "judge_accuracy")
RECORDED += ("classification_score", "classification_score_of_training_images")


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of evaluate_model.py. Source: evaluate_model.py of the original."""

    model_dir: Path | None = None
    """Folder of a run, or of published weights; default: the newest run, else the published weights."""
    iteration: int | None = None
    """Step of the checkpoint; default: that of the best generator accuracy, else the newest."""
    data_dir: Path | None = None
    """Folder (or .npz file) that holds MNIST; default: the run's, else the user's cache, else a download."""
    unverified_data: bool = False
    """Take whatever data in the same format --data_dir holds, without comparing its sha256."""
    evaluate: bool = False
    """Accuracy of the encoder on the test images, and of the generator as the judge sees it."""
    generate: bool = False
    """New images: of each digit, and along each continuous code."""
    translate: bool = False
    """Test images turned into each digit, and with each continuous code at -1, 0 and 1."""
    interpolate: bool = False
    """Ten ways from a test image of one digit to one of another."""
    start_digit: int | None = None
    """Where --interpolate starts, 0 to 9; asked for if not given."""
    end_digit: int | None = None
    """Where it ends."""
    reconstruct: bool = False
    """A test image of each digit above G(E(x))."""
    classification_score: bool = False
    """What --evaluate measures, and the accuracy on the test images of a classifier that learnt from generated ones
    alone, and of one that learnt from the training images; takes minutes."""
    json: bool = False
    """Print the numbers of --evaluate as one JSON object, and nothing else, on standard output."""
    record: bool = False
    """Add the numbers of --model_dir, a run, to results.json."""
    publish: bool = False
    """The same, and keep its weights, and its judge's, in pretrained/."""


def main() -> None:
    chosen = tyro.cli(Flags, description="Measures and shows trained networks.", use_underscores=True)
    known = ("evaluate", "generate", "translate", "interpolate", "reconstruct", "classification_score")
    known += ("json", "record", "publish")
    wanted = {name for name in known if getattr(chosen, name)}
    flags.require(bool(wanted), f"nothing to do; add --{', --'.join(known)}")
    start_digit, end_digit = chosen.start_digit, chosen.end_digit
    recorded = chosen.record or chosen.publish
    flags.require(chosen.iteration is None or not recorded, "--record, --publish: leave out --iteration")
    if chosen.interpolate or start_digit is not None or end_digit is not None:
        flags.require(chosen.interpolate, "--start_digit, --end_digit: of --interpolate, which is not there")
        start_digit, end_digit = digit("start_digit", start_digit), digit("end_digit", end_digit)

    model_dir = run_folders.find_model(chosen.model_dir, LOG_DIR, PUBLISHED)
    config = run_folders.config_to_evaluate(model_dir, "image_translation", Config, chosen)
    if recorded:
        run_folders.require_checkpoint(model_dir)
    if chosen.publish:
        run_folders.require_publishable(model_dir, PUBLISHED)
        its_judge = run_folders.settings(require_judge(model_dir / "judge"))
        whole = its_judge["steps"] >= its_judge["config"]["max_iter"]
        flags.require(whole, f"--publish: {model_dir} has a judge that --max_steps cut short")
    data = None
    if wanted - {"generate"}:
        data = mnist.load(config.data_dir, unverified=config.unverified_data)

    flags.import_tensorflow()
    from image_translation import classifier, evaluation, pictures
    from image_translation.networks import build_networks
    from shared import checkpoints, image_grids, trained_models

    networks = build_networks(config)
    evaluated = networks[:2]  # generator and encoder: published weights have no discriminator
    step = trained_models.fill(evaluated, model_dir, chosen.iteration)
    output_dir = trained_models.output_dir(model_dir, LOG_DIR)
    print(f"Weights: {model_dir}, step {step}", file=sys.stderr)
    if data is not None:
        own_data = run_folders.check_data(model_dir, data.sha256, recorded)

    if wanted & {"evaluate", "classification_score", "json", "record", "publish"}:
        is_published = run_folders.is_published(model_dir)
        judge_dir = require_judge(PUBLISHED_JUDGE if is_published else model_dir / "judge")
        judge = classifier.load(judge_dir)
        numbers = evaluation.evaluate(networks, config, data, judge)
        if chosen.classification_score:
            numbers |= evaluation.classification_scores(networks, config, data)
        print(json.dumps(numbers) if chosen.json else evaluation.report(numbers))
        if own_data:
            trained_models.write_numbers(numbers, output_dir, step)
        if recorded:
            metrics = {name: numbers[name] for name in RECORDED if name in numbers}
            metrics |= {"best_step": step}
            trained = checkpoints.find(model_dir / "checkpoints").step  # the run's length; the best may be earlier
            trained_models.record(metrics, model_dir, trained, SYSTEM_DIR / "results.json", PUBLISHED)
        if chosen.publish:
            trained_models.publish(evaluated, model_dir, step, PUBLISHED)
            if judge_dir != PUBLISHED_JUDGE:
                shutil.copytree(judge_dir, PUBLISHED_JUDGE, dirs_exist_ok=True)
            trained_models.fill(evaluated, PUBLISHED)  # rounded: what a fresh clone measures may differ by an image
            numbers = evaluation.evaluate(networks, config, data, judge)
            trained_models.write_numbers(numbers, PUBLISHED, step)

    drawn = {}
    if chosen.generate:
        drawn |= pictures.generated(networks, config)
    if chosen.translate:
        drawn |= pictures.translations(networks, config, data)
    if chosen.interpolate:
        name = f"mnist_class_interpolation_{start_digit}_{end_digit}"
        drawn[name] = pictures.interpolation(networks, config, data, start_digit, end_digit)
    if chosen.reconstruct:
        drawn["reconstructions"] = pictures.reconstructions(networks, config, data)
    for name, picture in drawn.items():
        image_grids.save(picture, output_dir / "samples" / f"{name}.png")
        print(output_dir / "samples" / f"{name}.png", file=sys.stderr)


def digit(name: str, given: int | None) -> int:
    """The digit of a flag, or the one typed when asked for it.

    Raises:
        UserError: it is not one of 0 to 9.
    """
    answer = given
    if answer is None:
        print(f"{name.replace('_', ' ').capitalize()}, 0 to {DIGITS - 1}:", file=sys.stderr)
        answer = sys.stdin.readline().strip()
    allowed = [str(number) for number in range(DIGITS)]
    flags.require(str(answer) in allowed, f"--{name}: expected 0 to {DIGITS - 1}; got {answer!r}")
    return int(answer)


if __name__ == "__main__":
    flags.run(main)
