"""Small datasets in the folders that annotation tools export: `make(root)` writes one and returns what it holds.

The same images and boxes every time, all of them whole pixels, so that every format states them exactly.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from tests.support.voc_files import picture, save, voc_object, voc_xml

CLASSES = ["big dog", "cat"]  # sorted, as Pascal VOC names none
# image: (height, width), objects as (label, xyxy)
TRAIN = {
    "a": ((30, 40), [("cat", (2, 3, 20, 15)), ("big dog", (0, 0, 40, 30))]),
    "b": ((48, 32), [("cat", (5, 6, 7, 48))]),
    "c": ((30, 40), []),
}
VALID = {"d": ((25, 61), [("big dog", (30, 10, 32, 12))])}
TEST = {"e": ((20, 20), [("cat", (1, 1, 9, 9))])}


@dataclass
class Expected:
    """What `open_dataset(root)` must find.

    Attributes:
        layout: "coco", "yolo" or "voc".
        boxes: Stem of each image to its objects, (label, xyxy in pixels); of the split that is opened by default.
        splits: The splits that there are; empty where the export has none.
        other: The split that is not opened by default, and its boxes.
        images: The folder of the images, for an independent reader.
        labels: The folder of the labels, or the JSON file.
        names: The class names as they come out.
    """

    layout: str
    images: Path
    labels: Path
    boxes: dict = field(default_factory=lambda: boxes_of(TRAIN))
    splits: tuple = ("train",)
    other: tuple | None = None
    names: list = field(default_factory=lambda: list(CLASSES))


def boxes_of(images):
    return {stem: list(objects) for stem, (_, objects) in images.items()}


def read(dataset):
    """What a dataset holds, as `Expected.boxes`."""
    found = {}
    for index in range(len(dataset)):
        rows, (height, width) = dataset.annotations(index), dataset.image_size(index)
        boxes = np.asarray(rows["bboxes"], np.float64)
        if dataset.bbox_format == "coco":
            boxes = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        elif dataset.bbox_format == "yolo":
            boxes = np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2])
            boxes = boxes * [width, height, width, height]
        corners = [tuple(row) for row in boxes.round(3).tolist()]
        found[dataset.image_path(index).stem] = list(zip(rows["labels"], corners, strict=True))
    return found


# ---------------------------------------------------------------- pieces


def write_images(folder, images, suffix=".png"):
    for number, (stem, (size, _)) in enumerate(images.items()):
        save(folder / f"{stem}{suffix}", picture(*size, seed=number))


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def yolo_rows(size, objects):
    height, width = size
    return "".join(
        f"{CLASSES.index(label)} {(x1 + x2) / 2 / width!r} {(y1 + y2) / 2 / height!r} "
        f"{(x2 - x1) / width!r} {(y2 - y1) / height!r}\n"
        for label, (x1, y1, x2, y2) in objects
    )


def write_yolo(images_folder, labels_folder, images):
    write_images(images_folder, images)
    for stem, (size, objects) in images.items():
        write_text(labels_folder / f"{stem}.txt", yolo_rows(size, objects))


def write_voc(images_folder, xml_folder, images, suffix=".png"):
    write_images(images_folder, images, suffix)
    for stem, (size, objects) in images.items():
        written = [voc_object(label, (x1 + 1, y1 + 1, x2, y2)) for label, (x1, y1, x2, y2) in objects]
        write_text(xml_folder / f"{stem}.xml", voc_xml(*written, size=size, filename=f"{stem}{suffix}"))


def coco_lists(images, suffix=".png", prefix="", first_id=1):
    ids = {stem: first_id + number for number, stem in enumerate(images)}
    rows = [(stem, label, box) for stem, (_, objects) in images.items() for label, box in objects]
    return {
        "images": [
            {"id": ids[stem], "file_name": f"{prefix}{stem}{suffix}", "height": size[0], "width": size[1]}
            for stem, (size, _) in images.items()
        ],
        "annotations": [
            {
                "id": number + 1,
                "image_id": ids[stem],
                "category_id": CLASSES.index(label) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "segmentation": [],
                "iscrowd": 0,
            }
            for number, (stem, label, (x1, y1, x2, y2)) in enumerate(rows)
        ],
        "categories": [{"id": number + 1, "name": name, "supercategory": ""} for number, name in enumerate(CLASSES)],
    }


def write_json(path, content):
    return write_text(path, json.dumps(content))


# ---------------------------------------------------------------- YOLO


def label_studio_yolo(root):
    write_yolo(root / "images", root / "labels", TRAIN)
    write_text(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    write_json(root / "notes.json", {"categories": [{"id": 0, "name": "big dog"}], "info": {"year": 2026}})
    return Expected("yolo", root / "images", root / "labels")


def labelimg_yolo(root):
    write_yolo(root, root, TRAIN)
    write_text(root / "classes.txt", "\n".join(CLASSES))
    return Expected("yolo", root, root)


def cvat_yolo_1_1(root):
    """Also darknet's own layout."""
    write_yolo(root / "obj_train_data", root / "obj_train_data", TRAIN)
    write_text(root / "obj.names", "".join(f"{name}\n" for name in CLASSES))
    settings = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    write_text(root / "obj.data", settings)
    write_text(root / "train.txt", "".join(f"data/obj_train_data/{stem}.png\n" for stem in TRAIN))
    return Expected("yolo", root / "obj_train_data", root / "obj_train_data")


