"""Ultralytics' losses of masks, against arithmetic written here; test_rules.py has what every loss has in common."""

import pytest

pytest.importorskip("ultralytics")
pytest.importorskip("torchvision")

import torch
from torch.nn import functional as F

from tests.integrations.detectors.of_ultralytics import DETECTORS, joined, spied
from tests.integrations.detectors.table import spread

RULES = ("interpolate", "scale")
SEGMENTERS = [detector for detector in DETECTORS if "segmentation" in detector.name]
END_TO_END = SEGMENTERS[1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("detector", SEGMENTERS, ids=repr)
def test_mask_terms(detector, rule):
    batch, model = detector.batch(), detector.model(rule)
    spread(detector.targets(batch))
    given = joined(batch)
    for branch, preds, terms, (_, is_matched, box_index, weights, _) in detector._matched(model, batch):
        proto = preds["proto"][0] if isinstance(preds["proto"], tuple) else preds["proto"]
        coefficients = preds["mask_coefficient"].permute(0, 2, 1)
        side, expected = proto.shape[-1], torch.zeros(())
        for image, anchor in is_matched.nonzero().tolist():
            box = int(box_index[image, anchor])
            x, y, w, h = batch["targets"][image]["bboxes"][box].tolist()
            logits = torch.einsum("c,chw->hw", coefficients[image, anchor], proto[image])
            mask = (given["masks"][image] == box + 1).float()
            losses = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
            centres = torch.arange(side)
            inside = [(centres >= (c - s / 2) * side) & (centres < (c + s / 2) * side) for c, s in ((y, h), (x, w))]
            losses = losses * inside[0][:, None] * inside[1][None]
            expected = expected + weights[image, anchor] * losses.mean() / (w * h)
        found = terms[branch.loss_names.index("seg_loss")] / len(batch["img"])
        torch.testing.assert_close(found, expected / is_matched.sum() * branch.hyp.box, rtol=1e-3, atol=1e-6)


def overlapping():
    """A batch, the masks of whose first image all lie in one another, the first two of one size."""
    batch = END_TO_END.batch()
    spread(END_TO_END.targets(batch))
    masks = batch["targets"][0]["masks"]
    for index, mask in enumerate(masks):
        mask[:] = 0
        mask[: 16 - 2 * max(index, 1), 2:14] = 1
    return batch


@pytest.mark.parametrize("overlap", [True, False], ids=["masks of one image in one", "apart"])
@pytest.mark.parametrize("rule", RULES)
def test_the_semantic_term_of_yolo26(rule, overlap):
    """BCE and Dice of pixels, each with the weight of the object that is on top there: the smallest."""
    batch, model = overlapping(), END_TO_END.model(rule)
    given = joined(batch)
    classes, weights = torch.zeros(3, 3, *given["masks"].shape[1:]), torch.ones(given["masks"].shape)
    for image, target in enumerate(batch["targets"]):
        for y, x in given["masks"][image].nonzero().tolist():
            shown = int(given["masks"][image, y, x]) - 1
            classes[image, int(target["cls"][shown, 0]), y, x] = 1
            weights[image, y, x] = target["weights"][shown]
    classes, weights = classes[..., ::2, ::2], weights[:, ::2, ::2]  # predictions are half as large as masks
    assert len(weights.unique()) == 4
    if not overlap:
        given["masks"] = torch.cat([target["masks"] for target in batch["targets"]]).float()
    for branch in (model.criterion.one2many, model.criterion.one2one):
        branch.overlap = overlap
    with spied(model.criterion.one2many, "loss") as seen:
        model.loss(given)
    [((preds, _), (terms, _))] = seen
    logits, w = preds["proto"][1], weights[:, None]
    of_object = F.softplus(logits) - logits * classes
    p = logits.sigmoid()
    if rule == "interpolate":
        bce = w * of_object + (1 - w) * F.softplus(logits)
        shared, areas = (p * w * classes).sum((2, 3)), (p + w * classes).sum((2, 3))
    else:
        bce = w * of_object
        shared, areas = (w * p * classes).sum((2, 3)), (w * (p + classes)).sum((2, 3))
    dice = 1 - (2 * shared + 1) / (areas + 1)
    expected = (0.5 * bce.mean() + 0.5 * dice.mean()) * model.args.box
    torch.testing.assert_close(terms[-1] / len(batch["img"]), expected, rtol=1e-4, atol=0)
