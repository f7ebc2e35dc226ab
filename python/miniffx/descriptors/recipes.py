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
from miniffx.descriptors.g5 import G5
from miniffx.descriptors.moment_invariant import MomentInvariant
from miniffx.descriptors.tensor_moments import CONTRACTIONS
from miniffx.structure import Structure


def behler_set(
    dataset: Iterable[Any], cutoff: float = 6.0, n_radial: int = 6, angular: str | None = "G4"
) -> DescriptorSet:
    """Behler's classical choice: Gaussians around the atom, and angular functions of every resolution.

    Radial, for every ordered pair of species: `n_radial` G2 without shift. Their turning points, where
    exp(−η r²) f_c(r) changes its curvature, are spaced evenly from the shortest distance of a pair in the data to half
    the cutoff, where that of η = 0 is. The η are the same for all pairs: each is the mean of what the pairs ask for.
    Angular, for every triple of species: ζ = 1, 2, 4, 16, λ = ±1, η = 0.

    A pair that comes no closer than half the cutoff anywhere in the data, or never within it, has no say in the η, but
    gets the same functions as all others. Those of a pair that never meets are constant in the data: training drops
    them with a warning, :func:`select` without.

    Source: the recipe of the package miniff (`default_behler_descriptors` and `default_behler_descriptors_3`); the
    functions are those of J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717.

    Args:
        dataset: a Dataset or structures; species and shortest distances are taken from it.
        cutoff: Å; more than twice the shortest distance of at least one pair.
        n_radial: radial functions per pair of species.
        angular: "G4", "G5", or None for no angular functions.

    Returns:
        A DescriptorSet for all species in the data.

    Raises:
        ValueError: no structures, or none whose atoms come closer than half the cutoff.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 3.0]], ["Ar", "Ar"])
    >>> ds = mff.descriptors.behler_set([argon], cutoff=8.0, n_radial=3, angular=None)
    >>> [round(descriptor.eta, 4) for descriptor in ds]
    [0.022, 0.0086, 0.0]
    """
    kinds = {"G4": G4, "G5": G5}
    if angular is not None and angular not in kinds:
        raise ValueError(f"`angular` must be 'G4', 'G5' or None, got {angular!r}")
    if not _checks.is_whole(n_radial) or n_radial < 1:
        raise ValueError(f"`n_radial` must be a positive integer, got {n_radial!r}")
    structures, labels = _structures(dataset)
    cutoff = _checks.positive("cutoff", cutoff)
    shortest = shortest_distances(structures, cutoff).values()
    near = [distance for distance in shortest if distance < 0.5 * cutoff]
    if min(shortest) == np.inf:
        raise ValueError(f"`cutoff` must reach at least one neighbour in the data, got {cutoff} Å")
    if not near:
        raise ValueError(
            f"`cutoff` must be more than twice the shortest distance in the data, {min(shortest):.3g} Å, got {cutoff} Å"
        )
    turning_points = [np.linspace(distance, 0.5 * cutoff, n_radial) for distance in near]
    etas = np.mean([[_eta(point, cutoff) for point in points] for points in turning_points], axis=0)
    descriptors: list[Descriptor] = []
    for center in labels:
        for other in labels:
            descriptors += [G2(float(eta), r_shift=0.0, cutoff=cutoff, species=(center, other)) for eta in etas]
        if angular is not None:
            descriptors += _angular(kinds[angular], center, labels, cutoff, [0.0])
    return DescriptorSet(descriptors)


