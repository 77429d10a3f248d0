"""The package as a whole: what it exports, which way its imports run, what it imports, what its README says."""

import ast
import doctest
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import alb_mixup
from alb_mixup import transform

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "alb_mixup"
FRAMEWORKS = {"torch", "torchvision", "transformers", "ultralytics", "ray", "tensorflow", "jax"}

# What a module may import from the package; the design's "imports run one way".
LAYERS = {
    "errors": set(),
    "functional": {"functional"},
    "datasets": {"errors", "functional", "datasets", "_progress"},
    "plot": {"errors", "functional"},
    "preview": {"errors", "plot"},
    "explore": {"errors", "functional", "plot", "preview", "transform"},
    "check": {"functional", "datasets"},
    "_checks": {"errors"},
    "_backend": {"errors", "functional", "_backend"},
    "_reference": {"errors", "functional", "datasets", "_backend"},
    "_sample": {"errors", "functional"},
    "_rows": {"errors", "functional", "_backend", "_sample"},
    "transform": {"errors", "functional", "datasets", "_backend", "_checks", "_reference", "_rows", "_sample"},
    "mosaic": {"errors", "functional", "datasets", "_backend", "_checks", "_reference", "_sample"},
    "writers": {"errors", "functional"},
    "_output": set(),
    "_progress": set(),
    "_memory": set(),
    "_pool": {"errors", "_memory"},
    "_journal": {"errors"},
    "_destination": {"errors", "_output", "_journal"},
    "generate": {
        "errors",
        "functional",
        "datasets",
        "_checks",
        "_backend",
        "transform",
        "writers",
        "_destination",
        "_progress",
        "_pool",
    },
    "cli": {
        "errors",
        "functional",
        "datasets",
        "check",
        "preview",
        "transform",
        "writers",
        "generate",
        "_output",
        "integrations",
    },  # ray's, where it is asked for
    "integrations": {
        "errors",
        "functional",
        "datasets",
        "_backend",
        "_checks",
        "_destination",
        "_journal",
        "_memory",
        "generate",
        "transform",
        "integrations",
    },
}


def imports(path: Path) -> set[str]:
    """Return the absolute dotted names that a module imports, `from a import b` as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def test_public_exports_are_pinned():
    assert sorted(alb_mixup.__all__) == [
        "CachedDataset",
        "CocoDataset",
        "DiskCache",
        "MixUp",
        "MosaicDataset",
        "PseudoLabelDataset",
        "RecentSamples",
        "VocDataset",
        "YoloDataset",
        "__version__",
        "explore",
        "generate",
        "open_dataset",
        "plot",
        "sample_dataset",
    ]
    assert all(hasattr(alb_mixup, name) for name in alb_mixup.__all__)


def test_version_is_the_installed_one():
    assert importlib.metadata.version("alb-mixup") == alb_mixup.__version__


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    found = imports(path)
    ours = {name.split(".")[1] for name in found if name.startswith("alb_mixup.")}
    parts = {part for part in ours if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()}
    assert parts <= LAYERS[layer]
    if layer != "integrations":
        assert not {name.split(".")[0] for name in found} & FRAMEWORKS
    if layer not in {"_backend", "transform"}:
        assert "albumentations" not in {name.split(".")[0] for name in found}


def test_every_layer_exists():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()} == set(LAYERS)


def test_import_needs_no_matplotlib_and_no_framework():
    code = (
        "import sys; sys.modules['matplotlib'] = None; before = set(sys.modules); import albumentations; "
        "theirs = set(sys.modules); import alb_mixup; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - theirs}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not set(ast.literal_eval(done.stdout)) & (FRAMEWORKS | {"matplotlib", "ipywidgets", "IPython"})


def readme_blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [block.split("```")[0] for block in text.split("```python\n")[1:]]


def test_readme_code_runs():
    blocks = readme_blocks()
    assert len(blocks) >= 3
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    out, dataset = scope["out"], scope["dataset"]
    assert len(out["bboxes"]) == len(out["labels"]) == len(out["mixup_weight"])
    assert len(out["bboxes"]) > len(dataset[0]["bboxes"])
    adapted = scope["Adapted"]([(dataset[0]["image"], [{"bbox": [1, 2, 30, 40], "category_id": 7}])])
    assert adapted[0]["labels"] == [7]


def test_readme_shows_a_picture_that_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    picture = text.split("](docs/")[1].split(")")[0]
    assert (ROOT / "docs" / picture).stat().st_size > 10_000


def test_docstring_example_runs():
    results = doctest.testmod(transform)
    assert results.attempted >= 4
    assert results.failed == 0
