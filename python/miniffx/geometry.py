"""Displacements, norms and cosines with finite derivatives everywhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from miniffx.neighbors import Array, Environments
from miniffx.structure import Structure


def displacements(structure: Structure, environments: Environments, columns: slice = slice(None)) -> Array:
    """[rows, n_columns, 3]: D = r_j + shift · cell − r_i in Å; 0 where padded (module :mod:`miniffx.neighbors`).

    `columns`: only these, so that a function of one species pair neither gathers nor scatters for the others.
    """
    positions, cell = jnp.asarray(structure.positions), jnp.asarray(structure.cell)
    neighbors, shifts = environments.neighbors[:, columns], environments.shifts[:, columns].astype(positions.dtype)
    if positions.shape[0] == 0 or neighbors.size == 0:
        return jnp.zeros(shifts.shape, positions.dtype)
    # Three products and sums rather than a matrix product: they fuse, and no device rounds them down.
    images = shifts[..., 0:1] * cell[0] + shifts[..., 1:2] * cell[1] + shifts[..., 2:3] * cell[2]
    center = jnp.minimum(environments.centers, positions.shape[0] - 1)  # padding rows: any atom will do
    apart = positions[neighbors] - positions[center][:, None, :]
    # From an atom to its own image the positions drop out: so exactly nothing pulls at it, in any precision.
    return jnp.where((neighbors == center[:, None])[..., None], 0, apart) + images


def norm(vectors: Array) -> Array:
    """The length of vectors along the last axis, with the derivative 0 (rather than NaN) at length 0."""
    return root((vectors * vectors).sum(axis=-1))


def root(squared: Array) -> Array:
    """The square root, with the derivative 0 (rather than infinity) at 0."""
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
