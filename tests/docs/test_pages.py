"""The pages: their code blocks run, their links lead somewhere, the README is short and true on an index page."""

import ast
import re
from importlib.util import find_spec
from itertools import takewhile

import pytest

from tests.support import ROOT
from tests.support.pages import PAGES, blocks, run_blocks

WITH_CODE = [path for path in PAGES if any(block.run for block in blocks(path))]
FRAMED = [path for path in WITH_CODE if any(block.frameworks for block in blocks(path))]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", WITH_CODE, ids=name)
def test_blocks_up_to_the_first_that_needs_a_framework_run(path, folder):
    run_blocks(path, takewhile(lambda block: not block.frameworks, [block for block in blocks(path) if block.run]))


@pytest.mark.parametrize("path", FRAMED, ids=name)
def test_all_blocks_run(path, prepare):
    prepare({framework for block in blocks(path) for framework in block.frameworks})
    run_blocks(path, [block for block in blocks(path) if block.run])


def framework_of(module):
    return module.removeprefix("alb_mixup.integrations.").split(".")[0]


SHOWN = [path for path in PAGES if any(not block.run for block in blocks(path))]


@pytest.mark.parametrize("path", SHOWN, ids=name)
def test_imports_of_blocks_that_are_only_shown_run(path):
    parsed = [ast.parse(block.code) for block in blocks(path) if not block.run]
    imports = [node for tree in parsed for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    imports = [node for node in imports if find_spec(framework_of(ast.unparse(node).split()[1]))]  # in some environment
    exec(compile(ast.Module(imports, type_ignores=[]), path.name, "exec"), {})


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_all_blocks_are_python(path):
    for block in blocks(path):
        ast.parse(block.code)


@pytest.mark.parametrize("path", [*PAGES, *(ROOT / "benchmarks").glob("*.md"), ROOT / "CONTRIBUTING.md"], ids=name)
def test_links_within_the_repository_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if "notebooks/" in file and "docs" in path.parts:  # copied there by the build
            there = ROOT / "notebooks" / file.rsplit("/", 1)[-1]
        assert there.exists(), f"{name(path)}: {target}"
        if anchor and there.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings], target


def test_readme_is_short_runs_and_links_nowhere_that_an_index_page_has_not():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    assert not LINK.findall(text)
    scope = run_blocks(ROOT / "README.md", [block for block in blocks(ROOT / "README.md") if block.run])
    out = scope["out"]
    assert out["labels"] == ["cat", "dog"]
    assert sum(out["mixup_weight"]) == pytest.approx(1)
    for command in ('pip install ".[cli]" && alb-mixup preview', 'pip install ".[test]" && pytest', "git clone"):
        assert command in text
    for file in re.findall(r"`((?:docs/|benchmarks/)?\w+\.md)`", text):
        assert (ROOT / file).exists() or (ROOT / "docs" / file).exists(), file


def test_every_page_is_in_the_table_of_contents():
    trees = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    for path in PAGES[1:]:
        assert path.stem == "index" or re.search(rf"^(\w+/)*{path.stem}$", trees, re.MULTILINE), name(path)
