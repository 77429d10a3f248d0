"""`alb-mixup check`: what a dataset holds, and what is wrong with it."""

import argparse
import dataclasses
import json
import os

from alb_mixup.cli.parser import SOURCE, add_partners, add_reading
from alb_mixup.cli.source import open_source
from alb_mixup.cli.words import in_shell_words
from alb_mixup.generation.verify import verify
from alb_mixup.view.report import as_json, partners_as_json, partners_report, report
from alb_mixup.view.survey import shares_of_draws, survey

EXAMPLES = """\
examples:
  alb-mixup check datasets/dogs
  alb-mixup check VOC2012 --split train --keep-difficult
  alb-mixup check annotations/train.json --images photos --pixels
  alb-mixup check datasets/dogs --partners repeat-factor:0.01
  alb-mixup check datasets/dogs --json | jq .invalid

keys of --json (new ones may come, none will go or change):
  path, layout, split         what was opened; layout is coco, yolo or voc
  splits                      all splits that SRC has
  clean                       true where the exit code is 0
  images, boxes               numbers
  images_without_boxes        number
  images_without_label_file   list of images, and
  label_files_without_image   list of label files, below SRC
  left_out                    objects left out on purpose: number by kind, such as crowd
  classes                     number of boxes by class
  weights                     {"lowest", "highest"}; null where there are no boxes
  box_sides                   number of boxes by side in pixels, the square root of the area
  image_sizes                 number of images by "WIDTHxHEIGHT"
  pixels_decoded              true with --pixels
  invalid                     list of {"file", "object", "reason"}; object is a position in the file, or null
  unreadable                  list of {"file", "reason"}: images
  remarks                     list of what is not invalid, but hardly meant, in words
  partners                    with --partners: {"law", "classes", "without_boxes"}; each class, and the images without
                              boxes, with their share of draws as {"before", "after"}; else null
  not_as_generated            of a set that `generate` wrote: list of what is not as it was written
"""


def add(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("src", metavar="SRC", help=SOURCE)
    add_reading(command)
    command.add_argument(
        "--pixels", action="store_true", help="decode every image, rather than its header and its end alone"
    )
    add_partners(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON, whose keys are below")


def run(arguments: argparse.Namespace) -> tuple[str, int]:
    """Survey SRC.

    Returns:
        The report, and 0 where SRC is clean, else 1.

    Raises:
        AlbMixUpError: An option breaks its constraint, or SRC cannot be opened.
    """
    dataset, law = open_source(arguments), arguments.partners
    drawn = None if law is None else shares_of_draws(law, dataset)
    found = survey(dataset, pixels=arguments.pixels, progress=not arguments.quiet)
    found = dataclasses.replace(found, remarks=tuple(map(in_shell_words, found.remarks)))
    damaged = verify(arguments.src) if os.path.isdir(arguments.src) else []
    is_clean = found.is_clean and not damaged
    if arguments.json:
        partners = None if drawn is None else {"law": law.to_spec(), **partners_as_json(drawn)}
        of_all = {"clean": is_clean, "partners": partners, "not_as_generated": damaged}
        text = json.dumps(as_json(found) | of_all, indent=2)
    else:
        lines = [f"not as `generate` wrote it: {len(damaged):,}", *map("  {}".format, damaged)] if damaged else []
        text = "\n".join([report(found), *lines, *([] if drawn is None else ["", partners_report(drawn)])])
    return text, 0 if is_clean else 1
