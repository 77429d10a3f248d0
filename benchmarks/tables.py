"""Tables of what runs in memory: the hot path, the peers, the kernel, resizing, growth."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import albumentations as A
import cv2
import numpy as np

from alb_mixup import MixUp
from alb_mixup.functional.blend import blend, blend_placed
from alb_mixup.functional.geometry import place
from alb_mixup.functional.weights import join_weighed_rows
from benchmarks import peers
from benchmarks.harness import SIDE, interleave, sample, table

_PACKAGES = frozenset({"ultralytics", "torchvision", "kornia"})


def compose(*transforms: Any) -> A.Compose:
    """Return the stock pipeline of two label fields."""
    return A.Compose(list(transforms), bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"]))


def mixup_case(n_boxes: int, side: int = SIDE) -> Callable[[], Any]:
    """MixUp alone in a Compose, an in-memory reference of the same size and as many boxes."""
    pipeline, primary = compose(MixUp([sample(n_boxes, side, seed=1)], p=1.0)), sample(n_boxes, side)
    return lambda: pipeline(**primary)


def blend_case(side: int = SIDE) -> Callable[[], Any]:
    """`cv2.addWeighted`, nothing else."""
    image, other = sample(0, side)["image"], sample(0, side, seed=1)["image"]
    return lambda: cv2.addWeighted(image, 0.6, other, 0.4, 0.0)


def noop_case(n_boxes: int) -> Callable[[], Any]:
    """A Compose that does nothing."""
    pipeline, primary = compose(A.NoOp(p=1.0)), sample(n_boxes)
    return lambda: pipeline(**primary)


def direct_case(n_boxes: int) -> Callable[[], Any]:
    """Our functional kernels on arrays: λ drawn, pixels blended, rows joined and weighed; no checks, no Compose."""
    parts = [sample(n_boxes, seed=seed) for seed in (0, 1)]
    rows = [
        np.hstack([part["bboxes"], np.zeros((n_boxes, 1), np.float32), part["mixup_weight"][:, None]]) for part in parts
    ]
    generator = np.random.default_rng(0)

    def call() -> Any:
        ratio = generator.beta(1.5, 1.5)
        return blend(parts[0]["image"], parts[1]["image"], ratio), join_weighed_rows(*rows, -1, ratio)

    return call


def hot_path(rounds: int, **_: Any) -> str:
    """What MixUp adds to a Compose, in blends."""
    rows = []
    for n_boxes in (0, 20, 500):
        cases = {
            "mix": mixup_case(n_boxes),
            "noop": noop_case(n_boxes),
            "noop of both": noop_case(2 * n_boxes),
            "blend": blend_case(),
        }
        t = interleave(cases, rounds)
        added, added_both = t.ratio("mix", "blend", less="noop"), t.ratio("mix", "blend", less="noop of both")
        rows.append([n_boxes, *(t.ms(case) for case in cases), added, added_both])
    return table(
        "Inside Compose",
        "Milliseconds of `A.Compose([MixUp([sample], p=1)])`, of `A.Compose([A.NoOp()])` with the primary's boxes and "
        "with those of both images (what Compose itself does with the rows that MixUp returns), and of "
        "`cv2.addWeighted` on the same arrays; what MixUp adds to either NoOp, in blends. Target: at most 1.25.",
        ["boxes an image", "MixUp", "NoOp", "NoOp, both images' boxes", "blend", "added, blends",
         "added over both images' boxes, blends"],
        rows,
    )  # fmt: skip


def against_peers(rounds: int, old_albumentations: str | None, n_boxes: int = 20, **_: Any) -> str:
    """Ours and theirs at the same work."""
    formula = "formula only, float32: "
    wanted: dict[str, Callable[[], Any]] = {
        "ours, functional kernels": lambda: direct_case(n_boxes),
        "ours, MixUp inside Compose": lambda: mixup_case(n_boxes),
        "Ultralytics MixUp.__call__": lambda: peers.ultralytics(n_boxes),
        f"{formula}GluonCV": lambda: peers.gluoncv(n_boxes),
        f"{formula}YOLOX, MMDetection": lambda: peers.halves(n_boxes),
        "torchvision v2.MixUp, batch of 2, no boxes": peers.torchvision,
        "kornia RandomMixUpV2, batch of 2, no boxes": peers.kornia,
        "cv2.addWeighted": blend_case,
    }
    missing = [
        name for name in wanted if name.split()[0].lower() in _PACKAGES and not find_spec(name.split()[0].lower())
    ]
    cases = {name: make() for name, make in wanted.items() if name not in missing}
    cv2.setNumThreads(1)  # importing Ultralytics sets it
    t = interleave(cases, rounds)
    direct, inside = "ours, functional kernels", "ours, MixUp inside Compose"
    rows = [[name, t.ms(name), t.ratio(name, direct), t.ratio(name, inside)] for name in cases]
    rows += [[name, "not installed", "", ""] for name in missing]
    if old_albumentations:
        version, old = peers.albumentations_1_4_15(old_albumentations, rounds)
        blends = old.ratio("call", "blend")
        scale = blends / t.ratio(inside, "cv2.addWeighted"), blends / t.ratio(direct, "cv2.addWeighted")
        rows.append([f"albumentations {version} A.MixUp, no boxes, own process", old.ms("call"), scale[1], scale[0]])
    return table(
        "Peers",
        f"Two images of {SIDE}×{SIDE}×3 uint8 with {n_boxes} boxes each, same size, in memory. *Functional kernels* is "
        "`blend` and `join_weighed_rows` on arrays, λ drawn, without Compose and its checks: what the peers do, who "
        "check nothing either. *Formula only* is written from the published formula for packages that no longer "
        "install. A row of another process is compared through that process's own `cv2.addWeighted`. Targets: "
        "Ultralytics 15 and 5, GluonCV, MMDetection and YOLOX 8.",
        ["", "ms", "times our kernels", "times our MixUp inside Compose"],
        rows,
    )


def kernel(rounds: int, **_: Any) -> str:
    """`blend` against `cv2.addWeighted`."""
    random, rows = np.random.default_rng(0), []
    layouts: dict[str, Callable[[Any], Any]] = {
        "contiguous": lambda image: image,
        "crop of a wider image": lambda image: np.pad(image, ((0, 0), (8, 8), (0, 0)))[:, 8:-8],
        "mirrored": lambda image: image[:, ::-1],
        "channels first": lambda image: np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
    }
    for dtype in ("uint8", "float32"):
        for channels, layout in [*((c, "contiguous") for c in (1, 4, 8, 16)), *((3, name) for name in layouts)]:
            pair = [layouts[layout](random.integers(0, 256, (SIDE, SIDE, channels)).astype(dtype)) for _ in range(2)]
            cases = {
                "ours": lambda pair=pair: blend(*pair, 0.6),
                "theirs": lambda pair=pair: cv2.addWeighted(pair[0], 0.6, pair[1], 0.4, 0.0),
            }
            t = interleave(cases, rounds)
            rows.append(
                [f"{dtype}, {channels} channels, {layout}", t.ms("ours"), t.ms("theirs"), t.ratio("ours", "theirs")]
            )
    return table(
        "Kernel",
        f"`alb_mixup.functional.blend.blend` and `cv2.addWeighted` on {SIDE}×{SIDE} images. Target: a ratio of at most "
        "1.05.",
        ["", "ours, ms", "cv2.addWeighted, ms", "ratio"],
        rows,
    )


def resizing(rounds: int, **_: Any) -> str:
    """Fit modes and reference sizes."""
    rows, primary = [], sample(0)["image"]
    for mode in ("contain", "cover", "stretch", "canvas"):
        for hw in ((640, 640), (480, 640), (333, 500), (960, 1280)):
            reference = np.random.default_rng(1).integers(0, 256, (*hw, 3), np.uint8)
            own, other = place(primary.shape[:2], hw, mode)
            if own.canvas_hw != (SIDE, SIDE):
                continue  # "canvas" with a larger reference is another amount of work
            cases = {
                "ours": lambda r=reference, p=other: blend_placed(primary, r, p, 0.6, 0.0, cv2.INTER_LINEAR),
                "resize": lambda r=reference, p=other: cv2.resize(r, p.size_hw[::-1], interpolation=cv2.INTER_LINEAR),
                "blend": lambda: cv2.addWeighted(primary, 0.6, primary, 0.4, 0.0),
                "three passes": lambda r=reference, p=other: _three_passes(primary, r, p),
            }
            t = interleave(cases, rounds)
            name = f"{mode}, {hw[0]}×{hw[1]}"
            rows.append(
                [
                    name,
                    t.ms("ours"),
                    t.ms("resize"),
                    t.ms("blend"),
                    t.ms("three passes"),
                    t.ratio("ours", "three passes"),
                ]
            )
    return table(
        "Resizing",
        f"Milliseconds for one reference on a {SIDE}×{SIDE} primary: ours (resized straight into the result, blended "
        "there), `cv2.resize` alone (of an image of the wanted size: a copy), `cv2.addWeighted` alone on the whole "
        "image, and the plain way (resize, paste on a canvas, blend); ours against the plain way.",
        ["fit mode, height×width of the reference", "ours", "resize", "blend", "plain way", "ratio"],
        rows,
    )


def _three_passes(primary: Any, reference: Any, placement: Any) -> Any:
    height, width = placement.size_hw
    resized = cv2.resize(reference, (width, height), interpolation=cv2.INTER_LINEAR)
    if placement.crops:
        rows, cols = -placement.top, -placement.left
        return cv2.addWeighted(primary, 0.6, resized[rows : rows + SIDE, cols : cols + SIDE], 0.4, 0.0)
    canvas = np.zeros_like(primary)
    canvas[placement.inside] = resized
    return cv2.addWeighted(primary, 0.6, canvas, 0.4, 0.0)


_HELD = """
import resource, sys, time
import cv2, numpy as np
cv2.setNumThreads(1)
rng = np.random.default_rng(0)
a, b = (rng.integers(0, 256, (640, 640, 3), np.uint8) for _ in range(2))
held, rounds = int(sys.argv[1]), int(sys.argv[2])
for turn in range(rounds + 2):
    if turn == 2:
        faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.thread_time()
    kept = [cv2.addWeighted(a, 0.6, b, 0.4, 0.0) for _ in range(held)]
    del kept
