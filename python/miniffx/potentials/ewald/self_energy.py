"""Self part of an Ewald sum: E = −C η/√π Σ_i q_i²."""

from __future__ import annotations

import math

from miniffx import mapping
from miniffx._pytree import pytree
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald.charges import COULOMB, charges_of, checked_eta, on_atoms, require_crystal
from miniffx.structure import Structure


@pytree
class EwaldSelf(Energy):
    """E = −C η/√π Σ_i q_i², C = 14.399645 eV Å: the reciprocal part's interaction of each charge with itself.

    Source: as for :class:`miniffx.potentials.Ewald`.

    Args:
        eta: screening, 1/Å.

    >>> import miniffx as mff
    >>> salt = mff.Structure.create(
    ...     [[0, 0, 0], [0.5, 0.5, 0.5]], ["Na", "Cl"], charges=[1.0, -1.0], fractional=True,
    ...     cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
    >>> part = mff.potentials.EwaldSelf(eta=0.6)
    >>> round(float(part(salt, part.neighbor_list(salt))), 4)
    -9.749
    """

    eta: float | Array

    @property
    def needs(self) -> Needs:
        """No neighbours."""
        return Needs()

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        require_crystal(structure, neighbors)
        return on_atoms(-COULOMB / math.sqrt(math.pi) * checked_eta(self.eta) * charges_of(structure) ** 2, structure)
