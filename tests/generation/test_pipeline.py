"""Sets from any pipeline: what the oracle makes of the manifest, the same bytes however they are made, and refusals."""

import csv
import json
import pickle
import shutil
import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from pycocotools.mask import decode

import alb_mixup
from alb_mixup import (
    Background,
    CachedDataset,
    ClassWeights,
    DiskCache,
    MixUp,
    MosaicDataset,
    RecentSamples,
    RepeatFactor,
    generate,
)
from alb_mixup.cli import main
from alb_mixup.errors import ArgumentError, HardLabelsWarning, OutputError, SampleError, UnreadableImageWarning
from tests.generation.test_run import in_pixels, killed_after, manifest
from tests.oracle import disagreements, mix
from tests.support import layouts, tree

WEIGHTED = ["labels", "mixup_weight"]


def compose(*transforms, bbox_format="pascal_voc", label_fields=WEIGHTED, **params):
    bbox_params = A.BboxParams(bbox_format, label_fields=label_fields, **params)
    return A.Compose([*transforms, A.NoOp()], bbox_params=bbox_params)  # 2.0.8 warns of one that does nothing to boxes


@pytest.fixture
def source(tmp_path):
    return alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))


def write(source, root, pipeline, **settings):
    return generate(source, root, pipeline=pipeline, image_format="png", progress=False, **settings)


def rows_by_image(root):
    """The manifest's rows, by the image's name, in the order of the images."""
    found = {}
    for row in manifest(root):
        found.setdefault(Path(row["image"]).name, []).append(row)
    return found


def mixed_by_oracle(rows):
    """What the rows of one image say was mixed: whole samples, one after the other."""
    sample = layouts.plain(int(Path(rows[0]["primary"]).stem))
    for row in rows:
        if row["ratio"]:
            sample = mix(sample, layouts.plain(int(Path(row["partner"]).stem)), float(row["ratio"]))
            sample["image"] = np.rint(sample["image"]).astype(np.uint8)
    return {"image_dtype": np.uint8, **sample}


def flipped(sample):
    width = sample["image"].shape[1]
    boxes = np.asarray(sample["bboxes"], np.float64).reshape(-1, 4)
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return {**sample, "image": sample["image"][:, ::-1], "bboxes": boxes}


# ------------------------------------------------------------------------------------------ right values


@pytest.mark.parametrize("bbox_format", ["pascal_voc", "coco", "yolo", "albumentations"])
@pytest.mark.parametrize("source_format", ["coco", "yolo", "voc"])
def test_two_mixups_and_a_flip_are_what_the_oracle_makes_of_the_manifest(source_format, bbox_format, tmp_path):
    source = alb_mixup.open_dataset(layouts.WRITERS[source_format](tmp_path / "source"))
    pipeline = compose(MixUp(p=0.7), MixUp(source, p=0.7), A.HorizontalFlip(p=1.0), bbox_format=bbox_format)
    root = write(source, tmp_path / "set", pipeline, multiplier=5)
    made, rows = alb_mixup.open_dataset(root), rows_by_image(root)
    assert len(made) == len(rows) == 20
    assert {len(found) for found in rows.values()} == {1, 2}
    assert {tuple(row["mixup"] for row in found) for found in rows.values()} == {("",), ("1",), ("2",), ("1", "2")}
    for index in range(20):
        found = rows[made.image_path(index).name]
        got, expected = in_pixels(made[index], made.bbox_format), flipped(mixed_by_oracle(found))
        assert not disagreements(got, expected, image_tolerance=1.5, bbox_tolerance=0.01, weight_tolerance=1e-6)
        assert list(got["labels"]) == expected["labels"]
        assert all(row["partner"] != row["primary"] for row in found)


