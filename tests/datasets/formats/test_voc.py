import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alb_mixup.datasets import VocDataset
from alb_mixup.datasets.annotations.validate import InvalidAnnotation
from alb_mixup.datasets.formats.voc import voc_to_xyxy
from alb_mixup.errors import AnnotationError, DatasetError, InvalidAnnotationWarning
from tests.support.voc_files import add, add_split, picture, save, voc_object, voc_xml


def stems(dataset):
    return [dataset.image_path(number).stem for number in range(len(dataset))]


# ---------------------------------------------------------------- layouts and splits


@pytest.mark.parametrize("flat", [False, True])
def test_layouts(tmp_path, flat):
    for stem, suffix in {"d": ".JPG", "a": ".jpeg", "c": ".Png", "b": ".bmp", "e": ".TIF", "f": ".webp"}.items():
        add(tmp_path, stem, voc_object(stem), suffix=suffix, flat=flat)
    dataset = VocDataset(tmp_path)
    assert stems(dataset) == list("abcdef")
    assert dataset.classes == tuple("abcdef")
    assert [sample["labels"] for sample in dataset] == [[stem] for stem in "abcdef"]


def test_a_split_keeps_its_order(tmp_path):
    for stem in "abc":
        add(tmp_path, stem)
    add_split(tmp_path, "val", "c\na\n")
    dataset = VocDataset(tmp_path, "val")
    assert stems(dataset) == ["c", "a"]
    assert "split='val'" in repr(dataset)


@pytest.mark.parametrize("text", ["b\r\n\r\n a \r\n", b"\xef\xbb\xbfb\na", "b  1\na  0\nc -1\n", "\n\nb 1\na 1\nc -1"])
def test_split_files_as_found_in_the_wild(tmp_path, text):
    for stem in "abc":
        add(tmp_path, stem)
    add_split(tmp_path, "train", text)
    assert stems(VocDataset(tmp_path, "train")) == ["b", "a"]


def test_names_that_look_like_a_class_wise_list(tmp_path):
    for stem in ("photo 1", "photo", "my cat -1", "é 猫"):
        add(tmp_path, stem)
    add_split(tmp_path, "train", "photo 1\nmy cat -1\né 猫\nphoto  1\n")
    assert stems(VocDataset(tmp_path, "train")) == ["photo 1", "my cat -1", "é 猫", "photo"]


def test_such_names_with_half_of_the_files(tmp_path):
    for stem in ("a 1", "b 1", "c"):
        add(tmp_path, stem)
    (tmp_path / "JPEGImages" / "a 1.png").unlink()
    (tmp_path / "Annotations" / "b 1.xml").unlink()
    add_split(tmp_path, "train", "a 1\nb 1\nc 1\n")
    with pytest.warns(InvalidAnnotationWarning):
        dataset = VocDataset(tmp_path, "train")
    assert [record.file for record in dataset.invalid] == ["Annotations/a 1.xml", "Annotations/b 1.xml"]
    assert stems(dataset) == ["c"]


def test_an_image_without_xml_is_no_background(tmp_path):
    add(tmp_path, "a", flat=True)
    save(tmp_path / "b.png", picture())
    assert stems(VocDataset(tmp_path)) == ["a"]


def test_files_that_macos_leaves_behind(tmp_path):
    add(tmp_path, "a", flat=True)
    (tmp_path / "._a.xml").write_bytes(b"\0\5\x16\7")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
    assert stems(VocDataset(tmp_path)) == ["a"]


def test_the_image_is_found_by_the_name_of_the_xml(tmp_path):
    add(tmp_path, "a", xml=voc_xml(voc_object(), filename="b.png"), suffix=".tif")
    add(tmp_path, "b", image=picture(seed=1))
    for suffix in (".png", ".jpg", ".JPEG", ".txt"):
        save(tmp_path / "JPEGImages" / f"c{suffix}" if suffix != ".txt" else tmp_path / "JPEGImages/c.bmp", picture())
    (tmp_path / "Annotations" / "c.xml").write_text(voc_xml())
    (tmp_path / "JPEGImages" / "b.txt").write_text("not an image")
    dataset = VocDataset(tmp_path)
    assert [dataset.image_path(number).name for number in range(3)] == ["a.tif", "b.png", "c.jpg"]
    np.testing.assert_array_equal(dataset[0]["image"], picture())


