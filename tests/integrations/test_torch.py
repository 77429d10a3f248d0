"""PyTorch: the schedule and the streams of workers, batches with weights.

Loaders run in a fresh parent for each way to start workers, for the reasons that tests/test_workers.py gives.
"""

import copy
import json
import pickle
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import albumentations as A
import numpy as np
import pytest

from alb_mixup import CachedDataset, MixUp, open_dataset, sample_dataset
from alb_mixup.errors import ArgumentError, SampleError
from tests._support.test_memory import PAGES, fresh, only_glibc, page_faults
from tests.support import layouts
from tests.support.samples import pipeline, sample

torch = pytest.importorskip("torch")

from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, get_worker_info  # noqa: E402

from alb_mixup.integrations.torch import (  # noqa: E402
    MixUpSchedule,
    TorchvisionCollate,
    TransformedDataset,
    TransformersCollate,
    worker_init_fn,
)

ROOT = Path(__file__).parent.parent.parent
METHODS = [
    pytest.param("fork", marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")),
    "spawn",
    pytest.param("forkserver", marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows has none")),
]
WORKERS, SAMPLES = 2, 8

# --- runs in the fresh parent and its workers ---------------------------------------------------------------------


def drawing_pipeline(seed=None):
    """Two transforms of Albumentations that draw from a continuum, and a MixUp."""
    jitter = [A.RandomBrightnessContrast(p=1.0) for _ in range(2)]
    reference = [sample(index) for index in range(4)]
    return pipeline(*jitter, MixUp(reference, p=1.0), seed=seed, save_applied_params=True)


def drawn(mixer, out):
    """What each transform drew in the last call: one number each, None for λ where nothing was mixed."""
    applied = [transform.get_applied_params() for transform in mixer.transforms[:2]]
    jitter = [params.get("params", params)["beta"] for params in applied]
    return [*jitter, out["mixup_weight"][0] if len(out["bboxes"]) > 2 else None]


class OwnDataset(Dataset):
    """What a user may have, who seeds with `worker_init_fn`."""

    def __init__(self, mixer):
        self.mixer = mixer

    def __getitem__(self, index):
        return self.mixer(**sample(index))


class Draws(Dataset):
    """Items are the worker's number and, for each of some datasets, what its pipeline drew."""

    def __init__(self, *datasets):
        self.datasets = datasets

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        mixers = [data.mixer if isinstance(data, OwnDataset) else data.pipeline for data in self.datasets]
        values = [drawn(mixer, data[index]) for mixer, data in zip(mixers, self.datasets, strict=True)]
        return get_worker_info().id, values


def epochs_of(data, method, *, epochs, schedule=None, **settings):
    """Return what was drawn, indexed by dataset, epoch and worker."""
    torch.manual_seed(5)
    settings |= {"num_workers": WORKERS, "multiprocessing_context": method}
    loader, runs = DataLoader(data, batch_size=1, collate_fn=list, **settings), [[] for _ in data.datasets]
    for epoch in range(epochs):
        if schedule is not None:
            schedule.set_epoch(epoch)
        items = [batch[0] for batch in loader]
        for number, run in enumerate(runs):
            run.append([[drawn[number] for worker, drawn in items if worker == w] for w in range(WORKERS)])
    return runs


def loader_report(method):
    """Return what loaders drew whose workers are started in one of the ways."""
    samples = [sample(index) for index in range(SAMPLES)]
    schedule = MixUpSchedule({0: 1.0, 1: 0.0, 2: 1.0})
    scheduled = Draws(TransformedDataset(samples, drawing_pipeline(), schedule))
    restarted = Draws(
        TransformedDataset(samples, drawing_pipeline()),
        TransformedDataset(samples, drawing_pipeline(3)),
        OwnDataset(drawing_pipeline(40)),  # X adds this seed to the worker's: 4 would meet its neighbour's 3
    )
    persistent = epochs_of(scheduled, method, epochs=3, schedule=schedule, persistent_workers=True)
    names = ("scheduled", "unseeded", "seeded", "own")
    return dict(
        zip(names, persistent + epochs_of(restarted, method, epochs=2, worker_init_fn=worker_init_fn), strict=True)
    )


class Faults(Draws):
    """Items are an image's page faults in the worker, after a sample of each dataset."""

    def __getitem__(self, index):
        for data in self.datasets:
            data[index]
        return page_faults()


def faults_report():
    """Return an image's page faults in workers of a loader, by how they were made ready."""
    samples = [sample(index) for index in range(SAMPLES)]
    made = TransformedDataset(samples, drawing_pipeline())
    own = OwnDataset(drawing_pipeline())
    loaders = [
        DataLoader(Faults(made), num_workers=WORKERS),
        DataLoader(Faults(own), num_workers=WORKERS, worker_init_fn=worker_init_fn),
        DataLoader(Faults(own), num_workers=WORKERS),
    ]
    return [max(float(faults) for faults in loader) for loader in loaders]


# --- runs in pytest -----------------------------------------------------------------------------------------------


def numbers(values):
    """Flatten nested lists of numbers, without None."""
    if isinstance(values, list):
        return list(chain.from_iterable(map(numbers, values)))
    return [] if values is None else [values]


@pytest.mark.parametrize("method", METHODS)
def test_workers(method):
    code = f"import json, tests.integrations.test_torch as t; print(json.dumps(t.loader_report({method!r})))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)

    # Persistent workers follow the schedule, from the first sample of an epoch to its last.
    mixed = [{values[2] is not None for values in chain.from_iterable(epoch)} for epoch in report["scheduled"]]
    assert mixed == [{True}, {False}, {True}]

    # No number is drawn twice, by any worker, epoch or transform.
    restarted = [report[name] for name in ("unseeded", "seeded", "own")]
    for runs, count in [([report["scheduled"]], 8 * SAMPLES), (restarted, 3 * 6 * SAMPLES)]:
        found = numbers(runs)
        assert len(found) == len(set(found)) == count

    # torch.manual_seed repeats them, however the workers are kept.
    assert report["scheduled"][0] == report["unseeded"][0]


def test_main_process_is_left_to_the_pipelines_own_seed():
    samples = [sample(0)] * 5
    expected, mixer = drawing_pipeline(3), drawing_pipeline(3)
    data = TransformedDataset(samples, mixer)
    assert len(data) == 5
    for index in range(5):
        assert drawn(mixer, data[index]) == drawn(expected, expected(**samples[index]))


@only_glibc
def test_workers_keep_the_memory_that_they_free():
    *ready, as_they_come = fresh("import tests.integrations.test_torch as t; print(*t.faults_report())")
    assert max(ready) < 0.05 * PAGES
    assert as_they_come > 0.9 * PAGES  # or this shows nothing


def test_worker_init_fn_needs_a_pipeline(monkeypatch):
    class Info:
        dataset = Subset(Dataset(), [0])

    monkeypatch.setattr("alb_mixup.integrations.torch.datasets.get_worker_info", Info)
    with pytest.raises(ArgumentError, match=r"dataset must have an A\.Compose"):
        worker_init_fn(0)


# --- the schedule -------------------------------------------------------------------------------------------------


def test_schedule_is_a_step_function():
    schedule = MixUpSchedule({10: 0.0, 0: 0.5, 4: 1.0})
    seen = {}
    for epoch in (0, 3, 4, 9, 10, 999):
        schedule.set_epoch(epoch)
        seen[schedule.epoch] = schedule.p
    assert seen == {0: 0.5, 3: 0.5, 4: 1.0, 9: 1.0, 10: 0.0, 999: 0.0}


@pytest.mark.parametrize("p", [{}, {1: 0.5}, {0: 1.5}, {0: 0.5, -1: 0.0}, {0: 0.5, 1.5: 0.0}, {0: None}, 0.5, [0.5]])
def test_schedule_refuses(p):
    with pytest.raises(ArgumentError, match="must be"):
        MixUpSchedule(p)


@pytest.mark.parametrize("epoch", [-1, 1.5, "1", True])
def test_schedule_refuses_epochs(epoch):
    with pytest.raises(ArgumentError, match="epoch must be a whole number"):
        MixUpSchedule({0: 1.0}).set_epoch(epoch)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copied_schedule_is_its_own_and_still_shared(copied):
    schedule = MixUpSchedule({0: 1.0, 2: 0.0})
    schedule.set_epoch(2)
    copy_ = copied(schedule)
    schedule.set_epoch(0)
    assert (copy_.epoch, copy_.p) == (2, 0.0)
    assert copy_._epoch.is_shared()


def test_schedule_is_restored():
    schedule, resumed = MixUpSchedule({0: 1.0, 2: 0.0}), MixUpSchedule({0: 1.0, 2: 0.0})
    schedule.set_epoch(2)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert (resumed.epoch, resumed.p) == (2, 0.0)


def share_mixed(mixer, calls=40):
    return sum(len(mixer(**sample(0))["bboxes"]) > 2 for _ in range(calls)) / calls


@pytest.mark.parametrize(
    "container",
    [
        lambda mixup: mixup,
        lambda mixup: A.Sequential([A.NoOp(), mixup], p=1.0),
        lambda mixup: A.OneOf([mixup], p=1.0),
        lambda mixup: A.OneOf([A.NoOp(p=0.5), A.Compose([mixup])], p=1.0),
        lambda mixup: A.SomeOf([mixup], n=1, p=1.0),
        lambda mixup: A.OneOf([mixup, A.NoOp(p=0.5)], p=1.0),
    ],
)
def test_schedule_reaches_every_container(container):
    schedule = MixUpSchedule({0: 0.0, 1: 1.0, 2: 0.0})
    mixer = pipeline(container(MixUp([sample(1)], p=0.5)))
    for epoch, mixed in [(0, False), (1, True), (2, False)]:
        schedule.set_epoch(epoch)
        schedule.apply(mixer)
        assert bool(share_mixed(mixer)) == mixed


def test_one_of_chooses_as_if_built_with_the_probability():
    def mixer(p):
        return pipeline(A.OneOf([MixUp([sample(1)], p=p), A.NoOp(p=0.75)], p=1.0), seed=1)

    scheduled, built = mixer(0.9), mixer(0.25)
    MixUpSchedule({0: 0.25}).apply(scheduled)
    assert share_mixed(scheduled, 100) == share_mixed(built, 100)
    assert 0 < share_mixed(built, 100) < 0.5


def test_schedule_refuses_what_it_cannot_schedule():
    schedule = MixUpSchedule({0: 0.0})
    with pytest.raises(ArgumentError, match="pipeline must hold a MixUp"):
        schedule.apply(pipeline(A.HorizontalFlip()))
    with pytest.raises(ArgumentError, match="OneOrOther"):
        schedule.apply(pipeline(A.OneOrOther(MixUp([sample(1)]), A.HorizontalFlip())))


def test_scheduled_dataset():
    schedule = MixUpSchedule({0: 1.0, 1: 0.0})
    data = TransformedDataset(sample_dataset(), pipeline(MixUp(sample_dataset(), p=1.0)), schedule)
    assert set(np.array(data[0]["mixup_weight"])) != {1.0}
    schedule.set_epoch(1)
    assert set(np.array(data[0]["mixup_weight"])) == {1.0}


# --- batches ------------------------------------------------------------------------------------------------------

BOXES = {
    "pascal_voc": [[4, 2, 12, 18], [0, 0, 40, 20]],
    "coco": [[4, 2, 8, 16], [0, 0, 40, 20]],
    "yolo": [[0.2, 0.5, 0.2, 0.8], [0.5, 0.5, 1, 1]],
    "albumentations": [[0.1, 0.1, 0.3, 0.9], [0, 0, 1, 1]],
}


def made(bbox_format="pascal_voc", labels=("b", "a"), height=20, width=40, **more):
    """A sample as a pipeline returns it."""
    image = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    return {"image": image, "bboxes": BOXES[bbox_format], "labels": list(labels), "mixup_weight": [0.25, 0.75]} | more


NOTHING = {"bboxes": [], "labels": [], "mixup_weight": []}


@pytest.mark.parametrize("bbox_format", BOXES)
def test_torchvision_batch(bbox_format):
    collate = TorchvisionCollate(["a", "b"], bbox_format)
    images, targets = collate([made(bbox_format), made(bbox_format, height=7, **NOTHING)])
    assert [image.shape for image in images] == [(3, 20, 40), (3, 7, 40)]
    assert torch.equal(images[0], torch.from_numpy(made()["image"]).permute(2, 0, 1) / 255)
    assert [{key: (value.dtype, value.shape) for key, value in target.items()} for target in targets] == [
        {"boxes": (torch.float32, (n, 4)), "labels": (torch.int64, (n,)), "weights": (torch.float32, (n,))}
        for n in (2, 0)
    ]
    torch.testing.assert_close(targets[0]["boxes"], torch.tensor(BOXES["pascal_voc"]).float())
    assert targets[0]["labels"].tolist() == [2, 1]  # 0 is the background
    assert targets[0]["weights"].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("bbox_format", BOXES)
def test_transformers_batch(bbox_format):
    batch = TransformersCollate(["a", "b"], bbox_format)([made(bbox_format), made(bbox_format, **NOTHING)])
    assert batch.keys() == {"pixel_values", "labels"}
    assert batch["pixel_values"].shape == (2, 3, 20, 40)
    sizes = {"orig_size": (torch.int64, (2,))}
    assert [{key: (value.dtype, value.shape) for key, value in labels.items()} for labels in batch["labels"]] == [
        {"class_labels": (torch.int64, (n,)), "boxes": (torch.float32, (n, 4)), "weights": (torch.float32, (n,))}
        | sizes
        for n in (2, 0)
    ]
    assert batch["labels"][0]["orig_size"].tolist() == [20, 40]
    torch.testing.assert_close(batch["labels"][0]["boxes"], torch.tensor(BOXES["yolo"]))
    assert batch["labels"][0]["class_labels"].tolist() == [1, 0]


def test_transformers_batch_of_two_sizes_is_padded():
    batch = TransformersCollate(["a", "b"])([made(), made(height=40, width=20, **NOTHING)])
    assert batch["pixel_values"].shape == (2, 3, 40, 40)
    assert batch["pixel_mask"].sum(dim=(1, 2)).tolist() == [800, 800]
    assert batch["pixel_mask"][0, :20].all()
    assert batch["pixel_mask"][1, :, :20].all()
    assert batch["pixel_values"].ne(0).logical_and(batch["pixel_mask"][:, None] == 0).sum() == 0
    torch.testing.assert_close(batch["labels"][0]["boxes"][0], torch.tensor([0.2, 0.25, 0.2, 0.4]))


@pytest.mark.parametrize("collate", [TorchvisionCollate(["a", "b"]), TransformersCollate(["a", "b"])])
def test_batch_of_what_pipelines_may_return(collate):
    def labels_of(given):
        batch = collate([given])
        target = batch[1][0] if isinstance(batch, tuple) else batch["labels"][0]
        return [target[key].tolist() for key in target if key not in {"boxes", "orig_size"}]

    assert labels_of(made(labels=[7.0, 3.0])) == [[7, 3], [0.25, 0.75]]  # Albumentations' whole numbers
    assert labels_of(made(labels=np.array([7, 3])))[0] == [7, 3]
    unweighted = made()
    del unweighted["mixup_weight"]
    assert labels_of(unweighted)[1] == [1, 1]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((4, 6, 3), 51, np.uint8), torch.full((3, 4, 6), 0.2)),
        (np.full((4, 6), 51, np.uint8), torch.full((1, 4, 6), 0.2)),
        (np.full((4, 6, 3), -1.5, np.float32), torch.full((3, 4, 6), -1.5)),
        (torch.full((3, 4, 6), 51, dtype=torch.uint8), torch.full((3, 4, 6), 0.2)),
        (torch.full((3, 4, 6), -1.5), torch.full((3, 4, 6), -1.5)),
    ],
)
def test_batch_images(image, expected):
    torch.testing.assert_close(TorchvisionCollate()([{"image": image, **NOTHING}])[0][0], expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": ["a", "c"]}, "classes=.*got 'c'"),
        ({"labels": [0.5, 1.0]}, "got 0.5"),
        ({"labels": ["a"]}, "one value for each of 2 boxes, got 1 and 2"),
        ({"mixup_weight": [1.0]}, "one value for each of 2 boxes, got 2 and 1"),
    ],
)
def test_batch_refuses(wrong, message):
    with pytest.raises(SampleError, match=message):
        TransformersCollate(["a", "b"])([made(**wrong)])


