"""The page of mixes, asserted on matplotlib's own objects."""

from collections import Counter

import matplotlib as mpl
import numpy as np
import pytest

from alb_mixup.datasets.protocols import Sample
from alb_mixup.errors import ArgumentError
from alb_mixup.view.pages import MixTriple, Sheet, plot_mixes, plot_samples
from alb_mixup.view.plot import class_color
from tests.view.test_plot import sample

mpl.use("Agg")

from matplotlib import pyplot as plt


def test_a_page_shows_both_originals_and_the_mix():
    small = sample(image=np.zeros((50, 40), np.uint8), bboxes=[], labels=[], mixup_weight=[])
    figure = plot_mixes([MixTriple(sample(), small, sample(), 0.25, "#3", "#8")], title="A title")
    assert [len(ax.patches) for ax in figure.axes] == [2, 0, 2]
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["A title", "cat", "dog", "λ = 0.25:   0.25 × #3 + 0.75 × #8"]
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [[], [], ["0.25", "0.75"]]
    assert not plt.get_fignums()


def test_one_portrait_among_landscapes_does_not_stretch_the_page():
    portrait = sample(image=np.zeros((300, 100), np.uint8), bboxes=[], labels=[], mixup_weight=[])
    usual = MixTriple(sample(), sample(), sample(), 0.5, "a", "b")
    pages = [
        plot_mixes([*[usual] * 3, last]) for last in (usual, MixTriple(portrait, portrait, portrait, 0.5, "c", "d"))
    ]
    np.testing.assert_allclose(pages[0].get_size_inches(), pages[1].get_size_inches())


def test_classes_that_do_not_fit_the_header_are_counted():
    names = [f"class {number:02d}" for number in range(60)]
    many = sample(bboxes=[[10.0, 10.0, 60.0, 60.0]] * 60, labels=names, mixup_weight=[0.5] * 60)
    figure = plot_mixes([MixTriple(many, many, many, 0.5, "a", "b")], title="A title")
    header = figure.texts[1:-1]
    shown = [text.get_text() for text in header[:-1]]
    assert 0 < len(shown) < 60
    assert shown == names[: len(shown)]
    assert header[-1].get_text() == f"and {60 - len(shown)} more"
    figure.canvas.draw()
    assert max(text.get_window_extent().x1 for text in header) <= figure.bbox.x1


def test_long_names_keep_their_end_and_their_place():
    name = "a_very_long_file_name_of_a_camera_00042"
    figure = plot_mixes([MixTriple(sample(), sample(), sample(), 0.125, name, name)])
    caption = figure.texts[-1]
    assert caption.get_text().count("camera_00042") == 2
    figure.canvas.draw()
    assert caption.get_window_extent().x1 <= figure.bbox.x1


def test_a_page_of_nothing_is_refused():
    with pytest.raises(ArgumentError, match="at least one"):
        plot_mixes([])


def test_samples_lie_side_by_side_under_their_captions():
    plain = sample(mixup_weight=None)
    figure = plot_samples([sample(), plain, sample(bboxes=[], labels=[], mixup_weight=[])], ["a", "b", "c"], columns=2)
    assert [text.get_text() for text in figure.texts] == ["cat", "dog", "a", "b", "c"]
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [["0.25", "0.75"], [], []]
    first, second, third = (ax.get_position() for ax in figure.axes)
    assert first.y0 == second.y0 > third.y1
    assert first.x1 < second.x0
    assert third.x0 == first.x0
    assert not plt.get_fignums()


def test_a_tall_sample_takes_no_more_height_than_its_row():
    tall = sample(image=np.zeros((300, 100, 3), np.uint8), bboxes=[], labels=[], mixup_weight=[])
    pages = [plot_samples([sample()] * 4), plot_samples([*[sample()] * 3, tall])]
    np.testing.assert_allclose(pages[0].get_size_inches(), pages[1].get_size_inches())


@pytest.mark.parametrize(("samples", "captions"), [([], []), ([sample()], ["a", "b"])])
def test_samples_and_captions_that_do_not_match_are_refused(samples, captions):
    with pytest.raises(ArgumentError, match="as many captions"):
        plot_samples(samples, captions)


@pytest.mark.parametrize("count", [3, 8, 9, 20])
def test_a_name_is_on_the_tag_where_its_colour_is_anothers_too(count, monkeypatch):
    monkeypatch.setattr("alb_mixup.view.plot._colors", {})
    names = [f"class {number:02d}" for number in range(count)]
    boxes = [[5.0 + 9 * number, 20.0, 13.0 + 9 * number, 28.0] for number in range(count)]
    many = sample(bboxes=boxes, labels=names, mixup_weight=[0.5] * count)
    figure = plot_mixes([MixTriple(many, many, many, 0.5, "a", "b")])
    colours = Counter(class_color(name) for name in names)
    repeated = {name for name in names if colours[class_color(name)] > 1}
    assert bool(repeated) == (count > 8)
    legend = {text.get_text() for text in figure.texts}
    tagged = {" ".join(text.get_text().split()[:2]) for ax in figure.axes for text in ax.texts} - {"0.50"}
    untold = repeated | (set(names) - legend)
    assert tagged <= untold
    if untold:
        assert tagged


@pytest.mark.parametrize("count", [3, 8, 9, 20])
def test_a_legend_says_which_classes_its_colours_do_not_tell(count, monkeypatch):
    monkeypatch.setattr("alb_mixup.view.plot._colors", {})
    names = [f"class {number:02d}" for number in range(count)]
    untold = Sheet(60, 5).write_legend(names, top=0.1)
    assert len({class_color(name) for name in names if name not in untold}) == count - len(untold)
    assert bool(untold) == (count > 8)
    assert {class_color(name) for name in untold}.isdisjoint(class_color(name) for name in names if name not in untold)
    assert Sheet(2, 5).write_legend(names[:8], top=0.1) == set(names[:8]) - {"class 00"}


def test_dashes_and_weights_reach_the_page():
    mixed = sample(of_partner=[0, 1])
    figure = plot_mixes([MixTriple(sample(), sample(), mixed, 0.25, "a", "b")])
    assert [patch.get_linestyle() == "-" for ax in figure.axes for patch in ax.patches] == [True] * 5 + [False]


def test_samples_of_several_formats_share_a_page():
    coco = Sample(sample(bboxes=[[20, 10, 100, 80], [100, 30, 80, 50]]), "coco")
    figure = plot_samples([sample(), coco])
    first, second = ([patch.get_bbox().bounds for patch in ax.patches] for ax in figure.axes)
    assert first == second


def test_the_second_original_stands_right_below_the_first():
    wide = sample(image=np.zeros((50, 200), np.uint8), bboxes=[], labels=[], mixup_weight=[])
    usual = MixTriple(*[sample()] * 3, 0.5, "c", "d")
    figure = plot_mixes([MixTriple(wide, sample(), sample(), 0.5, "a", "b"), *[usual] * 3])
    figure.canvas.draw()
    for ax in figure.axes[:2]:
        ax.apply_aspect()
    above, below = (ax.get_window_extent() for ax in figure.axes[:2])
    assert 0 < above.y0 - below.y1 < 0.1 * above.width
