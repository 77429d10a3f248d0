"""Random pipelines around MixUp, compared with the oracle.

    python -m tests.transforms.fuzz --pipelines 20000 --seed 0
    python -m tests.transforms.fuzz --only 4711

A case is plain data, drawn from its seed: samples, settings, a tree of transforms. The pipeline that is built of it
tells which transforms it applied, with what they drew; `tests/oracle_pipeline.py` follows with the same. Where both
differ, the case is made smaller as long as they still do, and printed.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import random
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np

from alb_mixup import CachedDataset, MixUp, MosaicDataset, RecentSamples
from alb_mixup.errors import SampleError
from tests.oracle import BBOX_FORMATS, FIT_MODES, from_pixels, to_pixels
from tests.oracle_pipeline import AmbiguousError, Box, Point, Scene
from tests.support.samples import IS_X, Reference, same

try:
    from torch.utils.data import ConcatDataset, Subset
except ImportError:
    Subset = ConcatDataset = None

Case = dict[str, Any]
Node = dict[str, Any]

PAD, PAD_MASK = (1, 2, 3, 4), 3  # left, top, right, bottom
CONTAINERS = ("oneof", "someof", "sequential", "compose", "channels")
WEIGHT = "mixup_weight"


# --- a case, drawn from its seed ----------------------------------------------------------------------------------


def draw_case(seed: int) -> Case:
    """Draw a case."""
    rng = random.Random(seed)

    def chance(share: float) -> bool:
        return rng.random() < share

    kind = rng.choice(["list", "reference", "reference", "cached", "recent", "call", "mosaic", "subset", "concat"])
    if Subset is None and kind in {"subset", "concat"}:
        kind = "reference"
    plain = kind == "mosaic"  # a mosaic has image, boxes and label fields
    boxes = plain or chance(0.9)
    labels = rng.choice(["str", "str", "int", "float"]) if plain or chance(0.93) else None
    clip = 0 if plain or chance(0.85) else rng.choice([2, 3])
    case: Case = {
        "seed": rng.randrange(2**31),
        "channels": rng.choice([None, 1, 3, 3, 3, 5]),
        "float": chance(0.3),
        "boxes": boxes,
        "format": rng.choice(BBOX_FORMATS),
        "labels": labels if boxes else None,
        "weights": boxes and labels is not None and chance(0.9),
        "name": chance(0.3),
        "numbered": boxes and labels is not None and not plain and chance(0.35),
        "min_area": rng.choice([0.0, 0.0, 0.0, 9.0]),
        "points": None if plain or chance(0.55) else rng.choice(["plain", "index", "index"]),
        "point_format": rng.choice(["xy", "xy", "yx"]),
        "masks": None if plain or chance(0.5) else rng.choice(["array", "list"]),
        "mask": not plain and chance(0.3),
        "clip": clip,
        "more": [] if plain else [key for key in ("image2", "mask2", "masks2", "bboxes2") if chance(0.12)],
        "arrays": chance(0.5),
        "source": {
            "kind": kind,
            "format": rng.choice(BBOX_FORMATS) if kind not in {"recent", "call", "list"} and chance(0.6) else None,
            "size_hint": chance(0.7),
            "capacity": rng.choice([1, 2, 20]),
            "room": rng.choice([2_000, 10**7]),
            "transform": [rng.choice(["hflip", "vflip", "transpose"])] if chance(0.2) else [],
            "nested_labels": chance(0.3),
        },
    }
    if labels is None or not boxes:
        case["name"] = False
    if "bboxes2" in case["more"] and (labels is not None or not boxes):
        case["more"].remove("bboxes2")  # Albumentations gives label fields to one set of boxes alone
    if clip:
        case["more"], case["source"]["clip"] = [], chance(0.6)
    if plain:
        case["source"]["format"] = rng.choice(BBOX_FORMATS)
    case["label_fields"] = [key for key in ("labels", "name", "numbered", "weights") if case[key]]
    rng.shuffle(case["label_fields"])
    case["primaries"] = [draw_sample(rng, empty=0.15) for _ in range(rng.choice([1, 2, 2, 3]))]
    case["donors"] = [draw_sample(rng, empty=0.2) for _ in range(rng.choice([1, 2, 3, 4]))]
    case["transforms"] = draw_nodes(rng, case, rng.choice([1, 2, 3, 4]), depth=0)
    if not any(node["t"] == "mix" for node in walk(case["transforms"])):
        case["transforms"].insert(rng.randrange(len(case["transforms"]) + 1), draw_mix(rng, case))
    settle(case)
    return case


def settle(case: Case) -> None:
    """Leave out what Albumentations itself cannot do, or what the package refuses in words of its own."""
    others = {node["t"] for node in walk(case["transforms"])} - {"mix"}
    case["more"] = [key for key in case["more"] if key == "bboxes2" or case.get(key[:-1], True)]  # X wants both
    if IS_X and (others or case["source"]["transform"]) and case["masks"]:
        case["masks"] = "array"  # its transforms take no lists of masks
    if case["source"]["transform"]:
        case["source"]["nested_labels"] = False  # a pipeline looks for labels at the top level
        for desc in case["donors"]:  # the label fields of `reference_transform` must all be there
            desc["weights"] = [1.0] * len(desc["boxes"]) if desc["weights"] is None else desc["weights"]
    if case["clip"] and case["source"]["kind"] == "cached":
        case["source"]["clip"] = False  # a cache keeps images
    if (others or case["source"]["transform"]) and (case["masks"] or "masks2" in case["more"]):
        for desc in [*case["primaries"], *case["donors"]]:  # nothing but MixUp takes no masks at all
            if not desc["boxes"]:
                weights = None if desc["weights"] is None else [0.5]
                desc |= {"boxes": [[1.125, 1.125, 5.25, 5.5]], "weights": weights}
        for node in walk(case["transforms"]):
            if node["t"] == "mix":
                node["min_weight"] = 0.0


def draw_sample(rng: random.Random, empty: float) -> dict[str, Any]:
    """Draw the size of a sample, its boxes, which end between pixels or on the border, and points."""
    height, width = rng.choice([(16, 24), (rng.randint(6, 40), rng.randint(6, 40))])
    boxes = []
    for _ in range(0 if rng.random() < empty else rng.randint(1, 5)):
        x0, y0 = rng.randint(0, 4 * width - 16) / 4 + 0.125, rng.randint(0, 4 * height - 16) / 4 + 0.125
        x1, y1 = rng.uniform(x0 + 2, width - 0.5), rng.uniform(y0 + 2, height - 0.5)
        boxes.append([x0, y0, round(4 * x1) / 4 + 0.125, round(4 * y1) / 4 + 0.125])
    if boxes and rng.random() < 0.2:
        boxes[0] = [0, 0, width, height]
    points = [
        [rng.randrange(width - 1) + 0.75, rng.randrange(height - 1) + 0.25, rng.randrange(-1, len(boxes))]
        for _ in range(rng.randint(0, 4))
    ]
    weights = rng.choice([None, [round(rng.uniform(0.2, 1), 3) for _ in boxes]])
    return {
        "hw": [height, width],
        "boxes": boxes,
        "points": points,
        "weights": weights,
        "seed": rng.randrange(2**31),
        "arrays": rng.random() < 0.5,
    }


def draw_mix(rng: random.Random, case: Case) -> Node:
    ratio = rng.choice([None, [0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.2, 0.4], [0.3, 0.3], [0.7, 0.7]])
    return {
        "t": "mix",
        "p": rng.choice([1.0, 1.0, 0.6]),
        "ratio": ratio,
        "fit": rng.choice(FIT_MODES),
        "fill": rng.choice([0, 0, 0.25 if case["float"] else 114]),
        "fill_mask": rng.choice([0, 0, 9]),
        "min_weight": rng.choice([0.0, 0.0, 0.3]) if case["weights"] else 0.0,
        "weighting": rng.choice(["ratio", "ratio", "none"]),
        "interpolation": rng.choice([cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_NEAREST, cv2.INTER_AREA]),
    }


def draw_nodes(rng: random.Random, case: Case, count: int, depth: int) -> list[Node]:
    return [draw_node(rng, case, depth) for _ in range(count)]


def draw_node(rng: random.Random, case: Case, depth: int) -> Node:
    if depth < 3 and rng.random() < 0.3:
        kind = rng.choice(CONTAINERS)
        if kind == "channels":
            if case["clip"] or (case["channels"] or 1) < 3:
                kind = "sequential"
            else:
                of = [{"t": rng.choice(["hflip", "vflip", "noop"]), "p": 1.0} for _ in range(rng.randint(1, 2))]
                if rng.random() < 0.1 and case["boxes"] and case["source"]["kind"] != "call":
                    of.append(draw_mix(rng, case))  # refused
                return {"t": kind, "p": rng.choice([1.0, 0.5]), "of": of, "channels": rng.choice([[0], [0, 2], [1, 2]])}
        of = draw_nodes(rng, case, rng.randint(1, 3), depth + 1)
        return {"t": kind, "p": rng.choice([1.0, 0.7]), "of": of, "n": rng.randint(1, len(of))}
    kinds = ["mix", "mix", "mix", "hflip", "vflip", "transpose", "rot90", "crop", "crop", "pad", "noop", "safe"]
    kind = rng.choice(kinds)
    if kind == "mix":
        return draw_mix(rng, case)
    if kind == "safe" and (not case["boxes"] or case["clip"]):
        kind = "crop"
    return {"t": kind, "p": rng.choice([1.0, 0.5])}


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from walk(node.get("of", []))


# --- its samples, as a user gives them and as the oracle sees them ------------------------------------------------


def arrays_of(case: Case, desc: Mapping[str, Any], *, donor: bool) -> dict[str, tuple[str, list[np.ndarray]]]:
    """Make a sample's arrays: the kind and the parts of each pixel target."""
    rng = np.random.default_rng(desc["seed"])
    hw, channels = tuple(desc["hw"]), case["channels"]
    shape = hw if channels is None else (*hw, channels)

    def image() -> np.ndarray:
        noise = rng.integers(0, 256, shape, dtype=np.uint8)
        return noise.astype(np.float32) / np.float32(255) if case["float"] else noise

    def mask() -> np.ndarray:
        return rng.integers(0, 256, hw, dtype=np.uint8)

    is_clip = case["clip"] and not (donor and not case["source"]["clip"])
    frames = case["clip"]
    made = {"images": ("images", [image() for _ in range(frames)])} if is_clip else {"image": ("image", [image()])}
    if case["masks"] and case["clip"]:
        key, count = ("masks", frames) if is_clip else ("mask", 1)
        made[key] = (key, [mask() for _ in range(count)])
    elif case["masks"]:
        made["masks"] = ("masks", [mask() for _ in desc["boxes"]])
    if case["mask"]:
        made["mask"] = ("mask", [mask()])
    for key in case["more"]:
        if key == "image2":
            made[key] = ("image", [image()])
        elif key == "mask2":
            made[key] = ("mask", [mask()])
        elif key == "masks2":
            made[key] = ("masks", [mask() for _ in desc["boxes"]])
    return made


