"""`alb-mixup`: parses, calls, reports."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alb_mixup._support.files import write_whole
from alb_mixup._version import __version__
from alb_mixup.datasets import DetectionDataset, open_dataset, sample_dataset
from alb_mixup.errors import AlbMixUpError, ArgumentError, DatasetError, InvalidAnnotationWarning
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.generation.layouts import LAYOUTS
from alb_mixup.generation.plan import IMAGE_FORMATS
from alb_mixup.generation.run import generate
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.pipeline import detection_pipeline
from alb_mixup.view.pages import MixTriple, plot_mixes
from alb_mixup.view.report import report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 400  # mixes on a page that programs still open


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        Exit code: 0 done, 1 `check` found invalid annotations, 2 an error that one line on stderr explains, 130
        interrupted.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            text, code = arguments.run(arguments)
        except (AlbMixUpError, OSError) as error:
            _complain(f"alb-mixup: {error}")
            return 2
        except KeyboardInterrupt:
            _complain("alb-mixup: interrupted; the same command goes on from what is done")
            return 130
    print(text)  # noqa: T201  (reporting is what a command is for)
    return int(code)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Show what a warning says without the line of our source that gave it."""
    _complain(f"alb-mixup: warning: {message}")


def _complain(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alb-mixup", description="MixUp for object detection.")
    parser.add_argument("--version", action="version", version=f"alb-mixup {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    source = "COCO JSON file, YOLO data.yaml, or a folder in one of these layouts or Pascal VOC's"
    split = "split of SRC, such as train (default: all of VOC, train of YOLO, the only file of COCO)"
    check = commands.add_parser("check", help="count what a dataset holds, and name every invalid annotation")
    check.set_defaults(run=_check)
    check.add_argument("src", help=source)
    check.add_argument("--split", help=split)
    preview = commands.add_parser("preview", help="draw mixes of a dataset beside their originals")
    preview.set_defaults(run=_preview)
    preview.add_argument("src", nargs="?", help=f"{source} (default: the images inside the package)")
    preview.add_argument("--split", help=split)
    preview.add_argument(
        "-n", type=int, default=16, metavar="N", help="number of mixes, each drawn with its two originals (default: 16)"
    )
    preview.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("mixup-preview.png"),
        help="PNG to write, or to write anew (default: mixup-preview.png)",
    )
    _add_mixing(preview)
    generate_ = commands.add_parser("generate", help="write mixes of a dataset as a dataset, weights included")
    generate_.set_defaults(run=_generate)
    generate_.add_argument("src", help=source)
    generate_.add_argument(
        "dst", help="new or empty folder, or one that the same command has begun; for Ray also a URL, such as s3://"
    )
    generate_.add_argument("--split", help=split)
    generate_.add_argument("--format", default="coco", choices=LAYOUTS, help="layout of DST (default: coco)")
    generate_.add_argument("--multiplier", type=int, default=1, metavar="K", help="mixes of each image (default: 1)")
    _add_mixing(generate_)
    generate_.add_argument("--workers", type=int, default=1, metavar="N", help="processes that mix (default: 1)")
    generate_.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="processes of this machine, or of a Ray cluster (default: local)",
    )
    generate_.add_argument("--address", help="of the Ray cluster, such as auto (default: Ray is started here)")
    generate_.add_argument("--image-format", default="jpg", choices=IMAGE_FORMATS, help="default: jpg")
    generate_.add_argument("--quality", type=int, default=95, help="of JPEG, 0 to 100 (default: 95)")
    generate_.add_argument(
        "--drop-weights",
        action="store_true",
        help="write no weights, for strict readers such as Ultralytics",
    )
    return parser


def _add_mixing(command: argparse.ArgumentParser) -> None:
    command.add_argument("--alpha", type=float, default=1.5, help="ratio from Beta(ALPHA, ALPHA) (default: 1.5)")
    command.add_argument("--fit-mode", default="contain", choices=FIT_MODES, help="default: contain")
    command.add_argument("--seed", type=int, default=0, help="another seed, other pairs (default: 0)")


def _check(arguments: argparse.Namespace) -> tuple[str, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)  # the report names them all
        dataset = open_dataset(arguments.src, arguments.split)
    return report(dataset), 1 if dataset.invalid else 0


