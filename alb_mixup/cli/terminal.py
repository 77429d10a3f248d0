"""What reaches the terminal, whatever its encoding, and whether or not it still listens."""

import errno
import os
import sys
from typing import TextIO

from alb_mixup._support.text import printable
from alb_mixup.errors import OutputError

PIPE_CLOSED = 141  # what shells expect of a program that SIGPIPE ends
# What stands for our own symbols where the terminal's encoding lacks one of them.
_PLAIN = str.maketrans({"█": "#", "×": "x", "λ": "lambda", "α": "alpha", "…": "...", "–": "-", "→": "->"})


class OutputClosed(Exception):  # noqa: N818  (no error: whoever read has read enough)
    """Nobody reads stdout any more."""


def say(text: str) -> None:
    """Write lines to stdout, at once.

    Raises:
        OutputClosed: Nobody reads them any more.
        OutputError: They cannot be written.
    """
    try:
        _write(sys.stdout, text)
    except OSError as error:
        give_up(sys.stdout)
        if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
            raise OutputClosed from error
        raise OutputError(
            f"stdout must take the output, got an error: {error.strerror or error}; send it elsewhere"
        ) from error


def complain(text: str) -> None:
    """Write one line to stderr; where that is impossible too, be silent."""
    try:
        _write(sys.stderr, " ".join(text.split()))
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO | None) -> None:
    """Send what a stream still holds to nowhere: Python would try again at its end, and fail with a traceback."""
    try:
        descriptor = stream.fileno() if stream is not None else None
    except (OSError, ValueError):  # a stream of the caller's, not the process's
        return
    if descriptor is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed by who started us
        return
    harmless = "\n".join(map(printable, text.split("\n")))
    stream.write(f"{_encodable(harmless, getattr(stream, 'encoding', None) or 'utf-8')}\n")
    stream.flush()


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text
