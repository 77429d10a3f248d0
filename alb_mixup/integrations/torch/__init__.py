"""PyTorch: a dataset of a pipeline, batches with weights, streams for workers, and MixUp's probability by epoch.

```python
schedule = MixUpSchedule({0: 0.5, 90: 0.0})
loader = DataLoader(
    TransformedDataset(dataset, pipeline, schedule),
    batch_size=8, shuffle=True, num_workers=4, persistent_workers=True,
    collate_fn=TorchvisionCollate(dataset.classes),
)
weight_loss(model)  # of alb_mixup.integrations.torchvision
for epoch in range(100):
    schedule.set_epoch(epoch)
    for images, targets in loader:
        losses = model(images, targets)  # torchvision.models.detection
```

Most losses take hard labels: they pass over `weights`, so a box that can hardly be seen counts as a whole one. Those of
torchvision, transformers, rfdetr and Ultralytics can be taught (`weight_loss` and the like of the other modules here);
docs/your_own_loss.md weights one of your own. Give the others only boxes that can be seen: `MixUp(dataset,
ratio_range=(0.45, 0.55))` keeps both images visible, and with `MixUp(dataset, min_weight=0.3)` the fainter boxes are
dropped.
"""

from alb_mixup.integrations._extras import needs

with needs("torch"):
    from alb_mixup.integrations.torch.collate import TorchvisionCollate, TransformersCollate
    from alb_mixup.integrations.torch.datasets import TransformedDataset, worker_init_fn
    from alb_mixup.integrations.torch.schedule import MixUpSchedule

__all__ = ["MixUpSchedule", "TorchvisionCollate", "TransformedDataset", "TransformersCollate", "worker_init_fn"]
