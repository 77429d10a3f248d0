"""Masks as run lengths, written and compressed as pycocotools does."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from alb_mixup.datasets.annotations.shapes import compressed, draw_runs, runs_from, runs_of


@given(hw=st.tuples(st.integers(1, 70), st.integers(1, 70)), seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_run_lengths_are_those_of_pycocotools(hw, seed, share):
    mask = (np.random.default_rng(seed).random(hw) < share).astype(np.uint8)
    text = compressed(runs_of(mask))
    assert text == rle.encode(np.asfortranarray(mask))["counts"].decode()
    np.testing.assert_array_equal(draw_runs(runs_from(text, hw), hw), mask)


def test_run_lengths_of_all_lengths():
    """From one character to six, steps down and up."""
    mask = np.zeros((3000, 40_000), np.uint8)
    mask[:, 5:9] = mask[0, 11] = mask[-1, -1] = 1
    assert compressed(runs_of(mask)) == rle.encode(np.asfortranarray(mask))["counts"].decode()
