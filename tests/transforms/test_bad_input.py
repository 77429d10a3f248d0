"""Every bad input is a clear error: the class, and a message with the argument or key, the value and the fix."""

import math
import sys

import albumentations as A
import numpy as np
import pytest

from alb_mixup import MixUp
from alb_mixup.errors import AlbMixUpError, AlbMixUpWarning, ArgumentError, SampleError, SerializationError
from tests.support.samples import (
    LABEL_FIELDS,
    Reference,
    as_arrays,
    keypoint_params,
    mixing,
    picture,
    pipeline,
    sample,
)

FIXED = {"ratio_range": (0.75, 0.75), "p": 1.0}


def raised(error, builtin, call, *parts):
    """Check that a call raises `error`, which is also a `builtin`, and that its message has every part."""
    with pytest.raises(builtin) as caught:
        call()
    assert type(caught.value) is error
    assert isinstance(caught.value, AlbMixUpError)
    for part in parts:
        assert part in str(caught.value)


def bad_argument(parts, *args, **arguments):
    raised(ArgumentError, ValueError, lambda: MixUp(*args, **arguments), *parts)


def bad_sample(parts, call):
    raised(SampleError, ValueError, call, *parts)


# --- arguments ----------------------------------------------------------------------------------------------------

ALPHA = "alpha must be a positive finite number or a pair of them, e.g. 1.5"
RANGE = "ratio_range must be None or a pair (low, high) with 0 <= low <= high <= 1, e.g. (0.45, 0.55)"


@pytest.mark.parametrize(
    ("alpha", "got"),
    [
        (0, 0),
        (-1.5, -1.5),
        (math.inf, math.inf),
        (math.nan, math.nan),
        (True, True),
        ("1.5", "1.5"),
        (None, None),
        ((), ()),
        ((1.5,), (1.5,)),
        ((1, 2, 3), (1, 2, 3)),
        ((1, 0), 0),
        ((math.nan, 1), math.nan),
        ((1, True), True),
        ({1: 2, 3: 4}, {1: 2, 3: 4}),
    ],
)
def test_alpha(alpha, got):
    bad_argument([ALPHA, f"got {got!r}"], [sample()], alpha=alpha)


@pytest.mark.parametrize(
    "ratio_range",
    [(-0.1, 0.5), (0.5, 1.1), (0.6, 0.4), (math.nan, 1.0), (0.0, math.inf), 0.5, (0.5,), (0, 0.5, 1), "01", (False, 1)],
    ids=repr,
)
def test_ratio_range(ratio_range):
    bad_argument([RANGE, "got "], [sample()], ratio_range=ratio_range)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("fit_mode", "letterbox", ["one of contain, cover, stretch, canvas", "'letterbox'"]),
        ("fit_mode", None, ["one of contain", "None"]),
        ("weighting", "soft", ["one of ratio, none", "'soft'"]),
        ("weighting", None, ["one of ratio, none", "None"]),
        ("interpolation", 99, ["one of 0, ", "99"]),
        ("interpolation", "linear", ["one of 0, ", "'linear'"]),
        ("interpolation", True, ["one of 0, ", "True"]),
        ("mask_interpolation", -1, ["one of 0, ", "-1"]),
        ("fill", "black", ["a finite number, or one for each channel", "'black'"]),
        ("fill", math.nan, ["a finite number", "nan"]),
        ("fill", (1, None, 3), ["a finite number", "None"]),
        ("fill", (), ["a finite number", "()"]),
        ("fill_mask", math.inf, ["a finite number", "inf"]),
        ("weight_field", "", ["a non-empty string", "''"]),
        ("weight_field", 3, ["a non-empty string", "3"]),
        ("metadata_key", None, ["a non-empty string", "None"]),
        ("min_weight", -0.5, ["a finite number of at least 0", "-0.5"]),
        ("min_weight", math.nan, ["a finite number of at least 0", "nan"]),
        ("max_redraws", -1, ["a whole number of at least 0", "-1"]),
        ("max_redraws", 1.5, ["a whole number of at least 0", "1.5"]),
        ("max_redraws", True, ["a whole number of at least 0", "True"]),
        ("p", 1.5, ["a probability in [0, 1]", "1.5"]),
        ("p", -0.1, ["a probability in [0, 1]", "-0.1"]),
        ("p", math.nan, ["a probability in [0, 1]", "nan"]),
        ("p", "often", ["a probability in [0, 1]", "'often'"]),
        ("p", True, ["a probability in [0, 1]", "True"]),
    ],
)
def test_an_argument(name, value, parts):
    bad_argument([f"{name} must be ", "got ", *parts], [sample()], **{name: value})