def label_of(case: Case, desc: Mapping[str, Any], number: int) -> Any:
    chosen = (desc["seed"] + number) % 7
    return {"str": f"class {chosen}" * (1 + chosen % 2), "int": chosen, "float": chosen + 0.5}[case["labels"]]


def name_of(desc: Mapping[str, Any], number: int) -> str:
    return f"{desc['seed']}-{number}"


def scene_of(case: Case, desc: Mapping[str, Any], *, donor: bool = False) -> Scene:
    """What the oracle sees of a sample."""
    arrays = arrays_of(case, desc, donor=donor)
    weights = desc["weights"] or [1.0] * len(desc["boxes"])
    boxes = []
    for number, corners in enumerate(desc["boxes"]):
        fields: dict[str, Any] = {"labels": label_of(case, desc, number)} if case["labels"] else {}
        fields |= {"name": name_of(desc, number)} if case["name"] else {}
        boxes.append(Box(tuple(corners), name_of(desc, number), weights[number] if case["weights"] else 1.0, fields))
    points = [
        Point(x, y, None if number < 0 else name_of(desc, number), f"part {place}")
        for place, (x, y, number) in enumerate(desc["points"])
    ]
    kinds = {key: kind for key, (kind, _) in arrays.items()}
    return Scene(
        hw=tuple(desc["hw"]),
        kinds=kinds,
        pixels={key: [part.astype(np.float64) for part in parts] for key, (_, parts) in arrays.items()},
        owners={key: [box.owner for box in boxes] for key, kind in kinds.items() if kind == "masks"},
        boxes={key: list(boxes) for key in ("bboxes", "bboxes2") if case["boxes"] and key in {"bboxes", *case["more"]}},
        points=points if case["points"] else None,
        numbered=case["numbered"],
        pointed=case["points"] == "index",
        uint8=not case["float"],
    )