count = held * rounds
print((time.thread_time() - start) / count * 1e3, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / count)
"""


def pages(rounds: int, **_: Any) -> str:
    """What fresh memory costs."""
    rows = []
    limits = {"as it is": None, "all memory kept": str(2**30), "all memory given back": str(2**16)}
    for held in (1, 16):
        for name, limit in limits.items():
            setting = {} if limit is None else {"MALLOC_TRIM_THRESHOLD_": limit, "MALLOC_MMAP_THRESHOLD_": limit}
            command = [sys.executable, "-c", _HELD, str(held), str(max(1, 4 * rounds // held))]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | setting)
            ms, faults = map(float, done.stdout.split())
            rows.append([f"{held} held at once, {name}", ms, f"{faults:.0f}"])
    return table(
        "Pages",
        f"`cv2.addWeighted` of {SIDE}×{SIDE}×3 uint8 whose results are held in batches, then dropped together, as a "
        "DataLoader's worker does, in processes of their own. Memory that glibc gives back to the system is mapped and "
        "cleared again, page by page, when it is wanted next; whether it does depends on what else a process has "
        "allocated. *Kept* and *given back* force it, by `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` in the "
        "environment (1073741824 and 65536): the first is the cure where a profile shows page faults, for all that a "
        "pipeline allocates. A library must not set it for its user, and arrays from a pool of our own would not be "
        "the user's to keep.",
        ["results", "ms a blend", "page faults a blend"],
        rows,
    )


class Numbered:
    """A reference of any length that costs no memory."""

    bbox_format = "pascal_voc"

    def __init__(self, length: int) -> None:
        self.length, self.sample = length, sample(20, seed=1)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.sample


def growth(rounds: int, **_: Any) -> str:
    """Cost against pixels, boxes and dataset length."""
    rows = []
    sides = (160, 320, 640, 1280, 2560)
    cases = {f"{part} {side}": make(side) for side in sides for part, make in _by_side.items()}
    t = interleave(cases, max(5, rounds // 3))
    for side in sides:
        added = t.ms(f"mix {side}") * 1e6 / side**2
        rows.append([f"side {side}, 20 boxes", t.ms(f"mix {side}"), f"{added:.2f} ns a pixel", t.ms(f"blend {side}")])
    counts = (0, 20, 200, 2000)
    t = interleave({str(n): mixup_case(n) for n in counts}, rounds)
    rows += [[f"{n} boxes an image, side {SIDE}", t.ms(str(n)), "", ""] for n in counts]
    primary = sample(20)
    lengths = (10**2, 10**3, 10**4, 10**5, 10**6)
    pipelines = {f"{n:.0e}": compose(MixUp(Numbered(n), p=1.0)) for n in lengths}
    t = interleave({name: lambda p=pipeline: p(**primary) for name, pipeline in pipelines.items()}, rounds)
    rows += [[f"{name} samples in the reference, 20 boxes, side {SIDE}", t.ms(name), "", ""] for name in pipelines]
    return table(
        "Growth",
        "MixUp inside Compose, in memory, same sizes. Linear in pixels from where they weigh more than Compose; linear "
        "in boxes, nearly all of it Compose's own work; flat in the number of samples.",
        ["", "MixUp, ms", "", "blend, ms"],
        rows,
    )


_by_side: dict[str, Callable[[int], Callable[[], Any]]] = {
    "mix": lambda side: mixup_case(20, side),
    "blend": blend_case,
}
