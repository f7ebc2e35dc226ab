"""Nasty structures, each a function. Species are Si and O; lengths in Å; random numbers have fixed seeds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from miniffx import NeighborList, Structure, neighbor_list
from miniffx.neighbors import Capacity

LABELS = ("O", "Si")


def molecule() -> Structure:
    """Five atoms without a cell."""
    positions = [[0, 0, 0], [1.62, 0.11, 0], [-0.58, 1.53, 0.1], [-0.49, -0.83, 1.31], [3.05, 0.62, 0.71]]
    return Structure.create(positions, ["Si", "O", "O", "O", "Si"])


def one_atom() -> Structure:
    """One atom in an oblique cell with edges of 2.3 Å: all its neighbours are its own images."""
    return Structure.create([[0.4, -0.3, 9.1]], ["Si"], cell=[[2.3, 0.1, 0], [-0.4, 2.25, 0.2], [0.5, 0.3, 2.3]])


def thin() -> Structure:
    """Two atoms in a skewed cell with edges of 4.9 to 6.2 Å and a height of 0.49 Å.

    No two atoms are closer than 1.9 Å for all that: the images interlock.
    """
    cell = [[4.9, 0, 0], [2.0, 4.6, 0], [-4.9, 3.8, 0.49]]
    return Structure.create([[0.1, 0.2, 0.0], [1.3, 2.5, 0.47]], ["Si", "O"], cell=cell)


def slab() -> Structure:
    """Six atoms, periodic in two directions, with a vacuum of 9 Å in the third, and a tilted third vector."""
    rng = np.random.default_rng(1)
    grid = np.array([[0, 0, 0], [1.9, 0, 0.1], [0, 1.9, 0.1], [1.9, 1.9, 0], [0.9, 0.8, 1.6], [2.8, 2.9, 1.7]])
    cell = [[3.8, 0, 0], [0.3, 3.9, 0], [1.0, 0.5, 11.0]]
    positions = grid + rng.normal(scale=0.05, size=(6, 3)) + [0, 0, 4.0]
    return Structure.create(positions, ["Si", "O", "O", "Si", "O", "Si"], cell=cell, pbc=(True, True, False))


def two_species() -> Structure:
    """Eight atoms of a rattled rock-salt bulk, half Si and half O, with an edge shorter than twice the cutoffs."""
    rng = np.random.default_rng(2)
    sites = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) / 2
    positions = 4.1 * sites + rng.normal(scale=0.08, size=(8, 3))
    return Structure.create(positions, ["Si"] * 4 + ["O"] * 4, cell=[[4.1, 0.1, 0], [0, 4.1, 0.2], [-0.1, 0, 4.1]])


def far_outside() -> Structure:
    """The two-species bulk with every atom moved by its own, up to thousands of, lattice vectors."""
    structure = two_species()
    turns = np.random.default_rng(3).integers(-4000, 4000, size=(structure.n_atoms, 3))
    cell = np.asarray(structure.cell, dtype=np.float64)
    return Structure.create(
        np.asarray(structure.positions, dtype=np.float64) + turns @ cell, structure.species, cell=cell
    )


def silicon() -> Structure:
    """Eight atoms of rattled diamond silicon."""
    rng = np.random.default_rng(4)
    corners = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]]) / 4
    positions = 5.431 * np.concatenate([corners, corners + 0.25]) + rng.normal(scale=0.1, size=(8, 3))
    return Structure.create(positions, ["Si"] * 8, cell=[5.431] * 3)


def left_handed() -> Structure:
    """Three atoms in a cell whose lattice vectors form a left-handed system."""
    cell = [[0.2, 3.4, 0], [3.3, 0, -0.3], [0.4, 0.1, 3.6]]
    positions = [[0, 0, 0], [1.8, 1.6, 0.2], [0.3, 1.9, 1.9]]
    return Structure.create(positions, ["O", "Si", "Si"], cell=cell)


ALL = (molecule, one_atom, thin, slab, two_species, far_outside, silicon, left_handed)


def resolved() -> list[Callable[[], Structure]]:
    """All but, in single precision, the one thousands of cells from the origin, where no distance survives."""
    return [make for make in ALL if make is not far_outside or jax.config.jax_enable_x64]


def in_one_shape(
    structures: list[Structure], energy: Any, extra: float = 0.05, any_axes: bool = True
) -> list[tuple[Structure, NeighborList]]:
    """The structures with their lists, all padded alike, so that one compiled program serves them all.

    The lists hold what the energy (or descriptor set) reads, up to `extra` Å beyond its cutoffs. Most energies do
    not look at the periodic axes but at the shifts in the list: so these are declared alike, too, once the list is
    made, unless `any_axes` is False.
    """
    needs = energy.needs
    labels = tuple(sorted({label for structure in structures for label in structure.labels}))
    size = max(structure.n_atoms for structure in structures)
    padded = [structure.relabel(labels).pad(size) for structure in structures]

    def list_of(structure: Structure, capacity: Capacity | None) -> NeighborList:
        return neighbor_list(
            structure,
            float(needs.cutoff) + extra,
            triple_cutoff=None if needs.triple_cutoff is None else float(needs.triple_cutoff) + extra,
            closed=needs.closed,
            triple_species=needs.triple_species,
            capacity=capacity,
        )

    lists = [list_of(structure, None) for structure in padded]
    largest = functools.reduce(Capacity.union, (nl.capacity for nl in lists))
    lists = [list_of(structure, largest) for structure in padded]
    if not any_axes:
        return list(zip(padded, lists, strict=True))
    alike = (False, False, False)
    return [
        (dataclasses.replace(structure, pbc=alike), dataclasses.replace(nl, pbc=alike))
        for structure, nl in zip(padded, lists, strict=True)
    ]