def cvat_yolo_1_1_of_subsets(root):
    """Subsets have CVAT's names, and images the folders that they were uploaded in."""
    folders = root / "obj_Train_data" / "images", root / "obj_Validation_data" / "images"
    write_text(root / "obj.names", "".join(f"{name}\n" for name in CLASSES))
    settings = "classes = 2\nTrain = data/Train.txt\nValidation = data/Validation.txt\nnames = data/obj.names\n"
    write_text(root / "obj.data", f"{settings}backup = backup/\n")
    for folder, name, images in zip(folders, ("Train", "Validation"), (TRAIN, VALID), strict=True):
        write_yolo(folder, folder, images)
        lines = "".join(f"data/obj_{name}_data/images/{stem}.png\n" for stem in images)
        write_text(root / f"{name}.txt", lines)
    other = ("Validation", boxes_of(VALID))
    return Expected("yolo", folders[0], folders[0], splits=("Train", "Validation"), other=other)


def roboflow_darknet(root):
    for split, images in {"train": TRAIN, "valid": VALID}.items():
        write_yolo(root / split, root / split, images)
        write_text(root / split / "_darknet.labels", "\n".join(CLASSES))
    write_text(root / "README.roboflow.txt", "exported via roboflow.com\n")
    other = ("valid", boxes_of(VALID))
    return Expected("yolo", root / "train", root / "train", splits=("train", "valid"), other=other)


def darknet(root):
    """All that is darknet's is in `data/`, paths are relative to where darknet was run, or absolute there."""
    write_yolo(root / "obj", root / "obj", {**TRAIN, **VALID})
    write_text(root / "obj.names", "".join(f"{name}\n" for name in CLASSES))
    settings = "classes=2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n"
    write_text(root / "obj.data", settings)
    write_text(root / "train.txt", "".join(f"data/obj/{stem}.png\n" for stem in TRAIN))
    write_text(root / "test.txt", "".join(f"/content/darknet/data/obj/{stem}.png\n" for stem in VALID))
    other = ("valid", boxes_of(VALID))
    return Expected("yolo", root / "obj", root / "obj", splits=("train", "valid"), other=other)


def cvat_ultralytics(root):
    write_yolo(root / "images" / "train", root / "labels" / "train", TRAIN)
    names = dict(enumerate(CLASSES))
    write_text(root / "data.yaml", yaml.safe_dump({"names": names, "path": ".", "train": "train.txt"}))
    write_text(root / "train.txt", "".join(f"data/images/train/{stem}.png\n" for stem in TRAIN))
    return Expected("yolo", root / "images" / "train", root / "labels" / "train")


def nc_without_names(root):
    write_yolo(root / "images" / "train", root / "labels" / "train", TRAIN)
    write_text(root / "data.yaml", "train: images/train\nnc: 2\n")
    boxes = {
        stem: [(f"class_{CLASSES.index(label)}", box) for label, box in objects]
        for stem, objects in boxes_of(TRAIN).items()
    }
    folders = root / "images" / "train", root / "labels" / "train"
    return Expected("yolo", *folders, boxes=boxes, names=["class_0", "class_1"])


