"""Functions of the rows of an Environments, few rows at a time, with their derivatives by displacements."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from miniffx.neighbors import Array, Environments

BLOCK = {"cpu": 60_000}  # numbers per array that stay in a core's cache


def in_blocks(function: Callable[..., Any], displacements: Array, environments: Environments) -> Any:
    """``function(displacements, environments)``, whose results have a row for each row, few rows at a time.

    So what is computed on the way stays in the cache, and takes no memory to speak of: derivatives compute it again.
    The environments that the function gets lack centres, neighbours and shifts. On other devices all rows at once.
    """
    unread: Any = {"centers": None, "neighbors": None, "shifts": None}
    environments = dataclasses.replace(environments, **unread)
    rows = displacements.shape[0]
    width = max([displacements.shape[1], 1, *(slots.first.shape[-1] for slots in environments.triples)])
    block = BLOCK.get(jax.default_backend())
    count = 1 if block is None else min(-(-rows * width // block), rows)
    if count <= 1:
        return function(displacements, environments)
    parts = split_rows((displacements, environments), rows, count)
    results = jax.lax.map(jax.checkpoint(lambda part: function(*part)), parts)
    return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])[:rows], results)


def in_one_pass(
    function: Callable[..., Array],
    with_slopes: Callable[..., tuple[Array, Array]],
    parameters: Any,
    displacements: Array,
    environments: Environments,
) -> Array:
    """``function(parameters, displacements, environments)`` [rows] in blocks; each row depends on its own D alone.

    `with_slopes` gives the same numbers, and their derivatives by displacements [rows, n_columns, 3]. Where only
    positions are differentiated it takes the place of the function, so that derivatives compute no part again;
    parameters, and whatever is differentiated further, are JAX's. Neither function may close over what is traced.
    """

    def plain(parameters: Any, displacements: Array, environments: Environments) -> Array:
        return in_blocks(functools.partial(function, parameters), displacements, environments)

    def values_and_changes(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
        parameters, displacements, environments = primals
        changes, moves, _ = tangents
        if all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(changes)):
            values, slopes = in_blocks(functools.partial(with_slopes, parameters), displacements, environments)
            return values, (slopes * moves).sum(axis=(1, 2)).astype(values.dtype)
        changes, moves = jax.tree.map(_instantiated, (changes, moves))
        return jax.jvp(lambda p, d: plain(p, d, environments), (parameters, displacements), (changes, moves))

    values = jax.custom_jvp(plain)
    values.defjvp(values_and_changes, symbolic_zeros=True)
    return values(parameters, displacements, environments)


def _instantiated(tangent: Any) -> Any:
    return np.zeros(tangent.shape, tangent.dtype) if isinstance(tangent, SymbolicZero) else tangent


def split_rows(tree: Any, rows: int, count: int) -> Any:
    """Leaves [rows, ...] as [parts, size, ...], about `count` parts, filled up with zeros where none come out even."""
    count = next((n for n in range(count, 2 * count) if rows % n == 0), count)
    size = -(-rows // count)

    def split(leaf: Array) -> Array:
        fill = ((0, count * size - rows), *[(0, 0)] * (leaf.ndim - 1))
        return (jnp.pad(leaf, fill) if count * size > rows else leaf).reshape(count, size, *leaf.shape[1:])

    return jax.tree.map(split, tree)
