"""Neighbour lists: their convention, capacities, and update. The only caller of the compiled core.

Convention, to which everything else refers: a pair (i, j, shift) has the displacement

    D = r_j + shift · cell − r_i,          from i to j,

with the positions as the user gave them and the lattice vectors as rows of `cell`. Every ordered pair with
|D| < cutoff is listed, every periodic image included; an atom is its own neighbour only through an image
(shift ≠ 0). There is no minimum-image convention anywhere.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks, _core
from miniffx._pytree import host, pytree, static
from miniffx.structure import Array, Structure

# -- flat lists in NumPy ---------------------------------------------------------------------------------------


def pairs(
    positions: Any, cell: Any, pbc: Any, cutoff: float, n_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All ordered pairs closer than `cutoff`, as NumPy arrays.

    Args:
        positions: [n_atoms, 3] in Å, anywhere.
        cell: [3, 3], rows are lattice vectors in Å; None or zero vectors where an axis is open.
        pbc: bool or three bools.
        cutoff: in Å; pairs with |D| < cutoff are listed.
        n_threads: the result does not depend on it; by default what OpenMP provides.

    Returns:
        i, j [n_pairs] int32, sorted by i; shift [n_pairs, 3] int32; D [n_pairs, 3] float64 in Å, where
        D = positions[j] + shift @ cell − positions[i].

    Raises:
        ValueError: wrong shapes, numbers that are not finite, a singular cell along periodic axes, cutoff ≤ 0.

    >>> import miniffx as mff
    >>> i, j, shift, D = mff.neighbors.pairs([[0.0, 0.0, 0.0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], True, 1.1)
    >>> len(i), sorted(map(tuple, shift.tolist()))[0]
    (6, (-1, 0, 0))
    """
    found = _flat_pairs(positions, cell, pbc, cutoff, n_threads)
    return found.i, found.j, found.shift, found.vectors


