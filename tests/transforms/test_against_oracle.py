"""MixUp through a stock `A.Compose`, on real images, against the oracle."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alb_mixup import MixUp, sample_dataset
from tests.oracle import BBOX_FORMATS, FIT_MODES, disagreements, from_pixels, mix, rounding_is_ambiguous

LABEL_FIELDS = ["labels", "mixup_weight"]
RATIOS = (0.0, 0.3, 0.5, 0.731, 1.0)
# (height, width) of primary and reference: odd, of other shapes, larger, smaller and equal
SIZES = [
    ((301, 417), (640, 480)),
    ((640, 480), (97, 640)),
    ((97, 640), (301, 417)),
    ((480, 640), (211, 173)),
    ((301, 417), (301, 417)),
]
CHANNELS = {"HW": None, "HW1": 1, "HW3": 3, "HW4": 4, "HW7": 7}


class Reference(Sequence):
    """What a user may hand over: any sequence of samples, which may name the format of its boxes."""

    def __init__(self, samples: list[dict[str, Any]], bbox_format: str | None = None) -> None:
        self.samples = samples
        if bbox_format is not None:
            self.bbox_format = bbox_format

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.samples[index]


# --- real samples, cut to size ------------------------------------------------------------------------------------


@functools.cache
def dataset() -> Sequence[dict[str, Any]]:
    return sample_dataset()


def real_sample(index: int, height: int, width: int, *, weights: str = "given") -> dict[str, Any]:
    """A blood-cell image, cropped and then stretched to a size; boxes lie at least half a pixel inside.

    Args:
        index: which image.
        height: rows, cropped where the image has more, stretched where it has fewer.
        width: the same for the columns.
        weights: "given" for weights between 0.2 and 1, as pseudo-labels have them; "ones"; "absent".
    """
    source = dataset()[index]
    image, boxes = source["image"], np.asarray(source["bboxes"], dtype=np.float64)
    rows, columns = min(height, image.shape[0]), min(width, image.shape[1])
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    crop = np.ascontiguousarray(image[top : top + rows, left : left + columns])

    boxes = (boxes - (left, top, left, top)).clip(0.5, np.array([columns, rows, columns, rows]) - 0.5)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= 4).all(axis=1)
    assert kept.any(), "choose an image that has a box in this crop"
    boxes = boxes[kept] * (np.array([width, height, width, height]) / (columns, rows, columns, rows))

    sample = {
        "image": cv2.resize(crop, (width, height)) if crop.shape[:2] != (height, width) else crop,
        "bboxes": boxes.astype(np.float32),
        "labels": [f"{label} {index}" for label, keep in zip(source["labels"], kept, strict=True) if keep],
    }
    if weights == "given":
        sample["mixup_weight"] = np.random.default_rng(index).uniform(0.2, 1, len(boxes)).astype(np.float32)
    elif weights == "ones":
        sample["mixup_weight"] = np.ones(len(boxes), dtype=np.float32)
    return sample


def small_real_sample(index: int, size: tuple[int, int]) -> dict[str, Any]:
    sample = real_sample(index, 480, 640)
    height, width = size
    scale = np.array([width / 640, height / 480, width / 640, height / 480])
    return sample | {
        "image": cv2.resize(sample["image"], (width, height)),
        "bboxes": (sample["bboxes"] * scale).astype(np.float32),
    }


def small_pair() -> tuple[dict[str, Any], dict[str, Any]]:
    return small_real_sample(0, (67, 89)), small_real_sample(1, (103, 59))


def with_channels(sample: dict[str, Any], channels: int | None) -> dict[str, Any]:
    """Channels beyond the third are the mirrored ones: each differs from all others."""
    image = sample["image"]
    if channels is None:
        image = image[:, :, 1]
    else:
        image = np.concatenate([image, image[:, ::-1], image[::-1]], axis=2)[:, :, :channels]
    return sample | {"image": np.ascontiguousarray(image)}


def as_float32(sample: dict[str, Any], low: float = 0.0, high: float = 1.0) -> dict[str, Any]:
    return sample | {"image": sample["image"].astype(np.float32) / np.float32(255) * (high - low) + low}


def in_format(sample: dict[str, Any], bbox_format: str) -> dict[str, Any]:
    size = sample["image"].shape[:2]
    boxes = [from_pixels(box, bbox_format, *size) for box in sample["bboxes"]]
    return sample | {"bboxes": np.array(boxes, dtype=np.float32).reshape(-1, 4)}


def with_masks_and_keypoints(sample: dict[str, Any], *, stacked: bool, dtype: type = np.uint8) -> dict[str, Any]:
    """A semantic mask, one instance mask a box, and the centre of each box as a keypoint."""
    semantic = np.zeros(sample["image"].shape[:2], dtype=dtype)
    instances = []
    for number, (x_min, y_min, x_max, y_max) in enumerate(sample["bboxes"].round().astype(int), start=1):
        instance = np.zeros_like(semantic)
        instance[y_min:y_max, x_min:x_max] = 1
        semantic[y_min:y_max, x_min:x_max] = number
        instances.append(instance)
    return sample | {
        "mask": semantic,
        "masks": np.stack(instances) if stacked else instances,
        "keypoints": ((sample["bboxes"][:, :2] + sample["bboxes"][:, 2:]) / 2).astype(np.float32),
        "keypoint_labels": [f"centre of {label}" for label in sample["labels"]],
    }


# --- the pipeline, and what it has to give ------------------------------------------------------------------------


def compose(
    reference: Sequence[dict[str, Any]], ratio: float, *, bbox_format: str | None = "pascal_voc", **options: Any
) -> A.Compose:
    bbox_params = A.BboxParams(bbox_format, label_fields=LABEL_FIELDS) if bbox_format else None
    return A.Compose([MixUp(reference, ratio_range=(ratio, ratio), p=1.0, **options)], bbox_params=bbox_params)


def keypoint_params(*, remove_invisible: bool) -> A.KeypointParams:
    with warnings.catch_warnings():
        # AlbumentationsX warns that label fields are for swapping labels; they are also what carries labels along.
        warnings.simplefilter("ignore", UserWarning)
        return A.KeypointParams("xy", label_fields=["keypoint_labels"], remove_invisible=remove_invisible)


def fresh(sample: dict[str, Any]) -> dict[str, Any]:
    return {key: copy.deepcopy(value) for key, value in sample.items()}


def agree(
    primary: dict[str, Any],
    reference: dict[str, Any],
    ratio: float,
    fit_mode: str = "contain",
    *,
    image_tolerance: float = 1.0,
    primary_format: str = "pascal_voc",
    reference_format: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Run both, raise where they differ, and return what the transform gave."""
    assert not rounding_is_ambiguous(primary["image"].shape[:2], reference["image"].shape[:2], fit_mode)
    pipeline = compose(
        Reference([reference], reference_format), ratio, bbox_format=primary_format, fit_mode=fit_mode, **options
    )
    output = pipeline(**fresh(primary))
    expected = mix(
        primary,
        reference,
        ratio,
        fit_mode,
        bbox_format_primary=primary_format,
        bbox_format_reference=reference_format or primary_format,
        **options,
    )
    assert disagreements(output, expected, primary_format, image_tolerance=image_tolerance) == []
    assert_sources_keep_their_share(output, expected, primary, reference, ratio=ratio, options=options)
    return output


