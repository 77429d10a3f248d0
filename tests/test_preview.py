"""The page of mixes, asserted on matplotlib's own objects."""

import matplotlib as mpl
import numpy as np
import pytest

from alb_mixup.errors import ArgumentError
from alb_mixup.preview import MixTriple, plot_mixes
from tests.test_plot import sample

mpl.use("Agg")

from matplotlib import pyplot as plt


def test_a_page_shows_both_originals_and_the_mix():
    small = sample(image=np.zeros((50, 40), np.uint8), bboxes=[], labels=[], mixup_weight=[])
    figure = plot_mixes([MixTriple(sample(), small, sample(), 0.25, "#3", "#8")], title="A title")
    assert [len(ax.patches) for ax in figure.axes] == [2, 0, 2]
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["A title", "cat", "dog", "0.25 × #3  +  0.75 × #8"]
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [[], [], ["0.25", "0.75"]]
    assert not plt.get_fignums()


def test_a_page_of_nothing_is_refused():
    with pytest.raises(ArgumentError, match="at least one"):
        plot_mixes([])
