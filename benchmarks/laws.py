"""What partner weights cost: building them, and each draw."""

from dataclasses import replace
from typing import Any

import numpy as np

from alb_mixup import Background, ClassWeights, MixUp, RepeatFactor, sample_dataset
from benchmarks.harness import interleave, table

_CLASSES, _BOXES = 80, 7  # as in COCO; boxes an image, on average
_DRAWS = 1000


class Annotated:
    """A reference of any length that tells its classes, and reads nothing."""

    def __init__(self, length: int) -> None:
        generator = np.random.default_rng(0)
        counts = generator.poisson(_BOXES, length)
        ids = np.minimum(generator.zipf(1.5, counts.sum()), _CLASSES) - 1
        offsets = np.concatenate([[0], np.cumsum(counts)])
        names = [f"class {number}" for number in range(_CLASSES)]
        self.held = replace(sample_dataset().image_classes(), names=names, offsets=offsets, ids=ids.astype(np.int32))

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: int) -> Any:
        return {}

    def image_classes(self) -> Any:
        """As given."""
        return self.held


def laws(rounds: int, **_: Any) -> str:
    """Cost of laws and of draws against the number of samples."""
    rows = []
    image = np.zeros((8, 8, 3), np.uint8)
    for length in (10**3, 10**4, 10**5, 10**6):
        reference = Annotated(length)
        given = {
            "repeat": RepeatFactor(),
            "class": ClassWeights({"class 3": 4.0}),
            "background": Background(),
            "numbers": np.random.default_rng(1).random(length),
        }
        building = interleave(
            {name: lambda law=law, reference=reference: _build(reference, law) for name, law in given.items()},
            max(3, rounds // 8),
            warm_ups=1,
        )
        # The call that `draw` gets from a pipeline; the primary is in the middle, where it is known.
        data, known = {"image": image}, {"image": image, "mixup_index": length // 2}
        weighted = MixUp(reference, partner_weights=given["repeat"])
        cases = {
            "all alike": (MixUp(reference), data),
            "weighted": (weighted, data),
            "all alike, known": (MixUp(reference), known),
            "weighted, known": (weighted, known),
        }
        t = interleave({name: lambda case=case: _draw(*case) for name, case in cases.items()}, rounds)
        t = {name: t.ms(name) / _DRAWS * 1e3 for name in cases}
        known_too = t["weighted, known"] - t["all alike, known"]
        rows.append(
            [
                f"{length:,}",
                t["all alike"],
                t["weighted"] - t["all alike"],
                known_too,
                *(building.ms(name) for name in given),
            ]
        )
    return table(
        "Laws",
        f"Microseconds of one `MixUp.draw` (λ, index, seed; nothing is read) where all samples are alike, and what it "
        "takes more with `RepeatFactor`, also where the primary is known and left out: target at most 2. Milliseconds "
        f"that `MixUp(reference, partner_weights=...)` takes to be built; {_BOXES} boxes an image, {_CLASSES} classes.",
        ["samples", "draw, µs", "weighted, µs more", "and not the primary, µs more", "RepeatFactor, ms",
         "ClassWeights, ms", "Background, ms", "numbers, ms"],
        rows,
    )  # fmt: skip


def _build(reference: Annotated, law: Any) -> None:
    MixUp(reference, partner_weights=law)


def _draw(mixup: MixUp, data: dict[str, Any]) -> None:
    generator = np.random.default_rng(2)
    for _ in range(_DRAWS):
        mixup.draw(data, generator)