def test_collate_refuses():
    with pytest.raises(ArgumentError, match="bbox_format must be one of"):
        TransformersCollate(["a"], "xyxy")
    with pytest.raises(ArgumentError, match="first_label must be"):
        TorchvisionCollate(["a"], first_label=-1)


@pytest.mark.parametrize("collate", [TorchvisionCollate, TransformersCollate])
def test_batch_of_masks_and_identities(collate):
    masks = [np.full((20, 40), value, np.uint8) for value in (0, 1)]
    samples = [made(masks=masks, image_id=5), made(masks=np.stack(masks)), made(masks=[], height=7, **NOTHING)]
    found = collate(["a", "b"])(samples)
    targets = found[1] if isinstance(found, tuple) else found["labels"]
    assert [target["masks"].shape for target in targets[:2]] == [(2, 20, 40)] * 2
    assert [target["masks"].amax((1, 2)).tolist() for target in targets[:2]] == [[0, 1]] * 2
    assert targets[2]["masks"].shape == ((0, 7, 40) if isinstance(found, tuple) else (0, 20, 40))
    assert targets[0]["masks"].dtype == torch.uint8
    if isinstance(found, dict):
        assert targets[0]["image_id"].tolist() == [5]
    with pytest.raises(SampleError, match="masks must be one for each of 2 boxes, got 1"):
        collate(["a", "b"])([made(masks=masks[:1])])


