"""A progress bar where there is something to draw one with, and somebody to see it."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_DELAY = 0.5  # seconds: what is done sooner needs no bar


def progress_bar(
    items: Iterable[_Item], label: str, *, total: int, initial: int = 0, shown: bool = True
) -> Iterator[_Item]:
    """Go through items with a bar on stderr.

    There is none where tqdm (the `cli` extra) is not installed, and where stderr is neither a terminal nor a notebook:
    in a log, each of its frames would be a line.

    Args:
        items: What to go through.
        label: What stands before the bar.
        total: How many there are, `initial` included.
        initial: How many are done already.
        shown: Whether to show the bar at all.
    """
    try:
        from tqdm import tqdm  # noqa: PLC0415
    except ImportError:
        shown = False
    if not (shown and _is_watched()):
        yield from items
        return
    yield from tqdm(items, label, total, initial=initial, unit="image", delay=_DELAY, dynamic_ncols=True)


def _is_watched() -> bool:
    return sys.stderr is not None and (sys.stderr.isatty() or "ipykernel" in sys.modules)
