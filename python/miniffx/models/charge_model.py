"""Charge model: descriptors, one network per species, charges that sum to the total."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from miniffx import _checks
from miniffx._pytree import pytree
from miniffx.descriptors import DescriptorSet
from miniffx.models.nn_potential import NNPotential
from miniffx.neighbors import Array, Capacity, Needs, NeighborList
from miniffx.structure import Structure


@pytree
class ChargeModel:
    """q_i = network_{s(i)}(scaled descriptors of atom i) + λ, with the λ that makes Σ_i q_i the total charge.

    Called as ``model(structure, neighbors)`` it gives charges [n_atoms] in elementary charges: 0 for padding, NaN where
    the list overflowed. :class:`ChargedPotential` feeds them to an electrostatic energy.

    Source: N. Artrith, T. Morawietz, J. Behler, Phys. Rev. B 83, 153101 (2011), doi:10.1103/PhysRevB.83.153101.

    Attributes:
        network: whose numbers per atom are charges in the place of energies.
        total_charge: of a structure in elementary charges, or None: λ = 0.

    >>> import jax, miniffx as mff
    >>> ds = mff.descriptors.DescriptorSet([
    ...     mff.descriptors.G2(eta=0.1, r_shift=0.0, cutoff=6.0, species=pair)
    ...     for pair in (("Na", "Cl"), ("Cl", "Na"))])
    >>> model = mff.ChargeModel.init(jax.random.key(0), ds, hidden=(4,), total_charge=1.0)
    >>> ions = mff.Structure.create([[0, 0, 0], [0, 0, 2.5], [0, 2.5, 0]], ["Na", "Na", "Cl"])
    >>> round(float(model(ions, model.neighbor_list(ions)).sum()), 6)
    1.0
    """

    network: NNPotential
    total_charge: float | Array | None = 0.0

    @classmethod
    def init(
        cls,
        key: Array,
        descriptors: DescriptorSet,
        hidden: Sequence[int] | Mapping[str, Sequence[int]] = (32, 32),
        activation: str | Sequence[str] | Mapping[str, str | Sequence[str]] = "silu",
        bias: bool | Sequence[bool] | Mapping[str, bool | Sequence[bool]] = True,
        total_charge: float | None = 0.0,
    ) -> ChargeModel:
        """An untrained model with random weights.

        Args:
            key: from :func:`jax.random.key`.
            descriptors: one or more per species.
            hidden, activation, bias: as in :meth:`NNPotential.init`.
            total_charge: of every structure, in elementary charges; None: what the networks' charges happen to sum to.
        """
        if total_charge is not None:
            total_charge = _checks.real("total_charge", total_charge)
        return cls(NNPotential.init(key, descriptors, hidden, activation, bias), total_charge)

    @property
    def needs(self) -> Needs:
        """What the descriptors read."""
        return self.network.needs

    @property
    def descriptors(self) -> DescriptorSet:
        """The features."""
        return self.network.descriptors

    @property
    def species(self) -> tuple[str, ...]:
        """The labels that the model knows, sorted."""
        return self.network.species

    @property
    def n_weights(self) -> int:
        """The number of trainable numbers."""
        return self.network.n_weights

    def check_species(self, labels: Sequence[str]) -> None:
        """ValueError for species that the model does not know."""
        self.network.check_species(labels)

    def neighbor_list(self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None) -> NeighborList:
        """The list with just the pairs and triples that the descriptors read (:func:`miniffx.neighbor_list`)."""
        return self.needs.neighbor_list(structure, skin, capacity)

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in elementary charges. Raises ValueError where the list cannot serve (NaN inside jit)."""
        return self.shifted(self.network.atomic(structure, neighbors), jnp.asarray(structure.mask))

    def shifted(self, charges: Array, real: Array) -> Array:
        """Charges [..., n_atoms] of the `real` atoms, all moved by λ; 0 for the others."""
        charges = jnp.where(real, charges, 0)
        if self.total_charge is None:
            return charges
        missing = jnp.asarray(self.total_charge, charges.dtype) - charges.sum(axis=-1, keepdims=True)
        return jnp.where(real, charges + missing / jnp.maximum(real.sum(axis=-1, keepdims=True), 1), 0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file (:func:`miniffx.io.save_model`)."""
        from miniffx.io import save_model  # files know the models, not the other way round

        save_model(self, path)