def test_nested_mixups_are_numbered_as_they_stand_and_those_not_drawn_are_not_named(source, tmp_path):
    first, second, third = (MixUp(ratio_range=(ratio, ratio), p=1.0) for ratio in (0.1, 0.2, 0.3))
    one_of = A.OneOf([first, A.Sequential([second], p=1.0)], p=0.8)
    pipeline = compose(one_of, A.Sequential([third], p=0.5))
    root = write(source, tmp_path / "set", pipeline, multiplier=10)
    assert (root / "manifest.csv").read_text().startswith("image,ratio,primary,partner,mixup\n")
    found = rows_by_image(root).values()
    assert {(row["mixup"], row["ratio"]) for rows in found for row in rows} == {
        ("", ""), ("1", "0.1"), ("2", "0.2"), ("3", "0.3"),
    }  # fmt: skip
    assert {tuple(row["mixup"] for row in rows) for rows in found} >= {("",), ("1",), ("2",), ("3",), ("1", "3")}
    assert all((row["partner"] == "") == (row["ratio"] == "") for rows in found for row in rows)


def test_one_mixup_in_two_places_is_one_and_a_replay_compose_is_a_pipeline(source, tmp_path):
    mixup = MixUp(source, ratio_range=(0.4, 0.6), p=1.0)
    pipeline = A.ReplayCompose([mixup, mixup], bbox_params=A.BboxParams("yolo", label_fields=WEIGHTED))
    made = alb_mixup.open_dataset(write(source, tmp_path / "set", pipeline))
    for index, rows in enumerate(rows_by_image(tmp_path / "set").values()):
        assert [row["mixup"] for row in rows] == ["1", "1"]
        got, expected = in_pixels(made[index], made.bbox_format), mixed_by_oracle(rows)
        assert not disagreements(got, expected, image_tolerance=1.5, bbox_tolerance=0.01, weight_tolerance=1e-6)


def test_without_a_mixup_it_converts_and_augments(source, tmp_path):
    root = write(source, tmp_path / "set", compose(A.HorizontalFlip(p=1.0)), output_format="yolo")
    made = alb_mixup.open_dataset(root)
    for index, rows in enumerate(rows_by_image(root).values()):
        got, expected = in_pixels(made[index], made.bbox_format), flipped(mixed_by_oracle(rows))
        assert not disagreements(got, expected, image_tolerance=0, bbox_tolerance=0.01)
    assert {(row["ratio"], row["partner"], row["mixup"]) for row in manifest(root)} == {("", "", "")}


def test_what_bbox_params_drop_is_not_written(source, tmp_path):
    pipeline = compose(min_area=600, bbox_format="yolo")  # of the whole images' boxes, two are larger
    made = alb_mixup.open_dataset(write(source, tmp_path / "set", pipeline))
    areas = [(c - a) * (d - b) for objects in layouts.OBJECTS for _, (a, b, c, d), _ in objects]
    kept = [len(made.annotations(index)["labels"]) for index in range(len(made))]
    assert sum(kept) == sum(area >= 600 for area in areas) < len(areas)
    assert kept == [1, 0, 0, 2]


def test_a_pipeline_without_weights_writes_whole_objects(tmp_path):
    source = alb_mixup.sample_dataset()
    pipeline = compose(MixUp(weight_field=None, p=1.0), label_fields=["labels"])
    with pytest.warns(HardLabelsWarning, match=r"in 10\.\d% of the mixes; let its MixUp draw λ near one half"):
        root = generate(source, tmp_path / "set", pipeline=pipeline, progress=False)
    made = alb_mixup.open_dataset(root)
    assert all((made.annotations(index)["mixup_weight"] == 1).all() for index in range(len(made)))
    one = [len(source.annotations(index)["labels"]) for index in range(len(source))]
    two = [len(made.annotations(index)["labels"]) for index in range(len(made))]
    assert all(mixed > own for mixed, own in zip(two, one, strict=True))


def test_further_classes_of_a_reference_follow_those_of_the_dataset(source, tmp_path):
    other = alb_mixup.sample_dataset()
    pipeline = compose(MixUp(other, p=1.0))
    made = alb_mixup.open_dataset(write(source, tmp_path / "set", pipeline, output_format="yolo"))
    assert made.classes == (*source.classes, *other.classes)
    assert {row["partner"] for row in manifest(tmp_path / "set")} <= {
        other.image_path(index).as_posix() for index in range(len(other))
    }
    for index, row in enumerate(manifest(tmp_path / "set")):
        number = next(i for i in range(len(other)) if other.image_path(i).as_posix() == row["partner"])
        labels = [*source.annotations(index)["labels"], *other.annotations(number)["labels"]]
        assert list(made.annotations(index)["labels"]) == labels


