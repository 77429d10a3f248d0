"""PyTorch: a dataset of a pipeline, batches with weights, streams for workers, and MixUp's probability by epoch.

```python
schedule = MixUpSchedule({0: 0.5, 90: 0.0})
loader = DataLoader(
    TransformedDataset(dataset, pipeline, schedule),
    batch_size=8, shuffle=True, num_workers=4, persistent_workers=True,
    collate_fn=TorchvisionCollate(dataset.classes),
)
for epoch in range(100):
    schedule.set_epoch(epoch)
    for images, targets in loader:
        losses = model(images, targets)  # torchvision.models.detection
```

torchvision's detection models take hard labels: they read `boxes` and `labels` and pass over `weights`, so a box that
can hardly be seen counts as a whole one. Faster R-CNN's losses can be taught (`alb_mixup.integrations.torchvision`).
Give the others only boxes that can be seen: `MixUp(dataset, ratio_range=(0.45, 0.55))` keeps both images visible, and
with `MixUp(dataset, min_weight=0.3)` the fainter boxes are dropped.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import BBOX_FORMATS, from_xyxy, to_xyxy
from alb_mixup.transforms.mixup import MixUp


class TransformedDataset(Dataset):  # type: ignore[misc, unused-ignore]
    """A dataset's samples as a pipeline returns them, each worker and epoch of a loader with a stream of its own.

    Forked workers of albumentations 2.0.8 would otherwise all draw the same numbers. A worker's stream follows from
    `torch.manual_seed` and, where it has one, the pipeline's own seed; persistent workers go on with theirs.

    Workers also keep up to 64 MB of the memory that they free, for the images that they allocate next, instead of
    giving each back to the system (with glibc; benchmarks/RESULTS.md, "Pages").

    Args:
        dataset: A dataset of this package, or anything with `__len__` and `__getitem__` that returns dicts for the
            pipeline.
        pipeline: `A.Compose`.
        schedule: MixUp's probability by epoch; None leaves `p` as it is.
    """

    def __init__(
        self, dataset: Sequence[Mapping[str, Any]], pipeline: Any, schedule: "MixUpSchedule | None" = None
    ) -> None:
        self.dataset = dataset
        self.pipeline = pipeline
        self.schedule = schedule
        self._entered = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return what the pipeline makes of `dataset[index]`."""
        if not self._entered and get_worker_info() is not None:
            _enter_worker([self.pipeline])
            self._entered = True  # in the worker's own copy of this dataset
        if self.schedule is not None:
            self.schedule.apply(self.pipeline)
        return dict(self.pipeline(**self.dataset[index]))


def worker_init_fn(worker_id: int) -> None:
    """Give the pipelines of a dataset of your own what `TransformedDataset` gives its: `DataLoader(worker_init_fn=)`.

    Args:
        worker_id: Not used; the worker's seed says more.

    Raises:
        ArgumentError: Neither the dataset nor those that it wraps have an `A.Compose` as an attribute.
    """
    dataset = get_worker_info().dataset
    pipelines = list(_pipelines(dataset))
    if not pipelines:
        raise ArgumentError(f"dataset must have an A.Compose as an attribute, got {type(dataset)} without one")
    _enter_worker(pipelines)


def _enter_worker(pipelines: Iterable[Any]) -> None:
    """Make a loader's worker ready: streams of its own for its pipelines, and memory that it keeps."""
    keep_freed_memory()
    for pipeline in pipelines:
        _backend.seed_in_worker(pipeline, torch.initial_seed(), _backend.distributed_rank())


def _pipelines(dataset: Any) -> Iterator[Any]:
    """Find the pipelines of a dataset and of those that it wraps (`Subset`, `ConcatDataset`)."""
    for value in vars(dataset).values():
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, _backend.Compose):
                yield part
            elif isinstance(part, Dataset):
                yield from _pipelines(part)


