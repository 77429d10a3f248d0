"""What it costs that `generate` survives a power cut."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from alb_mixup import generate, sample_dataset
from alb_mixup.generation.destination import Folder
from benchmarks.harness import interleave, table

_MULTIPLIER = 20
_write = Folder.write


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _without_syncing() -> Iterator[None]:
    with mock.patch.object(os, "fsync"):
        yield


@contextmanager
def _each_file_synced() -> Iterator[None]:
    def write(folder: Folder, path: str, pieces: Any, *, synced: bool = True) -> Any:
        return _write(folder, path, pieces, synced=True)

    with mock.patch.object(Folder, "write", write), mock.patch.object(Folder, "keep"):
        yield


_WAYS: dict[str, Callable[[], Any]] = {
    "as it is: files synced in batches, before their records": _as_it_is,
    "nothing synced": _without_syncing,
    "each file synced when it is written": _each_file_synced,
}
_AGAIN = "the same call on the finished set, which it verifies"


def written(rounds: int, **_: Any) -> str:
    """Images a second that one process writes, by what is synced."""
    dataset, base = sample_dataset(), Path(tempfile.mkdtemp())
    count = _MULTIPLIER * len(dataset)

    def made(way: Callable[[], Any]) -> Callable[[], Any]:
        shutil.rmtree(base / "set", ignore_errors=True)
        return lambda: run(way, base / "set")

    def run(way: Callable[[], Any], root: Path) -> None:
        with way():
            generate(dataset, root, output_format="yolo", multiplier=_MULTIPLIER, progress=False)

    try:
        run(_as_it_is, base / "finished")
        cases = {name: lambda way=way: made(way) for name, way in _WAYS.items()}
        cases[_AGAIN] = lambda: run(_as_it_is, base / "finished")
        t = interleave(cases, max(1, rounds // 4), 1, time.perf_counter)
    finally:
        shutil.rmtree(base)
    rows = [[name, f"{1e3 * count / t.ms(name):.0f}", t.ratio(name, "nothing synced")] for name in cases]
    return table(
        "Writing",
        f"`generate` by one process: {count} mixes of the embedded sample (640×480 JPEG in and out) with their YOLO "
        "label files, by the clock, since syncing is waiting. Target: at most 1.05 times *nothing synced*.",
        ["", "images/s", "times nothing synced"],
        rows,
    )
