import json
import pickle
import tempfile
import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alb_mixup.datasets import YoloDataset, from_spec
from alb_mixup.datasets.formats.yolo_labels import label_file
from alb_mixup.errors import AnnotationError, ArgumentError, DatasetError, ImageReadError, InvalidAnnotationWarning
from tests.support.voc_files import picture, save

YAML = "train: images/train\nnames: [big dog, Käfer, 猫]\n"


def add(root: Path, name="a.png", labels=None, folder="train"):
    save(root / "images" / folder / name, picture())
    text = root / "labels" / folder / f"{name.rpartition('.')[0]}.txt"
    text.parent.mkdir(parents=True, exist_ok=True)
    if labels is not None:
        text.write_bytes(labels if isinstance(labels, bytes) else labels.encode())


def add_yaml(root: Path, text=YAML, name="data.yaml"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root / name


def names(dataset):
    return [dataset.image_path(number).name for number in range(len(dataset))]


@pytest.fixture
def root(tmp_path):
    add_yaml(tmp_path)
    return tmp_path


# ---------------------------------------------------------------- an independent reader

share = st.floats(0.05, 0.95).map(lambda value: round(value, 4))
rows = st.lists(st.tuples(st.integers(0, 2), share, share, share, share), max_size=6)


@given(rows)
@settings(max_examples=40, deadline=None)
def test_boxes_and_classes_agree_with_supervision(rows):
    rows = [(key, x, y, min(w, 2 * x, 2 - 2 * x), min(h, 2 * y, 2 - 2 * y)) for key, x, y, w, h in rows]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = add_yaml(root)
        add(root, "ü b.JPG", "".join(f"{' '.join(map(str, row))}\r\n" for row in rows))
        ours = YoloDataset(root, on_invalid="raise")
        theirs = sv.DetectionDataset.from_yolo(str(root / "images/train"), str(root / "labels/train"), str(path))
    [detections] = theirs.annotations.values()
    found = ours.annotations(0)
    centre, size = found["bboxes"][:, :2], found["bboxes"][:, 2:]
    xyxy = np.hstack([centre - size / 2, centre + size / 2]) * [40, 30, 40, 30]
    np.testing.assert_allclose(xyxy, np.reshape(detections.xyxy, (-1, 4)), atol=0.01)
    assert found["labels"] == [theirs.classes[class_id] for class_id in detections.class_id]


def test_segment_rows_agree_with_supervision(root):
    add(root, labels="1 0.1 0.2 0.5 0.2 0.5 0.6\n2 0.25 0.25 0.75 0.25 0.75 0.75 0.3 0.8\n")
    theirs = sv.DetectionDataset.from_yolo(
        *(str(root / part) for part in ("images/train", "labels/train", "data.yaml"))
    )
    [detections] = theirs.annotations.values()
    found = YoloDataset(root).annotations(0)
    centre, size = found["bboxes"][:, :2], found["bboxes"][:, 2:]
    xyxy = np.hstack([centre - size / 2, centre + size / 2]) * [40, 30, 40, 30]
    np.testing.assert_allclose(xyxy, detections.xyxy, atol=0.01)
    assert found["labels"] == ["Käfer", "猫"]


# ---------------------------------------------------------------- rows


def test_a_sample(root):
    add(root, labels="0 0.5 0.5 0.25 0.5\n2 0.5 0.5 1 1 0.25\n2 0.5 0.5 1 1 0.25\n")
    dataset = YoloDataset(root)
    sample = dataset[0]
    np.testing.assert_array_equal(sample["image"], picture())
    assert sample["bboxes"].dtype == sample["mixup_weight"].dtype == np.float32
    assert sample["bboxes"].tolist() == [[0.5, 0.5, 0.25, 0.5], [0.5, 0.5, 1, 1], [0.5, 0.5, 1, 1]]
    assert sample["labels"] == ["big dog", "猫", "猫"]
    assert sample["mixup_weight"].tolist() == [1, 0.25, 0.25]
    assert dataset.bbox_format == "yolo"
    assert dataset.classes == ("big dog", "Käfer", "猫")
    assert dataset.image_size(0) == (30, 40)


@pytest.mark.parametrize("labels", [None, "", "\n \r\n"])
def test_background(root, labels):
    add(root, labels=labels)
    add(root, "b.png", labels="0 .5 .5 .2 .2")
    dataset = YoloDataset(root, on_invalid="raise")
    assert len(dataset) == 2
    assert dataset.annotations(0)["bboxes"].shape == (0, 4)
    assert len(dataset.annotated()) == 1
    assert dataset.unlabelled == (() if labels is not None else ("images/train/a.png",))


@pytest.mark.parametrize(
    "labels", [b"\xef\xbb\xbf1 .5 .5 .1 .1\r\n\r\n", b"1.0\t0.5  0.5 1e-1 0.1", b"1 .5 .5 .1 .1\r"]
)
def test_label_files_as_found_in_the_wild(root, labels):
    add(root, labels=labels)
    assert YoloDataset(root, on_invalid="raise").annotations(0)["labels"] == ["Käfer"]


def test_kinds_of_rows_may_be_mixed(root):
    add(root, labels="0 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6\n")
    found = YoloDataset(root).annotations(0)
    np.testing.assert_allclose(found["bboxes"], [[0.5, 0.5, 0.2, 0.2], [0.4, 0.4, 0.4, 0.4]], atol=1e-6)


def test_pose_rows_are_boxes(tmp_path):
    add_yaml(tmp_path, "train: images/train\nnames: [a]\nkpt_shape: [2, 3]\n")
    add(tmp_path, labels="0 0.5 0.5 0.2 0.2 0.1 0.1 2 0.2 0.2 0\n")
    np.testing.assert_allclose(YoloDataset(tmp_path).annotations(0)["bboxes"], [[0.5, 0.5, 0.2, 0.2]])


def test_masks(root):
    add(root, labels="0 .5 .5 .5 .2\n9 0 0 0 0\n1 .25 .2 .75 .2 .75 .4 .25 .4\n")
    with pytest.warns(InvalidAnnotationWarning, match="unknown class 9"):
        dataset = YoloDataset(root, masks=True)
    masks = dataset[0]["masks"]
    assert masks.shape == (2, 30, 40)
    assert masks[0].sum() == masks[0, 12:18, 10:30].sum() == 120
    assert masks[1].sum() == masks[1, 6:12, 10:30].sum() == 120
    dataset.image_path(0).unlink()
    with pytest.raises(ImageReadError):
        dataset.annotations(0)


# Albumentations drops boxes of next to no area without a word: centres inside keep half of each box inside.
sides = st.just(0) | st.floats(1e-3, 1.1)


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2, sides, sides), max_size=6))
@settings(max_examples=100, deadline=None)
def test_albumentations_takes_every_box_that_is_kept(rows):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)
        add_yaml(Path(folder))
        add(Path(folder), labels="".join(f"0 {' '.join(map(str, row))}\n" for row in rows))
        sample = YoloDataset(folder, on_invalid="clip")[0]
    params = A.BboxParams("yolo", label_fields=["labels", "mixup_weight"])
    assert len(A.Compose([A.NoOp()], bbox_params=params)(**sample)["bboxes"]) == len(sample["bboxes"])


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photograph_is_turned_as_viewers_turn_it(root, orientation):
    add(root, "a.jpg", labels="0 .5 .5 .2 .2")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(root / "images/train/a.jpg", exif=exif, quality=100, subsampling=0)
    expected = picture() if orientation == 1 else np.rot90(picture(), -1)
    dataset = YoloDataset(root)
    assert dataset.image_size(0) == expected.shape[:2]
    assert np.abs(dataset[0]["image"].astype(int) - expected).max() <= 6


