"""`python -m benchmarks [table ...]`: print tables; see `--help`."""

import argparse
import os
import subprocess
import sys
from datetime import date

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("YOLO_VERBOSE", "false")

import cv2

from benchmarks import laws, loading, pages, tables, writing
from benchmarks.harness import machine

TABLES = {
    "compose": tables.hot_path,
    "peers": tables.against_peers,
    "kernel": tables.kernel,
    "resizing": tables.resizing,
    "pages": pages.pages,
    "growth": tables.growth,
    "laws": laws.laws,
    "disk": loading.from_disk,
    "epoch": loading.epoch,
    "threads": loading.threads,
    "writing": writing.written,
}


def main() -> None:
    """Parse the arguments, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time alb_mixup beside its peers.")
    parser.add_argument(
        "tables", nargs="*", metavar="table", help=f"which to print, all by default: {', '.join(TABLES)}"
    )
    parser.add_argument("--rounds", type=int, default=41, help="rounds of the tables in memory (default: 41)")
    parser.add_argument("--voc", help="folder of a Pascal VOC dataset for epoch and threads; default: the sample")
    parser.add_argument("--epoch-size", type=int, default=200, help="images of one epoch (default: 200)")
    parser.add_argument("--environments", help="folder made by benchmarks/environments.sh; default: peers from here")
    options = vars(parser.parse_args())
    chosen = options.pop("tables") or list(TABLES)
    if unknown := set(chosen) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
    if len(chosen) == 1:
        cv2.setNumThreads(1)
        print(f"{date.today()}. {machine()}\n\n{TABLES[chosen[0]](**options)}", flush=True)
        return
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    for number, name in enumerate(chosen):  # a process for each: what one table allocates changes the next one's times
        command = [sys.executable, *[f"-W{option}" for option in sys.warnoptions], "-m", "benchmarks", name, *given]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(printed if number == 0 else printed.split("\n\n", 1)[1], flush=True)


if __name__ == "__main__":
    main()
