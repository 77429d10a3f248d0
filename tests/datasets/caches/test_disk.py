import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest

from alb_mixup import DiskCache, MixUp, VocDataset, YoloDataset, sample_dataset
from alb_mixup.datasets import DetectionDataset, from_spec
from alb_mixup.datasets.caches import disk, sources
from alb_mixup.errors import ArgumentError, CacheError, ImageReadError, StaleCacheWarning, UnreadableImageWarning
from tests.support import ROOT
from tests.support.photos import SIZE, photographs
from tests.support.samples import pipeline, same, sample
from tests.support.voc_files import add, picture, save, voc_object

SMALL = (60, 80)


def small_set(root, count=5):
    for number in range(count):
        image = picture(*SMALL, seed=number)
        add(root, f"{number}", voc_object(box=(3 + number, 4, 40, 30)), suffix=".png", size=SMALL, image=image)
    return VocDataset(root)


@pytest.fixture
def voc(tmp_path):
    return small_set(tmp_path / "voc")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "caches").mkdir()
    return tmp_path / "caches" / "a.cache"


@pytest.fixture
def builds(monkeypatch):
    """The paths that are built."""
    built = []
    write = disk.write
    monkeypatch.setattr(disk, "write", lambda path, *rest: built.append(path) or write(path, *rest))
    return built


# What it gives


def test_whole_images_are_what_the_dataset_gives(voc, path):
    cache = DiskCache(voc, path)
    assert len(cache) == len(voc)
    assert (cache.bbox_format, cache.classes, cache.path) == (voc.bbox_format, voc.classes, path)
    for index in (0, 4, -1, 0):
        assert same(cache[index], voc[index])
        assert not cache[index]["image"].flags.writeable
        assert cache[index]["bboxes"].flags.writeable
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index} is out of range for a dataset of 5 images"):
            cache[index]


@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch"])
@pytest.mark.parametrize("canvas", [(240, 320), (300, 200), (700, 900)])
def test_mixup_cannot_tell_where_primaries_have_its_size(path, fit_mode, canvas):
    outs = []
    for reference in (sample_dataset(), DiskCache(sample_dataset(), path, canvas, fit_mode)):
        mixer = pipeline(MixUp(reference, fit_mode=fit_mode, p=1.0), seed=1)
        outs.append([mixer(**sample(0, height=canvas[0], width=canvas[1])) for _ in range(6)])
    assert same(*outs)


@pytest.mark.parametrize("canvas", [(100, 120), (400, 300)])
def test_annotations_are_those_of_the_whole_image_at_any_size(path, canvas):
    outs = []
    for reference in (sample_dataset(), DiskCache(sample_dataset(), path, (123, 150))):
        mixer = pipeline(MixUp(reference, p=1.0), seed=1)
        outs.append([mixer(**sample(0, height=canvas[0], width=canvas[1])) for _ in range(6)])
    for plain, cached in zip(*outs, strict=True):
        assert same({**cached, "image": 0}, {**plain, "image": 0})
        assert np.abs(cached["image"].astype(int) - plain["image"]).mean() < 8


def test_its_own_samples_agree_with_their_pixels(tmp_path, path):
    photos = photographs(tmp_path, count=2, masks=True, keypoints=True)
    cache, whole = DiskCache(photos, path, (200, 200)), photos[1]
    given = cache[1]
    assert given["image"].shape == (150, 200, 3)
    scale = np.array([200 / SIZE[1], 150 / SIZE[0]])
    np.testing.assert_allclose(given["bboxes"], whole["bboxes"] * np.tile(scale, 2), rtol=1e-6)
    np.testing.assert_allclose(given["keypoints"], whole["keypoints"] * scale, rtol=1e-6)
    assert given["masks"].shape == (len(given["bboxes"]), 150, 200)
    area = given["masks"].sum(axis=(1, 2)) / scale.prod()
    np.testing.assert_allclose(area, whole["masks"].sum(axis=(1, 2)), rtol=0.15)
    assert same(given["labels"], whole["labels"])


def test_masks_of_an_image_without_any(tmp_path, path):
    photos = photographs(tmp_path, count=1, masks=True)
    data = json.loads((tmp_path / "photos.json").read_text())
    (tmp_path / "photos.json").write_text(json.dumps({**data, "annotations": []}))
    empty = DiskCache(type(photos)(tmp_path / "photos.json", masks=True), path, (96, 128))[0]
    assert empty["masks"].shape == (0, 96, 128)
    assert empty["masks"].dtype == np.uint8
    assert empty["bboxes"].shape == (0, 4)


