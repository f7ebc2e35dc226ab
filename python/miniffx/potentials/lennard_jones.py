"""Lennard-Jones: E(r) = 4ε [(σ/r)¹² − (σ/r)⁶] for r < cutoff."""

from __future__ import annotations

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import switching
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class LennardJones(Energy):
    """E(r) = 4ε [(σ/r)¹² − (σ/r)⁶], r < cutoff; each pair counts once.

    Source: J. E. Jones, Proc. R. Soc. Lond. A 106, 463 (1924), doi:10.1098/rspa.1924.0082.

    Args:
        epsilon: depth of the minimum, eV.
        sigma: where E = 0, Å; the minimum is at 2^(1/6) σ.
        cutoff: Å.
        species: the two labels of the pair.
        truncation: "none", where the energy jumps at the cutoff, "shift" or "smooth", as in
            :mod:`miniffx.potentials.switching`.

    For tables of several species and their mixtures see :func:`miniffx.potentials.lennard_jones`.

    >>> import miniffx as mff
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 3.40 * 2 ** (1 / 6)]], ["Ar", "Ar"])
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> round(float(lj(dimer, lj.neighbor_list(dimer))), 6)
    -0.0103
    """

    epsilon: float | Array
    sigma: float | Array
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
        """4ε [(σ/r)¹² − (σ/r)⁶] in eV."""
        x6 = (self.sigma / r) ** 6
        return 4 * self.epsilon * x6 * (x6 - 1)

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < cutoff."""
        return switching.truncate(self.untruncated, r, self.cutoff, self.truncation)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.cutoff)
