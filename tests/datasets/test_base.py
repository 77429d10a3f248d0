import copy
import pickle
from collections.abc import Sequence

import albumentations as A
import numpy as np
import pytest

from alb_mixup.datasets import DetectionDataset, VocDataset
from alb_mixup.errors import ArgumentError, ImageReadError
from tests.support.voc_files import add, picture, save, voc_object


@pytest.fixture
def dataset(tmp_path):
    """Image a has two boxes, b none, c one."""
    add(tmp_path, "a", voc_object("cat", (3, 4, 20, 15)), voc_object("big dog", (1, 1, 40, 30)))
    add(tmp_path, "b", image=picture(seed=1))
    add(tmp_path, "c", voc_object("Käfer", (5, 5, 9, 9)), image=picture(seed=2))
    return VocDataset(tmp_path)


def test_a_sample(dataset):
    sample = dataset[0]
    assert list(sample) == ["image", "bboxes", "labels", "mixup_weight"]
    np.testing.assert_array_equal(sample["image"], picture())
    assert sample["bboxes"].dtype == np.float32
    np.testing.assert_array_equal(sample["bboxes"], [[2, 3, 20, 15], [0, 0, 40, 30]])
    assert sample["labels"] == ["cat", "big dog"]
    assert sample["mixup_weight"].dtype == np.float32
    assert sample["mixup_weight"].tolist() == [1, 1]


def test_a_sample_without_boxes(dataset):
    sample = dataset[1]
    assert sample["bboxes"].shape == (0, 4)
    assert sample["bboxes"].dtype == np.float32
    assert sample["labels"] == []
    assert sample["mixup_weight"].shape == (0,)


def test_samples_go_straight_into_a_compose(dataset):
    params = A.BboxParams(dataset.bbox_format, label_fields=["labels", "mixup_weight"])
    compose = A.Compose([A.HorizontalFlip(p=1)], bbox_params=params)
    out = compose(**dataset[0])
    np.testing.assert_array_equal(out["image"], picture()[:, ::-1])
    np.testing.assert_allclose(out["bboxes"], [[20, 3, 38, 15], [0, 0, 40, 30]], atol=1e-4)
    assert list(out["labels"]) == ["cat", "big dog"]
    assert len(compose(**dataset[1])["bboxes"]) == 0


def test_it_is_a_sequence(dataset):
    assert isinstance(dataset, Sequence)
    assert isinstance(dataset, DetectionDataset)
    assert len(dataset) == 3
    assert [sample["labels"] for sample in dataset] == [["cat", "big dog"], [], ["Käfer"]]
    assert dataset[-3]["labels"] == ["cat", "big dog"]
    assert dataset[-1]["labels"] == dataset[np.int64(2)]["labels"] == ["Käfer"]


@pytest.mark.parametrize("index", [3, -4])
@pytest.mark.parametrize("method", ["__getitem__", "annotations", "image_path", "image_size"])
def test_no_such_image(dataset, index, method):
    with pytest.raises(IndexError, match=rf"index {index} is out of range for a dataset of 3 images"):
        getattr(dataset, method)(index)


@pytest.mark.parametrize("index", [slice(2), 1.0, "a"])
def test_an_index_that_is_no_integer(dataset, index):
    with pytest.raises(TypeError):
        dataset[index]


def test_callers_may_write_to_what_they_get(dataset):
    sample = dataset[0]
    for key in ("image", "bboxes", "mixup_weight"):
        sample[key][:] = 7
    sample["labels"].clear()
    again = dataset[0]
    np.testing.assert_array_equal(again["image"], picture())
    assert again["bboxes"][0].tolist() == [2, 3, 20, 15]
    assert again["labels"] == ["cat", "big dog"]
    assert again["mixup_weight"].tolist() == [1, 1]


def test_annotations_and_size_need_no_image(dataset, tmp_path):
    expected = dataset[0]
    dataset.image_path(0).unlink()
    found = dataset.annotations(0)
    assert list(found) == ["bboxes", "labels", "mixup_weight"]
    np.testing.assert_array_equal(found["bboxes"], expected["bboxes"])
    assert found["labels"] == expected["labels"]
    assert dataset.image_size(0) == (30, 40)
    with pytest.raises(ImageReadError, match=r"JPEGImages/a\.png"):
        dataset[0]


def test_an_image_that_was_replaced_by_another_size(dataset):
    save(dataset.image_path(0), picture(60, 80))
    with pytest.raises(ImageReadError, match="boxes would be shifted"):
        dataset[0]


def test_paths_are_absolute_whatever_becomes_of_the_working_directory(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = VocDataset(".")
    monkeypatch.chdir(tmp_path.parent)
    assert relative.image_path(2) == dataset.image_path(-1) == tmp_path / "JPEGImages" / "c.png"
    assert relative[0]["labels"] == ["cat", "big dog"]


def test_annotated_is_the_part_with_boxes(dataset):
    part = dataset.annotated()
    assert type(part) is VocDataset
    assert [part.annotations(number)["labels"] for number in range(len(part))] == [["cat", "big dog"], ["Käfer"]]
    assert part.image_path(1).name == "c.png"
    np.testing.assert_array_equal(part[1]["image"], picture(seed=2))
    assert part.classes == dataset.classes
    assert part._annotations is dataset._annotations
    assert len(dataset) == 3
    assert len(part.annotated()) == 2


def test_annotated_may_be_empty(tmp_path):
    add(tmp_path, "a")
    part = VocDataset(tmp_path).annotated()
    assert len(part) == 0
    assert list(part) == []
    assert "images=0, boxes=0, classes=0" in repr(part)


def test_repr_is_short(dataset, tmp_path):
    root = tmp_path.as_posix()
    assert repr(dataset) == f"VocDataset(root={root!r}, images=3, boxes=3, classes=3)"
    assert repr(dataset.annotated()) == f"VocDataset(root={root!r}, images=2, boxes=3, classes=3)"


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
@pytest.mark.parametrize("part", [False, True])
def test_copies_and_pickles(dataset, clone, part):
    source = dataset.annotated() if part else dataset
    other = clone(source)
    assert repr(other) == repr(source)
    assert other.to_spec() == source.to_spec()
    for mine, theirs in zip(source, other, strict=True):
        assert mine["labels"] == theirs["labels"]
        np.testing.assert_array_equal(mine["bboxes"], theirs["bboxes"])
        np.testing.assert_array_equal(mine["image"], theirs["image"])


def test_it_holds_no_python_object_per_image_or_box(tmp_path):
    sizes = []
    for count in (5, 50):
        for number in range(count):
            add(tmp_path / str(count), str(number), *[voc_object()] * 4)
        state = vars(VocDataset(tmp_path / str(count)))
        sizes.append(sum(len(value) for value in state.values() if isinstance(value, (list, tuple, dict))))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("root", [None, 3, b"bytes"])
def test_a_root_that_is_no_path(root):
    with pytest.raises(ArgumentError, match="root must be the path of a folder, a str or Path, got"):
        VocDataset(root)


@pytest.mark.parametrize("classes", ["cat", [], ["cat", "cat"], ["cat", 3]])
def test_bad_classes(tmp_path, classes):
    with pytest.raises(ArgumentError, match="classes must be a sequence of different class names, or None, got"):
        VocDataset(tmp_path, classes=classes)
