"""Mosaics: boxes checked against the pixels of unmistakable images, draws, replay, workers, what is refused.

The images are black with a few rectangles, each of a grey level of its own in one colour channel; its label is that
level, its weight a function of it. So every box of a mosaic, and of a mix of two mosaics in different channels, can be
found again in the pixels without knowing how it got there.
"""

import importlib.util
import json
import multiprocessing
import pickle
import subprocess
import sys

import albumentations as A
import cv2
import numpy as np
import pytest

from alb_mixup import CachedDataset, MixUp, MosaicDataset, RecentSamples, VocDataset, sample_dataset
from alb_mixup.datasets import from_spec
from alb_mixup.errors import AlbMixUpError, ArgumentError, SampleError, SerializationError, UnreadableImageWarning
from alb_mixup.functional.boxes import from_xyxy, to_xyxy
from tests.support import ROOT
from tests.support.samples import Flaky, Reference, pipeline, same, sample
from tests.support.voc_files import add, picture, voc_object

RED, BLUE = 0, 2
LEVELS = range(40, 256, 9)
SIZES = [(96, 128), (128, 96), (64, 64), (150, 210), (100, 40), (80, 80), (60, 170), (120, 120)]


def weight_of(level):
    return level / 512  # exact in float32


def rectangles(channel, bbox_format="pascal_voc"):
    """Eight images of different sizes, three rectangles each, some at the image's edge; one image has none."""
    generator, levels, samples = np.random.default_rng(channel), iter(LEVELS), []
    for number, (height, width) in enumerate(SIZES):
        image, boxes, labels = np.zeros((height, width, 3), np.uint8), [], []
        for column in range(0 if number == 3 else 3):
            left, right = width * column // 3, width * (column + 1) // 3
            x1 = left + (0 if column == 0 else int(generator.integers(2, 5)))
            x2, y1 = right - int(generator.integers(2, 5)), int(generator.integers(0, height // 3))
            y2, level = int(generator.integers(height // 2, height + 1)), next(levels)
            image[y1:y2, x1:x2, channel] = level
            boxes.append([x1, y1, x2, y2])
            labels.append(f"{level}")
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        made = {"image": image, "bboxes": from_xyxy(corners, bbox_format, (height, width)).astype(np.float32)}
        weights = np.array([weight_of(int(label)) for label in labels], np.float32)
        samples.append(made | {"labels": labels, "mixup_weight": weights})
    return Reference(samples, bbox_format)


def run_of(line, at, level):
    """The half-open run around `at` in which a line of pixels has this level; soft edges are left out."""
    alike = np.abs(line.astype(int) - level) <= 4  # the levels are 9 apart
    first, last = at, at
    while first > 0 and alike[first - 1]:
        first -= 1
    while last < len(line) and alike[last]:
        last += 1
    return first, last


def joined(run, others):
    """The run that an interval makes with others of its level that touch it: an image may be in a mosaic twice."""
    first, last = run
    for _ in others:
        for low, high in others:
            if low <= last + 2 and high >= first - 2:
                first, last = min(first, low), max(last, high)
    return first, last


def check_against_pixels(pixels, boxes, labels, weights, share=1.0):
    """Each box lies on the pixels of its label, has its label's weight, and no pixel is without a box.

    Args:
        pixels: (H, W), what one channel shows.
        boxes: (N, 4) corners.
        share: What the weights were multiplied by.

    Returns:
        How many boxes were checked to the pixel: all but slivers that a cell cuts off.
    """
    height, width = pixels.shape
    uncovered, checked = pixels > 20, 0
    assert len(boxes) == len(labels) == len(weights)
    for box, label, weight in zip(boxes, labels, weights, strict=True):
        level, (x1, y1, x2, y2) = int(label), box
        assert weight == pytest.approx(weight_of(level) * share, rel=1e-6)
        assert -1e-3 <= x1 < x2 <= width + 1e-3
        assert -1e-3 <= y1 < y2 <= height + 1e-3
        uncovered[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = False
        if x2 - x1 < 6 or y2 - y1 < 6:
            continue
        x, y = int((x1 + x2) / 2), int((y1 + y2) / 2)
        assert abs(int(pixels[y, x]) - level) <= 2
        alike = boxes[[other == label for other in labels]]
        across = joined((x1, x2), alike[(alike[:, 1] < y) & (alike[:, 3] > y)][:, [0, 2]])
        down = joined((y1, y2), alike[(alike[:, 0] < x) & (alike[:, 2] > x)][:, [1, 3]])
        np.testing.assert_allclose(run_of(pixels[y], x, level), across, atol=2.5)
        np.testing.assert_allclose(run_of(pixels[:, x], y, level), down, atol=2.5)
        checked += 1
    # but for the soft edge of what lies just beyond a cell
    assert not cv2.erode(uncovered.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT).any()
    return checked


@pytest.mark.parametrize("bbox_format", ["pascal_voc", "coco", "yolo"])
def test_a_box_that_ends_where_its_cell_is_cut_is_not_there(bbox_format):
    """Its corners are whole pixels, and so is the cut: what is thinner than a pixel is what float32 rounds."""
    corners = np.array([[x, y, x + 7, y + 5] for x in range(0, 57, 7) for y in range(0, 43, 5)], np.float64)
    image = np.zeros((48, 64, 1), np.uint8)
    boxes = from_xyxy(corners, bbox_format, (48, 64)).astype(np.float32)
    one = {"image": image, "bboxes": boxes, "labels": ["a"] * len(boxes)}
    mosaics = MosaicDataset(Reference([one], bbox_format), (64, 64), fit_mode="contain", label_fields=["labels"])
    made = [mosaics.seeded(0, seed) for seed in range(200)]
    sides = np.concatenate([np.diff(to_xyxy(each["bboxes"], bbox_format, (64, 64)).reshape(-1, 2, 2), axis=1)[:, 0]
                            for each in made])  # fmt: skip
    assert len(sides) > 1000
    assert sides.min() > 0.99
    assert all(len(each["labels"]) == len(each["bboxes"]) for each in made)


@pytest.mark.parametrize("fit_mode", ["cover", "contain"])
@pytest.mark.parametrize(
    ("size", "grid", "cell_size"),
    [((120, 160), (2, 2), None), ((200, 180), (3, 2), (90, 110)), ((90, 90), (1, 1), None)],
)
@pytest.mark.parametrize("bbox_format", ["pascal_voc", "coco", "yolo"])
def test_boxes_lie_on_their_pixels(bbox_format, size, grid, cell_size, fit_mode):
    dataset = rectangles(RED, bbox_format)
    mosaics = MosaicDataset(dataset, size, grid, cell_size, fit_mode=fit_mode, seed=0)
    assert mosaics.bbox_format == bbox_format
    assert len(mosaics) == len(dataset)
    checked = 0
    for index in list(range(len(mosaics))) * 2:
        made = mosaics[index]
        assert made["image"].shape == (*size, 3)
        assert made["bboxes"].dtype == np.float32
        boxes = to_xyxy(made["bboxes"], bbox_format, size)
        checked += check_against_pixels(made["image"][..., RED], boxes, made["labels"], made["mixup_weight"])
        if index != 3:
            assert set(dataset.samples[index]["labels"]) & set(made["labels"])  # sample i is in mosaic i
    assert checked > 30


def yolox(dataset, partners):
    """YOLOX, as the issue words it: mosaic primary, mosaic partner, λ = 0.5, labels that are not weighed."""
    arguments = {"size": (160, 160), "fit_mode": "contain", "fill": 0}  # its fill is 114; here, black is no box
    primaries, references = MosaicDataset(dataset, **arguments, seed=0), MosaicDataset(partners, **arguments)
    mixing = A.Compose(
        [MixUp(references, ratio_range=(0.5, 0.5), weighting="none", p=1.0)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"]),
        seed=0,
    )
    return primaries, mixing


def ultralytics(dataset, partners):
    """Ultralytics: both are mosaics, λ ~ Beta(32, 32); here with weights."""
    arguments = {"size": (160, 160), "fit_mode": "contain", "fill": 0}
    primaries, references = MosaicDataset(dataset, **arguments, seed=1), MosaicDataset(partners, **arguments)
    mixing = A.Compose(
        [MixUp(references, alpha=32, p=1.0)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"]),
        save_applied_params=True,
        seed=1,
    )
    return primaries, mixing


@pytest.mark.parametrize("recipe", [yolox, ultralytics])
def test_recipes_agree_with_their_pixels(recipe):
    primaries, mixing = recipe(rectangles(RED), rectangles(BLUE, "coco"))
    checked = 0
    for index in list(range(len(primaries))) * 2:
        primary = primaries[index]
        out = mixing(**primary)
        record = mixing.transforms[0].get_applied_params() if recipe is ultralytics else {"ratio": 0.5}
        ratio, count = record["ratio"], len(primary["bboxes"])
        shares = (1.0, 1.0) if recipe is yolox else (ratio, 1 - ratio)
        for channel, rows, part, share in (
            (RED, slice(count), ratio, shares[0]),
            (BLUE, slice(count, None), 1 - ratio, shares[1]),
        ):
            pixels = np.clip(np.rint(out["image"][..., channel] / part), 0, 255)
            checked += check_against_pixels(
                pixels, out["bboxes"][rows], out["labels"][rows], out["mixup_weight"][rows], share
            )
        np.testing.assert_array_equal(out["image"][..., 1], 0)
    assert checked > 100


def test_a_plain_primary_meets_a_mosaic():
    plain, partners = rectangles(RED), MosaicDataset(rectangles(BLUE), (120, 160), fit_mode="contain")
    mixing = pipeline(MixUp(partners, ratio_range=(0.5, 0.5), p=1.0))
    for index in range(len(plain)):
        out = mixing(**plain[index])
        mosaic_rows = slice(len(plain[index]["bboxes"]), None)
        blue = np.clip(2 * out["image"][..., BLUE].astype(float), 0, 255)
        labels, weights = out["labels"][mosaic_rows], out["mixup_weight"][mosaic_rows]
        check_against_pixels(blue, out["bboxes"][mosaic_rows], labels, weights, 0.5)


# --- draws --------------------------------------------------------------------------------------------------------


def small(dataset=None, **settings):
    return MosaicDataset(dataset or rectangles(RED), **({"size": (60, 80)} | settings))


def test_every_access_draws_anew_and_a_seed_repeats_them():
    once, again, other = small(seed=4), small(seed=4), small(seed=5)
    runs = [[mosaics[0] for _ in range(5)] for mosaics in (once, again, other)]
    assert same(runs[0], runs[1])
    pictures = [made["image"].tobytes() for run in (runs[0], runs[2]) for made in run]
    assert len(set(pictures)) == len(pictures)
    assert same(once.seeded(-1, 3), once.seeded(len(once) - 1, 3))
    assert same(list(small().seeded(2, 9).items()), list(small().seeded(2, 9).items()))


def test_seeded_leaves_the_stream_alone():
    once, again = small(seed=4), small(seed=4)
    once.seeded(1, 2)
    assert same(once[0], again[0])


def test_an_unseeded_one_differs_each_time():
    assert not same(small()[0], small()[0])


def test_partners_are_drawn_from_the_whole_set():
    mosaics = small(seed=0, grid=(3, 3), cell_size=(20, 27), fit_mode="contain")
    labels = [set(mosaics[0]["labels"]) for _ in range(30)]
    everything = {label for made in mosaics.dataset.samples for label in made["labels"]}
    assert set().union(*labels) == everything


def test_a_mosaic_of_mosaics_draws_the_inner_ones_anew():
    inner = small(seed=0, grid=(1, 1), size=(40, 40))
    outer = small(small(), seed=0)
    made = outer[0]
    check_against_pixels(made["image"][..., RED], made["bboxes"], made["labels"], made["mixup_weight"])
    assert not same(outer[0], outer[0])
    assert same(MosaicDataset(inner, (50, 50)).seeded(0, 1), MosaicDataset(inner, (50, 50)).seeded(0, 1))


def mixed_labels(mixing, primary, calls=6):
    return [mixing(**primary) for _ in range(calls)]


def test_a_seeded_pipeline_repeats_whatever_the_stream_did():
    references = small(), small()
    references[0][0]
    runs = [mixed_labels(pipeline(MixUp(one, p=1.0), seed=3), sample()) for one in references]
    assert same(*runs)
    assert len({out["image"].tobytes() for out in runs[0]}) == 6


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    for index in range(5):
        add(root, f"{index}", voc_object("cat"), voc_object("zebra", (5, 6, 30, 25)), image=picture(seed=index))
    return VocDataset(root)


def replaying(reference):
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    return A.ReplayCompose([MixUp(reference, p=1.0)], bbox_params=params)


@pytest.mark.parametrize("file_backed", [False, True])
def test_replay_makes_the_same_mosaic(voc, file_backed):
    reference = MosaicDataset(voc, (60, 80)) if file_backed else small()
    for _ in range(4):
        out = replaying(reference)(**sample())
        record = out.pop("replay")
        reference[0]
        record = json.loads(json.dumps(record)) if file_backed else record
        again = A.ReplayCompose.replay(record, **sample())
        again.pop("replay")
        assert same(again, out)


# --- a dataset like the others ------------------------------------------------------------------------------------


def test_a_spec_goes_through_json(voc):
    given = {"size": (60, 80), "grid": (2, 3), "cell_size": (50, 60), "center_range": (0.1, 0.6), "fit_mode": "contain"}
    mosaics = MosaicDataset(CachedDataset(voc, 10**6), **given, fill=(1, 2, 3), label_fields=["labels"], seed=7)
    built = from_spec(json.loads(json.dumps(mosaics.to_spec())))
    assert built.to_spec() == mosaics.to_spec()
    assert isinstance(built.dataset, CachedDataset)
    assert same([built[i] for i in range(3)], [mosaics[i] for i in range(3)])
    assert mosaics.classes == built.classes == voc.classes
    assert "5 images" in repr(mosaics)


def test_a_pipeline_with_mosaics_is_written_and_read(voc):
    written = json.loads(json.dumps(A.to_dict(pipeline(MixUp(MosaicDataset(voc, (60, 80)), p=1.0)))))
    runs = []
    for _ in range(2):
        loaded = A.from_dict(written)
        loaded.set_random_seed(2)
        runs.append(loaded(**sample()))
    assert isinstance(loaded.transforms[0].reference, MosaicDataset)
    assert same(*runs)
    assert small().to_spec() is None
    with pytest.raises(SerializationError, match="in-memory MosaicDataset of 8 samples"):
        A.to_dict(pipeline(MixUp(small())))


def test_pickles_go_on_where_they_were(voc):
    mosaics = MosaicDataset(voc, (60, 80), seed=3)
    mosaics[0]
    copied = pickle.loads(pickle.dumps(mosaics))
    assert same([copied[i] for i in range(3)], [mosaics[i] for i in range(3)])


def test_caches_and_size_hints_change_no_box():
    dataset = sample_dataset()
    cached = CachedDataset(dataset, 10**8)
    plain = Reference([dataset[i] for i in range(len(dataset))], "pascal_voc")  # without `fitted`
    for seed in range(4):
        made = [
            MosaicDataset(source, (96, 128), fit_mode=mode).seeded(seed, seed)
            for source in (dataset, cached, cached, plain)
            for mode in ("cover",)
        ]
        for other in made[1:]:
            assert same({**made[0], "image": None}, {**other, "image": None})
            difference = cv2.absdiff(made[0]["image"], other["image"]).mean()
            assert difference < 6
        assert same(made[1], made[2])
    assert cached.hits >= 16
    assert next(iter(cached._kept))[1] is not None  # kept at the cell's size


def test_weights_are_ones_where_there_are_none():
    dataset = rectangles(RED)
    for made in dataset.samples:
        del made["mixup_weight"]
    made = small(dataset, seed=0)[0]
    assert made["mixup_weight"].dtype == np.float32
    np.testing.assert_array_equal(made["mixup_weight"], np.ones(len(made["labels"])))


@pytest.mark.parametrize("kind", [list, np.array])
def test_label_fields_of_any_type_come_in_their_container(kind):
    dataset = rectangles(RED)
    for made in dataset.samples:
        made["ids"] = kind([int(label) for label in made["labels"]])
        made["parts"] = [(label, None) for label in made["labels"]]
    for made in (small(dataset, seed=seed, label_fields=["labels", "ids", "parts"])[0] for seed in range(5)):
        assert sorted(made) == ["bboxes", "ids", "image", "labels", "parts"]
        assert type(made["ids"]) is type(kind([]))
        assert [int(number) for number in made["ids"]] == [int(label) for label in made["labels"]]
        assert [label for label, _ in made["parts"]] == made["labels"]


@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1)])
def test_samples_without_boxes(empty):
    samples = [sample(i, height=60, width=80) for i in range(2)]
    for i in empty:
        samples[i] |= {"bboxes": [], "labels": [], "mixup_weight": []}
    mosaics = small(Reference(samples, "pascal_voc"), seed=0)
    mixing = pipeline(MixUp(mosaics, p=1.0))
    for index in (0, 1, 0, 1):
        made = mosaics[index]
        assert made["bboxes"].shape == (len(made["labels"]), 4)
        assert len(made["labels"]) == len(made["mixup_weight"])
        assert len(made["labels"]) == 0 or len(empty) < 2
        out = mixing(**made)
        assert len(out["bboxes"]) == len(out["labels"]) == len(out["mixup_weight"])


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 1), (60, 80, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_other_images(shape, dtype):
    image = np.full(shape, 0.5 if dtype == np.float32 else 77, dtype)
    dataset = Reference([sample(image=image)], "pascal_voc")
    made = small(dataset, fill=(9,) * (shape[2] if len(shape) == 3 else 1))[0]["image"]
    assert made.dtype == dtype
    assert made.shape == shape
    np.testing.assert_array_equal(made, image)


def test_the_fill_shows_where_no_image_is():
    dataset = Reference([sample(image=np.full((20, 80, 3), 200, np.uint8))], "pascal_voc")
    made = small(dataset, fit_mode="contain", fill=(1, 2, 3))[0]["image"]
    values = {tuple(pixel) for pixel in made.reshape(-1, 3).tolist()}
    assert values == {(200, 200, 200), (1, 2, 3)}


def test_unreadable_files():
    dataset = Flaky(rectangles(RED).samples, {1})
    dataset.bbox_format = "pascal_voc"
    with pytest.raises(OSError, match=r"1\.png"):
        small(dataset)[1]
    mixing = pipeline(MixUp(small(dataset), p=1.0, max_redraws=50))
    with pytest.warns(UnreadableImageWarning, match=r"1\.png"):
        [mixing(**sample()) for _ in range(10)]


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 640}, "size must be a pair"),
        ({"size": (0, 3)}, "size must be a pair of whole numbers of at least 1"),
        ({"size": (3.5, 3)}, "size must be a whole number"),
        ({"grid": (0, 2)}, "grid must be a pair"),
        ({"cell_size": (20, 80)}, "cell_size must be large enough"),
        ({"center_range": (0.7, 0.3)}, "center_range must be a pair"),
        ({"center_range": (0.7, 1.3)}, "center_range must be a pair"),
        ({"fit_mode": "stretch"}, "fit_mode must be one of cover, contain"),
        ({"fill": "grey"}, "fill must be"),
        ({"label_fields": [""]}, "label_fields must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_arguments(settings, message):
    with pytest.raises(ArgumentError, match=message):
        small(**settings)


@pytest.mark.parametrize("dataset", [None, [sample()], Reference([], "coco"), Reference([sample()], "corners")])
def test_datasets_that_are_none(dataset):
    with pytest.raises(ArgumentError, match="dataset must be a sequence of at least one sample with an attribute"):
        MosaicDataset(dataset)
    with pytest.raises(ArgumentError, match="RecentSamples"):
        MosaicDataset(RecentSamples())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "'image'"),
        ({"image": np.zeros((60, 80, 3), np.int32)}, "uint8 or float32"),
        ({"bboxes": None}, "bboxes"),
        ({"bboxes": [[1, 2, 3, 4, 5]] * 2}, r"\(N, 4\)"),
        ({"bboxes": [[1, 2, 3], [1, 2, 3, 4]]}, "bboxes"),
        ({"bboxes": [[1, 2, 3, "x"]] * 2}, "bboxes"),
        ({"bboxes": [[-50, 2, 3, 4]] * 2}, "refuses"),
        ({"labels": None}, "'labels'.*one value for each of 2"),
        ({"labels": ("cat",), "bboxes": [[1, 2, 3, 4]] * 2}, "'labels'.*one value for each of 2"),
        ({"mixup_weight": [1.0, float("nan")]}, "finite"),
    ],
)
def test_samples_that_are_none(change, message):
    with pytest.raises(SampleError, match=message):
        small(Reference([sample(**change)], "pascal_voc"))[0]


