"""The kernels' short cuts give what the long way gives, to the bit."""

import albumentations as A
import cv2
import numpy as np
import pytest

from alb_mixup import MixUp, _backend
from alb_mixup.functional import extremes
from alb_mixup.functional.blend import blend, blend_placed
from alb_mixup.functional.geometry import FIT_MODES, Placement, are_plain, fit_image, normalize_bboxes, place
from tests.support.samples import IS_X

HW = (48, 64)
SHAPES = [(), (1,), (3,), (5,), (130,)]


def pixels(hw, channels, dtype, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (*hw, *channels))
    return values.astype(dtype)


def short_cut_of(processor, labels):
    return _backend.known_codes(_backend.known_labels(processor, "bboxes").get("labels"), labels)


def processor_of(bbox_format, **settings):
    params = A.BboxParams(bbox_format, label_fields=["labels", "mixup_weight"], **settings)
    return A.Compose([A.NoOp(p=1.0)], bbox_params=params).processors["bboxes"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", SHAPES, ids=str)
@pytest.mark.parametrize("mode", FIT_MODES)
@pytest.mark.parametrize("hw", [(48, 64), (24, 64), (48, 31), (17, 90), (96, 128), (1, 1), (200, 3)], ids=str)
def test_placed_blend_is_fit_then_blend(hw, mode, channels, dtype):
    own, other = place(HW, hw, mode)
    image, reference = pixels(HW, channels, dtype), pixels(hw, channels, dtype, seed=1)
    fills = [7.0] if channels in {(), (1,)} else [7.0, list(range(channels[0]))]
    for fill in fills:
        canvas = fit_image(image, own, fill, cv2.INTER_LINEAR)
        expected = blend(canvas, fit_image(reference, other, fill, cv2.INTER_LINEAR), 0.3)
        found = blend_placed(canvas, reference, other, 0.3, fill, cv2.INTER_LINEAR)
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)
        assert not np.shares_memory(found, image)
        assert not np.shares_memory(found, reference)


@pytest.mark.parametrize("hw", [(48, 64), (24, 64)], ids=str)
def test_placed_blend_writes_to_no_input_and_takes_any_layout(hw):
    image, reference = pixels(HW, (3,), np.uint8), pixels(hw, (3,), np.uint8, seed=1)
    kept = image.copy(), reference.copy()
    placement = place(HW, hw, "contain")[1]
    expected = blend_placed(image, reference, placement, 0.6, 9.0, cv2.INTER_LINEAR)
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(reference, kept[1])
    image.flags.writeable = reference.flags.writeable = False
    for view in (lambda a: a[::-1, ::-1].copy()[::-1, ::-1], np.asfortranarray):
        np.testing.assert_array_equal(
            blend_placed(view(image), view(reference), placement, 0.6, 9.0, cv2.INTER_LINEAR), expected
        )


