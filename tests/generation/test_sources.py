"""Source images that change between two runs: what was made of them is made anew, and that alone."""

import os

import cv2
import pytest

import alb_mixup
from alb_mixup.generation.mixer import Mixer
from alb_mixup.generation.run import generate
from tests.generation.test_run import manifest
from tests.support import layouts, tree
from tests.support.voc_files import picture

SETTINGS = {"multiplier": 3, "progress": False}


@pytest.fixture
def dataset(tmp_path):
    """Images of which two of one size are files of one length, whatever is on them."""
    root = layouts.write_voc(tmp_path / "source")
    for number in range(4):
        put(root / "JPEGImages" / f"{number}.png", layouts.image(number))
    return alb_mixup.open_dataset(root)


@pytest.fixture
def made(monkeypatch):
    """Numbers of the outputs that are made."""
    numbers, make = [], Mixer.make
    monkeypatch.setattr(Mixer, "make", lambda mixer, number: numbers.append(number) or make(mixer, number))
    return numbers


def put(path, image):
    ok, encoded = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert ok
    path.write_bytes(encoded.tobytes())


def replace(path):
    """Replace an image by another, of the same length and time."""
    before = path.stat()
    put(path, picture(*cv2.imread(str(path)).shape[:2], seed=99))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def of(root, name):
    """Numbers of the outputs that are made of an image."""
    rows = enumerate(manifest(root))
    return [number for number, row in rows if f"JPEGImages/{name}" in {row["primary"], row["partner"]}]


@pytest.mark.parametrize("workers", [1, 2])
def test_other_pixels_of_the_same_length_and_time_are_noticed(workers, dataset, tmp_path, made):
    root = generate(dataset, tmp_path / "mixed", **SETTINGS)
    before = tree(root)
    replace(dataset.image_path(2))
    made.clear()
    generate(dataset, root, workers=workers, **SETTINGS)
    concerned = of(root, "2.png")
    if workers == 1:
        assert made == concerned
    assert tree(root) == tree(generate(dataset, tmp_path / "whole", **SETTINGS))
    after = tree(root)
    images = [f"images/mixup_{number:06d}.jpg" for number in range(12)]
    assert [number for number, path in enumerate(images) if after[path] != before[path]] == concerned


def test_a_run_that_was_stopped_before_the_change_ends_in_one_set_not_half_of_each(dataset, tmp_path, monkeypatch):
    make = Mixer.make

    def stop_at_eight(mixer, number):
        if number == 8:
            raise OSError("the power went")
        return make(mixer, number)

    monkeypatch.setattr(Mixer, "make", stop_at_eight)
    with pytest.raises(OSError, match="the power went"):
        generate(dataset, tmp_path / "mixed", **SETTINGS)
    monkeypatch.undo()
    replace(dataset.image_path(1))
    generate(dataset, tmp_path / "mixed", **SETTINGS)
    assert tree(tmp_path / "mixed") == tree(generate(dataset, tmp_path / "whole", **SETTINGS))


def test_images_that_were_only_touched_or_moved_with_their_dataset_cost_nothing(dataset, tmp_path, made):
    root = generate(dataset, tmp_path / "mixed", **SETTINGS)
    before = tree(root)
    for number in range(4):
        os.utime(dataset.image_path(number), ns=(0, 0))
    dataset.root.rename(tmp_path / "elsewhere")
    made.clear()
    generate(alb_mixup.open_dataset(tmp_path / "elsewhere"), root, **SETTINGS)
    assert made == []
    assert tree(root) == before


def test_an_image_that_is_gone_stops_it_or_is_skipped(dataset, tmp_path):
    root = generate(dataset, tmp_path / "mixed", **SETTINGS)
    dataset.image_path(3).unlink()
    with pytest.raises(alb_mixup.errors.ImageReadError, match=r"3\.png"):
        generate(dataset, root, **SETTINGS)
    with pytest.warns(alb_mixup.errors.UnreadableImageWarning):
        generate(dataset, root, on_unreadable="skip", **SETTINGS)
    assert "3.png" not in (root / "manifest.csv").read_text()