def test_names_never_lead_out_of_the_folder(tmp_path):
    save(tmp_path / "secret.png", picture())
    (tmp_path / "secret.xml").write_text(voc_xml(voc_object("secret")))
    root = tmp_path / "data"
    add(root, "a", xml=voc_xml(voc_object(), filename="../../secret.png"), image=picture(seed=1))
    add_split(root, "train", f"a\n../../secret\n{(tmp_path / 'secret').as_posix()}\n")
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid"):
        dataset = VocDataset(root, "train")
    assert stems(dataset) == ["a"]
    np.testing.assert_array_equal(dataset[0]["image"], picture(seed=1))


def test_no_such_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"root must be a folder, got .*/gone, which does not exist"):
        VocDataset(tmp_path / "gone")


def test_nothing_in_the_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"root must hold XML files.* without any.*such as VOCdevkit/VOC2012"):
        VocDataset(tmp_path)


def test_annotations_without_an_image_folder(tmp_path):
    add(tmp_path, "a")
    shutil.rmtree(tmp_path / "JPEGImages")
    with pytest.raises(DatasetError, match=r"images must be the folder of the images that .* or name .* with images="):
        VocDataset(tmp_path)


def test_no_such_split(tmp_path):
    add(tmp_path, "a")
    with pytest.raises(DatasetError, match=r"split must be None, got 'val' for .*: leave it out"):
        VocDataset(tmp_path, "val")
    add_split(tmp_path, "train", "a")
    add_split(tmp_path, "test", "a")
    with pytest.raises(DatasetError, match=r"split must be one of test, train, got 'val' for "):
        VocDataset(tmp_path, "val")


@pytest.mark.parametrize(
    ("text", "message"), [("\n \n", "must list images"), (b"\xff\xfe\xfa", "must be a list that can be read")]
)
def test_a_split_that_is_empty_or_no_text(tmp_path, text, message):
    add(tmp_path, "a")
    add_split(tmp_path, "train", text)
    with pytest.raises(DatasetError, match=f"split {message}, got .*train.txt"):
        VocDataset(tmp_path, "train")


# ---------------------------------------------------------------- classes, sizes, weights


def test_classes_from_the_data_are_sorted(tmp_path):
    add(tmp_path, "a", voc_object("dog"), voc_object("cat"))
    add(tmp_path, "b", voc_object("ant"), voc_object("rare", extra="<difficult>1</difficult>"))
    assert VocDataset(tmp_path).classes == ("ant", "cat", "dog")
    assert VocDataset(tmp_path, keep_difficult=True).classes == ("ant", "cat", "dog", "rare")
    assert VocDataset(tmp_path).annotations(1)["labels"] == ["ant"]
    assert VocDataset(tmp_path).invalid == ()


def test_classes_given_keep_their_order_and_may_be_unused(tmp_path):
    add(tmp_path, "a", voc_object("dog"), voc_object("cat"))
    dataset = VocDataset(tmp_path, classes=["zebra", "dog", "cat"])
    assert dataset.classes == ("zebra", "dog", "cat")
    assert dataset.annotations(0)["labels"] == ["dog", "cat"]


def test_weights_of_the_file(tmp_path):
    add(tmp_path, "a", voc_object(extra="<mixup_weight>0.25</mixup_weight>"), voc_object())
    assert VocDataset(tmp_path).annotations(0)["mixup_weight"].tolist() == [0.25, 1]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_missing_size_is_read_from_the_image(tmp_path, suffix, size):
    add(tmp_path, "a", voc_object(box=(1, 1, 47, 31)), size=size, suffix=suffix, image=picture(31, 47))
    dataset = VocDataset(tmp_path)
    assert dataset.image_size(0) == (31, 47)
    assert dataset[0]["image"].shape == (31, 47, 3)
    assert dataset.annotations(0)["bboxes"].tolist() == [[0, 0, 47, 31]]


