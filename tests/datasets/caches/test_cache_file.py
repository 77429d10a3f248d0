"""Cache files whose header or table says what is not so, and specs of strangers."""

import json
import os
import zlib

import albumentations as A
import numpy as np
import pytest

from alb_mixup import DiskCache, MixUp
from alb_mixup.datasets import from_spec
from alb_mixup.datasets.caches.cache_file import CacheFile
from alb_mixup.errors import CacheError
from tests.datasets.caches.test_disk import small_set
from tests.support.samples import pipeline, same

HEADER, MAGIC = 4096, b"alb_mixup image cache 3\n"
ROW = 40  # int32 height and width stored, and whole; uint32; int64, int64, uint32 of the image's file
COUNT, HEIGHT, WIDTH = 5, 60, 80
PIXELS = COUNT * HEIGHT * WIDTH * 3


@pytest.fixture
def voc(tmp_path):
    return small_set(tmp_path / "voc", COUNT)


@pytest.fixture
def path(voc, tmp_path):
    DiskCache(voc, tmp_path / "a.cache")
    return tmp_path / "a.cache"


def crafted(path, header=None, table=None, rest=b""):
    """Write a cache file anew whose checksums are right, with another header, table, or more at its end.

    Args:
        path: The file.
        header: Entries of the header that are others.
        table: Takes the sizes in the table, int32 (n, 4), and returns others.
        rest: More bytes.
    """
    content = path.read_bytes()
    pixels, end = content[HEADER : HEADER + PIXELS], content[HEADER + PIXELS :]
    assert len(end) == COUNT * ROW
    if table is not None:
        rows = np.frombuffer(end, np.uint8).reshape(COUNT, ROW).copy()
        rows[:, :16] = np.asarray(table(rows[:, :16].copy().view("<i4")), "<i4").view(np.uint8)
        end = rows.tobytes()
    end += rest
    said = json.loads(content[len(MAGIC) : HEADER - 4])
    said |= {"bytes": HEADER + PIXELS + len(end), "table_crc32": zlib.crc32(end)} | (header or {})
    said = {key: value for key, value in said.items() if value != "left out"}
    head = (MAGIC + json.dumps(said).encode()).ljust(4092)
    path.write_bytes(head + zlib.crc32(head).to_bytes(4, "little") + pixels + end)


def test_what_is_crafted_without_a_change_is_read(voc, path):
    before = path.read_bytes()
    crafted(path)
    assert path.read_bytes() == before
    assert same(CacheFile(path)[2][0], voc[2]["image"])


@pytest.mark.parametrize(
    "header",
    [
        *({"images": count} for count in (10**6, 10**30, -1, 4, 6, 5.0, True, "5", [5], None, "left out")),
        *({"bytes": length} for length in (0, -1, 10**30, "5", None, "left out")),
        *({"table_crc32": checksum} for checksum in (0, "5", None, "left out")),
    ],
    ids=str,
)
def test_a_header_that_lies_is_damage(header, voc, path):
    crafted(path, header)
    with pytest.raises(CacheError, match=r"which is damaged \(.*\): remove it, and it is built anew"):
        DiskCache(voc, path)
    with pytest.raises(CacheError, match="which is damaged"):
        CacheFile(path)


def changed(row, column, value):
    def change(table):
        table[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    "table",
    [
        changed(0, 0, -60),
        changed(4, 1, 2**31 - 1),
        changed(2, 0, 61),
        changed(2, 0, 0),
        changed(2, 0, 59),
        changed(3, 2, -1),
        changed(3, 3, 0),
        lambda table: np.where([[1, 1, 0, 0]], -table, table),  # two sides below 0 have the right area
        lambda table: table * [[1, 1, 1, 0]],
        lambda table: np.full_like(table, 2**31 - 1),  # whose total overflows 64 bits
    ],
)
def test_a_table_that_lies_is_damage_and_no_memory_outside_is_touched(table, voc, path):
    crafted(path, table=table)
    with pytest.raises(CacheError, match=r"which is damaged \(images of other sizes than it has room for\)"):
        DiskCache(voc, path)


