"""Sets of descriptors: the features of an atom."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks, blocks, geometry, mapping
from miniffx._pytree import pytree
from miniffx.descriptors import products
from miniffx.descriptors.descriptor import Descriptor, Product
from miniffx.descriptors.moment_invariant import MomentInvariant
from miniffx.descriptors.tensor_moments import MomentPairs, Moments, n_orders, tensor_moments
from miniffx.neighbors import Array, Capacity, Environments, Needs, NeighborList
from miniffx.structure import Structure

ReadOut = Callable[[Any, Array], Array]  # parameters, features [rows, n] -> [rows]


@pytree
class DescriptorSet:
    """Descriptors in a fixed order; those of one centre species are the features of its atoms.

    Descriptors of one formula that differ only in parameters are evaluated together. Sets of equal descriptors are
    equal, so that one can be a static argument of a jitted function: what its descriptors have in common is then
    computed once. As an argument that is traced, all its numbers may differ, and each descriptor is computed alone.

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DescriptorSet) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> Hashable:
        leaves, structure = jax.tree.flatten(self.descriptors)
        return structure, tuple(map(products.identity, leaves))

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
        return blocks.in_blocks(partial(self._of_rows, label, labels), displacements, environments)

    def read_out(
        self, head: ReadOut, parameters: Any, label: str, structure: Structure, neighbors: NeighborList
    ) -> Array:
        """[rows] ``head(parameters, features)`` of the atoms of one species.

        The head makes one number of each row of features, of that row alone, and closes over nothing that is traced.
        Where it is differentiated by displacements, values and derivatives are computed together, in one pass over the
        rows, unless descriptors may depend on something that is traced.
        """
        environments = mapping.environments_of(label, neighbors)
        if environments is None:
            raise ValueError(f"`label` must be one of {neighbors.labels}, got {label!r}")
        if any(map(_may_depend_on_what_is_traced, self.of(label))):
            return head(parameters, self.features(label, structure, neighbors))
        labels = neighbors.labels

        def value(parameters: Any, displacements: Array, environments: Environments) -> Array:
            return head(parameters, self._of_rows(label, labels, displacements, environments))

        def with_slopes(parameters: Any, displacements: Array, environments: Environments) -> tuple[Array, Array]:
            features, pull = self._of_rows_with_pull(label, labels, displacements, environments)
            values, pull_head = jax.vjp(partial(head, parameters), features)
            return values, pull(*pull_head(jnp.ones_like(values)))

        displacements = geometry.displacements(structure, environments)
        return blocks.in_one_pass(value, with_slopes, parameters, displacements, environments)

    def _of_rows(
        self,
        label: str,
        labels: tuple[str, ...],
        displacements: Array,
        environments: Environments,
    ) -> Array:
        """[rows, len(of(label))] all rows at once."""
        members, groups = self._members(label, displacements.dtype, lambda product: True)
        columns = products.sums(members, displacements, environments, labels)
        return self._with_others(columns, label, groups, labels, displacements, environments)

    def _of_rows_with_pull(
        self,
        label: str,
        labels: tuple[str, ...],
        displacements: Array,
        environments: Environments,
    ) -> tuple[Array, Callable[[Array], Array]]:
        """The same, and the function that takes ∂E/∂G [rows, len(of(label))] to ∂E/∂D [rows, n_columns, 3]."""
        members, groups = self._members(label, displacements.dtype, lambda product: True)
        columns, pull_columns = products.sums_with_pull(members, displacements, environments, labels)
        every, pull_every = jax.vjp(
            lambda columns, vectors: self._with_others(columns, label, groups, labels, vectors, environments),
            columns,
            displacements,
        )

        def pull(cotangents: Array) -> Array:
            of_columns, of_others = pull_every(cotangents)
            return pull_columns(of_columns) + of_others

        return every, pull

    def _with_others(
        self,
        columns: dict[int, Array],
        label: str,
        groups: list[tuple[list[int], Descriptor]],
        labels: tuple[str, ...],
        displacements: Array,
        environments: Environments,
    ) -> Array:
        """[rows, len(of(label))]: products as they are given, all others by displacements."""
        columns, of_moments = dict(columns), []
        for places, invariants in self._invariants(label):
            moments = tensor_moments(invariants, displacements, environments, labels)
            of_moments.append((places, moments.contract(invariants)))
        for indices, group in groups:
            evaluate = partial(_evaluate, displacements=displacements, environments=environments, labels=labels)
            columns.update(zip(indices, jax.vmap(evaluate, axis_size=len(indices))(group), strict=True))
        return _in_order(columns, of_moments, -1)

    def jacobian(
        self,
        label: str,
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> Array:
        """∂G/∂D [rows, len(of(label)), n_columns, 3] in 1/Å: the features of a row depend on its own D only."""
        members, groups = self._members(label, displacements.dtype, lambda product: product.degree is None)

        def of_rows(displacements: Array, environments: Environments) -> Array:
            def total(vectors: Array, one: Descriptor) -> Array:
                return _evaluate(one, vectors, environments, labels).sum()

            columns = products.jacobians(members, displacements, environments, labels)
            of_moments = []
            for places, invariants in self._invariants(label):
                block = _jacobian_of_invariants(invariants, displacements, environments, labels)
                of_moments.append((places, jnp.moveaxis(block, 0, 1)))
            for indices, group in groups:
                slopes = jax.vmap(jax.grad(total), in_axes=(None, 0), axis_size=len(indices))(displacements, group)
                columns.update(zip(indices, slopes, strict=True))
            return _in_order(columns, of_moments, 1)

        return blocks.in_blocks(of_rows, displacements, environments)

    def of_moments(self, label: str, moments: Moments) -> Array:
        """[rows, len(of(label))] the descriptors of one species, all of them invariants of these moments."""
        ((_, invariants),) = self._invariants(label)
        return moments.contract(invariants)

    def moment_pairs(
        self,
        label: str,
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> MomentPairs | None:
        """What all descriptors of one species follow from, where they are invariants of moments; None otherwise.

        It takes less memory than a Jacobian, and derivatives through it take less time.
        """
        if self.orders_of_moments(label) is None:
            return None
        invariants = self._invariants(label)
        return MomentPairs.of(invariants[0][1], displacements, environments, labels)

    def orders_of_moments(self, label: str) -> int | None:
        """How many orders the moments have that :meth:`moment_pairs` is about; None where it is None."""
        invariants = self._invariants(label)
        if len(invariants) != 1 or len(invariants[0][0]) < len(self.of(label)):
            return None
        return n_orders(invariants[0][1])

    def share_unit(self, label: str) -> np.ndarray:
        """[len(of(label))] bool: descriptors whose relative sizes mean something, so that they are scaled alike."""
        return np.array([isinstance(descriptor, MomentInvariant) for descriptor in self.of(label)])

    def _invariants(self, label: str) -> list[tuple[list[int], list[MomentInvariant]]]:
        """The invariants of each cutoff, which share their moments, with their places in the order."""
        found: dict[float, tuple[list[int], list[MomentInvariant]]] = {}
        for place, descriptor in enumerate(self.of(label)):
            if isinstance(descriptor, MomentInvariant):
                places, invariants = found.setdefault(descriptor.cutoff, ([], []))
                places.append(place)
                invariants.append(descriptor)
        return list(found.values())

    def _members(
        self, label: str, dtype: Any, together: Callable[[Product], bool]
    ) -> tuple[list[products.Member], list[tuple[list[int], Descriptor]]]:
        """The products that are evaluated `together`, and the rest of the descriptors in groups."""
        originals = self.of(label)
        descriptors = mapping.cast(originals, dtype)
        members = [
            products.Member(index, original, descriptor)
            for index, (original, descriptor) in enumerate(zip(originals, descriptors, strict=True))
            if isinstance(original, Product) and together(original)
        ]
        elsewhere = {member.place for member in members}
        elsewhere |= {place for places, _ in self._invariants(label) for place in places}
        return members, _groups({n: d for n, d in enumerate(descriptors) if n not in elsewhere})


def _in_order(columns: dict[int, Array], of_moments: list[tuple[list[int], Array]], axis: int) -> Array:
    """All descriptors along an axis: single ones [rows, ...] by their places, blocks of moments that have the axis."""
    parts = [jnp.stack(list(columns.values()), axis=axis)] if columns else []
    order = np.array([*columns, *(place for places, _ in of_moments for place in places)])
    every = jnp.concatenate([*parts, *(block for _, block in of_moments)], axis=axis)
    return every if (order == np.arange(len(order))).all() else jnp.take(every, np.argsort(order), axis=axis)


def _jacobian_of_invariants(
    invariants: list[MomentInvariant], displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> Array:
    """[len(invariants), rows, n_columns, 3]: by the moments, then of these by the displacements."""
    pairs = MomentPairs.of(invariants, displacements, environments, labels)

    def contract(values: Array) -> Array:
        return Moments(values[None], labels).contract(invariants)[0]

    moments = pairs.moments(displacements.shape[0], displacements.dtype)
    slopes = jax.vmap(jax.jacrev(contract), out_axes=1)(moments.values)
    return jax.lax.map(lambda values: pairs.pull(Moments(values, labels)), slopes)


def _groups(descriptors: dict[int, Descriptor]) -> list[tuple[list[int], Descriptor]]:
    """Descriptors that differ in parameters only, stacked leaf by leaf, with their places in the order."""
    members: dict[object, list[int]] = {}
    for index, descriptor in descriptors.items():
        members.setdefault(jax.tree.structure(descriptor), []).append(index)
    return [
        (indices, jax.tree.map(lambda *leaves: jnp.stack(leaves), *(descriptors[index] for index in indices)))
        for indices in members.values()
    ]


def _evaluate(
    descriptor: Descriptor, displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> Array:
    """[rows] values of one descriptor."""
    return descriptor.sums(displacements, environments, labels)


def _may_depend_on_what_is_traced(descriptor: Descriptor) -> bool:
    """Whether it holds numbers that are traced, or functions, or is of a local class: these may close over some."""
    held = jax.tree.leaves(vars(descriptor))
    return _checks.is_traced(held) or any(map(callable, held)) or "<locals>" in type(descriptor).__qualname__