@pytest.mark.parametrize("size", [(40, 30), (30, 40), None])
def test_the_stated_size_decides_on_exif_orientation(tmp_path, size):
    add(tmp_path, "a", voc_object(box=(1, 1, 10, 5)), size=size, suffix=".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture()
    Image.fromarray(stored).save(tmp_path / "JPEGImages" / "a.jpg", exif=exif, quality=100, subsampling=0)
    expected = stored if size == (30, 40) else np.rot90(stored, -1)
    image = VocDataset(tmp_path)[0]["image"].astype(int)
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= 6


# ---------------------------------------------------------------- coordinates


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((1, 1, 40, 30), (0, 0, 40, 30)),
        ((3, 4, 20, 15), (2, 3, 20, 15)),
        ((3.5, 4.25, 20.5, 15.75), (2.5, 3.25, 20.5, 15.75)),
        ((20, 15, 3, 4), (2, 3, 20, 15)),  # reversed
        ((20, 4, 3, 15), (2, 3, 20, 15)),  # reversed in x only
        ((6, 4, 5, 15), (4, 3, 6, 15)),  # reversed by one pixel
        ((5.5, 4, 5.25, 15), (4.5, 3, 5.25, 15)),  # three quarters of a pixel wide, not reversed
        ((0, 0, 20, 15), (0, 0, 20, 15)),  # 0-based tools
        ((2, 3, 41, 31), (1, 2, 40, 30)),  # one pixel beyond
    ],
)
def test_coordinates(tmp_path, written, expected):
    add(tmp_path, "a", voc_object(box=written))
    dataset = VocDataset(tmp_path, on_invalid="raise")
    np.testing.assert_array_equal(dataset.annotations(0)["bboxes"], [expected])


@given(st.lists(st.tuples(*[st.integers(-50, 50)] * 4), max_size=6))
def test_conversion_against_a_loop(rows):
    result = voc_to_xyxy(np.array(rows, np.float64).reshape(-1, 4))
    assert result.shape == (len(rows), 4)
    for (x0, y0, x1, y1), box in zip(rows, result.tolist(), strict=True):
        left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        assert box == [left - (left != right), top - (top != bottom), right, bottom]


def coordinates(limit):
    values = st.one_of(st.integers(1, limit), st.floats(1, limit).map(lambda value: round(value, 3)))
    return st.tuples(values, values).filter(lambda pair: abs(pair[0] - pair[1]) >= 1)


@given(st.lists(st.tuples(coordinates(40), coordinates(30), st.sampled_from(["cat", "dog", "Käfer"])), max_size=8))
@settings(max_examples=25, deadline=None)
def test_boxes_and_classes_agree_with_supervision(rows):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        add(root, "a", *[voc_object(name, (x[0], y[0], x[1], y[1])) for x, y, name in rows])
        ours = VocDataset(root, on_invalid="raise")
        theirs = sv.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))
    detections = next(iter(theirs.annotations.values()))
    found = ours.annotations(0)
    np.testing.assert_allclose(found["bboxes"], detections.xyxy, atol=0.01)
    assert found["labels"] == [theirs.classes[class_id] for class_id in detections.class_id]
    assert list(ours.classes) == theirs.classes


# ---------------------------------------------------------------- invalid annotations

BAD_BOXES = {
    "equal x": ((5, 4, 5, 15), r"box \[5, 4, 5, 15\] has no area"),
    "equal y": ((3, 4, 20, 4), r"box \[3, 4, 20, 4\] has no area"),
    "point": ((5, 5, 5, 5), r"box \[5, 5, 5, 5\] has no area"),
    "NaN": (("nan", 4, 20, 15), r"box \[nan, 4, 20, 15\] is not finite"),
    "infinity": ((3, 4, "inf", 15), r"box \[3, 4, inf, 15\] is not finite"),
    "overflow": ((3, 4, "1e999", 15), r"box \[3, 4, inf, 15\] is not finite"),
    "beyond, left": (
        (-1, 4, 20, 15),
        r"box \[-1, 4, 20, 15\] reaches 2 px beyond its image, 40 px wide and 30 px high",
    ),
    "beyond, bottom": ((3, 4, 20, 31.5), r"box \[3, 4, 20, 31.5\] reaches 1.5 px beyond"),
    "outside": ((100, 100, 120, 120), r"box \[100, 100, 120, 120\] reaches 90 px beyond"),
    "outside by a hair": ((-0.5, 4, 0.0, 15), r"box \[-0.5, 4, 0, 15\] reaches 1.5 px beyond"),
    "huge": ((3, 4, 1e300, 15), r"box \[3, 4, 1e\+300, 15\] reaches 1e\+300 px beyond"),
    "too thin for float32": (
        (30.00000001, 4, 29.00000002, 15),
        "has no area inside its image, 40 px wide and 30 px high",
    ),
}
BAD_OBJECTS = {key: (voc_object(box=box), reason) for key, (box, reason) in BAD_BOXES.items()} | {
    "no name": ("<object/>", "it has no <name>"),
    "no box": ("<object><name>cat</name></object>", "'cat' has no <bndbox>"),
    "no number": (voc_object(box=(1, 2, 3, "x")), "missing or no number"),
    "unknown class": (voc_object("cow"), "unknown class 'cow': it is not among the classes given"),
    "negative weight": (voc_object(extra="<mixup_weight>-1</mixup_weight>"), "weight -1 is negative or not finite"),
    "infinite weight": (voc_object(extra="<mixup_weight>1e99</mixup_weight>"), r"weight 1e\+99 is negative or not"),
}


