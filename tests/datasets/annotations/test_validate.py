import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alb_mixup.datasets.annotations.validate import InvalidAnnotation, InvalidLog, clip_boxes
from alb_mixup.errors import AnnotationError, ArgumentError, InvalidAnnotationWarning

boxes = st.lists(st.tuples(*[st.floats(-100, 200)] * 4), min_size=1, max_size=8).map(np.array)


@given(boxes, st.integers(1, 150), st.integers(1, 150))
def test_clipping(xyxy, height, width):
    clipped, reach = clip_boxes(xyxy, np.array([[height, width]] * len(xyxy), np.int32))
    for box, result, out in zip(xyxy, clipped, reach, strict=True):
        expected = [min(max(value, 0), limit) for value, limit in zip(box, (width, height, width, height), strict=True)]
        assert result.tolist() == expected
        assert out == max(abs(value - limited) for value, limited in zip(box, expected, strict=True))


def test_clipping_leaves_the_input_alone_and_takes_no_boxes():
    xyxy = np.array([[-5.0, 0, 5, 5]])
    clip_boxes(xyxy, np.array([[10, 10]], np.int32))
    assert xyxy[0, 0] == -5
    clipped, reach = clip_boxes(np.zeros((0, 4)), np.zeros((0, 2), np.int32))
    assert clipped.shape == (0, 4)
    assert reach.shape == (0,)


def test_a_log_that_raises_names_file_object_reason_and_fix(tmp_path):
    with pytest.raises(AnnotationError, match=r"/a\.xml, object 3: no good: correct the file, or pass on_invalid="):
        InvalidLog(tmp_path, "raise").add("a.xml", 3, "no good")
    with pytest.raises(ValueError, match=r"/a\.xml: no good"):
        InvalidLog(tmp_path, "raise").add("a.xml", None, "no good")


def test_a_log_warns_once_and_names_the_first_few(tmp_path):
    log = InvalidLog(tmp_path, "drop")
    for number in range(7):
        log.add(f"{number}.xml", None, "no good")
    with pytest.warns(InvalidAnnotationWarning) as caught:
        log.warn(stacklevel=1)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"7 invalid annotations in {tmp_path.as_posix()} were dropped: 0.xml: no good; 1.xml")
    assert "4.xml: no good; and 2 more" in message
    assert "5.xml" not in message
    assert caught[0].filename == __file__
    assert log.records[6] == InvalidAnnotation("6.xml", None, "no good")


def test_an_empty_log_is_silent(tmp_path):
    InvalidLog(tmp_path, "drop").warn(stacklevel=1)


@pytest.mark.parametrize("on_invalid", ["ignore", None, ["drop"]])
def test_unknown_policy(tmp_path, on_invalid):
    with pytest.raises(ArgumentError, match="on_invalid must be 'drop', 'raise' or 'clip', got"):
        InvalidLog(tmp_path, on_invalid)
