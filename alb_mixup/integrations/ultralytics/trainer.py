"""Ultralytics' trainer, whose training images go through a pipeline."""

from copy import copy
from typing import Any

from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import DEFAULT_CFG
from ultralytics.utils.torch_utils import unwrap_model

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup.errors import ArgumentError
from alb_mixup.integrations.torch import MixUpSchedule
from alb_mixup.integrations.ultralytics.data import Augmentation, TrainingSet
from alb_mixup.integrations.ultralytics.loss import RULES, weighted_criterion

_LABEL_FIELDS = ["labels", "mixup_weight"]


def mixup_trainer(
    pipeline: Any, *, rule: str = "interpolate", schedule: MixUpSchedule | None = None, after_builtin: bool = False
) -> type["MixUpTrainer"]:
    """Make the trainer for `YOLO(...).train(trainer=mixup_trainer(pipeline), data=...)`.

    A training image, resized so that its longer side is `imgsz`, goes through the pipeline and is then letterboxed to
    `imgsz` (or to the batch's shape with `rect=True`), so the pipeline may crop and resize as it likes. It gets

    - `image`: uint8 (H, W, 3), RGB as Albumentations has it; Ultralytics' own BGR is converted, there and back.
    - `bboxes`: float32 (N, 4), in the format of its `bbox_params`.
    - `labels`: N class names, those of the data.yaml, as this package's datasets give them too.
    - `mixup_weight`: float32 (N,), 1.0 each: Ultralytics reads no weights from label files.

    and returns the same. Its draws follow Ultralytics' `seed`, differently in each worker and DDP rank; a seed of its
    own has no effect. `WeightedDetectionLoss` says what the loss makes of the weights. Validation, checkpoints and
    resuming (name the trainer again) are Ultralytics' own; checkpoints load without this package.

    A `MixUp()` without a reference draws its partners from the training set itself: any image but the primary, after
    the same built-in augmentations, where the primary has them.

    Args:
        pipeline: `A.Compose` with `bbox_params` whose label fields are `labels` and `mixup_weight`. For hard labels,
            `MixUp(..., weighting="none")`.
        rule: What a weight means to the class term, "interpolate" or "scale", as `WeightedDetectionLoss` has them.
        schedule: MixUp's probability by epoch. A change takes effect with the epoch's first image: batches that
            workers have prepared ahead are thrown away. `close_mosaic` leaves the pipeline alone.
        after_builtin: False: the pipeline takes the place of the built-in augmentations, whose arguments (`mosaic`,
            `fliplr`, `hsv_h`, ...) then have no effect. True: it comes after them, on images of `imgsz` × `imgsz`.
            The partners of a `MixUp()` without a reference get them too, each with draws of its own; samples of
            another reference have seen none of them, unless its `reference_transform` does the like.

    Returns:
        A class to hand over as `trainer`.

    Raises:
        ArgumentError: The pipeline is not such a thing, `rule` is another one, or `schedule` finds no MixUp in it.
            From `train`: the task is not "detect", the data has other than 3 channels or two classes of one name, the
            model's loss is another one, or `single_cls`, `classes`, `distill_model`, or (in place of the built-in ones)
            `augmentations` is given.
        SampleError: While training, the pipeline returns a class that the data.yaml lacks, or no uint8 RGB image.

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
    rule = checks.choice("rule", rule, RULES)
    settings = {"pipeline": pipeline, "rule": rule, "schedule": schedule, "after_builtin": after_builtin}
    # A class that carries its settings, not a partial: DDP starts its processes from the trainer's class alone.
    return type("MixUpTrainer", (MixUpTrainer,), settings)


class MixUpTrainer(DetectionTrainer):  # type: ignore[misc, unused-ignore]
    """`DetectionTrainer` whose training set goes through a pipeline; made by `mixup_trainer`."""

    pipeline: Any
    rule: str
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
            dataset.__class__ = TrainingSet  # not built as one: how to build it is Ultralytics' business
            dataset.augment_with(Augmentation(self.pipeline, self.schedule, self.data["names"]), self.after_builtin)
            dataset.transforms = dataset.build_transforms(copy(self.args))
        return dataset

    def run_callbacks(self, event: str) -> None:
        """Weigh the loss and follow the schedule, then run the callbacks.

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
    if fields != _LABEL_FIELDS:
        raise ArgumentError(
            f"pipeline must have bbox_params with the label fields {_LABEL_FIELDS}, got {fields}: give "
            f"A.BboxParams(..., label_fields={_LABEL_FIELDS})"
        )
