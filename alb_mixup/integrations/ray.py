"""Ray: `alb_mixup.generate` on a cluster, through Ray Data.

```python
generate(dataset, "s3://bucket/mixed", workers=64, address="auto", multiplier=10)
```

The written set is `alb_mixup.generate`'s, byte by byte, whatever the number of workers. They are actors, each of which
opens its images itself and writes its outputs itself; what travels is numbers one way and records, about as long as a
label file, the other. All machines must reach the images below the same path, the destination, and have the same
versions of this package, Albumentations and OpenCV: each actor compares its own with the plan in the destination.
"""

import contextlib
import os
import pickle
import secrets
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from alb_mixup._support.files import Check, check_of
from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.datasets import DetectionDataset
from alb_mixup.errors import AlbMixUpError, ArgumentError, InstallationError, OutputError, WorkerError
from alb_mixup.generation.destination import FINISHED, JOURNAL, PLAN, WORK, Destination, Folder
from alb_mixup.generation.journal import Journal, encode
from alb_mixup.generation.mixer import Writer, Written
from alb_mixup.generation.plan import Plan, read_plan, with_settings
from alb_mixup.generation.run import carry_out, check_workers
from alb_mixup.integrations._extras import needs

with needs("ray"):
    import pyarrow as pa
    import ray
    import ray.data
    from fsspec.core import url_to_fs

_BLOCK, _BLOCKS = 16, 10_000  # outputs that a task makes, as long as that makes no more tasks than the driver can hold
_DONE = f"{WORK}/done"
_PIECE, _IN_MEMORY = 2**20, 2**23


@with_settings
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

    An actor that dies is started again, and its task done again, until it succeeds: so Ray Data has it. Its outputs
    are the same, and are noted once.

    Args:
        dataset: What to mix. Its annotations are copied to each machine once, not to each actor.
        destination: A folder that all machines share, or a URL that fsspec knows, such as s3://bucket/mixed (s3fs must
            be installed; it reads endpoint and credentials as AWS's own tools do, AWS_ENDPOINT_URL and the like). At a
            URL, two runs at once are not noticed; they write the same.
        workers: Actors, of one CPU each; Ray waits until the cluster has room for them.
        address: Of the cluster, as for `ray.init`. None: the one that this process is connected to, else that of
            `RAY_ADDRESS`, else Ray is started on this machine for this call.
        progress: Show a bar, where tqdm is installed.
        settings: As `Plan` has them.

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


def _on_ray(plan: Plan, place: Destination, workers: int, missing: list[int]) -> Generator[Written, None, None]:
    """Make outputs in actors; what is done as it is done."""
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
            yield from map(pickle.loads, batch["written"])
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
        """What a `Writer` has done, pickled: an error too, which Ray would bring as text."""
        try:
            self._check()
            written = self._writer(batch["number"].tolist())
        except (AlbMixUpError, OSError) as error:
            written = Written([], error)
        return {"written": np.array([pickle.dumps(written)], object)}

    def _check(self) -> None:
        """Not in the constructor, whose errors Ray takes for a node's and tries again."""
        if self._checked:
            return
        text, described = self._place.read(PLAN), self._plan.describe()
        found = {} if text is None else read_plan(text) or {}
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
    if scheme in {"file", "local"}:
        return Folder(rest)
    return _Bucket(destination) if found else Folder(destination)


class _Bucket(Destination):
    """A place behind a URL, where files can be put, not appended to: records lie there in one file a batch."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            self._fs, self._root = url_to_fs(self._url)
        except ValueError as error:
            raise ArgumentError(
                f"destination must be a folder or a URL that fsspec knows, got {url!r} ({error}): take one such as "
                "s3://bucket/mixed"
            ) from error
        except ImportError as error:
            raise InstallationError(
                f'destination must have its fsspec package installed, got {url!r} and "{error}": pip install s3fs for '
                "s3://, gcsfs for gs://, adlfs for az://"
            ) from error

    def __str__(self) -> str:
        return self._url

    def read(self, path: str) -> bytes | None:
        with self._reached():
            try:
                content: bytes = self._fs.cat_file(f"{self._root}/{path}")
            except FileNotFoundError:
                return None
            return content

    def check(self, path: str) -> Check | None:
        content = self.read(path)
        return None if content is None else check_of([content])

    def is_free(self) -> bool:
        return not {path.removeprefix(f"{self._root}/").partition("/")[0] for path in self._files("")} - {WORK}

    def write(self, path: str, pieces: Iterable[bytes], *, synced: bool = True) -> Check:
        """Put a file there, which is on disk when that is over, whatever `synced` says."""
        target = f"{self._root}/{path}"
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled, self._reached():  # no name: nothing is left of it
            spooled.writelines(pieces)
            if not self._fs.async_impl:  # stores of objects have no folders, and would make buckets
                self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            length = spooled.tell()
            spooled.seek(0)
            if length <= _IN_MEMORY:
                self._fs.pipe_file(target, spooled.read())
            else:
                self._stream(target, iter(lambda: spooled.read(_PIECE), b""))
            spooled.seek(0)
            return check_of(iter(lambda: spooled.read(_PIECE), b""))

    def _stream(self, target: str, pieces: Iterable[bytes]) -> None:
        file = self._fs.open(target, "wb", autocommit=False)
        try:
            for piece in pieces:
                file.write(piece)
            file.close()
            file.commit()
        except BaseException:
            file.discard()
            raise

    def remove(self, path: str) -> None:
        with self._reached(), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{path}")

    def keep(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Put their records there, for the journal of a later run, which takes the latest of an output."""
        name = f"{time.time_ns():020d}-{records[0]['number']}-{secrets.token_hex(4)}.jsonl"
        self.write(f"{_DONE}/{name}", map(encode, records))

    def journal(self, count: int) -> Journal:
        """A copy on this machine of what lies there."""
        file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by the journal)
        for path in (JOURNAL, *(found.removeprefix(f"{self._root}/") for found in sorted(self._files(_DONE)))):
            content = self.read(path) or b""
            file.write(content if content.endswith(b"\n") or not content else content + b"\n")
        return Journal(file, count)

    def clear(self) -> None:
        """Remove the records of batches once the whole journal is there."""
        if self.read(FINISHED) is not None:
            for path in self._files(_DONE):
                self._fs.rm_file(path)

    def _files(self, path: str) -> list[str]:
        with self._reached():
            self._fs.invalidate_cache()  # others write there too
            try:
                found: list[str] = self._fs.find(f"{self._root}/{path}".rstrip("/"))
            except FileNotFoundError:
                return []
            return found

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what clients of a store raise into an `OSError`: no credentials, no such endpoint."""
        try:
            yield
        except (OSError, AlbMixUpError):
            raise
        except Exception as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
