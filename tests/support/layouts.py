"""One small dataset written in each layout, by hand: images of several sizes, weights, background, odd names."""

import json

import numpy as np
import yaml

from tests.support.voc_files import add, picture, save, voc_object

CLASSES = ["cat", "small dog & <co>", "Ünïcode 猫"]
SIZES = [(30, 40), (48, 32), (30, 40), (25, 61)]
# image: (class, whole-pixel xyxy, weight)
OBJECTS = [
    [(0, (2, 3, 20, 15), 1.0), (1, (0, 0, 40, 30), 0.25)],
    [(2, (5, 6, 7, 48), 1.0)],
    [],
    [(1, (1, 1, 60, 24), 0.5), (1, (1, 1, 60, 24), 0.5), (0, (30, 10, 32, 12), 1.0)],
]


def image(number):
    return picture(*SIZES[number], seed=number)


def write_voc(root):
    for number, objects in enumerate(OBJECTS):
        written = [
            voc_object(CLASSES[c], (x1 + 1, y1 + 1, x2, y2), f"<mixup_weight>{w}</mixup_weight>")
            for c, (x1, y1, x2, y2), w in objects
        ]
        add(root, f"{number}", *written, size=SIZES[number], image=image(number))
    return root


def write_coco(root):
    ids = [3, 7, 90]
    annotations = [
        {"id": n, "image_id": number + 10, "category_id": ids[c], "bbox": [x1, y1, x2 - x1, y2 - y1], "mixup_weight": w}
        for n, (number, (c, (x1, y1, x2, y2), w)) in enumerate(
            (number, item) for number, objects in enumerate(OBJECTS) for item in objects
        )
    ]
    images = []
    for number, (height, width) in enumerate(SIZES):
        save(root / "images" / f"{number}.png", image(number))
        images.append({"id": number + 10, "file_name": f"{number}.png", "width": width, "height": height})
    categories = [{"id": i, "name": name} for i, name in zip(ids, CLASSES, strict=True)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def write_yolo(root):
    for number, objects in enumerate(OBJECTS):
        height, width = SIZES[number]
        save(root / "images" / "train" / f"{number}.png", image(number))
        rows = [
            [c, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height, w]
            for c, (x1, y1, x2, y2), w in objects
        ]
        path = root / "labels" / "train" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images/train", "names": CLASSES}), encoding="utf-8")
    return root


WRITERS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}


def plain(number):
    """The sample as it was written: pascal_voc boxes."""
    objects = OBJECTS[number]
    return {
        "image": image(number),
        "bboxes": np.array([box for _, box, _ in objects], np.float64).reshape(-1, 4),
        "labels": [CLASSES[c] for c, _, _ in objects],
        "mixup_weight": [w for _, _, w in objects],
    }
