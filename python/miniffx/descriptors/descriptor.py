"""What all descriptors have in common: species, a cutoff, a formula, a sum over neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx.descriptors import cutoffs, moments
from miniffx.neighbors import Array, Environments, Needs


class Descriptor:
    """A number per atom of one species, summed over its neighbours (radial) or pairs of neighbours (angular).

    Subclasses are frozen dataclasses with static fields `cutoff` (Å) and `species` (centre first) and a method
    `formula`; their other leaves may be differentiated and batched. Descriptors are evaluated in sets:
    :class:`miniffx.descriptors.DescriptorSet`.
    """

    cutoff: float
    species: tuple[str, ...]
    n_bodies: ClassVar[int]
    closed: ClassVar[bool] = True  # whether triples with r_jk ≥ cutoff contribute nothing

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        center, *others = _checks.labels("species", self.species, self.n_bodies)
        object.__setattr__(self, "species", (center, *sorted(others)))

    @property
    def needs(self) -> Needs:
        """The pairs and triples that the descriptor reads."""
        if self.n_bodies == 2:
            return Needs(self.cutoff)
        center, *others = self.species
        first, second = sorted(others)
        return Needs(self.cutoff, self.cutoff, self.closed, frozenset({(center, first, second)}))

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] the descriptor of the atoms of one species.

        Args:
            displacements: [rows, n_columns, 3] to their neighbours, Å.
            environments: these atoms, of the species ``self.species[0]``.
            labels: the species of the structure; neighbours that it does not have contribute nothing.
        """
        raise NotImplementedError


class Radial(Descriptor):
    """A descriptor Σ_j f(r_ij)."""

    n_bodies = 2

    def formula(self, r: Array) -> Array:
        """f(r), elementwise, for r in Å below the cutoff."""
        raise NotImplementedError

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] Σ_j f(r_ij) over the neighbours of one species."""
        if self.species[1] not in labels:
            return jnp.zeros(displacements.shape[0], displacements.dtype)
        neighbor = labels.index(self.species[1])
        return mapping.sum_over_pairs(self.formula, displacements, environments, neighbor, self.cutoff)


class Angular(Descriptor):
    """A descriptor Σ_{j<k} f(r_ij, r_ik, r_jk, cos θ_jik), f symmetric in j and k."""

    n_bodies = 3

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """f, elementwise, for legs r1, r2 in Å below the cutoff (and r3 too where `closed`)."""
        raise NotImplementedError

    def kinds(self, labels: tuple[str, ...]) -> list[tuple[tuple[int, int], float | Array]]:
        """((B, C), weight) of the kinds of triples that count, B ≤ C indices of labels that the structure has."""
        if not set(self.species[1:]) <= set(labels):
            return []
        first, second = sorted(labels.index(label) for label in self.species[1:])
        return [((first, second), 1.0)]

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] Σ_{j<k} f over the unordered pairs of neighbours of two species."""
        if not self.kinds(labels):
            return jnp.zeros(displacements.shape[0], displacements.dtype)
        kind, formula = mapping.ordered_kind(self.formula, self.species[1:], labels)
        return mapping.sum_over_triples(formula, displacements, environments, kind, self.cutoff, self.closed)


