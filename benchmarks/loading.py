"""Tables of what reads files: one call from disk, a whole epoch, threads in the workers."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np

from alb_mixup import CachedDataset, DiskCache, MixUp, RecentSamples, VocDataset, sample_dataset
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.functional.boxes import to_xyxy
from alb_mixup.functional.fit import Fit
from alb_mixup.generation.layout import WrittenImage
from alb_mixup.generation.layouts import LAYOUTS
from benchmarks.harness import SIDE, interleave, sample, table
from benchmarks.ours import compose

_GIB = 1024**3

# How a reference may be held, for primaries of a size: a line here is a row in both tables.
MODES: dict[str, Callable[[Any, tuple[int, int], Path], MixUp]] = {
    "file, whole image": lambda dataset, *_: MixUp(dataset, size_hint=False, p=1.0),
    "file, scaled decoding": lambda dataset, *_: MixUp(dataset, p=1.0),
    "CachedDataset": lambda dataset, hw, _: MixUp(filled_cache(dataset, hw), p=1.0),
    "DiskCache": lambda dataset, hw, folder: MixUp(DiskCache(dataset, folder / "cache", size=hw), p=1.0),
    "RecentSamples": lambda *_: MixUp(RecentSamples(capacity=20), p=1.0),
}


def filled_cache(dataset: Any, hw: tuple[int, int]) -> CachedDataset:
    """Return a cache that has seen every sample at the size of the primaries: workers begin with what it holds."""
    cached = CachedDataset(dataset, max_bytes=_GIB)
    for index in range(len(dataset)):
        cached.fitted(index, Fit(hw, "contain", cv2.INTER_LINEAR))
    return cached


def from_disk(rounds: int, **_: Any) -> str:
    """One call with a reference of each size, held in each way."""
    rows, size = [], (480, SIDE)  # the photographs' aspect: all pixels are mixed, however the partner is held
    primary = {**sample(20, side=480), "image": np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)}
    for hw in ((480, 640), (960, 1280), (3000, 4000)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            dataset = _photographs(folder, hw)
            mixups = {mode: make(dataset, size, folder) for mode, make in MODES.items()}
            stored = DiskCache(dataset, folder / "cache", size=size)
            fitted = [{**stored[i], "image": stored[i]["image"].copy()} for i in range(len(stored))]
            mixups = {"in memory, fitted": MixUp(fitted, p=1.0), **mixups}
            pipelines = {mode: compose(mixup) for mode, mixup in mixups.items()}
            cases = {mode: lambda p=pipeline: p(**primary) for mode, pipeline in pipelines.items()}
            t = interleave(cases, max(5, rounds // 2))
            rows += [
                [
                    f"{hw[1]}×{hw[0]}, {mode}",
                    t.ms(mode),
                    t.ratio(mode, "file, whole image"),
                    t.ratio(mode, "in memory, fitted"),
                ]
                for mode in cases
            ]
    return table(
        "From disk",
        f"MixUp inside Compose on one {SIDE}×480 primary in memory (20 boxes), the reference four JPEG photographs "
        "(the embedded sample, enlarged where it must be; quality 90; in the system's file cache). *In memory, fitted* "
        "is a list of samples at the size in which they are placed. Hits only: what keeps samples has seen all four. "
        "Target: hits at most 1.3 times *in memory, fitted*; *RecentSamples* also keeps each primary, a copy.",
        ["width×height, reference", "ms", "times whole image", "times in memory"],
        rows,
    )


def _photographs(folder: Path, hw: tuple[int, int], count: int = 4) -> VocDataset:
    """Write sample photographs at another size, as a Pascal VOC dataset."""
    source = sample_dataset()
    for part in ("Annotations", "JPEGImages"):
        (folder / part).mkdir()
    for index in range(count):
        original = source[index]
        scale = np.array([hw[1], hw[0]] * 2) / np.array(original["image"].shape[1::-1] * 2)
        image = cv2.resize(original["image"], hw[::-1], interpolation=cv2.INTER_CUBIC)
        jpeg = [cv2.IMWRITE_JPEG_QUALITY, 90]
        cv2.imwrite(str(folder / "JPEGImages" / f"{index}.jpg"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), jpeg)
        found = {**original, "bboxes": original["bboxes"] * scale}
        (folder / "Annotations" / f"{index}.xml").write_text(label_text("voc", source, found, f"{index}.jpg", hw))
    return VocDataset(folder)


def label_text(layout: str, dataset: VocDataset, found: dict[str, Any], name: str, hw: tuple[int, int]) -> str:
    """Return the label file of one image as a strict reader of a layout wants it; `found` are its annotations."""
    ids = [dataset.classes.index(label) for label in found["labels"]]
    image = WrittenImage(name, hw, to_xyxy(found["bboxes"], dataset.bbox_format, hw), ids, found["mixup_weight"])
    _, text = LAYOUTS[layout](dataset.classes, weights=False).label_file(image)
    return text


class Epoch:
    """What a DataLoader reads: `length` samples of a dataset that may have fewer.

    Args:
        dataset: It.
        length: How many.
        keeps_memory: Whether workers keep what they free, where `dataset` does not see to that itself.
    """

    def __init__(self, dataset: Any, length: int, keeps_memory: bool = False) -> None:
        self.dataset, self.length, self.keeps_memory = dataset, length, keeps_memory

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        made = self.dataset[index % len(self.dataset)]
        return _as_tensors(made) if "image" in made else made

    def enter_worker(self, cv2_threads: int, _worker: int) -> None:
        """Make a worker of the loader ready."""
        cv2.setNumThreads(cv2_threads)
        if self.keeps_memory:
            keep_freed_memory()


def _as_tensors(made: dict[str, Any]) -> dict[str, Any]:
    import torch

    image = torch.from_numpy(np.ascontiguousarray(made["image"].transpose(2, 0, 1)))
    return {"img": image, "bboxes": torch.from_numpy(made["bboxes"]), "labels": made["labels"]}


class _AsItIs:
    """A pipeline's samples without what `TransformedDataset` does for workers."""

    def __init__(self, dataset: Any, pipeline: Any) -> None:
        self.dataset, self.pipeline = dataset, pipeline

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.pipeline(**self.dataset[index])