def test_shares_of_the_sides_stay(tmp_path, path):
    save(tmp_path / "images" / "train" / "a.png", picture(*SMALL))
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.25 0.5 0.5\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    yolo = YoloDataset(tmp_path)
    cache = DiskCache(yolo, path, (30, 30))
    assert cache[0]["image"].shape == (23, 30, 3)
    assert same(cache[0]["bboxes"], yolo[0]["bboxes"])


def test_another_fit_mode_than_mixups(voc, path):
    mixer = pipeline(MixUp(DiskCache(voc, path, (30, 30)), fit_mode="cover", p=1.0))
    with pytest.raises(ArgumentError, match="fit_mode of DiskCache must be that of MixUp, 'cover', got 'contain'"):
        mixer(**sample())
    pipeline(MixUp(DiskCache(voc, path.with_name("whole")), fit_mode="cover", p=1.0))(**sample())


def test_as_primaries_they_go_through_a_pipeline(voc, path):
    cache = DiskCache(voc, path)
    mixer = pipeline(A.HorizontalFlip(p=0.5), A.CoarseDropout(fill=9, p=1.0), MixUp(cache, p=0.5), seed=1)
    plain = pipeline(A.HorizontalFlip(p=0.5), A.CoarseDropout(fill=9, p=1.0), MixUp(voc, p=0.5), seed=1)
    for index in range(5):
        assert same(mixer(**cache[index]), plain(**voc[index]))
        assert same(cache[index], voc[index])


# Built once


def test_it_is_built_once(voc, path, builds):
    for _ in range(3):
        DiskCache(voc, path, (30, 30))
    assert builds == [path]
    assert os.listdir(path.parent) == [path.name]
    assert path.stat().st_size < 4096 + 5 * (30 * 30 * 3 + 16)


def test_a_dataset_that_moved(voc, path, builds, tmp_path):
    DiskCache(voc, path)
    moved = Path(shutil.move(voc.root, tmp_path / "elsewhere"))
    assert same(DiskCache(VocDataset(moved), path)[0], VocDataset(moved)[0])
    assert builds == [path]


def test_annotations_are_not_in_it(voc, path, builds):
    DiskCache(voc, path)
    add(voc.root, "0", voc_object(box=(1, 2, 30, 40)), size=SMALL, image=picture(*SMALL, seed=9))
    again = VocDataset(voc.root)
    with pytest.warns(StaleCacheWarning):
        cache = DiskCache(again, path)  # the image is another
    assert same(cache[0], again[0])
    (voc.root / "Annotations" / "0.xml").write_text(
        (voc.root / "Annotations" / "0.xml").read_text().replace("<xmin>1<", "<xmin>9<")
    )
    again = VocDataset(voc.root)
    assert DiskCache(again, path)[0]["bboxes"][0, 0] == 8
    assert len(builds) == 2


