"""What MixUp holds as its reference: checked once, drawn from, read again for a replay, described for files."""

import sys
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NoReturn
from warnings import warn

import numpy as np

from alb_mixup import _backend
from alb_mixup.datasets import RecentSamples, from_spec
from alb_mixup.datasets.partner_weights import PartnerWeights
from alb_mixup.datasets.protocols import (
    Sample,
    Samples,
    can_fit,
    format_of,
    is_sequence,
    like,
    origins,
    positions_in,
    read,
    spec_of,
)
from alb_mixup.errors import ArgumentError, SampleError, SerializationError, UnreadableImageWarning
from alb_mixup.functional.fit import Fit
from alb_mixup.transforms.draws import WeightedDraws
from alb_mixup.transforms.partner import Partner
from alb_mixup.transforms.primary import ROW_TARGETS, Primary

Read = tuple[Any, tuple[int, int] | None]
"""A sample as the reference returned it; and (height, width) of its whole image, where `sample["image"]` may have fewer
pixels; None: it is whole."""


class Reference:
    """What partners are drawn from: the samples that MixUp holds, or those that come with the call.

    Args:
        samples: A sequence of samples (kept as it is, never copied), the spec that `A.to_dict` wrote, the stand-in of a
            replay record, or None: they come with each call.
        transform: `A.Compose` for the drawn sample, its dict or its stand-in, or None.
        metadata_key: Key of the samples that come with the call.
        index_key: Key of the primary's own index among the samples.
        max_redraws: How many other samples to draw where one cannot be read.
        fits: Tell samples that can be read no larger than needed how large that is.
        law: How often each sample is drawn; None: all alike.

    Attributes:
        samples: The sequence, or None.
        transform: The pipeline, or None.
        name: How messages call the samples.
        keeps_recent: Whether they are primaries that came before.
        bbox_format: Format of the samples' boxes where they say so, all alike; None: each sample's own, else the
            pipeline's.
        fits: Whether samples can be read no larger than needed.

    Raises:
        ArgumentError: `samples` is not a sequence, is empty, or names an unknown `bbox_format`; `transform` is not a
            pipeline, or reads boxes in another format than they have; `law` does not fit `samples`.
    """

    def __init__(
        self,
        samples: Any,
        transform: Any,
        metadata_key: str,
        index_key: str,
        max_redraws: int,
        fits: bool,
        law: PartnerWeights | None,
    ) -> None:
        self.samples = _resolve(samples)
        self.name = "reference" if self.samples is not None else metadata_key
        self.keeps_recent = isinstance(self.samples, RecentSamples)
        self.bbox_format = format_of(self.samples)
        self.transform = _resolve_transform(transform, self.bbox_format)
        if self.bbox_format is None and self.transform is not None and "bboxes" in self.transform.processors:
            self.bbox_format = _backend.coord_format(self.transform.processors["bboxes"])
        self._metadata_key, self._index_key = metadata_key, index_key
        self._max_redraws = max_redraws
        self._draws = None if law is None else WeightedDraws.by(law, self.samples)
        self.fits = fits and self.transform is None and can_fit(self.samples)
        self._warned: set[str] = set()

    def draw(
        self, primary: Primary, fit: Fit | None, seed: int, generator: np.random.Generator
    ) -> tuple[int | None, Read | None]:
        """Draw the index of a sample that can be read, and read it.

        Args:
            primary: The call.
            fit: The canvas that the sample's image is going to be placed on; None: it is needed whole.
            seed: What a sample follows from that is drawn anew on each access.
            generator: Where the index comes from.

        Returns:
            The index and the sample; None, None where there is nothing to draw from.

        Raises:
            SampleError: No samples came with the call, or the primary's own index is not one of theirs.
            OSError: A sample cannot be read, and `max_redraws` others neither.
        """
        samples = self._samples(primary.data)
        own = self._own_positions(primary.data.get(self._index_key), samples)
        if not len(samples):
            return None, None
        for redraws_left in range(self._max_redraws, -1, -1):
            index = self._position(generator, len(samples), own)
            try:
                return index, read(samples, index, fit, seed)
            except OSError as error:
                if not redraws_left:
                    raise
                self._warn_once(f"MixUp draws another sample, this one cannot be read: {error}")
        raise AssertionError  # the last try returns or raises

    def partner(self, record: Mapping[str, Any], found: Read) -> Partner:
        """Return a record's sample, which was just drawn or read again, as the partner that it is."""
        (sample, hw), where = found, f"{self.name}[{record['reference_index']}]"
        if self.transform is not None and isinstance(sample, Mapping):
            sample = self._transformed(sample, where, record["seed"])
        return Partner(sample, where, hw, format_of(sample) if isinstance(sample, Sample) else self.bbox_format)

    def keep(self, sample: Mapping[str, Any]) -> None:
        """Keep a primary as a partner for later calls."""
        if isinstance(self.samples, RecentSamples):
            self.samples.add(sample)

    def described(self) -> tuple[Any, Any]:
        """Describe samples and transform: JSON-safe where the samples have a spec, stand-ins where they have none."""
        spec = spec_of(self.samples)
        if spec is None and self.samples is not None:
            return InMemory(self.samples), None if self.transform is None else InMemory(self.transform)
        return spec, None if self.transform is None else _backend.to_dict(self.transform)

    def _samples(self, data: Mapping[str, Any]) -> Samples:
        if self.samples is not None:
            return self.samples
        samples = data.get(self._metadata_key)
        if not isinstance(samples, Sequence) or isinstance(samples, str):
            got = "none" if samples is None else type(samples).__name__
            raise SampleError(
                f"MixUp must have a reference (MixUp(dataset)) or, with each call, a list of samples under "
                f"metadata_key={self._metadata_key!r}, got {got}: give one of them"
            )
        return samples

    def _own_positions(self, own: Any, samples: Samples) -> list[int]:
        """Return where the primary lies among the samples, as far as the call says it and there is another to draw."""
        if own is None or self.keeps_recent:
            return []
        if not isinstance(own, list):  # which says in every dataset that the primary is known to be of
            count = len(samples)
            if isinstance(own, bool) or not isinstance(own, int | np.integer) or not 0 <= own < count:
                raise SampleError(
                    f"{self._index_key} must be the primary's index in {self.name}, 0 to {count - 1}, got {own!r}: "
                    "leave it out where the primary is none of them"
                )
            own = origins(samples, int(own))
        found = positions_in(samples, own)
        return found if len(found) < len(samples) else []

    def _position(self, generator: np.random.Generator, count: int, own: list[int]) -> int:
        """Draw a position that is none of the primary's own."""
        while True:
            # `random`, not `integers`, which takes several times as long (benchmarks/RESULTS.md, "Inside Compose")
            share = generator.random()
            if self._draws is not None:
                position = self._draws.position(share, count, own)
            else:
                position = int(share * (count - bool(own)))
                position += bool(own) and position >= own[0]
            if position not in own[1:]:
                return position

    def read_again(self, primary: Primary, fit: Fit | None, record: Mapping[str, Any]) -> Read:
        """Read the sample of a replayed record.

        Args:
            primary: The call.
            fit: The canvas that the sample's image is going to be placed on; None: it is needed whole.
            record: As `MixUp` has it.

        Raises:
            SampleError: The sample is not there.
        """
        index, seed = record["reference_index"], record["seed"]
        if self.keeps_recent:
            raise SampleError(
                f"a replayed record's samples must still be there, got reference_index={index} of RecentSamples, which "
                "keep none: replay mixes of a dataset"
            )
        samples = self._samples(primary.data)
        if not 0 <= index < len(samples):
            raise SampleError(
                f"the replayed reference_index must be below {len(samples)}, got {index}: it was recorded with other "
                "samples; give those"
            )
        return read(samples, index, fit, seed)

    def _transformed(self, sample: Mapping[str, Any], where: str, seed: int) -> dict[str, Any]:
        """Run `reference_transform` on a copy of a sample's annotations: 2.0.8 may clip boxes in place."""
        copied = dict(sample)
        for name in ROW_TARGETS.keys() & copied.keys():
            processor = self.transform.processors.get(name)
            if processor is None:
                raise SampleError(
                    f"reference_transform must have {ROW_TARGETS[name]}, as {where} has {name}, got none: give "
                    f"A.Compose([...], {ROW_TARGETS[name]}=...)"
                )
            copied[name] = copy(copied[name])
            said = format_of(sample)
            if name == "bboxes" and said is not None and _backend.coord_format(processor) != said:
                raise SampleError(
                    f"reference_transform must have bbox_params in the format of {where}, {said!r}, got "
                    f"{_backend.coord_format(processor)!r}: change one"
                )
        return like(sample, _backend.run_nested(self.transform, copied, seed))

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message, UnreadableImageWarning, stacklevel=2)


