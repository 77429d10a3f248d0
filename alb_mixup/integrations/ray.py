"""Ray: `alb_mixup.generate` on a cluster, through Ray Data.

```python
generate(dataset, "s3://bucket/mixed", workers=64, address="auto", multiplier=10)
```

The written set is `alb_mixup.generate`'s, byte by byte, whatever the number of workers. They are actors, each of which
opens its images itself and writes its outputs itself; what travels is numbers one way and records, about as long as a
label file, the other. All machines must reach the images below the same path, the destination, and have the same
versions of this package, Albumentations and OpenCV: each actor compares its own with the plan in the destination.
"""

import json
import os
import pickle
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.datasets import DetectionDataset
from alb_mixup.errors import AlbMixUpError, InstallationError, OutputError, WorkerError
from alb_mixup.generation.destination import WORK, Destination, Folder
from alb_mixup.generation.journal import Journal
from alb_mixup.generation.mixer import Writer
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.run import PLAN, carry_out, check_workers

try:
    import pyarrow as pa
    import ray
    import ray.data
    from fsspec.core import url_to_fs
except ImportError as error:
    raise InstallationError(
        f'the Ray engine must have ray[data] and fsspec, got "{error}": pip install "alb-mixup[ray]"'
    ) from error

_BLOCK, _BLOCKS = 16, 10_000  # outputs that a task makes, as long as that makes no more tasks than the driver can hold
_DONE = f"{WORK}/done"


def generate(
    dataset: DetectionDataset,
    destination: str | os.PathLike[str],
    *,
    workers: int = 1,
    address: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> str:
    """`alb_mixup.generate` by actors of a Ray cluster: the same files, resumed in the same way.

    An actor that dies is started again, and its task done again, as often as it takes: so Ray Data has it. Its outputs
    are the same, and are noted once.

    Args:
        dataset: What to mix. Its annotations are copied to each machine once, not to each actor.
        destination: A folder that all machines share, or a URL that fsspec knows, such as s3://bucket/mixed (s3fs must
            be installed). At a URL, files are taken to be there that once were put there, and two runs at once are not
            noticed; they write the same.
        workers: Actors, of one CPU each; Ray waits until the cluster has room for them.
        address: Of the cluster, as for `ray.init`. None: the one that this process is connected to, else that of
            `RAY_ADDRESS`, else Ray is started on this machine for this call.
        progress: Show a bar, where tqdm is installed.
        settings: As for `alb_mixup.generate`: `output_format`, `multiplier`, `seed`, ...

    Returns:
        The destination.

    Raises:
        ArgumentError: An argument breaks its constraint.
        OutputError: `destination` holds something else, cannot be written, or is not shared by all machines.
        ImageReadError: An image cannot be read.
        WorkerError: Ray gave up, such as over a cluster that is gone.
    """
    plan = Plan(dataset, **settings)
    check_workers(workers)
    place = _place(os.fspath(destination))
    started = not ray.is_initialized()
    if started:
        _start(address, workers)
    try:
        carry_out(plan, place, partial(_on_ray, plan, place, workers), progress)
    finally:
        if started:
            ray.shutdown()
    return str(place)


def _start(address: str | None, workers: int) -> None:
    address = address or os.environ.get("RAY_ADDRESS", "local")
    ours = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    ray.init(address, **ours)


def _on_ray(plan: Plan, place: Destination, workers: int, missing: list[int]) -> Generator[dict[str, Any], None, None]:
    """Make outputs in actors; their records as they are done."""
    if not missing:
        return
    size = max(_BLOCK, -(-len(missing) // _BLOCKS))
    blocks = [pa.table({"number": missing[begin : begin + size]}) for begin in range(0, len(missing), size)]
    # Blocks that are there already, rather than ray.data.range: its tasks would wait for a CPU that the actors hold.
    records = ray.data.from_blocks(blocks).map_batches(
        _Actor,
        fn_constructor_args=(ray.put(plan), place),  # put, so that actors of a machine share the annotations
        batch_size=_BLOCK,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks))),
        num_cpus=1,
    )
    records.context.enable_progress_bars = False  # ours knows of what was done before
    try:
        for batch in records.iter_batches(batch_size=None, prefetch_batches=0):
            for row in map(pickle.loads, batch["row"]):
                if isinstance(row, Exception):
                    raise row
                yield row
    except ray.exceptions.RayError as error:
        raise WorkerError(
            f"workers must live until their work is done, got {type(error).__name__}: {error}; run it again: what is "
            "done stays done"
        ) from error


