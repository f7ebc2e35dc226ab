"""Structures: positions, species, cell; labels to indices; padding and stacking."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import host, pytree, static

if TYPE_CHECKING:
    import ase

Array = jax.Array
PADDING = -1  # the species index of an atom that is only there to fill a shape


@pytree
class Structure:
    """Atoms, in a cell or free.

    Build one with :meth:`create` or :meth:`from_ase`; the fields below are what jitted code sees. Lengths are
    in Å, charges in elementary charges. A padded structure holds extra atoms of species index −1, which
    contribute to nothing. Change a field with :func:`dataclasses.replace`.

    Attributes:
        positions: [n_atoms, 3] Cartesian positions in Å; atoms need not be inside the cell.
        species_index: [n_atoms] integers, indices into `labels`; −1 marks padding.
        cell: [3, 3], rows are the lattice vectors in Å; a vector of an open axis may be zero.
        charges: [n_atoms] or None.
        labels: the species that may occur, sorted (static).
        pbc: which of the three axes are periodic (static).
    """

    positions: Array
    species_index: Array
    cell: Array
    charges: Array | None = None
    labels: tuple[str, ...] = static(default=())
    pbc: tuple[bool, bool, bool] = static(default=(False, False, False))

    # -- making ----------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        positions: Any,
        species: Sequence[str],
        cell: Any = None,
        pbc: Any = None,
        fractional: bool = False,
        charges: Any = None,
    ) -> Structure:
        """A structure from arrays, checked.

        Args:
            positions: [n_atoms, 3], in Å, or in units of the lattice vectors where `fractional`.
            species: n_atoms labels, chemical symbols or any string.
            cell: [3, 3], rows are lattice vectors in Å; or three edge lengths of a rectangular box; or None.
            pbc: bool or three bools; by default periodic where a cell is given.
            fractional: whether `positions` are fractional coordinates.
            charges: [n_atoms] in elementary charges, or None.

        Returns:
            A Structure whose floats have the dtype of `positions` (float32 unless JAX's x64 mode is on).

        Raises:
            ValueError: wrong shapes, numbers that are not finite, a singular cell along periodic axes.

        >>> import miniffx as mff
        >>> si = mff.Structure.create(
        ...     [[0, 0, 0], [0.25, 0.25, 0.25]], ["Si", "Si"],
        ...     cell=[[0, 2.7155, 2.7155], [2.7155, 0, 2.7155], [2.7155, 2.7155, 0]], fractional=True)
        >>> si.n_atoms, si.pbc
        (2, (True, True, True))
        """
        return jax.tree.map(
            jnp.asarray, host_structure(positions, species, cell, pbc, fractional=fractional, charges=charges)
        )

    @classmethod
    def from_ase(cls, atoms: ase.Atoms) -> Structure:
        """The structure of an :class:`ase.Atoms`; initial charges are taken over where there are any."""
        return jax.tree.map(jnp.asarray, host_structure_from_ase(atoms))

    def to_ase(self) -> ase.Atoms:
        """An :class:`ase.Atoms` without the padding. Raises ValueError for a label that is no element."""
        import ase
        from ase.data import atomic_numbers

        real = np.asarray(self.mask)
        symbols = [label for label, keep in zip(self.species, real, strict=True) if keep]
        unknown = sorted(set(symbols) - set(atomic_numbers))
        if unknown:
            raise ValueError(f"`species` must be chemical symbols for ASE, got {', '.join(unknown)}")
        charges = None if self.charges is None else np.asarray(self.charges, dtype=np.float64)[real]
        return ase.Atoms(
            symbols,
            positions=np.asarray(self.positions, dtype=np.float64)[real],
            cell=np.asarray(self.cell, dtype=np.float64),
            pbc=self.pbc,
            charges=charges,
        )

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def n_atoms(self) -> int:
        """The number of rows of `positions`, padding included."""
        return self.positions.shape[-2]

    @property
    def mask(self) -> Array:
        """[n_atoms] bool: True for real atoms, False for padding."""
        return self.species_index != PADDING

    @property
    def species(self) -> tuple[str, ...]:
        """The label of every atom ("" for padding). Not available inside jit."""
        if _checks.is_traced(self.species_index):
            raise ValueError("`species` must be read outside jit; inside, use `species_index` and `labels`")
        return tuple("" if index == PADDING else self.labels[index] for index in np.asarray(self.species_index))

    @property
    def volume(self) -> Array:
        """The volume of the cell in Å³; 0 where a lattice vector is missing."""
        return jnp.abs(jnp.linalg.det(jnp.asarray(self.cell)))

    @property
    def fractional_positions(self) -> Array:
        """[n_atoms, 3] positions in units of the lattice vectors. Needs all three of them."""
        return _product(self.positions, _inverse(self.cell))

    # -- changing: each returns a new structure --------------------------------------------------------------

    def repeat(self, times: int | Sequence[int]) -> Structure:
        """A supercell of `times` copies along each lattice vector (one number or three)."""
        given = np.asarray(times)
        if given.shape not in ((), (3,)) or not np.issubdtype(given.dtype, np.integer) or (given < 1).any():
            raise ValueError(f"`times` must be one or three positive integers, got {times!r}")
        n = np.broadcast_to(given, (3,))
        cells = np.stack(np.meshgrid(*(np.arange(k) for k in n), indexing="ij"), axis=-1).reshape(-1, 3)
        cell = jnp.asarray(self.cell)
        offsets = _product(jnp.asarray(cells, cell.dtype), cell)
        positions = (offsets[:, None, :] + self.positions[None, :, :]).reshape(-1, 3)
        return dataclasses.replace(
            self,
            positions=positions,
            species_index=jnp.tile(jnp.asarray(self.species_index), len(cells)),
            cell=cell * jnp.asarray(n, cell.dtype)[:, None],
            charges=None if self.charges is None else jnp.tile(jnp.asarray(self.charges), len(cells)),
        )

    def wrap(self) -> Structure:
        """The same crystal with every atom moved into the cell along the periodic axes, and only along those."""
        if not any(self.pbc):
            return self
        periodic = np.asarray(self.pbc)
        cell = jnp.asarray(self.cell)
        # Vectors of open axes may be missing or make no basis: then normals of the periodic ones complete the basis.
        completed = jnp.where(periodic[:, None], cell, _complement(cell, self.pbc))
        independent = self.volume > 1e-6 * jnp.prod(jnp.linalg.norm(cell, axis=1))
        cell = jnp.where(independent, cell, completed)
        turns = jnp.where(periodic, jnp.floor(_product(self.positions, _inverse(cell))), 0)
        return dataclasses.replace(self, positions=self.positions - _product(turns, cell))

    def strain(self, eps: Any) -> Structure:
        """The structure deformed by r → (1 + ε) r, atoms and cell alike; ε is [3, 3], dimensionless."""
        cell = jnp.asarray(self.cell)
        deformation = jnp.eye(3, dtype=cell.dtype) + jnp.asarray(eps, cell.dtype)
        return dataclasses.replace(
            self,
            positions=_product(self.positions, deformation.T),
            cell=_product(cell, deformation.T),
        )

    def relabel(self, labels: Sequence[str]) -> Structure:
        """The same structure indexed by another table of labels, which must contain every label in use."""
        table = tuple(labels)
        missing = [label for label in self.labels if label not in table]
        if missing:
            raise ValueError(f"`labels` must contain every species, {', '.join(missing)} missing from {table}")
        if table == self.labels:
            return self
        lookup = np.asarray([table.index(label) for label in self.labels] + [PADDING], dtype=np.int32)
        return dataclasses.replace(self, species_index=lookup[self.species_index], labels=table)

    def pad(self, n_atoms: int) -> Structure:
        """The same structure filled up with padding atoms to `n_atoms` rows."""
        extra = n_atoms - self.n_atoms
        if extra < 0:
            raise ValueError(f"`n_atoms` must be at least {self.n_atoms}, got {n_atoms}")
        if extra == 0:
            return self
        xp = np if isinstance(self.positions, np.ndarray) else jnp
        return dataclasses.replace(
            self,
            positions=xp.pad(self.positions, ((0, extra), (0, 0))),
            species_index=xp.pad(self.species_index, (0, extra), constant_values=PADDING),
            charges=None if self.charges is None else xp.pad(self.charges, (0, extra)),
        )


def stack(structures: Sequence[Structure], n_atoms: int | None = None) -> Structure:
    """Different structures as one batch for :func:`jax.vmap`: padded to a common size, stacked leaf by leaf.

    Args:
        structures: any sizes and species; the periodic axes must be the same, and charges present in all or none.
        n_atoms: rows per structure; by default those of the largest.

    Returns:
        A Structure whose leaves have a leading batch axis: positions [batch, n_atoms, 3] and so on. Its labels
        are the union of all labels. Unstack with ``jax.tree.map(lambda leaf: leaf[b], batch)``.
    """
    if not structures:
        raise ValueError("`structures` must hold at least one structure, got none")
    if any(structure.positions.ndim != 2 for structure in structures):
        raise ValueError("`structures` must be single structures, got a batch")
    pbcs = {structure.pbc for structure in structures}
    if len(pbcs) > 1:
        raise ValueError(f"`structures` must share their periodic axes, got {sorted(pbcs)}")
    if len({structure.charges is None for structure in structures}) > 1:
        raise ValueError("`structures` must all have charges or none, got a mixture")
    labels = tuple(sorted({label for structure in structures for label in structure.labels}))
    size = max(structure.n_atoms for structure in structures) if n_atoms is None else n_atoms
    if size < max(structure.n_atoms for structure in structures):
        raise ValueError(f"`n_atoms` must be at least {max(s.n_atoms for s in structures)}, got {n_atoms}")
    relabelled = [structure.relabel(labels) for structure in structures]

    def stacked(name: str, fill: float | None) -> Any:
        """One leaf of all of them, with rows up to `size` filled."""
        leaves = [np.asarray(getattr(structure, name)) for structure in relabelled]
        if fill is None:
            return np.stack(leaves)
        result = np.full((len(leaves), size, *leaves[0].shape[1:]), fill, np.result_type(*leaves))
        for row, leaf in zip(result, leaves, strict=True):
            row[: len(leaf)] = leaf
        return result

    return dataclasses.replace(
        relabelled[0],
        positions=stacked("positions", 0),
        cell=stacked("cell", None),
        species_index=stacked("species_index", PADDING),
        charges=None if relabelled[0].charges is None else stacked("charges", 0),
    )


def host_structure(
    positions: Any,
    species: Sequence[str],
    cell: Any = None,
    pbc: Any = None,
    fractional: bool = False,
    charges: Any = None,
    dtype: Any = None,
) -> Structure:
    """As :meth:`Structure.create`, with NumPy arrays as leaves: for data sets, which stay on the host."""
    dtype = _float_dtype(positions) if dtype is None else dtype
    positions = _checks.array("positions", positions, (None, 3), "an array of Cartesian positions")
    labelled = not isinstance(species, str) and hasattr(species, "__iter__")
    if not labelled or not all(isinstance(label, str) and label for label in species):
        raise ValueError(f"`species` must be a sequence of non-empty labels, got {species!r}")
    species = tuple(str(label) for label in species)
    if len(species) != len(positions):
        raise ValueError(f"`species` must have one label per atom ({len(positions)}), got {len(species)}")
    periodic = _pbc(cell is not None if pbc is None else pbc)
    if cell is None:
        cell = np.zeros((3, 3))
    elif np.ndim(cell) == 1:
        cell = np.diag(_checks.array("cell", cell, (3,), "three edge lengths"))
    else:
        cell = _checks.array("cell", cell, (3, 3), "a matrix of lattice vectors")
    _check_cell(cell, periodic)
    if fractional:
        if abs(np.linalg.det(cell)) == 0:
            raise ValueError(
                f"`cell` must have three independent vectors for fractional positions, got {cell.tolist()}"
            )
        positions = positions @ cell
    if charges is not None:
        charges = _checks.array("charges", charges, (len(positions),), "one charge per atom").astype(dtype)
    labels = tuple(sorted(set(species)))
    table = {label: index for index, label in enumerate(labels)}
    return Structure(
        positions=positions.astype(dtype),
        species_index=host(np.array([table[label] for label in species], dtype=np.int32)),
        cell=cell.astype(dtype),
        charges=charges,
        labels=labels,
        pbc=periodic,
    )


def host_structure_from_ase(atoms: ase.Atoms, dtype: Any = None) -> Structure:
    """As :meth:`Structure.from_ase`, with NumPy arrays as leaves."""
    charges = atoms.get_initial_charges() if atoms.has("initial_charges") else None
    cell = np.asarray(atoms.cell.array)
    return host_structure(
        atoms.positions,
        atoms.get_chemical_symbols(),
        cell if cell.any() else None,
        tuple(bool(flag) for flag in atoms.pbc),
        charges=charges,
        dtype=dtype,
    )


def _float_dtype(positions: Any) -> Any:
    """The floating dtype of `positions` as JAX would keep it, single precision at least."""
    dtype = getattr(positions, "dtype", np.dtype(np.float64))
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = np.dtype(np.float64)
    elif jnp.finfo(dtype).bits < 32:
        dtype = np.dtype(np.float32)
    return jax.dtypes.canonicalize_dtype(dtype)


def _pbc(pbc: Any) -> tuple[bool, bool, bool]:
    flags = np.asarray(pbc)
    if flags.dtype != np.bool_ and not (flags.dtype.kind in "iu" and np.isin(flags, (0, 1)).all()):
        raise ValueError(f"`pbc` must be a bool or three bools, got {pbc!r}")
    if flags.shape not in ((), (3,)):
        raise ValueError(f"`pbc` must be a bool or three bools, got {pbc!r}")
    a, b, c = (bool(flag) for flag in np.broadcast_to(flags, (3,)))
    return a, b, c


def _check_cell(cell: np.ndarray, pbc: tuple[bool, bool, bool]) -> None:
    """ValueError unless the periodic lattice vectors are linearly independent."""
    vectors = cell[np.asarray(pbc)]
    if not len(vectors):
        return
    lengths = np.linalg.norm(vectors, axis=1)
    if (lengths == 0).any() or np.linalg.svd(vectors / lengths[:, None], compute_uv=False)[-1] < 1e-9:
        raise ValueError(f"`cell` must have independent vectors along the periodic axes {pbc}, got {cell.tolist()}")


def _product(rows: Array, matrix: Array) -> Array:
    """rows @ matrix for 3 × 3 matrices, at full precision on every device."""
    return jnp.matmul(jnp.asarray(rows), matrix, precision=jax.lax.Precision.HIGHEST)


def _inverse(cell: Array) -> Array:
    """The inverse of a cell from cross products."""
    a, b, c = jnp.asarray(cell)
    reciprocal = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=1)
    return reciprocal / jnp.dot(a, jnp.cross(b, c), precision=jax.lax.Precision.HIGHEST)


def _complement(cell: Array, pbc: tuple[bool, bool, bool]) -> Array:
    """[3, 3]: on the rows of open axes, unit vectors normal to the periodic ones and to each other."""
    cell = jnp.asarray(cell)
    periodic = [cell[axis] for axis in range(3) if pbc[axis]]
    basis: list[Array] = []
    for vector in periodic:  # Gram-Schmidt
        for unit in basis:
            vector = vector - unit * (vector * unit).sum()
        basis.append(vector / jnp.linalg.norm(vector))
    rows = []
    for axis in range(3):
        if pbc[axis]:
            rows.append(jnp.zeros(3, cell.dtype))
            continue
        # Of the Cartesian axes, the one that the basis so far covers least leaves the longest remainder.
        remainder = jnp.eye(3, dtype=cell.dtype)
        for unit in basis:
            remainder = remainder - (remainder * unit).sum(axis=1, keepdims=True) * unit
        norms = jnp.linalg.norm(remainder, axis=1)
        best = jnp.argmax(norms)
        basis.append(remainder[best] / norms[best])
        rows.append(basis[-1])
    return jnp.stack(rows)
