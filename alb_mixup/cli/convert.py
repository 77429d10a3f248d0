"""`alb-mixup convert`: a dataset as it is, in another layout."""

import argparse

from alb_mixup.cli.parser import SOURCE, add_output, add_reading, add_shapes, whole
from alb_mixup.cli.source import open_source, tell_of_invalid
from alb_mixup.generation.plan import CHOICES
from alb_mixup.generation.write import write_dataset

EXAMPLES = """\
examples:
  alb-mixup convert VOC2012 dogs-yolo --split train --format yolo
  alb-mixup convert annotations/train.json dogs-segments --images photos --masks --format yolo
  alb-mixup convert person_keypoints_val2017.json poses --keypoints --format yolo
  alb-mixup convert datasets/dogs dogs-coco --classes classes.txt --on-invalid clip

Image files are copied as they are where that is possible. After a stop of any kind, the same command goes on from what
is done.
"""


def add(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("src", metavar="SRC", help=SOURCE)
    command.add_argument("dst", metavar="DST", help="new or empty folder, or one that the same command has begun")
    add_reading(command)
    add_shapes(command)
    add_output(command)
    command.add_argument(
        "--image-format",
        choices=CHOICES["image_format"],
        help="encode all images so (default: copy files as they are, where that is possible)",
    )
    command.add_argument("--drop-weights", action="store_true", help="write no weights, and whole pixels in VOC")
    command.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes that write (default: 1)")


def run(arguments: argparse.Namespace) -> tuple[str, int]:
    """Write SRC in another layout.

    Returns:
        Where it is, and what was left out on purpose, and 0.

    Raises:
        AlbMixUpError: An option breaks its constraint, or the set cannot be written.
    """
    dataset = open_source(arguments)
    tell_of_invalid(dataset, arguments)
    root = write_dataset(
        dataset,
        arguments.dst,
        output_format=arguments.format,
        image_format=arguments.image_format,
        quality=arguments.quality,
        drop_weights=arguments.drop_weights,
        val=arguments.val,
        workers=arguments.workers,
        progress=not arguments.quiet,
    )
    left_out = "".join(f"; {count:,} {kind} left out" for kind, count in dataset.left_out.items())
    return f"{root} holds {len(dataset):,} images of {arguments.src}{left_out}", 0
