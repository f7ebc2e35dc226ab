"""Committee: several networks that learnt the same, whose disagreement tells where they guess."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx._pytree import pytree
from miniffx.derivatives import energy_and_forces
from miniffx.descriptors import DescriptorSet
from miniffx.models.nn_potential import NNPotential, rows_of
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure


class Uncertainty(NamedTuple):
    """Standard deviations over the members of a committee (the sample's: divided by members − 1).

    `energy` of the total energy in eV; `forces` [n_atoms, 3] of components in eV/Å.
    """

    energy: Array
    forces: Array


@pytree
class Committee(Energy):
    """E = the mean over the members: an energy function like any other, with an uncertainty.

    H. S. Seung, M. Opper, H. Sompolinsky, Proc. COLT 287 (1992); for potentials C. Schran, K. Brezina, O. Marsalek,
    J. Chem. Phys. 153, 104105 (2020).

    Attributes:
        stacked: a NNPotential whose networks' leaves have a leading axis [members]; the members share the rest.

    >>> import jax, miniffx as mff
    >>> ds = mff.descriptors.DescriptorSet(
    ...     [mff.descriptors.G2(eta=0.1, r_shift=0.0, cutoff=6.0, species=("Ar", "Ar"))])
    >>> committee = mff.Committee.init(jax.random.key(0), ds, members=3, hidden=(4,))
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
    >>> spread = committee.uncertainty(argon, committee.neighbor_list(argon))
    >>> spread.energy.shape, spread.forces.shape, committee.size
    ((), (2, 3), 3)
    """

    stacked: NNPotential

    @classmethod
    def init(cls, key: Array, descriptors: DescriptorSet, members: int = 4, **network: Any) -> Committee:
        """Untrained members with different random weights.

        Args:
            key: from :func:`jax.random.key`.
            descriptors: one or more per species.
            members: how many, two at least.
            network: `hidden`, `activation` and `bias` as in :meth:`NNPotential.init`.
        """
        if not _checks.is_whole(members) or members < 2:
            raise ValueError(f"`members` must be a whole number of at least 2, got {members!r}")
        return cls.of([NNPotential.init(k, descriptors, **network) for k in jax.random.split(key, members)])

    @classmethod
    def of(cls, models: Sequence[NNPotential]) -> Committee:
        """The committee of models that differ in nothing but their weights.

        Raises:
            ValueError: fewer than two, or other descriptors, scalings or networks.
        """
        if len(models) < 2:
            raise ValueError(f"`models` must be two at least, got {len(models)}")
        first = models[0]
        for number, model in enumerate(models):
            if not _differ_in_weights_alone(first, model):
                raise ValueError(f"`models` must differ only in their weights, got others in number {number}")
        networks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[model.networks for model in models])
        return cls(dataclasses.replace(first, networks=networks))

    @property
    def size(self) -> int:
        """The number of members."""
        return jax.tree.leaves(self.stacked.networks)[0].shape[0]

    def member(self, index: int) -> NNPotential:
        """One of the members."""
        index = range(self.size)[index]
        networks = jax.tree.map(lambda leaf: leaf[index], self.stacked.networks)
        return dataclasses.replace(self.stacked, networks=networks)

    @property
    def needs(self) -> Needs:
        """What the descriptors read."""
        return self.stacked.needs

    @property
    def n_weights(self) -> int:
        """The number of trainable numbers, of all members."""
        return self.stacked.n_weights

    @property
    def species(self) -> tuple[str, ...]:
        """The labels that the members know, sorted."""
        return self.stacked.species

    def check_species(self, labels: Sequence[str]) -> None:
        """ValueError for species that the members do not know."""
        self.stacked.check_species(labels)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """The mean energies of atoms, species by species."""
        return rows_of(self, self.stacked.descriptors, structure, neighbors)

    def atomic_energies(self, label: str, features: Array) -> Array:
        """The mean of the members' energies [...] in eV of atoms of one species, from [..., n_features]."""
        return self._each(lambda member: member.atomic_energies(label, features)).mean(axis=0)

    def energies(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[members] in eV."""
        return self._each(lambda member: member(structure, neighbors))

    def uncertainty(self, structure: Structure, neighbors: NeighborList) -> Uncertainty:
        """How far the members are apart; for use in jit, too."""
        energies, forces = self._each(lambda member: energy_and_forces(member)(structure, neighbors))
        return Uncertainty(energies.std(axis=0, ddof=1), forces.std(axis=0, ddof=1))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the committee to a file (:func:`miniffx.io.save_model`)."""
        from miniffx.io import save_model  # files know the models, not the other way round

        save_model(self, path)

    def _each(self, function: Callable[[NNPotential], Any]) -> Any:
        """The function's values for all members, stacked; what does not depend on the weights is computed once."""
        return jax.vmap(lambda networks: function(dataclasses.replace(self.stacked, networks=networks)))(
            self.stacked.networks
        )


def _differ_in_weights_alone(a: NNPotential, b: NNPotential) -> bool:
    if jax.tree.structure(a) != jax.tree.structure(b):  # type: ignore[operator]
        return False
    pairs = zip(jax.tree.leaves(a.networks), jax.tree.leaves(b.networks), strict=True)
    if any(jnp.shape(x) != jnp.shape(y) for x, y in pairs):
        return False
    rest = [jax.tree.leaves(dataclasses.replace(model, networks=())) for model in (a, b)]
    return all(bool(jnp.array_equal(x, y)) for x, y in zip(*rest, strict=True))
