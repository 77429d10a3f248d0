"""Ultralytics' trainer, whose training images go through a pipeline."""

from functools import partial
from typing import Any

from ultralytics.cfg import get_cfg
from ultralytics.data.build import build_yolo_dataset
from ultralytics.models.rtdetr.train import RTDETRTrainer
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.models.yolo.obb import OBBTrainer
from ultralytics.models.yolo.segment import SegmentationTrainer
from ultralytics.nn.tasks import yaml_model_load
from ultralytics.utils import DEFAULT_CFG
from ultralytics.utils.torch_utils import unwrap_model

from alb_mixup import _backend
from alb_mixup.datasets.base import DetectionDataset
from alb_mixup.datasets.protocols import classes_of
from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._rebinding import with_names
from alb_mixup.integrations._weighting import checked_rule
from alb_mixup.integrations.torch import MixUpSchedule
from alb_mixup.integrations.ultralytics.augmentation import Augmentation
from alb_mixup.integrations.ultralytics.data import RTDETRTrainingSet, TrainingSet
from alb_mixup.integrations.ultralytics.detr import WeightedRTDETRLoss
from alb_mixup.integrations.ultralytics.loss import weighted_criterion
from alb_mixup.integrations.ultralytics.masks import INDEX_FIELD
from alb_mixup.transforms.pipeline import mixups_of

_LABEL_FIELDS = ["labels", "mixup_weight"]
_TRAINERS = {"detect": DetectionTrainer, "segment": SegmentationTrainer, "obb": OBBTrainer}
_SHAPES = {"detect": "", "segment": "masks", "obb": "oriented"}
_HEADS = {
    "detect": {"Detect", "v10Detect", "RTDETRDecoder"},
    "segment": {"Segment", "Segment26"},
    "obb": {"OBB", "OBB26"},
}
_OTHER_TASKS = {
    "pose": "left and right points would have to change names at flips, which pipelines do not do; train it with "
    "Ultralytics' own augmentations",
}


def mixup_trainer(
    pipeline: Any,
    *,
    rule: str = "interpolate",
    schedule: MixUpSchedule | None = None,
    after_builtin: bool = False,
    dataset: DetectionDataset | None = None,
) -> type["MixUpTrainer"]:
    """Make the trainer for `YOLO(...).train(trainer=mixup_trainer(pipeline), data=...)`, and for `RTDETR(...)`.

    YOLO models for boxes, masks ("segment") and oriented boxes ("obb", with AlbumentationsX), RT-DETR for boxes.

    A training image, resized so that its longer side is `imgsz`, goes through the pipeline and is then letterboxed to
    `imgsz` (or to the batch's shape with `rect=True`), so the pipeline may crop and resize as it likes. It gets

    - `image`: uint8 (H, W, 3), RGB as Albumentations has it; Ultralytics' own BGR is converted, there and back.
    - `bboxes`: float32 (N, 4), in the format of its `bbox_params`.
    - `labels`: N class names, those of the data.yaml, as this package's datasets give them too; with `single_cls`, the
      one name that Ultralytics gives all.
    - `mixup_weight`: float32 (N,): what the training set says, a sixth column of its label files (as `generate` writes
      them; Ultralytics by itself leaves such files out) or `dataset`; else 1.0 each.
    - `masks`, for segmentation: uint8 (N, H, W), 0 and 1, one a box. Where the pipeline drops boxes (crops do), whose
      masks stay, list a label field `mask_index` in its `bbox_params` and in `MixUp(index_fields=["mask_index"])`: it
      gets each box's number, and says afterwards whose each mask is.
    - For oriented boxes, `bboxes` have a fifth column, the angle in degrees; `bbox_params` have `bbox_type="obb"` and
      `clip_after_transform=False`.

    and returns the same. Its draws follow Ultralytics' `seed`, differently in each worker and DDP rank; a seed of its
    own has no effect. `WeightedDetectionLoss` and `WeightedRTDETRLoss` say what the loss makes of the weights.
    Validation and checkpoints are Ultralytics' own; checkpoints load without this package. Resuming wants the trainer
    again, `train(resume=True, trainer=...)`, or goes on without mixing; `tune` takes no trainer.

    A `MixUp()` without a reference draws its partners from the training set itself: any image but the primary, after
    the same built-in augmentations, where the primary has them.

    Args:
        pipeline: `A.Compose` with `bbox_params` whose label fields are `labels` and `mixup_weight`. For hard labels,
            `MixUp(..., weighting="none")`.
        rule: What a weight means to the class term, "interpolate" or "scale", as the losses have them.
        schedule: MixUp's probability by epoch. A change takes effect with the epoch's first image: batches that
            workers have prepared ahead are thrown away. `close_mosaic` leaves the pipeline alone.
        after_builtin: False: the pipeline takes the place of the built-in augmentations, whose arguments (`mosaic`,
            `fliplr`, `hsv_h`, ...) then have no effect. True: it comes after them, on images of `imgsz` × `imgsz`.
            The partners of a `MixUp()` without a reference get them too, each with draws of its own; samples of
            another reference have seen none of them, unless its `reference_transform` does the like.
        dataset: A file-backed dataset of this package (VOC, COCO, YOLO, pseudo-labels) whose images, boxes and weights
            take the place of the data.yaml's training set. None: the data.yaml's.

    Returns:
        A class to hand over as `trainer`.

    Raises:
        ArgumentError: The pipeline or the dataset is not such a thing, `rule` is another one, or `schedule` finds no
            MixUp in it. From `train`, before the model is built: the task is another one (pose: left and right points
            would have to change names at flips), the model is of another kind (World, YOLOE), the pipeline's boxes are
            oriented and the task's are not, or the other way round, the data has other than 3 channels or two classes
            of one name, a reference or the dataset has classes that it lacks, or `distill_model`, `single_cls` together
            with `classes`, `dataset` together with `fraction` or another task than "detect", or (in place of the
            built-in ones) `augmentations` is given.
        SampleError: While training, the pipeline returns a class that the data.yaml lacks, no uint8 RGB image, or masks
            that cannot be told apart.

    Examples:
        ```python
        mixup = MixUp(p=0.5)  # partners from the training set itself
        fields = ["labels", "mixup_weight"]
        pipeline = A.Compose([mixup], bbox_params=A.BboxParams("pascal_voc", label_fields=fields))
        schedule = MixUpSchedule({0: 0.5, 90: 0.0})
        trainer = mixup_trainer(pipeline, schedule=schedule, after_builtin=True)
        YOLO("yolo11n.yaml").train(trainer=trainer, data="data.yaml", epochs=100)
        ```
    """
    _checked_pipeline(pipeline)
    if schedule is not None:
        schedule.apply(pipeline)
    if dataset is not None and not isinstance(dataset, DetectionDataset):
        raise ArgumentError(
            f"dataset must be a file-backed dataset of this package, or None, got {type(dataset).__name__}: open one "
            "with open_dataset, or leave it out and name the training set in the data.yaml"
        )
    settings = {
        "pipeline": pipeline,
        "rule": checked_rule(rule),
        "schedule": schedule,
        "after_builtin": after_builtin,
        "dataset": dataset,
    }
    # A class that carries its settings, not a partial: DDP starts its processes from the trainer's class alone.
    return type("MixUpTrainer", (MixUpTrainer,), settings)


