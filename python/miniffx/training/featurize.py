"""Featurize: the descriptors of a whole data set, batched, and how they change with the positions."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from miniffx import _checks, geometry, mapping
from miniffx._pytree import brief_repr, pytree
from miniffx.descriptors import DescriptorSet
from miniffx.descriptors.harmonics import COUNT
from miniffx.descriptors.tensor_moments import MomentPairs, Moments
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure
from miniffx.training.batching import Group, padded_groups


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
            for, and in training where the next two take its place.
        moments: in training, those that all features follow from, if there are such
            (:meth:`miniffx.descriptors.DescriptorSet.moment_pairs`); None otherwise.
        pairs: in training, what every pair adds to these moments; None otherwise.
    """

    centers: Array
    values: Array
    neighbors: Array | None
    vectors: Array | None
    jacobian: Array | None
    moments: Moments | None = None
    pairs: MomentPairs | None = None


@dataclass(frozen=True)
class FeatureBatch:
    """Structures of similar size, padded alike.

    Attributes:
        indices: [batch] which structures these are.
        n_atoms: rows of the padded structures.
        species: label to SpeciesFeatures.
        lists: in training, the structures and their lists, where what forces need is too much to be kept; else None.
    """

    indices: np.ndarray
    n_atoms: int
    species: dict[str, SpeciesFeatures]
    lists: tuple[Structure, NeighborList] | None = None

    __repr__ = brief_repr


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

    def __repr__(self) -> str:
        labels = ", ".join(sorted({label for batch in self.batches for label in batch.species}))
        return f"Features({len(self)} structures, {sum(self.sizes)} atoms, {labels}; {self.n_descriptors} descriptors)"

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


def featurize(
    descriptors: DescriptorSet,
    structures: Iterable[Any],
    jacobian: bool = False,
    *,
    memory: float | None = None,
    progress: bool = False,
) -> Features:
    """The descriptors of a whole data set at once, batched, on the default device.

    Structures of similar size are padded alike and go through one compiled program, some at a time. How much memory
    it takes is known before the first descriptor is computed: results, lists, and what the compiled program needs
    besides, as the compiler tells.

    Args:
        descriptors: the set.
        structures: Structures or frames, of any sizes and species.
        jacobian: whether to compute the derivatives in the neighbours' displacements too. They need
            n_descriptors × n_neighbors × 3 numbers per atom.
        memory: a bound in GiB on all of that. The fewer GiB, the fewer structures at a time.
        progress: show what is needed, and a progress bar.

    Returns:
        Features; ``features[i]`` is what ``descriptors(structures[i], …)`` returns.

    Raises:
        ValueError: `structures` that are none, or one alone.
        MemoryError: the results, with one structure at a time, would exceed `memory`.

    >>> import miniffx as mff
    >>> D = mff.descriptors
    >>> ds = D.DescriptorSet([D.G2(eta=0.1, r_shift=0.0, cutoff=6.0, species=("Ar", "Ar"))])
    >>> chain = [mff.Structure.create([[0, 0, 3.8 * k] for k in range(n)], ["Ar"] * n) for n in (2, 5)]
    >>> mff.featurize(ds, chain)[1].shape
    (5, 1)
    """
    if isinstance(structures, Structure) or not hasattr(structures, "__iter__"):
        raise ValueError(f"`structures` must be several Structures or frames, got {type(structures).__name__}")
    frames = [item if isinstance(item, Structure) else getattr(item, "structure", item) for item in structures]
    for index, item in enumerate(frames):
        if not isinstance(item, Structure):
            raise ValueError(f"`structures` must be Structures or frames, got {type(item).__name__} at index {index}")
    return compute(descriptors, frames, "jacobian" if jacobian else None, memory=memory, progress=progress)


Slopes = Literal["jacobian", "pairs", "lists"] | None


