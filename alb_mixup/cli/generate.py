"""`alb-mixup generate`: mixes of a dataset as a dataset."""

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from alb_mixup._support import checks
from alb_mixup.cli.parser import SOURCE, add_mixing, add_reading, real, whole
from alb_mixup.cli.source import open_source, tell_of_invalid
from alb_mixup.errors import ArgumentError
from alb_mixup.generation.plan import CHOICES
from alb_mixup.generation.run import generate

EXAMPLES = """\
examples:
  alb-mixup generate datasets/dogs mixed --multiplier 3 --workers 4
  alb-mixup generate datasets/dogs mixed --format yolo --drop-weights --min-weight 0.3 --val datasets/dogs/val
  alb-mixup generate datasets/dogs mixed --partners class:poodle=4,pug=2
  alb-mixup generate datasets/dogs s3://bucket/mixed --engine ray --workers 64 --address auto

After a stop of any kind, the same command goes on from what is done.
"""


def add(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("src", metavar="SRC", help=SOURCE)
    command.add_argument(
        "dst",
        metavar="DST",
        help="new or empty folder, or one that the same command has begun; for Ray also a URL, such as s3://",
    )
    add_reading(command)
    command.add_argument(
        "--format", default="coco", choices=CHOICES["output_format"], help="layout of DST (default: coco)"
    )
    command.add_argument(
        "--multiplier", type=whole(1, 10**6), default=1, metavar="K", help="mixes of each image (default: 1)"
    )
    add_mixing(command)
    command.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes that mix (default: 1)")
    command.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="processes of this machine, or of a Ray cluster (default: local)",
    )
    command.add_argument("--address", help="of the Ray cluster, such as auto (default: Ray is started here)")
    command.add_argument("--image-format", default="jpg", choices=CHOICES["image_format"], help="default: jpg")
    command.add_argument(
        "--quality", type=whole(0, 100), default=95, metavar="Q", help="of JPEG, 0 to 100 (default: 95)"
    )
    command.add_argument(
        "--drop-weights",
        action="store_true",
        help="write no weights, for strict readers such as Ultralytics; then take --ratio-range or --min-weight",
    )
    command.add_argument(
        "--min-weight",
        type=real(0, 1),
        default=0.0,
        metavar="W",
        help="leave out boxes of a smaller weight (default: 0)",
    )
    command.add_argument(
        "--val", metavar="PATH", help="validation images (a folder, or a file that lists them) that data.yaml names"
    )


def run(arguments: argparse.Namespace) -> tuple[str, int]:
    """Write mixes of SRC.

    Returns:
        Where they are, and 0.

    Raises:
        AlbMixUpError: An option breaks its constraint, or the set cannot be made.
    """
    ratio_range = checks.ratio_range(arguments.ratio_range)
    engine: Callable[..., str | Path] = generate
    if arguments.engine == "ray":
        from alb_mixup.integrations import ray  # noqa: PLC0415  (the only command that needs it)

        engine = partial(ray.generate, address=arguments.address)
    elif arguments.address is not None:
        raise ArgumentError(f"--address must come with --engine ray, got {arguments.address!r} alone: add it")
    if arguments.val is not None and arguments.format != "yolo":
        raise ArgumentError(f"--val must come with --format yolo, got {arguments.val!r} alone: add it")
    dataset = open_source(arguments)
    tell_of_invalid(dataset, arguments)
    root = engine(
        dataset,
        arguments.dst,
        output_format=arguments.format,
        multiplier=arguments.multiplier,
        seed=arguments.seed,
        workers=arguments.workers,
        alpha=arguments.alpha,
        ratio_range=ratio_range,
        fit_mode=arguments.fit_mode,
        min_weight=arguments.min_weight,
        partner_weights=arguments.partners,
        image_format=arguments.image_format,
        quality=arguments.quality,
        drop_weights=arguments.drop_weights,
        val=arguments.val,
        on_unreadable=arguments.on_unreadable,
        progress=not arguments.quiet,
    )
    return f"{root} holds the mixes of {arguments.src}; λ and sources are in {os.path.join(root, 'manifest.csv')}", 0
