"""Boxes and keypoints: what one pipeline says of them, and a reference sample's rows in that pipeline's own terms."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from alb_mixup import _backend
from alb_mixup._support.checks import are_finite, check_finite
from alb_mixup.errors import SampleError
from alb_mixup.functional import Array
from alb_mixup.functional.geometry import Placement, are_plain, fit_bboxes, fit_oriented_bboxes, normalize_bboxes
from alb_mixup.transforms.partner import ReferenceSample

_LABEL_WRAPPERS = {"bboxes": "bbox_labels", "keypoints": "keypoint_labels"}  # AlbumentationsX's Mosaic metadata


class RowTarget(NamedTuple):
    """What stays the same from call to call of one pipeline, so that it is found out and checked once.

    Attributes:
        params: The pipeline's own `BboxParams` or `KeypointParams`: with another object, this belongs to another one.
        name: "bboxes" or "keypoints".
        fields: The pipeline's label fields of this target.
        row_format: Format of the reference's coordinates; None: the pipeline's.
        box_format: Format of the reference's boxes where they are horizontal ones; None: no short cut past
            Albumentations' conversion.
        weight: Label field that is 1.0 where a sample lacks it.
        weight_column: Its place among the columns, from the last one; None: no weights.
        fit: Moves the rows of boxes with their image.
    """

    params: Any
    name: str
    fields: tuple[str, ...]
    row_format: str | None = None
    box_format: str | None = None
    weight: str | None = None
    weight_column: int | None = None
    fit: Callable[[Array, Placement], Array] = fit_bboxes

    def read(self, sample: ReferenceSample, key: str, primary: Array, data: Mapping[str, Any], processor: Any) -> Array:
        """Return a reference's rows with their encoded label fields, as the pipeline holds the primary's.

        Args:
            sample: The reference sample.
            key: Target, such as "bboxes".
            primary: (N, D) rows of the primary.
            data: All of the primary's targets.
            processor: The pipeline's processor of this target.

        Returns:
            New (M, D) float32 array.

        Raises:
            SampleError: The sample lacks the target or a label field, they are not what they must be, or the primary's
                weights are no floats.
        """
        known = _backend.known_labels(processor, self.name)
        if self.weight is not None:
            _backend.check_weights(known.get(self.weight), self.weight)
        try:
            coordinates = np.asarray(sample.get(key), np.float32)
        except (TypeError, ValueError) as error:
            raise SampleError(f"{sample.where}[{key!r}] must be rows of numbers of one length: {error}") from error
        if coordinates.size == 0:
            return np.zeros((0, primary.shape[1]), np.float32)
        if coordinates.ndim != 2:
            raise SampleError(f"{sample.where}[{key!r}] must be (N, columns), got shape {coordinates.shape}")
        count, width = coordinates.shape
        columns = np.empty((width + len(self.fields), count), np.float32)
        for column, field in zip(columns[width:], self.fields, strict=True):
            labels = self._labels(sample, field, count)
            codes = _backend.known_codes(known.get(field), labels)
            column[:] = self._codes(sample, field, labels, processor, data.get(field)) if codes is None else codes
        rows = self._placed(columns, coordinates, sample, key, processor)
        if len(primary) and rows.shape[1] != primary.shape[1]:
            raise SampleError(
                f"{sample.where}[{key!r}] must have as many columns as the primary's, got {width}: {rows.shape[1]} "
                f"with its label fields, {primary.shape[1]} in the primary"
            )
        return rows

    def check_joined(self, rows: Array, count: int, sample: ReferenceSample) -> None:
        """Refuse weights that are not finite.

        Args:
            rows: (N + M, D) rows of both images, N + M > 0.
            count: N, how many are the primary's.
            sample: The reference sample.

        Raises:
            SampleError: A weight is not finite.
        """
        weights = rows[:, self.weight_column]
        if not are_finite(weights):
            position = int(np.isfinite(weights).argmin())
            name = self.weight if position < count else f"{sample.where}[{self.weight!r}]"
            raise SampleError(f"{name} must be finite, got {weights[position]}: give a box without a weight 1.0")

    def _placed(self, columns: Array, coordinates: Array, sample: ReferenceSample, key: str, processor: Any) -> Array:
        """Write coordinates in front of the label fields, and return rows as the pipeline holds them.

        Boxes that lie well inside of their image take a short cut past Albumentations' own conversion, to the same
        bits: its checks cost more than the blend of a whole image (benchmarks/RESULTS.md, "Inside Compose").
        """
        width = coordinates.shape[1]
        if self.box_format is not None and width >= 4:
            corners = normalize_bboxes(coordinates, self.box_format, sample.hw, columns[:4])
            if are_plain(corners):
                if width > 4:
                    columns[4:width] = coordinates.T[4:]
                return columns.T
        columns[:width] = coordinates.T
        try:
            return _backend.to_internal(processor, columns.T.copy(), sample.hw, self.row_format)
        except ValueError as error:
            raise SampleError(f"{sample.where}[{key!r}] is invalid: {error}") from error

    def _codes(self, sample: ReferenceSample, field: str, labels: Any, processor: Any, like: Any) -> Array:
        """Encode labels that need a closer look."""
        if field == self.weight:
            check_finite(f"{sample.where}[{field!r}]", labels)
        if np.ndim(labels) != 1:
            raise SampleError(f"{sample.where}[{field!r}] must be a list or array, one value a row, got {labels!r}")
        return _backend.encode_labels(processor, self.name, field, labels, like)

    def _labels(self, sample: ReferenceSample, field: str, count: int) -> Any:
        """Return a label field of the sample, one value for each of `count` rows."""
        labels = sample.find(field)
        if labels is None:
            labels = (sample.find(_LABEL_WRAPPERS[self.name]) or {}).get(field)
        if labels is None and field == self.weight:
            return np.ones(count, np.float32)
        if labels is None:
            raise SampleError(
                f"{sample.where} must have every label field of the pipeline, got no {field!r} for its {self.name}: "
                f"add it, one value for each row; it has {sample.keys}"
            )
        if isinstance(labels, str) or not hasattr(labels, "__len__"):
            raise SampleError(f"{sample.where}[{field!r}] must be a list or array, one value a row, got {labels!r}")
        if len(labels) != count:
            raise SampleError(
                f"{sample.where}[{field!r}] must have one value for each of {count} {self.name}, got {len(labels)}"
            )
        return labels


def keypoint_target(processor: Any) -> RowTarget:
    """Describe a pipeline's keypoints.

    Raises:
        SampleError: MixUp must not run in this pipeline.
    """
    return RowTarget(processor.params, "keypoints", _checked_fields(processor))


def bbox_target(processor: Any, row_format: str | None, weight_field: str | None, fit_mode: str) -> RowTarget:
    """Describe a pipeline's boxes.

    Args:
        processor: The pipeline's processor.
        row_format: Format of the reference's boxes; None: the pipeline's.
        weight_field: Label field of the weights, or None.
        fit_mode: How a reference meets its primary.

    Raises:
        SampleError: MixUp must not run in this pipeline, it lacks the weight field, or its boxes are oriented ones and
            would be stretched.
    """
    fields = _checked_fields(processor)
    if weight_field is not None and weight_field not in fields:
        raise SampleError(
            f"weight_field {weight_field!r} must be in BboxParams.label_fields, got {list(fields)}: give "
            f"A.BboxParams(..., label_fields={[*fields, weight_field]}) and one weight for each box (1.0), or "
            "MixUp(..., weight_field=None)"
        )
    oriented = _backend.is_oriented(processor)
    if oriented and fit_mode == "stretch":
        raise SampleError('fit_mode must keep angles true for oriented boxes, got "stretch": take "contain"')
    return RowTarget(
        params=processor.params,
        name="bboxes",
        fields=fields,
        row_format=row_format,
        box_format=None if oriented else row_format or _backend.bbox_format(processor),
        weight=weight_field,
        weight_column=None if weight_field is None else fields.index(weight_field) - len(fields),
        fit=fit_oriented_bboxes if oriented else fit_bboxes,
    )


def _checked_fields(processor: Any) -> tuple[str, ...]:
    fields = tuple(processor.params.label_fields or ())
    _backend.refuse_instance_binding(fields)
    _backend.refuse_ultralytics(fields)
    return fields
