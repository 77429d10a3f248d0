"""What a reader does not take, it says: nothing is silently another split, background, or a weight."""

import json
import os
import stat

import pytest

from alb_mixup import PseudoLabelDataset, open_dataset
from alb_mixup.datasets import CocoDataset, VocDataset, YoloDataset, from_spec
from alb_mixup.errors import ArgumentError, DatasetError, InvalidAnnotationWarning
from tests.support import exports
from tests.support.exports import TRAIN, boxes_of, coco_lists, read, write_images, write_json, write_text, write_voc
from tests.support.voc_files import add as add_voc
from tests.support.voc_files import picture, save, voc_object, voc_xml


def yolo(root, labels, yaml="train: images/train\nnames: [cat]\n", folder="train"):
    """Images and label files by stem; None: no label file."""
    for stem, text in labels.items():
        save(root / "images" / folder / f"{stem}.png", picture())
        if text is not None:
            write_text(root / "labels" / folder / f"{stem}.txt", text)
    write_text(root / "data.yaml", yaml)
    return root


def rows(*sixth):
    return "".join(f"0 .5 .5 .2 .2 {number}\n" for number in sixth)


# ---------------------------------------------------------------- the 6th column of YOLO


def test_a_sixth_column_beyond_1_is_no_weight(tmp_path):
    yolo(tmp_path, {"a": rows(0.25, 12, 87.5, -1, "nan", 0.5)})
    with pytest.warns(InvalidAnnotationWarning, match="4 invalid .*may be a track id or a confidence"):
        dataset = open_dataset(tmp_path)
    assert dataset.annotations(0)["mixup_weight"].tolist() == [0.25, 0.5]
    assert [record.object_index for record in dataset.invalid] == [1, 2, 3, 4]
    assert all("is not in [0, 1]: a 6th number" in record.reason for record in dataset.invalid)


@pytest.mark.parametrize("files", [{"a": rows(0, 1)}, {"a": rows(0), "b": rows(0)}, {"a": rows(1), "b": rows(0, 1, 1)}])
def test_whole_numbers_that_count_up_are_warned_of(tmp_path, files):
    yolo(tmp_path, files)
    with pytest.warns(InvalidAnnotationWarning, match="all whole, .* may be track ids or flags"):
        assert open_dataset(tmp_path).invalid == ()


@pytest.mark.parametrize("files", [{"a": rows(1, 1)}, {"a": rows(0, 0.5)}, {"a": rows("")}, {"a": ""}])
def test_weights_are_not_warned_of(tmp_path, files):
    assert open_dataset(yolo(tmp_path, files | {"z": ""}), on_invalid="raise").invalid == ()


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("file", ["annotations/instances_val2017.json", "val.json", "val/_annotations.coco.json"])
def test_a_lone_split_is_not_opened_as_another(tmp_path, file):
    write_images(tmp_path / "val2017", TRAIN)
    write_images(tmp_path / "val", TRAIN)
    write_json(tmp_path / file, coco_lists(TRAIN))
    for source in (tmp_path, tmp_path / file):
        assert read(open_dataset(source)) == read(open_dataset(source, "val")) == boxes_of(TRAIN)
        assert open_dataset(source).splits == ("val",)
        for split in ("train", "nonsense", ""):
            with pytest.raises(DatasetError, match=rf"split must be .*val, got '{split}' for .*: choose one"):
                open_dataset(source, split)


@pytest.mark.parametrize("file", ["annotations.json", "annotations/dataset.json", "labels.json"])
def test_a_lone_file_without_a_split_in_its_name_is_train(tmp_path, file):
    write_images(tmp_path / "images", TRAIN)
    write_json(tmp_path / file, coco_lists(TRAIN))
    for source in (tmp_path, tmp_path / file):
        assert read(open_dataset(source, "train")) == boxes_of(TRAIN)
        with pytest.raises(DatasetError, match="split must be one of train, got 'val'"):
            open_dataset(source, "val")


