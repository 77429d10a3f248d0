"""Boxes and keypoints: what one pipeline says of them, and a partner's rows in that pipeline's own terms."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from alb_mixup import _backend
from alb_mixup._support.checks import are_finite, check_finite
from alb_mixup.errors import SampleError
from alb_mixup.functional import Array
from alb_mixup.functional.geometry import Placement, are_plain, fit_bboxes, fit_oriented_bboxes, normalize_bboxes
from alb_mixup.transforms.partner import Partner

_LABEL_WRAPPERS = {"bboxes": "bbox_labels", "keypoints": "keypoint_labels"}  # AlbumentationsX's Mosaic metadata

Fitted = tuple[Array, Array | None]


class Rows(NamedTuple):
    """One target's rows of both images, before they are mixed.

    Attributes:
        target: What the pipeline says of them.
        primary: (N, D) rows of the primary.
        partner: (M, D) rows of the partner, as the pipeline holds the primary's.
        source: The partner's own rows, before Albumentations dropped any.
        kept: Which of those are left in `partner`, bool; None: all.
    """

    target: "RowTarget"
    primary: Array
    partner: Array
    source: Array
    kept: Array | None


class RowTarget(NamedTuple):
    """What stays the same from call to call of one pipeline, so that it is found out and checked once.

    Attributes:
        params: The pipeline's own `BboxParams` or `KeypointParams`: with another object, this belongs to another one.
        kind: "bboxes" or "keypoints".
        columns: Place, among the columns and from the last one, of each label field of the pipeline's.
        bbox_format: The pipeline's format of boxes; None for keypoints.
        index_columns: Those of `columns` that are positions.
        oriented: Whether boxes have an angle.
        weight: Label field that is 1.0 where a sample lacks it.
        weight_column: Its place among the columns, from the last one; None: no weights.
        fit: Moves the rows of boxes with their image.
    """

    params: Any
    kind: str
    columns: dict[str, int]
    bbox_format: str | None
    index_columns: dict[str, int]
    oriented: bool = False
    weight: str | None = None
    weight_column: int | None = None
    fit: Callable[[Array, Placement], Fitted] = fit_bboxes

    def read(self, partner: Partner, key: str, primary: Array, data: Mapping[str, Any], processor: Any) -> Rows:
        """Read a partner's rows with their encoded label fields, as the pipeline holds the primary's.

        Args:
            partner: The partner.
            key: Target, such as "bboxes".
            primary: (N, D) rows of the primary.
            data: All of the primary's targets.
            processor: The pipeline's processor of this target.

        Returns:
            The rows of both; the partner's are a new float32 array.

        Raises:
            SampleError: The partner lacks the target or a label field, they are not what they must be, or the primary's
                labels are not what Albumentations returns as they were.
        """
        known = _backend.known_labels(processor, key)
        if self.weight is not None:
            _backend.check_weights(known.get(self.weight), self.weight)
        for field in self.index_columns:
            _backend.check_positions(known.get(field), field)
        given = partner.get(key)
        try:
            coordinates = np.asarray(given, np.float32)
        except (TypeError, ValueError) as error:
            raise SampleError(
                f"{partner.where}[{key!r}] must be rows of numbers of one length, got {error}: give (N, columns)"
            ) from error
        if coordinates.size == 0:
            _backend.keep_strings_whole(known)
            nothing = np.zeros((0, primary.shape[1]), np.float32)
            return Rows(self, primary, nothing, nothing, None)
        if coordinates.ndim != 2:
            raise SampleError(
                f"{partner.where}[{key!r}] must be (N, columns), got shape {coordinates.shape}: give one row for each"
            )
        count, width = coordinates.shape
        columns = np.empty((width + len(self.columns), count), np.float32)
        for field, place in self.columns.items():
            labels, known_field = self._labels(partner, field, count), known.get(field)
            codes = _backend.known_codes(known_field, labels)
            if codes is None:
                codes = self._codes(partner, key, field, labels, processor, data.get(field))
            columns[place] = codes
            if field != self.weight:
                _backend.check_exact(known_field, primary, place, labels, field)
        rows, kept = self._placed(columns, coordinates, partner, key, processor)
        if len(primary) and rows.shape[1] != primary.shape[1]:
            raise SampleError(
                f"{partner.where}[{key!r}] must have as many columns as the primary's, got {width}: {rows.shape[1]} "
                f"with its label fields, {primary.shape[1]} in the primary"
            )
        return Rows(self, primary, rows, rows if kept is None else columns.T, kept)

    def check_joined(self, rows: Array, count: int, partner: Partner) -> None:
        """Refuse weights that are not finite.

        Args:
            rows: (N + M, D) rows of both images, N + M > 0.
            count: N, how many are the primary's.
            partner: The partner.

        Raises:
            SampleError: A weight is not finite.
        """
        weights = rows[:, self.weight_column]
        if not are_finite(weights):
            position = int(np.isfinite(weights).argmin())
            name = self.weight if position < count else f"{partner.where}[{self.weight!r}]"
            raise SampleError(f"{name} must be finite, got {weights[position]}: give a box without a weight 1.0")

    def check_positions(self, rows: Array, key: str, processor: Any) -> None:
        """Refuse positions of boxes that their label field cannot hold.

        Args:
            rows: (N, D) rows of a mix.
            key: Target, such as "bboxes".
            processor: The pipeline's processor of this target.

        Raises:
            SampleError: One would come out as another number.
        """
        if self.index_columns and len(rows):
            known = _backend.known_labels(processor, key)
            for field, place in self.index_columns.items():
                _backend.check_positions(known.get(field), field, rows[:, place])

    def _placed(self, columns: Array, coordinates: Array, partner: Partner, key: str, processor: Any) -> Fitted:
        """Write coordinates in front of the label fields, and return rows as the pipeline holds them.

        Boxes that lie well inside of their image take a short cut past Albumentations' own conversion, to the same
        bits: its checks cost more than the blend of a whole image (benchmarks/RESULTS.md, "Inside Compose").
        """
        count, width = coordinates.shape
        box_format = self.bbox_format and (partner.bbox_format or self.bbox_format)
        if box_format is not None and not self.oriented and width >= 4:
            corners = normalize_bboxes(coordinates, box_format, partner.hw, columns[:4])
            if are_plain(corners):
                if width > 4:
                    columns[4:width] = coordinates.T[4:]
                return columns.T, None
        columns[:width] = coordinates.T
        numbered = np.concatenate((columns, np.arange(count, dtype=np.float32)[None])).T  # which rows are left
        try:
            rows = _backend.to_internal(processor, numbered, partner.hw, box_format)
        except ValueError as error:
            said = "" if box_format is None else (
                f"; they were read as {box_format!r}, "
                + ("as the reference says" if partner.bbox_format else "as the pipeline's are")
                + ": if they are in another format, give the reference an attribute bbox_format"
            )  # fmt: skip
            raise SampleError(f"{partner.where}[{key!r}] must be valid {key}, got {error}{said}") from error
        if len(rows) == count:
            return np.ascontiguousarray(rows[:, :-1]), None
        return np.ascontiguousarray(rows[:, :-1]), np.isin(np.arange(count), rows[:, -1])

    def _codes(self, partner: Partner, key: str, field: str, labels: Any, processor: Any, like: Any) -> Array:
        """Encode labels that need a closer look."""
        if field == self.weight:
            check_finite(f"{partner.where}[{field!r}]", labels)
            # Of whole numbers, a primary without boxes would make a whole field
            labels = np.asarray(labels, np.float32)
        items = labels if isinstance(labels, list | tuple) else np.atleast_1d(np.asarray(labels))
        if any(isinstance(item, list | tuple) or getattr(item, "ndim", 0) for item in items):
            raise SampleError(
                f"{partner.where}[{field!r}] must be a list or array, one value a row, got {labels!r}: flatten it"
            )
        codes = _backend.encode_labels(processor, key, field, labels, like)
        if field in self.index_columns:
            _backend.check_positions(_backend.known_labels(processor, key).get(field), field)
        return codes

    def _labels(self, partner: Partner, field: str, count: int) -> Any:
        """Return a label field of the partner, one value for each of `count` rows."""
        labels = partner.find(field)
        if labels is None:
            labels = (partner.find(_LABEL_WRAPPERS[self.kind]) or {}).get(field)
        if labels is None and field == self.weight:
            return np.ones(count, np.float32)
        if labels is None:
            raise SampleError(
                f"{partner.where} must have every label field of the pipeline, got no {field!r} for its {self.kind}: "
                f"add it, one value for each row; it has {partner.keys}"
            )
        if isinstance(labels, str) or not hasattr(labels, "__len__"):
            raise SampleError(
                f"{partner.where}[{field!r}] must be a list or array, one value a row, got {labels!r}: put it in a list"
            )
        if len(labels) != count:
            raise SampleError(
                f"{partner.where}[{field!r}] must have one value for each of {count} {self.kind}, got {len(labels)}: "
                "add or remove some"
            )
        return labels


def row_target(
    processor: Any, kind: str, index_fields: Collection[str], weight_field: str | None, fit_mode: str
) -> RowTarget:
    """Describe a pipeline's boxes or keypoints.

    Args:
        processor: The pipeline's processor.
        kind: "bboxes" or "keypoints".
        index_fields: Label fields that are positions of boxes.
        weight_field: Label field of the weights of boxes, or None.
        fit_mode: How a partner meets its primary.

    Raises:
        SampleError: MixUp must not run in this pipeline, it lacks the weight field, or its boxes are oriented ones and
            would be stretched.
    """
    fields = tuple(processor.params.label_fields or ())
    _backend.refuse_instance_binding(fields)
    _backend.refuse_ultralytics(fields)
    columns = {field: place for place, field in enumerate(fields, -len(fields))}
    index_columns = {field: place for field, place in columns.items() if field in index_fields}
    if kind == "keypoints":
        return RowTarget(processor.params, kind, columns, None, index_columns)
    if weight_field is not None and weight_field not in fields:
        raise SampleError(
            f"weight_field {weight_field!r} must be in BboxParams.label_fields, got {list(fields)}: give "
            f"A.BboxParams(..., label_fields={[*fields, weight_field]}) and one weight for each box (1.0), or "
            "MixUp(..., weight_field=None)"
        )
    oriented = _backend.is_oriented(processor)
    if oriented and fit_mode == "stretch":
        raise SampleError(
            'fit_mode must keep angles true for oriented boxes, got "stretch": take "contain", "cover" or "canvas"'
        )
    return RowTarget(
        params=processor.params,
        kind=kind,
        columns=columns,
        bbox_format=_backend.coord_format(processor),
        index_columns=index_columns,
        oriented=oriented,
        weight=weight_field,
        weight_column=None if weight_field is None else columns[weight_field],
        fit=fit_oriented_bboxes if oriented else fit_bboxes,
    )
