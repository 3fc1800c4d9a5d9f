"""A frozen dataclass as command-line flags, and errors as one line. Imports no TensorFlow: --help is quick."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro


class UserError(Exception):
    """What the user can mend: the message says in one line what is wrong and what to do."""


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """The flags that every training script has."""

    data_dir: Path | None = None
    """Folder (or .npz file) that holds the data; default: the user's cache, else a download."""
    unverified_data: bool = False
    """Take whatever data in the same format --data_dir holds, without comparing its sha256."""
    log_dir: Path | None = None
    """Folder in which the run's folder is made; default: log_dir/<data set> beside the script."""
    seed: int = 0
    """Fixes the weights, the order of the images, the codes and the noise."""
    max_steps: int | None = None
    """Stop after this many steps in all, though more were planned."""
    resume: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[DIR]")] = None
    """Go on with the run in DIR; without DIR, with the newest run under --log_dir."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Arithmetic of the layers; weights, losses and optimizers are float32 in either."""
    log_every: int = 100
    """Steps between two lines of the log."""
    save_every: int = 500
    """Steps between two checkpoints."""


# What may differ between a run's settings and the flags of a command that resumes it.
FREE_ON_RESUME = frozenset({"data_dir", "log_dir", "max_steps", "resume", "log_every", "save_every"})

ConfigT = TypeVar("ConfigT", bound=RunFlags)


def parse(
    config_class: type[ConfigT],
    presets: Mapping[str, ConfigT],
    description: str,
    saved_config: Callable[[str, ConfigT], ConfigT],
    arguments: list[str] | None = None,
) -> ConfigT:
    """Flags of a training script as its config.

    The defaults are those of --preset (the first of `presets` without it) or, with --resume, the settings of
    the run that goes on; so nothing has to be typed again, and what is typed differently is seen.

    Args:
        config_class: frozen dataclass, a subclass of RunFlags, that holds every flag.
        presets: configs by the name that --preset takes.
        description: what --help says first.
        saved_config: from the DIR of --resume ("" for the newest run) and the preset's config, the run's config.
        arguments: the command line; default: this process's.
    Raises:
        UserError: a setting differs from those of the run that --resume names, or has no such run.
        SystemExit: 2 on an unknown, abbreviated or mistyped flag, 0 on --help.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    first_look = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first_look.add_argument("--preset", choices=list(presets), default=next(iter(presets)))
    first_look.add_argument("--resume", nargs="?", const="")
    seen, _ = first_look.parse_known_args(arguments)
    default = presets[seen.preset]
    saved = None if seen.resume is None or "--help" in arguments else saved_config(seen.resume, default)
    config = tyro.cli(
        config_class,
        args=arguments,
        default=saved or default,
        description=description,
        use_underscores=True,
        config=(tyro.conf.HelptextFromCommentsOff,),
    )
    if saved:
        differing = [
            f"--{field.name} {getattr(config, field.name)} (the run has {getattr(saved, field.name)})"
            for field in dataclasses.fields(config)
            if field.name not in FREE_ON_RESUME and getattr(config, field.name) != getattr(saved, field.name)
        ]
        if differing:
            raise UserError(f"--resume: these settings are not the run's: {', '.join(differing)}")
    return config


def to_json(config: RunFlags) -> dict[str, object]:
    """The config as what JSON can hold: paths as strings, tuples as lists."""
    values = dataclasses.asdict(config)
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def from_json(config_class: type[ConfigT], values: Mapping[str, object]) -> ConfigT:
    """The config that `to_json` wrote.

    Raises:
        UserError: a setting is missing or unknown: the values are another system's, or another version's.
    """
    names = {field.name for field in dataclasses.fields(config_class)}
    if names != set(values):
        raise UserError(f"settings do not fit this program; they differ in {sorted(names ^ set(values))}")
    as_paths = {name: Path(str(values[name])) for name in ("data_dir", "log_dir") if values[name] is not None}
    as_tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return config_class(**{**values, **as_paths, **as_tuples})


def require(condition: bool, message: str) -> None:
    """Raises UserError(message) unless the condition holds."""
    if not condition:
        raise UserError(message)


def run(main: Callable[[], None]) -> None:
    """Runs an entry script: a UserError becomes its one line on standard error and exit status 2."""
    # TensorFlow reads these when it is imported, which is after this. oneDNN is its default on some processors
    # only; where it is not, the convolutions of the default InfoGAN take four times as long.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its start-up lines bury the script's own
    try:
        main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)
