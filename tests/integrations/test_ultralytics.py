"""Ultralytics: what reaches the model, and that training is otherwise Ultralytics' own; losses are in test_rules.py."""

import contextlib
import csv
import json
import os
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import albumentations as A
import cv2
import numpy as np
import pytest

pytest.importorskip("ultralytics")
# Before the first import: nothing in the home, nothing from the network, nothing installed.
os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="yolo-config-")
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

import torch
import yaml
from PIL import Image
from ultralytics import RTDETR, YOLO
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.rtdetr.val import RTDETRDataset
from ultralytics.models.utils.loss import RTDETRDetectionLoss
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss
from ultralytics.utils.ops import xywhr2xyxyxyxy

from alb_mixup import MixUp, PseudoLabelDataset, YoloDataset, generate, sample_dataset
from alb_mixup.errors import ArgumentError, SampleError, SerializationError
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.integrations.torch import MixUpSchedule
from alb_mixup.integrations.ultralytics import (
    WeightedDetectionLoss,
    WeightedRTDETRLoss,
    mixup_trainer,
    weighted_criterion,
)
from tests.support.rtdetr import TINY_RTDETR
from tests.support.samples import IS_X, picture

MODELS = ("yolo11n", "yolo26n")
RULES = ("interpolate", "scale")
TRAIN = 10  # of the sample's 14 images; the others validate
NO_BUILTIN = {"mosaic": 0.0, "scale": 0.0, "translate": 0.0, "fliplr": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sample's real images in YOLO layout, at a quarter of their size: reading them is not what is tested."""
    root, dataset = tmp_path_factory.mktemp("bccd"), sample_dataset()
    for number in range(len(dataset)):
        found, split = dataset[number], "train" if number < TRAIN else "val"
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        small = cv2.resize(found["image"], (160, 120), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(root / "images" / split / f"{number:02}.png"), small[..., ::-1])
        rows = from_xyxy(found["bboxes"], "yolo", found["image"].shape[:2])
        ids = [dataset.classes.index(label) for label in found["labels"]]
        lines = [" ".join(map(str, [class_id, *row])) for class_id, row in zip(ids, rows.tolist(), strict=True)]
        (root / "labels" / split / f"{number:02}.txt").write_text("\n".join(lines))
    described = {"path": str(root), "train": "images/train", "val": "images/val", "names": list(dataset.classes)}
    (root / "data.yaml").write_text(json.dumps(described))
    return root / "data.yaml"


def pipeline_of(*transforms, bbox_format="pascal_voc"):
    return A.Compose(list(transforms), bbox_params=A.BboxParams(bbox_format, label_fields=["labels", "mixup_weight"]))


def settings_of(data, folder, **more):
    settings = {
        "data": str(data), "epochs": 2, "imgsz": 160, "batch": 5, "nbs": 5, "optimizer": "AdamW", "lr0": 0.002,
        "warmup_epochs": 0, "amp": False, "plots": False, "device": "cpu", "project": str(folder), "exist_ok": True,
        "val": False,
    }  # fmt: skip
    return settings | more


def train(data, folder, trainer, model="yolo11n.yaml", callbacks=None, **more):
    """Train as a user does; return the trainer."""
    yolo = YOLO(model)
    for event, callback in (callbacks or {}).items():
        yolo.add_callback(event, callback)
    yolo.train(trainer=trainer, **settings_of(data, folder, **more))
    return yolo.trainer


def loader_of(data, folder, trainer, workers=0, **more):
    """The training loader of a trainer that is not run."""
    built = trainer(overrides=settings_of(data, folder, model="yolo11n.yaml", task="detect", mode="train", **more))
    built.setup_model()
    built.args.workers = workers  # which Ultralytics sets to 0 on a CPU
    built.train_loader = built.get_dataloader(built.data["train"], built.args.batch, rank=-1, mode="train")
    return built


def weights_of(trainer):
    """The weights of the batch that a trainer's loss saw last."""
    criterion = trainer.model.criterion
    return getattr(criterion, "one2many", criterion)._of_rows


# ---------------------------------------------------------------- what reaches the model


def per_image(batch):
    """A batch's rows as one (xyxy in pixels, class ids, weights) for each image."""
    side = batch["img"].shape[2:]
    for number in range(len(batch["img"])):
        rows = batch["batch_idx"] == number
        xyxy = to_xyxy(batch["bboxes"][rows].numpy(), "yolo", tuple(side))
        yield xyxy, batch["cls"][rows].ravel().tolist(), batch["weights"][rows].numpy()


def expected_mix(number, partner):
    """Image `number` mixed with `partner` at λ = 0.75, both (120, 160), recomputed: RGB pixels, xyxy, ids, weights."""
    dataset = sample_dataset()
    pixels, xyxy, ids, weights = 0.0, [], [], []
    for index, share in ((number, 0.75), (partner, 0.25)):
        found = dataset[index]
        pixels = pixels + share * cv2.resize(found["image"], (160, 120), interpolation=cv2.INTER_AREA).astype(float)
        xyxy.append(found["bboxes"] / 4.0)
        ids += [dataset.classes.index(label) for label in found["labels"]]
        weights += [share] * len(found["labels"])
    return pixels, np.concatenate(xyxy), ids, weights


def partner_of(number):
    """A reference of one small image."""
    found = sample_dataset()[number]
    small = cv2.resize(found["image"], (160, 120), interpolation=cv2.INTER_AREA)
    return [{"image": small, "bboxes": found["bboxes"] / 4, "labels": found["labels"]}]


@pytest.mark.parametrize("bbox_format", ["pascal_voc", "yolo", "coco", "albumentations"])
def test_a_batch_holds_the_mix_letterboxed(data, tmp_path, bbox_format):
    reference = [
        sample | {"bboxes": from_xyxy(sample["bboxes"], bbox_format, (120, 160))} for sample in partner_of(TRAIN)
    ]
    mixup = MixUp(reference, ratio_range=(0.75, 0.75), p=1.0)
    trainer = mixup_trainer(pipeline_of(mixup, A.HorizontalFlip(p=1.0), bbox_format=bbox_format))
    [batch, *_] = loader_of(data, tmp_path, trainer).train_loader
    for image, file, (xyxy, ids, weights) in zip(batch["img"], batch["im_file"], per_image(batch), strict=True):
        pixels, expected, expected_ids, expected_weights = expected_mix(int(Path(file).stem), TRAIN)
        expected = (160, 20, 160, 20) + expected[:, [2, 1, 0, 3]] * (-1, 1, -1, 1)  # flipped, 20 rows of padding
        np.testing.assert_allclose(xyxy, expected, atol=1e-3)
        assert ids == expected_ids
        np.testing.assert_array_equal(weights, expected_weights)
        shown = image.permute(1, 2, 0).numpy()
        np.testing.assert_allclose(shown[20:140], pixels[:, ::-1], atol=0.51)
        assert (shown[:20] == 114).all()
        assert (shown[140:] == 114).all()


def test_another_output_size_is_letterboxed_and_dropped_boxes_take_their_weights_along(data, tmp_path):
    mixup = MixUp(partner_of(TRAIN), ratio_range=(0.75, 0.75), p=1.0)
    trainer = mixup_trainer(pipeline_of(mixup, A.Crop(x_min=40, y_min=30, x_max=120, y_max=70)))
    [batch, *_] = loader_of(data, tmp_path, trainer).train_loader
    assert batch["img"].shape[1:] == (3, 160, 160)
    for file, (xyxy, ids, weights) in zip(batch["im_file"], per_image(batch), strict=True):
        _, expected, expected_ids, expected_weights = expected_mix(int(Path(file).stem), TRAIN)
        clipped = expected.clip([40, 30, 40, 30], [120, 70, 120, 70]) - [40, 30, 40, 30]
        kept = ((clipped[:, 2:] - clipped[:, :2]) > 0).all(axis=1)
        np.testing.assert_allclose(xyxy, clipped[kept] * 2 + [0, 40, 0, 40], atol=1e-3)  # 80×40 becomes 160×80
        assert ids == [class_id for class_id, keep in zip(expected_ids, kept, strict=True) if keep]
        np.testing.assert_array_equal(weights, np.array(expected_weights)[kept])


def test_after_the_builtin_augmentations(data, tmp_path):
    mixup = MixUp(partner_of(TRAIN), ratio_range=(0.75, 0.75), p=1.0)
    trainer = mixup_trainer(pipeline_of(mixup), after_builtin=True)
    [batch, *_] = loader_of(data, tmp_path, trainer, **(NO_BUILTIN | {"flipud": 1.0})).train_loader
    for file, (xyxy, ids, weights) in zip(batch["im_file"], per_image(batch), strict=True):
        _, expected, expected_ids, expected_weights = expected_mix(int(Path(file).stem), TRAIN)
        own = np.array(expected_weights) == 0.75
        expected[own] = (0, 120, 0, 120) + expected[own][:, [0, 3, 2, 1]] * (1, -1, 1, -1)  # theirs alone is flipped
        np.testing.assert_allclose(xyxy, np.add(expected, [0, 20, 0, 20]), atol=1e-3)
        assert ids == expected_ids
        np.testing.assert_array_equal(weights, expected_weights)


@pytest.mark.parametrize("after_builtin", [False, True])
def test_partners_from_the_training_set_itself_with_the_same_augmentations(data, tmp_path, after_builtin):
    mixup = MixUp(ratio_range=(0.75, 0.75), p=1.0)
    trainer = mixup_trainer(pipeline_of(mixup), after_builtin=after_builtin)
    built = loader_of(data, tmp_path, trainer, **(NO_BUILTIN | {"flipud": 1.0}))
    drawn = set()
    for batch in built.train_loader:
        for file, (xyxy, ids, weights) in zip(batch["im_file"], per_image(batch), strict=True):
            number = int(Path(file).stem)
            for partner in range(TRAIN):
                _, expected, expected_ids, expected_weights = expected_mix(number, partner)
                if after_builtin:  # both are flipped
                    expected = (0, 120, 0, 120) + expected[:, [0, 3, 2, 1]] * (1, -1, 1, -1)
                if ids == expected_ids and np.allclose(xyxy, np.add(expected, [0, 20, 0, 20]), atol=1e-3):
                    np.testing.assert_array_equal(weights, expected_weights)
                    drawn.add((number, partner))
    assert {number for number, _ in drawn} == set(range(TRAIN))
    assert all(number != partner for number, partner in drawn)
    assert len({partner for _, partner in drawn}) > 2


def test_primaries_are_augmented_alike_whatever_is_mixed_in(data, tmp_path):
    seen = []
    for p in (0.0, 1.0):
        trainer = mixup_trainer(pipeline_of(MixUp(ratio_range=(0.75, 0.75), p=p)), after_builtin=True)
        built = loader_of(data, tmp_path, trainer, mosaic=0.0, mixup=0.5, batch=2)
        own = [rows[0][: (rows[2] != 0.25).sum()] for batch in built.train_loader for rows in per_image(batch)]
        seen.append(own)
    assert len(seen[0]) == TRAIN
    assert all(np.array_equal(alone, mixed) for alone, mixed in zip(*seen, strict=True))


def test_a_training_set_of_one_image_has_no_partner(data, tmp_path):
    (tmp_path / "train.txt").write_text(str(data.parent / "images/train/00.png"))
    described = json.loads(data.read_text()) | {"train": str(tmp_path / "train.txt")}
    (tmp_path / "data.yaml").write_text(json.dumps(described))
    trainer = mixup_trainer(pipeline_of(MixUp(p=1.0)))
    [batch] = loader_of(tmp_path / "data.yaml", tmp_path, trainer).train_loader
    assert set(batch["weights"].tolist()) == {1.0}


def test_the_class_alone_brings_the_pipeline_along_as_ddp_needs(data, tmp_path):
    pipeline, schedule = pipeline_of(MixUp(sample_dataset())), MixUpSchedule({0: 0.5})
    built = loader_of(data, tmp_path, mixup_trainer(pipeline, schedule=schedule, after_builtin=True))
    again = type(built)(overrides=vars(built.args))
    assert again.pipeline is pipeline
    assert again.schedule is schedule
    assert again.after_builtin


def test_an_image_without_boxes_among_others(data, tmp_path):
    background = [{"image": picture(height=120, width=160), "bboxes": [], "labels": []}]
    trainer = mixup_trainer(pipeline_of(MixUp(background, ratio_range=(0.75, 0.75), p=1.0), A.RandomCrop(8, 8, p=0.5)))
    [batch, *_] = loader_of(data, tmp_path, trainer).train_loader
    rows = len(batch["weights"])
    assert len(batch["cls"]) == len(batch["bboxes"]) == len(batch["batch_idx"]) == rows > 0
    assert set(batch["weights"].tolist()) == {0.75}


def test_boxes_that_ultralytics_lets_pass_are_clipped_or_left_out(data, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    (tmp_path / "images/00.png").write_bytes((data.parent / "images/train/00.png").read_bytes())
    (tmp_path / "labels/00.txt").write_text("0 0.99 0.5 0.1 0.5\n1 0.5 0.5 0 0.2\n2 0 0 1 1\n")
    described = json.loads(data.read_text()) | {"path": str(tmp_path), "train": "images", "val": "images"}
    (tmp_path / "data.yaml").write_text(json.dumps(described))
    trainer = mixup_trainer(pipeline_of(A.NoOp(), bbox_format="yolo"))
    [batch] = loader_of(tmp_path / "data.yaml", tmp_path, trainer).train_loader
    [(xyxy, ids, weights)] = per_image(batch)
    np.testing.assert_allclose(xyxy, [[150.4, 50, 160, 110], [0, 20, 80, 80]], atol=1e-3)
    assert ids == [0, 2]
    assert weights.tolist() == [1, 1]


def test_pickled_into_a_spawned_worker_and_cached_images_stay_as_they_are(data, tmp_path):
    mixup = MixUp(sample_dataset(), p=1.0)
    dataset = loader_of(data, tmp_path, mixup_trainer(pipeline_of(mixup)), cache="ram").train_loader.dataset
    before = [dataset.ims[number].copy() for number in range(len(dataset))]
    samples = [pickle.loads(pickle.dumps(dataset))[number] for number in range(2)]
    assert all(len(sample["weights"]) == len(sample["cls"]) > 0 for sample in samples)
    _ = [dataset[number] for number in range(len(dataset))]
    assert all(np.array_equal(dataset.ims[number], image) for number, image in enumerate(before))


def test_workers_keep_the_memory_that_they_free(data, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr("alb_mixup.integrations.ultralytics.augmentation.keep_freed_memory", lambda: kept.append(True))
    pipeline = pipeline_of(MixUp(sample_dataset(), p=1.0))
    dataset = loader_of(data, tmp_path, mixup_trainer(pipeline)).train_loader.dataset
    _ = dataset[0]
    assert not kept  # the trainer's own process is not ours to tune
    monkeypatch.setattr("alb_mixup.integrations.ultralytics.augmentation.get_worker_info", lambda: "a worker")
    _ = [dataset[number] for number in range(3)]
    assert len(kept) == 1


# ---------------------------------------------------------------- weights of the training set, classes


def weighted_files(data, root):
    """The training set with a weight in each row, different ones; the data.yaml and each image's weights."""
    weights = {}
    for file in sorted((data.parent / "labels/train").glob("*.txt")):
        rows = file.read_text().splitlines()
        weights[file.stem] = [round(0.05 + (int(file.stem) * 37 + row * 11) % 90 / 100, 2) for row in range(len(rows))]
        (root / "labels/train").mkdir(parents=True, exist_ok=True)
        lines = [f"{row} {weight}" for row, weight in zip(rows, weights[file.stem], strict=True)]
        (root / "labels/train" / file.name).write_text("\n".join(lines))
    shutil.copytree(data.parent / "images/train", root / "images/train")  # no link, which Ultralytics would follow
    described = json.loads(data.read_text()) | {"path": str(root), "val": str(data.parent / "images/val")}
    (root / "data.yaml").write_text(json.dumps(described))
    return root / "data.yaml", weights


@pytest.mark.parametrize("after_builtin", [False, True])
def test_weights_of_label_files_come_with_their_boxes(data, tmp_path, after_builtin):
    weighted, expected = weighted_files(data, tmp_path)
    trainer = mixup_trainer(pipeline_of(A.NoOp()), after_builtin=after_builtin)
    builtin = NO_BUILTIN | {"flipud": 1.0, "fliplr": 1.0}
    loader = loader_of(weighted, tmp_path, trainer, **builtin).train_loader
    assert len(loader.dataset) == TRAIN
    for batch in loader:
        for file, (_, ids, weights) in zip(batch["im_file"], per_image(batch), strict=True):
            number = Path(file).stem
            assert ids == [sample_dataset().classes.index(label) for label in sample_dataset()[int(number)]["labels"]]
            np.testing.assert_allclose(weights, expected[number])


def test_weights_follow_their_boxes_through_mosaic_and_mixup_of_both_kinds(data, tmp_path):
    weighted, _ = weighted_files(data, tmp_path)
    for file in (tmp_path / "labels/train").glob("*.txt"):  # the weight says the class: 0.2, 0.4, 0.6
        rows = [row.split()[:5] for row in file.read_text().splitlines()]
        file.write_text("\n".join(" ".join([*row, str((int(row[0]) + 1) / 5)]) for row in rows))
    trainer = mixup_trainer(pipeline_of(MixUp(ratio_range=(0.5, 0.5), p=1.0)), after_builtin=True)
    builtin = {"mosaic": 1.0, "mixup": 1.0, "cutmix": 0.5, "scale": 0.5, "augmentations": [A.HorizontalFlip(p=0.5)]}
    for batch in loader_of(weighted, tmp_path, trainer, **builtin).train_loader:
        assert len(batch["cls"]) > 50
        np.testing.assert_allclose(batch["weights"], (batch["cls"].ravel() + 1) / 10, atol=1e-6)


def test_what_generate_writes_is_trained_on_with_its_weights(data, tmp_path):
    source = YoloDataset(data, split="train")
    generate(source, tmp_path / "mixed", output_format="yolo", image_format="png", progress=False)
    described = json.loads(data.read_text())
    written = yaml.safe_load((tmp_path / "mixed/data.yaml").read_text()) | {"val": str(data.parent / described["val"])}
    (tmp_path / "mixed/data.yaml").write_text(json.dumps(written | {"path": str(tmp_path / "mixed")}))
    seen = []
    train(
        tmp_path / "mixed/data.yaml", tmp_path, mixup_trainer(pipeline_of(A.HorizontalFlip())), epochs=1,
        callbacks={"on_train_batch_end": lambda trainer: seen.append(weights_of(trainer))},
    )  # fmt: skip
    mixed = YoloDataset(tmp_path / "mixed/data.yaml", split="train")
    expected = sorted(weight for index in range(len(mixed)) for weight in mixed.annotations(index)["mixup_weight"])
    assert len(set(expected)) > TRAIN
    np.testing.assert_allclose(sorted(torch.cat(seen).tolist()), expected, atol=1e-6)


def test_ultralytics_itself_parses_a_set_from_a_pipeline_with_originals(data, tmp_path):
    source = YoloDataset(data, split="train")
    pipeline = pipeline_of(MixUp(ratio_range=(0.4, 0.6), p=0.7), A.HorizontalFlip(p=0.5), A.RandomCrop(100, 100, p=0.5))
    generate(
        source, tmp_path / "set", output_format="yolo", image_format="png", pipeline=pipeline, include_originals=True,
        multiplier=3, drop_weights=True, val=data.parent / "images" / "val", progress=False,
    )  # fmt: skip
    made = YoloDataset(tmp_path / "set" / "data.yaml", split="train")
    described = yaml.safe_load((tmp_path / "set" / "data.yaml").read_text())
    parsed = YOLODataset(
        img_path=str(tmp_path / "set" / "images" / "train"), data=described, task="detect", augment=False
    )
    labels = {Path(label["im_file"]).name: label for label in parsed.labels}
    assert len(labels) == len(made) == 4 * TRAIN
    for index in range(len(made)):
        label, expected = labels[made.image_path(index).name], made.annotations(index)
        assert [described["names"][int(class_id)] for class_id in label["cls"].ravel()] == expected["labels"]
        np.testing.assert_allclose(label["bboxes"].reshape(-1, 4), expected["bboxes"].reshape(-1, 4), atol=1e-6)
    for number in range(TRAIN):
        expected = from_xyxy(to_xyxy(source.annotations(number)["bboxes"], "yolo", (120, 160)), "yolo", (120, 160))
        np.testing.assert_allclose(labels[f"original_{number:06d}.png"]["bboxes"], expected, atol=1e-6)


def test_a_dataset_of_this_package_takes_the_place_of_the_training_set(data, tmp_path):
    dataset = sample_dataset()
    trainer = mixup_trainer(pipeline_of(MixUp(p=0.0)), dataset=dataset)
    loader = loader_of(data, tmp_path, trainer).train_loader
    assert len(loader.dataset) == len(dataset)
    for batch in loader:
        for file, (xyxy, ids, _) in zip(batch["im_file"], per_image(batch), strict=True):
            [index] = [i for i in range(len(dataset)) if dataset.image_path(i).samefile(file)]
            found, (height, width) = dataset[index], dataset.image_size(index)
            scale = 160 / max(height, width)
            shift = np.tile([(160 - width * scale) / 2, (160 - height * scale) / 2], 2)
            np.testing.assert_allclose(xyxy, found["bboxes"] * scale + shift, atol=0.6)
            assert ids == [dataset.classes.index(label) for label in found["labels"]]


def test_confidences_of_pseudo_labels_are_weights_of_primaries(data, tmp_path):
    dataset = sample_dataset()
    detections = {}
    for index in range(3):
        found = dataset[index]
        class_ids = np.array([dataset.classes.index(label) for label in found["labels"]])
        confidence = np.full(len(class_ids), 0.5)
        detections[str(dataset.image_path(index))] = SimpleNamespace(
            xyxy=found["bboxes"], class_id=class_ids, confidence=confidence
        )
    pseudo = PseudoLabelDataset(detections, classes=dataset.classes)
    trainer = mixup_trainer(pipeline_of(MixUp(ratio_range=(0.5, 0.5), p=1.0)), dataset=pseudo)
    [batch] = loader_of(data, tmp_path, trainer).train_loader
    assert set(batch["weights"].tolist()) == {0.25}


def test_one_class_for_all(data, tmp_path):
    for mixup in (MixUp(sample_dataset(), p=1.0), MixUp(p=1.0)):
        [batch, *_] = loader_of(data, tmp_path, mixup_trainer(pipeline_of(mixup)), single_cls=True).train_loader
        assert set(batch["cls"].ravel().tolist()) == {0.0}
        assert len(batch["cls"]) == len(batch["weights"])


def test_some_classes_only(data, tmp_path):
    weighted, _ = weighted_files(data, tmp_path)
    for mixup in (MixUp(sample_dataset(), p=1.0), MixUp(p=1.0)):
        built = loader_of(weighted, tmp_path, mixup_trainer(pipeline_of(mixup)), classes=[0, 2])
        batches = list(built.train_loader)
        assert {class_id for batch in batches for class_id in batch["cls"].ravel().tolist()} == {0.0, 2.0}
        assert all(len(batch["cls"]) == len(batch["weights"]) == len(batch["bboxes"]) for batch in batches)


# ---------------------------------------------------------------- instance masks


def ellipse(box, count=40):
    """The outline of the ellipse in a box, (count, 2)."""
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centre, radii = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return centre + radii * np.stack([np.cos(turns), np.sin(turns)], 1)


@pytest.fixture(scope="module")
def polygons(data, tmp_path_factory):
    """The same images, each object an ellipse."""
    root = tmp_path_factory.mktemp("polygons")
    shutil.copytree(data.parent / "images", root / "images")
    for file in sorted((data.parent / "labels").glob("*/*.txt")):
        lines = []
        for row in np.array([line.split() for line in file.read_text().splitlines()], float).reshape(-1, 5):
            [xyxy] = to_xyxy(row[None, 1:], "yolo", (1, 1))
            lines.append(" ".join(map(str, [int(row[0]), *ellipse(xyxy).clip(0, 1).ravel().tolist()])))
        (root / "labels" / file.parent.name).mkdir(parents=True, exist_ok=True)
        (root / "labels" / file.parent.name / file.name).write_text("\n".join(lines))
    (root / "data.yaml").write_text(json.dumps(json.loads(data.read_text()) | {"path": str(root)}))
    return root / "data.yaml"


def segment_loader(polygons, tmp_path, pipeline, **more):
    trainer = mixup_trainer(pipeline, after_builtin=more.pop("after_builtin", False))
    overrides = settings_of(polygons, tmp_path, model="yolo11n-seg.yaml", task="segment", mode="train", mask_ratio=1)
    built = trainer(overrides=overrides | more)
    built.setup_model()
    return built.get_dataloader(built.data["train"], built.args.batch, rank=-1, mode="train")


def masks_of(batch, overlap):
    """Each image's masks, in the order of its boxes."""
    for number in range(len(batch["img"])):
        rows = (batch["batch_idx"] == number).nonzero().ravel()
        if overlap:
            yield [(batch["masks"][number] == position + 1).numpy() for position in range(len(rows))]
        else:
            yield [batch["masks"][row].bool().numpy() for row in rows]


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("bbox_format", ["pascal_voc", "yolo"])
def test_masks_lie_in_their_boxes_with_classes_and_weights(polygons, tmp_path, overlap, bbox_format):
    mixup = MixUp(YoloDataset(polygons, split="val", masks=True), ratio_range=(0.75, 0.75), p=1.0)
    pipeline = pipeline_of(mixup, A.HorizontalFlip(p=1.0), bbox_format=bbox_format)
    loader = segment_loader(polygons, tmp_path, pipeline, overlap_mask=overlap)
    whole = np.pi / 4
    for batch in loader:
        assert len(batch["weights"]) == len(batch["cls"]) == len(batch["bboxes"])
        for (xyxy, ids, weights), masks, file in zip(
            per_image(batch), masks_of(batch, overlap), batch["im_file"], strict=True
        ):
            own = sample_dataset()[int(Path(file).stem)]
            own_ids = [sample_dataset().classes.index(label) for label in own["labels"]]
            flipped = (160, 20, 160, 20) + own["bboxes"][:, [2, 1, 0, 3]] / 4 * (-1, 1, -1, 1)
            for box, class_id, weight, mask in zip(xyxy, ids, weights, masks, strict=True):
                area = np.prod(box[2:] - box[:2])
                rows, columns = mask.nonzero()
                if not overlap:
                    assert mask.sum() == pytest.approx(whole * area, rel=0.35, abs=25)
                if len(rows):
                    assert columns.min() >= box[0] - 1.5
                    assert columns.max() <= box[2] + 1.5
                    assert rows.min() >= box[1] - 1.5
                    assert rows.max() <= box[3] + 1.5
                of_primary = np.abs(flipped - box).max(axis=1).min() < 1
                assert weight == (0.75 if of_primary else 0.25)
                if of_primary:
                    assert class_id == own_ids[int(np.abs(flipped - box).max(axis=1).argmin())]
            assert (weights == 0.75).sum() == len(own_ids)


def test_masks_after_the_builtin_augmentations_and_partners_with_them(polygons, tmp_path):
    pipeline = pipeline_of(MixUp(p=1.0))
    builtin = {"mosaic": 1.0, "copy_paste": 0.5, "degrees": 10.0, "scale": 0.5, "overlap_mask": False}
    loader = segment_loader(polygons, tmp_path, pipeline, after_builtin=True, **builtin)
    for batch in loader:
        for (xyxy, _, weights), masks in zip(per_image(batch), masks_of(batch, overlap=False), strict=True):
            assert len(weights) == len(masks) > 0
            for box, mask in zip(xyxy, masks, strict=True):
                rows, columns = mask.nonzero()
                if len(rows):
                    inside = [columns.min() >= box[0] - 2, columns.max() <= box[2] + 2]
                    inside += [rows.min() >= box[1] - 2, rows.max() <= box[3] + 2]
                    assert all(inside)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_an_image_without_objects_among_masks(polygons, tmp_path, p):
    shutil.copytree(polygons.parent, tmp_path / "set")
    for name in ("00.txt", "03.txt"):
        (tmp_path / "set/labels/train" / name).write_text("")
    described = json.loads(polygons.read_text()) | {"path": str(tmp_path / "set")}
    (tmp_path / "set/data.yaml").write_text(json.dumps(described))
    pipeline = pipeline_of(MixUp(p=p), A.HorizontalFlip(p=1.0), A.VerticalFlip(p=1.0))
    batches = list(segment_loader(tmp_path / "set/data.yaml", tmp_path, pipeline, overlap_mask=False))
    assert sum(len(batch["im_file"]) for batch in batches) == TRAIN
    assert all(len(batch["masks"]) == len(batch["bboxes"]) == len(batch["weights"]) for batch in batches)
    empty = sum(TRAIN / 2 - len(batch["batch_idx"].unique()) for batch in batches)
    assert empty == 2 * (1 - p)


def test_boxes_that_are_dropped_need_numbers_for_their_masks(polygons, tmp_path):
    with pytest.raises(SampleError, match=r"masks must be one for each of \d+ boxes, got .*'mask_index'"):
        list(segment_loader(polygons, tmp_path, pipeline_of(A.Crop(x_min=0, y_min=0, x_max=60, y_max=60))))


@pytest.mark.parametrize("reference", [True, False])
def test_numbered_masks_stay_with_their_boxes_where_others_are_dropped(polygons, tmp_path, reference):
    found = YoloDataset(polygons, split="val", masks=True)
    samples = [dict(found[index]) | {"mask_index": list(range(len(found[index]["labels"])))} for index in range(4)]
    samples = [sample | {"bboxes": to_xyxy(sample["bboxes"], "yolo", (120, 160))} for sample in samples]
    mixup = MixUp(samples if reference else None, ratio_range=(0.75, 0.75), p=1.0, index_fields=["mask_index"])
    fields = ["labels", "mixup_weight", "mask_index"]
    crop = A.Crop(x_min=20, y_min=20, x_max=120, y_max=100)
    pipeline = A.Compose([mixup, crop], bbox_params=A.BboxParams("pascal_voc", label_fields=fields))
    whole = 0
    for batch in segment_loader(polygons, tmp_path, pipeline, overlap_mask=False):
        for (xyxy, _, weights), masks in zip(per_image(batch), masks_of(batch, overlap=False), strict=True):
            assert set(weights.tolist()) == {0.25, 0.75}
            for box, mask in zip(xyxy, masks, strict=True):
                rows, columns = mask.nonzero()
                if (box[2:] - box[:2]).min() > 8 and box.min() > 1 and box.max() < 159 and 17 < box[1] < box[3] < 143:
                    hull = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                    np.testing.assert_allclose(hull, box, atol=3)
                    whole += 1
    assert whole > 30


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rule", RULES)
def test_segmentation_trains_through_its_own_front_door(polygons, tmp_path, model, rule):
    seen = []
    mixup = MixUp(YoloDataset(polygons, split="train", masks=True), p=1.0)
    trainer = train(
        polygons, tmp_path, mixup_trainer(pipeline_of(mixup, A.HorizontalFlip()), rule=rule), f"{model}-seg.yaml",
        {"on_train_batch_end": lambda trainer: seen.append(weights_of(trainer))}, epochs=4, val=True,
    )  # fmt: skip
    assert len(seen) == 8
    assert all(((weights < 1) & (weights > 0)).all() for weights in seen)
    rows = list(csv.DictReader(trainer.csv.read_text().splitlines()))
    totals = [sum(float(row[f"train/{name}_loss"]) for name in ("box", "seg", "cls")) for row in rows]
    assert totals[-1] < totals[0]
    with zipfile.ZipFile(trainer.last) as checkpoint:
        assert not any(b"alb_mixup" in checkpoint.read(name) for name in checkpoint.namelist())


# ---------------------------------------------------------------- oriented boxes

only_oriented = pytest.mark.skipif(not IS_X, reason="albumentations 2.0.8 has no oriented boxes")


@pytest.fixture(scope="module")
def oriented(tmp_path_factory):
    """Images of one bright rectangle each, 60 × 24, turned by various angles; the last ones validate."""
    root = tmp_path_factory.mktemp("oriented")
    for number in range(14):
        split, angle = "train" if number < TRAIN else "val", np.deg2rad(number * 25)
        box = np.array([[80 + 3 * (number % 5), 60 - 2 * (number % 4), 60, 24, angle]])
        [corners] = xywhr2xyxyxyxy(box)
        image = np.zeros((120, 160, 3), np.uint8)
        cv2.fillPoly(image, [np.round(corners * 16).astype(int)], (250, 250, 250), cv2.LINE_AA, shift=4)
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / split / f"{number:02}.png"), image)
        row = " ".join(map(str, [number % 2, *(corners / [160, 120]).ravel().tolist()]))
        (root / "labels" / split / f"{number:02}.txt").write_text(row)
    described = {"path": str(root), "train": "images/train", "val": "images/val", "names": ["even", "odd"]}
    (root / "data.yaml").write_text(json.dumps(described))
    return root / "data.yaml"


def oriented_pipeline(*transforms, bbox_format="pascal_voc"):
    params = {"bbox_type": "obb", "clip_after_transform": False, "label_fields": ["labels", "mixup_weight"]}
    return A.Compose(list(transforms), bbox_params=A.BboxParams(bbox_format, **params))


@only_oriented
@pytest.mark.parametrize("bbox_format", ["pascal_voc", "yolo"])
@pytest.mark.parametrize("after_builtin", [False, True])
def test_oriented_boxes_lie_on_their_objects(oriented, tmp_path, bbox_format, after_builtin):
    mixup = MixUp(ratio_range=(0.75, 0.75), p=1.0)
    turn = A.Affine(rotate=(15, 40), p=1.0)
    pipeline = oriented_pipeline(mixup, A.HorizontalFlip(p=0.5), turn, bbox_format=bbox_format)
    trainer = mixup_trainer(pipeline, after_builtin=after_builtin)
    overrides = settings_of(oriented, tmp_path, model="yolo11n-obb.yaml", task="obb", mode="train", mosaic=0.0)
    built = trainer(overrides=overrides | {"degrees": 45.0, "hsv_v": 0.0, "hsv_s": 0.0, "hsv_h": 0.0, "erasing": 0.0})
    built.setup_model()
    for batch in built.get_dataloader(built.data["train"], 5, rank=-1, mode="train"):
        for number in range(len(batch["img"])):
            rows = batch["batch_idx"] == number
            assert sorted(batch["weights"][rows].tolist()) == [0.25, 0.75]
            covered = np.zeros((160, 160), np.uint8)
            for box, weight in zip(batch["bboxes"][rows], batch["weights"][rows].tolist(), strict=True):
                corners = xywhr2xyxyxyxy(box * torch.tensor([160, 160, 160, 160, 1])).numpy().reshape(4, 2)
                drawn = np.zeros((160, 160), np.uint8)
                cv2.fillPoly(drawn, [np.round(corners).astype(int)], 1)
                inner = cv2.erode(drawn, np.ones((7, 7), np.uint8)) > 0
                pixels = batch["img"][number].permute(1, 2, 0).numpy()[..., 0]
                assert (pixels[inner] >= 250 * weight - 12).mean() > 0.97
                covered |= drawn
            outside = cv2.dilate(covered, np.ones((7, 7), np.uint8)) == 0
            assert not (pixels[outside] > 175).any()  # the padding is 114, or brighter where CLAHE has been


@only_oriented
@pytest.mark.parametrize("model", MODELS)
def test_oriented_boxes_train_through_their_own_front_door(oriented, tmp_path, model):
    seen = []
    trainer = train(
        oriented, tmp_path, mixup_trainer(oriented_pipeline(MixUp(p=1.0), A.HorizontalFlip())), f"{model}-obb.yaml",
        {"on_train_batch_end": lambda trainer: seen.append(weights_of(trainer))}, epochs=4, val=True,
    )  # fmt: skip
    assert len(seen) == 8
    assert all(((weights < 1) & (weights > 0)).all() for weights in seen)
    rows = list(csv.DictReader(trainer.csv.read_text().splitlines()))
    assert all(np.isfinite(float(row["train/angle_loss"])) for row in rows)
    assert float(rows[-1]["train/cls_loss"]) < float(rows[0]["train/cls_loss"])


def test_oriented_boxes_need_a_pipeline_that_keeps_their_angles(data, tmp_path):
    pipelines = [pipeline_of(MixUp())]
    if IS_X:
        fields = ["labels", "mixup_weight"]
        clipping = A.BboxParams("pascal_voc", bbox_type="obb", label_fields=fields)
        pipelines.append(A.Compose([MixUp()], bbox_params=clipping))
        with pytest.raises(ArgumentError, match=r"bbox_type must be 'obb' .* got 'obb' for 'detect'"):
            train(data, tmp_path, mixup_trainer(oriented_pipeline(MixUp())))
    for pipeline, argument in zip(pipelines, ("bbox_type", "clip_after_transform"), strict=False):
        with pytest.raises(ArgumentError, match=f"{argument} must be"):
            train(data, tmp_path, mixup_trainer(pipeline), "yolo11n-obb.yaml")


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("model", MODELS)
def test_training_brings_the_loss_down_and_reads_the_weights(data, tmp_path, model):
    seen = []
    trainer = train(
        data, tmp_path, mixup_trainer(pipeline_of(MixUp(sample_dataset(), p=1.0), A.HorizontalFlip())),
        f"{model}.yaml", {"on_train_batch_end": lambda trainer: seen.append(weights_of(trainer))},
        epochs=6, val=True,
    )  # fmt: skip
    assert len(seen) == 12
    assert all(((weights < 1) & (weights > 0)).all() for weights in seen)
    rows = list(csv.DictReader(trainer.csv.read_text().splitlines()))
    losses = [float(row["train/box_loss"]) + float(row["train/cls_loss"]) for row in rows]
    assert losses[-1] < losses[0] * 0.95
    assert np.isfinite([float(row["val/cls_loss"]) for row in rows]).all()
    validated = trainer.ema.ema.criterion  # by the stock loss: its batches have no weights
    assert type(getattr(validated, "one2one", validated)) is v8DetectionLoss
    with zipfile.ZipFile(trainer.last) as checkpoint:
        assert not any(b"alb_mixup" in checkpoint.read(name) for name in checkpoint.namelist())
    assert len(YOLO(trainer.last).predict(np.zeros((160, 160, 3), np.uint8), verbose=False)) == 1


@pytest.mark.parametrize("rule", RULES)
def test_rtdetr_trains_by_the_same_trainer(data, tmp_path, rule):
    seen = []

    def keep(trainer):
        criterion = trainer.model.criterion
        seen.append((criterion.rule, criterion.weights))

    (tmp_path / "rtdetr-tiny.yaml").write_text(json.dumps(TINY_RTDETR))
    model = RTDETR(tmp_path / "rtdetr-tiny.yaml")
    model.add_callback("on_train_batch_end", keep)
    trainer = mixup_trainer(pipeline_of(MixUp(p=1.0), A.HorizontalFlip()), rule=rule)
    model.train(trainer=trainer, **settings_of(data, tmp_path, epochs=4, val=True, deterministic=False))
    assert len(seen) == 8
    assert all(rule == found and ((weights > 0) & (weights < 1)).all() for found, weights in seen)
    rows = list(csv.DictReader(model.trainer.csv.read_text().splitlines()))
    totals = [sum(float(row[f"train/{name}"]) for name in ("giou_loss", "cls_loss", "l1_loss")) for row in rows]
    assert totals[-1] < totals[0]
    assert type(model.trainer.ema.ema.criterion) is RTDETRDetectionLoss
    assert isinstance(model.trainer.train_loader.dataset, RTDETRDataset)
    with zipfile.ZipFile(model.trainer.last) as checkpoint:
        assert not any(b"alb_mixup" in checkpoint.read(name) for name in checkpoint.namelist())
    assert len(RTDETR(model.trainer.last).predict(np.zeros((160, 160, 3), np.uint8), verbose=False)) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"rect": True, "multi_scale": 0.5},
        {"after_builtin": True, "mosaic": 1.0, "mixup": 0.5, "close_mosaic": 1, "cache": True, "val": True},
        {"after_builtin": True, "rect": True, "cls_pw": 0.5},
    ],
)
def test_training_with_other_settings(data, tmp_path, more):
    more = dict(more)
    trainer = mixup_trainer(pipeline_of(MixUp(sample_dataset())), after_builtin=more.pop("after_builtin", False))
    assert train(data, tmp_path, trainer, **more).epoch == 1


