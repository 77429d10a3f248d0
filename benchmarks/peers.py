"""The others, on 640×640 uint8 images with n boxes each, from their own packages.

Each is imported where it runs, in this environment or in one of its own. Ultralytics is AGPL: it is imported, nothing
of it is here.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import cv2
import numpy as np

from benchmarks.harness import Case, sample


class Peer(NamedTuple):
    """A peer's MixUp.

    Attributes:
        package: Its distribution.
        make: Makes its case for a number of boxes.
        environment: Folder of the environment that it needs for itself; None: this one will do.
    """

    package: str
    make: Callable[[int], Case]
    environment: str | None = None


def ultralytics(n_boxes: int) -> Case:
    """Ultralytics' `MixUp.__call__` on labels that are made anew for each call (it changes them)."""
    from ultralytics.data.augment import MixUp
    from ultralytics.utils.instance import Instances

    class Labels:
        def __init__(self, seed: int) -> None:
            self.sample = sample(n_boxes, seed=seed)

        def __len__(self) -> int:
            return 1

        def get_image_and_label(self, _: int = 0) -> dict[str, Any]:
            boxes = self.sample["bboxes"]
            instances = Instances(
                boxes.copy(), np.zeros((0, 1000, 2), np.float32), bbox_format="xyxy", normalized=False
            )
            return {"img": self.sample["image"], "cls": np.zeros((n_boxes, 1), np.float32), "instances": instances}

    primary, mixup = Labels(0), MixUp(Labels(1), p=1.0)

    def prepare() -> Case:
        labels = primary.get_image_and_label()
        return lambda: mixup(labels)

    return prepare


def gluoncv(n_boxes: int) -> Case:
    """GluonCV's `MixupDetection`, on MXNet arrays, until its result is there."""
    import mxnet
    from gluoncv.data.mixup.detection import MixupDetection

    parts = [sample(n_boxes, seed=seed) for seed in (0, 1)]
    pairs = [
        (mxnet.nd.array(part["image"], dtype="uint8"), np.hstack([part["bboxes"], np.zeros((n_boxes, 1))]))
        for part in parts
    ]
    mixup = MixupDetection(pairs, np.random.beta, 1.5, 1.5)

    def call() -> Any:
        image, labels = mixup[0]
        image.wait_to_read()
        return image, labels

    return call


def mmdetection(n_boxes: int) -> Case:
    """MMDetection's `MixUp` without its jitter and its flip; its second resize, to the same size, is a copy."""
    sys.modules["mmcv._ext"] = MagicMock()  # compiled operators, which mmcv-lite lacks and MixUp does not use
    import torch
    from mmdet.datasets.transforms import MixUp
    from mmdet.structures.bbox import HorizontalBoxes

    mixup = MixUp(ratio_range=(1.0, 1.0), flip_ratio=1.0)
    parts = [sample(n_boxes, seed=seed) for seed in (0, 1)]

    def results(part: dict[str, Any]) -> dict[str, Any]:
        return {
            "img": part["image"],
            "gt_bboxes": HorizontalBoxes(torch.from_numpy(part["bboxes"].copy())),
            "gt_bboxes_labels": np.zeros(n_boxes, np.int64),
            "gt_ignore_flags": np.zeros(n_boxes, bool),
        }

    def prepare() -> Case:  # it changes what it gets
        primary, other = map(results, parts)
        return lambda: mixup.transform({**primary, "mix_results": [other]})

    return prepare


def yolox(n_boxes: int) -> Case:
    """YOLOX's `MosaicDetection.mixup` without its jitter; it flips every second partner."""
    from yolox.data.datasets.mosaicdetection import MosaicDetection

    parts = [sample(n_boxes, seed=seed) for seed in (0, 1)]
    rows = [np.hstack([part["bboxes"], np.zeros((n_boxes, 1), np.float32)]) for part in parts]

    class Partner:
        input_dim = parts[1]["image"].shape[:2]

        def __len__(self) -> int:
            return 1

        def load_anno(self, _: int) -> Any:
            return rows[1]

        def pull_item(self, _: int) -> Any:
            return parts[1]["image"], rows[1], None, None

    mixup = MosaicDetection(Partner(), Partner.input_dim, mosaic=False, mixup_scale=(1.0, 1.0))
    return lambda: mixup.mixup(parts[0]["image"], rows[0], Partner.input_dim)


def torchvision(_: int) -> Case:
    """Torchvision's v2.MixUp: a batch of two, and one-hot classes instead of boxes."""
    import torch
    from torchvision.transforms.v2 import MixUp

    batch = torch.from_numpy(np.stack([sample(0, seed=i)["image"] for i in (0, 1)])).permute(0, 3, 1, 2).float()
    mixup, labels = MixUp(num_classes=20), torch.tensor([0, 1])
    return lambda: mixup(batch, labels)


def kornia(_: int) -> Case:
    """Kornia's RandomMixUpV2: the same, float32 tensors."""
    import torch
    from kornia.augmentation import RandomMixUpV2

    pair = np.stack([sample(0, seed=i)["image"] for i in (0, 1)])
    batch = torch.from_numpy(pair).permute(0, 3, 1, 2).float().div(255).contiguous()
    mixup, labels = RandomMixUpV2(p=1.0, data_keys=["input", "class"]), torch.tensor([0, 1])
    return lambda: mixup(batch, labels)


def albumentations_1_4_15(_: int) -> Case:
    """Albumentations' own `A.MixUp`, gone since 1.4.19; it took no boxes."""
    import albumentations

    primary, other = (sample(0, seed=seed)["image"] for seed in (0, 1))
    mixup = albumentations.MixUp(read_fn=lambda item: item, p=1.0)
    mixup.reference_data = [{"image": other, "global_label": np.array([1.0])}]  # as an argument, one call uses it up
    return lambda: mixup(image=primary, global_label=np.array([0.0]))


PEERS = {
    "Ultralytics MixUp.__call__": Peer("ultralytics", ultralytics),
    "GluonCV MixupDetection": Peer("gluoncv", gluoncv, "gluoncv"),
    "MMDetection MixUp": Peer("mmdet", mmdetection, "mmdet"),
    "YOLOX MosaicDetection.mixup": Peer("yolox", yolox),
    "torchvision v2.MixUp, batch of 2, no boxes": Peer("torchvision", torchvision),
    "kornia RandomMixUpV2, batch of 2, no boxes": Peer("kornia", kornia),
    "albumentations 1.4.15 A.MixUp, no boxes": Peer("albumentations", albumentations_1_4_15, "albumentations-1.4.15"),
}


def one_thread() -> None:
    """Keep to one thread; importing Ultralytics sets OpenCV's."""
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