def test_a_law_of_the_pipeline_draws_its_partners_for_any_number_of_workers(source, tmp_path):
    law = ClassWeights({layouts.CLASSES[2]: 1.0}, default=0.0)  # image 1 alone has this class, image 2 has no boxes
    pipeline = compose(MixUp(source, partner_weights=Background(0.5), p=0.5), MixUp(source.annotated(), p=0.5))
    trees = [tree(write(source, tmp_path / str(n), pipeline, multiplier=12, workers=n)) for n in (1, 2)]
    assert trees[0] == trees[1]
    first = [row["partner"] for row in manifest(tmp_path / "1") if row["mixup"] == "1" and row["primary"] != "2.png"]
    assert 0.3 < first.count("2.png") / len(first) < 0.7
    alone = compose(MixUp(source, partner_weights=law, p=1.0))
    with pytest.raises(SampleError, match="partner_weights must leave a sample to draw beside the primary itself"):
        write(source, tmp_path / "alone", alone)


@pytest.mark.parametrize("wrap", ["as it is", "opened again", "a part", "cached", "on disk", "mosaics"])
def test_no_image_is_its_own_partner(wrap, source, tmp_path):
    again = alb_mixup.open_dataset(source.root.parent)
    reference = {
        "as it is": lambda: source,
        "opened again": lambda: again,
        "a part": again.annotated,
        "cached": lambda: CachedDataset(again, 10**6),
        "on disk": lambda: DiskCache(again, tmp_path / "a.cache", (20, 20)),
        "mosaics": lambda: MosaicDataset(CachedDataset(again, 10**6), size=(40, 40)),
    }[wrap]()
    rows = manifest(write(source, tmp_path / "set", compose(MixUp(reference, p=1.0)), multiplier=12))
    assert len(rows) == 48
    assert all(row["primary"] != row["partner"] for row in rows)
    assert {row["partner"] for row in rows} == {f"{n}.png" for n in ((0, 1, 3) if wrap == "a part" else range(4))}


def rectangles(masks, hw):
    """Where each of COCO's compressed masks has its first and last pixels: its corners, half-open."""
    drawn = [decode({"size": hw, "counts": text.encode()}) for text in masks]
    found = []
    for mask in drawn:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        found.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return np.reshape(found, (-1, 4))


def with_centres(root):
    """Write a COCO set; each mask is its whole box, each box has a keypoint at its centre."""
    layouts.write_coco(root)
    path = root / "annotations.json"
    content = json.loads(path.read_text())
    for category in content["categories"]:
        category["keypoints"] = ["centre"]
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        entry["keypoints"] = [x + width / 2, y + height / 2, 2]
    path.write_text(json.dumps(content))
    return path


KEYPOINT_FIELDS = ["keypoint_labels", "keypoint_visibility", "keypoint_boxes"]


