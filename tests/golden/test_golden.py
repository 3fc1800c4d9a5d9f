"""The originals' numbers, and the script that compares ours with them: it must fail when a number is off."""

import importlib.util
import io
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

GOLDEN = Path(__file__).parent
SCRIPT = GOLDEN / "compare.py"
FILES = sorted(GOLDEN.glob("*.npz"))
INFOGAN = GOLDEN / "infogan_seed1.npz"
# What a file holds besides outputs; of the last line each has a check of its own.
NO_OUTPUTS = {"x", "z", "c", "y", "adv_loss", "categorical", "continuous", "reparameterization_noise", "prior_sample"}
NO_OUTPUTS |= {"image_1", "image_2", "reverse_image_1", "reverse_image_2", "noise_1", "noise_2", "reverse_z"}
NO_OUTPUTS |= {"system", "seed", "variables", "loss_names", "loss_history", "final_l2", "final_sum"}


def load_script():
    specification = importlib.util.spec_from_file_location("compare", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


compare = load_script()


@cache
def golden_and_ours(path):
    golden = dict(np.load(path))
    adapter = importlib.import_module(compare.ADAPTERS[str(golden["system"])])
    return golden, adapter.numbers(golden)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_port_gives_the_originals_numbers(path):
    golden, ours = golden_and_ours(path)
    differences = compare.compare(golden, ours)
    exceeded = [f"{d.quantity}: {d.relative:.2e}, bound {d.bound:.0e}" for d in differences if d.exceeded]
    assert exceeded == []
    bounded = {d.quantity for d in differences if d.bound is not None}
    assert set(golden) - NO_OUTPUTS <= bounded
    assert {name for name in golden if name.endswith("gradient_norms")} | {"final_l2 of kernels"} <= bounded
    assert {f"step {row} {name}" for row in (1, 2) for name in golden["loss_names"]} <= bounded


def test_every_system_that_the_script_knows_has_a_golden_file_here():
    assert {str(np.load(path)["system"]) for path in FILES} == set(compare.ADAPTERS)


# Exit statuses


@pytest.fixture
def status(monkeypatch, tmp_path):
    """Exit status of the script for InfoGAN's golden file with some numbers changed, and ours as they are."""

    def run(golden, ours):
        path = tmp_path / "changed.npz"
        np.savez(path, **golden)
        monkeypatch.setitem(sys.modules, "numbers_at_hand", SimpleNamespace(numbers=lambda _: ours))
        monkeypatch.setitem(compare.ADAPTERS, "infogan", "numbers_at_hand")
        return status_of(path, monkeypatch)

    return run


def status_of(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", str(path)])
    with pytest.raises(SystemExit) as exit_:
        compare.flags.run(compare.main)
    return exit_.value.code


def changed(numbers, name, index, factor):
    array = np.array(numbers[name], float)
    array[index] *= factor
    return {**numbers, name: array}


CONV_KERNEL, CONV_BIAS_BEFORE_BATCH_NORM = 2, 3
GENERATED = (0, 14, 14, 0)


def test_the_perturbed_variables_are_the_ones_that_are_meant():
    golden, _ = golden_and_ours(INFOGAN)
    kinds = [str(variable).split("|")[1] for variable in golden["variables"]]
    assert kinds[CONV_KERNEL : CONV_KERNEL + 3] == ["kernel", "bias", "beta"]


def test_numbers_within_their_bounds_exit_0(status, capsys):
    assert status(*golden_and_ours(INFOGAN)) == 0
    assert "EXCEEDED" not in capsys.readouterr().out


@pytest.mark.parametrize("name, index, factor, quantity", [
    ("training_d_loss", (), 1.0003, "training_d_loss"),
    ("training_q_logits", (0, 0), 30.0, "training_q_logits"),
    ("inference_generated", GENERATED, 2.0, "inference_generated"),
    ("gradient_norms", CONV_KERNEL, 1.003, "gradient_norms"),
    ("loss_history", (0, 1), 1.0003, "step 1 d_mutual_information_bound"),
    ("loss_history", (1, 2), 1.03, "step 2 g_gan_loss"),
    ("final_l2", CONV_KERNEL, 1.003, "final_l2 of kernels"),
])  # fmt: skip
def test_a_number_beyond_its_bound_exits_1_and_is_named(status, capsys, name, index, factor, quantity):
    golden, ours = golden_and_ours(INFOGAN)
    assert status(changed(golden, name, index, factor), ours) == 1
    beyond = [line for line in capsys.readouterr().out.splitlines() if line.endswith("EXCEEDED")]
    assert len(beyond) == 1 and beyond[0].strip().startswith(f"{quantity} ")


@pytest.mark.parametrize("name, index, factor", [
    ("training_d_loss", (), 1.00003),
    ("gradient_norms", CONV_KERNEL, 1.0003),
    ("gradient_norms", CONV_BIAS_BEFORE_BATCH_NORM, 2.0),
    ("loss_history", (1, 2), 1.003),
    ("loss_history", (2, 2), 2.0),
    ("final_l2", CONV_KERNEL, 1.0003),
    ("final_l2", CONV_BIAS_BEFORE_BATCH_NORM, 2.0),
])  # fmt: skip
def test_a_difference_that_the_bounds_allow_exits_0(status, name, index, factor):
    golden, ours = golden_and_ours(INFOGAN)
    assert status(changed(golden, name, index, factor), ours) == 0


@pytest.mark.parametrize("name, index", [
    ("training_d_loss", ()),
    ("inference_generated", GENERATED),
    ("gradient_norms", CONV_KERNEL),
    ("loss_history", (0, 0)),
    ("loss_history", (1, 3)),
    ("final_l2", CONV_KERNEL),
])  # fmt: skip
def test_a_nan_of_ours_counts_as_exceeded(status, name, index):
    golden, ours = golden_and_ours(INFOGAN)
    assert status(golden, changed(ours, name, index, np.nan)) == 1


def test_a_number_of_another_shape_counts_as_exceeded(status):
    golden, ours = golden_and_ours(INFOGAN)
    assert status(golden, {**ours, "inference_generated": ours["inference_generated"][..., 0]}) == 1


def array_file():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 9]) + content[middle + 9 :]


