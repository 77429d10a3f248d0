"""Sets that hold the originals too: their pixels, boxes and weights, and what others read of such a set."""

import csv
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import supervision as sv
from PIL import Image
from pycocotools.coco import COCO

import alb_mixup
from alb_mixup import MixUp, generate
from alb_mixup.cli import main
from alb_mixup.errors import ArgumentError
from tests.generation.test_run import in_pixels
from tests.oracle import disagreements
from tests.support import layouts, tree
from tests.support.voc_files import add, picture

FORMATS = ("coco", "yolo", "voc")


def flip():
    return A.Compose(
        [MixUp(p=0.5), A.HorizontalFlip(p=0.5)],
        bbox_params=A.BboxParams("yolo", label_fields=["labels", "mixup_weight"]),
    )


@pytest.mark.parametrize("with_pipeline", [False, True])
@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("source_format", FORMATS)
def test_originals_are_the_source_in_pixels_boxes_labels_and_weights(
    source_format, output_format, with_pipeline, tmp_path
):
    source = alb_mixup.open_dataset(layouts.WRITERS[source_format](tmp_path / "source"))
    settings = {"output_format": output_format, "image_format": "png", "multiplier": 2, "progress": False}
    settings |= {"pipeline": flip()} if with_pipeline else {}
    root = generate(source, tmp_path / "set", include_originals=True, **settings)
    made = alb_mixup.open_dataset(root)
    assert len(made) == 12
    by_name = {made.image_path(index).name: index for index in range(12)}
    assert sorted(by_name) == [f"mixup_{n:06d}.png" for n in range(8)] + [f"original_{n:06d}.png" for n in range(4)]
    for number in range(4):
        expected = layouts.plain(number)
        got = in_pixels(made[by_name[f"original_{number:06d}.png"]], made.bbox_format)
        expected["image_dtype"] = np.uint8
        assert not disagreements(got, expected, image_tolerance=0, bbox_tolerance=0.001, weight_tolerance=1e-6)
        assert list(got["labels"]) == expected["labels"]
    with open(root / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "original_" in row["image"]]
    assert [(row["ratio"], Path(row["primary"]).name, row["partner"]) for row in rows] == [
        ("", f"{number}.png", "") for number in range(4)
    ]
    without = tree(generate(source, tmp_path / "without", **settings))  # mixes are the same with and without
    with_them = tree(root)
    assert all(with_them[path] == content for path, content in without.items() if "mixup_" in path)


def save_jpeg(path, image, **options):
    Image.fromarray(image).save(path, quality=90, **options)


def test_jpegs_are_copied_where_every_reader_sees_the_same_and_else_encoded_once(tmp_path):
    source = tmp_path / "source"
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = picture(40, 30)  # what viewers show of a stored 30 by 40
    kinds = {"plain": {}, "turned": {"exif": exif}, "grey": {}, "png": {}}
    for name in kinds:
        size = (40, 30) if name == "turned" else (30, 40)
        add(source, name, size=size, suffix=".png" if name == "png" else ".jpg", image=picture())
    images = source / "JPEGImages"
    save_jpeg(images / "plain.jpg", picture())
    save_jpeg(images / "turned.jpg", np.rot90(shown), exif=exif)
    save_jpeg(images / "grey.jpg", picture()[..., 0])
    dataset = alb_mixup.open_dataset(source)
    root = generate(dataset, tmp_path / "set", include_originals=True, quality=100, progress=False)
    made = alb_mixup.open_dataset(root)
    for index in range(4):
        name = dataset.image_path(index).stem
        path = made.image_path(4 + index)
        copied = path.read_bytes() == dataset.image_path(index).read_bytes()
        assert copied == (name == "plain"), name
        got, expected = made[4 + index]["image"], dataset[index]["image"]
        assert got.shape == expected.shape
        assert np.abs(got.astype(int) - expected).mean() <= (0 if copied else 2), name
        with Image.open(path) as opened:
            assert (opened.mode, opened.getexif().get(0x0112)) == ("RGB", None)


def test_an_original_of_a_changed_image_is_made_anew(tmp_path):
    source = alb_mixup.open_dataset(layouts.write_voc(tmp_path / "source"))
    root = generate(source, tmp_path / "set", include_originals=True, image_format="png", progress=False)
    source.image_path(0).write_bytes(source.image_path(2).read_bytes())  # of the same size
    generate(source, root, include_originals=True, image_format="png", progress=False)
    made = alb_mixup.open_dataset(root)
    np.testing.assert_array_equal(made[4]["image"], layouts.image(2))


def test_bad_values_are_refused(tmp_path):
    source = alb_mixup.open_dataset(layouts.write_voc(tmp_path / "source"))
    with pytest.raises(ArgumentError, match="include_originals must be True or False, got 1"):
        generate(source, tmp_path / "set", include_originals=1, progress=False)
    assert not (tmp_path / "set").exists()


def test_others_read_it_and_check_and_preview_take_it(tmp_path, capsys):
    dataset, pipeline = alb_mixup.sample_dataset(), tmp_path / "pipeline.json"
    A.save(flip(), pipeline)
    for output_format in FORMATS:
        root = tmp_path / output_format
        options = ["--format", output_format, "--pipeline", str(pipeline), "--include-originals", "--drop-weights"]
        assert main(["generate", str(dataset.root), str(root), *options, "-q"]) == 0
        assert main(["check", str(root)]) == 0
        assert "not as `generate` wrote it" not in capsys.readouterr().out
        assert main(["preview", str(root), "-n", "2", "-o", str(tmp_path / "page.png"), "-q"]) == 0
    corners = [dataset.annotations(index)["bboxes"] for index in range(14)]
    coco = COCO(str(tmp_path / "coco" / "annotations.json"))
    yolo = sv.DetectionDataset.from_yolo(
        str(tmp_path / "yolo/images/train"), str(tmp_path / "yolo/labels/train"), str(tmp_path / "yolo/data.yaml")
    )
    voc = sv.DetectionDataset.from_pascal_voc(str(tmp_path / "voc/JPEGImages"), str(tmp_path / "voc/Annotations"))
    assert len(coco.getImgIds()) == len(yolo) == len(voc) == 28
    ids = {image["file_name"]: image["id"] for image in coco.loadImgs(coco.getImgIds())}
    for number, expected in enumerate(corners):
        name = f"original_{number:06d}.jpg"
        found = np.array([entry["bbox"] for entry in coco.loadAnns(coco.getAnnIds(imgIds=[ids[name]]))])
        np.testing.assert_allclose(np.hstack([found[:, :2], found[:, :2] + found[:, 2:]]), expected, atol=1e-3)
        for read, folder in ((yolo, "yolo/images/train"), (voc, "voc/JPEGImages")):
            detections = read.annotations[str(tmp_path / folder / name)]
            np.testing.assert_allclose(detections.xyxy, expected, atol=1.01)
            labels = [read.classes[class_id] for class_id in detections.class_id]
            assert labels == dataset.annotations(number)["labels"]