def of_keypoints(keypoint_format="xy", **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # X takes label fields to be for swapping labels alone
        return A.KeypointParams(keypoint_format, label_fields=KEYPOINT_FIELDS, **settings)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_masks_and_keypoints_stay_with_their_boxes_through_a_pipeline(tmp_path):
    path = with_centres(tmp_path / "source")
    source = alb_mixup.CocoDataset(path, masks=True, keypoints=True)
    keypoint_params = of_keypoints()
    of_partner = A.Compose(
        [A.RandomCrop(20, 20)], keypoint_params=keypoint_params,
        bbox_params=A.BboxParams("coco", label_fields=WEIGHTED, min_visibility=0.3),
    )  # fmt: skip
    pipeline = A.Compose(
        [MixUp(p=0.7, min_weight=0.2, reference_transform=of_partner), A.HorizontalFlip(p=0.5), A.RandomCrop(20, 24)],
        bbox_params=A.BboxParams("yolo", label_fields=WEIGHTED, min_visibility=0.3), keypoint_params=keypoint_params,
    )  # fmt: skip
    root = write(source, tmp_path / "set", pipeline, multiplier=12, include_originals=True)
    records = [json.loads(line) for line in (root / ".mixup" / "done.jsonl").read_text().splitlines()]
    assert len(records) == 52
    inside = outside = 0
    for record in records:
        xyxy = np.reshape(record["xyxy"], (-1, 4))
        np.testing.assert_allclose(rectangles(record["masks"], record["hw"]), xyxy, atol=1.01)
        assert len(record["keypoints"]) == len(xyxy)
        for (x1, y1, x2, y2), (x, y, visibility) in zip(xyxy, record["keypoints"], strict=True):
            assert visibility in {0, 2}
            inside, outside = inside + (visibility == 2), outside + (visibility == 0)
            assert visibility == 0 or (x1 - 1 <= x <= x2 + 1 and y1 - 1 <= y <= y2 + 1)
    assert min(inside, outside) > 5
    without = compose(MixUp(), bbox_format="coco")
    with pytest.raises(ArgumentError, match="pipeline must have keypoint_params where the dataset has keypoints"):
        write(source, tmp_path / "refused", without)
    masked, other = alb_mixup.CocoDataset(path, masks=True), compose(MixUp(alb_mixup.CocoDataset(path)))
    with pytest.raises(ArgumentError, match="pipeline must draw partners that have masks where the dataset has"):
        write(masked, tmp_path / "refused", other)
    assert not (tmp_path / "refused").exists()


def centred(path, *transforms, keypoints="xy", **settings):
    """A dataset with masks and keypoints, and a pipeline for it."""
    bbox_params = A.BboxParams("coco", label_fields=WEIGHTED, min_visibility=0.1)
    pipeline = A.Compose([*transforms], bbox_params=bbox_params, keypoint_params=of_keypoints(keypoints, **settings))
    return alb_mixup.CocoDataset(path, masks=True, keypoints=True), pipeline


def test_a_pipeline_that_has_run_before_makes_the_same_set(tmp_path):
    path = with_centres(tmp_path / "source")
    source, fresh = centred(path, MixUp(p=1.0), A.HorizontalFlip(p=0.5))
    expected = tree(write(source, tmp_path / "fresh", fresh))
    for reference in (None, source):
        _, used = centred(path, MixUp(reference, p=1.0), A.HorizontalFlip(p=0.5))
        used(**source[0], mixup_metadata=[source[1]])
        found = tree(write(source, tmp_path / f"used{reference is None}", used))
        for name in {name for name in found if not name.startswith(".mixup")}:  # where the plan names the reference
            assert found[name] == expected[name]


def test_keypoints_that_a_pipeline_keeps_outside_of_the_image_are_not_labelled(tmp_path):
    source, pipeline = centred(
        with_centres(tmp_path / "source"), MixUp(p=1.0, fit_mode="cover"), A.RandomCrop(20, 24), remove_invisible=False
    )
    root = write(source, tmp_path / "set", pipeline, multiplier=8)
    content = json.loads((root / "annotations.json").read_text())
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in content["images"]}
    seen = []
    for entry in content["annotations"]:
        x, y, visibility = entry["keypoints"]
        width, height = sizes[entry["image_id"]]
        seen.append(visibility)
        assert (x, y) == (0, 0) if visibility == 0 else (-0.5 <= x < width and -0.5 <= y < height)
        assert entry["num_keypoints"] == (visibility > 0)
    assert set(seen) == {0, 2}


@pytest.mark.parametrize("keypoint_format", ["yx", "xya"])
def test_keypoints_in_another_format_than_the_datasets_are_refused(tmp_path, keypoint_format):
    source, pipeline = centred(with_centres(tmp_path / "source"), MixUp(p=1.0), keypoints=keypoint_format)
    with pytest.raises(ArgumentError, match=f"keypoint_params in the format 'xy', .* got '{keypoint_format}'"):
        write(source, tmp_path / "refused", pipeline)


