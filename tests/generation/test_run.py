"""Mixed sets on disk: read back and recomputed, killed and resumed, refused and unwritable."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import alb_mixup
from alb_mixup.cli import main
from alb_mixup.errors import ArgumentError, ImageReadError, OutputError, WorkerError
from alb_mixup.generation import run
from alb_mixup.generation.destination import Folder
from alb_mixup.generation.run import generate
from tests.oracle import disagreements, mix
from tests.support import layouts, tree

FORMATS = ("coco", "yolo", "voc")


@pytest.fixture
def dataset():
    return alb_mixup.sample_dataset()


def manifest(root):
    with open(root / "manifest.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def in_pixels(sample, bbox_format):
    height, width = sample["image"].shape[:2]
    boxes = np.asarray(sample["bboxes"], np.float64).reshape(-1, 4)
    if bbox_format == "yolo":
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
        boxes = boxes * [width, height, width, height]
    elif bbox_format == "coco":
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return {**sample, "bboxes": boxes}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("source_format", FORMATS)
def test_every_layout_into_every_layout_read_back_is_what_the_oracle_mixes(source_format, output_format, tmp_path):
    source = alb_mixup.open_dataset(layouts.WRITERS[source_format](tmp_path / "source"))
    root = generate(
        source, tmp_path / "mixed", output_format=output_format, multiplier=5, image_format="png", progress=False
    )
    mixed, rows = alb_mixup.open_dataset(root), manifest(root)
    assert len(mixed) == len(rows) == 20
    assert not mixed.invalid
    for index, row in enumerate(rows):
        primary, partner = (layouts.plain(int(Path(row[key]).stem)) for key in ("primary", "partner"))
        expected = mix(primary, partner, float(row["ratio"]))
        got = in_pixels(mixed[index], mixed.bbox_format)
        assert not disagreements(got, expected, image_tolerance=1.0, bbox_tolerance=0.01, weight_tolerance=1e-6)
        assert list(got["labels"]) == expected["labels"]
        assert mixed.image_path(index).name == Path(row["image"]).name
    assert [row["primary"] for row in rows[:4]] == [row["primary"] for row in rows[4:8]]  # each is primary once a round


@pytest.mark.parametrize("fit_mode", ["cover", "stretch", "canvas"])
def test_fit_modes_and_alpha_reach_the_mix(fit_mode, tmp_path):
    source = alb_mixup.open_dataset(layouts.write_voc(tmp_path / "source"))
    root = generate(source, tmp_path / "m", image_format="png", fit_mode=fit_mode, alpha=(400.0, 100.0), progress=False)
    mixed = alb_mixup.open_dataset(root)
    for index, row in enumerate(manifest(root)):
        assert 0.7 < float(row["ratio"]) < 0.9
        primary, partner = (layouts.plain(int(Path(row[key]).stem)) for key in ("primary", "partner"))
        assert not disagreements(in_pixels(mixed[index], "coco"), mix(primary, partner, float(row["ratio"]), fit_mode))


def test_output_k_of_a_seed_is_the_same_for_any_number_of_workers_and_multiplier(dataset, tmp_path):
    one = tree(generate(dataset, tmp_path / "one", workers=1, seed=3, progress=False))
    three = tree(generate(dataset, tmp_path / "three", workers=3, seed=3, progress=False))
    assert one == three
    other = tree(generate(dataset, tmp_path / "other", seed=4, progress=False))
    twice = tree(generate(dataset, tmp_path / "twice", seed=3, multiplier=2, progress=False))
    images = [path for path in one if path.endswith(".jpg")]
    assert len(images) == len(dataset)
    assert all(one[path] == twice[path] for path in images)
    assert sum(one[path] == other[path] for path in images) < len(images) / 3
    again = [f"images/mixup_{number:06d}.jpg" for number in range(14, 28)]
    alike = sum(one[first] == twice[second] for first, second in zip(sorted(images), again, strict=True))
    assert alike < len(images) / 3  # an image whose partner is itself twice


RUN = """
import sys
from alb_mixup import generate, sample_dataset
if __name__ == "__main__":
    generate(sample_dataset(), sys.argv[1], output_format=sys.argv[2], workers=int(sys.argv[3]), multiplier=4,
             progress=False)
