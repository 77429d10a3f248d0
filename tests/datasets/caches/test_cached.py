import copy
import json
import multiprocessing
import pickle
import sys
import threading

import albumentations as A
import cv2
import numpy as np
import pytest

from alb_mixup import CachedDataset, MixUp, sample_dataset
from alb_mixup.datasets import from_spec
from alb_mixup.errors import ArgumentError, SampleError, SerializationError
from alb_mixup.functional.fit import Fit
from tests.support.samples import Reference, as_arrays, frozen, pipeline, record_of, same, sample

PLENTY = 2**30
FIT = Fit((24, 40), "contain", cv2.INTER_LINEAR)


def bytes_of(image):
    """What one cached sample of `sample()` takes, about: its image, and less than 3 kB beside it."""
    return image.nbytes + 3000


def test_it_gives_what_the_dataset_gives():
    cached, dataset = CachedDataset(sample_dataset(), PLENTY), sample_dataset()
    assert len(cached) == len(dataset)
    assert cached.bbox_format == dataset.bbox_format
    assert cached.classes == dataset.classes
    for index in (0, 5, 0, -1):
        assert same(cached[index], dataset[index])
    assert (cached.hits, cached.misses) == (1, 3)


@pytest.mark.parametrize("make", [sample, lambda number: as_arrays(sample(number))], ids=["lists", "arrays"])
def test_a_plain_sequence_is_read_once(make):
    reference = Reference([make(number) for number in range(4)])
    cached = CachedDataset(reference, PLENTY)
    for index in (2, 0, 2, 2, 0):
        assert same(cached[index], make(index))
    assert reference.drawn == [2, 0]
    assert cached.bbox_format is None
    assert cached.classes is None


def test_arrays_are_read_only_and_lists_the_callers_own():
    cached = CachedDataset([sample(0, masks=[np.ones((24, 32), np.uint8)], labels=["cat", "dog"])], PLENTY)
    expected = frozen(cached[0])
    for given in (cached[0], cached.fitted(0, FIT)[0]):
        assert not given["image"].flags.writeable
        assert not given["masks"][0].flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            given["image"][:] = 0
        given["labels"].clear()
        given["bboxes"][0][0] = 99.0
        given["masks"].clear()
        del given["mixup_weight"]
    assert same(cached[0], expected)
    for value in CachedDataset(sample_dataset(), PLENTY)[0].values():
        assert not isinstance(value, np.ndarray) or not value.flags.writeable


def test_what_the_dataset_gave_may_be_written_to_later():
    inner = [sample(0)]
    cached = CachedDataset(inner, PLENTY)
    expected = frozen(cached[0])
    inner[0]["image"][:] = 0
    inner[0]["bboxes"][0][0] = 99.0
    inner[0]["labels"].clear()
    assert same(cached[0], expected)
    assert inner[0]["image"].flags.writeable


def test_images_are_kept_as_they_are_placed():
    reference = Reference([sample(0)])
    cached = CachedDataset(reference, PLENTY)
    for _ in range(2):
        given, whole = cached.fitted(0, FIT)
        assert whole == (24, 32)
        assert given["bboxes"] == sample(0)["bboxes"]
        assert same(given["image"], sample(0)["image"])
    for _ in range(2):
        given, whole = cached.fitted(0, Fit((12, 12), "stretch", cv2.INTER_AREA))
        assert whole == (24, 32)
        np.testing.assert_array_equal(given["image"], cv2.resize(sample(0)["image"], (12, 12), interpolation=3))
    assert reference.drawn == [0, 0]
    assert same(cached[0], sample(0))


@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch", "canvas"])
@pytest.mark.parametrize("settings", [{}, {"size_hint": False}])
def test_mixup_cannot_tell(fit_mode, settings):
    outs = []
    for reference in (sample_dataset(), CachedDataset(sample_dataset(), PLENTY)):
        mixer = pipeline(MixUp(reference, fit_mode=fit_mode, p=1.0, **settings), seed=1)
        outs.append([mixer(**sample(0, height=240, width=300)) for _ in range(8)])
    assert same(*outs)


@pytest.mark.parametrize("settings", [{"fit_mode": "canvas"}, {"size_hint": False}])
def test_whole_images_are_kept_once_for_primaries_of_any_size(settings):
    reference = Reference([sample(0)])
    mixer = pipeline(MixUp(CachedDataset(reference, PLENTY), p=1.0, **settings))
    for height in (20, 30, 40):
        mixer(**sample(1, height=height))
    assert reference.drawn == [0]


