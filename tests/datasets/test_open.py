import json

import pytest

from alb_mixup import open_dataset
from alb_mixup.datasets import CocoDataset, VocDataset, YoloDataset
from alb_mixup.errors import ArgumentError, DatasetError, InvalidAnnotationWarning
from tests.support.voc_files import add as add_voc
from tests.support.voc_files import add_split, picture, save, voc_object


def coco(path, folder):
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"id": 1, "file_name": "a.png", "width": 40, "height": 30}
    path.write_text(json.dumps({"images": [entry], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}))
    save(folder / "a.png", picture())


def yolo(root, split="train", yaml="train: images/train\nval: images/val\nnames: [cat, dog]\n"):
    save(root / "images" / split / "a.png", picture())
    (root / "labels" / split).mkdir(parents=True)
    (root / "labels" / split / "a.txt").write_text("1 .5 .5 .1 .1\n")
    if yaml:
        (root / "data.yaml").write_text(yaml)


@pytest.mark.parametrize("flat", [False, True])
def test_voc(tmp_path, flat):
    add_voc(tmp_path, "a", voc_object(), flat=flat)
    add_split(tmp_path, "val", "a\n")
    assert type(open_dataset(tmp_path)) is VocDataset
    assert open_dataset(str(tmp_path), "val").split == "val"


@pytest.mark.parametrize("file", ["", "data.yaml"])
def test_yolo(tmp_path, file):
    yolo(tmp_path, "val")
    dataset = open_dataset(tmp_path / file, "val", classes=["dog"])
    assert type(dataset) is YoloDataset
    assert dataset.split == "val"
    assert dataset[0]["labels"] == ["dog"]


def test_yolo_is_train_by_default_and_may_lack_a_yaml(tmp_path):
    yolo(tmp_path, yaml=None)
    assert open_dataset(tmp_path, classes=["cat", "dog"])[0]["labels"] == ["dog"]


@pytest.mark.parametrize("file", ["", "annotations.json"])
def test_coco(tmp_path, file):
    coco(tmp_path / "annotations.json", tmp_path / "images")
    assert type(open_dataset(tmp_path / file)) is CocoDataset


@pytest.mark.parametrize("layout", ["annotations/instances_{}2017.json", "{}/_annotations.coco.json"])
def test_coco_splits(tmp_path, layout):
    for split in ("train", "val"):
        file = tmp_path / layout.format(split)
        coco(file, tmp_path / split if file.parent.name == split else tmp_path / "images" / f"{split}2017")
    assert open_dataset(tmp_path, "val").root.name.startswith("val")
    assert open_dataset(tmp_path).root.name.startswith("train")
    assert open_dataset(tmp_path).splits == ("train", "val")
    with pytest.raises(DatasetError, match=r"split must be one of train, val, got 'test' for .*: choose one"):
        open_dataset(tmp_path, "test")


def test_captions_beside_instances(tmp_path):
    coco(tmp_path / "annotations" / "instances_val2017.json", tmp_path / "val2017")
    (tmp_path / "annotations" / "captions_val2017.json").write_text("{}")
    assert len(open_dataset(tmp_path, "val")) == 1
    assert len(open_dataset(tmp_path, "val2017")) == 1


def test_what_is_none_of_them(tmp_path):
    with pytest.raises(DatasetError, match=r"path must be a dataset in COCO .* is none of them"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"path must be a dataset, got .*/gone, which does not exist"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(ArgumentError, match="path must be the path of a dataset"):
        open_dataset(None)


def test_what_may_be_two(tmp_path):
    yolo(tmp_path)
    add_voc(tmp_path, "a")
    with pytest.raises(
        DatasetError, match=r"looks like more than one: Pascal VOC, YOLO: choose with layout= one of voc, yolo"
    ):
        open_dataset(tmp_path)
    assert type(open_dataset(tmp_path, layout="yolo")) is YoloDataset
    assert type(open_dataset(tmp_path, layout="voc")) is VocDataset


def test_a_layout_that_is_named_is_that_which_is_opened(tmp_path):
    yolo(tmp_path / "yolo")
    with pytest.raises(DatasetError, match=r"root must hold XML files, .* got .*/yolo without any"):
        open_dataset(tmp_path / "yolo", layout="voc")
    with pytest.raises(DatasetError, match=r"annotations must be a COCO JSON file, got none in .*/yolo"):
        open_dataset(tmp_path / "yolo", layout="coco")
    assert type(open_dataset(tmp_path, layout="yolo")) is YoloDataset  # one folder below
    add_voc(tmp_path / "voc", "a", voc_object())
    assert type(open_dataset(tmp_path, layout="yolo")) is YoloDataset
    assert type(open_dataset(tmp_path, layout="voc")) is VocDataset
    with pytest.raises(DatasetError, match=r"holds voc \(Pascal VOC\), yolo \(YOLO\): give one of these folders"):
        open_dataset(tmp_path)


def test_what_may_be_two_is_not_chosen_from_one_folder_below_either(tmp_path):
    yolo(tmp_path / "set")
    add_voc(tmp_path / "set", "a")
    with pytest.raises(DatasetError, match=r"got .*/set, which looks like more than one: Pascal VOC, YOLO"):
        open_dataset(tmp_path)
    assert type(open_dataset(tmp_path, layout="voc")) is VocDataset


def test_folders_of_xml_files_side_by_side_are_datasets_of_which_none_is_chosen(tmp_path):
    for name in ("cats", "dogs"):
        add_voc(tmp_path / name, "a", voc_object(), flat=True)
    with pytest.raises(DatasetError, match=r"holds cats \(Pascal VOC\), dogs \(Pascal VOC\): give one of these"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="root must hold XML files"):
        VocDataset(tmp_path)
    (tmp_path / "dogs" / "a.xml").write_text("<project/>")
    assert open_dataset(tmp_path).image_path(0).parent.name == "cats"


def test_an_empty_path_is_not_the_working_directory(tmp_path, monkeypatch):
    """As `alb-mixup check "$DATA"` gives it where the variable is not set."""
    yolo(tmp_path)
    monkeypatch.chdir(tmp_path)
    for build in (open_dataset, VocDataset, YoloDataset, CocoDataset):
        with pytest.raises(ArgumentError, match=r"must be the path of .*, got '': give one, such as '.'"):
            build("")
    for argument in ("images", "annotations"):
        with pytest.raises(DatasetError, match=f"{argument} must be a folder, got '', which is neither here nor"):
            open_dataset(tmp_path, **{argument: ""})
    assert len(open_dataset(".")) == 1


def test_on_invalid_is_passed_on(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").write_text("1 .9 .5 .6 .1\n")
    with pytest.warns(InvalidAnnotationWarning, match="clipped"):
        assert len(open_dataset(tmp_path, on_invalid="clip").annotations(0)["labels"]) == 1
