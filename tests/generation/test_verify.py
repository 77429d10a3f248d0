"""What `verify` and the same call of `generate` make of a set that is not as it was written."""

import os

import pytest

import alb_mixup
from alb_mixup.errors import OutputError
from alb_mixup.generation import run
from alb_mixup.generation.journal import decode, encode
from alb_mixup.generation.run import generate
from alb_mixup.generation.verify import verify
from tests.support import layouts, tree

SETTINGS = {"output_format": "yolo", "multiplier": 2, "progress": False}


@pytest.fixture
def dataset(tmp_path):
    return alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))


@pytest.fixture
def root(dataset, tmp_path):
    return generate(dataset, tmp_path / "mixed", **SETTINGS)


def edited(path):
    """Change one byte, and neither length nor time."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def emptied(path):
    path.write_bytes(b"")


def lengthened(path):
    path.write_bytes(path.read_bytes() + b"\n")


def removed(path):
    path.unlink()


IMAGE, LABELS = "images/train/mixup_000003.jpg", "labels/train/mixup_000006.txt"


@pytest.mark.parametrize("damage", [edited, emptied, lengthened, removed])
@pytest.mark.parametrize("path", [IMAGE, LABELS, "data.yaml", "manifest.csv", ".mixup/done.jsonl"])
def test_a_file_that_is_damaged_is_named_and_made_anew_and_no_other_is_touched(path, damage, root, dataset):
    whole = tree(root)
    times = {each: (root / each).stat().st_mtime_ns for each in whole if each.startswith(("images", "labels"))}
    damage(root / path)
    assert verify(root) == [f"{path} is missing" if damage is removed else f"{path} is not what was written"]
    generate(dataset, root, **SETTINGS)
    assert tree(root) == whole
    assert verify(root) == []
    if path != ".mixup/done.jsonl":  # or what it says is not done is done again
        number = path[-10:-4]
        others = {each: time for each, time in times.items() if not each.endswith((f"{number}.jpg", f"{number}.txt"))}
        assert {each: (root / each).stat().st_mtime_ns for each in others} == others


def test_all_that_is_damaged_is_named(root):
    edited(root / IMAGE)
    removed(root / LABELS)
    removed(root / "data.yaml")
    assert sorted(verify(root)) == [
        "data.yaml is missing",
        f"{IMAGE} is not what was written",
        f"{LABELS} is missing",
    ]


def test_a_set_that_is_not_finished_says_so(dataset, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_finish", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(dataset, tmp_path / "mixed", **SETTINGS)
    assert verify(tmp_path / "mixed") == ["it is not finished: the same call goes on from what is there"]


@pytest.mark.parametrize("text", [b"", b"[]", b"[1]", b"{}", b"null", b"5", b"{", b"\0" * 50, b"\xff", b"[" * 100_000])
def test_a_plan_that_cannot_be_read_is_an_error_that_says_what_to_do(text, root, dataset):
    (root / ".mixup" / "plan.json").write_bytes(text)
    before = tree(root)
    assert verify(root) == [".mixup/plan.json cannot be read"]
    with pytest.raises(OutputError, match=r"whose \.mixup/plan\.json is damaged: put that file back from a copy, or"):
        generate(dataset, root, **SETTINGS)
    assert tree(root) == before


@pytest.mark.parametrize("missing", ["files", "checks", "sources"])
def test_a_record_that_says_less_counts_as_not_done(missing, root, dataset):
    whole, journal = tree(root), root / ".mixup" / "done.jsonl"
    records = [decode(line) for line in journal.read_bytes().splitlines(keepends=True)]
    del records[5][missing]
    journal.write_bytes(b"".join(map(encode, records)))
    assert verify(root) == [".mixup/done.jsonl is not what was written"]
    generate(dataset, root, **SETTINGS)
    assert tree(root) == whole


def test_what_is_no_set_or_has_more_files_than_were_written_is_no_fault(root, tmp_path):
    assert verify(tmp_path / "nowhere") == verify(tmp_path / "source") == []
    (root / "images" / "train" / "mine.jpg").write_bytes(b"mine")
    assert verify(root) == []
    removed(root / ".mixup" / "plan.json")
    assert verify(root) == [".mixup/plan.json is missing"]
