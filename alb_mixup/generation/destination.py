"""Where a mixed set is written."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alb_mixup._support import files
from alb_mixup._support.locks import lock
from alb_mixup.errors import ArgumentError, OutputError
from alb_mixup.generation.journal import Journal

WORK = ".mixup"  # in the destination: the plan, what is done, and until all is, what is half done
PLAN, JOURNAL, FINISHED = f"{WORK}/plan.json", f"{WORK}/done.jsonl", f"{WORK}/finished.json"
_UNFINISHED = f"{WORK}/unfinished"


class Destination:
    """Where a set is written. It can be pickled; all paths are below it, with "/"."""

    def read(self, path: str) -> bytes | None:
        """Contents of a file; None where there is none."""
        raise NotImplementedError

    def check(self, path: str) -> files.Check | None:
        """Length and checksum of a file; None where there is none."""
        raise NotImplementedError

    def is_free(self) -> bool:
        """Whether nothing is there but what we have left there ourselves."""
        raise NotImplementedError

    def write(self, path: str, pieces: Iterable[bytes], *, synced: bool = True) -> files.Check:
        """Write a file, which appears whole or not at all.

        Args:
            path: The file.
            pieces: Its contents.
            synced: Whether it has to be on disk when this returns; if not, `keep` sees to it.

        Returns:
            Length and checksum of what was written.

        Raises:
            OSError: It cannot be written.
        """
        raise NotImplementedError

    def remove(self, path: str) -> None:
        """Remove a file of the set, where it is there."""
        raise NotImplementedError

    def keep(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Have outputs on disk that this process has just written, before they are noted as done.

        Args:
            records: What is noted of each; `files` are its paths.
        """
        raise NotImplementedError

    def journal(self, count: int) -> Journal:
        """What is done of `count` outputs.

        Raises:
            OutputError: Another process is writing here.
        """
        raise NotImplementedError

    def clear(self) -> None:
        """Remove what is half done: nobody is writing any more."""
        raise NotImplementedError


class Folder(Destination):
    """A folder in the file system. Nothing below it is reached through a link, which might lead outside.

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
        found = self._inside(path)
        return found.read_bytes() if files.is_regular(found) else None

    def check(self, path: str) -> files.Check | None:
        """Length and checksum of a file; None where there is none."""
        return files.check_of_file(self._inside(path))

    def is_free(self) -> bool:
        """Whether the folder is new, empty, or holds what we have left there ourselves."""
        if not self.root.exists():
            return True
        return self.root.is_dir() and not {entry.name for entry in self.root.iterdir()} - {WORK}

    def write(self, path: str, pieces: Iterable[bytes], *, synced: bool = True) -> files.Check:
        """Write a file beside, then rename it."""
        target = self._inside(path)
        unfinished = self._inside(f"{_UNFINISHED}/{os.getpid()}-{target.name}")
        for folder in (target.parent, unfinished.parent):
            files.make_folder(folder)
        return files.write_whole(target, pieces, unfinished, synced=synced)

    def remove(self, path: str) -> None:
        """Remove a file, and have that on disk."""
        found = self._inside(path)
        if os.path.lexists(found):
            found.unlink()
            files.sync_folder(found.parent)

    def keep(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Sync the files of outputs, and the folders from theirs up to this one."""
        paths = [self._inside(path) for record in records for path in record["files"]]
        folders = {folder for parent in {path.parent for path in paths} for folder in (parent, *parent.parents)}
        files.sync(paths, [folder for folder in folders if folder.is_relative_to(self.root)])

    def journal(self, count: int) -> Journal:
        """A file that this process has locked."""
        path = self._inside(JOURNAL)
        files.make_folder(path.parent)
        if os.path.lexists(path) and (not files.is_regular(path) or os.lstat(path).st_nlink > 1):
            self.write(JOURNAL, [self.read(JOURNAL) or b""])  # a file of our own, in place of one that others share
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
        try:
            if lock(file.fileno(), wait=False) is False:
                raise OutputError(
                    f"destination must be written by one process at a time, got {self}, which another is writing: wait "
                    "for it, or take another folder"
                )
            files.sync_folder(path.parent)
            return Journal(file, count)
        except BaseException:
            file.close()
            raise

    def clear(self) -> None:
        """Remove what is half done."""
        unfinished = self._inside(f"{_UNFINISHED}/any").parent
        if unfinished.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            files.sync_folder(unfinished.parent)

    def _inside(self, path: str) -> Path:
        """A path below this folder, none of whose own folders is a link.

        Raises:
            OutputError: One of them is.
            ValueError: It is not below.
        """
        folders, found = path.split("/")[:-1], os.fspath(self.root)
        if path.startswith(("/", "\\")) or ".." in path.split("/"):
            raise ValueError(path)
        for name in folders:
            found = os.path.join(found, name)
            if os.path.islink(found) or _is_junction(found):
                raise OutputError(
                    f"destination must hold no links, got {found}, which leads elsewhere: nothing is written or "
                    "deleted there; remove the link, or take another folder"
                )
        return self.root / path


_is_junction: Callable[[str], bool] = getattr(os.path, "isjunction", lambda _: False)  # Windows; from Python 3.12
