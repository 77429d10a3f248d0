"""The last primaries as the reference: they come back as they came, whatever happens to them in between."""

import json
import multiprocessing
import pickle
import sys
from collections import Counter

import albumentations as A
import numpy as np
import pytest

from alb_mixup import CachedDataset, MixUp, RecentSamples, sample_dataset
from alb_mixup.datasets import from_spec
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from tests.support.samples import (
    HAS_ORIENTED_BOXES,
    LABEL_FIELDS,
    as_arrays,
    frozen,
    keypoint_params,
    picture,
    pipeline,
    record_of,
    same,
    sample,
)

FIXED = {"ratio_range": (0.75, 0.75), "p": 1.0}


def near(left, right):
    """Whether two outputs are the same, coordinates within a ten thousandth of a pixel."""
    assert left.keys() == right.keys()
    for key, value in left.items():
        if key in {"bboxes", "keypoints"}:
            assert type(value) is type(right[key])
            np.testing.assert_allclose(np.asarray(value, float), np.asarray(right[key], float), atol=1e-4)
        else:
            assert same(value, right[key]), key
    return True


def assert_as_if_held(first, second, *before, **settings):
    """Mixing with the sample before is the same as mixing with a reference that holds what it had become."""
    recent = pipeline(*before, MixUp(RecentSamples(1), **FIXED), **settings)
    alone = pipeline(*before, A.HorizontalFlip(p=0.0), **settings)(**frozen(first))
    assert near(recent(**frozen(first)), alone)
    held = pipeline(*before, MixUp([alone], **FIXED), **settings)
    expected = held(**frozen(second))
    assert near(recent(**frozen(second)), expected)
    return expected


def test_the_first_is_left_as_it_is_and_the_second_gets_it():
    out = assert_as_if_held(sample(0, ("cat",)), sample(1, ("dog", "bird")))
    assert out["labels"] == ["dog", "bird", "cat"]
    assert out["mixup_weight"] == [0.75, 0.75, 0.25]


def test_it_is_kept_as_transforms_before_mixup_left_it():
    before = A.HorizontalFlip(p=1.0), A.CenterCrop(20, 24, p=1.0)
    assert_as_if_held(sample(0, ("cat",)), sample(1, ("dog",)), *before)


@pytest.mark.parametrize("bbox_format", ["pascal_voc", "coco", "yolo", "albumentations"])
@pytest.mark.parametrize("make", [dict, as_arrays], ids=["lists", "arrays"])
def test_box_formats(bbox_format, make):
    boxes = {"yolo": [[0.4, 0.4, 0.3, 0.2]], "albumentations": [[0.1, 0.2, 0.5, 0.9]]}.get(bbox_format, [[2, 3, 9, 8]])
    first = make(sample(0, ("cat",), height=30, width=20, bboxes=boxes))
    assert_as_if_held(first, make(sample(1, ("dog",), bboxes=boxes)), bbox_format=bbox_format)


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog"],
        [3, 70000],
        [0.5, -1.25],
        np.array([3, 9]),
        np.array(["ab", "abc"]),
        np.array([0.5, 7], np.float64),
    ],
)
def test_labels(labels):
    first, second = sample(0, labels=labels), sample(1, labels=labels[::-1])
    out = assert_as_if_held(first, second)
    assert list(out["labels"]) == [*labels[::-1], *labels]


def test_labels_that_no_other_sample_has():
    mixer = pipeline(MixUp(RecentSamples(1), **FIXED))
    before = None
    for number in range(6):
        out = mixer(**sample(number, (f"class {number}", "common")))
        expected = [f"class {number}", "common", *([] if before is None else [before, "common"])]
        assert out["labels"] == expected
        before = f"class {number}"


