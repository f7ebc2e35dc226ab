"""Batching: structures of any sizes in few shapes, so that few programs are compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from miniffx.neighbors import Needs, NeighborList, bucket
from miniffx.structure import Structure, stack

# Atoms per compiled call. On CPUs, few enough that what is computed stays in the cache; elsewhere, enough to keep
# the device busy.
CHUNK_ATOMS = {"cpu": 512}
CHUNK_ATOMS_ELSEWHERE = 16384


def padded_groups(
    structures: Sequence[Structure], labels: tuple[str, ...], needs: Needs
) -> Iterator[tuple[list[int], Structure, NeighborList]]:
    """Structures of similar size stacked, with their neighbour lists; all leaves are NumPy arrays.

    Yields:
        (indices, batch, neighbors): which structures, and these with a leading batch axis.
    """
    sizes = [structure.n_atoms for structure in structures]
    for indices in group_by_size(sizes, [structure.pbc for structure in structures]):
        group = [dataclasses.replace(structures[i], charges=None).relabel(labels) for i in indices]
        batch = stack(group, n_atoms=bucket(max(structure.n_atoms for structure in group)))
        yield indices, batch, needs.host_neighbor_list(batch)


def in_chunks(batch: Structure, neighbors: NeighborList) -> Iterator[tuple[tuple[Structure, NeighborList], int]]:
    """Parts of a batch of always the same size, and how many structures of each count.

    The last part repeats structures, so that it runs through the same program.
    """
    n_structures = batch.positions.shape[0]
    size = max(1, CHUNK_ATOMS.get(jax.default_backend(), CHUNK_ATOMS_ELSEWHERE) // max(batch.n_atoms, 1))
    for start in range(0, n_structures, size):
        take = np.minimum(np.arange(start, start + size), n_structures - 1)
        part: Any = jax.tree.map(lambda leaf, take=take: np.asarray(leaf)[take], (batch, neighbors))
        yield part, min(size, n_structures - start)


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
