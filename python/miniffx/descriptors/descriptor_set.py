"""Sets of descriptors: the features of an atom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import geometry, mapping
from miniffx._pytree import pytree
from miniffx.descriptors.descriptor import Descriptor
from miniffx.descriptors.moment_invariant import MomentInvariant, Moments, in_order, moment_jacobian
from miniffx.neighbors import Array, Capacity, Environments, Needs, NeighborList
from miniffx.structure import Structure


@pytree
class DescriptorSet:
    """Descriptors in a fixed order; those of one centre species are the features of its atoms.

    Descriptors of one formula that differ only in parameters are evaluated together, and moments are shared.

    >>> import miniffx as mff
    >>> D = mff.descriptors
    >>> ds = D.DescriptorSet([D.G2(eta=e, r_shift=0.0, cutoff=6.0, species=("Si", "Si")) for e in (0.1, 1.0)])
    >>> si = mff.Structure.create([[0, 0, 0], [0, 0, 2.35]], ["Si", "Si"])
    >>> ds(si, ds.neighbor_list(si)).shape
    (2, 2)
    """

    descriptors: tuple[Descriptor, ...]

    def __init__(self, descriptors: Iterable[Descriptor]) -> None:
        descriptors = tuple(descriptors)
        if not descriptors:
            raise ValueError("`descriptors` must hold at least one descriptor, got none")
        object.__setattr__(self, "descriptors", descriptors)

    def __len__(self) -> int:
        return len(self.descriptors)

    def __iter__(self) -> Iterator[Descriptor]:
        return iter(self.descriptors)

    @property
    def species(self) -> tuple[str, ...]:
        """The centre species, sorted."""
        return tuple(sorted({descriptor.species[0] for descriptor in self.descriptors}))

    def of(self, label: str) -> tuple[Descriptor, ...]:
        """The descriptors of one centre species, in order."""
        return tuple(descriptor for descriptor in self.descriptors if descriptor.species[0] == label)

    @property
    def n_descriptors(self) -> int:
        """The most descriptors that any species has: the width of the result."""
        return max(len(self.of(label)) for label in self.species)

    @property
    def needs(self) -> Needs:
        """The pairs and triples that the descriptors read."""
        return Needs.union(descriptor.needs for descriptor in self.descriptors)

    @property
    def cutoff(self) -> float:
        """The largest cutoff in Å."""
        return self.needs.cutoff

    def neighbor_list(self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None) -> NeighborList:
        """The list with just the pairs and triples that these descriptors read."""
        return self.needs.neighbor_list(structure, skin, capacity)

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms, n_descriptors]: row i holds the descriptors of atom i's species in order, then zeros.

        Raises:
            ValueError: the list cannot serve (inside jit, on overflow: NaN).
        """
        guard = self.guard(structure, neighbors)
        result = jnp.zeros((structure.n_atoms, self.n_descriptors), structure.positions.dtype)
        for label in self.species:
            environments = mapping.environments_of(label, neighbors)
            if environments is not None:
                features = self.features(label, structure, neighbors)
                result = result.at[environments.centers, : features.shape[1]].set(features, mode="drop")
        return result * guard

    @property
    def linear(self) -> bool:
        """Whether gradients cost about what values do, so that to store derivatives would be a waste."""
        return all(isinstance(descriptor, MomentInvariant) for descriptor in self.descriptors)

    def share_unit(self, label: str) -> np.ndarray:
        """[len(of(label))] bool: descriptors whose relative sizes mean something, so that they are scaled alike."""
        return np.array([isinstance(descriptor, MomentInvariant) for descriptor in self.of(label)])

    def guard(self, structure: Structure, neighbors: NeighborList) -> Array:
        """1 where the list can serve, else NaN or ValueError (:func:`miniffx.mapping.guard`)."""
        return mapping.guard(structure, neighbors, self.needs)

    def features(self, label: str, structure: Structure, neighbors: NeighborList) -> Array:
        """[rows, len(of(label))] descriptors of the atoms of one species, row by row of their environments."""
        environments = mapping.environments_of(label, neighbors)
        if environments is None:
            raise ValueError(f"`label` must be one of {neighbors.labels}, got {label!r}")
        vectors = geometry.displacements(structure, environments)
        return self.features_of_displacements(label, vectors, environments, neighbors.labels)

    def features_of_displacements(
        self,
        label: str,
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> Array:
        """As :meth:`features`, as a function of the displacements [rows, n_columns, 3]."""
        places: list[int] = []
        blocks: list[Array] = []
        descriptors = self.of(label)
        for indices, group in _groups(_cast(descriptors, displacements.dtype)):
            evaluate = partial(_evaluate, displacements=displacements, environments=environments, labels=labels)
            blocks.append(jax.vmap(evaluate, out_axes=1, axis_size=len(indices))(group))
            places += indices
        for indices, invariants in _invariants(descriptors):
            blocks.append(Moments.of(invariants, displacements, environments, labels).contract(invariants))
            places += indices
        return in_order(places, jnp.concatenate(blocks, axis=1), axis=1)

    def pull(
        self,
        label: str,
        slopes: Array,
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> Array:
        """Σ_f slopes_f ∂G_f/∂D [rows, n_columns, 3] for slopes [rows, len(of(label))]."""

        def features(displacements: Array) -> Array:
            return self.features_of_displacements(label, displacements, environments, labels)

        return jax.vjp(features, displacements)[1](slopes)[0]

    def jacobian(
        self,
        label: str,
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> Array:
        """∂G/∂D [rows, len(of(label)), n_columns, 3] in 1/Å: the features of a row depend on its own D only."""
        places: list[int] = []
        blocks: list[Array] = []
        descriptors = self.of(label)
        for indices, invariants in _invariants(descriptors):
            blocks.append(jnp.moveaxis(moment_jacobian(invariants, displacements, environments, labels), 0, 1))
            places += indices
        for indices, group in _groups(_cast(descriptors, displacements.dtype)):

            def total(vectors: Array, one: Descriptor) -> Array:
                return _evaluate(one, vectors, environments, labels).sum()

            slopes = jax.vmap(jax.grad(total), in_axes=(None, 0), out_axes=1, axis_size=len(indices))(
                displacements, group
            )
            blocks.append(slopes)
            places += indices
        return in_order(places, jnp.concatenate(blocks, axis=1), axis=1)


def _cast(tree: Any, dtype: Any) -> Any:
    """Parameters in the dtype of the displacements, so that results have it."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def _groups(descriptors: tuple[Descriptor, ...]) -> list[tuple[list[int], Descriptor]]:
    """Descriptors that differ in parameters only, stacked leaf by leaf, with their places in the order."""
    members: dict[object, list[int]] = {}
    for index, descriptor in enumerate(descriptors):
        if isinstance(descriptor, MomentInvariant):
            continue
        members.setdefault(jax.tree.structure(descriptor), []).append(index)
    return [
        (indices, jax.tree.map(lambda *leaves: jnp.stack(leaves), *(descriptors[index] for index in indices)))
        for indices in members.values()
    ]


def _invariants(descriptors: tuple[Descriptor, ...]) -> list[tuple[list[int], list[MomentInvariant]]]:
    """The invariants of each cutoff, which share their moments, with their places in the order."""
    members: dict[float, list[int]] = {}
    for index, descriptor in enumerate(descriptors):
        if isinstance(descriptor, MomentInvariant):
            members.setdefault(descriptor.cutoff, []).append(index)
    return [(indices, [descriptors[index] for index in indices]) for indices in members.values()]  # type: ignore[misc]


def _evaluate(
    descriptor: Descriptor, displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> Array:
    """[rows] values of one descriptor."""
    return descriptor.sums(displacements, environments, labels)