@pytest.mark.parametrize("collate", [TorchvisionCollate, TransformersCollate])
def test_batch_of_another_weight_field(collate):
    found = collate(["a", "b"], weight_field="share")([made(share=[0.125, 0.5])])
    assert (found[1] if isinstance(found, tuple) else found["labels"])[0]["weights"].tolist() == [0.125, 0.5]


def unweighted(index, **more):
    """A sample of the user's own, which knows no weights."""
    return {key: value for key, value in (sample(index) | more).items() if key != "mixup_weight"}


def test_primaries_without_weights_are_whole():
    data = TransformedDataset([unweighted(0), sample(1)], pipeline(MixUp([sample(2)], ratio_range=(0.75, 0.75), p=1.0)))
    assert [list(map(float, item["mixup_weight"])) for item in (data[0], data[1])] == [[0.75, 0.75, 0.25, 0.25]] * 2
    fields = ("labels", "share")
    renamed = [{**unweighted(index), "share": [1.0, 1.0]} for index in range(2)]
    mixer = pipeline(MixUp(renamed, ratio_range=(0.75, 0.75), p=1.0, weight_field="share"), label_fields=fields)
    assert list(map(float, TransformedDataset([unweighted(0)], mixer)[0]["share"])) == [0.75, 0.75, 0.25, 0.25]
    validation = TransformedDataset([unweighted(0)], pipeline(A.HorizontalFlip(p=1.0)))
    assert list(map(float, validation[0]["mixup_weight"])) == [1.0, 1.0]


