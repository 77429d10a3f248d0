"""What a plan says beside pairs and layouts: hard labels, validation images, images that cannot be read."""

import copy
import csv
import json
import warnings

import numpy as np
import pytest
import yaml

import alb_mixup
from alb_mixup import Background, ClassWeights
from alb_mixup.errors import ArgumentError, HardLabelsWarning, ImageReadError, OutputError, UnreadableImageWarning
from alb_mixup.generation.destination import PLAN
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.run import generate
from tests.support import layouts, tree


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def source(tmp_path):
    return alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))


def test_ratio_range_and_min_weight_reach_every_mix(source, tmp_path):
    root = generate(source, tmp_path / "m", multiplier=5, ratio_range=(0.2, 0.3), min_weight=0.5, progress=False)
    assert all(0.2 <= float(row["ratio"]) <= 0.3 for row in table(root / "manifest.csv"))
    mixed = alb_mixup.open_dataset(root)
    weights = np.concatenate([mixed.annotations(index)["mixup_weight"] for index in range(len(mixed))])
    assert len(weights)
    assert weights.min() >= 0.5
    with pytest.raises(OutputError, match=r"ratio_range=\[0\.2, 0\.3\] \(now None\)"):
        generate(source, root, multiplier=5, min_weight=0.5, progress=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_image_is_mixed_with_itself_where_there_is_another(workers, source, tmp_path):
    rows = table(generate(source, tmp_path / "m", multiplier=10, workers=workers, progress=False) / "manifest.csv")
    assert len(rows) == 40
    assert all(row["primary"] != row["partner"] for row in rows)
    assert {row["partner"] for row in rows} == {f"{number}.png" for number in range(4)}
    (alone,) = table(generate(one_image(source), tmp_path / "one", progress=False) / "manifest.csv")
    assert alone["primary"] == alone["partner"]


@pytest.mark.parametrize("workers", [1, 2])
def test_partner_weights_reach_every_mix_and_are_part_of_the_plan(workers, source, tmp_path):
    settings = {"multiplier": 30, "workers": workers, "progress": False}
    root = generate(source, tmp_path / "m", partner_weights=Background(0.5), **settings)
    partners = [row["partner"] for row in table(root / "manifest.csv") if row["primary"] != "2.png"]
    assert len(partners) == 90
    assert 30 < partners.count("2.png") < 60  # 45, and four times its deviation of 4.7
    made = tree(root)
    assert tree(generate(source, root, partner_weights=Background(0.5), **settings)) == made
    for other in (None, Background(0.4), [1, 1, 1, 1]):
        with pytest.raises(OutputError, match=r"partner_weights=\{'law': 'Background', 'share': 0.5\} \(now "):
            generate(source, root, partner_weights=other, **settings)
    numbers = generate(source, tmp_path / "n", partner_weights=np.array([0, 1, 0, 2]), **settings)
    assert {row["partner"] for row in table(numbers / "manifest.csv")} == {"1.png", "3.png"}
    assert json.loads((numbers / PLAN).read_bytes())["partner_weights"] == [0, 1, 0, 2]
    assert tree(generate(source, numbers, partner_weights=[0.0, 1.0, 0.0, 2.0], **settings)) == tree(numbers)


def test_a_set_from_before_there_were_laws_goes_on(source, tmp_path):
    root = generate(source, tmp_path / "m", progress=False)
    plan = json.loads((root / PLAN).read_bytes())
    assert plan.pop("partner_weights") is None
    (root / PLAN).write_text(json.dumps(plan))
    with pytest.raises(OutputError, match=r"seed=0 \(now 1\)"):
        generate(source, root, seed=1, progress=False)
    assert generate(source, root, progress=False) == root


def one_image(source):
    single = copy.copy(source)
    single._images = source._images[:1]
    return single


def test_val_stands_in_the_data_yaml(source, tmp_path, monkeypatch):
    (tmp_path / "val").mkdir()
    monkeypatch.chdir(tmp_path)
    root = generate(source, tmp_path / "m", output_format="yolo", val="val", progress=False)
    content = yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))
    assert content["val"] == str(tmp_path / "val")
    assert alb_mixup.open_dataset(root).classes == source.classes


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"val": "missing", "output_format": "yolo"}, "val must be a folder of images"),
        ({"val": "."}, "val must come with output_format='yolo'"),
        ({"min_weight": 1.5}, "min_weight must be"),
        ({"ratio_range": (0.6, 0.4)}, "ratio_range must be"),
        ({"partner_weights": [1.0]}, "partner_weights must have one number for each of 4 samples, got 1"),
        ({"partner_weights": ClassWeights({"cta": 2})}, "partner_weights must name classes of the dataset"),
        ({"partner_weights": [0, 0, 1, 0]}, "partner_weights must leave each image another to be mixed with"),
        ({"on_unreadable": "perhaps"}, "on_unreadable must be one of stop, skip"),
    ],
)
def test_settings_that_break_their_constraint_are_refused(settings, says, source, tmp_path):
    with pytest.raises(ArgumentError, match=says):
        generate(source, tmp_path / "m", progress=False, **settings)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("output_format", ["coco", "yolo", "voc"])
