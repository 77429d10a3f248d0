"""Nothing outside of the destination is written or deleted, whatever links are in it."""

import os
import shutil

import pytest

import alb_mixup
from alb_mixup.errors import OutputError
from alb_mixup.generation.destination import Folder
from alb_mixup.generation.run import generate
from alb_mixup.generation.verify import verify
from tests.support import layouts, tree

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights there")
SETTINGS = {"output_format": "yolo", "progress": False}


@pytest.fixture
def dataset(tmp_path):
    return alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))


@pytest.fixture
def elsewhere(tmp_path):
    """What somebody else has, with the names that ours have."""
    folder = tmp_path / "elsewhere"
    for name in ("unfinished/mine", "plan.json", "done.jsonl", "train/mixup_000000.jpg", "mixup_000000.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine")
    return folder


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize("link", [".mixup", ".mixup/unfinished", "images", "images/train", "labels/train"])
def test_a_folder_that_is_a_link_is_refused_and_nothing_behind_it_is_touched(
    link, is_finished, dataset, elsewhere, tmp_path
):
    root, before = tmp_path / "mixed", tree(elsewhere)
    if is_finished:
        generate(dataset, root, **SETTINGS)
        (root / "manifest.csv").unlink()  # so that there is something to write
        if (root / link).exists():
            shutil.copytree(root / link, elsewhere, dirs_exist_ok=True)
            shutil.rmtree(root / link)
            before = tree(elsewhere)
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(OutputError, match="destination must "):
        generate(dataset, root, **SETTINGS)
    assert tree(elsewhere) == before


@pytest.mark.parametrize("path", [".mixup/done.jsonl", ".mixup/finished.json",
                                  "images/train/mixup_000001.jpg", "labels/train/mixup_000001.txt", "data.yaml",
                                  "manifest.csv"])  # fmt: skip
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "pipe"])
def test_a_file_that_leads_elsewhere_is_replaced_by_one_of_its_own(path, kind, dataset, tmp_path):
    whole = tree(generate(dataset, tmp_path / "mixed", **SETTINGS))
    there, other = tmp_path / "mixed" / path, tmp_path / "other"
    content = there.read_bytes()
    there.unlink()
    if kind != "dangling":
        other.write_bytes(content)
    if kind == "pipe":
        os.mkfifo(there)
    elif kind == "hard link":
        os.link(other, there)
    else:
        there.symlink_to(other)
    if kind != "hard link":
        assert verify(tmp_path / "mixed") != []
    else:
        content = content[:-1]
        there.write_bytes(content)  # or there is nothing to write
    generate(dataset, tmp_path / "mixed", **SETTINGS)
    assert tree(tmp_path / "mixed") == whole
    assert not there.is_symlink()
    assert not other.exists() if kind == "dangling" else other.read_bytes() == content


def test_a_plan_that_leads_elsewhere_is_none(dataset, tmp_path):
    root = generate(dataset, tmp_path / "mixed", **SETTINGS)
    plan = shutil.move(root / ".mixup" / "plan.json", tmp_path / "other")
    (root / ".mixup" / "plan.json").symlink_to(plan)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="which holds something else: nothing is overwritten; take another folder"):
        generate(dataset, root, **SETTINGS)
    assert tree(tmp_path) == before


def test_the_destination_itself_may_be_a_link(dataset, tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "mixed").symlink_to(tmp_path / "large disk")
    generate(dataset, tmp_path / "mixed", **SETTINGS)
    assert tree(tmp_path / "large disk") == tree(generate(dataset, tmp_path / "whole", **SETTINGS))
    assert verify(tmp_path / "mixed") == []


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/outside", "\\outside"])
def test_a_record_that_names_a_path_outside_reaches_nothing(path, tmp_path):
    (tmp_path / "outside").write_bytes(b"mine")
    folder = Folder(tmp_path / "mixed")
    for call in (folder.read, folder.check, folder.remove, lambda path: folder.write(path, [b"ours"])):
        with pytest.raises(ValueError, match="outside"):
            call(path)
    assert tree(tmp_path) == {"outside": b"mine"}
