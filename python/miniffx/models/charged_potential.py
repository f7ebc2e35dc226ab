"""Charged potential: a short-ranged energy and the electrostatic one of predicted charges."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from miniffx._pytree import pytree
from miniffx.models.charge_model import ChargeModel
from miniffx.models.committee import Committee
from miniffx.models.nn_potential import NNPotential
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure


@pytree
class ChargedPotential(Energy):
    """E = E_short + E_electrostatic({q_i}), with charges q_i that depend on the surroundings of the atoms.

    Forces and stress are derivatives of all of it, through the charges too. Charges of the structure are not read.

    Source: N. Artrith, T. Morawietz, J. Behler, Phys. Rev. B 83, 153101 (2011), doi:10.1103/PhysRevB.83.153101: a
    neural-network potential of the third generation. :func:`miniffx.fit` trains its short-ranged networks.

    Attributes:
        short_range: any energy, or None.
        charges: the model of the charges.
        electrostatics: an energy that reads the charges of a structure, such as :class:`miniffx.potentials.Ewald` or,
            for molecules, :class:`miniffx.potentials.Coulomb`.

    >>> import jax, miniffx as mff
    >>> ds = mff.descriptors.DescriptorSet([
    ...     mff.descriptors.G2(eta=0.1, r_shift=0.0, cutoff=6.0, species=pair)
    ...     for pair in (("Na", "Cl"), ("Cl", "Na"))])
    >>> charges = mff.ChargeModel.init(jax.random.key(0), ds, hidden=(4,))
    >>> repulsion = mff.potentials.HarmonicRepulsion(epsilon=1.0, radius=3.0, species=("Na", "Cl"))
    >>> model = mff.ChargedPotential(repulsion, charges, mff.potentials.Coulomb())
    >>> ions = mff.Structure.create([[0, 0, 0], [0, 0, 2.5]], ["Na", "Cl"])
    >>> neighbors = model.neighbor_list(ions)
    >>> q = charges(ions, neighbors)
    >>> known = repulsion(ions, neighbors) + 14.399645 * q[0] * q[1] / 2.5
    >>> bool(abs(model(ions, neighbors) - known) < 1e-6)
    True
    """

    short_range: Energy | None
    charges: ChargeModel
    electrostatics: Energy

    @property
    def needs(self) -> Needs:
        """What serves all three."""
        parts = (self.short_range, self.charges, self.electrostatics)
        return Needs.union(part.needs for part in parts if part is not None)

    @property
    def n_weights(self) -> int:
        """The number of trainable numbers, those of the charges included."""
        short = self.short_range
        return self.charges.n_weights + (short.n_weights if isinstance(short, NNPotential | Committee) else 0)

    def check_species(self, labels: Sequence[str]) -> None:
        """ValueError for species that the networks do not know."""
        self.charges.check_species(labels)
        if isinstance(self.short_range, NNPotential | Committee):
            self.short_range.check_species(labels)

    def charged(self, structure: Structure, neighbors: NeighborList) -> Structure:
        """The structure with the predicted charges."""
        return dataclasses.replace(structure, charges=self.charges(structure, neighbors))

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar."""
        electrostatic = self.electrostatics(self.charged(structure, neighbors), neighbors)
        return electrostatic if self.short_range is None else self.short_range(structure, neighbors) + electrostatic

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in eV."""
        electrostatic = self.electrostatics.atomic(self.charged(structure, neighbors), neighbors)
        if self.short_range is None:
            return electrostatic
        return self.short_range.atomic(structure, neighbors) + electrostatic

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the potential to a file (:func:`miniffx.io.save_model`)."""
        from miniffx.io import save_model  # files know the models, not the other way round

        save_model(self, path)
