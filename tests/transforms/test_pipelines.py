"""MixUp as users put it into pipelines: empties, labels, targets, compositions, donors, unreadable samples."""

import warnings

import albumentations as A
import cv2
import numpy as np
import pytest

from alb_mixup import MixUp, sample_dataset
from alb_mixup.errors import SampleError, UnreadableImageWarning
from tests.support.samples import (
    HAS_ORIENTED_BOXES,
    IS_X,
    LABEL_FIELDS,
    Flaky,
    Reference,
    as_arrays,
    frozen,
    keypoint_params,
    mixing,
    picture,
    pipeline,
    same,
    sample,
)

CLIP = {"clip_bboxes_on_input" if IS_X else "clip": True}
FIXED = {"ratio_range": (0.75, 0.75), "p": 1.0}


def blended(primary, partner, ratio=0.75):
    """What two uint8 images of one size become, halves aside."""
    return ratio * primary.astype(np.float64) + (1 - ratio) * partner.astype(np.float64)


def assert_blended(image, primary, partner, ratio=0.75):
    assert image.dtype == primary.dtype
    assert image.shape == primary.shape
    assert np.abs(image - blended(primary, partner, ratio)).max() <= 0.5 + 1e-6


# --- empties and containers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference_arrays", [False, True])
@pytest.mark.parametrize("primary_arrays", [False, True])
@pytest.mark.parametrize(("n_primary", "n_reference"), [(0, 2), (2, 0), (2, 2), (0, 0)])
def test_empties_keep_columns_and_containers(n_primary, n_reference, primary_arrays, reference_arrays):
    primary, other = sample(0, labels=("cat",) * n_primary), sample(1, labels=("zebra",) * n_reference)
    if primary_arrays:
        primary = as_arrays(primary)
        primary["labels"] = primary["labels"].astype("<U3")
    out = mixing([as_arrays(other) if reference_arrays else other])(**primary)

    assert list(out["labels"]) == ["cat"] * n_primary + ["zebra"] * n_reference
    np.testing.assert_allclose(out["mixup_weight"], [0.75] * n_primary + [0.25] * n_reference, atol=1e-6)
    expected = np.array([*map(list, primary["bboxes"]), *other["bboxes"]], np.float64).reshape(-1, 4)
    np.testing.assert_allclose(np.reshape(out["bboxes"], (-1, 4)), expected, atol=1e-4)
    assert isinstance(out["bboxes"], np.ndarray if primary_arrays or IS_X else list)
    if n_primary or n_reference:  # of no rows at all, both Albumentations make empty lists whatever came in
        for field in LABEL_FIELDS:
            assert isinstance(out[field], np.ndarray if primary_arrays else list), field
        if primary_arrays:
            assert out["mixup_weight"].dtype == np.float32


def test_both_empty_is_what_albumentations_makes_of_empty():
    primary = as_arrays(sample(0, labels=()))
    flipped = pipeline(A.NoOp(p=1.0))(**primary)
    mixed = mixing([sample(1, labels=())])(**primary)
    assert {k: type(v) for k, v in mixed.items()} == {k: type(v) for k, v in flipped.items()}
    assert mixed["bboxes"].shape == flipped["bboxes"].shape


def test_one_pipeline_takes_empty_and_full_samples_in_any_order():
    mixer = mixing([sample(1, labels=("zebra",))])
    for labels in [(), ("cat", "ox"), (), ("dog",)]:
        assert mixer(**sample(0, labels=labels))["labels"] == [*labels, "zebra"]


@pytest.mark.parametrize("bbox_format", ["pascal_voc", "coco", "yolo", "albumentations"])
def test_empty_primary_in_every_format(bbox_format):
    box = [0.25, 0.25, 0.5, 0.5] if bbox_format in {"yolo", "albumentations"} else [2.0, 3.0, 12.0, 11.0]
    other = sample(1, labels=("cat",), bboxes=[box])
    out = mixing([other], bbox_format=bbox_format)(**sample(0, labels=()))
    np.testing.assert_allclose(out["bboxes"], [box], atol=1e-4)


# --- labels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("container", [list, np.array])
def test_numeric_label_arrays_keep_their_dtype(dtype, container):
    out = mixing([sample(1, labels=container([7, 8]))])(**sample(0, labels=np.array([1, 2], dtype)))
    assert out["labels"].dtype == dtype
    assert out["labels"].tolist() == [1, 2, 7, 8]


def test_integer_label_lists_are_no_worse_than_albumentations_makes_them():
    plain = pipeline(A.NoOp(p=1.0))(**sample(0, labels=[1, 2]))["labels"]
    mixed = mixing([sample(1, labels=[7, 8])])(**sample(0, labels=[1, 2]))["labels"]
    assert mixed == [1, 2, 7, 8]
    assert {type(label) for label in mixed} == {type(label) for label in plain}


@pytest.mark.parametrize("dtype", ["<U3", object])
@pytest.mark.parametrize("container", [list, np.array])
def test_longer_reference_strings_are_not_cut(dtype, container):
    out = mixing([sample(1, labels=container(["platelets", "ox"]))])(
        **sample(0, labels=np.array(["cat", "dog"], dtype))
    )
    assert out["labels"].tolist() == ["cat", "dog", "platelets", "ox"]
    assert isinstance(out["labels"], np.ndarray)


