"""The others, on 640×640 uint8 images with n boxes each: from their own packages where those install.

What cannot be installed any more (GluonCV, MMDetection, YOLOX) is written here from its formula, not from its code, and
does no more than the formula needs; the tables mark it as such. Ultralytics is AGPL: it is imported, nothing of it is
here.
"""

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from benchmarks.harness import Timings, sample

Case = Callable[[], Any]


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


def torchvision() -> Case:
    """Torchvision's v2.MixUp: a batch of two, and one-hot classes instead of boxes."""
    import torch
    from torchvision.transforms.v2 import MixUp

    batch = torch.from_numpy(np.stack([sample(0, seed=i)["image"] for i in (0, 1)])).permute(0, 3, 1, 2).float()
    mixup, labels = MixUp(num_classes=20), torch.tensor([0, 1])
    return lambda: mixup(batch, labels)


def kornia() -> Case:
    """Kornia's RandomMixUpV2: the same, float32 tensors."""
    import torch
    from kornia.augmentation import RandomMixUpV2

    pair = np.stack([sample(0, seed=i)["image"] for i in (0, 1)])
    batch = torch.from_numpy(pair).permute(0, 3, 1, 2).float().div(255).contiguous()
    mixup, labels = RandomMixUpV2(p=1.0, data_keys=["input", "class"]), torch.tensor([0, 1])
    return lambda: mixup(batch, labels)


def gluoncv(n_boxes: int) -> Case:
    """GluonCV's formula (arXiv 1902.04103): two float images added up on a canvas, labels with a share column."""
    primary, other = sample(n_boxes), sample(n_boxes, seed=1)

    def call() -> Any:
        share = np.random.default_rng().beta(1.5, 1.5)
        height = max(primary["image"].shape[0], other["image"].shape[0])
        width = max(primary["image"].shape[1], other["image"].shape[1])
        canvas = np.zeros((height, width, 3), np.float32)
        labels = []
        for part, weight in ((primary, share), (other, 1.0 - share)):
            rows, cols = part["image"].shape[:2]
            canvas[:rows, :cols] += part["image"].astype(np.float32) * weight
            labels.append(np.hstack([part["bboxes"], np.full((n_boxes, 1), weight)]))
        return canvas.astype(np.uint8), np.vstack(labels)

    return call


def halves(n_boxes: int, canvas_fill: int = 114) -> Case:
    """The formula of YOLOX and MMDetection: letterbox on 114, flip, half and half in float32, join the boxes.

    Their jitter (a second resize) and their random crop are left out.
    """
    primary, other = sample(n_boxes), sample(n_boxes, seed=1)

    def call() -> Any:
        height, width = primary["image"].shape[:2]
        scale = min(height / other["image"].shape[0], width / other["image"].shape[1])
        size = round(other["image"].shape[1] * scale), round(other["image"].shape[0] * scale)
        canvas = np.full((height, width, 3), canvas_fill, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(other["image"], size, interpolation=cv2.INTER_LINEAR)
        canvas = canvas[:, ::-1]
        boxes = other["bboxes"] * scale
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        mixed = 0.5 * primary["image"].astype(np.float32) + 0.5 * canvas.astype(np.float32)
        joined = np.vstack([primary["bboxes"], boxes.clip(0, (width, height, width, height))])
        return mixed.astype(np.uint8), joined

    return call


_OLD_ALBUMENTATIONS = """
import json, sys, time
import albumentations as A, cv2, numpy as np
cv2.setNumThreads(1)
rng = np.random.default_rng(0)
a, b = (rng.integers(0, 256, (640, 640, 3), np.uint8) for _ in range(2))
mixup = A.MixUp(read_fn=lambda item: item, p=1.0)
mixup.reference_data = [{"image": b, "global_label": np.array([1.0])}]  # as an argument it is used up by one call
cases = {
    "call": lambda: mixup(image=a, global_label=np.array([0.0])),
    "blend": lambda: cv2.addWeighted(a, 0.6, b, 0.4, 0),
}
times = {name: [] for name in cases}
for turn in range(int(sys.argv[1]) + 5):
    for name, case in cases.items():
        start = time.thread_time()
        case()
        if turn >= 5:
            times[name].append(time.thread_time() - start)
print(json.dumps({"version": A.__version__, "times": times}))
"""


def albumentations_1_4_15(python: str, rounds: int) -> tuple[str, Timings]:
    """Time `A.MixUp` of albumentations 1.4.15, gone since 1.4.19, in an environment of its own.

    Args:
        python: That environment's interpreter.
        rounds: How many rounds count.

    Returns:
        The version that ran, and its `call` beside the `blend` of the same environment.
    """
    quiet = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", _OLD_ALBUMENTATIONS, str(rounds)],
        capture_output=True,
        text=True,
        check=True,
        env=quiet,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["version"], Timings(answer["times"])