def training_pipeline(*mixup: Any) -> A.Compose:
    """What Ultralytics does around its MixUp: fit to a square, affine, mix, colour, flip."""
    return compose(*_geometry(), *mixup, A.HueSaturationValue(4, 45, 25, p=1.0), A.HorizontalFlip(p=0.5))


def _geometry() -> list[Any]:
    return [
        A.LongestMaxSize(SIDE),
        A.PadIfNeeded(SIDE, SIDE, fill=114),
        A.Affine(scale=(0.5, 1.5), translate_percent=(-0.1, 0.1), fill=114, p=1.0),
    ]


def epoch(voc: str | None, epoch_size: int, **_: Any) -> str:
    """Images per second of a DataLoader with two workers."""
    from alb_mixup.integrations.torch import TransformedDataset

    dataset, base = real_dataset(voc), "no MixUp"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        moved = MixUp(dataset, reference_transform=compose(*_geometry()), p=1.0)
        mixups = {mode: [make(dataset, (SIDE, SIDE), folder)] for mode, make in MODES.items()}
        pipelines = {
            title: training_pipeline(*mixup)
            for title, mixup in {base: [], **mixups, "file, partner fitted and moved as well": [moved]}.items()
        }
        epochs = {
            title: Epoch(TransformedDataset(dataset, pipeline), epoch_size) for title, pipeline in pipelines.items()
        }
        for title in (base, "CachedDataset"):
            epochs[f"{title}, memory as it is"] = Epoch(_AsItIs(dataset, pipelines[title]), epoch_size)
        if find_spec("ultralytics"):
            for share in (1.0, 0.0):
                theirs = _ultralytics(dataset, folder / f"ultralytics-{share}", share)
                title = f"Ultralytics, mixup={share}, mosaic=0, memory"
                epochs[f"{title} as it is"] = Epoch(theirs, epoch_size)
                epochs[f"{title} kept"] = Epoch(theirs, epoch_size, keeps_memory=True)
        cv2.setNumThreads(1)  # importing Ultralytics sets it
        with _loaders(epochs, workers=2) as cases:
            t = interleave(cases, rounds=5, warm_ups=1, clock=time.perf_counter)
    rows = [[mode, f"{epoch_size / t.ms(mode) * 1e3:.0f}", t.ratio(mode, base)] for mode in cases]
    return table(
        "Epoch",
        f"A PyTorch DataLoader with 2 workers, batches of 16, over {epoch_size} samples of {_described(dataset)}, in "
        "epochs that take turns, after one that does not count. Ours is a `TransformedDataset`: decode, fit to a "
        f"square of {SIDE}, affine, MixUp with p=1, colour, flip; the same without MixUp. *Partner fitted and moved as "
        "well* gives the partner the primary's geometry, as Ultralytics does, whose dataset also keeps decoded images "
        "in memory. *Memory as it is*: workers give freed memory back to the system, as they do where nobody sees to "
        "it; those of a `TransformedDataset` keep it (see *Pages*). Targets: ours ahead of Ultralytics; with a cache "
        "or recent samples at most 1.15 times *no MixUp*.",
        ["", "images a second", "time, times no MixUp"],
        rows,
    )


