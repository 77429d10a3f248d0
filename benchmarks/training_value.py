"""What MixUp and its weights are worth: a small detector, little data, five ways of mixing, paired by training subset.

    python benchmarks/training_value.py --bccd BCCD --cards CARDS --out runs

Design and findings are in `benchmarks/TRAINING.md`; `benchmarks/training/report.py` makes tables and a plot. Both sets
are in Pascal VOC layout. Each run trains YOLO11n from scratch on 40 images in one thread, scores its last EMA weights
on all other images, and appends a row to `benchmarks/training/rows.csv` (`--rows`). A run whose row is there is not run
again, and one that another process is at is left to it: start the same command once for each core, and again after an
interruption, on whichever machine the rows are. Needs `alb-mixup[ultralytics]` and a POSIX system.
"""

import argparse
import csv
import fcntl
import json
import os
import shutil
import statistics
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from alb_mixup import MixUp, VocDataset
from alb_mixup.functional.boxes import from_xyxy

CLASSES = {"bccd": ("Platelets", "RBC", "WBC"), "cards": ("ace", "jack", "king", "nine", "queen", "ten")}
ARMS = ("none", "blind", "hard", "interpolate", "scale")
OTHER_DIVISOR = "scale_by_weight"  # exploratory: "scale", divided by the sum of weighted target scores
SEED, TRAINING_IMAGES = 20261125, 40
SUBSETS, SHORT_SUBSETS, LENGTH_SUBSETS = range(12), range(5), range(100, 103)
SHORT, LENGTHS, LEAST_GAIN = 120, (120, 200, 300, 400), 0.005
P, IMGSZ, BATCH = 0.5, 160, 8
COLUMNS = ("dataset", "subset", "arm", "epochs", "map50", "map50_95", "seconds", "versions")
PER_CLASS = tuple(f"{score}:{name}" for names in CLASSES.values() for name in names for score in ("map50", "map50_95"))


class Run(NamedTuple):
    """One training, as the first columns of its row name it."""

    dataset: str
    subset: int
    arm: str
    epochs: int

    def __str__(self) -> str:
        return "-".join(map(str, self))