def test_classes_that_the_encoder_never_saw():
    reference = Reference([sample(i, labels=(f"class {i}", "cat")) for i in range(5)])
    mixer = mixing(reference)
    for _ in range(12):
        out = mixer(**sample(9, labels=("cat", "first")))
        assert out["labels"] == ["cat", "first", f"class {reference.drawn[-1]}", "cat"]
    assert len(set(reference.drawn)) > 1


@pytest.mark.parametrize("container", [list, np.array])
def test_bool_fields(container):
    fields = ["labels", "crowd", "mixup_weight"]
    mixer = mixing([sample(1, crowd=container([True, False]))], label_fields=fields)
    out = mixer(**sample(0, crowd=container([False, True])))["crowd"]
    assert [bool(value) for value in out] == [False, True, True, False]
    assert isinstance(out, list if container is list else np.ndarray)
    if container is np.array:
        assert out.dtype == bool


@pytest.mark.parametrize("order", [["names", "areas", "mixup_weight"], ["mixup_weight", "areas", "names"]])
def test_several_label_fields_of_several_kinds_stay_with_their_boxes(order):
    primary = sample(0, labels=None, names=["cat", "dog"], areas=np.array([0.5, 2.25]), mixup_weight=[1.0, 0.5])
    other = sample(1, labels=None, names=["ox", "cat"], areas=[3.5, 4.75], mixup_weight=[0.5, 1.0])
    out = mixing([other], label_fields=order)(**primary)
    assert out["names"] == ["cat", "dog", "ox", "cat"]
    assert out["areas"].tolist() == [0.5, 2.25, 3.5, 4.75]
    assert out["mixup_weight"] == [0.75, 0.375, 0.125, 0.25]


def test_labels_stay_with_their_boxes_through_a_later_filter():
    first, second = [0.0, 0.0, 4.0, 4.0], [20.0, 10.0, 30.0, 20.0]
    primary = sample(0, labels=("gone", "kept"), bboxes=[first, second])
    other = sample(1, labels=("ref kept", "ref gone"), bboxes=[second, first])
    out = pipeline(MixUp([other], **FIXED), A.Crop(16, 8, 32, 24, p=1.0))(**primary)
    assert out["labels"] == ["kept", "ref kept"]
    assert out["mixup_weight"] == [0.75, 0.25]


# --- weights ------------------------------------------------------------------------------------------------------


def test_incoming_weights_are_multiplied():
    out = mixing([sample(1, mixup_weight=[0.5, 0.25])])(**sample(0, mixup_weight=[1.0, 0.125]))
    assert out["mixup_weight"] == [0.75, 0.09375, 0.125, 0.0625]


@pytest.mark.parametrize("make", [list, np.float32, np.float64])
def test_weights_of_another_precision_are_no_obstacle(make):
    weights = [0.1, 0.3]  # neither is a float32
    other = sample(1, mixup_weight=weights if make is list else np.array(weights, make))
    out = mixing([other])(**as_arrays(sample(0)))
    np.testing.assert_allclose(out["mixup_weight"], [0.75, 0.75, 0.025, 0.075], rtol=1e-6)


def test_a_reference_without_weights_counts_as_ones():
    mixer = mixing([sample(1, mixup_weight=None)])
    assert mixer(**sample())["mixup_weight"] == [0.75, 0.75, 0.25, 0.25]
    assert mixer(**sample(labels=()))["mixup_weight"] == [0.25, 0.25]


def test_weighting_none_leaves_weights_alone():
    mixer = mixing([sample(1, mixup_weight=[0.5, 0.25])], weighting="none")
    assert mixer(**sample(0, mixup_weight=[1.0, 0.125]))["mixup_weight"] == [1.0, 0.125, 0.5, 0.25]


@pytest.mark.parametrize(
    ("min_weight", "left"), [(0.0, ["a", "b", "c", "d"]), (0.125, ["a", "b", "d"]), (0.25, ["a", "d"]), (0.9, [])]
)
def test_min_weight_drops_boxes_below_it_after_weighting(min_weight, left):
    mixer = mixing([sample(1, labels=("c", "d"), mixup_weight=[0.25, 1.0])], min_weight=min_weight)
    out = mixer(**sample(0, labels=("a", "b"), mixup_weight=[1.0, 0.25]))  # 0.75, 0.1875, 0.0625, 0.25
    assert list(out["labels"]) == left
    assert len(out["bboxes"]) == len(out["mixup_weight"]) == len(left)


def test_no_weight_field():
    mixer = mixing([sample(1)], label_fields=["labels"], weight_field=None)
    out = mixer(**sample(0, mixup_weight=None))
    assert out["labels"] == ["cat", "dog", "cat", "dog"]
    assert sorted(out) == ["bboxes", "image", "labels"]


def test_weight_field_of_another_name():
    mixer = mixing([sample(1, mixup_weight=None)], label_fields=["score", "labels"], weight_field="score")
    out = mixer(**sample(0, mixup_weight=None, score=[0.5, 1.0]))
    assert out["score"] == [0.375, 0.75, 0.25, 0.25]


# --- probability and identity -------------------------------------------------------------------------------------


