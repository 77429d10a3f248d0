"""The sliders, moved through the widgets themselves, and what a viewer gets that runs nothing."""

import base64
import io
import subprocess
import sys

import albumentations as A
import numpy as np
import pytest
from matplotlib.figure import Figure

import alb_mixup
from alb_mixup import sample_dataset
from alb_mixup.datasets.protocols import Sample
from alb_mixup.errors import ArgumentError, ImageReadError, SampleError
from alb_mixup.view.explorer import beta_density, draw_density, mix_pair
from tests.support.samples import pipeline, sample

Image = pytest.importorskip("PIL.Image")  # matplotlib's own dependency
pytest.importorskip("ipywidgets")


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), dtype=float)


def differ(left, right):
    """Whether two JPEG pictures of one size show different things."""
    return np.abs(pixels(left) - pixels(right)).max() > 60


@pytest.fixture(scope="module")
def photos():
    """Two photographs of the sample, and a tall one."""
    dataset = sample_dataset()
    return [dataset[10], dataset[13], pipeline(A.Crop(0, 0, 300, 480))(**dataset[12])]


def test_every_slider_redraws_the_picture(photos):
    shown = alb_mixup.explore(photos)
    for widget, value in (("partner", 2), ("ratio", 0.2), ("alpha", 8.0), ("fit_mode", "cover"), ("primary", 1)):
        before = shown.picture.value
        getattr(shown, widget).value = value
        assert differ(before, shown.picture.value), widget


