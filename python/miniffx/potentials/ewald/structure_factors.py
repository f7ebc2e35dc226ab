"""Structure factors S(k) = Σ_i q_i exp(i k·r_i) on a box of wave vectors, as matrix products.

With fractional coordinates x, k·r = 2π (n₁ x₁ + n₂ x₂ + n₃ x₃), so that the phase factor is a product of three, one per
axis. For each n₁ those of the first two axes are multiplied, [n₂, atoms], and summed over the atoms against those of
the third, [n₃, atoms]: a matrix product, from whose four real parts

    rr = Σ_i q_i cos(φ₁₂) cos(φ₃),    ri = Σ_i q_i cos(φ₁₂) sin(φ₃),    ir = …,    ii = …

S(n₁, n₂, n₃) = (rr − ii) + i (ri + ir) and S(n₁, n₂, −n₃) = (rr + ii) + i (ir − ri) follow.

The whole box, in arrays over wave vectors, is [n₁, sign of n₃, n₂, n₃]: n₁ = 0 … N₁, n₂ = −N₂ … N₂, n₃ = 0 … N₃. That
is more than half of the space; :func:`half_space` says what counts. Atoms come in chunks, and what derivatives need
is computed again for each n₁: memory is that of one chunk and one n₁, and of the structure factors.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx.neighbors import Array
from miniffx.structure import Structure

CHUNK = 2**16  # phase factors at a time: a matrix of them stays in the cache

KMax = tuple[int, int, int]


def reciprocal_vectors(structure: Structure) -> Array:
    """2π b_i as rows, in 1/Å."""
    a, b, c = jnp.asarray(structure.cell)
    normals = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)])
    return 2 * math.pi * normals / (a * normals[0]).sum()


def squared_wave_vectors(structure: Structure, k_max: KMax) -> Array:
    """k² in 1/Å² of the whole box."""
    reciprocal: Any = reciprocal_vectors(structure)
    n: list[Any] = [jnp.asarray(axis, reciprocal.dtype) for axis in _integers(k_max)]
    # Sums of products rather than a matrix product, which a device might round down.
    components = (sum(n[axis] * reciprocal[axis, i] for axis in range(3)) for i in range(3))
    return sum(component**2 for component in components)


def half_space(k_max: KMax) -> np.ndarray:
    """bool: one of k and −k, each once, without k = 0."""
    n1, n2, n3 = _integers(k_max)
    half = (n1 > 0) | ((n1 == 0) & ((n2 > 0) | ((n2 == 0) & (n3 > 0))))
    again = np.array([False, True])[:, None, None] & (n3 == 0)
    return half & ~again


def _integers(k_max: KMax) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n1, n2, n3 = np.arange(k_max[0] + 1), np.arange(-k_max[1], k_max[1] + 1), np.arange(k_max[2] + 1)
    return n1[:, None, None, None], n2[:, None], np.stack([n3, -n3])[:, None, :]


def products(fractional: Array, charges: Array, active: Array, k_max: KMax) -> Array:
    """The four real parts [n₁, (r, i), n₂, (r, i), n₃]; 0 for those n₁ that are not `active`, [n₁] bool."""
    sizes = (2, 2 * k_max[1] + 1, 2, k_max[2] + 1)

    def of_chunk(total: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        x, q = chunk
        first, second, third = _phases(x, k_max)

        def of_row(_: None, row: tuple[Array, Array]) -> tuple[None, Array]:
            phase, needed = row

            def product() -> Array:
                left = _times(phase, second).reshape(-1, q.shape[0])
                return _product(left, third.reshape(-1, q.shape[0]).T).reshape(sizes)

            return None, jax.lax.cond(needed, product, lambda: jnp.zeros(sizes, q.dtype))

        _, sums = jax.lax.scan(jax.checkpoint(of_row), None, (jnp.moveaxis(first * q, 1, 0), active))
        return total + sums, None

    zero = jnp.zeros((k_max[0] + 1, *sizes), charges.dtype)
    return jax.lax.scan(jax.checkpoint(of_chunk), zero, _chunks((fractional, charges), k_max))[0]


def squares(products: Array) -> Array:
    """|S(k)|² of the whole box."""
    return sum(part**2 for part in _structure_factors(products))  # type: ignore[return-value]


def potentials(fractional: Array, products: Array, weights: Array) -> Array:
    """[n_atoms] Σ_k w(k) Re[S(k)* exp(i k·r_i)], weights as from the whole box."""
    real, imaginary = (weights * part for part in _structure_factors(products))
    # With the angle addition theorems, the factors of cos φ₁₂ cos φ₃, cos φ₁₂ sin φ₃, sin φ₁₂ cos φ₃, sin φ₁₂ sin φ₃.
    rr, ii = real[:, 0] + real[:, 1], real[:, 1] - real[:, 0]
    ri, ir = imaginary[:, 0] - imaginary[:, 1], imaginary[:, 0] + imaginary[:, 1]
    factors = jnp.stack([jnp.stack([rr, ri], axis=2), jnp.stack([ir, ii], axis=2)], axis=1)
    k_max = (weights.shape[0] - 1, weights.shape[2] // 2, weights.shape[3] - 1)

    def of_chunk(chunk: tuple[Array]) -> Array:
        first, second, third = _phases(chunk[0], k_max)

        def of_row(total: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
            phase, factor = row
            left = _times(phase, second).reshape(-1, total.shape[0])
            right = _product(factor.reshape(left.shape[0], -1), third.reshape(-1, total.shape[0]))
            return total + (left * right).sum(axis=0), None

        start = jnp.zeros(chunk[0].shape[0], fractional.dtype)
        return jax.lax.scan(jax.checkpoint(of_row), start, (jnp.moveaxis(first, 1, 0), factors))[0]

    chunks = _chunks((fractional,), k_max)
    return jax.lax.map(jax.checkpoint(of_chunk), chunks).reshape(-1)[: fractional.shape[0]]


def _structure_factors(products: Array) -> tuple[Array, Array]:
    """Re S and Im S of the whole box."""
    rr, ri, ir, ii = (products[:, a, :, b] for a in (0, 1) for b in (0, 1))
    return jnp.stack([rr - ii, rr + ii], axis=1), jnp.stack([ri + ir, ir - ri], axis=1)


def _phases(x: Array, k_max: KMax) -> tuple[Array, Array, Array]:
    """cos and sin of 2π n x, [2, n, atoms], for the three axes."""
    x = x - jnp.round(x)  # less to round away in large angles; the derivative is that of x
    ranges = (np.arange(k_max[0] + 1), np.arange(-k_max[1], k_max[1] + 1), np.arange(k_max[2] + 1))
    angles = (2 * math.pi * n.astype(x.dtype)[:, None] * x[:, axis] for axis, n in enumerate(ranges))
    first, second, third = (jnp.stack([jnp.cos(angle), jnp.sin(angle)]) for angle in angles)
    return first, second, third


def _times(phase: Array, phases: Array) -> Array:
    """The product of phase factors [2, atoms] and [2, n, atoms]: [2, n, atoms]."""
    real, imaginary = phase
    return jnp.stack([real * phases[0] - imaginary * phases[1], real * phases[1] + imaginary * phases[0]])


def _chunks(arrays: tuple[Array, ...], k_max: KMax) -> Any:
    """Arrays over atoms as [chunks, atoms, ...], filled up with zeros."""
    n = arrays[0].shape[0]
    size = max(1, min(n, CHUNK // (2 * k_max[1] + 1)))
    count = -(-n // size)
    size = max(1, -(-n // max(count, 1)))  # chunks of equal size
    return tuple(
        jnp.pad(array, ((0, count * size - n), *((0, 0),) * (array.ndim - 1))).reshape(count, size, *array.shape[1:])
        for array in arrays
    )


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
