"""Files that appear whole or not at all, and stay through a power cut where that is asked for."""

import contextlib
import errno
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

Check = tuple[int, int]
"""Length in bytes and CRC-32 of what a file holds."""

_AT_ONCE = 8  # files that are synced at once: file systems then write their journal once for all of them
_PIECE = 2**20
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # what file systems answer that have no such thing


@contextlib.contextmanager
def whole_file(path: Path, unfinished: Path, *, synced: bool = False) -> Iterator[BinaryIO]:
    """Open a file that takes its place when the block ends without an error; until then, what was there stays.

    Args:
        path: The file.
        unfinished: Where it is written first, in the same file system; nothing is left there.
        synced: Whether it has to be on disk, with its name, when this is over.

    Yields:
        The file, open for writing.

    Raises:
        OSError: It cannot be written.
    """
    try:
        unfinished.unlink(missing_ok=True)  # of a process that was killed; or a link, which "x" does not follow
        with open(unfinished, "xb") as file:
            yield file
            if synced:
                file.flush()
                os.fsync(file.fileno())  # or after a power cut there may be the name without its contents
        os.replace(unfinished, path)
        if synced:
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_whole(path: Path, pieces: Iterable[bytes], unfinished: Path, *, synced: bool = False) -> Check:
    """Write a file beside, then rename it: a reader finds all of it, or what was there before.

    Args:
        path: The file.
        pieces: Its contents, written one after the other.
        unfinished: As for `whole_file`.
        synced: As for `whole_file`.

    Returns:
        What was written.

    Raises:
        OSError: It cannot be written.
    """
    length = crc = 0
    with whole_file(path, unfinished, synced=synced) as file:
        for piece in pieces:
            file.write(piece)
            length, crc = length + len(piece), zlib.crc32(piece, crc)
    return length, crc


def check_of(pieces: Iterable[bytes]) -> Check:
    """Return length and checksum of contents."""
    length = crc = 0
    for piece in pieces:
        length, crc = length + len(piece), zlib.crc32(piece, crc)
    return length, crc


def check_of_file(path: str | os.PathLike[str], *, link: bool = False) -> Check | None:
    """Return length and checksum of a regular file; None where there is none, or it cannot be read.

    Args:
        path: The file.
        link: Whether it may be a link to one.
    """
    try:
        if not stat.S_ISREG((os.stat if link else os.lstat)(path).st_mode):
            return None
        with open(path, "rb") as file:
            return check_of(iter(lambda: file.read(_PIECE), b""))
    except OSError:
        return None


def is_regular(path: Path) -> bool:
    """Tell whether a regular file is there: not a link, a folder, or a pipe that would never end."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where there are none, and have their names on disk."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync(files: Iterable[str | os.PathLike[str]], folders: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Have files, and the names in folders, on disk; all at once, which costs little more than one of them.

    Raises:
        OSError: One of them is gone, or cannot be written.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        synced = [pool.submit(_sync_file, path) for path in files]
        synced += [pool.submit(sync_folder, path) for path in folders]
        for done in synced:
            done.result()


def _sync_file(path: str | os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Have the names in a folder on disk, where the system can be told so (Windows cannot)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
