"""Files that are written whole and read though damaged: what a kill or a full disk would cost."""

import hashlib

import pytest

from shared import files


def test_a_file_takes_the_place_of_the_old_one_when_it_is_all_there(tmp_path):
    (tmp_path / "map.txt").write_text("old")
    with files.written_whole(tmp_path / "map.txt") as partial:
        partial.write_text("new")
        assert (tmp_path / "map.txt").read_text() == "old"
    assert (tmp_path / "map.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["map.txt"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, disk_that_takes):
    files.write_text(tmp_path / "numbers.json", "酪")
    with disk_that_takes(10), pytest.raises(OSError, match="File too large"):
        files.write_text(tmp_path / "numbers.json", "x" * 11)
    assert (tmp_path / "numbers.json").read_text(encoding="utf-8") == "酪"
    assert [path.name for path in tmp_path.iterdir()] == ["numbers.json"]


def test_lines_that_are_cut_or_damaged_or_no_objects_are_passed_over(tmp_path):
    path = tmp_path / "log.jsonl"
    assert files.json_lines(path) == []
    path.write_bytes(b'{"step": 1}\n{"step" 2}\n\n{"step": \xff}\n[3]\n{"step": 4, "name": "\xff"}\n{"step": 5}\n{"st')
    assert [line["step"] for line in files.json_lines(path)] == [1, 4, 5]


def test_a_hash_is_of_the_whole_file_however_large(tmp_path):
    content = b"0123456789abcdef" * 200_000
    (tmp_path / "large").write_bytes(content)
    assert files.sha256(tmp_path / "large") == hashlib.sha256(content).hexdigest()