def test_close_mosaic_leaves_the_pipeline_and_the_schedule_is_followed_to_the_batch(data, tmp_path):
    schedule, seen = MixUpSchedule({0: 1.0, 1: 0.0, 3: 1.0}), []
    trainer = mixup_trainer(pipeline_of(MixUp(sample_dataset())), schedule=schedule)
    keep = {"on_train_batch_end": lambda trainer: seen.append((trainer.epoch, bool((weights_of(trainer) < 1).all())))}
    train(data, tmp_path, trainer, callbacks=keep, epochs=4, close_mosaic=2)
    assert seen == [(epoch, epoch in {0, 3}) for epoch in range(4) for _ in range(2)]


class CrashError(Exception):
    """A crash."""


def test_resuming_goes_on_with_schedule_and_loss(data, tmp_path):
    def crash(trainer):
        if trainer.epoch == 1:
            raise CrashError

    def make():
        return mixup_trainer(pipeline_of(MixUp(sample_dataset())), schedule=MixUpSchedule({0: 1.0, 3: 0.0}))

    with pytest.raises(CrashError):
        train(data, tmp_path, make(), "yolo26n.yaml", {"on_model_save": crash}, epochs=4, name="run")
    seen = []
    yolo = YOLO(tmp_path / "run" / "weights" / "last.pt")
    yolo.add_callback("on_train_epoch_start", lambda trainer: seen.append((trainer.epoch, trainer.model.criterion.o2m)))
    yolo.add_callback("on_train_batch_end", lambda trainer: seen.append((weights_of(trainer) < 1).any().item()))
    yolo.train(resume=True, trainer=make(), data=str(data))
    stock = E2ELoss(yolo.trainer.model)
    shares = []
    for _ in range(4):
        shares.append(stock.o2m)
        stock.update()
    assert seen == [(2, shares[2]), True, True, (3, shares[3]), False, False]
    assert isinstance(yolo.trainer.model.criterion.one2one, WeightedDetectionLoss)


