"""What an output is made of: a copy of the plan's pipeline that notes the images it reads and the partners it draws."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from alb_mixup import _backend
from alb_mixup.datasets import CachedDataset, DetectionDataset, DiskCache, MosaicDataset
from alb_mixup.functional.fit import Fit
from alb_mixup.generation.pipeline import images_of
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.record import NUMBERS, numbered
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.partner import Partner
from alb_mixup.transforms.pipeline import mixups_of
from alb_mixup.transforms.reference import Read, Reference

_REDRAWS = 100  # partners that are tried where unreadable ones are skipped


class Draw(NamedTuple):
    """A partner that was mixed in.

    Attributes:
        mixup: Which MixUp of the pipeline, counted from 1 in the order in which they stand.
        ratio: The primary's share.
        partner: Its image; of a mosaic, the image that shows most.
    """

    mixup: int
    ratio: float
    partner: Path


class Watch:
    """A plan's pipeline as one process runs it: a copy, whose MixUps without a reference draw from the dataset.

    Args:
        plan: The plan.

    Attributes:
        pipeline: The copy. Where the dataset has masks or keypoints, it numbers boxes on their way.
        bbox_format: Format of its boxes.
        keys: What it takes of a sample.
        dataset: The plan's dataset, watched too.
        asked: Images that were asked for since the last `begin`.
        draws: Partners that were mixed in since then, in that order.
    """

    def __init__(self, plan: Plan) -> None:
        self.asked: list[Path] = []
        self.draws: list[Draw] = []
        has_parts = plan.dataset.has_masks or plan.dataset.keypoint_names is not None
        self.dataset = _Watched(plan.dataset, self.asked, has_parts)
        given = plan.recipe()
        kept = [mixup.reference for mixup in mixups_of(given)]  # datasets, of which no process needs a copy
        self.pipeline = copy.deepcopy(given, {id(reference): reference for reference in kept})
        self._own: list[tuple[str, Any, Callable[[int], int | None]]] = []
        for number, mixup in enumerate(dict.fromkeys(mixups_of(self.pipeline)), 1):  # one may stand in two places
            held = mixup._held
            if mixup.reference is None:
                held = MixUp(**mixup.get_transform_init_args() | {"reference": plan.dataset})._held
            if has_parts:
                mixup.index_fields = [*mixup.index_fields, NUMBERS]
                if held.transform is not None:
                    _backend.add_label_field(held.transform, NUMBERS)
            samples, images = _watched(held.samples, self.asked, has_parts), images_of(held.samples)
            redraws = _REDRAWS if plan.on_unreadable == "skip" else 0
            mixup._held = _Noted(held, samples, partial(self._note, number, images), redraws)
            self._own.append((mixup.index_key, samples, _positions(plan.dataset, images)))
        if has_parts:
            _backend.add_label_field(self.pipeline, NUMBERS)
        processors = self.pipeline.processors
        fields = [field for processor in processors.values() for field in processor.params.label_fields or ()]
        self.bbox_format = _backend.coord_format(processors["bboxes"])
        self.keys = {"image", *processors, *fields, *(["masks"] if plan.dataset.has_masks else [])}

    def begin(self) -> None:
        """Forget what was noted."""
        self.asked.clear()
        self.draws.clear()

    def own_index(self, row: int) -> dict[str, list[tuple[Any, int]]]:
        """Return what a call says of its primary, so that no MixUp draws it as its partner.

        Args:
            row: The primary's position in the dataset.
        """
        found: dict[str, list[tuple[Any, int]]] = {key: [] for key, _, _ in self._own}
        for key, samples, position_of in self._own:
            position = position_of(row)
            if position is not None:
                found[key].append((samples, position))
        return found

    def _note(self, mixup: int, images: DetectionDataset, record: Mapping[str, Any]) -> None:
        self.draws.append(Draw(mixup, record["ratio"], images.image_path(record["reference_index"])))


def _positions(dataset: DetectionDataset, images: DetectionDataset) -> Callable[[int], int | None]:
    """Return what tells where among the images of a reference an image of the dataset is; None where it is not."""
    if images is dataset:
        return int
    if images.root != dataset.root:
        return lambda _: None
    known = {os.fspath(images.image_path(index)): index for index in range(len(images))}
    return lambda row: known.get(os.fspath(dataset.image_path(row)))


def _watched(samples: Any, asked: list[Path], has_parts: bool) -> Any:
    """Return samples that note which images they are asked for; `samples` as they come, images, caches or mosaics."""
    if not isinstance(samples, MosaicDataset):
        return _Watched(samples, asked, has_parts)
    mosaics = copy.copy(samples)
    mosaics.dataset = _watched(samples.dataset, asked, has_parts)
    return mosaics


class _Watched(Sequence[dict[str, Any]]):
    """Images on disk, or a cache of them, that note which they are asked for, and number boxes that have parts."""

    def __init__(
        self, dataset: DetectionDataset | CachedDataset | DiskCache, asked: list[Path], has_parts: bool
    ) -> None:
        self.dataset, self._asked, self._images = dataset, asked, images_of(dataset)
        self.bbox_format, self.classes = dataset.bbox_format, dataset.classes
        self._has_parts = has_parts

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        self._asked.append(self._images.image_path(index))
        return self._numbered(self.dataset[index])

    def fitted(self, index: int, fit: Fit) -> tuple[dict[str, Any], tuple[int, int]]:
        """As the dataset's own."""
        self._asked.append(self._images.image_path(index))
        sample, whole = self.dataset.fitted(index, fit)
        return self._numbered(sample), whole

    def _numbered(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Return a sample, its boxes numbered where they have parts, its masks as any transform takes them."""
        if not self._has_parts:
            return sample
        found = numbered(sample)
        if "masks" in found:
            found["masks"] = _backend.taken_masks(found["masks"])
        return found


class _Noted(Reference):
    """A reference that tells of each partner it hands out, in the order in which they are mixed in."""

    def __init__(
        self, held: Reference, samples: Any, note: Callable[[Mapping[str, Any]], None], max_redraws: int
    ) -> None:
        self.__dict__.update(held.__dict__)
        self.samples, self._note, self._max_redraws = samples, note, max(held._max_redraws, max_redraws)

    def partner(self, record: Mapping[str, Any], found: Read) -> Partner:
        """As the reference's own, and tell of it."""
        self._note(record)
        return super().partner(record, found)
