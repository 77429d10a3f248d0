"""Mixed sets on disk: one seeded plan, which any number of workers carries out, and which goes on after a stop."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from alb_mixup._support import checks
from alb_mixup._support.progress import progress_bar
from alb_mixup.datasets import DetectionDataset
from alb_mixup.errors import AlbMixUpError, ArgumentError, OutputError
from alb_mixup.generation.destination import WORK, Destination, Folder
from alb_mixup.generation.layouts import Layout
from alb_mixup.generation.mixer import Writer, written_image
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.pool import run_in_workers

PLAN = f"{WORK}/plan.json"  # in the destination

_MANIFEST = "manifest.csv"

# Makes and writes the outputs of these numbers, each by a `Writer`; returns their records as they are done.
Engine = Callable[[list[int]], Generator[dict[str, Any], None, None]]


def generate(
    dataset: DetectionDataset,
    destination: str | os.PathLike[str],
    *,
    output_format: str = "coco",
    multiplier: int = 1,
    seed: int = 0,
    workers: int = 1,
    alpha: float | tuple[float, float] = 1.5,
    fit_mode: str = "contain",
    image_format: str = "jpg",
    quality: int = 95,
    drop_weights: bool = False,
    progress: bool = True,
) -> Path:
    """Mix a dataset with itself and write the mixes as a dataset, which `open_dataset` reads, weights included.

    Each image is the primary of `multiplier` mixes. Beside the set lies `manifest.csv`: λ and the two source images,
    relative to the dataset's root, of each mix. Boxes are written; masks and keypoints are not.

    The result depends on the dataset and the settings alone, not on `workers`. Stopped, by whatever, the same call
    goes on where it was: what is there is kept, what is missing is made, and the result is the same, byte by byte.

    Args:
        dataset: What to mix.
        destination: A new or empty folder, or one that the same call has begun (or finished: nothing is done then).
        output_format: "coco" (weights as key `mixup_weight` of each annotation), "yolo" (as the 6th column) or "voc"
            (as `<mixup_weight>` in each object).
        multiplier: How many mixes of each image.
        seed: Another seed, other partners and λ.
        workers: Processes that mix; 1 is this one.
        alpha: As for `MixUp`.
        fit_mode: As for `MixUp`.
        image_format: "jpg" or "png".
        quality: Of JPEG, 0 to 100.
        drop_weights: Write no weights, for readers that accept none: Ultralytics refuses a 6th column. VOC corners
            are whole pixels then.
        progress: Show a bar, where tqdm is installed.

    Returns:
        The destination.

    Raises:
        ArgumentError: An argument breaks its constraint.
        OutputError: `destination` holds something else, or cannot be written. What is written stays.
        ImageReadError: An image cannot be read.
        WorkerError: A worker was killed.
    """
    plan = Plan(dataset, output_format, multiplier, seed, alpha, fit_mode, image_format, quality, drop_weights)
    check_workers(workers)
    folder = Folder(destination)

    def in_processes(missing: list[int]) -> Generator[dict[str, Any], None, None]:
        return run_in_workers(Writer, (plan, folder), missing, min(workers, max(1, len(missing))))

    carry_out(plan, folder, in_processes, progress)
    return folder.root


def check_workers(workers: int) -> None:
    """Refuse a number of workers that does no work.

    Raises:
        ArgumentError: It is not a whole number of at least 1.
    """
    if checks.whole_number("workers", workers) < 1:
        raise ArgumentError(f"workers must be at least 1, got {workers}: 1 is one after the other")


def carry_out(plan: Plan, destination: Destination, engine: Engine, progress: bool) -> None:
    """Write what is missing of a plan's set; then the files about the whole of it.

    Args:
        plan: What is made.
        destination: Where to.
        engine: Who makes and writes the outputs.
        progress: Show a bar.

    Raises:
        OutputError: `destination` holds something else, or cannot be written.
        AlbMixUpError: What the engine raises.
    """
    try:
        _claim(destination, plan)
        if not destination.holds(_MANIFEST):
            _complete(destination, plan, engine, progress)
        destination.clear()
    except AlbMixUpError:
        raise
    except OSError as error:
        raise OutputError(
            f"destination must be a folder that can be written, got {destination}: {error.strerror or error}; what "
            "is there is whole, and the same call goes on from it when this is mended"
        ) from error


def _claim(destination: Destination, plan: Plan) -> None:
    """Make a destination this plan's, or find that it is."""
    described, text = plan.describe(), destination.read(PLAN)
    if text is not None:
        found = json.loads(text)
        changed = {key: value for key, value in described.items() if found.get(key) != value}
        other = [f"{key}={found.get(key)!r} (now {value!r})" for key, value in changed.items()]
        if other:
            raise OutputError(
                f"destination must be new, empty, or begun with the same dataset and settings, got {destination}, made "
                f"with {', '.join(other)}: take another folder"
            )
    elif not destination.is_free():
        raise OutputError(
            f"destination must be a new or an empty folder, got {destination}, which holds something else: nothing is "
            "overwritten; take another folder"
        )
    else:
        destination.write(PLAN, [json.dumps(described, indent=2).encode()])


def _complete(destination: Destination, plan: Plan, engine: Engine, progress: bool) -> None:
    """Make what is missing, then the files about the whole set."""
    layout = plan.layout()
    with contextlib.closing(destination.journal(len(plan))) as journal:
        missing = journal.missing()
        with contextlib.closing(engine(missing)) as done:
            for record in progress_bar(
                done, "mixing", total=len(plan), initial=len(plan) - len(missing), shown=progress
            ):
                journal.add(record)
        for path, pieces in layout.index_files(lambda: map(written_image, journal)):
            destination.write(path, (piece.encode() for piece in pieces))
        destination.write(_MANIFEST, _manifest(layout, journal))  # the last: with it the set is finished


def _manifest(layout: Layout, records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The manifest as CSV: the image below the destination, λ, the two source images below the dataset's root."""
    rows = ([f"{layout.images}/{r['name']}", r["ratio"], r["primary"], r["partner"]] for r in records)
    for row in chain([["image", "ratio", "primary", "partner"]], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue().encode(errors="surrogateescape")  # file names of any bytes