@pytest.mark.parametrize("name", ["fit_mode", "weighting", "interpolation"])
@pytest.mark.parametrize("value", [["contain"], {}, np.array([1, 2])], ids=["list", "dict", "array"])
def test_an_argument_of_no_comparable_type(name, value):
    bad_argument([f"{name} must be one of", "got "], [sample()], **{name: value})


def test_min_weight_without_weights():
    bad_argument(
        ["min_weight must be 0 where weight_field is None", "0.5"], [sample()], weight_field=None, min_weight=0.5
    )


@pytest.mark.parametrize("empty", [[], (), Reference([])], ids=["list", "tuple", "sequence"])
def test_an_empty_reference(empty):
    bad_argument(["reference must hold at least one sample", "empty"], empty)


@pytest.mark.parametrize(
    ("reference", "got"),
    [("VOC2012", "str"), (b"VOC", "bytes"), (7, "int"), ({1, 2}, "set"), (iter([sample()]), "list_iterator")],
    ids=lambda value: type(value).__name__,
)
def test_a_reference_that_is_no_sequence(reference, got):
    bad_argument(["reference must be a sequence of dicts", f"got {got}", "VocDataset(root)"], reference)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ({}, ["spec['dataset'] must be one of 'CocoDataset', 'VocDataset'", "None"]),
        (
            {"dataset": "NoSuchDataset"},
            ["spec['dataset'] must be one of 'CocoDataset', 'VocDataset'", "'NoSuchDataset'"],
        ),
        ({"dataset": "VocDataset"}, ["spec must fit VocDataset", "'root'"]),
    ],
    ids=["empty", "unknown", "incomplete"],
)
def test_a_spec_that_describes_no_dataset(spec, parts):
    raised(SerializationError, TypeError, lambda: MixUp(spec), *parts)


def test_a_sample_in_place_of_a_list_of_samples():
    bad_argument(["reference must be a sequence of dicts", "got dict", "a list of samples"], sample())


@pytest.mark.parametrize("bbox_format", ["voc", "xyxy", 3])
def test_an_unknown_box_format_of_the_reference(bbox_format):
    reference = Reference([sample()], bbox_format=bbox_format)
    bad_argument(["reference.bbox_format must be one of pascal_voc, coco, yolo", repr(bbox_format)], reference)


@pytest.mark.parametrize(
    "transform", [A.HorizontalFlip(), [A.HorizontalFlip()], lambda **data: data], ids=["one", "list", "f"]
)
def test_a_reference_transform_that_is_no_pipeline(transform):
    got = type(transform).__name__
    bad_argument(["reference_transform must be an A.Compose or None", got], [sample()], reference_transform=transform)


def test_a_reference_transform_in_another_box_format():
    transform = A.Compose([A.NoOp()], bbox_params=A.BboxParams("yolo", label_fields=["labels"]))
    parts = ["reference_transform must have bbox_params in the reference's format 'coco'", "'yolo'"]
    bad_argument(parts, Reference([sample()], bbox_format="coco"), reference_transform=transform)


# --- what the pipeline asks for -----------------------------------------------------------------------------------


def test_the_weight_field_is_missing_from_label_fields():
    fix = "label_fields=['labels', 'mixup_weight']"
    parts = [
        "weight_field 'mixup_weight' must be in BboxParams.label_fields",
        "got ['labels']",
        fix,
        "weight_field=None",
    ]
    bad_sample(parts, lambda: mixing([sample()], label_fields=["labels"])(**sample(mixup_weight=None)))


