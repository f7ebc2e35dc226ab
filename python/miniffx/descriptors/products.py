"""Angular descriptors that are products, evaluated together: what several of them have in common is computed once.

A triple costs one exponential for each pair of (η, r_s), a few multiplications for each (λ, ζ), and one
multiplication for each descriptor, whatever the number of descriptors that share these. Those whose angle is a
polynomial visit no triple (`moments.py`).
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx.descriptors import moments
from miniffx.descriptors.angles import (
    AnglesWithSlopes,
    LegsWithSlopes,
    adding_to_legs,
    angles_of,
    angles_with_slopes,
    anything,
    apart,
)
from miniffx.descriptors.descriptor import Product
from miniffx.neighbors import Array, Environments

Factor = Callable[..., Array]
Pull = Callable[[dict[int, Array]], Array]


class Member(NamedTuple):
    """A descriptor of a set: as the user made it, whose numbers tell what is shared, and in the dtype of the positions.

    `place` is where it stands among the results.
    """

    place: int
    original: Product
    descriptor: Product


def sums(
    members: Sequence[Member], displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> dict[int, Array]:
    """{place: [rows]} of all members, as each one's own :meth:`Descriptor.sums` would give it."""
    result = {member.place: jnp.zeros(displacements.shape[0], displacements.dtype) for member in members}
    for (kind, cutoff, closed, by_triples), weighted in _together(members, labels).items():
        group = [member for member, _ in weighted]
        if by_triples:
            values = _sums_of_kind(group, displacements, environments, kind, cutoff, closed)
        else:
            values = _sums_by_moments(group, displacements, environments, kind, cutoff)
        for (member, weight), value in zip(weighted, values, strict=True):
            result[member.place] = result[member.place] + weight * value
    return result


def _together(
    members: Sequence[Member], labels: tuple[str, ...]
) -> dict[tuple[tuple[int, int], float, bool, bool], list[tuple[Member, float | Array]]]:
    """Members and weights for each (kind of triples, cutoff, whether closed, whether triples are visited)."""
    together: dict[tuple[tuple[int, int], float, bool, bool], list[tuple[Member, float | Array]]] = {}
    for member in members:
        descriptor = member.descriptor
        for kind, weight in descriptor.kinds(labels):
            key = (kind, descriptor.cutoff, descriptor.closed, descriptor.degree is None)
            together.setdefault(key, []).append((member, weight))
    return together


def _sums_of_kind(
    group: Sequence[Member],
    displacements: Array,
    environments: Environments,
    kind: tuple[int, int],
    cutoff: float,
    closed: bool,
) -> list[Array]:
    """[rows] for each descriptor of one kind of triples and one cutoff."""
    legs, leg_of = _distinct(group, "leg")
    angles, angle_of = _distinct(group, "angle")
    triples = angles_of(legs, displacements, environments, kind, cutoff, closed)

    needed = anything(environments.triples[environments.triple_kinds.index(kind)].counts)

    def with_third_side(r3: Array, both_legs: list[Array]) -> list[Array]:
        return [both * leg(r3) for both, leg in zip(both_legs, legs, strict=True)]

    weights = triples.legs
    if closed:
        weights = apart(needed, with_third_side, triples.r3, weights)
    return list(apart(needed, _with_angles(angles, leg_of, angle_of), triples.cos_theta, weights))


def _with_angles(angles: list[Factor], leg_of: list[int], angle_of: list[int]) -> Callable[..., list[Array]]:
    """A function of cos θ and of products of legs [rows, n_triples], to sums [rows] for each descriptor."""

    def sums(cos_theta: Array, of_legs: list[Array]) -> list[Array]:
        of_angle = [angle(cos_theta) for angle in angles]
        return [(of_legs[m] * of_angle[k]).sum(axis=-1) for m, k in zip(leg_of, angle_of, strict=True)]

    return sums


