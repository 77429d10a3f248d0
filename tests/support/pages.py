"""Code blocks of the documentation, and a folder in which they run.

A block is a fence whose info string begins with `python`; further words name the frameworks that it needs, and
`task:NAME` what it does. `py` blocks are shown, not run. All blocks of a page share their names, as a reader's do.
"""

import importlib
import re
import shutil
from typing import NamedTuple

import yaml

from alb_mixup import generate, open_dataset, sample_dataset
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path for path in PAGES if not {"_build", "notebooks"} & set(path.relative_to(ROOT).parts)]
FENCE = re.compile(r"^```(python|py)\b *(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
# What a test can neither wait for nor download.
SHORTER = {
    "EPOCHS, SIZE = 100, 640": "EPOCHS, SIZE = 1, 64",
    "EPOCHS - 10": "EPOCHS",
    "EPOCHS = 100": "EPOCHS = 1",
    "EPOCHS = 10\n": "EPOCHS = 1\n",
    'TrainingArguments("out", ': 'TrainingArguments("out", use_cpu=True, report_to="none", ',
    "imgsz=SIZE": "imgsz=SIZE, project=__import__('os').path.abspath('runs')",  # where the test looks
    "max_bytes=4 * 1024**3": "max_bytes=10**8",
}


class Block(NamedTuple):
    """One fence of a page."""

    run: bool
    frameworks: tuple[str, ...]
    task: str | None
    code: str


def blocks(path):
    found = []
    for language, info, code in FENCE.findall(path.read_text(encoding="utf-8")):
        words = info.split()
        tasks = [word.removeprefix("task:") for word in words if word.startswith("task:")]
        frameworks = tuple(word for word in words if not word.startswith("task:"))
        found.append(Block(language == "python", frameworks, tasks[0] if tasks else None, code))
    return found


def make_folder(root):
    """Write what the pages call path/to/...: the sample, in each layout."""
    sample = sample_dataset()
    voc = root / "path" / "to" / "dataset"
    shutil.copytree(sample.root, voc)
    lists = voc / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "train.txt").write_text("\n".join(sample.image_path(i).stem for i in range(10)) + "\n", encoding="utf-8")
    dataset = open_dataset(voc)
    generate(dataset, root / "path" / "to" / "coco", output_format="coco", progress=False)
    made = generate(dataset, root / "path" / "to" / "yolo", output_format="yolo", drop_weights=True,
                    ratio_range=(0.5, 0.5), progress=False)  # fmt: skip
    for kind in ("images", "labels"):
        shutil.copytree(made / kind / "train", made / kind / "val")
    described = yaml.safe_load((made / "data.yaml").read_text(encoding="utf-8"))
    described |= {"path": str(made), "train": "images/train", "val": "images/val"}
    (made / "data.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), encoding="utf-8")
    return root


def add_hugging_face(root):
    """Write the sample as a Hugging Face table."""
    datasets = importlib.import_module("datasets")

    sample = sample_dataset()
    rows = []
    for i in range(len(sample)):
        found = sample.annotations(i)
        corners = found["bboxes"].copy()
        corners[:, 2:] -= corners[:, :2]
        category = [sample.classes.index(label) for label in found["labels"]]
        rows.append({"image": str(sample.image_path(i)), "objects": {"bbox": corners.tolist(), "category": category}})
    table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    table.save_to_disk(root / "path" / "to" / "hugging_face")


def shortened(code):
    for shown, run in SHORTER.items():
        code = code.replace(shown, run)
    return code


def run_blocks(path, chosen, scope=None):
    """Run blocks of a page one after the other; return the names that they leave."""
    scope = {"__name__": "page"} if scope is None else scope
    for block in chosen:
        exec(compile(shortened(block.code), path.name, "exec"), scope)
    return scope
