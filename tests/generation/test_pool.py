"""Workers and Ctrl-C, which reaches the whole group."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support import ROOT

SCRIPT = """
import signal
from alb_mixup.generation.pool import run_in_workers

def build():
    return lambda _: signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

if __name__ == "__main__":
    print(list(run_in_workers(build, (), range(4), 2)), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_no_worker_sees_ctrl_c_even_while_it_imports(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command, own = [sys.executable, tmp_path / "script.py"], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | own)
    assert done.stdout == "[True, True, True, True] set()\n"
