"""Inputs that once came out wrong without a word, each with its right value, worked out by hand."""

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import albumentations as A
import numpy as np
import pytest

from alb_mixup import (
    CachedDataset,
    ClassWeights,
    MixUp,
    MosaicDataset,
    RecentSamples,
    generate,
    mix_pair,
    sample_dataset,
)
from alb_mixup.errors import (
    AlbMixUpWarning,
    ArgumentError,
    InstallationError,
    SampleError,
    SerializationError,
)
from tests.support import ROOT
from tests.support.samples import IS_X, LABEL_FIELDS, Reference, keypoint_params, mixing, picture, pipeline, sample

HALF = {"ratio_range": (0.5, 0.5), "p": 1.0}


def grey(value, height=24, width=32, dtype=np.uint8):
    return np.full((height, width, 3), value, dtype)


# --- the state of one pipeline used in another --------------------------------------------------------------------


def test_one_mixup_in_two_pipelines_follows_the_one_that_runs():
    mixup = MixUp([sample(1, ("dog",))], **HALF)
    first = pipeline(mixup)
    pipeline(mixup, bbox_format="coco")  # whose processors came last
    out = first(**sample(0, ("cat",)))
    assert out["labels"] == ["cat", "dog"]
    np.testing.assert_allclose(out["bboxes"], [[1, 2, 11, 14]] * 2, atol=1e-4)


def test_a_pipeline_in_a_pipeline_is_not_the_one_that_runs():
    inner = A.Compose([MixUp([sample(1, ("dog",))], **HALF)])
    outer = pipeline(inner, A.NoOp(p=1.0))
    assert outer(**sample(0, ("cat",)))["labels"] == ["cat", "dog"]


def test_a_pipeline_that_became_a_part_of_another_is_refused_alone():
    inner = pipeline(MixUp([sample(1, ("dog",))], **HALF))
    A.Compose([inner], bbox_params=A.BboxParams("coco", label_fields=list(LABEL_FIELDS)))
    with pytest.raises(SampleError, match=r"must come through A\.Compose"):  # whose boxes are still in pixels
        inner(**sample(0, ("cat",)) | {"bboxes": np.array([[1.0, 2, 11, 14]], np.float32)})


def test_a_transform_called_without_its_pipeline_is_refused():
    mixer = mixing([sample(1)])
    mixer(**sample(0))
    with pytest.raises(SampleError, match=r"must come through A\.Compose"):
        mixer[0](image=picture(), bboxes=np.array([[1.0, 2, 3, 4]], np.float32))


# --- a field that is a position -----------------------------------------------------------------------------------


def numbered(*values, first=0, **more):
    """A sample of boxes side by side, numbered by `idx`, each with a mask of its own value and a keypoint in it."""
    count = len(values)
    boxes = [[2.0 + 10 * i, 2, 8 + 10 * i, 12] for i in range(count)]
    masks = np.stack([np.full((24, 32), value, np.uint8) for value in values]) if count else np.zeros((0, 24, 32), "u1")
    points = [[5.0 + 10 * i, 7.0] for i in range(count)]
    made = {
        "image": picture(first), "bboxes": boxes, "labels": [f"{value}" for value in values],
        "mixup_weight": [1.0] * count, "idx": [float(i) for i in range(count)], "masks": masks,
        "keypoints": points, "keypoint_boxes": [float(i) for i in range(count)],
    }  # fmt: skip
    return made | more


def indexed(*transforms, seed=0):
    return A.Compose(
        list(transforms),
        bbox_params=A.BboxParams("pascal_voc", label_fields=[*LABEL_FIELDS, "idx"]),
        keypoint_params=keypoint_params("xy", ["keypoint_boxes"]),
        seed=seed,
    )


def mixed_index(reference, **settings):
    return MixUp(reference, **({"index_fields": ["idx", "keypoint_boxes"]} | HALF | settings))


def check_belonging(out):
    """Each box's number leads to its own mask, and each point to the box that it lies in."""
    for label, index in zip(out["labels"], out["idx"], strict=True):
        assert out["masks"][int(index)].max() == int(label)
    numbers = [int(index) for index in out["idx"]]
    for (x, y), number in zip(out["keypoints"], out["keypoint_boxes"], strict=True):
        if number >= 0 and int(number) in numbers:
            x_min, y_min, x_max, y_max = out["bboxes"][numbers.index(int(number))]
            assert x_min <= x <= x_max
            assert y_min <= y <= y_max


def test_numbers_of_boxes_lead_to_their_own_masks_and_points():
    out = indexed(mixed_index([numbered(101, 102, first=1)]))(**numbered(1, 2))
    assert list(out["idx"]) == [0, 1, 2, 3]
    assert list(out["keypoint_boxes"]) == [0, 1, 2, 3]
    check_belonging(out)


def test_they_hold_after_a_crop_that_keeps_each_images_first_box():
    out = indexed(mixed_index([numbered(101, 102, first=1)]), A.Crop(0, 0, 9, 24))(**numbered(1, 2))
    assert out["labels"] == ["1", "101"]
    check_belonging(out)


