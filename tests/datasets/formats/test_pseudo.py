"""Predictions as labels: the embedded sample's images with a made-up detector, and hostile results."""

import json
import pickle
import warnings

import albumentations as A
import numpy as np
import pytest
import supervision as sv

from alb_mixup import CachedDataset, MixUp, MosaicDataset, PseudoLabelDataset, generate, open_dataset, sample_dataset
from alb_mixup.datasets import from_spec
from alb_mixup.errors import (
    AnnotationError,
    ArgumentError,
    DatasetError,
    InvalidAnnotationWarning,
    SerializationError,
)
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from alb_mixup.view.report import report
from tests.support.samples import pipeline

CLASSES = ("Platelets", "RBC", "WBC")
CATEGORY_IDS = {"WBC": 30, "RBC": 7, "Platelets": 2}  # COCO's may be sparse, and in any order
MIN_SCORE = 0.3


def detector(seed=0):
    """What a made-up detector says of each image of the sample: file name to corners, labels, scores."""
    dataset, generator, found = sample_dataset(), np.random.default_rng(seed), {}
    for index in range(len(dataset)):
        rows, (height, width) = dataset.annotations(index), dataset.image_size(index)
        boxes = rows["bboxes"].astype(np.float64) + generator.uniform(-4, 4, rows["bboxes"].shape)
        boxes = np.clip(boxes, 0, [width, height, width, height])
        found[dataset.image_path(index).name] = boxes, rows["labels"], generator.uniform(0, 1, len(boxes)).round(3)
    found[dataset.image_path(5).name][2][:] = 0.01  # sure of nothing
    return found


def write_results(root):
    """COCO's results, and the images and categories that they are of, without annotations as for a test split."""
    dataset, predicted = sample_dataset(), detector()
    images = [{"id": 100 - number, "file_name": name} for number, name in enumerate(predicted)]
    categories = [{"id": number, "name": name} for name, number in CATEGORY_IDS.items()]
    (root / "images.json").write_text(json.dumps({"images": images, "categories": categories}))
    results = [
        {"image_id": entry["id"], "category_id": CATEGORY_IDS[label], "bbox": box, "score": score}
        for entry in images
        for boxes, labels, scores in [predicted[entry["file_name"]]]
        for box, label, score in zip(from_xyxy(boxes, "coco", (1, 1)).tolist(), labels, scores.tolist(), strict=True)
    ]
    np.random.default_rng(0).shuffle(results)
    (root / "results.json").write_text(json.dumps(results))
    return root / "results.json", root / "images.json", dataset.image_path(0).parent


@pytest.fixture
def files(tmp_path):
    return write_results(tmp_path)


def detections():
    """The same as `supervision` holds it."""
    return {
        name: sv.Detections(boxes, class_id=np.array([CLASSES.index(label) for label in labels]), confidence=scores)
        for name, (boxes, labels, scores) in detector().items()
    }


def rows_of(boxes, labels, scores):
    """As a set of rows, whatever their order."""
    return sorted(
        (label, round(float(score), 5), *np.round(box, 2))
        for box, label, score in zip(boxes, labels, scores, strict=True)
    )


def made(form, files, **settings):
    folder = files[2]
    if form == "path":
        return PseudoLabelDataset(*files, min_score=MIN_SCORE, **settings)
    if form == "list":
        return PseudoLabelDataset(json.loads(files[0].read_bytes()), *files[1:], min_score=MIN_SCORE, **settings)
    return PseudoLabelDataset(detections(), images=folder, classes=CLASSES, min_score=MIN_SCORE, **settings)


FORMS = ["path", "list", "mapping"]


@pytest.mark.parametrize("form", FORMS)
def test_every_sure_prediction_is_a_box_that_weighs_its_score(form, files):
    dataset, predicted = made(form, files, on_invalid="raise"), detector()
    assert len(dataset) == len(predicted) == 14
    assert set(dataset.classes) == set(CLASSES)
    assert dataset.invalid == ()
    for index in range(len(dataset)):
        boxes, labels, scores = predicted[dataset.image_path(index).name]
        sure = scores >= MIN_SCORE
        found = dataset.annotations(index)
        corners = to_xyxy(found["bboxes"], dataset.bbox_format, (1, 1))
        expected = rows_of(boxes[sure], np.array(labels)[sure].tolist(), scores[sure])
        for one, other in zip(rows_of(corners, found["labels"], found["mixup_weight"]), expected, strict=True):
            assert one[:2] == other[:2]
            np.testing.assert_allclose(one[2:], other[2:], atol=0.02)
        assert dataset.image_size(index) == dataset[index]["image"].shape[:2]
    assert len(dataset.annotated()) == 13


