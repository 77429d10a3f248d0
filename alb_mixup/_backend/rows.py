"""Boxes and keypoints as a pipeline holds them inside, and the pipelines that have no place for added ones."""

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from alb_mixup._backend.installation import IS_X
from alb_mixup._backend.labels import decode_labels
from alb_mixup.errors import SampleError
from alb_mixup.functional import Array
from alb_mixup.functional.boxes import from_xyxy
from alb_mixup.functional.geometry import are_plain, have_extent

if IS_X:
    from albumentations.core.invocation import get_current_invocation


def coord_format(processor: Any) -> str:
    """Return the format of what a processor handles: of a pipeline's boxes, or of its keypoints."""
    return str(getattr(processor.params, "coord_format", None) or processor.params.format)


def is_oriented(processor: Any) -> bool:
    """Tell whether a pipeline's boxes carry an angle as their fifth column (AlbumentationsX)."""
    return getattr(processor.params, "bbox_type", "hbb") == "obb"


def add_label_field(pipeline: Any, field: str) -> None:
    """Have the boxes of a pipeline, if any, carry one more label field.

    By other params, for who has run in this pipeline knows what these ones say.
    """
    if "bboxes" in pipeline.processors:
        processor = pipeline.processors["bboxes"]
        processor.params = copy.copy(processor.params)
        processor.params.label_fields = [*(processor.params.label_fields or ()), field]
        pipeline._available_keys.add(field)


def taken_masks(masks: Array) -> Array | list[Array]:
    """Return masks (N, H, W) as any transform takes them, N = 0 too: as a list by 2.0.8, as they are by X."""
    return masks if IS_X else list(masks)


def to_internal(processor: Any, rows: Array, hw: tuple[int, int], row_format: str | None = None) -> Array:
    """Convert annotation rows to what a pipeline holds inside: normalized xyxy, or x, y, z, angle, scale.

    The processor's own conversion, so that its `clip` and `filter_invalid_bboxes` hold for references too; not its
    `preprocess`, which on 2.0.8 overwrites its record of whether the user gave a list or an array.

    Args:
        processor: The pipeline's bbox or keypoints processor.
        rows: (N, C) float32, coordinates first; may be written to.
        hw: (height, width) of the image that the rows belong to.
        row_format: Format of the coordinates; None: the pipeline's.

    Returns:
        (M, D) float32 rows, M <= N.

    Raises:
        ValueError: Albumentations finds a row invalid.
    """
    if row_format is not None and row_format != coord_format(processor):
        processor = copy.copy(processor)
        processor.params = copy.copy(processor.params)
        processor.params.format = processor.params.coord_format = row_format
    converted: Array = processor.check_and_convert(rows, _shape(hw), "to")
    return converted


def filtered(processor: Any, bboxes: Array, hw: tuple[int, int]) -> tuple[Array, Array | None]:
    """Drop and clip boxes as a pipeline that ended here would.

    Args:
        processor: The pipeline's bbox processor.
        bboxes: (N, D) rows as the pipeline holds them.
        hw: (height, width) of the image that they belong to.

    Returns:
        (M, D) rows, M <= N; and which of the N those are, bool; None where all.
    """
    count = len(bboxes)
    if not count or _keeps(processor, bboxes):
        return bboxes, None
    numbered = np.column_stack([bboxes, np.arange(count, dtype=bboxes.dtype)])
    rows: Array = processor.filter(numbered, _shape(hw))
    rows = rows[have_extent(rows)]  # 2.0.8 keeps the others, and refuses them when they come back
    return rows[:, :-1], None if len(rows) == count else np.isin(np.arange(count), rows[:, -1])


def from_internal(processor: Any, rows: Array, hw: tuple[int, int], key: str) -> tuple[Array, dict[str, Any]]:
    """Undo `to_internal` and `encode_labels`: what a pipeline that ended here would return of rows that it keeps.

    Args:
        processor: The pipeline's bbox or keypoints processor.
        rows: (N, D) rows as the pipeline holds them, encoded label fields included.
        hw: (height, width) of the image that they belong to.
        key: Target that they are, such as "bboxes".

    Returns:
        (M, C) coordinates in the pipeline's format, M <= N, and the M labels of each label field.
    """
    name, fields = processor.default_data_name, list(processor.params.label_fields or ())
    plain = name == "bboxes" and len(rows) > 0 and _keeps(processor, rows)
    if len(rows) and name == "keypoints":
        rows = processor.filter(rows, _shape(hw))
    if len(rows) == 0:
        return np.zeros((0, 4), np.float32), {field: [] for field in fields}
    first = rows.shape[1] - len(fields)
    labels = {field: decode_labels(processor, key, field, rows[:, first + i]) for i, field in enumerate(fields)}
    if not plain:
        return processor.check_and_convert(rows[:, :first], _shape(hw), "from"), labels
    coordinates = rows[:, :first].astype(np.float32)
    coordinates[:, :4] = from_xyxy(rows[:, :4] * (hw[1], hw[0], hw[1], hw[0]), coord_format(processor), hw)
    return coordinates, labels


def _keeps(processor: Any, bboxes: Array) -> bool:
    """Tell whether a pipeline drops and clips none of its boxes: its own look at them takes longer than a blend."""
    params = processor.params
    limits = (params.min_area, params.min_visibility, params.min_width, params.min_height, params.max_accept_ratio)
    return not any(limits) and not is_oriented(processor) and are_plain(bboxes[:, :4].T)


def _shape(hw: tuple[int, int]) -> Any:
    return hw if IS_X else {"height": hw[0], "width": hw[1]}


def refuse_instance_binding(label_fields: Sequence[str]) -> None:
    """Refuse AlbumentationsX's `instance_binding`: a partner has no place for its instances yet.

    Raises:
        SampleError: The pipeline uses it.
    """
    if "_bbox_instance_id" in label_fields or "_kp_instance_id" in label_fields:
        raise SampleError(
            "A.Compose must have no instance_binding around MixUp, got one: it is not supported by MixUp yet; give "
            "bboxes, masks and keypoints as targets of their own, which MixUp keeps together"
        )


def refuse_frame_binding() -> None:
    """Refuse AlbumentationsX's `frame_binding` of the running call, which has no place for added rows.

    Raises:
        SampleError: The call uses it.
    """
    if IS_X and getattr(get_current_invocation(), "frame_state", None) is not None:
        raise SampleError(
            "A.Compose must have no frame_binding around MixUp, got one: the reference has no annotations for each "
            "frame; apply MixUp to images without it"
        )


def refuse_ultralytics(label_fields: Sequence[str]) -> None:
    """Refuse the pipeline that Ultralytics makes of `augmentations=[...]`.

    It looks up each box's class in the original image, so the reference's boxes would get wrong ones. Nothing but its
    label fields tells that pipeline apart.

    Raises:
        SampleError: The pipeline is Ultralytics'.
    """
    if list(label_fields) == ["class_labels", "idx"] and "ultralytics" in sys.modules:
        raise SampleError(
            "augmentations=[...] of Ultralytics must be without MixUp, got it among them: Ultralytics would give the "
            "reference's boxes wrong classes; train with YOLO(...).train(trainer=mixup_trainer(A.Compose([MixUp(...)], "
            "...))), from alb_mixup.integrations.ultralytics"
        )
