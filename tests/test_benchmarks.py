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
        ("writing", "Writing", 4),
        ("laws", "Laws", 4),
    ],
)
def test_a_table_is_printed(name, title, rows):
    done = run(name, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"## {title}" in lines
    assert len([line for line in lines if line.startswith("| ")]) == rows + 2
    assert len({line.count(" |") for line in lines if line.startswith("| ")}) == 1


def test_peers_run_in_processes_of_their_own():
    done = run("peers", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ours, MixUp inside Compose")]
    assert [row.count(" |") for row in rows] == [5, 9, 4]
    assert done.stdout.count("| GluonCV MixupDetection | not installed") == 2
    assert "## Peers in one process" in done.stdout


def test_a_case_that_ends_early_is_named():
    code = "from benchmarks.worker import Worker; import sys; Worker(sys.executable, 'none', 1, 1, {})"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "'benchmarks.worker', 'none', '1', '1'] ended: 1" in done.stderr


def test_an_unknown_table_is_named():
    done = run("speed")
    assert done.returncode == 2
    assert "no such table: speed; there are compose, peers," in done.stderr