def given_of(case: Case, desc: Mapping[str, Any], bbox_format: str, *, donor: bool = False) -> dict[str, Any]:
    """A sample as a user gives it."""
    given: dict[str, Any] = {}
    listed = case["masks"] == "list"
    for key, (kind, parts) in arrays_of(case, desc, donor=donor).items():
        if kind in {"image", "mask"}:
            given[key] = parts[0]
        elif key == "masks" and listed:
            given[key] = parts
        else:
            given[key] = np.stack(parts) if parts else np.zeros((0, *desc["hw"]), np.uint8)
    arrays = desc["arrays"] if donor else case["arrays"]
    count = len(desc["boxes"])
    if case["boxes"]:
        rows = [from_pixels(box, bbox_format, *desc["hw"]) for box in desc["boxes"]]
        labels = {}
        for field in case["label_fields"]:
            if field == "labels":
                labels["labels"] = [label_of(case, desc, number) for number in range(count)]
            elif field == "name":
                labels["name"] = [name_of(desc, number) for number in range(count)]
            elif field == "numbered":
                labels["box_id"] = list(range(count))
            elif desc["weights"] is not None or not donor:
                labels[WEIGHT] = list(desc["weights"] or [1.0] * count)
        if arrays:
            given["bboxes"] = np.array(rows, np.float32).reshape(-1, 4)
            kinds = {"str": np.str_, "int": np.int64, "float": np.float32, None: None}
            dtypes = {"labels": kinds[case["labels"]], "name": np.str_, "box_id": np.int64, WEIGHT: np.float32}
            if not donor or case["source"]["transform"]:  # 2.0.8 cuts strings to the length of its first call's
                dtypes |= {key: "<U40" for key, dtype in dtypes.items() if dtype is np.str_}
            labels = {field: np.array(values, dtypes[field]) for field, values in labels.items()}
        else:
            given["bboxes"] = rows
        if donor and case["source"]["kind"] == "call" and case["source"]["nested_labels"]:
            given["bbox_labels"] = labels
        else:
            given |= labels
    if "bboxes2" in case["more"] and case["boxes"]:
        given["bboxes2"] = copy.deepcopy(given["bboxes"])
    if case["points"]:
        order = 1 if case["point_format"] == "xy" else -1
        points = [[x, y][::order] for x, y, _ in desc["points"]]
        given["keypoints"] = np.array(points, np.float32).reshape(-1, 2) if arrays else points
        given["parts"] = [f"part {place}" for place in range(len(points))]
        if case["points"] == "index":
            numbers = [number for _, _, number in desc["points"]]
            given["keypoint_boxes"] = np.array(numbers, np.int64) if arrays else numbers
    return given


