import json
import pickle
import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from alb_mixup import MixUp
from alb_mixup.datasets import CocoDataset, from_spec
from alb_mixup.datasets.annotations.shapes import draw_ring, shape_from_coco
from alb_mixup.errors import AnnotationError, ArgumentError, DatasetError, ImageReadError, InvalidAnnotationWarning
from tests.support.voc_files import picture, save

CATEGORIES = [{"id": 90, "name": "Käfer"}, {"id": 3, "name": "big dog"}, {"id": 7, "name": "猫"}]


def image(key, name="a.png", **more):
    return {"id": key, "file_name": name, "width": 40, "height": 30, **more}


def box(key, bbox=(2, 3, 10, 12), category=3, **more):
    return {"image_id": key, "category_id": category, "bbox": list(bbox), **more}


def write(root: Path, images, annotations=(), categories=CATEGORIES, file="instances.json", make=True):
    """Write a dataset, and its images below `images/`."""
    for entry in images if make else ():
        save(root / "images" / entry["file_name"], picture())
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"images": images, "annotations": list(annotations), "categories": categories}
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def oddities(root: Path):
    """Sparse ids, background, crowd, odd names and suffixes, duplicates, and boxes out of range by rounding."""
    names = ["a b.JPG", "b.jpeg", "ü 猫.png", "sub/d.bmp", "e.PNG"]
    images = [image(7000 - 13 * number, name) for number, name in enumerate(names)]
    keys = [entry["id"] for entry in images]
    rows = [
        box(keys[3], (0, 0, 40, 30), 90),
        box(keys[0], (1.5, 2.25, 10.75, 3.125), 7, id=99, area=1),
        box(keys[0], (1.5, 2.25, 10.75, 3.125), 7, id=100, area=1),
        box(keys[4], (5, 5, 30, 20), 3, iscrowd=1),
        box(keys[4], (-0.004, 5, 40.003, 25.004), 3),
        box(keys[2], (5, 5, 35.005, 25.001), 3, iscrowd=0),
    ]
    rows = [{"id": number + 1, "iscrowd": 0, "area": 9.0, **row} for number, row in enumerate(rows)]
    return write(root, images, rows)


# ---------------------------------------------------------------- independent readers


def test_oddities_agree_with_pycocotools(tmp_path):
    path = oddities(tmp_path)
    ours, theirs = CocoDataset(path, on_invalid="raise"), COCO(path)
    assert ours.classes == ("big dog", "猫", "Käfer")
    assert len(ours) == len(theirs.imgs)
    for number, key in enumerate(entry["id"] for entry in theirs.dataset["images"]):
        rows = theirs.loadAnns(theirs.getAnnIds([key], iscrowd=False))
        found = ours.annotations(number)
        assert ours.image_path(number) == tmp_path / "images" / theirs.imgs[key]["file_name"]
        assert found["labels"] == [theirs.cats[row["category_id"]]["name"] for row in rows]
        np.testing.assert_allclose(found["bboxes"], np.reshape([row["bbox"] for row in rows], (-1, 4)), atol=0.01)


def test_oddities_agree_with_supervision(tmp_path):
    path = oddities(tmp_path)
    ours = CocoDataset(path, keep_crowd=True)
    theirs = sv.DetectionDataset.from_coco(str(tmp_path / "images"), str(path))
    assert list(ours.classes) == theirs.classes
    for number in range(len(ours)):
        detections = theirs.annotations[str(ours.image_path(number))]
        found = ours.annotations(number)
        xyxy = np.hstack([found["bboxes"][:, :2], found["bboxes"][:, :2] + found["bboxes"][:, 2:]])
        np.testing.assert_allclose(xyxy, detections.xyxy.reshape(-1, 4), atol=0.01)
        assert found["labels"] == [theirs.classes[class_id] for class_id in detections.class_id]


points = st.lists(st.floats(-10, 60).map(lambda value: round(value, 1)), min_size=3, max_size=8)


