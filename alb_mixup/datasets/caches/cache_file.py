"""One file of decoded images, written whole or not at all, mapped by every process that reads it.

Layout, all numbers little-endian: a header of `_HEADER` bytes (magic; JSON padded with spaces; in its last 4 bytes the
CRC-32 of what is before them); the pixels of each image, one after the other, uint8 (h, w, 3) RGB; a table with a row
for each image (`_TABLE`). An image that could not be read has the sizes 0. The header holds the CRC-32 of the table.
"""

import contextlib
import json
import mmap
import os
import platform
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from alb_mixup._support.files import is_regular, whole_file
from alb_mixup._support.locks import lock
from alb_mixup.datasets.caches.sources import Source
from alb_mixup.errors import CacheError

_FAMILY = b"alb_mixup image cache "
_MAGIC = _FAMILY + b"3\n"
_HEADER, _CRC = 4096, 4
_TABLE = np.dtype([
    ("stored", "<i4", 2),  # height and width
    ("whole", "<i4", 2),  # height and width of the whole image
    ("pixels", "<u4"),  # their CRC-32
    ("source", [("length", "<i8"), ("mtime_ns", "<i8"), ("crc32", "<u4")]),
])  # fmt: skip

Stored = tuple[NDArray[np.uint8], tuple[int, int]]


def read_header(path: Path) -> dict[str, Any] | None:
    """Return what a cache file says it holds; None where nothing is there. One of another version says nothing.

    Raises:
        CacheError: There is something else, it is damaged, or it cannot be read.
    """
    try:
        with _opened(path) as file:
            head = file.read(len(_MAGIC))
            if head != _MAGIC and head.startswith(_FAMILY):
                return {}
            file.seek(0)
            return _header_of(file, path)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if path.exists() and not is_regular(path.resolve()) and not path.is_dir():
            raise CacheError(
                f"path must be a cache file or none yet, got {path.as_posix()}, which holds something else: give "
                "another path, or remove it"
            )
        with open(path, "rb") as file:
            yield file
    except (FileNotFoundError, CacheError):
        raise
    except OSError as error:
        raise CacheError(
            f"path must be a file to read or to write, got {path.as_posix()} ({error.strerror}): give another path"
        ) from error


def _header_of(file: BinaryIO, path: Path) -> dict[str, Any]:
    head, length = file.read(_HEADER), os.fstat(file.fileno()).st_size
    if not head.startswith(_MAGIC):
        raise CacheError(
            f"path must be a cache file or none yet, got {path.as_posix()}, which holds something else: give another "
            "path, or remove it"
        )
    if len(head) < _HEADER or zlib.crc32(head[:-_CRC]) != int.from_bytes(head[-_CRC:], "little"):
        raise _damaged(path, "a header that is not what was written")
    try:
        header = json.loads(head[len(_MAGIC) : -_CRC])
        images, stated = header["images"], header["bytes"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "a header without its entries") from error
    if stated != length:
        raise _damaged(path, f"{length} bytes instead of {stated}")
    if type(images) is not int or not 0 <= images * _TABLE.itemsize <= length - _HEADER:
        raise _damaged(path, f"{images} images in {length} bytes")
    return dict(header)


def _damaged(path: Path, what: str) -> CacheError:
    return CacheError(
        f"path must be a cache file that is whole, got {path.as_posix()}, which is damaged ({what}): remove it, and it "
        "is built anew"
    )


