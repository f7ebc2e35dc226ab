"""A function of one pair or one triple → masked sums over each atom's neighbours, per atom and in total.

Formulas elsewhere read as in their papers; everything that keeps padding out of the numbers is here. Two rules:
what a formula is given is replaced by a harmless value wherever the entry is masked (so that no derivative is
infinite there), and what it returns is replaced by 0 there.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks, blocks, geometry
from miniffx.neighbors import Array, Environments, Needs, NeighborList, TripleSlots
from miniffx.structure import Structure

PairFunction = Callable[[Array], Array]  # f(r), r [...] in Å
TripleFunction = Callable[[Array, Array, Array, Array], Array]  # f(r_ij, r_ik, r_jk, cos θ_jik)

# A sum over more pairs than this takes some rows at a time, and derivatives compute each part again instead of storing
# it: on CPUs, memory that is asked for anew in every call costs more than arithmetic. A GPU is the faster the more it
# gets; there this only bounds the memory. MOST_PARTS bounds the parts.
AT_ONCE = {"cpu": 1 << 17}
AT_ONCE_ELSEWHERE = 1 << 24
MOST_PARTS = 64


class Rows(NamedTuple):
    """One number per row of an Environments: the atoms of one species.

    `centers` [rows] are atom indices, n_atoms for padding; `values` [rows] are 0 where padded.
    """

    centers: Array
    values: Array


class Pairs(NamedTuple):
    """Rows still to be summed, by :func:`total` or :func:`per_atom`: those that read the same pairs share distances.

    The value of a row is `factor` Σ_j formula(r_ij) over its neighbours of species `neighbor` closer than `cutoff`.
    """

    formula: PairFunction
    environments: Environments
    neighbor: int
    cutoff: float | Array
    factor: float | Array


def environments_of(label: str, neighbors: NeighborList) -> Environments | None:
    """The environments of the atoms with this label; None where the structure has no such atoms."""
    return neighbors.environments[neighbors.labels.index(label)] if label in neighbors.labels else None


def row_mask(environments: Environments, structure: Structure) -> Array:
    """[rows] bool: False for padding rows."""
    return environments.centers < structure.n_atoms


def columns_of(neighbor: int, environments: Environments) -> slice:
    """The columns that hold the neighbours of one species."""
    return slice(environments.columns[neighbor], environments.columns[neighbor + 1])


def sum_over_pairs(
    formula: PairFunction,
    displacements: Array,
    environments: Environments,
    neighbor: int,
    cutoff: float | Array,
) -> Array:
    """Σ_j f(r_ij) over the neighbours of species `neighbor` closer than `cutoff`: [rows].

    Args:
        formula: f(r), elementwise.
        displacements: [rows, n_columns, 3] of the environments.
        environments: the atoms of the centre species.
        neighbor: species index of the neighbours.
        cutoff: in Å; the formula is evaluated only below it.
    """
    vectors = displacements[:, columns_of(neighbor, environments)]
    return sum_over_vectors(formula, vectors, environments.counts[:, neighbor], cutoff)


def sum_over_vectors(formula: PairFunction, vectors: Array, counts: Array, cutoff: float | Array) -> Array:
    """Σ_j f(r_ij) over the first `counts` [rows] of vectors [rows, columns, 3] that are below the cutoff: [rows].

    The formula gets all distances [rows, columns] at once, so that it may bring along something else per pair.
    """
    r = geometry.norm(vectors)
    return of_pairs(formula, r, counts, cutoff).sum(axis=-1)


def of_pairs(formula: PairFunction, r: Array, counts: Array, cutoff: float | Array) -> Array:
    """f(r) of the first `counts` [rows] of distances [rows, columns] that are below the cutoff, 0 elsewhere."""
    inside = (jnp.arange(r.shape[-1]) < counts[:, None]) & (r < cutoff)
    return jnp.where(inside, formula(jnp.where(inside, r, harmless(cutoff, r.dtype))), 0)


def sum_over_triples(
    formula: TripleFunction,
    displacements: Array,
    environments: Environments,
    kind: tuple[int, int],
    cutoff: float | Array,
    closed: bool,
) -> Array:
    """Σ_{j<k} f(r_ij, r_ik, r_jk, cos θ_jik) over unordered pairs of neighbours: [rows].

    For a kind of two different species, r_ij belongs to the first of `kind` and r_ik to the second.

    Args:
        formula: elementwise.
        displacements: [rows, n_columns, 3] of the environments.
        environments: the atoms of the centre species.
        kind: species indices (B, C), B ≤ C, of the neighbours.
        cutoff: both legs are shorter, in Å.
        closed: whether r_jk must be shorter too.
    """
    slots = environments.triples[environments.triple_kinds.index(kind)]
    first, second = (
        [of_column(column, columns) for column in jnp.moveaxis(displacements, -1, 0)]
        for columns in (slots.first, slots.second)
    )
    r1, r2, r3 = (
        geometry.root(x * x + y * y + z * z)
        for x, y, z in (first, second, [b - a for a, b in zip(first, second, strict=True)])
    )
    inside = real_triples(slots) & (r1 < cutoff) & (r2 < cutoff)
    if closed:
        inside &= r3 < cutoff
    # Masked entries become an equilateral triangle; atoms on top of the centre have no angle, and get this one too.
    away = inside & (r1 > 0) & (r2 > 0)
    dot = jnp.where(away, sum(a * b for a, b in zip(first, second, strict=True)), 0.5)
    cos_theta = dot / (jnp.where(away, r1, 1) * jnp.where(away, r2, 1))
    r1, r2, r3 = (jnp.where(inside, r, harmless(cutoff, r.dtype)) for r in (r1, r2, r3))
    return jnp.where(inside, formula(r1, r2, r3, cos_theta), 0).sum(axis=-1)


def of_column(values: Array, columns: Array) -> Array:
    """[rows, n]: of [rows, n_columns] numbers, those in the columns [rows, n] of the same row."""
    rows, width = values.shape
    if width == 0:
        return jnp.zeros(columns.shape, values.dtype)
    # One flat index: XLA takes along an axis more slowly.
    flat = columns + width * jnp.arange(rows, dtype=columns.dtype)[:, None]
    return values.reshape(-1).at[flat].get(mode="clip")


def real_triples(slots: TripleSlots) -> Array:
    """[rows, n_triples] bool: False for padding."""
    return jnp.arange(slots.first.shape[-1]) < slots.counts[:, None]


def pair_energies(
    formula: PairFunction,
    structure: Structure,
    neighbors: NeighborList,
    species: tuple[str, str],
    cutoff: float | Array,
) -> tuple[Pairs, ...]:
    """The energy of every pair of two species, half of it on each of its atoms."""
    rows = []
    for center, other in dict.fromkeys([species, species[::-1]]):
        environments = environments_of(center, neighbors)
        if environments is None or other not in neighbors.labels:
            continue
        rows.append(Pairs(formula, environments, neighbors.labels.index(other), cutoff, 0.5))
    return tuple(rows)


def scaled(factor: float | Array, rows: tuple[Rows | Pairs, ...]) -> tuple[Rows | Pairs, ...]:
    """The rows times a number."""
    return tuple(
        row._replace(factor=factor * row.factor) if isinstance(row, Pairs) else row._replace(values=factor * row.values)
        for row in rows
    )


def _summed(rows: tuple[Rows | Pairs, ...], structure: Structure) -> list[Rows]:
    """The rows, with one for all that read the same pairs."""
    result = [row for row in rows if isinstance(row, Rows)]
    groups: dict[tuple[int, int], list[Pairs]] = {}
    for row in rows:
        if isinstance(row, Pairs):
            groups.setdefault((id(row.environments), row.neighbor), []).append(row)
    return result + [_sum_of_pairs(group, structure) for group in groups.values()]


def _sum_of_pairs(group: list[Pairs], structure: Structure) -> Rows:
    environments, neighbor = group[0].environments, group[0].neighbor
    columns = columns_of(neighbor, environments)

    def some(part: Environments) -> Array:
        r = geometry.norm(geometry.displacements(structure, part))
        terms = [row.factor * of_pairs(row.formula, r, part.counts, row.cutoff).sum(axis=-1) for row in group]
        return functools.reduce(jnp.add, terms)

    part = dataclasses.replace(
        environments,
        neighbors=environments.neighbors[:, columns],
        shifts=environments.shifts[:, columns],
        counts=environments.counts[:, neighbor],
    )
    part = dataclasses.replace(part, triples=(), triple_kinds=())
    return Rows(environments.centers, _some_rows_at_a_time(some, part, part.neighbors.size))


def _some_rows_at_a_time(function: Callable[[Any], Array], tree: Any, size: int) -> Array:
    """``function(tree)`` [rows] of leaves [rows, ...], in parts where it computes with arrays of a large `size`.

    Derivatives compute each part again. What they sum over all parts, the forces on all atoms, bounds their number.
    """
    rows = jax.tree.leaves(tree)[0].shape[0]
    count = min(MOST_PARTS, rows, -(-size // _at_once()))
    if count <= 1:
        return function(tree)
    return jax.lax.map(jax.checkpoint(function), blocks.split_rows(tree, rows, count)).reshape(-1)[:rows]


def _at_once() -> int:
    return AT_ONCE.get(jax.default_backend(), AT_ONCE_ELSEWHERE)


def _sum_of_steps(term: Callable[[Array], Array], steps: Array) -> Array:
    """Σ term(step), one after the other."""
    zero = jnp.zeros_like(jax.eval_shape(term, steps[0]))
    return jax.lax.scan(jax.checkpoint(lambda sum_, step: (sum_ + term(step), None)), zero, steps)[0]


def triple_energies(
    formula: TripleFunction,
    structure: Structure,
    neighbors: NeighborList,
    species: tuple[str, str, str],
    cutoff: float | Array,
) -> tuple[Rows, ...]:
    """The energy of every triple of the given species (centre first), on its centre."""
    environments = environments_of(species[0], neighbors)
    if environments is None or not set(species) <= set(neighbors.labels):
        return ()
    kind, ordered = ordered_kind(formula, species[1:], neighbors.labels)
    if kind[0] == kind[1]:
        legs = _legs(environments, environments.triples[environments.triple_kinds.index(kind)])

        def some(part: tuple[Array, Array]) -> Array:
            return _triples_in_steps(ordered, *part, cutoff)

        # Displacements once for all parts: forces are then summed over all of them in one go.
        parts = geometry.displacements(structure, legs), legs.counts[:, 0]
        return (Rows(environments.centers, _some_rows_at_a_time(some, parts, 2 * legs.neighbors.size)),)
    vectors = geometry.displacements(structure, environments)
    total = sum_over_triples(ordered, vectors, environments, kind, cutoff, closed=False)
    return (Rows(environments.centers, total),)


def _legs(environments: Environments, slots: TripleSlots) -> Environments:
    """The neighbours that a list's open triples of one kind, with both neighbours of one species, are made of.

    All m of an atom within the triples' reach are paired, the first with the second and so on: m (m − 1) / 2 triples.
    """
    most = (1 + math.isqrt(1 + 8 * slots.first.shape[-1])) // 2
    columns = jnp.concatenate([slots.first[:, :1], slots.second[:, : most - 1]], axis=1)
    m = (1 + jnp.round(jnp.sqrt(1.0 + 8.0 * slots.counts)).astype(jnp.int32)) // 2
    return dataclasses.replace(
        environments,
        neighbors=jnp.take_along_axis(environments.neighbors, columns, axis=1, mode="clip"),
        shifts=jnp.take_along_axis(environments.shifts, columns[..., None], axis=1, mode="clip"),
        counts=m[:, None],
    )


def _triples_in_steps(formula: TripleFunction, vectors: Array, counts: Array, cutoff: float | Array) -> Array:
    """The sum over all pairs of the given neighbours: column j with j + 1, then with j + 2, …, cyclically.

    No triple is looked up, so that derivatives have nothing to scatter; rows come last, to fill vector registers.
    """
    n_rows, n_columns, _ = vectors.shape
    dtype = vectors.dtype
    if n_columns < 2:
        return jnp.zeros(n_rows, dtype)
    r = geometry.norm(vectors).T
    column = jnp.arange(n_columns)[:, None]
    inside = (column < counts) & (r < cutoff)
    side = harmless(cutoff, dtype)
    first = (*jnp.moveaxis(vectors, 2, 0).transpose(0, 2, 1), r, inside)
    twice = [jnp.concatenate([part, part[: n_columns // 2]]) for part in first]

    def some(step: Array) -> Array:
        x1, y1, z1, r1, inside1 = first
        x2, y2, z2, r2, inside2 = (jax.lax.dynamic_slice_in_dim(part, step, n_columns) for part in twice)
        both = inside1 & inside2 & ((2 * step < n_columns) | (column < step))  # half a turn meets everyone twice
        apart = both & (r1 > 0) & (r2 > 0)
        r3 = geometry.norm(jnp.stack([x2 - x1, y2 - y1, z2 - z1], axis=-1))
        cos_theta = jnp.where(apart, x1 * x2 + y1 * y2 + z1 * z2, 0.5) / (
            jnp.where(apart, r1, 1) * jnp.where(apart, r2, 1)
        )
        r1, r2, r3 = (jnp.where(both, r, side) for r in (r1, r2, r3))
        return jnp.where(both, formula(r1, r2, r3, cos_theta), 0).sum(axis=0)

    steps = jnp.arange(1, n_columns // 2 + 1)
    if n_rows * n_columns * len(steps) <= _at_once() // 8:  # ten numbers of each triple: what the cache holds
        return jax.vmap(some)(steps).sum(axis=0)
    return _sum_of_steps(some, steps)


def ordered_kind(
    formula: TripleFunction, species: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[tuple[int, int], TripleFunction]:
    """The kind of triple as the list stores it (B ≤ C), and the formula with its legs in that order."""
    b, c = (labels.index(label) for label in species)
    if b <= c:
        return (b, c), formula
    return (c, b), lambda r1, r2, r3, cos_theta: formula(r2, r1, r3, cos_theta)


def total(rows: tuple[Rows | Pairs, ...], structure: Structure) -> Array:
    """The sum of all rows."""
    dtype = structure.positions.dtype
    return sum((values.sum() for _, values in _summed(rows, structure)), jnp.zeros((), dtype)).astype(dtype)


def per_atom(rows: tuple[Rows | Pairs, ...], structure: Structure) -> Array:
    """[n_atoms]: the rows added up where they belong, 0 for padding atoms."""
    result = jnp.zeros(structure.n_atoms, structure.positions.dtype)
    for centers, values in _summed(rows, structure):
        result = result.at[centers].add(values.astype(result.dtype), mode="drop")
    return result


def cast(tree: Any, dtype: Any) -> Any:
    """Parameters in the dtype of the positions, so that results have it."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf,
        tree,
    )


