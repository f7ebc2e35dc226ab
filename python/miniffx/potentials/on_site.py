"""On-site energy: a constant for every atom of a species."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class OnSite(Energy):
    """E = energy × (number of atoms of `species`), in eV.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
    >>> on_site = mff.potentials.OnSite(energy=-1.0, species="Ar")
    >>> float(on_site(argon, on_site.neighbor_list(argon)))
    -2.0
    """

    energy: float | Array
    species: str = static()

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", _checks.labels("species", self.species, 1)[0])

    @property
    def needs(self) -> Needs:
        """No neighbours."""
        return Needs()

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """The constant for every atom of the species."""
        environments = mapping.environments_of(self.species, neighbors)
        if environments is None:
            return ()
        mask = mapping.row_mask(environments, structure)
        return (mapping.Rows(environments.centers, jnp.where(mask, self.energy, 0)),)
