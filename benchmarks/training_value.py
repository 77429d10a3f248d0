"""What MixUp and its weights are worth: one small detector, the same data and seeds, four ways of mixing.

    python benchmarks/training_value.py BCCD --out results            # CPU-sized
    python benchmarks/training_value.py BCCD --out results --full     # on a GPU

`BCCD` is a dataset in Pascal VOC layout with the splits train, val and test; it is rewritten in YOLO layout below
`--out`. YOLO11n is trained from scratch in each arm:

- `none`: no mixing.
- `builtin`: Ultralytics' own `mixup=0.5` (λ ~ Beta(32, 32), hard labels).
- `hard`: ours, λ ~ Beta(α, α), `weighting="none"`.
- `weighted`: ours, the same λ, each box weighted by its image's share. `hard` and `weighted` differ in nothing else.

All else is alike: the built-in augmentations without mosaic, for both images of a mix; no mixing in the last epochs.
The last epoch's weights are scored on the test split: nothing is chosen on it. Every finished run is a JSON file in
`--out`/rows, and is not run again; one that was interrupted starts anew. Needs `alb-mixup[ultralytics]` and matplotlib.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import matplotlib as mpl
import numpy as np

from alb_mixup import MixUp, VocDataset
from alb_mixup.functional.boxes import from_xyxy

ARMS = ("none", "builtin", "hard", "weighted")
P = 0.5


class BuiltinAugmented(Sequence):
    """Ultralytics' training images after its built-in augmentations: partners get what primaries get."""

    bbox_format = "pascal_voc"

    def __init__(self, data, recipe):
        from ultralytics.data.dataset import YOLODataset
        from ultralytics.data.utils import check_det_dataset
        from ultralytics.utils import DEFAULT_CFG, IterableSimpleNamespace

        hyp = IterableSimpleNamespace(**{**vars(DEFAULT_CFG), **recipe})
        described = check_det_dataset(str(data))
        self.names = described["names"]
        self.dataset = YOLODataset(img_path=described["train"], data=described, imgsz=hyp.imgsz, hyp=hyp, augment=True)
        self.augmentations = self.dataset.transforms.transforms[:-1]  # without the last: to tensors

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        labels = self.dataset.get_image_and_label(index)
        for augmentation in self.augmentations:
            labels = augmentation(labels)
        image = np.ascontiguousarray(labels["img"][..., ::-1])
        instances = labels["instances"]
        instances.convert_bbox("xyxy")
        instances.denormalize(image.shape[1], image.shape[0])
        instances.clip(image.shape[1], image.shape[0])
        class_ids = labels["cls"][instances.remove_zero_area_boxes()].ravel()
        names = [self.names[int(class_id)] for class_id in class_ids]
        return {"image": image, "bboxes": instances.bboxes, "labels": names}


def main():
    """Run what is missing, then report."""
    args = parse()
    os.environ.setdefault("YOLO_CONFIG_DIR", str(args.out / "config"))  # nothing in the home, nothing from the network
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    (args.out / "rows").mkdir(parents=True, exist_ok=True)
    keep_settings(args)
    data = write_yolo_layout(args.data, args.out / "data")
    for seed in args.seeds:  # seed by seed, so that what there is can be compared at any time
        for arm in args.arms:
            row = args.out / "rows" / f"{arm}-{seed}.json"
            if not row.exists():
                result = train(arm, seed, data, args)
                part = row.with_suffix(".part")
                part.write_text(json.dumps(result))
                part.rename(row)
                report(args)
    report(args)


def parse():
    """Read the command line; what is not said depends on `--full`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset in Pascal VOC layout with splits train, val and test")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--full", action="store_true", help="640 px, 120 epochs, 5 seeds, on the first GPU")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--off", type=int, help="how many of the last epochs are without mixing, in all arms")
    parser.add_argument("--imgsz", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--alpha", type=float, default=1.5, help="λ ~ Beta(alpha, alpha) in the arms of ours")
    parser.add_argument("--device")
    small = {"seeds": [0, 1], "epochs": 24, "off": 4, "imgsz": 160, "batch": 8, "device": "cpu"}
    full = {"seeds": [0, 1, 2, 3, 4], "epochs": 120, "off": 15, "imgsz": 640, "batch": 16, "device": "0"}
    args = parser.parse_args()
    for name, value in (full if args.full else small).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.out = args.out.resolve()
    return args


def keep_settings(args):
    """Refuse to add rows to those of another recipe."""
    settings = {name: getattr(args, name) for name in ("epochs", "off", "imgsz", "batch", "alpha")}
    file = args.out / "settings.json"
    if file.exists() and json.loads(file.read_text()) != settings:
        raise SystemExit(f"{file} says {file.read_text()}, this run is {json.dumps(settings)}: take another --out")
    file.write_text(json.dumps(settings))


def write_yolo_layout(voc, root):
    """Write images, labels and data.yaml as Ultralytics reads them; return the latter's path."""
    classes = VocDataset(voc, split="train").classes
    for split in ("train", "val", "test"):
        dataset = VocDataset(voc, split=split, classes=classes)
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(len(dataset)):
            found, path = dataset.annotations(index), dataset.image_path(index)
            rows = from_xyxy(found["bboxes"], "yolo", dataset.image_size(index))
            lines = [
                " ".join([str(classes.index(label)), *(f"{value:.6f}" for value in row)])
                for label, row in zip(found["labels"], rows, strict=True)
            ]
            shutil.copyfile(path, root / "images" / split / path.name)
            (root / "labels" / split / path.name).with_suffix(".txt").write_text("\n".join(lines))
    described = {"path": str(root), "names": dict(enumerate(classes))}
    described |= {split: f"images/{split}" for split in ("train", "val", "test")}
    (root / "data.yaml").write_text(json.dumps(described))  # JSON is YAML
    return root / "data.yaml"