def test_they_hold_through_two_mixups_and_a_crop_between_them():
    first, second = mixed_index([numbered(101, 102, first=1)]), mixed_index([numbered(201, 202, 203, first=2)])
    out = indexed(first, A.Crop(0, 0, 9, 24), second)(**numbered(1, 2))
    assert out["labels"] == ["1", "101", "201", "202", "203"]
    check_belonging(out)


def test_they_hold_where_boxes_are_dropped_by_their_weight():
    light = numbered(101, 102, first=1) | {"mixup_weight": [0.1, 1.0]}
    out = indexed(mixed_index([light], min_weight=0.2))(**numbered(1, 2) | {"mixup_weight": [1.0, 0.1]})
    assert out["labels"] == ["1", "102"]
    assert len(out["masks"]) == len(out["keypoints"]) == 2
    check_belonging(out)


def test_they_hold_through_recent_samples():
    recent = mixed_index(RecentSamples(1))
    mixer = indexed(recent)
    mixer(**numbered(1, 2))
    out = mixer(**numbered(11, 12, 13))
    assert out["labels"] == ["11", "12", "13", "1", "2"]
    check_belonging(out)


def test_they_hold_where_the_primary_has_no_boxes():
    out = indexed(mixed_index([numbered(101, 102, first=1)]))(**numbered())
    assert out["labels"] == ["101", "102"]
    check_belonging(out)


def test_points_of_no_box_stay_so():
    theirs = numbered(101, 102, first=1) | {"keypoint_boxes": [-1.0, 1.0]}
    out = indexed(mixed_index([theirs]))(**numbered(1, 2) | {"keypoint_boxes": [0.0, -1.0]})
    assert list(out["keypoint_boxes"]) == [0, -1, -1, 3]


def test_points_name_boxes_by_their_positions_without_being_told():
    """As `CocoDataset(keypoints=True)` has them: `keypoint_boxes` alone, no number beside the boxes."""

    def plain(made):
        return {key: value for key, value in made.items() if key not in {"idx", "masks"}}

    params = {"keypoint_params": keypoint_params("xy", ["keypoint_boxes"])}
    mixer = A.Compose(
        [MixUp([plain(numbered(101, 102, first=1))], **HALF)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS)),
        **params,
    )
    out = mixer(**plain(numbered(1, 2, 3)))
    assert list(out["keypoint_boxes"]) == [0, 1, 2, 3, 4]


def test_points_that_name_a_box_that_is_gone_are_refused():
    stale = {key: value for key, value in numbered(1, 2).items() if key not in {"idx", "masks"}}
    stale["keypoint_boxes"] = [0.0, 2.0]
    mixer = A.Compose(
        [MixUp([stale], **HALF)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS)),
        keypoint_params=keypoint_params("xy", ["keypoint_boxes"]),
    )
    with pytest.raises(SampleError, match="must name its 2 boxes by their positions, got 2"):
        mixer(**stale)


def test_mosaics_number_the_boxes_of_all_their_parts():
    def part(number):
        return {
            "image": picture(number), "bboxes": [[1.0, 1, 9, 9], [20, 10, 30, 22]], "labels": ["a", "b"], "idx": [0, 1],
        }  # fmt: skip

    parts = Reference([part(number) for number in range(4)], "pascal_voc")
    fields = ("labels", "mixup_weight", "idx")
    mosaics = MosaicDataset(parts, (48, 64), cell_size=(24, 32), label_fields=fields, index_fields=("idx",), seed=0)
    for index in range(4):
        made = mosaics[index]
        assert list(made["idx"]) == list(range(len(made["labels"])))


@pytest.mark.parametrize("values", [["a", "b"], np.array(["0", "1"])], ids=["list", "array"])
@pytest.mark.parametrize("side", ["primary", "partner", "partner alone"])
def test_positions_that_are_text_are_refused(values, side):
    mine, theirs = numbered(1, 2), numbered(101, 102, first=1)
    (mine if side == "primary" else theirs)["idx"] = values
    with pytest.raises(SampleError, match="idx"):
        indexed(mixed_index([theirs]))(**numbered() if side == "partner alone" else mine)


def test_positions_that_are_bools_are_refused():
    mine = numbered(1, 2) | {"idx": np.array([False, True])}
    with pytest.raises(SampleError, match=r"idx must be positions of boxes, .* got bool"):
        indexed(mixed_index([numbered(101, 102, first=1)]))(**mine)


@pytest.mark.parametrize(("dtype", "count"), [(np.uint8, 256), (np.int8, 128), (np.float16, 2049)])
def test_positions_that_their_dtype_cannot_hold_are_refused(dtype, count):

    def many(count):
        boxes = np.tile(np.float32([[2, 2, 8, 12]]), (count, 1))
        idx = np.arange(count).astype(dtype)
        return {"image": picture(), "bboxes": boxes, "labels": ["a"] * count, "mixup_weight": [1.0] * count, "idx": idx}

    params = A.BboxParams("pascal_voc", label_fields=[*LABEL_FIELDS, "idx"])
    mixer = A.Compose([mixed_index([many(1)])], bbox_params=params)
    short = mixer(**many(count - 1))["idx"]
    assert short.tolist() == list(range(count))
    with pytest.raises(SampleError, match=rf"idx must be of a dtype that holds .* got {count} in {np.dtype(dtype)}"):
        mixer(**many(count))


