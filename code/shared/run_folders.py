"""Where runs live, what they were started with, and the command line of a training script. Imports no TensorFlow.

<log_dir>/<time>_<seed>/ holds settings.json, metrics.jsonl, pictures, TensorBoard's events and checkpoints/; of a run
that was resumed also sessions.jsonl.
"""

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import tyro

from shared import files, flags
from shared.flags import ConfigT, UserError, require

# What may differ between a run's settings and the flags of a command that resumes it, besides what extends it.
FREE_ON_RESUME = frozenset(
    (
        "data_dir", "unverified_data", "log_dir", "max_steps", "resume", "log_every", "save_every", "picture_every",
        "publish",
    )
)  # fmt: skip
RECORDED = frozenset(("system", "data_set", "config", "data_sha256", "command", "commit"))  # in every settings.json
ENTRY = (  # of results.json
    "system", "data_set", "preset", "seed", "steps", "minutes", "commit", "command", "precision", "data_sha256",
    "metrics",
)  # fmt: skip
# What a recorded command leaves out: folders of the machine it ran on.
MACHINE_FLAGS = ("--data_dir", "--data-dir", "--datadir", "--log_dir", "--log-dir", "--judge")  # tyro takes either form
MACHINE_FLAGS_WITH_VALUE = tuple(f"{name}=" for name in MACHINE_FLAGS)


class EvaluationFlags(Protocol):
    """What the flags of every evaluate_model.py have."""

    @property
    def data_dir(self) -> Path | None: ...

    @property
    def unverified_data(self) -> bool: ...


