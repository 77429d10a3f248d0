"""Ultralytics YOLO: training images go through your own `A.Compose`, and each box's weight reaches the loss."""

import random
from collections.abc import Mapping
from copy import copy
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info
from ultralytics.data.augment import Compose, LetterBox
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import DEFAULT_CFG, LOGGER
from ultralytics.utils.instance import Instances
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss
from ultralytics.utils.torch_utils import unwrap_model

from alb_mixup import _backend
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations.torch import MixUpSchedule

_LABEL_FIELDS = ["labels", "mixup_weight"]


def mixup_trainer(
    pipeline: Any, *, schedule: MixUpSchedule | None = None, after_builtin: bool = False
) -> type["MixUpTrainer"]:
    """Make the trainer for `YOLO(...).train(trainer=mixup_trainer(pipeline), data=...)`.

    A training image, resized so that its longer side is `imgsz`, goes through the pipeline and is then letterboxed to
    `imgsz` (or to the batch's shape with `rect=True`), so the pipeline may crop and resize as it likes. It gets

    - `image`: uint8 (H, W, 3), RGB as Albumentations has it; Ultralytics' own BGR is converted, there and back.
    - `bboxes`: float32 (N, 4), in the format of its `bbox_params`.
    - `labels`: N class names, those of the data.yaml, as this package's datasets give them too.
    - `mixup_weight`: float32 (N,), 1.0 each: Ultralytics reads no weights from label files.

    and returns the same. Its draws follow Ultralytics' `seed`, differently in each worker and DDP rank; a seed of its
    own has no effect. The weights multiply the loss as `WeightedDetectionLoss` says. Validation, checkpoints and
    resuming (name the trainer again) are Ultralytics' own; checkpoints load without this package.

    Args:
        pipeline: `A.Compose` with `bbox_params` whose label fields are `labels` and `mixup_weight`. For hard labels,
            `MixUp(..., weighting="none")`.
        schedule: MixUp's probability by epoch. A change takes effect with the epoch's first image: batches that
            workers have prepared ahead are thrown away. `close_mosaic` leaves the pipeline alone.
        after_builtin: False: the pipeline takes the place of the built-in augmentations, whose arguments (`mosaic`,
            `fliplr`, `hsv_h`, ...) then have no effect. True: it comes after them, on images of `imgsz` × `imgsz`;
            the samples that MixUp draws have seen none of them, unless its `reference_transform` does the like.

    Returns:
        A class to hand over as `trainer`.

    Raises:
        ArgumentError: The pipeline is no such thing, or `schedule` finds no MixUp in it. From `train`: the task is not
            "detect", the data has other than 3 channels or two classes of one name, the model's loss is another one,
            or `single_cls`, `classes`, `distill_model`, or (in place of the built-in ones) `augmentations` is given.
        SampleError: While training, the pipeline returns a class that the data.yaml lacks, or no uint8 RGB image.

    Examples:
        ```python
        trainer = mixup_trainer(pipeline, schedule=MixUpSchedule({0: 0.5, 90: 0.0}))
        YOLO("yolo11n.yaml").train(trainer=trainer, data="data.yaml", epochs=100)
        ```
    """
    _checked_pipeline(pipeline)
    if schedule is not None:
        schedule.apply(pipeline)
    settings = {"pipeline": pipeline, "schedule": schedule, "after_builtin": after_builtin}
    # A class that carries its settings, not a partial: DDP starts its processes from the trainer's class alone.
    return type("MixUpTrainer", (MixUpTrainer,), settings)


