"""Recipes: descriptor sets from data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from miniffx import _checks, neighbors
from miniffx.descriptors.descriptor import Descriptor
from miniffx.descriptors.descriptor_set import DescriptorSet
from miniffx.descriptors.g2 import G2
from miniffx.descriptors.g4 import G4
from miniffx.structure import Structure


def behler_set(
    dataset: Iterable[Any], cutoff: float = 6.0, n_radial: int = 6, angular: str | None = "G4"
) -> DescriptorSet:
    """Behler's classical choice: Gaussians around the atom, and angular functions of every resolution.

    Radial, for every ordered pair of species: `n_radial` G2 without shift, whose turning points 1/√(2η) are spaced
    evenly from the shortest distance of the pair in the data to the cutoff. Angular, for every triple of species:
    ζ = 1, 2, 4, 16, λ = ±1, with the η of the widest Gaussian.

    Args:
        dataset: a Dataset or structures; species and shortest distances are taken from it.
        cutoff: Å.
        n_radial: radial functions per pair of species.
        angular: "G4", or None for no angular functions.

    Returns:
        A DescriptorSet for all species in the data.
    """
    if angular not in ("G4", None):
        raise ValueError(f"`angular` must be 'G4' or None, got {angular!r}")
    if not isinstance(n_radial, int) or n_radial < 1:
        raise ValueError(f"`n_radial` must be a positive integer, got {n_radial!r}")
    structures, labels = _structures(dataset)
    cutoff = _checks.positive("cutoff", cutoff)
    shortest = shortest_distances(structures, cutoff)
    descriptors: list[Descriptor] = []
    for center in labels:
        for other in labels:
            for turning_point in np.linspace(shortest[_sorted(center, other)], cutoff, n_radial):
                eta = float(1 / (2 * turning_point**2))
                descriptors.append(G2(eta=eta, r_shift=0.0, cutoff=cutoff, species=(center, other)))
        if angular is not None:
            descriptors += _angular(center, labels, cutoff, [float(1 / (2 * cutoff**2))])
    return DescriptorSet(descriptors)


def default_set(dataset: Iterable[Any], cutoff: float = 6.0) -> DescriptorSet:
    """What we recommend to somebody who has no opinion: resolved in distance and angle.

    Radial, for every ordered pair of species: Gaussian shells, one at the shortest distance of the pair in the data
    and on to the cutoff, as wide as their spacing. Angular, for every triple of species: G4 with ζ = 1, 2, 4, 16,
    λ = ±1, at three radial resolutions.

    Args:
        dataset: a Dataset or structures; species and shortest distances are taken from it.
        cutoff: Å.

    Returns:
        A DescriptorSet for all species in the data.
    """
    structures, labels = _structures(dataset)
    cutoff = _checks.positive("cutoff", cutoff)
    shortest = shortest_distances(structures, cutoff)
    descriptors: list[Descriptor] = []
    for center in labels:
        for other in labels:
            nearest = shortest[_sorted(center, other)]
            shells, spacing = np.linspace(nearest, cutoff, SHELLS, endpoint=False, retstep=True)
            for shell in shells:
                eta = float(1 / (2 * spacing**2))
                descriptors.append(G2(eta=eta, r_shift=float(shell), cutoff=cutoff, species=(center, other)))
        nearest = min(shortest.values())
        widths = (cutoff, (cutoff + nearest) / 2, nearest)
        descriptors += _angular(center, labels, cutoff, [float(1 / (2 * width**2)) / 2 for width in widths])
    return DescriptorSet(descriptors)


SHELLS = 12


def shortest_distances(structures: list[Structure], cutoff: float) -> dict[tuple[str, str], float]:
    """The shortest distance in Å of every pair of species, the overall shortest where a pair never meets."""
    labels = sorted({label for structure in structures for label in structure.labels})
    shortest = dict.fromkeys(itertools.combinations_with_replacement(labels, 2), np.inf)
    for structure in structures:
        i, j, _, vectors = neighbors.pairs(structure.positions, structure.cell, structure.pbc, cutoff)
        distances = np.linalg.norm(vectors, axis=1)
        species = np.asarray(structure.species_index)
        for a, b in shortest:
            if a in structure.labels and b in structure.labels:
                of_kind = (species[i] == structure.labels.index(a)) & (species[j] == structure.labels.index(b))
                shortest[a, b] = min(shortest[a, b], distances[of_kind].min(initial=np.inf))
    found = [distance for distance in shortest.values() if np.isfinite(distance)]
    if not found:
        raise ValueError(f"`cutoff` must reach at least one neighbour in the data, got {cutoff} Å")
    return {pair: float(distance if np.isfinite(distance) else min(found)) for pair, distance in shortest.items()}


def _angular(center: str, labels: list[str], cutoff: float, etas: list[float]) -> Iterator[Descriptor]:
    for first, second in itertools.combinations_with_replacement(labels, 2):
        for eta, zeta, lam in itertools.product(etas, (1, 2, 4, 16), (-1.0, 1.0)):
            yield G4(eta=eta, zeta=zeta, lam=lam, cutoff=cutoff, species=(center, first, second))


def _structures(dataset: Iterable[Any]) -> tuple[list[Structure], list[str]]:
    structures = [frame if isinstance(frame, Structure) else frame.structure for frame in dataset]
    if not structures:
        raise ValueError("`dataset` must hold at least one structure, got none")
    return structures, sorted({label for structure in structures for label in structure.labels})


def _sorted(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)