def test_the_number_of_no_box_is_refused_where_its_dtype_cannot_hold_it():
    """A second index field, of each box's other half, when that half is dropped."""
    made = {key: value for key, value in numbered(1, 2).items() if not key.startswith("keypoint")}
    made |= {"mixup_weight": [1.0, 0.1], "half": np.array([1, 0])}
    params = A.BboxParams("pascal_voc", label_fields=[*LABEL_FIELDS, "idx", "half"])
    mixer = A.Compose([MixUp([made], min_weight=0.2, index_fields=["idx", "half"], **HALF)], bbox_params=params)
    assert mixer(**made)["half"].tolist() == [-1, -1]
    mixer = A.Compose([MixUp([made], min_weight=0.2, index_fields=["idx", "half"], **HALF)], bbox_params=params)
    with pytest.raises(SampleError, match=r"half must be of a dtype that holds .* and -1 for none, got -1 in uint8"):
        mixer(**made | {"half": np.array([1, 0], np.uint8)})


@pytest.mark.parametrize("values", [[0.5, 1], [None, 1], [float("nan"), 1.0], ["a", "b"], [0, 2], [-2, 0]], ids=str)
def test_mosaics_refuse_positions_that_are_none(values):
    part = {"image": picture(), "bboxes": [[1.0, 1, 9, 9], [20, 10, 30, 22]], "labels": ["a", "b"], "idx": values}
    fields = {"label_fields": ("labels", "idx"), "index_fields": ("idx",)}
    mosaics = MosaicDataset(Reference([part], "pascal_voc"), (48, 64), cell_size=(24, 32), seed=0, **fields)
    with pytest.raises(SampleError, match="idx must be positions of boxes in their sample, or -1 for none, got"):
        mosaics[0]


# --- something dropped on one side only ---------------------------------------------------------------------------


def masked(label, value, boxes, weights=None):
    count = len(boxes)
    masks = [np.full((24, 32), value + i, np.uint8) for i in range(count)]
    return {
        "image": picture(value), "bboxes": boxes, "labels": [label] * count,
        "mixup_weight": weights or [1.0] * count, "masks": masks,
    }  # fmt: skip


@pytest.mark.parametrize("container", [list, np.stack])
def test_masks_go_with_boxes_that_weigh_too_little(container):
    box = [[1.0, 2, 11, 14]]
    mine, theirs = masked("p", 1, box), masked("r", 101, box)
    mine["masks"], theirs["masks"] = container(mine["masks"]), container(theirs["masks"])
    out = mixing([theirs], ratio_range=(0.2, 0.2), min_weight=0.3)(**mine)
    assert out["labels"] == ["r"]
    assert [int(mask.max()) for mask in out["masks"]] == [101]


@pytest.mark.parametrize("container", [list, np.stack])
@pytest.mark.parametrize("theirs", [1, 0])
def test_masks_may_all_go(container, theirs):
    """Transforms of 2.0.8 take no array of no masks: "need at least one array to stack"."""
    box = [[1.0, 2, 11, 14]]
    mine, other = masked("p", 1, box), masked("r", 101, box[:theirs])
    mine["masks"] = np.stack(mine["masks"]) if IS_X else container(mine["masks"])
    other["masks"] = other["masks"] or np.zeros((0, 24, 32), np.uint8)
    again = masked("q", 51, box)
    mixer = pipeline(MixUp([other], min_weight=0.6, **HALF), A.HorizontalFlip(p=1.0), A.Crop(0, 0, 16, 16))
    out = mixer(**mine)
    assert len(out["masks"]) == len(out["labels"]) == 0
    more = pipeline(MixUp([other], min_weight=0.6, **HALF), MixUp([again], **HALF), A.HorizontalFlip(p=1.0))(**mine)
    assert more["labels"] == ["q"]
    assert [int(mask.max()) for mask in more["masks"]] == [51]


def test_masks_go_with_boxes_that_are_cropped_away():
    wide = masked("r", 101, [[0.0, 2, 3, 14], [14, 2, 20, 14]])
    wide["image"], wide["masks"] = picture(1, 24, 96), [np.full((24, 96), value, np.uint8) for value in (101, 102)]
    out = mixing([wide], fit_mode="cover")(**masked("p", 1, [[1.0, 2, 11, 14]]))
    assert len(out["masks"]) == len(out["labels"])
    wide["bboxes"] = [[0.0, 2, 3, 14], [40, 2, 50, 14]]
    out = mixing([wide], fit_mode="cover")(**masked("p", 1, [[1.0, 2, 11, 14]]))
    assert out["labels"] == ["p", "r"]
    assert [int(mask.max()) for mask in out["masks"]] == [1, 102]


def test_masks_go_with_boxes_that_albumentations_drops_from_the_partner():
    broken = masked("r", 101, [[5.0, 5, 5, 9], [1, 2, 11, 14]])
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS), filter_invalid_bboxes=True)
    out = A.Compose([MixUp([broken], **HALF)], bbox_params=params)(**masked("p", 1, [[1.0, 2, 11, 14]]))
    assert out["labels"] == ["p", "r"]
    assert [int(mask.max()) for mask in out["masks"]] == [1, 102]


