"""Datasets written as they are: read back by our readers and other people's, refused, stopped, gone on with."""

import json
import shutil
import warnings

import cv2
import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

import alb_mixup
from alb_mixup import CocoDataset, VocDataset, write_dataset
from alb_mixup.errors import ArgumentError, ImageReadError, InvalidAnnotationWarning, OutputError, SampleError
from alb_mixup.functional.boxes import to_xyxy
from tests.generation.test_run import FORMATS, manifest, tree
from tests.support import layouts, shaped
from tests.support.voc_files import add, picture, save, voc_object

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own


def xyxy(dataset, index):
    return to_xyxy(dataset.annotations(index)["bboxes"], dataset.bbox_format, dataset.image_size(index))


def write(dataset, root, output_format="coco", **more):
    return write_dataset(dataset, root, output_format=output_format, progress=False, **more)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("source_format", FORMATS)
def test_every_layout_into_every_layout_is_the_same(source_format, output_format, tmp_path):
    source = alb_mixup.open_dataset(layouts.WRITERS[source_format](tmp_path / "source"))
    root = write(source, tmp_path / "written", output_format)
    found = alb_mixup.open_dataset(root, on_invalid="raise")
    assert len(found) == len(layouts.OBJECTS)
    assert set(found.classes) == set(layouts.CLASSES)
    for index in range(len(found)):
        wanted, got = layouts.plain(index), found.annotations(index)
        np.testing.assert_allclose(xyxy(found, index), wanted["bboxes"], atol=1e-5)
        assert got["labels"] == wanted["labels"]
        np.testing.assert_array_equal(got["mixup_weight"], np.float32(wanted["mixup_weight"]))
        assert found.image_path(index).name == source.image_path(index).name
        assert found.image_path(index).read_bytes() == source.image_path(index).read_bytes()
    assert [(row["primary"].rpartition("/")[2], row["partner"]) for row in manifest(root)] == [
        (f"{number}.png", "") for number in range(4)
    ]


@pytest.mark.parametrize("output_format", FORMATS)
def test_boxes_of_the_same_layout_are_the_same(output_format, tmp_path):
    rng = np.random.default_rng(0)
    low = rng.random((200, 2)) * [30, 20]
    boxes = np.concatenate([low, low + 0.1 + rng.random((200, 2)) * 9], axis=1)
    held = [{"image": picture(), "bboxes": boxes, "labels": ["cat"] * 200}]
    first = write(held, tmp_path / "first", output_format, classes=["cat"], bbox_format="pascal_voc")
    dataset = alb_mixup.open_dataset(first)
    again = alb_mixup.open_dataset(write(dataset, tmp_path / "again", output_format))
    difference = np.abs(dataset.annotations(0)["bboxes"] - again.annotations(0)["bboxes"]).max()
    assert difference <= (1e-6 if output_format == "voc" else 0)  # 1-based there, so that a bit of a fraction is lost
    np.testing.assert_allclose(xyxy(dataset, 0), boxes, atol=1e-5)


@pytest.mark.parametrize("output_format", FORMATS)
def test_boxes_that_rounding_leads_over_the_border_end_there(output_format, tmp_path):
    """YOLO's readers refuse a row that does: this package's leave the box out, Ultralytics the whole image."""
    height, width = picture().shape[:2]
    boxes = [[0, 0, width + 1, height], [-0.5, 2, 4, height + 0.25], [1, 1, 3, 3]]
    held = [{"image": picture(), "bboxes": boxes, "labels": ["cat"] * 3}]
    root = write(held, tmp_path / "set", output_format, classes=["cat"], bbox_format="pascal_voc")
    wanted = [[0, 0, width, height], [0, 2, 4, height], [1, 1, 3, 3]]
    np.testing.assert_allclose(xyxy(alb_mixup.open_dataset(root, on_invalid="raise"), 0), wanted, atol=1e-5)
    if output_format == "coco":
        entries = json.loads((root / "annotations.json").read_text())["annotations"]
        assert [entry["bbox"] for entry in entries] == [[0, 0, width, height], [0, 2, 4, height - 2], [1, 1, 2, 2]]


