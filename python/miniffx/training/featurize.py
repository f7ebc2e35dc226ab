"""Featurize: the descriptors of a whole data set, batched, and how they change with the positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import geometry, mapping
from miniffx._pytree import pytree, static
from miniffx.descriptors import DescriptorSet
from miniffx.neighbors import Array, Environments, NeighborList
from miniffx.structure import Structure
from miniffx.training.batching import in_chunks, padded_groups


@pytree
class SpeciesFeatures:
    """The features of the atoms of one species in a batch of structures.

    Attributes:
        centers: [batch, rows] atom indices, n_atoms where padded.
        values: [batch, rows, n_features], 0 where padded.
        neighbors: [batch, rows, n_columns] atom indices; None without Jacobian.
        vectors: [batch, rows, n_columns, 3], the displacements D to the neighbours in Å (:mod:`miniffx.neighbors`);
            None without Jacobian.
        jacobian: [batch, rows, n_features, n_columns · 3], ∂G/∂D in 1/Å, 0 where padded; None where it was not asked
            for, or is not worth its memory.
        environments: of the atoms, to differentiate descriptors anew, where `vectors` come without Jacobian; else None.
        labels: that the environments refer to (static).
    """

    centers: Array
    values: Array
    neighbors: Array | None
    vectors: Array | None
    jacobian: Array | None
    environments: Environments | None = None
    labels: tuple[str, ...] = static(default=())


@dataclass(frozen=True)
class FeatureBatch:
    """Structures of similar size, padded alike.

    Attributes:
        indices: [batch] which structures these are.
        n_atoms: rows of the padded structures.
        species: label to SpeciesFeatures.
    """

    indices: np.ndarray
    n_atoms: int
    species: dict[str, SpeciesFeatures]


@dataclass(frozen=True)
class Features:
    """Descriptors of many structures.

    Attributes:
        batches: padded arrays, structures of similar size together.
        sizes: [n_structures] atoms in each.
        n_descriptors: the width of a row.
    """

    batches: tuple[FeatureBatch, ...]
    sizes: tuple[int, ...]
    n_descriptors: int

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> np.ndarray:
        """[n_atoms, n_descriptors] of one structure, as :class:`DescriptorSet` would return it."""
        index = range(len(self))[index]
        batch = next(batch for batch in self.batches if index in batch.indices)
        where = int(np.flatnonzero(batch.indices == index)[0])
        parts = {label: jax.tree.map(lambda leaf: np.asarray(leaf[where]), f) for label, f in batch.species.items()}
        dtype = next(iter(parts.values())).values.dtype
        result = np.zeros((self.sizes[index], self.n_descriptors), dtype)
        for features in parts.values():
            real = features.centers < batch.n_atoms
            result[features.centers[real], : features.values.shape[-1]] = features.values[real]
        return result

    def per_species(self) -> dict[str, np.ndarray]:
        """The features of all atoms of each species, [n_atoms, n_features], in the order of the batches."""
        rows: dict[str, list[np.ndarray]] = {}
        for batch in self.batches:
            for label, features in batch.species.items():
                real = np.asarray(features.centers) < batch.n_atoms
                rows.setdefault(label, []).append(np.asarray(features.values)[real])
        return {label: np.concatenate(parts) for label, parts in rows.items()}


def featurize(descriptors: DescriptorSet, structures: Iterable[Any], jacobian: bool = False) -> Features:
    """The descriptors of a whole data set at once, batched and vmapped on the default device.

    Args:
        descriptors: the set.
        structures: Structures or frames, of any sizes and species.
        jacobian: whether to compute the derivatives in the neighbours' displacements too. They need
            n_descriptors × n_neighbors × 3 numbers per atom. For a set of moment invariants alone, whose derivatives
            are as cheap as they are, displacements are kept instead.

    Returns:
        Features; ``features[i]`` is what ``descriptors(structures[i], …)`` returns.

    >>> import miniffx as mff
    >>> D = mff.descriptors
    >>> ds = D.DescriptorSet([D.G2(eta=0.1, r_shift=0.0, cutoff=6.0, species=("Ar", "Ar"))])
    >>> chain = [mff.Structure.create([[0, 0, 3.8 * k] for k in range(n)], ["Ar"] * n) for n in (2, 5)]
    >>> mff.featurize(ds, chain)[1].shape
    (5, 1)
    """
    frames = [item if isinstance(item, Structure) else item.structure for item in structures]
    if not frames:
        raise ValueError("`structures` must hold at least one structure, got none")
    labels = tuple(sorted({*descriptors.species, *(label for frame in frames for label in frame.labels)}))
    batches = []
    for indices, batch, neighbors in padded_groups(frames, labels, descriptors.needs):
        parts = [
            jax.tree.map(lambda leaf, keep=keep: leaf[:keep], _features(descriptors, *part, jacobian))
            for part, keep in in_chunks(batch, neighbors)
        ]
        species = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
        batches.append(FeatureBatch(np.asarray(indices), batch.n_atoms, species))
    return Features(tuple(batches), tuple(frame.n_atoms for frame in frames), descriptors.n_descriptors)


@partial(jax.jit, static_argnums=3)
@partial(jax.vmap, in_axes=(None, 0, 0, None))
def _features(
    descriptors: DescriptorSet, structure: Structure, neighbors: NeighborList, jacobian: bool
) -> dict[str, SpeciesFeatures]:
    """The features of one structure, per species."""
    result = {}
    guard = descriptors.guard(structure, neighbors)
    for label, environments in zip(neighbors.labels, neighbors.environments, strict=True):
        if not descriptors.of(label):
            continue
        vectors = geometry.displacements(structure, environments)
        evaluate = partial(
            descriptors.features_of_displacements,
            label,
            environments=environments,
            labels=neighbors.labels,
        )
        real = mapping.row_mask(environments, structure)
        values = jnp.where(real[:, None], evaluate(vectors), 0)
        slopes = None
        if jacobian and not descriptors.linear:
            slopes = descriptors.jacobian(label, vectors, environments, neighbors.labels)
            slopes = slopes.reshape(*slopes.shape[:2], -1) * guard
        result[label] = SpeciesFeatures(
            centers=environments.centers,
            values=values * guard,
            neighbors=environments.neighbors if jacobian else None,
            vectors=vectors if jacobian else None,
            jacobian=slopes,
            environments=environments if jacobian and descriptors.linear else None,
            labels=neighbors.labels,
        )
    return result