def test_partners_without_the_datasets_masks_or_keypoints_are_refused_before_anything_is_written(tmp_path):
    path = with_centres(tmp_path / "source")
    pointed = alb_mixup.CocoDataset(path, keypoints=True)
    plain = alb_mixup.CocoDataset(path)
    for reference, match in (
        (plain, "partners that have keypoints where the dataset has, got a reference without"),
        (MosaicDataset(pointed), "partners that have keypoints where the dataset has, got a MosaicDataset"),
        (CachedDataset(plain, 10**7), "partners that have keypoints where the dataset has, got a reference without"),
    ):
        _, pipeline = centred(path, MixUp(reference, p=0.01))
        with pytest.raises(ArgumentError, match=match):
            write(pointed, tmp_path / "refused", pipeline)
    masked = alb_mixup.CocoDataset(path, masks=True)
    with pytest.raises(ArgumentError, match="partners that have masks where the dataset has, got a MosaicDataset"):
        write(masked, tmp_path / "refused", compose(MixUp(MosaicDataset(masked), p=0.01), bbox_format="coco"))
    assert not (tmp_path / "refused").exists()


# ------------------------------------------------------------------------------------------ the same bytes


def everything(source, reference):
    """Mosaics as partners, MixUp of the set itself, flip, crop, colour."""
    mosaics = MosaicDataset(CachedDataset(reference, 10**7), size=(40, 40), grid=(2, 2))
    one_of = A.OneOf([MixUp(source, p=1.0), MixUp(DiskCache(reference, reference.root / "a.cache"), p=1.0)], p=0.6)
    return compose(
        MixUp(mosaics, p=0.6), one_of, A.HorizontalFlip(p=0.5), A.RandomCrop(20, 20, p=0.7),
        A.RandomBrightnessContrast(p=0.8), bbox_format="yolo", min_visibility=0.1,
    )  # fmt: skip


@pytest.fixture
def pieces(source, tmp_path):
    """A source, a pipeline of everything, and the options of the shell."""
    pipeline = everything(source, alb_mixup.open_dataset(layouts.write_voc(tmp_path / "other")))
    A.save(pipeline, tmp_path / "pipeline.json")
    A.save(pipeline, tmp_path / "pipeline.txt", data_format="yaml")
    return pipeline, ["--multiplier", "12", "--include-originals", "--seed", "3", "--pipeline"]


def test_any_number_of_workers_and_the_shell_write_the_same(source, pieces, tmp_path, capsys):
    pipeline, options = pieces
    settings = {"multiplier": 12, "seed": 3, "include_originals": True, "progress": False}
    before = pickle.dumps(source)
    whole = tree(generate(source, tmp_path / "whole", pipeline=pipeline, **settings))
    assert tree(generate(source, tmp_path / "three", pipeline=pipeline, workers=3, **settings)) == whole
    assert tree(generate(source, tmp_path / "whole", pipeline=pipeline, **settings)) == whole  # checked, left alone
    assert pickle.dumps(source) == before
    for number, name in enumerate(["pipeline.json", "pipeline.txt"]):
        command = ["generate", str(source.root.parent), str(tmp_path / name[:-4]), *options, str(tmp_path / name)]
        assert main([*command, "--workers", str(1 + number)]) == 0
        assert "holds the originals and the mixes of" in capsys.readouterr().out
    assert (tmp_path / "pipeline" / "manifest.csv").exists()
    made = [{k: v for k, v in tree(tmp_path / name).items() if "plan" not in k and "finished" not in k}
            for name in ("whole", "pipeline.", "pipeline")]  # fmt: skip
    assert made[0] == made[1] == made[2]


