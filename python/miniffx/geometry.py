"""Displacements, norms and cosines with finite derivatives everywhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from miniffx.neighbors import Array, Environments
from miniffx.structure import Structure


def displacements(structure: Structure, environments: Environments) -> Array:
    """[rows, n_columns, 3]: D = r_j + shift · cell − r_i in Å; 0 where padded (module :mod:`miniffx.neighbors`)."""
    positions, cell = jnp.asarray(structure.positions), jnp.asarray(structure.cell)
    if positions.shape[0] == 0 or environments.neighbors.size == 0:
        return jnp.zeros((*environments.neighbors.shape, 3), positions.dtype)
    shifts = environments.shifts.astype(positions.dtype)
    # Three products and sums rather than a matrix product: they fuse, and no device rounds them down.
    images = shifts[..., 0:1] * cell[0] + shifts[..., 1:2] * cell[1] + shifts[..., 2:3] * cell[2]
    center = jnp.minimum(environments.centers, positions.shape[0] - 1)  # padding rows: any atom will do
    return (positions[environments.neighbors] - positions[center][:, None, :]) + images


def norm(vectors: Array) -> Array:
    """The length of vectors along the last axis, with the derivative 0 (rather than NaN) at length 0."""
    squared = (vectors * vectors).sum(axis=-1)
    nonzero = squared > 0
    return jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, squared, 1)), 0)


def power(base: Array, exponent: float) -> Array:
    """base**exponent for base ≥ 0 (clipped at 0), with derivatives 0 rather than NaN at base 0.

    A whole exponent becomes multiplications.
    """
    if float(exponent).is_integer() and exponent >= 0:
        return jax.lax.integer_pow(base, int(exponent))
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1) ** exponent, 0)
