"""Harmonic repulsion: E(r) = ½ ε (1 − r/radius)² for r < radius."""

from __future__ import annotations

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class HarmonicRepulsion(Energy):
    """E(r) = ½ ε (1 − r/radius)², r < radius; each pair counts once.

    The energy and the force go to 0 at the radius, the second derivative, ε/radius², jumps there. That of soft
    spheres: C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68, 011306 (2003),
    doi:10.1103/PhysRevE.68.011306.

    Args:
        epsilon: twice the energy at r = 0, eV.
        radius: where the energy ends, Å: a parameter like epsilon, and the cutoff.
        species: the two labels of the pair.

    >>> import miniffx as mff
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 1.0]], ["Ar", "Ar"])
    >>> repulsion = mff.potentials.HarmonicRepulsion(epsilon=1.0, radius=2.0, species=("Ar", "Ar"))
    >>> float(repulsion(dimer, repulsion.neighbor_list(dimer)))
    0.125
    """

    epsilon: float | Array
    radius: float | Array
    species: tuple[str, str] = static()

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", _checks.labels("species", self.species, 2))

    @property
    def needs(self) -> Needs:
        """Pairs up to the radius."""
        return Needs(cutoff=_checks.positive_unless_traced("radius", self.radius))

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < radius."""
        return 0.5 * self.epsilon * (1 - r / self.radius) ** 2

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.radius)
