"""Some runs ended by signals; `python -m tests.generation.kill` ends hundreds."""

import sys

import pytest

from tests.generation.kill import end_and_take_up

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells which processes live")


def test_whatever_ends_a_run_the_same_call_ends_in_the_same_bytes(tmp_path):
    assert sum(end_and_take_up(3, 1, tmp_path).values()) == 3