def test_training_goes_on_after_a_loss_of_nan(data, tmp_path):
    """Ultralytics goes back to its last checkpoint, and copies the model that it validates from that in training."""
    lost, seen = [], []

    def lose(trainer):
        if trainer.epoch == 1 and not lost:
            lost.append(trainer.epoch)
            trainer.loss = trainer.loss * float("nan")

    (tmp_path / "rtdetr-tiny.yaml").write_text(json.dumps(TINY_RTDETR))
    model = RTDETR(tmp_path / "rtdetr-tiny.yaml")
    model.add_callback("on_train_epoch_end", lose)
    model.add_callback("on_fit_epoch_end", lambda trainer: seen.append(type(trainer.ema.ema.criterion)))
    model.add_callback("on_train_batch_end", lambda trainer: seen.append(type(trainer.model.criterion)))
    trainer = mixup_trainer(pipeline_of(MixUp(p=1.0)))
    model.train(trainer=trainer, **settings_of(data, tmp_path, epochs=3, val=True, deterministic=False))
    assert lost == [1]
    assert set(seen) == {RTDETRDetectionLoss, WeightedRTDETRLoss}
    assert len(seen) == 4 * 2 + 3 + 1  # batches, one epoch's twice; epochs and the last validation


def test_workers_follow_the_schedule_and_draw_apart(data, tmp_path):
    schedule = MixUpSchedule({0: 1.0, 1: 0.0, 2: 1.0})
    trainer = mixup_trainer(pipeline_of(MixUp(sample_dataset())), schedule=schedule)
    built = loader_of(data, tmp_path, trainer, workers=2, batch=2)
    loader = built.train_loader
    assert loader.num_workers == 2
    ratios = []
    for epoch in range(3):
        built.epoch = epoch
        built.run_callbacks("on_train_epoch_start")
        batches = list(loader)
        assert len(batches) == 5
        weights = torch.cat([batch["weights"] for batch in batches])
        assert (weights < 1).all() if epoch != 1 else (weights == 1).all()
        ratios += [float(weights[0]) for batch in batches for _, _, weights in per_image(batch)] if epoch != 1 else []
    assert len(set(ratios)) == len(ratios) == 20
    loader.close()


