"""Class losses written out, for one location each: as an object, and as background; no code of the package.

In float64, of logits (L, C). A location's label is its class; its IoU is that of its predicted box with its target.
"""

import dataclasses

import torch
from torch.nn.functional import logsigmoid


def _negatives(logits, alpha, gamma, *, constant):
    """Focal terms of classes that are not there; `constant`: their focal factor has no gradient."""
    p = logits.detach().sigmoid() if constant else logits.sigmoid()
    return -alpha * p**gamma * logsigmoid(-logits)


def cross_entropy(logits, labels, ious, *, background, eos):
    """DETR's and Faster R-CNN's: `eos` weights the background's class."""
    everything = torch.logsumexp(logits, 1)
    return everything - logits.gather(1, labels[:, None])[:, 0], eos * (everything - logits[:, background])


def focal(logits, labels, ious, *, alpha, gamma=2.0):
    """Deformable DETR's, RetinaNet's, FCOS's: arXiv 1708.02002."""
    nothing = _negatives(logits, 1 - alpha, gamma, constant=False)
    x = logits.gather(1, labels[:, None])[:, 0]
    there = -alpha * (1 - x.sigmoid()) ** gamma * logsigmoid(x)
    return nothing.sum(1) - nothing.gather(1, labels[:, None])[:, 0] + there, nothing.sum(1)


def varifocal(logits, labels, ious, *, alpha, gamma, constant=True):
    """RT-DETR's and D-FINE's: the IoU is target and weight."""
    nothing = _negatives(logits, alpha, gamma, constant=constant)
    x = logits.gather(1, labels[:, None])[:, 0]
    there = -ious * (ious * logsigmoid(x) + (1 - ious) * logsigmoid(-x))
    return nothing.sum(1) - nothing.gather(1, labels[:, None])[:, 0] + there, nothing.sum(1)


def soft(logits, labels, scores):
    """YOLO's: an alignment score, in the place of the IoU, is the target of a binary cross-entropy."""
    nothing = -logsigmoid(-logits)
    x = logits.gather(1, labels[:, None])[:, 0]
    there = -scores * logsigmoid(x) - (1 - scores) * logsigmoid(-x)
    return nothing.sum(1) - nothing.gather(1, labels[:, None])[:, 0] + there, nothing.sum(1)


def matching_aware(logits, labels, ious, *, gamma, alpha):
    """DEIMv2's: the IoU to a power is the target."""
    nothing = _negatives(logits, 1.0 if alpha is None else alpha, gamma, constant=True)
    x, target = logits.gather(1, labels[:, None])[:, 0], ious**gamma
    there = -target * logsigmoid(x) - (1 - target) * logsigmoid(-x)
    return nothing.sum(1) - nothing.gather(1, labels[:, None])[:, 0] + there, nothing.sum(1)


def iou_aware(logits, labels, ious, *, alpha):
    """LW-DETR's and RF-DETR's: a power of confidence and IoU is the target."""
    nothing = _negatives(logits, 1.0, 2.0, constant=False)
    x = logits.gather(1, labels[:, None])[:, 0]
    target = (x.detach().sigmoid() ** alpha * ious ** (1 - alpha)).clamp(min=0.01)
    there = -target * logsigmoid(x) - (1 - target) * logsigmoid(-x)
    return nothing.sum(1) - nothing.gather(1, labels[:, None])[:, 0] + there, nothing.sum(1)


def phrases(logits, labels, ious, *, alpha, tokens, real):
    """Grounding DINO's: focal loss of tokens, of which a class has some (`tokens`); `real` are not padding."""
    logits = logits.where(real, 0)  # padding is minus infinity
    nothing = _negatives(logits, 1 - alpha, 2.0, constant=False) * real
    there = -alpha * (1 - logits.sigmoid()) ** 2 * logsigmoid(logits) * real
    return torch.where(tokens[labels], there, nothing).sum(1), nothing.sum(1)


@dataclasses.dataclass
class Locations:
    """What one class term was computed of, and its gradient.

    Attributes:
        name: The term.
        loss: One of the functions above, with its settings.
        logits: (L, C).
        gradient: (L, C), the term's.
        labels: (L,) int64; -1 is background, -2 is left out of the loss.
        weights: (L,), of the boxes that the locations are matched to.
        ious: (L,).
        norm: What each location's term is divided by; a number or (L,).
    """

    name: str
    loss: object
    logits: torch.Tensor
    gradient: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    ious: torch.Tensor
    norm: object

    def expected(self, rule):
        """The gradient by the rule."""
        logits = self.logits.double().detach().requires_grad_()
        object_terms, background_terms = self.loss(logits, self.labels.clamp(min=0), self.ious.double())
        of_object = torch.autograd.grad(object_terms.sum(), logits, retain_graph=True)[0]
        of_background = torch.autograd.grad(background_terms.sum(), logits)[0]
        w = self.weights.double()[:, None]
        matched = w * of_object + ((1 - w) * of_background if rule == "interpolate" else 0)
        labels = self.labels[:, None]
        gradient = torch.where(labels >= 0, matched, of_background).where(labels > -2, 0)
        return gradient / torch.as_tensor(self.norm, dtype=torch.float64).reshape(-1, 1)


def corners(boxes):
    """From x_center, y_center, width, height to corners."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)


def iou_of(left, right):
    """The IoU of pairs of boxes given as corners."""
    low, high = torch.maximum(left[:, :2], right[:, :2]), torch.minimum(left[:, 2:], right[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (left, right)]
    return inter / (areas[0] + areas[1] - inter)