# --- its pipeline, which tells what it applies --------------------------------------------------------------------

LOG: list[tuple[Node, Sequence[int] | None, Mapping[str, Any]]] = []


def telling(transform: type) -> type:
    """Derive a transform that tells what it applies."""

    def apply_with_params(self: Any, params: Any, *args: Any, **data: Any) -> Any:
        LOG.append((self.fuzz_node, self.fuzz_channels, dict(getattr(params, "params", params))))
        return transform.apply_with_params(self, params, *args, **data)

    body = {"apply_with_params": apply_with_params, "__module__": __name__}
    return type(transform)(f"Telling{transform.__name__}", (transform,), body)


TELLING = {
    name: telling(transform)
    for name, transform in {
        "mix": MixUp,
        "hflip": A.HorizontalFlip,
        "vflip": A.VerticalFlip,
        "transpose": A.Transpose,
        "rot90": A.RandomRotate90,
        "crop": A.RandomCropFromBorders,
        "safe": A.BBoxSafeRandomCrop,
        "pad": A.Pad,
        "noop": A.NoOp,
    }.items()
}


class Run:
    """One case being run: its pipeline, and what the oracle has to remember.

    Args:
        case: The case.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.format = case, case["format"]
        self.donor_format = case["source"]["format"] or self.format
        self.donors = [given_of(case, desc, self.donor_format, donor=True) for desc in case["donors"]]
        self.samples: dict[int, Any] = {}  # of each MixUp, by its node's identity
        self.recent: dict[int, list[Scene]] = {}
        self.mixes = 0
        LOG.clear()
        self.pipeline = A.Compose(
            [self.built(node) for node in case["transforms"]], seed=case["seed"], **self.settings(self.format)
        )

    def settings(self, bbox_format: str) -> dict[str, Any]:
        case, made = self.case, {}
        if case["boxes"]:
            names = {"numbered": "box_id", "weights": WEIGHT}
            fields = [names.get(field, field) for field in case["label_fields"]]
            made["bbox_params"] = A.BboxParams(bbox_format, label_fields=fields, min_area=case["min_area"])
        if case["points"]:
            fields = ["parts"] + ["keypoint_boxes"] * (case["points"] == "index")
            made["keypoint_params"] = A.KeypointParams(case["point_format"], label_fields=fields)
        kinds = {"image2": "image", "mask2": "mask", "masks2": "masks", "bboxes2": "bboxes"}
        return made | {"additional_targets": {key: kinds[key] for key in case["more"]}}

    def built(self, node: Node, channels: Sequence[int] | None = None) -> Any:
        kind, p = node["t"], node["p"]
        if kind in CONTAINERS:
            children = [self.built(child, node.get("channels")) for child in node["of"]]
            if kind == "oneof":
                return A.OneOf(children, p=p)
            if kind == "someof":
                return A.SomeOf(children, n=min(node["n"], len(children)), p=p)
            if kind == "channels":
                return A.SelectiveChannelTransform(children, channels=node["channels"], p=p)
            return (A.Sequential if kind == "sequential" else A.Compose)(children, p=p)
        settings: dict[str, Any] = {}
        if kind == "mix":
            settings = {
                "reference": self.source(node),
                "ratio_range": node["ratio"],
                "fit_mode": node["fit"],
                "fill": node["fill"],
                "fill_mask": node["fill_mask"],
                "min_weight": node["min_weight"],
                "weighting": node["weighting"],
                "interpolation": node["interpolation"],
                "weight_field": WEIGHT if self.case["weights"] else None,
                "index_fields": ["keypoint_boxes", "box_id"],
                "size_hint": self.case["source"]["size_hint"],
                "reference_transform": self.reference_transform(),
            }
        elif kind == "pad":
            settings = {"padding": PAD, "fill": self.pad_fill, "fill_mask": PAD_MASK}
        elif kind == "crop":
            settings = {"crop_left": 0.3, "crop_right": 0.3, "crop_top": 0.3, "crop_bottom": 0.3}
        made = TELLING[kind](**settings, p=p)
        made.fuzz_node, made.fuzz_channels = node, channels
        return made

    @property
    def pad_fill(self) -> float:
        return 0.25 if self.case["float"] else 7

    def reference_transform(self) -> Any:
        names = self.case["source"]["transform"]
        stock = {"hflip": A.HorizontalFlip, "vflip": A.VerticalFlip, "transpose": A.Transpose}
        return A.Compose([stock[name](p=1.0) for name in names], **self.settings(self.donor_format)) if names else None

    def source(self, node: Node) -> Any:
        source = self.case["source"]
        kind = source["kind"]
        held = Reference(self.donors, source["format"])
        if kind == "subset":
            held = Subset(held, list(range(len(self.donors)))[::-1])
        elif kind == "concat":
            held = ConcatDataset([Reference(self.donors[:1], source["format"]), held])
        elif kind == "cached":
            held = CachedDataset(held, source["room"])
        elif kind == "recent":
            held = RecentSamples(source["capacity"])
        elif kind == "mosaic":
            fields = [field for field in ("labels", "name") if self.case[field]]
            held = MosaicDataset(held, size=(14, 18), label_fields=fields + [WEIGHT] * self.case["weights"])
        self.samples[id(node)] = held
        return {"list": self.donors, "call": None}.get(kind, held)

    # --- the oracle's side ---

    def follow(self, scene: Scene) -> Scene:
        """Do to a scene what the pipeline has told of the last call."""
        for node, channels, params in LOG:
            if channels is None:
                scene = self.step(scene, node, params).filtered(self.case["min_area"])
            else:
                scene = scene.in_channels(channels, functools.partial(self.step, node=node, params=params))
        return scene.filtered(self.case["min_area"])

    def step(self, scene: Scene, node: Node, params: Mapping[str, Any]) -> Scene:
        kind = node["t"]
        if kind in {"hflip", "vflip"}:
            return scene.flipped(1 if kind == "hflip" else 0)
        if kind == "transpose":
            return scene.transposed()
        if kind == "rot90":
            turns = {"e": 0, "r90": 1, "r180": 2, "r270": 3}  # as AlbumentationsX calls them
            return scene.turned(int(params["factor"]) if "factor" in params else turns[str(params["group_element"])])
        if kind in {"crop", "safe"}:
            return scene.cropped(*params["crop_coords"])
        if kind == "pad":
            return scene.padded(*PAD, self.pad_fill, PAD_MASK)
        if kind == "mix":
            return self.mixed(scene, node, params)
        return scene

    def mixed(self, scene: Scene, node: Node, record: Mapping[str, Any]) -> Scene:
        index, ratio = record["reference_index"], record["ratio"]
        if scene.lost and not IS_X and (node["min_weight"] or self.case["source"]["kind"] == "recent"):
            raise AmbiguousError  # 2.0.8 keeps boxes without an area until it looks again
        looked = scene.filtered(self.case["min_area"])
        if looked.boxes != scene.boxes:
            raise AmbiguousError  # a transform that was not applied may have let Albumentations look, or none was there
        low, high = node["ratio"] or (0.0, 1.0)
        assert low <= ratio <= high, f"record: ratio {ratio} outside of {node['ratio']}"
        partner = None if index is None else self.partner(node, index, record["seed"])
        if self.case["source"]["kind"] == "recent":
            kept = self.recent.setdefault(id(node), [])
            kept.append(scene.filtered(self.case["min_area"], with_belongings=True))
            del kept[: -self.case["source"]["capacity"]]
        if partner is None:
            return scene
        for name in self.case["source"]["transform"]:
            partner = self.step(partner, {"t": name}, {}).filtered(self.case["min_area"])
        self.mixes += 1
        partner = renamed(partner, f"{self.mixes}/")
        return scene.mixed(partner, ratio, node, node["interpolation"])

    def partner(self, node: Node, index: int, seed: int) -> Scene:
        kind = self.case["source"]["kind"]
        if kind == "recent":
            return self.recent[id(node)][index]
        if kind == "mosaic":  # another mosaic for each seed, but the same for the same one
            return self.mosaic(self.samples[id(node)].seeded(index, seed))
        if kind == "subset":
            index = len(self.donors) - 1 - index
        elif kind == "concat":
            index = max(index - 1, 0)
        return scene_of(self.case, self.case["donors"][index], donor=True)

    def mosaic(self, sample: Mapping[str, Any]) -> Scene:
        hw = sample["image"].shape[:2]
        boxes = []
        for number, row in enumerate(sample["bboxes"]):
            fields = {field: sample[field][number] for field in ("labels", "name") if self.case[field]}
            weight = float(sample[WEIGHT][number]) if self.case["weights"] else 1.0
            boxes.append(Box(tuple(to_pixels(row, self.donor_format, *hw)), f"mosaic {number}", weight, fields))
        image = [sample["image"].astype(np.float64)]
        return Scene(hw, {"image": "image"}, {"image": image}, boxes={"bboxes": boxes}, uint8=not self.case["float"])


def renamed(scene: Scene, prefix: str) -> Scene:
    """The same donor may be drawn twice, and its boxes are then no longer the same ones."""
    made = copy.copy(scene)

    def call(owner: str | None) -> str | None:
        return None if owner is None else prefix + owner

    made.owners = {key: [prefix + owner for owner in owners] for key, owners in scene.owners.items()}
    made.boxes = {
        key: [Box(box.corners, prefix + box.owner, box.weight, box.fields) for box in boxes]
        for key, boxes in scene.boxes.items()
    }
    if scene.points is not None:
        made.points = [Point(point.x, point.y, call(point.owner), point.label) for point in scene.points]
    return made


# --- both compared ------------------------------------------------------------------------------------------------


def run(case: Case) -> list[str]:
    """Run a case, and return all that differs, one line each.

    Raises:
        AmbiguousError: What is right hangs on the last bits of a float32.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            running = Run(case)
        except Exception as error:
            return [f"building: {type(error).__name__}: {error}"]
        held = copy.deepcopy(running.donors)
        for desc in case["primaries"]:
            given = given_of(case, desc, case["format"])
            if case["source"]["kind"] == "call":
                given["mixup_metadata"] = running.donors
            before = copy.deepcopy(given)
            LOG.clear()
            try:
                out = running.pipeline(**given)
            except Exception as error:
                return failure(running, scene_of(case, desc), error)
            scene = running.follow(scene_of(case, desc))
            found = differences(case, out, scene)
            if not all(same(given[key], before[key]) for key in before):
                found.append("input: the call's own values were changed")
            if not same(running.donors, held):
                found.append("input: the reference was changed")
            if found:
                return found
    return []


