"""Regular files only: a pipe would hang its reader for ever, a device has no end."""

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read its bytes, unbuffered, if it is a regular one or a link to such.

    Raises:
        OSError: It cannot be opened, or it is a pipe, a device or the like.
    """
    return open(path, "rb", buffering=0, opener=_open)


def read_regular(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """Read a whole regular file.

    Args:
        path: The file.
        most: The most bytes that it may have; None: any number.

    Raises:
        OSError: It cannot be read, is not a regular file, or is longer.
    """
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        if most is not None and length > most:
            raise OSError(errno.EFBIG, f"it has {length:,} bytes, more than {most:,}")
        return file.read()


def read_text(path: str | os.PathLike[str], most: int | None = None) -> str:
    r"""Read a text file in UTF-8, with or without a byte order mark, every line of which ends in `\n`.

    Raises:
        OSError: As `read_regular`.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_regular(path, most).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would block
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder" if is_folder else "it is not a regular file")
    return descriptor