class MixUpTrainer(DetectionTrainer):  # type: ignore[misc, unused-ignore]
    """Ultralytics' trainer, whose training set goes through a pipeline; made by `mixup_trainer`."""

    pipeline: Any
    rule: str
    schedule: MixUpSchedule | None
    after_builtin: bool
    dataset: DetectionDataset | None

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None) -> None:
        task = (overrides or {}).get("task") or get_cfg(cfg).task
        if task not in _HEADS:
            reason = _OTHER_TASKS.get(task, "it has no boxes to mix")
            raise ArgumentError(f"task must be one of {', '.join(_HEADS)} for mixup_trainer, got {task!r}: {reason}")
        self._become(_TRAINERS[task])
        _check_oriented(self.pipeline, task)
        super().__init__(cfg, overrides, _callbacks)
        refused = ["distill_model"] + ([] if self.after_builtin else ["augmentations"])
        refused += ["classes"] if self.args.single_cls else []
        for name in refused:
            if getattr(self.args, name, None):
                raise ArgumentError(f"{name} must be left out with mixup_trainer, got {getattr(self.args, name)!r}")
        if self.dataset is not None and task != "detect":
            raise ArgumentError(f"dataset must be None for the task {task!r}, got one: name the set in the data.yaml")
        if self.dataset is not None and self.args.fraction != 1.0:
            raise ArgumentError(
                f"fraction must be 1.0 with a dataset, got {self.args.fraction}: give a smaller dataset"
            )
        if self.data["channels"] != 3:
            raise ArgumentError(f"channels must be 3 for mixup_trainer, got {self.data['channels']} in the data.yaml")
        self._check_names()

    def _become(self, trainer: type[DetectionTrainer]) -> None:
        """Go on as Ultralytics' trainer of another kind: which kind it is, `mixup_trainer` cannot know."""
        if not isinstance(self, trainer):
            self.__class__ = type("MixUpTrainer", (type(self), trainer), {})

    def _check_names(self) -> None:
        names = list(self.data["names"].values())
        if len(set(names)) < len(names):
            raise ArgumentError(f"names must differ for mixup_trainer, got {names}: rename them in the data.yaml")
        if self.args.single_cls:
            return
        sources = [("reference", mixup.reference) for mixup in mixups_of(self.pipeline)] + [("dataset", self.dataset)]
        for source, samples in sources:
            others = sorted(set(classes_of(samples) or ()) - set(names))
            if others:
                raise ArgumentError(
                    f"{source}.classes must be class names of the data.yaml, which Ultralytics reads as {names}, got "
                    f"{others}: rename them, or leave them out with classes=[...] of this package's datasets"
                )

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """Build the model; go on as Ultralytics' trainer for RT-DETR, where it is one."""
        head = (cfg if isinstance(cfg, dict) else yaml_model_load(cfg))["head"][-1][2]
        if head not in _HEADS[self.args.task]:
            raise ArgumentError(
                f"model must be one of YOLO or RT-DETR for mixup_trainer, got one whose head is {head}: take one of "
                "these, or write mixed images (alb-mixup generate, with hard labels) for the model's own trainer"
            )
        if head == "RTDETRDecoder":
            self._become(RTDETRTrainer)
        return super().get_model(cfg, weights, verbose)

    def build_dataset(self, img_path: Any, mode: str = "train", batch: int | None = None) -> Any:
        """Build Ultralytics' own dataset; for training, with the pipeline in it."""
        if mode != "train":
            return super().build_dataset(img_path, mode, batch)
        names, single_cls, classes = self.data["names"], self.args.single_cls, self.args.classes
        augmentation = Augmentation(
            self.pipeline,
            self.schedule,
            names,
            single_cls=single_cls,
            classes=classes,
            shapes=_SHAPES[self.args.task],
        )
        ours: dict[str, Any] = {
            "augmentation": augmentation,
            "after_builtin": self.after_builtin,
            "source": self.dataset,
        }
        # How a dataset is built is Ultralytics' business, of which class is ours.
        if isinstance(self, RTDETRTrainer):
            build = with_names(RTDETRTrainer.build_dataset, RTDETRDataset=partial(RTDETRTrainingSet, **ours))
        else:
            of_ours = with_names(build_yolo_dataset, YOLODataset=partial(TrainingSet, **ours))
            build = with_names(DetectionTrainer.build_dataset, build_yolo_dataset=of_ours)
        return build(self, img_path, mode, batch)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Prepare a batch as Ultralytics does; RT-DETR's loss is told the weights."""
        prepared: dict[str, Any] = super().preprocess_batch(batch)
        criterion = unwrap_model(self.model).criterion
        if isinstance(criterion, WeightedRTDETRLoss):
            criterion.weights = prepared["weights"]
        return prepared

    def _load_checkpoint_state(self, ckpt: Any) -> None:
        """Go back to a checkpoint, after a loss of NaN too: the EMA that is copied then has the stock loss again."""
        super()._load_checkpoint_state(ckpt)
        if self.ema:
            self.ema.ema.criterion = self.ema.ema.init_criterion()

    def run_callbacks(self, event: str) -> None:
        """Weight the loss and follow the schedule, then run the callbacks.

        Not as callbacks of our own: some versions keep those in the user's model, for whatever trainer comes next.
        """
        if event == "on_train_start":  # the EMA, made before, keeps the stock loss: for validation and in checkpoints
            model = unwrap_model(self.model)
            model.criterion = weighted_criterion(model, self.rule)
        elif event == "on_train_epoch_start" and self.schedule is not None:
            before = self.schedule.p
            self.schedule.set_epoch(self.epoch)
            if self.schedule.p != before:
                self.train_loader.reset()
        super().run_callbacks(event)


