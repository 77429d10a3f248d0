"""The detectors of Ultralytics, for the table of tests."""

import contextlib
import copy
import functools
import os
import tempfile

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="yolo-config-"))
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import (
    DetectionModel,
    OBBModel,
    PoseModel,
    RTDETRDetectionModel,
    SegmentationModel,
    yaml_model_load,
)
from ultralytics.utils.loss import E2ELoss

from alb_mixup.functional.boxes import from_xyxy
from alb_mixup.integrations.torch import TorchvisionCollate
from alb_mixup.integrations.ultralytics import weighted_criterion
from tests.integrations.detectors import locations, models
from tests.integrations.detectors.table import Detector, masks_of, mixed_samples
from tests.support.rtdetr import TINY_RTDETR

SIDE, RATIO = 64, 4  # of the images, and of the masks to them


class OfUltralytics(Detector):
    """A model of Ultralytics; its batch is kept image by image, and joined as Ultralytics wants it for a call."""

    framework = "ultralytics"
    weighs_again = True

    def batch(self):
        samples = mixed_samples([(SIDE, SIDE)] * 3)
        images, targets = TorchvisionCollate(["Platelets", "RBC", "WBC"], first_label=0)(samples)
        for number, target in enumerate(targets):
            boxes = target.pop("boxes")
            target["cls"] = target.pop("labels")[:, None].float()
            target["masks"] = masks_of(boxes / RATIO, (SIDE // RATIO, SIDE // RATIO))
            target["bboxes"] = torch.from_numpy(from_xyxy(boxes.numpy(), "yolo", (SIDE, SIDE))).float()
            if "oriented" in self.name:
                angles = torch.linspace(0.1, 0.7 + number, len(boxes))[:, None]
                target["bboxes"] = torch.cat([target["bboxes"], angles], 1)
        return {"img": torch.stack(images), "targets": targets}

    def targets(self, batch):
        return batch["targets"]

    def weight(self, model, rule):
        model.criterion = weighted_criterion(model, rule)

    def criterion(self, model):
        if getattr(model, "criterion", None) is None:
            model.criterion = model.init_criterion()
        return model.criterion


class OfYolo(OfUltralytics):
    """YOLO, whose class term's target is an alignment score; terms are divided by the sum of these."""

    def losses(self, model, batch):
        with contextlib.ExitStack() as stack:
            seen = {key: stack.enter_context(spied(branch, "loss")) for key, branch in self._branches(model).items()}
            total = model.loss(joined(batch))[0].sum()
        names = {key: branch.loss_names for key, branch in self._branches(model).items()}
        return total, {
            f"{key}{name}": term
            for key, [(_, (terms, _))] in seen.items()
            for name, term in zip(names[key], terms, strict=True)
        }

    def locations(self, model, batch):
        return [self._locations(*each, batch) for each in self._matched(model, batch)]

    def _locations(self, branch, preds, terms, matched, batch):
        scores, is_matched, box_index, weights, divisor = matched
        term = terms[branch.loss_names.index("cls_loss")]
        gradient = torch.autograd.grad(term, preds["scores"], retain_graph=True)[0].permute(0, 2, 1)
        labels = torch.full(is_matched.shape, -1)
        for image, anchor in is_matched.nonzero().tolist():
            labels[image, anchor] = int(batch["targets"][image]["cls"][int(box_index[image, anchor]), 0])
        logits = preds["scores"].detach().permute(0, 2, 1)
        values = (logits, gradient, labels, weights, scores.sum(-1))
        norm = divisor / (branch.hyp.cls * len(batch["img"]))
        return locations.Locations("cls", locations.soft, *(value.flatten(0, 1) for value in values), norm)

    def undivided(self, model, batch, terms):
        divisors = {
            key: each[3][-1] for key, each in zip(self._branches(model), self._matched(model, batch), strict=True)
        }
        of_scores = ("box_loss", "cls_loss", "dfl_loss", "l1_loss", "angle_loss")
        return {
            name: term * next((divisors[key] for key in divisors if name in {key + each for each in of_scores}), 1.0)
            for name, term in terms.items()
        }

    def _branches(self, model):
        criterion = self.criterion(model)
        if isinstance(criterion, E2ELoss):
            return {"one2many_": criterion.one2many, "one2one_": criterion.one2one}
        return {"": criterion}

    def _matched(self, model, batch):
        """Each branch, its predictions and terms, and what its own assigner, which knows no weights, says."""
        branches, found = self._branches(model), []
        with contextlib.ExitStack() as stack:
            terms = [stack.enter_context(spied(branch, "loss")) for branch in branches.values()]
            assigned = [stack.enter_context(spied(branch, "_stock_assigner")) for branch in branches.values()]
            model.loss(joined(batch))
        for branch, [((preds, _), (of_branch, _))], [(_, (_, _, scores, is_matched, box_index))] in zip(
            branches.values(), terms, assigned, strict=True
        ):
            weights = torch.ones(is_matched.shape)
            for image, anchor in is_matched.nonzero().tolist():
                weights[image, anchor] = batch["targets"][image]["weights"][int(box_index[image, anchor])]
            counted = scores * weights[..., None] if branch.rule == "interpolate" else scores
            matched = (scores, is_matched, box_index, weights, max(float(counted.sum()), 1.0))
            found.append((branch, preds, of_branch, matched))
        return found


class OfRtdetr(OfUltralytics):
    """RT-DETR, whose losses are those of every layer, and of denoising queries."""

    def losses(self, model, batch):
        given, terms = joined(batch), {}
        criterion = self.criterion(model)
        criterion.weights = given.get("weights")
        handle = criterion.register_forward_hook(lambda module, args, found: terms.update(found))
        total = model.loss(given)[0]
        handle.remove()
        return total, terms

    def locations(self, model, batch):
        criterion, found = self.criterion(model), []
        with spied(criterion, "_get_loss_class") as classes, spied(criterion, "_get_index") as indices:
            self.losses(model, batch)
        given = joined(batch)["weights"]
        for ((scores, targets, ious, count, _), of_class), (_, (queries, rows)) in zip(classes, indices, strict=True):
            weights = torch.ones(targets.shape)
            weights[queries] = given[rows]
            [term] = of_class.values()
            gradient = torch.autograd.grad(term, scores, retain_graph=True)[0]
            settings = {"alpha": criterion.vfl.alpha, "gamma": criterion.vfl.gamma, "constant": False}
            values = (scores.detach(), gradient, targets.where(targets < models.CLASSES, -1), weights, ious.detach())
            loss = functools.partial(locations.varifocal, **settings)
            found.append(locations.Locations("vfl", loss, *(value.flatten(0, 1) for value in values), max(count, 1)))
        return found


def joined(batch):
    """The batch as Ultralytics has it: a dict of the rows of all images, and masks in which the smaller is above."""
    targets = batch["targets"]
    made = {key: torch.cat([target[key] for target in targets]) for key in targets[0] if key != "masks"}
    made["batch_idx"] = torch.cat([torch.full((len(each["cls"]),), float(i)) for i, each in enumerate(targets)])
    masks, semantic = [], []
    for target in targets:
        masks.append(torch.zeros(target["masks"].shape[1:]))
        semantic.append(torch.zeros(target["masks"].shape[1:]))
        areas = target["masks"].sum((1, 2)).tolist()
        for index in sorted(range(len(areas)), key=lambda index: (-areas[index], -index)):
            masks[-1][target["masks"][index] > 0] = index + 1
            semantic[-1][target["masks"][index] > 0] = target["cls"][index, 0]
    return made | {"img": batch["img"], "masks": torch.stack(masks), "sem_masks": torch.stack(semantic)}


@contextlib.contextmanager
def spied(owner, name):
    """The calls of a part of a loss, each as its arguments and what it returned."""
    stock, seen = getattr(owner, name), []

    def spy(*args, **settings):
        seen.append((args, stock(*args, **settings)))
        return seen[-1][1]

    setattr(owner, name, spy)
    yield seen
    setattr(owner, name, stock)


def made(kind, config):
    """A model as Ultralytics' trainers set it up, with random weights."""
    model = kind(copy.deepcopy(config), nc=models.CLASSES, verbose=False)
    model.args, model.nc = get_cfg(), models.CLASSES
    return model


def _yolo(name, kind, config, *terms, **settings):
    tiny = yaml_model_load(config) | {"scales": {"n": [0.33, 0.125, 256]}}
    build = functools.partial(made, kind, tiny)
    return OfYolo(name, build, terms=("box_loss", "cls_loss", *terms), **settings)


END_TO_END = ("one2one_",)
DETECTORS = [
    _yolo("YOLO11 and other detection", DetectionModel, "yolo11n.yaml", "dfl_loss"),
    _yolo("YOLO26, end to end", DetectionModel, "yolo26n.yaml", "l1_loss", stages=END_TO_END),
    _yolo("YOLO11 segmentation", SegmentationModel, "yolo11n-seg.yaml", "dfl_loss", "seg_loss"),
    _yolo(
        "YOLO26 segmentation",
        SegmentationModel,
        "yolo26n-seg.yaml",
        "l1_loss",
        "seg_loss",
        "sem_loss",
        stages=END_TO_END,
        curved=("sem_loss",),
    ),
    _yolo("YOLO11 oriented boxes", OBBModel, "yolo11n-obb.yaml", "dfl_loss", "angle_loss"),
    _yolo("YOLO26 oriented boxes", OBBModel, "yolo26n-obb.yaml", "l1_loss", "angle_loss", stages=END_TO_END),
    OfRtdetr(
        "RT-DETR",
        functools.partial(made, RTDETRDetectionModel, TINY_RTDETR),
        terms=("class", "bbox", "giou"),
        stages=("aux", "dn"),
    ),
]
REFUSED = [("YOLO pose", lambda: weighted_criterion(made(PoseModel, "yolo11n-pose.yaml")))]
