"""The benchmarks run, one round of the tables that need nothing but this package; the study's report is right."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments, module="benchmarks"):
    command = [sys.executable, "-W", "error", "-m", module, *arguments]
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


# ---------------------------------------------------------------- the training study


def reported(rows):
    """Return what the report prints of a file of rows."""
    done = run("--rows", str(rows), module="benchmarks.training.report")
    assert done.returncode == 0, done.stderr
    assert rows.with_name("differences.png").read_bytes().startswith(b"\x89PNG")
    return done.stdout.splitlines()


def write_rows(file, gains, last=None):
    """Write a set's rows: the length rule stops at 200 epochs, then arms that gain so much with each subset."""
    columns = ["dataset", "subset", "arm", "epochs", "map50_95", "map50", "seconds", "versions"]
    names = [f"map50_95:{name}" for name in ("Platelets", "RBC", "WBC")]
    rows = [(subset, "none", epochs, 0.4 + epochs / 1e4) for epochs in (120, 200) for subset in (100, 101, 102)]
    rows += [(subset, "none", 300, 0.42) for subset in (100, 101, 102)]
    for epochs, subsets, share in ((120, range(5), -1), (200, range(12), 1)):
        # The subset's own score, in all arms alike, is no difference.
        rows += [
            (subset, arm, epochs, 0.5 + 0.03 * (subset % 5) + share * gain * (subset + 1))
            for arm, gain in gains.items() for subset in subsets
        ]  # fmt: skip
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow([*columns, *names])
        writer.writerows(["bccd", *row, row[-1], 60, "a=1", *[row[-1]] * len(names)] for row in rows[:last])
    return file


GAINS = {"none": 0.0, "blind": 0.0, "hard": 0.02, "interpolate": 0.01, "scale": 0.0}


def test_the_report_pairs_by_subset(tmp_path):
    lines = reported(write_rows(tmp_path / "rows.csv", GAINS))
    assert "Length: 200 epochs." in lines
    # 0.01, 0.02, ... 0.12: mean 0.065, deviation 0.03606, t(11) = 2.201
    found = [line for line in lines if line.startswith("| interpolate − none ")]
    of_length, of_short, turned = found[::2]  # the others are of mAP50
    assert of_length.startswith("| interpolate − none | 12 | +0.0650 | +0.0421 to +0.0879 | +0.04")
    assert of_length.endswith(" | 12 : 0 | firm |")
    # -0.01, ... -0.05: mean -0.03, deviation 0.01581, t(4) = 2.776
    assert of_short.startswith("| interpolate − none | 5 | -0.0300 | -0.0496 to -0.0104 | -0.04")
    assert of_short.endswith(" | 0 : 5 | settled |")
    assert turned.startswith("| interpolate − none | 5 | +0.0600 | +0.0207 to +0.0993 |")
    assert any(re.match(r"\| interpolate − hard \| 12 \| -0.0650 \| .* \| 0 : 12 \| firm \|", line) for line in lines)


def test_the_report_gives_no_verdict_before_all_rows_are_there(tmp_path):
    lines = reported(write_rows(tmp_path / "rows.csv", GAINS, last=-1))
    begin = lines.index("### 200 epochs, the length of this set: INTERIM, rows are missing, no claim rests on this")
    end = lines.index("### 120 epochs, subsets 0 to 4")
    contrasts = [line for line in lines[begin:end] if " − " in line]
    assert contrasts
    assert all(line.endswith("| interim |") for line in contrasts)


def test_the_findings_are_what_the_report_prints(tmp_path):
    rows = Path(shutil.copy(ROOT / "benchmarks" / "training" / "rows.csv", tmp_path))
    printed = reported(rows)
    findings, _ = (ROOT / "benchmarks" / "TRAINING.md").read_text(encoding="utf-8").split("\n## Design\n")
    told = [line for line in findings.splitlines() if line.startswith("|")]
    assert len(told) > 10
    assert not set(told) - set(printed)
