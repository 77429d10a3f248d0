"""The detectors of torchvision, for the table of tests."""

import copy
import functools

import torch

from alb_mixup.integrations.torch import TorchvisionCollate
from alb_mixup.integrations.torchvision import weight_loss
from tests.integrations.detectors import locations, models
from tests.integrations.detectors.table import Detector, masks_of, mixed_samples


class OfTorchvision(Detector):
    """A model of torchvision and its targets."""

    framework = "torchvision"

    def batch(self):
        images, targets = TorchvisionCollate(["Platelets", "RBC", "WBC"])(mixed_samples())
        for image, target in zip(images, targets, strict=True):
            target["masks"] = masks_of(target["boxes"], image.shape[-2:])
            centres = (target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2
            visible = torch.ones(len(centres), 1)
            points = [torch.cat([centres, visible], 1), torch.cat([centres + 2, 1 - visible], 1)]
            target["keypoints"] = torch.stack(points, 1)
        return images, targets

    def targets(self, batch):
        return batch[1]

    def weight(self, model, rule):
        weight_loss(model, rule=rule)

    def losses(self, model, batch):
        images, targets = batch
        terms = model(images, copy.deepcopy(targets))
        return sum(terms.values()), terms


class OfRegions(OfTorchvision):
    """The R-CNNs: cross-entropy of sampled regions."""

    def model(self, rule=None):
        model = super().model(rule)
        model.roi_heads.fg_bg_sampler.batch_size_per_image = 10_000  # every region, so that nothing is drawn
        model.rpn.fg_bg_sampler.batch_size_per_image = 10_000
        model.roi_heads.fg_bg_sampler.positive_fraction = model.rpn.fg_bg_sampler.positive_fraction = 0.99
        return model

    def locations(self, model, batch):
        heads, seen = model.roi_heads, {}
        select = heads.select_training_samples
        heads.select_training_samples = lambda *args: seen.setdefault("samples", select(*args))
        handle = heads.box_predictor.register_forward_hook(lambda module, given, out: seen.update(logits=out[0]))
        term = self.losses(model, batch)[1]["loss_classifier"]
        handle.remove()
        del heads.select_training_samples
        gradient = torch.autograd.grad(term, seen["logits"])[0]
        _, matched, labels, _ = seen["samples"]
        weights = [
            target["weights"][chosen].where(of_regions > 0, 1.0) if len(target["weights"]) else torch.ones(len(chosen))
            for target, chosen, of_regions in zip(batch[1], matched, labels, strict=True)
        ]
        labels, weights = torch.cat(labels), torch.cat(weights)
        loss = functools.partial(locations.cross_entropy, background=0, eos=1.0)
        labels = labels.where(labels > 0, -1)
        logits = seen["logits"].detach()
        return [locations.Locations("ce", loss, logits, gradient, labels, weights, weights, len(labels))]


class OfAnchors(OfTorchvision):
    """RetinaNet and FCOS: focal loss of anchors, normalized by image or batch."""

    def locations(self, model, batch):
        seen = {}
        compute = model.head.compute_loss

        def compute_loss(targets, outputs, anchors, matched):
            seen.update(matched=matched, logits=outputs["cls_logits"])
            return compute(targets, outputs, anchors, matched)

        model.head.compute_loss = compute_loss
        term = self.losses(model, batch)[1]["classification"]
        del model.head.compute_loss
        gradients = torch.autograd.grad(term, seen["logits"])[0]
        loss, found = functools.partial(locations.focal, alpha=0.25), []
        everywhere = max(1, sum(int((matched >= 0).sum()) for matched in seen["matched"]))
        for target, matched, logits, gradient in zip(
            batch[1], seen["matched"], seen["logits"].detach(), gradients, strict=True
        ):
            known = matched >= 0
            labels, weights = matched.clone(), torch.ones(len(matched))
            labels[known], weights[known] = target["labels"][matched[known]], target["weights"][matched[known]]
            norm = everywhere if self.build is models.fcos else max(1, int(known.sum())) * len(batch[1])
            found.append(locations.Locations("focal", loss, logits, gradient, labels, weights, weights, norm))
        return found


DETECTORS = [
    OfRegions("Faster R-CNN", models.faster_rcnn, terms=("classifier", "box_reg")),
    OfRegions("Mask R-CNN", models.mask_rcnn, terms=("classifier", "box_reg", "mask")),
    OfRegions("Keypoint R-CNN", models.keypoint_rcnn, terms=("classifier", "box_reg", "keypoint")),
    OfAnchors("RetinaNet", models.retinanet, terms=("classification", "bbox_regression")),
    OfAnchors("FCOS", models.fcos, terms=("classification", "bbox_regression", "bbox_ctrness")),
]
REFUSED = [("SSD", lambda: weight_loss(models.ssd()))]