def _preview(arguments: argparse.Namespace) -> tuple[str, int]:
    if not 1 <= arguments.n <= _MOST:
        raise ArgumentError(f"-n must be 1 to {_MOST}, got {arguments.n}: give the number of mixes to draw")
    if arguments.seed < 0:
        raise ArgumentError(f"--seed must be at least 0, got {arguments.seed}")
    if arguments.src is None and arguments.split is not None:
        raise ArgumentError(f"--split must come with SRC, got {arguments.split!r} alone: the embedded images have none")
    _check_output(arguments.output)
    source = "the images inside the package" if arguments.src is None else arguments.src
    dataset = sample_dataset() if arguments.src is None else open_dataset(arguments.src, arguments.split)
    dataset = dataset.annotated()
    if not len(dataset):
        raise DatasetError(f"SRC must have images with boxes, got none in {source}: there is nothing to mix")
    mixup = MixUp(dataset, alpha=arguments.alpha, fit_mode=arguments.fit_mode, p=1.0)
    title = f"MixUp, λ ~ Beta({arguments.alpha:g}, {arguments.alpha:g}), {arguments.fit_mode}"
    mixes = _mixes(dataset, mixup, arguments.n, arguments.seed)
    _write_png(plot_mixes(mixes, title=title, bbox_format=dataset.bbox_format), arguments.output)
    return f"Wrote {arguments.output} ({arguments.n} mixes of {source})", 0


def _generate(arguments: argparse.Namespace) -> tuple[str, int]:
    engine: Callable[..., str | Path] = generate
    if arguments.engine == "ray":
        from alb_mixup.integrations import ray  # noqa: PLC0415  (the only command that needs it)

        engine = partial(ray.generate, address=arguments.address)
    elif arguments.address is not None:
        raise ArgumentError(f"--address must come with --engine ray, got {arguments.address!r} alone: add it")
    dataset = open_dataset(arguments.src, arguments.split)
    root = engine(
        dataset,
        arguments.dst,
        output_format=arguments.format,
        multiplier=arguments.multiplier,
        seed=arguments.seed,
        workers=arguments.workers,
        alpha=arguments.alpha,
        fit_mode=arguments.fit_mode,
        image_format=arguments.image_format,
        quality=arguments.quality,
        drop_weights=arguments.drop_weights,
    )
    mixes = arguments.multiplier * len(dataset)
    return f"{root} holds {mixes} mixes of {arguments.src}; λ and sources are in {root}/manifest.csv", 0


def _check_output(output: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if output.suffix.lower() not in {"", ".png"}:
        raise ArgumentError(f"-o must be a PNG, got {output}: end it in .png")
    if not output.name or (output.exists() and not output.is_file()):
        raise ArgumentError(f"-o must be a file, got {str(output)!r}: give a file's name, such as preview.png")
    if not output.absolute().parent.is_dir():
        raise ArgumentError(f"-o must lie in a folder that exists, got {output}: make the folder first")


def _write_png(figure: "Figure", output: Path) -> None:
    """Write a figure whole or not at all; through a symbolic link, to where it points."""
    target = Path(os.path.realpath(output))
    page = io.BytesIO()
    figure.savefig(page, format="png")
    try:
        write_whole(target, [page.getvalue()], target.with_name(f".{target.name}.{os.getpid()}.tmp"))
    except OSError as error:  # whose own words would name the temporary file
        raise ArgumentError(f"-o cannot be written, got {output}: {error.strerror or error}") from error


def _mixes(dataset: DetectionDataset, mixup: MixUp, count: int, seed: int) -> Iterator[MixTriple]:
    """Mix `count` images, each of them once before any comes twice."""
    pipeline = detection_pipeline([mixup], dataset.bbox_format, seed)
    generator = np.random.default_rng(seed)
    order = np.concatenate([generator.permutation(len(dataset)) for _ in range(-(-count // len(dataset)))])
    for index in order[:count].tolist():
        primary = dataset[index]
        mixed = pipeline(**primary)
        record = mixup.get_applied_params()
        partner = record["reference_index"]
        names = (dataset.image_path(number).stem for number in (index, partner))
        yield MixTriple(primary, dataset[partner], mixed, record["ratio"], *names)
