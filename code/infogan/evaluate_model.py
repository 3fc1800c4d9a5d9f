"""Measures and shows a trained InfoGAN. `python evaluate_model.py --help` lists the flags."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from infogan.config import Config
from shared import flags, run_folders
from shared.datasets import mnist

LOG_DIR = SYSTEM_DIR / "log_dir" / "mnist"
PUBLISHED = SYSTEM_DIR / "pretrained" / "paper"


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of evaluate_model.py. Source: examples/gans.py of tf-gans (--generate, --load)."""

    model_dir: Path | None = None
    """Folder of a run, or of published weights; default: the newest run, else the published weights."""
    iteration: Annotated[int | None, tyro.conf.arg(aliases=["--load"])] = None
    """Step of the checkpoint; default: the newest."""
    data_dir: Path | None = None
    """Folder (or .npz file) that holds MNIST; default: the run's, else the user's cache, else a download."""
    unverified_data: bool = False
    """Take whatever data in the same format --data_dir holds, without comparing its sha256."""
    evaluate: bool = False
    """Accuracy of the categorical code as a classifier of the test images, and the bound."""
    generate: bool = False
    """Random samples, and a row for each class of the categorical code."""
    traverse: bool = False
    """Each continuous code from -2 to 2."""
    interpolate: bool = False
    """Rows from one generated image to another."""
    json: bool = False
    """Print the numbers of --evaluate as one JSON object, and nothing else, on standard output."""
    record: bool = False
    """Add the numbers of --model_dir, a run, to results.json."""
    publish: bool = False
    """The same, and keep its weights in pretrained/."""


def main() -> None:
    chosen = tyro.cli(Flags, description="Measures and shows a trained InfoGAN.", use_underscores=True)
    wanted = ("evaluate", "generate", "traverse", "interpolate", "json", "record", "publish")
    flags.require(any(getattr(chosen, name) for name in wanted), f"nothing to do; add --{', --'.join(wanted)}")

    model_dir = run_folders.find_model(chosen.model_dir, LOG_DIR, PUBLISHED)
    config = run_folders.config_to_evaluate(model_dir, "infogan", Config, chosen)
    if chosen.record or chosen.publish:
        run_folders.require_checkpoint(model_dir)
    published = SYSTEM_DIR / "pretrained" / config.preset
    if chosen.publish:
        run_folders.require_publishable(model_dir, published)
    data = None
    if chosen.evaluate or chosen.json or chosen.record or chosen.publish:
        data = mnist.load(config.data_dir, unverified=config.unverified_data)

    flags.import_tensorflow()
    from infogan import evaluation, pictures
    from infogan.networks import build_networks
    from shared import image_grids, trained_models

    networks = build_networks(config)
    step = trained_models.fill(networks, model_dir, chosen.iteration)
    output_dir = trained_models.output_dir(model_dir, LOG_DIR)
    print(f"Weights: {model_dir}, step {step}", file=sys.stderr)
    if data is not None:
        own_data = run_folders.check_data(model_dir, data.sha256, chosen.record or chosen.publish)
        numbers = evaluation.evaluate(networks, config, data)
        print(json.dumps(numbers) if chosen.json else evaluation.report(numbers))
        if own_data:
            trained_models.write_numbers(numbers, output_dir, step)
        if chosen.record or chosen.publish:
            metrics = {name: numbers[name] for name in ("accuracy", "mutual_information_bound") if name in numbers}
            trained_models.record(metrics, model_dir, step, SYSTEM_DIR / "results.json", published)
        if chosen.publish:
            trained_models.publish(networks, model_dir, step, published)
            trained_models.fill(networks, published)  # rounded: what a fresh clone measures may differ by an image
            trained_models.write_numbers(evaluation.evaluate(networks, config, data), published, step)

    drawn = {}
    if chosen.generate:
        drawn["random_sampling"] = pictures.random_sampling(networks, config)
        for k in range(len(config.categorical_sizes)):
            drawn[f"vary_discrete_{k}"] = pictures.vary_discrete(networks, config, k)
    if chosen.traverse:
        for k in range(config.num_continuous):
            drawn[f"interp_cont_{k}"] = pictures.vary_continuous(networks, config, k, limit=2.0)
    if chosen.interpolate:
        drawn["interpolate"] = pictures.interpolate(networks, config)
    for name, picture in drawn.items():
        image_grids.save(picture, output_dir / "samples" / f"{name}.png")
        print(output_dir / "samples" / f"{name}.png", file=sys.stderr)


if __name__ == "__main__":
    flags.run(main)
