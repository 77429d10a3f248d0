"""Tables of what runs in memory: the hot path, the peers, the kernel, resizing, growth."""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from alb_mixup import MixUp
from alb_mixup.functional.blend import blend, blend_placed
from alb_mixup.functional.geometry import place
from benchmarks.harness import SIDE, interleave, sample, table
from benchmarks.ours import BLEND, INSIDE, KERNELS, NOOP, OURS, blend_case, compose, floor_case, mixup_case, noop_case
from benchmarks.peers import PEERS, one_thread
from benchmarks.worker import KEPT, Worker, take_turns

_BOXES = 20  # an image, among peers


def hot_path(rounds: int, **_: Any) -> str:
    """What MixUp adds to a Compose, in blends."""
    rows = []
    for n_boxes in (0, 20, 500):
        cases = {
            "mix": mixup_case(n_boxes),
            "noop": noop_case(n_boxes),
            "noop of both": noop_case(2 * n_boxes),
            "floor": floor_case(n_boxes),
            "blend": blend_case(),
        }
        t = interleave(cases, rounds)
        added = [t.ratio(case, "blend", less=less) for less in ("noop", "noop of both") for case in ("mix", "floor")]
        rows.append([n_boxes, *(t.ms(case) for case in cases), *added])
    return table(
        "Inside Compose",
        "Milliseconds of `A.Compose([MixUp([sample], p=1)])`; of `A.Compose([A.NoOp()])` with the primary's boxes, and "
        "with those of both images (what Compose itself handles after MixUp); of the *floor*, a Compose of a transform "
        "that does nothing but call `cv2.addWeighted` and append rows that lie ready; and of `cv2.addWeighted` on the "
        "same arrays. Then what MixUp and the floor add to either NoOp, in blends. Target: at most 1.25.",
        ["boxes an image", "MixUp", "NoOp", "NoOp, both images' boxes", "floor", "blend", "MixUp over NoOp, blends",
         "floor over NoOp", "MixUp over NoOp of both", "floor over NoOp of both"],
        rows,
    )  # fmt: skip


def against_peers(rounds: int, environments: str | None, **_: Any) -> str:
    """Ours and theirs at the same work, each in a process of its own, then all in one."""
    about = (
        f"Two images of {SIDE}×{SIDE}×3 uint8 with {_BOXES} boxes each, same size, in memory. *Functional kernels* is "
        "`blend` and `join_weighted_rows` on arrays, λ drawn, without Compose and its checks: what the peers do, who "
        "check nothing either. Targets: Ultralytics 15 times our kernels, 5 times our MixUp inside Compose; GluonCV, "
        "MMDetection and YOLOX 8 times our kernels."
    )
    return "\n".join([
        _apart(rounds, environments, "Peers", about + " Each runs in a process of its own, whose memory nobody else "
               "has touched; its results are dropped at once. Time is what all threads of the process worked.",
               held=1, states={"": {}}),
        _apart(rounds, environments, "Peers, results held", "The same, with results held in batches of 16 that are "
               "dropped together, as in a DataLoader's worker, in processes that give freed memory back to the system "
               "as the C library has it, and in others that keep it, as workers of `TransformedDataset` do (see "
               "*Pages*).",
               held=16, states={"": {}, ", memory kept": KEPT}),
        _together(rounds),
    ])  # fmt: skip


def _apart(
    rounds: int,
    environments: str | None,
    title: str,
    about: str,
    held: int,
    states: Mapping[str, Mapping[str, str]],
) -> str:
    pythons = _interpreters(environments)
    workers = {
        name + state: Worker(python, name, _BOXES, held, variables)
        for name, python in pythons.items()
        for state, variables in states.items()
    }
    t, faults = take_turns(workers, rounds)
    rows = []
    for name in pythons:
        version = workers[name].version
        row: list[Any] = [f"{name} ({version})" if version else name]
        for state in states:
            case, kernels, inside = name + state, KERNELS + state, INSIDE + state
            row += [t.ms(case), f"{faults[case]:.0f}", t.ratio(case, kernels), t.ratio(case, inside)]
        rows.append(row)
    for worker in workers.values():
        worker.close()
    columns = ["ms", "page faults", "times our kernels", "times our MixUp inside Compose"]
    header = ["", *(column + state for state in states for column in columns)]
    rows += [[name, "not installed", *[""] * (len(header) - 2)] for name in PEERS if name not in pythons]
    return table(title, about, header, rows)


def _interpreters(environments: str | None) -> dict[str, str]:
    """Return the interpreter that runs each case, ours first; none for what is not installed."""
    pythons = dict.fromkeys(OURS, sys.executable)
    for name, peer in PEERS.items():
        if peer.environment is None:
            pythons |= {name: sys.executable} if find_spec(peer.package) else {}
        elif environments and (found := Path(environments, peer.environment, "bin", "python")).exists():
            pythons[name] = str(found)
    return pythons


def _together(rounds: int) -> str:
    cases = {name: (OURS[name] if name in OURS else PEERS[name].make)(_BOXES) for name in _interpreters(None)}
    one_thread()
    t = interleave(cases, rounds)
    return table(
        "Peers in one process",
        "The same in one process, in an order drawn for each round: what ran just before has emptied the caches, and "
        "memory that the largest have allocated stays with the process, for all. No transform in a Compose can be "
        f"faster than *{NOOP}* and *{BLEND}* together.",
        ["", "ms", "times our kernels", "times our MixUp inside Compose"],
        [[name, t.ms(name), t.ratio(name, KERNELS), t.ratio(name, INSIDE)] for name in cases],
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
    "blend": lambda side: blend_case(side=side),
}