def gaussian_set(dataset: Iterable[Any], cutoff: float = 6.0) -> DescriptorSet:
    """Gaussian shells around the atom, and angular functions at three radial resolutions.

    Radial, for every ordered pair of species: Gaussian shells, one at the shortest distance of the pair in the data,
    or at half the cutoff if it stays further apart, and on to the cutoff, as wide as their spacing. Angular, for every
    triple of species: G4 with ζ = 1, 2, 4, 16, λ = ±1, at three radial resolutions. A pair that never meets in the
    data gets shells like the closest pair.

    Args:
        dataset: a Dataset or structures; species and shortest distances are taken from it.
        cutoff: Å.

    Returns:
        A DescriptorSet for all species in the data.

    Raises:
        ValueError: no structures, or no neighbours within the cutoff.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 3.0]], ["Ar", "Ar"])
    >>> len(mff.descriptors.gaussian_set([argon], cutoff=6.0))
    36
    """
    structures, labels = _structures(dataset)
    cutoff = _checks.positive("cutoff", cutoff)
    shortest = shortest_distances(structures, cutoff)
    closest = min(shortest.values())
    if closest == np.inf:
        raise ValueError(f"`cutoff` must reach at least one neighbour in the data, got {cutoff} Å")
    descriptors: list[Descriptor] = []
    for center in labels:
        for other in labels:
            nearest = shortest[_sorted(center, other)]
            nearest = closest if nearest == np.inf else min(nearest, 0.5 * cutoff)
            shells, spacing = np.linspace(nearest, cutoff, SHELLS, endpoint=False, retstep=True)
            for shell in shells:
                eta = float(1 / (2 * spacing**2))
                descriptors.append(G2(eta=eta, r_shift=float(shell), cutoff=cutoff, species=(center, other)))
        widths = (cutoff, (cutoff + closest) / 2, closest)
        descriptors += _angular(G4, center, labels, cutoff, [float(1 / (2 * width**2)) / 2 for width in widths])
    return DescriptorSet(descriptors)


SHELLS = 12


