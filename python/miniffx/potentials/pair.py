"""Pair potential from the user's own function of a distance."""

from __future__ import annotations

from collections.abc import Callable

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class PairPotential(Energy):
    """E = Σ_pairs f(r) for r < cutoff; each pair counts once.

    Args:
        function: f(r), elementwise in JAX: r in Å to energy in eV. Evaluated only at 0 ≤ r < cutoff.
        cutoff: Å.
        species: the two labels of the pair.

    >>> import jax.numpy as jnp, miniffx as mff
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 1.0]], ["Ar", "Ar"])
    >>> decay = mff.potentials.PairPotential(lambda r: jnp.exp(-r), cutoff=4.0, species=("Ar", "Ar"))
    >>> round(float(decay(dimer, decay.neighbor_list(dimer))), 4)
    0.3679
    """

    function: Callable[[Array], Array] = static()
    cutoff: float = static()
    species: tuple[str, str] = static()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        object.__setattr__(self, "species", _checks.labels("species", self.species, 2))

    @property
    def needs(self) -> Needs:
        """Pairs up to the cutoff."""
        return Needs(cutoff=self.cutoff)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.function, structure, neighbors, self.species, self.cutoff)
