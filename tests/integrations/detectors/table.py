"""What the table of tests asks of a detector, whichever framework it is of.

A further framework subclasses `Detector` in a module of its own, `of_<framework>.py`, with a list `DETECTORS`, and a
list `REFUSED` of pairs: what it is called, and a call that raises.
"""

import importlib
import importlib.util
import itertools

import albumentations as A
import torch

from alb_mixup import MixUp, sample_dataset
from alb_mixup.integrations._weighting import RULES
from tests.integrations.detectors.models import SIDE, perturbed
from tests.support.samples import pipeline

FRAMEWORKS = ("transformers", "torchvision", "rfdetr", "ultralytics")


class Detector:
    """One row of the table.

    Args:
        name: What the documentation calls it.
        build: Makes a tiny one with random weights.
        terms: Parts of the names of the terms that its loss must have.
        stages: Ends of their names for auxiliary, encoder and denoising outputs.
        rules: Those that it serves.
        needs_boxes: Its stock loss fails for a batch without any.
        curved: Parts of the names of the terms that are no straight lines in a weight.

    Attributes:
        weighs_again: A loss that is weighted may be given another rule.
    """

    framework: str
    weighs_again = False

    def __init__(self, name, build, terms, stages=(), rules=RULES, needs_boxes=False, curved=()):
        self.name, self.build, self.terms, self.stages, self.rules = name, build, terms, stages, rules
        self.needs_boxes, self.curved = needs_boxes, curved

    def __repr__(self):
        return f"{self.framework}: {self.name}"

    def model(self, rule=None):
        """A fresh one, always the same, in training mode; with weights in its losses by a rule."""
        torch.manual_seed(0)
        model = perturbed(self.build())
        if rule is not None:
            self.weight(model, rule)
        return model

    def batch(self):
        """Mixed images of the sample data, the second without boxes, of two sizes where the framework pads."""
        raise NotImplementedError

    def targets(self, batch):
        """The dicts of a batch that have `weights`, to be changed in place."""
        raise NotImplementedError

    def weight(self, model, rule):
        """The adapter's own call."""
        raise NotImplementedError

    def losses(self, model, batch):
        """The total and a dict of the terms; seeded by the caller."""
        raise NotImplementedError

    def locations(self, model, batch):
        """A `Locations` for each class term of a batch."""
        raise NotImplementedError

    def undivided(self, model, batch, terms):
        """The terms of a batch, times what they are divided by, where weights have changed that."""
        return terms


def mixed_samples(sizes=((SIDE, SIDE), (SIDE, SIDE), (SIDE, 96))):
    """Mixed images of the sample data, as a pipeline returns them; the second has no boxes."""
    dataset = sample_dataset()
    samples = []
    for index, size in enumerate(sizes):
        mixer = pipeline(MixUp(dataset, p=1.0), A.Resize(*size), seed=3 + index)
        samples.append(mixer(**dataset[index]))
        for key in ("bboxes", "labels", "mixup_weight"):
            samples[-1][key] = [] if index == 1 else samples[-1][key][-6:]
    return samples


def masks_of(xyxy, sides):
    """Masks uint8 (N, H, W) of whole boxes."""
    masks = torch.zeros(len(xyxy), *sides, dtype=torch.uint8)
    for mask, (x, y, right, bottom) in zip(masks, xyxy.round().int().tolist(), strict=True):
        mask[y : max(bottom, y + 1), x : max(right, x + 1)] = 1
    return masks


def spread(targets, values=(0.0, 0.3, 1.0, 0.7)):
    """Give the boxes of a batch different weights."""
    values = itertools.cycle(values)
    for target in targets:
        target["weights"] = torch.tensor([next(values) for _ in target["weights"]], dtype=torch.float32)
    return targets


def detectors():
    """Every detector of the frameworks that are installed."""
    return [detector for module in _modules() for detector in module.DETECTORS]


def refusals():
    """What adapters refuse: (framework, detector, a call that raises)."""
    return [(module.__name__.split("_")[-1], *each) for module in _modules() for each in module.REFUSED]


def _modules():
    found = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    modules = [f"{__package__}.of_{name}" for name in found]
    return [importlib.import_module(name) for name in modules if importlib.util.find_spec(name)]
