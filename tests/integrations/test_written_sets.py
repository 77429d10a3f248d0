"""Sets that `write_dataset` and `generate` write, as Ultralytics' own parser reads them."""

import os
import tempfile

import cv2
import numpy as np
import pytest

import alb_mixup
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from tests.support import layouts, shaped

pytest.importorskip("ultralytics")
# Before the first import: nothing in the home, nothing from the network, nothing installed.
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="yolo-config-"))
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset, polygon2mask


def labels_of(root, task):
    """What Ultralytics has of each image, by its name; it drops files that it takes for corrupt."""
    data = check_det_dataset(str(root / "data.yaml"), autodownload=False)
    read = YOLODataset(img_path=str(root / "images/train"), data=data, task=task, augment=False, imgsz=64)
    return {label["im_file"].rpartition("/")[2]: label for label in read.labels}, data


def write(dataset, root, **settings):
    (root / "val").mkdir(parents=True)
    settings = {"output_format": "yolo", "val": root / "val", "progress": False} | settings
    return alb_mixup.write_dataset(dataset, root / "set", **settings)


def shares(dataset, index):
    hw = dataset.image_size(index)
    return from_xyxy(to_xyxy(dataset.annotations(index)["bboxes"], dataset.bbox_format, hw), "yolo", hw)


@pytest.mark.parametrize("source_format", layouts.WRITERS)
def test_boxes_of_any_layout(source_format, tmp_path):
    source = alb_mixup.open_dataset(layouts.WRITERS[source_format](tmp_path / "source"))
    labels, data = labels_of(write(source, tmp_path, drop_weights=True), "detect")
    assert [data["names"][number] for number in range(3)] == list(source.classes)
    assert len(labels) == len(source)
    for index in range(len(source)):
        label = labels[source.image_path(index).name]
        found = {
            (data["names"][int(number)], *row) for (number,), row in zip(label["cls"], label["bboxes"], strict=True)
        }
        named = zip(source.annotations(index)["labels"], shares(source, index), strict=True)
        wanted = {(name, *row) for name, row in named}  # of two equal rows Ultralytics keeps one
        assert len(found) == len(wanted)
        for (name, *row), (wanted_name, *wanted_row) in zip(sorted(found), sorted(wanted), strict=True):
            assert name == wanted_name
            np.testing.assert_allclose(row, wanted_row, atol=1e-6)


def test_a_set_whose_weights_are_all_one_needs_no_option(tmp_path):
    cells = alb_mixup.sample_dataset()
    labels, _ = labels_of(write(cells, tmp_path), "detect")
    assert sum(len(label["cls"]) for label in labels.values()) == sum(
        len(cells.annotations(index)["labels"]) for index in range(len(cells))
    )


def test_polygons(tmp_path):
    source = alb_mixup.open_dataset(shaped.write(tmp_path), masks=True)
    labels, _ = labels_of(write(source, tmp_path / "yolo"), "segment")
    assert len(labels) == 4
    for index in range(4):
        label, annotation = labels[source.image_path(index).name], source.annotations(index)
        assert [shaped.CLASSES[int(number)] for number in label["cls"].ravel()] == annotation["labels"]
        height, width = hw = source.image_size(index)
        np.testing.assert_allclose(label["bboxes"], shares(source, index).reshape(-1, 4), atol=1e-3)
        for ring, mask in zip(label["segments"], annotation["masks"], strict=True):
            drawn = polygon2mask(hw, [(ring * [width, height]).ravel()])
            filled = shaped.without_holes(mask)
            if cv2.connectedComponents(mask)[0] == 2:
                np.testing.assert_array_equal(drawn, filled)
            else:  # a line between two parts
                assert 0.9 < np.logical_and(drawn, filled).sum() / np.logical_or(drawn, filled).sum() < 1


def test_poses(tmp_path):
    source = alb_mixup.open_dataset(shaped.write(tmp_path), keypoints=True)
    labels, data = labels_of(write(source, tmp_path / "yolo"), "pose")
    assert data["kpt_shape"] == [3, 3]
    assert data["flip_idx"] == [1, 0, 2]
    for index in range(4):
        label, (height, width) = labels[source.image_path(index).name], source.image_size(index)
        np.testing.assert_allclose(label["bboxes"], np.reshape(shares(source, index), (-1, 4)), atol=1e-6)
        points = np.reshape(label["keypoints"], (-1, 3, 3)) * [width, height, 1]
        wanted = np.zeros((len(points), 3, 3))
        if len(wanted):
            wanted[0] = np.reshape(shaped.POINTS[index], (3, 3))
        np.testing.assert_allclose(points, wanted, atol=1e-4)


def test_mixes_with_masks(tmp_path):
    source = alb_mixup.open_dataset(shaped.write(tmp_path), masks=True)
    (tmp_path / "val").mkdir()
    settings = {"drop_weights": True, "ratio_range": (0.4, 0.6), "val": tmp_path / "val", "multiplier": 3}
    root = alb_mixup.generate(source, tmp_path / "m", output_format="yolo", progress=False, **settings)
    labels, _ = labels_of(root, "segment")
    mixed = alb_mixup.open_dataset(root, masks=True)
    assert len(labels) == len(mixed) == 12
    for index in range(12):
        label = labels[mixed.image_path(index).name]
        assert len(label["segments"]) == len(label["cls"]) == len(mixed.annotations(index)["masks"])