def replace_image(voc):
    before = voc.image_path(2).stat()
    save(voc.image_path(2), picture(*SMALL, seed=77))
    os.utime(voc.image_path(2), ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def lose_image(voc):
    voc.image_path(2).unlink()


def replace_image_by_one_as_long(voc):
    """Another image in a file of the same length."""
    before, after = (cv2.imencode(".bmp", picture(*SMALL, seed=seed))[1].tobytes() for seed in (2, 77))
    assert len(before) == len(after)
    voc.image_path(2).write_bytes(before)
    yield
    voc.image_path(2).write_bytes(after)


def of_other_length(voc):
    yield
    replace_image(voc)


@pytest.fixture
def decoded(monkeypatch):
    """Numbers of the images that are decoded."""
    numbers, decode = [], DiskCache._decode
    monkeypatch.setattr(DiskCache, "_decode", lambda cache, number: numbers.append(number) or decode(cache, number))
    return numbers


@pytest.mark.parametrize("change", [of_other_length, replace_image_by_one_as_long])
def test_images_that_changed_are_decoded_again_and_they_alone(voc, path, builds, decoded, change):
    changing = change(voc)
    next(changing)
    DiskCache(voc, path)
    next(changing, None)
    decoded.clear()
    with pytest.raises(CacheError, match="which was made for other contents of images: build it"):
        DiskCache.opened(voc, path)
    stale = r"a\.cache is built anew: it was made for other contents of images$"
    with pytest.warns(StaleCacheWarning, match=stale) as caught:
        cache = DiskCache(voc, path)
    assert caught[0].filename == __file__
    assert decoded == [2]
    assert all(same(cache[index], voc[index]) for index in range(5))
    again = DiskCache(voc, path)
    assert all(same(again[index], voc[index]) for index in range(5))
    assert len(builds) == 2


def test_images_that_were_only_touched_are_not_stale(voc, path, builds, decoded, monkeypatch):
    DiskCache(voc, path)
    for number in (1, 4):
        os.utime(voc.image_path(number), ns=(1, 1))
    decoded.clear()
    before, read = path.read_bytes(), []
    check = sources.check_of_file
    monkeypatch.setattr(sources, "check_of_file", lambda path, **options: read.append(path) or check(path, **options))
    opened = DiskCache.opened(voc, path)
    assert read == [voc.image_path(number) for number in (1, 4)]  # nothing that has its time
    assert path.read_bytes() == before  # it writes nothing
    for cache in (opened, pickle.loads(pickle.dumps(opened)), DiskCache(voc, path)):
        assert all(same(cache[index], voc[index]) for index in range(5))
    read.clear()
    DiskCache(voc, path)  # which knows the new times
    assert read == decoded == []
    assert len(builds) == 2


def test_touched_images_where_nothing_can_be_written(voc, path, request):
    DiskCache(voc, path)
    before = path.read_bytes()
    os.utime(voc.image_path(1), ns=(1, 1))
    request.getfixturevalue("full_disk")
    cache = DiskCache(voc, path)
    assert all(same(cache[index], voc[index]) for index in range(5))
    assert path.read_bytes() == before
    assert left_in(path.parent) == [path.name]


def test_an_image_that_changes_while_it_is_decoded_is_decoded_again_by_the_next(voc, path, monkeypatch):
    decode, after = DiskCache._decode, picture(*SMALL, seed=77)

    def and_change(cache, number):
        stored = decode(cache, number)
        if number == 2:
            save(voc.image_path(2), after)
        return stored

    monkeypatch.setattr(DiskCache, "_decode", and_change)
    assert not same(DiskCache(voc, path)[2]["image"], after)
    monkeypatch.undo()
    with pytest.warns(StaleCacheWarning, match="contents of images"):
        assert same(DiskCache(voc, path)[2]["image"], after)


def test_an_image_that_comes_back_is_read(voc, path):
    content = voc.image_path(2).read_bytes()
    lose_image(voc)
    with pytest.warns(UnreadableImageWarning):
        DiskCache(voc, path)
    DiskCache.opened(voc, path)  # as it was built
    voc.image_path(2).write_bytes(content)
    with pytest.warns(StaleCacheWarning, match="contents of images"):
        assert same(DiskCache(voc, path)._stored(2)[1][0], voc[2]["image"])


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"size": (30, 30)}, "size"),
        ({"size": (20, 20), "fit_mode": "stretch"}, "fit_mode"),
        ({"size": None, "fit_mode": "stretch"}, "size, fit_mode"),
    ],
)
def test_other_settings(voc, path, settings, what):
    DiskCache(voc, path, (20, 20))
    with pytest.warns(StaleCacheWarning, match=f"it was made for other {what}$"):
        DiskCache(voc, path, **settings)
    DiskCache(voc, path, **settings)


def test_another_dataset(voc, path, tmp_path):
    DiskCache(voc, path)
    other = small_set(tmp_path / "other", count=3)
    with pytest.warns(StaleCacheWarning, match="it was made for other images"):
        assert len(DiskCache(other, path)) == 3


def test_other_stated_sizes(tmp_path, path):
    """The stated size decides how a photograph with an orientation is turned."""
    from tests.datasets.images.test_decode import save_with_pillow  # noqa: PLC0415

    add(tmp_path, "a", voc_object(), size=SMALL, image=picture(*SMALL))
    image = tmp_path / "JPEGImages" / "a.png"
    from PIL import Image  # noqa: PLC0415

    save_with_pillow(image, Image.fromarray(picture(*SMALL)), 6)
    assert DiskCache(VocDataset(tmp_path), path)[0]["image"].shape[:2] == SMALL
    xml = tmp_path / "Annotations" / "a.xml"
    turned = xml.read_text().replace("<width>80", "<width>60").replace("<height>60", "<height>80")
    xml.write_text(turned)
    with pytest.warns(StaleCacheWarning, match="images"):
        assert DiskCache(VocDataset(tmp_path), path)[0]["image"].shape[:2] == SMALL[::-1]


def test_an_open_cache_stays_as_it_was_opened(voc, path):
    cache, expected = DiskCache(voc, path), voc[0]
    image = cache[0]["image"]
    with pytest.warns(StaleCacheWarning):
        DiskCache(voc, path, (10, 10))
    assert same(cache[0], expected)
    del cache
    assert same(image, expected["image"])


# Failures


