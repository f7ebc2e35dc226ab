"""Morse: E(r) = ε [exp(−2α(r − r₀)) − 2 exp(−α(r − r₀))] for r < cutoff."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import switching
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class Morse(Energy):
    """E(r) = ε [exp(−2α(r − r₀)) − 2 exp(−α(r − r₀))], r < cutoff; each pair counts once.

    Source: P. M. Morse, Phys. Rev. 34, 57 (1929), doi:10.1103/PhysRev.34.57.

    Args:
        epsilon: depth of the minimum, eV.
        alpha: 1/Å; the curvature at the minimum is 2 ε α².
        r0: where the minimum is, Å.
        cutoff: Å.
        species: the two labels of the pair.
        truncation: "none", where the energy jumps at the cutoff, "shift" or "smooth", as in
            :mod:`miniffx.potentials.switching`.

    Copper of Girifalco and Weizer, Phys. Rev. 114, 687 (1959):

    >>> import miniffx as mff
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 2.866]], ["Cu", "Cu"])
    >>> morse = mff.potentials.Morse(epsilon=0.3429, alpha=1.3588, r0=2.866, cutoff=8.0, species=("Cu", "Cu"))
    >>> round(float(morse(dimer, morse.neighbor_list(dimer))), 6)
    -0.3429
    """

    epsilon: float | Array
    alpha: float | Array
    r0: float | Array
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
        """ε [exp(−2α(r − r₀)) − 2 exp(−α(r − r₀))] in eV."""
        decay = jnp.exp(-self.alpha * (r - self.r0))
        return self.epsilon * decay * (decay - 2)

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < cutoff."""
        return switching.truncate(self.untruncated, r, self.cutoff, self.truncation)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.cutoff)
