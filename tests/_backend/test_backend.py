"""The two Albumentations behind one face: what a user cannot see from a pipeline."""

import copy
import inspect
import multiprocessing
import os
import random
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import SimpleNamespace

import albumentations as A
import numpy as np
import pytest

from alb_mixup import MixUp, _backend
from alb_mixup._backend import installation, streams
from alb_mixup.errors import AlbMixUpError, InstallationError, SerializationError
from tests.support.samples import IS_X, LABEL_FIELDS, Reference, mixing, pipeline, same, sample

only_208 = pytest.mark.skipif(IS_X, reason="of albumentations 2.0.8")
only_x = pytest.mark.skipif(not IS_X, reason="of AlbumentationsX")


# --- installation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [["albumentations", "albumentationsx"], ["numpy", "AlbumentationsX", "Albumentations"]]
)
def test_both_at_once_are_refused(names):
    with pytest.raises(ImportError, match=r"both installed .* keep one: `pip uninstall") as caught:
        installation.check_installation(names)
    assert type(caught.value) is InstallationError
    assert isinstance(caught.value, AlbMixUpError)


@pytest.mark.parametrize("names", [[], ["albumentations"], ["albumentationsx", "numpy"], ["albumentations-extra"]])
def test_one_is_fine(names):
    installation.check_installation(names)


def test_what_is_installed_is_asked_by_name():
    names = ["numpy", "no-such-distribution", "albumentations", "albumentationsx"]
    found = installation._installed(names)
    assert found[0] == "numpy"
    assert found[1:] == (["albumentationsx"] if IS_X else ["albumentations"])


def test_the_import_itself_refuses_both(monkeypatch):
    monkeypatch.setattr(metadata, "distribution", lambda name: name)
    for module in [name for name in sys.modules if name.split(".")[0] == "alb_mixup"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImportError, match="both installed"):
        __import__("alb_mixup")


# --- declared targets ---------------------------------------------------------------------------------------------


def test_all_targets_are_declared():
    assert {target.name for target in MixUp._targets} >= {"IMAGE", "MASK", "BBOXES", "KEYPOINTS"}
    assert set(MixUp([sample()]).available_keys) >= {"image", "images", "mask", "masks", "bboxes", "keypoints"}


def test_box_formats_are_the_backends():
    for bbox_format in _backend.BBOX_FORMATS:
        assert _backend.coord_format(processor_of(bbox_format)) == bbox_format


def processor_of(bbox_format, **settings):
    params = A.BboxParams(bbox_format, label_fields=list(LABEL_FIELDS), **settings)
    return A.Compose([A.HorizontalFlip()], bbox_params=params).processors["bboxes"]


@pytest.mark.parametrize(
    ("bbox_format", "box"),
    [
        ("pascal_voc", [8, 6, 24, 18]),
        ("coco", [8, 6, 16, 12]),
        ("yolo", [0.5, 0.5, 0.5, 0.5]),
        ("albumentations", [0.25, 0.25, 0.75, 0.75]),
        pytest.param("cxcywh", [16, 12, 16, 12], marks=only_x),
    ],
)
@pytest.mark.parametrize("pipeline_format", ["pascal_voc", "yolo", "albumentations"])
def test_rows_of_any_format_become_normalized_corners(pipeline_format, bbox_format, box):
    processor = processor_of(pipeline_format)
    rows = _backend.to_internal(processor, np.array([[*box, 7.0]], np.float32), (24, 32), bbox_format)
    np.testing.assert_allclose(rows, [[0.25, 0.25, 0.75, 0.75, 7]], atol=1e-6)
    assert _backend.coord_format(processor) == pipeline_format


# --- where the randomness comes from ------------------------------------------------------------------------------


@pytest.fixture
def torch_data(monkeypatch):
    """PyTorch's module of data loaders, as far as `worker_words` looks at it."""
    fake = SimpleNamespace(get_worker_info=lambda: SimpleNamespace(id=1, seed=1234567890123))
    monkeypatch.setitem(sys.modules, "torch.utils.data", fake)
    return fake


def test_a_worker_of_pytorch_is_named_by_its_seed(torch_data):
    assert streams.worker_words() == [1234567890123]


def test_outside_of_pytorchs_workers_its_place_counts(torch_data, monkeypatch):
    torch_data.get_worker_info = lambda: None
    assert streams.worker_words() == []
    monkeypatch.setattr(multiprocessing, "current_process", lambda: SimpleNamespace(_identity=(2, 1)))
    assert streams.worker_words() == [2, 1]


def test_pytorch_is_not_imported_for_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.data", raising=False)
    streams.worker_words()
    assert "torch.utils.data" not in sys.modules


def ratios(mixer, calls=4):
    drawn = []
    for _ in range(calls):
        mixer(**sample())
        drawn.append(mixer.transforms[0].get_applied_params()["ratio"])
    return drawn


