"""Pages of the documentation that tests make or run: the table of detectors, a loss of one's own."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for framework in ("torchvision", "transformers"):
    pytest.importorskip(framework)

from torch.nn import functional as F  # noqa: E402

from tests.integrations.detectors import page  # noqa: E402

OWN_LOSS = Path(__file__).parents[2] / "docs" / "your_own_loss.md"


def test_the_table_of_detectors_is_what_the_adapters_do():
    """Written anew by `python -m tests.integrations.detectors.page`."""
    committed, made = page.committed(), page.rows()
    assert {key: row for key, row in committed.items() if key[0] in {key[0] for key in made}} == made
    assert {*page.FRAMEWORKS} == {framework for framework, _ in committed}
    assert all("| no |" not in row or row.split("|")[-2].strip() for row in committed.values())  # a reason is given


@pytest.fixture(scope="module")
def shown():
    """The names that the page's blocks leave, run one after the other."""
    names = {}
    for number, block in enumerate(
        re.findall(r"```python[^\n]*\n(.*?)```", OWN_LOSS.read_text(encoding="utf-8"), re.S)
    ):
        exec(compile(block, f"{OWN_LOSS.name}, block {number}", "exec"), names)
    return names


def test_the_own_loss_runs(shown):
    assert shown["loss"].isfinite()
    assert shown["logits"].grad.any()
    assert shown["predicted"].grad.any()
    assert 0 < shown["weights"].min() < 1 == shown["weights"].max()


def gradient(loss, logits, *args):
    logits = logits.detach().clone().requires_grad_()
    loss(logits, *args).backward()
    return logits.grad


@pytest.mark.parametrize(("name", "columns"), [("sigmoid_loss", 3), ("softmax_loss", 4)])
def test_the_own_loss_keeps_the_contract(shown, name, columns):
    loss, labels, weights = shown[name], shown["labels"], shown["weights"]
    logits = torch.randn(*labels.shape, columns, generator=torch.Generator().manual_seed(0))
    ones, half = torch.ones_like(weights), torch.full_like(weights, 0.5).where(labels > 0, 1)
    hard, nothing = (gradient(loss, logits, classes, ones, "scale") for classes in (labels, torch.zeros_like(labels)))
    assert torch.equal(gradient(loss, logits, labels, ones, "interpolate"), hard)
    w = weights[..., None]
    torch.testing.assert_close(gradient(loss, logits, labels, weights, "scale"), w * hard)
    torch.testing.assert_close(gradient(loss, logits, labels, weights, "interpolate"), w * hard + (1 - w) * nothing)
    ignored = gradient(loss, logits, labels, weights.where(labels == 0, 0), "scale")
    assert not ignored[labels > 0].any()
    if name == "sigmoid_loss":
        soft = half[..., None] * F.one_hot(labels, columns + 1)[..., 1:]
        by_target = gradient(lambda x: F.binary_cross_entropy_with_logits(x, soft, reduction="sum"), logits)
        torch.testing.assert_close(gradient(loss, logits, labels, half, "interpolate"), by_target)


def test_boxes_of_the_own_loss_are_multiplied(shown):
    targets, matched = shown["targets"], shown["matched"]
    predicted = torch.rand(len(targets), shown["locations"], 4)
    at = [
        shown["box_loss"](
            predicted, [target | {"weights": torch.full_like(target["weights"], w)} for target in targets], matched
        )
        for w in (1.0, 0.25)
    ]
    torch.testing.assert_close(at[1], 0.25 * at[0])