def trainer_of(arm, data, recipe, args):
    """Return Ultralytics' own trainer (None) or ours."""
    if arm in {"none", "builtin"}:
        return None
    from alb_mixup.integrations.torch import MixUpSchedule
    from alb_mixup.integrations.ultralytics import mixup_trainer

    weighting = "ratio" if arm == "weighted" else "none"
    mixup = MixUp(BuiltinAugmented(data, recipe), alpha=args.alpha, weighting=weighting, p=P)
    fields = ["labels", "mixup_weight"]
    pipeline = A.Compose([mixup], bbox_params=A.BboxParams("pascal_voc", label_fields=fields))
    off = {args.epochs - args.off: 0.0} if args.off else {}
    return mixup_trainer(pipeline, schedule=MixUpSchedule({0: P} | off), after_builtin=True)


def train(arm, seed, data, args):
    """Train one arm with one seed and score it on the test split."""
    from ultralytics import YOLO

    started = time.time()
    folder = args.out / "runs" / f"{arm}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    recipe = {
        "imgsz": args.imgsz,
        "mosaic": 0.0,
        "close_mosaic": args.off,  # which ends the built-in mixup too
        "mixup": P if arm == "builtin" else 0.0,
    }
    YOLO("yolo11n.yaml").train(
        trainer=trainer_of(arm, data, recipe, args),
        data=str(data), epochs=args.epochs, batch=args.batch, nbs=args.batch, patience=0, seed=seed, amp=False,
        plots=False, device=args.device, project=str(folder.parent), name=folder.name, **recipe,
    )  # fmt: skip
    scores = YOLO(folder / "weights" / "last.pt").val(
        data=str(data), split="test", imgsz=args.imgsz, plots=False, device=args.device,
        project=str(folder.parent), name=f"{folder.name}-test", exist_ok=True,
    )  # fmt: skip
    return {
        "arm": arm,
        "seed": seed,
        "map50": float(scores.box.map50),
        "map50_95": float(scores.box.map),
        "curves": curves_of(folder / "results.csv"),
        "seconds": round(time.time() - started),
    }


def curves_of(file):
    """Read the sums of the three losses, and the validation's mAP50-95, by epoch."""
    with file.open() as lines:
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(lines)]
    losses = ("box_loss", "cls_loss", "dfl_loss")
    curves = {kind: [sum(float(row[f"{kind}/{name}"]) for name in losses) for row in rows] for kind in ("train", "val")}
    return curves | {"val_map": [float(row["metrics/mAP50-95(B)"]) for row in rows]}


def report(args):
    """Write the table and the curves of the runs that are there."""
    rows = [json.loads(file.read_text()) for file in sorted((args.out / "rows").glob("*.json"))]
    lines = ["| arm | seeds | mAP50 | mAP50-95 | mAP50-95 by seed |", "|---|---|---|---|---|"]
    for arm in ARMS:
        of_arm = sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["seed"])
        if of_arm:
            scores = [f"{row['map50_95']:.3f}" for row in of_arm]
            spreads = [spread([row[name] for row in of_arm]) for name in ("map50", "map50_95")]
            lines.append(f"| {arm} | {len(of_arm)} | {spreads[0]} | {spreads[1]} | {', '.join(scores)} |")
    table = "\n".join(lines)
    print(table, flush=True)
    (args.out / "table.md").write_text(table + "\n")
    plot_curves(rows, args.out / "curves.png")


def spread(values):
    """Format mean ± standard deviation of the sample."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def plot_curves(rows, file):
    """Plot each run's curves: thin lines are seeds, the thick one is their mean."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = {"train": "training loss (each arm's own)", "val": "validation loss", "val_map": "validation mAP50-95"}
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), constrained_layout=True)
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for number, arm in enumerate(ARMS):
            curves = [row["curves"][kind] for row in rows if row["arm"] == arm]
            for curve in curves:
                axis.plot(range(1, len(curve) + 1), curve, color=f"C{number}", linewidth=0.6, alpha=0.6)
            if curves:
                mean = np.mean(curves, axis=0)
                axis.plot(range(1, len(mean) + 1), mean, color=f"C{number}", linewidth=2, label=arm)
        axis.set(title=title, xlabel="epoch")
    axes[0].legend()
    figure.savefig(file, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
