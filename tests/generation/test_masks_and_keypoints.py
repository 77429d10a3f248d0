"""Masks and keypoints of mixes on disk, against the oracle, as other people's readers read them."""

import json

import numpy as np
import pytest
import supervision as sv
import yaml
from pycocotools.coco import COCO

import alb_mixup
from alb_mixup.errors import ArgumentError
from alb_mixup.generation.layout import WrittenImage
from alb_mixup.generation.layouts import LAYOUTS
from alb_mixup.generation.run import generate
from tests.generation.test_run import manifest, tree
from tests.oracle import mix
from tests.support import shaped
from tests.support.voc_files import picture

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own


@pytest.fixture
def source(tmp_path):
    return shaped.write(tmp_path)


def plain(number):
    """An image as it was written; each keypoint's label says its box and name too."""
    masks, (height, width) = shaped.masks()[number], shaped.SIZES[number]
    points = np.reshape(shaped.POINTS[number], (-1, 3)) if masks else np.zeros((0, 3))
    labelled = points[:, 2] > 0
    labels = [(name, int(v)) for name, v in zip(shaped.NAMES, points[:, 2], strict=bool(masks)) if v > 0]
    return {
        "image": picture(height, width, number),
        "bboxes": np.array([shaped.extent(mask) for mask in masks], float).reshape(-1, 4),
        "labels": shaped.CLASSES[: len(masks)],
        "mixup_weight": [1.0] * len(masks),
        "masks": masks,
        "keypoints": points[labelled, :2],
        "keypoint_labels": [(number, *label) for label in labels],
    }


def mixes(root, fit_mode="contain"):
    """What the oracle makes of each row of the manifest."""
    for row in manifest(root):
        primary, partner = (plain(int(row[key][0])) for key in ("primary", "partner"))
        yield mix(primary, partner, float(row["ratio"]), fit_mode)


@pytest.mark.parametrize("fit_mode", ["contain", "cover", "canvas"])
def test_pycocotools_reads_the_masks_and_keypoints_of_mixes(fit_mode, source, tmp_path):
    dataset = alb_mixup.open_dataset(source, masks=True, keypoints=True)
    root = generate(dataset, tmp_path / "m", multiplier=4, fit_mode=fit_mode, image_format="png", progress=False)
    coco = COCO(str(root / "annotations.json"))
    person, kite = coco.loadCats([1, 2])
    assert (person["keypoints"], person["skeleton"]) == (shaped.NAMES, shaped.SKELETON)
    assert "keypoints" not in kite
    seen = gone = 0
    for image_id, expected in enumerate(mixes(root, fit_mode), 1):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        hw = expected["image"].shape[:2]
        assert [shaped.CLASSES[a["category_id"] - 1] for a in found] == expected["labels"]
        for annotation, mask in zip(found, expected["masks"], strict=True):
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()
        points = dict.fromkeys([(label[0], label[1]) for label in expected["keypoint_labels"]])
        for (number, name, v), (x, y) in zip(expected["keypoint_labels"], expected["keypoints"], strict=True):
            points[number, name] = (x, y, v)
        written = [np.reshape(a["keypoints"], (-1, 3)) for a in found if a["category_id"] == 1]
        wanted = []
        for number in dict.fromkeys(number for number, _ in points):  # persons, the primary's first
            own = [points.get((number, name), (0, 0, 0)) for name in shaped.NAMES]
            inside = [0 <= x < hw[1] and 0 <= y < hw[0] for x, y, _ in own]
            gone += inside.count(False)
            wanted.append([point if here else (0, 0, 0) for point, here in zip(own, inside, strict=True)])
        with_points = [own for own in written if own[:, 2].any()]
        wanted = [own for own in wanted if any(v for *_, v in own)]
        np.testing.assert_allclose(np.reshape(with_points, (-1, 3)), np.reshape(wanted, (-1, 3)), atol=0.01)
        assert all(a["num_keypoints"] == np.count_nonzero(a["keypoints"][2::3]) for a in found)
        seen += len(with_points)
    assert seen > 8
    assert gone or fit_mode != "cover"  # points that left the image are not labelled


