"""What is done of a long work, on disk, so that it goes on after a stop."""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alb_mixup.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: there, two runs at once into one folder are not noticed
    fcntl = None  # type: ignore[assignment]

_MISSING = -1


class Journal:
    """Records of finished outputs, one JSON line each, in the order in which they were finished.

    A line that a stop has cut is left out, and written over. Only where each begins is held in memory.

    Args:
        path: The file; made where there is none.
        count: How many outputs there will be; a record's `number` is below.
        is_whole: Tells whether a recorded output is still there.

    Raises:
        OutputError: Another process works on it.
    """

    def __init__(self, path: Path, count: int, is_whole: Callable[[Mapping[str, Any]], bool]) -> None:
        path.touch()
        self._file = open(path, "r+b")  # noqa: SIM115  (closed by `close`)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise OutputError(
                f"destination must be written by one process at a time, got {path.parent.parent.as_posix()}, which "
                "another is writing: wait for it, or take another folder"
            ) from error
        self._begins = array("q", [_MISSING]) * count
        self._end = self._read(is_whole)

    def _read(self, is_whole: Callable[[Mapping[str, Any]], bool]) -> int:
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            record = json.loads(line)
            if is_whole(record):
                self._begins[record["number"]] = end
            end += len(line)
        self._file.truncate(end)
        return end

    def missing(self) -> list[int]:
        """The numbers of the outputs that have no record, ascending."""
        return [number for number, begin in enumerate(self._begins) if begin == _MISSING]

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record; it is on its way to the disk when this returns."""
        line = json.dumps(record).encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._file.flush()
        self._begins[record["number"]] = self._end
        self._end += len(line)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All records, by number."""
        for begin in self._begins:
            self._file.seek(begin)
            yield json.loads(self._file.readline())

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