def test_masks_go_with_boxes_that_recent_samples_do_not_keep():
    small = masked("p", 1, [[1.0, 2, 3, 4], [1, 2, 11, 14]])
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS), min_area=20)
    mixer = A.Compose([MixUp(RecentSamples(1), **HALF)], bbox_params=params)
    mixer(**small)
    out = mixer(**masked("q", 51, [[1.0, 2, 11, 14]]))
    assert out["labels"] == ["q", "p"]
    assert [int(mask.max()) for mask in out["masks"]] == [51, 2]


# --- where points lie ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch"])
def test_points_of_resized_partners_go_where_the_installed_resizing_puts_them(fit_mode):
    image = np.zeros((10, 15, 3), np.uint8)
    image[4, 7] = 255
    donor = {"image": image, "keypoints": [[7.0, 4.0]]}
    mixer = A.Compose(
        [MixUp([donor], ratio_range=(0, 0), fit_mode=fit_mode, weight_field=None, p=1.0)],
        keypoint_params=A.KeypointParams("xy"),
    )
    out = mixer(image=np.zeros((40, 60, 3), np.uint8), keypoints=np.zeros((0, 2), np.float32))
    theirs = A.Compose([A.Resize(40, 60)], keypoint_params=A.KeypointParams("xy"))(**donor)
    np.testing.assert_allclose(out["keypoints"], theirs["keypoints"], atol=1e-4)
    assert any(np.allclose(out["keypoints"], [point]) for point in ([29.5, 17.5], [28, 16]))


# --- a format that nobody asked for -------------------------------------------------------------------------------


class Subset:
    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]


class Concatenation:
    def __init__(self, *datasets):
        self.datasets = list(datasets)

    def __len__(self):
        return sum(map(len, self.datasets))

    def __getitem__(self, index):
        for dataset in self.datasets:
            if index < len(dataset):
                return dataset[index]
            index -= len(dataset)
        raise IndexError(index)


def coco_boxes():
    return Reference([sample(1, ("cat",)) | {"bboxes": [[10.0, 10, 12, 8]]}], "coco")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: Subset(inner, [0]),
        lambda inner: Subset(Subset(inner, [0]), [0]),
        lambda inner: Concatenation(inner, inner),
        lambda inner: CachedDataset(Subset(inner, [0]), 10**6),
        lambda inner: Subset(CachedDataset(inner, 10**6), [0]),
    ],
    ids=["subset", "subset of a subset", "concatenation", "cache of a subset", "subset of a cache"],
)
def test_a_format_is_seen_through_wrappers(wrap):
    out = mixing(wrap(coco_boxes()))(**sample(0, ()))
    np.testing.assert_allclose(out["bboxes"], [[10, 10, 22, 18]], atol=1e-4)


