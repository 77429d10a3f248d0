"""The benchmarks run: one round of the tables that need nothing but this package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments):
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize(
    ("name", "title", "rows"),
    [
        ("compose", "Inside Compose", 3),
        ("kernel", "Kernel", 16),
        ("resizing", "Resizing", 15),
    ],
)
def test_a_table_is_printed(name, title, rows):
    done = run(name, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"## {title}" in lines
    assert len([line for line in lines if line.startswith("| ")]) == rows + 2
    assert len({line.count(" |") for line in lines if line.startswith("| ")}) == 1


def test_an_unknown_table_is_named():
    done = run("speed")
    assert done.returncode == 2
    assert "no such table: speed; there are compose, peers," in done.stderr