# ---------------------------------------------------------------- the layout


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.b.jpg", "train/labels/a.b.txt"),
        ("images/x/images/a.png", "images/x/labels/a.txt"),
        ("a.jpg", "a.txt"),
        ("my_images/a.jpg", "my_images/a.txt"),
        ("v1.0/images/a", "v1.0/labels/a.txt"),
    ],
)
def test_pairing(image, labels):
    assert label_file(image) == labels


@pytest.mark.parametrize(
    ("text", "split", "expected"),
    [
        ("train: images/train\nval: images/val\n", "train", ["a.png", "b.JPG", "c.jpeg"]),
        ("train: images/train\nval: images/val\n", "val", ["d.bmp"]),
        ("train: [images/val, images/train]\n", "train", ["d.bmp", "a.png", "b.JPG", "c.jpeg"]),
        ("train: images\n", "train", ["a.png", "b.JPG", "c.jpeg", "d.bmp"]),
        ("train: ../images/train\n", "train", ["a.png", "b.JPG", "c.jpeg"]),
        ("path: .\ntrain: images/val\n", "train", ["d.bmp"]),
        ("path: /gone/elsewhere\ntrain: images/val\n", "train", ["d.bmp"]),
        ("train: train.txt\n", "train", ["c.jpeg", "a.png"]),
        ("", "val", ["d.bmp"]),
    ],
)
def test_splits(tmp_path, text, split, expected):
    for name, folder in {"b.JPG": "train", "a.png": "train", "c.jpeg": "train", "d.bmp": "val"}.items():
        add(tmp_path, name, "0 .5 .5 .1 .1", folder)
    (tmp_path / "images/train/._a.png").write_bytes(b"\0")
    (tmp_path / "images/train/notes.txt").write_bytes(b"\0")
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf./images/train/c.jpeg\r\n\r\nimages/train/a.png\r\n")
    path = add_yaml(tmp_path, f"{text}names: [a]\n")
    for source in (path, tmp_path, str(tmp_path)):
        dataset = YoloDataset(source, split, on_invalid="raise")
        assert names(dataset) == expected
        assert [sample["labels"] for sample in dataset] == [["a"]] * len(expected)