def test_neither_reference_nor_donors():
    parts = ["MixUp must have a reference", "metadata_key='mixup_metadata'", "got none"]
    bad_sample(parts, lambda: mixing(None)(**sample()))
    bad_sample(parts, lambda: MixUp(p=1.0)(image=picture()))


@pytest.mark.parametrize("donors", [sample(), "donors", 3], ids=["dict", "str", "int"])
def test_donors_that_are_no_list(donors):
    got = f"got {type(donors).__name__}"
    bad_sample(["list of samples under metadata_key", got], lambda: mixing(None)(**sample(), mixup_metadata=donors))


@pytest.mark.parametrize("name", ["bboxes", "keypoints"])
def test_boxes_or_points_without_a_pipeline(name):
    rows = {
        "image": picture(),
        name: np.array([[1.0, 2.0, 3.0, 4.0]][:1], np.float32)[:, : 4 if name == "bboxes" else 2],
    }
    param = "bbox_params" if name == "bboxes" else "keypoint_params"
    bad_sample([f"{name} must come through A.Compose", param], lambda: MixUp([rows], **FIXED)(**rows))


def test_boxes_without_bbox_params():
    parts = ["bboxes must come through A.Compose", "bbox_params"]
    bad_sample(parts, lambda: A.Compose([MixUp([sample()], **FIXED)])(**as_arrays(sample())))


def test_a_reference_transform_without_bbox_params():
    mixer = mixing([sample()], reference_transform=A.Compose([A.HorizontalFlip()]))
    bad_sample(["reference_transform must have bbox_params", "reference[0] has bboxes"], lambda: mixer(**sample()))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_integer_weight_arrays(dtype):
    parts = ["mixup_weight must be a list of Python floats or a float array", "got", "np.asarray(mixup_weight"]
    made = sample(mixup_weight=np.ones(2, dtype))
    bad_sample([*parts, np.dtype(dtype).name], lambda: mixing([sample()])(**made))


def test_integer_weight_arrays_in_the_reference_are_fine():
    out = mixing([sample(mixup_weight=np.ones(2, np.int64))])(**sample())
    assert out["mixup_weight"] == [0.75, 0.75, 0.25, 0.25]


@pytest.mark.parametrize("weights", [["high", "low"], [None, None]])
def test_weights_that_are_no_numbers_in_the_reference(weights):
    bad_sample(["mixup_weight"], lambda: mixing([sample(mixup_weight=weights)])(**sample()))


def test_weights_that_are_no_numbers_in_the_primary():
    made = sample(mixup_weight=["high", "low"])
    bad_sample(["mixup_weight must be a list of Python floats"], lambda: mixing([sample()])(**made))


@pytest.mark.parametrize("settings", [{}, {"weighting": "none"}, {"min_weight": 0.1}], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_of_the_reference_that_are_not_finite(value, settings):
    parts = ["reference[0]['mixup_weight'] must be finite", str(value)]
    for weights in ([1.0, value], [value, 1.0]):
        bad_sample(parts, lambda weights=weights: mixing([sample(mixup_weight=weights)], **settings)(**sample()))


@pytest.mark.parametrize("settings", [{}, {"weighting": "none"}, {"min_weight": 0.1}], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_of_the_primary_that_are_not_finite(value, settings):
    for weights in ([1.0, value], [value, 1.0]):
        with pytest.raises(SampleError, match=f"^mixup_weight must be finite, got {value}"):
            mixing([sample()], **settings)(**sample(mixup_weight=weights))


# --- primary and reference do not fit together --------------------------------------------------------------------


def whole(seed=0, **more):
    """A sample with every target."""
    mask = picture(seed + 5, channels=None)
    return sample(seed, mask=mask, masks=mask[None], keypoints=[[3.0, 4.0]], parts=["nose"], **more)


def whole_pipeline(reference, **settings):
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS))
    transform = MixUp(reference, **(FIXED | settings))
    return A.Compose([transform], bbox_params=params, keypoint_params=keypoint_params())