def test_spawned_workers_follow_the_schedule(data, tmp_path):
    schedule = MixUpSchedule({0: 1.0, 1: 0.0})
    trainer = mixup_trainer(pipeline_of(MixUp(sample_dataset())), schedule=schedule)
    dataset = loader_of(data, tmp_path, trainer).train_loader.dataset
    schedule.set_epoch(1)
    # Not Ultralytics' endless loader: spawned workers that are stopped amid their work may abort, whatever they load.
    workers = {"num_workers": 2, "multiprocessing_context": "spawn"}
    loader = torch.utils.data.DataLoader(dataset, 5, collate_fn=dataset.collate_fn, **workers)
    assert all((batch["weights"] == 1).all() and len(batch["weights"]) for batch in loader)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("weight_field", ["mixup_weight", None])
def test_mixup_among_ultralytics_own_augmentations_is_refused(data, tmp_path, weight_field):
    mixup = MixUp(sample_dataset(), p=1.0, weight_field=weight_field)
    # Of AlbumentationsX, Ultralytics can build no pipeline with boxes: it says so in its log and trains without one.
    refused = pytest.raises(SampleError, match=r"augmentations=.*alb_mixup\.integrations\.ultralytics")
    with contextlib.nullcontext() if IS_X else refused:
        train(data, tmp_path, None, augmentations=[mixup], epochs=1)
    with pytest.raises(SerializationError, match=r"mixup_trainer.*alb_mixup\.integrations\.ultralytics"):
        train(data, tmp_path, None, augmentations=[MixUp([sample_dataset()[0]], weight_field=weight_field)], epochs=1)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (MixUp(sample_dataset()), "A.Compose, got MixUp"),
        (A.Compose([MixUp(sample_dataset())]), "got None"),
        (A.Compose([A.NoOp()], bbox_params=A.BboxParams("yolo", label_fields=["labels"])), r"got \['labels'\]"),
    ],
)
def test_other_pipelines_are_refused(pipeline, message):
    with pytest.raises(ArgumentError, match=message):
        mixup_trainer(pipeline)


