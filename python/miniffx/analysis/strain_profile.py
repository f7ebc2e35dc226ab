"""Energy and stress along a strain."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx.derivatives import energy_forces_stress
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure


class StrainProfile(NamedTuple):
    """What :func:`strain_profile` returns, [n_strains] each.

    `strains` s; `energies` E(s) in eV; `stresses` (1/V₀) dE/ds in eV/Å³, V₀ the volume at s = 0: positive where the
    structure pulls back.
    """

    strains: np.ndarray
    energies: Array
    stresses: Array


def strain_profile(energy: Any, structure: Structure, strains: Any, direction: Any = (1, 1, 1)) -> StrainProfile:
    """The energy of a structure strained more and more, atoms moving along with the cell.

    With three numbers d as direction, the lattice vectors become (1 + s d_k) a_k, the fractional coordinates staying
    what they are: (1, 1, 1) is the same expansion of all, (0, 0, 1) stretches the third. With a matrix,
    r → (1 + s d) r, any strain: ``np.outer(n, n)`` for a unit vector n stretches along n.

    Args:
        energy: an energy with a :meth:`neighbor_list`.
        structure: with a cell of three independent vectors. Lists for all strains are held at once.
        strains: [n] numbers s, 0 for the structure as it is.
        direction: d, [3] or [3, 3].

    Returns:
        StrainProfile, which unpacks into (strains, energies, stresses).

    Raises:
        ValueError: wrong shapes, a structure without a volume, a strain that turns the cell inside out, or one that the
            energy is not for, such as a cell too large for an Ewald sum's `k_max` or mesh; an energy without a
            `neighbor_list`.

    >>> import miniffx as mff, numpy as np
    >>> from ase.build import bulk
    >>> si, sw = mff.Structure.from_ase(bulk("Si", a=5.431)), mff.potentials.stillinger_weber("Si")
    >>> profile = mff.strain_profile(sw, si, np.linspace(-0.02, 0.02, 5))
    >>> int(profile.energies.argmin()), [round(float(profile.stresses[k]), 3) for k in (0, 4)]
    (2, [-0.121, 0.108])
    """
    _checks.with_list(energy)
    _checks.structure(structure)
    strains = _checks.array("strains", strains, (None,), "an array of strains")
    shape = (3, 3) if np.ndim(direction) == 2 else (3,)
    direction = _checks.array("direction", direction, shape, "three weights of lattice vectors, or a 3 × 3 strain")
    cell = np.asarray(structure.cell, dtype=np.float64)
    if not abs(np.linalg.det(cell)) > 0:
        raise ValueError(f"`structure` must have a cell of three independent vectors, got {cell.tolist()}")
    if direction.ndim == 1:
        direction = np.linalg.solve(cell, direction[:, None] * cell).T  # r → r (1 + s dᵀ) is A → (1 + s diag) A
    flattened = strains[np.linalg.det(np.eye(3) + strains[:, None, None] * direction) <= 1e-9]
    if len(flattened):
        raise ValueError(f"`strains` must leave the cell a positive volume, got {flattened[0]}")
    structure = jax.tree.map(jnp.asarray, structure)
    values = jnp.asarray(strains, structure.positions.dtype)
    strained = jax.vmap(lambda s: structure.strain(s * direction))(values)
    energies, stresses = _along(energy, structure, strained, energy.neighbor_list(strained), values, direction)
    for failed in np.flatnonzero(np.isnan(energies))[:1]:  # outside jit an energy says what it lacks
        one = structure.strain(values[failed] * direction)
        energy(one, energy.neighbor_list(one))
    return StrainProfile(strains, energies, stresses)


@jax.jit
def _along(
    energy: Any, structure: Structure, strained: Structure, neighbors: NeighborList, strains: Array, direction: Array
) -> tuple[Array, Array]:
    """(E, (1/V₀) dE/ds) of each: with F = 1 + s d, dE/ds = V σ : (d F⁻¹)."""

    def at(structure: Structure, neighbors: NeighborList, s: Array) -> tuple[Array, Array]:
        value, _, stress = energy_forces_stress(energy)(structure, neighbors)
        change = jnp.asarray(direction, stress.dtype)
        deformation = jnp.eye(3, dtype=stress.dtype) + s * change
        rate = jnp.linalg.solve(deformation.T, change.T).T
        return value, structure.volume * (stress * rate).sum()

    energies, slopes = jax.vmap(at)(strained, neighbors, strains)
    return energies, slopes / structure.volume
