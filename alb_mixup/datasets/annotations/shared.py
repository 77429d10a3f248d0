"""Flat arrays that a spawned worker maps into its memory instead of receiving a copy.

While a process is being spawned (multiprocessing's "spawn" and "forkserver", so DataLoader workers too), pickling an
object of flat arrays writes them to one temporary file and sends its path; every worker maps that file read-only, so
all of them share its pages. The file is removed when neither the object that wrote it nor a worker that was sent it is
left, at the latest when the process ends. One that is killed leaves it in the folder of temporary files, without the
lock that it held: the next process that writes such a file, or generates a set, removes it. A pickle made at any other
time may outlive the process, so it holds the arrays themselves.
"""

import contextlib
import mmap
import os
import stat
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import fields
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alb_mixup._support.locks import lock

_PREFIX, _SUFFIX = "alb_mixup-", ".arrays"
_ALIGNMENT = 64

# Worker to what it was sent: it may be slow to map the file, while its parent has let go of the object already.
_sent: "weakref.WeakKeyDictionary[Any, list[Any]]" = weakref.WeakKeyDictionary()


class _Place(NamedTuple):
    """Where in the file an array lies."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


class SharedArrays:
    """Base of frozen dataclasses (with `eq=False`) whose fields are arrays, None, or such dataclasses."""

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        worker = get_spawning_popen()
        if worker is None:
            return super().__reduce_ex__(protocol)
        try:
            spilled = self.__dict__.get("_spilled") or self._spill()
            _sent.setdefault(worker, []).append(self)
        except (OSError, TypeError):  # no room for temporary files, or a foreign kind of worker: a copy still works
            return super().__reduce_ex__(protocol)
        state = self.__getstate__()
        others = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
        return _attach, (type(self), *spilled, others)

    def _spill(self) -> tuple[str, dict[str, _Place]]:
        arrays = {name: value for name, value in self.__getstate__().items() if isinstance(value, np.ndarray)}
        remove_abandoned()
        descriptor, path = _locked_file()
        weakref.finalize(self, _remove, descriptor, path, os.getpid())
        places: dict[str, _Place] = {}
        with os.fdopen(os.dup(descriptor), "wb") as file:
            for name, array in arrays.items():
                file.write(b"\0" * (_ALIGNMENT - file.tell() % _ALIGNMENT))
                places[name] = _Place(array.dtype.str, array.shape, file.tell())
                file.write(np.ascontiguousarray(array).data)
        object.__setattr__(self, "_spilled", (path, places))
        return path, places


def _attach(
    cls: type[SharedArrays], path: str, places: Mapping[str, _Place], others: Mapping[str, Any]
) -> SharedArrays:
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    instance = cls.__new__(cls)
    arrays = {
        name: np.ndarray(place.shape, place.dtype, buffer=mapped, offset=place.offset) for name, place in places.items()
    }
    instance.__setstate__({**arrays, **others})
    return instance


def _locked_file() -> tuple[int, str]:
    while True:
        descriptor, path = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX)
        if lock(descriptor, wait=False) is not False and os.path.exists(
            path
        ):  # not taken for an abandoned one meanwhile
            return descriptor, path
        os.close(descriptor)


def remove_abandoned() -> None:
    """Remove the files of processes that were killed: those whose lock nobody holds. Windows keeps them."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # another user's, or just removed
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "r+b") as file:
                    if lock(file.fileno(), wait=False):
                        path.unlink()


def _remove(descriptor: int, path: str, owner: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
    if os.getpid() == owner:  # a forked child has inherited the object, but not the file
        with contextlib.suppress(OSError):  # Windows: a worker still has it mapped
            os.unlink(path)