def test_pycocotools_finds_all_of_a_coco_file_that_was_written_again(tmp_path):
    crowd = {"id": 99, "image_id": 4, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 1, "area": 3}
    crowd |= {"segmentation": {"size": [33, 70], "counts": [0, 3, 33 * 70 - 3]}}
    file = shaped.write(tmp_path, more=[crowd])
    dataset = CocoDataset(file, masks=True, keypoints=True)
    assert dataset.left_out == {"crowd": 1}
    before, after = COCO(str(file)), COCO(str(write(dataset, tmp_path / "written") / "annotations.json"))
    assert [image["file_name"] for image in after.loadImgs([1, 2, 3, 4])] == ["0.png", "1.jpg", "2.png", "3.png"]
    assert after.getAnnIds(imgIds=[4]) == []
    for number in range(1, 7):
        (old,), (new,) = before.loadAnns([number]), after.loadAnns([number])
        np.testing.assert_array_equal(before.annToMask(old), after.annToMask(new))
        assert {key: new[key] for key in old if key != "keypoints"} == {
            key: old[key] for key in old if key != "keypoints"
        } | ({"num_keypoints": old.get("num_keypoints", 0)} if "num_keypoints" in old else {})
        assert new["keypoints"] == old.get("keypoints", [])
    assert before.loadCats([1]) == after.loadCats([1])


def test_supervision_reads_yolo_and_voc_of_a_set_without_weights(tmp_path):
    cells = alb_mixup.sample_dataset()
    yolo, voc = write(cells, tmp_path / "yolo", "yolo"), write(cells, tmp_path / "voc", "voc")
    found = sv.DetectionDataset.from_yolo(
        str(yolo / "images/train"), str(yolo / "labels/train"), str(yolo / "data.yaml"), is_obb=False
    )
    by_xml = sv.DetectionDataset.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations"))
    assert found.classes == list(cells.classes)
    for index in range(len(cells)):
        name = cells.image_path(index).name
        for dataset, folder in ((found, yolo / "images/train"), (by_xml, voc / "JPEGImages")):
            read = dataset.annotations[str(folder / name)]
            np.testing.assert_allclose(read.xyxy, xyxy(cells, index), atol=0.01)
            assert [dataset.classes[number] for number in read.class_id] == cells.annotations(index)["labels"]
            assert (folder / name).read_bytes() == cells.image_path(index).read_bytes()
    assert "mixup_weight" not in "".join(path.read_text() for path in voc.rglob("*.xml"))


@pytest.mark.parametrize("output_format", FORMATS)
def test_weights_are_dropped_where_that_is_asked_for_alone(output_format, tmp_path):
    source = alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))
    found = alb_mixup.open_dataset(write(source, tmp_path / "m", output_format, drop_weights=True))
    assert all((found.annotations(index)["mixup_weight"] == 1).all() for index in range(len(found)))


def test_weights_that_yolo_does_not_hold_are_refused(tmp_path):
    file = shaped.write(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0]["mixup_weight"] = 0.5
    file.write_text(json.dumps(content))
    with pytest.raises(ArgumentError, match="drop_weights must be True for masks with output_format='yolo'"):
        write(CocoDataset(file, masks=True), tmp_path / "m", "yolo")
    assert not (tmp_path / "m").exists()
    content["annotations"][0]["mixup_weight"] = 1.5
    file.write_text(json.dumps(content))
    with pytest.raises(SampleError, match=r"mixup_weight must be in \[0, 1\] with output_format='yolo', got 1.5"):
        write(CocoDataset(file), tmp_path / "m", "yolo")
    assert CocoDataset(write(CocoDataset(file), tmp_path / "c") / "annotations.json").is_weighted


def test_difficult_objects_that_are_kept_are_objects_like_others(tmp_path):
    easy, hard = voc_object("cat"), voc_object("dog", (5, 6, 9, 9), "<difficult>1</difficult>")
    add(tmp_path / "voc", "a", easy, hard)
    assert write(VocDataset(tmp_path / "voc", classes=["cat", "dog"]), tmp_path / "left", "voc").exists()
    kept = write(VocDataset(tmp_path / "voc", keep_difficult=True), tmp_path / "kept", "voc")
    assert VocDataset(tmp_path / "left", classes=["cat", "dog"]).annotations(0)["labels"] == ["cat"]
    assert VocDataset(kept).annotations(0)["labels"] == ["cat", "dog"]


