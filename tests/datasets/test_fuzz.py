"""A few of the files that `python -m tests.datasets.fuzz` damages; run that for more."""

import sys

import pytest

from tests.datasets.fuzz import fuzz


@pytest.mark.skipif(sys.platform == "win32", reason="limits on memory are POSIX's")
def test_damaged_files_end_in_our_errors_or_none():
    assert fuzz(0, 400) == []
    assert fuzz(686, 1) == []  # a line of a list that named an absolute folder
