import copy
import gc
import multiprocessing
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest

from alb_mixup.datasets import sample_dataset
from alb_mixup.datasets.annotations.packed import PackedAnnotations, PackedStrings
from alb_mixup.datasets.annotations.shapes import PackedShapes, Shape

spawn = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Worker:
    """Stands for a worker that is being spawned."""


@pytest.fixture
def spawning():
    """While a worker is being spawned, and alive; take it out of the list to end it."""
    workers = [Worker()]
    multiprocessing.context.set_spawning_popen(workers[0])
    yield workers
    multiprocessing.context.set_spawning_popen(None)


def packed(count=1000):
    return PackedAnnotations(
        files=PackedStrings.pack([f"ü{number}.jpg" for number in range(count)]),
        sizes=np.full((count, 2), 30, np.int32),
        offsets=np.arange(count + 1),
        boxes=np.random.default_rng(0).random((count, 4), np.float32),
        class_ids=np.zeros(count, np.int32),
        weights=np.ones(count, np.float32),
    )


def same(one, other):
    assert type(one) is type(other)
    for mine, theirs in zip(one.__getstate__().values(), other.__getstate__().values(), strict=True):
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        else:
            same(mine, theirs)


def test_a_worker_maps_one_file(spawning, temporary):
    one = packed()
    sent = [pickle.dumps(one) for _ in range(4)]
    assert max(map(len, sent)) < 2000
    assert len(list(temporary.iterdir())) == 2  # its own arrays, and its file names
    other = pickle.loads(sent[0])
    same(one, other)
    assert not other.boxes.flags.writeable
    assert other.files[7] == "ü7.jpg"


def test_files_go_when_their_owner_and_the_worker_have_gone(spawning, temporary):
    one = packed()
    sent = pickle.dumps(one)
    expected = one.boxes.copy()
    del one
    gc.collect()
    other = pickle.loads(sent)  # a slow worker, whose parent no longer needs the dataset
    spawning.clear()
    multiprocessing.context.set_spawning_popen(None)
    gc.collect()
    assert list(temporary.iterdir()) == []
    np.testing.assert_array_equal(other.boxes, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_the_files_of_its_parent(spawning, temporary):
    one = packed()
    pickle.dumps(one)
    child = os.fork()
    if child == 0:
        del one
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(temporary.iterdir())) == 2


def test_no_room_for_files(spawning, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    same(packed(), pickle.loads(pickle.dumps(packed())))


def test_a_worker_of_a_foreign_kind(spawning):
    multiprocessing.context.set_spawning_popen("no weak reference to a str")
    same(packed(), pickle.loads(pickle.dumps(packed())))


def test_empty_arrays(spawning):
    same(packed(0), pickle.loads(pickle.dumps(packed(0))))
    shapes = PackedShapes.pack([Shape(), Shape([np.eye(3, 2)])])
    same(shapes, pickle.loads(pickle.dumps(shapes)))


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_other_pickles_and_copies_need_no_file(temporary, clone):
    one = packed()
    same(one, clone(one))
    assert list(temporary.iterdir()) == []


def read(dataset, queue):
    annotations = dataset._annotations
    queue.put(
        (isinstance(annotations.boxes.base, np.ndarray) or annotations.boxes.flags.owndata, dataset.annotations(3))
    )


def test_a_spawned_worker_reads_what_its_parent_does(temporary):
    dataset = sample_dataset().annotated()
    queue = spawn.Queue()
    worker = spawn.Process(target=read, args=(dataset, queue))
    worker.start()
    owns, found = queue.get(timeout=60)
    worker.join()
    worker.close()
    assert not owns
    np.testing.assert_array_equal(found["bboxes"], dataset.annotations(3)["bboxes"])
    assert found["labels"] == dataset.annotations(3)["labels"]
    del dataset
    gc.collect()
    assert not [path for path in Path(temporary).iterdir() if path.suffix == ".arrays"]
