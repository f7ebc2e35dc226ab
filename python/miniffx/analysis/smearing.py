"""Sums of Gaussians around many points on a grid, at the cost of counting the points."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

WIDTH = 1 / 16  # of a bin, in units of σ
ORDER = 8  # of the expansion: the remainder is (1/32)⁸/√8! of the height of a Gaussian
REACH = 9.0  # σ: what a Gaussian is beyond, 3·10⁻¹⁸ of its height, is left out
CHUNK = 4096  # bins at once, for memory


def smeared(parts: Iterable[tuple[np.ndarray, np.ndarray]], n_kinds: int, grid: np.ndarray, sigma: float) -> np.ndarray:
    """Σ_p exp(−(x − p)²/(2σ²)) / (σ√(2π)) at every x of the grid, for each kind of point.

    Points p are binned with the first powers of their distances to the centre c of the bin, h = (p − c)/σ ≪ 1, and

        exp(−(t − h)²/2) = exp(−t²/2) Σ_n Heₙ(t) hⁿ/n!,    t = (x − c)/σ,

    is summed over bins instead of points. It is as exact as the plain sum: the fast Gauss transform of L. Greengard
    and J. Strain, SIAM J. Sci. Stat. Comput. 12, 79 (1991), doi:10.1137/0912004.

    Args:
        parts: (points, kinds) of any lengths, kinds being integers in 0 … n_kinds − 1.
        grid: [n_grid], in any order.
        sigma: in the units of both.

    Returns:
        [n_kinds, n_grid].
    """
    result = np.zeros((n_kinds, len(grid)))
    if not len(grid):
        return result
    low, width = grid.min() - REACH * sigma, WIDTH * sigma
    n_bins = int((grid.max() + REACH * sigma - low) / width) + 1
    moments = np.zeros((ORDER, n_kinds * n_bins))
    for points, kinds in parts:
        position = (points - low) / width
        inside = (position >= 0) & (position < n_bins)
        position, kinds = position[inside], kinds[inside]
        bins = position.astype(np.int64)
        place, h = kinds * n_bins + bins, (position - bins - 0.5) * WIDTH
        power = np.ones_like(h)
        for n in range(ORDER):
            moments[n] += np.bincount(place, weights=power, minlength=n_kinds * n_bins)
            power *= h
    table = moments.reshape(ORDER, n_kinds, n_bins)
    occupied = np.flatnonzero(table[0].any(axis=0))
    for start in range(0, len(occupied), CHUNK):
        some = occupied[start : start + CHUNK]
        t = (grid - (low + (some[:, None] + 0.5) * width)) / sigma
        hermite, before = np.exp(-0.5 * t * t), np.zeros_like(t)
        for n in range(ORDER):
            result += table[n, :, some].T @ hermite / math.factorial(n)
            hermite, before = t * hermite - n * before, hermite
    return result / (sigma * math.sqrt(2 * math.pi))