@pytest.mark.parametrize("key", ["image", "mask", "masks", "bboxes", "keypoints"])
def test_a_target_that_the_reference_lacks(key):
    mixer = whole_pipeline([{name: value for name, value in whole(1).items() if name != key}])
    bad_sample(["reference[0]", f"no '{key}'", "add it", "it has '"], lambda: mixer(**whole()))


@pytest.mark.parametrize("key", ["labels", "parts"])
def test_a_label_field_that_the_reference_lacks(key):
    mixer = whole_pipeline([{name: value for name, value in whole(1).items() if name != key}])
    bad_sample(["reference[0]", "every label field", f"no '{key}'", "add it"], lambda: mixer(**whole()))


def test_a_donor_is_named_by_the_key_of_the_call():
    broken = sample(1, labels=None)
    bad_sample(["mixup_metadata[0]", "no 'labels'"], lambda: mixing(None)(**sample(), mixup_metadata=[broken]))


@pytest.mark.parametrize("key", ["labels", "mixup_weight", "parts"])
@pytest.mark.parametrize("count", [0, 3])
def test_a_label_count_of_the_reference_that_does_not_match(key, count):
    n = 1 if key == "parts" else 2
    mixer = whole_pipeline([whole(1) | {key: ["x"] * count if key != "mixup_weight" else [1.0] * count}])
    parts = [f"reference[0]['{key}'] must have one value for each of {n} ", f"got {count}"]
    bad_sample(parts, lambda: mixer(**whole()))


@pytest.mark.parametrize("key", ["labels", "mixup_weight"])
def test_a_label_field_of_the_reference_that_is_no_sequence(key):
    bad_sample([f"reference[0]['{key}']"], lambda: mixing([sample() | {key: 1.0}])(**sample()))


@pytest.mark.parametrize(("dtype", "theirs"), [(np.uint8, [300, 2]), (np.int64, [0.25, 0.75])])
def test_labels_that_the_primarys_dtype_cannot_hold(dtype, theirs):
    parts = ["label field 'labels'", np.dtype(dtype).name, repr(theirs), "wider dtype"]
    bad_sample(parts, lambda: mixing([sample(labels=theirs)])(**sample(labels=np.array([1, 2], dtype))))


@pytest.mark.parametrize("labels", [np.array([["cat"], ["dog"]]), np.array([[1], [2]])], ids=["text", "numbers"])
def test_a_label_field_of_the_reference_with_two_axes(labels):
    bad_sample(
        ["reference[0]['labels']", "one value a row"], lambda: mixing([sample() | {"labels": labels}])(**sample())
    )


@pytest.mark.parametrize(("mine", "theirs"), [(["cat", "dog"], [1, 2]), ([1, 2], ["cat", "dog"])])
def test_label_kinds_that_differ(mine, theirs):
    parts = ["label field 'labels' must be numbers in both images or in neither", repr(theirs)]
    bad_sample(parts, lambda: mixing([sample(labels=theirs)])(**sample(labels=mine)))


@pytest.mark.parametrize(("mine", "theirs"), [(np.uint8, np.float32), (np.float32, np.uint8), (np.uint8, np.uint16)])
def test_images_of_two_dtypes(mine, theirs):
    primary, other = ({"image": np.ones((8, 9, 3), dtype)} for dtype in (mine, theirs))
    parts = ["reference[0]['image'] must have the primary's dtype", np.dtype(mine).name, f"got {np.dtype(theirs).name}"]
    bad_sample([*parts, "convert"], lambda: MixUp([other], **FIXED)(**primary))


@pytest.mark.parametrize("dtype", [np.float64, np.uint16, np.int32, bool])
def test_a_primary_of_an_unsupported_dtype(dtype):
    made = {"image": np.ones((8, 9, 3), dtype)}
    with pytest.raises(
        (ValueError, TypeError), match=rf"uint8.*float32.*{np.dtype(dtype).name}|{np.dtype(dtype).name}"
    ):
        MixUp([made], **FIXED)(**made)