def default_set(dataset: Iterable[Any], cutoff: float = 6.0) -> DescriptorSet:
    """What we recommend to somebody who has no opinion: invariants of moments, of up to four bodies.

    Radial for every ordered pair of species, contractions of two moments of ranks 1 to 4 for every triple, and of three
    moments (:class:`MomentInvariant`). With one species there are seven radial functions, of which four are in
    contractions of three moments: 427 descriptors; with S species 14 // S, from two to seven, and 4 // S, at least one.
    With more than four species no three moments are contracted, of which there would be thousands.

    Moments are divided by √⟨Σ_j R_n(r_ij)²⟩, the size that those of rank 1 and above would have in the data if
    neighbours had independent directions, and by √n, so that what varies fast counts less. Training scales all of
    these descriptors by one factor (:class:`miniffx.Normalization`): those that hardly vary stay small, and the
    potential smooth.

    Args:
        dataset: a Dataset or structures; species and distances are taken from it.
        cutoff: Å.

    Returns:
        A DescriptorSet for all species in the data.

    Raises:
        ValueError: no structures, or no neighbours within the cutoff.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 3.0]], ["Ar", "Ar"])
    >>> len(mff.descriptors.default_set([argon], cutoff=6.0))
    427
    """
    structures, labels = _structures(dataset)
    cutoff = _checks.positive("cutoff", cutoff)
    n_pairs = min(max(PAIR_ORDERS[1] // len(labels), PAIR_ORDERS[0]), PAIR_ORDERS[2])
    n_triples = max(TRIPLE_ORDERS // len(labels), 1) if len(labels) <= TRIPLE_ORDERS else 0
    unit = _unit(structures, cutoff, n_pairs)
    descriptors: list[Descriptor] = []
    for center in labels:
        for ranks in CONTRACTIONS:
            n_orders = n_pairs if len(ranks) < 3 else n_triples
            channels = list(itertools.product(labels, range(1, n_orders + 1)))
            for chosen in itertools.product(channels, repeat=len(ranks)):
                if _is_first(ranks, chosen):
                    orders = tuple(order for _, order in chosen)
                    species = (center, *(label for label, _ in chosen))
                    factor = float(unit ** -len(ranks) * np.prod(orders) ** -0.5)
                    descriptors.append(MomentInvariant(ranks, orders, cutoff, species, factor))
    return DescriptorSet(descriptors)


PAIR_ORDERS = (2, 14, 7)  # the fewest, those of all species together, the most
TRIPLE_ORDERS = 4  # those of all species together


def _is_first(ranks: tuple[int, ...], channels: tuple[tuple[str, int], ...]) -> bool:
    """Whether the channels are sorted wherever factors may be exchanged."""
    if len(set(ranks)) == 1:
        return list(channels) == sorted(channels)
    return ranks[0] != ranks[-1] or channels[0] <= channels[-1]


def _unit(structures: list[Structure], cutoff: float, n: int) -> float:
    """√⟨Σ_j R(r_ij)²⟩ over all atoms and the first n radial functions."""
    total, count = 0.0, 0
    for structure, _, _, r in _distances(structures, cutoff):
        screen = 0.5 * (1 + np.cos(np.pi / cutoff * r)) / r
        radial = np.sin(np.arange(1, n + 1)[:, None] * np.pi / cutoff * r) * screen
        total += float((radial**2).sum()) / n
        count += structure.n_atoms
    if not total > 0:
        raise ValueError(f"`cutoff` must reach at least one neighbour in the data, got {cutoff} Å")
    return float(np.sqrt(total / count))


def shortest_distances(structures: list[Structure], cutoff: float) -> dict[tuple[str, str], float]:
    """The shortest distance in Å of every pair of species, infinity where a pair never comes within the cutoff."""
    labels = sorted({label for structure in structures for label in structure.labels})
    shortest = dict.fromkeys(itertools.combinations_with_replacement(labels, 2), np.inf)
    for structure, i, j, distances in _distances(structures, cutoff):
        species = np.asarray(structure.species_index)
        for a, b in shortest:
            if a in structure.labels and b in structure.labels:
                of_kind = (species[i] == structure.labels.index(a)) & (species[j] == structure.labels.index(b))
                shortest[a, b] = min(shortest[a, b], distances[of_kind].min(initial=np.inf))
    return {pair: float(distance) for pair, distance in shortest.items()}


def _distances(structures: list[Structure], cutoff: float) -> Iterator[tuple[Structure, Any, Any, np.ndarray]]:
    """(structure, i, j, |D|) of every structure and all of its pairs."""
    for number, structure in enumerate(structures):
        i, j, _, vectors = neighbors.pairs(structure.positions, structure.cell, structure.pbc, cutoff)
        distances = np.linalg.norm(vectors, axis=1)
        if (distances == 0).any():
            raise ValueError(f"`dataset` must hold no atoms on top of each other, got some in structure {number}")
        yield structure, i, j, distances


def _eta(turning_point: float, cutoff: float) -> float:
    """η such that exp(−η r²) f_c(r), f_c the cosine, has its turning point there, at most at half the cutoff.

    (g f_c)'' = 0 with g' = −2 η r g and g'' = (4 η² r² − 2 η) g is a quadratic equation in η with one root that is not
    negative, since f_c'' ≤ 0 up to half the cutoff.
    """
    t, k = turning_point, np.pi / cutoff
    x = k * (0.5 * cutoff - t)  # ≥ 0; f_c = ½ (1 + sin x)
    f, slope, curvature = 0.5 * (1 + np.sin(x)), -0.5 * k * np.cos(x), -0.5 * k**2 * np.sin(x)
    a, b, c = 4 * t**2 * f, 2 * f + 4 * t * slope, curvature  # a η² − b η + c = 0
    root = np.sqrt(b**2 - 4 * a * c)
    return float((b + root) / (2 * a) if b > 0 else 2 * c / (b - root))


def _angular(kind: type[Any], center: str, labels: list[str], cutoff: float, etas: list[float]) -> Iterator[Descriptor]:
    for first, second in itertools.combinations_with_replacement(labels, 2):
        for eta, zeta, lam in itertools.product(etas, (1, 2, 4, 16), (-1.0, 1.0)):
            yield kind(eta=eta, zeta=zeta, lam=lam, cutoff=cutoff, species=(center, first, second))


def _structures(dataset: Iterable[Any]) -> tuple[list[Structure], list[str]]:
    if isinstance(dataset, Structure) or not isinstance(dataset, Iterable):
        raise ValueError(f"`dataset` must be a Dataset or a sequence of structures, got {type(dataset).__name__}")
    structures = [frame if isinstance(frame, Structure) else frame.structure for frame in dataset]
    if not structures:
        raise ValueError("`dataset` must hold at least one structure, got none")
    return structures, sorted({label for structure in structures for label in structure.labels})


def _sorted(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)