def parse_flags(
    system: str,
    presets: Mapping[str, ConfigT],
    log_dir: Path,
    description: str,
    arguments: list[str] | None = None,
) -> tuple[ConfigT, Path | None]:
    """The flags of a training script, and the folder of the run to resume, or None.

    The defaults are those of --preset (the first of `presets` without it) or, with --resume, what the run that goes on
    was last trained with; so nothing has to be typed again, and what is typed differently is seen.

    Args:
        system: name of the system, as in settings.json.
        presets: configs by the name that --preset takes.
        log_dir: where runs are without --log_dir.
        description: what --help says first.
        arguments: the command line; default: this process's.
    Raises:
        UserError: a value is out of range, a setting differs from those of the run to resume, or there is no such run.
        SystemExit: 2 on an unknown, abbreviated or mistyped flag; 0 on --help.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    first_look = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first_look.add_argument("--preset", nargs="?")  # what is wrong with it, tyro says below
    first_look.add_argument("--resume", nargs="?", const="")
    first_look.add_argument("--log_dir", "--log-dir", nargs="?", const=log_dir, type=Path, default=log_dir)
    first_look.add_argument("--help", "-h", action="store_true")
    seen, _ = first_look.parse_known_args(arguments)

    default = presets.get(seen.preset, next(iter(presets.values())))
    folder = None
    if seen.resume is not None and not seen.help:
        folder = Path(seen.resume) if seen.resume else newest(seen.log_dir)
        if folder is None:
            raise UserError(f"--resume: no run with a checkpoint under {seen.log_dir}")
        require(not is_published(folder), f"--resume: {folder} holds published weights, which cannot be resumed")
        elsewhere = "device" in settings(folder)
        require(
            not elsewhere, f"--resume: {folder} was made on another machine, and cannot be resumed; name another run"
        )
        default = saved_config(folder, system, type(default))
    config = tyro.cli(type(default), args=arguments, default=default, description=description, use_underscores=True)
    config.check()
    if folder is not None:
        _refuse_other_settings(config, default)
    return config, folder


def _refuse_other_settings(config: flags.RunFlags, saved: flags.RunFlags) -> None:
    typed, free = flags.to_json(config), FREE_ON_RESUME | {config.EXTENDED_BY}
    differing = [
        f"--{name} {getattr(config, name)} (the run has {getattr(saved, name)})"
        for name, value in flags.to_json(saved).items()
        if name not in free and typed[name] != value
    ]
    require(not differing, f"--resume: these settings are not the run's: {', '.join(differing)}")


def start(system: str, data_set: str, config: flags.RunFlags, log_dir: Path, data_sha256: str) -> Path:
    """Makes the folder of a new run and records in settings.json what it is started with.

    Raises:
        UserError: the folder cannot be made.
    """
    folder = new_folder(log_dir, config.seed)
    record = first_record(system, data_set, config, data_sha256)
    files.write_text(folder / "settings.json", json.dumps(record, indent=2) + "\n")
    return folder


def first_record(system: str, data_set: str, config: flags.RunFlags, data_sha256: str) -> dict:
    """What settings.json of a run holds that this process starts."""
    return {
        "system": system,
        "data_set": data_set,
        "config": flags.to_json(config),
        "data_sha256": data_sha256,
        **this_session(),
    }


def this_session() -> dict:
    """What this process adds to a run besides its settings: command, commit, threads and versions."""
    return {
        "command": command(),
        "commit": commit(),
        "threads": flags.cores(),
        "threads_an_operation": os.environ.get("TF_NUM_INTRAOP_THREADS", "all"),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("tensorflow", "keras", "tensorflow-probability", "numpy")},
    }


def record_session(folder: Path, step: int, config: flags.RunFlags) -> None:
    """Adds a line to sessions.jsonl: this process goes on with the run from `step`, with these settings."""
    with (folder / "sessions.jsonl").open("a") as file:
        file.write(json.dumps({"from_step": step, "config": flags.to_json(config)} | this_session()) + "\n")


def sessions(folder: Path) -> list[dict]:
    """Command, commit, threads and versions of each process that the run is the work of, the first one first."""
    later = files.json_lines(folder / "sessions.jsonl")
    return [settings(folder), *(session for session in later if session.keys() >= {"command", "commit"})]


def new_folder(log_dir: Path, seed: int) -> Path:
    """Makes the folder of a run that starts now.

    Raises:
        UserError: it cannot be made.
    """
    name = f"{datetime.datetime.now():%Y%m%d-%H%M%S}_{seed}"
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):  # runs started within one second
        try:
            (log_dir / f"{name}{suffix}").mkdir(parents=True)
            return log_dir / f"{name}{suffix}"
        except FileExistsError:
            require(log_dir.is_dir(), f"--log_dir: {log_dir} is not a folder")
        except OSError as error:
            raise UserError(f"--log_dir: cannot make a folder in {log_dir}: {error.strerror}") from None
    raise UserError(f"--log_dir: {log_dir} has too many runs of this second")


def newest(log_dir: Path) -> Path | None:
    """The run that was started last and has a checkpoint, or None."""
    runs = [path.parent for path in log_dir.glob("*/settings.json")]
    return max((run for run in runs if any(run.glob("checkpoints/step_*"))), default=None, key=lambda run: run.name)


def settings(folder: Path) -> dict:
    """What settings.json of a run, or of published weights, holds.

    Raises:
        UserError: the folder is missing, or is not a run's.
    """
    try:
        found = json.loads((folder / "settings.json").read_text())
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and found.keys() >= RECORDED and isinstance(found["config"], dict):
        return found
    raise UserError(f"{folder} is not the folder of a run: no readable settings.json there")


def find_model(model_dir: Path | None, log_dir: Path, published: Path) -> Path:
    """The model folder to evaluate: the one named, else the newest run under log_dir, else the published weights."""
    folder = model_dir or newest(log_dir) or published
    trained = "" if model_dir else f", and no run under {log_dir}: train one first"
    require(folder.is_dir(), f"there is no folder {folder}{trained}")
    return folder


def is_published(folder: Path) -> bool:
    """Whether a model folder holds published weights, and not a run."""
    return (folder / "weights.npz").exists()


def require_checkpoint(folder: Path) -> None:
    """Raises UserError where the folder has nothing to record: it is no run's, or no step of it was saved."""
    saved = any(folder.glob("checkpoints/step_*")) and not is_published(folder)
    require(saved, f"--record, --publish: {folder} is no run with a checkpoint")


def recorded_runs(results: Path) -> list[dict]:
    """The entries of results.json, none where there is no such file.

    Raises:
        UserError: it is damaged.
    """
    try:
        entries = json.loads(results.read_text()) if results.exists() else []
    except ValueError as error:
        raise UserError(f"{results} is damaged: {error}") from None
    for number, entry in enumerate(entries, 1):
        lacking = [name for name in ENTRY if name not in entry]
        require(not lacking, f"{results}: entry {number} lacks {', '.join(lacking)}")
    return entries


