"""Buckingham: E(r) = A exp(−r/ρ) − C/r⁶ for r < cutoff."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import switching
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class Buckingham(Energy):
    """E(r) = A exp(−r/ρ) − C/r⁶, r < cutoff; each pair counts once.

    Source: R. A. Buckingham, Proc. R. Soc. Lond. A 168, 264 (1938), doi:10.1098/rspa.1938.0173.

    The exponential is finite at r = 0 and −C/r⁶ is not: below a barrier the energy falls to −∞, and two atoms that
    get there fall into each other without an error. Where atoms may come that close, add a repulsion that diverges
    faster, a :class:`PairPotential` of r⁻¹² say (:class:`ZBL` goes as 1/r, and does not stop them).

    Args:
        A: eV.
        rho: Å.
        C: eV Å⁶.
        cutoff: Å.
        species: the two labels of the pair.
        truncation: "none", where the energy jumps at the cutoff, "shift" or "smooth", as in
            :mod:`miniffx.potentials.switching`.

    Silica of van Beest, Kramer and van Santen, Phys. Rev. Lett. 64, 1955 (1990), without its charges:

    >>> import miniffx as mff
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 1.6]], ["Si", "O"])
    >>> bks = mff.potentials.Buckingham(A=18003.7572, rho=1 / 4.87318, C=133.5381, cutoff=8.0, species=("Si", "O"))
    >>> round(float(bks(dimer, bks.neighbor_list(dimer))), 3)
    -0.561
    """

    A: float | Array
    rho: float | Array
    C: float | Array
    cutoff: float = static()
    species: tuple[str, str] = static()
    truncation: str = static(default="none")

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        object.__setattr__(self, "species", _checks.labels("species", self.species, 2))
        switching.check(self.truncation)

    @property
    def needs(self) -> Needs:
        """Pairs up to the cutoff."""
        return Needs(cutoff=self.cutoff)

    def untruncated(self, r: Array) -> Array:
        """A exp(−r/ρ) − C/r⁶ in eV."""
        return self.A * jnp.exp(-r / self.rho) - self.C / r**6

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < cutoff."""
        return switching.truncate(self.untruncated, r, self.cutoff, self.truncation)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.cutoff)
