"""Ranks of distributed training, as two real processes (gloo): seeded alike, they draw different mixes."""

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support import ROOT

pytest.importorskip("torch")

RANK = """
import json, random, sys
import albumentations as A
import numpy as np
import torch
from torch import distributed
from torch.utils.data import DataLoader, DistributedSampler

from alb_mixup import MixUp
from alb_mixup.integrations.torch import TransformedDataset
from tests.support.samples import pipeline, sample


class Samples:
    bbox_format = "pascal_voc"

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return sample(index, (str(index),))


def first(batch):
    return [[float(made["mixup_weight"][0]), made["labels"][-1]] for made in batch]


if __name__ == "__main__":
    rank, world_size, method, workers, seed, seeding, place, count = json.loads(sys.argv[1])
    if world_size > 1:
        distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=world_size)
    if seeding == "accelerate":
        from accelerate.utils import set_seed

        set_seed(0)
    else:
        torch.manual_seed(0)
    samples = Samples(count)
    data = TransformedDataset(samples, pipeline(MixUp(samples, p=1.0), seed=seed))
    # every rank the same samples, so that nothing but the draws can differ
    sampler = [index % count for index in DistributedSampler(range(64), num_replicas=1, rank=0, shuffle=False)]
    loader = DataLoader(data, batch_size=4, sampler=sampler, num_workers=workers, collate_fn=first,
                        multiprocessing_context=method if workers else None)
    print(json.dumps([item for batch in loader for item in batch]))
    if world_size > 1:
        distributed.destroy_process_group()
"""


def run(
    tmp_path, number, *, world_size=2, method="fork", workers=2, seed=None, seeding="torch", count=64
) -> Sequence[object]:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    started = []
    for rank in range(world_size):
        settings = [rank, world_size, method, workers, seed, seeding, str(tmp_path / f"meeting-{number}"), count]
        command = [sys.executable, "-W", "ignore", str(script), json.dumps(settings)]
        started.append(
            subprocess.Popen(
                command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "", "NO_ALBUMENTATIONS_UPDATE": "1"},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    drawn = []
    for process in started:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        drawn.append(json.loads(out.splitlines()[-1]))
    return drawn


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "fork"},
        {"method": "spawn"},
        {"method": "fork", "seed": 7},
        {"workers": 0, "seed": 7},
        {"method": "fork", "seeding": "accelerate"},
    ],
    ids=["fork", "spawn", "seeded pipeline", "no workers", "accelerate"],
)
def test_ranks_that_are_seeded_alike_draw_apart_and_repeat(tmp_path, settings):
    if settings.get("seeding") == "accelerate":
        pytest.importorskip("accelerate")
    mine, theirs = run(tmp_path, 0, **settings)
    assert len(mine) == len(theirs) == 64
    same = sum(mine[i] == theirs[i] for i in range(64))
    assert same <= 1, f"{same} of 64 mixes are alike on both ranks"
    assert run(tmp_path, 1, **settings) == [mine, theirs]


def test_no_sample_is_mixed_with_itself(tmp_path):
    [drawn] = run(tmp_path, 0, world_size=1, count=3)  # of so few, a third would be by chance
    assert len(drawn) == 64
    assert all(partner != str(index % 3) for index, (_, partner) in enumerate(drawn))
