"""Writes what is made from the code and from results.json: architectures/*.md, and the tables in the READMEs."""

import argparse
import dataclasses
import importlib
import json
import math
import shlex
import statistics
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, get_type_hints

CODE = Path(__file__).resolve().parent
ROOT = CODE.parent
sys.path.insert(0, str(CODE))

from shared import files, flags, run_folders
from shared.flags import RunFlags, require

# What the tables show of each system.
METRICS = {
    "infogan": ("accuracy", "mutual_information_bound"),
    "bi_infogan": ("accuracy", "mutual_information_bound", "classification_score"),
    "image_translation": ("encoder_accuracy", "generator_accuracy", "judge_accuracy", "classification_score"),
    "vae_gan": ("pixel_error", "feature_error", "kl", "frechet_distance"),
    "cycle_vae": ("s_accuracy", "z_accuracy", "quick_s_accuracy", "quick_z_accuracy", "z_to_s_error", "s_to_z_error"),
}
# Published figures by system, data set and metric, and where they stand.
PUBLISHED = {
    ("infogan", "mnist", "accuracy"): (0.95, "arXiv 1606.03657"),
    ("bi_infogan", "mnist", "accuracy"): (0.9699, "arXiv 1803.02627, best model"),
    ("cycle_vae", "mnist", "s_accuracy"): (0.9835, "arXiv 1804.10469"),
    ("cycle_vae", "mnist", "z_accuracy"): (0.1756, "arXiv 1804.10469"),
    ("cycle_vae", "sprites", "s_accuracy"): (0.6778, "the sprites program, best epoch, on its own data"),
    ("cycle_vae", "sprites", "z_accuracy"): (0.0025, "the sprites program, best epoch, on its own data"),
    ("cycle_vae", "sprites", "z_to_s_error"): (0.0991, "the sprites program, best epoch, on its own data"),
    ("cycle_vae", "sprites", "s_to_z_error"): (0.0136, "the sprites program, best epoch, on its own data"),
}
# Which presets' networks each document under architectures/ shows, by system and data set.
ARCHITECTURES = {
    ("infogan", "mnist"): ("default", "paper"),
    ("bi_infogan", "mnist"): ("default",),
    ("image_translation", "mnist"): ("default",),
    ("vae_gan", "cns"): ("default",),
    ("cycle_vae", "sprites"): ("sprites",),
    ("cycle_vae", "mnist"): ("mnist",),
}
LENGTHS = {"max_epochs", "maxepoch", "n_epoch", "end_epoch", "max_iter"}  # by any name; the steps are told themselves
BEGIN, END = "<!-- results: made by make report -->", "<!-- end of results -->"
TELLING_SETTINGS = (
    "kernel_size", "strides", "padding", "output_padding", "activation", "momentum", "epsilon", "scale", "rate",
    "deviation", "negative_slope",
)  # fmt: skip
RUN_FLAGS = {field.name for field in dataclasses.fields(RunFlags)} - {"max_steps"}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()  # --help, and nothing else
    flags.import_tensorflow()
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        files.write_text(path, text)
        print(path.relative_to(ROOT))


def documents() -> dict[Path, str]:
    """Every document that is made here, in whole or in part, as it ought to read."""
    systems = [system for system in METRICS if (CODE / system).is_dir()]
    texts = {ROOT / "README.md": with_table(ROOT / "README.md", summary_table(systems))}
    for system in systems:
        readme = CODE / system / "README.md"
        texts[readme] = with_table(readme, runs_table(system))
    for (system, data_set), presets in ARCHITECTURES.items():
        if system in systems:
            texts[ROOT / "architectures" / f"{system}_{data_set}.md"] = architecture(system, data_set, presets)
    return texts


def results_of(system: str) -> list[dict[str, Any]]:
    """Every recorded run of a system."""
    return run_folders.recorded_runs(CODE / system / "results.json")


def with_table(readme: Path, table: str) -> str:
    """The README's text with the table between its two marks.

    Raises:
        UserError: it has no such marks.
    """
    text = readme.read_text(encoding="utf-8")
    require(BEGIN in text and END in text, f"{readme} lacks the lines {BEGIN} and {END}")
    return text[: text.index(BEGIN)] + f"{BEGIN}\n{table}" + text[text.index(END) :]


