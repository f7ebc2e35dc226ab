"""Neural-network potential: descriptors, scaling, one network per species."""

from __future__ import annotations

import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from miniffx import mapping
from miniffx._pytree import pytree, static
from miniffx.descriptors import DescriptorSet
from miniffx.models.mlp import MLP
from miniffx.models.scaling import Scaling
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure


@pytree
class NNPotential(Energy):
    """E = Σ_i network_{s(i)}(scaled descriptors of atom i): Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007).

    An energy function like any other: ``model(structure, neighbors)`` in eV.

    Attributes:
        descriptors: the features.
        networks: one MLP per species.
        scaling: feature and energy scaling, set by training; None before.
        species: the labels that the model knows, sorted (static).
    """

    descriptors: DescriptorSet
    networks: tuple[MLP, ...]
    scaling: Scaling | None
    species: tuple[str, ...] = static()

    @classmethod
    def init(
        cls,
        key: Array,
        descriptors: DescriptorSet,
        hidden: Sequence[int] = (24, 24),
        activation: str = "tanh",
    ) -> NNPotential:
        """An untrained model with random weights.

        Args:
            key: from :func:`jax.random.key`.
            descriptors: one or more per species.
            hidden: widths of the hidden layers.
            activation: see :class:`miniffx.MLP`.
        """
        species = descriptors.species
        keys = jax.random.split(key, len(species))
        networks = tuple(
            MLP.init(k, len(descriptors.of(label)), hidden, activation) for k, label in zip(keys, species, strict=True)
        )
        return cls(descriptors, networks, None, species)

    @property
    def needs(self) -> Needs:
        """What the descriptors read."""
        return self.descriptors.needs

    @property
    def n_weights(self) -> int:
        """The number of trainable numbers."""
        return sum(network.n_weights for network in self.networks)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms, species by species."""
        self.check_species(structure.labels)
        rows = []
        for label in structure.labels:
            environments = neighbors.environments[neighbors.labels.index(label)]
            features = self.descriptors.features(label, structure, neighbors)
            energies = self.atomic_energies(label, features)
            mask = mapping.row_mask(environments, structure)
            rows.append(mapping.Rows(environments.centers, jnp.where(mask, energies, 0)))
        return tuple(rows)

    def atomic_energies(self, label: str, features: Array) -> Array:
        """Energies [...] in eV of atoms of one species from their unscaled features [..., n_features]."""
        index = self.species.index(label)
        if self.scaling is None:
            return self.networks[index](features)
        scaling = self.scaling
        energies = self.networks[index]((features - scaling.center[index]) * scaling.factor[index])
        return energies * scaling.scale + scaling.offsets[index]

    def check_species(self, labels: Sequence[str]) -> None:
        """ValueError for species that the model does not know."""
        unknown = [label for label in labels if label not in self.species]
        if unknown:
            raise ValueError(
                f"`structure` must hold only species that the model knows ({', '.join(self.species)}), "
                f"got {', '.join(unknown)}"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file (:func:`miniffx.io.save_model`)."""
        from miniffx.io import save_model  # files know the models, not the other way round

        save_model(self, path)
