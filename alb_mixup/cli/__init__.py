"""`alb-mixup`: parses, calls, reports."""

import os
import sys
import warnings
from collections.abc import Sequence

import cv2

from alb_mixup._support import interrupt
from alb_mixup.cli.parser import parse
from alb_mixup.cli.terminal import PIPE_CLOSED, OutputClosed, complain, say
from alb_mixup.cli.words import in_shell_words
from alb_mixup.errors import AlbMixUpError, ImageReadError

_DEBUG = "ALB_MIXUP_DEBUG"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        Exit code: 0 done, 1 `check` found something invalid, 2 an error that one line on stderr explains, 130
        interrupted, 141 nobody reads the output any more.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        interrupt.raise_again()
        return _run(given)
    except KeyboardInterrupt:
        interrupt.ignore()
        goes_on = "; the same command goes on from what is done" if given[:1] == ["generate"] else ""
        complain(f"alb-mixup: interrupted{goes_on}")
        return interrupt.EXIT_CODE
    except OutputClosed:
        return PIPE_CLOSED
    finally:
        interrupt.ignore()


def _run(given: list[str]) -> int:
    """Carry out a command; every error is one line."""
    hint = ""
    try:
        arguments = parse(given)
        if getattr(arguments, "on_unreadable", None) == "stop":
            hint = "; --on-unreadable skip leaves such images out"
        with warnings.catch_warnings():
            warnings.showwarning = _ignore if arguments.quiet else _show
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with an image, we say ourselves
            text, code = arguments.run(arguments)
        if not arguments.quiet or getattr(arguments, "json", False):
            say(text)
    except (OutputClosed, KeyboardInterrupt):
        raise
    except (AlbMixUpError, OSError) as error:
        complain(f"alb-mixup: {in_shell_words(str(error))}{hint if isinstance(error, ImageReadError) else ''}")
        return 2
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        complain(
            f"alb-mixup: {type(error).__name__}: {error} (this should have been said better: please report it; "
            f"{_DEBUG}=1 shows where it comes from)"
        )
        return 2
    return int(code)


def _show(message: Warning | str, *_: object, **__: object) -> None:
    """Show what a warning says without the line of our source that gave it."""
    complain(f"alb-mixup: warning: {in_shell_words(str(message))}")


def _ignore(*_: object, **__: object) -> None:
    """Show no warning."""