def test_a_schedule_needs_a_mixup_and_a_rule_is_one_of_two():
    with pytest.raises(ArgumentError, match="must hold a MixUp"):
        mixup_trainer(pipeline_of(A.HorizontalFlip()), schedule=MixUpSchedule({0: 1.0}))
    with pytest.raises(ArgumentError, match="rule must be one of interpolate, scale, got 'soft'"):
        mixup_trainer(pipeline_of(MixUp()), rule="soft")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"single_cls": True, "classes": [0]}, r"classes must be left out with mixup_trainer, got \[0\]"),
        ({"augmentations": [A.Blur()]}, "augmentations must be left out"),
        ({"distill_model": "yolo11n.yaml"}, "distill_model must be left out"),
        ({"model": "yolo11n-pose.yaml"}, "got 'pose': left and right points would have to change names at flips"),
        ({"model": "yolo11n-cls.yaml"}, "got 'classify': it has no boxes"),
        (
            {"model": "yolov8s-worldv2.yaml"},
            "got one whose head is WorldDetect: take one of these, or write mixed images",
        ),
        ({"model": "yoloe-11s.yaml"}, "got one whose head is YOLOEDetect: take one of these, or write mixed images"),
    ],
)
def test_settings_that_would_go_wrong_are_refused(data, tmp_path, monkeypatch, more, message):
    trainer = mixup_trainer(pipeline_of(MixUp(sample_dataset())))
    yolo = YOLO(more.pop("model", "yolo11n.yaml"))
    built = lambda *args, **settings: pytest.fail("a model was built")  # noqa: E731
    monkeypatch.setattr(DetectionModel, "__init__", built)
    with pytest.raises(ArgumentError, match=message):
        yolo.train(trainer=trainer, **settings_of(data, tmp_path, **more))