def test_samples_that_do_not_fit_together():
    for image in (np.zeros((60, 80), np.uint8), np.zeros((60, 80, 3), np.float32)):
        mosaics = small(Reference([sample(), sample(image=image)], "pascal_voc"), seed=0, grid=(3, 3))
        with pytest.raises(SampleError, match="dtype and channels"):
            mosaics[0]
    with pytest.raises(SampleError, match="must be a dict"):
        small(Reference([3], "coco"))[0]
    with pytest.raises(AlbMixUpError, match="fill"):
        small(Reference([sample()], "coco"), fill=(1, 2))[0]
    for index in (8, -9):
        with pytest.raises(IndexError, match="out of range for mosaics of 8"):
            small()[index]


# --- workers: in a fresh parent, as in test_workers ---------------------------------------------------------------

WORKERS, CALLS = 2, 4


def drawn(mosaics):
    return [made[0]["image"][::7].tobytes().hex() for made in mosaics]


class Pictures:
    """A dataset for DataLoader: pixels of a mosaic, of a seeded and of an unseeded dataset."""

    def __init__(self, *mosaics):
        self.mosaics = mosaics

    def __len__(self):
        return WORKERS * CALLS

    def __getitem__(self, _):
        return drawn(self.mosaics)


def work(pictures, connection):
    connection.send([pictures[0] for _ in range(CALLS)])