def turned(path, image, orientation):
    """Write a JPEG that viewers turn or mirror."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1])
    data = encoded.tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + b"\0\0\0\0\0\0\0"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("output_format", FORMATS)
def test_photographs_that_viewers_turn_are_written_upright(orientation, output_format, tmp_path):
    """Their boxes are of the picture as it is shown, or where only that fits, as it is stored."""
    (tmp_path / "images").mkdir()
    turned(tmp_path / "images/a.jpg", picture(40, 60), orientation)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.25 0.25 0.3 0.2\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    source = alb_mixup.open_dataset(tmp_path)
    root = write(source, tmp_path / "written", output_format)
    found = alb_mixup.open_dataset(root)
    data = found.image_path(0).read_bytes()
    assert (data == (tmp_path / "images/a.jpg").read_bytes()) == (orientation == 1)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(stored[..., ::-1], found[0]["image"])
    assert np.abs(found[0]["image"].astype(int) - source[0]["image"]).mean() < 2  # JPEG once more
    np.testing.assert_allclose(xyxy(found, 0), xyxy(source, 0), atol=1e-4)


def test_names_are_kept_where_they_tell_images_apart(tmp_path):
    names = ["a/one.png", "b/one.PNG", "b/two.png", "c d/with space.png", "c d/with: colon.png", "ünï.png", "no_suffix"]
    entries = []
    for number, name in enumerate(names):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / "images" / "x.png", picture(seed=number))
        shutil.move(tmp_path / "images" / "x.png", tmp_path / "images" / name)
        entries.append({"id": number, "file_name": name, "width": 40, "height": 30})
    annotations = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [number, 1, 5, 6]} for number in range(len(names))
    ]
    content = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    source = CocoDataset(tmp_path / "annotations.json")
    written = {
        "000000_one.png", "000001_one.PNG", "two.png", "with space.png", "image_000004.png", "ünï.png", "no_suffix.png"
    }  # fmt: skip
    for output_format in FORMATS:
        found = alb_mixup.open_dataset(write(source, tmp_path / output_format, output_format))
        assert {found.image_path(index).name for index in range(len(names))} == written
        by_left = {round(float(xyxy(found, index)[0][0])): index for index in range(len(names))}
        for number in range(len(names)):
            np.testing.assert_array_equal(found[by_left[number]]["image"], picture(seed=number))


def test_image_format_encodes_all(tmp_path):
    cells = alb_mixup.sample_dataset()
    found = alb_mixup.open_dataset(write(cells, tmp_path / "png", image_format="png"))
    assert {path.suffix for path in (tmp_path / "png/images").iterdir()} == {".png"}
    np.testing.assert_array_equal(found[3]["image"], cells[3]["image"])
    write(cells, tmp_path / "jpg", image_format="jpg", quality=30)
    small = sum(path.stat().st_size for path in (tmp_path / "jpg/images").iterdir())
    assert small < sum(cells.image_path(index).stat().st_size for index in range(len(cells))) / 1.5


def test_samples_in_memory(tmp_path):
    samples = [layouts.plain(number) for number in range(4)]
    for output_format in FORMATS:
        root = write(
            samples, tmp_path / output_format, output_format, classes=layouts.CLASSES, bbox_format="pascal_voc"
        )
        found = alb_mixup.open_dataset(root, on_invalid="raise")
        assert [found.image_path(index).name for index in range(4)] == [f"image_00000{n}.png" for n in range(4)]
        for index, wanted in enumerate(samples):
            got = found[index]
            np.testing.assert_array_equal(got["image"], wanted["image"])
            np.testing.assert_allclose(xyxy(found, index), wanted["bboxes"], atol=1e-5)
            assert got["labels"] == wanted["labels"]
            np.testing.assert_array_equal(got["mixup_weight"], np.float32(wanted["mixup_weight"]))
        with pytest.raises(OutputError, match="destination must be a new or an empty folder for samples in memory"):
            write(samples, root, output_format, classes=layouts.CLASSES, bbox_format="pascal_voc")


class Poses(list):
    """Samples that say what a dataset says."""

    classes, bbox_format, keypoint_names = shaped.CLASSES, "coco", [shaped.NAMES, []]
    skeletons = (shaped.SKELETON, ())


def test_samples_that_say_classes_format_and_keypoints_themselves(tmp_path):
    dataset = CocoDataset(shaped.write(tmp_path), masks=True, keypoints=True)
    root = write(Poses([dataset[index] for index in range(4)]), tmp_path / "m")
    found = CocoDataset(root / "annotations.json", masks=True, keypoints=True)
    assert (found.keypoint_names, found.skeletons) == (dataset.keypoint_names, dataset.skeletons)
    for index in range(4):
        wanted, got = dataset[index], found[index]
        assert wanted.keys() == got.keys()
        for key, value in wanted.items():
            np.testing.assert_array_equal(value, got[key])


def held(**changes):
    return [{"image": picture(), "bboxes": [[1, 2, 9, 9]], "labels": ["cat"]} | changes]


@pytest.mark.parametrize(
    ("samples", "settings", "error", "says"),
    [
        (held(), {"classes": None}, ArgumentError, "classes must be given for samples that name none"),
        (held(), {"bbox_format": None}, ArgumentError, "bbox_format must be given for samples"),
        (held(), {"bbox_format": "cxcywh"}, ArgumentError, "bbox_format must be one of"),
        ([], {}, ArgumentError, "dataset must be a dataset or a sequence of samples"),
        ("VOC2012", {}, ArgumentError, "dataset must be a dataset or a sequence of samples"),
        ([5], {}, SampleError, r"dataset\[0\] must be a dict with image, bboxes, labels"),
        ([*held(), {"image": picture()}], {}, SampleError, r"dataset\[1\] must be a dict with bboxes, labels"),
        (held(labels=["dog"]), {}, SampleError, r"labels of dataset\[0\] must be among the classes, got 'dog'"),
        (held(labels=[]), {}, SampleError, r"bboxes of dataset\[0\] must have a label, a weight and a mask each"),
        (held(image=picture() / 255), {}, SampleError, r"image of dataset\[0\] must be uint8 \(H, W, 3\)"),
        (held(bboxes=[[1, 2, 90, 9]]), {}, SampleError, r"bboxes of dataset\[0\] must be finite, with an area inside"),
        (held(bboxes=[[9, 2, 9, 9]]), {}, SampleError, r"bboxes of dataset\[0\] must be finite, with an area inside"),
        (held(bboxes=[[np.nan, 2, 9, 9]]), {}, SampleError, r"bboxes of dataset\[0\] must be finite"),
        (held(mixup_weight=[-1]), {}, SampleError, r"bboxes of dataset\[0\] must be .* their weights finite and not"),
        (held(masks=[]), {}, SampleError, r"bboxes of dataset\[0\] must have a label, a weight and a mask each"),
        (held(masks=[np.ones((3, 3), np.uint8)]), {}, SampleError, r"masks of dataset\[0\] must be one of \(30, 40\)"),
        (held(keypoints=[[1, 2]]), {}, ArgumentError, "dataset must have an attribute keypoint_names"),
        (Poses(held(keypoints=[])), {"classes": ["cat"]}, ArgumentError, r"keypoint_names, .* for 1 classes"),
        (held(), {"output_format": "pascal"}, ArgumentError, "output_format must be one of coco, yolo, voc"),
        (held(), {"image_format": "gif"}, ArgumentError, "image_format must be one of jpg, png"),
        (held(), {"quality": 101}, ArgumentError, "quality must be 0 to 100"),
        (held(), {"val": "."}, ArgumentError, "val must come with output_format='yolo'"),
        (held(), {"workers": 0}, ArgumentError, "workers must be at least 1"),
        (held(), {"classes": ["\ud800", "cat"]}, ArgumentError, "classes must be"),
    ],
)
def test_what_cannot_be_written_is_refused(samples, settings, error, says, tmp_path):
    settings = {"classes": ["cat"], "bbox_format": "pascal_voc"} | settings
    with pytest.raises(error, match=says):
        write_dataset(samples, tmp_path / "m", progress=False, **settings)
    assert not (tmp_path / "m").exists() or not list((tmp_path / "m").glob("*.json"))


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ({"keypoint_labels": ["tail"], "keypoint_boxes": [0]}, "got 'tail' of"),
        ({"keypoint_labels": ["nose", "nose"], "keypoint_boxes": [0, 0]}, "each once, got 'nose' of"),
    ],
)
def test_keypoints_that_no_class_has_are_refused(points, says, tmp_path):
    count = len(points["keypoint_labels"])
    samples = Poses(held(keypoints=[[3, 4]] * count, labels=["person"], **points))
    with pytest.raises(SampleError, match=rf"keypoint_labels of dataset\[0\] must be keypoint_names .* {says}"):
        write(samples, tmp_path / "m")


def test_a_dataset_has_its_own_classes_and_format(tmp_path):
    for more in ({"classes": ["cat"]}, {"bbox_format": "coco"}):
        with pytest.raises(ArgumentError, match="must be None for a dataset that has its own"):
            write(alb_mixup.sample_dataset(), tmp_path / "m", **more)


def test_nothing_is_written_over(tmp_path):
    source = alb_mixup.open_dataset(layouts.write_voc(tmp_path / "source"))
    before = tree(tmp_path / "source")
    with pytest.raises(OutputError, match="destination must be a new or an empty folder"):
        write(source, tmp_path / "source")
    assert tree(tmp_path / "source") == before
    root = write(source, tmp_path / "m")
    before = tree(root)
    with pytest.raises(OutputError, match="made with output_format='coco'"):
        write(source, root, "voc")
    with pytest.raises(OutputError, match="destination must be new, empty, or begun with the same"):
        alb_mixup.generate(source, root, progress=False)
    assert tree(root) == before


def test_it_is_the_same_for_any_number_of_workers_and_goes_on_after_a_stop(tmp_path):
    source = alb_mixup.open_dataset(layouts.write_yolo(tmp_path / "source"))
    root = write(source, tmp_path / "m")
    before = tree(root)
    assert tree(write(source, tmp_path / "workers", workers=2)) == before
    (root / "images/2.png").write_bytes(b"damaged")
    (root / "annotations.json").unlink()
    journal = root / ".mixup/done.jsonl"
    journal.write_bytes(journal.read_bytes().partition(b"\n")[0])  # a stop within the first line
    assert tree(write(source, root)) == before
    save(tmp_path / "source/images/train/1.png", picture(48, 32, seed=99))
    write(source, root)
    np.testing.assert_array_equal(alb_mixup.open_dataset(root)[1]["image"], picture(48, 32, seed=99))


def test_an_image_that_cannot_be_read_is_named_and_the_rest_stays(tmp_path):
    source = alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))
    image = tmp_path / "source/images/2.png"
    data = image.read_bytes()
    image.write_bytes(data[:-20])
    with pytest.raises(ImageReadError, match=r"2\.png, which is cut short"):
        write(source, tmp_path / "m")
    image.write_bytes(data)
    assert tree(write(source, tmp_path / "m")) == tree(write(source, tmp_path / "again"))


def test_pseudo_labels_keep_their_scores(tmp_path):
    layouts.write_coco(tmp_path)
    results = [{"image_id": 10, "category_id": 3, "bbox": [1, 2, 9, 9], "score": 0.625}]
    pseudo = alb_mixup.PseudoLabelDataset(results, tmp_path / "annotations.json")
    found = alb_mixup.open_dataset(write(pseudo, tmp_path / "m", "yolo"))
    assert found.annotations(0)["mixup_weight"].tolist() == [0.625]


def test_mosaics_are_written_as_the_samples_that_they_make(tmp_path):
    cells = alb_mixup.sample_dataset()
    mosaic = alb_mixup.MosaicDataset(cells, (64, 96), seed=3)
    root = write(mosaic, tmp_path / "m", classes=cells.classes)
    found = alb_mixup.open_dataset(root)
    assert len(found) == len(mosaic)
    assert found[0]["image"].shape == (64, 96, 3)


@st.composite
def samples(draw):
    """Images with boxes inside them, a mask and a weight each."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(2, 12)), draw(st.integers(2, 12))
        boxes, masks = [], []
        for _ in range(draw(st.integers(0, 3))):
            x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            boxes.append([x, y, draw(st.integers(x + 1, width)), draw(st.integers(y + 1, height))])
            masks.append(
                np.reshape(
                    draw(st.lists(st.integers(0, 1), min_size=height * width, max_size=height * width)), (height, width)
                )
            )
        seed = draw(st.integers(0, 99))
        found.append(
            {
                "image": np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8),
                "bboxes": boxes,
                "labels": [draw(st.sampled_from(["cat", "dog"])) for _ in boxes],
                "mixup_weight": [draw(st.floats(0, 1, width=32)) for _ in boxes],
                "masks": [mask.astype(np.uint8) for mask in masks],
            }
        )
    return found


@given(given_samples=samples(), output_format=st.sampled_from(FORMATS))
@settings(max_examples=40, deadline=None)
def test_any_samples_are_read_back(given_samples, output_format, tmp_path_factory):
    if output_format != "coco":  # the only one that holds masks beside weights
        given_samples = [{k: v for k, v in sample.items() if k != "masks"} for sample in given_samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)  # weights that are all 0 or 1 may be flags
        root = tmp_path_factory.mktemp("any") / "m"
        write(given_samples, root, output_format, classes=["cat", "dog"], bbox_format="pascal_voc")
        found = alb_mixup.open_dataset(root, masks=output_format == "coco", classes=["cat", "dog"])
    for index, wanted in enumerate(given_samples):
        got = found[index]
        np.testing.assert_array_equal(got["image"], wanted["image"])
        np.testing.assert_allclose(xyxy(found, index), np.reshape(wanted["bboxes"], (-1, 4)), atol=1e-5)
        assert got["labels"] == wanted["labels"]
        np.testing.assert_array_equal(got["mixup_weight"], np.float32(wanted["mixup_weight"]))
        for mask, other in zip(got.get("masks", []), wanted.get("masks", []), strict=True):
            np.testing.assert_array_equal(mask, other)
