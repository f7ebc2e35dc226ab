"""Elastic constants: second derivatives of an energy in strains, with the atoms clamped or following."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from miniffx import _checks
from miniffx.derivatives import EnergyFunction
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # xx yy zz yz xz xy


def elastic_constants(energy: Any, structure: Structure, relaxed: bool = True) -> Array:
    """C = (1/V) ∂²E/∂ε∂ε of a crystal at rest: [6, 6] in eV/Å³, Voigt order xx yy zz yz xz xy.

    With u the internal displacements of the atoms,

        C = (1/V) (E_εε − E_εu E_uu⁻¹ E_uε),

    and without the second term (`relaxed` False) for clamped ions: Born and Huang, Dynamical Theory of Crystal
    Lattices (1954), section 11. Shear strains are engineering strains (ε_4 = 2 ε_yz). The crystal must be at
    equilibrium: positions relaxed and stress zero. Divide by ``ase.units.GPa`` for GPa.

    Args:
        energy: an energy with a :meth:`neighbor_list`.
        structure: with a cell; second derivatives in all positions are formed, so a few hundred atoms at most.
        relaxed: whether the atoms follow the strain.

    Raises:
        ValueError: the cell has no volume; a batch; an energy without a `neighbor_list`.
    """
    _checks.with_list(energy)
    _checks.structure(structure)
    if structure.positions.ndim != 2:
        raise ValueError(f"`structure` must be one structure, got a batch of {structure.positions.shape[0]}")
    if not float(structure.volume) > 0:
        raise ValueError(f"`structure` must have a cell of three independent vectors, got {structure.cell.tolist()}")
    return _elastic(energy, structure, energy.neighbor_list(structure), relaxed)


def _of_strain(energy: EnergyFunction, structure: Structure, neighbors: NeighborList) -> Any:
    """E(u, ε) for displacements u of all atoms but the first, and ε in Voigt order."""

    def compute(u: Array, voigt: Array) -> Array:
        eps = jnp.zeros((3, 3), voigt.dtype)
        for k, (a, b) in enumerate(VOIGT):
            eps = eps.at[a, b].add(voigt[k] / 2).at[b, a].add(voigt[k] / 2)
        strained = structure.strain(eps)
        # Moving all atoms together costs nothing: the first stays, so that the rest has a definite answer.
        return energy(dataclasses.replace(strained, positions=strained.positions.at[1:].add(u)), neighbors)

    return compute


@jax.jit
def _second_derivatives(energy: Any, structure: Structure, neighbors: NeighborList) -> Any:
    dtype = structure.positions.dtype
    compute = _of_strain(energy, structure, neighbors)
    return jax.hessian(compute, argnums=(0, 1))(jnp.zeros((structure.n_atoms - 1, 3), dtype), jnp.zeros(6, dtype))


def _elastic(energy: Any, structure: Structure, neighbors: NeighborList, relaxed: bool) -> Array:
    (uu, ue), (_, ee) = _second_derivatives(energy, structure, neighbors)
    if relaxed and structure.n_atoms > 1:
        n = 3 * (structure.n_atoms - 1)
        curvature = uu.reshape(n, n)
        # What nothing holds, padding too, does not answer.
        curvature += jnp.diag((curvature == 0).all(axis=1).astype(curvature.dtype))
        response = jnp.linalg.solve(curvature, ue.reshape(n, 6))
        ee = ee - jnp.matmul(ue.reshape(n, 6).T, response, precision=jax.lax.Precision.HIGHEST)
    return ee / structure.volume
