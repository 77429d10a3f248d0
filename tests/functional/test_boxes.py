"""Box formats, against corners worked out by hand and a way there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alb_mixup.functional.boxes import BBOX_FORMATS, from_xyxy, to_xyxy

HW = (100, 200)
CORNERS = [[20.0, 10.0, 60.0, 90.0], [0.0, 0.0, 200.0, 100.0]]
WRITTEN = {
    "pascal_voc": CORNERS,
    "coco": [[20, 10, 40, 80], [0, 0, 200, 100]],
    "yolo": [[0.2, 0.5, 0.2, 0.8], [0.5, 0.5, 1, 1]],
    "albumentations": [[0.1, 0.1, 0.3, 0.9], [0, 0, 1, 1]],
    "cxcywh": [[40, 50, 40, 80], [100, 50, 200, 100]],
}


@pytest.mark.parametrize("bbox_format", BBOX_FORMATS)
def test_each_format_both_ways(bbox_format):
    np.testing.assert_allclose(to_xyxy(WRITTEN[bbox_format], bbox_format, HW), CORNERS, atol=1e-12)
    np.testing.assert_allclose(from_xyxy(CORNERS, bbox_format, HW), WRITTEN[bbox_format], atol=1e-12)


@pytest.mark.parametrize("bbox_format", BBOX_FORMATS)
@pytest.mark.parametrize("empty", [[], np.zeros((0, 4)), np.zeros((0, 6)), np.zeros(0)])
def test_no_boxes(bbox_format, empty):
    assert to_xyxy(empty, bbox_format, HW).shape == (0, 4)
    assert from_xyxy(to_xyxy(empty, bbox_format, HW), bbox_format, HW).shape == (0, 4)


@pytest.mark.parametrize("bbox_format", BBOX_FORMATS)
def test_further_columns_are_left_out_and_nothing_is_written_to(bbox_format):
    rows = np.array([[*box, 7.0, 0.5] for box in WRITTEN[bbox_format]])
    kept = rows.copy()
    xyxy = to_xyxy(rows, bbox_format, HW)
    np.testing.assert_allclose(xyxy, CORNERS, atol=1e-12)
    before = xyxy.copy()
    from_xyxy(xyxy, bbox_format, HW)
    assert (rows == kept).all()
    assert (xyxy == before).all()


@given(
    corners=st.lists(st.tuples(*[st.floats(0, 1e4)] * 4), max_size=5),
    hw=st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    bbox_format=st.sampled_from(BBOX_FORMATS),
)
def test_there_and_back(corners, hw, bbox_format):
    xyxy = np.array(corners).reshape(-1, 4)
    np.testing.assert_allclose(to_xyxy(from_xyxy(xyxy, bbox_format, hw), bbox_format, hw), xyxy, atol=1e-6)
