"""Processes that work through images keep the memory that they free."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.generation.pool import run_in_workers
from tests.support import ROOT

PAGES = 300  # of an image of 640×640×3

only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library frees by other rules")


def page_faults(_=None):
    """Count the page faults of an image, where images are held in batches of 16 and dropped together."""
    import resource  # noqa: PLC0415  (not on Windows)

    def batch():
        return [np.full((640, 640, 3), 7, np.uint8) for _ in range(16)]

    for _ in range(3):
        batch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        batch()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 48


def fresh(code):
    """Run code in a process whose memory nobody has used or tuned, and return what it prints."""
    untuned = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=untuned)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


@only_glibc
def test_freed_images_are_kept():
    calls = "print(t.page_faults()); t.keep_freed_memory(); print(t.page_faults())"
    before, after = fresh(f"import tests._support.test_memory as t; {calls}")
    assert before > 0.9 * PAGES  # or this shows nothing
    assert after < 0.05 * PAGES


def test_it_costs_no_memory():
    before = _resident()
    keep_freed_memory()
    assert _resident() - before < 2**20


def _resident():
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("no /proc")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@only_glibc
def test_workers_of_generate_do():
    code = "import tests._support.test_memory as t; print(*t.of_workers())"
    assert max(fresh(code)) < 0.05 * PAGES


def of_workers():
    return list(run_in_workers(build, (), range(2), workers=2))


def build():
    return page_faults