def failure(running: Run, scene: Scene, error: Exception) -> list[str]:
    """What an error means: nothing where it is the refusal that the case asks for."""
    if isinstance(error, SampleError) and "SelectiveChannelTransform" in str(error):  # before MixUp draws, or tells
        handed = [
            part for node in walk(running.case["transforms"]) if node["t"] == "channels" for part in walk(node["of"])
        ]
        return [] if any(part["t"] == "mix" for part in handed) else [f"raised: {error}"]
    if str(error).startswith(
        "We should have x_min < x_max"
    ):  # A.BBoxSafeRandomCrop's own, at a box thinner than a pixel
        return [] if any(node["t"] == "safe" for node in walk(running.case["transforms"])) else [f"raised: {error}"]
    told = LOG[-1] if LOG else None
    if isinstance(error, SampleError) and told is not None and told[0]["t"] == "mix":
        del LOG[-1]
        case = running.case
        astray = running.follow(scene).astray or case["source"]["kind"] == "recent"  # a kept one may be
        astray |= bool(case["min_area"] and case["source"]["transform"])
        if astray and "positions no longer tell" in str(error):
            return []
    return [f"raised: {type(error).__name__}: {error}"]


def plain(values: Any) -> list[Any]:
    return [value if isinstance(value, str) else float(value) for value in values]


