"""The documentation's table of detectors and rules: `python -m tests.integrations.detectors.page` writes it."""

import importlib.util
from pathlib import Path

import pytest
import torch

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._weighting import RULES
from tests.integrations.detectors.table import FRAMEWORKS, detectors, refusals

PAGE = Path(__file__).parents[3] / "docs" / "detectors.md"
HEAD = """# Every detector, by rule

Which losses read the weights of a mix, by which of the [two rules](weights.md). A test makes this table of the adapters
and compares: each row was trained on a batch whose weights changed its loss, and whose weights of 1 left it alone.

| package | detector | `interpolate` | `scale` | refused, and why |
|---|---|---|---|---|
"""
TAIL = """
A loss of your own: [ten lines for each rule](your_own_loss.md). Losses that are not here take hard labels: give them
boxes that can be seen, `MixUp(dataset, ratio_range=(0.45, 0.55))` or `MixUp(dataset, min_weight=0.3)`.
"""


def rows():
    """One row for each detector of an installed framework, by (framework, detector)."""
    made = {}
    for detector in detectors():
        served = ["yes" if serves(detector, rule) else "no" for rule in RULES]
        made[detector.framework, detector.name] = [*served, ""]
    for framework, name, attempt in refusals():
        with pytest.raises(ArgumentError) as refused:
            attempt()
        made[framework, name] = ["no", "no", str(refused.value)]
    return {key: f"| {' | '.join([*key, *cells])} |".replace("|  |", "| |") for key, cells in made.items()}


def serves(detector, rule):
    """Whether weights change a loss by a rule, and weights of 1 do not."""
    if rule not in detector.rules:
        return False
    batch, totals = detector.batch(), []
    for weighted, weight in ((None, 1.0), (rule, 1.0), (rule, 0.5)):
        for target in detector.targets(batch):
            target["weights"] = torch.full_like(target["weights"], weight)
        model = detector.model(weighted)
        torch.manual_seed(1)
        totals.append(detector.losses(model, batch)[0].detach())
    return bool(totals[0] == totals[1] != totals[2])


def installed():
    """The frameworks that are here."""
    return [name for name in FRAMEWORKS if importlib.util.find_spec(name)]


def committed():
    """The rows of the page, by (framework, detector)."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = {line: [cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| ")}
    return {(found[1], found[2]): line for line, found in cells.items() if found[1] != "package"}


if __name__ == "__main__":
    kept = committed() if PAGE.exists() else {}
    kept = {key: row for key, row in kept.items() if key[0] not in installed()} | rows()
    lines = [row for _, row in sorted(kept.items(), key=lambda item: FRAMEWORKS.index(item[0][0]))]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + TAIL, encoding="utf-8")
