"""Every power cut of a run, and what the same call makes of it: `python -m tests.generation.power_cuts [SEEDS]`."""

import shutil
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import alb_mixup
from alb_mixup.errors import CacheError, StaleCacheWarning
from alb_mixup.generation.destination import JOURNAL, Folder
from alb_mixup.generation.journal import decode_output
from alb_mixup.generation.mixer import Writer
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.run import carry_out, generate
from alb_mixup.generation.verify import fault_of
from tests.support import layouts, tree
from tests.support.power import WAYS, Disk
from tests.support.samples import same


def cut_everywhere(base, start, check, before=None, ways=WAYS, seeds=1, every=1):
    """Carry out `start(folder)` once; for each cut, `check` what `start` makes of the rest. Return how many.

    `before` is called with the rest as it is. A cut when all is over leaves all.
    """
    done = 0

    def at_cut(disk):
        nonlocal done
        if disk.cuts % every:
            return
        for way in ways:
            for seed in range(seeds if way == "mixed" else 1):
                rest = base / "rest"
                disk.after_cut(rest, way, seed=1000 * disk.cuts + seed)
                if before is not None:
                    before(rest, f"cut {disk.cuts}, {way}, seed {seed}")
                start(rest)
                check(rest, f"cut {disk.cuts}, {way}, seed {seed}")
                shutil.rmtree(rest)
                done += 1

    watched = base / "watched"
    watched.mkdir()
    with Disk(watched, at_cut).watched() as disk:
        start(watched)
    check(watched, "no cut")
    for way in ways:
        disk.after_cut(base / "rest", way)
        check(base / "rest", f"a cut when all is over, {way}")
        shutil.rmtree(base / "rest")
    return done + len(ways)


def cuts_of_generate(base, output_format, run=generate, **options):
    """Power cuts of `run`, whose trees are to be those of a run without any."""
    source = alb_mixup.open_dataset(layouts.write_coco(base / "source"))
    whole = tree(generate(source, base / "whole", output_format=output_format, multiplier=2, progress=False))

    def start(folder):
        run(source, folder / "set", output_format=output_format, multiplier=2, progress=False)

    def check(folder, place):
        assert tree(folder / "set") == whole, place
        assert not (folder / "set" / ".mixup" / "unfinished").exists(), place

    def before(folder, place):
        """What is noted as done is on disk: a record never comes before its files."""
        set_ = Folder(folder / "set")
        for line in (set_.read(JOURNAL) or b"").splitlines(keepends=True):
            record = decode_output(line, 8)
            assert record is None or fault_of(set_, record) is None, place

    return cut_everywhere(base, start, check, before, **options)


def in_batches(dataset, destination, *, progress, **settings):
    """The Ray engine's way, without Ray: each batch is made, synced and noted by a `Writer` of its own."""
    plan, place = Plan(dataset, **settings), Folder(destination)

    def engine(missing):
        for begin in range(0, len(missing), 3):
            yield Writer(plan, place)(missing[begin : begin + 3])

    carry_out(plan, place, engine, progress)


def cuts_of_cache(base, **options):
    """Power cuts of `DiskCache`, which is to hold the same pixels as without any, a stale one being there before."""
    source = alb_mixup.open_dataset(layouts.write_coco(base / "source"))

    def start(folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StaleCacheWarning)
            if not (folder / "a.cache").exists():
                alb_mixup.DiskCache(source, folder / "a.cache", (20, 20))
            alb_mixup.DiskCache(source, folder / "a.cache")

    def check(folder, place):
        try:
            cache = alb_mixup.DiskCache.opened(source, folder / "a.cache")
        except CacheError as error:
            raise AssertionError(place) from error
        assert all(same(cache[index], source[index]) for index in range(len(source))), place

    return cut_everywhere(base, start, check, **options)


def main(seeds=5):
    total = 0
    runs = {f"generate, {name}": partial(cuts_of_generate, output_format=name, seeds=seeds) for name in layouts.WRITERS}
    runs["batches as on Ray"] = partial(cuts_of_generate, output_format="yolo", run=in_batches, seeds=seeds)
    runs["DiskCache"] = partial(cuts_of_cache, seeds=seeds)
    for name, run in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            count = run(Path(folder))
        total += count
        print(f"{name}: {count} cuts, the same bytes after each", flush=True)
    print(f"{total} cuts in all")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