class InMemory:
    """Stands for an in-memory object in a replay record: it keeps the object alive and goes nowhere else.

    Args:
        value: The reference or the reference transform.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        size = f" of {len(self.value)} samples" if is_sequence(self.value) else ""
        return f"<in-memory {type(self.value).__name__}{size}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> "InMemory":
        return self

    def __reduce__(self) -> NoReturn:
        refuse_serialization(self.value)


def refuse_serialization(value: Any) -> NoReturn:
    """Raise the error that names the way to a reference which can be written down.

    Raises:
        SerializationError: Always.
    """
    # Ultralytics serializes its `augmentations=[...]`, where MixUp must not be whatever its reference.
    ultralytics = "; in Ultralytics, train with trainer=mixup_trainer(...) of alb_mixup.integrations.ultralytics"
    raise SerializationError(
        f"reference must be file-backed to be serialized, got {InMemory(value)!r}: use VocDataset (or another dataset "
        "of alb_mixup), or build the pipeline in code where it is loaded; in the process that recorded it, "
        f"A.ReplayCompose.replay works with any reference{ultralytics if 'ultralytics' in sys.modules else ''}"
    )


def _resolve(reference: Any) -> Samples | None:
    if isinstance(reference, InMemory):
        reference = reference.value
    elif isinstance(reference, Mapping) and all(isinstance(key, str) for key in reference) and "image" not in reference:
        reference = from_spec(reference)
    if reference is None:
        return None
    if not is_sequence(reference):
        raise ArgumentError(
            "reference must be a sequence of dicts shaped like the pipeline's own input (with __len__ and "
            f"__getitem__), or None, got {type(reference).__name__}: e.g. VocDataset(root) or a list of samples"
        )
    if len(reference) == 0 and not isinstance(reference, RecentSamples):
        raise ArgumentError("reference must hold at least one sample, got an empty one: nothing could be drawn from it")
    bbox_format = format_of(reference)
    if bbox_format not in {None, *_backend.BBOX_FORMATS}:
        raise ArgumentError(
            f"reference.bbox_format must be one of {', '.join(_backend.BBOX_FORMATS)}, got {bbox_format!r}"
        )
    return reference


def _resolve_transform(transform: Any, bbox_format: str | None) -> Any:
    if isinstance(transform, InMemory):
        transform = transform.value
    elif isinstance(transform, Mapping):
        transform = _backend.from_dict(dict(transform))
    if transform is None:
        return None
    if not isinstance(transform, _backend.Compose):
        raise ArgumentError(f"reference_transform must be an A.Compose or None, got {type(transform).__name__}")
    processor = transform.processors.get("bboxes")
    if bbox_format is not None and processor is not None and _backend.coord_format(processor) != bbox_format:
        raise ArgumentError(
            f"reference_transform must have bbox_params in the reference's format {bbox_format!r}, got "
            f"{_backend.coord_format(processor)!r}"
        )
    return transform