def test_a_sample_of_a_dataset_of_ours_remembers_its_format(tmp_path):
    import alb_mixup  # noqa: PLC0415
    from tests.support.layouts import write_coco  # noqa: PLC0415

    dataset = alb_mixup.open_dataset(write_coco(tmp_path))
    whole = dataset[0]
    for kept in (whole, copy.copy(whole), copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        out = mixing([kept])(**sample(0, (), *whole["image"].shape[:2]))
        x, y, width, height = whole["bboxes"].T
        np.testing.assert_allclose(out["bboxes"], np.stack([x, y, x + width, y + height], 1), atol=1e-4)


def test_two_formats_in_one_reference_are_refused():
    with pytest.raises(ArgumentError, match=r"must have boxes of one format, got .*'coco', 'yolo'"):
        MixUp(Concatenation(coco_boxes(), Reference([sample()], "yolo")))


def test_boxes_that_do_not_convert_name_the_format_that_they_were_read_in():
    broken = [sample(1, ("cat",)) | {"bboxes": [[20.0, 10, 12, 8]]}]
    with pytest.raises(SampleError, match=r"they were read as 'pascal_voc', as the pipeline's are.*bbox_format"):
        mixing(broken)(**sample())


# --- a target that is left out or wrongly paired ------------------------------------------------------------------


def clip(*values):
    return np.stack([grey(value) for value in values])


@pytest.mark.parametrize("container", [np.asarray, list])
def test_clips_are_mixed_frame_by_frame(container):
    mixer = A.Compose([MixUp([{"images": container(clip(110, 120, 130))}], weight_field=None, **HALF)])
    out = mixer(images=container(clip(10, 20, 30)))["images"]
    assert [int(frame[0, 0, 0]) for frame in out] == [60, 70, 80]


def test_an_image_is_mixed_with_every_frame():
    mixer = A.Compose([MixUp([{"image": grey(110)}], weight_field=None, **HALF)])
    assert [int(frame[0, 0, 0]) for frame in mixer(images=clip(10, 20, 30))["images"]] == [60, 65, 70]


def test_a_clip_of_another_length_is_refused():
    mixer = A.Compose([MixUp([{"images": clip(110, 120)}], weight_field=None, **HALF)])
    with pytest.raises(SampleError, match="as many frames as the primary's images, 3, got 2"):
        mixer(images=clip(10, 20, 30))


def test_a_clip_where_an_image_is_wanted_is_refused():
    mixer = A.Compose([MixUp([{"images": clip(110, 120)}], weight_field=None, **HALF)])
    with pytest.raises(SampleError, match="must have an 'image' for the primary's image, got a clip"):
        mixer(image=grey(10))


@pytest.mark.parametrize(("ratio", "expected"), [(0.7, [1, 2, 3]), (0.3, [4, 5, 6])])
def test_masks_of_a_clip_stay_those_of_its_frames(ratio, expected):
    def frames(*values):
        return np.stack([np.full((24, 32), value, np.uint8) for value in values])

    donor = {"images": clip(110, 120, 130), "masks": frames(4, 5, 6)}
    mixer = A.Compose([MixUp([donor], weight_field=None, ratio_range=(ratio, ratio), p=1.0)])
    out = mixer(images=clip(10, 20, 30), masks=frames(1, 2, 3))
    assert [int(mask.max()) for mask in out["masks"]] == expected


def test_mixing_some_channels_alone_is_refused():
    mixer = pipeline(A.SelectiveChannelTransform([MixUp([sample(1)], **HALF)], channels=[0, 1], p=1.0))
    with pytest.raises(SampleError, match="must have every target that the pipeline has settings for"):
        mixer(**sample())


def test_a_sample_without_boxes_is_told_so_alone():
    with pytest.raises(SampleError, match="must have every target of the primary, got no 'bboxes'") as caught:
        mixing([{"image": picture(1)}])(**sample())
    assert "rows of numbers" not in str(caught.value)


# --- a number that the container cannot hold ----------------------------------------------------------------------


@pytest.mark.parametrize("container", [list, np.asarray])
def test_whole_numbers_that_float32_would_round_are_refused(container):
    mine, theirs = sample(0, None), sample(1, None)
    mine["labels"], theirs["labels"] = container([1, 2]), container([900100184613, 3])
    for first, second in ((mine, theirs), (theirs, mine)):
        with pytest.raises(SampleError, match="must hold whole numbers below 16777216, got 9001001"):
            mixing([second])(**first)
    mine["labels"], theirs["labels"] = container([1, 2]), container([2**24 - 1, 3])
    assert [int(label) for label in mixing([theirs])(**mine)["labels"]] == [1, 2, 2**24 - 1, 3]


@pytest.mark.parametrize("theirs", [[300, -7], np.array([300, -7])], ids=["list", "array"])
@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.int64, np.uint8, bool])
def test_labels_that_an_empty_primarys_dtype_cannot_hold_keep_their_value(dtype, theirs):
    mine = sample(0, np.zeros(0, dtype))
    labels = mixing([sample(1, theirs)])(**mine)["labels"]
    assert [int(label) for label in labels] == [300, -7]


def test_labels_of_two_kinds_stay_so_where_the_primary_has_an_empty_array():
    theirs = ["cat", 3]
    labels = mixing([sample(1, theirs)])(**sample(0, np.zeros(0, np.int64)))["labels"]
    alone = pipeline(A.NoOp(p=1.0))(**sample(1, theirs))["labels"]  # 2.0.8 makes text of both
    assert [str(label) for label in labels] == ["cat", "3"]
    if IS_X:
        assert [type(label) for label in labels] == [type(label) for label in alone]


def test_an_empty_array_makes_no_floats_of_a_mosaics_labels():
    def part(labels):
        return {"image": picture(), "bboxes": [[1.0, 1, 9, 9]] * len(labels), "labels": labels}

    parts = [part(np.array([3])), part(np.array([])), part(np.array([7]))]
    mosaics = MosaicDataset(Reference(parts, "pascal_voc"), (48, 64), cell_size=(24, 32), seed=0)
    found = [mosaics[index % 3]["labels"] for index in range(12)]
    assert {labels.dtype for labels in found if len(labels)} == {np.dtype(np.int64)}
    assert {label for labels in found for label in labels.tolist()} == {3, 7}


@pytest.mark.parametrize(("mine", "theirs"), [(np.float16, [2049, 1]), (np.float16, [70000.5, 1]), (bool, [3, 7])])
def test_labels_that_the_primarys_array_would_change_are_refused(mine, theirs):
    labels = np.array([1, 0], mine)
    with pytest.raises(SampleError, match=r"label field 'labels' must"):
        mixing([sample(1, theirs)])(**sample(0, labels))
    out = mixing([sample(1, [1, 0])])(**sample(0, labels))["labels"]
    assert out.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "theirs", [[1, 1], np.array([1, 1]), np.ones(2, np.uint8), [True, True], [np.int64(1)] * 2, (1, 1)]
)
@pytest.mark.parametrize("mine", [[], np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.int64)], ids=repr)
def test_weights_in_whole_numbers_of_a_partner_of_an_empty_primary(mine, theirs):
    mixer = mixing([sample(1, mixup_weight=theirs)])
    for _ in range(2):
        out = mixer(**sample(0, (), mixup_weight=mine))
        assert np.asarray(out["mixup_weight"]).tolist() == [0.25, 0.25]
    out = mixer(**sample(0, mixup_weight=np.ones(2, np.float32)))  # what came first decides nothing
    assert np.asarray(out["mixup_weight"]).tolist() == [0.75, 0.75, 0.25, 0.25]


