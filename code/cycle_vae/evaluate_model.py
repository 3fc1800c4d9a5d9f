"""Measures and shows a trained cycle-consistent VAE. `python evaluate_model.py --help` lists the flags."""

import contextlib
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import tyro

SYSTEM_DIR = Path(__file__).resolve().parent
sys.path.insert(0, str(SYSTEM_DIR.parent))

from cycle_vae.config import Config, DataSet
from shared import flags, run_folders
from shared.datasets import mnist, sprites

LOG_DIR = SYSTEM_DIR / "log_dir"
PUBLISHED = SYSTEM_DIR / "pretrained"


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of evaluate_model.py."""

    data_set: DataSet = "sprites"
    """Whose newest run, or published weights, where no --model_dir is given."""
    model_dir: Path | None = None
    """Folder of a run, or of published weights; default: the newest run, else the published weights."""
    iteration: int | None = None
    """Step of the checkpoint; default: the newest."""
    data_dir: Path | None = None
    """Folder that holds the data; default: the run's, else the user's cache, and for MNIST a download."""
    unverified_data: bool = False
    """Take whatever data in the same format --data_dir holds, without comparing its sha256."""
    style_transfer: bool = False
    """9 x 9 held-out images: s of the first row, z of the first column."""
    interpolate: bool = False
    """8 x 8 images between two held-out ones: s changes along a row, z down a column."""
    evaluate: bool = False
    """Every number: --classify and --predict."""
    quick_probes: bool = False
    """Identity, on sprites also attributes, animation and direction, from s and from z by probes of seconds each."""
    classify: bool = False
    """The same, and identity by both published protocols, whose probes take much longer; goes on where it stopped."""
    predict: bool = False
    """Predictors of s from z and of z from s: their errors, and reconstructions from the predicted code."""
    reconstruct: bool = False
    """Held-out images above their reconstructions."""
    probe_epochs: int | None = None
    """Cuts each probe and predictor short, whose own epochs take hours on sprites; what such give is not kept."""
    json: bool = False
    """Print the numbers just measured as one JSON object, and nothing else, on standard output; alone, those of
    --evaluate."""
    record: bool = False
    """Add the numbers of --model_dir, a run, to results.json, earlier ones too; of published weights, to their
    evaluation.json and to what results.json has of their run."""
    publish: bool = False
    """The same, and keep its weights in pretrained/."""


def main() -> None:
    chosen = tyro.cli(Flags, description="Measures and shows a trained cycle-consistent VAE.", use_underscores=True)
    known = ("style_transfer", "interpolate", "reconstruct", "quick_probes", "classify", "predict", "record", "publish")
    wanted = {name for name in known if getattr(chosen, name)}
    wanted |= {"classify", "predict"} if chosen.evaluate or (chosen.json and not wanted) else set()
    flags.require(bool(wanted), f"nothing to do; add --evaluate, --{', --'.join(known)} or --json")
    epochs = chosen.probe_epochs
    flags.require(epochs is None or epochs >= 1, f"--probe_epochs: expected 1 or more; got {epochs}")
    whole = epochs is None
    cut = "--record, --publish: leave out --probe_epochs; only whole probes are recorded"
    flags.require(whole or not (chosen.record or chosen.publish), cut)

    model_dir = run_folders.find_model(chosen.model_dir, LOG_DIR / chosen.data_set, PUBLISHED / chosen.data_set)
    config = run_folders.config_to_evaluate(model_dir, "cycle_vae", Config, chosen)
    # Only where they are named: a command that finds no run must not change what is published.
    named = chosen.model_dir is not None and not chosen.publish
    more_of_published = chosen.record and named and run_folders.is_published(model_dir)
    if more_of_published:
        run_folders.recorded_run(model_dir, SYSTEM_DIR / "results.json")  # refuses now, and not in hours
    elif chosen.record or chosen.publish:
        run_folders.require_checkpoint(model_dir)
    published = PUBLISHED / config.data_set
    if chosen.publish:
        run_folders.require_publishable(model_dir, published)
    load = {"sprites": sprites.load, "mnist": mnist.load}[config.data_set]
    data = load(config.data_dir, unverified=config.unverified_data)

    flags.import_tensorflow()
    from cycle_vae import evaluation, pictures
    from cycle_vae.networks import build_networks
    from shared import image_grids, trained_models

    networks = build_networks(config)
    step = trained_models.fill(networks, model_dir, chosen.iteration)
    output_dir = trained_models.output_dir(model_dir, LOG_DIR / config.data_set)
    numbers_dir = model_dir if more_of_published else output_dir
    digest = evaluation.digest(networks.encoder)
    # What does not lie beside its weights says whose it is: as many steps may be another run's.
    label = {} if numbers_dir == model_dir else {"encoder": digest}
    earlier = evaluation.earlier_numbers(numbers_dir, step=step, **label)
    if more_of_published:  # also what was measured of them without being recorded
        earlier = evaluation.earlier_numbers(output_dir, step=step, encoder=digest) | earlier
    print(f"Weights: {model_dir}, step {step}", file=sys.stderr)
    own_data = run_folders.check_data(model_dir, data.sha256, chosen.record or chosen.publish)
    kept = whole and own_data
    labelled = evaluation.labelled(data)

    def keep(found: dict[str, float]) -> None:
        if kept:
            trained_models.write_numbers(label | earlier | found, numbers_dir, step)

    numbers, drawn = {}, {}
    if wanted & {"quick_probes", "classify", "record", "publish"}:
        numbers |= evaluation.quick_probes(networks, config, labelled, epochs)
    if "classify" in wanted:
        keep(numbers)  # now and after each probe, as what comes next may take hours
        unfinished = output_dir / "probes" / digest if kept else None
        for found in evaluation.classify(networks, config, labelled, epochs, earlier if kept else {}, unfinished):
            numbers |= found
            keep(numbers)
        if unfinished:
            shutil.rmtree(unfinished, ignore_errors=True)
            with contextlib.suppress(OSError):
                unfinished.parent.rmdir()  # where no probe of other weights is unfinished
    if "predict" in wanted:
        errors, predictors = evaluation.predictors(networks, config, labelled, epochs)
        numbers |= errors
        if whole:
            unseen = evaluation.held_out(evaluation.unseen_by_predictors(labelled), config.seed, 8)
            drawn |= pictures.predictions(networks, *predictors, unseen)
    if numbers:
        keep(numbers)
    if chosen.json:
        print(json.dumps(numbers))
    elif numbers:
        print(evaluation.report(numbers))
    if more_of_published:
        trained_models.record_more(earlier | numbers, model_dir, SYSTEM_DIR / "results.json")
    elif chosen.record or chosen.publish:
        trained_models.record(earlier | numbers, model_dir, step, SYSTEM_DIR / "results.json", published)
    if chosen.publish:
        trained_models.publish(networks, model_dir, step, published)
        trained_models.fill(networks, published)  # rounded: the pictures are to be those of a fresh clone
        of_rounded = evaluation.quick_probes(networks, config, labelled)
        trained_models.write_numbers(earlier | numbers | of_rounded, published, step)

    if chosen.style_transfer:
        drawn["style_transfer"] = pictures.style_transfer(networks, evaluation.held_out(labelled, config.seed, 16))
    if chosen.interpolate:
        drawn["interpolation"] = pictures.interpolation(networks, evaluation.held_out(labelled, config.seed, 2))
    if chosen.reconstruct:
        drawn["reconstructions"] = pictures.reconstructions(networks, evaluation.held_out(labelled, config.seed, 16))
    for name, picture in drawn.items():
        image_grids.save(picture, output_dir / "samples" / f"{name}.png")
        print(output_dir / "samples" / f"{name}.png", file=sys.stderr)


if __name__ == "__main__":
    flags.run(main)