def assert_sources_keep_their_share(
    output: dict[str, Any],
    expected: dict[str, Any],
    primary: dict[str, Any],
    reference: dict[str, Any],
    *,
    ratio: float,
    options: dict[str, Any],
) -> None:
    """Where no box was dropped: the weights of each source sum to its share of what came in."""
    boxes_in = len(primary["bboxes"]) + len(reference["bboxes"])
    if len(expected["sources"]) != boxes_in or options.get("weighting") == "none":
        return
    weights = np.asarray(output["mixup_weight"], dtype=np.float64)
    for sample, share, rows in (
        (primary, ratio, slice(None, len(primary["bboxes"]))),
        (reference, 1 - ratio, slice(len(primary["bboxes"]), None)),
    ):
        came_in = sample.get("mixup_weight", np.ones(len(sample["bboxes"])))
        assert weights[rows].sum() == pytest.approx(share * np.sum(came_in, dtype=np.float64), abs=1e-6 * boxes_in)


def pair(
    sizes: tuple[tuple[int, int], tuple[int, int]] = SIZES[0], *, reference_weights: str = "given"
) -> tuple[dict[str, Any], dict[str, Any]]:
    return real_sample(0, *sizes[0]), real_sample(1, *sizes[1], weights=reference_weights)


# --- pixels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS.keys())
@pytest.mark.parametrize("fit_mode", FIT_MODES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_uint8(sizes: tuple[tuple[int, int], tuple[int, int]], fit_mode: str, channels: int | None) -> None:
    primary, reference = (with_channels(sample, channels) for sample in pair(sizes))
    ratio = RATIOS[(SIZES.index(sizes) + FIT_MODES.index(fit_mode)) % len(RATIOS)]
    agree(primary, reference, ratio, fit_mode, fill=114)


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS.keys())
@pytest.mark.parametrize("fit_mode", FIT_MODES)
@pytest.mark.parametrize("sizes", SIZES[:3], ids=str)
def test_float32(sizes: tuple[tuple[int, int], tuple[int, int]], fit_mode: str, channels: int | None) -> None:
    primary, reference = (as_float32(with_channels(sample, channels)) for sample in pair(sizes))
    ratio = RATIOS[(SIZES.index(sizes) + FIT_MODES.index(fit_mode) + 1) % len(RATIOS)]
    agree(primary, reference, ratio, fit_mode, fill=0.25, image_tolerance=1e-5)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_every_ratio_in_every_fit_mode(fit_mode: str, ratio: float) -> None:
    agree(*pair(SIZES[0]), ratio, fit_mode)
    agree(*pair(SIZES[2]), ratio, fit_mode, fill=255)