def test_names_that_differ_are_told_apart_when_the_trainer_is_built(data, tmp_path):
    described = json.loads(data.read_text()) | {"names": ["Platelets", "red", "WBC"]}
    (tmp_path / "data.yaml").write_text(json.dumps(described))
    for settings in ({"pipeline": pipeline_of(MixUp(sample_dataset()))},
                     {"pipeline": pipeline_of(MixUp()), "dataset": sample_dataset()}):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"classes must be class names .* got \['RBC'\]: rename them"):
            train(tmp_path / "data.yaml", tmp_path, mixup_trainer(settings.pop("pipeline"), **settings))


def test_a_dataset_is_one_of_this_package_and_whole(data, tmp_path):
    with pytest.raises(ArgumentError, match="dataset must be a file-backed dataset of this package, or None, got list"):
        mixup_trainer(pipeline_of(MixUp()), dataset=[])
    with pytest.raises(ArgumentError, match=r"fraction must be 1\.0 with a dataset, got 0.5"):
        train(data, tmp_path, mixup_trainer(pipeline_of(MixUp()), dataset=sample_dataset()), fraction=0.5)


def test_two_classes_of_one_name_are_refused(data, tmp_path):
    described = json.loads(data.read_text()) | {"names": ["a", "b", "a"]}
    (tmp_path / "data.yaml").write_text(json.dumps(described))
    with pytest.raises(ArgumentError, match="names must differ"):
        train(tmp_path / "data.yaml", tmp_path, mixup_trainer(pipeline_of(MixUp(sample_dataset()))))