class MixUpTrainer(DetectionTrainer):  # type: ignore[misc, unused-ignore]
    """`DetectionTrainer` whose training set goes through a pipeline; made by `mixup_trainer`."""

    pipeline: Any
    schedule: MixUpSchedule | None
    after_builtin: bool

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        super().__init__(cfg, overrides, _callbacks)
        refused = ["single_cls", "classes", "distill_model"] + ([] if self.after_builtin else ["augmentations"])
        for name in refused:
            if getattr(self.args, name, None):
                raise ArgumentError(f"{name} must be left out with mixup_trainer, got {getattr(self.args, name)!r}")
        if self.args.task != "detect" or self.data["channels"] != 3:
            got = f"task={self.args.task!r}, channels={self.data['channels']}"
            raise ArgumentError(f"mixup_trainer must get the task 'detect' and images of 3 channels, got {got}")
        names = list(self.data["names"].values())
        if len(set(names)) < len(names):
            raise ArgumentError(f"names must differ for mixup_trainer, got {names}: rename them in the data.yaml")

    def build_dataset(self, img_path: Any, mode: str = "train", batch: int | None = None) -> Any:
        """Build Ultralytics' own dataset; for training, with the pipeline in it."""
        dataset = super().build_dataset(img_path, mode, batch)
        if mode == "train":
            dataset.__class__ = _TrainingSet  # not built as one: how to build it is Ultralytics' business
            dataset.augment_with(_Augmentation(self.pipeline, self.schedule, self.data["names"]), self.after_builtin)
            dataset.transforms = dataset.build_transforms(copy(self.args))
        return dataset

    def run_callbacks(self, event: str) -> None:
        """Weigh the loss and follow the schedule, then run the callbacks.

        Not as callbacks of our own: some versions keep those in the user's model, for whatever trainer comes next.
        """
        if event == "on_train_start":  # the EMA, made before, keeps the stock loss: for validation and in checkpoints
            model = unwrap_model(self.model)
            model.criterion = weighted_criterion(model)
        elif event == "on_train_epoch_start" and self.schedule is not None:
            before = self.schedule.p
            self.schedule.set_epoch(self.epoch)
            if self.schedule.p != before:
                self.train_loader.reset()
        super().run_callbacks(event)


class WeightedDetectionLoss(v8DetectionLoss):  # type: ignore[misc, unused-ignore]
    """Ultralytics' detection loss, each box's terms multiplied by its weight, `batch["weights"]` (N,) beside `cls`.

    Boxes are matched to anchors as without weights. Then the target scores of the anchors that a box of weight w was
    assigned to are multiplied by w. In Ultralytics' loss they are three things at once: the classification target,
    which becomes soft (w·t, where t is the alignment that TaskAlignedAssigner computes; 0 is background); the factor
    of the box and DFL (or L1) terms; and, summed and at least 1, what all terms are divided by. That sum scales too:
    box and DFL terms are means weighted by w·t, and as MixUp's weights share 1 between two images, it is about what it
    is without mixing. With all weights 1, or without `batch["weights"]`, the loss is Ultralytics' own to the bit.

    What others do: GluonCV's and PaddleDetection's `YOLOv3Loss` (there `gt_score`) keep hard targets and multiply a
    box's terms by w. PaddleDetection's `DETRLoss` has a varifocal loss with the soft target q = gt_score·IoU and leaves
    the box terms alone. Ours softens the target as the latter and multiplies the box terms as the former. No published
    ablation isolates the weighting at a fixed λ, so none says which is better.

    Sources: Bag of Freebies for Training Object Detection Neural Networks, arXiv 1902.04103 (weights); TOOD, arXiv
    2108.07755 (t); VarifocalNet, arXiv 2008.13367 (q).
    """

    assigner: Any

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.assigner = _WeightedAssigner(self.assigner)

    def get_assigned_targets_and_loss(self, preds: Any, batch: Any, **settings: Any) -> Any:
        """Compute the loss; the assigner gets the weights, padded as the boxes are."""
        self.assigner.weights = None
        if batch.get("weights") is not None:
            self.assigner.weights = self._padded_weights(batch, len(preds["scores"]))
        return super().get_assigned_targets_and_loss(preds, batch, **settings)

    def _padded_weights(self, batch: Any, batch_size: int) -> torch.Tensor:
        """Return weights as (images, boxes), in the order in which `preprocess` pads classes: by having it pad them."""
        columns = [batch["batch_idx"].view(-1, 1), batch["weights"].view(-1, 1), batch["bboxes"]]
        rows = torch.cat(columns, 1).to(self.device)
        padded: torch.Tensor = self.preprocess(rows, batch_size, scale_tensor=torch.ones(4, device=self.device))
        return padded[..., 0]


