"""Culprit: where a loss that is no longer finite comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniffx.training.steps import Recipe


def culprit(
    recipe: Recipe,
    parameters: Any,
    fixed: Any,
    batches: list[Any],
    indices: list[np.ndarray],
    labels: list[str],
    seen: Any = slice(None),
) -> str:
    """The sample and the term whose error is not finite, or where all are, the one that weighs most.

    Args:
        recipe, parameters, fixed: to predict with.
        batches: where to look, `seen` of each.
        indices: for every batch, the numbers of its samples.
        labels: of the samples.
    """
    worst: tuple[bool, float, str, int] | None = None
    for batch, numbers in zip(batches, indices, strict=True):
        differences = recipe.each(recipe.differences, parameters, fixed, batch)
        for term, difference in differences.items():
            error = np.abs(np.asarray(difference.error, np.float64))
            if recipe.members is not None:
                error = np.moveaxis(error, 0, -1)
            sizes = error.reshape(len(numbers), -1).max(axis=1)[seen]  # NaN where one is
            bad = ~np.isfinite(sizes)
            n = int(np.argmax(bad)) if bad.any() else int(np.argmax(sizes))
            entry = (bool(bad.any()), recipe.weights.of(term) ** 0.5 * float(sizes[n]), term, int(numbers[seen][n]))
            if worst is None or (entry[0], entry[1]) > (worst[0], worst[1]):
                worst = entry
    assert worst is not None
    broken, _, term, number = worst
    if broken:
        return f"where the {term.replace('_', ' ')} error of {labels[number]} is not finite"
    return f"where all errors are finite and the {term.replace('_', ' ')} error of {labels[number]} weighs most"