def compute(
    descriptors: DescriptorSet,
    frames: list[Structure],
    slopes: Slopes,
    *,
    groups: list[Group] | None = None,
    memory: float | None = None,
    progress: bool = False,
) -> Features:
    """As :func:`featurize`, and for training, with other `slopes`.

    "pairs": moments and pairs wherever all descriptors follow from them. "lists": nothing but the lists. `groups`: of
    these structures, where they are known.
    """
    groups = groups_of(descriptors, frames) if groups is None else groups
    results = result_bytes(descriptors, groups, slopes)
    bound = math.inf if memory is None else _checks.positive("memory", memory) * 2**30
    if results > bound:
        raise MemoryError(f"features need {results / 2**30:.3g} GiB, `memory` allows {memory:g}")
    sizes = [group.at_once for group in groups]
    if memory is not None or progress:
        found = [_fitting(descriptors, group, slopes, bound - results) for group in groups]
        sizes = [size for size, _ in found]
        needed = results + max(work for _, work in found)
        n_batches = sum(-(-len(group) // size) for group, size in zip(groups, sizes, strict=True))
        if needed > bound:
            raise MemoryError(f"features need {needed / 2**30:.3g} GiB, `memory` allows {memory:g}")
        if progress:
            tqdm.write(f"needs {needed / 2**30:.2g} GiB, {n_batches} batches", file=sys.stderr)
    with tqdm(total=len(frames), disable=not progress, unit="structure", dynamic_ncols=True) as bar:
        batches = []
        for group, size in zip(groups, sizes, strict=True):
            parts: list[Any] = []
            for batch, neighbors, keep in group.parts(size):
                jax.block_until_ready(parts[-1:])  # lists are made while the device works on one batch, not on more
                features = batch_features(descriptors, batch, neighbors, None if slopes == "lists" else slopes)
                lists = jax.device_put((batch, neighbors)) if slopes == "lists" else None
                parts.append(jax.tree.map(lambda leaf, keep=keep: leaf[:keep], (features, lists)))
                bar.update(keep)
            species, lists = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
            batches.append(FeatureBatch(np.asarray(group.indices), group.n_atoms, species, lists))
    return Features(tuple(batches), tuple(frame.n_atoms for frame in frames), descriptors.n_descriptors)


def groups_of(descriptors: DescriptorSet, frames: list[Structure]) -> list[Group]:
    """The structures in groups that are padded alike."""
    if not frames:
        raise ValueError("`structures` must hold at least one structure, got none")
    labels = tuple(sorted({*descriptors.species, *(label for frame in frames for label in frame.labels)}))
    return padded_groups(frames, labels, descriptors.needs)


def result_bytes(descriptors: DescriptorSet, groups: list[Group], slopes: Slopes) -> int:
    """What the results of :func:`compute` need."""
    kept = [_bytes(descriptors, group, slopes) * len(group) for group in groups]
    # Of a group whose results are put together from those of its parts, both are there for a moment.
    return sum(kept) + max(kept)


def _bytes(descriptors: DescriptorSet, group: Group, slopes: Slopes) -> int:
    """What is kept of one structure of a group."""
    total = 0
    number = np.dtype(jax.dtypes.canonicalize_dtype(group.structures[0].positions.dtype)).itemsize
    for label, rows, columns in zip(group.labels, group.capacity.rows, group.capacity.columns, strict=True):
        if width := len(descriptors.of(label)):
            total += rows * (4 + number * width)
            orders = descriptors.orders_of_moments(label) if slopes == "pairs" else None
            if slopes == "lists":
                triples = group.capacity.triples[group.labels.index(label)]
                total += rows * (16 * columns[-1] + 8 * sum(triples))
            elif slopes:
                per_pair = 3 * width if orders is None else MomentPairs.numbers(orders)
                total += rows * columns[-1] * (4 + number * (3 + per_pair))
            if orders is not None:
                total += rows * number * len(group.labels) * orders * COUNT
    return total


def _fitting(descriptors: DescriptorSet, group: Group, slopes: Slopes, bound: float) -> tuple[int, int]:
    """How many structures at a time stay below a bound in bytes, at least one, and the bytes that they need."""
    size, slopes = group.at_once, None if slopes == "lists" else slopes
    while True:
        batch, neighbors, _ = next(group.parts(size))
        # What is compiled here is what will be called.
        told = batch_features.lower(descriptors, batch, neighbors, slopes).compile().memory_analysis()
        lists = sum(leaf.nbytes for leaf in jax.tree.leaves((batch, neighbors)))
        # Of one batch, lists on host and device, temporaries, results with the copy that is kept; lists of the next.
        work = 3 * lists
        if told is not None:
            work += told.temp_size_in_bytes + told.output_size_in_bytes
        if size == 1 or work <= bound:
            return size, work
        size = max(1, min(size // 2, int(size * bound / work)))


@partial(jax.jit, static_argnums=(0, 3))
def batch_features(
    descriptors: DescriptorSet, structures: Structure, neighbors: NeighborList, slopes: Slopes
) -> dict[str, SpeciesFeatures]:
    """The features of a batch, per species."""
    result = {}
    guard = jax.vmap(descriptors.guard)(structures, neighbors)[:, None, None]
    for label, environments in zip(neighbors.labels, neighbors.environments, strict=True):
        if not descriptors.of(label):
            continue
        batch = environments.centers.shape
        vectors = jax.vmap(geometry.displacements)(structures, environments)
        # A row depends on no other: those of all structures are as those of one.
        flat, rows = _rows((vectors, environments))
        real = jax.vmap(mapping.row_mask)(environments, structures)
        jacobian, moments = None, None
        pairs = descriptors.moment_pairs(label, flat, rows, neighbors.labels) if slopes == "pairs" else None
        if pairs is None:
            values = descriptors.features_of_displacements(label, flat, rows, neighbors.labels)
        else:
            moments = pairs.moments(flat.shape[0], flat.dtype)
            values = descriptors.of_moments(label, moments)
            moments, pairs = _batched((moments, pairs), batch)
        if slopes and pairs is None:
            jacobian = descriptors.jacobian(label, flat, rows, neighbors.labels)
            jacobian = jacobian.reshape(*batch, jacobian.shape[1], 3 * jacobian.shape[2]) * guard[..., None]
        result[label] = SpeciesFeatures(
            centers=environments.centers,
            values=jnp.where(real[..., None], values.reshape(*batch, values.shape[-1]), 0) * guard,
            neighbors=environments.neighbors if slopes else None,
            vectors=vectors if slopes else None,
            jacobian=jacobian,
            moments=moments,
            pairs=pairs,
        )
    return result


def _batched(tree: Any, batch: tuple[int, ...]) -> Any:
    """Undoes :func:`_rows`."""
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), tree)


def _rows(tree: Any) -> Any:
    """The two leading axes of every leaf in one."""
    return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), tree)
