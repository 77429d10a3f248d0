"""Labelled images mixed with pseudo-labelled ones, up to a training step of a Faster R-CNN whose loss reads weights."""

import json

import albumentations as A
import numpy as np
import pytest

from alb_mixup import MixUp, PseudoLabelDataset, sample_dataset
from tests.datasets.formats.test_pseudo import write_results
from tests.support.samples import pipeline

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from alb_mixup.integrations.torch import TorchvisionCollate  # noqa: E402
from alb_mixup.integrations.torchvision import weight_loss  # noqa: E402
from tests.integrations.detectors.models import SIDE, faster_rcnn  # noqa: E402

MIN_SCORE = 0.4


def scores_by_file(results, images):
    """The scores that are to be seen, read from the files without this package."""
    names = {entry["id"]: entry["file_name"] for entry in json.loads(images.read_bytes())["images"]}
    found = {name: [] for name in names.values()}
    for entry in json.loads(results.read_bytes()):
        if entry["score"] >= MIN_SCORE:
            found[names[entry["image_id"]]].append(entry["score"])
    return found


def test_one_step_trains_with_scores_times_shares(tmp_path):
    files = write_results(tmp_path)
    labelled, pseudo = sample_dataset(), PseudoLabelDataset(*files, min_score=MIN_SCORE)
    mixup = MixUp(pseudo, ratio_range=(0.4, 0.7), p=1.0)
    mixing = pipeline(mixup, A.Resize(SIDE, SIDE), seed=2, save_applied_params=True)
    scores, samples, expected = scores_by_file(*files[:2]), [], []
    for index in range(3):
        samples.append(mixing(**labelled[index]))
        record = mixup.get_applied_params()
        of_partner = scores[pseudo.image_path(record["reference_index"]).name]
        shares = np.full(len(labelled.annotations(index)["labels"]), record["ratio"])
        expected.append(np.concatenate([shares, (1 - record["ratio"]) * np.array(of_partner)]))

    images, targets = TorchvisionCollate(labelled.classes)(samples)
    for target, weights in zip(targets, expected, strict=True):
        np.testing.assert_allclose(target["weights"].numpy(), weights, rtol=1e-5)
    assert any(len(set(weights.tolist())) > 3 for weights in expected)

    model = faster_rcnn()
    weight_loss(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = sum(model(images, targets).values())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    used = set(model.roi_heads._weights.tolist())
    given = {weight for target in targets for weight in target["weights"].tolist()}
    assert torch.isfinite(loss)
    assert used <= given | {1.0}  # background regions stay at 1
    assert len(used & given) > 10  # more than the three shares of the labelled: those of scores among them
    after = list(model.parameters())
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