def test_numbers_with_fractions_are_rounded_as_ever():
    mine, theirs = sample(0, None), sample(1, None)
    mine["labels"], theirs["labels"] = [1.5, 2.5], [3e9, 3.5]
    assert mixing([theirs])(**mine)["labels"][2] == pytest.approx(3e9)


@pytest.mark.parametrize("dtype", [np.float32])
@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch", "canvas"])
@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_nothing_leaves_nothing_not_even_nan(dtype, fit_mode, share):
    mine, theirs = grey(0.25, dtype=dtype), grey(0.75, dtype=dtype)
    (theirs if share else mine)[3, 4] = np.nan
    (theirs if share else mine)[5, 6] = np.inf
    mixer = A.Compose(
        [MixUp([{"image": theirs}], ratio_range=(share, share), fit_mode=fit_mode, weight_field=None, p=1.0)]
    )
    np.testing.assert_array_equal(mixer(image=mine)["image"], mine if share else theirs)


@pytest.mark.parametrize(
    ("argument", "value"), [("alpha", 1e308), ("alpha", (1e308, 1e308)), ("min_weight", 2), ("min_weight", 1.001)]
)
def test_settings_that_could_mix_nothing_are_refused(argument, value):
    with pytest.raises(ArgumentError, match=f"{argument} must"):
        MixUp([sample()], **{argument: value})


def test_a_fill_for_0_to_255_in_images_of_0_to_1_is_warned_of_once():
    donor = {"image": picture(1, 12, 32, dtype=np.float32)}
    mixer = A.Compose([MixUp([donor], fill=114, weight_field=None, **HALF)])
    with pytest.warns(AlbMixUpWarning, match=r"fill must be in \[0, 1\] for float images in \[0, 1\], got 114"):
        mixer(image=picture(0, dtype=np.float32))
    mixer(image=picture(0, dtype=np.float32))  # a second warning would be an error


@pytest.mark.filterwarnings("error")
def test_a_fill_for_images_of_0_to_255_as_floats_is_fine():
    donor = {"image": 255 * picture(1, 12, 32, dtype=np.float32)}
    A.Compose([MixUp([donor], fill=114, weight_field=None, **HALF)])(image=255 * picture(0, dtype=np.float32))