@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
@given(points, points, st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_polygons_are_drawn_as_pycocotools_draws_them(xs, ys, height, width):
    ring = np.array(list(zip(xs, ys, strict=False)), np.float64)
    [expected] = coco_mask.frPyObjects([ring.ravel().tolist()], height, width)
    np.testing.assert_array_equal(draw_ring(ring, (height, width)), coco_mask.decode(expected))


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_compressed_run_lengths_agree_with_pycocotools(height, width, share, seed):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    encoded = coco_mask.encode(np.asfortranarray(mask))
    shape = shape_from_coco({"size": encoded["size"], "counts": encoded["counts"].decode()}, (height, width))
    assert shape.runs.sum() == height * width
    np.testing.assert_array_equal(np.repeat(np.arange(len(shape.runs)) % 2, shape.runs), mask.T.ravel())


@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # pycocotools under numpy 2
def test_masks(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:9, 20:33] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    rows = [
        box(1, segmentation=[[2, 3, 12, 3, 12, 15], [20, 20, 30, 20, 25, 29]]),
        box(1, (20, 3, 13, 6), segmentation={"size": [30, 40], "counts": packed["counts"].decode()}),
        box(1, (1, 1, 5, 5)),
        box(1, (0, 0, 1, 1), segmentation={"size": [30, 40], "counts": [0, 1, 1199]}),
    ]
    rows = [{"id": number + 1, "iscrowd": 0, **row} for number, row in enumerate(rows)]
    path = write(tmp_path, [image(1)], rows)
    sample = CocoDataset(path, masks=True)[0]
    assert list(sample) == ["image", "bboxes", "labels", "mixup_weight", "masks"]
    assert sample["masks"].shape == (4, 30, 40)
    assert sample["masks"].dtype == np.uint8
    theirs = COCO(path)
    for number in (0, 1, 3):
        np.testing.assert_array_equal(sample["masks"][number], theirs.annToMask(theirs.anns[number + 1]))
    assert sample["masks"][2].sum() == sample["masks"][2, 1:6, 1:6].sum() == 25
    assert "masks" not in CocoDataset(path)[0]


def test_masks_follow_their_boxes(tmp_path):
    """Rows that are left out, or lie in another order than their images, take their masks and keypoints along."""
    rows = [
        box(2, (4, 4, 4, 4), segmentation=[[4, 4, 8, 4, 8, 8, 4, 8]], keypoints=[4, 4, 2]),
        box(1, (1, 1, 0, 4), segmentation=[[9, 9, 12, 9, 12, 12, 9, 12]], keypoints=[9, 9, 2]),
        box(1, (2, 2, 2, 2), segmentation=[[2, 2, 4, 2, 4, 4, 2, 4]], keypoints=[2, 2, 1]),
    ]
    path = write(tmp_path, [image(1), image(2, "b.png")], rows)
    with pytest.warns(InvalidAnnotationWarning, match="1 invalid"):
        dataset = CocoDataset(path, masks=True, keypoints=True)
    for found in (dataset.annotations(0), dataset.annotated().annotations(1)):
        [[left, top, width, height]] = found["bboxes"].astype(int)
        assert found["masks"][0, top : top + height, left : left + width].all()
        assert found["masks"].sum() == width * height
        assert found["keypoints"].tolist() == [[left, top]]


def test_keypoints(tmp_path):
    person = {"id": 1, "name": "person", "keypoints": ["nose", "left eye"]}
    rows = [
        box(1, category=1, keypoints=[5, 6, 2, 7, 8, 0], num_keypoints=1),
        box(1, category=1),
        box(1, category=1, keypoints=[1, 2, 1, 3, 4, 2, 9, 9, 2]),
    ]
    dataset = CocoDataset(write(tmp_path, [image(1), image(2, "b.png")], rows, [person]), keypoints=True)
    found = dataset.annotations(0)
    assert found["keypoints"].tolist() == [[5, 6], [1, 2], [3, 4], [9, 9]]
    assert found["keypoint_labels"] == ["nose", "nose", "left eye", "2"]
    assert found["keypoint_visibility"].tolist() == [2, 1, 2, 2]
    assert found["keypoint_boxes"].tolist() == [0, 2, 2, 2]
    assert dataset.annotations(1)["keypoints"].shape == (0, 2)


# ---------------------------------------------------------------- what the file says


def test_a_sample(tmp_path):
    dataset = CocoDataset(write(tmp_path, [image(5)], [box(5, mixup_weight=0.25), box(5, category=90)]))
    sample = dataset[0]
    np.testing.assert_array_equal(sample["image"], picture())
    assert sample["bboxes"].dtype == sample["mixup_weight"].dtype == np.float32
    assert sample["bboxes"].tolist() == [[2, 3, 10, 12]] * 2
    assert sample["labels"] == ["big dog", "Käfer"]
    assert sample["mixup_weight"].tolist() == [0.25, 1]
    assert dataset.bbox_format == "coco"
    assert dataset.image_size(0) == (30, 40)


def test_it_is_converted_by_mixup(tmp_path):
    dataset = CocoDataset(write(tmp_path, [image(5)], [box(5, mixup_weight=0.5)]))
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    pipeline = A.Compose([MixUp(dataset, ratio_range=(0.75, 0.75), p=1)], bbox_params=params)
    out = pipeline(image=picture(), bboxes=np.zeros((0, 4)), labels=[], mixup_weight=np.zeros(0))
    np.testing.assert_allclose(out["bboxes"], [[2, 3, 12, 15]], atol=1e-4)
    np.testing.assert_allclose(out["mixup_weight"], [0.125])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_line_ends(tmp_path, encoding):
    path = write(tmp_path, [image(1)], [box(1, category=7)])
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert CocoDataset(path).annotations(0)["labels"] == ["猫"]


def test_classes(tmp_path):
    twice = [*CATEGORIES, {"id": 100, "name": "big dog"}]
    path = write(tmp_path, [image(1)], [box(1), box(1, category=100), box(1, category=7)], twice)
    assert CocoDataset(path).classes == ("big dog", "猫", "Käfer")
    assert CocoDataset(path).annotations(0)["labels"] == ["big dog", "big dog", "猫"]
    with pytest.warns(InvalidAnnotationWarning, match=r"instances\.json, object 2: unknown class '猫'"):
        dataset = CocoDataset(path, classes=["ant", "big dog"])
    assert dataset.classes == ("ant", "big dog")
    assert dataset.annotations(0)["labels"] == ["big dog", "big dog"]


def test_crowd_is_left_out_and_counted(tmp_path):
    path = write(tmp_path, [image(1)], [box(1, iscrowd=1), box(1, category=7, iscrowd=None)])
    assert CocoDataset(path).left_out == {"crowd": 1}
    assert CocoDataset(path, keep_crowd=True).left_out == {}
    assert CocoDataset(path).annotations(0)["labels"] == ["猫"]
    assert CocoDataset(path, keep_crowd=True).annotations(0)["labels"] == ["big dog", "猫"]


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (None, None)])
def test_the_stated_size_decides_on_exif_orientation(tmp_path, size):
    path = write(tmp_path, [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "images" / "a.jpg", exif=exif, quality=100, subsampling=0)
    expected = picture() if size == (40, 30) else np.rot90(picture(), -1)
    found = CocoDataset(path)[0]["image"].astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 6


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "CMYK"])
def test_modes(tmp_path, mode):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    path = write(tmp_path, [image(1, name)], [box(1)])
    gray = np.full((30, 40), 257 * 100, np.uint16)
    stored = Image.fromarray(gray) if mode == "I;16" else Image.fromarray(picture()).convert(mode)
    stored.save(tmp_path / "images" / name)
    found = CocoDataset(path)[0]["image"]
    assert found.shape == (30, 40, 3)
    expected = (
        np.full((30, 40, 3), 100)
        if mode == "I;16"
        else np.asarray(Image.open(tmp_path / "images" / name).convert("RGB"))
    )
    assert np.abs(found.astype(int) - expected).max() <= 3


