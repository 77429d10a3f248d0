"""The commands and their options."""

import argparse
import difflib
import math
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NoReturn, get_args

from alb_mixup._version import __version__
from alb_mixup.cli import check, generate, preview
from alb_mixup.cli.terminal import complain, say
from alb_mixup.datasets.annotations.validate import OnInvalid
from alb_mixup.errors import ArgumentError
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.generation.layouts import LAYOUTS
from alb_mixup.generation.plan import IMAGE_FORMATS, ON_UNREADABLE

_EXAMPLES = """\
examples:
  alb-mixup check datasets/dogs                 what it holds, and what is wrong with it
  alb-mixup preview datasets/dogs -o mixes.png  mixes beside their originals
  alb-mixup generate datasets/dogs mixed --format yolo --multiplier 3
  alb-mixup COMMAND --help                      options and examples of a command
"""
_EXIT_CODES = """\
exit codes:
  0    done; `check`: the dataset is clean
  1    `check` found something invalid
  2    could not run: one line on stderr says why
  130  interrupted by Ctrl-C
  141  nobody reads the output any more, as in `| head`
"""
_SOURCE = "dataset: a COCO JSON file, a YOLO data.yaml, or a folder in one of these layouts or Pascal VOC's"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ours, one line each, and suggest what was probably meant."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            ArgumentError: Always.
        """
        text = message.removeprefix("argument ")
        text = re.sub(r"^the following arguments are required: (.*)", r"\1 must be given, got nothing", text)
        name, found, reason = text.partition(": must ")
        if found:  # by one of our own types, which know no name
            text = f"{name.rpartition('/')[2]} must {reason}"
        raise ArgumentError(f"{text} ({self.prog} --help says more)")

    def refuse_unknown(self, unknown: Iterable[str]) -> None:
        """Refuse arguments that no option takes.

        Raises:
            ArgumentError: There are some.
        """
        for argument in unknown:
            known = [option for action in self._actions for option in action.option_strings]
            meant = closest(argument.partition("=")[0], known)
            self.error(f"arguments must be those of {self.prog}, got {argument!r}{meant}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            name = action.metavar if isinstance(action.metavar, str) else "/".join(action.option_strings)
            raise ArgumentError(f"{name} must be one of {', '.join(choices)}, got {value!r}{closest(value, choices)}")

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        if message:
            (complain if file is sys.stderr else say)(message.rstrip("\n"))


def closest(got: str, known: Iterable[str]) -> str:
    """Ask whether a known word was meant, where one is like it."""
    found = difflib.get_close_matches(got, list(known), n=1)
    return f": did you mean {found[0]}?" if found else ""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        The options, and as `run` what carries the command out.

    Raises:
        ArgumentError: They cannot be read.
        SystemExit: Help or version was asked for and has been printed.
    """
    parser, commands = _parsers()
    arguments, unknown = parser.parse_known_args(argv)
    commands[arguments.command].refuse_unknown(unknown)
    return arguments


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="alb-mixup", description="MixUp for object detection.", epilog=f"{_EXAMPLES}\n{_EXIT_CODES}"
    )
    parser.add_argument("--version", action="version", version=f"alb-mixup {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=Parser)
    added = {}
    for name, does, add, examples in (
        ("check", "count what a dataset holds, and name what is wrong with it", _add_check, check.EXAMPLES),
        ("preview", "draw mixes of a dataset beside their originals", _add_preview, preview.EXAMPLES),
        ("generate", "write mixes of a dataset as a dataset, weights included", _add_generate, generate.EXAMPLES),
    ):
        added[name] = commands.add_parser(name, help=does, description=does, epilog=f"{examples}\n{_EXIT_CODES}")
        add(added[name])
        added[name].add_argument("-q", "--quiet", action="store_true", help="print errors alone: no report, no bar")
    return parser, added


def _add_check(command: Parser) -> None:
    command.set_defaults(run=check.run)
    command.add_argument("src", metavar="SRC", help=_SOURCE)
    _add_reading(command)
    command.add_argument(
        "--pixels", action="store_true", help="decode every image, rather than its header and its end alone"
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON, whose keys are below")


def _add_preview(command: Parser) -> None:
    command.set_defaults(run=preview.run)
    command.add_argument("src", nargs="?", metavar="SRC", help=f"{_SOURCE} (default: the images inside the package)")
    _add_reading(command)
    command.add_argument(
        "-n",
        type=_whole(1, preview.MOST),
        default=16,
        metavar="N",
        help=f"mixes, each drawn with its two originals, up to {preview.MOST} (default: 16)",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("mixup-preview.png"),
        metavar="PNG",
        help="file to write, or to write anew (default: mixup-preview.png)",
    )
    _add_mixing(command)


def _add_generate(command: Parser) -> None:
    command.set_defaults(run=generate.run)
    command.add_argument("src", metavar="SRC", help=_SOURCE)
    command.add_argument(
        "dst",
        metavar="DST",
        help="new or empty folder, or one that the same command has begun; for Ray also a URL, such as s3://",
    )
    _add_reading(command)
    command.add_argument("--format", default="coco", choices=LAYOUTS, help="layout of DST (default: coco)")
    command.add_argument(
        "--multiplier", type=_whole(1, 10**6), default=1, metavar="K", help="mixes of each image (default: 1)"
    )
    _add_mixing(command)
    command.add_argument(
        "--workers", type=_whole(1), default=1, metavar="N", help="processes that mix (default: 1)"
    )
    command.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="processes of this machine, or of a Ray cluster (default: local)",
    )
    command.add_argument("--address", help="of the Ray cluster, such as auto (default: Ray is started here)")
    command.add_argument("--image-format", default="jpg", choices=IMAGE_FORMATS, help="default: jpg")
    command.add_argument(
        "--quality", type=_whole(0, 100), default=95, metavar="Q", help="of JPEG, 0 to 100 (default: 95)"
    )
    command.add_argument(
        "--drop-weights",
        action="store_true",
        help="write no weights, for strict readers such as Ultralytics; then take --ratio-range or --min-weight",
    )
    command.add_argument(
        "--min-weight",
        type=_real(0, 1),
        default=0.0,
        metavar="W",
        help="leave out boxes of a smaller weight (default: 0)",
    )
    command.add_argument(
        "--val", metavar="PATH", help="validation images (a folder, or a file that lists them) that data.yaml names"
    )


def _add_reading(command: Parser) -> None:
    reading = command.add_argument_group("reading SRC")
    reading.add_argument("--split", help="such as train (default: all of VOC, train of YOLO, the only file of COCO)")
    reading.add_argument("--layout", choices=("coco", "yolo", "voc"), help="where SRC looks like more than one")
    reading.add_argument("--images", metavar="FOLDER", help="where the images are, if not where the layout has them")
    reading.add_argument(
        "--classes",
        metavar="NAMES",
        help="class names in their order: a text file with one on each line, or names separated by commas",
    )
    reading.add_argument(
        "--on-invalid",
        choices=get_args(OnInvalid),
        default="drop",
        help="what to do with an invalid annotation: drop it, raise the first as an error, or clip boxes to the image "
        "(default: drop)",
    )
    reading.add_argument("--keep-difficult", action="store_true", help="keep VOC's difficult objects")


def _add_mixing(command: Parser) -> None:
    mixing = command.add_argument_group("mixing")
    mixing.add_argument(
        "--alpha", type=_real(0, above=True), default=1.5, metavar="A", help="ratio from Beta(A, A) (default: 1.5)"
    )
    mixing.add_argument(
        "--ratio-range", type=_real(0, 1), nargs=2, metavar=("LOW", "HIGH"), help="uniform ratio in it, instead of Beta"
    )
    mixing.add_argument("--fit-mode", default="contain", choices=FIT_MODES, help="default: contain")
    mixing.add_argument(
        "--seed", type=_whole(0, 2**63), default=0, metavar="S", help="another seed, other pairs (default: 0)"
    )
    mixing.add_argument(
        "--on-unreadable",
        choices=ON_UNREADABLE,
        default="stop",
        help="what to do where an image cannot be read: stop, or skip it and say how many (default: stop)",
    )


def _whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Make an argument's type: whole numbers between bounds."""
    constraint = f"must be at least {low}" if high is None else f"must be {low} to {high}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"{constraint}, got {value}")
        return value

    return read


def _real(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """Make an argument's type: finite numbers between bounds, the lower one excluded where they are to be `above` it."""
    constraint = f"a number above {low}" if above else f"a number in [{low}, {high}]"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and math.isfinite(value)) or (above and value == low):
            raise argparse.ArgumentTypeError(f"must be {constraint}, got {text!r}")
        return value

    return read