@pytest.mark.parametrize("placement", [Placement(HW, (24, 32), 12, 16), Placement(HW, (96, 128), -24, -32)], ids=str)
def test_placed_blend_resizes_what_has_the_size_of_the_canvas(placement):
    """As a large photograph may, decoded at half its size."""
    image, reference = pixels(HW, (3,), np.uint8), pixels(HW, (3,), np.uint8, seed=1)
    expected = blend(image, fit_image(reference, placement, 9.0, cv2.INTER_LINEAR), 0.6)
    found = blend_placed(image, reference, placement, 0.6, 9.0, cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("target", ["image", "other", "part of a wider array"])
def test_blend_into_an_array(target):
    image, other = pixels(HW, (3,), np.uint8), pixels(HW, (3,), np.uint8, seed=1)
    expected = blend(image, other, 0.3)
    wide = np.zeros((HW[0], HW[1] + 9, 3), np.uint8)
    out = {"image": image, "other": other}.get(target, wide[:, 4 : 4 + HW[1]])
    assert blend(image, other, 0.3, out) is out
    np.testing.assert_array_equal(out, expected)
    assert not wide[:, :4].any()
    assert not wide[:, 4 + HW[1] :].any()


@pytest.mark.parametrize("bbox_format", _backend.BBOX_FORMATS)
@pytest.mark.parametrize("settings", [{}, {"filter_invalid_bboxes": True}], ids=str)
def test_plain_boxes_are_what_albumentations_makes_of_them(bbox_format, settings):
    random = np.random.default_rng(3)
    hw, processor = (347, 611), processor_of(bbox_format, **settings)
    shape = hw if IS_X else {"height": hw[0], "width": hw[1]}
    far = np.array([hw[1], hw[0]] * 2 if bbox_format in {"pascal_voc", "coco", "cxcywh"} else [1.0] * 4)
    low = random.uniform(0, 0.7, (200, 2))
    high = low + random.uniform(0.001, 0.3, (200, 2))
    corners = {
        "coco": [low, high - low], "yolo": [(low + high) / 2, high - low], "cxcywh": [(low + high) / 2, high - low],
    }.get(bbox_format, [low, high])  # fmt: skip
    rows = np.hstack([np.hstack(corners) * far, random.uniform(0, 9, (200, 2))]).astype(np.float32)
    expected = processor.check_and_convert(rows.copy(), shape, "to")
    corners = normalize_bboxes(rows, bbox_format, hw, np.empty((4, len(rows)), np.float32))
    assert are_plain(corners)
    np.testing.assert_array_equal(corners.T, expected[:, :4].astype(np.float32))


@pytest.mark.parametrize("bbox_format", _backend.BBOX_FORMATS)
@pytest.mark.parametrize("settings", [{}, {"min_area": 900.0}, {"min_width": 60}, {"max_accept_ratio": 1.5}], ids=str)
@pytest.mark.parametrize("kept", ["inside", "one across the border"])
def test_boxes_come_back_as_albumentations_returns_them(bbox_format, settings, kept):
    random = np.random.default_rng(4)
    hw, processor = (347, 611), processor_of(bbox_format, **settings)
    shape = hw if IS_X else {"height": hw[0], "width": hw[1]}
    low = random.uniform(0, 0.7, (50, 2))
    corners = np.hstack([low, low + random.uniform(0.001, 0.3, (50, 2))])
    if kept != "inside":
        corners[7] = [0.9, 0.9, 1.2, 1.1]
    rows = np.hstack([corners, random.uniform(0, 9, (50, 2))]).astype(np.float32)
    for field in ("labels", "mixup_weight"):
        processor.label_manager.process_field("bboxes", field, [1.0])
    expected = processor.filter(rows.copy(), shape)
    left, which = _backend.filtered(processor, rows.copy(), hw)
    assert len(left) == (50 if which is None else which.sum())
    coordinates, labels = _backend.from_internal(processor, left, hw, "bboxes")
    assert (len(expected) < 50) == bool(settings)
    np.testing.assert_allclose(
        coordinates, processor.check_and_convert(expected[:, :4], shape, "from"), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(labels["mixup_weight"], expected[:, 5])


@pytest.mark.parametrize(
    "box",
    [
        (-1e-6, 0, 0.5, 0.5), (0, 0, 0.5, 1.000001), (0.5, 0.5, 0.5, 0.6), (0.5, 0.5, 0.4, 0.6),
        (0.1, 0.1, 0.10005, 0.6), (np.nan, 0, 1, 1), (0, 0, 1, np.nan), (0, 0, np.inf, 1), (-np.inf, 0, 1, 1),
    ],
)  # fmt: skip
def test_other_boxes_are_left_to_albumentations(box):
    good = (0.1, 0.1, 0.9, 0.9)
    assert are_plain(np.array([good], np.float32).T)
    for rows in ([box], [good, box], [box, good, good]):
        assert not are_plain(np.array(rows, np.float32).T)


@pytest.mark.parametrize(
    ("primary", "reference", "short_cut"),
    [
        (["a", "b"], ["b", "a", "b"], True),
        (["a", "b"], ["b", "new"], False),
        (["a", "b"], np.array(["b", "a"]), False),
        (np.array(["a", "b"]), ["b", "a"], False),
        ([1, 2], [5, 3], True),
        ([1.5, 2], np.array([0.5, 7], np.float32), True),
        ([1, 2], [np.int64(5), 3], False),
        (np.array([1, 2]), np.array([5, 3]), True),
        (np.array([1, 2]), np.array([5, 3], np.int8), False),
        (np.array([1, 2]), [5, 3], False),
        (np.array([0.5, 2], np.float32), np.array([5, 3], np.float32), True),
    ],
    ids=str,
)
def test_known_labels_are_encoded_as_all_others(primary, reference, short_cut):
    processor = processor_of("pascal_voc")
    processor.label_manager.process_field("bboxes", "labels", primary)
    codes = short_cut_of(processor, reference)
    assert (codes is not None) == short_cut
    if short_cut:
        expected = _backend.encode_labels(processor, "bboxes", "labels", reference, None)
        np.testing.assert_array_equal(np.asarray(codes, np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("reference", [["b", 1], [["a"], ["b"]], [{}, "a"], [True, "a"], np.array([["a"]])], ids=str)
def test_labels_that_need_a_look_take_no_short_cut(reference):
    processor = processor_of("pascal_voc")
    assert short_cut_of(processor, reference) is None
    for primary in (["a", "b"], [1, 2]):
        processor = processor_of("pascal_voc")
        processor.label_manager.process_field("bboxes", "labels", primary)
        assert short_cut_of(processor, reference) is None


def test_labels_that_albumentations_will_not_look_up_take_no_short_cut():
    processor = processor_of("pascal_voc")
    for primary in (["a", "b"], [1, 2]):  # on 2.0.8 the second call turns the encoder into one of numbers
        processor.label_manager.process_field("bboxes", "labels", primary)
    known = processor.label_manager.metadata["bboxes"]["labels"]
    assert (short_cut_of(processor, ["a"]) is None) == known.encoder.is_numerical


def test_extremes():
    values = np.array([[3, -2, 9], [4, 0, 1]], np.float32)
    assert extremes(values) == extremes(values[:, ::-1]) == (-2, 9)
    assert extremes(values[:, 0]) == (3, 4)
    values[1, 1] = np.nan
    assert np.isnan(extremes(values)).all()


def test_weights_that_only_the_reference_lacks_are_one():
    boxes = {"bboxes": np.array([[1, 2, 30, 40]], np.float32), "labels": ["a"]}
    reference = [{"image": pixels(HW, (3,), np.uint8), **boxes}]
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    mix = A.Compose([MixUp(reference, ratio_range=(0.25, 0.25), p=1.0)], bbox_params=params)
    out = mix(image=pixels(HW, (3,), np.uint8), bboxes=[], labels=[], mixup_weight=[])
    assert out["mixup_weight"] == [0.75]
    assert out["labels"] == ["a"]