def test_as_primaries_they_go_through_a_pipeline_and_stay_as_they_were():
    cached, dataset = CachedDataset(sample_dataset(), PLENTY), sample_dataset()
    expected = frozen(cached[0])
    transforms = [
        A.HorizontalFlip(p=1.0), A.RandomBrightnessContrast(p=1.0), A.CoarseDropout(fill=7, p=1.0), A.GaussNoise(p=1.0),
        A.RandomSizedBBoxSafeCrop(200, 200, p=1.0),
    ]  # fmt: skip
    for transform in transforms:
        mixup = MixUp(cached, p=0.5)
        outs = [pipeline(transform, mixup, A.Normalize(), seed=1)(**source[0]) for source in (cached, dataset)]
        assert same(*outs)
    assert same(cached[0], expected)


# Room


def test_the_least_recently_used_goes():
    reference = Reference([sample(number, height=24 * 10) for number in range(4)])
    cached = CachedDataset(reference, 2 * bytes_of(reference.samples[0]["image"]))
    for index in (0, 1, 0, 2, 0, 1):  # 2 drives 1 out, not 0
        cached[index]
    assert reference.drawn == [0, 1, 2, 1]
    assert (cached.hits, cached.misses) == (2, 4)


def test_there_is_never_more_than_allowed():
    generator = np.random.default_rng(0)
    samples = [sample(number, height=int(generator.integers(10, 60))) for number in range(20)]
    cached = CachedDataset(samples, 20_000)
    for index in generator.integers(20, size=200).tolist():
        assert same(cached[index], samples[index])
        kept = [entry[0][0] for entry in cached._kept.values()]
        assert sum(one["image"].nbytes for one in kept) < cached.kept_bytes <= 20_000
    assert cached.hits > 10


def test_a_sample_that_is_too_large_is_given_out_and_drives_nothing_out():
    reference = Reference([sample(0), sample(1, height=500, width=500)])
    cached = CachedDataset(reference, bytes_of(sample()["image"]))
    for index in (0, 1, 1, 0):
        assert same(cached[index], reference.samples[index])
    assert reference.drawn == [0, 1, 1]


def test_all_arrays_count():
    masks = np.zeros((50, 24, 32), np.uint8)
    cached = CachedDataset([sample(0, masks=masks)], PLENTY)
    cached[0]
    assert masks.nbytes + sample()["image"].nbytes < cached.kept_bytes < masks.nbytes + bytes_of(sample()["image"])


# Processes and threads


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_begin_with_nothing(clone):
    cached = CachedDataset(sample_dataset(), PLENTY)
    cached[0]
    other = clone(cached)
    assert len(pickle.dumps(cached)) < 100_000
    assert (other.hits, other.misses, other.kept_bytes) == (0, 0, 0)
    assert same(other[1], cached[1])
    assert cached.misses == 2


def read_in_child(cached, connection):
    first = cached[0]["image"].sum()
    connection.send((int(first), cached.hits, cached.misses))


