"""jax-md: our energies for its simulations and minimizers, and its energies among ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks, geometry
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure


def to_jax_md(
    energy: Energy,
    structure: Structure,
    *,
    skin: float = 0.5,
    capacity_multiplier: float = 1.25,
    fractional_coordinates: bool = False,
) -> tuple[Any, Callable[..., Array]]:
    """(neighbor_fn, energy_fn), as jax-md's own ``..._neighbor_list`` functions return them.

    ``neighbors = neighbor_fn.allocate(R)`` makes a list outside jit, ``neighbors.update(R)`` follows the atoms inside,
    ``neighbors.did_buffer_overflow`` tells when it has to be allocated anew, and ``energy_fn(R, neighbor=neighbors)``
    is what :mod:`jax_md.simulate` and :mod:`jax_md.minimize` take. All periodic images count, however small the box.

    An energy is never that of a list out of date: `energy_fn` updates the list for itself where it has to. Atoms
    that a `shift_fn` has wrapped into the box are taken back to the image that the list knows. On overflow energies
    and forces are NaN.

    With ``box=`` (as in NPT simulations, to `allocate`, `update` and `energy_fn` alike) the box is another one than
    that of `structure`; it is jax-md's: an edge, edges, or a matrix with the lattice vectors as *columns*.
    ``perturbation=`` strains displacements, as in jax-md.

    Args:
        energy: a potential or a model, in eV and Å: so masses are in eV/(Å/time)², kT is in eV.
        structure: species, charges, periodic axes and, unless `box` is given, the cell.
        skin: jax-md's `dr_threshold` in Å: the list reaches that much farther than the cutoffs.
        capacity_multiplier: so much more room for neighbours than the atoms have when a list is allocated.
        fractional_coordinates: whether R is in units of the box. Forces are in eV/Å all the same, as in jax-md.

    Raises:
        ImportError: without jax-md.
        ValueError: arguments out of range; fractional coordinates without a volume.

    >>> import jax, miniffx as mff
    >>> from jax_md import simulate, space
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> neighbor_fn, energy_fn = mff.calculators.to_jax_md(lj, argon)
    >>> init, apply = simulate.nve(energy_fn, space.free()[1], dt=0.01)
    >>> neighbors = neighbor_fn.allocate(argon.positions)
    >>> state = init(jax.random.key(0), argon.positions, kT=0.001, mass=39.9, neighbor=neighbors)
    >>> state = apply(state, neighbor=neighbors)
    >>> neighbors = neighbors.update(state.position)
    >>> bool(neighbors.did_buffer_overflow)
    False
    """
    partition = _import().partition
    skin = _checks.non_negative("skin", skin)
    multiplier = _checks.positive("capacity_multiplier", capacity_multiplier)
    if multiplier < 1:
        raise ValueError(f"`capacity_multiplier` must be at least 1, got {capacity_multiplier!r}")
    if not hasattr(energy, "neighbor_list"):
        raise ValueError(f"`energy` must have a `neighbor_list`, as potentials and models do, got {energy!r}")
    structure = jax.tree.map(jnp.asarray, structure)
    if fractional_coordinates and not structure.volume > 0:
        raise ValueError(f"`fractional_coordinates` must be False without a volume, got {structure.cell.tolist()}")

    def allocate(position: Array, extra_capacity: int = 0, box: Any = None, **_: Any) -> JaxMDNeighbors:
        if extra_capacity:
            raise ValueError(f"`extra_capacity` must be 0: `capacity_multiplier` gives room, got {extra_capacity}")
        placed = _placed(structure, jnp.asarray(position), box, fractional_coordinates)
        room = energy.neighbor_list(placed, skin).capacity.enlarged(multiplier)
        neighbors = energy.neighbor_list(placed, skin, capacity=room)
        return JaxMDNeighbors(structure, neighbors, fractional_coordinates)

    def update(position: Array, neighbors: JaxMDNeighbors, **kwargs: Any) -> JaxMDNeighbors:
        return neighbors.update(position, **kwargs)

    def energy_fn(
        R: Array, neighbor: JaxMDNeighbors, box: Any = None, perturbation: Any = None, **others: Any
    ) -> Array:
        if "new_box" in others:
            raise ValueError("`new_box` must not be given: say `box` or `perturbation`")
        placed = neighbor.place(R, box)
        if perturbation is not None:
            placed = placed.strain(_matrix(perturbation, placed.positions.dtype) - np.eye(3))
        return energy(placed, neighbor.neighbors.update(placed))

    return partition.NeighborListFns(allocate, update), energy_fn


@pytree
class JaxMDNeighbors:
    """A neighbour list with the face of jax-md's, made by ``neighbor_fn.allocate`` of :func:`to_jax_md`.

    Attributes:
        structure: what jax-md does not know of: species, axes, the cell unless a box is given.
        neighbors: the list itself.
        fractional_coordinates: whether positions are in units of the box (static).
    """

    structure: Structure
    neighbors: NeighborList
    fractional_coordinates: bool = static()

    def update(self, position: Array, box: Any = None, **_: Any) -> JaxMDNeighbors:
        """The list for moved atoms or another box (:meth:`miniffx.NeighborList.update`)."""
        return dataclasses.replace(self, neighbors=self.neighbors.update(self.place(position, box)))

    @property
    def did_buffer_overflow(self) -> Array:
        """Whether the capacities did not suffice, so that energies are NaN until a list is allocated anew."""
        return self.neighbors.overflow

    @property
    def reference_position(self) -> Array:
        """[n_atoms, 3]: where the atoms were in the last search, in Å, not wrapped."""
        return self.neighbors.positions

    def place(self, position: Array, box: Any = None) -> Structure:
        """The structure with these positions, each moved by lattice vectors to the image nearest to the list's."""
        placed = _placed(self.structure, jnp.asarray(position), box, self.fractional_coordinates)
        axes = np.flatnonzero(placed.pbc)
        if not len(axes):
            return placed
        old, new = self.neighbors.cell[axes], placed.cell[axes]
        turns = _coordinates(placed.positions, new) - _coordinates(self.neighbors.positions, old)
        shift = _product(jnp.round(jax.lax.stop_gradient(turns)), new)
        return dataclasses.replace(placed, positions=placed.positions - shift)