def test_masks_are_the_same_for_any_number_of_workers_and_after_a_loss(source, tmp_path):
    dataset = alb_mixup.open_dataset(source, masks=True, keypoints=True)
    one = generate(dataset, tmp_path / "one", multiplier=2, progress=False)
    before = tree(one)
    assert before == tree(generate(dataset, tmp_path / "two", multiplier=2, workers=2, progress=False))
    for path in [one / "images" / "mixup_000002.jpg", one / "annotations.json"]:
        path.unlink()
    assert tree(generate(dataset, one, multiplier=2, progress=False)) == before


def test_a_set_without_masks_is_not_taken_for_one_with_them(source, tmp_path):
    generate(alb_mixup.open_dataset(source), tmp_path / "m", progress=False)
    with pytest.raises(OSError, match="destination must be new, empty, or begun with the same dataset"):
        generate(alb_mixup.open_dataset(source, masks=True), tmp_path / "m", progress=False)


def test_polygons_of_mixes_are_read_as_the_masks_that_were_mixed(source, tmp_path):
    dataset = alb_mixup.open_dataset(source, masks=True)
    settings = {"output_format": "yolo", "multiplier": 4, "drop_weights": True, "ratio_range": (0.4, 0.6)}
    root = generate(dataset, tmp_path / "m", image_format="png", progress=False, **settings)
    ours = alb_mixup.open_dataset(root, masks=True, on_invalid="raise")
    read = sv.DetectionDataset.from_yolo(
        str(root / "images/train"), str(root / "labels/train"), str(root / "data.yaml"), force_masks=True, is_obb=False
    )
    lowest = 1.0
    for index, expected in enumerate(mixes(root)):
        annotation = ours.annotations(index)
        assert annotation["labels"] == expected["labels"]
        for mask, wanted in zip(annotation["masks"], expected["masks"], strict=True):
            if wanted.any():
                np.testing.assert_array_equal(mask, shaped.without_holes(wanted))
            else:
                assert mask.any()  # of one pixel, which its image made smaller has lost: its box
        theirs = read.annotations[str(ours.image_path(index))]
        for mask, wanted in zip(theirs.mask if len(theirs) else [], expected["masks"], strict=True):
            if wanted.sum() > 50:
                lowest = min(lowest, np.logical_and(mask, wanted).sum() / np.logical_or(mask, wanted).sum())
    assert lowest > 0.7  # it rounds corners, draws outlines and the lines between parts; a hole is a fifth of the ring


def test_pose_rows_have_the_same_columns_whatever_the_class(source, tmp_path):
    dataset = alb_mixup.open_dataset(source, keypoints=True)
    settings = {"output_format": "yolo", "drop_weights": True, "ratio_range": (0.4, 0.6), "image_format": "png"}
    root = generate(dataset, tmp_path / "m", multiplier=3, progress=False, **settings)
    said = yaml.safe_load((root / "data.yaml").read_text())
    assert said["kpt_shape"] == [3, 3]
    assert said["flip_idx"] == [1, 0, 2]
    assert said["kpt_names"] == {0: shaped.NAMES}
    for index, expected in enumerate(mixes(root)):
        text = (root / "labels/train" / f"mixup_{index:06d}.txt").read_text()
        rows = np.array([line.split() for line in text.splitlines()], float).reshape(-1, 5 + 9)
        height, width = expected["image"].shape[:2]
        points = rows[:, 5:].reshape(-1, 3)
        labelled = points[points[:, 2] > 0]
        np.testing.assert_allclose(labelled[:, :2] * [width, height], expected["keypoints"], atol=0.01)
        assert labelled[:, 2].tolist() == [v for *_, v in expected["keypoint_labels"]]
        assert not points[points[:, 2] == 0].any()
        assert not rows[rows[:, 0] == 1, 5:].any()
    assert alb_mixup.open_dataset(root, on_invalid="raise").classes == tuple(shaped.CLASSES)