@pytest.mark.parametrize("make", [exports.roboflow_yolo, exports.roboflow_voc, exports.roboflow_coco])
def test_an_export_of_train_alone_opens_for_no_other_split(tmp_path, make):
    make(tmp_path)
    for folder in ("valid", "test"):
        for path in sorted((tmp_path / folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (tmp_path / folder).rmdir()
    assert read(open_dataset(tmp_path, "train")) == boxes_of(TRAIN)
    for split in ("valid", "val", "test", "nonsense"):
        with pytest.raises(DatasetError, match=r"train|not in"):
            open_dataset(tmp_path, split)


def test_years_tell_splits_apart(tmp_path):
    for year in (2014, 2017):
        write_images(tmp_path / f"train{year}", TRAIN)
        write_json(tmp_path / "annotations" / f"instances_train{year}.json", coco_lists(TRAIN))
    assert open_dataset(tmp_path, "train2014").root.name == "train2014"
    with pytest.raises(
        DatasetError, match=r"split must be one of train2014, train2017, got 'train' for .*: choose one"
    ):
        open_dataset(tmp_path, "train")


def test_a_voc_split_that_is_not_there(tmp_path):
    write_voc(tmp_path / "images", tmp_path / "annotations", TRAIN)
    with pytest.raises(DatasetError, match=r"split must be None, got 'train' for .*: leave it out"):
        open_dataset(tmp_path, "train")


@pytest.mark.parametrize("line", ["{}.png", "images/{}.png", "./images/{}.png", "images\\{}.png", "/mnt/images/{}"])
def test_split_lists_as_found_in_the_wild(tmp_path, line):
    write_voc(tmp_path / "images", tmp_path / "annotations", TRAIN)
    write_text(tmp_path / "ImageSets" / "Main" / "val.txt", "".join(f"{line.format(stem)}\n" for stem in "ca"))
    assert list(read(open_dataset(tmp_path, "val", on_invalid="raise"))) == ["c", "a"]


def test_a_split_list_of_pairs_and_one_that_leads_out(tmp_path):
    write_voc(tmp_path / "JPEGImages", tmp_path / "Annotations", TRAIN)
    lines = ["JPEGImages/a.png Annotations/a.xml", "../JPEGImages/b.png", "other/c.png"]
    write_text(tmp_path / "train.txt", "\n".join(lines))
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid"):
        assert list(read(open_dataset(tmp_path, "train"))) == ["a"]


# ---------------------------------------------------------------- images without labels, labels without images


@pytest.mark.parametrize(
    "place",
    ["Labels/train/{}.txt", "labelTxt/{}.txt", "labels/train/{}.TXT", "labels/train/x{}.txt", "labels/{}.txt", ""],
)
def test_labels_that_are_not_found_are_missed(tmp_path, place):
    yolo(tmp_path, dict.fromkeys("ab"))
    for stem in "ab" if place else "":
        write_text(tmp_path / place.format(stem), "0 .5 .5 .2 .2\n")
    with pytest.warns(
        InvalidAnnotationWarning, match=r"none of the 2 images .* has a label file, .* with annotations="
    ):
        dataset = open_dataset(tmp_path)
    assert dataset.unlabelled == ("images/train/a.png", "images/train/b.png")
    assert dataset.orphans == (("labels/train/xa.txt", "labels/train/xb.txt") if "x{}" in place else ())
    if place and "TXT" not in place and "x{}" not in place:
        found = open_dataset(tmp_path, annotations=os.path.dirname(place), on_invalid="raise")
        assert [len(found.annotations(index)["labels"]) for index in range(2)] == [1, 1]


def test_empty_label_files_are_background_and_no_others(tmp_path):
    yolo(tmp_path, {"a": "", "b": None, "c": "0 .5 .5 .2 .2"})
    write_text(tmp_path / "labels/train/gone.txt", "0 .5 .5 .2 .2")
    write_text(tmp_path / "labels/train/classes.txt", "cat\n")
    dataset = open_dataset(tmp_path, on_invalid="raise")
    assert dataset.unlabelled == ("images/train/b.png",)
    assert dataset.orphans == ("labels/train/gone.txt",)
    assert dataset.annotated().orphans == dataset.orphans
    assert len(dataset) == 3


def test_labels_of_another_split_are_no_orphans(tmp_path):
    for stem in "ab":
        save(tmp_path / "images" / f"{stem}.png", picture())
        write_text(tmp_path / "labels" / f"{stem}.txt", "0 .5 .5 .2 .2")
    write_text(tmp_path / "train.txt", "images/a.png\n")
    write_text(tmp_path / "data.yaml", "train: train.txt\nnames: [cat]\n")
    assert open_dataset(tmp_path).orphans == ()


def test_voc_images_without_xml_are_named(tmp_path):
    write_voc(tmp_path / "JPEGImages", tmp_path / "Annotations", TRAIN)
    save(tmp_path / "JPEGImages" / "z.png", picture())
    assert open_dataset(tmp_path).unlabelled == ("JPEGImages/z.png",)


def test_difficult_objects_are_counted(tmp_path):
    add_voc(tmp_path, "a", voc_object(), *[voc_object(extra="<difficult>1</difficult>")] * 2)
    assert open_dataset(tmp_path).left_out == {"difficult": 2}
    dataset = open_dataset(tmp_path, keep_difficult=True)
    assert dataset.left_out == {}
    assert len(dataset.annotations(0)["labels"]) == 3
    with pytest.raises(ArgumentError, match="keep_difficult must be False for YOLO, got True: leave it out"):
        open_dataset(yolo(tmp_path / "yolo", {"a": ""}), keep_difficult=True)


# ---------------------------------------------------------------- naming folders


def test_voc_folders_may_be_named(tmp_path):
    write_voc(tmp_path / "pictures", tmp_path / "set" / "boxes", TRAIN)
    for dataset in (
        VocDataset(tmp_path / "set", images=tmp_path / "pictures", annotations="boxes"),
        open_dataset(tmp_path / "set", images=str(tmp_path / "pictures"), layout="voc"),
        open_dataset(tmp_path, images="pictures", annotations="set/boxes", layout="voc"),
    ):
        assert read(dataset) == boxes_of(TRAIN)
        assert read(type(dataset)(**{k: v for k, v in dataset.to_spec().items() if k != "dataset"})) == boxes_of(TRAIN)
    with pytest.raises(DatasetError, match=r"images must be a folder, got gone, which is neither here nor in .*/set"):
        VocDataset(tmp_path / "set", images="gone")


def test_coco_files_may_be_named(tmp_path):
    write_images(tmp_path / "pictures", TRAIN)
    write_json(tmp_path / "set" / "one.json", coco_lists(TRAIN))
    write_json(tmp_path / "set" / "two.json", coco_lists(TRAIN))
    dataset = open_dataset(tmp_path / "set", images=tmp_path / "pictures", annotations="two.json")
    assert read(dataset) == boxes_of(TRAIN)
    with pytest.raises(DatasetError, match="split must be one of one, two, got None"):
        open_dataset(tmp_path / "set", images=tmp_path / "pictures")


def test_yolo_folders_may_be_named(tmp_path, monkeypatch):
    exports.write_yolo(tmp_path / "pictures", tmp_path / "boxes", TRAIN)
    dataset = YoloDataset(tmp_path, images="pictures", annotations="boxes", classes=exports.CLASSES, on_invalid="raise")
    assert read(dataset) == boxes_of(TRAIN)
    assert dataset.unlabelled == ()
    monkeypatch.chdir(tmp_path / "pictures")
    relative = YoloDataset(tmp_path, images="../pictures", annotations="../boxes", classes=exports.CLASSES)
    spec = relative.to_spec()
    monkeypatch.chdir(tmp_path)  # a spec holds wherever it is read
    assert read(from_spec(spec)) == boxes_of(TRAIN)


def test_the_layout_must_be_one_that_there_is(tmp_path):
    with pytest.raises(ArgumentError, match="layout must be one of coco, yolo, voc, got 'tfrecord'"):
        open_dataset(tmp_path, layout="tfrecord")


@pytest.mark.parametrize("make", [exports.kaggle_voc, exports.roboflow_yolo, exports.labelimg_yolo])
def test_an_unrelated_json_is_not_coco(tmp_path, make):
    expected = make(tmp_path)
    for name in ("notes.json", "meta.json", "package.json"):
        write_json(tmp_path / name, {"images": ["a"], "categories": 3})
    assert read(open_dataset(tmp_path)) == expected.boxes


def test_unrelated_xml_and_yaml_are_no_datasets(tmp_path):
    exports.fiftyone_coco(tmp_path)
    write_text(tmp_path / "pom.xml", "<project/>")
    write_text(tmp_path / "annotations.xml", "<annotations><image/></annotations>")
    write_text(tmp_path / "environment.yml", "name: x\ndependencies: [python]\n")
    write_text(tmp_path / ".pre-commit-config.yaml", "repos: []\n")
    assert read(open_dataset(tmp_path)) == boxes_of(TRAIN)


@pytest.mark.parametrize("name", ["X.JSON", "annotations.txt", "labels"])
def test_a_file_is_what_it_says(tmp_path, name):
    write_images(tmp_path / "images", TRAIN)
    write_json(tmp_path / name, coco_lists(TRAIN))
    assert read(open_dataset(tmp_path / name)) == boxes_of(TRAIN)
    if name.endswith("JSON"):
        assert read(open_dataset(tmp_path)) == boxes_of(TRAIN)


# ---------------------------------------------------------------- paths in a data.yaml


def test_a_path_that_does_not_exist_is_named_when_images_are_missed(tmp_path):
    yolo(tmp_path, {"a": ""}, "path: /gone/set\ntrain: pictures\nval: images/train\nnames: [cat]\n")
    assert len(open_dataset(tmp_path, "val")) == 1
    with pytest.raises(
        DatasetError, match=r"got 'pictures', .*\(its path: /gone/set does not exist, so its own folder"
    ):
        open_dataset(tmp_path)


def test_an_absolute_train_is_as_good_as_an_absolute_path(tmp_path):
    data = tmp_path / "data"
    yolo(data, {"a": "0 .5 .5 .2 .2", "b": ""})
    entry = (data / "images" / "train").as_posix()
    for text in (f"train: {entry}", f"train: ['{entry}']", f"path: {data.as_posix()}\ntrain: {entry}"):
        path = write_text(tmp_path / "settings" / "data.yaml", f"{text}\nnames: [cat]\n")
        dataset = open_dataset(path, on_invalid="raise")
        assert dataset.root == data
        assert len(dataset.annotations(0)["labels"]) == 1
        assert dataset.unlabelled == ()


# ---------------------------------------------------------------- messages


def test_what_does_not_exist(tmp_path):
    with pytest.raises(DatasetError, match=r"path must be a dataset, got .*/nope, which does not exist"):
        open_dataset(tmp_path / "nope")
    (tmp_path / "link").symlink_to("nope")
    with pytest.raises(DatasetError, match="link, which is a link to nothing"):
        open_dataset(tmp_path / "link")


@pytest.mark.parametrize("numbers", [8, 56, 40])
def test_pose_rows_without_kpt_shape_get_a_hint(tmp_path, numbers):
    yolo(tmp_path, {"a": f"0 {'.5 ' * (numbers - 1)}\n0 .5 .5 .1 .1\n"})
    with pytest.warns(
        InvalidAnnotationWarning, match=rf"got {numbers}: if .* keypoints, data.yaml must have kpt_shape"
    ):
        open_dataset(tmp_path)


def test_over_long_names_cost_themselves(tmp_path):
    long = "x" * 5000
    yolo(tmp_path, {"a": ""}, "train: train.txt\nnames: [cat]\n")
    write_text(tmp_path / "train.txt", f"images/train/a.png\n{long}.png\n{long}/{long}/b.png\n")
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid .* is missing"):
        assert len(open_dataset(tmp_path)) == 1
    for entry in (long, f"{long}/images"):
        write_text(tmp_path / "data.yaml", f"train: {entry}\nnames: [cat]\n")
        with pytest.raises(DatasetError, match=r"data.yaml must name a folder of images"):
            open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        open_dataset(tmp_path / long)
    content = coco_lists(TRAIN)
    content["images"].append({"id": 9, "file_name": f"{long}.png"})
    write_images(tmp_path / "coco" / "images", TRAIN)
    write_json(tmp_path / "coco" / "a.json", content)
    with pytest.warns(InvalidAnnotationWarning, match="1 invalid .* its image is missing"):
        open_dataset(tmp_path / "coco")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_folders_that_may_not_be_read(tmp_path):
    yolo(tmp_path / "set", {"a": ""})
    (tmp_path / "set").chmod(0)
    try:
        with pytest.raises(DatasetError, match="cannot be listed: Permission denied"):
            open_dataset(tmp_path / "set")
    finally:
        (tmp_path / "set").chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    """As the superuser sees no such folder otherwise."""
    yolo(tmp_path / "set", {"a": ""})
    listed = os.listdir

    def listdir(path):
        if os.fspath(path).endswith("set"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", listdir)
    for build in (open_dataset, YoloDataset, VocDataset):
        with pytest.raises(DatasetError, match="cannot be listed: Permission denied"):
            build(tmp_path / "set")


def test_a_folder_of_images_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    yolo(tmp_path, {"a": "", "locked/b": ""})
    assert len(open_dataset(tmp_path)) == 2
    scanned = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scanned(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DatasetError, match=r"images must be in folders that can be listed, got .*/locked: Permission"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("layout", ["voc", "yolo"])
def test_annotated_images_in_folders_below_flat_ones_are_not_passed_over_in_silence(tmp_path, layout):
    write = {"voc": write_voc, "yolo": exports.write_yolo}[layout]
    for folder, images in ((tmp_path, TRAIN), (tmp_path / "more", exports.VALID)):
        write(folder, folder, images)
        if layout == "yolo":
            write_text(folder / "classes.txt", "big dog\ncat\n")
    (tmp_path / "nothing").mkdir()
    with pytest.warns(InvalidAnnotationWarning, match=r"images in .*/more are not part of the dataset.*: open each of"):
        dataset = open_dataset(tmp_path)
    assert read(dataset) == boxes_of(TRAIN)
    assert len(dataset.remarks) == 1


def test_folders_of_pairs_beside_one_list_of_names_are_splits(tmp_path):
    for folder, images in (("first", TRAIN), ("second", exports.VALID)):
        exports.write_yolo(tmp_path / folder, tmp_path / folder, images)
    write_text(tmp_path / "classes.txt", "big dog\ncat\n")
    assert read(open_dataset(tmp_path, "second")) == boxes_of(exports.VALID)
    with pytest.raises(DatasetError, match=r"split must be one of first, second, got None"):
        open_dataset(tmp_path)


# ---------------------------------------------------------------- class names

ODD_NAMES = ["a\rb", "a\x85b", "a\x1b[31mb", "a\u2028b", "a\nb", "quote\" 'and' back\\slash", "\ufeffx", "a  b"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_class_names_come_out_as_they_are(tmp_path, name):
    content = coco_lists(TRAIN)
    content["categories"][0]["name"] = name
    write_images(tmp_path / "coco", TRAIN)
    write_json(tmp_path / "coco" / "a.json", content)
    assert open_dataset(tmp_path / "coco").classes == (name, "cat")
    yolo(tmp_path / "yolo", {"a": "0 .5 .5 .2 .2"}, f"train: images/train\nnames: {json.dumps([name])}\n")
    assert open_dataset(tmp_path / "yolo").annotations(0)["labels"] == [name]
    if "\x1b" not in name and "\ufeff" not in name:  # no XML; a byte order mark is none of the text
        written = voc_object("NAME").replace("NAME", "".join(f"&#{ord(letter)};" for letter in name))
        add_voc(tmp_path / "voc", "a", xml=voc_xml(written))
        assert open_dataset(tmp_path / "voc").classes == (name,)


def test_lists_of_names_end_lines_where_editors_do(tmp_path):
    yolo(tmp_path, {"a": "2 .5 .5 .2 .2"}, "train: images/train\n")
    write_text(tmp_path / "classes.txt", "a\x85b\r\nc\u2028d\re\x1cf\n")
    assert open_dataset(tmp_path).classes == ("a\x85b", "c\u2028d", "e\x1cf")


def test_half_a_surrogate_pair_is_no_name(tmp_path):
    content = coco_lists(TRAIN)
    content["categories"][0]["name"] = "\ud800"
    write_images(tmp_path / "coco", TRAIN)
    write_json(tmp_path / "coco" / "a.json", content)
    with pytest.raises(DatasetError, match=r"each of categories must have an id and a name in letters, got .*\\ud800"):
        open_dataset(tmp_path / "coco")
    yolo(tmp_path / "yolo", {"a": ""}, 'train: images/train\nnames: ["\\ud800"]\n')
    with pytest.raises(DatasetError, match=r"names must be .*\\ud800"):
        open_dataset(tmp_path / "yolo")
    with pytest.raises(ArgumentError, match=r"classes must be .*\\ud800"):
        open_dataset(exports.fiftyone_coco(tmp_path / "other").labels, classes=["\ud800"])


# ---------------------------------------------------------------- regular files only

FILES = {
    "a COCO file": (exports.fiftyone_coco, "labels.json"),
    "an XML file": (exports.kaggle_voc, "annotations/a.xml"),
    "a list of VOC": (exports.cvat_voc, "ImageSets/Main/default.txt"),
    "a data.yaml": (exports.roboflow_yolo, "data.yaml"),
    "a .data file": (exports.cvat_yolo_1_1, "obj.data"),
    "names": (exports.label_studio_yolo, "classes.txt"),
    "darknet's names": (exports.cvat_yolo_1_1, "obj.names"),
    "a list of YOLO": (exports.cvat_ultralytics, "train.txt"),
    "a label file": (exports.label_studio_yolo, "labels/a.txt"),
    "an image": (exports.label_studio_yolo, "images/a.png"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.filterwarnings("ignore::alb_mixup.errors.InvalidAnnotationWarning")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("case", FILES)
def test_what_is_not_a_file_is_never_read(tmp_path, case, kind):
    make, file = FILES[case]
    expected = make(tmp_path)
    (tmp_path / file).unlink()
    if kind == "pipe":
        os.mkfifo(tmp_path / file)
    elif kind == "device":
        (tmp_path / file).symlink_to("/dev/zero")
    else:
        (tmp_path / file).mkdir()
    for split in (None, "default") if case == "a list of VOC" else (None,):
        for layout in (None, expected.layout):
            try:
                dataset = open_dataset(tmp_path, split, layout=layout)
            except DatasetError:
                continue
            for index in range(len(dataset)):
                if dataset.image_path(index) != tmp_path / file:
                    assert dataset[index]["image"].size


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_named_files_that_are_pipes(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for build in (open_dataset, CocoDataset, lambda path: PseudoLabelDataset(path, path)):
        with pytest.raises(DatasetError, match="it is not a regular file"):
            build(tmp_path / "a.json")
