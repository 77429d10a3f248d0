"""torchvision: what is weighted and what is refused, training, and transforms of v2 behind a pipeline.

The losses are in test_rules.py.
"""

import pickle

import albumentations as A
import pytest

from alb_mixup import MixUp, sample_dataset
from alb_mixup.errors import ArgumentError, InstallationError, SampleError
from tests.support.samples import pipeline

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from torch.utils.data import DataLoader  # noqa: E402
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from alb_mixup.integrations import torchvision as integration  # noqa: E402
from alb_mixup.integrations.torch import TorchvisionCollate, TransformedDataset  # noqa: E402
from alb_mixup.integrations.torchvision import weight_loss  # noqa: E402
from tests.integrations.detectors import models  # noqa: E402
from tests.integrations.detectors.table import mixed_samples  # noqa: E402

CLASSES = ["Platelets", "RBC", "WBC"]
DETECTORS = [models.faster_rcnn, models.mask_rcnn, models.retinanet, models.fcos]


def test_regions_have_the_weights_of_their_boxes():
    targets = TorchvisionCollate(CLASSES)(mixed_samples())[1]
    model = models.faster_rcnn()
    weight_loss(model)
    nothing = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    proposals = [torch.cat([target["boxes"] + 1.0, nothing]) for target in targets]
    regions, _, labels, _ = model.roi_heads.select_training_samples(proposals, targets)
    weights = model.roi_heads._weights.split([len(part) for part in labels])
    assert weights[1].tolist() == [1.0] * len(weights[1])
    for region, label, weight, target in zip(regions, labels, weights, targets, strict=True):
        objects = label > 0
        assert weight[~objects].tolist() == [1.0] * int((~objects).sum())
        if len(target["boxes"]):
            assert not objects.all()
            nearest = integration.torch.cdist(region[objects], target["boxes"]).argmin(1)
            assert weight[objects].tolist() == target["weights"][nearest].tolist()


def test_region_proposals_take_every_box_for_a_whole_one():
    images, targets = TorchvisionCollate(CLASSES)(mixed_samples())
    model = models.faster_rcnn().train()
    weight_loss(model)
    terms = []
    for weight in (1.0, 0.25):
        torch.manual_seed(0)
        given = [target | {"weights": torch.full_like(target["weights"], weight)} for target in targets]
        terms.append(model(images, given))
    for name in ("loss_objectness", "loss_rpn_box_reg"):
        assert torch.equal(terms[0][name], terms[1][name])
    assert terms[1]["loss_box_reg"] < terms[0]["loss_box_reg"]


@pytest.mark.parametrize("rule", ["interpolate", "scale"])
@pytest.mark.parametrize("build", DETECTORS, ids=lambda build: build.__name__)
def test_training(build, rule):
    """Through the front door: a loader of mixed samples, the model's own losses, an optimizer."""
    torch.manual_seed(0)
    dataset, model = sample_dataset(), build().train()
    given = [boxes_as_masks(sample) for sample in dataset] if build is models.mask_rcnn else dataset
    mixer = pipeline(MixUp(given, p=1.0), A.Resize(96, 96), A.HorizontalFlip(p=0.5), seed=3)
    samples = TransformedDataset(given, mixer)
    weight_loss(model, rule=rule)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    totals = []
    for _ in range(3):
        for images, targets in DataLoader(samples, batch_size=4, collate_fn=TorchvisionCollate(dataset.classes)):
            total = sum(model(images, targets).values())
            optimizer.zero_grad()
            total.backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
            optimizer.step()
            totals.append(float(total.detach()))
    assert sum(totals[-4:]) < sum(totals[:4])


def boxes_as_masks(sample):
    """A sample whose masks are its boxes."""
    masks = []
    for x, y, right, bottom in sample["bboxes"].round().astype(int):
        mask = sample["image"][..., 0] * 0
        mask[y:bottom, x:right] = 1
        masks.append(mask)
    return sample | {"masks": masks}


def test_hard_labels_train_too():
    """The recipe for SSD: its loss passes over the weights that come with the targets."""
    dataset = sample_dataset()
    mixer = pipeline(MixUp(dataset, ratio_range=(0.45, 0.55), min_weight=0.3, p=1.0), A.Resize(128, 128), seed=3)
    images, targets = TorchvisionCollate(dataset.classes)([mixer(**dataset[index]) for index in range(2)])
    assert all(loss.isfinite() for loss in models.ssd().train()(images, targets).values())


def test_sanitized_boxes_take_their_weights_along_when_told():
    images, targets = TorchvisionCollate(CLASSES)(mixed_samples())
    target = {key: value for key, value in targets[0].items() if key != "masks"}
    target["boxes"][1, 2] = target["boxes"][1, 0]  # nothing is left of it
    target["boxes"] = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=images[0].shape[-2:])
    model = models.faster_rcnn().train()
    weight_loss(model)
    with pytest.raises(SampleError, match="weights must be one for each of 5 boxes, got shape"):
        model([images[0]], [v2.SanitizeBoundingBoxes()(images[0], target)[1]])
    told = v2.SanitizeBoundingBoxes(labels_getter=lambda pair: (pair[1]["labels"], pair[1]["weights"]))
    image, kept = told(images[0], target)
    assert kept["weights"].tolist() == target["weights"][[0, 2, 3, 4, 5]].tolist()
    assert all(term.isfinite() for term in model([image], [kept]).values())


@pytest.mark.filterwarnings("ignore")  # torch.compile has some of its own
@pytest.mark.parametrize(
    ("build", "part", "name"),
    [
        (models.faster_rcnn, "roi_heads", "forward"),
        (models.retinanet, "head", "compute_loss"),
        (models.fcos, "head", "compute_loss"),
    ],
)
def test_compiled_losses_are_the_same(build, part, name):
    """Of two batches: code that is compiled for the first is called again for the second."""
    images, targets = TorchvisionCollate(CLASSES)(mixed_samples())
    model, compiled = (build().train() for _ in range(2))
    compiled.load_state_dict(model.state_dict())
    weight_loss(model)
    weight_loss(compiled)
    heads = getattr(compiled, part)
    setattr(heads, name, torch.compile(getattr(heads, name), backend="eager"))
    for weight in (0.25, 0.5):
        given = [target | {"weights": torch.full_like(target["weights"], weight)} for target in targets]
        terms = []
        for each in (model, compiled):
            torch.manual_seed(0)
            terms.append(each(images, given))
        assert all(torch.allclose(terms[0][key], terms[1][key], rtol=1e-4) for key in terms[0])


def test_model_can_be_pickled():
    model = models.retinanet()
    weight_loss(model, rule="scale")
    again = pickle.loads(pickle.dumps(model))
    assert type(again.head) is type(model.head)
    assert again.head.rule == "scale"


def test_other_models_are_refused(monkeypatch):
    with pytest.raises(ArgumentError, match=r"must not be SSD.*RetinaNet or FCOS.*ratio_range"):
        weight_loss(models.ssd())
    with pytest.raises(ArgumentError, match=r"must have torchvision's own heads of Faster.*got Identity with NoneType"):
        weight_loss(torch.nn.Identity())
    monkeypatch.setattr(integration.RoIHeads, "forward", lambda self: None)
    with pytest.raises(InstallationError, match=r"uses .*rcnn_loss"):
        weight_loss(models.faster_rcnn())