def recorded_run(published: Path, results: Path) -> int:
    """Which entry of results.json is of the run that published weights are of.

    Raises:
        UserError: none is, or several could be.
    """
    found = settings(published)
    theirs = {"preset": "default"} | found["config"] | found
    same = ("system", "data_set", "data_sha256", "preset", "seed", "steps", "precision")
    matching = [
        number
        for number, entry in enumerate(recorded_runs(results))
        if all(entry[name] == theirs[name] for name in same)
        and entry.get("device") == theirs.get("device")
        and all(entry[name].startswith(theirs[name]) for name in ("command", "commit"))  # resumed: of each session
    ]
    require(len(matching) == 1, f"--record: {results.name} has {len(matching)} runs that {published} could be of")
    return matching[0]


def is_of_other_data(run_folder: Path, published: Path) -> bool:
    """Whether a run was trained on other data than the weights that are published, where any are."""
    return published.is_dir() and settings(published)["data_sha256"] != settings(run_folder)["data_sha256"]


def require_publishable(run_folder: Path, published: Path) -> None:
    """Raises UserError where a run's weights must not take the place of the published ones: theirs is other data."""
    other = is_of_other_data(run_folder, published)
    require(not other, f"--publish: {run_folder} was trained on other data than {published}")


def config_to_evaluate(folder: Path, system: str, config_class: type[ConfigT], chosen: EvaluationFlags) -> ConfigT:
    """The settings of a model, as evaluation takes them: on the run's own data unless other data is named.

    In float32, whatever the run was trained in: so are the weights, and the numbers depend less on the processor.

    Raises:
        UserError: not a model's folder, or a model of another system.
    """
    saved = saved_config(folder, system, config_class)
    return dataclasses.replace(
        saved,
        precision="float32",
        data_dir=chosen.data_dir or saved.data_dir,
        unverified_data=chosen.unverified_data or saved.unverified_data,
    )


def check_data(folder: Path, data_sha256: str, recorded: bool) -> bool:
    """Whether a model is measured on the data it was trained on; says so where it is not.

    Raises:
        UserError: it is not, and the numbers are to be `recorded` as those of its own data.
    """
    own = settings(folder)["data_sha256"] == data_sha256
    if not own:
        require(not recorded, f"--record, --publish: {folder} was trained on other data")
        print(f"warning: {folder} was trained on other data than it is measured on", file=sys.stderr)
    return own


def saved_config(folder: Path, system: str, config_class: type[ConfigT]) -> ConfigT:
    """The config that a run of this system was last trained with.

    Raises:
        UserError: not a run's folder, a run of another system, or a setting out of range.
    """
    values = settings(folder)
    require(values.get("system") == system, f"{folder} is a run of {values.get('system')}, not of {system}")
    last = [session["config"] for session in sessions(folder) if "config" in session][-1]
    config = flags.from_json(config_class, last)
    config.check()
    return config


def command() -> str:
    """The command line of this process as one would type it in the project's folder, without this machine's paths."""
    script = Path(sys.argv[0]).resolve()
    root = Path(__file__).resolve().parents[2]
    words = ["python", str(script.relative_to(root)) if script.is_relative_to(root) else script.name]
    before = ""
    for word in sys.argv[1:]:
        is_folder = before in MACHINE_FLAGS or (before == "--resume" and not word.startswith("-"))
        if word.startswith("--resume="):
            words.append("--resume")
        elif before == "--architecture":  # which file it was tells runs apart, where it lay does not
            words.append(Path(word).name)
        elif word.startswith("--architecture="):
            words.append(f"--architecture={Path(word).name}")
        elif not is_folder and word not in MACHINE_FLAGS and not word.startswith(MACHINE_FLAGS_WITH_VALUE):
            words.append(word)
        before = "" if is_folder else word
    return shlex.join(words)


def commit() -> str:
    """The commit of the code that runs, with "+" where it was changed since; "unknown" outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    run_is_made_of = (".", ":(top)tests/accelerator")  # the latter, where it was made elsewhere
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *run_is_made_of], capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changes.returncode else "")
