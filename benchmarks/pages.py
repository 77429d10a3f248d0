"""What fresh memory costs: a blend and a whole pipeline, by what the C library does with freed memory.

`python -m benchmarks.pages WORK HELD COUNT STATE [VOC]` is the process that is measured.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import cv2

from alb_mixup import MixUp
from alb_mixup._support.memory import keep_freed_memory
from benchmarks.harness import SIDE, table
from benchmarks.loading import filled_cache, real_dataset, training_pipeline
from benchmarks.ours import blend_case
from benchmarks.worker import KEPT

_GIVEN_BACK = {"MALLOC_TRIM_THRESHOLD_": str(2**16), "MALLOC_MMAP_THRESHOLD_": str(2**16)}  # what glibc reads
_STATES: dict[str, dict[str, str]] = {"as it is": {}, "memory kept": {}, "all memory given back": _GIVEN_BACK}
_REPEATS = 3


def pages(rounds: int, voc: str | None, **_: Any) -> str:
    """A blend, and the pipeline of an epoch, in each state."""
    blends = product(["blend"], [1, 16], _STATES)
    pipelines = product(["pipeline, no MixUp", "pipeline, CachedDataset"], [16], ["as it is", "memory kept"])
    measured: dict[tuple[str, int, str], list[list[float]]] = {case: [] for case in (*blends, *pipelines)}
    for _repeat in range(_REPEATS):
        for (work, held, state), results in measured.items():
            count = 8 * rounds if work == "blend" else 4 * rounds
            words = [work, str(held), str(count), state, *([voc] if voc else [])]
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.pages", *words]
            environment = {**os.environ, **_STATES[state]}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            results.append(json.loads(done.stdout))
    rows = []
    for (work, held, state), results in measured.items():
        ms, faults, peak = map(median, zip(*results, strict=True))
        rows.append([f"{work}, {held} held at once, {state}", ms, f"{faults:.0f}", f"{peak:.0f}"])
    variables = " ".join("=".join(pair) for pair in KEPT.items())
    return table(
        "Pages",
        f"`cv2.addWeighted` of {SIDE}×{SIDE}×3 uint8, and the pipeline of *Epoch*, in processes of their own whose "
        "results are held in batches and dropped together, as in a DataLoader's worker. Memory that glibc gives back "
        "to the system is mapped and cleared again, page by page, when it is wanted next; whether it does depends on "
        "what else a process has allocated. *Kept* is what `TransformedDataset` and `worker_init_fn` of "
        "`alb_mixup.integrations.torch`, Ultralytics' trainer of ours and the workers of `alb-mixup generate` do in "
        f"their processes (`alb_mixup/_memory.py`); for others, `{variables}` in the environment does the same. *Given "
        "back* forces the opposite, by 65536 for both. A pool of results in MixUp alone, whose arrays come back once "
        "nobody refers to them, was tried: 2 to 5 % of this pipeline's time, since most of its faults are other "
        "transforms', so it is left out.",
        ["", "ms", "page faults", "peak of the process, MB"],
        rows,
    )


def main(work: str, held: int, count: int, state: str, voc: str | None) -> None:
    """Be the process: print the milliseconds and page faults of one of `count`, and the process' peak in MB."""
    cv2.setNumThreads(1)
    if state == "memory kept":
        keep_freed_memory()
    case = _case(work, voc)
    results = [case() for _ in range(2 * held)]
    results.clear()
    faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.thread_time()
    for _ in range(count):
        results.append(case())
        if len(results) == held:
            results.clear()
    seconds, faults = time.thread_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    print(json.dumps([seconds / count * 1e3, faults / count, _peak_mb()]))


def _peak_mb() -> float:
    """Not `ru_maxrss`, which begins with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _case(work: str, voc: str | None) -> Callable[[], Any]:
    if work == "blend":
        return blend_case()
    dataset = real_dataset(voc)
    mixups = [MixUp(filled_cache(dataset, (SIDE, SIDE)), p=1.0)] if work.endswith("CachedDataset") else []
    pipeline, indices = training_pipeline(*mixups), iter(range(10**9))
    return lambda: pipeline(**dataset[next(indices) % len(dataset)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *(sys.argv[5:] or [None]))
