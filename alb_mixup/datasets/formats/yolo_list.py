"""Lists of images, wherever they were written."""

import os
from pathlib import Path

from alb_mixup.datasets.formats.listing import Listing


class ListLines:
    """Finds the images that the lines of a list name.

    Args:
        listing: What there is below the root.
        beside: The list's folder, below the root; empty, or with a slash at its end.
    """

    def __init__(self, listing: Listing, beside: str) -> None:
        self._listing, self._beside, self._skipped = listing, beside, 0

    def image(self, line: str) -> str:
        """Return an image below the root; one that does not exist as the line says it, one outside begins with ".."."""
        # "./" stands for the list's folder, as in Ultralytics
        if self._skipped == 0 and line[:1] not in "./" and ".." not in line and line in self._listing:
            return line
        for text in dict.fromkeys((line, line.replace("\\", "/"))):
            found = self._found(text)
            if found is not None:
                return found
        text = line.replace("\\", "/").replace("\0", "?")
        below = os.path.relpath(self._listing.root / self._beside / text, self._listing.root)
        return Path(below).as_posix()

    def _found(self, text: str) -> str | None:
        root = f"{self._listing.root.as_posix().rstrip('/')}/"
        own = os.path.normpath(self._beside + text[2:]) if text.startswith("./") else None
        inside = text.removeprefix(root).removeprefix("./")
        parts = inside.split("/")
        if ".." in parts:
            inside = os.path.normpath(self._beside + inside)
            return inside if not inside.startswith(("..", "/")) and inside in self._listing else None
        starts = range(1, len(parts))
        skipped = [self._skipped, *starts] if self._skipped in starts else starts  # most likely as for the line before
        shorter = ("/".join(parts[start:]) for start in skipped)
        if not inside.startswith("/"):
            for below in (own, inside, self._beside + inside, f"images/{inside}"):
                if below is not None and below in self._listing:
                    return below
        for start, below in zip(skipped, shorter, strict=True):
            if below in self._listing:
                self._skipped = start
                return below
        return None
