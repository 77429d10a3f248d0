"""What is done of a long work, on disk, so that it goes on after a stop."""

import json
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

_MISSING = -1


def encode(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of JSON that ends in its own checksum."""
    text = json.dumps(record)
    return f'{text[:-1]}, "crc32": {zlib.crc32(text.encode())}}}\n'.encode()


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None where it is not what `encode` has made, in every byte."""
    try:
        record = json.loads(line)
        del record["crc32"]
        return record if encode(record) == line else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def decode_output(line: bytes, count: int) -> dict[str, Any] | None:
    """Return the record of one of `count` outputs; None where the line is something else."""
    record = decode(line)
    number = None if record is None else record.get("number")
    return record if type(number) is int and 0 <= number < count else None


class Journal:
    """Records of finished outputs, one JSON line each, in the order in which they were finished.

    A line that is not a record (cut by a stop, damaged) is passed over. Only where each begins is held in memory.

    Args:
        file: Open for reading and writing; closed by `close`.
        count: How many outputs there will be; a record's `number` is below.

    Raises:
        OSError: It cannot be read.
    """

    def __init__(self, file: BinaryIO, count: int) -> None:
        self._file = file
        self._begins = array("q", [_MISSING]) * count
        self._end = 0
        file.seek(0)
        for line in file:
            if line.endswith(b"\n"):
                record = decode_output(line, count)
                if record is not None:
                    self._begins[record["number"]] = self._end
                self._end += len(line)
        if file.seek(0, os.SEEK_END) > self._end:
            file.truncate(self._end)

    def missing(self) -> list[int]:
        """The numbers of the outputs that have no record, ascending."""
        return [number for number, begin in enumerate(self._begins) if begin == _MISSING]

    def forget(self, numbers: Iterable[int]) -> None:
        """Take outputs for missing, until they are added again."""
        for number in numbers:
            self._begins[number] = _MISSING

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records; they are on disk when this returns.

        Raises:
            OSError: They cannot be written.
        """
        begins, lines, end = {}, [], self._end
        for record in records:
            begins[record["number"]] = end
            lines.append(encode(record))
            end += len(lines[-1])
        self._file.seek(self._end)
        self._file.writelines(lines)
        self._file.flush()
        os.fsync(self._file.fileno())
        for number, begin in begins.items():
            self._begins[number] = begin
        self._end = end

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All records, by number."""
        for line in self.lines():
            record = json.loads(line)
            del record["crc32"]
            yield record

    def lines(self) -> Iterator[bytes]:
        """The lines of all records, by number: the whole journal as it is left when all is done."""
        for begin in self._begins:
            if begin != _MISSING:
                self._file.seek(begin)
                yield self._file.readline()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