def test_the_threshold_itself_is_kept(files):
    first = json.loads(files[0].read_bytes())[:1]
    score = first[0]["score"]
    count = [len(PseudoLabelDataset(first, *files[1:], min_score=low).annotated()) for low in (0, score, score + 1e-6)]
    assert count == [1, 1, 0]


@pytest.mark.parametrize("form", FORMS)
def test_mixes_weigh_score_times_share(form, files):
    labelled, pseudo = sample_dataset(), made(form, files)
    mixup = MixUp(pseudo, ratio_range=(0.6, 0.9), p=1.0)
    mixing = pipeline(mixup, save_applied_params=True)
    for index in range(len(labelled)):
        primary = labelled[index]
        out, record = mixing(**primary), mixup.get_applied_params()
        count, scores = len(primary["bboxes"]), pseudo.annotations(record["reference_index"])["mixup_weight"]
        np.testing.assert_allclose(out["mixup_weight"][:count], record["ratio"], rtol=1e-6)
        np.testing.assert_allclose(out["mixup_weight"][count:], scores * (1 - record["ratio"]), rtol=1e-5)
        assert out["labels"][count:] == pseudo.annotations(record["reference_index"])["labels"]


def test_it_goes_wherever_a_dataset_goes(files, tmp_path):
    dataset = made("path", files)
    cached = CachedDataset(MosaicDataset(dataset, (96, 128)), 10**7)
    scores = {float(score) for index in range(14) for score in dataset.annotations(index)["mixup_weight"]}
    assert set(map(float, cached[0]["mixup_weight"])) <= scores
    mixed = open_dataset(generate(dataset, tmp_path / "mixed", progress=False))
    assert len(mixed) == 14
    assert min(mixed.annotations(0)["mixup_weight"]) < 1
    assert "14" in report(dataset)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint() == dataset.fingerprint() == made("list", files).fingerprint()


@pytest.mark.parametrize("annotated", [False, True])
def test_a_spec_names_the_files(files, annotated):
    dataset = made("path", files, classes=CLASSES, on_invalid="drop")
    dataset = dataset.annotated() if annotated else dataset
    built = from_spec(json.loads(json.dumps(dataset.to_spec())))
    assert built.to_spec() == dataset.to_spec()
    assert built.fingerprint() == dataset.fingerprint()
    assert built.classes == CLASSES


@pytest.mark.parametrize("form", ["list", "mapping"])
def test_predictions_in_memory_have_no_spec(form, files):
    dataset = made(form, files)
    assert dataset.to_spec() is None
    assert dataset.annotated().to_spec() is None
    with pytest.raises(SerializationError, match="PseudoLabelDataset"):
        A.to_dict(pipeline(MixUp(dataset)))


def test_a_mapping_of_complete_paths(files):
    folder, given = files[2], detections()
    whole = {folder / name: value for name, value in given.items()}
    dataset = PseudoLabelDataset(whole, classes=CLASSES, min_score=MIN_SCORE)
    assert dataset.root == folder
    assert dataset.fingerprint() == made("mapping", files).fingerprint()


def test_empty_detections_are_background(files):
    name = next(iter(detections()))
    bare = sv.Detections(np.zeros((0, 4)))  # without class ids and scores
    for empty in (sv.Detections.empty(), bare):
        dataset = PseudoLabelDataset({name: empty}, images=files[2], classes=CLASSES)
        assert len(dataset[0]["bboxes"]) == 0


# --- hostile results ----------------------------------------------------------------------------------------------