def test_p_zero_leaves_everything_and_draws_nothing():
    reference, primary = Reference([sample(1)]), as_arrays(sample())
    out = mixing(reference, p=0.0)(**primary)
    assert reference.drawn == []
    assert same(out["image"], primary["image"])
    assert out["labels"].tolist() == ["cat", "dog"]
    assert out["mixup_weight"].tolist() == [1.0, 1.0]


def test_probability():
    reference = Reference([sample(1)])
    mixer = mixing(reference, p=0.3)
    for _ in range(400):
        mixer(**sample())
    assert 80 <= len(reference.drawn) <= 160  # 120 ± 4.4 standard deviations


@pytest.mark.parametrize("make", [Reference, list, tuple])
@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch", "canvas"])
def test_the_reference_keeps_its_identity_and_nothing_is_written_to(make, fit_mode):
    mask, points = picture(5, channels=None), np.array([[3.0, 4.0]], np.float32)
    whole = as_arrays(sample(0)) | {"mask": mask, "masks": mask[None], "keypoints": points}
    other = as_arrays(sample(1, height=30, width=20))
    other |= {"mask": picture(6, 30, 20, None), "masks": picture(6, 30, 20, None)[None], "keypoints": points.copy()}
    reference = make([other])
    mixer = A.Compose(
        [MixUp(reference, fit_mode=fit_mode, **FIXED)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS)),
        keypoint_params=A.KeypointParams("xy"),
    )
    before = frozen(whole), frozen(other)
    for _ in range(2):
        mixer(**whole)
    assert mixer.transforms[0].reference is reference
    assert same(whole, before[0])
    assert same(other, before[1])


def test_read_only_arrays_are_enough():
    primary, other = as_arrays(sample()), as_arrays(sample(1))
    for value in (*primary.values(), *other.values()):
        value.flags.writeable = False
    out = mixing([other])(**primary)
    assert_blended(out["image"], primary["image"], other["image"])


@pytest.mark.parametrize("ratio", [0.0, 0.4, 0.5, 1.0])
def test_outputs_share_no_memory_with_the_reference_or_the_input(ratio):
    mask = picture(5, channels=None)
    primary, other = as_arrays(sample(mask=mask)), as_arrays(sample(1, mask=mask.copy()))
    out = mixing([other], ratio_range=(ratio, ratio))(**primary)
    for key in ("image", "mask", "bboxes", "mixup_weight"):
        assert not np.shares_memory(out[key], primary[key]), key
        assert not np.shares_memory(out[key], other[key]), key


# --- compositions -------------------------------------------------------------------------------------------------


def test_the_same_transform_object_twice():
    reference = Reference([sample(i, labels=(f"class {i}",)) for i in range(50)])
    transform = MixUp(reference, **FIXED)
    out = pipeline(transform, transform)(**sample(99, labels=("cat",)))
    assert out["labels"] == ["cat", *(f"class {index}" for index in reference.drawn)]
    np.testing.assert_allclose(out["mixup_weight"], [0.5625, 0.1875, 0.25])


def test_two_mixups_weights_multiply_and_sum_to_one_for_each_box_of_each_source():
    first, second = sample(1, labels=("first",)), sample(2, labels=("second",))
    mixer = pipeline(MixUp([first], ratio_range=(0.75, 0.75), p=1.0), MixUp([second], ratio_range=(0.5, 0.5), p=1.0))
    out = mixer(**sample(0, labels=("cat",)))
    weights = dict(zip(out["labels"], out["mixup_weight"], strict=True))
    assert weights == {"cat": 0.375, "first": 0.125, "second": 0.5}


@pytest.mark.parametrize("nest", ["flat", "nested", "same class in Sequential"])
def test_two_mixups_of_a_seeded_pipeline_draw_different_streams(nest):
    references = [Reference([sample(i, labels=()) for i in range(1000)]) for _ in range(2)]
    first, second = (MixUp(reference, p=1.0) for reference in references)
    if nest == "nested":
        second = A.Compose([second])
    elif nest != "flat":
        second = A.Sequential([second], p=1.0)
    mixer = pipeline(first, second, seed=3)
    for _ in range(8):
        mixer(**sample())
    assert len(references[0].drawn) == len(references[1].drawn) == 8
    assert sum(a == b for a, b in zip(*(reference.drawn for reference in references), strict=True)) <= 1


def test_two_mixups_of_a_seeded_pipeline_decide_independently():
    references = [Reference([sample(1, labels=())]) for _ in range(2)]
    mixer, applied = pipeline(*(MixUp(reference, p=0.5) for reference in references), seed=3), set()
    for _ in range(40):
        before = [len(reference.drawn) for reference in references]
        mixer(**sample())
        applied.add(tuple(len(r.drawn) - n for r, n in zip(references, before, strict=True)))
    assert applied == {(0, 0), (0, 1), (1, 0), (1, 1)}


def run_of(mixer, calls=6):
    return [mixer(**sample(100 + call)) for call in range(calls)]


def test_a_seed_repeats_the_run_and_another_does_not():
    reference = [sample(i, labels=(f"class {i}",)) for i in range(20)]

    def run(seed):
        return run_of(
            pipeline(MixUp(reference, p=0.5), MixUp(reference, alpha=8, p=0.7), A.HorizontalFlip(), seed=seed)
        )

    assert same(run(5), run(5))
    assert not same(run(5), run(6))


