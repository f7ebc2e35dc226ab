"""Building the environments of a list outside jit: find, choose capacities, fill."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from miniffx import _checks, _core
from miniffx.neighbors.capacity import LIMIT, Capacity
from miniffx.neighbors.environments import Environments, TripleSlots
from miniffx.neighbors.request import Request
from miniffx.structure import Array, Structure

Kinds = Sequence[tuple[int, int, int]]


def build(
    structure: Structure, request: Request, minimum: Capacity | None, put: Callable[[np.ndarray], Any]
) -> tuple[tuple[Environments, ...], Array]:
    """Find pairs, choose capacities, fill: for one structure or a batch. Each array goes through `put`.

    Returns:
        The environments, and overflow, which is False.
    """
    kinds = request.kinds(structure.labels)
    found = find(structure, request, kinds)
    if minimum is None:
        filled = found.fill()
    else:
        filled = fill(found, checked(minimum, len(structure.labels), kinds))
        if filled[3].any():
            del filled  # its memory is for what takes its place
            filled = fill(found, Capacity(*found.capacity()).union(minimum))
    centers, rows, slots, overflow, (_, columns, _) = filled
    environments = environments_from(
        [put(array) for array in centers],
        [tuple(map(put, arrays)) for arrays in rows],
        [tuple(map(put, arrays)) for arrays in slots],
        columns,
        kinds,
    )
    return environments, put(overflow)


def find(structure: Structure, request: Request, kinds: Kinds) -> Any:
    """What is within cutoff + skin in a structure or each of a batch, padding atoms left out: the core's `Found`.

    Raises:
        ValueError: inside jit.
    """
    try:
        positions, cell, species = map(np.asarray, (structure.positions, structure.cell, structure.species_index))
    except jax.errors.TracerArrayConversionError:
        raise ValueError(
            "a neighbour list must be made outside jit, where sizes are known; inside, use `update`"
        ) from None
    return _core.Found(
        np.ascontiguousarray(positions, np.float64),
        np.ascontiguousarray(cell, np.float64),
        structure.pbc,
        request.reach,
        np.ascontiguousarray(species, np.int32),
        len(structure.labels),
        request.triple_reach,
        request.closed,
        kinds,
    )


def fill(found: Any, capacity: Capacity) -> tuple[Any, ...]:
    """The arrays of a list of these sizes, as the core returns them.

    (centers per species, (neighbors, shifts, counts) per species, (first, second, counts) per kind of triple, overflow,
    sizes). Where something does not fit, overflow says so and what fits is there.
    """
    return found.fill((capacity.rows, capacity.columns, capacity.triples))


def checked(capacity: Capacity, n_species: int, kinds: Kinds) -> Capacity:
    """The capacity, if it is for so many species and these triples; ValueError otherwise."""
    kinds_of = [sum(kind[0] == a for kind in kinds) for a in range(n_species)]
    alike = len(capacity.rows) == len(capacity.columns) == n_species
    alike = alike and all(len(row) == n_species + 1 for row in capacity.columns)
    if not alike or [len(sizes) for sizes in capacity.triples] != kinds_of:
        raise ValueError(f"`capacity` must be for {n_species} species and the same triples, got {capacity}")
    for size in (*capacity.rows, *itertools.chain(*capacity.columns, *capacity.triples)):
        if not _checks.is_whole(size) or not 0 <= size < LIMIT:
            raise ValueError(f"`capacity` must hold whole numbers from 0 to 2³¹ − 1, got {size!r}")
    return capacity


def environments_from(
    centers: Sequence[Any], rows: Sequence[Any], slots: Sequence[Any], columns: Sequence[Any], kinds: Kinds
) -> tuple[Environments, ...]:
    """The arrays that the core filled, in their places."""
    return tuple(
        Environments(
            centers=centers[a],
            neighbors=rows[a][0],
            shifts=rows[a][1],
            counts=rows[a][2],
            triples=tuple(TripleSlots(*slot) for slot, kind in zip(slots, kinds, strict=True) if kind[0] == a),
            columns=columns[a],
            triple_kinds=tuple(kind[1:] for kind in kinds if kind[0] == a),
        )
        for a in range(len(centers))
    )