def test_unreadable_images_are_left_out(voc, path):
    lose_image(voc)
    voc.image_path(3).write_bytes(b"no image")
    with pytest.warns(UnreadableImageWarning, match=r"leaves out 2 images.*2\.png, which cannot be read") as caught:
        cache = DiskCache(voc, path)
    assert caught[0].filename == __file__
    for index in (0, 1, 4):
        assert same(cache[index], voc[index])
    for index in (2, 3):
        with pytest.raises(ImageReadError, match=rf"{index}\.png"):
            cache[index]
    mixer = pipeline(MixUp(cache, max_redraws=50, p=1.0))
    with pytest.warns(UnreadableImageWarning, match="draws another"):
        _ = [mixer(**sample()) for _ in range(20)]


def left_in(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def full_disk():
    """No file may grow beyond 40 kB: a write fails in the middle, as it does where the disk is full."""
    resource = pytest.importorskip("resource")  # POSIX only
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk(voc, path, full_disk):
    with pytest.raises(
        CacheError, match=r"path must be a file that can be written, got .*a\.cache .*: make room or give"
    ):
        DiskCache(voc, path)
    assert left_in(path.parent) == []


def test_a_full_disk_leaves_the_stale_cache(voc, path, request):
    DiskCache(voc, path, (10, 10))
    before = path.read_bytes()
    request.getfixturevalue("full_disk")
    with pytest.warns(StaleCacheWarning), pytest.raises(CacheError):
        DiskCache(voc, path)
    assert path.read_bytes() == before
    assert left_in(path.parent) == [path.name]


def test_an_interrupt_leaves_nothing(voc, path, monkeypatch):
    def interrupt(cache, number):
        raise KeyboardInterrupt

    monkeypatch.setattr(DiskCache, "_decode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        DiskCache(voc, path)
    assert left_in(path.parent) == []


BUILD = """
import sys, time
from pathlib import Path
from alb_mixup import DiskCache, VocDataset
from tests.support import ROOT
decode, decoded = DiskCache._decode, []
def slow(cache, number):
    decoded.append(number)
    time.sleep({pause})
    return decode(cache, number)
DiskCache._decode = slow
cache = DiskCache(VocDataset(sys.argv[1]), sys.argv[2])
print(len(decoded), sum(int(sample["image"].sum()) for sample in cache))
"""


def start(voc, path, pause):
    command = [sys.executable, "-c", BUILD.format(pause=pause), str(voc.root), str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def total(voc):
    return sum(int(one["image"].sum()) for one in voc)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_crash_leaves_no_cache_and_the_next_removes_what_it_left(voc, path):
    crashing = start(voc, path, pause=60)
    for _ in range(600):
        if left_in(path.parent):
            break
        time.sleep(0.1)
    crashing.send_signal(signal.SIGKILL)
    crashing.communicate()
    [left] = left_in(path.parent)
    assert left != path.name
    stranger = path.parent / ".a.cache.another-machine.7.tmp"
    stranger.write_bytes(b"")
    cache = DiskCache(voc, path)
    assert left_in(path.parent) == sorted([path.name, stranger.name])
    assert all(same(cache[index], voc[index]) for index in range(5))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks on folders: each builds it")
def test_processes_that_start_at_once_build_it_once(voc, path):
    running = [start(voc, path, pause=0.5) for _ in range(3)]
    done = [(*process.communicate(timeout=240), process.returncode) for process in running]
    assert [code for *_, code in done] == [0, 0, 0], done
    assert sorted(out for out, *_ in done) == sorted([f"5 {total(voc)}\n", f"0 {total(voc)}\n", f"0 {total(voc)}\n"])
    assert left_in(path.parent) == [path.name]


def test_without_locks_each_builds_it_and_all_is_well(voc, path, monkeypatch, builds):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    decode, inner = DiskCache._decode, []

    def build_inside(cache, number):
        if not inner:
            inner.append(None)
            inner[0] = DiskCache(voc, path)
        return decode(cache, number)

    monkeypatch.setattr(DiskCache, "_decode", build_inside)
    outer = DiskCache(voc, path)
    assert len(builds) == 2
    for cache in (outer, inner[0]):
        assert all(same(cache[index], voc[index]) for index in range(5))


@pytest.mark.parametrize("content", [b"", b"names: [cat]\n", b"\0" * 10_000])
def test_another_file_is_never_overwritten(voc, path, content):
    path.write_bytes(content)
    with pytest.raises(
        CacheError, match=r"path must be a cache file or none yet, got .*a\.cache, which holds somethin"
    ):
        DiskCache(voc, path)
    assert path.read_bytes() == content


def test_a_folder_and_no_folder(voc, path):
    with pytest.raises(CacheError, match=r"path must be a file to read or to write, got .* \(Is a directory\)"):
        DiskCache(voc, path.parent)
    with pytest.raises(CacheError, match=r"path must lie in a folder that exists, got .*/gone/a \(No such file"):
        DiskCache(voc, path.parent / "gone" / "a")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:100]])