@pytest.mark.parametrize("cached", [False, True])
def test_another_sample_than_the_primary_is_mixed_with_it(cached):
    samples = [sample(index, labels=(f"{index}",)) for index in range(3)]
    reference = CachedDataset(samples, 10**6) if cached else samples
    data = TransformedDataset(samples, pipeline(MixUp(reference, p=1.0)))
    for _ in range(10):
        for index in range(3):
            made = data[index]
            assert len(set(made["labels"])) == 2
            assert "mixup_index" not in made
    alone = TransformedDataset(samples[:1], pipeline(MixUp(samples[:1], p=1.0)))
    assert len(alone[0]["labels"]) == 2


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 1.0, 3.0]])
def test_the_primary_is_known_inside_of_a_concatenation_too(weights):
    ours, more = ([sample(index, labels=(f"{index}",)) for index in numbers] for numbers in (range(2), range(2, 4)))
    reference = ConcatDataset([more, ConcatDataset([CachedDataset(ours, 10**6)])])
    data = TransformedDataset(ours, pipeline(MixUp(reference, partner_weights=weights, p=1.0)))
    for index in range(2):
        partners = {data[index]["labels"][-1] for _ in range(60)}
        assert partners == {"0", "1", "2", "3"} - {f"{index}"}
    assert TransformedDataset([sample(9)], data.pipeline)[0]  # of none of them


