"""Mosaics of a dataset's samples, as a dataset."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup._support import checks
from alb_mixup._support.checks import channels, check_finite, checked_pixels
from alb_mixup.datasets.annotations.image_classes import ImageClasses
from alb_mixup.datasets.protocols import Sample, classes_of, format_of, image_classes_of, read, spec_of
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional import Array, scalar
from alb_mixup.functional.boxes import BBOX_FORMATS, from_xyxy, to_xyxy
from alb_mixup.functional.fit import Fit
from alb_mixup.functional.geometry import have_extent

_WEIGHT = "mixup_weight"
_NONE = -1  # the position of no box
_SEEDS = 2**32  # how many there are, as in MixUp's record


class MosaicDataset(Sequence[dict[str, Any]]):
    """A dataset whose item i is a mosaic of sample i and of others drawn from the same dataset, made by `A.Mosaic`.

    A training set of its own, and a reference: `MixUp(MosaicDataset(dataset))` mixes whatever comes to it with mosaics.
    Sample i lies in the cell that shows most; the others are drawn uniformly, with replacement.

    - **A sample** is a dict of `image` (H, W, C), `bboxes` float32 (N, 4) in `bbox_format`, and the label fields, each
      value beside its box, whatever its type: weights that came in stay with their boxes. Boxes are clipped to what
      their cell shows, and dropped where nothing is left. Other targets (masks, keypoints) are left out.
    - **Draws** come from a stream of this dataset's own: `mosaics[i]` is another mosaic each time. The stream repeats
      under `seed`; workers of a `DataLoader` have one each, which differs between epochs and repeats under
      `torch.manual_seed`. Within `MixUp`, everything follows from the seed in its record instead: a seeded pipeline
      repeats whatever this stream did, and replaying a record makes the same mosaic.
    - **Caches** belong inside: `MosaicDataset(CachedDataset(dataset, max_bytes))` keeps images resized to their cell
      and draws fresh mosaics from them; around it, they would keep the first mosaics for good.

    Source: YOLOv4, arXiv 2004.10934. Detectors that mix mosaics: YOLOX, arXiv 2107.08430, and Ultralytics; both show
    whole images (`fit_mode="contain"`) on grey (`fill=114`).

    Args:
        dataset: A dataset of this package, or any sequence of dicts with an attribute `bbox_format`.
        size: (height, width) of a mosaic in pixels.
        grid: (rows, columns) of cells.
        cell_size: (height, width) of a cell in pixels; the grid must be at least as large as the mosaic, which is a
            window of it. None: `size`.
        center_range: (low, high) within [0, 1]: where that window's centre is drawn, from one end of the grid to the
            other.
        fit_mode: How an image meets its cell: "cover" scales it to fill the cell and crops the rest, "contain" shows
            it whole and pads.
        fill: Value, or one for each channel, of the padding.
        label_fields: Keys of a sample that have one value for each box. `mixup_weight` is 1.0 where a sample lacks it.
        index_fields: Those of `label_fields` whose values are positions of boxes in their own sample. In a mosaic they
            are positions in the mosaic, -1 where the box is not there.
        seed: Seed of the draws; None: another one each time.

    Attributes:
        bbox_format: That of `dataset`.
        classes: Those of `dataset`; None where it has none.

    Raises:
        ArgumentError: An argument breaks its constraint.
        IndexError: On access, there is no such sample.
        SampleError: On access, the samples do not fit together, or one has no boxes or label field.
        OSError: On access, a sample cannot be read.

    Examples:
        >>> from alb_mixup import MosaicDataset, sample_dataset
        >>> mosaics = MosaicDataset(sample_dataset(), size=(320, 320), seed=0)
        >>> mosaics[0]["image"].shape
        (320, 320, 3)
    """

    def __init__(
        self,
        dataset: Sequence[Mapping[str, Any]],
        size: tuple[int, int] = (640, 640),
        grid: tuple[int, int] = (2, 2),
        cell_size: tuple[int, int] | None = None,
        center_range: tuple[float, float] = (0.3, 0.7),
        fit_mode: str = "cover",
        fill: float | Sequence[float] = 0,
        label_fields: Sequence[str] = ("labels", _WEIGHT),
        index_fields: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        bbox_format = format_of(dataset)
        if bbox_format not in BBOX_FORMATS or not len(dataset):
            raise ArgumentError(
                "dataset must be a sequence of at least one sample with an attribute bbox_format, one of "
                f"{', '.join(BBOX_FORMATS)}, got {type(dataset).__name__} with {bbox_format!r}: e.g. VocDataset(root)"
            )
        self.dataset, self.bbox_format = dataset, str(bbox_format)
        self.classes: Sequence[str] | None = classes_of(dataset)
        self.size, self.grid = _whole_pair("size", size), _whole_pair("grid", grid)
        self.cell_size = self.size if cell_size is None else _whole_pair("cell_size", cell_size)
        if any(cells * cell < side for cells, cell, side in zip(self.grid, self.cell_size, self.size, strict=True)):
            raise ArgumentError(
                f"cell_size must be large enough for grid {self.grid} to cover size {self.size}, got {self.cell_size}"
            )
        self.center_range = checks.bounds("center_range", center_range)
        self.fit_mode = checks.choice("fit_mode", fit_mode, ("cover", "contain"))
        self.fill = checks.fill_value("fill", fill)
        self.label_fields = [checks.field_name("each of label_fields", field) for field in label_fields]
        self.index_fields = checks.field_names("index_fields", index_fields)
        if not set(self.index_fields) <= set(self.label_fields):
            raise ArgumentError(
                f"index_fields must be among label_fields {self.label_fields}, got {self.index_fields}: name them "
                "in both"
            )
        self.seed = None if seed is None else checks.whole_number("seed", seed)
        self._stream = _backend.WorkerStream(self.seed)
        self._fit = Fit(self.cell_size, self.fit_mode, cv2.INTER_LINEAR)
        self._pipeline = _backend.mosaic_pipeline(
            grid_yx=self.grid,
            target_size=self.size,
            cell_shape=self.cell_size,
            center_range=self.center_range,
            fit_mode=self.fit_mode,
            fill=tuple(self.fill) if isinstance(self.fill, list) else self.fill,
        )

    def __len__(self) -> int:
        return len(self.dataset)

    # Sequence asks for slices too; a slice of mosaics would decode every image at once.
    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        return self.seeded(index, self._stream.next(_SEEDS))

    def seeded(self, index: int, seed: int) -> dict[str, Any]:
        """Return the mosaic of sample `index` that follows from a seed: what `MixUp` asks for.

        Args:
            index: The sample's position; negative ones count from the end.
            seed: At least 0. The stream of `mosaics[index]` is left alone.
        """
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range for mosaics of {len(self)} samples")
        position %= len(self)
        generator = np.random.default_rng([seed, position])
        cells = self.grid[0] * self.grid[1]
        indices = [position, *generator.integers(len(self), size=cells - 1).tolist()]
        seeds = generator.integers(_SEEDS, size=1 + cells).tolist()
        parts = [self._read(index, own) for index, own in zip(indices, seeds[1:], strict=True)]
        items = self._items(indices, parts)
        try:
            made = _backend.run_nested(self._pipeline, {**items[0], "mosaic_metadata": items[1:]}, seeds[0])
        except ValueError as error:
            raise SampleError(
                f"dataset{indices} must fit into one A.Mosaic, which refuses them, got {error}: mend the samples"
            ) from error
        image = made["image"].reshape(*self.size, *parts[0]["image"].shape[2:])
        return Sample({"image": image, **self._rows(np.asarray(made["bboxes"]), parts)}, self.bbox_format)

    def image_classes(self) -> ImageClasses:
        """Tell the classes of sample i for mosaic i: those of its other cells are drawn when it is made.

        Raises:
            ArgumentError: `dataset` cannot tell.
        """
        return replace(image_classes_of(self.dataset), complete=self.grid == (1, 1))

    def to_spec(self) -> dict[str, Any] | None:
        """A description in plain JSON types, from which `from_spec` builds the same; None where `dataset` has none."""
        spec = spec_of(self.dataset)
        if spec is None:
            return None
        pairs = {name: list(getattr(self, name)) for name in ("size", "grid", "cell_size", "center_range")}
        rest = {name: getattr(self, name) for name in ("fit_mode", "fill", "label_fields", "index_fields", "seed")}
        return {"dataset": "MosaicDataset", "of": spec, **pairs, **rest}

    def __repr__(self) -> str:
        return f"MosaicDataset({type(self.dataset).__name__} of {len(self)} images, size={self.size}, grid={self.grid})"

    def _read(self, index: int, seed: int) -> dict[str, Any]:
        """Return `image`, resized to its cell, `bboxes` float64 (N, 4), normalized corners, and the label fields."""
        where = f"dataset[{index}]"
        sample, hw = read(self.dataset, index, self._fit, seed)
        if not isinstance(sample, Mapping):
            raise SampleError(f"{where} must be a dict with 'image' and 'bboxes', got {type(sample).__name__}")
        sample = _backend.without_tensors(sample, where)
        image = checked_pixels(f"{where}['image']", sample.get("image"))
        if image.dtype not in {np.dtype(np.uint8), np.dtype(np.float32)}:
            raise SampleError(f"{where}['image'] must be uint8 or float32, got {image.dtype}: convert it")
        boxes = self._boxes(sample, where)
        hw = hw or image.shape[:2]
        corners = to_xyxy(boxes, self.bbox_format, hw) / [hw[1], hw[0], hw[1], hw[0]]
        labels = {field: self._labels(sample, field, len(corners), where) for field in self.label_fields}
        return {"image": self._fit.resize(image, hw), "bboxes": corners, **labels}

    def _boxes(self, sample: Mapping[str, Any], where: str) -> Array:
        try:
            boxes = np.asarray(sample["bboxes"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise SampleError(f"{where}['bboxes'] must be (N, 4) numbers, got {error!r}") from error
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
            raise SampleError(f"{where}['bboxes'] must be (N, 4), got shape {boxes.shape}")
        return boxes

    def _labels(self, sample: Mapping[str, Any], field: str, count: int, where: str) -> Any:
        values = sample.get(field)
        if values is None and field == _WEIGHT:
            return np.ones(count, np.float32)
        if not hasattr(values, "__len__") or len(values) != count:  # type: ignore[arg-type]
            raise SampleError(
                f"{where}[{field!r}] must have one value for each of {count} bboxes, got {values!r}: add it, or leave "
                f"it out of label_fields={self.label_fields}"
            )
        if field == _WEIGHT and count:
            check_finite(f"{where}[{field!r}]", values)
        return values

    def _items(self, indices: list[int], parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the parts for `A.Mosaic`: each box has its row among the boxes of all parts as a fifth column.

        Labels do not go through Albumentations: 2.0.8 would fit its encoder anew for each part.
        """
        first, items, row = parts[0]["image"], [], 0
        checks.fill_fits("fill", self.fill, first.dtype, channels(first.shape))
        for index, part in zip(indices, parts, strict=True):
            image, corners = part["image"], part["bboxes"]
            if (image.dtype, image.shape[2:]) != (first.dtype, first.shape[2:]):  # A.Mosaic would leave it out
                raise SampleError(
                    f"dataset[{index}]['image'] must have the dtype and channels of dataset[{indices[0]}], "
                    f"{first.dtype} {first.shape[2:]}, got {image.dtype} {image.shape[2:]}: convert one"
                )
            rows = np.arange(row, row + len(corners))
            pixels = image[..., None] if image.ndim == 2 else image  # AlbumentationsX does so to the first alone
            items.append({"image": pixels, "bboxes": np.column_stack([corners, rows]).astype(np.float32)})
            row += len(corners)
        return items

    def _rows(self, made: Array, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the boxes of a mosaic in `bbox_format`, and the label fields of each."""
        made = made.reshape(-1, 5) if made.size else np.zeros((0, 5))
        made = made[have_extent(made)]
        height, width = self.size
        corners = made[:, :4] * [width, height, width, height]
        found: dict[str, Any] = {"bboxes": from_xyxy(corners, self.bbox_format, self.size).astype(np.float32)}
        rows = made[:, 4].astype(np.int64)
        for field in self.label_fields:
            columns = [part[field] for part in parts]
            if field in self.index_fields:
                found[field] = self._positions(field, columns, rows)
                continue
            if all(isinstance(column, np.ndarray) for column in columns):
                # an empty one is of float64 unless somebody says otherwise, and would make floats of all
                found[field] = np.concatenate([column for column in columns if len(column)] or columns[:1])[rows]
            else:
                # Python's own numbers: 2.0.8 takes NumPy's in a list for categories, and cuts their fractions
                plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
                values = [scalar(value) for column in plain for value in column]
                found[field] = [values[row] for row in rows]
        return found

    def _positions(self, field: str, columns: list[Any], rows: Array) -> Array:
        """Return positions of boxes among the mosaic's, from those in each part; -1 where the box is not there."""
        counts = [len(column) for column in columns]
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        try:
            numbers = np.concatenate([np.asarray(column, np.float64) for column in columns])
        except (TypeError, ValueError):  # NaN is none of the positions either
            numbers = np.full(sum(counts), np.nan)
        inside = (numbers >= 0) & (numbers < np.repeat(counts, counts)) & (numbers == np.floor(numbers))
        named = np.where(inside, numbers, _NONE).astype(np.int64)
        wrong = numbers[~inside & (numbers != _NONE)]
        if len(wrong):
            raise SampleError(
                f"{field} must be positions of boxes in their sample, or -1 for none, got {wrong[:5].tolist()}: leave "
                "it out of index_fields if it is something else"
            )
        placed = np.full(sum(counts), _NONE)
        placed[rows] = np.arange(len(rows))
        return np.where(inside, placed[np.where(inside, named + begins, 0)] if len(placed) else _NONE, _NONE)[rows]


def _whole_pair(name: str, value: Any) -> tuple[int, int]:
    constraint = "a pair of whole numbers of at least 1, e.g. (640, 640)"
    first, second = checks.pair(name, value, constraint)
    if 0 in {checks.whole_number(name, first), checks.whole_number(name, second)}:
        raise ArgumentError(f"{name} must be {constraint}, got {value!r}")
    return first, second
