"""`alb-mixup` as a user runs it: files, words and exit codes."""

import os
import shutil
import sys
import warnings
from pathlib import Path

import cv2
import pytest

import alb_mixup
from alb_mixup.cli import main
from tests.support import layouts


def embedded_copy(folder: Path) -> Path:
    source = alb_mixup.sample_dataset().root
    shutil.copytree(source, folder)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("BloodImage_00010\nBloodImage_00044\n")
    return folder


def test_preview_writes_the_embedded_images_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["preview", "-n", "2"]) == 0
    assert capsys.readouterr().out == "Wrote mixup-preview.png (2 mixes of the images inside the package)\n"
    assert cv2.imread(str(tmp_path / "mixup-preview.png")).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["mixup-preview.png"]


def test_preview_repeats_under_a_seed_and_differs_under_another(tmp_path):
    pages = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["preview", "-n", "1", "--seed", str(seed), "-o", str(tmp_path / name)]) == 0
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1] != pages[2]


def test_preview_of_a_voc_split(tmp_path, capsys):
    root = embedded_copy(tmp_path / "voc")
    assert main(["preview", str(root), "--split", "train", "-n", "3", "-o", str(tmp_path / "page.png")]) == 0
    assert "3 mixes of" in capsys.readouterr().out
    assert (tmp_path / "page.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "SRC must be a dataset, got"),
        (["s3://bucket/set"], "SRC must lie on this machine, got 's3://bucket/set', a URL: copy it here first"),
        (["-n", "0"], "-n must be 1 to 100, got 0"),
        (["-n", "101"], "-n must be 1 to 100, got 101"),
        (["--seed", "-1"], "--seed must be 0 to 9223372036854775808, got -1"),
        (["--split", "train"], "--split must come with SRC"),
        (["--alpha", "0"], "--alpha must be a number above 0, got '0'"),
        (["-o", "missing/page.png"], "make the folder first"),
        (["-o", "page.jpg"], "-o must be a PNG, got page.jpg"),
        (["-o", ""], "-o must be a file, got '.'"),
        (["-o", ".."], "-o must be a file, got '..'"),
    ],
)
def test_errors_are_one_line_and_write_nothing(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["preview", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("alb-mixup: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_picture(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.png"
    page.write_bytes(b"old")

    def disk_full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", disk_full)
    assert main(["preview", "-n", "1", "-o", str(page)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert page.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.png"]


def test_what_is_no_plain_file_is_never_replaced(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.png")  # stands for a device, such as /dev/null
    assert main(["preview", "-n", "1", "-o", str(tmp_path / "pipe.png")]) == 2
    assert "-o must be a file" in capsys.readouterr().err
    assert (tmp_path / "pipe.png").is_fifo()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.png").symlink_to("page.png")
    assert main(["preview", "-n", "1", "-o", str(tmp_path / "link.png")]) == 0
    assert (tmp_path / "link.png").is_symlink()
    assert cv2.imread(str(tmp_path / "page.png")).std() > 10


def test_a_dataset_without_boxes_is_refused(tmp_path, capsys):
    root = embedded_copy(tmp_path / "voc")
    for path in root.rglob("*.xml"):
        path.write_text(f"<annotation><filename>{path.stem}.jpg</filename></annotation>")
    assert main(["preview", str(root), "-o", str(tmp_path / "page.png")]) == 2
    assert "SRC must have images with boxes" in capsys.readouterr().err
    assert not (tmp_path / "page.png").exists()


def test_invalid_annotations_are_warned_of_in_one_line(tmp_path, capsys):
    root = embedded_copy(tmp_path / "voc")
    next(iter(sorted(root.rglob("*.xml")))).write_text("no XML")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["preview", str(root), "-n", "1", "-o", str(tmp_path / "page.png")]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("alb-mixup: warning: ")
    assert warning.count("\n") == 1


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"alb-mixup {alb_mixup.__version__}\n"


def test_the_ray_engine_without_ray_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "alb_mixup.integrations.ray", raising=False)
    monkeypatch.delattr("alb_mixup.integrations.ray", raising=False)
    source = layouts.write_coco(tmp_path / "source")
    assert main(["generate", str(source), str(tmp_path / "mixed"), "--engine", "ray"]) == 2
    said = capsys.readouterr().err
    assert 'pip install "alb-mixup[ray]"' in said
    assert said.count("\n") == 1
    assert not (tmp_path / "mixed").exists()


def test_what_only_ray_takes_is_refused_without_it(tmp_path, capsys):
    source = str(layouts.write_coco(tmp_path / "source"))
    assert main(["generate", source, str(tmp_path / "mixed"), "--address", "auto"]) == 2
    assert "--address must come with --engine ray, got 'auto' alone" in capsys.readouterr().err
    assert main(["generate", source, "s3://bucket/mixed"]) == 2
    assert "DST must be a folder, got 's3://bucket/mixed': URLs are for the Ray engine" in capsys.readouterr().err
