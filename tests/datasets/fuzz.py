"""Damages every kind of file that is read, byte by byte: `python -m tests.datasets.fuzz --files 20000 [--first 0]`.

Each number stands for one damaged file, the same on every run. A subprocess reads them one after the other. It fails
where a file ends in another error than this package's, takes over 5 s or 500 MB, ends the process, or makes it open
anything outside of the dataset's folder.
"""

import argparse
import io
import json
import os
import random
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support import exports
from tests.support.voc_files import picture

LONGEST_S = 5
MOST_BYTES = 500 * 2**20
_TOKENS = [
    *(b"0 -1 1e999 nan NaN -Infinity 99999999999999999999 1_0 0x10 null true [] {} \"\" ''".split()),
    *(b"../../secret /etc/hostname C:\\x \\ud800 &a; <!-- --> <![CDATA[ *a &a !!python/object: ? - : , | \x00".split()),
    *(b"\xff\xfe \xef\xbb\xbf \x85 \xed\xa0\x80 \x1b[31m".split()),
    b"\n",
    b" ",
    b"9" * 5000,
    b"[" * 3000,
    b"<a>" * 2000,
]
_NUMBER = rb"-?\d+(?:\.\d+)?"


# ---------------------------------------------------------------- what is damaged


def _images():
    """A small picture in every format, and with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    made = Image.fromarray(picture(30, 40))
    for suffix, kind in {
        "jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF", "jp2": "JPEG2000",
        "ppm": "PPM",
    }.items():  # fmt: skip
        for turned in (False, True) if kind in {"JPEG", "PNG", "WEBP", "TIFF"} else (False,):
            stream = io.BytesIO()
            made.save(stream, kind, **({"exif": exif} if turned else {}))
            yield suffix, stream.getvalue()


def _rich_coco(root):
    """Masks, keypoints and crowds, which no export of ours has."""
    exports.fiftyone_coco(root)
    content = json.loads((root / "labels.json").read_bytes())
    content["categories"][0]["keypoints"] = ["nose", "tail"]
    rows = content["annotations"]
    rows[0] |= {"segmentation": [[2, 3, 20, 3, 20, 15], [1, 1, 2, 2]], "keypoints": [3, 4, 2, 5, 6, 1]}
    rows[1] |= {"segmentation": {"size": [30, 40], "counts": [0, 600, 600]}, "mixup_weight": 0.5}
    rows[2] |= {"segmentation": {"size": [48, 32], "counts": "PQ2"}, "iscrowd": 1}
    (root / "labels.json").write_text(json.dumps(content))


def _results(root):
    exports.fiftyone_coco(root)
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 12], "score": 0.5}]
    results += [{"image_id": "b", "file_name": "b.png", "category_id": 2, "bbox": [1, 2, 10, 12], "score": 0.9}]
    (root / "results.json").write_text(json.dumps(results))


def _pose(root):
    exports.write_yolo(root / "images" / "train", root / "labels" / "train", exports.TRAIN)
    (root / "labels" / "train" / "a.txt").write_text("0 .5 .5 .2 .2 .1 .1 2 .3 .3 0\n1 .1 .1 .2 .1 .2 .2 .1 .2\n")
    (root / "data.yaml").write_text("train: images/train\nnames: {0: a, 1: b}\nkpt_shape: [2, 3]\n")


def targets():
    """Name to what writes the dataset, the files to damage, and the layout."""
    found = {
        "coco": (_rich_coco, ["labels.json"], "coco"),
        "results": (_results, ["results.json"], "results"),
        "lvis": (exports.lvis, ["lvis_v1_train.json"], "coco"),
        "voc": (exports.vocdevkit, ["VOC2012/Annotations/a.xml", "VOC2012/ImageSets/Main/train.txt"], "voc"),
        "pose": (_pose, ["data.yaml", "labels/train/a.txt"], "yolo"),
        "roboflow": (exports.roboflow_yolo, ["data.yaml", "train/labels/a.txt"], "yolo"),
        "darknet": (exports.darknet, ["obj.data", "obj.names", "train.txt", "test.txt"], "yolo"),
        "lists": (exports.cvat_ultralytics, ["data.yaml", "train.txt"], "yolo"),
    }
    for number, (suffix, data) in enumerate(_images()):

        def write(root, data=data, suffix=suffix):
            exports.label_studio_yolo(root)
            (root / "images" / "a.png").unlink()
            (root / "images" / f"a.{suffix}").write_bytes(data)

        found[f"image {number} {suffix}"] = (write, [f"images/a.{suffix}"], "image")
    return found


def damaged(data, rng):
    """A few damages, most of them small; the beginning, where headers are, more often than the rest."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        length = max(1, len(data))
        at = rng.randrange(min(length, 64) if rng.random() < 0.4 else length)
        size = rng.choice((1, 2, 4, 16, 200))
        match rng.randrange(9):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = rng.choice(_TOKENS)
            case 4:
                data[at : at + size] = rng.choice(_TOKENS)
            case 5:
                del data[at:]
            case 6:
                data[at:at] = data[at : at + size] * rng.choice((1, 3, 50))
            case 7:
                data[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f\xff", b"\x80")) * size
            case 8:
                _replace_number(data, rng)
    return bytes(data)


def _replace_number(data, rng):
    found = list(re.finditer(_NUMBER, data))
    if found:
        chosen = rng.choice(found)
        data[chosen.start() : chosen.end()] = rng.choice(_TOKENS)


# ---------------------------------------------------------------- reading


def read(root, layout):
    """Do all that can be done with a dataset."""
    from alb_mixup import open_dataset  # noqa: PLC0415
    from alb_mixup.datasets import CocoDataset, PseudoLabelDataset, YoloDataset  # noqa: PLC0415
    from alb_mixup.datasets.images.verify import decode_fault, image_fault  # noqa: PLC0415
    from alb_mixup.errors import AlbMixUpError  # noqa: PLC0415

    builds = [lambda: open_dataset(root)]
    if layout == "coco":
        file = next(root.glob("*.json"))
        builds += [lambda: CocoDataset(file, masks=True, keypoints=True, keep_crowd=True, on_invalid="clip")]
    elif layout == "results":
        builds = [lambda: PseudoLabelDataset(root / "results.json", root / "labels.json")]
    elif layout == "yolo":
        builds += [lambda: YoloDataset(root, masks=True, on_invalid="clip"), lambda: open_dataset(root, "valid")]
    elif layout == "voc":
        builds += [lambda: open_dataset(root / "VOC2012", "train", keep_difficult=True)]
    for build in builds:
        try:
            dataset = build()
        except AlbMixUpError:
            continue
        repr((dataset, dataset.invalid, dataset.unlabelled, dataset.orphans, dataset.fingerprint()))
        for index in range(len(dataset)):
            path, stated = dataset.image_path(index), dataset._stated_size(index)
            shallow, deep = image_fault(path, stated), decode_fault(path, stated)
            assert shallow is None or deep is not None, f"{path.name}: {shallow}, but it can be decoded"
            try:
                sample = dataset[index]
                assert sample["image"].shape[:2] == (dataset.image_size(index) if stated is None else stated)
                assert len(sample["bboxes"]) == len(sample["labels"]) == len(sample["mixup_weight"])
            except AlbMixUpError:
                assert deep is not None or layout == "yolo"  # masks ask for the size


def _outside(root, opened):
    """What was opened outside of the dataset, and is no part of Python."""
    allowed = (str(root), sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "/proc", "/sys", "/dev/null")
    own = Path(__file__).resolve().parent.parent.parent
    return [path for path in opened if not path.startswith((*allowed, f"{own}/alb_mixup", f"{own}/tests"))]


def work(first, count, folder):
    """Read files `first` to `first + count`, one line on stdout before each, and one more for each failure."""
    import resource  # noqa: PLC0415  (POSIX only)

    opened: list[str] = []

    def watch(event, arguments):
        if event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], str | os.PathLike):
            opened.append(os.path.realpath(os.fspath(arguments[0])))

    warnings.simplefilter("ignore")
    made = {}
    for name, (write, files, layout) in targets().items():
        root = Path(os.path.realpath(folder)) / name.replace(" ", "-") / "set"
        root.mkdir(parents=True)
        write(root)
        read(root, layout)  # sound files; and all modules are there now
        made[name] = root, files, layout, {file: (root / file).read_bytes() for file in files}
    (Path(folder) / "secret").mkdir()
    exports.fiftyone_coco(Path(folder) / "secret")
    names = list(made)
    sys.addaudithook(watch)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (_virtual() + 4 * MOST_BYTES,) * 2)
    for number in range(first, first + count):
        print(f"at {number}", flush=True)
        rng = random.Random(number)
        root, files, layout, sound = made[names[number % len(names)]]
        file = rng.choice(files)
        (root / file).write_bytes(damaged(sound[file], rng))
        opened.clear()
        started = time.perf_counter()
        try:
            read(root, layout)
        except BaseException:
            print(f"failed {number} {json.dumps(f'{root}/{file}: {traceback.format_exc()}')}", flush=True)
        took = time.perf_counter() - started
        for path in _outside(root, opened):
            print(f"failed {number} {json.dumps(f'{file}: opened {path}')}", flush=True)
        if took > LONGEST_S:
            print(f"failed {number} {json.dumps(f'{file}: took {took:.1f} s')}", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - base
        if peak > MOST_BYTES:
            print(f"failed {number} {json.dumps(f'{file}: took {peak >> 20} MB')}", flush=True)
            return  # the mark stays where it is: the next file gets a process of its own
        (root / file).write_bytes(sound[file])
    print("done", flush=True)


def _virtual():
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 2**20
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------- watching


def fuzz(first, count):
    """Read damaged files in subprocesses; return (number, what happened) of each failure."""
    failures, at, last = [], first, first + count
    while at < last:
        folder = tempfile.mkdtemp(prefix="fuzz-")
        command = [sys.executable, "-m", "tests.datasets.fuzz", "--first", str(at), "--files", str(last - at)]
        command += ["--folder", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            at, done = _follow(process, at, failures)
            if not done and process.poll() is None:
                time.sleep(0.1)  # it may be about to end by itself, and its code says how
            process.kill()
            code = process.wait()
        if not done:
            if code != 0 and not any(number == at for number, _ in failures):
                failures.append((at, f"the process ended with {code}"))
            at += 1
        else:
            at = last
        shutil.rmtree(folder)
    return failures


def _follow(process, at, failures):
    """Read a subprocess's lines until it ends or a file takes too long; return where it is, and whether all is done."""
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        begun = False
        while selector.select(timeout=2 * LONGEST_S if begun else 120):
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                return at, False
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                word, _, rest = line.decode().partition(" ")
                begun = True
                if word == "done":
                    return at, True
                if word == "at":
                    at = int(rest)
                elif word == "failed":
                    number, _, text = rest.partition(" ")
                    failures.append((int(number), json.loads(text)))
    failures.append((at, f"no answer for {2 * LONGEST_S} s"))
    return at, False


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="number of damaged files (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (default: 0)")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        work(arguments.first, arguments.files, arguments.folder)
        return 0
    started = time.perf_counter()
    failures = fuzz(arguments.first, arguments.files)
    for number, text in failures:
        print(f"--- {number}\n{text}")
    print(f"{arguments.files} damaged files, {len(failures)} failures, {time.perf_counter() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    np.seterr(all="raise")
    sys.exit(main())