GOOD = {"image_id": 100, "category_id": 7, "bbox": [10, 10, 50, 40], "score": 0.5}
BAD = {
    "nan": ({"score": float("nan")}, "score must be in [0, 1], got nan"),
    "above 1": ({"score": 1.01}, "score must be in [0, 1], got 1.01"),
    "negative": ({"score": -0.1}, "score must be in [0, 1], got -0.1"),
    "text": ({"score": "sure"}, "score must be made of numbers, got 'sure'"),
    "none": ({"score": None}, "score must be made of numbers, got None"),
    "unknown image": ({"image_id": 5}, "unknown image_id 5"),
    "unhashable image": ({"image_id": [5]}, "image_id must be a number or text"),
    "unknown category": ({"category_id": 8}, "unknown category_id 8"),
    "infinite": ({"bbox": [0, 0, float("inf"), 3]}, "not finite"),
    "no area": ({"bbox": [5, 5, 0, 3]}, "no area"),
    "three numbers": ({"bbox": [5, 5, 3]}, "4 numbers"),
    "beyond": ({"bbox": [5000, 5, 30, 30]}, "beyond its image"),
}


@pytest.mark.parametrize(("change", "reason"), BAD.values(), ids=BAD)
def test_a_bad_prediction_costs_itself(files, change, reason):
    results = [GOOD, GOOD | change, GOOD]
    for on_invalid in ("drop", "clip"):
        with pytest.warns(InvalidAnnotationWarning, match="1 invalid annotation"):
            dataset = PseudoLabelDataset(results, *files[1:], on_invalid=on_invalid)
        assert len(dataset.annotations(0)["bboxes"]) == 2
        assert [(bad.file, bad.object_index) for bad in dataset.invalid] == [("predictions", 1)]
        assert reason in dataset.invalid[0].reason
    with pytest.raises(AnnotationError, match="predictions, object 1"):
        PseudoLabelDataset(results, *files[1:], on_invalid="raise")


@pytest.mark.parametrize("key", ["score", "bbox", "image_id", "category_id"])
def test_a_missing_value_is_named(files, key):
    results = [{name: value for name, value in GOOD.items() if name != key}, 17, GOOD]
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid annotations"):
        dataset = PseudoLabelDataset(results, *files[1:])
    assert key in dataset.invalid[0].reason
    assert len(dataset.annotations(0)["bboxes"]) == 1


def test_a_box_beyond_the_image_is_clipped_unless_dropped(files):
    results = [GOOD | {"bbox": [600, 400, 100, 200]}]
    with pytest.warns(InvalidAnnotationWarning):
        clipped, dropped = (PseudoLabelDataset(results, *files[1:], on_invalid=do) for do in ("clip", "drop"))
    np.testing.assert_allclose(clipped.annotations(0)["bboxes"], [[600, 400, 40, 80]])
    assert len(dropped.annotations(0)["bboxes"]) == 0


def test_weights_and_crowds_in_results_mean_nothing(files):
    results = [GOOD | {"mixup_weight": "heavy", "iscrowd": 1}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = PseudoLabelDataset(results, *files[1:])
    assert dataset.annotations(0)["mixup_weight"].tolist() == [0.5]


def test_classes_choose_among_the_categories(files):
    with pytest.warns(InvalidAnnotationWarning, match="unknown class 'RBC'"):
        dataset = PseudoLabelDataset([GOOD, GOOD | {"category_id": 30}], *files[1:], classes=["WBC"])
    assert dataset.annotations(0)["labels"] == ["WBC"]


def test_a_mapping_with_other_classes_and_images(files):
    given = {"missing.jpg": sv.Detections.empty(), **detections()}
    name = next(iter(detections()))
    given[name].class_id[0] = 3
    given[name].confidence[0] = 0.9
    with pytest.warns(InvalidAnnotationWarning, match="2 invalid"):
        dataset = PseudoLabelDataset(given, images=files[2], classes=CLASSES)
    assert "missing" in dataset.invalid[0].reason
    assert "unknown category_id 3" in dataset.invalid[1].reason
    assert len(dataset) == 14


class Odd:
    def __init__(self, **columns):
        self.__dict__.update(columns)


ONE_BOX = np.array([[1, 2, 30, 40.0]])


@pytest.mark.parametrize(
    "odd",
    [
        None,
        Odd(xyxy=ONE_BOX, class_id=np.array([1])),
        Odd(xyxy=ONE_BOX, class_id=None, confidence=np.array([0.5])),
        Odd(xyxy=ONE_BOX, class_id=np.array([1, 2]), confidence=np.array([0.5])),
        Odd(xyxy=ONE_BOX[:, :3], class_id=np.array([1]), confidence=np.array([0.5])),
        Odd(xyxy=np.array([["a"] * 4]), class_id=np.array([1]), confidence=np.array([0.5])),
    ],
)
def test_detections_that_are_none(files, odd):
    with pytest.raises(ArgumentError, match=r"must have xyxy \(N, 4\), class_id"):
        PseudoLabelDataset({"a.jpg": odd}, images=files[2], classes=CLASSES)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((3,), {}, "predictions must be the path of COCO results"),
        (([],), {}, "annotations must be the COCO JSON file"),
        (({},), {"classes": CLASSES}, "at least one image"),
        (({"a.jpg": sv.Detections.empty()},), {}, "classes must name each class id"),
        (({"a.jpg": sv.Detections.empty()}, "a.json"), {"classes": CLASSES}, "annotations must be None"),
        (({7: sv.Detections.empty()},), {"classes": CLASSES}, "must map the paths of images"),
        (([],), {"min_score": 1.5}, "min_score must be a number in"),
        (([],), {"min_score": float("nan")}, "min_score must be a number in"),
        (([],), {"min_score": "high"}, "min_score must be a number in"),
    ],
)
def test_arguments(arguments, settings, message):
    with pytest.raises(ArgumentError, match=message):
        PseudoLabelDataset(*arguments, **settings)


