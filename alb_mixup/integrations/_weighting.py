"""What a weight means to a loss, for every adapter: a location's terms times its weight, by one of two rules.

A *location* is an anchor, a query or a region that a framework's own matching, which knows no weights, gave to a box of
weight w. Its box, mask and point terms are multiplied by w. Its class term becomes

- `rule="interpolate"`: w · (its loss as an object) + (1 - w) · (its loss as background), the losses of both images of a
  mix, interpolated, with one matching (LossMix, arXiv 2303.10343). w = 0 is background.
- `rule="scale"`: w · (its loss as an object), as in Bag of Freebies (arXiv 1902.04103). w = 0 is ignored.

The default rests on `benchmarks/TRAINING.md`: "interpolate" was the better rule on one of two data sets, and neither
was on the other.

Losses are the framework's own, in whichever version is installed: nothing is copied. They sum their locations' terms,
and there the weights are applied.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from alb_mixup._support import checks
from alb_mixup.errors import InstallationError, MissingWeightsWarning, SampleError

RULES = ("interpolate", "scale")
Terms = dict[str, torch.Tensor]
_SUMS = frozenset({torch.sum, torch.mean, torch.Tensor.sum, torch.Tensor.mean})
_LOSSES = frozenset({F.binary_cross_entropy_with_logits, F.cross_entropy, F.l1_loss, F.smooth_l1_loss})


class WeightedSums(TorchFunctionMode):  # type: ignore[misc, unused-ignore]
    """While entered, sums over locations are sums of each location's terms times its weight.

    Args:
        weights: Tensors of the shapes of locations, such as (images, queries) or (matched,). What is summed or averaged
            over those axes, the first of a floating-point tensor, is multiplied by the weights, the longest shape that
            fits. Sums over other axes alone are left as they are, and so are those of what was summed here already.
        times: How many such sums there are.
        norm: What a cross-entropy with class weights is divided by; None: as the framework does, by the sum of the
            class weights of its targets.

    Attributes:
        norm: What the last cross-entropy was divided by.

    Raises:
        InstallationError: On leaving, when there were more or fewer sums: this version of the framework is built
            otherwise.
    """

    def __init__(self, *weights: torch.Tensor, times: int = 1, norm: torch.Tensor | None = None) -> None:
        super().__init__()
        self._weights = sorted(weights, key=lambda each: -each.ndim)
        self._times = times
        self._met: list[torch.Tensor] = []  # what was summed: of no location, whatever its shape
        self.norm = norm

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function of torch; this mode is off in it."""
        given = dict(kwargs or {})
        if func in _LOSSES and given.get("reduction", "mean") != "none":
            return self._loss(func, args, given)
        if func in _SUMS and not any(args[0] is each for each in self._met):
            weights = self._of(args[0], args[1] if len(args) > 1 else given.get("dim"))
            if weights is not None:
                return self._summed(func(args[0] * weights, *args[1:], **given))
        return func(*args, **given)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Leave, and see whether the framework summed as often as known."""
        super().__exit__(kind, error, trace)
        if kind is None and len(self._met) != self._times:
            raise InstallationError(
                f"the framework must sum over its locations {self._times} times in this loss, got {len(self._met)}: "
                "this alb_mixup does not know how to weight the loss of the installed version; install another version "
                "of either"
            )

    def _summed(self, total: torch.Tensor) -> torch.Tensor:
        """Keep what was summed over locations."""
        self._met.append(total)
        return total

    def _of(self, terms: torch.Tensor, axes: int | Sequence[int] | None) -> torch.Tensor | None:
        """Return the weights that fit terms which are summed over some axes, shaped to be multiplied."""
        if not terms.is_floating_point():
            return None
        every = range(terms.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
        first = min((axis % terms.ndim for axis in every), default=terms.ndim)
        for weights in self._weights:
            if first < weights.ndim and terms.shape[: weights.ndim] == weights.shape:
                return weights.to(terms.dtype).reshape(*weights.shape, *[1] * (terms.ndim - weights.ndim))
        return None

    def _loss(self, func: Any, args: tuple[Any, ...], given: dict[str, Any]) -> torch.Tensor:
        """Reduce a loss of torch's that sums inside."""
        terms: torch.Tensor = func(*args, **(given | {"reduction": "none"}))
        weights = self._of(terms, None)
        if weights is None:
            plain: torch.Tensor = func(*args, **given)
            return plain
        if given.get("reduction", "mean") == "sum":
            return self._summed((terms * weights).sum())
        class_weights = args[2] if len(args) > 2 else given.get("weight")
        if func is not F.cross_entropy or class_weights is None:
            return self._summed((terms * weights).mean())
        self.norm = class_weights[args[1]].sum() if self.norm is None else self.norm
        return self._summed((terms * weights).sum() / self.norm)


