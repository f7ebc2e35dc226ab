"""Background part of an Ewald sum: E = −C π/(2 V η²) (Σ_i q_i)²."""

from __future__ import annotations

import math

from miniffx import mapping
from miniffx._pytree import pytree
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald.charges import COULOMB, charges_of, checked_eta, on_atoms, require_crystal
from miniffx.structure import Structure


@pytree
class EwaldBackground(Energy):
    """E = −C π/(2 V η²) (Σ_i q_i)², C = 14.399645 eV Å: a uniform charge density that makes a charged cell neutral.

    Atom i has −C π/(2 V η²) q_i Σ_j q_j. The volume V makes it contribute to the stress. 0 in a neutral cell.

    Source: as for :class:`miniffx.potentials.Ewald`.

    Args:
        eta: screening, 1/Å.

    >>> import miniffx as mff
    >>> salt = mff.Structure.create(
    ...     [[0, 0, 0], [0.5, 0.5, 0.5]], ["Na", "Cl"], charges=[1.0, 0.0], fractional=True,
    ...     cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
    >>> part = mff.potentials.EwaldBackground(eta=0.6)
    >>> round(float(part(salt, part.neighbor_list(salt))), 4)
    -1.4311
    """

    eta: float | Array

    @property
    def needs(self) -> Needs:
        """No neighbours."""
        return Needs()

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        require_crystal(structure, neighbors)
        charges = charges_of(structure)
        factor = -COULOMB * math.pi / (2 * structure.volume * checked_eta(self.eta) ** 2)
        return on_atoms(factor * charges.sum() * charges, structure)
