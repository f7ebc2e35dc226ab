"""Ewald's sum: E = E_real + E_reciprocal + E_self + E_background."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald import estimates
from miniffx.potentials.ewald.background import EwaldBackground
from miniffx.potentials.ewald.coulomb import Coulomb
from miniffx.potentials.ewald.real import EwaldReal
from miniffx.potentials.ewald.reciprocal import K_MAX, EwaldReciprocal, checked_k_max
from miniffx.potentials.ewald.self_energy import EwaldSelf
from miniffx.structure import Structure


@pytree
class Ewald(Energy):
    """TODO"""

    eta: float | Array | None = None
    real_cutoff: float | None = static(default=None)
    reciprocal_cutoff: float | None = static(default=None)
    k_max: tuple[int, int, int] = static(default=K_MAX)

    @property
    def needs(self) -> Needs:
        """Pairs up to the real-space cutoff."""
        return Needs(cutoff=self.real_cutoff or 0.0)

    def parts(self, structure: Structure) -> tuple[Energy, ...]:
        """Real, reciprocal, self and background part of a crystal; the Coulomb sum of a molecule."""
        if not any(structure.pbc):
            return (Coulomb(),)
        return (
            EwaldReal(self.eta, self.real_cutoff),
            EwaldReciprocal(self.eta, self.reciprocal_cutoff, self.k_max),
            EwaldSelf(self.eta),
            EwaldBackground(self.eta),
        )

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar."""
        return sum(part(structure, neighbors) for part in self.parts(structure))  # type: ignore[return-value]

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in eV."""
        return sum(part.atomic(structure, neighbors) for part in self.parts(structure))  # type: ignore[return-value]

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        return tuple(row for part in self.parts(structure) for row in part.rows(structure, neighbors))
