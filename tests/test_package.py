"""The package as a whole: what it exports, which way its imports run, what it imports, what its README says."""

import ast
import doctest
import importlib
import importlib.metadata
import pickle
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import alb_mixup
from tests.support import ROOT

PACKAGE = ROOT / "alb_mixup"
FRAMEWORKS = {"torch", "torchvision", "transformers", "ultralytics", "ray", "tensorflow", "jax"}

# What each part may import from the package: imports run one way. The bare package stands above all of them.
LAYERS = {
    "errors": set(),
    "_version": set(),
    "functional": set(),
    "_support": {"errors", "functional"},
    "_backend": {"errors", "functional"},
    "datasets": {"errors", "functional", "_support", "_backend"},
    "transforms": {"errors", "functional", "_support", "_backend", "datasets"},
    "view": {"errors", "functional", "_support", "datasets", "transforms"},
    "generation": {"errors", "_version", "functional", "_support", "_backend", "datasets", "transforms"},
    "integrations": {"errors", "functional", "_support", "_backend", "datasets", "transforms", "generation"},
    "cli": {
        "errors",
        "_version",
        "functional",
        "_support",
        "datasets",
        "transforms",
        "view",
        "generation",
        "integrations",
    },
    "__main__": {"cli"},
}


def imports(path: Path) -> set[str]:
    """Return the absolute dotted names that a module imports, `from a import b` as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {str(node.module)} - {"alb_mixup"} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parts(path: Path) -> set[str]:
    """Return the parts of the package that a module imports; "the package" where it imports the package itself."""
    ours = [name.split(".") for name in imports(path) if name.split(".")[0] == "alb_mixup"]
    return {name[1] if len(name) > 1 and name[1] in LAYERS else "the package" for name in ours}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_public_exports_are_pinned():
    assert sorted(alb_mixup.__all__) == [
        "Background",
        "CachedDataset",
        "ClassWeights",
        "CocoDataset",
        "DiskCache",
        "MixUp",
        "MosaicDataset",
        "PseudoLabelDataset",
        "RecentSamples",
        "RepeatFactor",
        "VocDataset",
        "YoloDataset",
        "__version__",
        "explore",
        "generate",
        "mix_pair",
        "open_dataset",
        "plot",
        "plot_samples",
        "report",
        "sample_dataset",
    ]
    assert all(hasattr(alb_mixup, name) for name in alb_mixup.__all__)


def test_version_is_the_installed_one():
    assert importlib.metadata.version("alb-mixup") == alb_mixup.__version__


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert parts(path) - {layer} <= LAYERS[layer]
    found = {name.split(".")[0] for name in imports(path)}
    if layer != "integrations":
        assert not found & FRAMEWORKS
    if layer not in {"_backend", "transforms"}:
        assert "albumentations" not in found


def test_the_bare_package_counts_as_an_import_against_the_direction(tmp_path):
    for line in ("import alb_mixup", "from alb_mixup import MixUp", "import alb_mixup as package"):
        (tmp_path / "module.py").write_text(line)
        assert parts(tmp_path / "module.py") == {"the package"}
    (tmp_path / "module.py").write_text("from alb_mixup import _backend, errors\nimport alb_mixup.functional.boxes")
    assert parts(tmp_path / "module.py") == {"_backend", "errors", "functional"}


def test_no_modules_import_each_other():
    names = {module_name(path): path for path in modules()}
    graph = {name: {found for found in imports(path) if found in names} - {name} for name, path in names.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_every_layer_exists():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()} == set(LAYERS)


def test_no_module_has_the_name_of_a_public_one():
    assert not {path.stem for path in PACKAGE.iterdir()} & set(alb_mixup.__all__)


def test_public_names_say_their_public_address():
    exported = {name: getattr(alb_mixup, name) for name in alb_mixup.__all__ if name != "__version__"}
    assert {name: value.__module__ for name, value in exported.items()} == dict.fromkeys(exported, "alb_mixup")
    assert pickle.loads(pickle.dumps(alb_mixup.MixUp)) is alb_mixup.MixUp


def test_every_module_is_installed_with_the_package():
    """A subpackage that the build passes over is there in the sources, and missing where people install it."""
    found = importlib.metadata.distributions(name="alb-mixup")  # a build leaves an egg-info among the sources too
    [installed, *_] = [each for each in found if each.read_text("RECORD")]
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    if '"editable": true' in (installed.read_text("direct_url.json") or ""):
        setuptools, tomllib = map(importlib.import_module, ("setuptools", "tomllib"))
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
            "packages"
        ]
        found = setuptools.find_packages(str(ROOT), **settings["find"])
        packed = {path for path in sources if ".".join(Path(path).parent.parts) in found}
    else:
        packed = {file.as_posix() for file in installed.files}
    assert sources <= packed


def test_import_needs_no_matplotlib_and_no_framework():
    code = (
        "import sys; sys.modules['matplotlib'] = None; before = set(sys.modules); import albumentations; "
        "theirs = set(sys.modules); import alb_mixup; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - theirs}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not set(ast.literal_eval(done.stdout)) & (FRAMEWORKS | {"matplotlib", "ipywidgets", "IPython"})


def test_docstring_example_runs():
    # Not `testmod`, which passes over what says another module's name, as public names do.
    [test] = doctest.DocTestFinder(recurse=False).find(alb_mixup.MixUp, "MixUp", module=False, globs={})
    assert len(test.examples) >= 4
    assert doctest.DocTestRunner().run(test).failed == 0
