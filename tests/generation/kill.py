"""Runs ended by signals at random moments, then taken up: `python -m tests.generation.kill [--rounds N] [--seed N]`."""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import alb_mixup
from alb_mixup.generation.destination import Folder
from alb_mixup.generation.journal import decode_output
from alb_mixup.generation.run import generate
from alb_mixup.generation.verify import fault_of
from tests.generation.test_run import alive, children_of
from tests.support import ROOT, layouts, tree

SIGNALS, WORKERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT), (2, 1, 3)
MULTIPLIER = 60  # of 4 small images
_PATIENCE = 120  # seconds until something hangs


class Runs:
    """Runs of the same command, each in a folder of its own, with a folder of temporary files of its own.

    Args:
        base: Where all that lies.
    """

    def __init__(self, base):
        self.root, self.temporary, self.source = base / "set", base / "temporary", layouts.write_coco(base / "source")
        self.temporary.mkdir()
        self.dataset = alb_mixup.open_dataset(self.source)
        self.whole = tree(generate(self.dataset, base / "whole", **self._settings()))

    def _settings(self):
        return {"output_format": "yolo", "multiplier": MULTIPLIER, "progress": False}

    def _start(self, workers):
        """Start it, and wait until it is past Python's own start, where a traceback is Python's own."""
        command = [sys.executable, "-m", "alb_mixup", "generate", self.source, self.root, "--format", "yolo"]
        command += ["--multiplier", str(MULTIPLIER), "--workers", str(workers)]
        own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)}
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env=os.environ | own, start_new_session=True, **pipes)
        while process.poll() is None and "numpy" not in Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.02)
        return process

    def end_and_take_up(self, number, chance):
        """End a run, and hold what is left, and what the same call makes of it, against a run that nobody ended.

        Returns:
            What was ended, by what, and how much was done.
        """
        which, workers = SIGNALS[number % 3], WORKERS[number // 3 % 3]
        process = self._start(workers)
        self._wait(process, chance)
        whom = self._send(process, which, chance)
        _, said = process.communicate(timeout=_PATIENCE)
        self._wait_for_workers(process.pid)
        assert said == "" or (said.startswith("alb-mixup: ") and said.count("\n") == 1), said
        expected = {130} if which == signal.SIGINT else {2} if whom == "one worker" else {-which}
        assert process.returncode in {0, *expected}, (process.returncode, said)
        if which == signal.SIGINT:
            assert os.listdir(self.temporary) == []
        done = self._done()
        with _temporary_folder(self.temporary):
            generate(self.dataset, self.root, **self._settings())
        assert tree(self.root) == self.whole
        assert not (self.root / ".mixup" / "unfinished").exists()
        assert os.listdir(self.temporary) == []
        shutil.rmtree(self.root)
        return which.name, workers, "it came too late" if process.returncode == 0 else done

    def _wait(self, process, chance):
        """Wait for a moment of the start, of the outputs, or of the end."""
        part, count = chance.choice(["start", "outputs", "outputs", "end"]), len(self.dataset) * MULTIPLIER
        if part == "start":
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2 * chance.random())
            return
        images = chance.randrange(count) if part == "outputs" else count
        folder = self.root / "images" / "train"
        while process.poll() is None and (not folder.exists() or len(os.listdir(folder)) < images):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.02)

    def _send(self, process, which, chance):
        """Send a signal to whom it may reach; a terminal's Ctrl-C reaches all."""
        workers = [child for child in children_of(process.pid) if alive(child)]
        whom = "all" if which == signal.SIGINT else chance.choice(["the command", "all", "one worker"])
        if whom == "one worker" and not workers:
            whom = "the command"
        with contextlib.suppress(ProcessLookupError):
            if whom == "all":
                os.killpg(process.pid, which)
            else:
                os.kill(chance.choice(workers) if whom == "one worker" else process.pid, which)
        return whom

    def _wait_for_workers(self, session):
        deadline = time.monotonic() + _PATIENCE
        while _session_lives(session):
            assert time.monotonic() < deadline, "a process outlived the command"
            time.sleep(0.05)

    def _done(self):
        """How much is noted as done, which then is on disk."""
        journal = self.root / ".mixup" / "done.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
        records = [decode_output(line, len(self.dataset) * MULTIPLIER) for line in lines]
        place = Folder(self.root)
        assert not any(fault_of(place, record) for record in records if record is not None)
        return "some done" if any(records) else "nothing done"


def _session_lives(session):
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                return True
    return False


@contextlib.contextmanager
def _temporary_folder(folder):
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def end_and_take_up(rounds, seed, base):
    """End runs and take them up, `rounds` times; return how often came what."""
    runs, found = Runs(base), Counter()
    for number in range(rounds):
        chance = random.Random(f"{seed} {number}")
        try:
            found[runs.end_and_take_up(number, chance)] += 1
        except BaseException:
            print(f"round {number} of seed {seed}")
            raise
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in tests/conftest.py
    with tempfile.TemporaryDirectory() as folder:
        for (name, workers, done), times in sorted(
            end_and_take_up(arguments.rounds, arguments.seed, Path(folder)).items()
        ):
            print(f"{times:4} {name}, {workers} workers: {done}")


if __name__ == "__main__":
    main()
