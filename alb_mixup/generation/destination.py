"""Where a mixed set is written."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alb_mixup._support.files import write_whole
from alb_mixup.errors import ArgumentError
from alb_mixup.generation.journal import Journal

WORK = ".mixup"  # in the destination: the plan, and until that is carried out, what is done and what is half done
_JOURNAL, _UNFINISHED = f"{WORK}/done.jsonl", f"{WORK}/unfinished"


class Destination:
    """Where a set is written. It can be pickled; all paths are below it, with "/"."""

    def read(self, path: str) -> bytes | None:
        """Contents of a file; None where there is none."""
        raise NotImplementedError

    def holds(self, path: str) -> bool:
        """Whether a file is there."""
        raise NotImplementedError

    def is_free(self) -> bool:
        """Whether nothing is there but what we have left there ourselves."""
        raise NotImplementedError

    def write(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a file, which appears whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        raise NotImplementedError

    def journal(self, count: int) -> Journal:
        """What is done of `count` outputs."""
        raise NotImplementedError

    def keep(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Called with the records of outputs that have just been written, by the process that wrote them."""

    def clear(self) -> None:
        """Leave nothing but the set and its plan."""
        raise NotImplementedError


class Folder(Destination):
    """A folder in the file system.

    Args:
        root: The folder; made by the first `write`.

    Raises:
        ArgumentError: `root` is a URL.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        if "://" in os.fspath(root):
            raise ArgumentError(
                f"destination must be a folder, got {os.fspath(root)!r}: URLs are for the Ray engine (--engine ray, "
                "alb_mixup.integrations.ray)"
            )
        self.root = Path(os.path.abspath(root))

    def __str__(self) -> str:
        return self.root.as_posix()

    def read(self, path: str) -> bytes | None:
        """Contents of a file; None where there is none."""
        return (self.root / path).read_bytes() if self.holds(path) else None

    def holds(self, path: str) -> bool:
        """Whether a file is there."""
        return (self.root / path).is_file()

    def is_free(self) -> bool:
        """Whether the folder is new, empty, or holds what we have left there ourselves."""
        if not self.root.exists():
            return True
        return self.root.is_dir() and not {entry.name for entry in self.root.iterdir()} - {WORK}

    def write(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a file beside, then rename it."""
        target, unfinished = self.root / path, self.root / _UNFINISHED
        for folder in (target.parent, unfinished):
            folder.mkdir(parents=True, exist_ok=True)
        write_whole(target, pieces, unfinished / f"{os.getpid()}-{target.name}")

    def journal(self, count: int) -> Journal:
        """An output whose files are gone is not done; `add` keeps records on disk, so that `keep` has nothing to do."""
        (self.root / WORK).mkdir(parents=True, exist_ok=True)
        return Journal(
            self.root / _JOURNAL, count, is_whole=lambda record: all(self.holds(path) for path in record["files"])
        )

    def clear(self) -> None:
        """Leave nothing but the set and its plan."""
        (self.root / _JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(self.root / _UNFINISHED, ignore_errors=True)
