"""What each of two ranks does in test_ddp.py: `torch.distributed.run ... -m tests.integrations.ranks WHAT OUT`."""

import functools
import os
import runpy
import sys
from pathlib import Path

import albumentations as A
import torch
import transformers
from torch.nn.parallel import DistributedDataParallel
from ultralytics.engine.trainer import BaseTrainer

from alb_mixup import MixUp, sample_dataset
from alb_mixup.integrations import torchvision as of_torchvision
from alb_mixup.integrations import transformers as of_transformers
from alb_mixup.integrations.torch import TorchvisionCollate, TransformedDataset, TransformersCollate
from tests.integrations.detectors import models
from tests.support.samples import pipeline

RANK = int(os.environ.get("LOCAL_RANK", "-1"))


def mixed(side=96):
    """The sample data, mixed and of one size."""
    dataset = sample_dataset()
    return TransformedDataset(dataset, pipeline(MixUp(dataset, p=1.0), A.Resize(side, side)))


def plain():
    """One step of a plain loop: the gradients of DDP, and those that this rank would have had alone."""
    torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    model = models.retinanet().train()
    of_torchvision.weight_loss(model)
    images, targets = TorchvisionCollate(sample_dataset().classes)([mixed()[index] for index in range(2)])
    found = {"weights": torch.cat([target["weights"] for target in targets])}
    for name, called in (("alone", model), ("together", DistributedDataParallel(model))):
        model.zero_grad()
        sum(called(images, targets).values()).backward()
        found[name] = gradients(model)
    torch.distributed.destroy_process_group()
    return found


def trainer(out):
    """Two steps of the stock `Trainer`."""
    torch.manual_seed(0)
    model, seen = models.rt_detr_v2(), []
    of_transformers.weight_loss(model)
    collate = TransformersCollate(sample_dataset().classes)

    def kept(samples):
        batch = collate(samples)
        seen.extend(target["weights"] for target in batch["labels"])
        return batch

    settings = {"use_cpu": True, "ddp_backend": "gloo", "report_to": [], "save_strategy": "no", "disable_tqdm": True}
    arguments = transformers.TrainingArguments(
        str(out), max_steps=2, per_device_train_batch_size=2, remove_unused_columns=False, **settings
    )
    made = transformers.Trainer(model, arguments, train_dataset=mixed(), data_collator=kept)
    made.train()
    assert isinstance(made.model_wrapped, DistributedDataParallel)
    return {"weights": torch.cat(seen), "parameters": parameters(model)}


def ultralytics(file):
    """The file that Ultralytics writes for DDP, as it runs it, but on a CPU, where it knows one process alone."""
    training, wrapped = BaseTrainer._do_train, torch.nn.parallel.DistributedDataParallel

    def of_two(self):
        self.world_size = 2
        training(self)

    BaseTrainer._do_train = of_two
    BaseTrainer.final_eval = lambda self: None  # which asks for a CUDA device
    BaseTrainer._setup_ddp = lambda self: torch.distributed.init_process_group("gloo")
    torch.nn.parallel.DistributedDataParallel = lambda model, device_ids, **settings: wrapped(model, **settings)
    runpy.run_path(str(file), run_name="__main__")


def keep_step(out, step):
    """A callback of Ultralytics, which goes with the trainer into the ranks: what a step has left."""
    criterion = step.model.module.criterion
    found = {"weights": criterion._of_rows, "rule": criterion.rule, "parameters": parameters(step.model.module)}
    torch.save(found, Path(out) / f"{RANK}.pt")


def gradients(model):
    return torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])


def parameters(model):
    return torch.cat([p.detach().ravel() for p in model.parameters()])


if __name__ == "__main__":
    what, out = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    if what == "ultralytics":
        ultralytics(out)
    else:
        torch.save({"plain": plain, "trainer": functools.partial(trainer, out)}[what](), out / f"{RANK}.pt")
