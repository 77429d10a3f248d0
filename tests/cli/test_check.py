"""`alb-mixup check` tells the truth: each fault is named, and what it calls clean, everything else can use."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest

import alb_mixup
from alb_mixup.cli import main
from alb_mixup.errors import HardLabelsWarning, ImageReadError, InvalidAnnotationWarning
from tests.support import damage, layouts

JSON_KEYS = {
    "path", "layout", "split", "splits", "clean", "images", "boxes", "images_without_boxes",
    "images_without_label_file", "label_files_without_image", "left_out", "classes", "weights", "box_sides",
    "image_sizes", "pixels_decoded", "invalid", "unreadable", "remarks", "partners", "not_as_generated",
}  # fmt: skip


def check(capsys, *arguments):
    code = main(["check", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


def found_by(capsys, *arguments):
    code, text = check(capsys, *arguments, "--json")
    found = json.loads(text)
    assert found["clean"] == (code == 0)
    return code, found


@pytest.mark.parametrize("layout", layouts.WRITERS)
def test_a_sound_set_is_clean_and_has_all_keys(layout, tmp_path, capsys):
    root = layouts.WRITERS[layout](tmp_path / "set")
    code, found = found_by(capsys, root)
    assert code == 0
    assert found.keys() == JSON_KEYS
    assert found["layout"] == layout
    assert (found["images"], found["boxes"], found["images_without_boxes"]) == (4, 6, 1)
    assert found["classes"] == {"cat": 2, "small dog & <co>": 3, "Ünïcode 猫": 1}
    assert found["weights"] == {"lowest": 0.25, "highest": 1.0}
    assert found["image_sizes"] == {"40x30": 2, "32x48": 1, "61x25": 1}
    assert sum(found["box_sides"].values()) == 6
    assert found["invalid"] == found["unreadable"] == found["not_as_generated"] == []


def test_help_explains_every_key_and_every_exit_code(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["check", "--help"])
    said = capsys.readouterr().out
    explained = {word.strip(",") for line in said.splitlines() for word in line.split()}
    assert explained >= JSON_KEYS | {"0", "1", "2", "130", "141"}


@pytest.mark.parametrize(
    ("layout", "harm"),
    [
        (layout, harm)
        for layout in layouts.WRITERS
        for harm in (*damage.FATAL, *damage.SIZED, damage.removed)
        # YOLO states no size that an image could contradict, and no name that a folder could take
        if not (layout == "yolo" and harm in {*damage.SIZED, damage.a_folder})
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_image_that_cannot_be_used_is_named_with_the_reason(layout, harm, tmp_path, capsys):
    root = layouts.WRITERS[layout](tmp_path / "set")
    (path,) = root.rglob("1.png")
    harm(path, np.random.default_rng(0))
    code, found = found_by(capsys, root)
    if layout == "yolo" and harm is damage.removed:  # no list names it: its label file is left
        assert found["label_files_without_image"] == ["labels/train/1.txt"]
        return
    assert code == 1
    named = [image["file"] for image in found["unreadable"]] + [record["reason"] for record in found["invalid"]]
    assert len(named) == 1
    assert "1.png" in named[0] or "1" in found["invalid"][0]["file"]
    if found["unreadable"]:
        _, text = check(capsys, root)
        (image,) = found["unreadable"]
        assert "unreadable images: 1 of 4" in text
        assert f"  {image['file']} {image['reason']}" in text.splitlines()


def test_all_of_them_are_listed_not_only_the_first(tmp_path, capsys):
    root = layouts.write_yolo(tmp_path / "set")
    for number, harm in enumerate([damage.emptied, damage.web_page, damage.cut_short]):
        harm(root / "images" / "train" / f"{number}.png", np.random.default_rng(number))
    _, found = found_by(capsys, root)
    assert [image["file"] for image in found["unreadable"]] == [f"images/train/{number}.png" for number in range(3)]


def test_damage_within_the_pixels_is_found_where_they_are_decoded(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    path = root / "images" / "1.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ImageReadError):
        alb_mixup.open_dataset(root)[1]
    assert found_by(capsys, root)[0] == 0
    code, found = found_by(capsys, root, "--pixels")
    assert code == 1
    assert found["pixels_decoded"]
    assert [image["file"] for image in found["unreadable"]] == ["1.png"]


def test_images_without_a_label_file_are_told_from_empty_ones(tmp_path, capsys):
    root = layouts.write_yolo(tmp_path / "set")
    (root / "labels" / "train" / "0.txt").unlink()
    (root / "labels" / "train" / "other.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    code, found = found_by(capsys, root)
    assert code == 0
    assert found["images_without_boxes"] == 2
    assert found["images_without_label_file"] == ["images/train/0.png"]
    assert found["label_files_without_image"] == ["labels/train/other.txt"]
    _, text = check(capsys, root)
    assert "images without a label file, taken for background: 1\n  images/train/0.png\n" in text
    assert "label files without an image: 1\n  labels/train/other.txt\n" in text


def test_no_label_file_at_all_is_not_clean(tmp_path, capsys):
    root = layouts.write_yolo(tmp_path / "set")
    (root / "labels").rename(root / "labelTxt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidAnnotationWarning)
        code, text = check(capsys, root)
    assert code == 1
    assert "no image has a label file (4 images): labels lie elsewhere" in text
    assert "labelTxt/train holds 0.txt: name the labels' folder with --annotations, and" in text


@pytest.mark.parametrize("command", ["check", "preview", "generate", "convert"])
def test_every_command_says_what_is_hardly_meant(command, tmp_path, capsys):
    """Track ids 0 and 1 are in [0, 1], so they are weights, and nothing is invalid."""
    root = layouts.write_yolo(tmp_path / "set")
    for path in (root / "labels" / "train").iterdir():
        rows = [line.split()[:5] for line in path.read_text().splitlines()]
        path.write_text("".join(f"{' '.join(row)} {number % 2}\n" for number, row in enumerate(rows)))
    to = {"check": [], "preview": ["-o", tmp_path / "x.png", "-n", 1]}.get(command, [tmp_path / "out"])
    assert main([command, str(root), *map(str, to)]) == 0
    said = capsys.readouterr()
    assert "are all whole, and 4 of them are 0: they are read as weights" in (said.out if not to else said.err)
    assert main([command, str(root), *map(str, to), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    if command == "check":
        (remark,) = found_by(capsys, root)[1]["remarks"]
        assert "may be track ids or flags" in remark


def test_what_is_left_out_is_counted(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8"))
    content["annotations"][0]["iscrowd"] = 1
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    assert found_by(capsys, root)[1]["left_out"] == {"crowd": 1}
    assert "left out: 1 crowd\n" in check(capsys, root)[1]


def test_difficult_objects_are_left_out_or_kept(tmp_path, capsys):
    root = layouts.write_voc(tmp_path / "set")
    path = root / "Annotations" / "0.xml"
    text = path.read_text(encoding="utf-8")
    assert "<difficult>0</difficult>" in text or "<bndbox>" in text
    path.write_text(text.replace("<bndbox>", "<difficult>1</difficult><bndbox>", 1), encoding="utf-8")
    boxes = [found_by(capsys, root, *options)[1] for options in ((), ("--keep-difficult",))]
    assert [found["boxes"] for found in boxes] == [5, 6]
    assert [found["left_out"] for found in boxes] == [{"difficult": 1}, {}]


def test_weights_are_told_of_where_they_are_not_all_one(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    assert "\nweights: 0.25 to 1\n" in check(capsys, root)[1]
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8"))
    for annotation in content["annotations"]:
        del annotation["mixup_weight"]
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    assert "weights:" not in check(capsys, root)[1]


def test_names_from_files_never_act_on_the_terminal(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8"))
    names = ["\x1b[31mred\x1b]0;title\x07", "two\nlines\r\x85", "\u202etxt.exe"]
    for category, name in zip(content["categories"], names, strict=True):
        category["name"] = name
    content["annotations"].append({"id": 99, "image_id": "\x1b[2J", "category_id": 3, "bbox": [0, 0, 4, 4]})
    content["images"][0]["file_name"] = "\x1b[31m0.png"
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    (root / "images" / "0.png").rename(root / "images" / "\x1b[31m0.png")
    damage.emptied(root / "images" / "\x1b[31m0.png", None)
    code, text = check(capsys, root)
    assert code == 1
    assert all(char == "\n" or char.isprintable() for char in text)
    assert r"\x1b[31mred" in text
    assert r"\x1b[31m0.png" in text
    assert r"two\nlines" in text
    found = json.loads(check(capsys, root, "--json")[1])
    assert set(found["classes"]) <= {*names, *map(str.strip, names)}


def test_a_generated_set_is_compared_with_what_was_written(tmp_path, capsys):
    root = alb_mixup.generate(alb_mixup.sample_dataset(), tmp_path / "mixed", progress=False)
    assert found_by(capsys, root)[0] == 0
    path = root / "images" / "mixup_000003.jpg"
    path.write_bytes((root / "images" / "mixup_000004.jpg").read_bytes())  # sound, but another
    code, found = found_by(capsys, root)
    assert code == 1
    assert [text.split()[0] for text in found["not_as_generated"]] == ["images/mixup_000003.jpg"]
    assert "not as `generate` wrote it: 1\n" in check(capsys, root)[1]


def test_quiet_leaves_the_exit_code_alone(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    assert check(capsys, root, "--quiet") == (0, "")
    damage.emptied(root / "images" / "0.png", None)
    assert check(capsys, root, "-q") == (1, "")
    assert found_by(capsys, root, "-q")[0] == 1


HARMS = [*damage.FATAL, *damage.SIZED, *damage.SOUND, damage.removed, None, None, None]


@pytest.mark.parametrize("decoded", [False, True], ids=["headers", "pixels"])
@pytest.mark.parametrize("layout", layouts.WRITERS)
def test_what_is_called_clean_can_be_generated_from_and_decoded(layout, decoded, tmp_path, capsys):
    """The promise, over sets with a damaged image each: clean means that all goes through."""
    harms = [*HARMS, *[damage.bits_flipped] * 6] if decoded else HARMS
    outcomes = set()
    for seed, harm in enumerate(harms):
        random = np.random.default_rng(seed)
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        root = layouts.WRITERS[layout](tmp_path / "set")
        if harm is not None:
            (path,) = root.rglob(f"{random.integers(4)}.png")
            harm(path, random)
        options = ["--pixels"] if decoded else []
        code, found = found_by(capsys, root, *options)
        assert code in {0, 1}
        dataset = alb_mixup.open_dataset(root) if not found["invalid"] else None
        sound = dataset is not None and all_can_be_read(dataset)
        assert (code == 0) <= sound, (harm, found)
        if not sound:
            assert found["unreadable"] or found["invalid"], harm
        if code == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HardLabelsWarning)
                alb_mixup.generate(dataset, tmp_path / f"mixed {seed}", progress=False)
        outcomes.add(code)
    assert outcomes == {0, 1}


def all_can_be_read(dataset):
    try:
        for index in range(len(dataset)):
            dataset[index]
    except ImageReadError:
        return False
    return True


def test_partners_says_what_a_law_does_to_the_classes(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    dataset = alb_mixup.open_dataset(root)
    held = [set(dataset.annotations(index)["labels"]) for index in range(4)]
    assert found_by(capsys, root)[1]["partners"] is None
    _, found = found_by(capsys, root, "--partners", "class:cat=3,Ünïcode 猫=0.5")
    weights = [max([{"cat": 3, "Ünïcode 猫": 0.5}.get(name, 1) for name in names], default=1) for names in held]
    assert len(set(weights)) > 1
    said = found["partners"]
    assert said["law"] == {"law": "ClassWeights", "weights": {"cat": 3.0, "Ünïcode 猫": 0.5}, "default": 1.0}
    for name in dataset.classes:
        before, after = (
            sum(name in names for names in held) / 4,
            sum(w for w, names in zip(weights, held, strict=True) if name in names) / sum(weights),
        )
        assert said["classes"][name] == pytest.approx({"before": before, "after": after})
    assert said["without_boxes"] == pytest.approx({"before": 0.25, "after": weights[held.index(set())] / sum(weights)})
    code, text = check(capsys, root, "--partners", "background:0.6")
    assert code == 0
    assert text.splitlines()[-1].split() == ["(no", "boxes)", "25.00%", "60.00%"]


@pytest.mark.parametrize(
    ("law", "says"),
    [
        (
            "background:2",
            "--partners must be a law whose numbers fit, got 'background:2': share must be a share of draws",
        ),
        ("background", "--partners must be a law whose numbers fit, got 'background': '' is not a number"),
        (
            "class:cat",
            "--partners must be a law whose numbers fit, got 'class:cat': each class is given as NAME=WEIGHT",
        ),
        ("klass:cat=2", "--partners must be repeat-factor:THRESHOLD, .* got 'klass:cat=2': did you mean class"),
        ("class:cta=2", "--partners must name classes of the dataset, got 'cta': did you mean 'cat'"),
    ],
)
@pytest.mark.parametrize("command", ["check", "preview", "generate"])
def test_laws_that_do_not_fit_are_refused_before_anything_is_done(command, law, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = layouts.write_coco(tmp_path / "set")
    more = ["made"] if command == "generate" else []
    assert main([command, str(root), *more, "--partners", law]) == 2
    captured = capsys.readouterr()
    assert re.search(says, captured.err)
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