@pytest.mark.parametrize(("ratio", "grey"), [(1.0, 200), (0.0, 40), (0.25, 80)])
def test_the_picture_is_of_the_mix_at_this_ratio(ratio, grey):
    plain = [sample(image=np.full((60, 80, 3), value, np.uint8), labels=()) for value in (200, 40)]
    shown = alb_mixup.explore(plain)
    shown.ratio.value = ratio
    height, width = (side // 2 for side in pixels(shown.picture.value).shape[:2])
    middle = pixels(shown.picture.value)[height - 20 : height + 20, width // 2 : width]
    np.testing.assert_allclose(middle, grey, atol=2)


def button(shown, description):
    [found] = [
        widget
        for row in shown._shown.children
        for widget in getattr(row, "children", ())
        if widget.description == description
    ]
    return found


def test_partners_are_drawn_as_their_weights_say_and_never_the_primary():
    small = [sample(number, height=30, width=40) for number in range(4)]
    shown = alb_mixup.explore(small, partner_weights=[1, 0, 1, 0])
    seen = set()
    for primary in (1, 2):
        shown.primary.value = primary
        for _ in range(12):
            button(shown, "Draw partner").click()
            seen.add((primary, shown.partner.value))
    assert seen == {(1, 0), (1, 2), (2, 0)}
    with pytest.raises(ArgumentError, match="partner_weights must have one number for each of 4 samples"):
        alb_mixup.explore(small, partner_weights=[1, 2])


def test_fit_modes_are_off_where_both_have_one_size(photos):
    shown = alb_mixup.explore(photos)
    assert shown.fit_mode.disabled
    shown.partner.value = 2
    assert not shown.fit_mode.disabled


def test_draw_moves_the_ratio_within_beta(photos):
    shown = alb_mixup.explore(photos)
    shown.alpha.value = 64.0
    shown.ratio.value = 0.0
    button(shown, "Draw λ").click()
    assert 0.1 < shown.ratio.value < 0.9  # 9 standard deviations of Beta(64, 64) about one half


def test_a_viewer_that_runs_nothing_gets_a_strip(photos):
    bundle = alb_mixup.explore(photos)._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    strip = pixels(base64.b64decode(bundle["image/jpeg"]))
    assert strip.shape[1] > 4 * strip.shape[0]


def test_a_sample_that_cannot_be_shown_is_named_and_the_sliders_go_on(photos):
    class Broken(list):
        def __getitem__(self, index):
            if index == 2:
                raise ImageReadError("image 2 is cut short")
            return super().__getitem__(index)

    shown = alb_mixup.explore(Broken(photos))
    before = shown.picture.value
    shown.partner.value = 2
    assert shown._message.value == "image 2 is cut short"
    assert shown.picture.value == before
    shown.partner.value = 1
    assert shown._message.value == ""
    shown.ratio.value = 0.9
    assert differ(before, shown.picture.value)


def test_a_dataset_of_one_and_its_own_box_format():
    class Coco(list):
        bbox_format = "coco"

    one = sample(bboxes=[[2.0, 3.0, 10.0, 12.0]], labels=("cat",), mixup_weight=None)
    assert alb_mixup.explore(Coco([one])).picture.value


def test_the_partner_is_never_the_primary(photos):
    shown = alb_mixup.explore(photos)
    assert (shown.primary.value, shown.partner.value) == (0, 1)
    shown.primary.value = 1
    assert shown.partner.value == 2
    shown.primary.value = 2  # the last: the partner goes on at the first
    assert shown.partner.value == 0
    shown.primary.value = 1
    shown.partner.value = 2
    shown.partner.value = 1  # moved down onto the primary: it goes on down
    assert (shown.primary.value, shown.partner.value) == (1, 0)
    shown.partner.value = 1
    assert shown.partner.value == 2


def test_samples_say_their_own_format():
    boxes = [[8.0, 5.0, 3.0, 4.0]]  # read as corners, turned over
    coco = [Sample(sample(bboxes=boxes, labels=("cat",), mixup_weight=None), "coco") for _ in range(2)]
    assert alb_mixup.explore(coco).picture.value
    mixed = mix_pair(*coco, 0.5)
    assert mixed.bbox_format == "coco"
    np.testing.assert_allclose(mixed["bboxes"], boxes * 2, atol=1e-4)


def test_nothing_is_refused():
    with pytest.raises(ArgumentError, match="dataset must hold at least one sample"):
        alb_mixup.explore([])


def test_missing_ipywidgets_is_named():
    code = "import sys; sys.modules['ipywidgets'] = None; import alb_mixup; alb_mixup.explore([1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "alb-mixup[notebook]"' in done.stderr


def test_a_pair_is_mixed_at_its_ratio():
    primary, partner = sample(1, ("cat",)), sample(2, ("dog", "cow"), mixup_weight=None)
    mixed = mix_pair(primary, partner, 0.25)
    expected = 0.25 * primary["image"].astype(float) + 0.75 * partner["image"]
    np.testing.assert_allclose(mixed["image"], expected, atol=0.51)
    assert mixed["labels"] == ["cat", "dog", "cow"]
    assert [bool(value) for value in mixed["of_partner"]] == [False, True, True]
    np.testing.assert_allclose(mixed["mixup_weight"], [0.25, 0.75, 0.75])
    np.testing.assert_allclose(mixed["bboxes"], primary["bboxes"] + partner["bboxes"], atol=1e-4)


def test_a_pair_that_does_not_fit_is_refused():
    with pytest.raises(SampleError, match="labels"):
        mix_pair(sample(1), sample(2, labels=None), 0.5)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 32.0])
def test_the_density_is_one_that_integrates_to_one_and_has_betas_variance(alpha):
    x = np.linspace(0, 1, 200_001)[1:-1]
    density = beta_density(x, alpha)
    assert density.sum() * 5e-6 == pytest.approx(1, abs=1e-4)
    assert (density * (x - 0.5) ** 2).sum() * 5e-6 == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=1e-4)


def test_the_density_is_drawn_with_its_line():
    ax = Figure().add_subplot()
    draw_density(ax, 1.5, 0.3)
    curve, line = ax.lines
    np.testing.assert_allclose(curve.get_ydata(), beta_density(curve.get_xdata(), 1.5))
    assert list(line.get_xdata()) == [0.3, 0.3]
