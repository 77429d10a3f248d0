"""The pipeline of a plan: what it may be, how it is described, where it is read from."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from alb_mixup import _backend
from alb_mixup.datasets import CachedDataset, DetectionDataset, DiskCache, MosaicDataset
from alb_mixup.datasets.protocols import layers
from alb_mixup.errors import AlbMixUpError, ArgumentError
from alb_mixup.generation.record import KEYPOINT_FIELDS
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.pipeline import mixups_of

WEIGHT = "mixup_weight"


def images_of(samples: Any) -> DetectionDataset:
    """Return the images on disk that a reference's samples are made of, at the same positions.

    Raises:
        ArgumentError: They are not the same in every process: samples in memory, `RecentSamples`, a cache of mosaics.
    """
    images = samples
    while isinstance(images, CachedDataset | DiskCache | MosaicDataset):
        is_cache, images = not isinstance(images, MosaicDataset), images.dataset
        if is_cache and isinstance(images, MosaicDataset):  # of which it keeps the first for good
            break
    if not isinstance(images, DetectionDataset):
        raise ArgumentError(
            "pipeline must draw partners from datasets on disk, caches or mosaics of these, which are the same in "
            f"every process, got a MixUp of {type(samples).__name__}: open_dataset(path) opens one; MixUp() without "
            "a reference mixes the dataset with itself"
        )
    return images


def references_of(pipeline: Any) -> list[DetectionDataset]:
    """Return the images that partners come from, of each MixUp that has a reference of its own.

    Raises:
        ArgumentError: As `images_of`.
    """
    return [images_of(mixup.reference) for mixup in mixups_of(pipeline) if mixup.reference is not None]


def check_pipeline(pipeline: Any, dataset: DetectionDataset) -> None:
    """Refuse a pipeline whose outputs could not be written, or not be the same in every process.

    Args:
        pipeline: What the user gave.
        dataset: Where the primaries come from.

    Raises:
        ArgumentError: It is one.
    """
    if not isinstance(pipeline, _backend.Compose):
        raise ArgumentError(f"pipeline must be an A.Compose, got {type(pipeline).__name__}: write A.Compose([...])")
    if any(mixup for outer in mixups_of(pipeline) for mixup in mixups_of(outer.reference_transform)):
        raise ArgumentError(
            "pipeline must have no MixUp in a reference_transform, got one, whose partner no record would name: give "
            "the pipeline a second MixUp instead"
        )
    _check_targets(pipeline, [dataset, *references_of(pipeline)])
    described(pipeline)


def described(pipeline: Any) -> dict[str, Any]:
    """Return what `A.save` writes of a pipeline, and its references' fingerprints: how a run that goes on knows it.

    Raises:
        ArgumentError: It cannot be described.
    """
    try:
        return _backend.saved(pipeline) | {"references": [images.fingerprint() for images in references_of(pipeline)]}
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ArgumentError(
            "pipeline must be one that A.save can write and A.load can read, by which a run that goes on knows it, got "
            f"one that cannot be ({error}): leave that transform out, or write it as a class"
        ) from error


def read_pipeline(path: str | os.PathLike[str]) -> Any:
    """Read a pipeline that `A.save` wrote, as JSON or YAML, whatever the file's name.

    Raises:
        ArgumentError: The file is something else, or its pipeline cannot be built here.
    """
    try:
        content = _parsed(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"which cannot be read ({error}): give the path of one") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("transform"), Mapping):
        raise _unusable(path, "which holds something else: A.save(pipeline, 'pipeline.json') writes one")
    try:
        return _backend.from_dict(dict(content))
    except (AlbMixUpError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unusable(
            path,
            f"which cannot be built here ({type(error).__name__}: {error}): save it with {_backend.VERSION}, its "
            "datasets where they are",
        ) from error


def _unusable(path: str | os.PathLike[str], why: str) -> ArgumentError:
    return ArgumentError(f"pipeline must be a file that A.save wrote, JSON or YAML, got {os.fspath(path)}, {why}")


def _parsed(text: str) -> Any:
    """Read JSON or YAML; None where a text is neither. JSON first, of whose numbers YAML takes 1e-05 for a word."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _check_targets(pipeline: Any, sources: Sequence[DetectionDataset]) -> None:
    """Refuse a pipeline that does not take the samples of its sources, or would lose a part of them."""
    processor, example = pipeline.processors.get("bboxes"), f'label_fields=["labels", "{WEIGHT}"]'
    if processor is None or _backend.is_oriented(processor):
        raise ArgumentError(
            f"pipeline must have bbox_params for upright boxes, got {'oriented ones' if processor else 'none'}: give "
            f'A.Compose([...], bbox_params=A.BboxParams("{sources[0].bbox_format}", {example}))'
        )
    fields = list(processor.params.label_fields or ())
    if "labels" not in fields or not set(fields) <= set(sources[0].annotations(0)):
        raise ArgumentError(
            f"pipeline must have label_fields that the dataset's samples have, 'labels' among them, got {fields}: give "
            f"{example}, by which names the dataset knows them"
        )
    keypoints = pipeline.processors.get("keypoints")
    if (keypoints is not None) != (sources[0].keypoint_names is not None):
        raise ArgumentError(
            "pipeline must have keypoint_params where the dataset has keypoints, and only there, got "
            f"{'some' if keypoints else 'none'}: change it, or open the dataset with{'' if keypoints else 'out'} them"
        )
    if keypoints is not None and not set(KEYPOINT_FIELDS) <= set(keypoints.params.label_fields or ()):
        raise ArgumentError(
            f"pipeline must have all label_fields of keypoints, got {list(keypoints.params.label_fields or ())}: give "
            f'A.KeypointParams("xy", label_fields={list(KEYPOINT_FIELDS)})'
        )
    if keypoints is not None and _backend.coord_format(keypoints) != "xy":
        raise ArgumentError(
            "pipeline must have keypoint_params in the format 'xy', which the dataset's keypoints have, got "
            f'{_backend.coord_format(keypoints)!r}: give A.KeypointParams("xy", ...)'
        )
    for name, has in (("masks", _has_masks), ("keypoints", _has_keypoints)):
        if not has(sources[0]):
            continue
        if any(map(_is_of_mosaics, mixups_of(pipeline))):
            raise ArgumentError(
                f"pipeline must draw partners that have {name} where the dataset has, got a MosaicDataset, which has "
                f"none: draw from whole images, or open the dataset without {name}"
            )
        if not all(map(has, sources)):
            raise ArgumentError(
                f"pipeline must draw partners that have {name} where the dataset has, got a reference without: open it "
                f"with {name}=True, or the dataset without them"
            )
    if WEIGHT not in fields and any(images.is_weighted for images in sources):
        raise ArgumentError(
            f"pipeline must have {WEIGHT!r} among its label_fields where boxes have weights of their own, got {fields}:"
            f" give {example}, or these weights would be lost"
        )


def _has_masks(images: DetectionDataset) -> bool:
    return images.has_masks


def _has_keypoints(images: DetectionDataset) -> bool:
    return images.keypoint_names is not None


def _is_of_mosaics(mixup: MixUp) -> bool:
    return any(isinstance(layer, MosaicDataset) for layer in layers(mixup.reference))
