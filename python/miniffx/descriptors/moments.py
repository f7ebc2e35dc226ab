"""Angular descriptors whose A(cos θ) is a polynomial, through moments of the neighbours: no triple is visited.

With û the unit vector and w = L(r) of a neighbour, and cos θ_jik = û_j · û_k,

    Σ_j Σ_k w_j w_k cos^p θ_jik = Σ_{|α| = p} p!/α! M_α(B) M_α(C),    M_α(B) = Σ_{j of B} w_j û_j^α,

over the monomials û^α = x^a y^b z^c of degree p, j being of species B and k of species C. Where those are the same,
each neighbour meets the moments of those before it, so that a pair counts once and nothing has to be taken off again:
beside the square of one near neighbour, the rest would be lost in single precision. Polynomials of degree L need
(L + 1)(L + 2)(L + 3)/6 moments, shared by all descriptors of one L(r): their cost grows with the number of neighbours,
and not with its square.
The idea is that of the moments in A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from miniffx import geometry, mapping
from miniffx.neighbors import Array, Environments


class Moments(NamedTuple):
    """Of the neighbours of one species, for each degree p.

    `of_degree` [monomials, rows], and in `pairs` Σ_{j<k} w_j w_k cos^p θ_jik [rows]. Neighbours at the centre itself
    have no direction: û = 0, and with any other cos θ = 0.
    """

    of_degree: list[Array]
    pairs: list[Array]


def moments(
    leg: Callable[[Array], Array],
    degree: int,
    displacements: Array,
    environments: Environments,
    neighbor: int,
    cutoff: float | Array,
) -> Moments:
    """The moments up to a degree of the neighbours of one species."""
    vectors = displacements[:, mapping.columns_of(neighbor, environments)]
    r = geometry.norm(vectors)
    weights = mapping.of_pairs(leg, r, environments.counts[:, neighbor], cutoff)
    away = r > 0
    unit = jnp.moveaxis(vectors, -1, 0) * jnp.where(away, 1 / jnp.where(away, r, 1), 0)

    of_degree, pairs = [], []
    monomials = weights[None]
    for p in range(degree + 1):
        if p > 0:
            # Of degree p: x times all of degree p − 1, y times those without x, z times the one without x and y.
            last = monomials.shape[0]
            monomials = jnp.concatenate(
                [unit[0] * monomials, unit[1] * monomials[last - p :], unit[2] * monomials[last - 1 :]]
            )
        of_degree.append(monomials.sum(axis=-1))
        before = jnp.pad(jnp.cumsum(monomials, axis=-1), ((0, 0), (0, 0), (1, 0)))[..., :-1]
        pairs.append(_contract(p, monomials * before).sum(axis=-1))
    return Moments(of_degree, pairs)


def sum_over_pairs_of_neighbors(coefficients: Sequence[float | Array], one: Moments, other: Moments) -> Array:
    """Σ_j Σ_k w_j w_k Σ_p c_p cos^p θ_jik: [rows], each unordered pair once where `one` is `other`.

    Moments of higher degree than there are coefficients, made for another polynomial, are left out.
    """
    of_powers = (
        one.pairs
        if one is other
        else [_contract(p, a * b) for p, (a, b) in enumerate(zip(one.of_degree, other.of_degree, strict=True))]
    )
    return sum(c * power for c, power in zip(coefficients, of_powers, strict=False))  # type: ignore[return-value]


def _contract(p: int, products: Array) -> Array:
    """Σ_α p!/α! of products [monomials, rows, ...] of degree p."""
    factors = jnp.asarray(multinomial(p), products.dtype)
    return (factors.reshape(-1, *(1,) * (products.ndim - 1)) * products).sum(axis=0)


@functools.cache
def multinomial(p: int) -> np.ndarray:
    """p!/(a! b! c!) of the monomials x^a y^b z^c of degree p, in the order of :func:`moments`."""
    exponents = [(0, 0, 0)]
    for q in range(1, p + 1):
        parts = [(0, exponents), (1, exponents[len(exponents) - q :]), (2, exponents[-1:])]
        exponents = [(a + (axis == 0), b + (axis == 1), c + (axis == 2)) for axis, part in parts for a, b, c in part]
    return np.array([math.factorial(p) // math.prod(map(math.factorial, e)) for e in exponents], dtype=float)
