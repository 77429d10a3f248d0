"""Damage to what `generate` and `DiskCache` keep on disk: `python -m tests.generation.damage [COUNT] [SEED]`."""

import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import alb_mixup
from alb_mixup.errors import CacheError, OutputError, StaleCacheWarning
from alb_mixup.generation import run
from alb_mixup.generation.run import generate
from alb_mixup.generation.verify import verify
from tests.support import layouts, tree
from tests.support.samples import same

_WORDS = (
    b"0",
    b"-2",
    b"1e999",
    b"null",
    b"[]",
    b"{}",
    b'"',
    b"true",
    b"\n",
    b"\0" * 32,
    b"10000000000000000000",
    b"../..",
)


def mutated(content, chance):
    """Contents with one piece of damage."""
    begin = chance.randrange(len(content) + 1)
    end = min(len(content), begin + chance.choice([1, 1, 4, 50, 4096]))
    lines, flipped = content.splitlines(keepends=True), 1 << chance.randrange(8)
    return chance.choice([
        lambda: content[:begin] + bytes(byte ^ flipped for byte in content[begin : begin + 1]) + content[begin + 1 :],
        lambda: content[:begin],
        lambda: b"",
        lambda: content[:begin] + content[end:],
        lambda: content[:begin] + b"\0" * (end - begin) + content[end:],
        lambda: b"\0" * len(content),
        lambda: content[:begin] + chance.choice(_WORDS) + content[chance.choice([begin, end]) :],
        lambda: content[:begin] + chance.randbytes(end - begin) + content[end:],
        lambda: content + content[begin:end],
        lambda: b"".join(chance.sample(lines, len(lines))),
        lambda: b"".join(line for line in lines if chance.random() < 0.7),
        lambda: b"".join(line for line in lines for _ in range(chance.randrange(3))),
    ])()  # fmt: skip


class Sets:
    """A finished set, a stopped one and a cache, small enough to be damaged thousands of times."""

    def __init__(self, base):
        self.base = base
        self.source = alb_mixup.open_dataset(layouts.write_coco(base / "source"))
        self.settings = {"output_format": "yolo", "multiplier": 2, "progress": False}
        self.whole = tree(generate(self.source, base / "finished", **self.settings))
        finish = run._finish
        run._finish = self._stop
        try:
            generate(self.source, base / "stopped", **self.settings)
        except KeyboardInterrupt:
            pass
        finally:
            run._finish = finish
        alb_mixup.DiskCache(self.source, base / "a.cache")

    def _stop(self, *_):
        raise KeyboardInterrupt

    def damage_a_set(self, chance):
        """Damage one or two files of a set; return what came of it."""
        root = self.base / "damaged"
        shutil.copytree(self.base / chance.choice(["finished", "stopped"]), root)
        try:
            before = tree(root)
            for path in chance.sample(sorted(before), chance.choice([1, 1, 2])):
                if chance.random() < 0.1:
                    (root / path).unlink()
                else:
                    (root / path).write_bytes(mutated(before[path], chance))
            faults = verify(root)
            assert faults or tree(root) == self.whole, "damage that `verify` does not see"
            try:
                generate(self.source, root, **self.settings)
            except OutputError as error:
                assert str(error).startswith("destination must "), error  # noqa: PT017
                return "refused"
            assert tree(root) == self.whole
            assert verify(root) == []
            return "mended"
        finally:
            shutil.rmtree(root)

    def damage_a_cache(self, chance):
        """Damage a cache; return what came of it."""
        path = self.base / "damaged.cache"
        path.write_bytes(mutated((self.base / "a.cache").read_bytes(), chance))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StaleCacheWarning)
            try:
                cache = alb_mixup.DiskCache(self.source, path)
                samples = [cache[index] for index in range(len(self.source))]
            except CacheError as error:
                assert str(error).startswith("path must "), error  # noqa: PT017
                return "refused"
        assert all(same(sample, self.source[index]) for index, sample in enumerate(samples))
        return "cache built anew" if caught else "cache unharmed"


def damage(count, seed, base):
    """Damage sets and caches `count` times; return how often came what."""
    sets, found = Sets(base), Counter()
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        try:
            found[sets.damage_a_cache(chance) if number % 4 == 3 else sets.damage_a_set(chance)] += 1
        except BaseException:
            print(f"damage {number} of seed {seed}")
            raise
    return found


def main(count=10_000, seed=0):
    in_memory = Path("/dev/shm")  # where syncing takes no time
    with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else None) as folder:
        for what, times in damage(count, seed, Path(folder)).most_common():
            print(f"{times:6} {what}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