# ---------------------------------------------------------------- where the images are


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("annotations/instances_train2017.json", "images"),
        ("annotations/instances_train2017.json", ""),
        ("annotations.json", "images"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_usual_neighbours(tmp_path, file, folder):
    path = write(tmp_path, [image(1), image(2, "b.png")], [box(1)], file=file, make=False)
    save(tmp_path / folder / "a.png", picture())
    save(tmp_path / folder / "b.png", picture())
    dataset = CocoDataset(path)
    assert dataset.root == tmp_path / folder
    assert len(dataset) == 2
    assert CocoDataset(str(path), tmp_path / folder)[0]["labels"] == ["big dog"]


def test_images_that_are_nowhere(tmp_path):
    path = write(tmp_path, [image(1)], make=False)
    with pytest.raises(
        DatasetError,
        match=r"images must be .*got none of them, such as 'a\.png', in .*: name their folder with images=",
    ):
        CocoDataset(path)
    with pytest.raises(DatasetError, match=r"images must be a folder, got .*/gone, which is neither here nor in"):
        CocoDataset(path, tmp_path / "gone")
    with pytest.raises(ArgumentError, match="images must be the path of a folder"):
        CocoDataset(path, 3)


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "sub/../../secret.png", "..\\secret.png", "{root}/secret.png", "C:\\secret.png", "C:s.png"],
)
def test_names_never_lead_out_of_the_folder(tmp_path, name):
    save(tmp_path / "secret.png", picture())
    name = name.format(root=tmp_path.as_posix())
    path = write(tmp_path / "data", [image(1)], [box(1), box(2)])
    data = json.loads(path.read_text())
    data["images"].append(image(2, name))
    path.write_text(json.dumps(data))
    with pytest.warns(InvalidAnnotationWarning, match=r"instances\.json: images\[1\]: file_name .* leads out of"):
        dataset = CocoDataset(path, tmp_path / "data" / "images")
    assert len(dataset) == 1


