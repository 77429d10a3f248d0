import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from alb_mixup import generate
from alb_mixup.datasets import sample_dataset
from alb_mixup.datasets.annotations import shared
from alb_mixup.datasets.annotations.packed import PackedAnnotations, PackedStrings
from alb_mixup.datasets.annotations.shapes import PackedShapes, Shape
from alb_mixup.datasets.annotations.shared import remove_abandoned
from tests.support import ROOT

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


# What killed processes leave

SPILL = """
import multiprocessing, os, pickle, signal, sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from tests.datasets.annotations.test_shared import Worker, packed
worker = Worker()
multiprocessing.context.set_spawning_popen(worker)
arrays = packed()
pickle.dumps(arrays)
print("there", flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


@pytest.fixture
def spilled(temporary):
    """Start a process that writes such files, and lives, or is killed; return it."""
    started = []

    def spill(fate):
        command = [sys.executable, "-c", SPILL, str(temporary), fate]
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert started[-1].stdout.readline() == b"there\n"
        return started[-1]

    yield spill
    for process in started:
        process.communicate(timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps them: it has no such locks")
def test_what_a_killed_process_left_goes_and_what_a_live_one_has_stays(spilled, temporary):
    living = spilled("lives")
    of_the_living = set(temporary.iterdir())
    spilled("killed").wait()
    assert len(of_the_living) == 2
    assert len(list(temporary.iterdir())) == 4
    remove_abandoned()
    assert set(temporary.iterdir()) == of_the_living
    living.stdin.close()
    living.wait(timeout=60)
    living.stdin = None
    assert list(temporary.iterdir()) == []  # it has removed its own


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps them: it has no such locks")
@pytest.mark.parametrize("by", ["a process that spills", "generate"])
def test_the_next_removes_what_a_killed_one_left(by, spilled, temporary, request):
    spilled("killed").wait()
    left = set(temporary.iterdir())
    if by == "generate":
        generate(sample_dataset(), temporary / "mixed", progress=False)
    else:
        request.getfixturevalue("spawning")
        one = packed(3)
        pickle.dumps(one)
    assert len(left) == 2
    assert not left & set(temporary.iterdir())


def test_files_of_this_process_and_whatever_else_has_such_a_name_stay(spawning, temporary):
    one = packed(3)
    pickle.dumps(one)
    (temporary / "alb_mixup-a.txt").touch()
    (temporary / "photo.arrays").touch()
    (temporary / "alb_mixup-folder.arrays").mkdir()
    (temporary / "alb_mixup-link.arrays").symlink_to("photo.arrays")
    before = sorted(temporary.iterdir())
    remove_abandoned()
    assert sorted(temporary.iterdir()) == before
    assert len(before) == 6


def test_where_there_are_no_locks_nothing_is_taken_for_abandoned(temporary, monkeypatch):
    (temporary / "alb_mixup-a.arrays").touch()
    monkeypatch.setattr(shared, "lock", lambda *_, **__: None)
    remove_abandoned()
    assert len(list(temporary.iterdir())) == 1