def test_a_class_that_the_data_lacks_is_named(data, tmp_path):
    reference = [partner_of(0)[0] | {"labels": ["leukocyte"] * len(partner_of(0)[0]["labels"])}]
    trainer = mixup_trainer(pipeline_of(MixUp(reference, p=1.0)))
    with pytest.raises(SampleError, match=r"\['Platelets', 'RBC', 'WBC'\], got 'leukocyte'"):
        train(data, tmp_path, trainer)


def test_an_image_that_ultralytics_cannot_take_is_refused(data, tmp_path):
    trainer = mixup_trainer(pipeline_of(MixUp(sample_dataset()), A.ToFloat()))
    with pytest.raises(SampleError, match=r"float32 \(120, 160, 3\): leave A.Normalize"):
        train(data, tmp_path, trainer)


def test_another_loss_is_refused():
    class Model:
        criterion = torch.nn.MSELoss()

    with pytest.raises(ArgumentError, match="MSELoss"):
        weighted_criterion(Model())


# ---------------------------------------------------------------- their label parser, for our YoloDataset


def parsed_by_both(root, split="train"):
    """For each image file: xyxy in pixels and class names, from Ultralytics' parser and from ours."""
    described = json.loads((root / "data.yaml").read_text())
    names = dict(enumerate(described["names"]))
    theirs, ours = {}, YoloDataset(root / "data.yaml", split=split)
    for label in YOLODataset(str(root / "images" / split), data={"names": names}, augment=False).labels:
        height, width = label["shape"]
        xyxy = to_xyxy(label["bboxes"], "yolo", (height, width)).clip(0, [width, height, width, height])
        classes = [names[int(class_id)] for class_id in label["cls"].ravel()]
        theirs[Path(label["im_file"]).name] = ((height, width), sorted(zip(classes, xyxy.tolist(), strict=True)))
    found = {}
    for number in range(len(ours)):
        annotations, size = ours.annotations(number), ours.image_size(number)
        xyxy = to_xyxy(annotations["bboxes"], "yolo", size)
        rows = sorted(zip(annotations["labels"], xyxy.tolist(), strict=True))
        found[ours.image_path(number).name] = (size, rows)
    return theirs, found


