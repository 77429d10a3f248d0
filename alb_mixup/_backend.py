"""The two Albumentations behind one face; nothing else in the package knows which one is installed.

`albumentations` 2.0.8 and AlbumentationsX share an import name and little else below the surface: they sample in
different hooks from different generators, and keep their label encoders and box formats in different places.
"""

import contextvars
import copy
import inspect
import multiprocessing
import os
import random
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from numbers import Real
from typing import Any

import numpy as np

from alb_mixup.errors import InstallationError, SampleError
from alb_mixup.functional import Array
from alb_mixup.functional.geometry import are_plain, normalize_bboxes


def check_installation(installed: Iterable[str]) -> None:
    """Refuse two packages that both own `albumentations/`: each overwrote a part of the other's files.

    Args:
        installed: Names of installed distributions.

    Raises:
        InstallationError: Both are there.
    """
    if {"albumentations", "albumentationsx"} <= {name.lower() for name in installed}:
        raise InstallationError(
            "albumentations and albumentationsx are both installed and overwrite each other's files; keep one: "
            "`pip uninstall albumentations albumentationsx`, then install the one you want (AlbumentationsX users "
            "install alb-mixup with --no-deps)"
        )


def _installed(names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


check_installation(_installed(["albumentations", "albumentationsx"]))

import albumentations as A  # noqa: E402  (both at once may fail to import, with an error that explains nothing)
from albumentations.core.transforms_interface import BasicTransform  # noqa: E402
from albumentations.core.type_definitions import Targets  # noqa: E402

Compose, from_dict = A.Compose, A.from_dict

_IS_X = hasattr(BasicTransform, "sample_parameters")

VERSION = f"{'albumentationsx' if _IS_X else 'albumentations'} {A.__version__}"
"""Which of the two is installed."""

_NUMBERS = frozenset({bool, int, float})

BBOX_FORMATS = ("pascal_voc", "coco", "yolo", "albumentations", *(("cxcywh",) if _IS_X else ()))


class _RecordTransform(A.DualTransform):  # type: ignore[misc, unused-ignore]
    """What both have in common: `draw` makes a record, `mix` applies a record, just drawn or replayed."""

    _targets = tuple(
        target for target in Targets if target.name in {"IMAGE", "IMAGES", "MASK", "MASKS", "BBOXES", "KEYPOINTS"}
    )
    _supported_bbox_types = frozenset({"hbb", "obb"})

    def draw(self, data: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        """Draw the record of one application: JSON-safe, and all that `mix` needs besides data and reference."""
        raise NotImplementedError

    def mix(self, data: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a record to the targets of one sample."""
        raise NotImplementedError

    def update_transform_params(self, params: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        """Keep shapes, fill and interpolation out of the record: nothing there is drawn."""
        return params

    def apply_with_params(self, params: Any, *_: Any, **data: Any) -> dict[str, Any]:
        """Apply a record: where both Albumentations arrive, after drawing and from replay."""
        return self.mix(data, getattr(params, "params", params))


if _IS_X:

    class MixTransform(_RecordTransform):
        """AlbumentationsX: one stream for a whole call, seeded for each DataLoader worker by X itself."""

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:
            """Draw from the only generator that a seeded X pipeline repeats."""
            record = self.draw(data, sampling.random_generator)
            sampling.applied_overrides["ratio_range"] = [record["ratio"], record["ratio"]]
            return A.SampledParams(params=record)

        def get_applied_params(self) -> dict[str, Any]:
            """Return the last record, without X's envelope; empty where the transform was not applied."""
            return dict(super().get_applied_params().get("params", {}))

else:

    class MixTransform(_RecordTransform):  # type: ignore[no-redef]
        """albumentations 2.0.8: it seeds every transform of a pipeline alike, and forked workers not at all."""

        def __init__(self, p: float) -> None:
            self._rank = 0  # among the transforms of this class in one pipeline
            super().__init__(p=p)

        def set_processors(self, processors: dict[str, Any]) -> None:
            """Take the pipeline's processors; the pipeline hands them to its transforms one after the other."""
            super().set_processors(processors)
            rank = _pipeline_rank.next(processors)
            if rank != self._rank:
                self._rank = rank
                self.set_random_seed(self.seed)

        def set_random_seed(self, seed: int | None) -> None:
            """Seed with the rank as well: two MixUps in one pipeline must not draw the same partner."""
            self.seed = seed
            words = None if seed is None else [seed, 1 + self._rank]
            self.set_random_state(np.random.default_rng(words), random.Random(None if words is None else str(words)))

        def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
            """Remember the process too: generators that arrive in another one are copies of its siblings'."""
            super().set_random_state(random_generator, py_random)
            self._process_id = os.getpid()

        def should_apply(self, force_apply: bool = False) -> bool:
            """Decide from a stream that no sibling worker has."""
            if os.getpid() != self._process_id:
                self._leave_siblings()
            return bool(super().should_apply(force_apply))

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            """Draw from the transform's own generator."""
            return self.draw(data, self.random_generator)

        def _leave_siblings(self) -> None:
            words = _worker_words()
            self._process_id = os.getpid()
            if words:
                words = [int(self.random_generator.integers(2**63)), *words]
                _set_streams(self, words)

    class _PipelineRank(threading.local):
        """Counts the transforms that are handed one and the same processors."""

        processors: object = None
        rank = 0

        def next(self, processors: object) -> int:
            self.rank = self.rank + 1 if processors is self.processors else 0
            self.processors = processors
            return self.rank

    _pipeline_rank = _PipelineRank()


def _worker_words() -> list[int]:
    """Name this worker process: by PyTorch's seed for worker and epoch, else by its place among its siblings."""
    torch_data = sys.modules.get("torch.utils.data")  # looked up, not imported: no worker of PyTorch's without it
    info = torch_data.get_worker_info() if torch_data else None
    if info is not None:
        return [info.seed]
    return list(getattr(multiprocessing.current_process(), "_identity", ()))


class WorkerStream:
    """A stream of seeds for what is no transform: it repeats under a seed, and no two workers have the same.

    Args:
        seed: None: another stream each time.
    """

    def __init__(self, seed: int | None) -> None:
        self._generator, self._process_id = np.random.default_rng(seed), os.getpid()

    def next(self, end: int) -> int:
        """Draw a whole number below `end`."""
        if os.getpid() != self._process_id:  # a copy of the parent's, and of every sibling's
            words, self._process_id = _worker_words(), os.getpid()
            if words:
                self._generator = np.random.default_rng([int(self._generator.integers(2**63)), *words])
        return int(self._generator.integers(end))


def seed_in_worker(pipeline: Any, seed: int) -> None:
    """Give a pipeline the stream of this worker of PyTorch's DataLoader, for all of its transforms.

    AlbumentationsX does so itself, from the same seed.

    Args:
        pipeline: `A.Compose`.
        seed: The worker's `torch.initial_seed()`; a seed that the pipeline was built with is combined with it.
    """
    if not _IS_X:
        words = [seed] if pipeline.seed is None else [seed, pipeline.seed]
        _set_streams(pipeline, words)


def _set_streams(pipeline: Any, words: list[int]) -> None:
    # Not `set_random_seed`: 2.0.8 would seed every transform alike, and a flip would follow each jitter.
    pipeline.set_random_state(np.random.default_rng(words), random.Random(str(words)))


def bbox_format(processor: Any) -> str:
    """Return the box format of a pipeline's bbox processor."""
    return str(getattr(processor.params, "coord_format", None) or processor.params.format)


def is_oriented(processor: Any) -> bool:
    """Tell whether a pipeline's boxes carry an angle as their fifth column (AlbumentationsX)."""
    return getattr(processor.params, "bbox_type", "hbb") == "obb"


def to_internal(processor: Any, rows: Array, hw: tuple[int, int], row_format: str | None = None) -> Array:
    """Convert annotation rows to what a pipeline holds inside: normalized xyxy, or x, y, z, angle, scale.

    The processor's own conversion, so that its `clip` and `filter_invalid_bboxes` hold for references too; not its
    `preprocess`, which on 2.0.8 overwrites its record of whether the user gave a list or an array.

    Boxes that lie well inside of their image take a short cut past it, to the same numbers: its checks cost more than
    the blend of a whole image (benchmarks/RESULTS.md, "Inside Compose").

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
    own_format = bbox_format(processor)
    if processor.default_data_name == "bboxes" and not is_oriented(processor):
        corners = normalize_bboxes(rows[:, :4], row_format or own_format, hw)
        if are_plain(corners):
            rows[:, :4] = corners
            return rows
    if row_format is not None and row_format != own_format:
        processor = copy.copy(processor)
        processor.params = copy.copy(processor.params)
        processor.params.format = processor.params.coord_format = row_format
    converted: Array = processor.check_and_convert(rows, _shape(hw), "to")
    return converted


def known_codes(processor: Any, name: str, field: str, values: Any) -> Array | list[Any] | None:
    """Encode a reference's labels where nothing can be wrong with them, as is usual; others are for `encode_labels`.

    Returns:
        One number a row where the primary's are numbers and these are too, of its dtype where it has one, and where
        these are a list of labels that were all seen before; else None.
    """
    known = _label_metadata(processor, name, field)
    if known is None:
        return None
    if known.encoder is None:
        if isinstance(values, list):
            return values if known.dtype is None and _NUMBERS.issuperset(map(type, values)) else None
        plain = isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf"
        return values if plain and known.dtype in {None, values.dtype} else None
    if known.encoder.is_numerical or known.dtype is not None or not isinstance(values, list):
        return None
    try:
        codes = list(map(known.encoder.classes_.get, values))
    except TypeError:  # a label that cannot be hashed
        return None
    return None if None in codes else codes


def from_internal(processor: Any, rows: Array, hw: tuple[int, int]) -> tuple[Array, dict[str, Any]]:
    """Undo `to_internal` and `encode_labels`: what a pipeline that ended here would return.

    Args:
        processor: The pipeline's bbox or keypoints processor.
        rows: (N, D) rows as the pipeline holds them, encoded label fields included.
        hw: (height, width) of the image that they belong to.

    Returns:
        (M, C) coordinates in the pipeline's format, M <= N, and the M labels of each label field.
    """
    fields = list(processor.params.label_fields or ())
    rows = processor.filter(rows, _shape(hw)) if len(rows) else rows
    if len(rows) == 0:
        return np.zeros((0, 4), np.float32), {field: [] for field in fields}
    first = rows.shape[1] - len(fields)
    name = processor.default_data_name
    labels = {field: _decoded(processor, name, field, rows[:, first + i]) for i, field in enumerate(fields)}
    return processor.check_and_convert(rows[:, :first], _shape(hw), "from"), labels


def _decoded(processor: Any, name: str, field: str, column: Array) -> Any:
    # Not `restore_field`: 2.0.8 would make strings of the numbers in a field of both.
    known = _label_metadata(processor, name, field)
    if known.encoder is None or known.encoder.is_numerical:
        return column.astype(known.dtype or np.float32)
    return [known.encoder.inverse_classes_[code] for code in column.astype(int).tolist()]


def _shape(hw: tuple[int, int]) -> Any:
    return hw if _IS_X else {"height": hw[0], "width": hw[1]}


def encode_labels(processor: Any, name: str, field: str, values: Array | list[Any], like: Any) -> Array:
    """Encode a reference's label field as the pipeline encodes the primary's, new labels included.

    Args:
        processor: The pipeline's bbox or keypoints processor.
        name: Target that the labels belong to, such as "bboxes".
        field: Label field.
        values: One label a row, (N,).
        like: The primary's own container of this field where it had no rows (Albumentations then leaves it
            unencoded, and the reference's labels decide what comes out); None where it had some.

    Returns:
        (N,) numbers that float32 holds.

    Raises:
        SampleError: Numbers on one side, other labels on the other.
    """
    known = _label_metadata(processor, name, field)
    labels = values.tolist() if isinstance(values, np.ndarray) else [_plain(value) for value in values]
    if known is None:
        container = _array_like(labels, like) if isinstance(like, np.ndarray) else labels
        return np.ravel(processor.label_manager.process_field(name, field, container))
    numeric = all(isinstance(label, Real) for label in labels)
    if numeric != (known.encoder is None or all(isinstance(label, Real) for label in known.encoder.classes_)):
        raise SampleError(
            f"label field {field!r} must be numbers in both images or in neither, got {labels[:3]} from the "
            f"reference; the primary's are {'other labels' if numeric else 'numbers'}"
        )
    if known.encoder is None or known.encoder.is_numerical:
        numbers = np.asarray(labels)
        whole = known.dtype is not None and known.dtype.kind in "iub"
        if whole and not np.array_equal(numbers.astype(known.dtype), numbers):
            raise SampleError(
                f"label field {field!r} must fit the primary's dtype {known.dtype}, got {labels[:3]} from the "
                "reference: give the primary's as an array of a wider dtype, or both as lists"
            )
        return numbers
    # Not `process_field` here: on 2.0.8 it fits the encoder anew.
    known.encoder.update(labels)
    if known.dtype is not None and known.dtype.kind in "US":  # on 2.0.8, "<U3" would cut "platelets" to "pla"
        known.dtype = np.result_type(known.dtype, np.asarray(labels).dtype)
    return np.asarray(known.encoder.transform(labels))


def _plain(label: Any) -> Any:
    """Return a NumPy scalar as Python's own: 2.0.8 takes the former in a list for categories and cuts fractions."""
    return label.item() if isinstance(label, np.generic) else label


def _array_like(labels: list[Any], like: Array) -> Array:
    """Return labels as an array of the primary's precision, where they are numbers of its kind."""
    array = np.asarray(labels)
    return array.astype(like.dtype) if array.dtype.kind == like.dtype.kind and array.dtype.kind in "iuf" else array


def _label_metadata(processor: Any, name: str, field: str) -> Any:
    """Return what the pipeline knows of a label field; None where the primary has no rows.

    Not `metadata[name]`: it is a defaultdict, and X takes the entry that a look-up leaves for encoded rows.
    """
    return processor.label_manager.metadata.get(name, {}).get(field)


def check_weights(processor: Any, name: str, field: str) -> None:
    """Refuse weights that Albumentations would cut to whole numbers on their way out.

    Raises:
        SampleError: The primary's weights are no floats.
    """
    known = _label_metadata(processor, name, field)
    if known is None or (known.is_numerical and (known.dtype is None or known.dtype.kind == "f")):
        return
    raise SampleError(
        f"{field} must be a list of Python floats or a float array, got {known.dtype or 'a list of other objects'}: "
        f"Albumentations would return the mixed weights cut to whole numbers; give "
        f"`np.asarray({field}, dtype=np.float32)`"
    )


def renew_label_mappings(processor: Any) -> None:
    """Let AlbumentationsX's keypoint `label_mapping` know labels that only the reference has."""
    if hasattr(processor, "convert_label_mappings_to_encoded"):
        processor.convert_label_mappings_to_encoded()


def refuse_bindings(label_fields: Sequence[str]) -> None:
    """Refuse AlbumentationsX's `instance_binding` and `frame_binding`, which have no place for added rows.

    Raises:
        SampleError: The pipeline uses one of them.
    """
    if "_bbox_instance_id" in label_fields or "_kp_instance_id" in label_fields:
        raise SampleError(
            "A.Compose(instance_binding=...) must not be set around MixUp: AlbumentationsX refuses rows that a "
            "transform adds; give bboxes, masks and keypoints as targets of their own"
        )
    if _IS_X and getattr(_current_invocation(), "frame_state", None) is not None:
        raise SampleError(
            "A.Compose(frame_binding=...) must not be set around MixUp: the reference has no annotations for each "
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


def _current_invocation() -> Any:
    from albumentations.core.invocation import get_current_invocation  # noqa: PLC0415  (AlbumentationsX only)

    return get_current_invocation()


def mosaic_pipeline(**settings: Any) -> Any:
    """Build a pipeline of one `A.Mosaic`, for boxes as normalized corners with any further columns."""
    return A.Compose([A.Mosaic(**settings, p=1.0)], bbox_params=A.BboxParams("albumentations"))


def run_nested(pipeline: Any, sample: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Run a pipeline of its own inside a transform, all of its randomness from one seed."""
    # An empty context: within the outer call's, X would run this one as a part of the outer pipeline.
    return contextvars.Context().run(run_seeded, pipeline, sample, seed)


def run_seeded(pipeline: Any, sample: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Run a pipeline, all of its randomness from one seed."""
    if _IS_X:
        return dict(pipeline(invocation_seed=seed, **sample))
    _set_streams(pipeline, [seed])
    return dict(pipeline(**sample))


def only_printing() -> bool:
    """Tell whether a caller wants a transform's dict for `repr`, which throws it away.

    `repr(A.Compose(...))` calls its transforms' `to_dict_private`, as `A.to_dict` does. What cannot be serialized
    must raise for the second and must not for the first, and nothing but the stack tells them apart.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name not in {"__repr__", "indented_repr"}:
        frame = frame.f_back
    return frame is not None
