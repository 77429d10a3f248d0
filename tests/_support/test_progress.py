"""A bar where somebody sees it."""

import io
import sys

import pytest

from alb_mixup._support import progress
from alb_mixup._support.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stderr", "shown", "draws"), [
    (Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False), (None, True, False),
])  # fmt: skip
def test_a_bar_is_drawn_on_a_terminal_alone(stderr, shown, draws, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(progress, "_DELAY", 0)
    assert list(progress_bar(iter("abc"), "reading", total=5, initial=2, shown=shown)) == ["a", "b", "c"]
    written = "" if stderr is None else stderr.getvalue()
    assert ("reading" in written and "5/5" in written) == draws
    assert draws or not written


def test_a_notebook_sees_it_too(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(progress, "_DELAY", 0)
    assert list(progress_bar([1], "reading", total=1)) == [1]
    assert "1/1" in stderr.getvalue()


def test_without_tqdm_there_is_none(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(progress_bar([1, 2], "reading", total=2)) == [1, 2]
    assert stderr.getvalue() == ""