def from_jax_md(
    energy_fn: Callable[..., Array],
    cutoff: float,
    *,
    box: Any = None,
    format: Any = None,
) -> JaxMDEnergy:
    """A jax-md energy as one of ours: it adds up with others, and has forces and a stress.

    It must have been made with real coordinates (`displacement` of ``space.free()``, ``space.periodic(box)`` or
    ``space.periodic_general(box, fractional_coordinates=False)``). Cells other than `box` reach it as jax-md's
    `perturbation`, so that it serves relaxing and straining cells as well.

    jax-md takes the nearest image of every neighbour only. Where that is not enough, in a cell less than two cutoffs
    high, and for a structure with padding, of which jax-md knows nothing, it raises (inside jit the energy is NaN).

    Args:
        energy_fn: ``energy_fn(R)``, or ``energy_fn(R, neighbor=...)`` where a `format` is given; in eV and Å.
        cutoff: how far it reaches in Å.
        box: what its displacement function was made with; None for free boundaries.
        format: of the list that it reads, ``jax_md.partition.Dense`` or another, filled from ours.

    Raises:
        ImportError: without jax-md.
        ValueError: a cutoff that is not positive, a box without a volume; when called, axes that do not fit the box:
            all periodic, or none.

    >>> import miniffx as mff
    >>> from jax_md import energy, space
    >>> displacement, _ = space.free()
    >>> spheres = mff.calculators.from_jax_md(energy.soft_sphere_pair(displacement, sigma=3.0), cutoff=3.0)
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 2.0]], ["Ar", "Ar"])
    >>> total = lj + spheres
    >>> f"{spheres(argon, total.neighbor_list(argon)):.4f}"   # (1 − 2/3)² / 2
    '0.0556'
    """
    _import()
    matrix = None if box is None else _matrix(box, jnp.result_type(float))
    if matrix is not None and (matrix.shape != (3, 3) or not abs(np.linalg.det(np.asarray(matrix))) > 0):
        raise ValueError(f"`box` must be an edge, three edges or three vectors that span a volume, got {box}")
    return JaxMDEnergy(matrix, energy_fn, _checks.positive("cutoff", cutoff), format)