@pytest.mark.parametrize(("mine", "theirs"), [(3, 1), (3, 4), (None, 3), (4, None)])
def test_images_of_two_channel_counts(mine, theirs):
    primary, other = ({"image": picture(channels=channels)} for channels in (mine, theirs))
    parts = [f"reference[0]['image'] must have the primary's {mine or 1} channels", f"got {theirs or 1}", "convert"]
    bad_sample(parts, lambda: MixUp([other], **FIXED)(**primary))


@pytest.mark.parametrize("key", ["mask", "masks"])
def test_masks_of_two_dtypes(key):
    mixer = whole_pipeline([whole(1) | {key: whole(1)[key].astype(np.float32)}])
    bad_sample([f"reference[0]['{key}']", "dtype uint8", "float32"], lambda: mixer(**whole()))


def test_masks_of_another_size_than_their_image():
    mixer = whole_pipeline([whole(1) | {"mask": picture(5, 10, 11, None)}])
    bad_sample(["reference[0]['mask'] must be as large as its image (24, 32)", "(10, 11)"], lambda: mixer(**whole()))


def test_masks_of_two_sizes_among_themselves():
    ragged = [picture(5, channels=None), picture(5, 10, 11, None)]
    mixer = whole_pipeline([whole(1) | {"masks": ragged}])
    bad_sample(["reference[0]['masks'] must be masks of one shape"], lambda: mixer(**whole()))


@pytest.mark.parametrize(
    "image",
    [
        [[1, 2], [3, 4]],
        "cat.png",
        None,
        np.ones(5, np.uint8),
        np.ones((0, 4, 3), np.uint8),
        np.ones((1, 2, 3, 3), np.uint8),
    ],
    ids=["list", "path", "None", "1-d", "empty", "4-d"],
)
def test_an_image_of_the_reference_that_is_no_array(image):
    mixer = mixing([sample() | {"image": image}])
    bad_sample(["reference[0]", "'image'", "must"], lambda: mixer(**sample()))


@pytest.mark.parametrize("image", [[[1, 2], [3, 4]], "cat.png", 3], ids=["list", "path", "int"])
def test_an_image_of_the_primary_that_is_no_array(image):
    parts = ["image must be", type(image).__name__]
    bad_sample(parts, lambda: MixUp([sample()], **FIXED)(image=image))
    with pytest.raises((TypeError, ValueError), match="image must be"):  # 2.0.8's Compose looks at it first
        A.Compose([MixUp([sample()], **FIXED)])(image=image)


@pytest.mark.parametrize(
    "made", [("image", "target"), [picture(), [[1, 2, 3, 4]]], None, "cat.png"], ids=["tuple", "list", "None", "path"]
)
def test_samples_that_are_no_dicts(made):
    parts = ["reference[0] must be a dict shaped like the pipeline's own input", type(made).__name__, "__getitem__"]
    bad_sample(parts, lambda: mixing([made])(**sample()))


@pytest.mark.parametrize("transform", [None, A.Compose([A.HorizontalFlip()])], ids=["plain", "reference_transform"])
def test_samples_that_are_no_dicts_with_a_reference_transform(transform):
    mixer = MixUp([(picture(), [1])], reference_transform=transform, **FIXED)
    bad_sample(["reference[0] must be a dict", "tuple"], lambda: mixer(image=picture()))


@pytest.mark.parametrize("boxes", [[["a", "b", "c", "d"], [1, 2, 3, 4]], [[1, 2, 3, 4], [1, 2, 3]], [1, 2, 3, 4]])
def test_boxes_of_the_reference_that_are_no_rows_of_numbers(boxes):
    bad_sample(["reference[0]['bboxes'] must be"], lambda: mixing([sample(bboxes=boxes)])(**sample()))


@pytest.mark.parametrize("box", [[11.0, 2.0, 1.0, 14.0], [1.0, 2.0, 110.0, 14.0], [math.nan, 2.0, 11.0, 14.0]])
def test_boxes_of_the_reference_that_are_invalid(box):
    mixer = mixing([sample(labels=("cat",), bboxes=[box])])
    bad_sample(["reference[0]['bboxes'] must be valid bboxes"], lambda: mixer(**sample()))


