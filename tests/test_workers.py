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
from pathlib import Path

import pytest

from alb_mixup import MixUp
from tests.samples import IS_X, pipeline, sample

ROOT = Path(__file__).parent.parent
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


def work(mixer, connection):
    connection.send([draw(mixer) for _ in range(CALLS)])


def run_processes(method, mixer):
    """Start the workers; return each one's draws."""
    context, running = multiprocessing.get_context(method), []
    for _ in range(WORKERS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(mixer, sender))
        process.start()
        running.append((process, receiver))
    draws = [receiver.recv() for _, receiver in running]
    for process, _ in running:
        process.join()
    return draws


class Draws:
    """A dataset for DataLoader whose items are the worker and what its pipeline drew."""

    def __init__(self, mixer):
        self.mixer = mixer

    def __len__(self):
        return WORKERS * CALLS

    def __getitem__(self, index):
        from torch.utils.data import get_worker_info  # noqa: PLC0415

        return get_worker_info().id, draw(self.mixer)


def run_loader(method, seed, *, persistent, epochs=2):
    """Go through a DataLoader; return the draws of each worker in each epoch."""
    import torch  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415

    torch.manual_seed(5)
    settings = {"num_workers": WORKERS, "persistent_workers": persistent, "multiprocessing_context": method}
    loader, runs = DataLoader(Draws(two_mixups(seed)), batch_size=1, collate_fn=list, **settings), []
    for _ in range(epochs):
        items = [batch[0] for batch in loader]
        runs += [[drawn for worker, drawn in items if worker == i] for i in range(WORKERS)]
    return runs


def processes_report(method):
    used = two_mixups(3)
    in_parent = [draw(used) for _ in range(CALLS)]
    return {
        "seeded": run_processes(method, two_mixups(3)),
        "unseeded": run_processes(method, two_mixups(None)),
        "used": [in_parent, *run_processes(method, used)],
    }


def loader_report(method):
    return {
        "persistent": run_loader(method, 3, persistent=True),
        "new processes": run_loader(method, 3, persistent=False),
        "unseeded": run_loader(method, None, persistent=False, epochs=1),
    }


# --- runs in pytest -----------------------------------------------------------------------------------------------


def report_of(function, method):
    code = f"import json, tests.test_workers as t; print(json.dumps(t.{function.__name__}({method!r})))"
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
    report = report_of(processes_report, method)
    for name in ("seeded", "unseeded", "used"):
        assert_all_differ(report[name])
    assert_all_differ(report["seeded"] + report["unseeded"])
    again = report_of(processes_report, method)
    assert again["seeded"] == report["seeded"]
    assert again["used"] == report["used"]
    assert again["unseeded"] != report["unseeded"]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_data_loader(method):
    report = report_of(loader_report, method)
    for runs in report.values():
        assert_all_differ(runs)  # between workers and between epochs
    first_epochs = [report[name][:WORKERS] for name in ("persistent", "new processes")]
    assert first_epochs[0] == first_epochs[1]  # the same seeds, so the same run
    assert_all_differ(report["persistent"] + report["unseeded"])
