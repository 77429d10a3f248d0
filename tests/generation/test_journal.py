"""What survives a stop: the journal of finished outputs, and files that are whole."""

import json

import pytest

from alb_mixup._support.files import write_whole
from alb_mixup.generation.journal import Journal


def journal(path, count=5, lost=()):
    return Journal(path, count, is_whole=lambda record: record["number"] not in lost)


def test_records_come_back_by_number_whatever_their_order(tmp_path):
    first = journal(tmp_path / "done.jsonl", 3)
    for number in (2, 0):
        first.add({"number": number, "text": "ü" * number})
    assert first.missing() == [1]
    first.close()
    again = journal(tmp_path / "done.jsonl", 3)
    assert again.missing() == [1]
    again.add({"number": 1})
    assert list(again) == [{"number": 0, "text": ""}, {"number": 1}, {"number": 2, "text": "üü"}]
    again.close()


@pytest.mark.parametrize("rest", [b'{"number": 3, "long": "' + b"x" * 500, b"{", b'{"number": 3}'])
def test_a_line_that_a_stop_has_cut_is_written_over(rest, tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_bytes(b'{"number": 1}\n' + rest)
    for number, missing in ((4, [0, 2, 3]), (0, [2, 3])):
        found = journal(path)
        found.add({"number": number})
        assert found.missing() == missing
        found.close()
    assert path.read_bytes() == b'{"number": 1}\n{"number": 4}\n{"number": 0}\n'


def test_an_output_that_is_gone_is_missing_and_its_new_record_counts(tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_text("".join(json.dumps({"number": number, "run": 1}) + "\n" for number in range(5)))
    found = journal(path, lost={1})
    assert found.missing() == [1]
    found.add({"number": 1, "run": 2})
    found.close()
    found = journal(path)
    assert [record["run"] for record in found] == [1, 2, 1, 1, 1]
    found.close()


def test_a_file_is_seen_whole_or_as_it_was(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    seen = []

    def pieces():
        for piece in (b"ne", b"w"):
            seen.append(target.read_bytes())
            yield piece

    write_whole(target, pieces(), tmp_path / "unfinished")
    assert seen == [b"old", b"old"]
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_midway_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def pieces():
        yield b"half"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(target, pieces(), tmp_path / "unfinished")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
