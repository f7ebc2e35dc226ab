"""Charges on a mesh and potentials off it, by cardinal B-splines: what a particle-mesh sum consists of.

An atom at the fractional coordinates x lies at u = n x between the n points of an axis. It lays the weights
M_p(u − m) on the p points m below it, along three axes their products: a window of p³ points. M_p is the cardinal
B-spline of order p, a bell of p pieces with p − 2 continuous derivatives:

    M_1 = 1 on [0, 1),    M_k(u) = u/(k−1) M_{k−1}(u) + (k−u)/(k−1) M_{k−1}(u − 1).

On the mesh a plane wave of m periods is no plane wave alone: with W(m) = [sin(π m/n)/(π m/n)]^p it comes along with
its aliases, Σ_a W(m + a n) exp(2πi (m + a n) u/n). Multiplying by

    f(m) = W(m)² / [Σ_a W(m + a n)²]²

along each axis, after charges were laid out and before potentials are read, makes the mean square error of potentials
least for every wave: V. Ballenegger, J. J. Cerdà, O. Lenz, C. Holm, J. Chem. Phys. 128, 034109 (2008),
doi:10.1063/1.2816570.

A charge alone would feel where it is on the mesh: of its interaction with itself, Σ_k G f₁ f₂ f₃ Σ_ab W_a W_b
exp(2πi (a − b) u) with G the kernel, the terms a − b = ±1 along each axis are far more than all further ones. The
splines: U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), doi:10.1063/1.470117.
"""

from __future__ import annotations

import itertools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from miniffx.neighbors import Array

CHUNK = 2**17  # mesh points in the windows of the atoms that are handled at a time: they stay in the cache
ALIASES = 8  # on either side: what is left out of Σ_a W² is below 1e-9 of it

Points = tuple[int, int, int]


def spread(fractional: Array, charges: Array, points: Points, order: int) -> Array:
    """Charges laid out on the mesh, [n₁, n₂, n₃].

    Args:
        fractional: [n_atoms, 3].
        charges: [n_atoms].
        points: of the mesh, `order` at least along each axis.
        order: p.
    """
    wide = tuple(n + order - 1 for n in points)  # windows that reach over the edge, folded back below

    def lay(mesh: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        x, q = chunk
        windows = jax.checkpoint(lambda x, q: q[:, None, None, None] * _windows(x, points, order))(x, q)
        return jax.lax.scatter_add(mesh, _corners(x, points, order), windows, _SCATTER, mode="promise_in_bounds"), None

    mesh, _ = jax.lax.scan(lay, jnp.zeros(wide, charges.dtype), _chunks(fractional, charges, order))
    for axis, n in enumerate(points):
        inner, over = jnp.split(mesh, [n], axis=axis)
        first = tuple(slice(over.shape[k]) if k == axis else slice(None) for k in range(3))
        mesh = inner.at[first].add(over)
    return mesh


def interpolate(mesh: Array, fractional: Array, order: int) -> Array:
    """[n_atoms] values of the mesh at places between its points."""
    points: Points = mesh.shape  # type: ignore[assignment]
    for axis in range(3):
        over = jax.lax.slice_in_dim(mesh, 0, order - 1, axis=axis)
        mesh = jnp.concatenate([mesh, over], axis=axis)

    def read(chunk: tuple[Array, Array]) -> Array:
        x, q = chunk
        values = jax.lax.gather(mesh, _corners(x, points, order), _GATHER, (order,) * 3, mode="promise_in_bounds")
        return q * (values * _windows(x, points, order)).sum(axis=(1, 2, 3))

    n = fractional.shape[0]
    chunks = _chunks(fractional, jnp.ones(n, mesh.dtype), order)
    return jax.lax.map(jax.checkpoint(read), chunks).reshape(-1)[:n]


class Axis(NamedTuple):
    """What splines do to the waves along one axis, [waves] in the order of a Fourier transform.

    Attributes:
        numbers: m.
        factors: f(m); 0 where m and −m are the same wave of the mesh.
        squares: Σ_a W(m + a n)².
        neighbors: Σ_a W(m + a n) W(m + a n + n).
    """

    numbers: np.ndarray
    factors: np.ndarray
    squares: np.ndarray
    neighbors: np.ndarray

    @classmethod
    def of(cls, points: int, order: int) -> Axis:
        """Of all waves of so many points."""
        m = np.fft.fftfreq(points, 1 / points)
        w = np.sinc((m[:, None] + points * np.arange(-ALIASES, ALIASES + 1)) / points) ** order
        squares, neighbors = (w**2).sum(axis=1), (w[:, 1:] * w[:, :-1]).sum(axis=1)
        f = np.where(2 * np.abs(m) == points, 0, w[:, ALIASES] ** 2 / squares**2)
        return cls(m, f, squares, neighbors)

    def half(self) -> Axis:
        """Of those with m ≥ 0, as in the transform of what is real."""
        return Axis(*(each[: len(each) // 2 + 1] for each in self))


_SCATTER = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(0, 1, 2)
)
_GATHER = jax.lax.GatherDimensionNumbers(offset_dims=(1, 2, 3), collapsed_slice_dims=(), start_index_map=(0, 1, 2))


def places(fractional: Array, points: Points) -> Array:
    """[n_atoms, 3] u = n x, within the mesh."""
    return (fractional - jnp.floor(fractional)) * jnp.asarray(points, fractional.dtype)


def _corners(fractional: Array, points: Points, order: int) -> Array:
    """[n_atoms, 3] integers: the first point of the windows."""
    below = jnp.floor(places(fractional, points)).astype(jnp.int32)
    return jnp.mod(below - (order - 1), jnp.asarray(points, jnp.int32))


def _windows(fractional: Array, points: Points, order: int) -> Array:
    """[n_atoms, p, p, p] weights of the points from the corner on."""
    u = places(fractional, points)
    t = u - jnp.floor(u)
    powers = jnp.stack([t**0, *itertools.accumulate([t] * (order - 1), operator.mul)], axis=-1)
    # A matrix product, which is done once, rather than arithmetic, which XLA would do again for every point.
    w = jnp.matmul(powers, jnp.asarray(_pieces(order), t.dtype), precision=jax.lax.Precision.HIGHEST)
    return w[:, 0, :, None, None] * w[:, 1, None, :, None] * w[:, 2, None, None, :]


def _pieces(order: int) -> np.ndarray:
    """[power, point] coefficients of M_p(t + j), 0 ≤ t < 1, from j = p − 1 down to 0, which is from the corner on."""
    pieces = [np.polynomial.Polynomial([1.0])]
    zero = np.polynomial.Polynomial([0.0])
    for k in range(2, order + 1):
        before = [zero, *pieces, zero]
        line = np.polynomial.Polynomial([0.0, 1.0])
        pieces = [((line + j) * before[j + 1] + (k - j - line) * before[j]) / (k - 1) for j in range(k)]
    return np.stack([np.pad(piece.coef, (0, order - len(piece.coef))) for piece in pieces[::-1]], axis=1)


def _chunks(fractional: Array, charges: Array, order: int) -> tuple[Array, Array]:
    """Atoms as [chunks, atoms, ...], filled up with charges of zero."""
    n = fractional.shape[0]
    count = max(1, -(-n * order**3 // CHUNK))
    size = -(-n // count)
    fill = count * size - n
    x = jnp.pad(fractional, ((0, fill), (0, 0))).reshape(count, size, 3)
    return x, jnp.pad(charges, (0, fill)).reshape(count, size)
