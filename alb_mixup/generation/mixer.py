"""The outputs of a plan, one by one: mixed, encoded, written."""

import os
import warnings
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support.files import check_of_file
from alb_mixup.datasets.images.decode import read_upright
from alb_mixup.datasets.images.encode import encode_image
from alb_mixup.datasets.images.header import is_jpeg
from alb_mixup.errors import AlbMixUpError, ImageReadError, SampleError, UnreadableImageWarning
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.generation.destination import Destination
from alb_mixup.generation.layout import WrittenImage
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.record import KEYPOINT_FIELDS, annotations_of, written_image
from alb_mixup.generation.watch import Watch

_DIGITS = 6


class Output(NamedTuple):
    """One mix or original, ready to be written.

    Attributes:
        record: JSON types: `number`, `files` (paths), `sources` (length and checksum of each image that was read for
            it, or could not be), `mixups` (number, ratio and partner of each that was applied), `primary`, and what
            `WrittenImage` holds of it. Of an output that was skipped: `number`, no files, `sources`, `primary`, and as
            `skipped` why.
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
        self._plan, self._layout, self._watch = plan, plan.layout(), Watch(plan)
        self._of_source, self._of_mix = plan.kind(plan.dataset.bbox_format), plan.kind(self._watch.bbox_format)

    def make(self, number: int) -> Output:
        """Make one output, or skip it where the plan says so: its record follows from the plan and the images alone.

        Raises:
            ImageReadError: An image that it is made of cannot be read.
            SampleError: The pipeline fails, or returns what cannot be written.
        """
        self._watch.begin()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnreadableImageWarning)  # each is a primary too, and told of there
                return self._made(number)
        except ImageReadError as error:
            if self._plan.on_unreadable == "stop":
                raise
            own = self._plan.dataset.image_path(number % len(self._plan.dataset))
            its_own = own.as_posix() in str(error)
            reason = str(error.__cause__ or error) if its_own else "has no partner that can be read"
            record = {"number": number, "files": [], "primary": self._source(own), "skipped": reason}
            nothing = WrittenImage(self._name(number), (1, 1), np.zeros((0, 4)), [], [])
            return Output(record | {"sources": self._sources()}, dict.fromkeys(self._layout.files(nothing, b"")))

    def _made(self, number: int) -> Output:
        plan = self._plan
        variant, row = divmod(number, len(plan.dataset))
        own = plan.dataset.image_path(row)
        if variant < plan.multiplier:
            sample, kind, encoded = self._mixed(row, variant), self._of_mix, None
        else:
            sample, kind = self._watch.dataset[row], self._of_source
            encoded = self._copied(row, sample["image"])
        record: dict[str, Any] = {
            "number": number,
            "name": self._name(number),
            **annotations_of(sample, sample["image"].shape[:2], kind),
            "primary": self._source(own),
            "mixups": [[draw.mixup, draw.ratio, self._source(draw.partner)] for draw in self._watch.draws],
            "sources": self._sources(),
        }
        encoded = encoded or encode_image(sample["image"], plan.image_format, plan.quality)
        files = self._layout.files(written_image(record), encoded)
        return Output(record | {"files": list(files)}, dict(files))

    def _mixed(self, row: int, variant: int) -> dict[str, Any]:
        """Run the pipeline on a sample, its boxes in the pipeline's format."""
        seed = int(np.random.SeedSequence((self._plan.seed, row, variant)).generate_state(1, np.uint64)[0])
        sample = {key: value for key, value in self._watch.dataset[row].items() if key in self._watch.keys}
        if self._of_mix.bbox_format != self._of_source.bbox_format:
            hw = sample["image"].shape[:2]
            xyxy = to_xyxy(sample["bboxes"], self._of_source.bbox_format, hw)
            sample["bboxes"] = from_xyxy(xyxy, self._of_mix.bbox_format, hw).astype(np.float32)
        try:
            mixed = _backend.run_seeded(self._watch.pipeline, sample | self._watch.own_index(row), seed)
        except (AlbMixUpError, OSError):
            raise
        except Exception as error:
            source = self._source(self._plan.dataset.image_path(row))
            raise SampleError(
                f"pipeline must take every image, got {source}, at which it fails with "
                f"{type(error).__name__}: {error}; change it, such as by A.PadIfNeeded before a crop that is larger"
            ) from error
        image = mixed["image"]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise SampleError(
                "pipeline must return a uint8 image (H, W, 3), which files hold, got "
                f"{getattr(image, 'dtype', type(image).__name__)} {tuple(getattr(image, 'shape', ()))}: leave "
                "A.Normalize, A.ToFloat and ToTensorV2 to training, and let A.ToGray return 3 channels"
            )
        return mixed if self._of_mix.keypoint_names is None else _without_points_outside(mixed)

    def _name(self, number: int) -> str:
        variant, row = divmod(number, len(self._plan.dataset))
        kind, counted = ("mixup", number) if variant < self._plan.multiplier else ("original", row)
        return f"{kind}_{counted:0{_DIGITS}d}.{self._plan.image_format}"

    def _source(self, path: Path) -> str:
        root = self._plan.dataset.root
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()

    def _sources(self) -> dict[str, Any]:
        names = dict.fromkeys(map(self._source, self._watch.asked))
        return {name: check_of_source(self._plan.dataset.root, name) for name in names}

    def _copied(self, row: int, image: Any) -> bytes | None:
        """Return an image file's own bytes where every reader sees the same pixels in it; None: encode them."""
        dataset = self._plan.dataset
        if self._plan.image_format != "jpg":
            return None
        data = read_upright(dataset.image_path(row), dataset.image_size(row))
        if data is None or not is_jpeg(data):
            return None
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # gray where it is stored so
        return data if decoded is not None and np.array_equal(decoded, image[..., ::-1]) else None


def _without_points_outside(mixed: dict[str, Any]) -> dict[str, Any]:
    """Return a mix without the keypoints that have left its image: `remove_invisible=False` keeps them."""
    height, width = mixed["image"].shape[:2]
    points = np.asarray(mixed["keypoints"], np.float64).reshape(-1, 2) + _backend.PIXEL_CENTRE
    inside = list(np.all((points >= 0) & (points < [width, height]), axis=1))
    if all(inside):
        return mixed
    return mixed | {key: list(compress(mixed[key], inside)) for key in ("keypoints", *KEYPOINT_FIELDS)}


class Maker(Protocol):
    """Makes the outputs of a plan."""

    def make(self, number: int) -> Output:
        """Make one output."""
        ...


class Writer:
    """Makes and writes outputs; each process that works builds one.

    Args:
        plan: The plan.
        destination: Where to.
        maker: What makes them, from the plan.
    """

    def __init__(self, plan: Any, destination: Destination, maker: Callable[[Any], Maker] = Mixer) -> None:
        self._maker, self._destination = maker(plan), destination

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
        record, files = self._maker.make(number)
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
    """Length and checksum of an image, by its path or that below a dataset's root; None where it cannot be read.

    It may be a link.
    """
    found = check_of_file(os.path.join(root, name), link=True)
    return None if found is None else list(found)
