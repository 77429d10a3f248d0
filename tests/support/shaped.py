"""A small COCO dataset with masks and keypoints, written by hand and by pycocotools."""

import json

import cv2
import numpy as np
from pycocotools import mask as rle

from tests.support.voc_files import picture, save

CLASSES = ["person", "kite"]
NAMES = ["left eye", "right eye", "nose"]
SKELETON = [[1, 3], [2, 3]]
SIZES = [(60, 80), (48, 90), (61, 44), (33, 70)]


def disc(hw, centre, radius):
    mask = np.zeros(hw, np.uint8)
    cv2.circle(mask, centre, radius, 1, -1)
    return mask


def masks():
    """Of each image: of one part, of several, with a hole, of one pixel, full; the last image has none."""
    two = disc(SIZES[0], (20, 20), 9) | disc(SIZES[0], (60, 35), 12)
    ring = disc(SIZES[1], (40, 24), 20) - disc(SIZES[1], (40, 24), 9)
    dot = np.zeros(SIZES[1], np.uint8)
    dot[5, 7] = 1
    slanted = cv2.fillPoly(np.zeros(SIZES[2], np.uint8), [np.int32([[3, 4], [40, 20], [25, 58], [6, 40]])], 1)
    return [[disc(SIZES[0], (30, 30), 15), two], [ring, dot], [slanted, np.ones(SIZES[2], np.uint8)], []]


def extent(mask):
    """Its box: x_min, y_min, x_max, y_max, half-open."""
    ys, xs = np.nonzero(mask)
    return [int(value) for value in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)]


def without_holes(mask):
    """Fill what cannot be reached from outside without crossing the mask."""
    outside = np.pad(1 - mask, 1, constant_values=1).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1].astype(np.uint8)


# Of each image's persons: x, y, visibility of each point.
POINTS = [
    [[20.5, 21.25, 2, 41.0, 22.5, 1, 0, 0, 0]],
    [[3.5, 10.0, 1, 50.75, 11.0, 2, 40.0, 30.0, 2]],
    [[0, 0, 0, 0, 0, 0, 0, 0, 0]],
    [],
]


def annotations():
    """One person and one kite in each image but the last."""
    found = []
    for image_id, of_image in enumerate(masks(), 1):
        for class_id, mask in enumerate(of_image):
            x1, y1, x2, y2 = extent(mask)
            counts = rle.encode(np.asfortranarray(mask))["counts"].decode()
            entry = {"id": len(found) + 1, "image_id": image_id, "category_id": class_id + 1}
            entry |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": int(mask.sum()), "iscrowd": 0}
            entry |= {"segmentation": {"size": list(mask.shape), "counts": counts}}
            if class_id == 0:
                points = POINTS[image_id - 1][0]
                entry |= {"keypoints": points, "num_keypoints": sum(v > 0 for v in points[2::3])}
            found.append(entry)
    return found


def write(root, *, more=()):
    """Write it below a folder; return its JSON file."""
    images = []
    for number, (height, width) in enumerate(SIZES):
        name = f"{number}.{'jpg' if number == 1 else 'png'}"
        save(root / "images" / name, picture(height, width, number))
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
    categories = [
        {"id": 1, "name": CLASSES[0], "keypoints": NAMES, "skeleton": SKELETON},
        {"id": 2, "name": CLASSES[1]},
    ]
    content = {"images": images, "annotations": [*annotations(), *more], "categories": categories}
    file = root / "annotations.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
