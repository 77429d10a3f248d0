"""What is drawn, asserted on matplotlib's own objects."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from alb_mixup import plot
from alb_mixup.errors import ArgumentError, SampleError

mpl.use("Agg")

from matplotlib import pyplot as plt

IMAGE = np.full((100, 200, 3), 128, np.uint8)
XYXY = [[20.0, 10.0, 120.0, 90.0], [100.0, 30.0, 180.0, 80.0]]
SAME_BOXES = {
    "pascal_voc": XYXY,
    "coco": [[20, 10, 100, 80], [100, 30, 80, 50]],
    "cxcywh": [[70, 50, 100, 80], [140, 55, 80, 50]],
    "yolo": [[0.35, 0.5, 0.5, 0.8], [0.7, 0.55, 0.4, 0.5]],
    "albumentations": [[0.1, 0.1, 0.6, 0.9], [0.5, 0.3, 0.9, 0.8]],
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def sample(**changes):
    return {"image": IMAGE, "bboxes": XYXY, "labels": ["cat", "dog"], "mixup_weight": [0.25, 0.75]} | changes


@pytest.mark.parametrize("bbox_format", SAME_BOXES)
def test_boxes_of_every_format_lie_where_they_should(bbox_format):
    ax = plot(sample(bboxes=np.array(SAME_BOXES[bbox_format])), bbox_format=bbox_format)
    drawn = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in ax.patches]
    np.testing.assert_allclose(drawn, SAME_BOXES["coco"], atol=1e-9)


def test_weight_shows_in_line_alpha_and_tag():
    ax = plot(sample())
    light, heavy = ax.patches
    assert light.get_linewidth() < heavy.get_linewidth()
    assert light.get_alpha() < heavy.get_alpha()
    assert sorted(text.get_text() for text in ax.texts) == ["cat 0.25", "dog 0.75"]


def test_one_class_has_one_colour_in_every_picture():
    first, second = plot(sample()), plot(sample(labels=["dog", "cat"]))
    colours = [[patch.get_edgecolor()[:3] for patch in ax.patches] for ax in (first, second)]
    assert colours[0] == colours[1][::-1]
    assert colours[0][0] != colours[0][1]


def test_tags_stay_inside_the_image():
    ax = plot(sample(bboxes=[[-5.0, -5.0, 90.0, 60.0], [150.0, 60.0, 220.0, 120.0]]))
    assert len(ax.texts) == 2
    for text in ax.texts:
        x, y = text.get_position()
        assert 0 <= x <= 200
        assert 0 <= y <= 100


def test_integer_labels_that_came_back_as_floats_read_as_integers():
    assert [text.get_text() for text in plot(sample(labels=[3.0, 12.0], mixup_weight=None)).texts] == ["3", "12"]


@pytest.mark.parametrize("shape", [(100, 200), (100, 200, 1), (100, 200, 3), (100, 200, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_of_every_kind_are_drawn(shape, dtype):
    ax = plot({"image": np.ones(shape, dtype)})
    assert ax.images[0].get_extent() == [0, 200, 100, 0]
    assert not ax.patches


def test_given_axes_are_used():
    _, ax = plt.subplots()
    assert plot(sample(bboxes=[], labels=[], mixup_weight=[]), ax) is ax


def test_oriented_boxes_turn_about_their_centre():
    (patch,) = plot({"image": IMAGE, "bboxes": [[20.0, 40.0, 120.0, 60.0, 90.0]]}).patches
    corners = patch.get_patch_transform().transform(patch.get_path().vertices[:4])
    np.testing.assert_allclose(sorted(map(tuple, corners.round(6))), [(60, 0), (60, 100), (80, 0), (80, 100)])


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ({"image": [[1]]}, SampleError, "image must be a numpy array"),
        ({"image": np.zeros((4, 4, 7), np.uint8)}, SampleError, r"shape \(4, 4, 7\)"),
        ({"image": IMAGE.astype(np.float32)}, SampleError, "must be in 0 to 1"),
        ({"image": IMAGE.astype(np.int32)}, SampleError, "dtype int32"),
        (sample(labels=["cat"]), SampleError, "labels must have one value a box; got 1 for 2"),
        (sample(mixup_weight=[1.0]), SampleError, "mixup_weight must have one value a box; got 1 for 2"),
        (sample(mixup_weight=[1.0, np.nan]), SampleError, "mixup_weight must be finite"),
        (sample(bboxes=[[1.0, 2.0, 3.0]] * 2), SampleError, "bboxes must be finite and of shape"),
        ({"bboxes": XYXY}, SampleError, "'image'"),
    ],
)
def test_bad_samples_are_refused(bad, error, says):
    with pytest.raises(error, match=says):
        plot(bad)


def test_unknown_format_is_refused():
    with pytest.raises(ArgumentError, match=r"bbox_format must be one of .* got 'xyxy'"):
        plot(sample(), bbox_format="xyxy")


def test_missing_matplotlib_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import numpy, alb_mixup\n"
        "alb_mixup.plot({'image': numpy.zeros((4, 4), 'uint8')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "alb-mixup[cli]"' in done.stderr
