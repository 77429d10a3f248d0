"""What people's tools export opens as it is, and reads as an independent reader reads it."""

import warnings

import numpy as np
import pytest
import supervision as sv
import yaml
from pycocotools.coco import COCO

from alb_mixup import open_dataset
from alb_mixup.datasets import CocoDataset, VocDataset, YoloDataset
from alb_mixup.datasets.images.verify import decode_fault, image_fault
from alb_mixup.errors import DatasetError
from tests.support.exports import MAKERS, read

CLASSES = {"coco": CocoDataset, "voc": VocDataset, "yolo": YoloDataset}
NESTED = {"cvat_voc_of_folders", "annotations_in_xmls"}  # supervision looks into no folder's folders
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each
def test_an_export_just_opens(tmp_path, make):
    expected = make(tmp_path)
    dataset = open_dataset(tmp_path, on_invalid="raise")
    assert type(dataset) is CLASSES[expected.layout]
    assert read(dataset) == expected.boxes
    assert set(dataset.classes) == set(expected.names)
    assert sorted(dataset.splits) == sorted(expected.splits)
    assert dataset.invalid == dataset.unlabelled == dataset.orphans == ()
    for index in range(len(dataset)):
        path, size = dataset.image_path(index), dataset._stated_size(index)
        assert image_fault(path, size) is decode_fault(path, size) is None
        assert dataset[index]["image"].shape[:2] == dataset.image_size(index)


@each
def test_its_other_split_opens_too_and_no_split_is_opened_in_place_of_another(tmp_path, make):
    expected = make(tmp_path)
    if expected.other is not None:
        split, boxes = expected.other
        assert read(open_dataset(tmp_path, split, on_invalid="raise")) == boxes
    with pytest.raises(DatasetError, match=r"split must be .*, got 'nonsense'") as caught:
        open_dataset(tmp_path, "nonsense")
    assert all(split in str(caught.value) for split in expected.splits)


@each
def test_the_layout_may_be_named(tmp_path, make):
    expected = make(tmp_path)
    assert read(open_dataset(tmp_path, layout=expected.layout)) == expected.boxes


def supervision(expected, tmp_path):
    """What supervision makes of the same files."""
    if expected.layout == "coco":
        data = sv.DetectionDataset.from_coco(str(expected.images), str(expected.labels))
    elif expected.layout == "voc":
        data = sv.DetectionDataset.from_pascal_voc(str(expected.images), str(expected.labels))
    else:
        settings = tmp_path / "names-for-supervision.yaml"
        settings.write_text(yaml.safe_dump({"names": expected.names}))
        data = sv.DetectionDataset.from_yolo(str(expected.images), str(expected.labels), str(settings))
        settings.unlink()
    found = {}
    for path, detections in data.annotations.items():
        rows = zip(detections.class_id, detections.xyxy.round(3).tolist(), strict=True)
        found[path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]] = [
            (data.classes[number], tuple(box)) for number, box in rows
        ]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [make for name, make in MAKERS.items() if name not in {"lvis", "via_coco", *NESTED}])
def test_supervision_reads_the_same_boxes(tmp_path, make):
    expected = make(tmp_path)
    theirs = supervision(expected, tmp_path)
    for stem, rows in read(open_dataset(tmp_path)).items():
        assert [label for label, _ in rows] == [label for label, _ in theirs[stem]]
        ours, their = ([box for _, box in found] for found in (rows, theirs[stem]))
        np.testing.assert_allclose(np.reshape(ours, (-1, 4)), np.reshape(their, (-1, 4)), atol=0.01)


@pytest.mark.parametrize("make", [make for name, make in MAKERS.items() if name.endswith("coco") or name == "lvis"])
def test_pycocotools_reads_the_same_boxes(tmp_path, make, capsys):
    expected = make(tmp_path)
    theirs, ours = COCO(str(expected.labels)), open_dataset(tmp_path)
    for number, image in enumerate(theirs.dataset["images"]):
        rows = [row for row in theirs.dataset["annotations"] if int(row["image_id"]) == image["id"]]
        found = ours.annotations(number)
        assert found["labels"] == [theirs.cats[row["category_id"]]["name"] for row in rows]
        np.testing.assert_allclose(found["bboxes"], np.reshape([row["bbox"] for row in rows], (-1, 4)), atol=0.01)


def test_nothing_is_warned_of(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, make in MAKERS.items():
            make(tmp_path / name)
            open_dataset(tmp_path / name)


def test_one_folder_too_high_names_the_datasets_below(tmp_path):
    for name in ("label_studio_yolo", "kaggle_voc", "fiftyone_coco"):
        MAKERS[name](tmp_path / "all" / name)
    says = r"holds fiftyone_coco \(COCO\), kaggle_voc \(Pascal VOC\), label_studio_yolo \(YOLO\): give one of"
    with pytest.raises(DatasetError, match=says):
        open_dataset(tmp_path / "all")
    with pytest.raises(DatasetError, match=r"holds all/fiftyone_coco \(COCO\), all/kaggle_voc"):
        open_dataset(tmp_path)