def test_without_a_seed_runs_differ():
    reference = [sample(i, labels=(f"class {i}",)) for i in range(20)]
    runs = [run_of(pipeline(MixUp(reference, p=1.0), seed=None)) for _ in range(2)]
    assert not same(*runs)


def test_global_random_state_is_neither_read_nor_written():
    reference = [sample(i, labels=(f"class {i}",)) for i in range(20)]
    runs = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        runs.append(run_of(pipeline(MixUp(reference, p=1.0), seed=4)))
        assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert same(*runs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda mix: A.OneOf([mix, A.NoOp(p=0.0)], p=1.0),
        lambda mix: A.SomeOf([mix, A.NoOp(p=1.0)], n=2, p=1.0),
        lambda mix: A.Sequential([mix, A.NoOp(p=1.0)], p=1.0),
        lambda mix: A.RandomOrder([mix, A.NoOp(p=1.0)], n=2, p=1.0),
        lambda mix: A.Compose([mix, A.NoOp(p=1.0)], p=1.0),
        lambda mix: A.OneOf([A.Sequential([A.Compose([mix])], p=1.0)], p=1.0),
    ],
    ids=["OneOf", "SomeOf", "Sequential", "RandomOrder", "Compose", "deep"],
)
def test_inside_other_compositions(wrap):
    primary, other = sample(), sample(1, labels=("zebra",))
    out = pipeline(wrap(MixUp([other], **FIXED)), A.HorizontalFlip(p=1.0))(**primary)
    assert_blended(out["image"][:, ::-1], primary["image"], other["image"])
    assert out["labels"] == ["cat", "dog", "zebra"]
    assert out["mixup_weight"] == [0.75, 0.75, 0.25]
    np.testing.assert_allclose(out["bboxes"][2], [21, 2, 31, 14], atol=1e-4)


def test_one_of_two_mixups():
    reference = Reference([sample(1, labels=("first",))]), Reference([sample(2, labels=("second",))])
    mixer = pipeline(A.OneOf([MixUp(part, **FIXED) for part in reference], p=1.0))
    drawn = {mixer(**sample(0, labels=("cat",)))["labels"][-1] for _ in range(30)}
    assert drawn == {"first", "second"}


@pytest.mark.parametrize("ratio", [0.25, 0.75])
@pytest.mark.parametrize(("mine", "theirs"), [(None, 1), (1, None)])
def test_a_last_axis_of_one_is_the_primarys(ratio, mine, theirs):
    primary, other = ({**sample(i), "mask": picture(i, channels=c)} for i, c in ((0, mine), (1, theirs)))
    out = mixing([other], ratio_range=(ratio, ratio))(**primary)
    assert out["mask"].shape == primary["mask"].shape
    np.testing.assert_array_equal(out["mask"].ravel(), (primary if ratio > 0.5 else other)["mask"].ravel())


@pytest.mark.parametrize("inside", [True, False])
def test_further_columns_of_boxes_stay_with_them(inside):
    def rows(first):
        boxes = [[1.0, 2.0, 11.0, 14.0, first], [3.0, 3.0, 13.0 if inside else 32.0, 15.0, first + 1]]
        return sample(bboxes=np.array(boxes, np.float32), labels=["a", "b"])

    out = mixing([rows(7)])(**rows(3))
    np.testing.assert_array_equal(out["bboxes"][:, 4], [3, 4, 7, 8])
    np.testing.assert_allclose(out["bboxes"][2:, :4], rows(0)["bboxes"][:, :4], atol=1e-4)


def test_one_transform_in_two_pipelines():
    transform = MixUp([sample(1, labels=("zebra",), bboxes=[[0.0, 0.0, 16.0, 12.0]])], **FIXED)
    transform.reference[0]["extra"] = ["x"]
    plain = pipeline(transform)
    with_extra = pipeline(transform, label_fields=["extra", *LABEL_FIELDS])
    assert with_extra(**sample(labels=("cat",), extra=["y"]))["extra"] == ["y", "x"]
    del plain  # the later pipeline's processors are the transform's, as for every Albumentations transform
    assert pipeline(transform)(**sample(labels=("cat",)))["labels"] == ["cat", "zebra"]


