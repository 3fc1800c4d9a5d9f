"""Documents that are made from the code and from results.json."""

import importlib
from pathlib import Path

import pytest

import make_report
from shared.flags import UserError


def test_no_document_says_what_the_code_or_the_results_no_longer_do():
    stale = [path.name for path, text in make_report.documents().items() if path.read_text() != text]
    assert stale == [], "run: make report"


def test_a_readme_without_the_marks_is_refused_and_not_overwritten(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no marks")
    with pytest.raises(UserError, match="lacks the lines"):
        make_report.with_table(readme, "| a table |\n")


def test_the_summary_counts_every_run_and_keeps_runs_of_other_kinds_apart(monkeypatch):
    def run(seed, accuracy, precision="float32", flags="--preset paper", data="abc"):
        command = f"python code/infogan/train_mnist.py {flags} --seed {seed}"
        kind = {"data_set": "mnist", "preset": "paper", "steps": 5000, "precision": precision, "command": command}
        kind |= {"data_sha256": data}
        metrics = {"accuracy": accuracy, "mutual_information_bound": 2.25}
        return {**kind, "seed": seed, "minutes": 40.0, "metrics": metrics}

    runs = [run(seed, accuracy) for seed, accuracy in ((1, 0.9), (2, 0.96), (3, 0.95))]
    runs += [run(4, 0.94, flags="--preset paper --log-every=50 --unverified_data --max_epochs 11"), run(3, 0.95)]
    runs += [run(1, 0.5, precision="mixed_bfloat16"), run(2, 0.4, flags="--preset paper --lr_g 0.1")]
    runs += [run(5, 0.3, data="another")]
    there = [run(seed, accuracy, flags="--seeds 7 8 --preset paper") for seed, accuracy in ((7, 0.2), (8, 0.1))]
    runs += [elsewhere | {"device": "a GPU", "minutes": 0.24} for elsewhere in there]
    monkeypatch.setattr(make_report, "results_of", lambda system: runs)
    rows = make_report.summary_table(["infogan"]).splitlines()[2:]
    assert len(rows) == 5
    (row,) = (row for row in rows if "| float32 | 5,000 | 40 | 5 |" in row)
    bound = "mutual information bound 2.25"
    assert f"| accuracy 95.00% (90.00% to 96.00%)<br>{bound} (2.25 to 2.25) |" in row
    assert row.endswith("| accuracy 95.00%<br>(arXiv 1606.03657) |")
    assert sum(f"| 1 | accuracy 50.00%<br>{bound} |" in row for row in rows) == 1
    assert sum("| 1 | accuracy" in row for row in rows) == 3
    (there,) = (row for row in rows if "| float32, a GPU | 5,000 | 0.2 | 2 |" in row)
    assert "| accuracy 15.00% (10.00% to 20.00%)<br>" in there


def test_a_metric_that_some_runs_lack_is_shown_of_how_many_it_is_and_one_that_none_has_is_not():
    runs = [{"metrics": {"s_accuracy": 0.9, "z_accuracy": accuracy}} for accuracy in (0.1, 0.3)]
    runs += [{"metrics": {"s_accuracy": 0.9}}]
    assert list(make_report.measured("cycle_vae", runs)) == [
        "s accuracy 90.00% (90.00% to 90.00%)",
        "z accuracy 20.00% (10.00% to 30.00%, 2 of 3 runs)",
    ]
    assert list(make_report.published("cycle_vae", "mnist", runs)) == [
        "s accuracy 98.35%",
        "z accuracy 17.56%",
        "(arXiv 1804.10469)",
    ]
    assert list(make_report.published("cycle_vae", "mnist", runs[2:])) == ["s accuracy 98.35%", "(arXiv 1804.10469)"]


@pytest.mark.parametrize("document", make_report.originals())
def test_every_default_is_the_originals_and_its_flags_are_taken(document):
    system, _, data_set = document.rpartition("_")
    config = importlib.import_module(f"{system}.config")
    preset = config.PRESETS[make_report.ARCHITECTURES[system, data_set][0]]
    aliases = {
        "infogan": {"num_z": "--zlen", "batch_size": "--bsize", "max_epochs": "--maxepoch", "lr_d": "--lr"},
        "vae_gan": {"max_epochs": "--n_epoch"},
        "cycle_vae": {"max_epochs": "--end_epoch"},
    }
    for name, (flag, value) in make_report.originals()[document].items():
        assert name in make_report.flags_of(config.Config)
        ours = getattr(preset, name)
        assert (list(ours) if isinstance(ours, tuple) else str(ours) if isinstance(ours, Path) else ours) == value, name
        assert flag in (None, f"--{name}") or flag == aliases[system][name]


def test_flags_that_the_command_line_does_not_have_are_in_no_document():
    named = {name for system in make_report.METRICS
             for name in make_report.flags_of(importlib.import_module(f"{system}.config").Config)}  # fmt: skip
    assert "batch_size" in named and not named & {"data_set", "image_size", "channels", "seed"}
