"""What survives a stop: the journal of finished outputs, and files that are whole."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alb_mixup._support.files import write_whole
from alb_mixup.generation.journal import Journal, decode, encode


def journal(path, count=5):
    path.touch()
    return Journal(open(path, "r+b"), count)


def line(number, **more):
    return encode({"number": number, **more})


def test_records_come_back_by_number_whatever_their_order(tmp_path):
    first = journal(tmp_path / "done.jsonl", 3)
    for number in (2, 0):
        first.add([{"number": number, "text": "ü" * number}])
    assert first.missing() == [1]
    first.close()
    again = journal(tmp_path / "done.jsonl", 3)
    assert again.missing() == [1]
    again.add([{"number": 1}])
    assert list(again) == [{"number": 0, "text": ""}, {"number": 1}, {"number": 2, "text": "üü"}]
    again.close()


@pytest.mark.parametrize(
    "rest", [b'{"number": 3, "long": "' + b"x" * 500, b"{", b'{"number": 3}', line(3)[:-1], b"\0" * 99]
)
def test_a_line_that_a_stop_has_cut_is_written_over(rest, tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_bytes(line(1) + rest)
    for number, missing in ((4, [0, 2, 3]), (0, [2, 3])):
        found = journal(path)
        found.add([{"number": number}])
        assert found.missing() == missing
        found.close()
    assert path.read_bytes() == line(1) + line(4) + line(0)


@pytest.mark.parametrize(
    "damaged",
    [
        line(3).replace(b"3", b"2", 1),
        line(3).replace(b" ", b"  ", 1),
        b'{"number": 3}\n',
        b"\0" * 40 + b"\n",
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b"[3]\n",
        b"\n",
        *(encode({"number": number}) for number in (-2, -1, 5, 10**30, True, None, "3", 3.0, [3])),
        encode({"name": "3"}),
    ],
)
def test_a_line_that_is_not_a_record_counts_as_not_done(damaged, tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_bytes(line(1) + damaged + line(4))
    found = journal(path)
    assert found.missing() == [0, 2, 3]
    found.add([{"number": 3, "run": 2}, {"number": 0}])
    assert list(found) == [{"number": 0}, {"number": 1}, {"number": 3, "run": 2}, {"number": 4}]
    assert b"".join(found.lines()) == line(0) + line(1) + line(3, run=2) + line(4)
    found.close()


def test_an_output_that_is_forgotten_is_missing_and_its_new_record_counts(tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_bytes(b"".join(line(number, run=1) for number in range(5)))
    found = journal(path)
    found.forget([1])
    assert found.missing() == [1]
    assert [record["number"] for record in found] == [0, 2, 3, 4]
    found.add([{"number": 1, "run": 2}])
    found.close()
    found = journal(path)
    assert [record["run"] for record in found] == [1, 2, 1, 1, 1]
    found.close()


VALUES = st.none() | st.floats() | st.integers() | st.text()


@given(record=st.dictionaries(st.text(), VALUES | st.lists(VALUES)))
@settings(max_examples=50)
def test_a_record_comes_back_as_it_was_and_is_a_line_of_json(record):
    record = {"number": 1, **record}
    record.pop("crc32", None)
    encoded = encode(record)
    assert encoded.count(b"\n") == 1
    assert encode(decode(encoded)) == encoded
    assert json.loads(encoded)["number"] == record["number"]


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