def test_a_windows_name(tmp_path):
    path = write(tmp_path, [image(1, "sub/a..b.png")])
    path.write_text(path.read_text().replace("sub/", r"sub\\"))
    assert CocoDataset(path).image_path(0) == tmp_path / "images" / "sub" / "a..b.png"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("images/1a2b-my%20photo%23.png", "images/1a2b-my photo#.png"),  # Label Studio quotes
        ("a.png", "A.PNG"),
        ("über.png", "u\N{COMBINING DIAERESIS}ber.png"),  # a folder that macOS packed
        ("\\images\\a.png", "images/a.png"),
        ("/data/upload/1/a.png", "images/a.png"),
        ("../../label-studio/data/media/upload/1/a.png", "a.png"),
        ("C:\\Users\\me\\set\\images\\sub\\a.png", "images/sub/a.png"),
        ("https://bucket.example.org/set/a.png?X-Amz-Date=2/3", "a.png"),
        ("export/images/sub/a.png", "images/sub/a.png"),
        ("/data/local-files/?d=photos/a.png", "images/a.png"),
        ("/export/images/sub/a.png", "images/sub/a.png"),
        ("sub//a.png", "sub/a.png"),
    ],
)
def test_images_that_had_another_path_on_another_machine(tmp_path, name, file):
    path = write(tmp_path, [image(1, name), image(2, "gone.png")], [box(1)], make=False)
    save(tmp_path / file, picture())
    with pytest.warns(InvalidAnnotationWarning, match=r"1 invalid annotation .*instances\.json: images\[1\]"):
        dataset = CocoDataset(path)
    assert dataset.image_path(0) == tmp_path / file
    assert len(dataset) == 1
    assert dataset[0]["labels"] == ["big dog"]