def test_memory_follows_the_output_whatever_the_aspect_ratios():
    code = """
import resource, numpy as np, albumentations as A
from alb_mixup import MixUp
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for mine, theirs in (((1, 5000), (5000, 1)), ((100, 3000), (3000, 100))):
    donor = {"image": np.full((*theirs, 3), 100, np.uint8), "mask": np.ones(theirs, np.uint8)}
    mixer = A.Compose([MixUp([donor], fit_mode="cover", ratio_range=(0.5, 0.5), weight_field=None, p=1.0)])
    out = mixer(image=np.zeros((*mine, 3), np.uint8), mask=np.zeros(mine, np.uint8))
    assert out["image"].shape == (*mine, 3) and (out["image"] == 50).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=120
    )
    assert int(done.stdout) < 150


# --- tensors ------------------------------------------------------------------------------------------------------


def test_tensors_in_a_reference_are_read_as_arrays():
    torch = pytest.importorskip("torch")
    theirs = sample(1, None)
    theirs |= {key: torch.tensor(theirs[key]) for key in ("bboxes", "mixup_weight")} | {"labels": torch.tensor([7, 8])}
    for mine in (sample(0, None) | {"labels": [1, 2]}, sample(0, ())):
        out = mixing([theirs])(**mine)
        assert [int(label) for label in out["labels"][-2:]] == [7, 8]
        np.testing.assert_allclose(out["mixup_weight"][-2:], [0.25, 0.25])


@pytest.mark.parametrize("values", [[7, 8], [7.5, 8.25]])
def test_lists_of_tensors_are_read_as_numbers(values):
    """What iterating over a tensor gives: `list(target["labels"])`."""
    torch = pytest.importorskip("torch")
    theirs = sample(
        1, None, mixup_weight=list(torch.tensor([1.0, 0.5])), bboxes=list(torch.tensor([[1.0, 2, 11, 14]] * 2))
    )
    theirs["labels"] = list(torch.tensor(values))
    for mine in (sample(0, [1, 2]), sample(0, ()), sample(0, np.zeros(0))):
        out = mixing([theirs])(**mine)
        assert [float(label) for label in out["labels"][-2:]] == values
        assert not any(isinstance(label, torch.Tensor) for label in out["labels"])
        np.testing.assert_allclose(out["mixup_weight"][-2:], [0.25, 0.125])
    theirs["labels"] = list(torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(SampleError, match=r"reference\[0\]\['labels'\] must be a list or array, one value a row"):
        mixing([theirs])(**sample(0, [1, 2]))


def test_tensors_that_numpy_has_no_dtype_for_are_told_so():
    torch = pytest.importorskip("torch")
    theirs = sample(1, [7, 8]) | {"mixup_weight": torch.ones(2).bfloat16()}
    with pytest.raises(SampleError, match=r"must be a tensor of a dtype that NumPy has too, got torch\.bfloat16"):
        mixing([theirs])(**sample(0, [1, 2]))


@pytest.mark.parametrize("many", [lambda tensor: tensor, list], ids=["tensor", "list"])
def test_mosaics_and_laws_read_tensors_as_numbers(many):
    torch = pytest.importorskip("torch")

    def part(number):
        labels = many(torch.tensor([number, 9]))
        boxes = torch.tensor([[1.0, 1, 9, 9], [20, 10, 30, 22]])
        return {
            "image": picture(number),
            "bboxes": boxes,
            "labels": labels,
            "mixup_weight": many(torch.tensor([0.5, 1])),
        }

    parts = [part(number) for number in range(4)]
    weights = ClassWeights({2: 4.0}).weights_of(parts)
    assert weights.tolist() == [1, 1, 4, 1]
    mosaics = MosaicDataset(Reference(parts, "pascal_voc"), (48, 64), cell_size=(24, 32), seed=0)
    for index in range(4):
        made = mosaics[index]
        assert {int(label) for label in made["labels"]} <= {0, 1, 2, 3, 9}
        assert set(np.asarray(made["mixup_weight"]).tolist()) <= {0.5, 1.0}
        assert not any(isinstance(value, torch.Tensor) for key in ("labels", "mixup_weight") for value in made[key])


def test_tensor_images():
    torch = pytest.importorskip("torch")
    theirs = sample(1)
    expected = mixing([theirs])(**sample())["image"]
    held = theirs | {"image": torch.from_numpy(theirs["image"]).permute(2, 0, 1)}
    if not IS_X:
        with pytest.raises(SampleError, match=r"must be an array .* which take no tensors"):
            mixing([held])(**sample())
        return
    np.testing.assert_array_equal(mixing([held])(**sample())["image"], expected)
    np.testing.assert_array_equal(mixing(None)(**sample(), mixup_metadata=[held])["image"], expected)
    mine = sample()
    mine["image"] = torch.from_numpy(mine["image"]).permute(2, 0, 1)
    for mixer, more in ((mixing([held]), {}), (mixing(None), {"mixup_metadata": [held]})):
        out = mixer(**mine, **more)["image"]
        np.testing.assert_array_equal(out.permute(1, 2, 0).numpy(), expected)


# --- a sample mixed with itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [0, 2, 4])
def test_a_call_may_say_which_sample_it_is(own):
    reference = Reference([sample(number) for number in range(5)])
    mixer = mixing(reference)
    for _ in range(200):
        mixer(**sample(own), mixup_index=own)
    assert set(reference.drawn) == {0, 1, 2, 3, 4} - {own}


def test_one_sample_alone_is_mixed_with_itself_all_the_same():
    assert len(mixing([sample(0)])(**sample(0), mixup_index=0)["labels"]) == 4


@pytest.mark.parametrize("own", [5, -1, True, "0", 1.0])
def test_an_index_that_is_none_is_refused(own):
    with pytest.raises(SampleError, match="mixup_index must be the primary's index in reference, 0 to 4"):
        mixing([sample(number) for number in range(5)])(**sample(), mixup_index=own)


# --- processes that look alike ------------------------------------------------------------------------------------


def in_forks(draw):
    """What two bare forks of this process draw, one after the other."""
    drawn = []
    for _ in range(2):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, json.dumps(draw()).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            drawn.append(json.load(file))
        os.wait()
    return drawn


BARE_FORKS = """
import json, sys
from tests.support.samples import *
from tests.transforms.test_wrong_rows import in_forks
def draws(seed):
    mixer = pipeline(MixUp([sample(n) for n in range(50)], p=1.0), seed=seed, save_applied_params=True)
    mixer(**sample())
    def draw():
        found = []
        for _ in range(4):
            mixer(**sample())
            found.append(mixer.transforms[0].get_applied_params()["ratio"])
        return found
    return [*in_forks(draw), draw()]
