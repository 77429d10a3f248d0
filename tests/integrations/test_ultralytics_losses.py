"""Ultralytics' losses for masks, oriented boxes and RT-DETR: both rules, against arithmetic written here."""

import contextlib
import copy
import math
import os
import tempfile

import pytest

pytest.importorskip("ultralytics")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="yolo-config-"))
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

import torch
from torch.nn import functional as F
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import OBBModel, RTDETRDetectionModel, SegmentationModel
from ultralytics.utils.metrics import bbox_iou, probiou

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations.ultralytics import WeightedRTDETRLoss, weighted_criterion
from tests.support.rtdetr import TINY_RTDETR

RULES = ("interpolate", "scale")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batch_of(obb=False):
    """Three images of 64 × 64, the second without boxes, six boxes, one of them tiny."""
    generator = torch.Generator().manual_seed(1)
    bboxes = torch.tensor(
        [[0.3, 0.3, 0.4, 0.3], [0.7, 0.6, 0.3, 0.5], [0.5, 0.5, 0.01, 0.01], [0.4, 0.6, 0.6, 0.4], [0.7, 0.3, 0.4, 0.4],
         [0.2, 0.2, 0.3, 0.3]]
    )  # fmt: skip
    masks = torch.zeros(3, 16, 16)
    for image, number, (x, y, w, h) in zip([0, 0, 0, 2, 2, 2], [1, 2, 3, 1, 2, 3], (bboxes * 16).tolist(), strict=True):
        rows, columns = (slice(int(c - side / 2), math.ceil(c + side / 2)) for c, side in ((y, h), (x, w)))
        masks[image, rows, columns] = number
    angles = torch.tensor([[0.1], [0.5], [0.2], [1.0], [0.0], [0.7]])
    return {
        "img": torch.rand(3, 3, 64, 64, generator=generator),
        "batch_idx": torch.tensor([0.0, 0, 0, 2, 2, 2]),
        "cls": torch.tensor([[0.0], [1], [2], [1], [0], [2]]),
        "bboxes": torch.cat([bboxes, angles], 1) if obb else bboxes,
        "masks": masks,
        "sem_masks": torch.zeros(3, 16, 16),
        "weights": torch.tensor([0.75, 0.25, 0.5, 0.6, 0.4, 0.1]),
    }


def tiny_rtdetr():
    model = RTDETRDetectionModel(copy.deepcopy(TINY_RTDETR), nc=3, verbose=False).train()
    model.args, model.nc = get_cfg(), 3  # which trainers set
    return model


KINDS = {
    "yolo11n-seg.yaml": SegmentationModel, "yolo26n-seg.yaml": SegmentationModel,
    "yolo11n-obb.yaml": OBBModel, "yolo26n-obb.yaml": OBBModel,
}  # fmt: skip


@pytest.fixture(scope="module", params=[*KINDS, "rtdetr"])
def case(request):
    torch.manual_seed(0)
    model = tiny_rtdetr() if request.param == "rtdetr" else KINDS[request.param](request.param, nc=3, verbose=False)
    model.args = get_cfg()
    return model.train(), batch_of("obb" in request.param)


def loss_and_gradients(model, criterion, batch):
    torch.manual_seed(5)  # RT-DETR's denoising queries
    model.zero_grad()
    model.criterion = criterion
    if isinstance(criterion, WeightedRTDETRLoss):
        criterion.weights = batch["weights"]
    loss, _ = model.loss(batch)
    loss.sum().backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def weighted(model, rule):
    model.criterion = None
    return weighted_criterion(model, rule)


@pytest.mark.parametrize("rule", RULES)
def test_weights_of_one_are_the_stock_loss_to_the_bit(case, rule):
    model, batch = case
    expected = loss_and_gradients(model, model.init_criterion(), batch)
    criterion = weighted(model, rule)
    for weights in (torch.ones(6), None):
        found = loss_and_gradients(model, criterion, batch | {"weights": weights})
        assert torch.equal(found[0], expected[0])
        assert found[1].keys() == expected[1].keys()
        assert all(torch.equal(found[1][name], gradient) for name, gradient in expected[1].items())
    assert not torch.equal(loss_and_gradients(model, criterion, batch)[0], expected[0])


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_without_boxes_is_the_stock_loss(case, rule):
    model, batch = case
    empty = (
        batch
        | {key: batch[key][:0] for key in ("batch_idx", "cls", "bboxes", "weights")}
        | {"masks": batch["masks"] * 0}
    )
    expected = loss_and_gradients(model, model.init_criterion(), empty)
    found = loss_and_gradients(model, weighted(model, rule), empty)
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(found[1][name], gradient) for name, gradient in expected[1].items())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [0.0, 1e-6, 0.3])
def test_gradients_are_finite_whatever_the_weights(case, value, rule):
    model, batch = case
    found = loss_and_gradients(model, weighted(model, rule), batch | {"weights": torch.full((6,), value)})
    assert all(gradient.isfinite().all() for gradient in found[1].values())


