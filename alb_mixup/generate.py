"""Mixed sets on disk: one seeded plan, which any number of workers carries out, and which goes on after a stop."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

import alb_mixup
from alb_mixup import _backend, _checks
from alb_mixup._destination import WORK, Destination, Folder
from alb_mixup._pool import run_in_workers
from alb_mixup._progress import progress_bar
from alb_mixup.datasets import DetectionDataset
from alb_mixup.errors import AlbMixUpError, ArgumentError, OutputError
from alb_mixup.functional.boxes import to_xyxy
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.transform import MixUp, detection_pipeline
from alb_mixup.writers import LAYOUTS, Layout, WrittenImage

IMAGE_FORMATS = ("jpg", "png")

PLAN = f"{WORK}/plan.json"  # in the destination

_MANIFEST = "manifest.csv"
_DIGITS = 6
_TARGETS = {"image", "bboxes", "labels", "mixup_weight"}

# Makes and writes the outputs of these numbers, each by a `Writer`; returns their records as they are done.
Engine = Callable[[list[int]], Generator[dict[str, Any], None, None]]


@dataclass(frozen=True)
class Plan:
    """All that decides a mixed set: output `number` depends on this and nothing else, whoever makes it, and when.

    Its primary is image `number % len(dataset)`; its partner and λ come from a stream of its own, seeded with
    (seed, image, number // len(dataset)).

    Attributes:
        dataset: What is mixed, with itself.
        output_format: "coco", "yolo" or "voc".
        multiplier: How many mixes of each image.
        seed: Another seed, other partners.
        alpha: As for `MixUp`.
        fit_mode: As for `MixUp`.
        image_format: "jpg" or "png".
        quality: Of JPEG, 0 to 100.
        drop_weights: Write no weights, as strict readers want it.

    Raises:
        ArgumentError: An attribute breaks its constraint.
    """

    dataset: DetectionDataset
    output_format: str = "coco"
    multiplier: int = 1
    seed: int = 0
    alpha: float | tuple[float, float] = 1.5
    fit_mode: str = "contain"
    image_format: str = "jpg"
    quality: int = 95
    drop_weights: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, DetectionDataset) or not len(self.dataset):
            raise ArgumentError(
                "dataset must be a CocoDataset, YoloDataset or VocDataset with at least one image, got "
                f"{self.dataset!r}: open_dataset(path) opens any of them"
            )
        _checks.choice("output_format", self.output_format, tuple(LAYOUTS))
        _checks.choice("image_format", self.image_format, IMAGE_FORMATS)
        _checks.choice("fit_mode", self.fit_mode, FIT_MODES)
        _checks.beta_parameters(self.alpha)
        for name, low, high in (("multiplier", 1, 10**6), ("seed", 0, 2**63), ("quality", 0, 100)):
            value = _checks.whole_number(name, getattr(self, name))
            if not low <= value <= high:
                raise ArgumentError(f"{name} must be {low} to {high}, got {value}")
        self.layout()

    def __len__(self) -> int:
        return self.multiplier * len(self.dataset)

    def layout(self) -> Layout:
        """How the set is laid out."""
        return LAYOUTS[self.output_format](self.dataset.classes, weights=not self.drop_weights)

    def describe(self) -> dict[str, Any]:
        """All of it in JSON types: equal for plans that make the same files, byte by byte."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "dataset"}
        versions = {"alb_mixup": alb_mixup.__version__, "backend": _backend.VERSION, "opencv": cv2.__version__}
        described = {"dataset": self.dataset.fingerprint(), **settings, **versions}
        return described | {"alpha": list(_checks.beta_parameters(self.alpha))}


class Output(NamedTuple):
    """One mix, ready to be written.

    Attributes:
        record: JSON types: `number`, `files`, and what `WrittenImage` and the manifest hold of it.
        files: Contents by path below the destination.
    """

    record: dict[str, Any]
    files: dict[str, bytes]


class Mixer:
    """Makes the outputs of a plan; each process builds one.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._layout = plan, plan.layout()
        self._mixup = MixUp(plan.dataset, alpha=plan.alpha, fit_mode=plan.fit_mode, p=1.0)
        self._pipeline = detection_pipeline([self._mixup], plan.dataset.bbox_format)
        self._class_ids = {name: number for number, name in enumerate(plan.dataset.classes)}

    def make(self, number: int) -> Output:
        """Make one output.

        Raises:
            ImageReadError: One of its two images cannot be read.
        """
        plan, dataset = self._plan, self._plan.dataset
        variant, row = divmod(number, len(dataset))
        seed = int(np.random.SeedSequence((plan.seed, row, variant)).generate_state(1, np.uint64)[0])
        sample = {key: value for key, value in dataset[row].items() if key in _TARGETS}
        mixed = _backend.run_seeded(self._pipeline, sample, seed)
        drawn = self._mixup.get_applied_params()
        hw = mixed["image"].shape[:2]
        record: dict[str, Any] = {
            "number": number,
            "name": f"mixup_{number:0{_DIGITS}d}.{plan.image_format}",
            "hw": list(hw),
            "xyxy": to_xyxy(mixed["bboxes"], dataset.bbox_format, hw).tolist(),
            "class_ids": [self._class_ids[name] for name in mixed["labels"]],
            "weights": np.asarray(mixed["mixup_weight"], np.float64).tolist(),
            "ratio": drawn["ratio"],
            "primary": self._source(row),
            "partner": self._source(drawn["reference_index"]),
        }
        files = self._files(mixed["image"], written_image(record))
        return Output(record | {"files": list(files)}, files)

    def _source(self, index: int) -> str:
        return self._plan.dataset.image_path(index).relative_to(self._plan.dataset.root).as_posix()

    def _files(self, image: Any, written: WrittenImage) -> dict[str, bytes]:
        options = [cv2.IMWRITE_JPEG_QUALITY, self._plan.quality] if self._plan.image_format == "jpg" else []
        _, encoded = cv2.imencode(f".{self._plan.image_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        files = {f"{self._layout.images}/{written.name}": encoded.tobytes()}
        label_file = self._layout.label_file(written)
        return files if label_file is None else files | {label_file[0]: label_file[1].encode()}


def written_image(record: Mapping[str, Any]) -> WrittenImage:
    """The part of a record that a layout writes."""
    return WrittenImage(record["name"], tuple(record["hw"]), record["xyxy"], record["class_ids"], record["weights"])


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
    if _checks.whole_number("workers", workers) < 1:
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


class Writer:
    """Makes and writes outputs, and returns their records; each process that works builds one.

    Args:
        plan: The plan.
        destination: Where to.
    """

    def __init__(self, plan: Plan, destination: Destination) -> None:
        self._mixer, self._destination = Mixer(plan), destination

    def __call__(self, number: int) -> dict[str, Any]:
        """Make and write one output."""
        output = self._mixer.make(number)
        for path, content in output.files.items():
            self._destination.write(path, [content])
        return output.record


def _manifest(layout: Layout, records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The manifest as CSV: the image below the destination, λ, the two source images below the dataset's root."""
    rows = ([f"{layout.images}/{r['name']}", r["ratio"], r["primary"], r["partner"]] for r in records)
    for row in chain([["image", "ratio", "primary", "partner"]], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue().encode(errors="surrogateescape")  # file names of any bytes
