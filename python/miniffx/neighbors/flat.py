"""All pairs and all triples as flat NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniffx import _checks, _core


def pairs(
    positions: Any, cell: Any, pbc: Any, cutoff: float, n_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All ordered pairs closer than `cutoff`, as NumPy arrays.

    Args:
        positions: [n_atoms, 3] in Å, anywhere.
        cell: [3, 3], rows are lattice vectors in Å; None or zero vectors where an axis is open.
        pbc: bool or three bools.
        cutoff: in Å; pairs with |D| < cutoff are listed.
        n_threads: the result does not depend on it; by default what OpenMP provides.

    Returns:
        i, j [n_pairs] int32, sorted by i; shift [n_pairs, 3] int32; D [n_pairs, 3] float64 in Å, where
        D = positions[j] + shift @ cell − positions[i].

    Raises:
        ValueError: wrong shapes, numbers that are not finite, a singular cell along periodic axes, cutoff ≤ 0.

    >>> import miniffx as mff
    >>> i, j, shift, D = mff.neighbors.pairs([[0.0, 0.0, 0.0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], True, 1.1)
    >>> len(i), sorted(map(tuple, shift.tolist()))[0]
    (6, (-1, 0, 0))
    """
    found = _flat_pairs(positions, cell, pbc, cutoff, n_threads)
    return found.i, found.j, found.shift, found.vectors


def triples(
    positions: Any, cell: Any, pbc: Any, cutoff: float, closed: bool = False, n_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All triples: a centre i and two different neighbours j, k closer than `cutoff`, each pair of them once.

    Args:
        positions, cell, pbc, cutoff, n_threads: as for :func:`pairs`.
        closed: whether j and k must be closer than `cutoff` to each other too.

    Returns:
        i, j, k [n_triples] int32, sorted by i; shift_j, shift_k [n_triples, 3] int32. "Different" means that
        (j, shift_j) and (k, shift_k) differ: two images of one atom are two neighbours.
    """
    found = _flat_pairs(positions, cell, pbc, cutoff, n_threads)
    first, second = _core.find_triples(found, float(cutoff), bool(closed), _threads(n_threads))
    j, shift = found.j, found.shift
    return found.i[first], j[first], j[second], shift[first], shift[second]


def _flat_pairs(positions: Any, cell: Any, pbc: Any, cutoff: float, n_threads: int | None) -> Any:
    from miniffx.structure import _pbc

    positions = _checks.array("positions", positions, (None, 3), "an array of Cartesian positions")
    cell = np.zeros((3, 3)) if cell is None else _checks.array("cell", cell, (3, 3), "a matrix of lattice vectors")
    cutoff = _checks.positive("cutoff", cutoff)
    return _core.find_pairs(
        np.ascontiguousarray(positions), np.ascontiguousarray(cell), _pbc(pbc), cutoff, _threads(n_threads)
    )


def _threads(number: Any) -> int:
    """0, the core's word for its default number, for None."""
    if number is None:
        return 0
    if not _checks.is_whole(number) or not 0 < number < 2**31:
        raise ValueError(f"`n_threads` must be a positive whole number or None, got {number!r}")
    return int(number)
