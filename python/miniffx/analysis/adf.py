"""Angular distribution function: how many triples with which angle."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from miniffx import _checks, neighbors
from miniffx.analysis.frames import distribution_frames, mean_over_frames
from miniffx.analysis.smearing import smeared
from miniffx.structure import Structure

CHUNK = 1 << 20  # triples at once


def adf(
    structures: Structure | Iterable[Any], theta: Any, sigma: float = 0.1, cutoff: float = 2.5
) -> dict[str, np.ndarray]:
    """The number of triples of a frame per radian, for each triple of species, smeared by Gaussians.

        n_A[BC](θ) = Σ_{i∈A} Σ_{j∈B, k∈C} exp(−(θ − θ_jik)²/(2σ²)) / (σ√(2π)),

    where j and k run over the neighbours of i closer than the cutoff and every unordered pair of them counts once.
    So the integral is the number of such triples in a frame (but for what is smeared beyond 0 and π); divide by the
    number of atoms A for triples per centre, by the integral for a probability. The average over frames is that of n.

    Args:
        structures: one structure, or many of any sizes (a Dataset, too); an entry is averaged over those that hold
            its species.
        theta: [n] angles in radians.
        sigma: of the Gaussians, radians.
        cutoff: of both legs, Å.

    Returns:
        {"A-[B,C]": [n] float64} in 1/rad, A the centre, B ≤ C.

    Raises:
        ValueError: no frames, sigma or cutoff not positive.

    >>> import miniffx as mff, numpy as np
    >>> from ase.build import bulk
    >>> theta = np.radians(np.arange(0, 181))
    >>> n = mff.adf(mff.Structure.from_ase(bulk("Si", a=5.431)), theta)["Si-[Si,Si]"]
    >>> int(n.argmax()), round(float(n.sum() * np.radians(1)))    # degrees, 2 centres with 6 triples each
    (109, 12)
    """
    theta = _checks.array("theta", theta, (None,), "an array of angles")
    sigma, cutoff = _checks.positive("sigma", sigma), _checks.positive("cutoff", cutoff)
    return mean_over_frames(_counts(frame, theta, sigma, cutoff) for frame in distribution_frames(structures))


def _counts(structure: Structure, theta: np.ndarray, sigma: float, cutoff: float) -> dict[str, np.ndarray]:
    """Of one frame: the species triples that it holds."""
    labels, species = structure.labels, np.asarray(structure.species_index).astype(np.int64)
    n_labels, present = len(labels), np.unique(species[species >= 0])
    i, j, _, D = neighbors.pairs(structure.positions, structure.cell, structure.pbc, cutoff)
    real = (species[i] >= 0) & (species[j] >= 0)
    i, j, D = i[real], j[real], D[real]
    r = np.sqrt((D * D).sum(axis=1))
    unit = D / np.where(r > 0, r, 1)[:, None]

    def triples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first, second in _pairs_of_pairs(np.bincount(i, minlength=structure.n_atoms)):
            u, v = unit[first], unit[second]
            # tan(θ/2) = |u − v| / |u + v|, which unlike arccos(u · v) has all its digits at 0 and π too.
            angles = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))
            b, c = species[j[first]], species[j[second]]
            kinds = (species[i[first]] * n_labels + np.minimum(b, c)) * n_labels + np.maximum(b, c)
            yield angles, kinds

    sums = smeared(triples(), n_labels**3, theta, sigma)
    result = {}
    for a in present:
        for b, c in itertools.combinations_with_replacement(present, 2):
            result[f"{labels[a]}-[{labels[b]},{labels[c]}]"] = sums[(a * n_labels + b) * n_labels + c]
    return result


def _pairs_of_pairs(counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For `counts` neighbours of each atom, one after the other: all (first, second) < of the same atom, in parts."""
    ends = np.repeat(np.cumsum(counts), counts)
    partners = ends - np.arange(len(ends)) - 1  # behind each neighbour in its atom's list
    total = np.cumsum(partners)
    start = 0
    while start < len(partners):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + CHUNK, side="right")))
        some = partners[start:stop]
        first = np.repeat(np.arange(start, stop), some)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(some) - some, some)
        yield first, first + 1 + offset
        start = stop