def test_float32_is_not_clipped() -> None:
    primary, reference = (as_float32(sample, -3, 5) for sample in pair())
    output = agree(primary, reference, 0.731, fill=-7.5, image_tolerance=1e-5 * 8)
    assert output["image"].min() < -1
    assert output["image"].max() > 1


@pytest.mark.parametrize("ratio", RATIOS)
def test_uint8_is_rounded_to_the_nearest(ratio: float) -> None:
    # images of one size: no resampling, so half a grey level is all that rounding may cost
    agree(*pair(SIZES[4]), ratio, image_tolerance=0.5 + 1e-4)


def test_uint8_is_rounded_to_the_nearest_for_every_pair_of_values() -> None:
    a, b = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for ratio in (0.1, 0.3, 0.45, 0.5, 0.731, 0.999):
        output = compose([{"image": b}], ratio, bbox_format=None)(image=a)
        exact = ratio * a.astype(np.float64) + (1 - ratio) * b
        assert np.abs(output["image"] - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("fit_mode", FIT_MODES)
@pytest.mark.parametrize(
    ("channels", "fill"), [(3, (10, 200, 90)), (4, (1, 2, 3, 255)), (7, (0, 40, 80, 120, 160, 200, 240)), (1, 77)]
)
def test_fill_per_channel(channels: int, fill: int | tuple[int, ...], fit_mode: str) -> None:
    primary, reference = (with_channels(sample, channels) for sample in pair(SIZES[1]))
    agree(primary, reference, 0.3, fit_mode, fill=fill)
    scaled = tuple(value / 255 for value in fill) if isinstance(fill, tuple) else fill / 255
    agree(as_float32(primary), as_float32(reference), 0.3, fit_mode, fill=scaled, image_tolerance=1e-5)


@pytest.mark.parametrize("channels", [3, 7])
@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch"])
@pytest.mark.parametrize(
    "interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4]
)
def test_interpolation(interpolation: int, fit_mode: str, channels: int) -> None:
    primary, reference = (with_channels(sample, channels) for sample in pair(SIZES[0]))
    # OpenCV's own bicubic grey levels differ by one between one channel at a time and seven together
    allowed = 1.5 if (interpolation, channels) == (cv2.INTER_CUBIC, 7) else 1.0
    agree(primary, reference, 0.3, fit_mode, interpolation=interpolation, image_tolerance=allowed)
    agree(reference, primary, 0.3, fit_mode, interpolation=interpolation, image_tolerance=allowed)


@pytest.mark.parametrize("channels", [130, 600])
@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_more_channels_than_opencv_takes(fit_mode: str, channels: int) -> None:
    # an OpenCV array has at most 128 channels (512 before version 5); a hyperspectral image may have more
    rng = np.random.default_rng(0)
    primary, reference = (
        {"image": rng.integers(0, 256, (*size, channels)).astype(np.uint8)} for size in ((13, 17), (31, 23))
    )
    for one, other in ((primary, reference), (reference, primary)):
        output = compose([other], 0.3, bbox_format=None, fit_mode=fit_mode)(**fresh(one))
        assert disagreements(output, mix(one, other, 0.3, fit_mode)) == []


# --- boxes and weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference_format", BBOX_FORMATS)
@pytest.mark.parametrize("primary_format", BBOX_FORMATS)
def test_box_formats_of_pipeline_and_reference(primary_format: str, reference_format: str) -> None:
    for sizes, fit_mode in zip(SIZES, FIT_MODES, strict=False):
        primary, reference = pair(sizes)
        primary, reference = in_format(primary, primary_format), in_format(reference, reference_format)
        agree(primary, reference, 0.3, fit_mode, primary_format=primary_format, reference_format=reference_format)


@pytest.mark.parametrize("bbox_format", BBOX_FORMATS)
def test_reference_without_a_format_is_in_the_pipelines(bbox_format: str) -> None:
    primary, reference = (in_format(sample, bbox_format) for sample in pair())
    agree(primary, reference, 0.731, primary_format=bbox_format)


@pytest.mark.parametrize("bbox_format", BBOX_FORMATS)
@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_reference_boxes_on_the_border(fit_mode: str, bbox_format: str) -> None:
    # float32 yolo boxes that touch the border come back as -3e-8 or 1.0000001; no box may be lost or refused for that
    for width in (417, 173, 640):
        primary, reference = pair(((301, 417), (301, width)))
        reference["bboxes"] = np.array(
            [[0, 0, width, 301], [0, 0, 31.7, 17.3], [width - 33.3, 301 - 11.1, width, 301], [0, 100.1, width, 171.7]],
            dtype=np.float32,
        )
        reference["labels"] = ["whole", "top left", "bottom right", "band"]
        reference["mixup_weight"] = np.ones(4, dtype=np.float32)
        agree(
            in_format(primary, bbox_format),
            in_format(reference, bbox_format),
            0.3,
            fit_mode,
            primary_format=bbox_format,
        )


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_cover_drops_only_the_boxes_that_are_gone(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    primary, reference = pair(sizes)
    output = agree(primary, reference, 0.5, "cover")
    assert len(primary["bboxes"]) < len(output["bboxes"]) <= len(primary["bboxes"]) + len(reference["bboxes"])


def test_cover_drops_boxes_of_a_real_image() -> None:
    primary, reference = pair(SIZES[1])
    output = agree(primary, reference, 0.5, "cover")
    assert len(output["bboxes"]) < len(primary["bboxes"]) + len(reference["bboxes"])


@pytest.mark.parametrize("reference_weights", ["given", "ones", "absent"])
@pytest.mark.parametrize("weighting", ["ratio", "none"])
@pytest.mark.parametrize("ratio", RATIOS)
def test_weights(ratio: float, weighting: str, reference_weights: str) -> None:
    primary, reference = pair(SIZES[4], reference_weights=reference_weights)
    output = agree(primary, reference, ratio, weighting=weighting)
    assert len(output["bboxes"]) == len(primary["bboxes"]) + len(reference["bboxes"])


@pytest.mark.parametrize(("weighting", "min_weight"), [("ratio", 0.2), ("ratio", 0.45), ("none", 0.6), ("ratio", 1.0)])
@pytest.mark.parametrize("ratio", [0.3, 0.5, 1.0])
def test_min_weight(ratio: float, weighting: str, min_weight: float) -> None:
    primary, reference = pair()
    output = agree(primary, reference, ratio, weighting=weighting, min_weight=min_weight)
    assert len(output["bboxes"]) < len(primary["bboxes"]) + len(reference["bboxes"])


def test_weights_compose_over_two_mixups() -> None:
    first, second, third = (real_sample(index, 301, 417) for index in range(3))
    pipeline = A.Compose(
        [
            MixUp(Reference([second]), ratio_range=(0.731, 0.731), p=1.0),
            MixUp(Reference([third]), ratio_range=(0.3, 0.3), p=1.0),
        ],
        bbox_params=A.BboxParams("pascal_voc", label_fields=LABEL_FIELDS),
    )
    once = mix(first, second, 0.731)
    twice = mix(once, third, 0.3) | {"image_dtype": np.uint8}
    assert disagreements(pipeline(**fresh(first)), twice) == []


@pytest.mark.parametrize("empty", ["primary", "reference", "both"])
@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_without_boxes(fit_mode: str, empty: str) -> None:
    primary, reference = pair()
    for name, sample in (("primary", primary), ("reference", reference)):
        if empty in (name, "both"):
            sample |= {"bboxes": np.zeros((0, 4), np.float32), "labels": [], "mixup_weight": np.zeros(0, np.float32)}
    agree(primary, reference, 0.3, fit_mode)


# --- masks and keypoints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stacked", [True, False], ids=["array of masks", "list of masks"])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_masks_and_keypoints(fit_mode: str, ratio: float, stacked: bool) -> None:
    sizes = SIZES[FIT_MODES.index(fit_mode)]
    # the reference in the other container: what comes out is what the primary was
    primary = with_masks_and_keypoints(real_sample(0, *sizes[0]), stacked=stacked)
    reference = with_masks_and_keypoints(real_sample(1, *sizes[1]), stacked=not stacked)
    pipeline = A.Compose(
        [MixUp(Reference([reference]), ratio_range=(ratio, ratio), fit_mode=fit_mode, fill_mask=200, p=1.0)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=LABEL_FIELDS),
        keypoint_params=keypoint_params(remove_invisible=False),
    )
    output = pipeline(**fresh(primary))
    assert disagreements(output, mix(primary, reference, ratio, fit_mode, fill_mask=200)) == []
    assert isinstance(output["masks"], np.ndarray if stacked else list)
    assert {mask.dtype for mask in output["masks"]} == {output["mask"].dtype} == {np.dtype(np.uint8)}


def test_cover_leaves_cropped_keypoints_to_the_pipeline() -> None:
    primary, reference = (with_masks_and_keypoints(sample, stacked=True) for sample in pair(SIZES[1]))
    pipeline = A.Compose(
        [MixUp(Reference([reference]), ratio_range=(0.3, 0.3), fit_mode="cover", p=1.0)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=LABEL_FIELDS),
        keypoint_params=keypoint_params(remove_invisible=True),
    )
    expected = mix(primary, reference, 0.3, "cover")
    inside = ((expected["keypoints"] >= 0) & (expected["keypoints"] < (480, 640))).all(axis=1)
    assert not inside.all()
    expected["keypoints"] = expected["keypoints"][inside]
    expected["keypoint_labels"] = [
        label for label, keep in zip(expected["keypoint_labels"], inside, strict=True) if keep
    ]
    assert disagreements(pipeline(**fresh(primary)), expected) == []


@pytest.mark.parametrize("channels", [None, 1, 2, 5])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.int64, np.float32])
def test_mask_dtypes_and_channels(dtype: type, channels: int | None) -> None:
    for fit_mode in FIT_MODES:
        primary, reference = (with_masks_and_keypoints(sample, stacked=True, dtype=dtype) for sample in small_pair())
        primary, reference = (
            {
                "image": sample["image"],
                "mask": with_channels({"image": np.stack([sample["mask"]] * 3, axis=-1)}, channels)["image"],
                "masks": sample["masks"],
            }
            for sample in (primary, reference)
        )
        pipeline = compose([reference], 0.3, bbox_format=None, fit_mode=fit_mode, fill_mask=1)
        output = pipeline(**fresh(primary))
        assert disagreements(output, mix(primary, reference, 0.3, fit_mode, fill_mask=1)) == []
        assert output["mask"].dtype == output["masks"].dtype == dtype


