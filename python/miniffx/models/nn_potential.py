"""Neural-network potential: descriptors, scaling, one network per species."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import mapping
from miniffx._pytree import pytree, static
from miniffx.descriptors import DescriptorSet
from miniffx.descriptors.naming import name
from miniffx.models.histograms import ExtrapolationWarning, Histograms
from miniffx.models.mlp import MLP
from miniffx.models.scaling import Scaling
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure


class Extrapolation(NamedTuple):
    """A descriptor of an atom outside of its range in the training set."""

    atom: int
    descriptor: str
    value: float
    low: float
    high: float

    @property
    def excess(self) -> float:
        """How far out, in units of the range."""
        return max(self.low - self.value, self.value - self.high) / max(self.high - self.low, 1e-300)


@pytree
class NNPotential(Energy):
    """E = Σ_i network_{s(i)}(scaled descriptors of atom i): Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007).

    An energy function like any other: ``model(structure, neighbors)`` in eV.

    Attributes:
        descriptors: the features (static: as the widths of the layers, they are not what the model learns).
        networks: one MLP per species.
        scaling: feature and energy scaling, set by training; None before.
        species: the labels that the model knows, sorted (static).
        histograms: of the features in the training set, set by training; None before.
    """

    descriptors: DescriptorSet = static()
    networks: tuple[MLP, ...]
    scaling: Scaling | None
    species: tuple[str, ...] = static()
    histograms: Histograms | None = None

    @classmethod
    def init(
        cls,
        key: Array,
        descriptors: DescriptorSet,
        hidden: Sequence[int] | Mapping[str, Sequence[int]] = (64, 64),
        activation: str | Sequence[str] | Mapping[str, str | Sequence[str]] = "silu",
        bias: bool | Sequence[bool] | Mapping[str, bool | Sequence[bool]] = True,
    ) -> NNPotential:
        """An untrained model with random weights.

        Args:
            key: from :func:`jax.random.key`.
            descriptors: one or more per species.
            hidden: widths of the hidden layers.
            activation: between the layers, or one for every layer (:class:`miniffx.MLP`).
            bias: whether layers have biases, or one answer for every layer.

        The last three may be mappings from species to what its network gets.
        """
        species = descriptors.species
        keys = jax.random.split(key, len(species))

        def of(argument: str, value: Any, label: str) -> Any:
            if not isinstance(value, Mapping):
                return value
            if set(value) != set(species):
                raise ValueError(
                    f"`{argument}` must have an entry for each of {', '.join(species)}, got {sorted(value)}"
                )
            return value[label]

        networks = tuple(
            MLP.init(
                k,
                len(descriptors.of(label)),
                of("hidden", hidden, label),
                of("activation", activation, label),
                of("bias", bias, label),
            )
            for k, label in zip(keys, species, strict=True)
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
        return rows_of(self, self.descriptors, structure, neighbors)

    def atomic_energies(self, label: str, features: Array) -> Array:
        """Energies [...] in eV of atoms of one species from their unscaled features [..., n_features]."""
        index = self.species.index(label)
        if self.scaling is None:
            return self.networks[index](features)
        scaling = self.scaling
        energies = self.networks[index](scaling.apply(index, features))
        return energies * scaling.scale + scaling.offsets[index]

    def check_species(self, labels: Sequence[str]) -> None:
        """ValueError for species that the model does not know."""
        unknown = [label for label in labels if label not in self.species]
        if unknown:
            raise ValueError(
                f"`structure` must hold only species that the model knows ({', '.join(self.species)}), "
                f"got {', '.join(unknown)}"
            )

    def fidelity(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in [0, 1]: how common in the training set the least common descriptor of each atom is.

        1 where all are as common as the most common values; 0 where one is out of range: there the model
        extrapolates, and :meth:`extrapolations` says where. For use in jit, too.
        """
        histograms = self._histograms()
        values = jnp.ones(structure.n_atoms, structure.positions.dtype)
        for label in structure.labels:
            environments = neighbors.environments[neighbors.labels.index(label)]
            features = self.descriptors.features(label, structure, neighbors)
            found = histograms.fidelity(self.species.index(label), features).astype(values.dtype)
            values = values.at[environments.centers].set(found, mode="drop")
        return values * self._guard(structure, neighbors)

    def extrapolations(self, structure: Structure, neighbors: NeighborList | None = None) -> list[Extrapolation]:
        """The descriptors of atoms outside of their range in the training set; farthest out
        first; a warning names the first ones.

        Not for use in jit. Warns with :class:`ExtrapolationWarning` where there are any.

        Args:
            structure: to be looked at.
            neighbors: its list, by default made for it.
        """
        neighbors = self.neighbor_list(structure) if neighbors is None else neighbors
        self._guard(structure, neighbors)
        found = find_extrapolations(self, structure, neighbors)
        if found:
            warnings.warn("\n".join(extrapolation_report(found)), ExtrapolationWarning, stacklevel=2)
        return found

    def _histograms(self) -> Histograms:
        if self.histograms is None:
            raise ValueError("`model` must have been trained for a fidelity, got one without histograms")
        return self.histograms

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file (:func:`miniffx.io.save_model`)."""
        from miniffx.io import save_model  # files know the models, not the other way round

        save_model(self, path)


def rows_of(
    model: Any, descriptors: DescriptorSet, structure: Structure, neighbors: NeighborList
) -> tuple[mapping.Rows, ...]:
    """Energies of atoms, species by species, by the model's ``atomic_energies(label, features)``."""
    model.check_species(structure.labels)
    rows = []
    for label in structure.labels:
        environments = neighbors.environments[neighbors.labels.index(label)]
        energies = descriptors.read_out(_read_out(label), model, label, structure, neighbors)
        mask = mapping.row_mask(environments, structure)
        rows.append(mapping.Rows(environments.centers, jnp.where(mask, energies, 0)))
    return tuple(rows)