@pytest.mark.parametrize("columns", [3, 5])
def test_boxes_of_the_reference_with_other_columns(columns):
    mixer = mixing([sample(labels=("cat",), bboxes=[[1.0, 2.0, 11.0, 14.0, 0.0][:columns]])])
    bad_sample(["reference[0]['bboxes']", str(columns)], lambda: mixer(**sample()))


@pytest.mark.parametrize("name", ["volume", "mask3d"])
def test_targets_that_are_not_mixed(name):
    volume = np.ones((3, 24, 32, 1), np.uint8) if name == "volume" else np.ones((3, 24, 32), np.uint8)
    bad_sample(["MixUp mixes: images", name], lambda: MixUp([sample()], **FIXED)(image=picture(), **{name: volume}))


def test_no_image_at_all():
    mask = np.ones((24, 32), np.uint8)
    with pytest.raises((ValueError, KeyError, TypeError), match=r"(?i)image"):
        MixUp([{"image": picture(), "mask": mask}], **FIXED)(mask=mask)


# --- fill ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [(1, 2), [1, 2, 3, 4]])
@pytest.mark.parametrize("height", [24, 30])
def test_fill_of_another_channel_count(fill, height):
    parts = ["fill must be one number or one for each of 3 channels", str(list(map(float, fill)))]
    mixer = mixing([sample(height=height)], fill=fill)
    bad_sample(parts, lambda: mixer(**sample()))


@pytest.mark.parametrize("fill", [-1, 256, (0, 0, 300)])
def test_fill_out_of_range_for_uint8(fill):
    bad_sample(["fill must be in [0, 255] for uint8", "got "], lambda: mixing([sample()], fill=fill)(**sample()))


def test_fill_out_of_range_is_warned_of_for_floats():
    primary, other = (
        {"image": picture(0, 24, 32, dtype=np.float32)},
        {"image": picture(1, 12, 32, dtype=np.float32)},
    )
    with pytest.warns(AlbMixUpWarning, match=r"fill must be in \[0, 1\]"):
        out = MixUp([other], fill=-300, **FIXED)(**primary)
    np.testing.assert_allclose(out["image"][0], 0.75 * primary["image"][0] - 75, rtol=1e-5)


def test_fill_mask_out_of_range():
    mixer = whole_pipeline([whole(1)], fill_mask=256)
    bad_sample(["fill_mask must be in [0, 255] for uint8", "256"], lambda: mixer(**whole()))


@pytest.mark.parametrize("weight_field", [None, "mixup_weight"])
def test_the_pipeline_that_ultralytics_makes_of_its_augmentations(monkeypatch, weight_field):
    given = {"labels": None, "mixup_weight": None, "class_labels": [0.0, 1.0], "idx": [0, 1]}

    def mix():
        mixup = MixUp([sample(1, **given)], weight_field=weight_field, **FIXED)
        return pipeline(mixup, label_fields=["class_labels", "idx"])(**sample(**given))

    if weight_field is None:  # someone's own pipeline
        assert mix()["class_labels"] == [0, 1, 0, 1]
    monkeypatch.setitem(sys.modules, "ultralytics", sys)
    bad_sample(["augmentations=", "alb_mixup.integrations.ultralytics", "trainer="], mix)


# --- the pipeline stays usable ------------------------------------------------------------------------------------


def test_a_pipeline_works_again_after_an_error():
    reference = [sample(1, labels=("zebra",))]
    mixer = pipeline(MixUp(reference, **FIXED))
    assert mixer(**sample())["labels"] == ["cat", "dog", "zebra"]
    reference[0] = sample(1, labels=None)
    bad_sample(["labels"], lambda: mixer(**sample()))
    reference[0] = sample(1, labels=("ox",))
    assert mixer(**sample())["labels"] == ["cat", "dog", "ox"]