def main():
    """Run whatever no row is there for, until nothing is left that another process is not at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in CLASSES:
        parser.add_argument(f"--{name}", type=Path, required=True, help="the data set, in Pascal VOC layout")
    parser.add_argument("--out", type=Path, required=True, help="folder for data, locks and runs")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "training" / "rows.csv")
    parser.add_argument("--only", help="run this one, as dataset-subset-arm-epochs, and print its row: a repetition")
    args = parser.parse_args()
    for name in (*CLASSES, "out", "rows"):
        setattr(args, name, getattr(args, name).resolve())
    (args.out / "locks").mkdir(parents=True, exist_ok=True)
    number = next(number for number in range(1000) if held(args.out / "locks" / f"process-{number}"))
    place = args.out / f"process-{number}"  # of its own: Ultralytics' label caches must not be shared
    os.environ["YOLO_CONFIG_DIR"] = str(place / "config")
    os.chdir(args.out)
    data = {name: write_yolo_layout(name, getattr(args, name), place / name) for name in CLASSES}
    if args.only:
        dataset, subset, arm, epochs = args.only.split("-")
        print(train(Run(dataset, int(subset), arm, int(epochs)), data[dataset], place))
        return
    while (run := next_run(args)) is not None:
        print(time.strftime("%F %T"), run, flush=True)
        append_row(args.rows, train(run, data[run.dataset], place))


def next_run(args):
    """Find the first run of the design without a row that no other process is at; it is ours until this one ends."""
    for run in design(rows_of(args.rows)):
        if run not in done(args.rows) and held(args.out / "locks" / str(run)) and run not in done(args.rows):
            return run  # looked at twice: another process may have finished it in between
    return None


def done(file):
    """List the runs whose rows are there."""
    return {Run(row["dataset"], int(row["subset"]), row["arm"], int(row["epochs"])) for row in rows_of(file)}


def design(rows):
    """List all runs that are known to be needed, in order: length first, then whole subsets of both sets in turn."""
    chosen = {dataset: length_of(dataset, rows) for dataset in CLASSES}
    for position in range(len(LENGTHS)):
        for dataset, (_, needed) in chosen.items():
            for subset in LENGTH_SUBSETS if LENGTHS[position] in needed else ():
                yield Run(dataset, subset, "none", LENGTHS[position])
    known = {dataset: epochs for dataset, (epochs, _) in chosen.items() if epochs}
    for subset in SUBSETS:
        for dataset, epochs in known.items():
            yield from (Run(dataset, subset, arm, epochs) for arm in ARMS)
    for subset in SHORT_SUBSETS:
        for dataset in CLASSES:
            yield from (Run(dataset, subset, arm, SHORT) for arm in ARMS)
    for subset in SHORT_SUBSETS:
        for dataset, epochs in known.items():
            yield Run(dataset, subset, OTHER_DIVISOR, epochs)


def length_of(dataset, rows):
    """Apply the rule: the first length after which the mean score gains less; and the lengths needed to know it.

    Returns:
        Epochs, None where rows are missing, and the lengths whose rows are needed so far.
    """
    means = {}
    for epochs in LENGTHS:
        scores = [
            float(row["map50_95"]) for row in rows
            if row["dataset"] == dataset and int(row["subset"]) in LENGTH_SUBSETS and int(row["epochs"]) == epochs
        ]  # fmt: skip
        if len(scores) == len(LENGTH_SUBSETS):
            means[epochs] = statistics.mean(scores)
    for shorter, longer in pairwise(LENGTHS):
        needed = LENGTHS[: LENGTHS.index(longer) + 1]
        if not {shorter, longer} <= means.keys():
            return None, needed
        if means[longer] - means[shorter] < LEAST_GAIN:
            return shorter, needed
    return LENGTHS[-1], LENGTHS


def subset_of(dataset, subset, count):
    """Draw which images a subset trains on, by their place among the sorted names; the others are its test set."""
    words = [SEED, list(CLASSES).index(dataset), subset]
    return sorted(np.random.default_rng(words).permutation(count)[:TRAINING_IMAGES].tolist())


def write_yolo_layout(name, voc, root):
    """Write all images of a set, whatever its splits, and their labels as Ultralytics reads them; return the images."""
    shutil.rmtree(root, ignore_errors=True)
    files = {}
    for split in sorted(file.stem for file in (voc / "ImageSets" / "Main").glob("*.txt") if file.stem != "trainval"):
        dataset = VocDataset(voc, split=split, classes=CLASSES[name])
        for index in range(len(dataset)):
            files[dataset.image_path(index).name] = (dataset, index)
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for file, (dataset, index) in files.items():
        found = dataset.annotations(index)
        boxes = from_xyxy(found["bboxes"], "yolo", dataset.image_size(index))
        lines = [
            " ".join([str(CLASSES[name].index(label)), *(f"{value:.6f}" for value in box)])
            for label, box in zip(found["labels"], boxes, strict=True)
        ]
        shutil.copyfile(dataset.image_path(index), root / "images" / file)
        (root / "labels" / file).with_suffix(".txt").write_text("\n".join(lines))
    return [root / "images" / file for file in sorted(files)]


def train(run, images, place):
    """Train and score one run; return its row."""
    from ultralytics import YOLO

    from alb_mixup.integrations.torch import MixUpSchedule
    from alb_mixup.integrations.ultralytics import mixup_trainer

    started, folder = time.time(), place / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    chosen = set(subset_of(run.dataset, run.subset, len(images)))
    lists = {
        "train": [file for index, file in enumerate(images) if index in chosen],
        "test": [file for index, file in enumerate(images) if index not in chosen],
    }
    lists["val"] = lists["train"][:1]  # Ultralytics insists; nothing is chosen by it
    for split, files in lists.items():
        (folder / f"{split}.txt").write_text("\n".join(map(str, files)))
    described = {"path": str(folder), "names": dict(enumerate(CLASSES[run.dataset]))}
    described |= {split: f"{split}.txt" for split in lists}
    (folder / "data.yaml").write_text(json.dumps(described))  # JSON is YAML
    for cache in images[0].parent.parent.glob("*.cache"):
        cache.unlink()

    kind = {"weighting": "none" if run.arm in {"blind", "hard"} else "ratio"}
    kind |= {"ratio_range": (0.45, 0.55)} if run.arm == "blind" else {"alpha": 1.5}
    fields = ["labels", "mixup_weight"]
    pipeline = A.Compose([MixUp(**kind)], bbox_params=A.BboxParams("pascal_voc", label_fields=fields))
    off = run.epochs - run.epochs // 8
    # none: next to never, but with a change at the same epoch, which restarts the loader and so changes the order.
    schedule = MixUpSchedule({0: 1e-12 if run.arm == "none" else P, off: 0.0})
    rule = "scale" if run.arm in {"scale", OTHER_DIVISOR} else "interpolate"
    trainer = mixup_trainer(pipeline, rule=rule, schedule=schedule, after_builtin=True)
    yolo = YOLO("yolo11n.yaml")
    yolo.add_callback("on_train_start", one_thread)  # Ultralytics has set as many as there are cores
    if run.arm == OTHER_DIVISOR:
        yolo.add_callback("on_train_start", divide_by_weight)
    yolo.train(
        trainer=trainer, data=str(folder / "data.yaml"), epochs=run.epochs, imgsz=IMGSZ, batch=BATCH, nbs=BATCH,
        mosaic=0.0, close_mosaic=0, patience=0, seed=run.subset, amp=False, plots=False, val=False, save=False,
        cache="ram", workers=0, device="cpu", project=str(folder), name="train",
    )  # fmt: skip
    scores = YOLO(folder / "train" / "weights" / "last.pt").val(
        data=str(folder / "data.yaml"), split="test", imgsz=IMGSZ, batch=BATCH, workers=0, plots=False, device="cpu",
        project=str(folder), name="test",
    )  # fmt: skip
    row = dict(zip(COLUMNS, [*run, scores.box.map50, scores.box.map, round(time.time() - started)], strict=False))
    row["versions"] = " ".join(f"{name}={version(name)}" for name in ("ultralytics", "torch", "albumentations"))
    for position, class_id in enumerate(scores.box.ap_class_index):
        name = CLASSES[run.dataset][int(class_id)]
        row |= {f"map50:{name}": scores.box.ap50[position], f"map50_95:{name}": scores.box.ap[position]}
    return {key: f"{value:.5f}" if isinstance(value, float) else value for key, value in row.items()}


def one_thread(trainer):
    """Let a run be the same on any number of cores."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def divide_by_weight(trainer):
    """Replace the loss: "scale", but divided by the sum of weighted target scores, as "interpolate" is."""
    from ultralytics.utils.torch_utils import unwrap_model

    from alb_mixup.integrations.ultralytics import WeightedDetectionLoss

    class DividedByWeight(WeightedDetectionLoss):
        def _assign(self, *args, **settings):
            found = super()._assign(*args, **settings)
            sums = found[2].sum(), found[2].sum()
            if self._of_locations is not None:
                sums = sums[0], (found[2].sum(-1) * self._of_locations).sum()
            self.factor = sums[0].clamp(min=1) / sums[1].clamp(min=1)
            return found

        def get_assigned_targets_and_loss(self, *args, **settings):
            assigned, loss, items = super().get_assigned_targets_and_loss(*args, **settings)
            return assigned, loss * self.factor, items

    model = unwrap_model(trainer.model)
    model.criterion = DividedByWeight(model, rule="scale")


def rows_of(file):
    """Read the rows that are there."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def append_row(file, row):
    """Append a row, whole, whoever else does so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", newline="") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        writer = csv.DictWriter(lines, [*COLUMNS, *PER_CLASS], lineterminator="\n")
        if lines.tell() == 0:
            writer.writeheader()
        writer.writerow(row)
        lines.flush()
        os.fsync(lines.fileno())


_locks = []


def held(path):
    """Tell whether this process has now got the lock of this name; the system gives it back when the process ends."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    _locks.append(lock)
    return True


if __name__ == "__main__":
    main()