def as_if_in_worker(monkeypatch, mixer, words):
    """Draw from a copy of a pipeline as if it had arrived in another process."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1 + words[0])
        patch.setattr(streams, "worker_words", lambda: words)
        return ratios(copy.deepcopy(mixer))


@only_208
def test_workers_leave_the_stream_of_their_siblings(monkeypatch):
    mixer = pipeline(MixUp([sample()], p=1.0), seed=1, save_applied_params=True)
    runs = [as_if_in_worker(monkeypatch, mixer, [words]) for words in (1, 2, 1)]
    assert runs[0] == runs[2]
    assert not set(runs[0]) & set(runs[1])
    assert not set(runs[0]) & set(ratios(copy.deepcopy(mixer)))


@only_208
def test_workers_decide_apart_too(monkeypatch):
    def decisions(words):
        reference = Reference([sample()])
        mixer, counts = pipeline(MixUp(reference, p=0.5), seed=1), []
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1 + words[0])
            patch.setattr(streams, "worker_words", lambda: words)
            for _ in range(40):
                mixer(**sample())
                counts.append(len(reference.drawn))
        return counts

    assert decisions([1]) == decisions([1]) != decisions([2])


@only_208
def test_a_process_that_nobody_named_goes_on(monkeypatch):
    """There is nothing to tell it apart by."""
    mixer = pipeline(MixUp([sample()], p=1.0), seed=1, save_applied_params=True)
    monkeypatch.setattr(streams, "worker_words", list)
    expected = ratios(copy.deepcopy(mixer))
    monkeypatch.setattr(os, "getpid", lambda: 7)
    assert ratios(mixer) == expected


@only_208
def test_the_rank_is_of_the_pipeline_and_not_of_the_transform():
    """The same seed gives the same stream whatever other pipelines the transform or its neighbours were in before."""

    def drawn(mixer):
        mixer.set_random_seed(5)
        return ratios(mixer)

    first, second = (MixUp([sample()], p=1.0) for _ in range(2))
    expected = drawn(pipeline(MixUp([sample()], p=1.0), save_applied_params=True))
    pipeline(first, second)
    assert drawn(pipeline(second, save_applied_params=True)) == expected
    pipeline(A.HorizontalFlip(), first)
    assert drawn(pipeline(first, save_applied_params=True)) == expected


def test_the_generator_set_from_outside_is_used():
    def drawn(seed):
        mixer = pipeline(MixUp([sample()], p=1.0), save_applied_params=True)
        mixer.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return ratios(mixer)

    assert drawn(1) == drawn(1) != drawn(2)


def test_set_random_seed_of_a_transform_alone():
    def drawn(seed):
        transform = MixUp([sample()], p=1.0)
        transform.set_random_seed(seed)
        return [transform(image=sample(1)["image"])["image"] for _ in range(3)]

    assert same(drawn(1), drawn(1))
    assert not same(drawn(1), drawn(2))


# --- threads and contexts -----------------------------------------------------------------------------------------


def test_pipelines_in_threads_do_not_take_each_others_samples():
    """Each thread has its own pipeline and reference; nothing of a call lives in the module."""

    def work(number):
        name = f"class {number}"
        mixer = mixing([sample(number, labels=(name,))])
        return {tuple(mixer(**sample(labels=()))["labels"]) for _ in range(20)} == {(name,)}

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_a_call_leaves_no_sample_behind():
    """What was drawn is let go with the call."""
    drawn = sample()
    reference = Reference([drawn])
    mixer = mixing(reference)
    mixer(**sample(1))
    kept = weakref.ref(drawn["image"])
    reference.samples.clear()
    drawn.clear()
    assert kept() is None


def test_transforms_are_built_in_threads_without_sharing_ranks():
    mixers = []

    def build():
        mixers.append(pipeline(MixUp([sample()], p=1.0), seed=3, save_applied_params=True))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = [ratios(mixer) for mixer in mixers]
    assert runs[0] == runs[1] == runs[2]


# --- a pipeline inside a transform --------------------------------------------------------------------------------


def test_a_pipeline_is_run_from_one_seed():
    flips = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    made = {"image": sample()["image"]}
    runs = [[_backend.run_nested(flips, made, seed) for seed in range(12)] for _ in range(2)]
    assert same(*runs)
    assert len({run["image"].tobytes() for run in runs[0]}) == 4


def test_only_printing_is_told_by_the_stack():
    class Printed:
        def __repr__(self):
            return str(_backend.only_printing())

    assert repr(Printed()) == "True"
    assert not _backend.only_printing()


# --- label fields -------------------------------------------------------------------------------------------------


def test_a_look_at_label_fields_leaves_no_trace():
    processor = processor_of("pascal_voc")
    _backend.check_weights(_backend.known_labels(processor, "bboxes").get("mixup_weight"), "mixup_weight")
    assert "bboxes" not in processor.label_manager.metadata


@only_x
@pytest.mark.parametrize("names", [["nose"], []])
def test_keypoint_label_mappings_know_labels_of_the_reference_only(names):
    mappings = {"HorizontalFlip": {"parts": {"left ear": "right ear", "right ear": "left ear"}}}
    params = A.KeypointParams("xy", label_fields=["parts"], label_mapping=mappings)
    mixer = A.Compose([MixUp([parts(["left ear"])], p=1.0), A.HorizontalFlip(p=1.0)], keypoint_params=params)
    assert list(mixer(**parts(names))["parts"]) == [*names, "right ear"]


def parts(names):
    return {"image": sample()["image"], "keypoints": [[3.0, 4.0]] * len(names), "parts": names}


def test_printing_a_pipeline_still_asks_its_transforms_for_what_serialization_asks():
    """Where this fails, Albumentations no longer mixes the two: `only_printing` can go."""
    assert "self.to_dict_private()" in inspect.getsource(A.Compose.indented_repr)
    assert "to_dict_private()" in inspect.getsource(A.core.composition.BaseCompose.to_dict_private)
    assert "in-memory" in repr(mixing([sample()]))
    with pytest.raises(SerializationError):
        A.to_dict(mixing([sample()]))