"""


def children_of(pid):
    """Its worker processes; not the one that tracks resources, which outlives them by a moment."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text, command = stat.read_text(), (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid and "spawn_main" in command:
            found.append(int(stat.parent.name))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def killed_after(images, root, output_format, workers, script):
    """Start, kill when so many images are there; return the images and when they were written."""
    process = subprocess.Popen([sys.executable, script, str(root), output_format, str(workers)])
    while sum(1 for _ in root.rglob("mixup_*.jpg")) < images:
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(0.002)
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while any(alive(child) for child in children):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    journal = (root / ".mixup" / "done.jsonl").read_text()
    done = [json.loads(line)["files"][0] for line in journal.splitlines(keepends=True) if line.endswith("\n")]
    return {path: (root / path).stat().st_mtime_ns for path in done}


@pytest.mark.parametrize(
    ("output_format", "workers", "moments"), [("coco", 2, (1, 20)), ("yolo", 1, (2, 15, 33)), ("voc", 1, (9, 50))]
)
def test_killed_at_several_moments_and_resumed_is_byte_identical(output_format, workers, moments, dataset, tmp_path):
    whole = tree(generate(dataset, tmp_path / "whole", output_format=output_format, multiplier=4, progress=False))
    script, root = tmp_path / "run.py", tmp_path / "killed"
    script.write_text(RUN)
    written = {}
    for images in moments:
        now = killed_after(images, root, output_format, workers, script)
        assert written.items() <= now.items()  # what was done is neither lost nor done again
        written = now
    assert not (root / "manifest.csv").exists()
    generate(dataset, root, output_format=output_format, multiplier=4, progress=False)
    assert tree(root) == whole
    assert all((root / path).stat().st_mtime_ns == when for path, when in written.items())


def test_a_journal_cut_in_a_line_and_a_lost_image_are_mended(dataset, tmp_path, monkeypatch):
    root = tmp_path / "mixed"

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_finish", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(dataset, root, output_format="voc", progress=False)
    monkeypatch.undo()
    journal = root / ".mixup" / "done.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    (root / "JPEGImages" / "mixup_000003.jpg").unlink()
    (root / "Annotations" / "mixup_000005.xml").unlink()
    generate(dataset, root, output_format="voc", progress=False)
    assert tree(root) == tree(generate(dataset, tmp_path / "whole", output_format="voc", progress=False))


def test_a_finished_set_is_left_alone(dataset, tmp_path):
    root = generate(dataset, tmp_path / "mixed", progress=False)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    generate(dataset, root, workers=2, progress=False)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"alpha": 1.0}, {"output_format": "voc"}, {"quality": 90}, {"multiplier": 2}, {"drop_weights": True}],
)
def test_other_settings_are_refused_and_named(changed, dataset, tmp_path):
    root = generate(dataset, tmp_path / "mixed", progress=False)
    before = tree(root)
    [name] = changed
    with pytest.raises(OutputError, match=f"destination must be new, empty, or begun with .*{name}="):
        generate(dataset, root, progress=False, **changed)
    assert tree(root) == before


def test_another_dataset_is_refused(dataset, tmp_path):
    root = generate(dataset, tmp_path / "mixed", progress=False)
    other = alb_mixup.VocDataset(dataset.root, classes=[*dataset.classes, "more"])
    with pytest.raises(OutputError, match="made with another dataset: take another folder"):
        generate(other, root, progress=False)


def test_nothing_foreign_is_overwritten(dataset, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="which holds something else"):
        generate(dataset, tmp_path, progress=False)
    with pytest.raises(OutputError, match="which holds something else"):
        generate(dataset, tmp_path / "photo.jpg", progress=False)
    assert tree(tmp_path) == {"photo.jpg": b"mine"}


