"""The reference: every public name has a page, an example that runs, and says what it raises."""

import doctest
import inspect
import re

import pytest
from matplotlib import pyplot

import alb_mixup
from alb_mixup import errors
from alb_mixup.datasets import DetectionDataset
from tests.support import ROOT

API = ROOT / "docs" / "api"
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(API.rglob("*.md")))
PUBLIC = {name: getattr(alb_mixup, name) for name in alb_mixup.__all__ if name != "__version__"}
RAISES_NOTHING = {"sample_dataset"}  # it asks for nothing
INTEGRATIONS = ROOT / "alb_mixup" / "integrations"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_page(name):
    assert re.search(rf"^\.\. auto(class|function):: alb_mixup\.{name}$", PAGES, re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_its_example_runs(name, tmp_path, monkeypatch):
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    # Not `testmod`, which passes over what says another module's name, as public names do.
    [test] = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, module=False, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
    pyplot.close("all")


def test_the_example_of_what_datasets_share_runs():
    [test] = doctest.DocTestFinder(recurse=False).find(DetectionDataset, "DetectionDataset", module=False, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - RAISES_NOTHING))
def test_it_says_what_it_raises(name):
    assert re.search(r"^ *(Raises|Warns):$", inspect.getdoc(PUBLIC[name]), re.MULTILINE)


def test_every_error_has_a_line():
    for name, value in vars(errors).items():
        if inspect.isclass(value):
            assert f"alb_mixup.errors.{name}" in PAGES


def test_every_integration_has_a_page():
    names = {path.name.removesuffix(".py") for path in INTEGRATIONS.iterdir() if not path.name.startswith("_")}
    for name in names - {"__pycache__"}:
        assert f".. automodule:: alb_mixup.integrations.{name}\n" in PAGES


def test_pages_name_nothing_that_is_gone():
    for dotted in re.findall(r"auto(?:class|function|exception):: (alb_mixup[\w.]*)", PAGES):
        module, name = dotted.rsplit(".", 1)
        assert hasattr(__import__(module, fromlist=[name]), name), dotted