def test_files_that_are_none(files, tmp_path):
    results, annotations, folder = files
    for name, text, message in (
        ("object.json", "{}", "predictions must be a list"),
        ("text.json", "hello", "is not JSON"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DatasetError, match=message):
            PseudoLabelDataset(tmp_path / name, annotations, folder)
    with pytest.raises(DatasetError, match="predictions must be a COCO JSON file"):
        PseudoLabelDataset(tmp_path / "none.json", annotations, folder)
    with pytest.raises(DatasetError, match="lists images, categories"):
        PseudoLabelDataset(results, results, folder)


# --- Ultralytics' predictions.json --------------------------------------------------------------------------------


def ultralytics(files, *, with_names=True):
    """What Ultralytics' `val(save_json=True)` writes: the stem as image_id, a number where it is one."""
    names = {entry["id"]: entry["file_name"] for entry in json.loads(files[1].read_bytes())["images"]}
    results = []
    for row in json.loads(files[0].read_bytes()):
        name = names[row["image_id"]]
        stem = name.rpartition(".")[0]
        beside = {"file_name": name} if with_names else {}
        results.append(row | {"image_id": int(stem) if stem.isnumeric() else stem} | beside)
    return results


@pytest.mark.parametrize("with_names", [True, False])
def test_ultralytics_own_predictions(files, with_names):
    expected = made("path", files)
    dataset = PseudoLabelDataset(
        ultralytics(files, with_names=with_names), *files[1:], min_score=MIN_SCORE, on_invalid="raise"
    )
    for index in range(len(expected)):
        mine, theirs = dataset.annotations(index), expected.annotations(index)
        assert mine["labels"] == theirs["labels"]
        np.testing.assert_array_equal(mine["bboxes"], theirs["bboxes"])


def test_the_file_that_a_result_names_counts_more_than_its_id(files):
    """Stems that are numbers, and ids of other images that are the same numbers."""
    images = [{"id": 2, "file_name": "1.jpg", "width": 99, "height": 99}]
    images += [{"id": 1, "file_name": "sub/2.jpg", "width": 99, "height": 99}]
    root = files[0].parent / "numbered"
    (root / "sub").mkdir(parents=True)
    for name in ("1.jpg", "sub/2.jpg"):
        (root / name).write_bytes(b"")
    (root / "gt.json").write_text(json.dumps({"images": images, "categories": [{"id": 7, "name": "RBC"}]}))
    row = {"category_id": 7, "bbox": [1, 1, 5, 5], "score": 0.9}
    results = [row | {"image_id": 2, "file_name": "2.jpg"}]
    dataset = PseudoLabelDataset(results, root / "gt.json", root, on_invalid="raise")
    assert [len(dataset.annotations(index)["labels"]) for index in range(2)] == [0, 1]
