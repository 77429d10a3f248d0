"""What is drawn, asserted on matplotlib's own objects."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

import alb_mixup
from alb_mixup import plot
from alb_mixup.datasets.protocols import Sample
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.view.scene import file_title
from tests.support import layouts

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


def crowd(count, labels):
    """Boxes of all sizes, over the borders too."""
    generator = np.random.default_rng(0)
    corner, side = generator.uniform(-20, 190, (count, 2)), generator.uniform(2, 80, (count, 2))
    boxes = np.hstack([corner, corner + side]) * [1, 0.5, 1, 0.5]
    return sample(bboxes=boxes, labels=labels, mixup_weight=generator.uniform(0, 1, count))


@pytest.mark.parametrize("dpi", [72, 100, 150, 300])
@pytest.mark.parametrize("name", ["iiii", "WWWW", "potted plant"])
def test_tags_as_rendered_stay_inside_the_image_and_apart(dpi, name):
    ax = plot(crowd(60, [name] * 60))
    ax.figure.set_dpi(dpi)  # as `savefig(dpi=...)` does, after the tags were placed
    ax.figure.canvas.draw()
    image = ax.get_window_extent()
    tags = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
    assert 5 < len(tags) < 60
    for tag in tags:
        assert image.x0 - 1 <= tag.x0 <= tag.x1 <= image.x1 + 1
        assert image.y0 - 1 <= tag.y0 <= tag.y1 <= image.y1 + 1
    overlaps = [
        min(a.x1, b.x1) - max(a.x0, b.x0) > 1.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1.5
        for number, a in enumerate(tags)
        for b in tags[:number]
    ]
    assert not any(overlaps)


def test_tags_of_hundreds_of_boxes_leave_most_of_the_picture_free():
    ax = plot(crowd(800, ["potted plant"] * 800))
    ax.figure.canvas.draw()
    tags = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
    share = sum(tag.width * tag.height for tag in tags) / ax.bbox.width / ax.bbox.height
    assert len(ax.patches) == 800
    assert 0.1 < share < 0.22


def test_a_tag_does_not_hide_a_small_box():
    (text,) = plot(sample(bboxes=[[100.0, 50.0, 104.0, 54.0]], labels=["cat"], mixup_weight=[0.5])).texts
    ax = text.axes
    ax.figure.canvas.draw()
    tag, box = text.get_bbox_patch().get_window_extent(), ax.patches[0].get_window_extent()
    assert tag.y0 >= box.y1 - 1 or tag.y1 <= box.y0 + 1


def test_tags_are_read_on_every_colour():
    """Contrast as in WCAG 2: (lighter + 0.05) / (darker + 0.05) of the relative luminances, 3 at least."""
    ax = plot(crowd(40, [f"class {number % 9}" for number in range(40)]))
    colours = {(text.get_color(), text.get_bbox_patch().get_facecolor()[:3]) for text in ax.texts}
    assert len(colours) >= 6

    def luminance(colour):
        channels = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for text, chip in colours:
        dark, light = sorted([luminance(text), luminance(chip)])
        assert (light + 0.05) / (dark + 0.05) >= 3


@pytest.mark.parametrize("name", ["$", "$x_1$", r"$\foo$", "a\nb", "100 % {x}"])
def test_names_are_no_formulas(name):
    ax = plot(sample(labels=[name, "dog"]))
    ax.figure.canvas.draw()
    assert " ".join(name.split()) + " 0.25" in [text.get_text() for text in ax.texts]


def test_integer_labels_that_came_back_as_floats_read_as_integers():
    assert [text.get_text() for text in plot(sample(labels=[3.0, 1e6], mixup_weight=None)).texts] == ["3", "1000000"]


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
        (sample(labels=["cat"]), SampleError, "labels must have one value a box, got 1 for 2"),
        (sample(mixup_weight=[1.0]), SampleError, "mixup_weight must have one value a box, got 1 for 2"),
        (sample(mixup_weight=[1.0, np.nan]), SampleError, "mixup_weight must be finite"),
        (sample(bboxes=[[1.0, 2.0, 3.0]] * 2), SampleError, "bboxes must be finite and of shape"),
        ({"bboxes": XYXY}, SampleError, "'image'"),
    ],
)
def test_bad_samples_are_refused(bad, error, says):
    with pytest.raises(error, match=says):
        plot(bad)


@pytest.mark.parametrize("bbox_format", SAME_BOXES)
def test_a_sample_that_knows_its_format_is_drawn_right_without_being_told(bbox_format):
    ax = plot(Sample(sample(bboxes=np.array(SAME_BOXES[bbox_format])), bbox_format))
    drawn = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in ax.patches]
    np.testing.assert_allclose(drawn, SAME_BOXES["coco"], atol=1e-9)


def test_the_format_that_is_given_goes_before_the_samples_own():
    ax = plot(Sample(sample(), "coco"), bbox_format="pascal_voc")
    assert [patch.get_width() for patch in ax.patches] == [100, 80]


@pytest.mark.parametrize("writer", layouts.WRITERS.values(), ids=layouts.WRITERS)
def test_samples_of_our_datasets_are_drawn_right(writer, tmp_path):
    dataset = alb_mixup.open_dataset(writer(tmp_path / "set"))
    drawn = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in plot(dataset[3]).patches]
    np.testing.assert_allclose(drawn, [(1, 1, 59, 23), (1, 1, 59, 23), (30, 10, 2, 2)], atol=1e-3)


@pytest.mark.parametrize(
    ("boxes", "read_as", "hint"),
    [
        ([[100, 60, 50, 20]], None, "'coco'"),  # COCO's, taken for corners
        ([[100, 60, 50, 80]], "pascal_voc", "'coco'"),
        ([[100, 60, -50, 20]], "coco", "'pascal_voc'"),
        ([[0.5, 0.5, 0.2, 0.4]], "albumentations", "'coco'"),
    ],
)
def test_corners_in_the_wrong_order_name_the_format_and_how_to_say_another(boxes, read_as, hint):
    given = sample(bboxes=[XYXY[0], *boxes] if read_as != "albumentations" else boxes * 2)
    says = f"bboxes must have their far corner .* read as '{read_as or 'pascal_voc'}': .* bbox_format={hint}"
    with pytest.raises(SampleError, match=says):
        plot(given, bbox_format=read_as)


def test_a_partners_boxes_are_dashed():
    ax = plot(sample(of_partner=[0.0, 1.0]))  # as Albumentations returns booleans
    assert [patch.get_linestyle() == "-" for patch in ax.patches] == [True, False]
    with pytest.raises(SampleError, match="of_partner must have one value a box"):
        plot(sample(of_partner=[1]))


@pytest.mark.parametrize("name", ["\x1b[31mred", "\x07", "\u202eabc", "\ud800"])
def test_names_that_no_font_draws_are_written_out(name):
    ax = plot(sample(labels=[name, "dog"]))
    ax.figure.canvas.draw()
    assert all(char.isprintable() for text in ax.texts for char in text.get_text())


@pytest.mark.parametrize(
    ("stem", "title"),
    [
        ("street_jpg.rf.0123456789abcdef0123456789abcdef", "street"),
        ("street-12_PNG.rf.aB3dE5gH1jK2mN4pQ6r", "street-12"),
        ("car.rf.7", "car.rf.7"),
        ("short", "short"),
        ("a_very_long_file_name_of_a_camera_00042", "…_a_camera_00042"),
    ],
)
def test_file_titles_are_the_names_that_people_gave(stem, title):
    assert file_title(stem, 16) == title


def test_unknown_format_is_refused():
    with pytest.raises(ArgumentError, match=r"bbox_format must be one of .*, got 'xyxy'"):
        plot(sample(), bbox_format="xyxy")


def test_missing_matplotlib_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import numpy, alb_mixup\n"
        "alb_mixup.plot({'image': numpy.zeros((4, 4), 'uint8')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "alb-mixup[cli]"' in done.stderr
