"""What the commands' options have in common."""

import argparse
import difflib
import math
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, get_args

from alb_mixup.cli.terminal import complain, say
from alb_mixup.datasets import Background, ClassWeights, RepeatFactor
from alb_mixup.datasets.annotations.validate import OnInvalid
from alb_mixup.datasets.partner_weights import Law
from alb_mixup.errors import ArgumentError
from alb_mixup.generation.plan import CHOICES, ON_UNREADABLE

EXIT_CODES = """\
exit codes:
  0    done; `check`: the dataset is clean
  1    `check` found something invalid
  2    could not run: one line on stderr says why
  130  interrupted by Ctrl-C
  141  nobody reads the output any more, as in `| head`
"""
_KINDS = ("repeat-factor", "class", "background")
SOURCE = "dataset: a COCO JSON file, a YOLO data.yaml, or a folder in one of these layouts or Pascal VOC's"


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
        message = f"{text} ({self.prog} --help says more)"
        raise ArgumentError(message)

    def refuse_unknown(self, unknown: Iterable[str]) -> None:
        """Refuse arguments that no option takes.

        Raises:
            ArgumentError: There are some.
        """
        for argument in unknown:
            known = [option for action in self._actions for option in action.option_strings]
            meant = _closest(argument.partition("=")[0], known)
            self.error(f"arguments must be those of {self.prog}, got {argument!r}{meant}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            name = action.metavar if isinstance(action.metavar, str) else "/".join(action.option_strings)
            raise ArgumentError(f"{name} must be one of {', '.join(choices)}, got {value!r}{_closest(value, choices)}")

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (complain if file is sys.stderr else say)(message.rstrip("\n"))


def _closest(got: str, known: Iterable[str]) -> str:
    """Ask whether a known word was meant, where one is like it."""
    found = difflib.get_close_matches(got, list(known), n=1)
    return f": did you mean {found[0]}?" if found else ""


def add_reading(command: argparse.ArgumentParser) -> None:
    """Add the options that say how SRC is read."""
    reading = command.add_argument_group("reading SRC")
    reading.add_argument("--split", help="such as train (default: all of VOC, train of YOLO, the only file of COCO)")
    reading.add_argument("--layout", choices=("coco", "yolo", "voc"), help="where SRC looks like more than one")
    reading.add_argument("--images", metavar="FOLDER", help="where the images are, if not where the layout has them")
    reading.add_argument(
        "--annotations", metavar="PATH", help="where the labels are: COCO's JSON file, or the folder of the others"
    )
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


def add_mixing(command: argparse.ArgumentParser) -> None:
    """Add the options that say how pairs are mixed."""
    mixing = command.add_argument_group("mixing")
    mixing.add_argument(
        "--alpha", type=real(0, above=True), default=1.5, metavar="A", help="ratio from Beta(A, A) (default: 1.5)"
    )
    mixing.add_argument(
        "--ratio-range", type=real(0, 1), nargs=2, metavar=("LOW", "HIGH"), help="uniform ratio in it, instead of Beta"
    )
    add_partners(mixing)
    mixing.add_argument("--fit-mode", default="contain", choices=CHOICES["fit_mode"], help="default: contain")
    mixing.add_argument(
        "--seed", type=whole(0, 2**63), default=0, metavar="S", help="another seed, other pairs (default: 0)"
    )
    mixing.add_argument(
        "--on-unreadable",
        choices=ON_UNREADABLE,
        default="stop",
        help="what to do where an image cannot be read: stop, or skip it and say how many (default: stop)",
    )


def add_partners(options: argparse._ActionsContainer) -> None:
    """Add the option that says how often each image is drawn as a partner."""
    options.add_argument(
        "--partners",
        type=_law,
        metavar="LAW",
        help="how often each image is drawn as a partner: repeat-factor:THRESHOLD (rare classes more often, such as "
        "0.001), class:NAME=WEIGHT[,NAME=WEIGHT] (others 1), or background:SHARE (of draws, for images without boxes); "
        "default: all alike",
    )


def _law(text: str) -> Law:
    """Read a law of partner weights."""
    kind, _, value = text.partition(":")
    try:
        if kind == "repeat-factor":
            return RepeatFactor(_number(value))
        if kind == "background":
            return Background(_number(value))
        if kind == "class":
            pairs = [pair.rpartition("=") for pair in value.split(",")]
            if not all(name.strip() for name, _, _ in pairs):
                raise ValueError("each class is given as NAME=WEIGHT")
            return ClassWeights({name.strip(): _number(weight) for name, _, weight in pairs})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a law whose numbers fit, got {text!r}: {error}") from error
    raise argparse.ArgumentTypeError(
        f"must be repeat-factor:THRESHOLD, class:NAME=WEIGHT or background:SHARE, got {text!r}{_closest(kind, _KINDS)}"
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
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


def real(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """Make an argument's type: finite numbers between bounds, of which `above` excludes the lower."""
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