def test_a_path_beside_the_yaml(tmp_path):
    add(tmp_path / "data", labels="0 .5 .5 .1 .1")
    path = add_yaml(tmp_path, f"path: {(tmp_path / 'data').as_posix()}\ntrain: images/train\nnames: [a]")
    assert YoloDataset(path).root == tmp_path / "data"
    add_yaml(tmp_path, "path: data\ntrain: images/train\nnames: [a]")
    assert len(YoloDataset(path)) == 1


@pytest.mark.parametrize(
    ("text", "classes", "label"),
    [
        ("names: {0: cat, 5: 'a: b'}", ("cat", "a: b"), "a: b"),
        ("names:\n  5: no\n  0: 1e3", ("1e3", "no"), "no"),
        ("names: [a, b, c, d, e, 2020-01-01]", (*"abcde", "2020-01-01"), "2020-01-01"),
        ("names: [a, b, c, d, e, a]", tuple("abcde"), "a"),
    ],
)
def test_names(tmp_path, text, classes, label):
    add_yaml(tmp_path, f"train: images/train\n{text}\n")
    add(tmp_path, labels="5 .5 .5 .1 .1")
    dataset = YoloDataset(tmp_path)
    assert dataset.classes == classes
    assert dataset.annotations(0)["labels"] == [label]


def test_what_a_yaml_says_beside_is_no_split(tmp_path):
    more = "author: me\nchannels: 3\nlicense: [MIT]\nnight: images/night\nval: images/val\n"
    for split in ("train", "night"):
        add(tmp_path, folder=split, labels="0 .5 .5 .1 .1\n")
    (tmp_path / "data.yaml").write_text(f"train: images/train\nnames: [cat, dog, big dog]\n{more}")
    assert YoloDataset(tmp_path).splits == ("train", "night", "val")
    with pytest.raises(DatasetError, match=r"split must be one of train, night, val, got 'channels'"):
        YoloDataset(tmp_path, "channels")


def test_a_split_that_was_not_exported_is_not_said_to_lead_out(tmp_path):
    add(tmp_path)
    (tmp_path / "data.yaml").write_text("train: ../images/train\nval: ../images/val\nnames: [cat, dog, big dog]\n")
    with pytest.raises(DatasetError, match=r"got '../images/val', which is not in .*: correct it, or name the folder"):
        YoloDataset(tmp_path, "val")


def test_labels_beside_their_images_are_found_in_a_folder_named_images_too(root):
    """As CVAT, labelImg and darknet write them; where both are, that in `labels` is meant, as Ultralytics has it."""
    for stem in ("beside", "both"):
        add(root, f"{stem}.png", labels="1 .5 .5 .1 .1\n" if stem == "both" else None)
        (root / "images" / "train" / f"{stem}.txt").write_text("2 .5 .5 .2 .2\n")
    dataset = YoloDataset(root)
    found = {dataset.image_path(index).stem: dataset.annotations(index)["labels"] for index in range(len(dataset))}
    assert found == {"beside": ["猫"], "both": ["Käfer"]}
    assert dataset.unlabelled == dataset.orphans == ()


def test_classes_are_an_order_and_a_choice(root):
    add(root, labels="0 .5 .5 .1 .1\n2 .5 .5 .1 .1\n")
    with pytest.warns(InvalidAnnotationWarning, match=r"labels/train/a\.txt, object 0: unknown class 'big dog'"):
        dataset = YoloDataset(root, classes=["猫", "ant"])
    assert dataset.classes == ("猫", "ant")
    assert dataset.annotations(0)["labels"] == ["猫"]


