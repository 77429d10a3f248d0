"""Ten tasks that people come with, each done by the blocks of its page, up to its own, and looked at."""

from pathlib import Path

import numpy as np
import pytest

from alb_mixup import open_dataset
from tests.support import ROOT
from tests.support.pages import blocks, run_blocks


def mixed(scope):
    out = scope["out"]
    assert len(out["bboxes"]) == len(out["labels"]) == len(out["mixup_weight"]) > 0
    weights = {round(float(weight), 5) for weight in out["mixup_weight"]}
    assert len(weights) <= 2
    assert sum(weights) == pytest.approx(1, abs=1e-4) or weights == {1.0}


def whole_mix(scope):
    mixed(scope)
    assert {round(float(w), 5) for w in scope["out"]["mixup_weight"]} != {1.0}


def fixed(scope):
    assert scope["mixup"].get_applied_params()["ratio"] == 0.5
    assert set(np.round(scope["out"]["mixup_weight"], 6)) == {0.5}


def both_rules(scope):
    torch = scope["torch"]
    logits = torch.zeros(1, 3, requires_grad=True)
    for rule, expected in (("interpolate", [0.25, 0.5, 0.5]), ("scale", [-0.125, 0.125, 0.125])):
        loss = scope["class_loss"](logits, torch.eye(3)[:1], torch.tensor([0.25]), rule)
        assert torch.autograd.grad(loss, logits)[0].tolist()[0] == pytest.approx(expected)


def trained_yolo(scope):
    assert (scope["model"].trainer.save_dir / "weights" / "last.pt").exists()


def trained_on_files(scope):
    assert open_dataset("mixed")[0]["mixup_weight"].min() < 1
    assert len(list(Path("runs").rglob("last.pt"))) == 2  # of this block, and of the one before


def trained_detr(scope):
    assert scope["trainer"].state.global_step > 0


def offline(scope):
    assert len(scope["mixed"]) == 3 * len(scope["dataset"])


def cached(scope):
    assert (scope["DiskCache"](scope["dataset"], "train.cache", size=(640, 640)))[0]["image"].shape[2] == 3


TASKS = {
    "list": ("bring_your_data.md", whole_mix),
    "cocodetection": ("bring_your_data.md", whole_mix),
    "hugging-face": ("bring_your_data.md", whole_mix),
    "crops": ("pipeline.md", mixed),
    "fixed-ratio": ("pipeline.md", fixed),
    "own-loss": ("weights.md", both_rules),
    "yolo": ("train/ultralytics.md", trained_yolo),
    "rt-detr": ("train/transformers.md", trained_detr),
    "offline-set": ("sets_on_disk.md", offline),
    "generated-then-yolo": ("train/ultralytics.md", trained_on_files),
    "caches": ("fast_enough.md", cached),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_done_by_its_page(task, prepare):
    name, look = TASKS[task]
    path = ROOT / "docs" / name
    found = [block for block in blocks(path) if block.run]
    chosen = found[: [block.task for block in found].index(task) + 1]
    prepare({framework for block in chosen for framework in block.frameworks})
    look(run_blocks(path, chosen))