def roboflow_yolo(root):
    splits = {"train": TRAIN, "valid": VALID, "test": TEST}
    for split, images in splits.items():
        write_yolo(root / split / "images", root / split / "labels", images)
    entries = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
    tail = "roboflow:\n  workspace: w\n  version: 1\n"
    write_text(root / "data.yaml", f"{entries}names: ['big dog', 'cat']\n\n{tail}")
    write_text(root / "README.roboflow.txt", "exported via roboflow.com\n")
    other = ("val", boxes_of(VALID))
    return Expected("yolo", root / "train/images", root / "train/labels", splits=("train", "val", "test"), other=other)


def fiftyone_yolo(root):
    for split, images in {"train": TRAIN, "val": VALID}.items():
        write_yolo(root / "images" / split, root / "labels" / split, images)
    settings = {
        "names": dict(enumerate(CLASSES)),
        "path": "/home/me/export",
        "train": "./images/train/",
        "val": "./images/val/",
    }
    write_text(root / "dataset.yaml", yaml.safe_dump(settings))
    other = ("val", boxes_of(VALID))
    return Expected("yolo", root / "images/train", root / "labels/train", splits=("train", "val"), other=other)


def fiftyone_yolo_v4(root):
    write_yolo(root / "data", root / "data", TRAIN)
    write_text(root / "obj.names", "\n".join(CLASSES))
    write_text(root / "images.txt", "".join(f"data/{stem}.png\n" for stem in TRAIN))
    return Expected("yolo", root / "data", root / "data")


def windows_yolo(root):
    """Backslashes in the data.yaml and in its lists."""
    for split, images in {"train": TRAIN, "val": VALID}.items():
        write_yolo(root / "images" / split, root / "labels" / split, images)
    entries = "path: C:\\Users\\me\\export\ntrain: images\\train\nval: lists\\val.txt\n"
    write_text(root / "data.yaml", f"{entries}names: [big dog, cat]\n")
    write_text(root / "lists" / "val.txt", "".join(f"images\\val\\{stem}.png\r\n" for stem in VALID))
    other = ("val", boxes_of(VALID))
    return Expected("yolo", root / "images/train", root / "labels/train", splits=("train", "val"), other=other)


# ---------------------------------------------------------------- Pascal VOC


def roboflow_voc(root):
    for split, images in {"train": TRAIN, "valid": VALID, "test": TEST}.items():
        write_voc(root / split, root / split, images, ".jpg")
    write_text(root / "README.roboflow.txt", "exported via roboflow.com\n")
    other = ("valid", boxes_of(VALID))
    return Expected("voc", root / "train", root / "train", splits=("test", "train", "valid"), other=other)


def kaggle_voc(root):
    write_voc(root / "images", root / "annotations", TRAIN)
    return Expected("voc", root / "images", root / "annotations", splits=())


def kaggle_voc_annots(root):
    write_voc(root / "Images", root / "Annots", TRAIN)
    return Expected("voc", root / "Images", root / "Annots", splits=())


def vocdevkit(root):
    """One folder too high."""
    voc = root / "VOC2012"
    write_voc(voc / "JPEGImages", voc / "Annotations", {**TRAIN, **VALID}, ".jpg")
    write_text(voc / "ImageSets" / "Main" / "train.txt", "".join(f"{stem}\n" for stem in TRAIN))
    write_text(voc / "ImageSets" / "Main" / "val.txt", "".join(f"{stem}\n" for stem in VALID))
    write_text(voc / "ImageSets" / "Main" / "cat_val.txt", "d -1\n")
    every = boxes_of({**TRAIN, **VALID})
    other = ("val", boxes_of(VALID))
    return Expected("voc", voc / "JPEGImages", voc / "Annotations", every, splits=("train", "val"), other=other)


def fiftyone_voc(root):
    write_voc(root / "data", root / "labels", TRAIN)
    return Expected("voc", root / "data", root / "labels", splits=())