@pytest.mark.parametrize("classes_file", ["classes.txt", "labels/classes.txt", None])
def test_a_folder_without_yaml(tmp_path, classes_file):
    add(tmp_path, labels="1 .5 .5 .1 .1\n")
    if classes_file:
        (tmp_path / classes_file).write_text("cat\nbig dog\n\n")
        assert YoloDataset(tmp_path).annotations(0)["labels"] == ["big dog"]
    else:
        with pytest.raises(DatasetError, match=r"names must be in .*, or pass classes="):
            YoloDataset(tmp_path)
        assert YoloDataset(tmp_path, classes=["a", "b"]).annotations(0)["labels"] == ["b"]


@pytest.mark.parametrize("entry", ["../secret", "../../secret", "../secret.txt", "images/../../secret"])
def test_a_yaml_never_leads_out_of_the_folder(tmp_path, entry):
    save(tmp_path / "secret" / "s.png", picture())
    (tmp_path / "secret.txt").write_text("secret/s.png")
    root = tmp_path / "data"
    add(root)
    path = add_yaml(root, f"train: {entry.format(outside=tmp_path.as_posix())}\nnames: [a]\n")
    with pytest.raises(DatasetError, match="leads out"):
        YoloDataset(path)


def test_a_list_never_leads_out_of_the_folder(tmp_path):
    save(tmp_path / "s.png", picture())
    root = tmp_path / "data"
    add(root, labels="0 .5 .5 .1 .1")
    secret = (tmp_path / "s.png").as_posix()
    (root / "train.txt").write_text(
        f"../s.png\n./../s.png\n{secret}\nimages/train/../../../s.png\nimages/train/a.png\n"
    )
    add_yaml(root, "train: train.txt\nnames: [a]\n")
    with pytest.warns(InvalidAnnotationWarning, match="lies outside of the dataset's folder: that is refused"):
        dataset = YoloDataset(root)
    assert names(dataset) == ["a.png"]


def test_a_listed_image_that_is_missing(root):
    add(root, labels="")
    (root / "train.txt").write_text("images/train/a.png\nimages/train/b.png\nimages/train/\0.png\n")
    add_yaml(root, "train: train.txt\nnames: [a]\n")
    with pytest.warns(InvalidAnnotationWarning, match=r"2 invalid .*labels/train/b\.txt: its image .* is missing"):
        assert names(YoloDataset(root)) == ["a.png"]


# ---------------------------------------------------------------- invalid and hostile files

BAD_ROWS = {
    "4 numbers": ("0 .5 .5 .1", "a row must be a class and a box .*, got 4"),
    "8 numbers": ("0 .1 .1 .2 .1 .2 .2 .9", "a row must be a class and a box .*, got 8: .*kpt_shape"),
    "text": ("dog .5 .5 .1 .1", "a row must be numbers with spaces between them, got 'dog'"),
    "decimal commas": ("0 0,5 0,5 0,1 0,1", "a row must be numbers with spaces between them, got '0,5'"),
    "NaN": ("0 nan .5 .1 .1", "is not finite"),
    "infinity": ("0 .5 .5 inf .1", "is not finite"),
    "overflow": ("0 .5 .5 1e400 .1", "is not finite"),
    "infinities that cancel": ("0 inf .5 inf .1", "is not finite"),
    "huge": ("0 .5 .5 1e300 .1", "beyond its image"),
    "negative size": ("0 .5 .5 -.1 .1", r"box \[0.5, 0.5, -0.1, 0.1\] has no area"),
    "no area": ("0 .5 .5 0 .1", "has no area"),
    "too thin for Albumentations": ("0 .9 .5 1e-9 .1", "has no area inside its image"),
    "pixels": ("0 20 15 10 10", "reaches 24 of a side beyond its image"),
    "negative class": ("-1 .5 .5 .1 .1", "a class must be a whole number, 0 or more, got -1"),
    "half a class": ("0.5 .5 .5 .1 .1", "a class must be a whole number, 0 or more, got 0.5"),
    "no class": ("nan .5 .5 .1 .1", "a class must be a whole number"),
    "a huge class": ("1e300 .5 .5 .1 .1", "a class must be a whole number"),
    "unknown class": ("3 .5 .5 .1 .1", "unknown class 3: it is not among the names"),
    "negative weight": ("0 .5 .5 .1 .1 -1", r"weight -1 is not in \[0, 1\]: a 6th number .* track id or a confidence"),
    "a polygon with NaN": ("0 .1 .1 .2 nan .2 .2", "all finite"),
    "a polygon to the moon": ("0 .1 .1 1e9 .1 .2 .2", "outline must be"),
}


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_costs_itself_only(root, case, masks):
    row, reason = BAD_ROWS[case]
    add(root, labels=f"2 .5 .5 .1 .1\n{row}\n1 .5 .5 .2 .2 .5\n")
    with pytest.warns(InvalidAnnotationWarning, match=rf"1 invalid .*labels/train/a\.txt, object 1: .*{reason}"):
        dataset = YoloDataset(root, masks=masks)
    assert dataset.annotations(0)["labels"] == ["猫", "Käfer"]
    assert dataset.annotations(0)["mixup_weight"].tolist() == [1, 0.5]
    with pytest.raises(AnnotationError, match=rf"{root.as_posix()}/labels/train/a\.txt, object 1: .*{reason}"):
        YoloDataset(root, on_invalid="raise")


