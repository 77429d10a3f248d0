"""A progress bar where there is something to draw one with."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


def progress_bar(
    items: Iterable[_Item], label: str, *, total: int, initial: int = 0, shown: bool | None = None
) -> Iterator[_Item]:
    """Go through items with a bar on stderr; without one where tqdm (the `cli` extra) is not installed.

    Args:
        items: What to go through.
        label: What stands before the bar.
        total: How many there are, `initial` included.
        initial: How many are done already.
        shown: Whether to show the bar; None: on a terminal.
    """
    try:
        from tqdm import tqdm  # noqa: PLC0415
    except ImportError:
        yield from items
    else:
        disable = None if shown is None else not shown
        yield from tqdm(items, label, total, initial=initial, unit="image", disable=disable)
