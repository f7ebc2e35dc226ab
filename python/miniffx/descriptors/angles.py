"""The triples that products of descriptors sum over, with what all of them read, computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from miniffx import geometry, mapping
from miniffx.neighbors import Array, Environments, TripleSlots


class Angles(NamedTuple):
    """The triples of one kind, [rows, n_triples] each.

    `r3` (Å) is the side opposite the centre, `cos_theta` the cosine there, both harmless where the triple does not
    count; `legs` are products of two legs' factors, 0 there.
    """

    r3: Array
    cos_theta: Array
    legs: list[Array]


def angles_of(
    leg_factors: list[mapping.PairFunction],
    displacements: Array,
    environments: Environments,
    kind: tuple[int, int],
    cutoff: float | Array,
    closed: bool,
) -> Angles:
    """The triples of :func:`miniffx.mapping.sum_over_triples`, with L(r_ij) L(r_ik) for each L of `leg_factors`."""
    slots = environments.triples[environments.triple_kinds.index(kind)]
    needed = anything(slots.counts)

    r = geometry.norm(displacements)
    near = r < cutoff
    safe = jnp.where(near, r, mapping.harmless(cutoff, r.dtype))
    columns = [
        *jnp.moveaxis(displacements, -1, 0),
        jnp.where(r > 0, 1 / jnp.where(r > 0, r, 1), 0),
        *(jnp.where(near, factor(safe), 0) for factor in leg_factors),
    ]

    def combine(one: list[Array], two: list[Array]) -> Angles:
        x1, y1, z1, inverse1, *legs1 = one
        x2, y2, z2, inverse2, *legs2 = two
        x, y, z = x2 - x1, y2 - y1, z2 - z1
        r3 = geometry.root(x * x + y * y + z * z)
        inside = mapping.real_triples(slots)
        if closed:
            inside &= r3 < cutoff
        # Atoms on top of the centre have no angle, and get that of an equilateral triangle, as masked ones do.
        away = inside & (inverse1 > 0) & (inverse2 > 0)
        cos_theta = jnp.where(away, (x1 * x2 + y1 * y2 + z1 * z2) * inverse1 * inverse2, 0.5)
        return Angles(
            jnp.where(inside, r3, mapping.harmless(cutoff, r3.dtype)),
            cos_theta,
            [jnp.where(inside, a * b, 0) for a, b in zip(legs1, legs2, strict=True)],
        )

    return apart(needed, combine, *apart(needed, functools.partial(_of_both_legs, slots), columns))


def _of_both_legs(slots: TripleSlots, columns: list[Array]) -> tuple[list[Array], list[Array]]:
    """[rows, n_triples] of the first legs, and of the second, for each of some numbers [rows, n_columns]."""
    first = [mapping.of_column(column, slots.first) for column in columns]
    return first, [mapping.of_column(column, slots.second) for column in columns]


class LegsWithSlopes(NamedTuple):
    """P = L(r₁) L(r₂) L(r₃), without r₃ where triples are open, and ∂P/∂r / r for each r: [rows, n_triples] each.

    All are 0 where a triple does not count.
    """

    product: Array
    first: Array
    second: Array
    third: Array


class AnglesWithSlopes(NamedTuple):
    """As :class:`Angles`, with what derivatives of products need: [rows, n_triples] each.

    `legs` are those of each L; `inverse1` and `inverse2` are 1/r₁ and 1/r₂; `turns` is 0 where there is no angle that
    could change, else 1.
    """

    cos_theta: Array
    inverse1: Array
    inverse2: Array
    turns: Array
    legs: list[LegsWithSlopes]


def angles_with_slopes(
    leg_factors: list[mapping.PairFunction],
    displacements: Array,
    environments: Environments,
    kind: tuple[int, int],
    cutoff: float | Array,
    closed: bool,
) -> AnglesWithSlopes:
    """The triples of :func:`miniffx.mapping.sum_over_triples`, for derivatives of products in closed form."""
    slots = environments.triples[environments.triple_kinds.index(kind)]

    def factors(r: Array, inverse: Array, inside: Array) -> list[tuple[Array, Array]]:
        """L and L'/r for each L."""
        safe = jnp.where(inside, r, mapping.harmless(cutoff, r.dtype))
        both = [jax.jvp(factor, (safe,), (jnp.ones_like(safe),)) for factor in leg_factors]
        return [(jnp.where(inside, value, 0), jnp.where(inside, slope * inverse, 0)) for value, slope in both]

    r = geometry.norm(displacements)
    inverse = jnp.where(r > 0, 1 / jnp.where(r > 0, r, 1), 0)
    columns = [
        *jnp.moveaxis(displacements, -1, 0),
        inverse,
        *(part for both in factors(r, inverse, r < cutoff) for part in both),
    ]

    def combine(one: list[Array], two: list[Array]) -> AnglesWithSlopes:
        x1, y1, z1, inverse1, *legs1 = one
        x2, y2, z2, inverse2, *legs2 = two
        x, y, z = x2 - x1, y2 - y1, z2 - z1
        r3 = geometry.root(x * x + y * y + z * z)
        inside = mapping.real_triples(slots)
        third = [(inside.astype(r3.dtype), jnp.zeros_like(r3))] * len(leg_factors)
        if closed:
            third = factors(r3, jnp.where(r3 > 0, 1 / jnp.where(r3 > 0, r3, 1), 0), inside & (r3 < cutoff))
        away = inside & (inverse1 > 0) & (inverse2 > 0)
        legs = []
        for n, (value3, slope3) in enumerate(third):
            value1, slope1, value2, slope2 = *legs1[2 * n : 2 * n + 2], *legs2[2 * n : 2 * n + 2]
            both = value1 * value2
            legs.append(
                LegsWithSlopes(both * value3, slope1 * value2 * value3, value1 * slope2 * value3, both * slope3)
            )
        cos_theta = jnp.where(away, (x1 * x2 + y1 * y2 + z1 * z2) * inverse1 * inverse2, 0.5)
        return AnglesWithSlopes(cos_theta, inverse1, inverse2, away.astype(r3.dtype), legs)

    needed = anything(slots.counts)
    return apart(needed, combine, *apart(needed, functools.partial(_of_both_legs, slots), columns))