def differences(case: Case, out: Mapping[str, Any], scene: Scene) -> list[str]:
    """All that differs between what came out and the oracle's scene."""
    found: list[str] = []

    def compare(name: str, got: Any, wanted: Any, tolerance: float) -> None:
        got, wanted = np.asarray(got), np.asarray(wanted)
        if got.shape != wanted.shape:
            found.append(f"{name}: shape {got.shape}, expected {wanted.shape}")
        elif got.size:
            error = np.abs(got.astype(np.float64) - wanted)
            if not error.max() <= tolerance:
                place = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
                found.append(f"{name}: {got[place]} at {list(place)}, expected {wanted[place]} within {tolerance:.3g}")

    for key, kind in scene.kinds.items():
        parts = [out[key]] if kind in {"image", "mask"} else list(out[key])
        tolerance = scene.tolerance + 1e-6 if kind in {"image", "images"} else 0.0
        if len(parts) != len(scene.pixels[key]):
            found.append(f"{key}: {len(parts)} of them, expected {len(scene.pixels[key])}")
            continue
        for number, (got, wanted) in enumerate(zip(parts, scene.pixels[key], strict=True)):
            compare(f"{key}[{number}]", got, wanted, tolerance)
        dtype = np.float32 if case["float"] and kind in {"image", "images"} else np.uint8
        if any(part.dtype != dtype for part in parts):
            found.append(f"{key}: dtype {parts[0].dtype}, expected {np.dtype(dtype)}")
    if scene.points is not None and not (scene.astray and scene.pointed):
        order = 1 if case["point_format"] == "xy" else -1
        points = np.asarray(out["keypoints"], np.float64).reshape(-1, 2)[:, ::order]
        compare("keypoints", points, np.array([[p.x, p.y] for p in scene.points]).reshape(-1, 2), 0.01)
        if plain(out["parts"]) != [point.label for point in scene.points]:
            found.append(f"parts: {list(out['parts'])}, expected {[point.label for point in scene.points]}")
    for key, boxes in scene.boxes.items():
        corners = [to_pixels(box, case["format"], *scene.hw) for box in out[key]]
        compare(key, np.array(corners).reshape(-1, 4), np.array([box.corners for box in boxes]).reshape(-1, 4), 0.02)
    boxes = scene.boxes.get("bboxes", [])
    for name in ("labels", "name"):
        wanted = [box.fields[name] for box in boxes] if case[name] else None
        if wanted is not None and plain(out[name]) != plain(wanted):
            found.append(f"{name}: {list(out[name])}, expected {wanted}")
    if case["weights"]:
        compare(WEIGHT, out[WEIGHT], [box.weight for box in boxes], 1e-5)
    return found or misplaced(case, out, scene)


