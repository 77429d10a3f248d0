"""The outputs of a plan, one by one: mixed, encoded, written."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support.files import check_of_file
from alb_mixup.datasets import DetectionDataset
from alb_mixup.datasets.annotations.image_classes import ImageClasses
from alb_mixup.errors import AlbMixUpError, ImageReadError, UnreadableImageWarning
from alb_mixup.functional.fit import Fit
from alb_mixup.generation.destination import Destination
from alb_mixup.generation.layouts import WrittenImage
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.record import KEYPOINT_FIELDS, NUMBERS, annotations_of, numbered, written_image
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.pipeline import detection_pipeline

_DIGITS = 6
_REDRAWS = 100  # partners that are tried where unreadable ones are skipped


class Output(NamedTuple):
    """One mix, ready to be written.

    Attributes:
        record: JSON types: `number`, `files` (paths), `sources` (length and checksum of each image that was read for
            it, or could not be), and what `WrittenImage` and the manifest hold of it. Of an output that was skipped:
            `number`, no files, `sources`, `primary`, and as `skipped` why.
        files: Contents by path below the destination; None: a file that must not be there.
    """

    record: dict[str, Any]
    files: dict[str, bytes | None]


class Mixer:
    """Makes the outputs of a plan; each process builds one.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._layout = plan, plan.layout()
        self._dataset = _Watched(plan.dataset)
        self._mixup = MixUp(
            self._dataset,
            alpha=plan.alpha,
            ratio_range=plan.ratio_range,
            fit_mode=plan.fit_mode,
            min_weight=plan.min_weight,
            index_fields=["keypoint_boxes", NUMBERS],
            partner_weights=plan.partner_weights,
            max_redraws=_REDRAWS if plan.on_unreadable == "skip" else 0,
            p=1.0,
        )
        self._pipeline = detection_pipeline(
            [self._mixup],
            plan.dataset.bbox_format,
            label_fields=["labels", "mixup_weight", NUMBERS],
            keypoint_fields=None if plan.dataset.keypoint_names is None else KEYPOINT_FIELDS,
        )

    def make(self, number: int) -> Output:
        """Make one output, or skip it where the plan says so: its record follows from the plan and the images alone.

        Raises:
            ImageReadError: One of its two images cannot be read.
        """
        self._dataset.asked.clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnreadableImageWarning)  # each is a primary too, and told of there
                return self._made(number)
        except ImageReadError as error:
            if self._plan.on_unreadable == "stop":
                raise
            row = number % len(self._plan.dataset)
            primary, its_own = self._source(row), self._plan.dataset.image_path(row).as_posix() in str(error)
            reason = str(error.__cause__ or error) if its_own else "has no partner that can be read"
            record = {"number": number, "files": [], "primary": primary, "skipped": reason, "sources": self._sources()}
            nothing = WrittenImage(self._name(number), (1, 1), np.zeros((0, 4)), [], [])
            return Output(record, dict.fromkeys(self._paths(nothing)))

    def _made(self, number: int) -> Output:
        plan, dataset = self._plan, self._plan.dataset
        variant, row = divmod(number, len(dataset))
        seed = int(np.random.SeedSequence((plan.seed, row, variant)).generate_state(1, np.uint64)[0])
        sample = self._dataset[row]
        # the index, so that another image is drawn; with itself mixed, an image has every box twice
        mixed = _backend.run_seeded(self._pipeline, sample | {"mixup_index": row}, seed)
        drawn = self._mixup.get_applied_params()
        record: dict[str, Any] = {
            "number": number,
            "name": self._name(number),
            **annotations_of(mixed, mixed["image"].shape[:2], dataset),
            "ratio": drawn["ratio"],
            "primary": self._source(row),
            "partner": self._source(drawn["reference_index"]),
            "sources": self._sources(),
        }
        files = self._files(mixed["image"], written_image(record))
        return Output(record | {"files": list(files)}, files)

    def _name(self, number: int) -> str:
        return f"mixup_{number:0{_DIGITS}d}.{self._plan.image_format}"

    def _source(self, index: int) -> str:
        return self._plan.dataset.image_path(index).relative_to(self._plan.dataset.root).as_posix()

    def _sources(self) -> dict[str, Any]:
        names = dict.fromkeys(map(self._source, self._dataset.asked))
        return {name: check_of_source(self._plan.dataset.root, name) for name in names}

    def _paths(self, image: WrittenImage) -> list[str]:
        label_file = self._layout.label_file(image)
        return [f"{self._layout.images}/{image.name}", *([] if label_file is None else [label_file[0]])]

    def _files(self, image: Any, written: WrittenImage) -> dict[str, bytes | None]:
        options = [cv2.IMWRITE_JPEG_QUALITY, self._plan.quality] if self._plan.image_format == "jpg" else []
        _, encoded = cv2.imencode(f".{self._plan.image_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        files: dict[str, bytes | None] = {f"{self._layout.images}/{written.name}": encoded.tobytes()}
        label_file = self._layout.label_file(written)
        return files if label_file is None else files | {label_file[0]: label_file[1].encode()}


class _Watched(Sequence[dict[str, Any]]):
    """A dataset that notes which images it was asked for, and whose samples number their boxes."""

    def __init__(self, dataset: DetectionDataset) -> None:
        self._dataset = dataset
        self.bbox_format, self.classes = dataset.bbox_format, dataset.classes
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        self.asked.append(index)
        return numbered(self._dataset[index])

    def image_classes(self) -> ImageClasses:
        """As the dataset's own."""
        return self._dataset.image_classes()

    def fitted(self, index: int, fit: Fit) -> tuple[dict[str, Any], tuple[int, int]]:
        """As the dataset's own."""
        self.asked.append(index)
        sample, whole = self._dataset.fitted(index, fit)
        return numbered(sample), whole


class Writer:
    """Makes and writes outputs; each process that works builds one.

    Args:
        plan: The plan.
        destination: Where to.
    """

    def __init__(self, plan: Plan, destination: Destination) -> None:
        self._mixer, self._destination = Mixer(plan), destination

    def __call__(self, numbers: Sequence[int]) -> "Written":
        """Make and write outputs, and have them on disk."""
        records: list[dict[str, Any]] = []
        error = None
        try:
            for number in numbers:
                records.append(self._write(number))  # noqa: PERF401  (an error comes after what was done before it)
        except (AlbMixUpError, OSError) as found:
            error = found
        if records:
            self._destination.keep(records)
        return Written(records, error)

    def _write(self, number: int) -> dict[str, Any]:
        record, files = self._mixer.make(number)
        checks = []
        for path, content in files.items():
            if content is None:
                self._destination.remove(path)
            else:
                checks.append(list(self._destination.write(path, [content], synced=False)))
        return record | {"checks": checks}


class Written(NamedTuple):
    """What a `Writer` has done.

    Attributes:
        records: Of the outputs that are on disk: the `Mixer`'s, and as `checks` length and checksum of each file.
        error: What it stopped at.
    """

    records: list[dict[str, Any]]
    error: Exception | None


def check_of_source(root: Path, name: str) -> list[int] | None:
    """Length and checksum of an image below a dataset's root, which may be a link; None where it cannot be read."""
    found = check_of_file(os.path.join(root, name), link=True)
    return None if found is None else list(found)