def processes_report(method):
    pictures, context, running = Pictures(small(seed=3), small()), multiprocessing.get_context(method), []
    for _ in range(WORKERS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(pictures, sender))
        process.start()
        running.append((process, receiver))
    items = [item for _, receiver in running for item in receiver.recv()]
    for process, _ in running:
        process.join()
    return items


def loader_report(method):
    import torch  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415

    torch.manual_seed(5)
    settings = {"num_workers": WORKERS, "multiprocessing_context": method, "collate_fn": list}
    loader = DataLoader(Pictures(small(seed=3), small()), 1, **settings)
    return [batch[0] for _ in range(2 if method == "fork" else 1) for batch in loader]  # spawning takes long


def report_of(expression):
    code = f"import json, tests.datasets.test_mosaic as t; print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


HAS_TORCH = importlib.util.find_spec("torch") is not None
REPORTS = [
    "processes_report",
    pytest.param("loader_report", marks=pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")),
]


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_and_epochs_differ_and_repeat_under_a_seed(report, method):
    (seeded, unseeded), (again, other) = (zip(*report_of(f"t.{report}({method!r})"), strict=True) for _ in range(2))
    assert seeded == again
    pictures = [*seeded, *unseeded, *other]
    assert len(set(pictures)) == len(pictures) >= 3 * WORKERS * CALLS
