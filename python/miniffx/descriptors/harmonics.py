"""Harmonics: polynomials of a direction that turn among themselves, of ranks 0 to 4, and how three of them couple.

With Σ_m Y_lm² = 1 on the unit sphere, so that Σ_m Y_lm(û) Y_lm(v̂) = P_l(û · v̂), the Legendre polynomial. They are the
real spherical harmonics times √(4π / (2l + 1)): NIST Digital Library of Mathematical Functions, section 14.30.
"""

from __future__ import annotations

import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np

from miniffx.neighbors import Array

# Of every rank l, 2l + 1 polynomials of the components of a unit vector: monomials and their factors.
HARMONICS: tuple[tuple[dict[str, float], ...], ...] = (
    ({"": 1.0},),
    ({"x": 1.0}, {"y": 1.0}, {"z": 1.0}),
    (
        {"xy": math.sqrt(3)},
        {"yz": math.sqrt(3)},
        {"xz": math.sqrt(3)},
        {"xx": math.sqrt(3) / 2, "yy": -math.sqrt(3) / 2},
        {"zz": 1.0, "xx": -0.5, "yy": -0.5},
    ),
    (
        {"xxy": 3 * math.sqrt(5 / 8), "yyy": -math.sqrt(5 / 8)},
        {"xyz": math.sqrt(15)},
        {"yzz": 4 * math.sqrt(3 / 8), "xxy": -math.sqrt(3 / 8), "yyy": -math.sqrt(3 / 8)},
        {"zzz": 1.0, "xxz": -1.5, "yyz": -1.5},
        {"xzz": 4 * math.sqrt(3 / 8), "xxx": -math.sqrt(3 / 8), "xyy": -math.sqrt(3 / 8)},
        {"xxz": math.sqrt(15) / 2, "yyz": -math.sqrt(15) / 2},
        {"xxx": math.sqrt(5 / 8), "xyy": -3 * math.sqrt(5 / 8)},
    ),
    (
        {"xxxy": math.sqrt(35) / 2, "xyyy": -math.sqrt(35) / 2},
        {"xxyz": 3 * math.sqrt(35 / 8), "yyyz": -math.sqrt(35 / 8)},
        {"xyzz": 3 * math.sqrt(5), "xxxy": -math.sqrt(5) / 2, "xyyy": -math.sqrt(5) / 2},
        {"yzzz": math.sqrt(10), "xxyz": -0.75 * math.sqrt(10), "yyyz": -0.75 * math.sqrt(10)},
        {"zzzz": 1.0, "xxzz": -3.0, "yyzz": -3.0, "xxxx": 0.375, "xxyy": 0.75, "yyyy": 0.375},
        {"xzzz": math.sqrt(10), "xxxz": -0.75 * math.sqrt(10), "xyyz": -0.75 * math.sqrt(10)},
        {
            "xxzz": 1.5 * math.sqrt(5),
            "yyzz": -1.5 * math.sqrt(5),
            "xxxx": -math.sqrt(5) / 4,
            "yyyy": math.sqrt(5) / 4,
        },
        {"xxxz": math.sqrt(35 / 8), "xyyz": -3 * math.sqrt(35 / 8)},
        {"xxxx": math.sqrt(35) / 8, "xxyy": -0.75 * math.sqrt(35), "yyyy": math.sqrt(35) / 8},
    ),
)
COUNT = sum(map(len, HARMONICS))


def of_rank(rank: int) -> slice:
    """Where the harmonics of one rank are among all."""
    return slice(rank**2, (rank + 1) ** 2)


def monomials(x: Array, y: Array, z: Array) -> list[Array]:
    """1, x, y, z, x², …, z⁴, in the order of :func:`coefficients`.

    Each is a product of its own: XLA takes minutes to compile derivatives of such that are made of each other.
    """
    components = {"x": x, "y": y, "z": z}
    words = itertools.chain(*map(_words, range(1, len(HARMONICS))))
    return [jnp.ones_like(x), *(functools.reduce(jnp.multiply, (components[c] for c in word)) for word in words)]


@functools.cache
def coefficients() -> np.ndarray:
    """[COUNT, 35]: harmonics in monomials."""
    letters = ["".join(chosen) for p in range(len(HARMONICS)) for chosen in _words(p)]
    result = np.zeros((COUNT, len(letters)))
    for row, polynomial in enumerate(itertools.chain(*HARMONICS)):
        for monomial, factor in polynomial.items():
            result[row, letters.index(monomial)] = factor
    return result


def _words(degree: int) -> list[tuple[str, ...]]:
    """Monomials of one degree as letters, in the order of :func:`monomials`."""
    return list(itertools.combinations_with_replacement("xyz", degree))


@functools.cache
def tensors(rank: int) -> np.ndarray:
    """[2 rank + 1, 3, …, 3]: Σ_m Y_m(û) of these is û ⊗ … ⊗ û less its traces."""
    result = np.zeros((2 * rank + 1, *(3,) * rank))
    for m, polynomial in enumerate(HARMONICS[rank]):
        for letters, factor in polynomial.items():
            orderings = list(itertools.permutations(letters))
            for ordering in orderings:
                result[(m, *("xyz".index(letter) for letter in ordering))] += factor / len(orderings)
    squares = (result**2).sum(axis=tuple(range(1, rank + 1)), keepdims=True)  # alike, and orthogonal
    return np.asarray(result / squares)
