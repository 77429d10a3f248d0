"""What the writers write, as our readers and other people's read it."""

import json
import warnings

import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

import alb_mixup
from alb_mixup.errors import ArgumentError, InvalidAnnotationWarning
from alb_mixup.functional.boxes import to_xyxy
from alb_mixup.generation.layout import WrittenImage
from alb_mixup.generation.layouts import LAYOUTS
from tests.support.layouts import CLASSES
from tests.support.voc_files import picture, save

HW = (60, 80)
# A box of exactly one pixel, thinner ones, the whole image, the far corner, fractions, two alike.
BOXES = [
    [3, 4, 4, 5], [10.25, 10.5, 10.75, 40], [0, 0, 80, 60], [79, 59, 80, 60], [79.5, 0, 80, 60],
    [1 / 3, 2 / 3, 50.1, 33.3], [7, 7, 9, 9], [7, 7, 9, 9],
]  # fmt: skip
IDS = [0, 1, 2, 0, 1, 2, 0, 0]
WEIGHTS = [1.0, 0.1, 1 / 3, 0.999, 1e-7, 0.5, 0.0, 0.25]


def write(root, output_format, images, *, classes=CLASSES, weights=True, **held):
    layout = LAYOUTS[output_format](classes, weights=weights, strict=not weights, **held)
    for image in images:
        save(root / layout.images / image.name, picture(*image.hw))
    labels = filter(None, map(layout.label_file, images))
    for path, text in [*labels, *((path, "".join(pieces)) for path, pieces in layout.index_files(lambda: images))]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def images():
    return [
        WrittenImage("a.png", HW, BOXES, IDS, WEIGHTS),
        WrittenImage("background.png", (20, 30), [], [], []),
        WrittenImage("c.png", HW, BOXES[:1], IDS[:1], WEIGHTS[:1]),
    ]


@pytest.mark.parametrize("output_format", LAYOUTS)
def test_our_readers_find_boxes_labels_and_weights(output_format, tmp_path):
    found = alb_mixup.open_dataset(write(tmp_path, output_format, images()))
    assert not found.invalid
    assert len(found) == 3
    for index, wanted in enumerate(images()):
        got = found.annotations(index)
        np.testing.assert_allclose(
            to_xyxy(got["bboxes"], found.bbox_format, wanted.hw), np.reshape(wanted.xyxy, (-1, 4)), atol=1e-4
        )
        assert got["labels"] == [CLASSES[number] for number in wanted.class_ids]
        np.testing.assert_array_equal(got["mixup_weight"], np.float32(wanted.weights))


@st.composite
def boxes(draw):
    sides = []
    for side in (HW[1], HW[0]):
        low = draw(st.floats(0, side - 0.0625, width=32))
        sides.append((low, draw(st.floats(low + 0.03125, side))))
    (x1, x2), (y1, y2) = sides
    return [x1, y1, x2, y2]


@given(
    found=st.lists(st.tuples(boxes(), st.floats(0, 1, width=32)), max_size=6), output_format=st.sampled_from([*LAYOUTS])
)
@settings(max_examples=60, deadline=None)
def test_any_boxes_survive(found, output_format, tmp_path_factory):
    xyxy, weights = [box for box, _ in found], [weight for _, weight in found]
    image = WrittenImage("a.png", HW, xyxy, [0] * len(found), weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)  # weights that are all 0 or 1 may be flags
        dataset = alb_mixup.open_dataset(write(tmp_path_factory.mktemp("any"), output_format, [image]))
    got = dataset.annotations(0)
    np.testing.assert_allclose(to_xyxy(got["bboxes"], dataset.bbox_format, HW), np.reshape(xyxy, (-1, 4)), atol=1e-4)
    np.testing.assert_array_equal(got["mixup_weight"], np.float32(weights))


