"""No two worker processes draw the same stream, and a seed repeats the run.

All processes are started from a fresh parent, for three reasons: Python 3.12 warns where a process with threads forks,
as pytest's may; the workers' places among their siblings, which their streams derive from, count from the parent's
start; and what is repeated must not depend on what ran before.
"""

import importlib.util
import json
import multiprocessing
import subprocess
import sys
from itertools import chain

import pytest

from alb_mixup import MixUp
from tests.support import ROOT
from tests.support.samples import IS_X, pipeline, sample

METHODS = [
    pytest.param("fork", marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")),
    "spawn",
]
WORKERS, CALLS = 2, 5

# --- runs in the fresh parent and its workers ---------------------------------------------------------------------


def two_mixups(seed):
    reference = [sample(index, labels=()) for index in range(8)]
    return pipeline(MixUp(reference, p=1.0), MixUp(reference, p=1.0), seed=seed, save_applied_params=True)


def draw(mixer):
    """Call a pipeline, return λ and the reference index of each of its MixUps."""
    mixer(**sample())
    records = [transform.get_applied_params() for transform in mixer.transforms]
    return [[record["ratio"], record["reference_index"]] for record in records]


def work(mixers, connection):
    connection.send([[draw(mixer) for _ in range(CALLS)] for mixer in mixers])


def processes_report(method):
    """Return what pipelines drew in each worker, and one of them in the parent before."""
    seeded, unseeded, used = two_mixups(3), two_mixups(None), two_mixups(4)
    in_parent = [draw(used) for _ in range(CALLS)]
    context, running = multiprocessing.get_context(method), []
    for _ in range(WORKERS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=([seeded, unseeded, used], sender))
        process.start()
        running.append((process, receiver))
    draws = [receiver.recv() for _, receiver in running]
    for process, _ in running:
        process.join()
    of_seeded, of_unseeded, of_used = zip(*draws, strict=True)
    return {"seeded": of_seeded, "unseeded": of_unseeded, "used": [in_parent, *of_used]}


class Draws:
    """A dataset for DataLoader whose items are the worker and what its pipelines drew."""

    def __init__(self, *mixers):
        self.mixers = mixers

    def __len__(self):
        return WORKERS * CALLS

    def __getitem__(self, index):
        from torch.utils.data import get_worker_info  # noqa: PLC0415

        return get_worker_info().id, [draw(mixer) for mixer in self.mixers]


def loader_report(method, *, persistent, epochs):
    """Return what pipelines drew in each worker and epoch of a DataLoader."""
    import torch  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415

    torch.manual_seed(5)
    data = Draws(two_mixups(3), two_mixups(None))
    settings = {"num_workers": WORKERS, "persistent_workers": persistent, "multiprocessing_context": method}
    loader, report = DataLoader(data, batch_size=1, collate_fn=list, **settings), {"seeded": [], "unseeded": []}
    for _ in range(epochs):
        items = [batch[0] for batch in loader]
        for i, runs in enumerate(report.values()):
            runs += [[drawn[i] for worker, drawn in items if worker == number] for number in range(WORKERS)]
    return report


# --- runs in pytest -----------------------------------------------------------------------------------------------


def report_of(expression):
    code = f"import json, tests.transforms.test_workers as t; print(json.dumps(t.{expression}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_all_differ(runs):
    """No λ, a float drawn from a continuum, comes twice: in no worker, epoch or transform."""
    assert [len(run) for run in runs] == [CALLS] * len(runs)
    ratios = [ratio for ratio, _ in chain.from_iterable(chain.from_iterable(runs))]
    assert len(ratios) == len(runs) * CALLS * 2
    assert len(set(ratios)) == len(ratios)
    streams = [tuple(drawn[i][1] for drawn in run) for run in runs for i in range(2)]
    assert len(set(streams)) > len(streams) / 2  # of 8 ** 5 possible


@pytest.mark.skipif(IS_X, reason="AlbumentationsX tells only the workers of PyTorch's DataLoader apart")
@pytest.mark.parametrize("method", METHODS)
def test_processes_of_multiprocessing(method):
    report, again = (report_of(f"processes_report({method!r})") for _ in range(2))
    assert_all_differ([run for runs in report.values() for run in runs])
    assert again["seeded"] == report["seeded"]
    assert again["used"] == report["used"]
    assert_all_differ(report["unseeded"] + again["unseeded"])


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_data_loader(method):
    report = report_of(f"loader_report({method!r}, persistent=True, epochs=2)")
    again = report_of(f"loader_report({method!r}, persistent=False, epochs={2 if method == 'fork' else 1})")
    for one in (report, again):
        assert_all_differ(one["seeded"] + one["unseeded"])  # between workers, and between epochs
    assert again["seeded"][:WORKERS] == report["seeded"][:WORKERS]  # of the first epoch, where all seeds are the same
