"""What the README shows of the integrations can be imported; its blocks need a model and data to run."""

import ast
from pathlib import Path

import pytest

for framework in ("torch", "transformers", "ultralytics"):
    pytest.importorskip(framework)


def test_the_imports_shown_run():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = [ast.parse(block.split("```")[0]) for block in text.split("```py\n")[1:]]
    shown = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert "alb_mixup.integrations.ultralytics" in {node.module for node in shown}
    exec(compile(ast.Module(shown, type_ignores=[]), "README.md", "exec"), {})
