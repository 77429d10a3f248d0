"""Boxes of two images in one array, each with its own image's share in a weight column."""

import numpy as np

from alb_mixup.functional import Array


def join_rows(primary: Array, reference: Array) -> Array:
    """Concatenate annotation rows; a primary without rows may lack the label columns (Albumentations drops them).

    Args:
        primary: (N, C) rows.
        reference: (M, C) rows.

    Returns:
        New (N + M, C) array in the primary's dtype, the primary's rows first.
    """
    if len(primary) == 0:
        return reference.astype(primary.dtype)
    return np.concatenate((primary, reference.astype(primary.dtype, copy=False)))


def join_weighted_rows(primary: Array, reference: Array, column: int, ratio: float) -> Array:
    """Concatenate as `join_rows` does, and multiply each weight by its image's share: `ratio` and `1 - ratio`.

    So weights that came in compose: a pseudo-label's confidence, or the share of an earlier MixUp.

    Args:
        primary: (N, C) rows.
        reference: (M, C) rows.
        column: Index of the weight column.
        ratio: Share of the primary image in [0, 1].

    Returns:
        New (N + M, C) array in the primary's dtype, the primary's rows first.
    """
    rows, count = join_rows(primary, reference), len(primary)
    weights, others = rows[:count, column], rows[count:, column]
    weights *= ratio
    others *= 1.0 - ratio
    return rows