def triples(
    positions: Any, cell: Any, pbc: Any, cutoff: float, closed: bool = False, n_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All triples: a centre i and two different neighbours j, k closer than `cutoff`, each pair of them once.

    Args:
        positions, cell, pbc, cutoff, n_threads: as for :func:`pairs`.
        closed: whether j and k must be closer than `cutoff` to each other too.

    Returns:
        i, j, k [n_triples] int32, sorted by i; shift_j, shift_k [n_triples, 3] int32. "Different" means that
        (j, shift_j) and (k, shift_k) differ: two images of one atom are two neighbours.
    """
    found = _flat_pairs(positions, cell, pbc, cutoff, n_threads)
    first, second = _core.find_triples(found, float(cutoff), bool(closed), n_threads or 0)
    j, shift = found.j, found.shift
    return found.i[first], j[first], j[second], shift[first], shift[second]


def _flat_pairs(positions: Any, cell: Any, pbc: Any, cutoff: float, n_threads: int | None) -> Any:
    from miniffx.structure import _pbc

    positions = _checks.array("positions", positions, (None, 3), "an array of Cartesian positions")
    cell = np.zeros((3, 3)) if cell is None else _checks.array("cell", cell, (3, 3), "a matrix of lattice vectors")
    cutoff = _checks.positive("cutoff", cutoff)
    return _core.find_pairs(
        np.ascontiguousarray(positions), np.ascontiguousarray(cell), _pbc(pbc), cutoff, None, n_threads or 0
    )


# -- padded lists for JAX --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Needs:
    """Which pairs and triples an energy or a descriptor set reads.

    Attributes:
        cutoff: the largest distance of a pair, in Å; 0 where no pairs are read.
        triple_cutoff: the largest leg of a triple in Å, or None.
        closed: whether triples with r_jk ≥ triple_cutoff may be left out.
        triple_species: (centre, neighbour, neighbour) labels of the triples read.
    """

    cutoff: float = 0.0
    triple_cutoff: float | None = None
    closed: bool = True
    triple_species: frozenset[tuple[str, str, str]] = frozenset()

    @staticmethod
    def union(needs: Iterable[Needs]) -> Needs:
        """What serves all of `needs`."""
        needs = tuple(needs)
        legs = [n.triple_cutoff for n in needs if n.triple_cutoff is not None]
        return Needs(
            cutoff=max((n.cutoff for n in needs), default=0.0),
            triple_cutoff=max(legs, default=None),
            closed=all(n.closed for n in needs),
            triple_species=frozenset().union(*(n.triple_species for n in needs)),
        )

    def neighbor_list(self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None) -> NeighborList:
        """The neighbour list with just these pairs and triples."""
        return jax.tree.map(jnp.asarray, self.host_neighbor_list(structure, skin, capacity))

    def host_neighbor_list(
        self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None
    ) -> NeighborList:
        """As :meth:`neighbor_list`, with NumPy arrays as leaves: for batches that go to the device in parts."""
        reach = max(float(np.max(self.cutoff)), float(np.max(self.triple_cutoff or 0.0)))
        request = _Request(
            cutoff=reach if reach > 0 else 1.0,  # an energy that reads no pairs takes a list all the same
            triple_cutoff=None if self.triple_cutoff is None else float(np.max(self.triple_cutoff)),
            closed=self.closed,
            triple_species=self.triple_species,
            skin=_checks.non_negative("skin", skin),
        )
        return _build(structure, request, minimum=capacity)


@pytree
class TripleSlots:
    """The triples of one kind, one row per centre. Neighbours are named by their column in the centre's row.

    Attributes:
        first, second: [rows, capacity] int32 columns of `Environments.neighbors`.
        counts: [rows] int32, how many of a row's entries are real; they come first.
    """

    first: Array
    second: Array
    counts: Array


@pytree
class Environments:
    """The padded neighbourhoods of all atoms of one species, one row per atom.

    The columns of a row are grouped by the species of the neighbour: those of species B fill
    ``columns[B] : columns[B] + counts[row, B]``, and the rest up to ``columns[B + 1]`` is padding. So whatever
    reads one species pair or triple touches nothing else.

    Attributes:
        centers: [rows] int32 atom indices; n_atoms for a padding row.
        neighbors: [rows, n_columns] int32 atom indices j; the centre itself where padded.
        shifts: [rows, n_columns, 3] int32; 0 where padded.
        counts: [rows, n_species] int32.
        triples: one TripleSlots per entry of `triple_kinds`.
        columns: n_species + 1 offsets (static).
        triple_kinds: (B, C) with B ≤ C, species indices of the neighbours of each kind of triple (static).
    """

    centers: Array
    neighbors: Array
    shifts: Array
    counts: Array
    triples: tuple[TripleSlots, ...]
    columns: tuple[int, ...] = static()
    triple_kinds: tuple[tuple[int, int], ...] = static()


@pytree
class NeighborList:
    """All pairs (and triples) of a structure within a cutoff, padded to fixed capacities.

    Made by :func:`neighbor_list`. The convention of displacements stands at the top of this module.

    Attributes:
        environments: one Environments per label.
        overflow: bool scalar. True when a rebuild inside jit did not fit; every energy computed from the list is
            then NaN. Outside jit the list grows and this is never True.
        positions, cell, species_index: what the list was built for.
        labels, pbc: as in the structure (static).
        cutoff: pairs closer than this are complete as long as the skin is not used up, in Å (static).
        triple_cutoff, closed, triple_species: likewise for triples (static).
        skin: how much farther than the cutoffs the list reaches, in Å (static).
    """

    environments: tuple[Environments, ...]
    overflow: Array
    positions: Array
    cell: Array
    species_index: Array
    labels: tuple[str, ...] = static()
    pbc: tuple[bool, bool, bool] = static()
    cutoff: float = static()
    triple_cutoff: float | None = static()
    closed: bool = static()
    triple_species: frozenset[tuple[str, str, str]] | None = static()
    skin: float = static()

    @property
    def n_pairs(self) -> Any:
        """The number of ordered pairs listed (the skin's included)."""
        return sum(environment.counts.sum() for environment in self.environments)

    @property
    def n_triples(self) -> Any:
        """The number of triples listed, each unordered pair of neighbours of a centre once."""
        return sum(slots.counts.sum() for environment in self.environments for slots in environment.triples)

    def update(self, structure: Structure) -> NeighborList:
        """The list for moved atoms or a changed cell; the atoms and their species must be the same.

        Rebuilds when the skin is used up by the motion of the atoms or of the cell, and returns the list
        unchanged otherwise. Outside jit a rebuilt list grows where it must. Inside jit the capacities are fixed:
        where they do not suffice, `overflow` is set and energies become NaN.

        Raises:
            ValueError: (outside jit) the species, labels or periodic axes are not those of the list.
        """
        if structure.labels != self.labels or structure.pbc != self.pbc:
            raise ValueError(
                f"`structure` must have the labels {self.labels} and periodic axes {self.pbc} of the list, "
                f"got {structure.labels} and {structure.pbc}"
            )
        if structure.positions.shape != self.positions.shape:
            raise ValueError(
                f"`structure` must have positions of shape {self.positions.shape}, got {structure.positions.shape}"
            )
        if not _checks.is_traced(structure, self):
            if not np.array_equal(structure.species_index, self.species_index):
                raise ValueError("`structure` must have the species that the list was built for, got others")
            covers = self._covers if structure.positions.ndim == 2 else jax.vmap(NeighborList._covers, (0, 0))
            args = (structure,) if structure.positions.ndim == 2 else (self, structure)
            if not self.overflow.any() and bool(covers(*args).all()):
                return self
            return jax.tree.map(jnp.asarray, _build(structure, self._request(), minimum=self.capacity))
        # Which pairs there are does not change smoothly: derivatives pass the list by.
        current, structure = jax.lax.stop_gradient((self, structure))
        keep = current._covers(structure) & ~current.overflow
        return jax.lax.cond(keep, lambda: current, lambda: current._rebuild(structure))

    def _covers(self, structure: Structure) -> Array:
        """Whether every pair now within the cutoff was within cutoff + skin when the list was built.

        With the periodic lattice vectors mapped by F and u the motion of the atoms beyond that map, a pair has
        D = D₀ F + u_j − u_i, so |D₀| ≤ ‖F⁻¹‖ (|D| + 2 max|u|); the spectral norm is at most 1 + ‖F⁻¹ − 1‖.
        """
        if self.skin == 0:
            same = (structure.positions == self.positions).all() & (structure.cell == self.cell).all()
            return same & (structure.species_index == self.species_index).all()
        axes = [axis for axis in range(3) if self.pbc[axis]]
        dtype = self.positions.dtype
        change = jnp.zeros((3, 3), dtype)  # F − 1 in the space of the periodic vectors, F⁻¹ − 1 likewise
        back = jnp.zeros((3, 3), dtype)
        if axes:
            old, new = (
                jnp.asarray(self.cell)[jnp.asarray(axes)],
                jnp.asarray(structure.cell)[jnp.asarray(axes)],
            )
            inverse_of_old = _full(old.T, jnp.linalg.inv(_full(old, old.T)))
            change = _full(inverse_of_old, new - old)
            inverse = jnp.linalg.inv(jnp.eye(3, dtype=dtype) + change)
            back = inverse - jnp.eye(3, dtype=dtype)
        moved = structure.positions - self.positions - _full(jnp.asarray(self.positions), change)
        moved = jnp.where(structure.mask[:, None], moved, 0)
        longest = jnp.sqrt((moved**2).sum(axis=-1).max(initial=0))
        stretch = 1 + jnp.sqrt((back**2).sum())
        fits = jnp.asarray(True)
        for reach in {self.cutoff, self.triple_cutoff or self.cutoff}:
            fits &= stretch * (reach + 2 * longest) < reach + self.skin
        return fits & (structure.species_index == self.species_index).all()

    def _request(self) -> _Request:
        return _Request(self.cutoff, self.triple_cutoff, self.closed, self.triple_species, self.skin)

    @property
    def capacity(self) -> Capacity:
        """The padded sizes; give them to the next list to have it share this one's compiled programs."""
        return Capacity(
            rows=tuple(e.centers.shape[-1] for e in self.environments),
            columns=tuple(e.columns for e in self.environments),
            triples=tuple(tuple(t.first.shape[-1] for t in e.triples) for e in self.environments),
        )

    def _rebuild(self, structure: Structure) -> NeighborList:
        """Rebuild inside jit with the capacities as they are: on CPUs the compiled core as an XLA FFI call, elsewhere
        the same through a host callback."""
        capacity, request = self.capacity, self._request()
        kinds = request.kinds(self.labels)
        same = (structure.species_index == self.species_index).all()
        rows = [(e.neighbors, e.shifts, e.counts) for e in self.environments]
        slots = [(t.first, t.second, t.counts) for e in self.environments for t in e.triples]
        shapes = jax.eval_shape(lambda: (self.overflow, *itertools.chain(*rows, *slots)))

        def call_core(*arrays: Any) -> Any:
            call = jax.ffi.ffi_call(FFI_TARGET, shapes, vmap_method="sequential")
            results = call(
                *arrays,
                pbc=np.array(self.pbc, np.int64),
                cutoff=np.float64(request.reach),
                triple_cutoff=np.float64(request.triple_reach),
                closed=request.closed,
                columns=np.array(capacity.columns, np.int64).ravel(),
                triple_kinds=np.array(kinds, np.int64).ravel(),
                triple_capacity=np.array([n for row in capacity.triples for n in row], np.int64),
            )
            return tuple(results)

        def on_host(positions: Any, cell: Any, species: Any, *centers: Any) -> Any:
            try:
                found = _find(np.asarray(positions), np.asarray(cell), np.asarray(species), self.pbc, request)
            except ValueError:  # numbers that are not finite, a singular cell: nothing can be raised here
                return (np.array(True), *(np.zeros(leaf.shape, leaf.dtype) for leaf in shapes[1:]))
            filled = _fill(found, np.asarray(species), [np.asarray(c) for c in centers], capacity, request, self.labels)
            return (filled[2], *itertools.chain(*filled[0], *filled[1]))

        def call_host(*arrays: Any) -> Any:
            return tuple(jax.pure_callback(on_host, shapes, *arrays, vmap_method="sequential"))

        arrays = (structure.positions, structure.cell, structure.species_index)
        centers = tuple(environment.centers for environment in self.environments)
        on_cpu = call_core if _register_core() else call_host
        overflow, *flat = jax.lax.platform_dependent(*arrays, *centers, cpu=on_cpu, default=call_host)
        parts = [tuple(flat[n : n + 3]) for n in range(0, len(flat), 3)]
        n_species = len(self.labels)
        return dataclasses.replace(
            self,
            environments=_environments(centers, parts[:n_species], parts[n_species:], capacity, kinds),
            overflow=overflow | ~same,
            positions=jnp.asarray(structure.positions),
            cell=jnp.asarray(structure.cell),
        )


FFI_TARGET = "miniffx_update"


@cache
def _register_core() -> bool:
    """Make the compiled core known to XLA. False, with a warning, where jaxlib's FFI version does not fit."""
    try:
        jax.ffi.register_ffi_target(FFI_TARGET, _core.xla_update_handler(), platform="cpu")
    except Exception as error:  # XLA's own error type
        warnings.warn(
            f"the neighbour core was built for another version of XLA's FFI ({_core.xla_ffi_version}) than jaxlib has: "
            f"updates inside jit go through a slower host callback until miniffx is reinstalled ({error})",
            stacklevel=2,
        )
        return False
    return True


@dataclass(frozen=True)
class Capacity:
    """The padded sizes of a neighbour list: what decides whether two lists share a compiled program.

    Attributes:
        rows: atoms of each species.
        columns: for each centre species, n_species + 1 offsets of the neighbour species' column groups.
        triples: for each centre species, the capacity of each kind of triple, in the order of the list.
    """

    rows: tuple[int, ...]
    columns: tuple[tuple[int, ...], ...]
    triples: tuple[tuple[int, ...], ...]

    def union(self, other: Capacity) -> Capacity:
        """The smallest capacity that holds both."""

        def widths(offsets: tuple[int, ...]) -> np.ndarray:
            return np.diff(offsets)

        return Capacity(
            rows=tuple(map(max, self.rows, other.rows)),
            columns=tuple(
                _offsets(np.maximum(widths(a), widths(b))) for a, b in zip(self.columns, other.columns, strict=True)
            ),
            triples=tuple(tuple(map(max, a, b)) for a, b in zip(self.triples, other.triples, strict=True)),
        )


def bucket(count: int) -> int:
    """`count` rounded up to the next size of the geometric sequence 0, 1, 2, …, 8, 10, 12, 14, 16, 20, 24, …

    Four sizes per factor of two: at most a quarter of an array is padding, and structures of similar size share
    their shapes and so their compiled programs.
    """
    if count <= 4:
        return count
    step = 1 << (int(count - 1).bit_length() - 3)
    return -(-count // step) * step


def neighbor_list(
    structure: Structure,
    cutoff: float,
    triple_cutoff: float | None = None,
    skin: float = 0.0,
    *,
    closed: bool = False,
    triple_species: Iterable[Sequence[str]] | None = None,
    capacity: Capacity | None = None,
) -> NeighborList:
    """Find all pairs, and on request triples, of a structure: host work, done by the compiled core.

    Args:
        structure: one structure, or a batch made by :func:`miniffx.stack` (then every array of the list has a
            leading batch axis, ready for :func:`jax.vmap`).
        cutoff: pairs with |D| < cutoff are listed, in Å. One list serves all energies up to its cutoff.
        triple_cutoff: triples with both legs shorter than this, in Å (at most `cutoff`); None: no triples.
        skin: reach that much farther than the cutoffs, in Å, so that :meth:`NeighborList.update` rebuilds rarely.
        closed: leave out triples whose neighbours are `triple_cutoff` or more apart from each other.
        triple_species: (centre, neighbour, neighbour) labels of the triples wanted; None: all.
        capacity: sizes to use at least; by default what the structure needs, rounded up by :func:`bucket`.

    Returns:
        A NeighborList.

    Raises:
        ValueError: cutoffs that are not positive, `triple_cutoff` > `cutoff`, a negative skin, positions that
            are not finite, a singular periodic cell; or a call inside jit, where sizes cannot be chosen.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 3.8]], ["Ar", "Ar"])
    >>> nl = mff.neighbor_list(argon, cutoff=8.5)
    >>> int(nl.n_pairs), int(nl.n_triples)
    (2, 0)
    """
    request = _Request(
        cutoff=_checks.positive("cutoff", cutoff),
        triple_cutoff=None if triple_cutoff is None else _checks.positive("triple_cutoff", triple_cutoff),
        closed=bool(closed),
        triple_species=None
        if triple_species is None
        else frozenset(_kind(_checks.labels("triple_species", kind, 3)) for kind in triple_species),
        skin=_checks.non_negative("skin", skin),
    )
    if request.triple_cutoff is not None and request.triple_cutoff > request.cutoff:
        raise ValueError(f"`triple_cutoff` must be at most `cutoff` ({cutoff}), got {triple_cutoff}")
    return jax.tree.map(jnp.asarray, _build(structure, request, minimum=capacity))


@dataclass(frozen=True)
class _Request:
    """What was asked of a neighbour list."""

    cutoff: float
    triple_cutoff: float | None
    closed: bool
    triple_species: frozenset[tuple[str, str, str]] | None
    skin: float

    @property
    def reach(self) -> float:
        """How far pairs are listed: the cutoff and the skin, Å."""
        return self.cutoff + self.skin

    @property
    def triple_reach(self) -> float:
        """How far triples are listed, Å; 0 for none."""
        return 0.0 if self.triple_cutoff is None else self.triple_cutoff + self.skin

    def kinds(self, labels: tuple[str, ...]) -> list[tuple[int, int, int]]:
        """Species indices (A, B, C), B ≤ C, of the kinds of triples wanted, sorted."""
        if self.triple_cutoff is None:
            return []
        n = range(len(labels))
        every = [(a, b, c) for a in n for b in n for c in n if b <= c]
        if self.triple_species is None:
            return every
        return [k for k in every if _kind((labels[k[0]], labels[k[1]], labels[k[2]])) in self.triple_species]


def _kind(species: tuple[str, ...]) -> tuple[str, str, str]:
    """(centre, neighbour, neighbour) with the neighbours in order."""
    center, *others = species
    first, second = sorted(others)
    return center, first, second


def _offsets(widths: Any) -> tuple[int, ...]:
    return (0, *(int(offset) for offset in np.cumsum(widths)))


def _full(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _find(positions: np.ndarray, cell: np.ndarray, species: np.ndarray, pbc: Any, request: _Request) -> Any:
    """The flat pairs of one structure within cutoff + skin, padding atoms left out."""
    return _core.find_pairs(
        np.ascontiguousarray(positions, dtype=np.float64),
        np.ascontiguousarray(cell, dtype=np.float64),
        pbc,
        request.reach,
        np.ascontiguousarray(species, dtype=np.int32),
        0,
    )


def _build(structure: Structure, request: _Request, minimum: Capacity | None) -> NeighborList:
    """Find pairs, choose capacities, fill: for one structure or a batch. Leaves are NumPy arrays."""
    if _checks.is_traced(structure):
        raise ValueError("a neighbour list must be made outside jit, where sizes are known; inside, use `update`")
    batched = structure.positions.ndim == 3
    positions, cells, species = (
        np.asarray(leaf) if batched else np.asarray(leaf)[None]
        for leaf in (structure.positions, structure.cell, structure.species_index)
    )
    labels, n_species = structure.labels, len(structure.labels)
    kinds = request.kinds(labels)
    kind_array = np.asarray(kinds, dtype=np.int32).reshape(-1, 3)

    found = []
    n_rows = np.zeros(n_species, dtype=np.int64)
    pair_max = np.zeros((n_species, n_species), dtype=np.int64)
    triple_max = np.zeros(len(kinds), dtype=np.int64)
    for r, c, s in zip(positions, cells, species, strict=True):
        pairs_of = _find(r, c, s, structure.pbc, request)
        most_pairs, most_triples = _core.count_rows(
            pairs_of, np.ascontiguousarray(s, np.int32), n_species, request.triple_reach, request.closed, kind_array
        )
        found.append(pairs_of)
        n_rows = np.maximum(n_rows, np.bincount(s[s >= 0], minlength=n_species))
        pair_max, triple_max = np.maximum(pair_max, most_pairs), np.maximum(triple_max, most_triples)

    capacity = Capacity(
        rows=tuple(min(bucket(int(n)), structure.n_atoms) for n in n_rows),
        columns=tuple(_offsets([bucket(int(n)) for n in row]) for row in pair_max),
        triples=tuple(
            tuple(bucket(int(n)) for n, kind in zip(triple_max, kinds, strict=True) if kind[0] == a)
            for a in range(n_species)
        ),
    )
    if minimum is not None:
        if len(minimum.rows) != n_species or [len(t) for t in minimum.triples] != [len(t) for t in capacity.triples]:
            raise ValueError(f"`capacity` must be for {n_species} species and the same triples, got {minimum}")
        capacity = capacity.union(minimum)

    filled = []
    for pairs_of, s in zip(found, species, strict=True):
        centers = []
        for a, rows in enumerate(capacity.rows):
            atoms = np.flatnonzero(s == a)
            centers.append(np.concatenate([atoms, np.full(rows - len(atoms), structure.n_atoms)]).astype(np.int32))
        rows_of, slots_of, overflow = _fill(pairs_of, s, centers, capacity, request, labels)
        assert not overflow
        filled.append((_environments(centers, rows_of, slots_of, capacity, kinds), overflow))
    leaves: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *filled) if batched else filled[0]
    environments, overflow = leaves
    return NeighborList(
        environments=environments,
        overflow=overflow,
        positions=host(structure.positions),
        cell=host(structure.cell),
        species_index=host(structure.species_index),
        labels=labels,
        pbc=structure.pbc,
        cutoff=request.cutoff,
        triple_cutoff=request.triple_cutoff,
        closed=request.closed,
        triple_species=request.triple_species,
        skin=request.skin,
    )


def _fill(
    found: Any,
    species: np.ndarray,
    centers: list[np.ndarray],
    capacity: Capacity,
    request: _Request,
    labels: tuple[str, ...],
) -> tuple[list[tuple[np.ndarray, ...]], list[tuple[np.ndarray, ...]], Any]:
    """(neighbors, shifts, counts) per species, (first, second, counts) per kind of triple, whether they overflowed."""
    n_species = len(labels)
    rows, slots, overflow = _core.fill_rows(
        found,
        np.ascontiguousarray(species, np.int32),
        n_species,
        [np.ascontiguousarray(c, np.int32) for c in centers],
        np.asarray(capacity.columns, dtype=np.int32).reshape(n_species, n_species + 1),
        request.triple_reach,
        request.closed,
        np.asarray(request.kinds(labels), dtype=np.int32).reshape(-1, 3),
        np.asarray([n for row in capacity.triples for n in row], dtype=np.int32),
    )
    return rows, slots, np.asarray(overflow)


def _environments(
    centers: Sequence[Any], rows: Sequence[Any], slots: Sequence[Any], capacity: Capacity, kinds: Sequence[Any]
) -> tuple[Environments, ...]:
    """The arrays that the core filled, in their places."""
    return tuple(
        Environments(
            centers=centers[a],
            neighbors=rows[a][0],
            shifts=rows[a][1],
            counts=rows[a][2],
            triples=tuple(TripleSlots(*slot) for slot, kind in zip(slots, kinds, strict=True) if kind[0] == a),
            columns=capacity.columns[a],
            triple_kinds=tuple((kind[1], kind[2]) for kind in kinds if kind[0] == a),
        )
        for a in range(len(centers))
    )
