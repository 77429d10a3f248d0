"""COCO, written."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

from alb_mixup.datasets.annotations.shapes import runs_from
from alb_mixup.functional.boxes import from_xyxy
from alb_mixup.generation.layout import Layout, WrittenImage, short


class CocoLayout(Layout):
    """`annotations.json`, `images/`; a weight is the annotation's key `mixup_weight`.

    Masks are `segmentation`, as compressed run lengths, and `area` is theirs; without masks, it is the box's. Keypoints
    are `keypoints` and `num_keypoints`, their names and skeleton in the category. `iscrowd` is 0.
    """

    images = "images"

    def index_files(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[tuple[str, Iterator[str]]]:
        """The instances file: ids from 1, in the order of the images; boxes are x, y, width, height in pixels."""
        yield "annotations.json", self._instances(images)

    def _instances(self, images: Callable[[], Iterable[WrittenImage]]) -> Iterator[str]:
        yield f'{{"categories": {_json(list(self._categories()))},\n"images": ['
        yield from _items(_image_entry(number, image) for number, image in enumerate(images(), 1))
        yield '],\n"annotations": ['
        yield from _items(self._annotations(images()))
        yield "]}\n"

    def _categories(self) -> Iterator[dict[str, Any]]:
        for number, name in enumerate(self.classes):
            entry: dict[str, Any] = {"id": number + 1, "name": name}
            if self.keypoint_names is not None and self.keypoint_names[number]:
                entry |= {"keypoints": self.keypoint_names[number]}
                entry |= {"skeleton": self.skeletons[number] if self.skeletons else []}
            yield entry

    def _annotations(self, images: Iterable[WrittenImage]) -> Iterator[dict[str, Any]]:
        ids = count(1)
        for image_id, image in enumerate(images, 1):
            boxes = from_xyxy(image.xyxy, "coco", image.hw)
            has_weights = self._has_weights(image)
            for row, (box, class_id) in enumerate(zip(boxes, image.class_ids, strict=True)):
                bbox = [short(value) for value in box]
                entry: dict[str, Any] = {"id": next(ids), "image_id": image_id, "category_id": class_id + 1}
                entry |= {"bbox": bbox, "area": short(bbox[2] * bbox[3]), "iscrowd": 0}
                if image.masks is not None:
                    runs = runs_from(image.masks[row], image.hw)
                    entry |= {"segmentation": {"size": image.hw, "counts": image.masks[row]}}
                    entry |= {"area": int(runs[1::2].sum())}
                if image.keypoints is not None:
                    points = [short(value) for value in image.keypoints[row]]
                    visible = [int(visibility) for visibility in points[2::3]]
                    points[2::3] = visible
                    entry |= {"keypoints": points, "num_keypoints": sum(map(bool, visible))}
                yield entry | ({"mixup_weight": short(image.weights[row])} if has_weights else {})


def _image_entry(number: int, image: WrittenImage) -> dict[str, Any]:
    height, width = image.hw
    return {"id": number, "file_name": image.name, "width": width, "height": height}


def _items(entries: Iterable[Any]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        yield f"{',' if number else ''}\n{_json(entry)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