print(json.dumps([draws(3), draws(3), draws(None)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_bare_forks_draw_apart_and_repeat_under_a_seed():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE_FORKS], capture_output=True, text=True, cwd=ROOT, check=True
    )
    seeded, again, unseeded = json.loads(done.stdout)
    for first, second, parent in (seeded, unseeded):
        assert not set(first) & set(second)
        assert not set(first) & set(parent)
    assert seeded == again or seeded[2] == again[2]


@pytest.mark.parametrize("seed", [7, None])
def test_ranks_that_are_seeded_alike_draw_apart(monkeypatch, seed):
    def drawn(rank, world_size=2):
        distributed = SimpleNamespace(
            is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: rank,
            get_world_size=lambda: world_size,
        )  # fmt: skip
        monkeypatch.setitem(sys.modules, "torch.distributed", distributed)
        mixer = pipeline(MixUp([sample(n) for n in range(50)], p=1.0), seed=seed, save_applied_params=True)
        found = []
        for _ in range(4):
            mixer(**sample())
            found.append(mixer.transforms[0].get_applied_params()["ratio"])
        return found

    assert not set(drawn(0)) & set(drawn(1))
    if seed is not None:
        assert drawn(1) == drawn(1)
        alone = drawn(0, world_size=1)
        monkeypatch.delitem(sys.modules, "torch.distributed")
        assert alone == drawn(0, world_size=1)


def test_ranks_that_a_launcher_names_draw_apart(monkeypatch):
    def drawn(rank):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        parts = Reference([sample(n) for n in range(8)], "pascal_voc")
        mosaics = MosaicDataset(parts, (24, 32), seed=0)
        return mosaics[0]["image"].tobytes()

    monkeypatch.delitem(sys.modules, "torch.distributed", raising=False)
    assert drawn(0) != drawn(1)
    assert drawn(1) == drawn(1)


def test_a_pipeline_that_is_sent_to_a_worker_takes_its_rank_along(monkeypatch):
    mixer = pipeline(MixUp([sample(n) for n in range(50)], p=1.0), seed=3)
    sent = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        sent.append(pickle.dumps(mixer))
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    ratios = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ratios = [pool.apply(first_ratio, (each,)) for each in (*sent, sent[0])]
    assert ratios[0] != ratios[1]


def first_ratio(sent):
    mixer = pickle.loads(sent)
    mixer.save_applied_params = True
    image = mixer(**sample())["image"]
    return int(image.astype(np.int64).sum())


# --- what the user's own pipeline does not say --------------------------------------------------------------------


@pytest.mark.skipif(not IS_X, reason="albumentations 2.0.8 has no telemetry")
def test_no_pipeline_that_is_built_inside_reports_to_anybody(monkeypatch, tmp_path):
    build, reports = A.Compose, []

    def recorded(*args, **settings):
        reports.append(settings.get("telemetry", True))
        return build(*args, **settings)

    monkeypatch.setattr(A, "Compose", recorded)
    dataset = sample_dataset()
    assert len(MosaicDataset(dataset, (24, 32))[0]["image"]) == 24
    mosaics = len(reports)
    generate(dataset, tmp_path / "set", multiplier=1, progress=False)
    generated = len(reports)
    mix_pair(dataset[0], dataset[1], 0.5)
    assert 0 < mosaics < generated < len(reports)
    assert not any(reports)


# --- wrong, doubled or missing messages ---------------------------------------------------------------------------


def test_a_mapping_that_is_no_sequence_is_told_so():
    with pytest.raises(ArgumentError, match="reference must be a sequence of dicts"):
        MixUp({0: sample()})


def test_what_cannot_be_serialized_can_be_left_out_by_albumentations():
    mixer = mixing([sample()])
    with pytest.raises(SerializationError):
        A.to_dict(mixer)
    with pytest.warns(UserWarning, match="NotImplementedError"):
        A.to_dict(mixer, on_not_implemented_error="warn")


@pytest.mark.parametrize("version", ["2.4.3", "2.3.10", "2.0.0"])
def test_an_albumentationsx_that_is_too_old_is_refused(version):
    from alb_mixup._backend.installation import check_version  # noqa: PLC0415

    with pytest.raises(InstallationError, match=rf"albumentationsx must be at least 2\.4\.4, got {version}: `pip"):
        check_version(version)


@pytest.mark.parametrize("version", ["2.4.4", "2.5.1", "3.0.0", "2.10.0", None])
def test_others_are_fine(version):
    from alb_mixup._backend.installation import check_version  # noqa: PLC0415

    check_version(version)


def test_the_docstring_says_targets_in_albumentations_own_form():
    lines = MixUp.__doc__.splitlines()
    targets = lines[lines.index("    Targets:") + 1].split(",")
    assert {name.strip() for name in targets} == {"image", "images", "mask", "masks", "bboxes", "keypoints"}
    assert lines[lines.index("    Supported bboxes:") + 1].strip() == "hbb, obb"


@pytest.mark.skipif(not IS_X, reason="2.0.8 itself fails with two sets of boxes with label fields")
def test_a_class_that_only_the_partner_has_in_additional_boxes():
    params = A.BboxParams("pascal_voc", label_fields=["labels"])
    box = np.array([[1.0, 2, 11, 14]], np.float32)
    mine = {"image": picture(), "bboxes": box, "bboxes2": box, "labels": ["cat"]}
    theirs = {"image": picture(1), "bboxes": box, "bboxes2": box, "labels": ["dog"]}
    mixer = A.Compose(
        [MixUp([theirs], weight_field=None, **HALF)], bbox_params=params, additional_targets={"bboxes2": "bboxes"}
    )
    alone = A.Compose([A.NoOp()], bbox_params=params, additional_targets={"bboxes2": "bboxes"})
    try:
        alone(**mine)
    except KeyError:  # the oldest supported ones fail by themselves
        return
    out = mixer(**mine)
    assert list(out["labels"]) == ["cat", "dog"]
    assert len(out["bboxes"]) == len(out["bboxes2"]) == 2


@pytest.mark.parametrize("reference", [[], RecentSamples(3)], ids=["no samples with the call", "no recent samples"])
def test_where_nothing_is_mixed_arrays_are_contiguous_as_after_any_transform(reference):
    mixup = MixUp(**HALF) if reference == [] else MixUp(reference, **HALF)
    more = {"mixup_metadata": []} if reference == [] else {}
    strided = np.asfortranarray(picture())
    out = pipeline(mixup)(**sample() | {"image": strided}, **more)
    assert out["image"].flags.c_contiguous
    np.testing.assert_array_equal(out["image"], strided)
