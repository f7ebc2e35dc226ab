"""Radial distribution function: how many atoms at which distance."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from miniffx import _checks, neighbors
from miniffx.analysis.frames import distribution_frames, mean_over_frames
from miniffx.analysis.smearing import REACH, smeared
from miniffx.structure import Structure

CHUNK = 1 << 20  # pairs at once, for memory


def rdf(
    structures: Structure | Iterable[Any], r: Any, sigma: float = 0.1, density: bool = False
) -> dict[str, np.ndarray]:
    """g(r) for each pair of species, 1 for an ideal gas, smeared by Gaussians.

    The number density of atoms B at the distance r from an atom A,

        ρ_AB(r) = 1/(4πr² N_A) Σ_{i∈A} Σ_{j∈B} exp(−(r − r_ij)²/(2σ²)) / (σ√(2π)),

    over what it would be without any order, g_AB(r) = ρ_AB(r) V/N_B. Every image within reach counts. g_AB = g_BA,
    while ρ_AB N_A = ρ_BA N_B. The average over frames is that of g (of ρ).

    Args:
        structures: one structure, or many of any sizes (a Dataset, too); an entry is averaged over those that hold
            its species.
        r: [n] distances in Å, not negative; the result is 0 at r = 0, where there is no shell.
        sigma: of the Gaussians, Å.
        density: return ρ_AB in Å⁻³ instead of g_AB, for "A-B" with A ≤ B: needs no cell.

    Returns:
        {"A-B": [n] float64} for A ≤ B.

    Raises:
        ValueError: no frames, a frame without a volume (unless `density`), sigma ≤ 0, distances that are negative.

    >>> import miniffx as mff, numpy as np
    >>> from ase.build import bulk
    >>> r = np.linspace(0.5, 3.0, 251)
    >>> g = mff.rdf(mff.Structure.from_ase(bulk("Si", a=5.431)), r)["Si-Si"]
    >>> round(float(r[g.argmax()]), 2)
    2.34
    """
    r = _checks.array("r", r, (None,), "an array of distances")
    sigma = _checks.positive("sigma", sigma)
    if len(r) and r.min() < 0:
        raise ValueError(f"`r` must not be negative, got {r.min()}")
    frames = distribution_frames(structures)
    if not density and not all(float(frame.volume) > 0 for frame in frames):
        raise ValueError("`structures` must have a cell with a volume for g(r); without one, ask for the `density`")
    return mean_over_frames(_densities(frame, r, sigma, density) for frame in frames)


def _densities(structure: Structure, r: np.ndarray, sigma: float, density: bool) -> dict[str, np.ndarray]:
    """Of one frame: the species pairs that it holds."""
    labels, species = structure.labels, np.asarray(structure.species_index).astype(np.int64)
    n_labels, counts = len(labels), np.bincount(species[species >= 0], minlength=len(labels))
    cutoff = (r.max() if len(r) else 0.0) + REACH * sigma
    i, j, _, D = neighbors.pairs(structure.positions, structure.cell, structure.pbc, cutoff)

    def distances() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(i), CHUNK):
            part = slice(start, start + CHUNK)
            a, b = species[i[part]], species[j[part]]
            once = (a >= 0) & (b >= a)
            yield np.sqrt((D[part][once] ** 2).sum(axis=1)), a[once] * n_labels + b[once]

    shell = 4 * np.pi * r**2
    per_volume = np.where(shell > 0, smeared(distances(), n_labels**2, r, sigma) / np.where(shell > 0, shell, 1), 0)
    result = {}
    for x, y in itertools.combinations_with_replacement(range(n_labels), 2):
        if counts[x] and counts[y]:
            ideal = counts[x] * (1 if density else counts[y] / float(structure.volume))
            result[f"{labels[x]}-{labels[y]}"] = per_volume[x * n_labels + y] / ideal
    return result