@pytest.mark.parametrize(
    ("method", "hits"),
    [
        pytest.param("fork", 1, marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")),
        ("spawn", 0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_worker_has_what_its_parent_had_and_a_spawned_one_nothing(method, hits):
    cached = CachedDataset(sample_dataset(), PLENTY)
    expected = int(cached[0]["image"].sum())
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    with cached._lock:  # as another thread might have it while the process forks
        worker = context.Process(target=read_in_child, args=(cached, sender))
        worker.start()
        assert receiver.poll(60)
        assert receiver.recv() == (expected, hits, 1)
        worker.join()


def test_threads():
    samples = [sample(number) for number in range(12)]
    cached = CachedDataset(samples, 5 * bytes_of(samples[0]["image"]))
    failures = []

    def read(seed):
        indices = np.random.default_rng(seed).integers(12, size=300).tolist()
        failures.extend(i for i in indices if not np.array_equal(cached[i]["image"], samples[i]["image"]))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert cached.hits + cached.misses == 1800
    assert cached.kept_bytes == sum(size for _, size in cached._kept.values()) <= cached.max_bytes


# Descriptions


def test_round_trip():
    cached = CachedDataset(sample_dataset().annotated(), 12345)
    spec = json.loads(json.dumps(cached.to_spec()))
    assert spec == {"dataset": "CachedDataset", "of": {"dataset": "sample", "annotated": True}, "max_bytes": 12345}
    other = from_spec(spec)
    assert isinstance(other, CachedDataset)
    assert other.to_spec() == spec
    assert len(other) == len(cached)


def test_annotated_has_a_cache_of_its_own():
    cached = CachedDataset(sample_dataset(), PLENTY)
    cached[0]
    part = cached.annotated()
    assert isinstance(part, CachedDataset)
    assert (part.max_bytes, part.kept_bytes) == (PLENTY, 0)
    assert part.to_spec()["of"] == {"dataset": "sample", "annotated": True}
    with pytest.raises(AttributeError, match="annotated"):
        CachedDataset([sample()], PLENTY).annotated()


def test_a_pipeline_is_written_and_read():
    mixer = pipeline(MixUp(CachedDataset(sample_dataset(), 99), p=1.0))
    again = A.from_dict(json.loads(json.dumps(A.to_dict(mixer))))
    assert isinstance(again.transforms[0].reference, CachedDataset)
    assert again.transforms[0].reference.max_bytes == 99


def test_an_in_memory_dataset_stays_one():
    cached = CachedDataset([sample(0), sample(1)], PLENTY)
    assert cached.to_spec() is None
    with pytest.raises(SerializationError, match="in-memory CachedDataset of 2 samples"):
        A.to_dict(pipeline(MixUp(cached)))
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    out = A.ReplayCompose([MixUp(cached, p=1.0)], bbox_params=params)(**sample(3))
    again = A.ReplayCompose.replay(out["replay"], **sample(3))
    assert same(again["image"], out["image"])


def test_repr_says_how_it_does():
    cached = CachedDataset(sample_dataset(), PLENTY)
    mixer = pipeline(MixUp(cached, p=1.0), save_applied_params=True)
    for _ in range(20):
        mixer(**sample(0))
        assert record_of(mixer.transforms[0])["reference_index"] < 14
    hits = 20 - len(cached._kept)
    text = f"max_bytes={PLENTY}, kept_bytes={cached.kept_bytes}, hits={hits}, misses={20 - hits})"
    assert repr(cached) == f"CachedDataset(VocDataset of 14 images, {text}"
    assert hits >= 6


# Errors


@pytest.mark.parametrize("value", [0, -1, 1.5, 2e9, True, None, "4GB"])
def test_max_bytes_is_a_number_of_bytes(value):
    with pytest.raises(ArgumentError, match="max_bytes must be a whole number of bytes, at least 1, got"):
        CachedDataset(sample_dataset(), value)


@pytest.mark.parametrize("value", [None, 3, "VOC2012", {"image": 1}, iter([])])
def test_the_dataset_is_a_sequence(value):
    with pytest.raises(ArgumentError, match="dataset must be a sequence of samples"):
        CachedDataset(value, PLENTY)


@pytest.mark.parametrize("bad", [None, [], {}, {"image": [[1]]}, {"image": np.zeros(3)}, {"image": np.zeros((0, 3))}])
def test_a_sample_without_an_image(bad):
    for read in (lambda cached: cached[0], lambda cached: cached.fitted(0, FIT)):
        with pytest.raises(SampleError, match=r"dataset\[0\] must be a dict whose 'image' is a non-empty array"):
            read(CachedDataset([bad], PLENTY))


@pytest.mark.parametrize("index", [2, -3])
def test_beyond_the_end(index):
    with pytest.raises(IndexError):
        CachedDataset([sample(0), sample(1)], PLENTY)[index]


def test_no_slices():
    with pytest.raises(TypeError):
        CachedDataset([sample(0), sample(1)], PLENTY)[:1]


def test_an_error_is_not_kept(tmp_path):
    class Flaky(Reference):
        def __getitem__(self, index):
            made = super().__getitem__(index)
            if len(self.drawn) == 1:
                raise OSError("a network disk")
            return made

    cached = CachedDataset(Flaky([sample(0)]), PLENTY)
    with pytest.raises(OSError, match="a network disk"):
        cached[0]
    assert same(cached[0], sample(0))


def test_mixup_says_what_does_not_fit():
    reference = CachedDataset([sample(0, image=np.zeros((24, 32, 3), np.int64))], PLENTY)
    with pytest.raises(SampleError, match=r"reference\[0\]\['image'\] must have the primary's dtype uint8, got int64"):
        pipeline(MixUp(reference, p=1.0))(**sample(1, height=30))