@pytest.mark.parametrize("channels", [None, 1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_alone_with_an_image_only(channels, dtype):
    primary, other = picture(0, channels=channels, dtype=dtype), picture(1, channels=channels, dtype=dtype)
    out = MixUp([{"image": other}], **FIXED)(image=primary)
    assert sorted(out) == ["image"]
    assert_blended(out["image"], primary, other)


def test_a_pipeline_without_boxes_takes_any_reference():
    primary, other = picture(), sample(1)
    out = A.Compose([MixUp([other], **FIXED)])(image=primary)
    assert_blended(out["image"], primary, other["image"])


def test_on_the_embedded_sample():
    dataset = sample_dataset()
    mixer = pipeline(MixUp(dataset, p=1.0), A.HorizontalFlip(p=1.0), save_applied_params=True)
    for index in range(3):
        primary = dataset[index]
        out = mixer(**primary)
        record = mixer.transforms[0].get_applied_params()
        assert list(out["labels"]) == [*primary["labels"], *dataset[record["reference_index"]]["labels"]]
        expected = [record["ratio"]] * len(primary["labels"])
        np.testing.assert_allclose(out["mixup_weight"][: len(expected)], expected, rtol=1e-6)


# --- other targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [list, np.stack])
def test_all_frames_get_the_same_partner(container):
    frames, other = [picture(seed) for seed in range(3)], [sample(seed) for seed in (10, 11, 12)]
    reference = Reference(other)
    out = A.Compose([MixUp(reference, **FIXED)], seed=1)(images=container(frames))["images"]
    assert isinstance(out, list if container is list else np.ndarray)
    assert len(reference.drawn) == 1
    for mixed, frame in zip(out, frames, strict=True):
        assert_blended(mixed, frame, other[reference.drawn[0]]["image"])


@pytest.mark.parametrize("channels", [None, 1])
@pytest.mark.parametrize(("ratio", "winner"), [(0.6, 0), (0.5, 0), (0.4, 1)])
def test_the_semantic_mask_is_of_the_larger_share(ratio, winner, channels):
    primary, other = (sample(seed, mask=picture(seed + 5, channels=channels)) for seed in range(2))
    out = mixing([other], ratio_range=(ratio, ratio))(**primary)
    expected = (primary, other)[winner]["mask"]
    assert out["mask"].shape == expected.shape
    assert (out["mask"] == expected).all()


@pytest.mark.parametrize("reference_container", [list, np.stack])
@pytest.mark.parametrize("container", [list, np.stack])
def test_instance_masks_are_joined(container, reference_container):
    masks, others = ([picture(seed, channels=None) for seed in seeds] for seeds in ((5, 6), (7, 8, 9)))
    out = mixing([sample(1, masks=reference_container(others))])(**sample(masks=container(masks)))["masks"]
    assert isinstance(out, list if container is list else np.ndarray)
    assert len(out) == 5
    for mixed, expected in zip(out, [*masks, *others], strict=True):
        assert mixed.dtype == expected.dtype
        assert mixed.shape == expected.shape
        assert (mixed == expected).all()


def as_no_masks(container):
    return [] if container is list else np.zeros((0, 24, 32), np.uint8)


@pytest.mark.parametrize("container", [list, np.stack])
@pytest.mark.parametrize(("n_primary", "n_reference"), [(0, 2), (2, 0), (0, 0)])
def test_instance_masks_may_be_none_at_all(n_primary, n_reference, container):
    def masks(count, seed):
        return container([picture(seed + i, channels=None) for i in range(count)]) if count else as_no_masks(container)

    primary, other = masks(n_primary, 5), masks(n_reference, 8)
    out = mixing([sample(1, masks=other)])(**sample(masks=primary))["masks"]
    assert isinstance(out, list if container is list else np.ndarray)
    assert len(out) == n_primary + n_reference
    for mixed, expected in zip(out, [*primary, *other], strict=True):
        assert mixed.shape == expected.shape
        assert (mixed == expected).all()


@pytest.mark.parametrize("container", [list, np.array])
@pytest.mark.parametrize(("n_primary", "n_reference"), [(2, 1), (0, 2), (2, 0), (0, 0)])
def test_keypoints_with_labels_and_no_boxes(n_primary, n_reference, container):
    def made(seed, count, name):
        points = [[1.0 + seed + i, 2.0 + i] for i in range(count)]
        points = container(points) if points or container is list else np.zeros((0, 2), np.float32)
        return {"image": picture(seed), "keypoints": points, "parts": [f"{name} {i}" for i in range(count)]}

    primary, other = made(0, n_primary, "nose"), made(1, n_reference, "left ear")
    out = A.Compose([MixUp([other], **FIXED)], keypoint_params=keypoint_params())(**primary)
    assert list(out["parts"]) == [*primary["parts"], *other["parts"]]
    expected = np.array([*map(list, primary["keypoints"]), *map(list, other["keypoints"])]).reshape(-1, 2)
    np.testing.assert_allclose(np.reshape(out["keypoints"], (-1, 2)), expected, atol=1e-4)


def test_boxes_and_keypoints_each_with_their_own_labels():
    primary = sample(0, labels=("cat",), keypoints=[[3.0, 4.0]], parts=["nose"])
    other = sample(1, labels=("zebra",), keypoints=[[5.0, 6.0], [7.0, 8.0]], parts=["ear", "tail of a zebra"])
    mixer = A.Compose(
        [MixUp([other], **FIXED)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS)),
        keypoint_params=keypoint_params(),
    )
    out = mixer(**primary)
    assert out["labels"] == ["cat", "zebra"]
    assert out["parts"] == ["nose", "ear", "tail of a zebra"]
    np.testing.assert_allclose(out["keypoints"], [[3, 4], [5, 6], [7, 8]], atol=1e-4)


def two_images(seed):
    return {
        "image": picture(seed),
        "image2": picture(seed + 20),
        "mask": picture(seed + 40, channels=None),
        "mask2": picture(seed + 60, channels=None),
    }


@pytest.mark.parametrize("ratio", [0.25, 0.75])
def test_additional_targets_are_mixed_with_the_same_key(ratio):
    primary, other = two_images(0), two_images(1)
    transform = MixUp([other], ratio_range=(ratio, ratio), p=1.0)
    out = A.Compose([transform], additional_targets={"image2": "image", "mask2": "mask"})(**primary)
    for key in ("image", "image2"):
        assert_blended(out[key], primary[key], other[key], ratio)
    for key in ("mask", "mask2"):
        assert (out[key] == (primary if ratio > 0.5 else other)[key]).all()


@pytest.mark.parametrize("key", ["image2", "mask2"])
def test_an_additional_target_that_the_reference_lacks_is_named(key):
    other = {name: value for name, value in two_images(1).items() if name != key}
    mixer = A.Compose([MixUp([other], **FIXED)], additional_targets={"image2": "image", "mask2": "mask"})
    with pytest.raises(SampleError, match=f"no '{key}'"):
        mixer(**two_images(0))


@pytest.mark.parametrize("kind", ["bboxes", "keypoints"])
def test_additional_boxes_and_points_are_joined_with_the_same_key(kind):
    columns = 4 if kind == "bboxes" else 2
    rows = np.array([[1.0, 2.0, 11.0, 14.0]], np.float32)[:, :columns]
    primary = {"image": picture(), kind: rows, "more": rows + 1}
    other = {"image": picture(1), kind: rows + 2, "more": rows + 3}
    mixer = A.Compose(
        [MixUp([other], weight_field=None, **FIXED)],
        bbox_params=A.BboxParams("pascal_voc") if kind == "bboxes" else None,
        keypoint_params=A.KeypointParams("xy") if kind == "keypoints" else None,
        additional_targets={"more": kind},
    )
    out = mixer(**primary)
    for key in (kind, "more"):
        np.testing.assert_allclose(out[key], np.concatenate([primary[key], other[key]]), atol=1e-4)


def test_keys_that_are_no_targets_pass_through():
    out = mixing([sample(1, image_id=8)])(**sample(image_id=7))
    assert out["image_id"] == 7


# --- donors that come with the call -------------------------------------------------------------------------------


def donor(seed=1, labels=("zebra",), **more):
    return sample(seed, labels=labels, **more)


def test_donors_with_the_call():
    primary, given = sample(), donor()
    out = mixing(None)(**primary, mixup_metadata=[given])
    assert_blended(out["image"], primary["image"], given["image"])
    assert out["labels"] == ["cat", "dog", "zebra"]
    assert out["mixup_weight"] == [0.75, 0.75, 0.25]


def test_donors_under_another_key_alone():
    given, primary = {"image": picture(1)}, picture()
    out = MixUp(metadata_key="donors", **FIXED)(image=primary, donors=[given])
    assert_blended(out["image"], primary, given["image"])


def test_donors_with_labels_in_wrappers():
    given = {"image": picture(1), "bboxes": np.array([[1.0, 2.0, 9.0, 8.0]], np.float32), "keypoints": [[5.0, 6.0]]}
    given |= {"bbox_labels": {"labels": ["zebra"]}, "keypoint_labels": {"parts": ["ear"]}}
    mixer = A.Compose(
        [MixUp(**FIXED)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS)),
        keypoint_params=keypoint_params(),
    )
    out = mixer(**sample(0, labels=("cat",), keypoints=[[3.0, 4.0]], parts=["nose"]), mixup_metadata=[given])
    assert out["labels"] == ["cat", "zebra"]
    assert out["mixup_weight"] == [0.75, 0.25]
    assert out["parts"] == ["nose", "ear"]


