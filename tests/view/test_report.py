"""The report on a dataset, against numbers counted by hand."""

import json
import threading

import cv2
import numpy as np
import pytest

import alb_mixup
from alb_mixup import ClassWeights
from alb_mixup.cli import main
from alb_mixup.view import survey
from alb_mixup.view.report import report
from alb_mixup.view.survey import shares_of_draws


def coco_file(folder, *annotations):
    """Write two images, 40 × 30, and a COCO file of their annotations: (image, category, box)."""
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((30, 40, 3), np.uint8))
    data = {
        "images": [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in ((1, "a.jpg"), (2, "b.jpg"))],
        "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 9, "name": "emu"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box}
            for n, (image, category, box) in enumerate(annotations)
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(data))
    return folder / "annotations.json"


GOOD = [(1, 7, [0, 0, 4, 4]), (1, 7, [2, 2, 8, 8]), (1, 1, [0, 0, 40, 30])]


def test_a_report_counts_images_boxes_classes_and_sizes(tmp_path):
    lines = report(alb_mixup.CocoDataset(coco_file(tmp_path, *GOOD))).splitlines()
    assert lines[0] == "CocoDataset: 2 images (1 without boxes), 3 boxes, 3 classes"
    rows = [line.replace("█", "").split() for line in lines if line.startswith("  ")]
    assert rows[:3] == [["dog", "2"], ["cat", "1"], ["without", "boxes:", "emu"]]
    assert [row[-1] for row in rows[3:-1]] == ["1", "1", "0", "1", "0", "0", "0", "0"]  # sides 4, 8 and 34.6
    assert rows[-1] == ["40", "×", "30", "2"]
    assert lines[-1] == "invalid annotations: 0"


def yolo(folder):
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    (folder / "a.png").rename(folder / "images" / "a.png")
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4")
    (folder / "data.yaml").write_text("train: images\nnames: [cat]\n")
    return alb_mixup.YoloDataset(folder)


def voc(folder):
    box = "<xmin>81</xmin><ymin>31</ymin><xmax>120</xmax><ymax>70</ymax>"
    found = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
    (folder / "a.xml").write_text(
        f"<annotation><size><width>200</width><height>100</height></size>{found}</annotation>"
    )
    return alb_mixup.VocDataset(folder)


@pytest.mark.parametrize("make", [yolo, voc])
def test_sides_are_pixels_in_every_format(make, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 200, 3), np.uint8))
    (row,) = [line for line in report(make(tmp_path)).splitlines() if line.startswith("  32 to 64")]  # 40 × 40 pixels
    assert row.split()[3] == "1"


def test_check_exits_0_on_a_sound_dataset(tmp_path, capsys):
    assert main(["check", str(coco_file(tmp_path, *GOOD))]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("CocoDataset: 2 images")
    assert captured.err == ""


def test_check_names_every_invalid_annotation_and_exits_1(tmp_path, capsys):
    bad = [(1, 7, [0, 0, 0, 4]), (1, 7, [0, 0, 400, 4]), (5, 7, [0, 0, 4, 4]), *[(2, 99, [0, 0, 4, 4])] * 5]
    assert main(["check", str(coco_file(tmp_path, *GOOD, *bad))]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[-9] == "invalid annotations: 8"
    assert all(line.startswith("  annotations.json, object ") for line in lines[-8:])
    assert captured.err == ""


def test_check_of_nothing_is_an_error(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("alb-mixup: SRC must be a dataset")


def test_shares_of_draws_are_those_counted_by_hand():
    held = [["cat"], ["cat", "dog", "cat"], [], ["dog"], ["emu"], ["cat", "emu"]]
    shares = shares_of_draws(ClassWeights({"emu": 4.0}), [{"labels": names} for names in held])
    # of 6 images, and of weights 1, 1, 1, 1, 4, 4
    assert shares.classes == {"cat": (3 / 6, 6 / 12), "dog": (2 / 6, 2 / 12), "emu": (2 / 6, 8 / 12)}
    assert shares.without_boxes == (1 / 6, 1 / 12)


def test_a_survey_that_is_given_up_does_not_wait_for_its_threads(monkeypatch):
    """A second Ctrl-C would come while they are waited for; then Python 3.11 ends beneath them, and aborts."""
    go_on, running, done = threading.Event(), threading.Semaphore(0), []

    def look(_dataset, index, _pixels):
        if index:
            running.release()
            go_on.wait(10)
            done.append(index)
        return None, (1, 1)

    monkeypatch.setattr(survey, "_look", look)
    monkeypatch.setattr(survey, "_TOGETHER", 1)
    before = set(threading.enumerate())
    looks = survey._look_at_all(range(1000), pixels=False)
    next(looks)
    running.acquire()
    looks.close()
    assert not done
    go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert 0 < len(done) < 100
