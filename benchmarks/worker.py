"""A case in a process of its own, with an allocator and an environment of its own, that takes turns with others.

`python -m benchmarks.worker CASE BOXES HELD` is the process: it says which version runs, then answers each number on
its input with the seconds and the page faults of so many calls. Its results are dropped in batches of HELD.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness import Timings, measure, turns
from benchmarks.peers import PEERS, one_thread

KEPT = {"MALLOC_TRIM_THRESHOLD_": str(2**26), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
"""What has glibc keep freed memory in a process, as `alb_mixup/_memory.py` does."""

_CALLS = 5  # in a turn
_ROOT = Path(__file__).parent.parent


class Worker:
    """The other end of such a process.

    Args:
        python: The interpreter to run it.
        case: Name of the case.
        n_boxes: Boxes in each image.
        held: How many results are held at once.
        variables: Of its environment, besides this process'.

    Attributes:
        version: Of the package that runs, "" for ours.
    """

    def __init__(self, python: str, case: str, n_boxes: int, held: int, variables: Mapping[str, str]) -> None:
        command = [python, "-W", "ignore", "-m", "benchmarks.worker", case, str(n_boxes), str(held)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "MXNET_CPU_WORKER_NTHREADS": "1", **variables}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.version = self._answer()

    def turn(self) -> tuple[float, float]:
        """Run some calls, and return the median seconds and page faults of one."""
        self._process.stdin.write(f"{_CALLS}\n")
        self._process.stdin.flush()
        seconds, faults = self._answer()
        return median(seconds), median(faults)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended: {self._process.wait()}")
        return json.loads(line)


def take_turns(workers: Mapping[str, Worker], rounds: int, warm_ups: int = 5) -> tuple[Timings, dict[str, float]]:
    """Give every worker one turn a round, in an order drawn for each.

    Returns:
        Seconds by case, and the median of its page faults.
    """
    timings = Timings({name: [] for name in workers})
    faults: dict[str, list[float]] = {name: [] for name in workers}
    for name, counts in turns(workers, rounds, warm_ups):
        seconds, faulted = workers[name].turn()
        if counts:
            timings[name].append(seconds)
            faults[name].append(faulted)
    return timings, {name: median(counts) for name, counts in faults.items()}


def main(name: str, n_boxes: int, held: int) -> None:
    """Be the process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the packages print
    np.random.seed(0)  # noqa: NPY002  (which theirs draw from)
    if name in PEERS:
        version, case = metadata.version(PEERS[name].package), PEERS[name].make(n_boxes)
    else:
        from benchmarks.ours import OURS  # which most of the peers' environments cannot import

        version, case = "", OURS[name](n_boxes)
    one_thread()
    print(json.dumps(version), file=answers, flush=True)
    results: list[Any] = []
    for line in sys.stdin:
        measured = []
        for _ in range(int(line)):
            elapsed, result = measure(case, time.process_time, _page_faults)
            measured.append(elapsed)
            results.append(result)
            del result
            if len(results) == held:
                results.clear()
        print(json.dumps(list(zip(*measured, strict=True))), file=answers, flush=True)


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