def _read_out(label: str) -> Callable[[Any, Array], Array]:
    return lambda model, features: model.atomic_energies(label, features)


def find_extrapolations(model: NNPotential, structure: Structure, neighbors: NeighborList) -> list[Extrapolation]:
    """What :meth:`NNPotential.extrapolations` returns, without a warning."""
    histograms = model._histograms()
    found = []
    for label in structure.labels:
        index = model.species.index(label)
        values, outside, centers = jax.device_get(_outside(model, label, structure, neighbors))
        for row, number in np.argwhere(outside):
            found.append(
                Extrapolation(
                    atom=int(centers[row]),
                    descriptor=name(model.descriptors.of(label)[number]),
                    value=float(values[row, number]),
                    low=float(histograms.low[index][number]),
                    high=float(histograms.high[index][number]),
                )
            )
    return sorted(found, key=lambda item: -item.excess)


@partial(jax.jit, static_argnums=1)
def _outside(
    model: NNPotential, label: str, structure: Structure, neighbors: NeighborList
) -> tuple[Array, Array, Array]:
    """The features of atoms of one species, which of them are out of range, and the atoms."""
    environments = neighbors.environments[neighbors.labels.index(label)]
    features = model.descriptors.features(label, structure, neighbors)
    outside = model._histograms().outside(model.species.index(label), features)
    return features, outside & mapping.row_mask(environments, structure)[:, None], environments.centers


def extrapolation_report(found: Sequence[Extrapolation], most: int = 3) -> list[str]:
    """One line for each of the first few."""
    lines = [
        f"atom {item.atom}: {item.descriptor} is {item.value:.4g}, "
        f"outside of [{item.low:.4g}, {item.high:.4g}] in the training set"
        for item in found[:most]
    ]
    more = len(found) - len(lines)
    return [*lines, f"and {more} more"] if more else lines