def misplaced(case: Case, out: Mapping[str, Any], scene: Scene) -> list[str]:
    """Positions that point to something else than they should."""
    boxes, found = scene.boxes.get("bboxes", []), []
    numbers = [int(number) for number in out["box_id"]] if case["numbered"] else list(range(len(boxes)))
    masks = scene.owners.get("masks", scene.owners.get("masks2")) if not scene.is_clip else None
    if case["numbered"] and len(set(numbers)) < len(numbers):
        found.append(f"box_id: {numbers}, expected different ones")
    for number, box in zip(numbers, boxes, strict=True) if case["numbered"] and masks is not None else ():
        if not 0 <= number < len(masks) or masks[number] != box.owner:
            found.append(f"box_id: {number} for {box.owner}, whose mask is at {masks.index(box.owner)}")
    if not scene.pointed or scene.astray or scene.points is None:
        return found
    named = {number: box.owner for number, box in zip(numbers, boxes, strict=True)}
    for point, number in zip(scene.points, [int(value) for value in out["keypoint_boxes"]], strict=True):
        there = point.owner in {box.owner for box in boxes}
        if (number == -1) != (point.owner is None) and case["boxes"]:
            found.append(f"keypoint_boxes: {number} for a point of {point.owner}")
        elif there and named.get(number) != point.owner:
            found.append(f"keypoint_boxes: {number} names {named.get(number)}, expected {point.owner}")
        elif not there and number in named:
            found.append(f"keypoint_boxes: {number} names {named[number]}, but {point.owner} is gone")
        elif case["numbered"] and masks is not None and number >= 0 and masks[number] != point.owner:
            found.append(f"keypoint_boxes: {number} names the mask of {masks[number]}, expected {point.owner}")
    return found


# --- the smallest case that still differs -------------------------------------------------------------------------


