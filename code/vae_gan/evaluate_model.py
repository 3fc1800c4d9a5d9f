"""Measures and shows a trained VAE-GAN. `python evaluate_model.py --help` lists the flags."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from shared import flags, run_folders
from vae_gan import data
from vae_gan.config import Config, architecture_of

LOG_DIR = SYSTEM_DIR / "log_dir"  # of each data set a folder in it
PUBLISHED = SYSTEM_DIR / "pretrained"
SIDE = 16  # of --sample


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of evaluate_model.py. Source: validate.py of the original, which has --arithmetic."""

    model_dir: Path | None = None
    """Folder of a run, or of published weights; default: the newest run on --data_set, else its published weights."""
    data_set: Literal["cns", "mnist"] = "cns"
    """Whose newest run; a model named by --model_dir knows its own."""
    iteration: int | None = None
    """Step of the checkpoint; default: the newest."""
    data_dir: Annotated[Path | None, tyro.conf.arg(aliases=("--datadir",))] = None
    """The data, as for training; default: the run's, else the user's cache."""
    unverified_data: bool = False
    """Take whatever data in MNIST's format --data_dir holds, without comparing its sha256."""
    arithmetic: Path | None = None
    """File of lines "A B C", such as arithmetic.txt beside this script: a picture of each A - B + C."""
    interpolate: bool = False
    """Held-out images in pairs, and ten images between the codes of each."""
    sample: bool = False
    """Images of codes of the prior."""
    sample_fitted: bool = False
    """Images of codes of a Gaussian fitted to the training images' codes, which leaves out what no image's code has."""
    reconstruct: bool = False
    """Held-out images, each beside its reconstruction."""
    embed: bool = False
    """Encodings, sprites and labels of 10,000 images for TensorBoard's projector."""
    evaluate: bool = False
    """Reconstruction errors and KL of held-out images, the Frechet distance of samples from them, and how many samples
    are like another; both also of codes as --sample_fitted draws them."""
    json: bool = False
    """Print the numbers of --evaluate as one JSON object, and nothing else, on standard output."""
    record: bool = False
    """Add the numbers of --model_dir, a run, to results.json."""
    publish: bool = False
    """The same, and keep its weights in pretrained/."""


def main() -> None:
    chosen = tyro.cli(Flags, description="Measures and shows a trained VAE-GAN.", use_underscores=True)
    known = ("arithmetic", "interpolate", "sample", "sample_fitted", "reconstruct", "embed")
    known += ("evaluate", "json", "record", "publish")
    wanted = {name for name in known if getattr(chosen, name)}
    flags.require(bool(wanted), f"nothing to do; add --{', --'.join(known)}")

    model_dir = run_folders.find_model(chosen.model_dir, LOG_DIR / chosen.data_set, PUBLISHED / chosen.data_set)
    data_set = run_folders.settings(model_dir)["data_set"]
    config = run_folders.config_to_evaluate(model_dir, "vae_gan", Config, chosen)
    if chosen.record or chosen.publish:
        run_folders.require_checkpoint(model_dir)
    published = PUBLISHED / data_set
    if chosen.publish:
        run_folders.require_publishable(model_dir, published)
    without = wanted & {"arithmetic", "interpolate", "sample_fitted", "reconstruct", "embed"}
    has_encoder = architecture_of(config).mode == "VAE-GAN"
    flags.require(has_encoder or not without, f"{model_dir} is a DC-GAN, without encoder: leave out {listed(without)}")
    found = None
    if wanted - {"sample"}:
        found = data.load(data_set, config)
        names, images = found.everything()
        digits = np.concatenate([found.held_out_labels, found.train_labels])
        shown_as = names if data_set == "cns" else digits.astype(str)

    flags.import_tensorflow()
    from shared import image_grids, trained_models
    from vae_gan import evaluation, pictures
    from vae_gan.networks import build_networks

    lines = evaluation.read_arithmetic(chosen.arithmetic, names) if chosen.arithmetic else []
    networks = build_networks(config)
    evaluated = networks[:3]  # published weights have no discriminator beyond its features
    step = trained_models.fill(evaluated, model_dir, chosen.iteration)
    output_dir = trained_models.output_dir(model_dir, LOG_DIR / data_set)
    print(f"Weights: {model_dir}, step {step}", file=sys.stderr)
    if found is not None:
        own_data = run_folders.check_data(model_dir, found.sha256, chosen.record or chosen.publish)

    if wanted & {"evaluate", "json", "record", "publish"}:
        numbers = evaluation.evaluate(networks, config, found)
        print(json.dumps(numbers) if chosen.json else evaluation.report(numbers))
        if own_data:
            trained_models.write_numbers(numbers, output_dir, step)
        if chosen.record or chosen.publish:
            trained_models.record(numbers, model_dir, step, SYSTEM_DIR / "results.json", published)
        if chosen.publish:
            trained_models.publish(evaluated, model_dir, step, published)
            trained_models.fill(evaluated, published)  # rounded: a fresh clone measures slightly other numbers
            trained_models.write_numbers(evaluation.evaluate(networks, config, found), published, step)

    drawn = {}
    if chosen.interpolate:
        drawn["interpolation"] = pictures.interpolation(networks, pictures.shown(found, 2 * pictures.PAIRS))
    if chosen.sample:
        drawn["samples"] = pictures.samples(networks, pictures.prior(config, SIDE**2))
    if chosen.sample_fitted:
        mean, covariance = pictures.code_moments(networks, found.train_images)
        drawn["samples_fitted"] = pictures.samples(networks, pictures.fitted(config, mean, covariance, SIDE**2))
    if chosen.reconstruct:
        drawn["reconstructions"] = pictures.reconstructions(networks, pictures.shown(found, pictures.RECONSTRUCTIONS))
    if chosen.arithmetic:
        for number, line in enumerate(lines):
            drawn[f"test-arith-{number}"] = pictures.arithmetic(networks, images[list(line)])
        results = [evaluation.arithmetic(networks, images, names, line) for line in lines]
        (output_dir / "samples").mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=2, ensure_ascii=False)
        (output_dir / "samples" / "arithmetic.json").write_text(text, encoding="utf-8")
        print(evaluation.arithmetic_report(results), file=sys.stderr if chosen.json else sys.stdout)
    if chosen.embed:
        evaluation.write_embedding(networks, images, shown_as, output_dir / "embedding")
        print(output_dir / "embedding", file=sys.stderr)
    for name, picture in drawn.items():
        image_grids.save(picture, output_dir / "samples" / f"{name}.png")
        print(output_dir / "samples" / f"{name}.png", file=sys.stderr)


def listed(names: set[str]) -> str:
    return ", ".join(f"--{name}" for name in sorted(names))


if __name__ == "__main__":
    flags.run(main)