def class_terms(
    rule: str,
    weights: torch.Tensor,
    as_objects: Callable[[], Terms],
    as_background: Callable[[], Terms],
) -> Terms:
    """Compute class terms by a rule.

    Args:
        rule: One of `RULES`.
        weights: Those of all locations, 1 where they are background, in the one shape that the loss sums over.
        as_objects: The stock loss.
        as_background: The stock loss of the same locations with nothing matched.

    Returns:
        The terms of `as_objects`; those that `as_background` has too, weighted.
    """
    with WeightedSums(weights) as sums:
        terms = as_objects()
    if rule == "scale":
        return terms
    with WeightedSums(1 - weights, norm=sums.norm):
        background = as_background()
    return terms | {key: terms[key] + term for key, term in background.items()}


def eagerly(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a weighted loss out of what `torch.compile` compiles, as a decorator of it.

    There `WeightedSums` would be entered twice, and weights squared; rebound functions lose their names.
    """
    kept_out: Callable[..., Any] = torch.compiler.disable(loss)
    return kept_out


def checked_rule(rule: str) -> str:
    """Return the name of a rule.

    Raises:
        ArgumentError: There is no such rule.
    """
    return str(checks.choice("rule", rule, RULES))


def check_one_each(weights: torch.Tensor, boxes: torch.Tensor) -> None:
    """Check that weights are one for each of N boxes.

    Raises:
        SampleError: They are not.
    """
    if weights.shape != boxes.shape[:1]:
        raise SampleError(
            f"weights must be one for each of {len(boxes)} boxes, got shape {tuple(weights.shape)}: drop boxes "
            "together with their weights"
        )


def weights_of(targets: Sequence[Mapping[str, Any]]) -> list[torch.Tensor] | None:
    """Return each target's weights, float (N,): ones where it has none; None where all of them are 1.

    Raises:
        SampleError: They are not one for each box.
    """
    found = [target.get("weights") for target in targets]
    for target, weights in zip(targets, found, strict=True):
        if weights is not None:
            check_one_each(weights, target["boxes"])
    given = [weights for weights in found if weights is not None]
    if not given or not torch.cat(given).ne(1).any():
        return None
    return [
        target["boxes"].new_ones(len(target["boxes"])) if weights is None else weights
        for target, weights in zip(targets, found, strict=True)
    ]


def of_matched(targets: Sequence[Any], indices: Sequence[Any]) -> torch.Tensor:
    """Return the weights of what matched queries are matched to, in the queries' order."""
    weights = weights_of(targets) or [target["boxes"].new_ones(len(target["boxes"])) for target in targets]
    return torch.cat([each[chosen] for each, (_, chosen) in zip(weights, indices, strict=True)])


def warn_without_weights(loss: Any, targets: Sequence[Mapping[str, Any]], collate: str) -> None:
    """Say once for each weighted loss that what it is trained with has no weights.

    Args:
        loss: The object that computes the loss; it remembers that it was said.
        targets: The targets of a batch.
        collate: What gives batches with weights.
    """
    if not torch.is_grad_enabled() or getattr(loss, "_said_so", False) or any("weights" in each for each in targets):
        return
    loss._said_so = True
    warnings.warn(
        f"targets must have weights for a weighted loss, got none in a training batch: collate with {collate}, or add "
        "them to targets of your own; they count as 1",
        MissingWeightsWarning,
        stacklevel=3,
    )
