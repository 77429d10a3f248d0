"""`python -m benchmarks [table ...]`: print tables; see `--help`."""

import argparse
import os
from datetime import date

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2

from benchmarks import loading, pages, tables
from benchmarks.harness import machine

TABLES = {
    "compose": tables.hot_path,
    "peers": tables.against_peers,
    "kernel": tables.kernel,
    "resizing": tables.resizing,
    "pages": pages.pages,
    "growth": tables.growth,
    "disk": loading.from_disk,
    "epoch": loading.epoch,
    "threads": loading.threads,
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
    cv2.setNumThreads(1)
    print(f"{date.today()}. {machine()}\n")
    for name in chosen:
        print(TABLES[name](**options), flush=True)


if __name__ == "__main__":
    main()
