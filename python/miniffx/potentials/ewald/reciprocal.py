"""Reciprocal part of an Ewald sum: E = (2π C/V) Σ_{k≠0} exp(−k²/4η²)/k² |S(k)|² for |k| < cutoff."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald import structure_factors
from miniffx.potentials.ewald.charges import COULOMB, charges_of, checked_eta, on_atoms, require_crystal
from miniffx.structure import Structure

K_MAX = (63, 63, 63)


@pytree
class EwaldReciprocal(Energy):
    """E = (2π C/V) Σ_{k≠0} exp(−k²/4η²)/k² |S(k)|², |k| < cutoff, S(k) = Σ_i q_i exp(i k·r_i), C = 14.399645 eV Å.

    The wave vectors are k = 2π (n₁ b₁ + n₂ b₂ + n₃ b₃), n integers, b the reciprocal vectors of the cell as it is:
    when the cell changes, so do the wave vectors within the cutoff, and the energy jumps by the term that comes or
    goes. Atom i has half of q_i times the potential where it is.

    Source: as for :class:`miniffx.potentials.Ewald`.

    Args:
        eta: screening, 1/Å.
        cutoff: 1/Å; |k| includes the factor 2π.
        k_max: the largest |n| along each reciprocal vector, which fixes shapes (static).

    Raises:
        ValueError: a cell for which `k_max` leaves out wave vectors within the cutoff (NaN inside jit).

    >>> import miniffx as mff
    >>> salt = mff.Structure.create(
    ...     [[0, 0, 0], [0.5, 0.5, 0.5]], ["Na", "Cl"], charges=[1.0, -1.0], fractional=True,
    ...     cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
    >>> part = mff.potentials.EwaldReciprocal(eta=0.6, cutoff=7.0, k_max=(5, 5, 5))
    >>> round(float(part(salt, part.neighbor_list(salt))), 4)
    1.2688
    """

    eta: float | Array
    cutoff: float = static()
    k_max: tuple[int, int, int] = static(default=K_MAX)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        object.__setattr__(self, "k_max", checked_k_max(self.k_max))

    @property
    def needs(self) -> Needs:
        """No neighbours."""
        return Needs()

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar."""
        guard = self._guard(structure, neighbors)
        weights, products = mapping.cast(self, structure.positions.dtype)._sums(structure)
        return (weights * structure_factors.squares(products)).sum() * guard

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        weights, products = self._sums(structure)
        potentials = structure_factors.potentials(structure.fractional_positions, products, weights)
        return on_atoms(charges_of(structure) * potentials, structure)

    def _sums(self, structure: Structure) -> tuple[Array, Array]:
        weights = self.weights(structure)
        active = (weights > 0).any(axis=(1, 2, 3))
        charges = charges_of(structure)
        return weights, structure_factors.products(structure.fractional_positions, charges, active, self.k_max)

    def weights(self, structure: Structure) -> Array:
        """(4π C/V) exp(−k²/4η²)/k² in eV for half of the wave vectors within the cutoff, as in `structure_factors`.

        0 for the others; each stands for −k too.
        """
        square = structure_factors.squared_wave_vectors(structure, self.k_max)
        inside = structure_factors.half_space(self.k_max) & (square < self.cutoff**2)
        square = jnp.where(inside, square, self.cutoff**2)
        factor = 4 * math.pi * COULOMB / structure.volume
        return jnp.where(inside, factor * jnp.exp(-square / (4 * checked_eta(self.eta) ** 2)) / square, 0)

    def _guard(self, structure: Structure, neighbors: NeighborList) -> Array:
        require_crystal(structure, neighbors)
        # n_a = k·a_a/2π ≤ |k| |a_a|/2π
        lengths = jnp.sqrt((jnp.asarray(structure.cell) ** 2).sum(axis=-1))
        wanted = self.cutoff / (2 * math.pi) * lengths
        enough = wanted < jnp.asarray(self.k_max) + 1
        if not _checks.is_traced(enough) and not enough.all():
            least = tuple(np.asarray(jnp.floor(wanted).astype(int)).tolist())
            raise ValueError(f"`k_max` must be at least {least} for this cell and cutoff, got {self.k_max}")
        return super()._guard(structure, neighbors) * mapping.one_where(enough.all(), structure)


def checked_k_max(k_max: tuple[int, int, int]) -> tuple[int, int, int]:
    """Three integers; ValueError for anything else."""
    given = np.asarray(k_max)
    if given.shape != (3,) or not np.issubdtype(given.dtype, np.integer) or (given < 0).any():
        raise ValueError(f"`k_max` must be three integers, 0 or more, got {k_max!r}")
    a, b, c = (int(n) for n in given)
    return a, b, c