@pytest.mark.parametrize("rule", RULES)
def test_under_autocast(case, rule):
    model, batch = case
    criterion = weighted(model, rule)
    with torch.autocast("cpu", torch.bfloat16):
        expected = loss_and_gradients(model, model.init_criterion(), batch)
        ones = loss_and_gradients(model, criterion, batch | {"weights": torch.ones(6)})
        found = loss_and_gradients(model, criterion, batch)
    assert torch.equal(ones[0], expected[0])
    assert found[0].isfinite().all()
    assert not torch.equal(found[0], expected[0])


# ---------------------------------------------------------------- masks and oriented boxes


@contextlib.contextmanager
def spied(owner, name):
    stock, seen = getattr(owner, name), []

    def spy(*args, **settings):
        seen.append((args, stock(*args, **settings)))
        return seen[-1][1]

    setattr(owner, name, spy)
    yield seen
    setattr(owner, name, stock)


def branches(model, batch, rule):
    criterion = weighted(model, rule)
    with torch.no_grad():
        preds = model(batch["img"])
    if hasattr(criterion, "one2many"):
        return [(criterion.one2many, preds["one2many"]), (criterion.one2one, preds["one2one"])]
    return [(criterion, preds)]


def matches(branch, preds, batch):
    """Unweighted scores (B, A, C), which anchors are matched (B, A), their weights (B, A), and to which box (B, A)."""
    with spied(branch, "assigner") as seen:
        branch.loss(preds, batch | {"weights": None})
    [(_, (_, _, scores, is_matched, box_index))] = seen
    if batch["bboxes"].shape[1] == 5:  # Ultralytics leaves out oriented boxes below two pixels: the third
        of_boxes = {0: [0.75, 0.25], 2: [0.6, 0.4, 0.1]}
    else:
        of_boxes = {0: [0.75, 0.25, 0.5], 2: [0.6, 0.4, 0.1]}
    weights = torch.ones(is_matched.shape)
    for image, anchor in is_matched.nonzero().tolist():
        weights[image, anchor] = of_boxes[image][int(box_index[image, anchor])]
    return scores, is_matched, weights, box_index


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", KINDS)
def test_class_and_box_terms(name, rule):
    torch.manual_seed(0)
    model = KINDS[name](name, nc=3, verbose=False).train()
    model.args = get_cfg()
    batch = batch_of("obb" in name)
    for branch, preds in branches(model, batch, rule):
        scores, is_matched, weights, _ = matches(branch, preds, batch)
        assert is_matched.sum() > 3
        total = max(float((scores * weights[..., None] if rule == "interpolate" else scores).sum()), 1.0)
        logits = preds["scores"].permute(0, 2, 1)
        of_object = F.softplus(logits) - logits * scores
        expected = weights[..., None] * of_object
        if rule == "interpolate":
            expected = expected + (1 - weights[..., None]) * F.softplus(logits)
        with spied(branch._stock_bbox_loss, "forward") as seen:
            terms = branch.loss(preds, batch)[0] / 3
        at = 2 if "seg" in name else 1
        torch.testing.assert_close(terms[at], expected.sum() / total * model.args.cls, rtol=1e-4, atol=0)
        [((_, pred_bboxes, _, target_bboxes, factor, divisor, *_), _)] = seen
        torch.testing.assert_close(factor, scores * weights[..., None])
        assert float(divisor) == pytest.approx(total, rel=1e-5)
        of_boxes = probiou if "obb" in name else bbox_iou
        kind = {"floor": 0.01} if "obb" in name else {"xywh": False, "CIoU": True}
        iou = of_boxes(pred_bboxes[is_matched], target_bboxes[is_matched], **kind)
        box = ((1 - iou) * (scores.sum(-1) * weights)[is_matched, None]).sum() / total
        torch.testing.assert_close(terms[0], box * model.args.box, rtol=1e-4, atol=0)
        if "obb" in name:
            pred, goal = pred_bboxes[is_matched], target_bboxes[is_matched]
            aspect = torch.exp(-(torch.log(goal[:, 2] / goal[:, 3]) ** 2) / 9)
            angle = aspect * torch.sin(2 * (pred[:, 4] - goal[:, 4])) ** 2 * (scores.sum(-1) * weights)[is_matched]
            torch.testing.assert_close(terms[3], angle.sum() / total * model.args.angle, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["yolo11n-seg.yaml", "yolo26n-seg.yaml"])