def smaller(case: Case) -> Iterator[Case]:
    """Cases with one thing less, the larger things first."""

    def changed(**values: Any) -> Case:
        return copy.deepcopy(case) | values

    for nodes in shorter(case["transforms"]):
        if any(node["t"] == "mix" for node in walk(nodes)):
            yield changed(transforms=nodes)
    for key in ("primaries", "donors"):
        for number in range(len(case[key])) if len(case[key]) > 1 else ():
            yield changed(**{key: [*case[key][:number], *case[key][number + 1 :]]})
    for key in case["more"]:
        yield changed(more=[other for other in case["more"] if other != key])
    defaults = {"points": None, "masks": None, "mask": False, "clip": 0, "min_area": 0.0, "channels": 3, "float": False,
                "arrays": False, "point_format": "xy", "format": "pascal_voc", "seed": 0}  # fmt: skip
    for key, value in defaults.items():
        if case[key] != value:
            yield changed(**{key: value})
    for key in ("name", "numbered"):
        if case[key]:
            yield changed(**{key: False}, label_fields=[field for field in case["label_fields"] if field != key])
    plainest = {"kind": "reference", "format": None, "transform": [], "nested_labels": False, "size_hint": True}
    for key, value in plainest.items():
        if case["source"][key] != value:
            yield changed(source=case["source"] | {key: value})
    for key in ("primaries", "donors"):
        for number, desc in enumerate(case[key]):
            for less in lesser(desc):
                yield changed(**{key: [*case[key][:number], less, *case[key][number + 1 :]]})


def lesser(desc: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Samples with one thing less."""
    for number in range(len(desc["boxes"])):
        points = [[x, y, of - (of > number)] for x, y, of in desc["points"] if of != number]
        weights = desc["weights"] and [*desc["weights"][:number], *desc["weights"][number + 1 :]]
        boxes = [*desc["boxes"][:number], *desc["boxes"][number + 1 :]]
        yield {**desc, "boxes": boxes, "points": points, "weights": weights or None}
    for number in range(len(desc["points"])):
        yield {**desc, "points": [*desc["points"][:number], *desc["points"][number + 1 :]]}
    if desc["weights"]:
        yield {**desc, "weights": None}
    if desc["arrays"]:
        yield {**desc, "arrays": False}


def shorter(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Trees with one node less, with a container's children in its place, or with plainer settings."""
    for number, node in enumerate(nodes):
        before, after = list(nodes[:number]), list(nodes[number + 1 :])
        yield before + after
        if "of" in node:
            if node["t"] != "channels":
                yield [*before, *node["of"], *after]
            for of in shorter(node["of"]):
                if of:
                    yield [*before, {**node, "of": of}, *after]
        plainer = {"p": 1.0, "fill": 0, "fill_mask": 0, "min_weight": 0.0, "weighting": "ratio", "fit": "stretch",
                   "interpolation": cv2.INTER_LINEAR, "ratio": [0.5, 0.5]}  # fmt: skip
        for key, value in plainer.items():
            if key in node and node[key] != value:
                yield [*before, {**node, key: value}, *after]


def shrunk(case: Case, limit_s: float = 20.0) -> tuple[Case, list[str]]:
    """Make a case smaller as long as it fails alike."""
    found, end = run(case), time.monotonic() + limit_s

    def head(lines: Sequence[str]) -> str:
        return " ".join(lines[0].split()[:3]) if lines[0].startswith("raised") else lines[0].split(":")[0].split("[")[0]

    while time.monotonic() < end:
        for less in smaller(case):
            try:
                lines = run(less)
            except AmbiguousError:
                continue
            if lines and head(lines) == head(found):
                case, found = less, lines
                break
        else:
            break
    return case, found


# --- the command --------------------------------------------------------------------------------------------------


def check(seed: int) -> list[str] | None:
    """Run the case of a seed: all that differs; None where what is right cannot be told."""
    try:
        return run(draw_case(seed))
    except AmbiguousError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run many cases; print those that fail, and the smallest like them."""
    parser = argparse.ArgumentParser(prog="python -m tests.transforms.fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pipelines", type=int, default=1000, help="how many to run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first; the next ones follow")
    parser.add_argument("--only", type=int, help="run the one of this seed")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, whatever is left")
    parser.add_argument("--stop-after", type=int, default=5, help="failures to print before stopping")
    options = parser.parse_args(arguments)
    seeds = [options.only] if options.only is not None else range(options.seed, options.seed + options.pipelines)
    begun, ambiguous, failed, done = time.monotonic(), 0, [], 0
    for done, seed in enumerate(seeds, start=1):  # noqa: B007
        found = check(seed)
        ambiguous += found is None
        if found:
            failed.append(seed)
            case, lines = shrunk(draw_case(seed))
            print(f"seed {seed}: {found[0]}\n  smallest:", *lines, json.dumps(case), sep="\n    ", flush=True)
        if len(failed) >= options.stop_after or time.monotonic() - begun > 60 * options.minutes:
            break
    backend = "albumentationsx" if IS_X else "albumentations"
    print(
        f"{backend} {A.__version__}: {done} pipelines in {time.monotonic() - begun:.0f} s, {len(failed)} failed "
        f"{failed or ''}, {ambiguous} ambiguous"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
