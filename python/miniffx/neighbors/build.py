"""Building the environments of a list outside jit: find, choose capacities, fill."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniffx import _checks, _core
from miniffx.neighbors.capacity import Capacity, bucket, offsets_of
from miniffx.neighbors.environments import Environments, TripleSlots
from miniffx.neighbors.request import Request
from miniffx.structure import Array, Structure

Filled = tuple[np.ndarray, ...]


def build(
    structure: Structure, request: Request, minimum: Capacity | None, put: Callable[[np.ndarray], Any]
) -> tuple[tuple[Environments, ...], Array]:
    """Find pairs, choose capacities, fill: for one structure or a batch. Each array goes through `put`.

    Returns:
        The environments, and overflow, which is False.
    """
    batch = Batch.of(structure, request)
    capacity = batch.capacity() if minimum is None else batch.checked(minimum)
    filled = batch.fitting(capacity)
    if filled is None:
        capacity = batch.capacity().union(capacity)
        filled = batch.fitting(capacity)
    assert filled is not None
    one = structure.positions.ndim == 2

    def hand_over(array: np.ndarray) -> Any:
        return put(array[0, ...] if one else array)

    centers, rows, slots, overflow = filled
    environments = environments_from(
        [hand_over(array) for array in centers],
        [tuple(map(hand_over, arrays)) for arrays in rows],
        [tuple(map(hand_over, arrays)) for arrays in slots],
        capacity,
        batch.kinds,
    )
    return environments, hand_over(overflow)


@dataclass(frozen=True)
class Batch:
    """What is within cutoff + skin in each of some structures, padding atoms left out.

    Attributes:
        found: by the core.
        species: [batch, n_atoms] int32.
        labels: of the species.
        request: what was asked for.
        kinds: of triples that were asked for, (A, B, C).
    """

    found: Any
    species: np.ndarray
    labels: tuple[str, ...]
    request: Request
    kinds: list[tuple[int, int, int]]

    @classmethod
    def of(cls, structure: Structure, request: Request) -> Batch:
        """The search.

        Raises:
            ValueError: inside jit.
        """
        if _checks.is_traced(structure):
            raise ValueError("a neighbour list must be made outside jit, where sizes are known; inside, use `update`")
        one = structure.positions.ndim == 2
        positions, cells, species = (
            np.asarray(leaf)[None] if one else np.asarray(leaf)
            for leaf in (structure.positions, structure.cell, structure.species_index)
        )
        species = np.ascontiguousarray(species, np.int32)
        found = _core.find_neighbors(
            np.ascontiguousarray(positions, np.float64),
            np.ascontiguousarray(cells, np.float64),
            structure.pbc,
            request.reach,
            species,
        )
        return cls(found, species, structure.labels, request, request.kinds(structure.labels))

    def capacity(self) -> Capacity:
        """What holds all of it, in buckets."""
        n_species, kinds = len(self.labels), self.kinds
        rows, pair_max, triple_max = _core.count_rows(
            self.found, self.species, n_species, self.request.triple_reach, self.request.closed, kinds
        )
        return Capacity(
            rows=tuple(min(bucket(n), self.species.shape[1]) for n in rows),
            columns=tuple(offsets_of(map(bucket, row)) for row in pair_max),
            triples=tuple(
                tuple(bucket(n) for n, kind in zip(triple_max, kinds, strict=True) if kind[0] == a)
                for a in range(n_species)
            ),
        )

    def checked(self, capacity: Capacity) -> Capacity:
        """The capacity, if it is for these species and triples; ValueError otherwise."""
        n = len(self.labels)
        kinds_of = [sum(kind[0] == a for kind in self.kinds) for a in range(n)]
        alike = len(capacity.rows) == len(capacity.columns) == n and all(len(row) == n + 1 for row in capacity.columns)
        if not alike or [len(t) for t in capacity.triples] != kinds_of:
            raise ValueError(f"`capacity` must be for {n} species and the same triples, got {capacity}")
        for size in (*capacity.rows, *itertools.chain(*capacity.columns, *capacity.triples)):
            if not _checks.is_whole(size) or not 0 <= size < 2**31:
                raise ValueError(f"`capacity` must hold whole numbers from 0 to 2³¹ − 1, got {size!r}")
        return capacity

    def fitting(self, capacity: Capacity) -> tuple[list[np.ndarray], list[Filled], list[Filled], np.ndarray] | None:
        """Centres, and what :meth:`fill` returns for them; None where the capacity does not suffice."""
        centers, most = _core.list_centers(self.species, capacity.rows)
        if any(n > rows for n, rows in zip(most, capacity.rows, strict=True)):
            return None
        rows_of, slots_of, overflow = self.fill(centers, capacity)
        return None if any(overflow.tolist()) else (centers, rows_of, slots_of, overflow)

    def fill(self, centers: list[np.ndarray], capacity: Capacity) -> tuple[list[Filled], list[Filled], np.ndarray]:
        """(neighbors, shifts, counts) per species, (first, second, counts) per kind of triple, [batch] overflow.

        Args:
            centers: [batch, rows] int32 atoms of each species, n_atoms where padded.
            capacity: of the other arrays.
        """
        return _core.fill_rows(
            self.found,
            self.species,
            len(self.labels),
            centers,
            capacity.columns,
            self.request.triple_reach,
            self.request.closed,
            self.kinds,
            [n for row in capacity.triples for n in row],
        )


def environments_from(
    centers: Sequence[Any], rows: Sequence[Any], slots: Sequence[Any], capacity: Capacity, kinds: Sequence[Any]
) -> tuple[Environments, ...]:
    """The arrays that the core filled, in their places."""
    return tuple(
        Environments(
            centers=centers[a],
            neighbors=rows[a][0],
            shifts=rows[a][1],
            counts=rows[a][2],
            triples=tuple(TripleSlots(*slot) for slot, kind in zip(slots, kinds, strict=True) if kind[0] == a),
            columns=capacity.columns[a],
            triple_kinds=tuple((kind[1], kind[2]) for kind in kinds if kind[0] == a),
        )
        for a in range(len(centers))
    )
