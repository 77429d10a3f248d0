"""`alb-mixup`: parses, calls, reports."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import cv2

from alb_mixup._support import interrupt
from alb_mixup.cli import check, convert, generate, preview
from alb_mixup.cli.parser import EXIT_CODES, Parser
from alb_mixup.cli.terminal import PIPE_CLOSED, OutputClosed, complain, say
from alb_mixup.cli.words import in_shell_words
from alb_mixup.errors import AlbMixUpError, AlbMixUpWarning, ImageReadError
from alb_mixup.generation.plan import VERSIONS

_EXAMPLES = """\
examples:
  alb-mixup check datasets/dogs                 what it holds, and what is wrong with it
  alb-mixup preview datasets/dogs -o mixes.png  mixes beside their originals
  alb-mixup generate datasets/dogs mixed --format yolo --multiplier 3
  alb-mixup convert datasets/dogs dogs-coco --format coco
  alb-mixup COMMAND --help                      options and examples of a command
"""
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
        goes_on = "; the same command goes on from what is done" if given[:1] in (["generate"], ["convert"]) else ""
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
        arguments = _parse(given)
        if getattr(arguments, "on_unreadable", None) == "stop":
            hint = "; --on-unreadable skip leaves such images out"
        with warnings.catch_warnings():
            warnings.filterwarnings("always", category=AlbMixUpWarning)
            warnings.showwarning = _ignore if arguments.quiet else _show
            _silence_opencv()
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


def _silence_opencv() -> None:
    """What is wrong with an image, we say ourselves."""
    where: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # in OpenCV 4, and in OpenCV 5
    where.setLogLevel(0)


def _parse(given: list[str]) -> argparse.Namespace:
    """Read the options, and as `run` what carries their command out."""
    parser = Parser(prog="alb-mixup", description="MixUp for object detection.", epilog=f"{_EXAMPLES}\n{EXIT_CODES}")
    parser.add_argument("--version", action="version", version=f"alb-mixup {VERSIONS['alb_mixup']}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    added = {}
    for name, does, command in (
        ("check", "count what a dataset holds, and name what is wrong with it", check),
        ("preview", "draw mixes of a dataset beside their originals", preview),
        ("generate", "write mixes of a dataset as a dataset, weights included", generate),
        ("convert", "write a dataset in another layout, weights included", convert),
    ):
        added[name] = commands.add_parser(name, help=does, description=does, epilog=f"{command.EXAMPLES}\n{EXIT_CODES}")
        added[name].set_defaults(run=command.run)
        command.add(added[name])
        added[name].add_argument("-q", "--quiet", action="store_true", help="print errors alone: no report, no bar")
    arguments, unknown = parser.parse_known_args(given)
    added[arguments.command].refuse_unknown(unknown)
    return arguments


def _show(message: Warning | str, *_: object, **__: object) -> None:
    """Show what a warning says without the line of our source that gave it."""
    complain(f"alb-mixup: warning: {in_shell_words(str(message))}")


def _ignore(*_: object, **__: object) -> None:
    """Show no warning."""
