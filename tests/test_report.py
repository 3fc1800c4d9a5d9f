"""Documents that are made from the code and from results.json."""

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


def test_the_summary_counts_every_seed(monkeypatch):
    runs = [
        {"data_set": "mnist", "preset": "paper", "steps": 5000, "minutes": 40.0, "metrics": {"accuracy": accuracy}}
        for accuracy in (0.9, 0.96, 0.95)
    ]
    monkeypatch.setattr(make_report, "results_of", lambda system: runs)
    (row,) = make_report.summary_table(["infogan"]).splitlines()[2:]
    assert "| 3 | accuracy | 95.00% | 90.00% to 96.00% | 95.00% (arXiv 1606.03657) | 40 |" in row
