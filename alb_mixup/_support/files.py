"""Files that appear whole or not at all."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, pieces: Iterable[bytes], unfinished: Path) -> None:
    """Write a file beside, then rename it: whoever looks finds all of it, or what was there before.

    Args:
        path: The file.
        pieces: Its contents, written one after the other.
        unfinished: Where it is written first, in the same file system; nothing is left there.

    Raises:
        OSError: It cannot be written.
    """
    try:
        with open(unfinished, "wb") as file:
            file.writelines(pieces)
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