def markdown(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(metric: str, value: float | None) -> str:
    """Accuracies in per cent; errors, distances and bounds as they are."""
    if value is None:
        return ""
    return f"{value:.2%}" if metric.endswith(("accuracy", "score")) else f"{value:.4g}"


def summary_table(systems: list[str]) -> str:
    """A line for each system and kind of run: of each metric median and range over all runs, and what is published."""

    def kind(run: dict[str, Any]) -> tuple[str, str, int, str, str, str]:
        named = run["data_set"], run["preset"], run["steps"], arithmetic(run)
        return *named, run["data_sha256"], telling_flags(run["command"])

    rows = []
    for system in systems:
        for (data_set, preset, steps, precision, *_), group in groupby(sorted(results_of(system), key=kind), key=kind):
            runs = list(group)
            minutes = in_minutes(statistics.median(run["minutes"] for run in runs))
            rows.append(
                [f"[{system}](code/{system}/README.md)", data_set, preset, precision, f"{steps:,}", minutes]
                + [str(len(runs)), "<br>".join(measured(system, runs)), "<br>".join(published(system, data_set, runs))]
            )
    header = ["system", "data", "preset", "precision", "steps", "minutes a run", "runs", "median (range)", "published"]
    return markdown(header, rows) if rows else "No finished runs yet.\n"


def measured(system: str, runs: list[dict[str, Any]]) -> Iterable[str]:
    """Each metric with its median, and its range where there are several runs; how many, where some lack it."""
    for metric in METRICS[system]:
        values = [run["metrics"][metric] for run in runs if metric in run["metrics"]]
        if not values:
            continue
        spread = [f"{shown(metric, min(values))} to {shown(metric, max(values))}"] if len(values) > 1 else []
        spread += [f"{len(values)} of {len(runs)} runs"] if len(values) < len(runs) else []
        brackets = f" ({', '.join(spread)})" if spread else ""
        yield f"{metric.replace('_', ' ')} {shown(metric, statistics.median(values))}{brackets}"


def published(system: str, data_set: str, runs: list[dict[str, Any]]) -> Iterable[str]:
    """What is published of the metrics that were measured, each source named once."""
    measured_by_any = [metric for metric in METRICS[system] if any(metric in run["metrics"] for run in runs)]
    sources: dict[str, list[str]] = {}
    for metric in measured_by_any:
        if (system, data_set, metric) in PUBLISHED:
            value, source = PUBLISHED[system, data_set, metric]
            sources.setdefault(source, []).append(f"{metric.replace('_', ' ')} {shown(metric, value)}")
    for source, values in sources.items():
        yield from (*values, f"({source})")


def arithmetic(run: dict[str, Any]) -> str:
    """A run's precision, and what it ran on where that was not TensorFlow on a CPU."""
    return ", ".join([run["precision"], *([run["device"]] if "device" in run else [])])


def in_minutes(minutes: float) -> str:
    return f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"


def telling_flags(command: str) -> str:
    """What a run's first command line says that tells its kind: not the seed, nor its length and how often it logs."""
    untold = {f"--{name}" for name in run_folders.FREE_ON_RESUME | LENGTHS | {"seed", "seeds"}}
    flag, told = "", []
    for word in shlex.split(command.split(" && ")[0].replace("=", " ")):
        if word.startswith("--"):
            flag = word = word.replace("-", "_").replace("__", "--", 1)
        if flag not in untold:
            told.append(word)
    return shlex.join(told)


def runs_table(system: str) -> str:
    """A line for each run."""
    rows = [
        [run["data_set"], run["preset"], str(run["seed"]), f"{run['steps']:,}", in_minutes(run["minutes"])]
        + [shown(metric, run["metrics"].get(metric)) for metric in METRICS[system]]
        + [arithmetic(run), run["commit"], f"`{run['command']}`"]
        for run in results_of(system)
    ]
    metrics = [metric.replace("_", " ") for metric in METRICS[system]]
    header = ["data", "preset", "seed", "steps", "minutes", *metrics, "precision", "commit", "command"]
    return markdown(header, rows) if rows else "No finished runs yet.\n"


def architecture(system: str, data_set: str, presets: Iterable[str]) -> str:
    """The networks of each preset, layer by layer, as built, and every hyper-parameter."""
    module = importlib.import_module(f"{system}.config")
    configs = {preset: module.PRESETS[preset] for preset in presets}
    build_networks = importlib.import_module(f"{system}.networks").build_networks
    text = f"# {system} on {data_set}\n\n"
    text += "Made by `make report` from the built networks; a test fails when it is stale.\n"
    for preset, config in configs.items():
        text += f"\n## Preset {preset}\n"
        for network in build_networks(config):
            text += f"\n### {network.name}: {network.count_params():,} parameters\n\n"
            text += markdown(["layer", "details", "output", "parameters"], map(operation_row, network.operations))
    text += "\n## Hyper-parameters\n\nThe original's with its flag, if it has one; empty: it has nothing of the kind.\n"
    rows = []
    for name in flags_of(module.Config):
        ours = [str(getattr(config, name)) for config in configs.values()]
        rows.append([f"`--{name}`", *ours, of_original(*originals()[f"{system}_{data_set}"].get(name, ()))])
    return f"{text}\n{markdown(['flag', *configs, 'original'], rows)}"


def flags_of(config_class: type[RunFlags]) -> list[str]:
    """The flags of a system, but for those that every system has and what is set in a preset alone."""
    hints = get_type_hints(config_class, include_extras=True)
    names = [field.name for field in dataclasses.fields(config_class) if field.name not in RUN_FLAGS]
    return [name for name in names if "Suppress" not in repr(hints[name])]


def originals() -> dict[str, dict[str, tuple[str | None, Any]]]:
    """The originals' flags, None where a program has none, and defaults, by document and by our flag."""
    return json.loads((ROOT / "architectures" / "originals.json").read_text())


def of_original(flag: str | None = None, value: Any = "") -> str:
    """A default of an original as the table has it."""
    shown_value = str(tuple(value)) if isinstance(value, list) else str(value)
    return f"`{flag}` {shown_value}" if flag else shown_value


def operation_row(operation: Any) -> list[str]:
    """What tells one layer, or one activation between layers, from another."""
    config = operation.get_config() if hasattr(operation, "weights") else vars(operation)
    details = [f"{name} {config[name]}" for name in TELLING_SETTINGS if config.get(name) not in (None, "linear")]
    shape = str(tuple(operation.output.shape[1:]))
    parameters = sum(math.prod(weight.shape) for weight in getattr(operation, "weights", []))
    return [type(operation).__name__, ", ".join(details), shape, f"{parameters:,}"]


if __name__ == "__main__":
    flags.run(main)
