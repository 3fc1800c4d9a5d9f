"""Laws of the house: what imports what, what a system's folder holds, and what no file may say."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "code"
MADE = {"__pycache__", "log_dir"}  # by running the code; git ignores them
SKELETON = ("README.md", "config.py", "networks.py", "losses.py", "training.py", "evaluate_model.py")


def folders(parent):
    return sorted(path.name for path in parent.iterdir() if path.is_dir() and path.name not in MADE)


def modules(folder):
    return sorted(path for path in folder.rglob("*.py") if not MADE & set(path.parts))


SYSTEMS = [name for name in folders(CODE) if name != "shared"]
SCRIPTS = [path for path in modules(CODE) if "__main__" in path.read_text()]


def test_there_are_systems_or_the_laws_below_would_hold_for_nothing():
    assert "infogan" in SYSTEMS
    assert len(modules(CODE)) > 20


def test_code_is_no_package_or_pdb_would_import_it_for_the_standard_module():
    assert sorted(CODE.rglob("__init__.py")) == []


def test_no_file_or_folder_under_code_takes_a_standard_modules_name():
    paths = [path for path in CODE.rglob("*") if not MADE & set(path.parts) and (path.is_dir() or path.suffix == ".py")]
    assert [str(path) for path in paths if path.stem in sys.stdlib_module_names] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_the_skeletons_files(system):
    folder = CODE / system
    assert [name for name in SKELETON if not (folder / name).is_file()] == []
    assert list(folder.glob("train_*.py")), "no training script"


# Imports


def imported(path):
    """First names of every module that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; entry scripts could not do it"
            found.add(str(node.module).split(".")[0])
    return found


def test_imports_inside_functions_are_seen(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    import one.two as x\n    if x:\n        from three.four import five\n")
    assert imported(path) == {"one", "three"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_never_imports_another(system):
    others = set(SYSTEMS) - {system}
    assert {str(path): imported(path) & others for path in modules(CODE / system) if imported(path) & others} == {}


def test_shared_imports_no_system():
    guilty = {str(path): imported(path) & set(SYSTEMS) for path in modules(CODE / "shared")}
    assert {path: names for path, names in guilty.items() if names} == {}


def python(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def imported_afresh(monkeypatch):
    """Imports a module from another folder than code/, as if none of ours had been imported yet."""
    ours = {"shared", *SYSTEMS}
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ours}

    def forget():
        for name in [name for name in sys.modules if name.split(".")[0] in ours]:
            del sys.modules[name]

    def run(name, folder):
        forget()
        monkeypatch.setattr(sys, "path", [str(folder), *(p for p in sys.path if Path(p).resolve() != CODE)])
        return importlib.import_module(name)

    yield run
    forget()
    sys.modules.update(before)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_and_shared_work_with_all_else_deleted(system, tmp_path, imported_afresh):
    for folder in ("shared", system):
        ignored = shutil.ignore_patterns(*MADE, "pretrained")
        shutil.copytree(CODE / folder, tmp_path / "code" / folder, ignore=ignored)
    process = python(tmp_path / "code" / system / "train_mnist.py", "--help", cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert "--max_steps" in process.stdout
    for path in (tmp_path / "code" / system).glob("*.py"):
        module = imported_afresh(f"{system}.{path.stem}", tmp_path / "code")
        assert module.__file__ == str(path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(CODE)))
def test_every_command_helps_from_its_own_folder_and_from_another(script, tmp_path):
    for folder in (script.parent, tmp_path):
        process = python(script, "--help", cwd=folder)
        assert (process.returncode, process.stderr) == (0, "")
        assert "usage:" in process.stdout and list(tmp_path.iterdir()) == []


def test_flags_run_folders_and_data_are_there_without_tensorflow():
    """So that a mistake on the command line is answered at once."""
    names = ["flags", "run_folders", "code_mapping", "image_grids", "files"]
    names += [f"datasets.{path.stem}" for path in modules(CODE / "shared" / "datasets")]
    assert "datasets.mnist" in names
    statements = "import sys\n" + "".join(f"import shared.{name}\n" for name in names)
    statements += "print([name for name in ('tensorflow', 'keras', 'tensorflow_probability') if name in sys.modules])"
    process = python("-c", statements, cwd=CODE)
    assert process.stdout.strip() == "[]", process.stderr


# Texts


def tracked_texts():
    """Files that git has or would take in, by path, where they are text."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = {}
    for name in listed.split("\0"):
        path = ROOT / name
        if name and path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                texts[name] = content.decode()
    return texts


# Put together here, so that this file does not say them itself.
FORBIDDEN = re.compile(
    "|".join(
        [rf"(?<![\w.~])/{folder}/" for folder in ("work", "root", "tmp")]
        + [re.escape(".".join(host)) for host in (("pypi", "org"), ("pythonhosted", "org"))]
        + ["npm" + "js"]
    )
)


@pytest.mark.parametrize("text", ["/work" + "/x", "see /root" + "/.cache", "('/tmp" + "/x')", "https://pypi" + ".org/"])
def test_the_pattern_of_machine_paths_and_registries_finds(text):
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("text", ["frame/work/x", "/worker/", "~/tmp/", "tf-keras-datasets/mnist.npz", "npm pack x"])
def test_the_pattern_of_machine_paths_and_registries_spares(text):
    assert not FORBIDDEN.search(text)


def test_no_tracked_text_names_this_machines_folders_or_a_registry():
    texts = tracked_texts()
    assert "pyproject.toml" in texts and len(texts) > 30
    guilty = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert guilty == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_exact_pins(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pin = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\d[\w.]*(; python_version [<>]=? \"3\.\d+\")?")
    loose = [line for line in lines if line and not pin.fullmatch(line) and line != "-r requirements.txt"]
    assert loose == []
    assert sum(bool(line) for line in lines) >= 3