def test_yolo_holds_no_point_outside_of_the_image_and_none_that_is_not_labelled():
    layout = LAYOUTS["yolo"](["cat"], weights=False, keypoint_names=[["a", "b", "c", "d"]])
    points = [-0.5, 5, 2, 20, 5, 1, 7, 8, 0, 3, 10.5, 2]
    image = WrittenImage("a.png", (10, 20), [[0, 0, 10, 10]], [0], [1.0], None, [points])
    assert layout.label_file(image)[1] == "0 0.25 0.5 0.5 1 0 0 0 1 0.5 1 0 0 0 0 0 0\n"


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        ([["left eye", "right eye", "nose"]], [1, 0, 2]),
        ([["nose", "tail"]], None),  # they may lie on one side each
        ([["left eye", "nose"]], None),
        ([["left eye", "right eye"], ["right paw", "left paw"]], [1, 0]),
        ([["left eye", "right eye"], ["nose", "tail"]], None),
        ([["left eye", "right eye"], []], [1, 0]),
        ([["left eye", "right eye", "tail"], ["left ear", "right ear"]], [1, 0, 2]),
    ],
)
def test_flip_idx_is_said_where_the_names_say_left_and_right(names, flip, tmp_path):
    classes = ["a", "b"][: len(names)]
    layout = LAYOUTS["yolo"](classes, weights=False, keypoint_names=names)
    ((_, pieces),) = layout.index_files(list)
    assert yaml.safe_load("".join(pieces)).get("flip_idx") == flip


@pytest.mark.parametrize(
    ("opened", "settings", "says"),
    [
        ({"masks": True}, {"output_format": "voc"}, "output_format must be able to hold masks, got 'voc'"),
        ({"keypoints": True}, {"output_format": "voc"}, "output_format must be able to hold keypoints, got 'voc'"),
        ({"masks": True}, {"output_format": "yolo"}, "drop_weights must be True for masks"),
        ({"keypoints": True}, {"output_format": "yolo"}, "drop_weights must be True for keypoints"),
        (
            {"masks": True, "keypoints": True},
            {"output_format": "yolo", "drop_weights": True},
            "output_format must be able to hold masks beside keypoints",
        ),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_before_anything_is_written(opened, settings, says, source, tmp_path):
    with pytest.raises(ArgumentError, match=says):
        generate(alb_mixup.open_dataset(source, **opened), tmp_path / "m", progress=False, **settings)
    assert not (tmp_path / "m").exists()


def test_the_readers_that_have_no_masks_or_keypoints_refuse_them(source, tmp_path):
    root = alb_mixup.write_dataset(
        alb_mixup.open_dataset(source), tmp_path / "voc", output_format="voc", progress=False
    )
    with pytest.raises(ArgumentError, match="masks must be False for Pascal VOC, got True"):
        alb_mixup.open_dataset(root, masks=True)
    root = alb_mixup.write_dataset(
        alb_mixup.open_dataset(source), tmp_path / "yolo", output_format="yolo", progress=False
    )
    with pytest.raises(ArgumentError, match="keypoints must be False for YOLO, got True"):
        alb_mixup.open_dataset(root, keypoints=True)


def test_keypoints_beyond_the_names_and_names_that_repeat_are_numbers(tmp_path):
    file = shaped.write(tmp_path)
    content = json.loads(file.read_text())
    content["categories"][0]["keypoints"] = ["eye", "eye"]
    file.write_text(json.dumps(content))
    dataset = alb_mixup.open_dataset(file, keypoints=True)
    assert dataset.keypoint_names == (("eye", "1", "2"), ())
    root = alb_mixup.write_dataset(dataset, tmp_path / "again", progress=False)
    again = alb_mixup.open_dataset(root, keypoints=True)
    for index in range(len(dataset)):
        one, other = dataset.annotations(index), again.annotations(index)
        for key in ("keypoints", "keypoint_labels", "keypoint_visibility", "keypoint_boxes"):
            np.testing.assert_array_equal(one[key], other[key])
