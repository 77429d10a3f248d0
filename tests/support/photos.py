"""Large real photographs, as a COCO dataset with masks and keypoints."""

import json
from pathlib import Path

import cv2
import numpy as np

from alb_mixup import CocoDataset, sample_dataset

SIZE = (960, 1280)


def photograph(first=0):
    """Four of the embedded photographs side by side, each 640×480, with every fourth box: a sample."""
    samples = [sample_dataset()[first + number] for number in range(4)]
    image = np.vstack([np.hstack([one["image"] for one in samples[row : row + 2]]) for row in (0, 2)])
    boxes = [one["bboxes"] + np.tile([640 * (n % 2), 480 * (n // 2)], 2) for n, one in enumerate(samples)]
    labels = [label for one in samples for label in one["labels"]]
    return {"image": image, "bboxes": np.concatenate(boxes)[::4], "labels": labels[::4]}


def write_jpeg(path: Path, image):
    path.write_bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def add_annotation(annotations, number, category, box):
    x, y, width, height = box
    annotations.append({
        "id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box, "iscrowd": 0,
        "segmentation": [[x, y, x + width, y, x, y + height]], "keypoints": [x + 1, y + 2, 2, x + width / 2, y + 1, 1],
    })  # fmt: skip


def photographs(root: Path, count=3, **settings):
    """Write `count` photographs and open them; `settings` are CocoDataset's."""
    names = ["Platelets", "RBC", "WBC"]
    images, annotations = [], []
    for number in range(count):
        made = photograph(number)
        write_jpeg(root / f"{number}.jpg", made["image"])
        images.append({"id": number, "file_name": f"{number}.jpg", "height": SIZE[0], "width": SIZE[1]})
        for box, label in zip(made["bboxes"].tolist(), made["labels"], strict=True):
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            add_annotation(annotations, number, 1 + names.index(label), xywh)
    categories = [{"id": 1 + i, "name": name, "keypoints": ["low", "high"]} for i, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "photos.json").write_text(json.dumps(content), encoding="utf-8")
    return CocoDataset(root / "photos.json", **settings)


def psnr(one, other):
    """Peak signal-to-noise ratio of two uint8 images, in dB."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)