@pytree
class JaxMDEnergy(Energy):
    """An energy of jax-md, made by :func:`from_jax_md`.

    Attributes:
        box: [3, 3], lattice vectors as columns, or None.
        energy_fn, reach, format: as given (static).
    """

    box: Array | None
    energy_fn: Callable[..., Array] = static()
    reach: float = static()
    format: Any = static()

    @property
    def needs(self) -> Needs:
        """Pairs up to the cutoff."""
        return Needs(cutoff=self.reach)

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar."""
        if set(structure.pbc) != {self.box is not None}:
            wanted = "periodic along no axis" if self.box is None else "periodic along all axes"
            raise ValueError(f"`structure` must be {wanted}, as `box` is, got pbc {structure.pbc}")
        valid = structure.mask.all()
        kwargs = {}
        positions = jnp.asarray(structure.positions)
        if self.box is not None:
            cell = jnp.asarray(structure.cell)
            valid &= 2 * self.reach < (1 / jnp.linalg.norm(jnp.linalg.inv(cell), axis=0)).min()  # heights
            # With cell = reference F: r F⁻¹ is in the reference box, and displacements there are strained by F.
            back = _product(jnp.linalg.inv(cell), self.box.T.astype(cell.dtype))
            positions = _product(positions, back)
            kwargs["perturbation"] = jnp.linalg.inv(back).T
        if self.format is not None:
            kwargs["neighbor"] = self._list(structure, neighbors)
        if not _checks.is_traced(valid) and not valid:
            raise ValueError(
                f"`structure` must have no padding and a cell at least two cutoffs ({2 * self.reach} Å) high, "
                f"got {int(structure.mask.sum())} atoms in {structure.n_atoms} rows and {structure.cell.tolist()}"
            )
        value = self.energy_fn(positions, **kwargs)
        guard = jnp.where(valid, 0, jnp.nan).astype(positions.dtype) * structure.positions.sum()
        return (value + guard).astype(positions.dtype) * self._guard(structure, neighbors)

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """jax-md gives the total only: raises ValueError."""
        raise ValueError("`atomic` needs energies per atom, which an energy of jax-md does not give")

    def _list(self, structure: Structure, neighbors: NeighborList) -> Any:
        """A list of jax-md with the pairs closer than the cutoff: in cells as high as required, each once."""
        partition = _import().partition
        n = structure.n_atoms
        width = max((e.neighbors.shape[1] for e in neighbors.environments), default=0)
        dense = jnp.full((n, width), n, jnp.int32)
        for environment in neighbors.environments:
            near = geometry.norm(geometry.displacements(structure, environment)) < self.reach
            other = environment.neighbors != environment.centers[:, None]  # not padding
            row = jnp.where(near & other, environment.neighbors, n)
            dense = dense.at[environment.centers, : row.shape[1]].set(row, mode="drop")
        index = dense
        if self.format is not partition.Dense:
            first, second = dense.ravel(), jnp.repeat(jnp.arange(n, dtype=jnp.int32), width)
            listed = first < (second if self.format is partition.OrderedSparse else n)
            index = jnp.where(listed, jnp.stack([first, second]), n)
        error = partition.PartitionError(jnp.zeros((), jnp.uint8))
        size = index.shape[-1]
        return partition.NeighborList(index, structure.positions, error, None, size, self.format, None, None, None)


def _placed(structure: Structure, position: Array, box: Any, fractional: bool) -> Structure:
    """The structure with these positions and box, as jax-md has them."""
    cell = structure.cell if box is None else _matrix(box, position.dtype).T
    if fractional:
        # jax-md's rule: a derivative in fractional coordinates is one in Å, and boxes take the atoms along.
        fixed = jax.lax.stop_gradient(position)
        position = _product(fixed, cell) + (position - fixed)
    return dataclasses.replace(structure, positions=position, cell=cell)


def _matrix(box: Any, dtype: Any) -> Array:
    """[3, 3] of an edge, three edges, or a matrix."""
    box = jnp.asarray(box, dtype)
    return box if box.ndim == 2 else box * jnp.eye(3, dtype=dtype)


def _coordinates(positions: Array, vectors: Array) -> Array:
    """[n_atoms, k] coordinates along k lattice vectors, of the projection where these are fewer than three."""
    return _product(positions, _product(vectors.T, jnp.linalg.inv(_product(vectors, vectors.T))))


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _import() -> ModuleType:
    try:
        import jax_md
    except ImportError as error:
        raise ImportError("jax-md is not installed: pip install 'miniffx[jax-md]'") from error
    return jax_md