def test_pycocotools_reads_coco(tmp_path):
    coco = COCO(str(write(tmp_path, "coco", images()) / "annotations.json"))
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == CLASSES
    np.testing.assert_allclose([a["bbox"] for a in found], [[a, b, c - a, d - b] for a, b, c, d in BOXES], atol=1e-4)
    np.testing.assert_allclose([a["area"] for a in found], [(c - a) * (d - b) for a, b, c, d in BOXES], rtol=1e-4)
    np.testing.assert_allclose([a["mixup_weight"] for a in found], WEIGHTS, rtol=1e-6)
    assert [image["file_name"] for image in coco.loadImgs([1, 2, 3])] == ["a.png", "background.png", "c.png"]


def test_supervision_reads_strict_yolo(tmp_path):
    root = write(tmp_path, "yolo", images(), weights=False)
    found = sv.DetectionDataset.from_yolo(
        str(root / "images/train"), str(root / "labels/train"), str(root / "data.yaml"), is_obb=False
    )
    assert found.classes == CLASSES
    detections = found.annotations[str(root / "images/train/a.png")]
    np.testing.assert_allclose(detections.xyxy, BOXES, atol=0.01)
    assert detections.class_id.tolist() == IDS


def test_supervision_reads_strict_voc_whose_corners_are_whole(tmp_path):
    root = write(tmp_path, "voc", images(), weights=False)
    found = sv.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))
    detections = found.annotations[str(root / "JPEGImages/a.png")]
    assert [found.classes[number] for number in detections.class_id] == [CLASSES[number] for number in IDS]
    xyxy = detections.xyxy
    assert (xyxy == np.rint(xyxy)).all()
    assert ((xyxy >= 0) & (xyxy <= [80, 60, 80, 60])).all()
    assert (xyxy[:, 2:] - xyxy[:, :2] >= 2).all()  # what begins and ends at one pixel is no box to most readers
    assert np.abs(xyxy - BOXES).max() <= 1.5
    wide = [2, 5, 6, 7]
    assert np.abs(xyxy[wide] - np.array(BOXES)[wide]).max() <= 0.5


@pytest.mark.parametrize("output_format", LAYOUTS)
def test_strict_files_have_no_weights(output_format, tmp_path):
    root = write(tmp_path, output_format, images(), weights=False)
    found = alb_mixup.open_dataset(root)
    assert not found.invalid
    assert (found.annotations(0)["mixup_weight"] == 1).all()
    assert len(found.annotations(0)["bboxes"]) == len(BOXES)
    assert not any("mixup" in path.read_text("utf-8") for path in root.rglob("*") if path.suffix in {".json", ".xml"})
    rows = [path.read_text().splitlines() for path in root.rglob("*.txt") if path.stem == "a"]
    assert all(len(row.split()) == 5 for lines in rows for row in lines)


def test_coco_without_boxes_or_images_is_json(tmp_path):
    write(tmp_path, "coco", [WrittenImage("a.png", HW, [], [], [])])
    assert json.loads((tmp_path / "annotations.json").read_text())["annotations"] == []


@pytest.mark.parametrize("name", ["", " cat", "cat\n", "\x01", "\ud800"])
def test_names_that_xml_would_change_are_refused(name):
    with pytest.raises(ArgumentError, match="output_format must be able to hold every class name"):
        LAYOUTS["voc"]([name], weights=True)


def test_a_name_that_no_file_can_hold_is_refused():
    for output_format in LAYOUTS:
        with pytest.raises(ArgumentError, match="output_format must be able to hold"):
            LAYOUTS[output_format](["\ud800"], weights=True)


@pytest.mark.parametrize("output_format", LAYOUTS)
def test_names_with_line_ends_of_other_systems_are_read_back_as_they_are(output_format, tmp_path):
    names = ["a\rb", "c\x85d", "e\nf", "g\r\nh", "é \u2028i"]  # a plain \r in XML and NEL in YAML are read as others
    image = WrittenImage("0.png", (30, 40), [(1.0, 2.0, 9.0, 8.0)] * 5, list(range(5)), [1.0] * 5)
    root = write(tmp_path, output_format, [image], classes=names)
    found = alb_mixup.open_dataset(root, on_invalid="raise")
    assert found.annotations(0)["labels"] == names