def _checked_pipeline(pipeline: Any) -> None:
    if not isinstance(pipeline, _backend.Compose):
        raise ArgumentError(f"pipeline must be an A.Compose, got {type(pipeline).__name__}")
    processor = pipeline.processors.get("bboxes")
    fields = None if processor is None else sorted(processor.params.label_fields or ())
    if fields is None or sorted({*fields} - {INDEX_FIELD}) != _LABEL_FIELDS:
        raise ArgumentError(
            f"pipeline must have bbox_params with the label fields {_LABEL_FIELDS}, got {fields}: give "
            f"A.BboxParams(..., label_fields={_LABEL_FIELDS})"
        )


def _check_oriented(pipeline: Any, task: str) -> None:
    """Refuse a pipeline that would lose the angles of oriented boxes, or take others for such."""
    processor = pipeline.processors["bboxes"]
    if _backend.is_oriented(processor) != (task == "obb"):
        raise ArgumentError(
            "bbox_type must be 'obb' (which AlbumentationsX has) in the pipeline's bbox_params for the task 'obb', and "
            f"for no other, got {getattr(processor.params, 'bbox_type', 'hbb')!r} for {task!r}"
        )
    if task == "obb" and processor.params.clip_after_transform:
        raise ArgumentError(
            "clip_after_transform must be False in the pipeline's bbox_params for the task 'obb', got True: "
            "AlbumentationsX takes the angle from oriented boxes that it clips"
        )
