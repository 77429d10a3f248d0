"""`alb-mixup generate`: mixes of a dataset as a dataset."""

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from alb_mixup._support import checks
from alb_mixup.cli.source import open_source, tell_of_invalid
from alb_mixup.errors import ArgumentError
from alb_mixup.generation.run import generate

EXAMPLES = """\
examples:
  alb-mixup generate datasets/dogs mixed --multiplier 3 --workers 4
  alb-mixup generate datasets/dogs mixed --format yolo --drop-weights --ratio-range 0.45 0.55 --val datasets/dogs/images/val
  alb-mixup generate datasets/dogs s3://bucket/mixed --engine ray --workers 64 --address auto

After a stop of any kind, the same command goes on from what is done.
"""


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
        image_format=arguments.image_format,
        quality=arguments.quality,
        drop_weights=arguments.drop_weights,
        val=arguments.val,
        on_unreadable=arguments.on_unreadable,
        progress=not arguments.quiet,
    )
    return f"{root} holds the mixes of {arguments.src}; λ and sources are in {os.path.join(root, 'manifest.csv')}", 0
