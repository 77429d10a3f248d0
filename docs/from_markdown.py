"""Markdown as this project writes it in docstrings and at its root, for the pages."""

import re
from collections.abc import Iterable, Iterator

_PLURAL = re.compile(r"((?<!`)`[^`]+`)(?=s\b)")  # "`Sample`s"
_LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def relinked(text: str, folder: str) -> str:
    """Let a page show a file of another folder, whose way from the page's own is given.

    Links to files become the files' names, as a page has no way there. Pictures are taken from where they lie.
    """
    return _LINK.sub(lambda link: f"![{link[2]}]({folder}/{link[3]})" if link[1] else _named(link[2], link[3]), text)


def _named(words: str, target: str) -> str:
    name = target.rsplit("/", 1)[-1]
    return words if name in words else f"{words} (`{name}`)"


def docstring(lines: Iterable[str]) -> list[str]:
    """Turn fences and tables of Markdown into reStructuredText; the rest is the same in both.

    Args:
        lines: Those of a docstring.

    Returns:
        Lines that docutils reads.
    """
    return list(_rewritten(list(lines)))


def _rewritten(lines: list[str]) -> Iterator[str]:
    number = 0
    while number < len(lines):
        line = lines[number]
        indent = line[: len(line) - len(line.lstrip())]
        if line.lstrip().startswith("```"):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == "```")
            yield from ["", f"{indent}.. code-block:: {line.strip().removeprefix('```') or 'text'}", ""]
            yield from (f"    {code}" if code.strip() else "" for code in lines[number + 1 : end])
            yield ""
            number = end
        elif line.lstrip().startswith("| "):
            end = number
            while end < len(lines) and lines[end].lstrip().startswith("|"):
                end += 1
            yield from _table(lines[number:end], indent)
            number = end - 1
        else:
            yield _PLURAL.sub(r"\1\\ ", line)
        number += 1


def _table(rows: list[str], indent: str) -> Iterator[str]:
    yield from ["", f"{indent}.. list-table::", f"{indent}    :header-rows: 1", ""]
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip())[1:-1]]
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            continue
        for column, cell in enumerate(cells):
            yield f"{indent}    {'*' if column == 0 else ' '} - {cell}"
    yield ""