class _Collate:
    """What both forms of a batch have in common: how images, labels and weights become tensors."""

    def __init__(
        self, classes: Sequence[str] | None = None, bbox_format: str = "pascal_voc", first_label: int = 0
    ) -> None:
        checks.choice("bbox_format", bbox_format, BBOX_FORMATS)
        first = checks.whole_number("first_label", first_label)
        self._ids = {name: first + position for position, name in enumerate(classes or ())}
        self._format = bbox_format

    def _image(self, sample: Mapping[str, Any]) -> torch.Tensor:
        """Return a float32 (C, H, W) image; uint8 is divided by 255."""
        image = sample["image"]
        if not isinstance(image, torch.Tensor):  # else ToTensorV2 has been there
            image = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))
        return image.float() / 255 if image.dtype == torch.uint8 else image.float()

    def _rows(self, sample: Mapping[str, Any], hw: tuple[int, int]) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """Return boxes (N, 4) as absolute xyxy, class ids (N,) int64 and weights (N,) float32."""
        xyxy = to_xyxy(sample["bboxes"], self._format, hw)
        labels = torch.tensor([self._id(label) for label in sample["labels"]], dtype=torch.int64)
        weights = torch.as_tensor(np.array(sample.get("mixup_weight", np.ones(len(xyxy))), np.float32))
        if not len(xyxy) == len(labels) == len(weights):
            raise SampleError(
                f"labels and mixup_weight must have one value for each of {len(xyxy)} boxes, got {len(labels)} and "
                f"{len(weights)}: list both in BboxParams(label_fields=...)"
            )
        return xyxy, labels, weights

    def _id(self, label: Any) -> int:
        if label in self._ids:
            return self._ids[label]
        if isinstance(label, str) or label != int(label):  # Albumentations returns whole numbers as floats
            raise SampleError(f"labels must be whole numbers or one of classes={list(self._ids)}, got {label!r}")
        return int(label)


class TorchvisionCollate(_Collate):
    """Samples as torchvision's detection models take them, for `DataLoader(collate_fn=)`.

    Called with a list of samples, it returns a list of images, float32 (C, H, W), each of its own size, and a list of
    dicts: `boxes` float32 (N, 4) as x_min, y_min, x_max, y_max in pixels, `labels` int64 (N,), `weights` float32 (N,).

    uint8 images are divided by 255, float ones stay as they are; torchvision's models normalize them themselves, so
    the pipeline should not. An image that is a tensor already (`ToTensorV2`) is (C, H, W).

    Args:
        classes: The class names. The id of a name is its position plus `first_label`; labels that are numbers are ids
            already.
        bbox_format: What the pipeline's boxes are in, as `A.BboxParams` names it.
        first_label: Id of the first class: 1, as torchvision's 0 is the background.

    Raises:
        ArgumentError: `bbox_format` or `first_label` breaks its constraint.
        SampleError: On a call, a label is unknown, or labels or weights are not one for each box.
    """

    def __init__(
        self, classes: Sequence[str] | None = None, bbox_format: str = "pascal_voc", first_label: int = 1
    ) -> None:
        super().__init__(classes, bbox_format, first_label)

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
        """Return images and targets."""
        images, targets = [self._image(sample) for sample in samples], []
        for image, sample in zip(images, samples, strict=True):
            xyxy, labels, weights = self._rows(sample, tuple(image.shape[-2:]))
            targets.append({"boxes": torch.from_numpy(xyxy).float(), "labels": labels, "weights": weights})
        return images, targets


