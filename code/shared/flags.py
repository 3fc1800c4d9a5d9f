"""A frozen dataclass as command-line flags and as JSON, and errors as one line. Imports no TensorFlow."""

import contextlib
import dataclasses
import errno
import io
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar, get_type_hints

import typeguard
import tyro
from typeguard import CollectionCheckStrategy

# What the system says of a file that the user can mend.
PROBLEMS_OF_FILES = {
    "write": (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS),
    "use": (errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EIO),
}


class UserError(Exception):
    """What the user can mend: the message says in one line what is wrong and what to do."""


def require(condition: bool, message: str) -> None:
    """Raises UserError(message) unless the condition holds."""
    if not condition:
        raise UserError(message)


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """The flags that every training script has."""

    EXTENDED_BY: ClassVar[str | None] = None
    """The flag that takes a finished run further, where nothing but a run's end depends on it."""

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

    def check(self) -> None:
        """Raises UserError where a value is out of range; a system adds its own ranges."""
        require(0 <= self.seed < 2**31, f"--seed: expected 0 to {2**31 - 1}; got {self.seed}")
        require(len(self.resume or ()) <= 1, f"--resume: expected one folder; got {self.resume}")
        self.require_at_least(1, "max_steps", "log_every", "save_every")

    def require_at_least(self, least: float, *names: str) -> None:
        """Raises UserError where one of the named flags, or a number in it, is below `least`."""
        for name in names:
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                in_range = number is None or least <= number < math.inf
                require(in_range, f"--{name}: expected {least} or more; got {number}")


ConfigT = TypeVar("ConfigT", bound=RunFlags)


def to_json(config: RunFlags) -> dict[str, object]:
    """The config as what JSON can hold: paths, made absolute, as strings, and tuples as lists."""
    values = dataclasses.asdict(config)
    return {
        name: str(value.absolute()) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def from_json(config_class: type[ConfigT], values: Mapping[str, object]) -> ConfigT:
    """The config that `to_json` wrote.

    Raises:
        UserError: a setting is missing or unknown, as the values are another version's; or it is of a wrong type.
    """
    hints = get_type_hints(config_class)
    names = {field.name for field in dataclasses.fields(config_class)}
    require(names == set(values), f"the settings are of another version: they differ in {sorted(names ^ set(values))}")
    paths = [name for name in names if hints[name] == Path | None]  # of the annotations it sees the bare type
    as_paths = {name: Path(str(values[name])) for name in paths if values[name] is not None}
    as_tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    settings = {**values, **as_paths, **as_tuples}
    for name, value in settings.items():
        try:
            typeguard.check_type(value, hints[name], collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except typeguard.TypeCheckError:
            raise UserError(f"the settings have a {name} of a wrong type: {values[name]!r}") from None
    return config_class(**settings)


def run(main: Callable[[], None]) -> None:
    """Runs an entry script: what the user can mend becomes one line on standard error and exit status 2.

    Ctrl-C outside a training's steps ends it at once, with exit status 130. What a terminal that is not UTF-8 cannot
    show is printed as an escape, \\u9169.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except UserError as error:
        problem = str(error)
    except shutil.Error as error:  # of copytree, which goes on and tells of each file
        _, copy, reason = error.args[0][0]
        problem = f"cannot write {copy}: {reason}"
    except OSError as error:
        verb = next((verb for verb, numbers in PROBLEMS_OF_FILES.items() if error.errno in numbers), None)
        if verb is None:
            raise
        problem = f"cannot {verb} {error.filename or 'to the disk'}: {error.strerror}"
    except KeyboardInterrupt:  # outside a training's steps, which end by saving
        sys.exit(130)
    else:
        return
    print(f"{Path(sys.argv[0]).name}: {problem}", file=sys.stderr)
    sys.exit(2)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lacks_bfloat16(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has no bfloat16 unit, by what Linux says of it; False where nothing is said."""
    try:
        said = processor.read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", said) is None  # the last is ARM's


def import_tensorflow(operations_at_once: int = 1) -> None:
    """Imports TensorFlow set up for the CPU, without its start-up lines, which bury the script's own.

    oneDNN is TensorFlow's default on some processors only; where it is not, the convolutions of the default InfoGAN
    take four times as long. TF_ENABLE_ONEDNN_OPTS=0 in the environment turns it off.

    Args:
        operations_at_once: how many operations share the cores. With 1, TensorFlow's default, each is spread over all;
            a step of many small operations, or of networks that do not wait for each other, takes less time with 2.
            TF_NUM_INTRAOP_THREADS in the environment decides instead, where it is set.
    """
    if operations_at_once > 1:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores() // operations_at_once)))
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _silent_stderr():
        import tensorflow

        tensorflow.config.list_physical_devices()  # where there is no GPU, looking for one complains too


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Points file descriptor 2 elsewhere: the lines come from C++, before any log level is read."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
