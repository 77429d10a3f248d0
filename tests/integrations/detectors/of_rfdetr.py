"""The criterion of rfdetr, for the table of tests: its losses of predictions that are parameters."""

import functools
import warnings

import torch

with warnings.catch_warnings():  # its own, of what it imports and of extras that are not installed
    warnings.simplefilter("ignore")
    from rfdetr.models.criterion import SetCriterion
    from rfdetr.models.matcher import HungarianMatcher

    from alb_mixup.integrations.rfdetr import weight_loss

from alb_mixup.functional.boxes import from_xyxy
from alb_mixup.integrations.torch import TorchvisionCollate
from tests.integrations.detectors import locations, models
from tests.integrations.detectors.table import Detector, masks_of, mixed_samples

GROUPS, QUERIES, IMAGES, MASK = 2, 15, 3, 24


class Predictions(torch.nn.Module):
    """A criterion, and the outputs of two decoder layers and the encoder as parameters."""

    def __init__(self, *, masks, **settings):
        super().__init__()
        count = GROUPS * QUERIES
        self.logits = torch.nn.Parameter(torch.randn(3, IMAGES, count, models.CLASSES))
        self.boxes = torch.nn.Parameter(torch.randn(3, IMAGES, count, 4))
        self.masks = torch.nn.Parameter(torch.randn(3, IMAGES, count, MASK, MASK)) if masks else None
        self.criterion = SetCriterion(
            models.CLASSES,
            HungarianMatcher(cost_class=2, cost_bbox=5, cost_giou=2, focal_alpha=0.25, use_pos_only=False),
            weight_dict={"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0},
            focal_alpha=0.25,
            losses=["labels", "boxes", "cardinality"] + ["masks"] * masks,
            group_detr=GROUPS,
            ia_bce_loss=True,
        )

    def forward(self, targets):
        layers = []
        for index in range(3):
            layer = {"pred_logits": self.logits[index] * 1.0, "pred_boxes": self.boxes[index].sigmoid()}
            layers.append(layer if self.masks is None else layer | {"pred_masks": self.masks[index]})
        return self.criterion(layers[0] | {"aux_outputs": layers[1:2], "enc_outputs": layers[2]}, targets)


class OfRfdetr(Detector):
    """A criterion of rfdetr and its targets."""

    framework = "rfdetr"

    def model(self, rule=None):
        self._warm_up()
        return super().model(rule)

    @functools.cache  # noqa: B019 (detectors live as long as the tests)
    def _warm_up(self):
        """TorchScript, in which the stock mask loss is written, computes its first calls in another way."""
        for _ in range(3):
            self.losses(super().model(), self.batch())[0].backward()

    def batch(self):
        images, targets = TorchvisionCollate(["Platelets", "RBC", "WBC"], first_label=0)(mixed_samples())
        for image, target in zip(images, targets, strict=True):
            if "mask" in self.terms:
                target["masks"] = masks_of(target["boxes"], (models.SIDE, models.SIDE)).bool()
            boxes = from_xyxy(target["boxes"].numpy(), "yolo", tuple(image.shape[-2:]))
            target["boxes"] = torch.from_numpy(boxes).float()
        return targets

    def targets(self, batch):
        return batch

    def weight(self, model, rule):
        weight_loss(model, rule=rule)

    def losses(self, model, batch):
        terms = model(batch)
        used = {key: value for key, value in terms.items() if "error" not in key}
        return sum(used.values()), used

    def locations(self, model, batch):
        seen, stock = [], SetCriterion.get_loss

        def get_loss(criterion, loss, outputs, targets, indices, num_boxes, *args, **kwargs):
            terms = stock(criterion, loss, outputs, targets, indices, num_boxes, *args, **kwargs)
            if loss == "labels":
                logits = outputs["pred_logits"]
                gradient = torch.autograd.grad(terms["loss_ce"], logits, retain_graph=True)[0]
                seen.append((outputs, targets, indices, num_boxes, gradient))
            return terms

        SetCriterion.get_loss = get_loss
        try:
            self.losses(model, batch)
        finally:
            SetCriterion.get_loss = stock
        return [_locations(*each) for each in seen]


def _locations(outputs, targets, indices, num_boxes, gradient):
    logits = outputs["pred_logits"].detach()
    labels = torch.full(logits.shape[:2], -1)
    weights, ious = torch.ones(logits.shape[:2]), torch.zeros(logits.shape[:2])
    for image, (target, (queries, chosen)) in enumerate(zip(targets, indices, strict=True)):
        labels[image, queries], weights[image, queries] = target["labels"][chosen], target["weights"][chosen]
        boxes = outputs["pred_boxes"][image, queries].detach().double(), target["boxes"][chosen].double()
        ious[image, queries] = locations.iou_of(*map(locations.corners, boxes)).float()
    loss = functools.partial(locations.iou_aware, alpha=0.25)
    flat = (value.flatten(0, 1) for value in (logits, gradient, labels, weights, ious))
    return locations.Locations("ce", loss, *flat, num_boxes)


DETECTORS = [
    OfRfdetr(
        "RF-DETR (package rfdetr)",
        functools.partial(Predictions, masks=False),
        terms=("ce", "bbox", "giou"),
        stages=("0", "enc"),
    ),
    OfRfdetr(
        "RF-DETR segmentation (package rfdetr)",
        functools.partial(Predictions, masks=True),
        terms=("ce", "bbox", "giou", "mask"),
        stages=("0", "enc"),
    ),
]


def _keypoints():
    """rfdetr's own loss of keypoint models, which are refused by `train` too."""
    model = Predictions(masks=False)
    model.criterion.losses.append("keypoints")
    weight_loss(model)


REFUSED = [("RF-DETR keypoints (package rfdetr)", _keypoints)]
