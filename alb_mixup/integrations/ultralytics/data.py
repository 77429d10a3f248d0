"""Ultralytics' training set with a pipeline among its transforms."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info
from ultralytics.data.augment import Compose, LetterBox
from ultralytics.data.dataset import YOLODataset
from ultralytics.utils import LOGGER
from ultralytics.utils.instance import Instances

from alb_mixup import MixUp, _backend
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.errors import SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations.torch import MixUpSchedule


class TrainingSet(YOLODataset):  # type: ignore[misc, unused-ignore]
    """Ultralytics' dataset with the pipeline among its transforms, wherever it builds them (`close_mosaic` does)."""

    def augment_with(self, augmentation: "Augmentation", after_builtin: bool) -> None:
        """Set what `build_transforms` puts among the transforms."""
        self.augmentation, self.after_builtin = augmentation, after_builtin

    def build_transforms(self, hyp: Any) -> Compose:
        """Build Ultralytics' own transforms, with the pipeline after or in place of the augmentations."""
        *builtin, to_tensors = super().build_transforms(hyp).transforms
        builtin = builtin if self.after_builtin else []
        place = "after" if self.after_builtin else "in place of"
        LOGGER.info(f"alb_mixup: training images go through your pipeline, {place} the built-in augmentations")
        letterbox = LetterBox(new_shape=self.imgsz)
        self.augmentation.partners = _Partners(self, builtin, self.augmentation)
        return Compose([*builtin, self.augmentation, letterbox, to_tensors])

    @staticmethod
    def collate_fn(batch: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate as Ultralytics does, weights as boxes."""
        collated: dict[str, Any] = YOLODataset.collate_fn(batch)
        collated["weights"] = torch.cat(collated["weights"])
        return collated


class Augmentation:
    """The user's pipeline as one of Ultralytics' transforms."""

    def __init__(self, pipeline: Any, schedule: MixUpSchedule | None, names: Mapping[int, str]) -> None:
        self.pipeline, self.schedule, self.names = pipeline, schedule, names
        self.class_ids = {name: class_id for class_id, name in names.items()}
        self.bbox_format = _backend.bbox_format(pipeline.processors["bboxes"])
        self.partners: _Partners
        self._partner_keys = set(_partner_keys(pipeline))
        self._entered = False

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Return the labels of an image after the pipeline."""
        if not self._entered and get_worker_info() is not None:
            keep_freed_memory()
            self._entered = True
        if self.schedule is not None:
            self.schedule.apply(self.pipeline)
        # Ultralytics seeds `random` for each worker and rank, and has its own augmentations follow it. One draw an
        # image, whatever the pipeline does: primaries look alike under any two pipelines.
        seed = random.getrandbits(32)
        sample = self.sample(labels)
        if self._partner_keys:
            sample |= dict.fromkeys(self._partner_keys, self.partners.but(labels["im_file"], seed))
        out = _backend.run_seeded(self.pipeline, sample, seed)
        image = out["image"]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise SampleError(
                f"pipeline must return a uint8 image (H, W, 3), got {getattr(image, 'dtype', type(image))} "
                f"{getattr(image, 'shape', '')}: leave A.Normalize, A.ToFloat and ToTensorV2 to Ultralytics"
            )
        xyxy = to_xyxy(out["bboxes"], self.bbox_format, image.shape[:2]).astype(np.float32)
        class_ids = [self._class_id(name) for name in out["labels"]]
        return labels | {
            "img": cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            "instances": Instances(xyxy, bbox_format="xyxy", normalized=False),
            "cls": np.array(class_ids, np.float32).reshape(-1, 1),
            "weights": torch.tensor(np.asarray(out["mixup_weight"], np.float32)),
        }

    def sample(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Return Ultralytics' labels as what the pipeline takes; boxes with nothing in the image are left out."""
        image = cv2.cvtColor(labels["img"], cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        instances = labels["instances"]
        instances.convert_bbox("xyxy")
        instances.denormalize(width, height)
        instances.clip(width, height)
        class_ids = labels["cls"][instances.remove_zero_area_boxes()].ravel()
        bboxes = from_xyxy(instances.bboxes, self.bbox_format, (height, width))
        return {
            "image": image,
            "bboxes": bboxes.astype(np.float32),
            "labels": [self.names[int(class_id)] for class_id in class_ids],
            "mixup_weight": np.ones(len(class_ids), np.float32),
        }

    def _class_id(self, name: Any) -> int:
        try:
            return self.class_ids[name]
        except KeyError:
            raise SampleError(
                f"labels must be class names of the data.yaml, {list(self.class_ids)}, got {name!r} from the pipeline: "
                "give the reference the same names (classes=[...] of this package's datasets leaves others out)"
            ) from None


class _Partners(Sequence[Any]):
    """The training set as samples for the pipeline, read when they are drawn, all but one after the augmentations."""

    def __init__(self, dataset: Any, builtin: Sequence[Any], augmentation: Augmentation) -> None:
        self.dataset, self.builtin, self.augmentation = dataset, builtin, augmentation
        self._indices = {file: index for index, file in enumerate(dataset.im_files)}
        self._left_out, self._seed = -1, 0

    def but(self, file: str, seed: int) -> "_Partners":
        """Return the same without one image, the augmentations' draws from a seed."""
        others = copy(self)
        others._left_out, others._seed = self._indices[file], seed
        return others

    def __len__(self) -> int:
        return len(self.dataset) - 1

    def __getitem__(self, position: Any) -> Any:
        with _own_draws((self._seed + position) % 2**32):
            labels = self.dataset.get_image_and_label(position + (position >= self._left_out))
            for augmentation in self.builtin:
                labels = augmentation(labels)
        return self.augmentation.sample(labels)


@contextmanager
def _own_draws(seed: int) -> Iterator[None]:
    """Have Ultralytics' augmentations draw from a seed, and leave their streams as they were."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (theirs)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _partner_keys(transform: Any) -> Iterator[str]:
    """Find under which keys the MixUps at or below a transform expect samples to come with the call."""
    if isinstance(transform, MixUp) and transform.reference is None:
        yield transform.metadata_key
    for child in getattr(transform, "transforms", ()):
        yield from _partner_keys(child)