def assert_same_annotations(theirs, ours):
    assert theirs.keys() == ours.keys()
    for name, (size, rows) in theirs.items():
        assert ours[name][0] == size, name
        assert [label for label, _ in ours[name][1]] == [label for label, _ in rows], name
        if rows:
            np.testing.assert_allclose(*([xyxy for _, xyxy in side] for side in (ours[name][1], rows)), atol=0.01)


def test_yolo_dataset_agrees_on_real_data(data):
    for split, count in (("train", TRAIN), ("val", len(sample_dataset()) - TRAIN)):
        theirs, ours = parsed_by_both(data.parent, split)
        assert len(theirs) == count
        assert_same_annotations(theirs, ours)


ODD_LABELS = {
    "ü b.JPG": b"\xef\xbb\xbf0 0.5 0.5 0.2 0.4\r\n2 0.25 0.75 0.1 0.1\r\n",
    "gray.jpeg": b"1 0.1 0.2 0.2 0.4\n\n0 0.9 0.9 0.1 0.1",
    "alpha.png": b"2\t0.5 0.5  1 1\n",
    "rounding.bmp": b"1 0.5001 0.5 1 1\n0 0.005 0.5 0.0102 0.5\n",
    "polygon.png": b"1 0.1 0.2 0.5 0.2 0.5 0.6\n2 0.25 0.25 0.75 0.25 0.75 0.75 0.3 0.8\n",
    "empty.png": b"",
    "missing.png": None,
    "turned.jpg": b"0 0.25 0.5 0.5 0.2\n",
}


def test_yolo_dataset_agrees_on_oddities(tmp_path):
    for folder in ("images/train", "labels/train"):
        (tmp_path / folder).mkdir(parents=True)
    described = {"path": str(tmp_path), "train": "images/train", "names": ["big dog", "Käfer", "猫"]}
    (tmp_path / "data.yaml").write_text(json.dumps(described))
    for name, labels in ODD_LABELS.items():
        image, exif = Image.fromarray(picture(height=30, width=40)), Image.Exif()
        if name == "turned.jpg":
            exif[0x0112] = 6
        mode = {"gray.jpeg": "L", "alpha.png": "RGBA"}.get(name, "RGB")
        image.convert(mode).save(tmp_path / "images/train" / name, exif=exif)
        if labels is not None:
            (tmp_path / "labels/train" / name).with_suffix(".txt").write_bytes(labels)
    theirs, ours = parsed_by_both(tmp_path)
    assert theirs.keys() == ODD_LABELS.keys()
    assert ours["turned.jpg"][0] == (40, 30)
    assert_same_annotations(theirs, ours)


def test_equal_rows_are_one_box_to_ultralytics_and_each_a_box_to_us(tmp_path):
    for folder in ("images/train", "labels/train"):
        (tmp_path / folder).mkdir(parents=True)
    described = {"path": str(tmp_path), "train": "images/train", "names": ["a"]}
    (tmp_path / "data.yaml").write_text(json.dumps(described))
    Image.fromarray(picture()).save(tmp_path / "images/train/a.png")
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 0.2 0.4\n" * 2)
    theirs, ours = parsed_by_both(tmp_path)
    assert [len(theirs["a.png"][1]), len(ours["a.png"][1])] == [1, 2]
