"""Whether the files that a cache was made of are still the same: names, sizes and times first, then what they hold."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from alb_mixup._support.files import check_of_file
from alb_mixup.datasets.base import DetectionDataset


class Source(NamedTuple):
    """The file of an image, as it was when the image was read.

    Attributes:
        length: In bytes; -1 where there was none.
        mtime_ns: Time of modification.
        crc32: Of its contents.
    """

    length: int
    mtime_ns: int
    crc32: int

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Look at a file."""
        try:
            mtime_ns = path.stat().st_mtime_ns
        except OSError:
            return cls(-1, -1, 0)
        length, crc32 = check_of_file(path, link=True) or (-1, 0)
        return cls(length, mtime_ns, crc32)

    def again(self, path: Path) -> "Source | None":
        """Look at the file again, and read it only where its time is another; None where it holds something else."""
        try:
            found = path.stat()
        except OSError:
            return self if self.length == -1 else None
        if found.st_size != self.length:
            return None
        if found.st_mtime_ns != self.mtime_ns and check_of_file(path, link=True) != (self.length, self.crc32):
            return None
        return self._replace(mtime_ns=found.st_mtime_ns)


def names_digest(dataset: DetectionDataset) -> str:
    """A fingerprint of the images' names and of their sizes as annotated: equal wherever the dataset lies."""
    packed, images = dataset._annotations, dataset._images
    digest = hashlib.sha256(packed.sizes[images].tobytes())
    for number in images.tolist():
        digest.update(os.fsencode(f"{packed.files[number]}\0"))
    return digest.hexdigest()


def times_digest(dataset: DetectionDataset) -> str:
    """A fingerprint of the images' lengths and times of modification."""
    packed, root = dataset._annotations, str(dataset.root)
    digest = hashlib.sha256()
    for number in dataset._images.tolist():  # no Path: it would take longer than asking the file system
        digest.update(_length_and_time(os.path.join(root, packed.files[number])))
    return digest.hexdigest()


def _length_and_time(path: str) -> bytes:
    try:
        found = os.stat(path)
    except OSError:
        return b"missing\n"
    return b"%d %d\n" % (found.st_size, found.st_mtime_ns)
