"""A file layer that knows what a power cut would lose, as SQLite's tests have it.

What was written and not synced may be there, or be lost, cut short or full of zeros; names that were made, moved or
removed in a folder that was not synced may be as they are or as they were, each for itself.
"""

import contextlib
import itertools
import os
import random
import threading
from pathlib import Path

WAYS = ("lost", "names alone", "zeros", "mixed")
_CHANGES = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir")


class Disk:
    """Watches a folder while `watched` lasts, and calls `at_cut(disk)` wherever the power may go.

    Args:
        base: The folder; what is in it now is on disk.
        at_cut: Called before and after each call that syncs or changes names; may call `after_cut`.
    """

    def __init__(self, base, at_cut):
        self.base, self.at_cut = Path(base), at_cut
        self.cuts = 0
        self._new_ids = itertools.count()
        self._ids = {}  # inode: id; inodes are used again, ids are not
        self._synced = {}  # id: bytes of a file, names and ids of a folder
        self._folders = set()  # ids
        self._lock = threading.RLock()
        self._real = {name: getattr(os, name) for name in (*_CHANGES, "fsync")}
        for found in self._scan().values():
            self._synced.update(found)

    def _id(self, path):
        return self._ids.setdefault(os.lstat(path).st_ino, next(self._new_ids))

    def _scan(self):
        """All that is there, by path: its id and what it holds."""
        found = {}

        def visit(path):
            if path.is_dir():
                names = sorted(os.listdir(path))
                self._folders.add(self._id(path))
                found[path] = [(self._id(path), {name: self._id(path / name) for name in names})]
                for name in names:
                    visit(path / name)
            else:
                found[path] = [(self._id(path), path.read_bytes())]

        visit(self.base)
        return found

    @contextlib.contextmanager
    def watched(self):
        """Take the place of the system's calls, for what lies in the folder."""
        for name in _CHANGES:
            setattr(os, name, self._changing(name))
        os.fsync = self._fsync
        try:
            yield self
        finally:
            for name, call in self._real.items():
                setattr(os, name, call)

    def _is_ours(self, path):
        return Path(os.path.abspath(path)).is_relative_to(self.base)

    def _changing(self, name):
        def call(path, *arguments, **keywords):
            if not isinstance(path, str | os.PathLike) or keywords.get("dir_fd") is not None or not self._is_ours(path):
                return self._real[name](path, *arguments, **keywords)
            with self._lock:
                self._cut()
                gone = arguments[0] if name in {"replace", "rename"} else path
                inode = os.lstat(gone).st_ino if os.path.lexists(gone) else None
                result = self._real[name](path, *arguments, **keywords)
                self._ids.pop(inode, None)
                self._cut()
                return result

        return call

    def _fsync(self, descriptor):
        try:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            path = Path("/")
        if not self._is_ours(path):
            return  # nothing is really lost here
        with self._lock:
            self._cut()
            [(id_, content)] = self._scan()[path]
            self._synced[id_] = content
            self._cut()

    def _cut(self):
        self.cuts += 1
        self.at_cut(self)

    def after_cut(self, target, way, seed=0):
        """Write to `target` what the folder may hold after the power went now.

        Args:
            target: A folder, made by this.
            way: One of `WAYS`. "lost": nothing that was not synced is there. "names alone": all names are as they are,
                contents are lost. "zeros": likewise, with zeros in their place. "mixed": each name and content for
                itself, by chance.
            seed: What chance follows from.
        """
        chance = random.Random(seed)
        now = {}
        for entries in self._scan().values():
            now.update(dict(entries))

        def content_of(id_):
            current, synced = now.get(id_), self._synced.get(id_)
            if current is None or current == synced:
                return synced or b""
            before = synced or b""
            cut = current[: chance.randrange(len(current) + 1)]
            zeros = before[: len(current)].ljust(len(current), b"\0")
            if way in {"lost", "names alone"}:
                return before
            return zeros if way == "zeros" else chance.choice([before, current, cut, zeros])

        def names_of(id_):
            current, synced = now.get(id_, {}), self._synced.get(id_, {})
            if way == "lost":
                return synced
            if way != "mixed":
                return current
            chosen = {name: chance.choice([current, synced]).get(name) for name in {**current, **synced}}
            return {name: found for name, found in chosen.items() if found is not None}

        def write(path, id_):
            if id_ in self._folders:
                path.mkdir()
                for name, found in names_of(id_).items():
                    write(path / name, found)
            else:
                path.write_bytes(content_of(id_))

        write(Path(target), self._id(self.base))