class _WeightedAssigner:
    """An assigner whose target scores are multiplied by the weight of the box that each anchor was assigned to."""

    def __init__(self, assigner: Any) -> None:
        self.assigner = assigner
        self.weights: torch.Tensor | None = None

    def __call__(self, *args: Any, **settings: Any) -> Any:
        labels, bboxes, scores, is_assigned, box_index = self.assigner(*args, **settings)
        if self.weights is not None and self.weights.shape[1]:
            scores = scores * self.weights.gather(1, box_index).unsqueeze(-1).to(scores.dtype)
        return labels, bboxes, scores, is_assigned, box_index


def weighted_criterion(model: Any) -> Any:
    """Return the weighted counterpart of a detection model's loss, for trainers other than `mixup_trainer`'s.

    Args:
        model: Ultralytics' `DetectionModel`, with its `args` set; YOLO26's end-to-end head included, whose two
            branches are both weighted.

    Returns:
        What to set as `model.criterion`; it continues where the model's own one is.

    Raises:
        ArgumentError: The model's loss is neither `v8DetectionLoss` nor `E2ELoss` of it.
    """
    stock = getattr(model, "criterion", None) or model.init_criterion()
    if isinstance(stock, E2ELoss) and isinstance(stock.one2many, v8DetectionLoss):
        weighted = E2ELoss(model, WeightedDetectionLoss)
        vars(weighted).update({name: value for name, value in vars(stock).items() if isinstance(value, int | float)})
        return weighted
    if type(stock) in {v8DetectionLoss, WeightedDetectionLoss}:
        return WeightedDetectionLoss(model)
    raise ArgumentError(f"model must be a YOLO detection model, got one whose loss is {type(stock).__name__}")


class _TrainingSet(YOLODataset):  # type: ignore[misc, unused-ignore]
    """Ultralytics' dataset with the pipeline among its transforms, wherever it builds them (`close_mosaic` does)."""

    def augment_with(self, augmentation: "_Augmentation", after_builtin: bool) -> None:
        self.augmentation, self.after_builtin = augmentation, after_builtin

    def build_transforms(self, hyp: Any) -> Compose:
        *builtin, to_tensors = super().build_transforms(hyp).transforms
        place = "after" if self.after_builtin else "in place of"
        LOGGER.info(f"alb_mixup: training images go through your pipeline, {place} the built-in augmentations")
        letterbox = LetterBox(new_shape=self.imgsz)
        return Compose([*(builtin if self.after_builtin else []), self.augmentation, letterbox, to_tensors])

    @staticmethod
    def collate_fn(batch: list[dict[str, Any]]) -> dict[str, Any]:
        collated: dict[str, Any] = YOLODataset.collate_fn(batch)
        collated["weights"] = torch.cat(collated["weights"])
        return collated


class _Augmentation:
    """The user's pipeline as one of Ultralytics' transforms."""

    def __init__(self, pipeline: Any, schedule: MixUpSchedule | None, names: Mapping[int, str]) -> None:
        self.pipeline, self.schedule, self.names = pipeline, schedule, names
        self.class_ids = {name: class_id for class_id, name in names.items()}
        self.bbox_format = _backend.bbox_format(pipeline.processors["bboxes"])
        self._entered = False

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        if not self._entered and get_worker_info() is not None:
            keep_freed_memory()
            self._entered = True
        if self.schedule is not None:
            self.schedule.apply(self.pipeline)
        # Ultralytics seeds `random` for each worker and rank, and has its own augmentations follow it.
        out = _backend.run_seeded(self.pipeline, self._sample(labels), random.getrandbits(32))
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

    def _sample(self, labels: dict[str, Any]) -> dict[str, Any]:
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


def _checked_pipeline(pipeline: Any) -> None:
    if not isinstance(pipeline, _backend.Compose):
        raise ArgumentError(f"pipeline must be an A.Compose, got {type(pipeline).__name__}")
    processor = pipeline.processors.get("bboxes")
    fields = None if processor is None else sorted(processor.params.label_fields or ())
    if fields != _LABEL_FIELDS:
        raise ArgumentError(
            f"pipeline must have bbox_params with the label fields {_LABEL_FIELDS}, got {fields}: give "
            f"A.BboxParams(..., label_fields={_LABEL_FIELDS})"
        )