def test_sizes_that_are_swapped_between_images_are_seen_by_their_checksums(voc, path):
    """The total is right, so only the pixels tell."""

    def swap(table):
        table[1, 0], table[3, 0] = 59, 61
        return table

    crafted(path, table=swap)
    cache = DiskCache(voc, path)
    assert same(cache[0], voc[0])
    for index in (1, 2, 3):
        with pytest.raises(CacheError, match=rf"which is damaged \(the pixels of image {index}\)"):
            cache[index]
    assert same(cache[4], voc[4])


@pytest.mark.parametrize("rest", [b"x", bytes(ROW)])
def test_more_than_there_are_images_is_damage(rest, voc, path):
    crafted(path, rest=rest)
    with pytest.raises(CacheError, match="which is damaged"):
        DiskCache(voc, path)


@pytest.mark.parametrize("text", [b"[]", b"5", b"null", b"{", b"[" * 4000, b"\xff", b"", b'{"images": 5}', b'"images"'])
def test_a_header_that_is_other_json_or_none_is_damage(text, voc, path):
    head = (MAGIC + text).ljust(4092)
    path.write_bytes(head + zlib.crc32(head).to_bytes(4, "little") + path.read_bytes()[HEADER:])
    with pytest.raises(CacheError, match=r"which is damaged \(a header without its entries\)"):
        DiskCache(voc, path)


@pytest.mark.parametrize("entry", [b"images_sha256", b"times_sha256", b"contain", b"null", b"  ", b"bytes"])
def test_a_header_in_which_a_bit_flipped_is_damage_rather_than_stale(entry, voc, path):
    content = bytearray(path.read_bytes())
    content[content.index(entry) + len(entry) - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CacheError, match=r"which is damaged \(a header that is not what was written\)"):
        DiskCache(voc, path)


@pytest.mark.parametrize("image", [0, 4])
def test_a_pixel_that_flipped_is_found_when_a_process_first_uses_its_image(image, voc, path):
    content = bytearray(path.read_bytes())
    content[HEADER + image * HEIGHT * WIDTH * 3 + 7] ^= 1
    path.write_bytes(content)
    cache = DiskCache(voc, path)
    for _ in range(2):  # nor does it pass the second time
        with pytest.raises(CacheError, match=rf"which is damaged \(the pixels of image {image}\)"):
            cache[image]
    assert same(cache[2], voc[2])


# Specs that a stranger has written


@pytest.fixture
def everything(tmp_path):
    """All that is below, with what is in it and when it was written."""
    return lambda: {
        path: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in tmp_path.rglob("*")
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("outside/nothing.cache", "which is not there|which is not"),
        ("outside/photo.jpg", "which holds something else"),
        ("outside", "Is a directory"),
        ("gone/a.cache", "which is not"),
        ("outside/of-others.cache", "which was made for other images"),
        ("outside/pipe", "which holds something else"),
    ],
)
@pytest.mark.parametrize("whole_pipeline", [False, True])
def test_a_spec_that_names_another_place_writes_and_removes_nothing_there(
    name, says, whole_pipeline, voc, path, tmp_path, everything
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "photo.jpg").write_bytes(b"mine")
    (outside / f".nothing.cache.{os.uname().nodename}.0.tmp").write_bytes(b"mine")  # as an unfinished one is called
    os.mkfifo(outside / "pipe")
    DiskCache(small_set(tmp_path / "other", 3), outside / "of-others.cache")
    if whole_pipeline:
        text = json.dumps(A.to_dict(pipeline(MixUp(DiskCache(voc, path), p=1.0), seed=1)))
    else:
        text = json.dumps(DiskCache(voc, path).to_spec())
    assert path.as_posix() in text
    spec = json.loads(text.replace(path.as_posix(), (tmp_path / name).as_posix()))
    before = everything()
    with pytest.raises(CacheError, match=says):
        A.from_dict(spec) if whole_pipeline else from_spec(spec)
    assert everything() == before
