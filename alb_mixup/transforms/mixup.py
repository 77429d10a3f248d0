"""`MixUp`: checks its arguments, draws all randomness into a small record, applies a record."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from typing import Any, NamedTuple
from warnings import warn

import albumentations as A
import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup._support.checks import channels, checked_pixels
from alb_mixup.datasets import RecentSamples
from alb_mixup.datasets.protocols import can_fit, format_of, read
from alb_mixup.errors import ArgumentError, SampleError, UnreadableImageWarning
from alb_mixup.functional import Array
from alb_mixup.functional.blend import blend, blend_placed
from alb_mixup.functional.fit import Fit
from alb_mixup.functional.geometry import (
    FIT_MODES,
    Placement,
    fit_image,
    fit_keypoints,
    place,
)
from alb_mixup.functional.weights import join_rows, join_weighed_rows
from alb_mixup.transforms import reference as held
from alb_mixup.transforms.partner import ReferenceSample
from alb_mixup.transforms.rows import RowTarget, bbox_target, keypoint_target

_INTERPOLATIONS = (
    cv2.INTER_NEAREST,
    cv2.INTER_NEAREST_EXACT,
    cv2.INTER_LINEAR,
    cv2.INTER_LINEAR_EXACT,
    cv2.INTER_CUBIC,
    cv2.INTER_AREA,
    cv2.INTER_LANCZOS4,
)
_PIXEL_TARGETS = frozenset({"image", "images", "mask", "masks"})
_UNSUPPORTED_TARGETS = frozenset({"volume", "volumes", "mask3d", "masks3d"})
_PARAMS = {"bboxes": "bbox_params", "keypoints": "keypoint_params"}
_SETTINGS = (
    "alpha", "ratio_range", "fit_mode", "fill", "fill_mask", "interpolation", "mask_interpolation", "weight_field",
    "weighting", "min_weight", "metadata_key", "max_redraws", "size_hint",
)  # fmt: skip

# What `read` gave `draw` for its record, on its way to `mix`: the record itself is kept by replay
# and by 2.0.8's `params`, and must hold no pixels.
_drawn_sample: ContextVar[tuple[int, int, Any] | None] = ContextVar("drawn_sample", default=None)


class _Mix(NamedTuple):
    """What the pure `apply_*` need to know of one application."""

    ratio: float
    primary: Placement
    reference: Placement
    sample: ReferenceSample


class MixUp(_backend.MixTransform):
    """MixUp for object detection: blend the image with one of a reference, join the boxes, weigh each by its share.

    With λ the primary image's share, drawn for each call: pixels are λ·primary + (1 - λ)·reference; the boxes of both
    images are kept, the primary's weights multiplied by λ and the reference's by 1 - λ. Weights travel as an ordinary
    label field, so they stay with their boxes through every later transform of the pipeline, and compose: repeated
    MixUp and pseudo-label confidences multiply.

    Source: Bag of Freebies for Training Object Detection Neural Networks, arXiv 1902.04103, whose canvas rule is
    `fit_mode="canvas"` and whose Beta(1.5, 1.5) is the default. Training that ignores the weights wants λ near one
    half instead: `ratio_range=(0.45, 0.55)`, or `alpha=32`.

    Args:
        reference: Where the second sample comes from: any sequence (`__len__`, `__getitem__`) of dicts shaped like the
            pipeline's own input, drawn uniformly, or a dataset of this package. It is kept as it is, never copied or
            written to. Its attribute `bbox_format`, where it has one, says the format of its boxes; else they are in
            the pipeline's. A weight field that a sample lacks is 1.0. Also accepted: the dict that `A.to_dict` wrote.
            None: the samples come with each call, as a list under `metadata_key`.
        alpha: λ ~ Beta(alpha, alpha); a pair (a, b): Beta(a, b). Positive and finite.
        ratio_range: (low, high) within [0, 1]: λ uniform in it, instead of Beta; (0.5, 0.5) fixes it.
        fit_mode: How a reference of another size meets the primary, whose size the output keeps: "contain" letterboxes
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
        min_weight: Boxes with a weight below it, after weighting, are dropped.
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
        p: Probability of applying the transform.

    Targets:
        image, images (all with the same partner), mask (of the image with the larger share), masks (both), bboxes
        (horizontal; oriented ones where `fit_mode` is not "stretch"), keypoints (both), and additional targets of
        these kinds, each mixed with the reference's value of the same key.

    Image types:
        uint8 (rounded to nearest), float32 (unclipped); (H, W), (H, W, 1), (H, W, 3), (H, W, C) for any C.

    Record (`get_applied_params()`, replay):
        `ratio` (λ), `reference_index` (of the sample used; None where there was none), `seed` (of
        `reference_transform` and of a `MosaicDataset`).

    Raises:
        ArgumentError: An argument breaks its constraint.
        SampleError: On a call, the primary and the reference do not fit together.
        OSError: On a call, a sample cannot be read.

    Examples:
        >>> import albumentations as A
        >>> from alb_mixup import MixUp, sample_dataset
        >>> dataset = sample_dataset()
        >>> pipeline = A.Compose(
        ...     [MixUp(dataset, alpha=1.5, p=1.0), A.HorizontalFlip(p=0.5)],
        ...     bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"]),
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
        self.min_weight = checks.number("min_weight", min_weight, "a finite number of at least 0", low=0.0)
        if self.min_weight and self.weight_field is None:
            raise ArgumentError(f"min_weight must be 0 where weight_field is None, got {min_weight}: it has no weights")
        self.metadata_key = checks.field_name("metadata_key", metadata_key)
        self.max_redraws = checks.whole_number("max_redraws", max_redraws)
        self.size_hint = checks.flag("size_hint", size_hint)
        self.reference = held.resolve(reference)
        self.reference_transform = held.resolve_transform(reference_transform, self.reference)
        self._warned: set[str] = set()
        self._row_targets: dict[str, RowTarget] = {}
        self._available_keys.add(self.metadata_key)  # so that A.Compose(strict=True) lets it pass

    # Drawing

    def draw(self, data: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        """Draw λ, the index of a sample that can be read, and a seed."""
        samples = self._samples(data)
        ratio = generator.beta(*self._beta) if self.ratio_range is None else generator.uniform(*self.ratio_range)
        # `random`, not `integers`, which takes several times as long (benchmarks/RESULTS.md, "Inside Compose")
        seed, index = int(generator.random() * 2**32), None
        if len(samples):
            index, sample = self._draw_readable(samples, self._fit(data), seed, generator)
            _drawn_sample.set((seed, id(self), sample))
        if isinstance(self.reference, RecentSamples):  # after the draw: no sample is mixed with itself
            self.reference.add(self._as_sample(data))
        return {"ratio": float(ratio), "reference_index": index, "seed": seed}

    def _draw_readable(
        self, samples: Any, fit: Fit | None, seed: int, generator: np.random.Generator
    ) -> tuple[int, Any]:
        redraws = 0
        while True:
            index = int(generator.random() * len(samples))
            try:
                return index, read(samples, index, fit, seed)
            except OSError as error:
                if redraws == self.max_redraws:
                    raise
                redraws += 1
                self._warn_once(f"MixUp draws another sample, this one cannot be read: {error}")

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message, UnreadableImageWarning, stacklevel=2)

    def _samples(self, data: Mapping[str, Any]) -> Any:
        """Return what to draw from: the reference, or the list that came with the call."""
        if self.reference is not None:
            return self.reference
        samples = data.get(self.metadata_key)
        if not isinstance(samples, Sequence) or isinstance(samples, str):
            got = "none" if samples is None else type(samples).__name__
            raise SampleError(
                f"MixUp must have a reference (MixUp(dataset)) or, with each call, a list of samples under "
                f"metadata_key={self.metadata_key!r}, got {got}"
            )
        return samples

    def _fit(self, data: Mapping[str, Any]) -> Fit | None:
        """Return what the reference may know of its image's use; None where the whole image is needed."""
        whole = not self.size_hint or self.fit_mode == "canvas" or self.reference_transform is not None
        if whole or not can_fit(self.reference):
            return None
        return Fit(_size_of(data, self._kinds(data)), self.fit_mode, self.interpolation)

    def _kinds(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Return the target that each of the call's values is, or its own key."""
        return {key: self._additional_targets.get(key, key) for key, value in data.items() if value is not None}

    def _as_sample(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the primary back into a sample shaped like the pipeline's own input."""
        kinds = self._kinds(data)
        hw = _size_of(data, kinds)
        wanted = (_PIXEL_TARGETS | _PARAMS.keys()) - {"images"}
        sample = {key: data[key] for key, kind in kinds.items() if kind in wanted}
        for key in [key for key, kind in kinds.items() if kind == "images"]:  # which take one image for all frames
            sample.setdefault("image" if key == "images" else key, data[key][0])
        for key in [key for key, kind in kinds.items() if kind in _PARAMS]:
            processor = self._processor(key, kinds[key])
            said = self._reference_format()
            if kinds[key] == "bboxes" and said not in {None, _backend.bbox_format(processor)}:
                raise SampleError(
                    "reference_transform must have bbox_params in the pipeline's format "
                    f"{_backend.bbox_format(processor)!r}, which RecentSamples hold, got {said!r}"
                )
            rows, labels = _backend.from_internal(processor, data[key], hw)
            sample |= {key: rows, **labels}
        return sample

    # Applying

    def mix(self, data: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
        """Mix every target of one sample with the reference's, as the record says."""
        kinds = self._kinds(data)
        if not _UNSUPPORTED_TARGETS.isdisjoint(kinds.values()):
            refused = [key for key, kind in kinds.items() if kind in _UNSUPPORTED_TARGETS]
            raise SampleError(f"MixUp mixes images, masks, bboxes and keypoints only, got {', '.join(refused)}")
        if record["reference_index"] is None:
            return data
        sample = self._partner(data, record)
        placements = place(_size_of(data, kinds), sample.hw, self.fit_mode)
        mix = _Mix(float(record["ratio"]), *placements, sample)
        # Rows first: an image goes through the processor's cache and leaves nothing else there (same place)
        mixed = {key: self._mix_rows(key, kind, data, mix) for key, kind in kinds.items() if kind in _PARAMS}
        for key, kind in kinds.items():
            if kind in _PIXEL_TARGETS:
                mixed[key] = self._mix_pixels(key, kind, data[key], mix)
        return data | mixed

    def _partner(self, data: Mapping[str, Any], record: Mapping[str, Any]) -> ReferenceSample:
        """Return the record's sample: the one just drawn, or read again for a replay."""
        index, seed = record["reference_index"], record["seed"]
        drawn = _drawn_sample.get()
        _drawn_sample.set(None)
        if drawn is not None and drawn[:2] == (seed, id(self)):
            sample, hw = drawn[2]
        else:
            samples = self._samples(data)
            if isinstance(samples, RecentSamples):
                raise SampleError(
                    f"a replayed record's samples must still be there, got reference_index={index} of RecentSamples, "
                    "which keep none: replay mixes of a dataset"
                )
            if not 0 <= index < len(samples):
                raise SampleError(
                    f"the replayed reference_index must be below {len(samples)}, got {index}: it was recorded with "
                    "other samples; give those"
                )
            sample, hw = read(samples, index, self._fit(data), seed)
        name = "reference" if self.reference is not None else self.metadata_key
        if self.reference_transform is not None and isinstance(sample, Mapping):
            sample = self._transformed(sample, f"{name}[{index}]", seed)
        return ReferenceSample(sample, name, index, hw)

    def _transformed(self, sample: Mapping[str, Any], where: str, seed: int) -> dict[str, Any]:
        """Run `reference_transform` on a copy of a sample's annotations: 2.0.8 may clip boxes in place."""
        copied = dict(sample)
        for name in _PARAMS.keys() & copied.keys():
            if name not in self.reference_transform.processors:
                raise SampleError(f"reference_transform must have {_PARAMS[name]}, as {where} has {name}")
            copied[name] = copy(copied[name])
        return _backend.run_nested(self.reference_transform, copied, seed)

    def _mix_pixels(self, key: str, kind: str, value: Any, mix: _Mix) -> Any:
        name, fill = ("fill", self.fill) if kind in {"image", "images"} else ("fill_mask", self.fill_mask)
        if kind == "masks":
            partner = mix.sample.masks(key, value)
        elif kind == "mask":
            partner = mix.sample.mask(key, value)
        else:
            partner = mix.sample.image(key, value if kind == "image" else value[0])
        if fill:  # 0 fits all
            shape = partner.shape[1:] if kind == "masks" else partner.shape
            checks.fill_fits(name, fill, partner.dtype, channels(shape))
        return self._key2func[key](value, partner=partner, mix=mix)

    def _mix_rows(self, key: str, kind: str, data: Mapping[str, Any], mix: _Mix) -> Array:
        processor = self._processor(key, kind)
        _backend.refuse_frame_binding()
        target = self._row_targets.get(kind)
        if target is None or target.params is not processor.params:
            target = self._row_targets[kind] = self._row_target(kind, processor)
        rows = data[key] if data[key].ndim == 2 else data[key].reshape(0, 4)  # 2.0.8 makes (0,) of an empty list
        partner = target.read(mix.sample, key, rows, data, processor)
        if kind == "keypoints":
            _backend.renew_label_mappings(processor)
        mixed: Array = self._key2func[key](rows, partner=partner, mix=mix, target=target)
        return mixed

    def _row_target(self, kind: str, processor: Any) -> RowTarget:
        if kind == "keypoints":
            return keypoint_target(processor)
        return bbox_target(processor, self._reference_format(), self.weight_field, self.fit_mode)

    def _processor(self, key: str, kind: str) -> Any:
        """Return the pipeline's processor of boxes or keypoints."""
        processor = self.get_processor(kind)
        if processor is None:
            raise SampleError(
                f"{key} must come through A.Compose([...], {_PARAMS[kind]}=...), got them without: their format is "
                "unknown"
            )
        return processor

    def _reference_format(self) -> str | None:
        said = format_of(self.reference)
        if said is None and self.reference_transform is not None and "bboxes" in self.reference_transform.processors:
            said = _backend.bbox_format(self.reference_transform.processors["bboxes"])
        return said

    def apply(self, img: Array, *_: Any, **params: Any) -> Array:
        """Blend an image with its partner."""
        mix: _Mix = params["mix"]
        image = img if mix.primary.fills else fit_image(img, mix.primary, self.fill, self.interpolation)
        return blend_placed(image, params["partner"], mix.reference, mix.ratio, self.fill, self.interpolation)

    def apply_to_images(self, images: Any, *_: Any, **params: Any) -> Any:
        """Blend each frame with the one partner."""
        mix: _Mix = params["mix"]
        partner = fit_image(params["partner"], mix.reference, self.fill, self.interpolation)
        frames = [fit_image(frame, mix.primary, self.fill, self.interpolation) for frame in images]
        return _in_container_of(images, [blend(frame, partner, mix.ratio) for frame in frames])

    def apply_to_mask(self, mask: Array, *_: Any, **params: Any) -> Array:
        """Take the semantic mask of the image with the larger share, the primary's on a tie."""
        mix: _Mix = params["mix"]
        if mix.ratio >= 0.5:
            return self._fit_mask(mask, mix.primary).copy()
        return self._fit_mask(params["partner"], mix.reference).copy()

    def apply_to_masks(self, masks: Any, *_: Any, **params: Any) -> Any:
        """Join the instance masks of both images, the primary's first."""
        mix: _Mix = params["mix"]
        joined = [self._fit_mask(mask, mix.primary) for mask in masks]
        joined += [self._fit_mask(mask, mix.reference) for mask in params["partner"]]
        return _in_container_of(masks, joined)

    def _fit_mask(self, mask: Array, placement: Placement) -> Array:
        try:
            return fit_image(mask, placement, self.fill_mask, self.mask_interpolation)
        except cv2.error as error:
            raise SampleError(
                f"masks must be of a dtype that OpenCV resizes with mask_interpolation={self.mask_interpolation}, got "
                f"{mask.dtype}: convert them, or take cv2.INTER_NEAREST"
            ) from error

    def apply_to_bboxes(self, bboxes: Array, *_: Any, **params: Any) -> Array:
        """Join the boxes of both images, weigh them, drop those below `min_weight`."""
        mix, target = params["mix"], params["target"]
        primary, partner = target.fit(bboxes, mix.primary), target.fit(params["partner"], mix.reference)
        if target.weight is None or not len(primary) + len(partner):
            return join_rows(primary, partner)
        if self.weighting == "ratio":
            rows = join_weighed_rows(primary, partner, target.weight_column, mix.ratio)
        else:
            rows = join_rows(primary, partner)
        target.check_joined(rows, len(primary), mix.sample)
        return rows[rows[:, target.weight_column] >= self.min_weight] if self.min_weight else rows

    def apply_to_keypoints(self, keypoints: Array, *_: Any, **params: Any) -> Array:
        """Join the keypoints of both images, the primary's first."""
        mix: _Mix = params["mix"]
        return join_rows(keypoints, fit_keypoints(params["partner"], mix.sample.hw, mix.reference))

    # Serialization

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments, JSON-safe; an in-memory reference as its stand-in."""
        settings: dict[str, Any] = {name: _plain(getattr(self, name)) for name in _SETTINGS}
        reference = held.describe(self.reference)
        transform = self.reference_transform
        if isinstance(reference, held.InMemory) and transform is not None:
            return settings | {"reference": reference, "reference_transform": held.InMemory(transform)}
        return settings | {
            "reference": reference,
            "reference_transform": None if transform is None else A.to_dict(transform),
        }

    def to_dict_private(self) -> dict[str, Any]:
        """Return the class and its arguments, for `A.to_dict`.

        Raises:
            SerializationError: The reference is in memory.
        """
        described: dict[str, Any] = super().to_dict_private()
        if isinstance(described["reference"], held.InMemory) and not _backend.only_printing():
            held.refuse_serialization(self.reference)
        return described

    def get_dict_with_id(self) -> dict[str, Any]:
        """Return the same for a replay record, which stays in this process and may hold any reference."""
        return {
            "__class_fullname__": self.get_class_fullname(),
            **self.get_base_init_args(),
            **self.get_transform_init_args(),
            "id": id(self),
        }


def _in_container_of(values: Any, parts: list[Array]) -> Any:
    """Return arrays as a list or stacked, as `values` came; `values` itself where there are none."""
    return parts if isinstance(values, list) else np.stack(parts) if parts else values


def _size_of(data: Mapping[str, Any], kinds: Mapping[str, str]) -> tuple[int, int]:
    """Return (height, width) of the primary."""
    for key, kind in kinds.items():
        if kind in {"image", "images"}:
            height, width = checked_pixels(key, data[key] if kind == "image" else data[key][0]).shape[:2]
            return height, width
    raise SampleError(f"MixUp must get an image, got {', '.join(data)}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