@pytest.mark.parametrize("content, told", [
    (b"not an archive", "is not a golden file"),
    (cut(INFOGAN.read_bytes()), "is not a golden file"),
    (INFOGAN.read_bytes().replace(b"system.npy", b"sistem.npy"), "is not a golden file"),
    (flipped(INFOGAN.read_bytes()), "is not a golden file"),
    (array_file(), "is not a golden file"),
    (b"", "is not a golden file"),
    (None, "No such file"),
], ids=["text", "cut", "without its system", "flipped bits", "one array", "empty", "missing"])  # fmt: skip
def test_a_file_that_cannot_be_read_exits_2(monkeypatch, tmp_path, capsys, content, told):
    path = tmp_path / "file.npz"
    if content is not None:
        path.write_bytes(content)
    assert status_of(path, monkeypatch) == 2
    complaint = capsys.readouterr().err
    assert told in complaint and str(path) in complaint


def test_an_unknown_system_exits_2_and_lists_the_known_ones(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, **{**golden_and_ours(INFOGAN)[0], "system": "stylegan"})
    process = subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True, cwd=tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith(f"compare.py: {path}: unknown system stylegan; known are infogan, ")
    assert process.stderr.count("\n") == 1


def test_a_golden_file_that_lacks_a_number_is_named_and_is_no_exceeded_bound(status, tmp_path, capsys):
    golden, ours = golden_and_ours(INFOGAN)
    assert status({name: golden[name] for name in golden if name != "loss_history"}, ours) == 2
    complaint = capsys.readouterr().err
    assert f"{tmp_path / 'changed.npz'} is not a golden file of infogan: it lacks 'loss_history'" in complaint