@pytest.mark.parametrize("case", BAD_OBJECTS)
def test_a_bad_object_costs_itself_only(tmp_path, case):
    item, reason = BAD_OBJECTS[case]
    heavy = voc_object("cat", (2, 2, 9, 9), "<mixup_weight>0.5</mixup_weight>")
    add(tmp_path, "a", voc_object("dog", (1, 1, 9, 9)), item, heavy)
    with pytest.warns(
        InvalidAnnotationWarning, match=rf"1 invalid .* w(as|ere) dropped: Annotations/a\.xml, object 1: .*{reason}"
    ):
        dataset = VocDataset(tmp_path, classes=["cat", "dog"])
    assert dataset.annotations(0)["bboxes"].tolist() == [[0, 0, 9, 9], [1, 1, 9, 9]]
    assert dataset.annotations(0)["labels"] == ["dog", "cat"]
    assert dataset.annotations(0)["mixup_weight"].tolist() == [1, 0.5]
    [record] = dataset.invalid
    assert record[:2] == ("Annotations/a.xml", 1)
    assert dataset.annotated().invalid == dataset.invalid


@pytest.mark.parametrize("case", BAD_OBJECTS)
def test_a_bad_object_raises_on_request(tmp_path, case):
    item, reason = BAD_OBJECTS[case]
    add(tmp_path, "a", voc_object("dog", (1, 1, 9, 9)), item)
    with pytest.raises(AnnotationError, match=rf"{tmp_path.as_posix()}/Annotations/a\.xml, object 1: .*{reason}"):
        VocDataset(tmp_path, classes=["cat", "dog"], on_invalid="raise")


def make_bad_image(root, case):
    add(root, "a", voc_object())
    if case == "unreadable XML":
        (root / "Annotations" / "a.xml").write_bytes(b"<annotation>")
    elif case == "bomb":
        (root / "Annotations" / "a.xml").write_text('<!DOCTYPE x [<!ENTITY a "a">]><annotation>&a;</annotation>')
    elif case == "missing image":
        (root / "JPEGImages" / "a.png").unlink()
    elif case == "missing XML":
        (root / "Annotations" / "a.xml").unlink()
    elif case == "no size anywhere":
        (root / "Annotations" / "a.xml").write_text(voc_xml(size=None))
        (root / "JPEGImages" / "a.png").write_bytes(b"no image")


BAD_IMAGES = {
    "unreadable XML": "unreadable XML: no element found",
    "bomb": "unsafe XML is refused: EntitiesForbidden",
    "missing image": r"its image is missing: there is no a\.jpg, \.png, \.\.\. in JPEGImages/",
    "missing XML": "the split lists this image, but it has no annotation file",
    "no size anywhere": r"it states no size, and its image is not an image",
}