class Product(Angular):
    """A descriptor Σ_{j<k} L(r_ij) L(r_ik) L(r_jk) A(cos θ_jik), L(r_jk) only where `closed`.

    Products are evaluated together: a factor that several of them have in common is computed once
    (`products.py`).
    """

    @property
    def needs(self) -> Needs:
        """Pairs alone, where moments serve."""
        return super().needs if self.degree is None else Needs(self.cutoff)

    @property
    def degree(self) -> int | None:
        """The degree of A where it is a polynomial that is best evaluated through moments (`moments.py`), else None."""
        return None

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] Σ_{j<k} f over the unordered pairs of neighbours of two species."""
        if self.degree is None:
            return super().sums(displacements, environments, labels)
        result = jnp.zeros(displacements.shape[0], displacements.dtype)
        for (first, second), weight in self.kinds(labels):
            found = {
                neighbor: moments.moments(self.leg, self.degree, displacements, environments, neighbor, self.cutoff)
                for neighbor in {first, second}
            }
            both = moments.sum_over_pairs_of_neighbors(self.coefficients(), found[first], found[second])
            result = result + weight * both
        return result

    def coefficients(self) -> Sequence[float | Array]:
        """Of A in powers of cos θ, lowest first: to be defined along with a degree."""
        raise NotImplementedError

    def leg(self, r: Array) -> Array:
        """L(r)."""
        raise NotImplementedError

    def angle(self, cos_theta: Array) -> Array:
        """A(cos θ)."""
        raise NotImplementedError

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """L(r₁) L(r₂) L(r₃) A(cos θ), without L(r₃) unless `closed`."""
        legs = self.leg(r1) * self.leg(r2) * (self.leg(r3) if self.closed else 1.0)
        return self.angle(cos_theta) * legs


class Screened(Descriptor):
    """A descriptor with a choice of cutoff function (:mod:`miniffx.descriptors.cutoffs`), as two static fields."""

    cutoff_function: str
    cutoff_alpha: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "cutoff_alpha", cutoffs.check(self.cutoff_function, self.cutoff_alpha))

    def screen(self, r: Array) -> Array:
        """f_c(r)."""
        return cutoffs.screen(self.cutoff_function, r, self.cutoff, self.cutoff_alpha)


class Weighted(Descriptor):
    """A descriptor that sums over neighbours of several species, each neighbour times the weight of its species.

    Its `species` are the centre and all species of neighbours that count; `weights` has one number for each of the
    latter, in their order, their atomic numbers by default.
    """

    weights: tuple[float | Array, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        count = len(self.species) if isinstance(self.species, (tuple, list)) else 2
        species = _checks.labels("species", self.species, max(count, 2))
        if len(set(species[1:])) < len(species) - 1:
            raise ValueError(f"`species` must name each species of neighbours once, got {species}")
        weights = _atomic_numbers(species[1:]) if self.weights is None else tuple(self.weights)
        if len(weights) != len(species) - 1:
            raise ValueError(f"`weights` must be one number for each of {species[1:]}, got {len(weights)}")
        object.__setattr__(self, "species", species)
        object.__setattr__(self, "weights", weights)

    @property
    def neighbors(self) -> tuple[str, ...]:
        """The species of neighbours that count."""
        return self.species[1:]

    def indices(self, labels: tuple[str, ...]) -> list[tuple[int, float | Array]]:
        """(index of the species, weight) of the neighbours that a structure may have, sorted."""
        pairs = zip(self.neighbors, self.weights, strict=True)
        return sorted(
            ((labels.index(label), weight) for label, weight in pairs if label in labels), key=lambda pair: pair[0]
        )


class WeightedRadial(Weighted, Radial):
    """A descriptor Σ_j w_j f(r_ij)."""

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] Σ_j w_j f(r_ij) over the neighbours of all species."""
        result = jnp.zeros(displacements.shape[0], displacements.dtype)
        for neighbor, weight in self.indices(labels):
            of_species = mapping.sum_over_pairs(self.formula, displacements, environments, neighbor, self.cutoff)
            result = result + weight * of_species
        return result


class WeightedAngular(Weighted, Angular):
    """A descriptor Σ_{j<k} w_j w_k f(r_ij, r_ik, r_jk, cos θ_jik), f symmetric in j and k."""

    @property
    def needs(self) -> Needs:
        """The triples of all species of neighbours."""
        pairs = itertools.combinations_with_replacement(sorted(self.neighbors), 2)
        kinds = frozenset((self.species[0], first, second) for first, second in pairs)
        return Needs(self.cutoff, self.cutoff, self.closed, kinds)

    def kinds(self, labels: tuple[str, ...]) -> list[tuple[tuple[int, int], float | Array]]:
        """All kinds of triples that the structure may have, with the products of two weights."""
        pairs = itertools.combinations_with_replacement(self.indices(labels), 2)
        return [((b, c), w * v) for (b, w), (c, v) in pairs]

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] Σ_{j<k} w_j w_k f over the unordered pairs of neighbours of all species."""
        result = jnp.zeros(displacements.shape[0], displacements.dtype)
        for kind, weight in self.kinds(labels):
            of_kind = mapping.sum_over_triples(
                self.formula, displacements, environments, kind, self.cutoff, self.closed
            )
            result = result + weight * of_kind
        return result


class WeightedProduct(WeightedAngular, Product):
    """A descriptor Σ_{j<k} w_j w_k f(r_ij, r_ik, r_jk, cos θ_jik), f a product as in :class:`Product`."""


def _atomic_numbers(labels: tuple[str, ...]) -> tuple[float, ...]:
    from ase.data import atomic_numbers

    unknown = [label for label in labels if label not in atomic_numbers]
    if unknown:
        raise ValueError(f"`weights` must be given where species are no elements, got {', '.join(unknown)}")
    return tuple(float(atomic_numbers[label]) for label in labels)