@pytest.mark.parametrize("counts", [(0, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("make", [dict, as_arrays], ids=["lists", "arrays"])
def test_without_boxes(counts, make):
    first, second = (make(sample(n, tuple("ab"[:count]))) for n, count in enumerate(counts))
    mixer = pipeline(MixUp(RecentSamples(1), **FIXED))
    mixer(**first)
    out = mixer(**second)
    assert list(out["labels"]) == list("ab"[: counts[1]] + "ab"[: counts[0]])
    np.testing.assert_allclose(out["mixup_weight"], [0.75] * counts[1] + [0.25] * counts[0])
    assert len(out["bboxes"]) == sum(counts)


def test_weights_that_came_in():
    first = sample(0, ("cat", "dog"), mixup_weight=[0.5, 0.25])
    out = assert_as_if_held(first, sample(1, ("bird",), mixup_weight=[0.5]))
    assert out["mixup_weight"] == [0.375, 0.125, 0.0625]


@pytest.mark.parametrize("channels", [None, 1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images(channels, dtype):
    first, second = (sample(n, image=picture(n, channels=channels, dtype=dtype)) for n in range(2))
    assert_as_if_held(first, second)


@pytest.mark.parametrize("keypoint_format", ["xy", "yx", "xya", "xyas"])
def test_keypoints_and_masks(keypoint_format):
    def full(seed, parts, height):
        points = [[3.0 + i, 5.0, 30.0, 2.0][: len(keypoint_format)] for i in range(len(parts))]
        masks = [picture(seed + i, height, 32, None) for i in range(2)]
        return sample(
            seed, height=height, keypoints=points, parts=parts, mask=picture(seed, height, 32, None), masks=masks
        )

    first, second = full(0, ["nose", "ear"], 20), full(1, ["tail"], 24)
    out = assert_as_if_held(first, second, keypoint_params=keypoint_params(keypoint_format))
    assert out["parts"] == ["tail", "nose", "ear"]
    assert len(out["masks"]) == 4


def test_boxes_that_leave_the_image_stay_away():
    """What the pipeline would drop in the end is not given to another image."""
    first = sample(0, ("cat", "gone"), bboxes=[[2, 3, 9, 8], [28, 20, 32, 24]])
    out = assert_as_if_held(first, sample(1, ("dog",)), A.Crop(0, 0, 20, 16, p=1.0))
    assert out["labels"] == ["dog", "cat"]


@pytest.mark.skipif(not HAS_ORIENTED_BOXES, reason="oriented boxes are AlbumentationsX's")
def test_oriented_boxes():
    params = A.BboxParams("cxcywh", label_fields=list(LABEL_FIELDS), bbox_type="obb")
    boxes = [[16.0, 12.0, 10.0, 6.0, 20.0]]
    recent = A.Compose([MixUp(RecentSamples(1), **FIXED)], bbox_params=params)
    held = A.Compose([MixUp([sample(0, ("cat",), bboxes=boxes)], **FIXED)], bbox_params=params)
    recent(**sample(0, ("cat",), bboxes=boxes))
    second = sample(1, ("dog",), bboxes=[[15.0, 11.0, 4.0, 3.0, 70.0]])
    np.testing.assert_allclose(recent(**second)["bboxes"], held(**second)["bboxes"], atol=1e-3)


def test_a_clip_is_kept_whole():
    frames = [np.stack([picture(10 * n + i) for i in range(2)]) for n in range(2)]
    first, second = (sample(n, (f"class {n}",), image=None, images=frames[n]) for n in range(2))
    mixer = pipeline(MixUp(RecentSamples(1), **(FIXED | {"ratio_range": (0, 0)})))
    mixer(**first)
    out = mixer(**second)
    assert out["labels"] == ["class 1", "class 0"]
    np.testing.assert_array_equal(out["images"], frames[0])
    assert sorted(mixer.transforms[0].reference[0]) == ["bboxes", "images", "labels", "mixup_weight"]


def test_additional_frames():
    params = {"additional_targets": {"clip": "images"}}
    clips = [np.stack([picture(10 * n + i) for i in range(2)]) for n in range(2)]
    recent = pipeline(MixUp(RecentSamples(1), **(FIXED | {"ratio_range": (0, 0)})), **params)
    recent(**sample(0, images=clips[0], clip=clips[0]))
    out = recent(**sample(1, images=clips[1], clip=clips[1]))
    np.testing.assert_array_equal(out["image"], picture(0))
    np.testing.assert_array_equal(out["clip"], clips[0])


def test_additional_images():
    params = {"additional_targets": {"depth": "image"}}
    first, second = (sample(n, depth=picture(50 + n)) for n in range(2))
    recent = pipeline(MixUp(RecentSamples(1), **FIXED), **params)
    recent(**first)
    expected = pipeline(MixUp([first], **FIXED), **params)(**second)
    assert near(recent(**second), expected)


# Which ones


def test_the_last_are_drawn_and_never_the_sample_itself():
    recent = RecentSamples(3)
    mixer = pipeline(MixUp(recent, **FIXED), save_applied_params=True)
    ages = Counter()
    for number in range(200):
        labels = mixer(**sample(0, (str(number),)))["labels"]
        assert labels[0] == str(number)
        if number >= 3:
            ages[number - int(labels[1])] += 1
        assert len(recent) == min(number + 1, 3)
        assert record_of(mixer.transforms[0])["reference_index"] in ({None} if number == 0 else range(3))
    assert set(ages) == {1, 2, 3}
    assert min(ages.values()) > 30


def test_only_those_that_it_was_applied_to():
    recent = RecentSamples()
    mixer = pipeline(MixUp(recent, p=0.0))
    mixer(**sample())
    assert len(recent) == 0


def test_a_seed_repeats_from_an_empty_one():
    runs = []
    for _ in range(2):
        mixer = pipeline(MixUp(RecentSamples(4), p=0.8), seed=6)
        runs.append([mixer(**sample(number, (str(number),))) for number in range(12)])
    assert same(*runs)


def test_two_in_one_pipeline():
    mixer = pipeline(MixUp(RecentSamples(1), **FIXED), MixUp(RecentSamples(1), **FIXED))
    first = mixer(**sample(0, ("a",)))
    assert first["labels"] == ["a"]
    out = mixer(**sample(1, ()))
    assert out["labels"] == ["a", "a"]
    np.testing.assert_allclose(out["mixup_weight"], [0.25 * 0.75, 0.25])
    third = mixer(**sample(2, ("c",)))  # the second MixUp's last primary was the mix of the first
    assert third["labels"] == ["c", "a"]
    np.testing.assert_allclose(third["mixup_weight"], [0.75 * 0.75, 0.25 * 0.25])


# Nobody writes to what is kept


def test_the_caller_may_write_to_what_it_gave():
    given = as_arrays(sample(0, ("cat", "dog")))
    mixer = pipeline(MixUp(RecentSamples(1), **FIXED))
    expected = pipeline(MixUp([frozen(given)], **FIXED))(**as_arrays(sample(1)))
    mixer(**given)
    for value in (given["image"], given["bboxes"], given["mixup_weight"]):
        value[:] = 0
    given["labels"][:] = "x"
    assert near(mixer(**as_arrays(sample(1))), expected)


def test_the_caller_may_write_to_what_it_got():
    mixer = pipeline(MixUp(RecentSamples(1), **FIXED))
    masks = [np.ones((24, 32), np.uint8)]
    expected = pipeline(MixUp([sample(0, masks=frozen(masks))], **FIXED))(**sample(1, masks=frozen(masks)))
    out = mixer(**sample(0, masks=masks))  # the first: nothing is mixed, so it is what came in
    for value in (out["image"], *out["masks"]):
        value[:] = 0
    assert near(mixer(**sample(1, masks=[np.ones((24, 32), np.uint8)])), expected)


def test_later_transforms_write_to_no_sample():
    recent = RecentSamples(5)
    mixer = pipeline(MixUp(recent, p=1.0), A.CoarseDropout(fill=3, p=1.0), A.GaussNoise(p=1.0), A.Normalize())
    for number in range(5):
        mixer(**sample(number))
    for number in range(5):
        np.testing.assert_array_equal(recent[number]["image"], sample(number)["image"])
        assert not recent[number]["image"].flags.writeable


def test_read_only_images_are_kept_without_a_copy():
    cached, recent = CachedDataset(sample_dataset(), 2**30), RecentSamples(1)
    mixer = pipeline(MixUp(recent, p=1.0))
    mixer(**cached[0])
    assert np.shares_memory(recent[0]["image"], cached[0]["image"])
    mixer(**sample_dataset()[0])
    assert not np.shares_memory(recent[0]["image"], cached[0]["image"])


def test_nothing_of_the_pipeline_is_kept():
    recent = RecentSamples(1)
    pipeline(MixUp(recent, p=1.0), strict=False)(**sample(0), mixup_metadata=[1], note="mine")
    assert sorted(recent[0]) == ["bboxes", "image", "labels", "mixup_weight"]


# Records, descriptions, processes


@pytest.mark.parametrize("through_json", [False, True])
def test_a_replay_says_that_it_cannot(through_json):
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS))
    mixer = A.ReplayCompose([MixUp(RecentSamples(2), p=1.0)], bbox_params=params)
    mixer(**sample(0))
    record = mixer(**sample(1))["replay"]
    record = json.loads(json.dumps(record)) if through_json else record
    with pytest.raises(SampleError, match="a replayed record's samples must still be there, got reference_index=0 of"):
        A.ReplayCompose.replay(record, **sample(1))


def test_the_first_call_can_be_replayed():
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS))
    out = A.ReplayCompose([MixUp(RecentSamples(2), p=1.0)], bbox_params=params)(**sample(0))
    again = A.ReplayCompose.replay(out["replay"], **sample(0))
    assert same({**again, "replay": 0}, {**out, "replay": 0})


def test_a_pipeline_is_written_and_read():
    mixer = pipeline(MixUp(RecentSamples(7), p=1.0))
    mixer(**sample(0))
    written = json.loads(json.dumps(A.to_dict(mixer)))
    again = A.from_dict(written)
    assert again.transforms[0].reference.capacity == 7
    assert len(again.transforms[0].reference) == 0
    assert from_spec({"dataset": "RecentSamples", "capacity": 7}).capacity == 7
    assert "RecentSamples" in repr(mixer)


def test_repr_and_pickles_hold_no_samples():
    recent = RecentSamples(7)
    recent.add(sample(0))
    assert repr(recent) == "RecentSamples(capacity=7, kept=1)"
    again = pickle.loads(pickle.dumps(recent))
    assert (again.capacity, len(again)) == (7, 0)
    assert RecentSamples().capacity == 20


def count_in_child(recent, connection):
    connection.send(len(recent))
    recent.add(sample(1))


@pytest.mark.parametrize(
    ("method", "kept"),
    [
        pytest.param("fork", 1, marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")),
        ("spawn", 0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_each_process_has_its_own(method, kept):
    recent = RecentSamples(7)
    recent.add(sample(0))
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=count_in_child, args=(recent, sender))
    worker.start()
    assert receiver.poll(60)
    assert receiver.recv() == kept
    worker.join()
    assert len(recent) == 1


# With other settings, and errors


def test_a_reference_transform():
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS))
    flip = A.Compose([A.HorizontalFlip(p=1.0)], bbox_params=params)
    mixer = pipeline(MixUp(RecentSamples(1), reference_transform=flip, **FIXED))
    mixer(**sample(0))
    expected = pipeline(MixUp([sample(0)], reference_transform=flip, **FIXED))(**sample(1))
    assert near(mixer(**sample(1)), expected)


def test_a_reference_transform_that_reads_other_boxes():
    params = A.BboxParams("coco", label_fields=list(LABEL_FIELDS))
    flip = A.Compose([A.HorizontalFlip(p=1.0)], bbox_params=params)
    mixer = pipeline(MixUp(RecentSamples(1), reference_transform=flip, p=1.0))
    with pytest.raises(SampleError, match=r"bbox_params in the pipeline's format 'pascal_voc'.*got 'coco'"):
        mixer(**sample(0))


def test_boxes_without_params():
    recent = RecentSamples(1)
    with pytest.raises(SampleError, match=r"bboxes must come through A.Compose\(\[...\], bbox_params=...\)"):
        A.Compose([MixUp(recent, p=1.0)])(image=picture(), bboxes=[[1, 2, 3, 4]])
    assert len(recent) == 0


def test_another_sort_of_primary():
    mixer = pipeline(MixUp(RecentSamples(1), p=1.0))
    mixer(**sample(0))
    with pytest.raises(SampleError, match=r"reference\[0\]\['image'\] must have the primary's dtype float32"):
        mixer(**sample(1, image=picture(dtype=np.float32)))


@pytest.mark.parametrize("capacity", [0, -1, 2.0, True, None, "20"])
def test_capacity_is_a_number_of_samples(capacity):
    with pytest.raises(ArgumentError, match="capacity must be a whole number of samples, at least 1, got"):
        RecentSamples(capacity)


@pytest.mark.parametrize("bbox_format", ["pascal_voc", "coco", "yolo"])
def test_a_primary_cropped_where_a_box_ends_comes_back_without_it(bbox_format):
    """Of such a box float32 leaves a side next to 0, which 2.0.8 keeps in a pipeline and refuses at its door."""
    corners = np.array([[x, y, x + 7, y + 5] for x in range(0, 57, 7) for y in range(0, 43, 5)], np.float64)
    boxes = from_xyxy(corners, bbox_format, (48, 64)).astype(np.float32)
    given = {"bboxes": boxes, "labels": ["a"] * len(boxes), "mixup_weight": [1.0] * len(boxes)}
    params = A.BboxParams(bbox_format, label_fields=["labels", "mixup_weight"])
    recent = RecentSamples(1)
    mixer = A.Compose([A.RandomCrop(33, 41), MixUp(recent, p=1.0)], bbox_params=params, seed=1)
    for _ in range(150):
        mixer(image=np.zeros((48, 64, 3), np.uint8), **given)
        sides = np.diff(to_xyxy(recent[0]["bboxes"], bbox_format, (33, 41)).reshape(-1, 2, 2), axis=1)
        assert sides.min() > 0.99
