"""`alb-mixup`: parses, calls, reports."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import alb_mixup
from alb_mixup.datasets import DetectionDataset, VocDataset, sample_dataset
from alb_mixup.errors import AlbMixUpError, ArgumentError
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.preview import MixTriple, plot_mixes
from alb_mixup.transform import MixUp, detection_pipeline


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        Exit code: 0 done, 2 an error that a message on stderr explains.
    """
    arguments = _parser().parse_args(argv)
    try:
        print(arguments.run(arguments))  # noqa: T201  (reporting is what a command is for)
    except (AlbMixUpError, OSError) as error:
        print(f"alb-mixup: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alb-mixup", description="MixUp for object detection.")
    parser.add_argument("--version", action="version", version=f"alb-mixup {alb_mixup.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preview = commands.add_parser("preview", help="draw mixes of a dataset beside their originals")
    preview.set_defaults(run=_preview)
    preview.add_argument("src", nargs="?", help="Pascal VOC folder (default: the images inside the package)")
    preview.add_argument("--split", help="split of SRC, such as train (default: all of it)")
    preview.add_argument("-n", type=int, default=16, metavar="N", help="number of mixes (default: 16)")
    preview.add_argument("-o", "--output", type=Path, default=Path("mixup-preview.png"), help="PNG to write")
    preview.add_argument("--alpha", type=float, default=1.5, help="ratio from Beta(ALPHA, ALPHA) (default: 1.5)")
    preview.add_argument("--fit-mode", default="contain", choices=FIT_MODES, help="default: contain")
    preview.add_argument("--seed", type=int, default=0, help="another seed, other pairs (default: 0)")
    return parser


def _preview(arguments: argparse.Namespace) -> str:
    if arguments.n < 1:
        raise ArgumentError(f"-n must be at least 1, got {arguments.n}: give the number of mixes to draw")
    if arguments.seed < 0:
        raise ArgumentError(f"--seed must be at least 0, got {arguments.seed}")
    if not arguments.output.absolute().parent.is_dir():
        raise ArgumentError(f"-o must lie in a folder that exists, got {arguments.output}: make the folder first")
    if arguments.src is None and arguments.split is not None:
        raise ArgumentError(f"--split must come with SRC, got {arguments.split!r} alone: the embedded images have none")
    dataset = sample_dataset() if arguments.src is None else VocDataset(arguments.src, arguments.split)
    source = "the images inside the package" if arguments.src is None else arguments.src
    mixup = MixUp(dataset.annotated(), alpha=arguments.alpha, fit_mode=arguments.fit_mode, p=1.0)
    title = f"MixUp, λ ~ Beta({arguments.alpha:g}, {arguments.alpha:g}), {arguments.fit_mode}"
    mixes = _mixes(dataset.annotated(), mixup, arguments.n, arguments.seed)
    figure = plot_mixes(mixes, title=title, bbox_format=dataset.bbox_format)
    unfinished = arguments.output.with_name(f".{arguments.output.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(unfinished, format="png")
        unfinished.replace(arguments.output)
    finally:
        unfinished.unlink(missing_ok=True)
    return f"Wrote {arguments.output} ({arguments.n} mixes of {source})"


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
        yield MixTriple(primary, dataset[partner], mixed, record["ratio"], f"#{index}", f"#{partner}")