def test_a_path_of_another_machine_is_never_that_of_two_images(tmp_path):
    for name in ("b.png", "c/d.png", "e/d.png", "F.png", "f.png"):
        save(tmp_path / "images" / name, picture())
    names = ["/one/a.png", "/two/a.png", "/x/b.png", "b.png", "/z/c/d.png", "/z/e/d.png", "/f.PNG"]
    save(tmp_path / "images" / "a.png", picture())
    path = write(tmp_path, [image(number, name) for number, name in enumerate(names)], make=False)
    with pytest.warns(InvalidAnnotationWarning, match="4 invalid"):
        dataset = CocoDataset(path)
    found = [dataset.image_path(index).relative_to(dataset.root).as_posix() for index in range(len(dataset))]
    assert found == ["b.png", "c/d.png", "e/d.png"]


# ---------------------------------------------------------------- invalid and hostile files

NAN, INF = float("nan"), float("inf")
BAD = {
    "NaN": (box(1, (NAN, 1, 2, 3)), "is not finite"),
    "infinity": (box(1, (1, 1, INF, 3)), "is not finite"),
    "overflow": (box(1, (1, 1, 1e308, 1e308)), "reaches .* px beyond"),
    "overflow of the sum": (box(1, (1e308, 1, 1e308, 3)), "is not finite"),
    "infinities that cancel": (box(1, (-INF, 1, INF, 3)), "is not finite"),
    "negative size": (box(1, (10, 10, -5, 5)), r"box \[10, 10, -5, 5\] has no area"),
    "no area": (box(1, (10, 10, 0, 5)), "has no area"),
    "too thin for Albumentations": (box(1, (39.0, 1, 1e-9, 5)), "has no area inside its image"),
    "beyond": (box(1, (30, 10, 20, 5)), "reaches 10 px beyond its image, 40 px wide and 30 px high"),
    "three numbers": (box(1, (1, 2, 3)), r"bbox must be a list of 4 numbers, got \[1, 2, 3\]"),
    "strings": (box(1, ("a", 2, 3, 4)), "bbox must be made of numbers, got 'a'"),
    "nested": (box(1, ([1], 2, 3, 4)), r"bbox must be made of numbers, got \[1\]"),
    "no list": ({"image_id": 1, "category_id": 3, "bbox": 7}, "bbox must be a list of 4 numbers, got 7"),
    "a huge integer": (box(1, (10**400, 2, 3, 4)), "a number in it is too large"),
    "no box": ({"image_id": 1, "category_id": 3}, "it has no 'bbox'"),
    "no object": (17, "it must be an object, got 17"),
    "null": (None, "it must be an object, got None"),
    "unhashable": (box([1]), r"image_id must be a number or text, got \[1\]"),
    "no image": (box(77), "unknown image_id 77"),
    "no category": (box(1, category=4), "unknown category_id 4"),
    "negative weight": (box(1, mixup_weight=-1), "weight -1 is negative or not finite"),
    "weight": (box(1, mixup_weight="heavy"), "mixup_weight must be made of numbers, got 'heavy'"),
    # what numpy or truth would take for a value of the right type
    "text for a crowd": (box(1, iscrowd="0"), "iscrowd must be 0 or 1, got '0'"),
    "false for a crowd": (box(1, iscrowd="false"), "iscrowd must be 0 or 1, got 'false'"),
    "a share of a crowd": (box(1, iscrowd=0.2), "iscrowd must be 0 or 1, got 0.2"),
    "a list for a crowd": (box(1, iscrowd=[]), r"iscrowd must be 0 or 1, got \[\]"),
    "an object for a box": (box(1) | {"bbox": {"1": 1, "2": 2, "3": 3, "4": 4}}, "bbox must be a list of 4 numbers"),
    "text for a box": (box(1) | {"bbox": "1234"}, "bbox must be a list of 4 numbers, got '1234'"),
    "numbers in text": (box(1, ("1", "2", "3", "4")), "bbox must be made of numbers, got '1'"),
    "truth in a box": (box(1, (True, 1, 2, 3)), "bbox must be made of numbers, got True"),
    "truth for an image": (box(True), "image_id must be a number or text, got True"),
    "truth for a category": (box(1, category=True), "category_id must be a number or text, got True"),
    "a list for a category": (box(1, category=[3]), "category_id must be a number or text"),
    "text for a weight": (box(1, mixup_weight="0.5"), "mixup_weight must be made of numbers, got '0.5'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_annotation_costs_itself_only(tmp_path, case):
    row, reason = BAD[case]
    path = write(tmp_path, [image(1)], [box(1, (1, 1, 5, 5)), row, box(1, category=7)])
    with pytest.warns(InvalidAnnotationWarning, match=rf"1 invalid .*instances\.json, object 1: .*{reason}"):
        dataset = CocoDataset(path)
    assert dataset.annotations(0)["bboxes"].tolist() == [[1, 1, 5, 5], [2, 3, 10, 12]]
    assert dataset.annotations(0)["labels"] == ["big dog", "猫"]
    with pytest.raises(AnnotationError, match=rf"instances\.json, object 1: .*{reason}"):
        CocoDataset(path, on_invalid="raise")


BAD_PARTS = {
    "a line": {"segmentation": [[1, 2, 3, 4]]},
    "half a point": {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]},
    "NaN": {"segmentation": [[1, 2, 3, 4, 5, NAN]]},
    "reaching to the moon": {"segmentation": [[0, 0, 1e12, 0, 1e12, 1e12]]},
    "overflowing": {"segmentation": [[0, 0, 1e308, 0, -1e308, 1e308]]},
    "a number": {"segmentation": 7},
    "text": {"segmentation": "abc"},
    "another size": {"segmentation": {"size": [10, 10], "counts": [100]}},
    "a huge claim": {"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}},
    "negative runs": {"segmentation": {"size": [30, 40], "counts": [-1, 1201]}},
    "overflowing runs": {"segmentation": {"size": [30, 40], "counts": [2**62] * 4 + [1200]}},
    "a wrong sum": {"segmentation": {"size": [30, 40], "counts": [7]}},
    "a flat box": {"segmentation": [2, 3, 10, 12]},
    "a box": {"segmentation": [[2, 3, 10, 12]]},
    "text in polygons": {"segmentation": ["123456"]},
    "bare counts": {"segmentation": {"counts": [1200]}},
    "bare counts in text": {"segmentation": "o0"},
    "cut short": {"segmentation": {"size": [30, 40], "counts": "o"}},
    "no code": {"segmentation": {"size": [30, 40], "counts": "é"}},
    "endless": {"segmentation": {"size": [30, 40], "counts": "o" * 1000}},
    "no counts": {"segmentation": {"size": [30, 40]}},
    "keypoints": {"keypoints": [1, 2]},
    "visibility": {"keypoints": [1, 2, 3]},
    "keypoints NaN": {"keypoints": [1, NAN, 2]},
}


@pytest.mark.parametrize("case", BAD_PARTS)
def test_a_bad_mask_or_keypoint_costs_no_box(tmp_path, case):
    path = write(tmp_path, [image(1)], [box(1, **BAD_PARTS[case]), box(1, category=7)])
    assert CocoDataset(path).invalid == ()
    with pytest.warns(InvalidAnnotationWarning, match=r"1 invalid .*1 kept .*instances\.json, object 0: .*box is kept"):
        dataset = CocoDataset(path, masks=True, keypoints=True)
    found = dataset.annotations(0)
    assert found["labels"] == ["big dog", "猫"]
    assert found["masks"].sum() == 2 * 10 * 12
    assert found["masks"][0, 3:15, 2:12].all()
    assert len(found["keypoints"]) == 0
    with pytest.raises(AnnotationError, match=r"instances\.json, object 0: "):
        CocoDataset(path, masks=True, keypoints=True, on_invalid="raise")


@pytest.mark.parametrize(
    "segmentation",
    [
        [2, 3, 12, 3, 12, 15, 2, 15],  # VIA
        [[2, 3, 12, 3, 12, 15, 2, 15], [5, 5, 6, 6]],
        [[5, 5], [2, 3, 12, 3, 12, 15, 2, 15], [1, 2, 3, 4, 5, NAN]],
    ],
)
def test_outlines_as_found_in_the_wild(tmp_path, segmentation):
    path = write(tmp_path, [image(1)], [box(1, segmentation=segmentation)])
    found = CocoDataset(path, masks=True, on_invalid="raise").annotations(0)
    assert found["masks"].sum() == found["masks"][0, 3:15, 2:12].sum() == 120


BAD_IMAGES = {
    "missing": (image(2, "gone.png"), "its image is missing"),
    "no name": ({"id": 2}, "has no 'file_name'"),
    "no string": (image(2, 7), "file_name must be the name of an image, got 7"),
    "empty": (image(2, " "), "file_name must be"),
    "null byte": (image(2, "a\0.png"), "file_name must be"),
    "half a letter": (image(2, "\ud800.png"), "surrogates not allowed"),
    "no object": (17, "it must be an object, got 17"),
    "the same id": (image(1, "a.png"), "its id is that of an image before it"),
    "negative size": (image(2, width=-40), "are not the size of an image"),
    "huge size": (image(2, width=10**400), "are not (a|the) size"),
    "infinite size": (image(2, height=INF), "are not (a|the) size"),
    "text for a size": (image(2, height="tall"), "are not (a|the) size"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_image_costs_itself_and_its_boxes(tmp_path, case):
    entry, reason = BAD_IMAGES[case]
    path = write(tmp_path, [image(1)], [box(1)])
    data = json.loads(path.read_text())
    data["images"].append(entry)
    path.write_text(json.dumps(data))
    with pytest.warns(InvalidAnnotationWarning, match=rf"1 invalid .*instances\.json: images\[1\].*{reason}"):
        dataset = CocoDataset(path)
    assert len(dataset) == 1
    assert dataset.annotations(0)["labels"] == ["big dog"]


def test_the_boxes_of_a_bad_image_are_not_blamed(tmp_path):
    path = write(tmp_path, [image(1), image(2, "b.png")], [box(2), box(2, category=4)])
    (tmp_path / "images" / "b.png").unlink()
    with pytest.warns(InvalidAnnotationWarning, match="1 invalid"):
        assert len(CocoDataset(path)) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"\xff\xfe\xfa", b"[" * 200_000, b'{"images": {}, "annotations": [], "categories": []}',
     b'{"images": [], "annotations": [' + b"9" * 5000],
)  # fmt: skip
def test_no_coco_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DatasetError, match="annotations must be a COCO"):
        CocoDataset(tmp_path / "a.json")


def test_no_file_at_all(tmp_path):
    with pytest.raises(
        DatasetError,
        match=r"annotations must be a COCO JSON file, got .*/gone\.json, which cannot be read: No such file",
    ):
        CocoDataset(tmp_path / "gone.json")
    with pytest.raises(ArgumentError, match="annotations must be the path of a COCO JSON file"):
        CocoDataset({"images": []})


@pytest.mark.parametrize(
    "categories", [[{"id": 1}], [{"name": "a"}], [7], [{"id": 1, "name": ""}], [{"id": 1, "name": 3}]]
)
def test_bad_categories(tmp_path, categories):
    with pytest.raises(DatasetError, match="each of categories must have"):
        CocoDataset(write(tmp_path, [image(1)], [], categories))


def test_two_categories_with_one_id(tmp_path):
    twice = [*CATEGORIES, {"id": 3, "name": "cow"}, {"id": 90, "name": "Käfer"}]
    path = write(tmp_path, [image(1)], [box(1), box(1, category=7)], twice)
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid"):
        dataset = CocoDataset(path)
    assert [record.reason for record in dataset.invalid] == [
        "categories[3], 'cow': its id is that of 'big dog' before it",
        "category_id 3 is that of two categories, 'big dog' and 'cow'",
    ]
    assert dataset.annotations(0)["labels"] == ["猫"]


def test_the_boxes_of_a_refused_image_are_not_said_to_have_none(tmp_path):
    path = write(tmp_path, [image(1)], [box(1), box(2), box(3)])
    data = json.loads(path.read_text())
    data["images"] += [image(2, "../b.png"), {"id": 3}]
    path.write_text(json.dumps(data))
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid"):
        dataset = CocoDataset(path)
    assert [record.object_index for record in dataset.invalid] == [None, None]


def test_ids_as_text_and_as_numbers(tmp_path):
    images = [image(0), image("1", "b.png")]
    path = write(tmp_path, images, [box("0", category="3"), box(1, category=7)])
    dataset = CocoDataset(path, on_invalid="raise")
    assert [dataset.annotations(number)["labels"] for number in (0, 1)] == [["big dog"], ["猫"]]


@pytest.mark.parametrize(
    ("claimed", "message"), [((10**9, 10**9), "its boxes would be shifted"), ((40, 30), "cut short")]
)
def test_a_claimed_size_and_a_truncated_jpeg_show_when_read(tmp_path, claimed, message):
    path = write(tmp_path, [image(1, "a.jpg", width=claimed[0], height=claimed[1])], [box(1)])
    file = tmp_path / "images" / "a.jpg"
    file.write_bytes(file.read_bytes()[:-60] if message == "cut short" else file.read_bytes())
    dataset = CocoDataset(path, masks=True)
    with pytest.raises(ImageReadError, match=message):
        dataset[0]


def test_clip(tmp_path):
    path = write(tmp_path, [image(1)], [box(1, (30, 10, 20, 5)), box(1, (-50, 0, 5, 5))])
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid .* were clipped"):
        assert CocoDataset(path, on_invalid="clip").annotations(0)["bboxes"].tolist() == [[30, 10, 10, 5]]


def test_the_warning_points_at_the_caller(tmp_path):
    path = write(tmp_path, [image(1)], [box(1, (1, 1, 0, 0))])
    with pytest.warns(InvalidAnnotationWarning) as caught:
        CocoDataset(path)
    assert [warning.filename for warning in caught] == [__file__]


# ---------------------------------------------------------------- the common face


def test_background_copies_and_specs(tmp_path):
    path = oddities(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = CocoDataset(path, masks=True, keypoints=True, keep_crowd=True, classes=["猫", "big dog", "Käfer"])
    assert len(dataset) == 5
    assert len(dataset.annotated()) == 4
    spec = json.loads(json.dumps(dataset.annotated().to_spec()))
    for other in (from_spec(spec), pickle.loads(pickle.dumps(dataset.annotated()))):
        assert other.to_spec() == spec
        assert repr(other) == repr(dataset.annotated())
        for mine, theirs in zip(dataset.annotated(), other, strict=True):
            assert mine["labels"] == theirs["labels"]
            np.testing.assert_array_equal(mine["masks"], theirs["masks"])


# Albumentations drops boxes of next to no area without a word.
sides = st.just(0) | st.floats(0.02, 40)


@given(st.lists(st.tuples(st.floats(0, 39), st.floats(0, 29), sides, sides), max_size=6))
@settings(max_examples=50, deadline=None)
def test_albumentations_takes_every_box_that_is_kept(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("coco"), [image(1)], [box(1, row) for row in rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)
        dataset = CocoDataset(path, on_invalid="clip")
    params = A.BboxParams("coco", label_fields=["labels", "mixup_weight"])
    sample = dataset[0]
    assert len(A.Compose([A.NoOp()], bbox_params=params)(**sample)["bboxes"]) == len(sample["bboxes"])