def threads(voc: str | None, epoch_size: int, **_: Any) -> str:
    """OpenCV's threads inside of the workers."""
    from alb_mixup.integrations.torch import TransformedDataset

    dataset, rows = real_dataset(voc), []
    for workers in (2, 4):
        made = TransformedDataset(dataset, training_pipeline(MixUp(dataset, p=1.0)))
        epochs = {str(n): Epoch(made, epoch_size) for n in (1, 2)}
        with _loaders(epochs, workers, cv2_threads=int) as cases:
            t = interleave(cases, rounds=5, warm_ups=1, clock=time.perf_counter)
        speeds = [f"{epoch_size / t.ms(n) * 1e3:.0f}" for n in cases]
        rows.append([f"{workers} workers", *speeds, t.ratio("2", "1")])
    return table(
        "Threads",
        f"The epoch of *file, scaled decoding* with `cv2.setNumThreads` in each worker, on {os.cpu_count()} cores: "
        "images a second. PyTorch sets its own threads in a worker to one; OpenCV's stay as they were.",
        ["", "1 thread", "2 threads", "time of 2, times that of 1"],
        rows,
    )


def _described(dataset: VocDataset) -> str:
    boxes = sum(len(dataset.annotations(index)["labels"]) for index in range(len(dataset)))
    return f"a VocDataset of {len(dataset)} images with {boxes} boxes"


def real_dataset(voc: str | None) -> VocDataset:
    """Return the Pascal VOC dataset of a folder, else the embedded sample."""
    return VocDataset(voc, on_invalid="drop") if voc else sample_dataset()


@contextmanager
def _loaders(
    epochs: dict[str, Epoch], workers: int, cv2_threads: Callable[[str], int] = lambda _: 1
) -> Iterator[dict[str, Callable[[], None]]]:
    """Give one case for each epoch: to run it to its end. Workers live from the first to the last."""
    import torch.utils.data

    loaders = {
        name: torch.utils.data.DataLoader(
            epoch,  # type: ignore[arg-type]
            batch_size=16,
            shuffle=True,
            num_workers=workers,
            collate_fn=list,
            persistent_workers=True,
            worker_init_fn=partial(epoch.enter_worker, cv2_threads(name)),
            multiprocessing_context="fork",
        )
        for name, epoch in epochs.items()
    }
    yield {name: lambda loader=loader: _run(loader) for name, loader in loaders.items()}


def _run(loader: Any) -> None:
    for _ in loader:
        pass


def _ultralytics(dataset: VocDataset, folder: Path, mixup: float) -> Any:
    """Return Ultralytics' training dataset of the same images, written as its own layout."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset

    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(len(dataset)):
        path, hw = dataset.image_path(index), dataset.image_size(index)
        (folder / "images" / path.name).symlink_to(path)
        text = label_text("yolo", dataset, dataset.annotations(index), path.name, hw)
        (folder / "labels" / f"{path.stem}.txt").write_text(text)
    settings = get_cfg(overrides={"mosaic": 0.0, "mixup": mixup, "imgsz": SIDE})
    data = {"names": dict(enumerate(dataset.classes)), "channels": 3}
    return YOLODataset(
        img_path=str(folder / "images"), imgsz=SIDE, augment=True, hyp=settings, data=data, batch_size=16
    )
