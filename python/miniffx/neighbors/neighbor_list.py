"""The neighbour list that energies take, and its update."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.neighbors.build import build
from miniffx.neighbors.capacity import Capacity, capacity_of
from miniffx.neighbors.device import put
from miniffx.neighbors.environments import Environments
from miniffx.neighbors.rebuild import rebuild
from miniffx.neighbors.request import Request, ordered_kind
from miniffx.structure import Array, Structure


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
    request = Request(
        cutoff=_checks.positive("cutoff", cutoff),
        triple_cutoff=None if triple_cutoff is None else _checks.positive("triple_cutoff", triple_cutoff),
        closed=bool(closed),
        triple_species=None
        if triple_species is None
        else frozenset(ordered_kind(_checks.labels("triple_species", kind, 3)) for kind in triple_species),
        skin=_checks.non_negative("skin", skin),
    )
    if request.triple_cutoff is not None and request.triple_cutoff > request.cutoff:
        raise ValueError(f"`triple_cutoff` must be at most `cutoff` ({cutoff}), got {triple_cutoff}")
    _checks.structure(structure)
    if capacity is not None and not isinstance(capacity, Capacity):
        raise ValueError(f"`capacity` must be a Capacity, such as that of another list, got {capacity!r}")
    return make_list(structure, request, capacity, put)


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
        unchanged otherwise; of a batch, all lists as soon as one has to be. Outside jit a rebuilt list grows where
        it must. Inside jit the capacities are fixed: where they do not suffice, `overflow` is set and energies become
        NaN. (Under :func:`jax.vmap` it rebuilds every time: there, nothing can be left undone.)

        Raises:
            ValueError: the labels, periodic axes, number of atoms or (outside jit) species are not those of the list.
        """
        self._check(structure)
        if not _checks.is_traced(structure, self):
            if self.serves(structure):
                return self
            return make_list(structure, self._request(), self.capacity, put)
        for name in ("positions", "cell"):
            listed, new = (getattr(x, name).dtype for x in (self, structure))
            if new != listed:
                raise ValueError(f"`structure` must have {name} of {listed}, as the list's, inside jit, got {new}")
        # Which pairs there are does not change smoothly: derivatives pass the list by.
        current, structure = jax.lax.stop_gradient((self, structure))
        again = NeighborList._rebuild if structure.positions.ndim == 2 else jax.vmap(NeighborList._rebuild)
        keep = _serves(current, structure)
        return jax.lax.cond(keep, lambda: current, lambda: again(current, structure))

    def _check(self, structure: Structure) -> None:
        """ValueError where the atoms are not those of the list."""
        _checks.structure(structure)
        if structure.labels != self.labels or structure.pbc != self.pbc:
            raise ValueError(
                f"`structure` must have the labels {self.labels} and periodic axes {self.pbc} of the list, "
                f"got {structure.labels} and {structure.pbc}"
            )
        if structure.positions.shape != self.positions.shape:
            raise ValueError(
                f"`structure` must have positions of shape {self.positions.shape}, got {structure.positions.shape}"
            )
        if structure.cell.shape != self.cell.shape:
            raise ValueError(f"`structure` must have a cell of shape {self.cell.shape}, got {structure.cell.shape}")
        species, listed = structure.species_index, self.species_index
        if species is not listed and not _checks.is_traced(species, listed) and not np.array_equal(species, listed):
            raise ValueError("`structure` must have the species that the list was built for, got others")

    def serves(self, structure: Structure) -> bool:
        """Whether :meth:`update` would return the list as it is: all lists of a batch. Outside jit only.

        Raises:
            ValueError: the labels, periodic axes, number of atoms or species are not those of the list.
        """
        self._check(structure)
        if structure.positions.ndim == 3:
            return bool(_serves(self, structure))
        # With NumPy, which answers before JAX has been asked.
        if self.overflow:
            return False
        with np.errstate(all="ignore"):  # numbers that are not finite do not serve, and are named by who searches
            try:
                return bool(self._covers(structure, np))
            except np.linalg.LinAlgError:
                return False

    def _covers(self, structure: Structure, xp: Any = jnp) -> Array:
        """Whether every pair now within the cutoff was within cutoff + skin when the list was built."""
        return self._spent(structure, xp) < 1

    def _spent(self, structure: Structure, xp: Any = jnp) -> Array:
        """The part of the skin that is used up: below 1 every pair within the cutoff was within reach when built.

        With the periodic lattice vectors mapped by F and u the motion of the atoms beyond that map, a pair has
        D = D₀ F + u_j − u_i, so |D₀| ≤ ‖F⁻¹‖ (|D| + 2 max|u|); the spectral norm is at most 1 + ‖F⁻¹ − 1‖.
        """
        (r, cell, species), (r_now, cell_now, species_now) = (
            (xp.asarray(x.positions), xp.asarray(x.cell), xp.asarray(x.species_index)) for x in (self, structure)
        )
        same = (species == species_now).all()
        if self.skin == 0:
            return xp.where(same & (r == r_now).all() & (cell == cell_now).all(), 0.0, np.inf)
        moved, growth = r_now - r, 0.0
        axes = np.flatnonzero(self.pbc)
        if len(axes) and not (xp is np and np.array_equal(cell, cell_now)):
            full = _full if xp is jnp else np.matmul
            old, new, one = cell[axes], cell_now[axes], xp.eye(3, dtype=r.dtype)
            change = full(full(old.T, xp.linalg.inv(full(old, old.T))), new - old)  # F − 1 in the space of the axes
            moved -= full(r, change)
            growth += xp.sqrt(((xp.linalg.inv(one + change) - one) ** 2).sum())
        squared = xp.where(species >= 0, (moved * moved).sum(axis=-1), 0)
        longest = xp.sqrt(squared.max(initial=0))
        reach = max(self.cutoff, self.triple_cutoff or 0.0)  # of two cutoffs the longer one needs more
        return xp.where(same, (growth * (reach + 2 * longest) + 2 * longest) / self.skin, np.inf)

    def _request(self) -> Request:
        return Request(self.cutoff, self.triple_cutoff, self.closed, self.triple_species, self.skin)

    @property
    def capacity(self) -> Capacity:
        """The padded sizes; give them to the next list to have it share this one's compiled programs."""
        return capacity_of(self.environments)

    def _rebuild(self, structure: Structure) -> NeighborList:
        same = (structure.species_index == self.species_index).all()
        environments, overflow = rebuild(structure, self.environments, self._request())
        return dataclasses.replace(
            self,
            environments=environments,
            overflow=overflow | ~same,
            positions=jnp.asarray(structure.positions),
            cell=jnp.asarray(structure.cell),
        )


@jax.jit
def _serves(neighbors: NeighborList, structure: Structure) -> Array:
    """Whether nothing within reach of the cutoffs is missing, and nothing overflowed."""
    covers = NeighborList._covers if structure.positions.ndim == 2 else jax.vmap(NeighborList._covers)
    return (covers(neighbors, structure) & ~neighbors.overflow).all()


def make_list(
    structure: Structure, request: Request, minimum: Capacity | None, put: Callable[[np.ndarray], Any]
) -> NeighborList:
    """The list of one structure or a batch. Leaves are what `put` makes of NumPy arrays, or the structure's own."""
    environments, overflow = build(structure, request, minimum, put)

    def own(leaf: Any) -> Any:  # a copy of what somebody else may change; JAX's arrays never do
        return leaf if isinstance(leaf, jax.Array) else put(np.array(leaf))

    return NeighborList(
        environments=environments,
        overflow=overflow,
        positions=own(structure.positions),
        cell=own(structure.cell),
        species_index=own(structure.species_index),
        labels=structure.labels,
        pbc=structure.pbc,
        cutoff=request.cutoff,
        triple_cutoff=request.triple_cutoff,
        closed=request.closed,
        triple_species=request.triple_species,
        skin=request.skin,
    )


def _full(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