def guard(
    structure: Structure,
    neighbors: NeighborList,
    needs: Needs,
) -> Array:
    """1 where the list can serve, NaN where it overflowed or is too short: multiply every energy by it.

    A product, because it carries the NaN into derivatives too.

    Raises:
        ValueError: the list belongs to other labels, is shorter than needed, or lacks triples that are
            needed. Where a cutoff is traced, the guard is NaN instead.
    """
    if structure.positions.ndim != 2:
        raise ValueError(
            f"`structure` must be one structure, use jax.vmap for a batch, got positions {structure.positions.shape}"
        )
    if structure.labels != neighbors.labels:
        raise ValueError(
            f"`neighbors` must be built for the labels of the structure, {structure.labels}, got {neighbors.labels}"
        )
    if structure.positions.shape[-2] != neighbors.positions.shape[-2]:
        raise ValueError(
            f"`neighbors` must be built for {structure.n_atoms} atoms, got {neighbors.positions.shape[-2]}"
        )
    valid = ~jnp.asarray(neighbors.overflow)
    valid &= _reaches("cutoff", needs.cutoff, neighbors.cutoff)
    relevant = {kind for kind in needs.triple_species if set(kind) <= set(structure.labels)}
    if needs.triple_cutoff is not None and relevant:
        listed = neighbors.triple_species
        if neighbors.triple_cutoff is None:
            raise ValueError(f"`neighbors` must hold triples up to {needs.triple_cutoff} Å, got a list without triples")
        if listed is not None and not relevant <= listed:
            raise ValueError(f"`neighbors` must hold the triples {sorted(relevant - listed)}, got {sorted(listed)}")
        if neighbors.closed and not needs.closed:
            raise ValueError("`neighbors` must hold open triples, got a list of closed ones")
        valid &= _reaches("triple_cutoff", needs.triple_cutoff, neighbors.triple_cutoff)
    return one_where(valid, structure)


def one_where(valid: Array, structure: Structure) -> Array:
    """1, or NaN where it is not `valid`, to multiply an energy by.

    Forces have to be NaN even where nothing is listed that could carry it to them: it depends on positions.
    """
    positions = jnp.where(structure.mask[:, None], structure.positions, 0)
    return 1 + jnp.where(valid, 0, jnp.nan).astype(positions.dtype) * positions.sum()


def _reaches(name: str, wanted: Any, available: float) -> Array:
    # A cutoff computed in single precision from parameters may differ from the list's in the last digits.
    enough = wanted <= available * (1 + 1e-6)
    if _checks.is_traced(wanted):
        return jnp.asarray(enough)
    if not np.all(enough):
        raise ValueError(f"`neighbors` must have a `{name}` of at least {np.max(wanted)} Å, got {available}")
    return jnp.asarray(True)


def harmless(cutoff: float | Array, dtype: Any) -> Array:
    """A distance in the middle of a formula's range."""
    return jnp.asarray(0.5, dtype) * cutoff