def test_mask_interpolation() -> None:
    primary, reference = pair()
    # an image as a mask: between its values bilinear and nearest differ
    primary, reference = ({"image": side["image"], "mask": side["image"][:, :, 0]} for side in (primary, reference))
    for interpolation in (cv2.INTER_NEAREST, cv2.INTER_LINEAR):
        output = compose([reference], 0.3, bbox_format=None, mask_interpolation=interpolation)(**fresh(primary))
        assert disagreements(output, mix(primary, reference, 0.3, mask_interpolation=interpolation)) == []


# --- frames and additional images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_frames_all_have_the_same_partner(fit_mode: str) -> None:
    primary, partner = (sample["image"] for sample in small_pair())
    frames = np.stack([primary, primary[::-1], 255 - primary])
    output = compose([{"image": partner}], 0.3, bbox_format=None, fit_mode=fit_mode)(image=primary, images=frames)
    assert disagreements(output, mix({"image": primary}, {"image": partner}, 0.3, fit_mode)) == []
    assert len(output["images"]) == len(frames)
    for frame, mixed in zip(frames, output["images"], strict=True):
        assert disagreements({"image": mixed}, mix({"image": frame}, {"image": partner}, 0.3, fit_mode)) == []


@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_additional_images_are_mixed_with_their_own_kind(fit_mode: str) -> None:
    primary, reference = (
        {"image": sample["image"], "depth": 255 - sample["image"][:, :, :1]} for sample in small_pair()
    )
    mixup = MixUp([reference], ratio_range=(0.3, 0.3), fit_mode=fit_mode, p=1.0)
    output = A.Compose([mixup], additional_targets={"depth": "image"})(**fresh(primary))
    for key in ("image", "depth"):
        expected = mix({"image": primary[key]}, {"image": reference[key]}, 0.3, fit_mode)
        assert disagreements({"image": output[key]}, expected) == []


