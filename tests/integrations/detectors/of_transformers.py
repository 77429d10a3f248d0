"""The detectors of transformers, for the table of tests."""

import contextlib
import functools

import torch
from transformers.loss.loss_d_fine import DFineLoss
from transformers.loss.loss_deimv2 import Deimv2Loss
from transformers.loss.loss_for_object_detection import ImageLoss
from transformers.loss.loss_lw_detr import LwDetrImageLoss
from transformers.loss.loss_rt_detr import RTDetrLoss

from alb_mixup.integrations.torch import TransformersCollate
from alb_mixup.integrations.transformers import weight_loss
from tests.integrations.detectors import locations, models
from tests.integrations.detectors.table import Detector, masks_of, mixed_samples

PROMPT = torch.tensor([[101, 1050, 1012, 1051, 1052, 1012, 1053, 1012, 102]])  # three classes, the second of two tokens
TOKENS = torch.zeros(3, 16, dtype=torch.bool)
TOKENS[0, 1] = TOKENS[1, 3] = TOKENS[1, 4] = TOKENS[2, 6] = True
CLASS_TERMS = ("labels", "vfl", "mal")


class OfTransformers(Detector):
    """A model of transformers and its labels."""

    framework = "transformers"

    def batch(self):
        samples = mixed_samples()
        batch = TransformersCollate(["Platelets", "RBC", "WBC"])(samples)
        if "segment" in self.name:
            sides = batch["pixel_values"].shape[-2:]
            for target in batch["labels"]:
                xyxy = locations.corners(target["boxes"]) * torch.tensor([*sides[::-1], *sides[::-1]])
                target["masks"] = masks_of(xyxy, sides)
        if "Grounding" in self.name:
            ids = PROMPT.repeat(len(samples), 1)
            batch |= {"input_ids": ids, "attention_mask": ids.ne(0).long(), "token_type_ids": torch.zeros_like(ids)}
        return batch

    def targets(self, batch):
        return batch["labels"]

    def weight(self, model, rule):
        weight_loss(model, rule=rule)

    def losses(self, model, batch):
        out = model(**batch)
        return out.loss, out.loss_dict

    def locations(self, model, batch):
        seen = []
        with contextlib.ExitStack() as stack:
            for criterion in (RTDetrLoss, DFineLoss, Deimv2Loss, ImageLoss, LwDetrImageLoss):
                stack.enter_context(recorded(criterion, seen))
            self.losses(model, batch)
        return [self._locations(*each) for each in seen if each[1] in CLASS_TERMS]

    def _locations(self, criterion, kind, outputs, targets, indices, num_boxes, gradient):
        logits = outputs["logits"].detach()
        labels = torch.full(logits.shape[:2], -1)
        weights, ious = torch.ones(logits.shape[:2]), torch.zeros(logits.shape[:2])
        for image, (target, (queries, chosen)) in enumerate(zip(targets, indices, strict=True)):
            labels[image, queries] = target["class_labels"][chosen]
            weights[image, queries] = target["weights"][chosen]
            boxes = outputs["pred_boxes"][image, queries].detach().double(), target["boxes"][chosen].double()
            ious[image, queries] = locations.iou_of(*map(locations.corners, boxes)).float()
        loss, norm = self._loss(criterion, kind, outputs, labels, num_boxes)
        flat = (value.flatten(0, 1) for value in (logits, gradient, labels, weights, ious))
        return locations.Locations(kind, loss, *flat, norm)

    def _loss(self, criterion, kind, outputs, labels, num_boxes):
        name = type(criterion).__name__.removeprefix("Weighted")
        if kind == "vfl":
            settings = {"alpha": criterion.alpha, "gamma": criterion.gamma}
            return functools.partial(locations.varifocal, **settings), num_boxes
        if kind == "mal":
            settings = {"alpha": criterion.mal_alpha, "gamma": criterion.gamma}
            return functools.partial(locations.matching_aware, **settings), num_boxes
        if name == "ImageLoss":
            settings = {"background": models.CLASSES, "eos": criterion.eos_coef}
            matched = (labels >= 0).sum()
            return functools.partial(locations.cross_entropy, **settings), matched + criterion.eos_coef * (
                labels.numel() - matched
            )
        if name == "DeformableDetrImageLoss":
            return functools.partial(locations.focal, alpha=criterion.focal_alpha), num_boxes
        if name == "GroundingDinoImageLoss":
            settings = {"tokens": TOKENS, "real": outputs["text_mask"][0, :1]}
            return functools.partial(locations.phrases, alpha=criterion.focal_alpha, **settings), num_boxes
        return functools.partial(locations.iou_aware, alpha=criterion.focal_alpha), num_boxes


@contextlib.contextmanager
def recorded(criterion, seen, logits="logits"):
    """Note each term of a criterion of queries: itself, its inputs, and the gradient of a class term."""
    stock = criterion.get_loss

    def get_loss(self, loss, outputs, targets, indices, num_boxes, *args, **kwargs):
        terms = stock(self, loss, outputs, targets, indices, num_boxes, *args, **kwargs)
        if loss in CLASS_TERMS:
            term = next(value for key, value in terms.items() if key.startswith("loss"))
            gradient = torch.autograd.grad(term, outputs[logits], retain_graph=True)[0]
            seen.append((self, loss, outputs, targets, indices, num_boxes, gradient))
        return terms

    criterion.get_loss = get_loss
    try:
        yield
    finally:
        criterion.get_loss = stock


DETECTORS = [
    OfTransformers("RT-DETR, RT-DETR v2", models.rt_detr_v2, terms=("vfl", "bbox", "giou"), stages=("aux", "dn")),
    OfTransformers("D-FINE", models.d_fine, terms=("vfl", "bbox", "giou", "fgl", "ddf"), stages=("aux", "dn")),
    OfTransformers("DEIMv2", models.deimv2, terms=("mal", "bbox", "giou", "fgl", "ddf"), stages=("aux", "dn")),
    OfTransformers("RF-DETR", models.rf_detr, terms=("ce", "bbox", "giou"), stages=("0", "enc")),
    OfTransformers(
        "RF-DETR segmentation",
        models.rf_detr_segment,
        terms=("ce", "bbox", "giou", "mask"),
        stages=("0", "enc"),
        needs_boxes=True,
    ),
    OfTransformers("LW-DETR", models.lw_detr, terms=("ce", "bbox", "giou"), stages=("0", "enc")),
    OfTransformers("DETR, Table Transformer, YOLOS", models.detr, terms=("ce", "bbox", "giou"), stages=("0",)),
    OfTransformers(
        "Deformable, Conditional, DAB-DETR", models.deformable_detr, terms=("ce", "bbox", "giou"), stages=("0",)
    ),
    OfTransformers(
        "Grounding DINO, MM Grounding DINO",
        models.grounding_dino,
        terms=("ce", "bbox", "giou"),
        stages=("0", "enc"),
    ),
]
REFUSED = []
