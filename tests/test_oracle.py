"""The oracle against numbers worked out by hand, and the proof that both it and its comparison can fail."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests import oracle
from tests.oracle import Placement, disagreements, from_pixels, mix, place_reference, rounding_is_ambiguous, to_pixels

BLOCKS = np.array([[10, 20], [30, 40]], dtype=np.uint8)


def sample(image: np.ndarray, bboxes: list[list[float]], labels: list[str], **more: object) -> dict:
    return {"image": image, "bboxes": np.array(bboxes, dtype=np.float64).reshape(-1, 4), "labels": labels, **more}


def gray(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width), value, dtype=np.uint8)


# --- where the reference goes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canvas_hw", "source_hw", "fit_mode", "expected"),
    [
        # scale min(4/2, 6/2) = 2: 4x4, (6 - 4) // 2 = 1 column left free on the left, 1 on the right
        ((4, 6), (2, 2), "contain", Placement(4, 4, 0, 1)),
        # scale min(2/2, 5/2) = 1: 2x2, 3 columns are free: 1 on the left, the odd one more on the right
        ((2, 5), (2, 2), "contain", Placement(2, 2, 0, 1)),
        # scale min(5/3, 7/5) = 1.4: 3 * 1.4 = 4.2 is nearest to 4; 1 row is free, at the bottom
        ((5, 7), (3, 5), "contain", Placement(4, 7, 0, 0)),
        # scale min(10/4, 7/5) = 1.4: 4 * 1.4 = 5.6 is nearest to 6 (not 5); (10 - 6) // 2 = 2
        ((10, 7), (4, 5), "contain", Placement(6, 7, 2, 0)),
        # scale min(3/1, 3/100) = 0.03: a side of 0.03 pixels becomes 1; (3 - 1) // 2 = 1
        ((3, 3), (1, 100), "contain", Placement(1, 3, 1, 0)),
        # scale max(4/2, 6/2) = 3: 6x6, (6 - 4) // 2 = 1 row is cropped at the top, 1 at the bottom
        ((4, 6), (2, 2), "cover", Placement(6, 6, -1, 0)),
        # scale 3 again: 3 rows are cropped: 1 at the top, the odd one more at the bottom
        ((3, 6), (2, 2), "cover", Placement(6, 6, -1, 0)),
        # scale max(5/3, 7/5) = 5/3: 5 * 5/3 = 8.33 is nearest to 8; (8 - 7) // 2 = 0
        ((5, 7), (3, 5), "cover", Placement(5, 8, 0, 0)),
        ((5, 7), (3, 4), "stretch", Placement(5, 7, 0, 0)),
        ((5, 7), (3, 7), "canvas", Placement(3, 7, 0, 0)),
    ],
)
def test_place_reference(
    canvas_hw: tuple[int, int], source_hw: tuple[int, int], fit_mode: str, expected: Placement
) -> None:
    assert place_reference(canvas_hw, source_hw, fit_mode) == expected
    assert not rounding_is_ambiguous(canvas_hw, source_hw, fit_mode)


def test_an_exact_half_is_ambiguous() -> None:
    # scale min(9/2, 7/2) = 3.5 and 1 * 3.5 = 3.5; as "stretch" nothing is rounded
    assert rounding_is_ambiguous((9, 7), (1, 2), "contain")
    assert not rounding_is_ambiguous((9, 7), (1, 2), "stretch")


# --- pixels -------------------------------------------------------------------------------------------------------


def test_contain_by_hand() -> None:
    # The reference doubles to 4x4 at column 1; columns 0 and 5 hold fill.
    # 0.25 * 100 + 0.75 * {8, 10, 20, 30, 40} = {31, 32.5, 40, 47.5, 55}
    mixed = mix(
        sample(gray(4, 6, 100), [[0, 1, 6, 4]], ["cat"]),
        sample(BLOCKS, [[0, 0, 1, 2]], ["dog"]),
        0.25,
        "contain",
        fill=8,
        interpolation=cv2.INTER_NEAREST,
    )
    upper, lower = [31, 32.5, 32.5, 40, 40, 31], [31, 47.5, 47.5, 55, 55, 31]
    assert mixed["image"].tolist() == [upper, upper, lower, lower]
    # twice (0, 0, 1, 2) is (0, 0, 2, 4); one column further it is (1, 0, 3, 4)
    assert mixed["bboxes"].tolist() == [[0, 1, 6, 4], [1, 0, 3, 4]]
    assert mixed["labels"] == ["cat", "dog"]
    assert mixed["mixup_weight"] == [0.25, 0.75]
    assert mixed["sources"] == ["primary", "reference"]


def test_bilinear_by_hand() -> None:
    # A row (0, 100) stretched to 4: the centres of the new pixels lie at -0.25, 0.25, 0.75, 1.25 of the old ones.
    mixed = mix({"image": gray(1, 4, 0)}, {"image": np.array([[0, 100]], np.float32)}, 0.5, "stretch")
    assert mixed["image"].tolist() == [[0, 12.5, 37.5, 50]]


def test_cover_by_hand() -> None:
    # The reference triples to 6x6; its first and last row are cropped: rows 1 to 4 remain, of block rows 0, 0, 1, 1.
    # 0.5 * 100 + 0.5 * {10, 20, 30, 40} = {55, 60, 65, 70}
    mixed = mix(
        sample(gray(4, 6, 100), [], []),
        sample(BLOCKS, [[0, 0, 1, 0.25], [1, 1, 2, 2], [0, 0, 1, 0.5]], ["gone", "cut below", "cut above"]),
        0.5,
        "cover",
        interpolation=cv2.INTER_NEAREST,
    )
    upper, lower = [55, 55, 55, 60, 60, 60], [65, 65, 65, 70, 70, 70]
    assert mixed["image"].tolist() == [upper, upper, lower, lower]
    # 3 * 0.25 - 1 = -0.25: nothing is left. (3, 3, 6, 6) goes up by 1 and is cut at 4. (0, 0, 3, 1.5) is cut at 0.
    assert mixed["bboxes"].tolist() == [[3, 2, 6, 4], [0, 0, 3, 0.5]]
    assert mixed["labels"] == ["cut below", "cut above"]


def test_canvas_by_hand() -> None:
    # 2x3 and 3x2 meet on 3x3: 0.75 * 100 + 0.25 * 60 = 90 where both are, 0.75 * 100 + 0.25 * 4 = 76 where only the
    # primary is, 0.75 * 4 + 0.25 * 60 = 18 where only the reference is, and 4 where neither is.
    mixed = mix(
        sample(gray(2, 3, 100), [[0, 0, 3, 2]], ["a"]),
        sample(gray(3, 2, 60), [[1, 1, 2, 3]], ["b"]),
        0.75,
        "canvas",
        fill=4,
    )
    assert mixed["image"].tolist() == [[90, 90, 76], [90, 90, 76], [18, 18, 4]]
    assert mixed["bboxes"].tolist() == [[0, 0, 3, 2], [1, 1, 2, 3]]


def test_stretch_and_fill_per_channel_by_hand() -> None:
    mixed = mix(
        sample(np.zeros((2, 6, 3), np.float32), [], []), sample(np.ones((1, 2, 3), np.float32), [[0, 0, 1, 1]], [""]),
        0.25, "stretch", fill=(4, 5, 6),
    )  # fmt: skip
    assert (mixed["image"] == 0.75).all()
    assert mixed["bboxes"].tolist() == [[0, 0, 3, 2]]

    # 1x2 in 3x2 leaves the first and the last row free: 0.75 * 0 + 0.25 * {4, 8, 12}
    mixed = mix(
        {"image": np.zeros((3, 2, 3), np.uint8)}, {"image": gray(1, 2, 40)[..., None].repeat(3, 2)}, 0.75,
        fill=(4, 8, 12),
    )  # fmt: skip
    assert mixed["image"].tolist() == [[[1, 2, 3]] * 2, [[10, 10, 10]] * 2, [[1, 2, 3]] * 2]


def test_boxes_have_the_scale_of_the_rounded_pixels() -> None:
    # 3x5 in 5x7 is 4x7: the scale down is 4 / 3, not 1.4, so the box of the whole image ends with the pixels
    mixed = mix(sample(gray(5, 7, 0), [], []), sample(gray(3, 5, 0), [[0, 0, 5, 3], [1, 1.5, 2, 2.25]], ["", ""]), 0.5)
    assert mixed["bboxes"].ravel().tolist() == pytest.approx([0, 0, 7, 4, 1.4, 2, 2.8, 3])


# --- boxes, weights, the other targets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bbox_format", "box"),
    [
        ("pascal_voc", [10, 20, 30, 25]),
        ("coco", [10, 20, 20, 5]),
        # of 40 wide and 50 high: 10/40, 20/50, 30/40, 25/50
        ("albumentations", [0.25, 0.4, 0.75, 0.5]),
        # centre (20/40, 22.5/50), size (20/40, 5/50)
        ("yolo", [0.5, 0.45, 0.5, 0.1]),
    ],
)
def test_box_formats_by_hand(bbox_format: str, box: list[float]) -> None:
    assert to_pixels(box, bbox_format, 50, 40) == pytest.approx([10, 20, 30, 25])
    assert from_pixels([10, 20, 30, 25], bbox_format, 50, 40) == pytest.approx(box)


def test_each_source_has_its_own_format() -> None:
    mixed = mix(
        sample(gray(50, 40, 0), [[0.5, 0.45, 0.5, 0.1]], ["yolo"]), sample(gray(50, 40, 0), [[1, 2, 3, 4]], ["coco"]),
        0.5, bbox_format_primary="yolo", bbox_format_reference="coco",
    )  # fmt: skip
    assert mixed["bboxes"].ravel().tolist() == pytest.approx([10, 20, 30, 25, 1, 2, 4, 6])


def test_weights_by_hand() -> None:
    primary = sample(gray(2, 2, 0), [[0, 0, 1, 1], [0, 0, 2, 2]], ["a", "b"], mixup_weight=[1.0, 0.5])
    reference = sample(gray(2, 2, 0), [[1, 1, 2, 2], [0, 0, 2, 1]], ["c", "d"], mixup_weight=[0.4, 0.8])
    assert mix(primary, reference, 0.75)["mixup_weight"] == pytest.approx([0.75, 0.375, 0.1, 0.2])
    assert mix(primary, reference, 0.75, weighting="none")["mixup_weight"] == [1.0, 0.5, 0.4, 0.8]
    # at 0.15 only 0.25 * 0.4 = 0.1 falls, after weighting; a weight of exactly the limit stays
    assert mix(primary, reference, 0.75, min_weight=0.15)["labels"] == ["a", "b", "d"]
    assert mix(primary, reference, 0.75, min_weight=0.375)["labels"] == ["a", "b"]
    assert mix(primary, reference, 0.75, weighting="none", min_weight=0.45)["labels"] == ["a", "b", "d"]
    del reference["mixup_weight"]
    assert mix(primary, reference, 0.75)["mixup_weight"] == [0.75, 0.375, 0.25, 0.25]


def test_keypoints_and_masks_by_hand() -> None:
    primary = {
        "image": gray(4, 6, 0), "mask": gray(4, 6, 1), "masks": [gray(4, 6, 5)],
        "keypoints": [[5, 1]], "keypoint_labels": ["nose"],
    }  # fmt: skip
    reference = {
        "image": gray(2, 2, 0), "mask": BLOCKS, "masks": [gray(2, 2, 7), BLOCKS],
        "keypoints": [[0.5, 1], [2, 2]], "keypoint_labels": ["ear", "tail"],
    }  # fmt: skip
    doubled = [[9, 10, 10, 20, 20, 9], [9, 10, 10, 20, 20, 9], [9, 30, 30, 40, 40, 9], [9, 30, 30, 40, 40, 9]]

    mixed = mix(primary, reference, 0.25, fill_mask=9)
    assert mixed["mask"].tolist() == doubled
    assert len(mixed["masks"]) == 3
    assert mixed["masks"][0].tolist() == [[5] * 6] * 4
    assert mixed["masks"][1].tolist() == [[9, 7, 7, 7, 7, 9]] * 4
    assert mixed["masks"][2].tolist() == doubled
    # twice, one column further
    shift = oracle.POINT_CENTRE  # twice as large by centres: half a pixel further
    assert mixed["keypoints"].tolist() == [[5, 1], [2 + shift, 2 + shift], [5 + shift, 4 + shift]]
    assert mixed["keypoint_labels"] == ["nose", "ear", "tail"]
    # a tie goes to the primary
    assert mix(primary, reference, 0.5)["mask"].tolist() == [[1] * 6] * 4


# --- that it can fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "replacement", "noticed_by"),
    [
        ("nearest", math.ceil, test_boxes_have_the_scale_of_the_rounded_pixels),
        ("nearest", math.floor, lambda: test_place_reference((10, 7), (4, 5), "contain", Placement(6, 7, 2, 0))),
        ("uniform_scale", lambda *_: Fraction(1), test_contain_by_hand),
        ("clip", lambda value, _limit: value, test_cover_by_hand),
        ("move_point", lambda x, y, *_: (x, y), test_keypoints_and_masks_by_hand),
        ("to_pixels", lambda box, *_: box, test_each_source_has_its_own_format),
        ("resample", lambda image, *_: image, test_cover_by_hand),
        ("place_reference", lambda _canvas, source, _mode: Placement(*source, 0, 0), test_bilinear_by_hand),
    ],
)
def test_a_broken_oracle_is_noticed(
    monkeypatch: pytest.MonkeyPatch, broken: str, replacement: Callable, noticed_by: Callable[[], None]
) -> None:
    noticed_by()
    monkeypatch.setattr(oracle, broken, replacement)
    with pytest.raises((AssertionError, ValueError)):
        noticed_by()


def answered() -> tuple[dict, dict]:
    """An answer of the oracle, and the same thing as a flawless transform would give it."""
    primary = sample(gray(4, 6, 101), [[0, 1, 6, 4]], ["cat"], mixup_weight=[0.5])
    reference = sample(BLOCKS, [[0, 0, 1, 2]], ["dog"])
    for side in (primary, reference):
        height, width = side["image"].shape
        side |= {"mask": side["image"], "masks": [side["image"]]}
        side |= {"keypoints": [[width / 2, height / 4]], "keypoint_labels": [f"k{width}"]}
    expected = mix(primary, reference, 0.25)
    output = copy.deepcopy(expected)
    output["image"] = np.rint(expected["image"]).astype(np.uint8)
    return output, expected


def test_a_right_answer_is_accepted() -> None:
    output, expected = answered()
    assert disagreements(output, expected) == []
    assert disagreements(output, expected, image_tolerance=0.5) == []


def spoil_pixel(output: dict) -> None:
    output["image"][2, 3] += 2


def spoil_nan(output: dict) -> None:
    output["image"] = output["image"].astype(np.float32)
    output["image"][0, 0] = np.nan


def spoil_box(output: dict) -> None:
    output["bboxes"][1, 2] += 0.02


def spoil_order(output: dict) -> None:
    output["labels"].reverse()


def spoil_weights(output: dict) -> None:
    output["mixup_weight"][0] += 2e-6


def spoil_count(output: dict) -> None:
    output["bboxes"] = output["bboxes"][:1]


def spoil_keypoint(output: dict) -> None:
    output["keypoints"][1, 0] -= 0.02


def spoil_keypoint_label(output: dict) -> None:
    output["keypoint_labels"][1] = "other"


def spoil_mask(output: dict) -> None:
    output["mask"][0, 0] += 1


def spoil_masks(output: dict) -> None:
    output["masks"][1][0, 0] += 1


def spoil_masks_count(output: dict) -> None:
    del output["masks"][1]


def spoil_size(output: dict) -> None:
    output["image"] = output["image"][:, :-1]


def spoil_dtype(output: dict) -> None:
    output["image"] = output["image"].astype(np.float64)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_pixel, "image[2, 3]"),
        (spoil_nan, "image[0, 0]"),
        (spoil_size, "image: shape"),
        (spoil_dtype, "image: dtype"),
        (spoil_box, "bboxes[1, 2]"),
        (spoil_count, "bboxes: shape"),
        (spoil_order, "labels"),
        (spoil_weights, "mixup_weight[0]"),
        (spoil_keypoint, "keypoints[1, 0]"),
        (spoil_keypoint_label, "keypoint_labels"),
        (spoil_mask, "mask[0, 0]"),
        (spoil_masks, "masks[1][0, 0]"),
        (spoil_masks_count, "masks: 1 of them"),
    ],
)
def test_a_wrong_answer_is_noticed(spoil: Callable[[dict], None], named: str) -> None:
    output, expected = answered()
    spoil(output)
    assert any(line.startswith(named) for line in disagreements(output, expected))


def test_truncated_pixels_are_noticed_at_half_a_grey_level() -> None:
    output, expected = answered()
    output["image"] = np.floor(expected["image"]).astype(np.uint8)
    assert disagreements(output, expected, image_tolerance=0.5)
