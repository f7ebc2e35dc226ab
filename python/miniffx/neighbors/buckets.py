"""Structures of many sizes in a handful of shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from miniffx.neighbors.capacity import Capacity
from miniffx.neighbors.device import on_device
from miniffx.neighbors.needs import Needs
from miniffx.neighbors.neighbor_list import NeighborList
from miniffx.structure import Structure


class Buckets:
    """Pads structures and their lists, one after the other, so that structures of similar size share a program.

    Atoms are padded to a power of two, 64 at least. All lists share their columns and triples, which grow with a
    quarter to spare where a list needs more. So a compiled function sees one shape for each power of two, and a few
    more where columns grow late. Where all structures are there at once, :func:`miniffx.evaluate` and
    :func:`miniffx.featurize` need fewer programs and no padding atoms to speak of.

    Args:
        energy: an energy or a descriptor set, anything with `needs`.
        skin: of the lists, in Å.

    >>> import jax, miniffx as mff
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> energy, buckets = jax.jit(lj), mff.Buckets(lj)
    >>> for n in (5, 7, 9):
    ...     chain = mff.Structure.create([[0, 0, 3.8 * k] for k in range(n)], ["Ar"] * n)
    ...     value = energy(*buckets(chain))
    >>> energy._cache_size()
    1
    """

    def __init__(self, energy: Any, skin: float = 0.0) -> None:
        self._needs: Needs = energy.needs
        self._skin = skin
        self._shared: dict[Any, Capacity] = {}

    def __call__(self, structure: Structure) -> tuple[Structure, NeighborList]:
        """The padded structure and its neighbour list. Rows of padding atoms come last and hold zeros."""
        kind = (structure.labels, structure.pbc)
        padded = structure.pad(max(64, 1 << (structure.n_atoms - 1).bit_length()))
        counts = np.bincount(np.asarray(structure.species_index), minlength=len(structure.labels))
        rows = tuple(min(max(64, 1 << int(n - 1).bit_length()), padded.n_atoms) if n else 0 for n in counts.tolist())
        shared = self._shared.get(kind)
        capacity = None if shared is None else dataclasses.replace(shared, rows=rows)
        neighbors = self._needs.host_neighbor_list(padded, self._skin, capacity)
        if neighbors.capacity != capacity:
            self._shared[kind] = capacity = dataclasses.replace(neighbors.capacity.enlarged(1.25), rows=rows)
            neighbors = self._needs.host_neighbor_list(padded, self._skin, capacity)
        return padded, on_device(neighbors)
