"""`alb-mixup convert`, as a shell sees it."""

import json

import pytest

import alb_mixup
from alb_mixup.cli import main
from tests.generation.test_run import FORMATS, tree
from tests.support import layouts, shaped
from tests.support.voc_files import add, voc_object


@pytest.mark.parametrize("output_format", FORMATS)
def test_it_writes_what_write_dataset_writes(output_format, tmp_path, capsys):
    source = layouts.write_yolo(tmp_path / "source")
    assert main(["convert", str(source), str(tmp_path / "m"), "--format", output_format]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'm'} holds 4 images of {source}\n"
    dataset = alb_mixup.open_dataset(source)
    wanted = alb_mixup.write_dataset(dataset, tmp_path / "wanted", output_format=output_format, progress=False)
    assert tree(tmp_path / "m") == tree(wanted)


def test_options_reach_the_writer(tmp_path, capsys):
    file = shaped.write(tmp_path)
    (tmp_path / "val").mkdir()
    options = ["--format", "yolo", "--masks", "--image-format", "jpg", "--quality", "80", "--workers", "2", "--quiet"]
    options += ["--drop-weights", "--val", str(tmp_path / "val"), "--classes", "kite,person"]
    assert main(["convert", str(file), str(tmp_path / "m"), *options]) == 0
    assert capsys.readouterr() == ("", "")
    dataset = alb_mixup.open_dataset(file, masks=True, classes=["kite", "person"])
    settings = {"output_format": "yolo", "image_format": "jpg", "quality": 80, "drop_weights": True}
    wanted = alb_mixup.write_dataset(dataset, tmp_path / "w", val=tmp_path / "val", progress=False, **settings)
    assert tree(tmp_path / "m") == tree(wanted)
    assert main(["convert", str(file), str(tmp_path / "k"), "--keypoints", "--masks", "-q"]) == 0
    assert {"keypoints", "segmentation"} <= json.loads((tmp_path / "k/annotations.json").read_text())["annotations"][
        0
    ].keys()


def test_what_is_left_out_is_said(tmp_path, capsys):
    add(tmp_path / "voc", "a", voc_object(), voc_object("dog", (5, 6, 9, 9), "<difficult>1</difficult>"))
    add(tmp_path / "voc", "b", voc_object("cat", (5, 6, 99, 9)))
    assert main(["convert", str(tmp_path / "voc"), str(tmp_path / "m")]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("; 1 difficult left out\n")
    assert "1 invalid annotation left out, such as Annotations/b.xml, object 0" in said.err
    assert main(["convert", str(tmp_path / "voc"), str(tmp_path / "n"), "--on-invalid", "raise"]) == 2
    assert not (tmp_path / "n").exists()
    assert main(["convert", str(tmp_path / "voc"), str(tmp_path / "k"), "--keep-difficult"]) == 0
    assert len(json.loads((tmp_path / "k/annotations.json").read_text())["annotations"]) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--masks", "--format", "voc"], "--format must be able to hold masks, got 'voc'"),
        (["--masks", "--keypoints", "--format", "yolo"], "--format must be able to hold masks beside keypoints"),
        (["--val", "."], "--val must come with --format yolo"),
        (["--format", "pascal"], "--format must be one of coco, yolo, voc, got 'pascal'"),
        (["--split", "test"], "split must be"),
    ],
)
def test_one_line_says_what_is_wrong(options, says, tmp_path, capsys):
    file = shaped.write(tmp_path)
    assert main(["convert", str(file), str(tmp_path / "m"), *options]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    source = layouts.write_voc(tmp_path / "source")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("mine")
    assert main(["convert", str(source), str(tmp_path / "m")]) == 2
    assert "DST must be a new or an empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["mine.txt"]


def test_generate_takes_masks_and_keypoints(tmp_path):
    file = shaped.write(tmp_path)
    assert main(["generate", str(file), str(tmp_path / "m"), "--masks", "--keypoints", "-q"]) == 0
    entries = json.loads((tmp_path / "m/annotations.json").read_text())["annotations"]
    assert all({"keypoints", "segmentation"} <= entry.keys() for entry in entries)
