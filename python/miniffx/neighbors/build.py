"""Building the environments of a list outside jit: find, choose capacities, fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from miniffx import _checks, _core
from miniffx.neighbors.capacity import Capacity, bucket, offsets_of
from miniffx.neighbors.environments import Environments, TripleSlots
from miniffx.neighbors.request import Request
from miniffx.structure import Array, Structure


def build(structure: Structure, request: Request, minimum: Capacity | None) -> tuple[tuple[Environments, ...], Array]:
    """Find pairs, choose capacities, fill: for one structure or a batch. NumPy arrays; overflow is False."""
    found, capacity = search(structure, request, minimum)
    kinds = request.kinds(structure.labels)
    filled = []
    for pairs_of, s in found:
        centers = []
        for a, rows in enumerate(capacity.rows):
            atoms = np.flatnonzero(s == a)
            centers.append(np.full(rows, structure.n_atoms, np.int32))
            centers[a][: len(atoms)] = atoms
        rows_of, slots_of, overflow = fill(pairs_of, s, centers, capacity, request, structure.labels)
        assert not overflow
        filled.append((environments_from(centers, rows_of, slots_of, capacity, kinds), overflow))
    if structure.positions.ndim == 2:
        return filled[0]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *filled)


def search(
    structure: Structure, request: Request, minimum: Capacity | None
) -> tuple[list[tuple[Any, np.ndarray]], Capacity]:
    """What is within reach in each structure, with its species; and the capacity that holds all of it.

    Raises:
        ValueError: inside jit; a minimum for other species or triples.
    """
    if _checks.is_traced(structure):
        raise ValueError("a neighbour list must be made outside jit, where sizes are known; inside, use `update`")
    batched = structure.positions.ndim == 3
    positions, cells, species = (
        np.asarray(leaf) if batched else np.asarray(leaf)[None]
        for leaf in (structure.positions, structure.cell, structure.species_index)
    )
    labels, n_species = structure.labels, len(structure.labels)
    kinds = request.kinds(labels)
    kind_array = np.asarray(kinds, dtype=np.int32).reshape(-1, 3)

    found = []
    n_rows = np.zeros(n_species, dtype=np.int64)
    pair_max = np.zeros((n_species, n_species), dtype=np.int64)
    triple_max = np.zeros(len(kinds), dtype=np.int64)
    for r, c, s in zip(positions, cells, species, strict=True):
        pairs_of = find(r, c, s, structure.pbc, request)
        most_pairs, most_triples = _core.count_rows(
            pairs_of, np.ascontiguousarray(s, np.int32), n_species, request.triple_reach, request.closed, kind_array
        )
        found.append((pairs_of, s))
        n_rows = np.maximum(n_rows, np.bincount(s[s >= 0], minlength=n_species))
        pair_max, triple_max = np.maximum(pair_max, most_pairs), np.maximum(triple_max, most_triples)

    capacity = Capacity(
        rows=tuple(min(bucket(n), structure.n_atoms) for n in n_rows.tolist()),
        columns=tuple(offsets_of(map(bucket, row)) for row in pair_max.tolist()),
        triples=tuple(
            tuple(bucket(n) for n, kind in zip(triple_max.tolist(), kinds, strict=True) if kind[0] == a)
            for a in range(n_species)
        ),
    )
    if minimum is not None:
        if len(minimum.rows) != n_species or [len(t) for t in minimum.triples] != [len(t) for t in capacity.triples]:
            raise ValueError(f"`capacity` must be for {n_species} species and the same triples, got {minimum}")
        capacity = capacity.union(minimum)

    return found, capacity


def find(positions: np.ndarray, cell: np.ndarray, species: np.ndarray, pbc: Any, request: Request) -> Any:
    """What is within cutoff + skin in one structure, padding atoms left out."""
    return _core.find_neighbors(
        np.ascontiguousarray(positions, dtype=np.float64),
        np.ascontiguousarray(cell, dtype=np.float64),
        pbc,
        request.reach,
        np.ascontiguousarray(species, dtype=np.int32),
        0,
    )


def fill(
    found: Any,
    species: np.ndarray,
    centers: list[np.ndarray],
    capacity: Capacity,
    request: Request,
    labels: tuple[str, ...],
) -> tuple[list[tuple[np.ndarray, ...]], list[tuple[np.ndarray, ...]], Any]:
    """(neighbors, shifts, counts) per species, (first, second, counts) per kind of triple, whether they overflowed."""
    n_species = len(labels)
    rows, slots, overflow = _core.fill_rows(
        found,
        np.ascontiguousarray(species, np.int32),
        n_species,
        [np.ascontiguousarray(c, np.int32) for c in centers],
        np.asarray(capacity.columns, dtype=np.int32).reshape(n_species, n_species + 1),
        request.triple_reach,
        request.closed,
        np.asarray(request.kinds(labels), dtype=np.int32).reshape(-1, 3),
        np.asarray([n for row in capacity.triples for n in row], dtype=np.int32),
    )
    return rows, slots, np.asarray(overflow)


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