def test_an_unreadable_image_is_neither_primary_nor_partner(output_format, source, tmp_path):
    source.image_path(1).write_bytes(b"<html>")
    with pytest.raises(ImageReadError, match=r"1\.png"):
        generate(source, tmp_path / "stopped", output_format=output_format, multiplier=6, progress=False)
    trees = []
    for name, workers in (("stopped", 1), ("one", 1), ("two", 2)):  # the first goes on from where it stopped
        with pytest.warns(UnreadableImageWarning, match="6 of 24 outputs are left out"):
            root = generate(
                source, tmp_path / name, output_format=output_format, multiplier=6, workers=workers, progress=False,
                on_unreadable="skip",
            )  # fmt: skip
        trees.append(tree(root))
    assert trees[0] == trees[1] == trees[2]
    assert {row["primary"] for row in table(root / "skipped.csv")} == {"1.png"}
    assert {row["reason"] for row in table(root / "skipped.csv")} == {"is an HTML page"}
    rows = table(root / "manifest.csv")
    assert len(rows) == len(alb_mixup.open_dataset(root)) == 18
    assert "1.png" not in {row[key] for row in rows for key in ("primary", "partner")}
    with pytest.warns(UnreadableImageWarning, match="6 of 24"):  # finished: told again, nothing done
        generate(source, root, output_format=output_format, multiplier=6, progress=False, on_unreadable="skip")


def test_a_set_none_of_whose_images_can_be_read_is_refused(source, tmp_path):
    for number in range(4):
        source.image_path(number).write_bytes(b"")
    for _ in range(2):  # also where nothing is left to do
        with pytest.raises(ImageReadError, match=r"dataset must have images that can be read, got none of 4: 0\.png"):
            generate(source, tmp_path / "m", on_unreadable="skip", progress=False)


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.104),  # of Beta(1.5, 1.5) below 0.1 and above 0.9, by quadrature
        ({"alpha": 32.0}, 0),
        ({"min_weight": 0.3}, 0),
        ({"ratio_range": (0.45, 0.55)}, 0),
        ({"ratio_range": (0.0, 0.5)}, 0.2),
        ({"ratio_range": (0.05, 0.05)}, 1),
    ],
)
def test_the_share_of_faint_objects_is_told_where_weights_are_dropped(settings, share, source, tmp_path):
    plan = Plan(source, **settings)
    assert plan.faint_share() == pytest.approx(share, abs=0.005)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generate(source, tmp_path / "m", drop_weights=True, progress=False, **settings)
        generate(source, tmp_path / "with weights", progress=False, **settings)
    assert [warning.category for warning in caught] == [HardLabelsWarning] * (share > 0.001)