# --- properties, on small arrays of odd shapes --------------------------------------------------------------------

small = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
sides = st.integers(1, 23)
any_size = st.tuples(sides, sides)
fit_modes = st.sampled_from(FIT_MODES)
seeds = st.integers(0, 2**32 - 1)
channel_counts = st.sampled_from([None, 1, 2, 3, 4, 5, 7])
dtypes = st.sampled_from([np.uint8, np.float32])
ratios = st.sampled_from(RATIOS) | st.floats(0, 1, width=32)


def small_sample(seed: int, size: tuple[int, int], channels: int | None, dtype: type) -> dict[str, Any]:
    """Noise, with up to four boxes of at least an eighth of each side, some of them touching the border."""
    rng = np.random.default_rng(seed)
    shape = size if channels is None else (*size, channels)
    noise = rng.integers(0, 256, shape).astype(np.uint8)
    count = int(rng.integers(0, 5))
    low = rng.integers(0, 8, (count, 2))
    high = rng.integers(low + 1, 9)
    height, width = size
    return {
        "image": noise if dtype == np.uint8 else noise.astype(np.float32) / 255,
        "bboxes": (np.hstack([low, high]) / 8 * (width, height, width, height)).astype(np.float32),
        "labels": [f"{seed}-{number}" for number in range(count)],
        "mixup_weight": rng.uniform(0.2, 1, count).astype(np.float32),
    }


