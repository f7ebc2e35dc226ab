"""Reciprocal part of an Ewald sum on a mesh: the same energy, interpolated, with fast Fourier transforms."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.potentials.ewald import splines
from miniffx.potentials.ewald.charges import COULOMB, charges_of, checked_eta, on_atoms, require_crystal
from miniffx.potentials.ewald.structure_factors import reciprocal_vectors
from miniffx.structure import Structure


@dataclasses.dataclass(frozen=True)
class Mesh:
    """A mesh of points along the lattice vectors.

    Args:
        spacing: the farthest that neighbouring points may be apart, in Å.
        points: how many there are along each lattice vector a_i, which fixes shapes: at least |a_i|/spacing, and
            `order`. Time grows with it, and the error falls with the power `order` of the distance of the points.
        order: of the B-splines, from 4 on: charges and potentials are spread over order³ points.
    """

    spacing: float
    points: tuple[int, int, int]
    order: int = 6

    def __post_init__(self) -> None:
        object.__setattr__(self, "spacing", _checks.positive("spacing", self.spacing))
        if not _checks.is_whole(self.order) or self.order < 4:
            raise ValueError(f"`order` must be an integer, 4 or more, got {self.order!r}")
        object.__setattr__(self, "order", int(self.order))
        given = np.asarray(self.points)
        if given.shape != (3,) or not np.issubdtype(given.dtype, np.integer) or (given < self.order).any():
            raise ValueError(f"`points` must be three integers, `order` ({self.order}) or more, got {self.points!r}")
        object.__setattr__(self, "points", tuple(int(n) for n in given))


@pytree
class EwaldMesh(Energy):
    """E = (2π C/V) Σ_{k≠0} exp(−k²/4η²)/k² f₁ f₂ f₃ |Q(k)|² over the wave vectors of a mesh, C = 14.399645 eV Å.

    Q is the Fourier transform of the charges laid out on the points of the mesh by B-splines, f what makes up for these
    (`splines.py` has both): :class:`EwaldReciprocal` but for an error that falls with the distance of the points to the
    power of the order of the splines, at a cost that grows with the number of atoms rather than with its square. The
    energy is a smooth function of positions and cell, and forces are its derivatives. Atom i has half of q_i times the
    potential where it is. What each charge would feel of itself on the mesh is taken off (not written above). As the
    mesh stands still, forces sum up to 0 only as closely as they are correct.

    Source: U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), doi:10.1063/1.470117, with the f of V. Ballenegger,
    J. J. Cerdà, O. Lenz, C. Holm, J. Chem. Phys. 128, 034109 (2008), doi:10.1063/1.2816570.

    Args:
        eta: screening, 1/Å.
        mesh: its points.

    Raises:
        ValueError: a cell in which the points of the mesh are farther apart than its `spacing` (NaN inside jit).

    >>> import miniffx as mff
    >>> salt = mff.Structure.create(
    ...     [[0, 0, 0], [0.5, 0.5, 0.5]], ["Na", "Cl"], charges=[1.0, 0.0], fractional=True,
    ...     cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
    >>> part = mff.potentials.EwaldMesh(eta=0.6, mesh=mff.potentials.Mesh(spacing=0.3, points=(16, 16, 16)))
    >>> round(float(part(salt, part.neighbor_list(salt))), 4)
    0.3939
    """

    eta: float | Array
    mesh: Mesh = static()

    @property
    def needs(self) -> Needs:
        """No neighbours."""
        return Needs()

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar."""
        guard = self._guard(structure, neighbors)
        waves, weights, own = mapping.cast(self, structure.positions.dtype)._sums(structure)
        return 0.5 * ((weights * (waves.real**2 + waves.imag**2)).sum() - own.sum()) * guard

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        waves, weights, own = self._sums(structure)
        # All but those of the first plane stand for −k too.
        potential = jnp.fft.irfftn(weights / _twice(self.mesh.points) * waves, self.mesh.points, norm="forward")
        potentials = splines.interpolate(potential, structure.fractional_positions, self.mesh.order)
        return on_atoms(0.5 * (charges_of(structure) * potentials - own), structure)

    def _sums(self, structure: Structure) -> tuple[Array, Array, Array]:
        """Q(k) [n₁, n₂, n₃/2 + 1]; (4π C/V) exp(−k²/4η²)/k² f₁ f₂ f₃ in eV, twice where it stands for −k too; and what
        charges, [n_atoms], would feel of themselves.
        """
        n, order = self.mesh.points, self.mesh.order
        charges, x = charges_of(structure), structure.fractional_positions
        waves = jnp.fft.rfftn(splines.spread(x, charges, n, order))
        axes = [splines.Axis.of(points, order) for points in n]
        # Along each axis, to be multiplied with what is no constant: XLA would make arrays of products of constants.
        axes[2] = axes[2].half()
        numbers, factors, squares, neighbors = zip(
            *([jnp.expand_dims(jnp.asarray(f, x.dtype), _but(a)) for f in axis] for a, axis in enumerate(axes)),
            strict=True,
        )
        b = reciprocal_vectors(structure)
        # Sums of products rather than a matrix product, which a device might round down.
        square: Any = sum(sum(numbers[a] * b[a, i] for a in range(3)) ** 2 for i in range(3))
        square = square.at[0, 0, 0].set(1)
        green = 4 * math.pi * COULOMB / structure.volume * jnp.exp(-square / (4 * checked_eta(self.eta) ** 2)) / square
        weights = (green * factors[0] * factors[1] * (factors[2] * _twice(n))).at[0, 0, 0].set(0)
        own = jnp.zeros_like(charges)
        u = splines.places(x, n)
        for a in range(3):
            f1, f2, f3 = (neighbors[k] if k == a else squares[k] for k in range(3))
            own += 2 * (weights * f1 * f2 * f3).sum() * charges**2 * jnp.cos(2 * math.pi * u[:, a])
        return waves, weights, own

    def _guard(self, structure: Structure, neighbors: NeighborList) -> Array:
        require_crystal(structure, neighbors)
        lengths = jnp.sqrt((jnp.asarray(structure.cell) ** 2).sum(axis=-1))
        wanted = lengths / self.mesh.spacing
        enough = wanted <= jnp.asarray(self.mesh.points) * (1 + 1e-6)
        if not _checks.is_traced(enough) and not enough.all():
            least = tuple(np.asarray(jnp.ceil(wanted).astype(int)).tolist())
            raise ValueError(f"`points` of the mesh must be at least {least} for this cell, got {self.mesh.points}")
        return super()._guard(structure, neighbors) * mapping.one_where(enough.all(), structure)


def _twice(points: splines.Points) -> np.ndarray:
    """1 for the first of the last axis, 2 for the others."""
    return np.where(np.arange(points[2] // 2 + 1) == 0, 1, 2)


def _but(axis: int) -> tuple[int, ...]:
    """The other two of three axes."""
    return tuple(k for k in range(3) if k != axis)
