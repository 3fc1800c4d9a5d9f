"""Writes what is made from the code and from results.json: architectures/*.md, and the tables in the READMEs."""

import dataclasses
import importlib
import json
import math
import statistics
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

CODE = Path(__file__).resolve().parent
ROOT = CODE.parent
sys.path.insert(0, str(CODE))

from shared import flags
from shared.flags import RunFlags, require

SYSTEMS = ("infogan", "bi_infogan")
# Published figures by system and metric, as fractions, with where they stand.
PUBLISHED = {
    ("infogan", "accuracy"): (0.95, "arXiv 1606.03657"),
    ("bi_infogan", "accuracy"): (0.9699, "arXiv 1803.02627, best model"),
}
BEGIN, END = "<!-- results: made by make report -->", "<!-- end of results -->"
TELLING_SETTINGS = ("kernel_size", "strides", "padding", "output_padding", "activation", "momentum", "epsilon", "scale")
TELLING_SETTINGS += ("rate", "deviation", "negative_slope")
RUN_FLAGS = {field.name for field in dataclasses.fields(RunFlags)} - {"max_steps"}


def main() -> None:
    flags.import_tensorflow()
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


def documents() -> dict[Path, str]:
    """Every document that is made here, in whole or in part, as it ought to read."""
    systems = [system for system in SYSTEMS if (CODE / system).is_dir()]
    texts = {ROOT / "README.md": with_table(ROOT / "README.md", summary_table(systems))}
    for system in systems:
        texts[ROOT / "architectures" / f"{system}_mnist.md"] = architecture(system)
        readme = CODE / system / "README.md"
        texts[readme] = with_table(readme, runs_table(results_of(system)))
    return texts


def results_of(system: str) -> list[dict[str, Any]]:
    """Every recorded run of a system."""
    path = CODE / system / "results.json"
    return json.loads(path.read_text()) if path.exists() else []


def with_table(readme: Path, table: str) -> str:
    """The README's text with the table between its two marks.

    Raises:
        UserError: it has no such marks.
    """
    text = readme.read_text()
    require(BEGIN in text and END in text, f"{readme} lacks the lines {BEGIN} and {END}")
    return text[: text.index(BEGIN)] + f"{BEGIN}\n{table}" + text[text.index(END) :]


def markdown(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def summary_table(systems: list[str]) -> str:
    """A line for each system, data set and preset: median and range over all its seeds, beside the published figure."""
    rows = []
    for system in systems:

        def kind(run: dict[str, Any]) -> tuple[str, str, int]:
            return run["data_set"], run["preset"], run["steps"]

        for (data_set, preset, steps), group in groupby(sorted(results_of(system), key=kind), key=kind):
            runs = list(group)
            values = [run["metrics"]["accuracy"] for run in runs]
            published, source = PUBLISHED[system, "accuracy"]
            spread = f"{min(values):.2%} to {max(values):.2%}"
            minutes = f"{statistics.median(run['minutes'] for run in runs):.0f}"
            rows.append(
                [f"[{system}](code/{system}/README.md)", data_set, preset, f"{steps:,}", str(len(runs))]
                + [f"{statistics.median(values):.2%}", spread, f"{published:.2%} ({source})", minutes]
            )
    header = ["system", "data", "preset", "steps", "seeds", "accuracy, median", "range", "published", "minutes a run"]
    return markdown(header, rows) if rows else "No finished runs yet.\n"


def runs_table(runs: list[dict[str, Any]]) -> str:
    """A line for each run."""
    rows = [
        [run["data_set"], run["preset"], str(run["seed"]), f"{run['steps']:,}", f"{run['minutes']:.0f}"]
        + [f"{run['metrics']['accuracy']:.2%}", f"{run['metrics']['mutual_information_bound']:.3f}"]
        + [run["precision"], run["commit"], f"`{run['command']}`"]
        for run in runs
    ]
    header = ["data", "preset", "seed", "steps", "minutes", "accuracy", "bound, nats", "precision", "commit", "command"]
    return markdown(header, rows) if rows else "No finished runs yet.\n"


def architecture(system: str) -> str:
    """The networks of each preset, layer by layer, as built, and every hyper-parameter."""
    presets = importlib.import_module(f"{system}.config").PRESETS
    build_networks = importlib.import_module(f"{system}.networks").build_networks
    text = f"# {system} on MNIST\n\nMade by `make report` from the built networks; a test fails when it is stale.\n"
    for preset, config in presets.items():
        text += f"\n## Preset {preset}\n"
        for network in build_networks(config):
            text += f"\n### {network.name}: {network.count_params():,} parameters\n\n"
            text += markdown(["layer", "details", "output", "parameters"], map(operation_row, network.operations))
    text += "\n## Hyper-parameters\n\nThe defaults are the original's, except where the text says otherwise.\n\n"
    fields = [field for field in dataclasses.fields(presets["default"]) if field.name not in RUN_FLAGS]
    rows = [[f"`--{field.name}`", *(str(getattr(c, field.name)) for c in presets.values())] for field in fields]
    return text + markdown(["flag", *presets], rows)


def operation_row(operation: Any) -> list[str]:
    """What tells one layer, or one activation between layers, from another."""
    config = operation.get_config() if hasattr(operation, "weights") else vars(operation)
    details = [f"{name} {config[name]}" for name in TELLING_SETTINGS if config.get(name) not in (None, "linear")]
    shape = str(tuple(operation.output.shape[1:]))
    parameters = sum(math.prod(weight.shape) for weight in getattr(operation, "weights", []))
    return [type(operation).__name__, ", ".join(details), shape, f"{parameters:,}"]


if __name__ == "__main__":
    flags.run(main)