def tolerance(dtype: type) -> float:
    return 1.0 if dtype == np.uint8 else 1e-5


@small
@given(
    seed=seeds,
    primary_size=any_size,
    reference_size=any_size,
    fit_mode=fit_modes,
    channels=channel_counts,
    dtype=dtypes,
    ratio=ratios,
)
def test_any_shape_agrees(
    *,
    seed: int,
    primary_size: tuple[int, int],
    reference_size: tuple[int, int],
    fit_mode: str,
    channels: int | None,
    dtype: type,
    ratio: float,
) -> None:
    assume(not rounding_is_ambiguous(primary_size, reference_size, fit_mode))
    primary = small_sample(seed, primary_size, channels, dtype)
    reference = small_sample(seed + 1, reference_size, channels, dtype)
    agree(primary, reference, ratio, fit_mode, image_tolerance=tolerance(dtype), fill=1)


@small
@given(
    seed=seeds,
    primary_size=any_size,
    reference_size=any_size,
    fit_mode=fit_modes,
    channels=channel_counts,
    dtype=dtypes,
)
def test_ratio_1_is_the_primary(
    *,
    seed: int,
    primary_size: tuple[int, int],
    reference_size: tuple[int, int],
    fit_mode: str,
    channels: int | None,
    dtype: type,
) -> None:
    primary = small_sample(seed, primary_size, channels, dtype)
    reference = small_sample(seed + 1, reference_size, channels, dtype)
    image = compose([reference], 1.0, fit_mode=fit_mode, fill=1)(**fresh(primary))["image"]
    height, width = primary_size
    assert np.array_equal(image[:height, :width], primary["image"])
    if fit_mode == "canvas":
        assert image.shape[:2] == tuple(np.maximum(primary_size, reference_size))
        assert (image[height:] == 1).all()
        assert (image[:, width:] == 1).all()
    else:
        assert image.shape == primary["image"].shape


@small
@given(
    seed=seeds,
    size=any_size,
    fit_mode=fit_modes,
    channels=channel_counts,
    dtype=dtypes,
)
def test_ratio_0_is_the_reference(
    *, seed: int, size: tuple[int, int], fit_mode: str, channels: int | None, dtype: type
) -> None:
    primary = small_sample(seed, size, channels, dtype)
    reference = small_sample(seed + 1, size, channels, dtype)
    image = compose([reference], 0.0, fit_mode=fit_mode)(**fresh(primary))["image"]
    assert np.array_equal(image, reference["image"])


