"""A pipeline as one of Ultralytics' transforms, and the training set as samples for its MixUp."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from itertools import compress
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info
from ultralytics.utils.instance import Instances
from ultralytics.utils.ops import xywhr2xyxyxyxy, xyxyxyxy2xywhr

from alb_mixup import _backend
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.errors import SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations.torch import MixUpSchedule
from alb_mixup.integrations.ultralytics.masks import INDEX_FIELD, drawn, of_boxes
from alb_mixup.transforms.pipeline import mixups_of


class Augmentation:
    """The user's pipeline as one of Ultralytics' transforms.

    Args:
        pipeline: The pipeline.
        schedule: MixUp's probability by epoch.
        names: Class names by id.
        single_cls: All classes are one, of id 0, whatever the reference calls them.
        classes: Ids of the classes that the training is about; boxes of others are left out. None: all.
        shapes: What objects have beside boxes along the axes: "masks", or "oriented" boxes; "": nothing.

    Attributes:
        kinds: Class id and weight, float32 (K, 2), of what the labels of the training set call class 0, 1, ...
    """

    def __init__(
        self,
        pipeline: Any,
        schedule: MixUpSchedule | None,
        names: Mapping[int, str],
        *,
        single_cls: bool = False,
        classes: Sequence[int] | None = None,
        shapes: str = "",
    ) -> None:
        self.pipeline, self.schedule, self.names = pipeline, schedule, names
        self.single_cls, self.classes = single_cls, classes
        self.class_ids = {name: class_id for class_id, name in names.items()}
        self.shapes = shapes
        processor = pipeline.processors["bboxes"]
        self.bbox_format = _backend.coord_format(processor)
        self._numbers_masks = INDEX_FIELD in processor.params.label_fields
        self.kinds: Any = None
        self.partners: Partners
        self._partner_keys = {mixup.metadata_key for mixup in mixups_of(pipeline) if mixup.reference is None}
        self._entered = False

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Return the labels of an image after the pipeline: classes in `cls` again, and `weights`."""
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
        nothing = self.shapes == "masks" and not len(sample["masks"])
        if nothing:  # no transform of albumentations 2.0.8 takes no masks: an empty one stands for none
            sample["masks"] = np.zeros((1, *sample["image"].shape[:2]), np.uint8)
        out = _backend.run_seeded(self.pipeline, sample, seed)
        if nothing and not self._numbers_masks:
            out["masks"] = out["masks"][1:]
        image = out["image"]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise SampleError(
                f"pipeline must return a uint8 image (H, W, 3), got {getattr(image, 'dtype', type(image))} "
                f"{getattr(image, 'shape', '')}: leave A.Normalize, A.ToFloat and ToTensorV2 to Ultralytics"
            )
        instances = self._instances(np.asarray(out["bboxes"], np.float32), image.shape[:2])
        class_ids = np.array([self.class_id(name) for name in out["labels"]], np.float32)
        weights = np.asarray(out["mixup_weight"], np.float32)
        kept = np.ones(len(class_ids), bool) if self.classes is None else np.isin(class_ids, self.classes)
        labels = labels | {
            "img": cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            "instances": instances[kept],
            "cls": class_ids[kept].reshape(-1, 1),
            "weights": torch.from_numpy(weights[kept]),
        }
        return labels | {"pixel_masks": list(compress(of_boxes(out), kept))} if self.shapes == "masks" else labels

    def _instances(self, rows: Any, size: tuple[int, int]) -> Instances:
        """Return boxes of the pipeline as Ultralytics holds them: oriented ones as corners too."""
        xyxy = to_xyxy(rows[:, :4] if len(rows) else rows, self.bbox_format, size).astype(np.float32)
        if self.shapes != "oriented":
            return Instances(xyxy, bbox_format="xyxy", normalized=False)
        sides = np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)
        turns = np.deg2rad(rows.reshape(len(xyxy), -1)[:, 4:5]) if len(rows) else sides[:, :1]
        corners = xywhr2xyxyxyxy(np.concatenate([sides, turns], axis=1)).astype(np.float32)
        hulls = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return Instances(hulls, segments=corners, bbox_format="xyxy", normalized=False)

    def sample(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Return Ultralytics' labels as what the pipeline takes; boxes with nothing in the image are left out."""
        image = cv2.cvtColor(labels["img"], cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        instances = labels["instances"]
        instances.convert_bbox("xyxy")
        instances.denormalize(width, height)
        instances.clip(width, height)
        class_ids, weights = self.kinds[labels["cls"][instances.remove_zero_area_boxes()].ravel().astype(int)].T
        sample = {
            "image": image,
            "bboxes": self._rows(instances, (height, width)),
            "labels": [self.names[int(class_id)] for class_id in class_ids],
            "mixup_weight": weights.copy(),
        }
        if self.shapes == "masks":
            sample["masks"] = drawn(instances.segments, (height, width))
            sample |= {INDEX_FIELD: list(range(len(weights)))} if self._numbers_masks else {}
        return sample

    def _rows(self, instances: Instances, size: tuple[int, int]) -> Any:
        """Return Ultralytics' boxes as the pipeline takes them: oriented ones with their angle, in degrees."""
        if self.shapes != "oriented" or not len(instances):
            return from_xyxy(instances.bboxes, self.bbox_format, size).astype(np.float32)
        centres, sides, turns = np.split(xyxyxyxy2xywhr(instances.segments), [2, 4], axis=1)
        upright = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        rows = [from_xyxy(upright, self.bbox_format, size), np.rad2deg(turns)]
        return np.concatenate(rows, axis=1).astype(np.float32)

    def class_id(self, name: Any) -> int:
        """Return the id of a class name.

        Raises:
            SampleError: The data.yaml has no such class.
        """
        if self.single_cls:
            return 0
        try:
            return self.class_ids[name]
        except KeyError:
            raise SampleError(
                f"labels must be class names of the data.yaml, {list(self.class_ids)}, got {name!r} from the pipeline: "
                "give the reference the same names (classes=[...] of this package's datasets leaves others out)"
            ) from None


class Partners(Sequence[Any]):
    """The training set as samples for the pipeline, read when they are drawn, all but one.

    Args:
        dataset: The training set.
        builtin: The augmentations that primaries have had before they come to the pipeline.
        augmentation: The pipeline.
    """

    def __init__(self, dataset: Any, builtin: Sequence[Any], augmentation: Augmentation) -> None:
        self.dataset, self.builtin, self.augmentation = dataset, builtin, augmentation
        self._indices = {file: index for index, file in enumerate(dataset.im_files)}
        self._left_out, self._seed = -1, 0

    def but(self, file: str, seed: int) -> "Partners":
        """Return the same without one image, the augmentations' draws from a seed."""
        others = copy(self)
        others._left_out, others._seed = self._indices[file], seed
        return others

    def __len__(self) -> int:
        return len(self._indices) - 1

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