def sums_with_pull(
    members: Sequence[Member], displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> tuple[dict[int, Array], Pull]:
    """The sums, and the function that takes {place: ∂E/∂G [rows]} of all members to ∂E/∂D [rows, n_columns, 3].

    What derivatives read of a triple is computed along with the sums, and what multiplies the same displacement is
    summed over all members before it is added up.
    """
    result = {member.place: jnp.zeros(displacements.shape[0], displacements.dtype) for member in members}
    pulls = []
    for (kind, cutoff, closed, by_triples), weighted in _together(members, labels).items():
        group = [member for member, _ in weighted]
        if by_triples:
            values, pull_kind = _sums_of_kind_with_pull(group, displacements, environments, kind, cutoff, closed)
        else:
            by_moments = functools.partial(_sums_by_moments, group, environments=environments, kind=kind, cutoff=cutoff)
            values, pull_kind = _with_pull(by_moments, displacements)
        pulls.append((weighted, pull_kind))
        for (member, weight), value in zip(weighted, values, strict=True):
            result[member.place] = result[member.place] + weight * value

    def pull(cotangents: dict[int, Array]) -> Array:
        total = jnp.zeros_like(displacements)
        for weighted, pull_kind in pulls:
            total = total + pull_kind([weight * cotangents[member.place] for member, weight in weighted])
        return total

    return result, pull


def jacobians(
    members: Sequence[Member], displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> dict[int, Array]:
    """{place: ∂G/∂D [rows, n_columns, 3]} of all members, of which none has a degree."""
    result = {member.place: jnp.zeros_like(displacements) for member in members}
    for (kind, cutoff, closed, _), weighted in _together(members, labels).items():
        group = [member for member, _ in weighted]
        slopes = _jacobians_of_kind(group, displacements, environments, kind, cutoff, closed)
        for (member, weight), slope in zip(weighted, slopes, strict=True):
            result[member.place] = result[member.place] + weight * slope
    return result


def _with_pull(function: Callable[[Array], Any], displacements: Array) -> tuple[Any, Callable[[Any], Array]]:
    """The value of a function of displacements, and the function from cotangents of the value to theirs."""
    value, pull = jax.vjp(function, displacements)
    return value, lambda cotangents: pull(cotangents)[0]


def _sums_of_kind_with_pull(
    group: Sequence[Member],
    displacements: Array,
    environments: Environments,
    kind: tuple[int, int],
    cutoff: float,
    closed: bool,
) -> tuple[list[Array], Callable[[list[Array]], Array]]:
    """[rows] for each of the group as :func:`_sums_of_kind`, and from cotangents of these to [rows, n_columns, 3]."""
    legs, leg_of = _distinct(group, "leg")
    angles, angle_of = _distinct(group, "angle")
    triples = angles_with_slopes(legs, displacements, environments, kind, cutoff, closed)
    needed = anything(environments.triples[environments.triple_kinds.index(kind)].counts)
    add_to_legs = adding_to_legs(displacements, environments, kind)

    def factors(triples: AnglesWithSlopes, cotangents: list[Array]) -> tuple[Array, Array, Array]:
        of_angle = [_with_slope(angle, triples.cos_theta) for angle in angles]
        values, slopes = ([jnp.zeros_like(triples.cos_theta)] * len(legs) for _ in range(2))
        for m, k, cotangent in zip(leg_of, angle_of, cotangents, strict=True):
            value, slope = of_angle[k]
            values[m] = values[m] + cotangent[:, None] * value
            slopes[m] = slopes[m] + cotangent[:, None] * slope
        return _what_multiplies(triples, triples.legs, values, slopes)

    def pull(cotangents: list[Array]) -> Array:
        return add_to_legs(*apart(needed, factors, triples, cotangents))

    of_legs = [leg.product for leg in triples.legs]
    return apart(needed, _with_angles(angles, leg_of, angle_of), triples.cos_theta, of_legs), pull


def _what_multiplies(
    triples: AnglesWithSlopes, legs: Sequence[LegsWithSlopes], values: Sequence[Array], slopes: Sequence[Array]
) -> tuple[Array, Array, Array]:
    """own₁, own₂ and other [rows, n_triples] of Σ A P over the legs, given A and A' for each.

    With P = L(r₁) L(r₂) L(r₃) and legs D₁ and D₂, a term A P of one triple changes with D₁ by

        D₁ [A (∂P/∂r₁ / r₁ + ∂P/∂r₃ / r₃) − A' P cos θ / r₁²] + D₂ [A' P / (r₁ r₂) − A ∂P/∂r₃ / r₃],

    and with D₂ likewise: own₁ D₁ + other D₂, and own₂ D₂ + other D₁.
    """
    turn, own_first, own_second, other = (jnp.zeros_like(triples.cos_theta) for _ in range(4))
    for leg, value, slope in zip(legs, values, slopes, strict=True):
        turn = turn + slope * leg.product * triples.turns
        own_first = own_first + value * (leg.first + leg.third)
        own_second = own_second + value * (leg.second + leg.third)
        other = other - value * leg.third
    own_first = own_first - turn * triples.cos_theta * triples.inverse1**2
    own_second = own_second - turn * triples.cos_theta * triples.inverse2**2
    return own_first, own_second, other + turn * triples.inverse1 * triples.inverse2


def _with_slope(angle: Factor, cos_theta: Array) -> tuple[Array, Array]:
    """A(cos θ) and A'."""
    return jax.jvp(angle, (cos_theta,), (jnp.ones_like(cos_theta),))


def _jacobians_of_kind(
    group: Sequence[Member],
    displacements: Array,
    environments: Environments,
    kind: tuple[int, int],
    cutoff: float,
    closed: bool,
) -> Array:
    """[len(group), rows, n_columns, 3]."""
    legs, leg_of = _distinct(group, "leg")
    angles, angle_of = _distinct(group, "angle")
    triples = angles_with_slopes(legs, displacements, environments, kind, cutoff, closed)
    of_angle = [_with_slope(angle, triples.cos_theta) for angle in angles]
    values, slopes = (jnp.stack(parts) for parts in zip(*of_angle, strict=True))
    every_leg = jax.tree.map(lambda *parts: jnp.stack(parts), *triples.legs)

    add_to_legs = adding_to_legs(displacements, environments, kind)
    needed = anything(environments.triples[environments.triple_kinds.index(kind)].counts)

    def factors(m: Array, k: Array) -> tuple[Array, Array, Array]:
        leg = jax.tree.map(lambda part: part[m], every_leg)
        return _what_multiplies(triples, [leg], [values[k]], [slopes[k]])

    def one(which: tuple[Array, Array]) -> Array:
        return add_to_legs(*apart(needed, factors, *which))

    return jax.lax.map(one, (jnp.asarray(leg_of), jnp.asarray(angle_of)))


def _sums_by_moments(
    group: Sequence[Member], displacements: Array, environments: Environments, kind: tuple[int, int], cutoff: float
) -> list[Array]:
    """As :func:`_sums_of_kind`, of open triples."""
    legs, leg_of = _distinct(group, "leg")
    degree = [0] * len(legs)
    for member, m in zip(group, leg_of, strict=True):
        degree[m] = max(degree[m], member.original.degree or 0)
    of_species = {
        b: [
            moments.moments(leg, p, displacements, environments, b, cutoff) for leg, p in zip(legs, degree, strict=True)
        ]
        for b in set(kind)
    }
    first, second = (of_species[b] for b in kind)
    return [
        moments.sum_over_pairs_of_neighbors(member.descriptor.coefficients(), first[m], second[m])
        for member, m in zip(group, leg_of, strict=True)
    ]


def _distinct(group: Sequence[Member], name: str) -> tuple[list[Factor], list[int]]:
    """The different functions of this name, and which of them is that of each descriptor."""
    found: dict[Hashable, int] = {}
    functions: list[Factor] = []
    which = []
    for member in group:
        reading = _Reading(member.original)
        function = getattr(member.descriptor, name)
        # Evaluated for what it reads; nothing is computed.
        jax.eval_shape(lambda r=reading: getattr(r, name)(1.0))
        key = (getattr(type(member.original), name), *sorted(reading.fields.items()))
        if key not in found:
            found[key] = len(functions)
            functions.append(function)
        which.append(found[key])
    return functions, which


class _Reading:
    """Stands for a descriptor while a function of it runs, and notes the parameters that the function reads."""

    def __init__(self, descriptor: Product) -> None:
        self.descriptor = descriptor
        self.fields: dict[str, Hashable] = {}

    def __getattr__(self, name: str) -> Any:
        of_class = getattr(type(self.descriptor), name, None)
        if isinstance(of_class, types.FunctionType):
            return types.MethodType(of_class, self)
        value = getattr(self.descriptor, name)
        self.fields[name] = identity(value)
        return value


def identity(value: Any) -> Hashable:
    """Equal for equal numbers. An array inside jit is equal to itself only, so that each has its own derivative."""
    if isinstance(value, (str, bool)):
        return (type(value).__name__, value)
    if _checks.is_traced(value):
        return ("traced", id(value))
    if jnp.ndim(value):
        array = np.asarray(value)
        return ("array", str(array.dtype), array.shape, array.tobytes())
    return ("float", float(value))
