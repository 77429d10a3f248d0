"""Whether a set on disk is still what was written."""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from alb_mixup._support.progress import progress_bar
from alb_mixup.generation.destination import FINISHED, JOURNAL, PLAN, WORK, Destination, Folder
from alb_mixup.generation.journal import Journal, decode, decode_output
from alb_mixup.generation.mixer import check_of_source
from alb_mixup.generation.plan import read_plan

_THREADS, _BATCH = 8, 512


def verify(folder: str | os.PathLike[str]) -> list[str]:
    """Read a set that `generate` has written, and compare each of its files with what was noted of it.

    Nothing is written. The same call of `generate` that made the set makes anew what is damaged.

    Args:
        folder: The set's folder.

    Returns:
        What is wrong, in plain words, one entry a file: "images/mixup_000003.jpg is missing". Empty where all is as it
        was written, and where `folder` is not a set of `generate`'s.

    Raises:
        OutputError: The folder holds links in place of folders.

    Examples:
        >>> from alb_mixup.generation.verify import verify
        >>> verify("not a mixed set")
        []
    """
    place = Folder(folder)
    text = place.read(PLAN)
    if text is None:
        return [f"{PLAN} is missing"] if (place.root / WORK).exists() else []
    if read_plan(text) is None:
        return [f"{PLAN} cannot be read"]
    finished = finished_files(place)
    if finished is None:
        return ["it is not finished: the same call goes on from what is there"]
    count, checks = finished
    faults = list(_index_faults(place, checks))
    if not any(fault.startswith(JOURNAL) for fault in faults):
        with open(place.root / JOURNAL, "rb") as lines:
            records = (decode_output(line, count) for line in lines)
            found = _in_threads(partial(fault_of, place), (record for record in records if record is not None))
            faults += [fault for _, fault in found if fault is not None]
    return faults


def finished_files(destination: Destination) -> tuple[int, dict[str, list[int]]] | None:
    """Return of a finished set how many outputs it has, and length and checksum of each file about the whole set.

    None where the set is not finished, or what was noted of its end is damaged.
    """
    text = destination.read(FINISHED)
    record = None if text is None else decode(text)
    if record is None or type(record.get("outputs")) is not int or not isinstance(record.get("files"), dict):
        return None
    return record["outputs"], record["files"]


def is_finished(destination: Destination) -> bool:
    """Tell whether the files about the whole set are those that were written when it was finished."""
    finished = finished_files(destination)
    return finished is not None and not any(_index_faults(destination, finished[1]))


def damaged(destination: Destination, journal: Journal, root: Path, shown: bool) -> list[int]:
    """Return the numbers of the outputs that are not what the journal says, or whose source images have changed.

    Args:
        destination: Where they are.
        journal: What is noted of them.
        root: Where the source images are.
        shown: Whether to show a progress bar.
    """
    total = sum(1 for _ in journal.lines())
    sources: dict[str, list[int] | None] = {}

    def fault(record: Mapping[str, Any]) -> str | None:
        return fault_of(destination, record) or _source_fault(root, record, sources)

    found = _in_threads(fault, journal)
    if total:
        found = progress_bar(found, "checking", total=total, shown=shown)
    return [record["number"] for record, text in found if text is not None]


def fault_of(destination: Destination, record: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an output's files, in plain words; None where they are as they were written."""
    try:
        for path, check in zip(record["files"], record["checks"], strict=True):
            text = _fault(destination, path, check)
            if text is not None:
                return text
    except (KeyError, TypeError, ValueError):
        return f"{JOURNAL} says nothing of output {record.get('number')}"
    return None


def _index_faults(destination: Destination, checks: Mapping[str, list[int]]) -> Iterator[str]:
    for path, check in checks.items():
        text = _fault(destination, path, check)
        if text is not None:
            yield text


def _fault(destination: Destination, path: str, check: list[int]) -> str | None:
    found = destination.check(path)
    if found is None:
        return f"{path} is missing"
    return None if list(found) == check else f"{path} is not what was written"


def _source_fault(root: Path, record: Mapping[str, Any], known: dict[str, list[int] | None]) -> str | None:
    try:
        for name, check in record["sources"].items():
            if name not in known:
                known[name] = check_of_source(root, name)
            if known[name] != check:
                return f"{name} has changed"
    except (KeyError, TypeError, AttributeError):
        return f"{JOURNAL} says nothing of the sources of output {record.get('number')}"
    return None


def _in_threads(check: Any, records: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Check records, many at a time: most of it is waiting for files."""
    waiting = iter(records)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(waiting, _BATCH)):
            yield from zip(batch, pool.map(check, batch), strict=True)