@small
@given(
    seed=seeds,
    primary_size=any_size,
    reference_size=any_size,
    fit_mode=fit_modes,
    channels=channel_counts,
    dtype=dtypes,
)
def test_ratio_0_is_the_fitted_reference(
    *,
    seed: int,
    primary_size: tuple[int, int],
    reference_size: tuple[int, int],
    fit_mode: str,
    channels: int | None,
    dtype: type,
) -> None:
    assume(not rounding_is_ambiguous(primary_size, reference_size, fit_mode))
    primary = small_sample(seed, primary_size, channels, dtype)
    reference = small_sample(seed + 1, reference_size, channels, dtype)
    agree(primary, reference, 0.0, fit_mode, image_tolerance=tolerance(dtype), fill=1)


@small
@given(
    seed=seeds,
    size=any_size,
    other_size=any_size,
    fit_mode=fit_modes,
    channels=channel_counts,
    dtype=dtypes,
    sixtyfourths=st.integers(0, 64),
)
def test_swapping_images_and_shares_changes_no_pixel(
    *,
    seed: int,
    size: tuple[int, int],
    other_size: tuple[int, int],
    fit_mode: str,
    channels: int | None,
    dtype: type,
    sixtyfourths: int,
) -> None:
    # the canvas does not know which image came first, whatever their sizes; the other modes need equal ones.
    # Of a ratio in 64ths, 1 - ratio is exact, and so are the products: the pixels have to be the same to the bit.
    if fit_mode != "canvas":
        other_size = size
    ratio = sixtyfourths / 64
    one = {"image": small_sample(seed, size, channels, dtype)["image"]}
    other = {"image": small_sample(seed + 1, other_size, channels, dtype)["image"]}
    forth = compose([other], ratio, bbox_format=None, fit_mode=fit_mode, fill=1)(**fresh(one))["image"]
    back = compose([one], 1 - ratio, bbox_format=None, fit_mode=fit_mode, fill=1)(**fresh(other))["image"]
    assert forth.shape == back.shape
    if dtype == np.uint8:
        assert np.array_equal(forth, back)
    else:
        np.testing.assert_allclose(forth, back, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ratio", RATIOS)
def test_swapping_real_images(ratio: float) -> None:
    one, other = ({"image": sample["image"]} for sample in pair(SIZES[4]))
    forth = compose([other], ratio, bbox_format=None)(**fresh(one))["image"]
    back = compose([one], 1 - ratio, bbox_format=None)(**fresh(other))["image"]
    # 1 - (1 - 0.3) is not 0.3: where the exact value is half-way between two grey levels, either one is right
    exact = mix(one, other, ratio)["image"]
    half_way = np.abs(exact % 1 - 0.5) < 1e-4
    assert np.array_equal(forth[~half_way], back[~half_way])
    assert np.abs(forth.astype(int) - back).max() <= 1


@small
@given(
    seed=seeds,
    primary_size=any_size,
    reference_size=any_size,
    fit_mode=st.sampled_from(["contain", "stretch", "canvas"]),
    ratio=ratios,
    weighting=st.sampled_from(["ratio", "none"]),
)
def test_no_box_is_lost(
    *,
    seed: int,
    primary_size: tuple[int, int],
    reference_size: tuple[int, int],
    fit_mode: str,
    ratio: float,
    weighting: str,
) -> None:
    primary = small_sample(seed, primary_size, 3, np.uint8)
    reference = small_sample(seed + 1, reference_size, 3, np.uint8)
    output = compose([reference], ratio, fit_mode=fit_mode, weighting=weighting)(**fresh(primary))
    assert len(output["bboxes"]) == len(primary["bboxes"]) + len(reference["bboxes"])
    assert list(output["labels"]) == primary["labels"] + reference["labels"]
    assert len(output["mixup_weight"]) == len(output["bboxes"])


# --- what is handed in stays as it is -----------------------------------------------------------------------------

LAYOUTS = ("contiguous", "strided", "mirrored", "channels first", "fortran")


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another memory layout, read-only together with the memory below."""
    if layout == "strided":
        base = np.repeat(np.repeat(array, 2, axis=0), 3, axis=1)
        view = base[::2, ::3]
    elif layout == "mirrored":
        base = array[::-1, ::-1].copy()
        view = base[::-1, ::-1]
    elif layout == "channels first" and array.ndim == 3:
        base = np.ascontiguousarray(array.transpose(2, 0, 1))
        view = base.transpose(1, 2, 0)
    elif layout == "fortran":
        base = view = np.asfortranarray(array)
    else:
        base = view = array.copy()
    base.flags.writeable = view.flags.writeable = False
    assert np.array_equal(view, array)
    return view


def frozen(sample: dict[str, Any], layout: str) -> dict[str, Any]:
    laid = {}
    for key, value in sample.items():
        if key in ("image", "mask"):
            laid[key] = laid_out(value, layout)
        elif isinstance(value, np.ndarray):
            laid[key] = laid_out(value, "contiguous")
        else:
            laid[key] = copy.deepcopy(value)
    return laid


def arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays(item)
    elif isinstance(value, dict):
        yield from arrays(list(value.values()))


def assert_same(left: Any, right: Any) -> None:
    """Equal to the bit, in type and in memory layout."""
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert (left.dtype, left.shape, left.strides) == (right.dtype, right.shape, right.strides)
        assert left.tobytes() == right.tobytes()
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def full_pipeline(reference: dict[str, Any], ratio: float, fit_mode: str) -> A.Compose:
    return A.Compose(
        [MixUp(Reference([reference]), ratio_range=(ratio, ratio), fit_mode=fit_mode, p=1.0)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=LABEL_FIELDS),
        keypoint_params=keypoint_params(remove_invisible=False),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("equal_sizes", [True, False])
def test_read_only_views_go_in(equal_sizes: bool, ratio: float, layout: str, dtype: type) -> None:
    sizes = ((67, 89), (67, 89)) if equal_sizes else ((67, 89), (103, 59))
    samples = []
    for index, size in enumerate(sizes):
        sample = with_masks_and_keypoints(small_real_sample(index, size), stacked=True)
        samples.append(frozen(sample if dtype == np.uint8 else as_float32(sample), layout))
    primary, reference = samples
    for fit_mode in FIT_MODES:
        output = full_pipeline(reference, ratio, fit_mode)(**primary)
        assert disagreements(output, mix(primary, reference, ratio, fit_mode), image_tolerance=tolerance(dtype)) == []


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("fit_mode", FIT_MODES)
def test_nothing_handed_in_is_changed(fit_mode: str, ratio: float, writeable: bool) -> None:
    for sizes in (((67, 89), (67, 89)), ((67, 89), (103, 59))):
        primary, reference = (
            with_masks_and_keypoints(small_real_sample(index, size), stacked=writeable)
            for index, size in enumerate(sizes)
        )
        if not writeable:
            primary, reference = frozen(primary, "strided"), frozen(reference, "mirrored")
        # each array's own copy keeps its strides, so that the layout can be compared too
        before = copy.deepcopy((primary, reference))
        pipeline = full_pipeline(reference, ratio, fit_mode)
        for _ in range(2):
            output = pipeline(**primary)
        assert_same_values((primary, reference), before)
        # what comes out may be written to by the next transform, so it must be no window on the reference
        for given_array in arrays(reference):
            assert not any(np.shares_memory(given_array, made) for made in arrays(output))


def assert_same_values(left: tuple[dict[str, Any], ...], right: tuple[dict[str, Any], ...]) -> None:
    for one, other in zip(left, right, strict=True):
        contiguous = [
            {
                key: np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
                for key, value in side.items()
            }
            for side in (one, other)
        ]
        assert_same(*contiguous)


def test_the_next_transform_does_not_write_into_the_reference() -> None:
    primary, reference = pair(SIZES[4])
    before = copy.deepcopy(reference)
    output = agree(primary, reference, 0.0)
    output["image"][...] = 0
    output["bboxes"][...] = 0
    assert_same(reference, before)


# --- that the comparison can fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"ratio": 0.32}, "mixup_weight"),
        ({"ratio": 0.32}, "image"),
        ({"fit_mode": "cover"}, "bboxes"),
        ({"fit_mode": "stretch"}, "bboxes"),
        ({"fit_mode": "canvas"}, "image"),
        ({"fill": 5}, "image"),
        ({"interpolation": cv2.INTER_NEAREST}, "image"),
        ({"weighting": "none"}, "mixup_weight"),
        ({"min_weight": 0.2}, "labels"),
        ({"bbox_format_reference": "coco"}, "bboxes"),
    ],
    ids=str,
)
def test_a_wrong_expectation_is_noticed(other: dict[str, Any], named: str) -> None:
    primary, reference = pair()
    output = compose([reference], 0.3)(**fresh(primary))
    assert disagreements(output, mix(primary, reference, 0.3)) == []
    wrong = mix(primary, reference, **({"ratio": 0.3} | other))
    assert any(line.startswith(named) for line in disagreements(output, wrong))