PARTS = {
    "subset": lambda whole: Subset(whole, [3, 0, 2]),
    "array of indices": lambda whole: Subset(whole, np.array([3, 0, 2])),
    "subset of a cache": lambda whole: Subset(CachedDataset(whole, 10**6), [3, 0, 2]),
    "cache of a subset": lambda whole: CachedDataset(Subset(whole, [3, 0, 2]), 10**6),
    "subset of a subset": lambda whole: Subset(Subset(whole, [2, 3, 1, 0]), [1, 3, 0]),
    "concatenation": lambda whole: ConcatDataset([Subset(whole, [3]), Subset(whole, range(0, 4, 2))]),
    "counted from the end": lambda whole: Subset(whole, [-1, 0, -2]),
    "some of it twice": lambda whole: Subset(whole, [3, 0, 2, 0, 3, 0]),
    "all of it twice": lambda whole: ConcatDataset(
        [Subset(whole, [3, 0, 2]), CachedDataset(Subset(whole, [2, 0, 3]), 9)]
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_primary_is_known_inside_of_a_part_too(part, weighted):
    whole = [sample(index, labels=(f"{index}",)) for index in range(4)]
    reference = part(whole)
    weights = 1.0 + np.arange(len(reference)) % 3 if weighted else None
    data = TransformedDataset(whole, pipeline(MixUp(reference, partner_weights=weights, p=1.0)))
    other = TransformedDataset(Subset(whole, [1, 0]), data.pipeline)
    for index in range(4):
        assert {data[index]["labels"][-1] for _ in range(60)} == {"0", "2", "3"} - {f"{index}"}
    for index, name in enumerate("10"):
        assert {other[index]["labels"][-1] for _ in range(60)} == {"0", "2", "3"} - {name}
    for index in range(len(reference)):
        primary = reference[index]
        partners = {data.pipeline(**primary, mixup_index=index)["labels"][-1] for _ in range(60)}
        assert partners == {"0", "2", "3"} - {primary["labels"][0]}


def test_a_sample_held_several_times_is_left_out_with_all_its_weight():
    whole = [sample(index, labels=(f"{index}",)) for index in range(3)]
    reference = Subset(whole, [0, 1, 0, 2, 0])
    mixer = pipeline(MixUp(reference, partner_weights=[9.0, 1.0, 5.0, 3.0, 9.0], p=1.0))
    drawn = Counter(TransformedDataset(whole, mixer)[0]["labels"][-1] for _ in range(4000))
    assert drawn.keys() == {"1", "2"}
    assert abs(drawn["2"] / 4000 - 3 / 4) < 4 * (3 / 16 / 4000) ** 0.5
    alone = pipeline(MixUp(reference, partner_weights=[9.0, 0.0, 5.0, 0.0, 9.0], p=1.0))
    with pytest.raises(SampleError, match=r"got 0 for all but reference\[0, 2, 4\]"):
        TransformedDataset(whole, alone)[0]
    assert TransformedDataset(whole, alone)[1]["labels"][-1] == "0"
    mixer = pipeline(MixUp(Subset(whole, [0, 0]), p=1.0))
    assert TransformedDataset(whole, mixer)[0]["labels"][-1] == "0"  # there is no other


def test_a_part_that_is_drawn_anew_knows_its_samples_again():
    whole = [sample(index, labels=(f"{index}",)) for index in range(4)]
    part = Subset(whole, [0, 1])
    data = TransformedDataset(whole, pipeline(MixUp(part, p=1.0)))
    assert {data[0]["labels"][-1] for _ in range(20)} == {"1"}
    part.indices = [2, 0]
    assert {data[0]["labels"][-1] for _ in range(20)} == {"2"}


def test_a_part_that_is_shuffled_in_place_knows_its_samples_again():
    whole = [sample(index, labels=(f"{index}",)) for index in range(4)]
    part = Subset(whole, [0, 1, 2])
    data = TransformedDataset(part, pipeline(MixUp(part, p=1.0)))
    for _ in range(3):
        for index, own in enumerate(part.indices):
            assert {data[index]["labels"][-1] for _ in range(40)} == {"0", "1", "2"} - {f"{own}"}
        part.indices.insert(0, part.indices.pop())


def test_a_subset_that_counts_from_the_end_of_a_concatenation_gives_its_own_samples():
    whole = [sample(index, labels=(f"{index}",)) for index in range(5)]
    reference = Subset(ConcatDataset([whole[:2], whole[2:]]), [-1, -4])
    data = TransformedDataset([sample(9)], pipeline(MixUp(reference, p=1.0)))
    assert {data[0]["labels"][-1] for _ in range(40)} == {"4", "1"}


@pytest.mark.parametrize(
    "wrap", [lambda part: part, lambda part: CachedDataset(part, 10**8), lambda part: Subset(part, [0, 1])]
)
def test_the_primary_is_known_among_the_annotated_images_of_its_dataset(wrap, tmp_path):
    root = layouts.write_coco(tmp_path)  # of four images, one has no boxes
    dataset = open_dataset(root)
    part = dataset.annotated()
    assert len(part) == 3
    mixup = MixUp(wrap(part), p=1.0, weight_field=None)
    params = A.BboxParams("coco", label_fields=["labels"])
    drawn = A.Compose([mixup], bbox_params=params, save_applied_params=True)
    data = TransformedDataset(dataset, drawn)
    for number, index in enumerate(np.flatnonzero([len(dataset.annotations(index)["labels"]) for index in range(4)])):
        partners = set()
        for _ in range(30):
            data[int(index)]
            partners.add(mixup.get_applied_params()["reference_index"])
        assert partners == set(range(len(mixup.reference))) - {number}
    again = pickle.loads(pickle.dumps(data))
    assert again.pipeline[0].reference is not mixup.reference
    assert again[0]


class Coco(list):
    bbox_format = "coco"


def test_a_dataset_and_its_pipeline_have_one_format():
    with pytest.raises(ArgumentError, match="in the pipeline's format 'pascal_voc', got 'coco'"):
        TransformedDataset(Coco([sample(0)]), pipeline(A.HorizontalFlip()))
    assert len(TransformedDataset(Coco([sample(0)]), pipeline(A.HorizontalFlip(), bbox_format="coco"))) == 1
    inside = Subset(sample_dataset(), [0])
    with pytest.raises(ArgumentError, match=r"must have boxes in the pipeline's format 'coco', got 'pascal_voc'"):
        TransformedDataset(inside, pipeline(A.HorizontalFlip(), bbox_format="coco"))[0]


def test_batches_of_the_sample_data():
    dataset = sample_dataset()
    data = TransformedDataset(dataset, pipeline(MixUp(dataset, p=1.0), A.HorizontalFlip(p=0.5)))
    for batch in DataLoader(data, batch_size=7, collate_fn=TransformersCollate(dataset.classes)):
        assert len(batch["labels"]) == 7
        for labels in batch["labels"]:
            assert len(labels["boxes"]) == len(labels["weights"]) == len(labels["class_labels"]) > 0
            assert labels["class_labels"].max() < len(dataset.classes)
            assert 0 < labels["weights"].min() <= labels["weights"].max() < 1
            assert labels["boxes"].min() >= 0
            assert labels["boxes"].max() <= 1
