"""Angular descriptors that are products, evaluated together: what several of them have in common is computed once.

A triple costs one exponential for each pair of (η, r_s), a few multiplications for each (λ, ζ), and one
multiplication for each descriptor, whatever the number of descriptors that share these.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx.descriptors.descriptor import Product
from miniffx.neighbors import Array, Environments

Factor = Callable[..., Array]


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
    together: dict[tuple[Any, ...], list[tuple[Member, Any]]] = {}
    result = {member.place: jnp.zeros(displacements.shape[0], displacements.dtype) for member in members}
    for member in members:
        descriptor = member.descriptor
        for kind, weight in descriptor.kinds(labels):
            key = (kind, descriptor.cutoff, descriptor.closed)
            together.setdefault(key, []).append((member, weight))
    for (kind, cutoff, closed), weighted in together.items():
        group = [member for member, _ in weighted]
        values = _sums_of_kind(group, displacements, environments, kind, cutoff, closed)
        for (member, weight), value in zip(weighted, values, strict=True):
            result[member.place] = result[member.place] + weight * value
    return result


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
    triples = mapping.angles_of(legs, displacements, environments, kind, cutoff, closed)

    needed = environments.triples[environments.triple_kinds.index(kind)].counts.max(initial=0) > 0

    def with_third_side(r3: Array, both_legs: list[Array]) -> list[Array]:
        return [both * leg(r3) for both, leg in zip(both_legs, legs, strict=True)]

    def with_angles(cos_theta: Array, weights: list[Array]) -> list[Array]:
        of_angle = [angle(cos_theta) for angle in angles]
        return [(weights[m] * of_angle[k]).sum(axis=-1) for m, k in zip(leg_of, angle_of, strict=True)]

    weights = triples.legs
    if closed:
        weights = mapping.apart(needed, with_third_side, triples.r3, weights)
    return list(mapping.apart(needed, with_angles, triples.cos_theta, weights))


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
        self.fields[name] = _identity(value)
        return value


def _identity(value: Any) -> Hashable:
    """Equal for equal numbers. An array inside jit is equal to itself only, so that each has its own derivative."""
    if isinstance(value, (int, float, str, bool)):
        return (type(value).__name__, value)
    if _checks.is_traced(value) or jnp.ndim(value):
        return ("array", id(value))
    return ("float", float(value))
