"""One file of decoded images, written whole or not at all, mapped by every process that reads it.

Layout: a header of `_HEADER` bytes (magic, then JSON padded with spaces); the pixels of each image, one after the
other, uint8 (h, w, 3) RGB; a table, little-endian int32 (n, 4): height and width as stored, height and width of the
whole image. An image that could not be read has 0 and 0 stored.
"""

import contextlib
import json
import mmap
import os
import platform
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from alb_mixup.errors import CacheError

_MAGIC = b"alb_mixup image cache 1\n"
_HEADER = 4096
_COLUMNS = 4

Stored = tuple[NDArray[np.uint8], tuple[int, int]]


def read_header(path: Path) -> dict[str, Any] | None:
    """What a cache file says it holds, or None where there is no file.

    Raises:
        CacheError: there is something else, it is damaged, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return _header_of(file, path)
    except FileNotFoundError:
        return None
    except CacheError:
        raise
    except OSError as error:
        raise CacheError(f"path must be a file to read or to write, got {path.as_posix()}: {error.strerror}") from error


def _header_of(file: BinaryIO, path: Path) -> dict[str, Any]:
    head, length = file.read(_HEADER), os.fstat(file.fileno()).st_size
    if not head.startswith(_MAGIC):
        raise CacheError(
            f"path must be a cache file or none yet, got {path.as_posix()}, which holds something else: give another "
            "path, or remove it"
        )
    try:
        header: dict[str, Any] = json.loads(head[len(_MAGIC) :])
    except ValueError:
        header = {"bytes": "a readable header"}
    if length != header["bytes"]:
        raise CacheError(
            f"the cache {path.as_posix()} is damaged: it has {length} bytes, not {header['bytes']}; remove it"
        )
    return header


def write(path: Path, holds: Mapping[str, Any], images: Iterable[Stored | None]) -> None:
    """Write a cache file beside its place, then move it there; after an error, nothing is left of it.

    Raises:
        CacheError: the disk is full, or the folder cannot be written to.
    """
    unfinished = path.with_name(f"{_unfinished(path)}{secrets.token_hex(4)}.tmp")
    try:
        with open(unfinished, "wb") as file:
            file.seek(_HEADER)
            table: list[tuple[int, int, int, int]] = []
            for stored in images:
                pixels, whole = stored or (np.zeros((0, 0, 3), np.uint8), (0, 0))
                file.write(np.ascontiguousarray(pixels).data)
                table.append((pixels.shape[0], pixels.shape[1], *whole))
            file.write(np.array(table, "<i4").tobytes())
            header = {**holds, "images": len(table), "bytes": file.tell()}
            file.seek(0)
            file.write((_MAGIC + json.dumps(header).encode()).ljust(_HEADER))
            file.flush()
            os.fsync(file.fileno())  # or after a power cut there may be the name without the pixels
        unfinished.replace(path)
    except OSError as error:
        raise CacheError(
            f"the cache cannot be written to {path.as_posix()}: {error.strerror}. Make room or give another path; "
            "nothing was left behind."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time build caches in a folder, where its file system can say so; remove what crashes left.

    It only saves work: two that build the same file at once both write it whole, and the second replaces the first.
    """
    if sys.platform == "win32":  # no locks on folders
        yield
        return
    import fcntl  # noqa: PLC0415  (POSIX only)

    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise CacheError(f"path must lie in a folder that exists, got {path.as_posix()}: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
            for left in path.parent.iterdir():
                if left.name.startswith(_unfinished(path)) and left.suffix == ".tmp":
                    left.unlink()
        yield
    finally:
        os.close(folder)


def _unfinished(path: Path) -> str:
    """How the names of unfinished files begin; other machines may be building on the same disk, unlocked."""
    return f".{path.name}.{platform.node()}."


class CacheFile:
    """A cache file, mapped read-only; it stays as it was opened, whatever is moved to its place later.

    Args:
        path: the file.

    Attributes:
        header: what the file says it holds.

    Raises:
        CacheError: it is no longer there, damaged, or something else.
    """

    def __init__(self, path: Path) -> None:
        try:
            with open(path, "rb") as file:
                self.header = _header_of(file, path)
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise CacheError(f"the cache {path.as_posix()} is no longer there: build it again") from error
        count = self.header["images"]
        start = self.header["bytes"] - count * _COLUMNS * 4
        self._table = np.ndarray((count, _COLUMNS), "<i4", buffer=self._mapped, offset=start)
        lengths = self._table[:, 0].astype(np.int64) * self._table[:, 1] * 3
        self._offsets = _HEADER + np.cumsum(lengths) - lengths

    def __getitem__(self, index: int) -> Stored | None:
        """Image `index`, a read-only view, and its whole height and width; None where it could not be read."""
        height, width, *whole = self._table[index].tolist()
        if height == 0:
            return None
        pixels = np.ndarray((height, width, 3), np.uint8, buffer=self._mapped, offset=int(self._offsets[index]))
        return pixels, (whole[0], whole[1])
