"""What is noted of an output: its annotations in JSON types, and from these what a layout writes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.shapes import compressed, runs_of
from alb_mixup.datasets.protocols import like
from alb_mixup.errors import SampleError
from alb_mixup.functional.boxes import to_xyxy
from alb_mixup.generation.layout import WrittenImage


class Annotated(Protocol):
    """What samples are of: a dataset, as far as their annotations go."""

    @property
    def bbox_format(self) -> str:
        """Format of their `bboxes`."""

    @property
    def classes(self) -> Sequence[str]:
        """All their labels."""

    @property
    def has_masks(self) -> bool:
        """Whether each has `masks`."""

    @property
    def keypoint_names(self) -> Sequence[Sequence[str]] | None:
        """Where each has `keypoints`, their names by class; else None."""

    @property
    def skeletons(self) -> Sequence[Sequence[tuple[int, int]]] | None:
        """As well, the pairs of keypoints of each class that belong together, where they are known."""


class Kind(NamedTuple):
    """The samples of a set that is being made, as `Annotated` has them."""

    bbox_format: str
    classes: Sequence[str]
    has_masks: bool
    keypoint_names: Sequence[Sequence[str]] | None
    skeletons: Sequence[Sequence[tuple[int, int]]] | None


NUMBERS = "box_number"  # the label field that tells which mask, and which keypoints, are a box's
KEYPOINT_FIELDS = ("keypoint_labels", "keypoint_visibility", "keypoint_boxes")


def numbered(sample: dict[str, Any]) -> dict[str, Any]:
    """Return a sample with its boxes numbered, so that masks and keypoints find theirs whatever a pipeline drops."""
    return like(sample, sample | {NUMBERS: np.arange(len(sample["labels"]), dtype=np.float32)})


def weights_of(sample: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return a sample's weights: (N,), 1 each where it says none."""
    return np.asarray(sample.get("mixup_weight", np.ones(len(sample["labels"]))), np.float64)


def annotations_of(
    sample: Mapping[str, Any], hw: tuple[int, int], dataset: Annotated, where: str = "the mix"
) -> dict[str, Any]:
    """Turn a sample's annotations into JSON types.

    Args:
        sample: `bboxes`, `labels`, and where it has them `mixup_weight`, and what goes with its boxes: `masks`, and
            `keypoints` with `keypoint_labels`, `keypoint_boxes` and `keypoint_visibility`. Which of these are a box's
            its number says, in the field `box_number`; without this field, its position.
        hw: Height and width of its image.
        dataset: What it is a sample of, or is made of samples of.
        where: What messages call it.

    Returns:
        What `written_image` reads: `hw`, `xyxy`, `class_ids`, `weights`, and `masks` and `keypoints` where the
        dataset has them.

    Raises:
        SampleError: It has a class that the dataset does not have, or its parts do not fit together.
    """
    ids = {name: number for number, name in enumerate(dataset.classes)}
    labels = [str(label) for label in sample["labels"]]
    unknown = [label for label in labels if label not in ids]
    if unknown:
        raise SampleError(f"labels of {where} must be among the classes, got {unknown[0]!r}: name it in classes=")
    class_ids = [ids[label] for label in labels]
    numbers = np.asarray(sample.get(NUMBERS, np.arange(len(labels)))).astype(int).tolist()
    if len(set(numbers)) < len(numbers):
        raise SampleError(
            f"{NUMBERS} of {where} must number its boxes, got {numbers}: name it in index_fields of MixUp"
        )
    record: dict[str, Any] = {
        "hw": list(hw),
        "xyxy": to_xyxy(sample["bboxes"], dataset.bbox_format, hw).tolist(),
        "class_ids": class_ids,
        "weights": weights_of(sample).tolist(),
    }
    if dataset.has_masks:
        record["masks"] = _masks(sample["masks"], numbers, hw, where)
    if dataset.keypoint_names is not None:
        names = [dataset.keypoint_names[class_id] for class_id in class_ids]
        record["keypoints"] = _keypoints(sample, dict(zip(numbers, names, strict=True)), where)
    return record


def _masks(masks: Sequence[Any], numbers: Sequence[int], hw: tuple[int, int], where: str) -> list[str]:
    if max(numbers, default=-1) >= len(masks) or any(np.shape(mask) != hw for mask in masks):
        raise SampleError(
            f"masks of {where} must be one of {hw} for each of {len(numbers)} boxes, got "
            f"{[np.shape(mask) for mask in masks]}: give all, of the image's size"
        )
    return [compressed(runs_of(np.asarray(masks[number]))) for number in numbers]


def _keypoints(sample: Mapping[str, Any], names: Mapping[int, Sequence[str]], where: str) -> list[list[float]]:
    """Of each box, by its number, all keypoints of its class; those that are not there are not labelled."""
    found = {number: np.zeros((len(own), 3)) for number, own in names.items()}
    points = np.asarray(sample["keypoints"], np.float64).reshape(-1, 2)
    visible = sample.get("keypoint_visibility", np.full(len(points), 2))
    for (x, y), label, number, visibility in zip(
        points, sample["keypoint_labels"], sample["keypoint_boxes"], visible, strict=True
    ):
        own, own_names = found.get(int(number)), names.get(int(number), ())
        if own is None:  # its box is gone
            continue
        if label not in own_names or own[own_names.index(label), 2]:
            raise SampleError(
                f"keypoint_labels of {where} must be keypoint_names of their box's class, each once, got {label!r} of "
                f"{list(own_names)}: correct the sample"
            )
        own[own_names.index(label)] = x, y, visibility
    return [own.ravel().tolist() for own in found.values()]


def written_image(record: Mapping[str, Any]) -> WrittenImage:
    """The part of a record that a layout writes."""
    return WrittenImage(
        record["name"],
        tuple(record["hw"]),
        record["xyxy"],
        record["class_ids"],
        record["weights"],
        record.get("masks"),
        record.get("keypoints"),
    )