KILLED = """
import sys
from alb_mixup.cli import main
if __name__ == "__main__":
    root, output_format, workers = sys.argv[1:]
    main(["generate", {source!r}, root, "--format", output_format, "--workers", workers, "-q", *{options!r}])
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_several_moments_and_resumed_is_byte_identical(workers, source, pieces, tmp_path):
    options = [*pieces[1], str(tmp_path / "pipeline.json")]
    options[1] = "60"
    command = ["generate", str(source.root.parent), "--format", "voc", *options]
    assert main([*command[:2], str(tmp_path / "whole"), *command[2:]]) == 0
    script, root = tmp_path / "run.py", tmp_path / "killed"
    script.write_text(KILLED.format(source=str(source.root.parent), options=options))
    written = {}
    for images in (1, 100):
        now = killed_after(images, root, "voc", workers, script)
        assert written.items() <= now.items()
        written = now
    assert not (root / "manifest.csv").exists()
    assert main([*command[:2], str(root), *command[2:]]) == 0
    assert tree(root) == tree(tmp_path / "whole")
    assert all((root / path).stat().st_mtime_ns == when for path, when in written.items())


def test_another_pipeline_and_other_annotations_of_its_reference_are_refused(source, tmp_path):
    other = layouts.write_voc(tmp_path / "other")
    pipeline = compose(MixUp(alb_mixup.open_dataset(other), p=0.5))
    before = tree(write(source, tmp_path / "set", pipeline))
    changed = compose(MixUp(alb_mixup.open_dataset(other), p=0.6))
    for given in (changed, compose(MixUp(p=0.5)), None):
        with pytest.raises(OutputError, match=r"got .*, made with another pipeline: take another folder"):
            write(source, tmp_path / "set", given)
    path = other / "Annotations" / "0.xml"
    path.write_text(path.read_text().replace("<xmax>20<", "<xmax>21<"))
    with pytest.raises(OutputError, match="made with another pipeline"):
        write(source, tmp_path / "set", compose(MixUp(alb_mixup.open_dataset(other), p=0.5)))
    assert tree(tmp_path / "set") == before


def test_outputs_of_changed_images_of_a_reference_are_made_anew(source, tmp_path):
    other = alb_mixup.open_dataset(layouts.write_voc(tmp_path / "other"))
    pipeline = compose(MixUp(MosaicDataset(other, size=(40, 40)), p=0.5))
    root = write(source, tmp_path / "set", pipeline, multiplier=4)
    records = [json.loads(line) for line in (root / ".mixup" / "done.jsonl").read_text().splitlines()]
    changed = other.image_path(0)
    affected = {record["files"][0] for record in records if changed.as_posix() in record["sources"]}
    assert 0 < len(affected) < len(records) == 16
    before, times = (
        tree(root),
        {path: (root / path).stat().st_mtime_ns for record in records for path in record["files"]},
    )
    shutil.copy(other.image_path(2), changed)
    write(source, root, pipeline, multiplier=4)
    assert {path for path, when in times.items() if (root / path).stat().st_mtime_ns != when} == affected
    assert tree(root) == tree(write(source, tmp_path / "anew", pipeline, multiplier=4)) != before


def test_unreadable_partners_are_drawn_again_whatever_the_pipeline_says(source, tmp_path):
    source.image_path(1).write_bytes(b"<html>")
    trees = []
    for workers in (1, 2):
        with pytest.warns(UnreadableImageWarning, match="7 of 28 outputs are left out"):
            root = write(source, tmp_path / str(workers), compose(MixUp(p=1.0)), multiplier=6, include_originals=True,
                         workers=workers, on_unreadable="skip")  # fmt: skip
        trees.append(tree(root))
    assert trees[0] == trees[1]
    assert "1.png" not in {row[key] for row in manifest(root) for key in ("primary", "partner")}
    with open(root / "skipped.csv", encoding="utf-8", newline="") as file:
        assert {(row["primary"], row["reason"]) for row in csv.DictReader(file)} == {("1.png", "is an HTML page")}


# ------------------------------------------------------------------------------------------ refusals


class Fails(A.ImageOnlyTransform):
    def apply(self, img, **_):
        raise ZeroDivisionError("as made")


def shifted(source):
    return compose(MixUp(source, reference_transform=compose(MixUp(source), bbox_format="coco")))


def as_it_is(image, **_):
    return image


REFUSED = {
    "a transform alone": (lambda _: A.HorizontalFlip(), "pipeline must be an A.Compose, got HorizontalFlip"),
    "no boxes": (lambda _: A.Compose([]), "pipeline must have bbox_params for upright boxes, got none"),
    "no labels": (lambda _: compose(label_fields=["mixup_weight"]), "pipeline must have label_fields that the dataset"),
    "another name": (lambda _: compose(label_fields=["labels", "w"]), r"pipeline must have label_fields .* 'w'\]"),
    "weights lost": (lambda _: compose(label_fields=["labels"]), "or these weights would be lost"),
    "in memory": (lambda source: compose(MixUp([source[0]])), "pipeline must draw partners .* got a MixUp of list"),
    "recent": (lambda _: compose(MixUp(RecentSamples())), "got a MixUp of RecentSamples"),
    "cached mosaics": (
        lambda source: compose(MixUp(CachedDataset(MosaicDataset(source), 10**6))), "got a MixUp of CachedDataset",
    ),
    "in the partner": (shifted, "pipeline must have no MixUp in a reference_transform"),
    "a function": (lambda _: compose(A.Lambda(image=as_it_is, name="mine")), "that cannot be .Lambda is not serializ"),
}  # fmt: skip
FAILING = {
    "floats": (lambda _: compose(MixUp(), A.Normalize()), "pipeline must return a uint8 image .* got float32"),
    "grey": (lambda _: compose(A.ToGray(num_output_channels=1, p=1.0)), r"got uint8 \(30, 40.*: leave A.Norm"),
    "a large crop": (
        lambda _: compose(A.RandomCrop(300, 300)),
        r"pipeline must take every image, got 0\.png, at which",
    ),
    "its own error": (lambda _: compose(Fails(p=1.0)), "fails with ZeroDivisionError: as made; change it"),
}
WRONG = {name: (*case, ArgumentError) for name, case in REFUSED.items()}
WRONG |= {name: (*case, SampleError) for name, case in FAILING.items()}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_pipeline_that_cannot_be_carried_out_is_refused_before_anything_is_written(wrong, source, tmp_path):
    make, says, error = WRONG[wrong]
    with pytest.raises(error, match=says):
        write(source, tmp_path / "set", make(source))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 2.0},
        {"ratio_range": (0.4, 0.6)},
        {"fit_mode": "cover"},
        {"min_weight": 0.1},
        {"partner_weights": RepeatFactor()},
    ],
)
def test_what_the_pipeline_decides_is_not_said_twice(settings, source, tmp_path):
    with pytest.raises(ArgumentError, match=f"{next(iter(settings))} must be left to the pipeline where one is given"):
        write(source, tmp_path / "set", compose(MixUp()), **settings)
    assert not (tmp_path / "set").exists()


def test_a_rare_failure_in_the_middle_leaves_what_is_whole(source, tmp_path):
    with pytest.raises(SampleError, match="pipeline must return a uint8 image"):
        write(source, tmp_path / "set", compose(A.Normalize(p=0.1)), multiplier=30)
    assert not (tmp_path / "set" / "manifest.csv").exists()
    journal = (tmp_path / "set" / ".mixup" / "done.jsonl").read_text().splitlines()
    assert {path.name for path in (tmp_path / "set" / "images").iterdir()} >= {
        Path(json.loads(line)["files"][0]).name for line in journal
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"nonsense: [", "which holds something else"),
        (b"\xff\xfe", "which cannot be read"),
        (b'{"transform": {"__class_fullname__": "NoSuch", "p": 1}}', "which cannot be built here (KeyError: 'NoSuch')"),
        (b'{"classes": 3}', "which holds something else"),
        (None, "which cannot be read"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused_with_what_to_do(content, says, source, tmp_path, capsys):
    path = tmp_path / "pipeline.json"
    if content is not None:
        path.write_bytes(content)
    assert main(["generate", str(source.root.parent), str(tmp_path / "set"), "--pipeline", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"alb-mixup: --pipeline must be a file that A.save wrote, JSON or YAML, got {path}, ")
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_the_shell_says_what_the_pipeline_decides(source, tmp_path, capsys):
    A.save(compose(MixUp()), tmp_path / "p.yaml", data_format="yaml")
    command = ["generate", str(source.root.parent), str(tmp_path / "set"), "--pipeline", str(tmp_path / "p.yaml")]
    assert main([*command, "--alpha", "3"]) == 2
    assert "--alpha must be left to the pipeline where one is given, got 3.0" in capsys.readouterr().err
