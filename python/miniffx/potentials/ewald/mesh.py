"""Reciprocal part of an Ewald sum on a mesh: the same energy, interpolated, with fast Fourier transforms."""

from __future__ import annotations

import dataclasses
import math

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
    potential where it is. The sum of the forces is not exactly 0: each charge interacts a little with its own image on
    the mesh.

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
        waves, weights, own = mapping.cast(self, structure)._sums(structure)
        return 0.5 * ((weights * (waves.real**2 + waves.imag**2)).sum() - own.sum()) * guard

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms."""
        waves, weights, own = self._sums(structure)
        # All but those of the first plane stand for −k too.
        potential = jnp.fft.irfftn(weights / _twice(weights) * waves, self.mesh.points, norm="forward")
        potentials = splines.interpolate(potential, structure.fractional_positions, self.mesh.order)
        return on_atoms(0.5 * (charges_of(structure) * potentials - own), structure)

    def _sums(self, structure: Structure) -> tuple[Array, Array, Array]:
        """Q(k) [n₁, n₂, n₃/2 + 1]; (4π C/V) exp(−k²/4η²)/k² f₁ f₂ f₃ in eV, twice where it stands for −k too; and what
        charges, [n_atoms], would feel of themselves.
        """
        n, order = self.mesh.points, self.mesh.order
        charges, x = charges_of(structure), structure.fractional_positions
        waves = jnp.fft.rfftn(splines.spread(x, charges, n, order))
        axes = [
            splines.Axis.of(n[0], order, False),
            splines.Axis.of(n[1], order, False),
            splines.Axis.of(n[2], order, True),
        ]

        def product(*of_axes: np.ndarray) -> Array:
            return jnp.asarray(math.prod(np.ix_(*of_axes)), x.dtype)

        b = reciprocal_vectors(structure)
        m = np.ix_(*(axis.numbers for axis in axes))
        # Sums of products rather than a matrix product, which a device might round down.
        square = sum(sum(jnp.asarray(m[a], x.dtype) * b[a, i] for a in range(3)) ** 2 for i in range(3))
        real = (m[0] != 0) | (m[1] != 0) | (m[2] != 0)
        square = jnp.where(real, square, 1)
        green = 4 * math.pi * COULOMB / structure.volume * jnp.exp(-square / (4 * checked_eta(self.eta) ** 2)) / square
        weights = jnp.where(real, green * product(*(axis.factors for axis in axes)), 0)
        weights *= _twice(weights)
        own = jnp.zeros_like(charges)
        u = splines.places(x, n)
        for a in range(3):
            strength = weights * product(*(axis.neighbors if k == a else axis.squares for k, axis in enumerate(axes)))
            own += 2 * strength.sum() * charges**2 * jnp.cos(2 * math.pi * u[:, a])
        return waves, weights, own

    def _guard(self, structure: Structure, neighbors: NeighborList) -> Array:
        require_crystal(structure, neighbors)
        lengths = jnp.sqrt((jnp.asarray(structure.cell) ** 2).sum(axis=-1))
        wanted = lengths / self.mesh.spacing
        enough = wanted <= jnp.asarray(self.mesh.points) * (1 + 1e-6)
        if not _checks.is_traced(enough) and not enough.all():
            least = tuple(np.asarray(jnp.ceil(wanted).astype(int)).tolist())
            raise ValueError(f"`points` of the mesh must be at least {least} for this cell, got {self.mesh.points}")
        positions = jnp.where(structure.mask[:, None], structure.positions, 0)
        valid = 1 + jnp.where(enough.all(), 0, jnp.nan).astype(positions.dtype) * positions.sum()
        return super()._guard(structure, neighbors) * valid


def _twice(weights: Array) -> np.ndarray:
    """1 for the first of the last axis, 2 for the others."""
    return np.where(np.arange(weights.shape[2]) == 0, 1, 2)