def test_a_damaged_file(voc, path, damage):
    DiskCache(voc, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CacheError, match=r"a\.cache, which is damaged \(.*\): remove it, and it is built anew"):
        DiskCache(voc, path)


# Processes and descriptions


def read_in_child(cache, connection):
    connection.send((sum(int(one["image"].sum()) for one in cache), cache[0]["image"].flags.writeable))


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("fork", marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")),
        "spawn",
    ],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_workers_map_the_same_file(voc, path, method):
    cache = DiskCache(voc, path)
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=read_in_child, args=(cache, sender))
    worker.start()
    assert receiver.poll(60)
    assert receiver.recv() == (total(voc), False)
    worker.join()


def test_pickles_hold_no_pixels(voc, path):
    cache = DiskCache(voc, path)
    pickled = pickle.dumps(cache)
    assert len(pickled) < 5000
    assert same(pickle.loads(pickled)[1], voc[1])
    with pytest.warns(StaleCacheWarning):
        DiskCache(voc, path, (10, 10))
    with pytest.raises(CacheError, match="was built for something else meanwhile: give each a path of its own"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(CacheError, match=r"path must be a cache that is there, got .*: build it"):
        pickle.loads(pickled)


@pytest.mark.parametrize("size", [None, (30, 40)])
def test_round_trip(path, size, builds):
    cache = DiskCache(sample_dataset().annotated(), path, size, "stretch")
    spec = json.loads(json.dumps(cache.to_spec()))
    assert spec["of"] == {"dataset": "sample", "annotated": True}
    again = from_spec(spec)
    assert isinstance(again, DiskCache)
    assert (again.size, again.fit_mode, again.path) == (size, "stretch", path)
    assert same(again[3], cache[3])
    assert builds == [path]


def test_a_pipeline_is_written_and_read(voc, path):
    mixer = pipeline(MixUp(DiskCache(voc, path, (30, 30)), p=1.0), seed=1)
    again = A.from_dict(json.loads(json.dumps(A.to_dict(mixer))))
    assert again.transforms[0].reference.size == (30, 30)
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    out = A.ReplayCompose([MixUp(DiskCache(voc, path, (30, 30)), p=1.0)], bbox_params=params)(**sample(3))
    replayed = A.ReplayCompose.replay(json.loads(json.dumps(out["replay"])), **sample(3))
    assert same(replayed["image"], out["image"])


def test_repr(voc, path):
    text = repr(DiskCache(voc, path, (30, 40)))
    assert text == f"DiskCache({voc!r}, path={path.as_posix()!r}, size=(30, 40), fit_mode='contain')"


@pytest.mark.parametrize("size", [(640,), 640, (0, 10), (10.0, 10), "12", (True, 10), (1, 2, 3)])
def test_size_is_a_size(voc, path, size):
    with pytest.raises(ArgumentError, match=r"size must be \(height, width\) in pixels, or None, got"):
        DiskCache(voc, path, size)


def test_other_arguments(voc, path):
    with pytest.raises(ArgumentError, match="dataset must be a dataset of this package, got list: CachedDataset takes"):
        DiskCache([sample()], path)
    with pytest.raises(ArgumentError, match="fit_mode must be one of contain, cover, stretch, got 'canvas'"):
        DiskCache(voc, path, (1, 1), "canvas")
    with pytest.raises(ArgumentError, match="path must be the path of a file"):
        DiskCache(voc, None)
    assert issubclass(type(voc), DetectionDataset)


def test_progress_is_shown_to_who_looks(voc, path, monkeypatch):
    import tqdm  # noqa: PLC0415

    shown = []

    def bar(images, text, count, **settings):
        shown.append((text, count))
        return images

    monkeypatch.setattr(tqdm, "tqdm", bar)
    monkeypatch.setattr("alb_mixup._support.progress._is_watched", lambda: True)
    DiskCache(voc, path)
    assert shown == [("caching images", 5)]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert same(DiskCache(voc, path.with_name("b"))[0], voc[0])


def test_upscaled_images_are_stored_as_they_are_placed(voc, path):
    given = DiskCache(voc, path, (120, 120))[0]["image"]
    np.testing.assert_array_equal(given, cv2.resize(voc[0]["image"], (120, 90), interpolation=cv2.INTER_LINEAR))