def adding_to_legs(
    displacements: Array, environments: Environments, kind: tuple[int, int]
) -> Callable[[Array, Array, Array], Array]:
    """A function of own₁, own₂ and other [rows, n_triples] that adds up, for all triples of one kind,

    D₁ own₁ + D₂ other where the first leg of each has its column, D₂ own₂ + D₁ other where the second has:
    [rows, n_columns, 3].
    """
    slots = environments.triples[environments.triple_kinds.index(kind)]
    rows, width, _ = displacements.shape
    # What multiplies an atom's own D, and the components of the other's, side by side.
    of_column_four = jnp.pad(displacements, ((0, 0), (0, 0), (1, 0))).reshape(-1, 4)
    first, second = (
        columns + width * jnp.arange(rows, dtype=columns.dtype)[:, None] for columns in (slots.first, slots.second)
    )
    first_four, second_four = (of_column_four.at[flat].get(mode="clip") for flat in (first, second))

    def add(own_first: Array, own_second: Array, other: Array) -> Array:
        total = jnp.zeros((rows * width, 4), displacements.dtype)
        for flat, own, others in ((first, own_first, second_four), (second, own_second, first_four)):
            change = jnp.where(jnp.arange(4) == 0, own[..., None], other[..., None] * others)
            total = total.at[flat].add(change, mode="drop")
        total = total.reshape(rows, width, 4)
        return total[..., :1] * displacements + total[..., 1:]

    return add


def apart(needed: Array, function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, or zeros where it is not `needed`: on CPUs, a program of its own within the larger one.

    XLA computes a number again for each operation that reads it, if it fuses them; across a conditional it does not.
    Only `arguments` are kept for derivatives.
    """
    if jax.default_backend() != "cpu":
        return function(*arguments)
    function = jax.jit(function)  # its shapes and its program come from one trace
    nothing = jax.eval_shape(function, *arguments)

    def zeros(*_: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), nothing)

    return jax.lax.cond(needed, jax.checkpoint(function), zeros, *arguments)


@jax.custom_batching.custom_vmap
def anything(counts: Array) -> Array:
    """Whether there is anything to count: under vmap in any of the batch, so that a conditional remains one."""
    return counts.max(initial=0) > 0


@anything.def_vmap
def _anything_in_a_batch(axis_size: int, in_batched: list[bool], counts: Array) -> tuple[Array, bool]:
    return anything(counts), False