def write(path: Path, holds: Mapping[str, Any], images: Iterable[tuple[Stored | None, Source]]) -> None:
    """Write a cache file beside its place, then move it there; after an error, nothing is left of it.

    Args:
        path: The file.
        holds: What its header says beside what all have.
        images: Each image, None where it could not be read, and the file that it was made of.

    Raises:
        CacheError: The disk is full, or the folder cannot be written to.
    """
    unfinished = path.with_name(f"{_unfinished(path)}{secrets.token_hex(4)}.tmp")
    try:
        with whole_file(path, unfinished, synced=True) as file:
            file.seek(_HEADER)
            table = []
            for stored, source in images:
                pixels, whole = stored or (np.zeros((0, 0, 3), np.uint8), (0, 0))
                pixels = np.ascontiguousarray(pixels)
                file.write(pixels.data)
                table.append((pixels.shape[:2], whole, zlib.crc32(pixels.data), source))
            end = np.array(table, _TABLE).tobytes()
            file.write(end)
            header = {**holds, "images": len(table), "bytes": file.tell(), "table_crc32": zlib.crc32(end)}
            head = (_MAGIC + json.dumps(header).encode()).ljust(_HEADER - _CRC)
            file.seek(0)
            file.write(head + zlib.crc32(head).to_bytes(_CRC, "little"))
    except OSError as error:
        raise CacheError(
            f"path must be a file that can be written, got {path.as_posix()} ({error.strerror}): make room or give "
            "another path; nothing was left behind"
        ) from error


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time build caches in a folder, where its file system can say so; remove what crashes left.

    It only saves work: two that build the same file at once both write it whole, and the second replaces the first.
    """
    try:
        folder = None if os.name == "nt" else os.open(path.parent, os.O_RDONLY)  # which Windows cannot open
    except OSError as error:
        raise CacheError(
            f"path must lie in a folder that exists, got {path.as_posix()} ({error.strerror}): make the folder first"
        ) from error
    try:
        if folder is not None and lock(folder, wait=True):
            with contextlib.suppress(OSError):
                for left in path.parent.iterdir():
                    if left.name.startswith(_unfinished(path)) and left.suffix == ".tmp":
                        left.unlink()
        yield
    finally:
        if folder is not None:
            os.close(folder)


def _unfinished(path: Path) -> str:
    """How the names of unfinished files begin; other machines may be building on the same disk, unlocked."""
    return f".{path.name}.{platform.node()}."


class CacheFile:
    """A cache file, mapped read-only; it stays as it was opened, whatever is moved to its place later.

    Count, sizes and total are checked when it is opened, an image's pixels when this process first asks for them.

    Args:
        path: The file.

    Attributes:
        header: What the file says it holds.

    Raises:
        CacheError: It is no longer there, damaged, or something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with _opened(path) as file:
                self.header = _header_of(file, path)
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise CacheError(
                f"path must be a cache that is there, got {path.as_posix()}, which is not: build it, by DiskCache(...)"
            ) from error
        count = self.header["images"]
        start = self.header["bytes"] - count * _TABLE.itemsize
        if zlib.crc32(self._mapped[start:]) != self.header.get("table_crc32"):
            raise _damaged(path, "a table that is not what was written")
        self._table = np.ndarray((count,), _TABLE, buffer=self._mapped, offset=start)
        sizes = np.concatenate([self._table["stored"], self._table["whole"]], axis=1)
        lengths = [height * width * 3 for height, width in self._table["stored"].tolist()]  # int: no overflow
        stored = np.array(lengths) > 0
        if np.any(sizes < 0) or np.any(sizes[stored] == 0) or sum(lengths) != start - _HEADER:
            raise _damaged(path, "images of other sizes than it has room for")
        self._offsets = _HEADER + np.cumsum(lengths, dtype=np.int64) - np.array(lengths, np.int64)
        self._checked = bytearray(count)

    def __getitem__(self, index: int) -> Stored | None:
        """Image `index`, a read-only view, and its whole height and width; None where it could not be read.

        Raises:
            CacheError: Its pixels are not those that were written.
        """
        row = self._table[index]
        height, width = row["stored"].tolist()
        if height * width == 0:
            return None
        pixels = np.ndarray((height, width, 3), np.uint8, buffer=self._mapped, offset=int(self._offsets[index]))
        if not self._checked[index]:
            if zlib.crc32(pixels.data) != row["pixels"]:
                raise _damaged(self._path, f"the pixels of image {index}")
            self._checked[index] = True
        return pixels, tuple(row["whole"].tolist())

    def source(self, index: int) -> Source:
        """The file that image `index` was made of."""
        return Source(*self._table[index]["source"].tolist())
