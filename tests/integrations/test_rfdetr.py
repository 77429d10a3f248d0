"""rfdetr: its own training behind a pipeline, with random weights; the losses are in test_rules.py."""

import json
import warnings

import albumentations as A
import cv2
import numpy as np
import pytest

from alb_mixup import CocoDataset, MixUp, sample_dataset
from alb_mixup.errors import ArgumentError, SampleError
from tests.support.samples import pipeline

torch = pytest.importorskip("torch")
pytest.importorskip("rfdetr")

pytestmark = pytest.mark.filterwarnings("ignore")  # rfdetr's and Lightning's own; ours are asked for by name

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import rfdetr.training
    from rfdetr import RFDETRNano, RFDETRSegNano
    from rfdetr.utilities.tensors import NestedTensor, pad_targets_to_fixed_count

    from alb_mixup.integrations.rfdetr import MixUpDataModule, train, weight_loss
    from alb_mixup.integrations.rfdetr.criterion import WeightedCriterion

from alb_mixup.integrations.torch import MixUpSchedule  # noqa: E402
from tests.integrations.detectors.of_rfdetr import DETECTORS  # noqa: E402
from tests.integrations.detectors.table import spread  # noqa: E402

SETTINGS = {
    "epochs": 2,
    "batch_size": 2,
    "grad_accum_steps": 1,
    "num_workers": 0,
    "tensorboard": False,
    "use_ema": False,
    "multi_scale": False,
    "accelerator": "cpu",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The sample data in the layout of COCO that rfdetr reads, each box with its polygon."""
    root, dataset = tmp_path_factory.mktemp("rfdetr"), sample_dataset()
    for split, indices in (("train", range(10)), ("valid", range(10, 12))):
        images, annotations = [], []
        (root / split).mkdir()
        for index in indices:
            sample = dataset[index]
            height, width = sample["image"].shape[:2]
            cv2.imwrite(str(root / split / f"{index}.png"), np.ascontiguousarray(sample["image"][..., ::-1]))
            images.append({"id": index, "file_name": f"{index}.png", "height": height, "width": width})
            for (x, y, right, bottom), name in zip(sample["bboxes"].tolist(), sample["labels"], strict=True):
                box = [x, y, right - x, bottom - y]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": index,
                        "category_id": 10 * (dataset.classes.index(name) + 1),
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                        "segmentation": [[x, y, right, y, right, bottom, x, bottom]],
                    }
                )
        names = [{"id": 10 * (i + 1), "name": name, "supercategory": "none"} for i, name in enumerate(dataset.classes)]
        made = {"images": images, "annotations": annotations, "categories": names}
        (root / split / "_annotations.coco.json").write_text(json.dumps(made))
    return root


def reference(folder, masks=False):
    return CocoDataset(folder / "train" / "_annotations.coco.json", folder / "train", masks=masks)


def model_of(kind=RFDETRNano, **settings):
    side = 64 if kind is RFDETRNano else 48
    return kind(pretrain_weights=None, resolution=side, num_queries=20, group_detr=2, device="cpu", **settings)


def data_of(folder, mixer, kind=RFDETRNano, schedule=None, **settings):
    """The data of a training, ready to be drawn from."""
    model = model_of(kind)
    config = model.get_train_config(dataset_dir=str(folder), output_dir=str(folder / "out"), **SETTINGS | settings)
    data = MixUpDataModule(mixer, schedule, model.model_config, config)
    data.setup("fit")
    return data


class Seen(list):
    """A criterion's targets, and its terms."""

    def record(self, monkeypatch):
        stock = WeightedCriterion.forward

        def forward(criterion, outputs, targets, num_boxes=None):
            terms = stock(criterion, outputs, targets, num_boxes)
            self.append((criterion.rule, targets, {key: term.detach() for key, term in terms.items()}))
            return terms

        monkeypatch.setattr(WeightedCriterion, "forward", forward)


@pytest.mark.parametrize(("kind", "rule"), [(RFDETRNano, "interpolate"), (RFDETRSegNano, "scale")])
def test_training(kind, rule, folder, tmp_path, monkeypatch):
    (seen := Seen()).record(monkeypatch)
    torch.manual_seed(0)
    given = reference(folder, masks=kind is RFDETRSegNano)
    schedule = MixUpSchedule({0: 1.0, 1: 0.0})
    mixer = pipeline(MixUp(given, ratio_range=(0.75, 0.75), p=1.0), bbox_format=given.bbox_format)
    stock = rfdetr.training.RFDETRModelModule
    train(model_of(kind), mixer, rule, schedule, dataset_dir=str(folder), output_dir=str(tmp_path), **SETTINGS)
    assert rfdetr.training.RFDETRModelModule is stock
    trained = [(targets, terms) for used, targets, terms in seen if used == rule and "weights" in targets[0]]
    assert len(trained) >= 4
    first, last = trained[0][0], trained[-1][0]
    assert {round(float(w), 5) for target in first for w in target["weights"]} == {0.75, 0.25}
    assert {float(w) for target in last for w in target["weights"]} == {1.0}  # the schedule has ended the mixing
    assert all(len(target["weights"]) == len(target["boxes"]) == len(target["labels"]) for target in first)
    assert all(term.isfinite().all() for _, terms in trained for term in terms.values())
    assert ("loss_mask_ce" in trained[0][1]) == (kind is RFDETRSegNano)


def test_a_sample_is_mixed_before_the_transforms_of_rfdetr(folder):
    """Boxes, classes and weights against what the pipeline's own reference says; rfdetr only resizes."""
    given = reference(folder)
    mixer = pipeline(MixUp(given, ratio_range=(0.75, 0.75), p=1.0), bbox_format="coco")
    data = data_of(folder, mixer, aug_config={}, scale_jitter=False)
    image, target = data._dataset_train[0]
    assert image.shape == (3, 64, 64)
    weights = [round(float(w), 5) for w in target["weights"]]
    own = len(given[0]["bboxes"])
    assert weights == [0.75] * own + [0.25] * (len(weights) - own)
    assert len(weights) > own
    height, width = given[0]["image"].shape[:2]
    x, y, w, h = given[0]["bboxes"][:, :4].T
    boxes = np.stack([(x + w / 2) / width, (y + h / 2) / height, w / width, h / height], 1)
    np.testing.assert_allclose(target["boxes"][:own].numpy(), boxes, atol=0.01)
    assert [sorted(given.classes)[i] for i in range(3)] == sorted(given.classes)
    assert [given.classes[int(label)] for label in target["labels"][:own]] == given[0]["labels"]


def test_weights_stay_with_boxes_that_the_crop_of_rfdetr_keeps(folder):
    """Partners have a weight for each class, so that a box says which is its own."""
    given = reference(folder)
    weights = {name: 0.25 * (1 + number) for number, name in enumerate(given.classes)}
    partners = [sample | {"mixup_weight": [weights[name] for name in sample["labels"]]} for sample in given]
    data = data_of(folder, pipeline(MixUp(partners, ratio_range=(0.75, 0.75), p=1.0), bbox_format="coco"))
    cropped = 0
    for index in [*range(10)] * 3:  # it crops every other one, and then not always a box away
        _, target = data._dataset_train[index]
        own = int((target["weights"] == 0.75).sum())
        expected = [0.25 * weights[given.classes[int(label)]] for label in target["labels"][own:]]
        assert target["weights"].tolist() == pytest.approx([0.75] * own + expected)
        assert len(target["weights"]) == len(target["boxes"])
        cropped += own < len(given[index]["labels"])
    assert cropped


def test_masks_go_with_their_boxes(folder):
    given = reference(folder, masks=True)
    mixer = pipeline(MixUp(given, p=1.0), bbox_format="coco")
    _, target = data_of(folder, mixer, RFDETRSegNano, aug_config={}, scale_jitter=False)._dataset_train[1]
    assert target["masks"].dtype == torch.bool
    assert len(target["masks"]) == len(target["boxes"]) == len(target["weights"])
    height, width = target["masks"].shape[-2:]
    for mask, (x, y, w, h) in zip(target["masks"], target["boxes"].tolist(), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        if len(rows):
            assert (columns.min() / width, columns.max() / width) == pytest.approx((x - w / 2, x + w / 2), abs=0.08)
            assert (rows.min() / height, rows.max() / height) == pytest.approx((y - h / 2, y + h / 2), abs=0.08)


def test_weights_stay_with_boxes_that_the_gpu_augmentation_keeps(folder, monkeypatch):
    """Its drop of boxes and labels, of which it knows weights nothing, run on the CPU with a stand-in for Kornia."""
    data = data_of(folder, pipeline(MixUp(reference(folder), p=1.0), bbox_format="coco"))
    data.trainer = type("Trainer", (), {"training": True})()
    data._kornia_normalize = torch.nn.Identity()

    class MovesOut(torch.nn.Module):
        def forward(self, image, boxes, masks):
            boxes = boxes.clone()
            boxes[0, 1] -= 1000.0  # the second box of the first image leaves it
            return image, boxes, masks

    data._kornia_pipeline = MovesOut()
    targets = [
        {
            "boxes": torch.tensor([[2.0, 2, 9, 9], [4, 4, 20, 20], [8, 8, 30, 30]])[:count],
            "labels": torch.tensor([2, 1, 0])[:count],
            "weights": torch.tensor([0.25, 0.5, 0.75])[:count],
        }
        for count in (3, 2)
    ]
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    _, found = data.on_after_batch_transfer((NestedTensor(torch.zeros(2, 3, 32, 32), mask), targets), 0)
    assert [target["weights"].tolist() for target in found] == [[0.25, 0.75], [0.25, 0.5]]
    assert [target["labels"].tolist() for target in found] == [[2, 0], [2, 1]]
    assert [len(target["boxes"]) for target in found] == [2, 2]


@pytest.mark.parametrize("rule", ["interpolate", "scale"])
def test_targets_padded_to_one_length(rule):
    detector = DETECTORS[0]
    batch, model = detector.batch(), detector.model(rule)
    spread(detector.targets(batch))
    padded = list(pad_targets_to_fixed_count(batch, 9))
    for key, term in detector.losses(model, batch)[1].items():
        torch.testing.assert_close(detector.losses(model, padded)[1][key], term, rtol=1e-4, atol=1e-6)


def test_refusals(folder):
    other = [{"image": np.zeros((8, 8, 3), np.uint8), "bboxes": [[1, 1, 4, 4]], "labels": ["x"], "mixup_weight": [1]}]
    named = type("Named", (list,), {"classes": ["RBC", "Basophil"], "bbox_format": "coco"})(other)
    with pytest.raises(ArgumentError, match=r"classes of MixUp's reference must be of .* got 'Basophil'"):
        data_of(folder, pipeline(MixUp(named), bbox_format="coco"))
    data = data_of(folder, pipeline(MixUp(other, p=1.0), bbox_format="coco"))
    with pytest.raises(SampleError, match=r"labels must be of the training set's .* got \['x'\]"):
        data._dataset_train[0]
    with pytest.raises(ArgumentError, match="rule must be one of interpolate, scale"):
        train(model_of(), pipeline(MixUp(other)), "soft", dataset_dir=str(folder))
    keypoints = type("Model", (), {"model_config": type("Config", (), {"use_grouppose_keypoints": True})})()
    with pytest.raises(ArgumentError, match="model must be one for detection or segmentation, got Model"):
        train(keypoints, pipeline(MixUp(other)))
    with pytest.raises(ArgumentError, match=r"module must have rfdetr's own SetCriterion, got Identity"):
        weight_loss(torch.nn.Identity())


def test_a_pipeline_that_drops_boxes_leaves_masks_behind(folder):
    given = reference(folder, masks=True)
    mixer = pipeline(MixUp(given, p=1.0), A.Crop(0, 0, 40, 40), bbox_format="coco")
    data = data_of(folder, mixer, RFDETRSegNano)
    with pytest.raises(SampleError, match="masks must be one for each of"):
        [data._dataset_train[index] for index in range(5)]
