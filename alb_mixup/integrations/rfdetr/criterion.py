"""The criterion of rfdetr, with the weights of targets."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from rfdetr.models.criterion import SetCriterion, dice_loss, sigmoid_ce_loss

from alb_mixup.errors import ArgumentError
from alb_mixup.integrations._rebinding import with_names
from alb_mixup.integrations._weighting import (
    Terms,
    WeightedSums,
    checked_rule,
    class_terms,
    eagerly,
    of_matched,
    warn_without_weights,
    weights_of,
)


def weight_loss(module: Any, rule: str = "interpolate") -> None:
    """Let a criterion read `weights` from its targets, for those who train with Lightning's parts themselves.

    Args:
        module: `RFDETRModelModule`, or a `SetCriterion`.
        rule: As for `train`.

    Raises:
        ArgumentError: Its criterion is another one, weighted already, or has keypoints; or there is no such rule.
        InstallationError: This version of rfdetr computes its losses in another way.

    Warns:
        MissingWeightsWarning: Once, when targets that it is trained with have no weights.

    Examples:
        >>> from alb_mixup.integrations.rfdetr import MixUpDataModule, weight_loss
        >>> module = RFDETRModelModule(model_config, train_config)  # doctest: +SKIP
        >>> weight_loss(module)  # doctest: +SKIP
        >>> data = MixUpDataModule(pipeline, None, model_config, train_config)  # doctest: +SKIP
        >>> build_trainer(train_config, model_config).fit(module, data)  # doctest: +SKIP
    """
    checked_rule(rule)
    criterion = getattr(module, "criterion", module)
    if "keypoints" in getattr(criterion, "losses", ()):
        raise ArgumentError(
            "module must be for boxes or masks, got one with keypoints: a mix has the keypoints of two images, which "
            "its targets do not hold; train it without a pipeline"
        )
    if type(criterion) is not SetCriterion:
        raise ArgumentError(
            "module must have rfdetr's own SetCriterion, got "
            f"{type(criterion).__name__}: weight_loss goes once, before other changes"
        )
    _mask_loss()  # so that an unknown version is found before the training
    criterion.__class__, criterion.rule = WeightedCriterion, rule


class WeightedCriterion(SetCriterion):  # type: ignore[misc, unused-ignore]
    """`SetCriterion` whose targets may have `weights`."""

    rule: str

    @eagerly
    def forward(self, outputs: Any, targets: Any, num_boxes: Any = None) -> Terms:
        """Compute every loss; with weights where a target has others than 1."""
        targets = [_padded(target) for target in targets]
        warn_without_weights(self, targets, "MixUpDataModule")
        self._weighted = weights_of(targets) is not None
        terms: Terms = super().forward(outputs, targets, num_boxes)
        return terms

    def loss_labels(
        self, outputs: Any, targets: Any, indices: Any, num_boxes: Any, log: bool = True, matched_targets: Any = None
    ) -> Terms:
        """Sum the class terms."""
        stock = partial(super().loss_labels, outputs, targets)
        whole = partial(stock, indices, num_boxes, log, matched_targets)
        if not self._weighted:
            return whole()  # type: ignore[no-any-return, unused-ignore]
        weights = torch.ones_like(outputs["pred_logits"][..., 0], dtype=torch.float32)
        weights[self._get_src_permutation_idx(indices)] = of_matched(targets, indices).float()
        unmatched = [(query[:0], target[:0]) for query, target in indices]
        return class_terms(self.rule, weights, whole, partial(stock, unmatched, num_boxes, log=False))

    def loss_boxes(
        self, outputs: Any, targets: Any, indices: Any, num_boxes: Any, matched_targets: Any = None
    ) -> Terms:
        """Sum L1 and GIoU terms."""
        stock = partial(super().loss_boxes, outputs, targets, indices, num_boxes, matched_targets)
        return self._of_pairs(stock, targets, indices)

    def loss_masks(self, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> Terms:
        """Sum a mask's two terms."""
        loss = _mask_loss() if self._weighted else SetCriterion.loss_masks
        return self._of_pairs(partial(loss, self, outputs, targets, indices, num_boxes), targets, indices)

    def _of_pairs(self, stock: Any, targets: Any, indices: Any) -> Terms:
        weights = of_matched(targets, indices) if self._weighted else ()
        if not len(weights):
            return stock()  # type: ignore[no-any-return, unused-ignore]
        with WeightedSums(weights, times=2):
            return stock()  # type: ignore[no-any-return, unused-ignore]


def _mask_loss() -> Any:
    """Return the stock mask loss with its two parts as Python, whose sums can be met, for TorchScript."""
    parts = {"sigmoid_ce_loss_jit": sigmoid_ce_loss, "dice_loss_jit": dice_loss}
    return with_names(SetCriterion.loss_masks, **parts)


def _padded(target: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the weights to targets that `pad_targets_to` has made of one length: its filler is not matched."""
    weights, count = target.get("weights"), len(target["boxes"])
    if weights is None or "valid" not in target:
        return dict(target)
    filler = weights.new_ones(max(0, count - len(weights)))
    return dict(target) | {"weights": torch.cat([weights[:count], filler])}
