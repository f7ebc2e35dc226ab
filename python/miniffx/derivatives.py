"""Energy → forces, stress, Hessian: the only place where an energy is differentiated.

Every function here takes any callable ``energy(structure, neighbors) -> scalar`` and returns a function of the
same arguments, which can be jitted, vmapped and differentiated further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure

EnergyFunction = Callable[[Structure, NeighborList], Array]


def forces(energy: EnergyFunction) -> Callable[[Structure, NeighborList], Array]:
    """F_i = −∂E/∂r_i: [n_atoms, 3] in eV/Å.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> float(mff.forces(lj)(argon, lj.neighbor_list(argon))[0, 2]) > 0    # beyond the minimum: attraction
    True
    """

    def compute(structure: Structure, neighbors: NeighborList) -> Array:
        return energy_and_forces(energy)(structure, neighbors)[1]

    return compute


def energy_and_forces(energy: EnergyFunction) -> Callable[[Structure, NeighborList], tuple[Array, Array]]:
    """(E, F): scalar in eV and [n_atoms, 3] in eV/Å."""

    def compute(structure: Structure, neighbors: NeighborList) -> tuple[Array, Array]:
        def of_positions(positions: Array) -> Array:
            return energy(dataclasses.replace(structure, positions=positions), neighbors)

        value, gradient = jax.value_and_grad(of_positions)(jnp.asarray(structure.positions))
        return value, -gradient

    return compute


def stress(energy: EnergyFunction) -> Callable[[Structure, NeighborList], Array]:
    """σ = (1/V) ∂E/∂ε at r → (1 + ε) r: [3, 3] in eV/Å³, symmetric, tension positive.

    V is the volume of the cell, of a slab's cell too. Raises ValueError for a structure whose cell has no
    volume (NaN inside jit).
    """

    def compute(structure: Structure, neighbors: NeighborList) -> Array:
        return energy_forces_stress(energy)(structure, neighbors)[2]

    return compute


def energy_forces_stress(
    energy: EnergyFunction,
) -> Callable[[Structure, NeighborList], tuple[Array, Array, Array]]:
    """(E, F, σ): scalar in eV, [n_atoms, 3] in eV/Å, [3, 3] in eV/Å³ (see :func:`stress`)."""

    def compute(structure: Structure, neighbors: NeighborList) -> tuple[Array, Array, Array]:
        _require_volume(structure)

        def of_strain(positions: Array, eps: Array) -> Array:
            moved = dataclasses.replace(structure, positions=positions).strain((eps + eps.T) / 2)
            return energy(moved, neighbors)

        positions = jnp.asarray(structure.positions)
        zero = jnp.zeros((3, 3), positions.dtype)
        value, (gradient, virial) = jax.value_and_grad(of_strain, argnums=(0, 1))(positions, zero)
        volume = structure.volume
        return value, -gradient, jnp.where(volume > 0, virial / jnp.where(volume > 0, volume, 1), jnp.nan)

    return compute


def hessian(energy: EnergyFunction) -> Callable[[Structure, NeighborList], Array]:
    """∂²E/∂r_i∂r_j: [n_atoms, 3, n_atoms, 3] in eV/Å²."""

    def compute(structure: Structure, neighbors: NeighborList) -> Array:
        def of_positions(positions: Array) -> Array:
            return energy(dataclasses.replace(structure, positions=positions), neighbors)

        return jax.hessian(of_positions)(jnp.asarray(structure.positions))

    return compute


def _require_volume(structure: Structure) -> Any:
    if not _checks.is_traced(structure.cell) and not np.all(np.asarray(structure.volume) > 0):
        raise ValueError(
            f"`structure` must have a cell of three independent vectors for a stress, got {structure.cell.tolist()}"
        )