def cvat_voc(root):
    write_voc(root / "JPEGImages", root / "Annotations", TRAIN)
    write_text(root / "ImageSets" / "Main" / "default.txt", "".join(f"{stem}\n" for stem in TRAIN))
    write_text(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbig dog:::\ncat:::\n")
    return Expected("voc", root / "JPEGImages", root / "Annotations", splits=("default",))


def cvat_voc_of_folders(root):
    """CVAT keeps the folders that images were uploaded in; two images may have one file name."""
    split = {"a": TRAIN["a"]}, {"b": TRAIN["b"], "c": TRAIN["c"]}
    for folder, images in zip(("", "second batch"), split, strict=True):
        write_voc(root / "JPEGImages" / folder, root / "Annotations" / folder, images)
    write_text(root / "ImageSets" / "Main" / "default.txt", "a\nsecond batch/b\nsecond batch/c\n")
    return Expected("voc", root / "JPEGImages", root / "Annotations", splits=("default",))


def annotations_in_xmls(root):
    """As Oxford-IIIT Pets and TensorFlow's tutorials have them."""
    write_voc(root / "images", root / "annotations" / "xmls", TRAIN)
    write_text(root / "annotations" / "README", "text")
    return Expected("voc", root / "images", root / "annotations" / "xmls", splits=())


# ---------------------------------------------------------------- COCO


def roboflow_coco(root):
    for split, images in {"train": TRAIN, "valid": VALID, "test": TEST}.items():
        write_images(root / split, images, ".jpg")
        write_json(root / split / "_annotations.coco.json", coco_lists(images, ".jpg"))
    write_text(root / "README.roboflow.txt", "exported via roboflow.com\n")
    other = ("valid", boxes_of(VALID))
    labels = root / "train" / "_annotations.coco.json"
    return Expected("coco", root / "train", labels, splits=("test", "train", "valid"), other=other)


def fiftyone_coco(root):
    write_images(root / "data", TRAIN)
    labels = write_json(root / "labels.json", {"info": {}, "licenses": [], **coco_lists(TRAIN)})
    return Expected("coco", root / "data", labels)


def cvat_coco(root):
    write_images(root / "images" / "default", TRAIN)
    labels = write_json(root / "annotations" / "instances_default.json", coco_lists(TRAIN))
    return Expected("coco", root / "images" / "default", labels)


def label_studio_coco(root):
    write_images(root / "images", TRAIN)
    labels = write_json(root / "result.json", coco_lists(TRAIN, prefix="images/", first_id=0))
    return Expected("coco", root, labels)


def coco_beside_unrelated_json(root):
    write_images(root / "images", TRAIN)
    labels = write_json(root / "annotations" / "instances_train2017.json", coco_lists(TRAIN))
    write_json(root / "annotations" / "captions_train2017.json", {"images": [], "annotations": []})
    for name in ("notes.json", "meta.json", "package.json"):
        write_json(root / name, {"name": "x", "images": 3})
    write_json(root / "list.json", [1, 2])
    write_text(root / "broken.json", "{")
    return Expected("coco", root / "images", labels)


def lvis(root):
    """Images are named by their URL alone."""
    write_images(root / "train2017", TRAIN, ".jpg")
    content = coco_lists(TRAIN)
    for entry in content["images"]:
        stem = entry.pop("file_name").removesuffix(".png")
        entry["coco_url"] = f"http://images.example.org/train2017/{stem}.jpg"
    for row in content["annotations"]:
        del row["iscrowd"]
    labels = write_json(root / "lvis_v1_train.json", content)
    return Expected("coco", root / "train2017", labels)


def via_coco(root):
    """Ids of images as text in the annotations, and polygons without a list around them."""
    write_images(root, TRAIN)
    content = coco_lists(TRAIN, first_id=0)
    for row in content["annotations"]:
        x, y, w, h = row["bbox"]
        row |= {"image_id": str(row["image_id"]), "segmentation": [x, y, x + w, y, x + w, y + h, x, y + h]}
    labels = write_json(root / "via_export_coco.json", content)
    return Expected("coco", root, labels)


MAKERS = {
    make.__name__: make
    for make in (
        label_studio_yolo,
        labelimg_yolo,
        cvat_yolo_1_1,
        cvat_yolo_1_1_of_subsets,
        roboflow_darknet,
        darknet,
        cvat_ultralytics,
        nc_without_names,
        roboflow_yolo,
        fiftyone_yolo,
        fiftyone_yolo_v4,
        windows_yolo,
        roboflow_voc,
        kaggle_voc,
        kaggle_voc_annots,
        vocdevkit,
        fiftyone_voc,
        cvat_voc,
        cvat_voc_of_folders,
        annotations_in_xmls,
        roboflow_coco,
        fiftyone_coco,
        cvat_coco,
        label_studio_coco,
        coco_beside_unrelated_json,
        lvis,
        via_coco,
    )
}