class TransformersCollate(_Collate):
    """Samples as the detection models of Hugging Face transformers take them, for `Trainer(data_collator=)`.

    Called with a list of samples, it returns a dict: `pixel_values` float32 (B, C, H, W); `labels`, a list of dicts
    with `class_labels` int64 (N,), `boxes` float32 (N, 4) as x_center, y_center, width, height in shares of H and W,
    `weights` float32 (N,). Images of different sizes are padded with zeros at the right and bottom to the largest H and
    W; `pixel_mask` int64 (B, H, W), 1 on the image, comes with them, and boxes are in shares of the padded size.

    uint8 images are divided by 255, which is all that RT-DETR and D-FINE want. Float ones stay as they are: for models
    that want ImageNet's mean and deviation, such as DETR, end the pipeline with `A.Normalize()`.

    Args:
        classes: The class names, in the order of the model's ids; labels that are numbers are ids already.
        bbox_format: What the pipeline's boxes are in, as `A.BboxParams` names it.

    Raises:
        ArgumentError: `bbox_format` breaks its constraint.
        SampleError: On a call, a label is unknown, or labels or weights are not one for each box.
    """

    def __init__(self, classes: Sequence[str] | None = None, bbox_format: str = "pascal_voc") -> None:
        super().__init__(classes, bbox_format)

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return pixels and labels."""
        images, labels = [self._image(sample) for sample in samples], []
        sizes = [tuple(image.shape[-2:]) for image in images]
        height, width = (max(sides) for sides in zip(*sizes, strict=True))
        pixels = images[0].new_zeros(len(images), images[0].shape[0], height, width)
        mask = torch.zeros(len(images), height, width, dtype=torch.int64)
        for i, (image, (h, w), sample) in enumerate(zip(images, sizes, samples, strict=True)):
            pixels[i, :, :h, :w], mask[i, :h, :w] = image, 1
            xyxy, class_labels, weights = self._rows(sample, (h, w))
            boxes = torch.from_numpy(from_xyxy(xyxy, "yolo", (height, width))).float()
            labels.append({"class_labels": class_labels, "boxes": boxes, "weights": weights})
        batch = {"pixel_values": pixels, "labels": labels}
        return batch if len(set(sizes)) == 1 else batch | {"pixel_mask": mask}


class MixUpSchedule:
    """MixUp's probability by epoch, in shared memory, so that persistent workers follow (fork, spawn, forkserver).

    The main process calls `set_epoch` before it iterates over its loader; whatever the epoch's workers then read is
    what it set. Pickled into a worker process it stays shared; a checkpoint or a deep copy holds a copy.

    Strong recipes switch mixing off for the last epochs: YOLOX (arXiv 2107.08430) for its last 15, RTMDet (arXiv
    2212.07784) for its last 20.

    Args:
        p: Probability from each epoch on: `{0: 0.5, 90: 0.0}` is 0.5 from epoch 0, off from epoch 90. Epochs are whole
            numbers of at least 0, epoch 0 among them; probabilities are in [0, 1].

    Raises:
        ArgumentError: An epoch or a probability breaks its constraint.
    """

    def __init__(self, p: Mapping[int, float]) -> None:
        if not isinstance(p, Mapping) or 0 not in p:
            raise ArgumentError(f"p must be a dict with epoch 0, such as {{0: 0.5, 90: 0.0}}, got {p!r}")
        self._epochs = sorted(checks.whole_number("an epoch of p", epoch) for epoch in p)
        self._values = [
            checks.number(f"p[{epoch}]", p[epoch], "a probability in [0, 1]", low=0.0, high=1.0)
            for epoch in self._epochs
        ]
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that the main process has set, 0 at first."""
        return int(self._epoch)

    @property
    def p(self) -> float:
        """MixUp's probability in this epoch."""
        return self._values[bisect_right(self._epochs, self.epoch) - 1]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch for all processes, before the loader is iterated over.

        Raises:
            ArgumentError: It is no whole number of at least 0.
        """
        self._epoch.fill_(checks.whole_number("epoch", epoch))

    def apply(self, pipeline: Any) -> None:
        """Set the probability of every MixUp in a pipeline, as if it had been built with it. Cheap enough to repeat.

        Args:
            pipeline: `A.Compose` or another container, however nested, or a MixUp. `reference_transform`s are left
                alone: what they mix is a part of the reference.

        Raises:
            ArgumentError: There is no MixUp in it, or one that `A.OneOrOther` applies whatever its probability.
        """
        if not _set_probability(pipeline, self.p):
            raise ArgumentError(f"pipeline must hold a MixUp for MixUpSchedule to set its p, got {type(pipeline)}")

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, for a checkpoint."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on at the epoch of a checkpoint.

        Raises:
            ArgumentError: Its epoch is no whole number of at least 0.
        """
        self.set_epoch(state["epoch"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._epoch.share_memory_()  # a copy's; what came from another process is shared already


def _set_probability(transform: Any, p: float) -> bool:
    """Set the probability of every MixUp at or below a transform; tell whether there is one."""
    if isinstance(transform, MixUp):
        transform.p = p
        return True
    children = getattr(transform, "transforms", ())
    having = [child for child in children if _set_probability(child, p)]
    if type(transform).__name__ == "OneOrOther" and any(isinstance(child, MixUp) for child in children):
        raise ArgumentError("MixUp must not be in A.OneOrOther, which ignores its p: take A.OneOf for MixUpSchedule")
    if having and hasattr(transform, "transforms_ps"):  # A.OneOf chooses by shares that it took from its children's p
        total = sum(child.p for child in children)
        transform.transforms_ps = [child.p / total for child in children] if total else []
    return bool(having)