@pytest.mark.parametrize("on_invalid", ["drop", "clip"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_file_costs_its_image(tmp_path, case, on_invalid):
    make_bad_image(tmp_path, case)
    add(tmp_path, "b", voc_object("dog"))
    add_split(tmp_path, "train", "a\nb\n")
    with pytest.warns(InvalidAnnotationWarning, match=rf"1 invalid .*: Annotations/a\.xml: {BAD_IMAGES[case]}"):
        dataset = VocDataset(tmp_path, "train", on_invalid=on_invalid)
    assert stems(dataset) == ["b"]
    assert dataset.annotations(0)["labels"] == ["dog"]
    assert dataset.invalid[0][:2] == ("Annotations/a.xml", None)


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_file_raises_on_request(tmp_path, case):
    make_bad_image(tmp_path, case)
    add(tmp_path, "b", voc_object("dog"))
    add_split(tmp_path, "train", "a\n")
    with pytest.raises(AnnotationError, match=rf"{tmp_path.as_posix()}/Annotations/a\.xml: {BAD_IMAGES[case]}"):
        VocDataset(tmp_path, "train", on_invalid="raise")


def test_clip_keeps_what_lies_inside(tmp_path):
    add(tmp_path, "a", voc_object(box=(-9, 4, 20, 99)), voc_object("dog", (100, 100, 120, 120)), voc_object("ant"))
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid .* were clipped, or dropped where nothing could be"):
        dataset = VocDataset(tmp_path, on_invalid="clip")
    assert dataset.annotations(0)["bboxes"].tolist() == [[0, 3, 20, 30], [2, 3, 20, 15]]
    assert dataset.annotations(0)["labels"] == ["cat", "ant"]
    assert [record.object_index for record in dataset.invalid] == [0, 1]


@pytest.mark.parametrize("case", ["NaN", "equal x", "infinity"])
def test_clip_drops_what_cannot_be_clipped(tmp_path, case):
    add(tmp_path, "a", BAD_OBJECTS[case][0])
    with pytest.warns(InvalidAnnotationWarning):
        assert len(VocDataset(tmp_path, on_invalid="clip").annotations(0)["labels"]) == 0


def test_one_warning_that_points_at_the_caller(tmp_path):
    add(tmp_path, "a", voc_object(box=(5, 5, 5, 5)))
    add(tmp_path, "b", xml="<annotation>")
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid annotations") as caught:
        dataset = VocDataset(tmp_path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert set(dataset.invalid) == {
        InvalidAnnotation("Annotations/a.xml", 0, "box [5, 5, 5, 5] has no area"),
        InvalidAnnotation("Annotations/b.xml", None, "unreadable XML: no element found: line 1, column 12"),
    }


def test_object_numbers_count_difficult_and_faulty_objects(tmp_path):
    difficult = voc_object(extra="<difficult>1</difficult>")
    add(tmp_path, "a", difficult, "<object/>", voc_object(), voc_object(box=(5, 5, 5, 5)))
    with pytest.warns(InvalidAnnotationWarning):
        assert sorted(record.object_index for record in VocDataset(tmp_path).invalid) == [1, 3]


def test_every_image_invalid(tmp_path):
    add(tmp_path, "a", xml="<annotation>")
    with pytest.warns(InvalidAnnotationWarning):
        dataset = VocDataset(tmp_path)
    assert len(dataset) == 0
    assert dataset.classes == ()


def test_a_sound_dataset_is_silent(tmp_path):
    add(tmp_path, "a", voc_object(), voc_object(box=(0, 0, 41, 31)), voc_object(extra="<difficult>1</difficult>"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert VocDataset(tmp_path).invalid == ()


def test_files_of_folders_below_pair_by_path_or_by_a_name_that_is_one_of_a_kind(tmp_path):
    for stem in ("a", "one/b", "one/c", "two/b"):
        path = tmp_path / "Annotations" / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(voc_xml(voc_object("cat")))
    for stem in ("a", "one/b", "elsewhere/c", "elsewhere/b", "elsewhere/bare"):
        save(tmp_path / "JPEGImages" / f"{stem}.png", picture())
    with pytest.warns(InvalidAnnotationWarning, match=r"1 invalid .*Annotations/two/b.xml: its image is mis"):
        dataset = VocDataset(tmp_path)
    found = [dataset.image_path(index).relative_to(dataset.root).as_posix() for index in range(len(dataset))]
    assert found == ["JPEGImages/a.png", "JPEGImages/one/b.png", "JPEGImages/elsewhere/c.png"]
    assert dataset.unlabelled == ("JPEGImages/elsewhere/b.png", "JPEGImages/elsewhere/bare.png")


def test_of_two_folders_of_other_names_none_is_taken_for_that_of_the_images(tmp_path):
    """One may be that of masks, which have the names of their images."""
    write = tmp_path / "annotations" / "a.xml"
    write.parent.mkdir()
    write.write_text(voc_xml(voc_object("cat")))
    save(tmp_path / "photos" / "a.png", picture())
    assert VocDataset(tmp_path).image_path(0).parent.name == "photos"
    save(tmp_path / "masks" / "a.png", picture())
    with pytest.raises(DatasetError, match=r"images must be one folder .*, got masks, photos in .*: name one with"):
        VocDataset(tmp_path)
    assert VocDataset(tmp_path, images="photos").image_path(0).parent.name == "photos"