def test_no_donors_leave_the_sample_as_it_is():
    primary = sample(mixup_weight=[0.5, 1.0])
    mixer = mixing(None)
    out = mixer(**primary, mixup_metadata=[])
    assert same(out["image"], primary["image"])
    np.testing.assert_allclose(out["bboxes"], primary["bboxes"], atol=1e-4)
    assert out["labels"] == primary["labels"]
    assert out["mixup_weight"] == [0.5, 1.0]
    assert mixer(**primary, mixup_metadata=[donor()])["labels"] == ["cat", "dog", "zebra"]


def test_strict_pipelines_know_the_key():
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS))
    mixer = A.Compose([A.Sequential([MixUp(**FIXED)], p=1.0)], bbox_params=params, strict=True)
    assert mixer(**sample(), mixup_metadata=[donor()])["labels"] == ["cat", "dog", "zebra"]


def test_donors_are_drawn_from_the_stream():
    donors = [donor(i, labels=(f"class {i}",)) for i in range(10)]

    def run(seed):
        mixer = pipeline(MixUp(**FIXED), seed=seed)
        return [mixer(**sample(), mixup_metadata=donors)["labels"][-1] for _ in range(12)]

    assert run(1) == run(1) != run(2)
    assert len(set(run(1))) > 3


def test_donors_are_not_written_to():
    donors = [donor(1), as_arrays(donor(2))]
    before = frozen(donors)
    mixer = mixing(None)
    for _ in range(4):
        mixer(**sample(), mixup_metadata=donors)
    assert same(donors, before)


# --- reference_transform ------------------------------------------------------------------------------------------


def reference_pipeline(*transforms, bbox_format="pascal_voc", label_fields=("labels",)):
    return A.Compose(list(transforms), bbox_params=A.BboxParams(bbox_format, label_fields=list(label_fields)))


