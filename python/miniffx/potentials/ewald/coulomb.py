"""Coulomb energy of a molecule: E = Σ_{i<j} C q_i q_j / r_ij over all pairs."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from miniffx import geometry, mapping
from miniffx._pytree import pytree
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald.charges import COULOMB, charges_of, on_atoms, require_same_axes
from miniffx.structure import Structure

CHUNK = 2**20  # pairs at a time


@pytree
class Coulomb(Energy):
    """E = Σ_{i<j} C q_i q_j / r_ij over all pairs of a structure without periodicity, C = 14.399645 eV Å.

    There is no cutoff, and neighbours are not read; the cost is quadratic in the number of atoms, the memory is
    not. For crystals see :class:`miniffx.potentials.Ewald`. Charges are those of the structure.

    Raises:
        ValueError: a structure without charges or with a periodic axis.

    >>> import miniffx as mff
    >>> pair = mff.Structure.create([[0, 0, 0], [0, 0, 2.0]], ["Na", "Cl"], charges=[1.0, -1.0])
    >>> coulomb = mff.potentials.Coulomb()
    >>> round(float(coulomb(pair, coulomb.neighbor_list(pair))), 4)
    -7.1998
    """

    @property
    def needs(self) -> Needs:
        """No neighbours."""
        return Needs()

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        require_same_axes(structure, neighbors)
        if any(structure.pbc):
            raise ValueError(f"`structure` must not be periodic for a plain Coulomb sum, got pbc {structure.pbc}")
        positions, charges, mask = jnp.asarray(structure.positions), charges_of(structure), structure.mask
        n = structure.n_atoms

        @jax.checkpoint  # what derivatives need is computed again, row by row, rather than kept for all pairs
        def potential(i: Array) -> Array:
            real = mask & mask[i] & (jnp.arange(n) != i)
            r = geometry.norm(positions - positions[i])
            return jnp.where(real, charges / jnp.where(real, r, 1), 0).sum()

        size = max(1, CHUNK // max(n, 1))
        potentials = jax.lax.map(potential, jnp.arange(n), batch_size=size)
        return on_atoms(0.5 * COULOMB * charges * potentials, structure)
