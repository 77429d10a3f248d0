"""RF-DETR by its own package, rfdetr: its training with a pipeline and the boxes' weights.

```python
model = RFDETRNano()
train(model, pipeline, dataset_dir="dataset", epochs=50)  # for model.train(dataset_dir="dataset", epochs=50)
```

The training set is rfdetr's own, in COCO's or YOLO's layout. Its samples go through the pipeline before rfdetr resizes,
augments and normalizes them, with class names as labels: those of MixUp's reference are the same names. Validation is
left alone.

**What is weighted.** With w the weight of the box that a query is matched to: L1, GIoU and mask terms are multiplied by
w; the class term is w · (its loss as an object) + (1 - w) · (its loss as background) with `rule="interpolate"`, and w ·
(its loss as an object) with `rule="scale"`. Unmatched queries stay at 1, and auxiliary and encoder outputs are weighted
as the last layer's are. The matcher knows no weights.

**What normalizes.** What the stock criterion divides by, the number of boxes times groups, which no weight changes.
With all weights 1, or none given, the losses are the stock ones to the bit.

**What is not.** Keypoint models and shards (`dataset_file="webdataset"`) are refused. On CUDA, the losses of a compiled
model's layers are computed one layer after the other, as rfdetr does for any criterion that is not its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._extras import needs

with needs("rfdetr"):
    import rfdetr.training
    from rfdetr.training import RFDETRModelModule

    from alb_mixup.integrations._weighting import checked_rule
    from alb_mixup.integrations.rfdetr.criterion import weight_loss
    from alb_mixup.integrations.rfdetr.data import MixUpDataModule
    from alb_mixup.integrations.torch import MixUpSchedule

__all__ = ["MixUpDataModule", "train", "weight_loss"]


def train(
    model: Any, pipeline: Any, rule: str = "interpolate", schedule: MixUpSchedule | None = None, **settings: Any
) -> None:
    """Train a model of rfdetr on samples that a pipeline mixes: `model.train(**settings)`, with weights.

    Args:
        model: `RFDETRNano()` or another, for detection or segmentation.
        pipeline: `A.Compose` with a MixUp; its label fields are `labels` (class names) and the weight field. With a
            model for segmentation, its reference has masks, and nothing in it drops boxes.
        rule: "interpolate": a matched query is an object by w and background by 1 - w; "scale": its loss is multiplied
            by w.
        schedule: MixUp's probability by epoch; None leaves `p` as it is.
        **settings: What `model.train` takes.

    Raises:
        ArgumentError: There is no such rule; the model is one for keypoints; the data is a stream of shards; or the
            reference has classes that the training set has not.
        SampleError: While training, what the pipeline returns does not fit.

    Examples:
        >>> import albumentations as A
        >>> from rfdetr import RFDETRNano
        >>> from alb_mixup import MixUp, open_dataset
        >>> from alb_mixup.integrations.rfdetr import train
        >>> reference = open_dataset("dataset", "train")  # doctest: +SKIP
        >>> params = A.BboxParams(reference.bbox_format, label_fields=["labels", "mixup_weight"])  # doctest: +SKIP
        >>> pipeline = A.Compose([MixUp(reference, p=0.5)], bbox_params=params)  # doctest: +SKIP
        >>> train(RFDETRNano(), pipeline, dataset_dir="dataset", epochs=50)  # doctest: +SKIP
    """
    checked_rule(rule)
    if model.model_config.use_grouppose_keypoints:
        raise ArgumentError(
            f"model must be one for detection or segmentation, got {type(model).__name__}: a mix has the keypoints of "
            "two images, which its targets do not hold; train it without a pipeline"
        )
    with _modules(partial(_MixUpModelModule, rule, schedule), partial(MixUpDataModule, pipeline, schedule)):
        model.train(**settings)


class _MixUpModelModule(RFDETRModelModule):  # type: ignore[misc, unused-ignore]
    """A model and criterion of rfdetr, with weights in it, which tells the schedule the epoch."""

    def __init__(self, rule: str, schedule: MixUpSchedule | None, model_config: Any, train_config: Any) -> None:
        super().__init__(model_config, train_config)
        weight_loss(self, rule)
        self._schedule = schedule

    def on_train_epoch_start(self) -> None:
        """Set the epoch before the workers draw its first batch."""
        if self._schedule is not None:
            self._schedule.set_epoch(self.trainer.current_epoch)
        super().on_train_epoch_start()


@contextmanager
def _modules(model: Any, data: Any) -> Iterator[None]:
    """Let `model.train`, which takes both from there by name, build these."""
    names: tuple[str, str] = ("RFDETRModelModule", "RFDETRDataModule")
    stock = [getattr(rfdetr.training, name) for name in names]
    for name, value in zip(names, (model, data), strict=True):
        setattr(rfdetr.training, name, value)
    try:
        yield
    finally:
        for name, value in zip(names, stock, strict=True):
            setattr(rfdetr.training, name, value)