def test_reference_transform_is_applied_to_the_reference_only():
    primary, other = sample(labels=("cat",)), sample(1, labels=("zebra",))
    out = mixing([other], reference_transform=reference_pipeline(A.HorizontalFlip(p=1.0)))(**primary)
    assert_blended(out["image"], primary["image"], other["image"][:, ::-1])
    np.testing.assert_allclose(out["bboxes"], [[1, 2, 11, 14], [21, 2, 31, 14]], atol=1e-4)
    assert out["labels"] == ["cat", "zebra"]
    assert out["mixup_weight"] == [0.75, 0.25]


def test_reference_transform_reads_boxes_in_the_references_format():
    other = sample(1, labels=("zebra",), bboxes=[[1.0, 2.0, 10.0, 12.0]])
    transform = reference_pipeline(A.HorizontalFlip(p=1.0), bbox_format="coco")
    for reference in (Reference([other], bbox_format="coco"), [other]):  # said by the reference, or by the transform
        out = mixing(reference, reference_transform=transform)(**sample(labels=("cat",)))
        np.testing.assert_allclose(out["bboxes"], [[1, 2, 11, 14], [21, 2, 31, 14]], atol=1e-4)


def test_reference_transform_may_carry_the_weights_and_drop_boxes():
    other = sample(1, labels=("gone", "kept"), bboxes=[[0, 0, 4, 4], [20, 10, 30, 20]], mixup_weight=[0.125, 0.5])
    transform = reference_pipeline(A.Crop(16, 8, 32, 24, p=1.0), label_fields=["mixup_weight", "labels"])
    out = mixing([other], reference_transform=transform, fit_mode="canvas")(**sample(labels=("cat",)))
    assert out["labels"] == ["cat", "kept"]
    assert out["mixup_weight"] == [0.75, 0.125]
    np.testing.assert_allclose(out["bboxes"][1], [4, 2, 14, 12], atol=1e-4)


def test_reference_transform_without_boxes():
    other = {"image": picture(1)}
    out = MixUp([other], reference_transform=A.Compose([A.VerticalFlip(p=1.0)]), **FIXED)(image=picture())
    assert_blended(out["image"], picture(), other["image"][::-1])


def test_reference_transform_is_seeded_by_the_pipeline():
    def run(seed):
        transform = reference_pipeline(A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5))
        mixer = pipeline(MixUp([sample(1, labels=("zebra",))], reference_transform=transform, **FIXED), seed=seed)
        return [tuple(np.round(mixer(**sample(labels=()))["bboxes"][0], 3)) for _ in range(20)]

    assert run(1) == run(1) != run(2)
    assert len(set(run(1))) == 4  # each flip decides for itself


def test_reference_transform_draws_from_the_stream_of_mixup_only():
    def run(transform):
        mixer = pipeline(MixUp([sample(1)], reference_transform=transform, **FIXED), seed=1)
        return [mixer(**sample())["image"] for _ in range(8)]

    used, fresh = (reference_pipeline(A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)) for _ in range(2))
    used.set_random_seed(7)
    used(**sample())
    assert same(run(used), run(fresh))


def test_a_mixup_within_the_reference_transform():
    inner = MixUp([sample(2, labels=("inner",))], ratio_range=(0.5, 0.5), p=1.0)
    transform = reference_pipeline(inner, label_fields=LABEL_FIELDS)
    out = mixing([sample(1, labels=("outer",))], reference_transform=transform)(**sample(labels=("cat",)))
    assert out["labels"] == ["cat", "outer", "inner"]
    assert out["mixup_weight"] == [0.75, 0.125, 0.125]


@pytest.mark.parametrize("bbox_format", ["albumentations", "pascal_voc"])
def test_reference_transform_writes_to_no_reference(bbox_format):
    """Even where nothing but `clip` touches the boxes, which 2.0.8 does in place."""
    boxes = np.array([[-0.25, 0.25, 0.5, 1.5], [0.25, 0.25, 0.5, 0.5]], np.float32)
    boxes *= 1 if bbox_format == "albumentations" else (32, 24, 32, 24)
    other = {"image": picture(1), "bboxes": boxes}
    before, params = frozen(other), A.BboxParams(bbox_format, **CLIP)
    transform = MixUp([other], reference_transform=A.Compose([A.NoOp()], bbox_params=params), weight_field=None, p=1.0)
    mixer = A.Compose([transform], bbox_params=A.BboxParams(bbox_format))
    assert len(mixer(image=picture(), bboxes=np.zeros((0, 4), np.float32))["bboxes"]) == 2
    assert same(other, before)


# --- samples that cannot be read ----------------------------------------------------------------------------------


def test_an_unreadable_sample_raises_by_default():
    with pytest.raises(OSError, match=r"cannot read 0\.png"):
        mixing(Flaky([sample()], {0}))(**sample())