def test_mask_terms(name, rule):
    torch.manual_seed(0)
    model = SegmentationModel(name, nc=3, verbose=False).train()
    model.args = get_cfg()
    batch = batch_of()
    for branch, preds in branches(model, batch, rule):
        _, is_matched, weights, box_index = matches(branch, preds, batch)
        proto = preds["proto"][0] if isinstance(preds["proto"], tuple) else preds["proto"]
        coefficients = preds["mask_coefficient"].permute(0, 2, 1)
        expected = torch.zeros(())
        for image, anchor in is_matched.nonzero().tolist():
            box = int(box_index[image, anchor])
            x, y, w, h = batch["bboxes"][batch["batch_idx"] == image][box].tolist()
            logits = torch.einsum("c,chw->hw", coefficients[image, anchor], proto[image])
            mask = (batch["masks"][image] == box + 1).float()
            losses = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
            centres = torch.arange(16)
            inside = [(centres >= (c - s / 2) * 16) & (centres < (c + s / 2) * 16) for c, s in ((y, h), (x, w))]
            losses = losses * inside[0][:, None] * inside[1][None]
            expected = expected + weights[image, anchor] * losses.mean() / (w * h)
        terms = branch.loss(preds, batch)[0] / 3
        torch.testing.assert_close(terms[1], expected / is_matched.sum() * model.args.box, rtol=1e-3, atol=1e-6)


# ---------------------------------------------------------------- RT-DETR


@pytest.mark.parametrize("rule", RULES)
def test_rtdetr_each_layer_is_weighted_as_documented(rule):
    torch.manual_seed(0)
    model = tiny_rtdetr()
    batch = batch_of()
    criterion = weighted(model, rule)
    torch.manual_seed(5)
    model.criterion, criterion.weights = criterion, batch["weights"]
    names = ("_get_loss_class", "_get_loss_bbox", "_get_index")
    with contextlib.ExitStack() as stack:
        classes, boxes, indices = (stack.enter_context(spied(criterion, name)) for name in names)
        model.loss(batch)
    assert len(classes) == len(boxes) == len(indices) == 5  # the encoder, two layers, and these with denoising queries
    matched_denoising = 0
    for ((scores, targets, ious, count, _), found), ((pred, goal, _), of_boxes), (_, (queries, rows)) in zip(
        classes, boxes, indices, strict=True
    ):
        logits = scores.detach()
        matched_denoising += len(rows) > 6
        weights = torch.ones(logits.shape[:2])
        weights[queries] = batch["weights"][rows]
        one_hot = F.one_hot(targets, 4)[..., :3]
        score = ious[..., None] * one_hot
        background = 0.25 * logits.sigmoid() ** 1.5 * F.softplus(logits)
        of_object = torch.where(one_hot == 1, score * (F.softplus(logits) - logits * score), background)
        expected = weights[..., None] * of_object
        if rule == "interpolate":
            expected = expected + (1 - weights[..., None]) * background
        [value] = found.values()
        torch.testing.assert_close(value.detach(), expected.sum() / count, rtol=1e-4, atol=0)
        w = batch["weights"][rows][:, None]
        l1 = 5 * (w * (pred - goal).abs()).sum() / len(goal)
        giou = 2 * (w * (1 - bbox_iou(pred, goal, xywh=True, GIoU=True))).sum() / len(goal)
        for found_value, wanted in zip(of_boxes.values(), (l1, giou), strict=True):
            torch.testing.assert_close(found_value, wanted, rtol=1e-4, atol=0)
    assert matched_denoising == 2


@pytest.mark.parametrize("rule", RULES)
def test_rtdetr_a_weight_of_zero(rule):
    model = tiny_rtdetr()
    batch = batch_of() | {"weights": torch.zeros(6)}
    criterion = weighted(model, rule)
    model.criterion, criterion.weights = criterion, batch["weights"]
    with spied(criterion, "_get_loss_class") as classes, spied(criterion, "_get_index") as indices:
        model.loss(batch)
    for ((logits, *_), found), (_, (queries, _)) in zip(classes, indices, strict=True):
        [value] = found.values()
        [gradient] = torch.autograd.grad(value, logits, retain_graph=True)
        if rule == "scale":
            assert not gradient[queries].any()
        else:
            assert (gradient[queries] > 0).all()


def test_rtdetr_weights_of_another_batch_are_refused():
    criterion = WeightedRTDETRLoss(3)
    criterion.weights = torch.ones(5)
    with pytest.raises(ArgumentError, match="weights must be one for each of 6 boxes, got 5"):
        criterion((None, None), {"bboxes": torch.zeros(6, 4)})
    with pytest.raises(ArgumentError, match="rule must be one of"):
        WeightedRTDETRLoss(3, rule="soft")
