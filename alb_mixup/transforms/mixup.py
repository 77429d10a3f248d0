"""`MixUp`: checks its arguments, draws all randomness into a small record, applies a record."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from warnings import warn

import albumentations as A
import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup.datasets.partner_weights import Law, as_law
from alb_mixup.errors import AlbMixUpWarning, ArgumentError, SampleError
from alb_mixup.functional import Array
from alb_mixup.functional.blend import blend_placed
from alb_mixup.functional.fit import Fit
from alb_mixup.functional.geometry import FIT_MODES, Placement, fit_image, fit_keypoints, place
from alb_mixup.functional.weights import join_rows, join_weighted_rows
from alb_mixup.transforms.numbering import Numbering, Numberings, chosen, kept_by_both, number_boxes, points_left
from alb_mixup.transforms.partner import Partner
from alb_mixup.transforms.primary import ROW_TARGETS, Primary
from alb_mixup.transforms.reference import InMemory, Read, Reference, refuse_serialization
from alb_mixup.transforms.rows import Rows, RowTarget, row_target

_INTERPOLATIONS = (
    cv2.INTER_NEAREST,
    cv2.INTER_NEAREST_EXACT,
    cv2.INTER_LINEAR,
    cv2.INTER_LINEAR_EXACT,
    cv2.INTER_CUBIC,
    cv2.INTER_AREA,
    cv2.INTER_LANCZOS4,
)
_SETTINGS = (
    "alpha", "ratio_range", "fit_mode", "fill", "fill_mask", "interpolation", "mask_interpolation", "weight_field",
    "weighting", "min_weight", "index_fields", "metadata_key", "index_key", "max_redraws", "size_hint",
    "partner_weights",
)  # fmt: skip


class _Mix(NamedTuple):
    """What the pure `apply_*` need to know of one application."""

    ratio: float
    primary: Placement
    reference: Placement
    partner: Partner


_Drawn = tuple[Primary, Read | None]  # what `draw` has looked at and read, for `mix`


class MixUp(_backend.MixTransform):
    """Blend the image with a partner from a reference, join the boxes, weight each by its image's share.

    With λ the primary image's share, drawn for each call: pixels are λ·primary + (1 - λ)·partner; the boxes of both
    images are kept, the primary's weights multiplied by λ and the partner's by 1 - λ. Weights travel as an ordinary
    label field, so they stay with their boxes through every later transform of the pipeline, and compose: repeated
    MixUp and pseudo-label confidences multiply.

    What belongs to a box stays with it: where a box is dropped (by `min_weight`, or cropped away by "cover"), its mask
    goes with it, and so do its keypoints where a field of `index_fields` says which they are.

    Source: Bag of Freebies for Training Object Detection Neural Networks, arXiv 1902.04103, whose canvas rule is
    `fit_mode="canvas"` and whose Beta(1.5, 1.5) is the default. Training that ignores the weights wants λ near one
    half instead: `ratio_range=(0.45, 0.55)`, or `alpha=32`.

    Args:
        reference: Where partners come from: any sequence (`__len__`, `__getitem__`) of dicts shaped like the pipeline's
            own input, or a dataset of this package, drawn as `partner_weights` says. It is kept as it is, never copied
            or written to. Its attribute `bbox_format`, its own or that of the dataset that it wraps, says the format of
            its boxes; else they are in the pipeline's. A weight field that a sample lacks is 1.0. Also accepted: the
            dict that `A.to_dict` wrote. None: the samples come with each call, as a list under `metadata_key`.
        alpha: λ ~ Beta(alpha, alpha); a pair (a, b): Beta(a, b). Positive and finite.
        ratio_range: (low, high) within [0, 1]: λ uniform in it, instead of Beta; (0.5, 0.5) fixes it.
        fit_mode: How a partner of another size meets the primary, whose size the output keeps: "contain" letterboxes
            it, "cover" crops its centre (boxes are clipped, those with nothing left dropped), "stretch" changes its
            aspect. "canvas" scales neither: both lie at the top left of a canvas large enough for both.
        fill: Value, or one for each channel, of the pixels that one image does not reach: there the result is the other
            image's share plus this one's share of `fill`.
        fill_mask: The same for masks.
        interpolation: OpenCV flag for resizing images.
        mask_interpolation: OpenCV flag for resizing masks.
        weight_field: Label field of the weights; it must be among the pipeline's `BboxParams.label_fields`, as a list
            of floats or a float array. None: no weights.
        weighting: "ratio" multiplies the weights by each image's share; "none" leaves what came in (hard labels).
        min_weight: Boxes with a weight below it, after weighting, are dropped. In [0, 1].
        reference_transform: `A.Compose` applied to the drawn sample first; its randomness comes from this transform's
            own stream. Its `bbox_params` are in the reference's format.
        metadata_key: Key of the samples that come with the call where `reference` is None: a list of dicts, labels at
            their top level or under `bbox_labels` and `keypoint_labels`, as for `A.Mosaic`. An empty list leaves the
            sample as it is.
        max_redraws: How many other samples to draw where one raises `OSError` (an unreadable file), with one
            `UnreadableImageWarning` a message; 0 raises.
        size_hint: Tell a reference that has a method `fitted`, as the datasets of this package do, how its image is
            going to be placed, so that it decodes large JPEGs at 1/2, 1/4 or 1/8, or holds the image resized. Boxes,
            keypoints and masks are the same to the bit; pixels are nearer to the whole image's resized with
            `INTER_AREA` than with `INTER_LINEAR` alone, or within 40 dB (PSNR) of it. False, with
            `reference_transform`, and with "canvas": whole images.
        index_fields: Label fields, of boxes or keypoints, whose values are positions of boxes in their own sample, such
            as the `keypoint_boxes` of `CocoDataset`. In a mix they point to the same boxes, -1 to none. A field of
            boxes numbers them, so that it tells where their masks are after a crop has dropped some.
        index_key: Key under which a call may say the primary's own index in the reference, or a list of pairs, datasets
            that the primary is of and its index in each: then another sample is drawn. MixUp cannot know by itself
            that the primary is one of its samples; `TransformedDataset` tells it.
        partner_weights: How often each sample of `reference` is drawn: a law that follows from its annotations
            (`RepeatFactor`, `ClassWeights`, `Background`), or one number for each sample, finite, not negative, not
            all 0, in any unit. None: all alike. Where the primary's own index is known, the others keep their odds.
        p: Probability of applying the transform.

    Targets:
        image, images, mask, masks, bboxes, keypoints

    Supported bboxes:
        hbb, obb

    Note:
        `images` are mixed frame by frame with a partner's clip of the same length, or all with a partner's image;
        as many masks as the clip has frames are those of its frames. `mask` is that of the image with the larger share.
        `masks`, `bboxes` and `keypoints` are those of both images, the primary's first. Additional targets of these
        kinds are mixed with the partner's value of the same key. Keypoints of a resized partner lie where the installed
        Albumentations' own resizing puts them. Oriented boxes cannot be stretched.

    Image types:
        uint8 (rounded to nearest), float32 (unclipped); (H, W), (H, W, 1), (H, W, 3), (H, W, C) for any C.

    Record:
        `get_applied_params()` and replay: `ratio` (λ), `reference_index` (of the sample used; None where there was
        none), `seed` (of `reference_transform` and of a `MosaicDataset`).

    Raises:
        ArgumentError: An argument breaks its constraint.
        SampleError: On a call, the primary and the partner do not fit together.
        OSError: On a call, a sample cannot be read.

    Examples:
        >>> import albumentations as A
        >>> from alb_mixup import MixUp, sample_dataset
        >>> dataset = sample_dataset()
        >>> pipeline = A.Compose(
        ...     [MixUp(dataset, alpha=1.5, p=1.0), A.HorizontalFlip(p=0.5)],
        ...     bbox_params=A.BboxParams(dataset.bbox_format, label_fields=["labels", "mixup_weight"]),
        ... )
        >>> sorted(pipeline(**dataset[0]))
        ['bboxes', 'image', 'labels', 'mixup_weight']
    """

    __module__ = "alb_mixup"  # already when Albumentations registers the class, so that saved pipelines name it so

    def __init__(
        self,
        reference: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        alpha: float | tuple[float, float] = 1.5,
        ratio_range: tuple[float, float] | None = None,
        fit_mode: str = "contain",
        fill: float | Sequence[float] = 0,
        fill_mask: float | Sequence[float] = 0,
        interpolation: int = cv2.INTER_LINEAR,
        mask_interpolation: int = cv2.INTER_NEAREST,
        weight_field: str | None = "mixup_weight",
        weighting: str = "ratio",
        min_weight: float = 0.0,
        reference_transform: A.Compose | Mapping[str, Any] | None = None,
        metadata_key: str = "mixup_metadata",
        max_redraws: int = 0,
        size_hint: bool = True,
        index_fields: Sequence[str] = ("keypoint_boxes",),
        index_key: str = "mixup_index",
        partner_weights: Law | Sequence[float] | Array | Mapping[str, Any] | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=checks.number("p", p, "a probability in [0, 1]", low=0.0, high=1.0))
        self._beta = checks.beta_parameters(alpha)
        self.alpha = self._beta[0] if np.isscalar(alpha) else list(self._beta)
        self.ratio_range = checks.ratio_range(ratio_range)
        self.fit_mode = checks.choice("fit_mode", fit_mode, FIT_MODES)
        self.fill = checks.fill_value("fill", fill)
        self.fill_mask = checks.fill_value("fill_mask", fill_mask)
        self.interpolation = checks.choice("interpolation", interpolation, _INTERPOLATIONS)
        self.mask_interpolation = checks.choice("mask_interpolation", mask_interpolation, _INTERPOLATIONS)
        self.weight_field = None if weight_field is None else checks.field_name("weight_field", weight_field)
        self.weighting = checks.choice("weighting", weighting, ("ratio", "none"))
        self.min_weight = checks.number(
            "min_weight", min_weight, "a finite number of at least 0 and at most 1", low=0.0, high=1.0
        )
        if self.min_weight and self.weight_field is None:
            raise ArgumentError(f"min_weight must be 0 where weight_field is None, got {min_weight}: it has no weights")
        self.index_fields = checks.field_names("index_fields", index_fields)
        self.metadata_key = checks.field_name("metadata_key", metadata_key)
        self.index_key = checks.field_name("index_key", index_key)
        self.max_redraws = checks.whole_number("max_redraws", max_redraws)
        self.size_hint = checks.flag("size_hint", size_hint)
        self.partner_weights = as_law(partner_weights)
        self._held = Reference(
            reference,
            reference_transform,
            self.metadata_key,
            self.index_key,
            self.max_redraws,
            self.size_hint and fit_mode != "canvas",
            self.partner_weights,
        )
        self.reference, self.reference_transform = self._held.samples, self._held.transform
        self._row_targets: dict[str, RowTarget] = {}
        self._warned_of_fill = False
        self._available_keys |= {self.metadata_key, self.index_key}  # so that A.Compose(strict=True) lets them pass

    def sample_keys(self) -> list[str]:
        """Name the key of the samples that come with a call, where none are held."""
        return [] if self._held.samples is not None else [self.metadata_key]

    # Drawing

    def draw(self, data: Mapping[str, Any], generator: np.random.Generator) -> tuple[dict[str, Any], _Drawn]:
        """Draw λ, the index of a sample that can be read, and a seed; read the sample."""
        primary = Primary(data, self._additional_targets, self.running_processors())
        ratio = generator.beta(*self._beta) if self.ratio_range is None else generator.uniform(*self.ratio_range)
        # `random`, not `integers`, which takes several times as long (benchmarks/RESULTS.md, "Inside Compose")
        seed = int(generator.random() * 2**32)
        index, read = self._held.draw(primary, self._fit(primary), seed, generator)
        if self._held.keeps_recent:  # after the draw: no sample is mixed with itself
            self._held.keep(self._as_sample(primary))
        return {"ratio": float(ratio), "reference_index": index, "seed": seed}, (primary, read)

    def _fit(self, primary: Primary) -> Fit | None:
        """Return what the reference may know of its image's use; None where the whole image is needed."""
        return Fit(primary.hw, self.fit_mode, self.interpolation) if self._held.fits else None

    def _as_sample(self, primary: Primary) -> dict[str, Any]:
        """Turn the primary back into a sample shaped like the pipeline's own input."""
        sample = {key: primary.data[key] for key in primary.pixels}
        read = {key: self._own_rows(key, primary) for key in primary.rows}
        rows = {key: own for key, (_, _, own) in read.items()}
        if "bboxes" in read:
            target, processor, boxes = read["bboxes"]
            said, here = self._held.bbox_format, _backend.coord_format(processor)
            if said not in {None, here}:
                raise SampleError(
                    f"reference_transform must have bbox_params in the pipeline's format {here!r}, which RecentSamples "
                    f"hold, got {said!r}: change it"
                )
            rows["bboxes"], kept = _backend.filtered(processor, boxes, primary.hw)
            if kept is not None:  # what the pipeline would drop in the end goes now, and what belongs to it
                points = {key: (target.index_columns, own) for key, (target, _, own) in read.items() if key != "bboxes"}
                masks = len(sample["masks"]) if self._masks_are_of_boxes(primary) else None
                numbering = Numbering(boxes, target.index_columns, kept, points.values(), masks, "the primary")
                numbering.renumber(rows["bboxes"], target.index_columns, 0)
                rows |= {key: points_left(own, columns, numbering, 0) for key, (columns, own) in points.items()}
                if masks is not None:
                    sample["masks"] = chosen(sample["masks"], numbering.masks_left(masks))
        for key, (target, processor, _) in read.items():
            target.check_positions(rows[key], key, processor)
            coordinates, labels = _backend.from_internal(processor, rows[key], primary.hw, key)
            sample |= {key: coordinates, **labels}
        return sample

    # Applying

    def mix(self, data: dict[str, Any], record: Mapping[str, Any], drawn: _Drawn | None) -> dict[str, Any]:
        """Mix every target of one sample with the partner's, as the record says."""
        primary, read = drawn or (Primary(data, self._additional_targets, self.running_processors()), None)
        if record["reference_index"] is None:
            single = [key for key, kind in primary.pixels.items() if kind in {"image", "mask"}]
            return data | {key: np.ascontiguousarray(data[key]) for key in single}
        partner = self._held.partner(record, read or self._held.read_again(primary, self._fit(primary), record))
        mix = _Mix(float(record["ratio"]), *place(primary.hw, partner.hw, self.fit_mode), partner)
        # Rows first: an image goes through the processor's cache and leaves nothing else there (same place)
        mixed, numberings = self._mix_rows(primary, mix)
        for key in primary.pixels:
            mixed[key] = self._mix_pixels(key, primary, mix, numberings)
        return data | mixed

    def _mix_rows(self, primary: Primary, mix: _Mix) -> tuple[dict[str, Array], Numberings | None]:
        """Mix boxes, then points, which may belong to boxes; tell how the boxes are numbered where that matters."""
        read = {key: self._read_rows(key, primary, mix.partner) for key in primary.rows}
        points = {key: rows for key, rows in read.items() if rows.target.kind == "keypoints"}
        mixed: dict[str, Array] = {}
        numberings = None
        for key, rows in read.items():
            if key in points:
                continue
            boxes, primary_kept, partner_kept = self.apply_to_bboxes(
                rows.primary, partner=rows.partner, mix=mix, target=rows.target
            )
            own = key == "bboxes"  # masks and points belong to these, not to additional boxes
            all_kept = primary_kept is partner_kept is rows.kept is None
            if not all_kept or rows.target.index_columns or (own and points):
                kept = primary_kept, kept_by_both(rows.kept, partner_kept)
                masks = None
                if own and self._masks_are_of_boxes(primary):
                    masks = len(primary.data["masks"]), len(mix.partner.several("masks"))
                found = number_boxes(rows, kept, list(points.values()) if own else [], masks, mix.partner.where)
                found.renumber_boxes(boxes, kept[0], rows)
                numberings = found if own else numberings
                rows.target.check_positions(boxes, key, primary.processors[rows.target.kind])
            mixed[key] = boxes
        if points and numberings is None:  # of boxes that are not in this pipeline
            numberings = number_boxes(None, (None, None), list(points.values()), None, mix.partner.where)
        for key, rows in points.items():
            mixed[key] = self.apply_to_keypoints(
                rows.primary, partner=rows.partner, mix=mix, target=rows.target, numberings=numberings
            )
            rows.target.check_positions(mixed[key], key, primary.processors[rows.target.kind])
        return mixed, numberings

    def _masks_are_of_boxes(self, primary: Primary) -> bool:
        """Tell whether there are masks that may belong to boxes."""
        return "masks" in primary.pixels and self._are_of_instances("masks", primary)

    def _are_of_instances(self, key: str, primary: Primary) -> bool:
        """Tell whether masks are those of instances: as many masks as a clip has frames are those of its frames."""
        clips = [clip for clip, kind in primary.pixels.items() if kind == "images"]
        return all(len(primary.data[clip]) != len(primary.data[key]) for clip in clips)

    def _own_rows(self, key: str, primary: Primary) -> tuple[RowTarget, Any, Array]:
        """Return what the pipeline says of boxes or points, its processor of them, and the primary's rows."""
        kind = primary.rows[key]
        processor = primary.processors.get(kind)
        if processor is None:
            raise SampleError(
                f"{key} must come through A.Compose([...], {ROW_TARGETS[kind]}=...), got them without: their format is "
                "unknown; call the pipeline, not its transform"
            )
        target = self._row_targets.get(kind)
        if target is None or target.params is not processor.params:
            target = row_target(processor, kind, self.index_fields, self.weight_field, self.fit_mode)
            self._row_targets[kind] = target
        rows = primary.data[key]
        return target, processor, rows if rows.ndim == 2 else rows.reshape(0, 4)  # 2.0.8 makes (0,) of an empty list

    def _read_rows(self, key: str, primary: Primary, partner: Partner) -> Rows:
        _backend.refuse_frame_binding()
        target, processor, rows = self._own_rows(key, primary)
        read = target.read(partner, key, rows, primary.data, processor)
        if target.kind == "keypoints":
            _backend.renew_label_mappings(processor)
        return read

    def _mix_pixels(self, key: str, primary: Primary, mix: _Mix, numberings: Numberings | None) -> Any:
        kind, value, partner = primary.pixels[key], primary.data[key], mix.partner
        if kind == "image":
            image = partner.image(key, value)
            self._check_fill("fill", self.fill, [image], [value])
            return self.apply(value, partner=image, mix=mix)
        if kind == "masks" and not self._are_of_instances(key, primary):
            theirs = partner.frames(key, "mask", value, blendable=False)
            self._check_fill("fill_mask", self.fill_mask, theirs, value)
            pairs = zip(value, theirs, strict=True)
            return _in_container_of(value, [self.apply_to_mask(mask, partner=other, mix=mix) for mask, other in pairs])
        if kind == "masks":
            masks = partner.masks(key, value)
            self._check_fill("fill_mask", self.fill_mask, masks, value)
            return self.apply_to_masks(value, partner=masks, mix=mix, numberings=numberings)
        if kind == "mask":
            mask = partner.mask(key, value)
            self._check_fill("fill_mask", self.fill_mask, [mask], [value])
            return self.apply_to_mask(value, partner=mask, mix=mix)
        frames = partner.frames(key, "image", value, blendable=True)
        self._check_fill("fill", self.fill, frames, value)
        return self.apply_to_images(value, partner=frames, mix=mix)

    def _check_fill(self, name: str, fill: float | list[float], partner: Any, primary: Any) -> None:
        """Refuse a fill that pixels cannot hold; warn once of one for 0 to 255 in images of 0 to 1."""
        if not fill or not len(partner):  # 0 fits all
            return
        checks.fill_fits(name, fill, partner[0].dtype, checks.channels(partner[0].shape))
        bright = partner[0].dtype.kind == "f" and not 0 <= np.min(fill) <= np.max(fill) <= 1
        if bright and not self._warned_of_fill and len(primary) and 0 <= primary[0].min() <= primary[0].max() <= 1:
            self._warned_of_fill = True
            warn(
                f"{name} must be in [0, 1] for float images in [0, 1], got {fill}: it is brighter than white; give "
                f"{name}={np.round(np.divide(fill, 255), 3).tolist()} if it is meant for 0 to 255",
                AlbMixUpWarning,
                stacklevel=2,
            )

    def apply(self, img: Array, *_: Any, **params: Any) -> Array:
        """Blend an image with its partner."""
        mix: _Mix = params["mix"]
        image = img if mix.primary.fills else fit_image(img, mix.primary, self.fill, self.interpolation)
        return blend_placed(image, params["partner"], mix.reference, mix.ratio, self.fill, self.interpolation)

    def apply_to_images(self, images: Any, *_: Any, **params: Any) -> Any:
        """Blend each frame with its partner."""
        pairs = zip(images, params["partner"], strict=True)
        return _in_container_of(images, [self.apply(frame, partner=other, mix=params["mix"]) for frame, other in pairs])

    def apply_to_mask(self, mask: Array, *_: Any, **params: Any) -> Array:
        """Take the semantic mask of the image with the larger share, the primary's on a tie."""
        mix: _Mix = params["mix"]
        if mix.ratio >= 0.5:
            return self._fit_mask(mask, mix.primary).copy()
        return self._fit_mask(params["partner"], mix.reference).copy()

    def apply_to_masks(self, masks: Any, *_: Any, **params: Any) -> Any:
        """Join the instance masks of both images, the primary's first; those of dropped boxes go with them."""
        mix: _Mix = params["mix"]
        numberings: Numberings | None = params["numberings"]
        partner, held = params["partner"], masks
        if numberings is not None:
            masks = chosen(masks, numberings.primary.masks_left(len(masks)))
            partner = chosen(partner, numberings.partner.masks_left(len(partner)))
        joined = [self._fit_mask(mask, mix.primary) for mask in masks]
        joined += [self._fit_mask(mask, mix.reference) for mask in partner]
        if not joined and len(held):  # 2.0.8's transforms take no array of no masks, which nobody gave them here
            return _backend.taken_masks(masks)
        return _in_container_of(masks, joined)

    def _fit_mask(self, mask: Array, placement: Placement) -> Array:
        try:
            return fit_image(mask, placement, self.fill_mask, self.mask_interpolation)
        except cv2.error as error:
            raise SampleError(
                f"masks must be of a dtype that OpenCV resizes with mask_interpolation={self.mask_interpolation}, got "
                f"{mask.dtype}: convert them, or take cv2.INTER_NEAREST"
            ) from error

    def apply_to_bboxes(self, bboxes: Array, *_: Any, **params: Any) -> tuple[Array, Array | None, Array | None]:
        """Join the boxes of both images, weight them, drop those below `min_weight`.

        Returns:
            (N + M, D) rows, and which of each image's own they keep, bool; None where all.
        """
        mix, target = params["mix"], params["target"]
        primary, primary_kept = target.fit(bboxes, mix.primary)
        partner, partner_kept = target.fit(params["partner"], mix.reference)
        if target.weight is None or not len(primary) + len(partner):
            return join_rows(primary, partner), primary_kept, partner_kept
        if self.weighting == "ratio":
            rows = join_weighted_rows(primary, partner, target.weight_column, mix.ratio)
        else:
            rows = join_rows(primary, partner)
        target.check_joined(rows, len(primary), mix.partner)
        heavy = rows[:, target.weight_column] >= self.min_weight if self.min_weight else None
        if heavy is None or heavy.all():
            return rows, primary_kept, partner_kept
        count = len(primary)
        return rows[heavy], kept_by_both(primary_kept, heavy[:count]), kept_by_both(partner_kept, heavy[count:])

    def apply_to_keypoints(self, keypoints: Array, *_: Any, **params: Any) -> Array:
        """Join the keypoints of both images, the primary's first; those of dropped boxes go with them."""
        mix, target, numberings = params["mix"], params["target"], params["numberings"]
        partner = fit_keypoints(params["partner"], mix.partner.hw, mix.reference, _backend.PIXEL_CENTRE)
        columns, offset = target.index_columns, numberings.primary.left
        keypoints = points_left(keypoints, columns, numberings.primary, 0)
        return join_rows(keypoints, points_left(partner, columns, numberings.partner, offset))

    # Serialization

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, JSON-safe but for laws, and an in-memory reference as its stand-in."""
        settings: dict[str, Any] = {name: _plain(getattr(self, name)) for name in _SETTINGS}
        reference, transform = self._held.described()
        return settings | {"reference": reference, "reference_transform": transform}

    def to_dict_private(self) -> dict[str, Any]:
        """Return the class and its arguments, for `A.to_dict`.

        Raises:
            SerializationError: The reference is in memory.
        """
        described: dict[str, Any] = super().to_dict_private()
        if _backend.only_printing():
            return described
        if isinstance(described["reference"], InMemory):
            refuse_serialization(self.reference)
        return described | self._described_weights()

    def get_dict_with_id(self) -> dict[str, Any]:
        """Return the same for a replay record, which stays in this process and may hold any reference."""
        return {
            "__class_fullname__": self.get_class_fullname(),
            **self.get_base_init_args(),
            **self.get_transform_init_args(),
            **self._described_weights(),
            "id": id(self),
        }

    def _described_weights(self) -> dict[str, Any]:
        return {"partner_weights": None if self.partner_weights is None else self.partner_weights.to_spec()}


def _in_container_of(values: Any, parts: list[Array]) -> Any:
    """Return arrays as a list or stacked, as `values` came; `values` itself where there are none."""
    return parts if isinstance(values, list) else np.stack(parts) if parts else values


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