def test_two_runs_at_once_into_one_folder_are_refused(dataset, tmp_path):
    root = tmp_path / "mixed"
    whole = tree(generate(dataset, tmp_path / "whole", progress=False))
    (root / ".mixup").mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / ".mixup" / "plan.json", root / ".mixup")
    other = Folder(root).journal(len(dataset))
    with pytest.raises(OutputError, match="one process at a time"):
        generate(dataset, root, progress=False)
    other.close()
    assert tree(generate(dataset, root, progress=False)) == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(workers, dataset, tmp_path):
    whole = tree(generate(dataset, tmp_path / "whole", image_format="png", progress=False))
    sizes = sorted(len(content) for path, content in whole.items() if path.endswith(".png"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[7], limits[1]))  # larger files cannot be written
    try:
        with pytest.raises(OutputError, match=r"destination must be a folder that can be written.*goes on from it"):
            generate(dataset, tmp_path / "full", image_format="png", workers=workers, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = tree(tmp_path / "full")
    assert all(content == whole[path] for path, content in left.items() if not path.endswith("done.jsonl"))
    assert not (tmp_path / "full" / "manifest.csv").exists()
    assert tree(generate(dataset, tmp_path / "full", image_format="png", progress=False)) == whole


def test_a_destination_that_cannot_be_made(dataset, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="destination must be a folder that can be written"):
        generate(dataset, tmp_path / "file" / "mixed", progress=False)
    assert tree(tmp_path) == {"file": b""}


def test_an_unreadable_source_stops_it_and_it_goes_on_when_that_is_mended(tmp_path):
    source = layouts.write_voc(tmp_path / "source")
    path = source / "JPEGImages" / "3.png"
    content = path.read_bytes()
    dataset = alb_mixup.open_dataset(source)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageReadError, match=r"3\.png"):
        generate(dataset, tmp_path / "mixed", progress=False)
    path.write_bytes(content)
    generate(dataset, tmp_path / "mixed", progress=False)
    assert tree(tmp_path / "mixed") == tree(generate(dataset, tmp_path / "whole", progress=False))


def test_a_killed_worker_is_noticed(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "Writer", Suicidal)
    with pytest.raises(WorkerError, match="run it again"):
        generate(dataset, tmp_path / "mixed", workers=2, progress=False)
    monkeypatch.undo()
    generate(dataset, tmp_path / "mixed", workers=2, progress=False)
    assert tree(tmp_path / "mixed") == tree(generate(dataset, tmp_path / "whole", progress=False))


class Suicidal:
    def __init__(self, *_):
        pass

    def __call__(self, _):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"output_format": "tfrecord"}, "output_format must be one of coco, yolo, voc, got 'tfrecord'"),
        ({"image_format": "gif"}, "image_format must be one of jpg, png, got 'gif'"),
        ({"fit_mode": "squeeze"}, "fit_mode must be one of"),
        ({"alpha": 0}, "alpha must be a positive finite number"),
        ({"multiplier": 0}, "multiplier must be 1 to 1000000, got 0"),
        ({"multiplier": 1.5}, "multiplier must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"quality": 101}, "quality must be 0 to 100, got 101"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
    ],
)
def test_bad_arguments_write_nothing(settings, says, dataset, tmp_path):
    with pytest.raises(ArgumentError, match=says):
        generate(dataset, tmp_path / "mixed", progress=False, **settings)
    assert not (tmp_path / "mixed").exists()


def test_a_dataset_that_is_none_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="dataset must be a CocoDataset, YoloDataset or VocDataset"):
        generate([{"image": np.zeros((4, 4, 3), np.uint8)}], tmp_path / "mixed", progress=False)


def test_jpeg_quality_counts(dataset, tmp_path):
    sizes = []
    for quality in (20, 95):
        root = generate(dataset, tmp_path / f"q{quality}", quality=quality, progress=False)
        sizes.append((root / "images" / "mixup_000000.jpg").stat().st_size)
    assert sizes[0] * 2 < sizes[1]


# ------------------------------------------------------------------------------------------ the command


def test_the_command_writes_a_set_and_says_where(tmp_path, capsys):
    source, root = layouts.write_yolo(tmp_path / "source"), tmp_path / "mixed"
    command = [
        "generate",
        str(source),
        str(root),
        "--format",
        "voc",
        "--multiplier",
        "2",
        "--seed",
        "5",
        "--workers",
        "2",
    ]
    assert main([*command, "--fit-mode", "cover", "--alpha", "3", "--image-format", "png"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{root} holds the mixes of {source}; λ and sources are in {root / 'manifest.csv'}\n"
    assert captured.err == ""  # no bar where nobody watches
    expected = generate(
        alb_mixup.open_dataset(source), tmp_path / "other", output_format="voc", multiplier=2, seed=5, fit_mode="cover",
        alpha=3.0, image_format="png", progress=False,
    )  # fmt: skip
    assert tree(root) == tree(expected)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    source = layouts.write_coco(tmp_path / "source")
    assert main(["generate", str(source), str(source)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "alb-mixup: DST must be a new or an empty folder" in captured.err


def test_the_command_interrupted_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("alb_mixup.cli.generate.generate", interrupted)
    assert main(["generate", str(layouts.write_coco(tmp_path / "source")), str(tmp_path / "mixed")]) == 130
    assert capsys.readouterr().err == "alb-mixup: interrupted; the same command goes on from what is done\n"