class _Actor:
    """Makes and writes batches of outputs."""

    def __init__(self, plan: Any, place: Destination) -> None:
        cv2.setNumThreads(1)
        keep_freed_memory()
        self._plan, self._place = ray.get(plan), place
        self._writer = Writer(self._plan, place)
        self._checked = False

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Pickled records; the last is an error where there is one, which Ray would bring as text."""
        rows: list[Any] = []
        try:
            self._check()
            for number in batch["number"]:
                rows.append(self._writer(int(number)))  # noqa: PERF401  (an error comes after what was done before it)
            self._place.keep(rows)
        except (AlbMixUpError, OSError) as error:
            rows.append(error)
        return {"row": np.array([pickle.dumps(row) for row in rows], object)}

    def _check(self) -> None:
        """Not in the constructor, whose errors Ray takes for a node's and tries again."""
        if self._checked:
            return
        text, described = self._place.read(PLAN), self._plan.describe()
        found = {} if text is None else json.loads(text)
        differing = [key for key in described if found.get(key) != described[key]]
        if differing:
            there = "is not there" if text is None else f"has another {', '.join(differing)}"
            raise OutputError(
                "destination must be one that all machines share, with the same versions on each, got "
                f"{self._place}, whose plan {there} as a worker sees it: take a shared folder or a URL such as "
                "s3://bucket/mixed, and install the same versions"
            )
        self._checked = True


def _place(destination: str) -> Destination:
    scheme, found, rest = destination.partition("://")
    if scheme == "file":
        return Folder(rest)
    return _Bucket(destination) if found else Folder(destination)


class _Bucket(Destination):
    """A place behind a URL, where files can be put, not appended to: records lie there in one file a batch."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._fs, self._root = url_to_fs(self._url)
        self._made: set[str] = set()

    def __str__(self) -> str:
        return self._url

    def read(self, path: str) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(f"{self._root}/{path}")
        except FileNotFoundError:
            return None
        return content

    def holds(self, path: str) -> bool:
        return bool(self._fs.exists(f"{self._root}/{path}"))

    def is_free(self) -> bool:
        try:
            names = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return True
        return not {name.rstrip("/").rpartition("/")[2] for name in names} - {WORK}

    def write(self, path: str, pieces: Iterable[bytes]) -> None:
        target = f"{self._root}/{path}"
        parent = target.rpartition("/")[0]
        if parent not in self._made:
            self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "file")
            with open(file, "wb") as opened:
                opened.writelines(pieces)
            self._fs.put_file(str(file), target)  # whole or not at all

    def journal(self, count: int) -> Journal:
        """A copy on this machine of what lies there."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "done.jsonl")
            with open(path, "wb") as file:
                for part in self._fs.glob(f"{self._root}/{_DONE}/*.jsonl"):
                    file.write(self._fs.cat_file(part))
            return Journal(path, count, is_whole=lambda _: True)

    def keep(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Put them there, for the journal of a later run."""
        lines = (json.dumps(record).encode() + b"\n" for record in records)
        self.write(f"{_DONE}/{records[0]['number']}.jsonl", lines)

    def clear(self) -> None:
        if self._fs.exists(f"{self._root}/{_DONE}"):
            self._fs.rm(f"{self._root}/{_DONE}", recursive=True)
