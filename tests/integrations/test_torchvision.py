"""torchvision: a tiny Faster R-CNN with the boxes' weights in its region losses."""

import copy
import math

import albumentations as A
import pytest

from alb_mixup import MixUp, sample_dataset
from alb_mixup.errors import ArgumentError, InstallationError
from tests.support.samples import pipeline

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

from torchvision.models.detection import FasterRCNN  # noqa: E402
from torchvision.models.detection.anchor_utils import AnchorGenerator  # noqa: E402

from alb_mixup.integrations import torchvision as integration  # noqa: E402
from alb_mixup.integrations.torch import TorchvisionCollate  # noqa: E402
from alb_mixup.integrations.torchvision import weight_loss  # noqa: E402

SIDE = 128


def faster_rcnn():
    torch.manual_seed(0)
    layers = []
    for before, after in ((3, 8), (8, 16), (16, 16)):
        layers += [torch.nn.Conv2d(before, after, 3, stride=2, padding=1), torch.nn.ReLU()]
    backbone = torch.nn.Sequential(*layers)
    backbone.out_channels = 16
    return FasterRCNN(
        backbone,
        num_classes=4,
        min_size=SIDE,
        max_size=SIDE,
        rpn_anchor_generator=AnchorGenerator(((16, 32, 64),), ((1.0,),)),
        box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], output_size=3, sampling_ratio=2),
        rpn_post_nms_top_n_train=200,
    ).train()


def batch(weight=None):
    dataset = sample_dataset()
    mixer = pipeline(MixUp(dataset, p=1.0), A.Resize(SIDE, SIDE), seed=3)
    images, targets = TorchvisionCollate(dataset.classes)([mixer(**dataset[index]) for index in range(3)])
    targets[1] = {key: value[:0] for key, value in targets[1].items()}
    if weight is not None:
        for target in targets:
            target["weights"] = torch.full_like(target["weights"], weight)
    return images, targets


def losses_and_gradients(model, images, targets):
    torch.manual_seed(1)  # of the sampled regions
    model.zero_grad()
    losses = model(images, copy.deepcopy(targets))
    sum(losses.values()).backward()
    return losses, {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("weighted", [True, False])
def test_all_ones_are_the_stock_losses_to_the_bit(weighted):
    images, targets = batch(1.0)
    model = faster_rcnn()
    stock, stock_gradients = losses_and_gradients(model, images, targets)
    weight_loss(model)
    if not weighted:
        for target in targets:
            del target["weights"]
    losses, gradients = losses_and_gradients(model, images, targets)
    assert losses.keys() == stock.keys()
    assert all(torch.equal(losses[key], stock[key]) for key in losses)
    assert all(torch.equal(gradients[name], stock_gradients[name]) for name in gradients)


def test_losses_are_as_recomputed():
    generator = torch.Generator().manual_seed(0)
    logits, boxes = (torch.randn(40, size, generator=generator) for size in (4, 16))
    goals, labels = torch.randn(40, 4, generator=generator), torch.randint(0, 4, (40,), generator=generator)
    weights = torch.tensor([0.2, 0.7, 1.0, 0.0]).repeat(10)
    model = faster_rcnn()
    weight_loss(model)
    model.roi_heads._weights = weights
    found = model.roi_heads._weighted_loss(logits, boxes, labels.split(20), goals.split(20))
    class_sum = box_sum = 0.0
    for row, label, weight in zip(range(40), labels.tolist(), weights.tolist(), strict=True):
        values = logits[row].tolist()
        class_sum += weight * (math.log(sum(map(math.exp, values))) - values[label])
        for a, b in zip(boxes[row, 4 * label : 4 * label + 4].tolist(), goals[row].tolist(), strict=True):
            far = abs(a - b)
            box_sum += weight * (label > 0) * (far - 0.5 / 9 if far > 1 / 9 else 4.5 * far**2)
    assert [float(term) for term in found] == pytest.approx([class_sum / 40, box_sum / 40], rel=1e-5)


def test_regions_have_the_weights_of_their_boxes():
    targets = batch()[1]
    model = faster_rcnn()
    weight_loss(model)
    nothing = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    proposals = [torch.cat([target["boxes"] + 1.0, nothing]) for target in targets]
    regions, _, labels, _ = model.roi_heads.select_training_samples(proposals, targets)
    weights = model.roi_heads._weights.split([len(part) for part in labels])
    assert weights[1].tolist() == [1.0] * len(weights[1])
    for region, label, weight, target in zip(regions, labels, weights, targets, strict=True):
        objects = label > 0
        assert not objects.all()
        assert weight[~objects].tolist() == [1.0] * int((~objects).sum())
        if len(target["boxes"]):
            nearest = torchvision.ops.box_iou(region[objects], target["boxes"]).argmax(1)
            assert weight[objects].tolist() == target["weights"][nearest].tolist()
            assert len(set(weight[objects].tolist())) == 2


def test_zero_weights_pull_no_box():
    images, targets = batch(0.0)
    model = faster_rcnn()
    weight_loss(model)
    losses, gradients = losses_and_gradients(model, images, targets)
    assert losses["loss_box_reg"] == 0
    assert not gradients["roi_heads.box_predictor.bbox_pred.weight"].any()
    assert gradients["roi_heads.box_predictor.cls_score.bias"][0] < 0  # the background is all that is pulled up
    assert gradients["roi_heads.box_predictor.cls_score.bias"][1:].min() > 0


def test_batch_without_boxes():
    images, targets = batch()
    model = faster_rcnn()
    weight_loss(model)
    losses, gradients = losses_and_gradients(model, images[:1], targets[1:2])
    assert all(loss.isfinite() for loss in losses.values())
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_training():
    images, targets = batch()
    model = faster_rcnn()
    weight_loss(model)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    totals = []
    for _ in range(20):
        losses, gradients = losses_and_gradients(model, images, targets)
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        totals.append(float(sum(losses.values()).detach()))
        optimizer.step()
    assert totals[-1] < 0.8 * totals[0]


def test_hard_labels_train_too():
    """The recipe for torchvision's other models: their losses pass over the weights that come with the targets."""
    dataset = sample_dataset()
    mixer = pipeline(MixUp(dataset, ratio_range=(0.45, 0.55), min_weight=0.3, p=1.0), A.Resize(SIDE, SIDE), seed=3)
    images, targets = TorchvisionCollate(dataset.classes)([mixer(**dataset[index]) for index in range(2)])
    losses, _ = losses_and_gradients(faster_rcnn(), images, targets)
    assert all(loss.isfinite() for loss in losses.values())


def test_other_models_are_refused(monkeypatch):
    model = faster_rcnn()
    weight_loss(model)
    for refused in (model, torch.nn.Identity()):
        with pytest.raises(ArgumentError, match="model must have torchvision's RoIHeads"):
            weight_loss(refused)
    monkeypatch.setattr(integration.RoIHeads, "forward", lambda self: None)
    with pytest.raises(InstallationError, match="uses fastrcnn_loss"):
        weight_loss(faster_rcnn())
