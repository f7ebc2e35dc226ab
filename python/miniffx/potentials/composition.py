"""Energies compose: what every potential can do, sums, multiples, and plain functions among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Capacity, Needs, NeighborList
from miniffx.structure import Structure

AnyRows = tuple[mapping.Rows | mapping.Pairs, ...]


class Energy:
    """What makes a potential an energy function: give it `needs` and `rows`, and it gets the rest.

    An energy is called as ``energy(structure, neighbors)`` and returns a scalar in eV.
    """

    _whole_numbers_become_floats = True  # as parameters, by `pytree`

    __array_ufunc__ = None  # NumPy's numbers leave multiplication to us, and its arrays do not multiply with energies

    @property
    def needs(self) -> Needs:
        """The pairs and triples that the energy reads."""
        raise NotImplementedError

    def rows(self, structure: Structure, neighbors: NeighborList) -> AnyRows:
        """Energies of atoms, species by species, in eV."""
        raise NotImplementedError

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar. Raises ValueError where the list cannot serve (NaN inside jit)."""
        rows, guard, rest = self._parts(structure, neighbors)
        return mapping.total(rows, structure) * guard + rest

    def _parts(self, structure: Structure, neighbors: NeighborList) -> tuple[AnyRows, Array, Array | float]:
        """Rows, the guard that belongs to their total, and what has no rows: so that the terms of a sum share work.

        An energy with a `__call__` of its own is called.
        """
        if type(self).__call__ is not Energy.__call__:
            return (), jnp.ones((), structure.positions.dtype), self(structure, neighbors)
        guard = self._guard(structure, neighbors)  # first: it says what is wrong with a list
        return mapping.cast(self, structure.positions.dtype).rows(structure, neighbors), guard, 0.0

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] energies in eV that sum to the total: half of a pair's to each atom, a triple's to its centre."""
        guard = self._guard(structure, neighbors)
        rows = mapping.cast(self, structure.positions.dtype).rows(structure, neighbors)
        return mapping.per_atom(rows, structure) * guard

    @cached_property  # and not a property, so that a subclass can have a field of this name
    def cutoff(self) -> float:
        """The largest distance at which two atoms interact directly, in Å."""
        return float(np.max(self.needs.cutoff))

    def neighbor_list(self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None) -> NeighborList:
        """The list with just the pairs and triples that this energy reads (:func:`miniffx.neighbor_list`)."""
        return self.needs.neighbor_list(structure, skin, capacity)

    def __add__(self, other: Any) -> Energy:
        return Sum((*_terms(self), *_terms(other))) if callable(other) else NotImplemented

    def __radd__(self, other: Any) -> Energy:
        if isinstance(other, int) and other == 0:  # so that sum(energies) works
            return self
        return Sum((*_terms(other), *_terms(self))) if callable(other) else NotImplemented

    def __mul__(self, factor: Any) -> Energy:
        if not isinstance(factor, int | float | np.generic | np.ndarray | jax.Array) or np.ndim(factor) != 0:
            return NotImplemented
        return Scaled(factor, self)  # type: ignore[arg-type]

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Energy:
        return self * (1 / divisor)

    def __neg__(self) -> Energy:
        return Scaled(-1.0, self)

    def __sub__(self, other: Any) -> Energy:
        return self + Sum(tuple(-term for term in _terms(other))) if callable(other) else NotImplemented

    def __rsub__(self, other: Any) -> Energy:
        return other + -self if callable(other) else NotImplemented

    def _guard(self, structure: Structure, neighbors: NeighborList) -> Array:
        return mapping.guard(structure, neighbors, self.needs)


@pytree
class Sum(Energy):
    """The sum of several energies."""

    terms: tuple[Energy, ...]

    @property
    def needs(self) -> Needs:
        """What serves every term."""
        return Needs.union(term.needs for term in self.terms)

    def rows(self, structure: Structure, neighbors: NeighborList) -> AnyRows:
        """The rows of all terms."""
        return tuple(row for term in self.terms for row in term.rows(structure, neighbors))

    def _parts(self, structure: Structure, neighbors: NeighborList) -> tuple[AnyRows, Array, Array | float]:
        parts = [term._parts(structure, neighbors) for term in self.terms]
        rows = tuple(row for rows, _, _ in parts for row in rows)
        one = jnp.ones((), structure.positions.dtype)
        return rows, math.prod((guard for _, guard, _ in parts), start=one), sum(rest for _, _, rest in parts)

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in eV."""
        return sum(term.atomic(structure, neighbors) for term in self.terms)  # type: ignore[return-value]


@pytree
class Scaled(Energy):
    """An energy times a number."""

    factor: float | Array
    term: Energy

    @property
    def needs(self) -> Needs:
        """What the energy itself needs."""
        return self.term.needs

    def rows(self, structure: Structure, neighbors: NeighborList) -> AnyRows:
        """The rows of the energy, scaled."""
        return mapping.scaled(self.factor, self.term.rows(structure, neighbors))

    def _parts(self, structure: Structure, neighbors: NeighborList) -> tuple[AnyRows, Array, Array | float]:
        rows, guard, rest = self.term._parts(structure, neighbors)
        factor = mapping.cast(self.factor, structure.positions.dtype)
        return mapping.scaled(factor, rows), guard, factor * rest

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in eV."""
        return mapping.cast(self.factor, structure.positions.dtype) * self.term.atomic(structure, neighbors)


@pytree
class Function(Energy):
    """A plain Python function of (structure, neighbors) among the terms of a sum.

    Its needs are unknown: a list made by :meth:`neighbor_list` of the sum is long enough for the other terms.
    """

    function: Callable[[Structure, NeighborList], Array] = static()

    @property
    def needs(self) -> Needs:
        """Unknown, so none."""
        return Needs()

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The function's value, NaN where the list overflowed."""
        return self.function(structure, neighbors) * self._guard(structure, neighbors)

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """A function of the whole structure has no energies per atom: raises ValueError."""
        raise ValueError(f"`atomic` needs energies per atom, which the plain function {self.function} does not give")


def _terms(energy: Any) -> tuple[Energy, ...]:
    if isinstance(energy, Sum):
        return energy.terms
    return (energy,) if isinstance(energy, Energy) else (Function(energy),)
