"""Masks as single polygons, filled again by other people's code."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from alb_mixup.functional.outline import outline_of
from tests.support import shaped

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own


def filled_by_coco(ring, hw):
    return rle.decode(rle.merge(rle.frPyObjects([ring.ravel().tolist()], *hw)))


def filled_by_opencv(ring, hw):
    """As Ultralytics fills polygons: corners cut to whole pixels, all that is touched."""
    return cv2.fillPoly(np.zeros(hw, np.uint8), [ring.astype(np.int32)], 1)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@given(
    hw=st.tuples(st.integers(1, 30), st.integers(1, 30)), seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 1),
    coarse=st.integers(1, 6),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_an_outline_filled_as_coco_does_is_the_mask_without_holes(hw, seed, share, coarse):
    noise = (np.random.default_rng(seed).random((-(-hw[0] // coarse), -(-hw[1] // coarse))) < share).astype(np.uint8)
    mask = noise.repeat(coarse, axis=0).repeat(coarse, axis=1)[: hw[0], : hw[1]]
    ring = outline_of(mask)
    if not mask.any():
        assert ring.shape == (0, 2)
        return
    in_shares = np.float32(ring / hw[::-1])  # as files hold it
    np.testing.assert_array_equal(filled_by_coco(in_shares.astype(float) * hw[::-1], hw), shaped.without_holes(mask))
    x1, y1, x2, y2 = shaped.extent(mask)
    np.testing.assert_allclose([*ring.min(axis=0), *ring.max(axis=0)], [x1, y1, x2, y2], atol=0.016)


@pytest.mark.parametrize("number", range(3))
def test_a_mask_of_one_part_is_the_same_where_all_that_is_touched_is_filled(number):
    mask = shaped.masks()[number][0]
    assert cv2.connectedComponents(mask)[0] == 2
    np.testing.assert_array_equal(filled_by_opencv(outline_of(mask), mask.shape), shaped.without_holes(mask))


def test_what_is_lost_is_bounded():
    """Holes are filled; where lines are drawn, those between parts are a pixel wide."""
    (_, two), (ring, _), *_ = shaped.masks()
    assert iou(filled_by_coco(outline_of(two), two.shape), two) == 1
    assert 0.95 < iou(filled_by_opencv(outline_of(two), two.shape), two) < 1
    hole = shaped.without_holes(ring).sum() - ring.sum()
    assert iou(filled_by_coco(outline_of(ring), ring.shape), ring) == ring.sum() / (ring.sum() + hole)


def test_thousands_of_parts_take_no_longer_than_their_corners():
    """Joining each with all before it would take minutes and gigabytes."""
    mask = np.zeros((600, 600), np.uint8)
    mask[::3, ::3] = 1
    np.testing.assert_array_equal(filled_by_coco(outline_of(mask), mask.shape), mask)


def test_the_mask_is_not_written_to_and_any_number_counts():
    mask = np.zeros((9, 9), np.uint8)
    mask[2:5, 3:8] = 255
    before = mask.copy()
    ring = outline_of(mask)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_allclose(sorted(ring.tolist()), [[3, 2], [3, 5], [8, 2], [8, 5]], atol=0.016)