def test_redraws_warn_once_a_file_and_record_the_sample_used():
    reference = Flaky([sample(i, labels=(f"class {i}",)) for i in range(4)], {0, 2})
    mixer = pipeline(MixUp(reference, max_redraws=100, **FIXED), save_applied_params=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(40):
            out = mixer(**sample(labels=("cat",)))
            index = mixer.transforms[0].get_applied_params()["reference_index"]
            assert index in {1, 3}
            assert out["labels"] == ["cat", f"class {index}"]
    messages = sorted(str(warning.message) for warning in caught if warning.category is UnreadableImageWarning)
    assert len(messages) == len(caught) == 2
    assert "0.png" in messages[0]
    assert "2.png" in messages[1]


def test_redraws_are_bounded():
    reference = Flaky([sample()] * 3, {0, 1, 2})
    mixer = mixing(reference, max_redraws=3)
    with pytest.warns(UnreadableImageWarning), pytest.raises(OSError, match="cannot read"):
        mixer(**sample())


def test_other_errors_are_not_redrawn():
    class Broken(Reference):
        def __getitem__(self, index):
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        mixing(Broken([sample()]), max_redraws=5)(**sample())


# --- what only AlbumentationsX has --------------------------------------------------------------------------------

only_oriented = pytest.mark.skipif(not HAS_ORIENTED_BOXES, reason="albumentations 2.0.8 has no oriented boxes")


def oriented(transform):
    params = A.BboxParams("pascal_voc", bbox_type="obb", label_fields=list(LABEL_FIELDS))
    return A.Compose([transform], bbox_params=params, seed=0)


@only_oriented
@pytest.mark.parametrize("fit_mode", ["contain", "cover", "canvas"])
def test_oriented_boxes_keep_their_angles(fit_mode):
    primary = sample(labels=("cat",), bboxes=[[4.0, 5.0, 12.0, 9.0, 30.0]])
    other = sample(1, labels=("zebra",), height=48, width=64, bboxes=[[20.0, 10.0, 40.0, 20.0, -20.0]])
    out = oriented(MixUp([other], fit_mode=fit_mode, **FIXED))(**primary)
    scale = 1.0 if fit_mode == "canvas" else 0.5
    np.testing.assert_allclose(out["bboxes"][0], [4, 5, 12, 9, 30], atol=0.01)
    np.testing.assert_allclose(out["bboxes"][1], [*(scale * np.array([20, 10, 40, 20])), -20], atol=0.01)
    assert out["labels"] == ["cat", "zebra"]
    assert out["mixup_weight"] == [0.75, 0.25]


@only_oriented
def test_oriented_boxes_with_an_empty_side():
    box = [4.0, 5.0, 12.0, 9.0, 30.0]
    full, empty = sample(labels=("cat",), bboxes=[box]), sample(1, labels=(), bboxes=np.zeros((0, 5), np.float32))
    for primary, other in ((full, empty), (empty, full)):
        out = oriented(MixUp([other], **FIXED))(**primary)
        np.testing.assert_allclose(out["bboxes"], [box], atol=0.01)
        assert list(out["labels"]) == ["cat"]


@only_oriented
def test_oriented_boxes_cannot_be_stretched():
    made = sample(labels=("cat",), bboxes=[[4.0, 5.0, 12.0, 9.0, 30.0]])
    with pytest.raises(SampleError, match=r"fit_mode must keep angles true .* got \"stretch\": take \"contain\""):
        oriented(MixUp([made], fit_mode="stretch", **FIXED))(**made)


@pytest.mark.skipif(not IS_X, reason="albumentations 2.0.8 has no instance_binding")
def test_instance_binding_is_refused_clearly():
    made = sample(masks=np.stack([picture(5, channels=None)] * 2))
    mixer = A.Compose(
        [MixUp([made], **FIXED)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS)),
        instance_binding=["masks", "bboxes"],
    )
    instances = [
        {"mask": made["masks"][i], "bbox": made["bboxes"][i], "bbox_labels": {"labels": "cat", "mixup_weight": 1.0}}
        for i in range(2)
    ]
    with pytest.raises(SampleError, match=r"no instance_binding .* it is not supported by MixUp yet"):
        mixer(image=made["image"], instances=instances)


# --- what both have -----------------------------------------------------------------------------------------------


def test_the_pipelines_own_clip_holds_for_the_reference():
    other = sample(1, labels=("zebra",), bboxes=[[20.0, 10.0, 50.0, 30.0]])
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS), **CLIP)
    out = A.Compose([MixUp([other], **FIXED)], bbox_params=params)(**sample(labels=("cat",)))
    np.testing.assert_allclose(out["bboxes"][1], [20, 10, 32, 24], atol=1e-3)


def test_the_pipelines_own_filter_holds_for_the_reference():
    other = sample(1, labels=("tiny", "zebra"), bboxes=[[3.0, 3.0, 5.0, 5.0], [2.0, 2.0, 20.0, 20.0]])
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS), min_area=20)
    out = A.Compose([MixUp([other], **FIXED)], bbox_params=params)(**sample(labels=("cat",)))
    assert out["labels"] == ["cat", "zebra"]
    assert out["mixup_weight"] == [0.75, 0.25]


def test_mask_interpolation_of_the_pipeline_is_taken():
    mixer = A.Compose([MixUp([sample()], **FIXED)], mask_interpolation=cv2.INTER_LINEAR)
    assert mixer.transforms[0].mask_interpolation == cv2.INTER_LINEAR


@pytest.mark.parametrize("flag", [True, False])
def test_box_lists_of_ints_and_tuples(flag):
    boxes = [(1, 2, 11, 14), (3, 3, 13, 15)] if flag else np.array([[1, 2, 11, 14], [3, 3, 13, 15]])
    out = mixing([sample(1, bboxes=boxes)])(**sample(0))
    np.testing.assert_allclose(out["bboxes"], [[1, 2, 11, 14], [3, 3, 13, 15]] * 2, atol=1e-4)
