"""Interleaved timing, samples to time with, and tables.

All cases of a table take turns in one process, so that what the machine does meanwhile, and the state of the
allocator, hits all of them alike. Times are those that the processor spent in this thread, so that waiting for a busy
machine does not count (an epoch's are the clock's: others do its work); ratios are medians of those within a round.
"""

import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Case = Callable[[], Any]
"""What is timed; where it returns a function, that is timed instead, and the making of it is not."""

SIDE = 640
"""Height and width of the images where a table does not say otherwise."""

_PACKAGES = (
    "albumentations", "albumentationsx", "albucore", "numpy", "opencv-python-headless", "opencv-python", "torch",
    "torchvision", "kornia", "ultralytics",
)  # fmt: skip


class Timings(dict[str, list[float]]):
    """Seconds of every round by case, in the order of the rounds."""

    def ms(self, case: str) -> float:
        """Median milliseconds of a case."""
        return median(self[case]) * 1e3

    def ratio(self, case: str, base: str, less: str | None = None) -> float:
        """Median over the rounds of `(case - less) / base`."""
        lesser = self[less] if less else [0.0] * len(self[case])
        return median((a - c) / b for a, b, c in zip(self[case], self[base], lesser, strict=True))


def interleave(
    cases: Mapping[str, Case],
    rounds: int,
    warm_ups: int = 5,
    clock: Callable[[], float] = time.thread_time,
) -> Timings:
    """Time every case once a round, in an order drawn for each: what ran before a case decides what its caches hold.

    Args:
        cases: What to time by name.
        rounds: How many rounds count.
        warm_ups: How many go before them.
        clock: Seconds; by default those of this thread's work.
    """
    timings = Timings({name: [] for name in cases})
    for name, counts in turns(cases, rounds, warm_ups):
        (elapsed,), result = measure(cases[name], clock)
        del result  # before the next case allocates
        if counts:
            timings[name].append(elapsed)
    return timings


def turns(names: Iterable[str], rounds: int, warm_ups: int) -> Iterator[tuple[str, bool]]:
    """Give every name once a round, in an order drawn for each, and whether the round counts."""
    order, given = random.Random(0), list(names)
    for turn in range(-warm_ups, rounds):
        for name in order.sample(given, len(given)):
            yield name, turn >= 0


def measure(case: Case, *clocks: Callable[[], float]) -> tuple[list[float], Any]:
    """Call a case once; return what each clock advanced by, and the result."""
    start = [clock() for clock in clocks]
    result = case()
    if callable(result):
        start = [clock() for clock in clocks]
        result = result()
    return [clock() - begin for clock, begin in zip(clocks, start, strict=True)], result


def table(title: str, about: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return one section of the results, Markdown."""
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    rule = "| --- |" + " --: |" * (len(header) - 1)
    return "\n".join([f"## {title}", "", about, "", "| " + " | ".join(header) + " |", rule, *lines, ""])


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def machine() -> str:
    """Return the processor, the versions and how busy the machine is, Markdown."""
    installed = {found.name.lower(): found.version for found in metadata.distributions()}
    versions = [f"{name} {installed[name]}" for name in _PACKAGES if name in installed]
    load = f"; load {os.getloadavg()[0]:.1f} when the run began" if hasattr(os, "getloadavg") else ""
    return (
        f"{_processor()}, {os.cpu_count()} cores{load}; Python {platform.python_version()} on "
        f"{platform.system()}; {', '.join(versions)}. OpenCV and PyTorch run one thread unless a table says otherwise."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model na")]
        if named:
            return named[0]
    return platform.processor() or sys.platform


def sample(n_boxes: int, side: int = SIDE, seed: int = 0) -> dict[str, Any]:
    """Return one labelled image of noise: pixels do not change what anything here costs, only their number does."""
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 0.75 * side, (n_boxes, 2))
    boxes = np.hstack([corners, corners + generator.uniform(0.05, 0.2, (n_boxes, 2)) * side])
    return {
        "image": generator.integers(0, 256, (side, side, 3), np.uint8),
        "bboxes": boxes.astype(np.float32),
        "labels": [f"class {i % 20}" for i in range(n_boxes)],
        "mixup_weight": np.ones(n_boxes, np.float32),
    }
