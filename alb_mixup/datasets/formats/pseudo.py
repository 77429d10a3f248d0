"""A detector's predictions as labels."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alb_mixup.datasets.annotations.validate import InvalidLog, OnInvalid
from alb_mixup.datasets.base import DetectionDataset, absolute_path, checked_classes
from alb_mixup.datasets.formats.coco_json import collector_paused, columns_of_results, load_coco, load_results
from alb_mixup.datasets.formats.coco_reader import CocoReader
from alb_mixup.errors import ArgumentError
from alb_mixup.functional.boxes import from_xyxy

_UNNAMED = "predictions"  # what messages call those that come from no file


class PseudoLabelDataset(DetectionDataset):
    """Images with a detector's predictions as their labels: each box's score is its `mixup_weight`.

    `MixUp(PseudoLabelDataset(...))` mixes labelled images with pseudo-labelled ones, and the weight of a box of the
    latter is then its score times its image's share. As primaries or as a training set, boxes are weighted by their
    scores.

    The predictions are one of:

    - **COCO detection results**: the path of the JSON file, or its list of dicts (`image_id`, `category_id`, `bbox` as
      x_min, y_min, width, height in pixels, `score`). `annotations` says which images and categories the ids are;
      annotations in it are not read. Where results have a
      `file_name`, as in Ultralytics' predictions.json, that says which image they are of, and not the id.
    - **A mapping** from the path of an image, below `images`, to its detections: `supervision.Detections`, or anything
      with `xyxy` (N, 4) in pixels, `class_id` (N,) and `confidence` (N,). `classes` are the names of the class ids.

    An image without a prediction that is sure enough is kept, without boxes. It may show objects all the same:
    `annotated()` leaves such images out. Boxes are `"coco"`.

    `root` is the images' folder. In `invalid`, `file` is the name of the predictions' file, or "predictions", and
    `object_index` the position in the list; in a mapping, counted from its first detection on.

    Args:
        predictions: As described.
        annotations: For COCO results, the JSON file with `images` and `categories`.
        images: The images' folder. None: for COCO results it is looked for as `CocoDataset` does; for a mapping, its
            paths are complete.
        classes: For COCO results, the class names in your order, predictions of any other being invalid, or None: all
            categories. For a mapping, the name of each class id.
        min_score: Predictions with a lower score are left out. 0 to 1.
        on_invalid: As for `CocoDataset`, and for scores that are not in [0, 1]. `"clip"`, as detectors predict boxes
            that reach beyond the image.

    Raises:
        ArgumentError: An argument breaks its constraint.
        DatasetError: No such file or folder, no such JSON, or none of the images is found.
        AnnotationError: A prediction is invalid and `on_invalid` is `"raise"`.

    Source:
        "Results format" on https://cocodataset.org.

    Examples:
        >>> pseudo = PseudoLabelDataset("predictions.json", "instances_val2017.json", min_score=0.5)  # doctest: +SKIP
        >>> pseudo[0]["mixup_weight"]  # doctest: +SKIP
        array([0.91, 0.55], dtype=float32)
    """

    bbox_format = "coco"

    def __init__(
        self,
        predictions: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | Mapping[Any, Any],
        annotations: str | os.PathLike[str] | None = None,
        images: str | os.PathLike[str] | None = None,
        *,
        classes: Sequence[str] | None = None,
        min_score: float = 0.3,
        on_invalid: OnInvalid = "clip",
    ) -> None:
        if isinstance(min_score, bool) or not isinstance(min_score, int | float) or not 0 <= min_score <= 1:
            raise ArgumentError(f"min_score must be a number in [0, 1], got {min_score!r}: give such")
        folder = None if images is None else absolute_path(images, "images")
        names, file = checked_classes(classes), _results_file(predictions)
        if isinstance(predictions, Mapping):
            if annotations is not None or names is None:
                raise ArgumentError(
                    "classes must name each class id of a mapping, and annotations must be None, got "
                    f"classes={classes!r} and annotations={annotations!r}: give the names alone"
                )
            folder = folder or _common_folder(predictions)
            path, data = folder / _UNNAMED, _as_coco(predictions, names, folder)
        else:
            if annotations is None:
                raise ArgumentError("annotations must be the COCO JSON file of the predictions' images, got None")
            path = absolute_path(annotations, "annotations", "a COCO JSON file")
            data = load_coco(path, ("images", "categories"))
            data["annotations"] = list(predictions) if file is None else load_results(file)  # type: ignore[arg-type]
        log = InvalidLog(path.parent, on_invalid)
        with collector_paused():
            reader = CocoReader(data, path, folder, names, log, _UNNAMED if file is None else file.name)
            reader.select(columns_of_results, lambda columns: columns.weights >= min_score)
        spec = {
            "dataset": "PseudoLabelDataset",
            "predictions": "" if file is None else file.as_posix(),
            "annotations": path.as_posix(),
            "images": reader.root.as_posix(),
            "classes": None if names is None else list(names),
            "min_score": min_score,
            "on_invalid": on_invalid,
        }
        super().__init__(
            root=reader.root,
            split=None,
            classes=reader.classes,
            annotations=reader.pack()[0],
            log=log,
            spec=None if file is None else spec,
        )


def _results_file(predictions: Any) -> Path | None:
    """The file of the predictions; None where they are in memory."""
    if isinstance(predictions, str | os.PathLike):
        return absolute_path(predictions, "predictions")
    if isinstance(predictions, Mapping | Sequence):
        return None
    raise ArgumentError(
        "predictions must be the path of COCO results, their list, or a mapping from images to detections, got "
        f"{type(predictions).__name__}: give one of them"
    )


def _common_folder(predictions: Mapping[Any, Any]) -> Path:
    """The innermost folder that all images of a mapping are in."""
    folders = {os.path.dirname(_image_path(key, Path())) for key in predictions}
    if not folders:
        raise ArgumentError("predictions must hold at least one image where images is None, got an empty mapping")
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:  # of two drives
        raise ArgumentError(
            f"images must be given where the images have no folder in common, got None: {error}; pass images="
        ) from error


def _image_path(key: Any, folder: Path) -> str:
    if not isinstance(key, str | os.PathLike):
        raise ArgumentError(f"predictions must map the paths of images to their detections, got {key!r} as one")
    return os.path.abspath(folder / os.fspath(key))


def _as_coco(predictions: Mapping[Any, Any], classes: Sequence[str], folder: Path) -> dict[str, list[Any]]:
    """A mapping from images to detections as the lists of a COCO file and its results."""
    images, results = [], []
    for key, detections in predictions.items():
        file = Path(os.path.relpath(_image_path(key, folder), folder)).as_posix()
        images.append({"id": file, "file_name": file})
        results += _results_of(detections, file)
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    return {"images": images, "categories": categories, "annotations": results}


def _results_of(detections: Any, file: str) -> list[dict[str, Any]]:
    columns = [np.asarray(getattr(detections, name, None)) for name in ("xyxy", "class_id", "confidence")]
    xyxy, class_ids, scores = columns
    if not xyxy.size:  # an empty one may have no ids and scores
        return []
    try:
        boxes = from_xyxy(xyxy.reshape(len(class_ids), 4), "coco", (1, 1))
        rows = list(zip(boxes.tolist(), class_ids.tolist(), scores.tolist(), strict=True))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"predictions[{file!r}] must have xyxy (N, 4), class_id (N,) and confidence (N,), got "
            f"{type(detections).__name__} with {columns!r}"[:300]
        ) from error
    return [{"image_id": file, "category_id": number, "bbox": box, "score": score} for box, number, score in rows]
