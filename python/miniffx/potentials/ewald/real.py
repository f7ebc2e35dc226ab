"""Real-space part of an Ewald sum: E(r) = C q_i q_j erfc(η r)/r for r < cutoff."""

from __future__ import annotations

import jax

from miniffx import _checks, geometry, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald.charges import COULOMB, charges_of, checked_eta, require_crystal
from miniffx.structure import Structure


@pytree
class EwaldReal(Energy):
    """E(r) = C q_i q_j erfc(η r)/r, r < cutoff, C = 14.399645 eV Å; each pair counts once.

    Source: as for :class:`miniffx.potentials.Ewald`.

    Args:
        eta: screening, 1/Å.
        cutoff: Å; there the energy jumps by C q_i q_j erfc(η cutoff)/cutoff.

    >>> import miniffx as mff
    >>> salt = mff.Structure.create(
    ...     [[0, 0, 0], [0.5, 0.5, 0.5]], ["Na", "Cl"], charges=[1.0, -1.0], fractional=True,
    ...     cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
    >>> part = mff.potentials.EwaldReal(eta=0.6, cutoff=8.0)
    >>> round(float(part(salt, part.neighbor_list(salt))), 4)
    -0.5071
    """

    eta: float | Array
    cutoff: float = static()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))

    @property
    def needs(self) -> Needs:
        """Pairs up to the cutoff."""
        return Needs(cutoff=self.cutoff)

    def formula(self, r: Array) -> Array:
        """C erfc(η r)/r in eV per squared elementary charge."""
        return COULOMB * jax.scipy.special.erfc(checked_eta(self.eta) * r) / r

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms, species by species."""
        require_crystal(structure, neighbors)
        charges = charges_of(structure)
        rows = []
        for environments in neighbors.environments:
            own = charges.at[environments.centers].get(mode="fill", fill_value=0)
            for neighbor in range(len(neighbors.labels)):
                columns = mapping.columns_of(neighbor, environments)
                vectors = geometry.displacements(structure, environments, columns)
                others = charges[environments.neighbors[:, columns]]

                def formula(r: Array, others: Array = others) -> Array:
                    return others * self.formula(r)

                counts = environments.counts[:, neighbor]
                potentials = mapping.sum_over_vectors(formula, vectors, counts, self.cutoff)
                rows.append(mapping.Rows(environments.centers, 0.5 * own * potentials))
        return tuple(rows)