def test_rounding_and_clipping(root):
    add(root, labels="0 .5 .5 1.004 1\n0 .5 .5 1.5 1\n")
    with pytest.warns(InvalidAnnotationWarning, match="1 invalid"):
        assert YoloDataset(root).annotations(0)["bboxes"].tolist() == [[0.5, 0.5, 1, 1]]
    with pytest.warns(InvalidAnnotationWarning, match="was clipped"):
        assert len(YoloDataset(root, on_invalid="clip").annotations(0)["bboxes"]) == 2


def test_a_bad_file_costs_its_image(root):
    add(root, "a.png", b"\xff\xfe\0")
    add(root, "b.png", "0 .5 .5 .1 .1")
    with pytest.warns(InvalidAnnotationWarning, match=r"1 invalid .*labels/train/a\.txt: is not text in UTF-8"):
        assert names(YoloDataset(root)) == ["b.png"]


def test_a_truncated_jpeg_shows_when_read(root):
    add(root, "a.jpg", "0 .5 .5 .1 .1")
    path = root / "images/train/a.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ImageReadError, match="cut short"):
        YoloDataset(root)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "is not a mapping"),
        ("a: [", "cannot be read"),
        (b"\xff\xfe\xfa", "cannot be read"),
        ("a: " + "[" * 5000, "cannot be read"),
        ("train: images/train\nnames: cat", "names must be a list"),
        ("train: images/train\nnames: {a: b}", "names must be a list"),
        ("train: images/train\nnames: [[a]]", "names must be a list"),
        ("train: images/train\nnames: ['']", "names must be a list"),
        ("train: images/train", "names must be in"),
        ("train: gone\nnames: [a]", "got 'gone', which is not in"),
        ("train: data.yaml\nnames: [a]\nkpt_shape: x", "kpt_shape must be"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    add(tmp_path)
    with pytest.raises(DatasetError, match=message):
        YoloDataset(add_yaml(tmp_path, text))


def test_nothing_there(root):
    with pytest.raises(
        DatasetError, match=r"data must be a data\.yaml or the folder.*got .*/gone, which does not exist"
    ):
        YoloDataset(root / "gone")
    with pytest.raises(DatasetError, match=r"split must be one of train, got 'val' for .*data\.yaml: choose one"):
        YoloDataset(root, "val")
    (root / "images" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="split must have images, got 'train', which has none"):
        YoloDataset(root)
    with pytest.raises(ArgumentError, match=r"data must be the path of a data\.yaml"):
        YoloDataset(7)


# ---------------------------------------------------------------- the common face


def test_copies_and_specs(root):
    add(root, "a.png", "0 .5 .5 .1 .1\n1 .2 .2 .6 .2 .6 .6\n")
    add(root, "b.png")
    dataset = YoloDataset(root, masks=True, classes=["猫", "Käfer", "big dog"]).annotated()
    spec = json.loads(json.dumps(dataset.to_spec()))
    for other in (from_spec(spec), pickle.loads(pickle.dumps(dataset))):
        assert other.to_spec() == spec
        assert repr(other) == repr(dataset)
        np.testing.assert_array_equal(other[0]["masks"], dataset[0]["masks"])


def test_the_warning_points_at_the_caller(root):
    add(root, labels="0")
    with pytest.warns(InvalidAnnotationWarning) as caught:
        YoloDataset(root)
    assert [warning.filename for warning in caught] == [__file__]
