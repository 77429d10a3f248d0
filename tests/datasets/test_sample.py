from pathlib import Path

import numpy as np
import supervision as sv

from alb_mixup.datasets import sample_dataset

FOLDER = sample_dataset().root


def test_what_is_in_it():
    sample = sample_dataset()
    assert len(sample) == 14
    assert sample.classes == ("Platelets", "RBC", "WBC")
    assert sample.invalid == ()
    assert len(sample.annotated()) == 14
    counts = [len(sample.annotations(number)["labels"]) for number in range(14)]
    assert (min(counts), max(counts)) == (3, 30)
    for number in range(14):
        assert sample[number]["image"].shape == (480, 640, 3)


def test_it_is_small_carries_its_licence_and_no_path_of_anyones_machine():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    assert "MIT License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "d272fb1" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert not [path for path in files if b"/home/" in path.read_bytes()]
    assert len(files) == 14 + 14 + 2


def test_it_agrees_with_supervision():
    theirs = sv.DetectionDataset.from_pascal_voc(str(FOLDER / "JPEGImages"), str(FOLDER / "Annotations"))
    ours = sample_dataset()
    assert len(theirs) == len(ours)
    for number, (path, image, detections) in enumerate(theirs):
        assert Path(path) == ours.image_path(number)
        sample = ours[number]
        np.testing.assert_array_equal(sample["image"], image[..., ::-1])
        np.testing.assert_allclose(sample["bboxes"], detections.xyxy, atol=0.01)
        assert sample["labels"] == [theirs.classes[class_id] for class_id in detections.class_id]
