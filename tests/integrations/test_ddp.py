"""Distributed training, two real processes (gloo): weights reach each rank's loss, gradients are shared."""

import functools
import os
import subprocess
import sys
import tempfile

import pytest

torch = pytest.importorskip("torch")
for framework in ("torchvision", "transformers", "accelerate", "ultralytics", "cloudpickle"):
    pytest.importorskip(framework)

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="yolo-config-"))
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

from ultralytics.utils import dist  # noqa: E402

from alb_mixup import MixUp, sample_dataset  # noqa: E402
from alb_mixup.integrations.ultralytics import mixup_trainer  # noqa: E402
from tests.integrations import ranks  # noqa: E402
from tests.support import ROOT  # noqa: E402
from tests.support.pages import make_folder  # noqa: E402
from tests.support.samples import pipeline  # noqa: E402


def run(what, out, folder):
    """Run two ranks; return what each has kept in a folder."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, "-m", "tests.integrations.ranks", what, str(out)],
        check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def assert_weighted_apart(mine, theirs):
    for weights in (mine["weights"], theirs["weights"]):
        assert ((weights > 0) & (weights < 1)).all()
        assert len(weights)
    assert mine["weights"].tolist() != theirs["weights"].tolist()


def test_a_plain_loop(tmp_path):
    mine, theirs = run("plain", tmp_path, tmp_path)
    assert_weighted_apart(mine, theirs)
    assert not torch.allclose(mine["alone"], theirs["alone"])
    for rank in (mine, theirs):
        torch.testing.assert_close(rank["together"], (mine["alone"] + theirs["alone"]) / 2)


def test_the_trainer_of_transformers(tmp_path):
    mine, theirs = run("trainer", tmp_path, tmp_path)
    assert_weighted_apart(mine, theirs)
    assert torch.equal(mine["parameters"], theirs["parameters"])


def test_the_trainer_of_ultralytics(tmp_path, monkeypatch):
    """By the file that Ultralytics writes for its ranks, which holds the trainer's class."""
    monkeypatch.setattr(dist, "USER_CONFIG_DIR", tmp_path)
    data = make_folder(tmp_path / "data") / "path" / "to" / "yolo" / "data.yaml"
    trainer = mixup_trainer(pipeline(MixUp(sample_dataset(), p=1.0)), rule="scale")
    settings = {"model": "yolo11n.yaml", "data": str(data), "imgsz": 64, "batch": 4, "epochs": 1, "val": False}
    settings |= {
        "device": "cpu",
        "plots": False,
        "amp": False,
        "project": str(tmp_path),
        "task": "detect",
        "mode": "train",
    }
    built = trainer(overrides=settings)
    built.add_callback("on_train_batch_end", functools.partial(ranks.keep_step, str(tmp_path)))
    mine, theirs = run("ultralytics", dist.generate_ddp_file(built), tmp_path)
    assert_weighted_apart(mine, theirs)
    assert {mine["rule"], theirs["rule"]} == {"scale"}
    assert torch.equal(mine["parameters"], theirs["parameters"])
