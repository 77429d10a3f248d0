"""What a dataset holds, and what is wrong with it: annotations, label files, images."""

import os
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alb_mixup._support.progress import progress_bar
from alb_mixup.datasets import DetectionDataset
from alb_mixup.datasets.images.verify import decode_fault, image_fault
from alb_mixup.datasets.partner_weights import PartnerWeights, weights_to_draw_by
from alb_mixup.datasets.protocols import Samples, image_classes_of
from alb_mixup.errors import ImageReadError
from alb_mixup.functional.boxes import to_xyxy

_THREADS = min(16, 4 * (os.cpu_count() or 1))  # more than processors: on a cold or a remote disk, they wait
_TOGETHER = 64  # images that a thread looks at before it reports
_RELATIVE = {"yolo", "albumentations"}  # formats whose boxes are shares of the sides
_AHEAD = 4  # such batches handed out for each thread: little memory for millions of images


class UnreadableImage(NamedTuple):
    """An image that cannot be used.

    Attributes:
        file: The image, POSIX, below the dataset's root.
        reason: What is wrong with it, in words that go on after its name, such as "is cut short".
    """

    file: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        dataset: What was looked at.
        sides: (N,) sides in pixels, the square root of the area, of the boxes of all images whose size is known.
        weights: (M,) weights of all boxes.
        image_sizes: Number of images by "WIDTHxHEIGHT".
        classes: Number of boxes by class, those without boxes included.
        images_without_boxes: How many.
        unreadable: Images that cannot be used.
        pixels_decoded: Whether every image was decoded; else its header and its end were looked at.
        remarks: What is not invalid, but hardly meant; see `DetectionDataset`.
    """

    dataset: DetectionDataset
    sides: NDArray[np.float64]
    weights: NDArray[np.float32]
    image_sizes: Counter[str]
    classes: Counter[str]
    images_without_boxes: int
    unreadable: tuple[UnreadableImage, ...]
    pixels_decoded: bool
    remarks: tuple[str, ...] = ()

    @property
    def lacks_all_labels(self) -> bool:
        """Whether there is no label file at all: background everywhere is hardly meant."""
        return 0 < len(self.dataset) <= len(self.dataset.unlabelled)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is invalid: `generate` and a training run then find every image readable."""
        return not (self.dataset.invalid or self.unreadable or self.lacks_all_labels or not len(self.dataset))


def survey(dataset: DetectionDataset, *, pixels: bool = False, progress: bool = False) -> Survey:
    """Look at every annotation and every image of a dataset.

    Args:
        dataset: The dataset.
        pixels: Decode every image; else its header and its end are looked at.
        progress: Show a bar, where tqdm is installed.

    Returns:
        What was found.
    """
    unreadable, sizes = [], []
    looks = progress_bar(_look_at_all(dataset, pixels), "checking images", total=len(dataset), shown=progress)
    for index, (fault, size) in enumerate(looks):
        sizes.append(size or (0, 0))
        if fault is not None:
            unreadable.append(UnreadableImage(_below_root(dataset, index), fault))
    return _count(dataset, np.array(sizes, np.int64).reshape(-1, 2), tuple(unreadable), pixels)


def _below_root(dataset: DetectionDataset, index: int) -> str:
    path = dataset.image_path(index)
    return (path.relative_to(dataset.root) if path.is_relative_to(dataset.root) else path).as_posix()


def _look_at_all(dataset: DetectionDataset, pixels: bool) -> Iterator[tuple[str | None, tuple[int, int] | None]]:
    """What is wrong with each image, if anything, and its (height, width), if it can be told; in order."""
    batches = iter(range(begin, min(begin + _TOGETHER, len(dataset))) for begin in range(0, len(dataset), _TOGETHER))

    stopped = threading.Event()

    def look(batch: range) -> list[tuple[str | None, tuple[int, int] | None]]:
        return [_look(dataset, index, pixels) for index in batch if not stopped.is_set()]

    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting = deque(pool.submit(look, batch) for batch in islice(batches, _AHEAD * _THREADS))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(pool.submit(look, batch) for batch in islice(batches, 1))
    finally:
        # Not waited for: Python takes a thread for ended where a second Ctrl-C comes while it is waited for, and then
        # ends beneath one that decodes. It waits itself, when it ends.
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _look(dataset: DetectionDataset, index: int, pixels: bool) -> tuple[str | None, tuple[int, int] | None]:
    path, stated = dataset.image_path(index), dataset._stated_size(index)
    fault = (decode_fault if pixels else image_fault)(path, stated)
    if stated is not None or fault is not None:
        return fault, stated
    try:
        return None, dataset.image_size(index)
    except ImageReadError as error:  # gone between two looks
        return str(error), None


def _count(
    dataset: DetectionDataset, sizes: NDArray[np.int64], unreadable: tuple[UnreadableImage, ...], pixels: bool
) -> Survey:
    """Count what there is, all images at once: a loop over the boxes of COCO would take longer than opening it."""
    packed, images = dataset._annotations, dataset._images
    position = np.full(len(packed.sizes), -1)
    position[images] = np.arange(len(images))
    of_row = np.repeat(position, np.diff(packed.offsets))  # for each box, where its image is in the dataset
    rows = of_row >= 0
    of_row, class_ids = of_row[rows], packed.class_ids[rows]
    xyxy = to_xyxy(packed.boxes[rows], dataset.bbox_format, (1, 1))
    areas = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    if dataset.bbox_format in _RELATIVE:
        areas = (areas * sizes[of_row].prod(axis=1))[sizes[of_row].all(axis=1)]
    found, counts = np.unique(sizes[sizes.all(axis=1)], axis=0, return_counts=True)
    boxes = np.bincount(class_ids, minlength=len(dataset.classes))
    return Survey(
        dataset=dataset,
        sides=np.sqrt(areas),
        weights=packed.weights[rows],
        image_sizes=Counter({f"{width}x{height}": int(n) for (height, width), n in zip(found, counts, strict=True)}),
        classes=Counter(dict(zip(dataset.classes, boxes.tolist(), strict=True))),
        images_without_boxes=len(images) - len(np.unique(of_row)),
        unreadable=unreadable,
        pixels_decoded=pixels,
        remarks=dataset.remarks,
    )


class Shares(NamedTuple):
    """How often draws bring something: shares of draws.

    Attributes:
        before: All samples being drawn alike.
        after: Drawn by a law.
    """

    before: float
    after: float


class DrawShares(NamedTuple):
    """What a law does.

    Attributes:
        classes: How often a draw brings an image that holds each class.
        without_boxes: How often it brings one without boxes.
    """

    classes: dict[Any, Shares]
    without_boxes: Shares


def shares_of_draws(law: PartnerWeights, dataset: Samples) -> DrawShares:
    """Tell what a law does to the classes.

    Args:
        law: The law.
        dataset: What is drawn from.

    Raises:
        ArgumentError: The law does not fit the dataset.
    """
    weights, held = weights_to_draw_by(law, dataset), image_classes_of(dataset)
    pairs = map(Shares, held.shares().tolist(), held.shares(weights).tolist())
    empty = ~held.has_boxes
    without = Shares(float(empty.mean()), float(weights[empty].sum() / weights.sum()))
    return DrawShares(dict(zip(held.names, pairs, strict=True)), without)
