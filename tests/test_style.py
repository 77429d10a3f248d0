"""One dialect: the form of error texts and of public docstrings, and plain English."""

import ast
import inspect
import re

import pytest

from alb_mixup import errors
from tests.support import ROOT

PACKAGE = ROOT / "alb_mixup"
FILES = sorted(PACKAGE.rglob("*.py"))
ERRORS = {name for name, value in vars(errors).items() if inspect.isclass(value) and not issubclass(value, Warning)}
SECTIONS = ["Args", "Attributes", "Returns", "Yields", "Raises", "Warns", "Examples"]
# What a reader stumbles over, and what to write instead.
DIALECT = {
    r"\bis no (dict|sequence|mapping|number|list|array|image|path|folder|file|transform|whole|pipeline)\b": "is not a",
    r"\bare no (numbers|floats|images|dicts)\b": "are not",
    r"\bweigh(s|ed|ing)?\b(?! (a|an|the) )": "weight, weighted",
    r"\bas often as it takes\b": "until it succeeds",
    r"\bwhoever looks\b": "a reader",
    r"\bthat went by last\b": "the most recent",
    r"\bso many there are\b": "",
}


def text_of(node: ast.AST) -> str | None:
    """Return a string literal as it reads, a placeholder for each value; None where it is something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join("X" if isinstance(part, ast.FormattedValue) else part.value for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [text_of(node.left) or "X", text_of(node.right) or "X"]
        return "".join(sides)
    return None


def error_texts() -> list[tuple[str, str]]:
    """Return where each error is built whose text is written there, and that text."""
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ERRORS and node.args:
                text = text_of(node.args[0])
                if text is not None and text != "X":
                    found.append((f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", text))
    return found


FORM = re.compile(r"^\S.* (must|needs) .+, got .*[^.]$", re.DOTALL)


@pytest.mark.parametrize(("place", "text"), error_texts(), ids=lambda value: value.split(" ")[0][:60])
def test_errors_name_argument_constraint_value_and_fix(place, text):
    assert FORM.match(text), f"{place}: write '<argument> must <constraint>, got <value>: <what to do>', not {text!r}"


def docstrings() -> list[tuple[str, str]]:
    """Return where each docstring of the package is, and its text, indentation removed."""
    found = []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            if text:
                place = f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'name', '(module)')}"
                found.append((place, text))
    return found


@pytest.mark.parametrize(("place", "text"), docstrings(), ids=lambda value: value.split("\n")[0][:80])
def test_docstrings_are_google_style_with_capitals(place, text):
    headings = [line[:-1] for line in text.splitlines() if re.fullmatch(r"[A-Z][a-z]+( [a-z]+)?:", line)]
    known = [heading for heading in headings if heading in SECTIONS]
    assert known == sorted(known, key=SECTIONS.index), f"{place}: sections in the order {SECTIONS}"
    section = None
    for line in text.splitlines():
        if re.fullmatch(r"\w+:", line) and line[:-1] in SECTIONS:
            section = line[:-1]
        elif line and not line.startswith(" "):
            section = None
        elif section in {"Args", "Attributes", "Raises"}:
            entry = re.match(r" {4}(?! )([\w*, ]+)(?: \([^)]*\))?: (.)", line)
            assert entry is None or not "a" <= entry[2] <= "z", f"{place}: {line.strip()!r} begins with a capital"
    written_small = text.startswith(("rfdetr", "torchvision", "transformers"))  # by their own people
    assert text[0].isupper() or not text[0].isalpha() or written_small, f"{place}: a summary begins with a capital"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_english_is_plain(path):
    text = path.read_text(encoding="utf-8")
    for pattern, instead in DIALECT.items():
        match = re.search(pattern, text)
        assert match is None, f"{path.name}: {match[0]!r}; write {instead!r}"
