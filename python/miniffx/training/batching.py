"""Batching: structures of any sizes in few shapes, so that few programs are compiled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from miniffx.neighbors import Capacity, Needs, NeighborList, bucket
from miniffx.structure import Structure, stack

# Atoms per compiled call. On CPUs, few enough that what is computed stays in the cache; elsewhere, enough to keep
# the device busy.
CHUNK_ATOMS = {"cpu": 512}
CHUNK_ATOMS_ELSEWHERE = 16384
ATOMS_SEARCHED = 16384  # at a time, to learn what their lists need


@dataclass(frozen=True)
class Group:
    """Structures of similar size that are padded alike.

    Attributes:
        indices: which structures these are.
        structures: they, with all labels of the data set.
        n_atoms: rows of a padded structure.
        needs: of their lists.
        capacity: of their lists.
    """

    indices: list[int]
    structures: list[Structure]
    n_atoms: int
    needs: Needs
    capacity: Capacity

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of all structures."""
        return self.structures[0].labels

    @property
    def at_once(self) -> int:
        """How many structures a device should get at a time."""
        return min(len(self), at_once(self.n_atoms))

    def parts(self, size: int) -> Iterator[tuple[Structure, NeighborList, int]]:
        """(batch, neighbors, how many of them count) of always so many structures; leaves are NumPy arrays.

        The last part repeats structures, so that it runs through the same program.
        """
        for start in range(0, len(self), size):
            take = np.minimum(np.arange(start, start + size), len(self) - 1)
            batch = stack([self.structures[index] for index in take], n_atoms=self.n_atoms)
            neighbors = self.needs.host_neighbor_list(batch, capacity=self.capacity)
            yield batch, neighbors, min(size, len(self) - start)


def at_once(n_atoms: int) -> int:
    """How many structures of so many rows a device should get at a time."""
    return max(1, CHUNK_ATOMS.get(jax.default_backend(), CHUNK_ATOMS_ELSEWHERE) // max(n_atoms, 1))


def padded_groups(structures: Sequence[Structure], labels: tuple[str, ...], needs: Needs) -> list[Group]:
    """Structures of similar size together, in one dtype, with the capacity that the lists of all of them need.

    Charges stay where all structures have them.
    """
    dtype = np.result_type(*(structure.positions.dtype for structure in structures))
    charged = all(structure.charges is not None for structure in structures)

    def member(structure: Structure) -> Structure:
        positions, cell = (np.asarray(leaf, dtype) for leaf in (structure.positions, structure.cell))
        charges = np.asarray(structure.charges, dtype) if charged else None
        plain: Any = {"positions": positions, "cell": cell, "charges": charges}
        return dataclasses.replace(structure, **plain).relabel(labels)

    sizes = [structure.n_atoms for structure in structures]
    groups = []
    for indices in group_by_size(sizes, [structure.pbc for structure in structures]):
        members = [member(structures[i]) for i in indices]
        n_atoms = bucket(max(structure.n_atoms for structure in members))
        some = max(1, ATOMS_SEARCHED // max(n_atoms, 1))
        padded = (stack(members[k : k + some], n_atoms=n_atoms) for k in range(0, len(members), some))
        capacity = functools.reduce(Capacity.union, map(needs.capacity, padded))
        groups.append(Group(indices, members, n_atoms, needs, capacity))
    return groups


def group_by_size(sizes: Sequence[int], kinds: Sequence[Any]) -> list[list[int]]:
    """Indices in groups that are padded alike: same kind, similar size.

    Of all ways to cut the sorted sizes, the one with the least padding, where another group (another compiled
    program) counts as much as a tenth of the atoms.
    """
    groups = []
    penalty = sum(sizes) / 10
    for kind in dict.fromkeys(kinds):
        members = sorted((i for i in range(len(sizes)) if kinds[i] == kind), key=lambda i: sizes[i])
        ends = [m for m in range(1, len(members) + 1) if m == len(members) or sizes[members[m]] > sizes[members[m - 1]]]
        best: dict[int, tuple[float, int]] = {0: (0.0, 0)}  # end → (cost up to it, where its group starts)
        for end in ends:
            largest = sizes[members[end - 1]]
            best[end] = min(
                (best[start][0] + largest * (end - start) + penalty, start) for start in best if start < end
            )
        end = len(members)
        while end:
            start = best[end][1]
            groups.append(members[start:end])
            end = start
    return groups[::-1]
