"""Functions that take a descriptor smoothly to zero at the cutoff.

With x = (r − r_in) / (r_c − r_in) above the inner cutoff r_in = α r_c, and f_c = 1 below it:

    name                f_c                                    n2p2's cutoff_type
    hard                1                                      0
    cosine              ½ (1 + cos π x)                        1
    tanh3               tanh³(1 − r / r_c)                     2
    tanh3_normalized    tanh³(1 − r / r_c) / tanh³(1)          3
    exp                 exp(1 − 1 / (1 − x²))                  4
    poly1               1 + x² (2 x − 3)                       5
    poly2               1 + x³ (−10 + 15 x − 6 x²)             6
    poly3               1 + x⁴ (−35 + 84 x − 70 x² + 20 x³)    7
    poly4               1 + x⁵ (−126 + 420 x − 540 x² + 315 x³ − 70 x⁴)    8

The first n derivatives of poly-n vanish at both ends. The first, third and fourth have no inner cutoff.

Sources: J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717 (cosine);
A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019), doi:10.1021/acs.jctc.8b00770, and the
documentation of n2p2 (all).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp

from miniffx import _checks
from miniffx.neighbors import Array


def cosine(r: Array, cutoff: float) -> Array:
    """f_c(r) = ½ (1 + cos(π r / cutoff)) = cos²(½ π r / cutoff) for r < cutoff.

    Source: J. Behler, J. Chem. Phys. 134, 074106 (2011), equation 4.

    Args:
        r: distances in Å, below the cutoff.
        cutoff: Å.
    """
    y2 = (0.5 * jnp.pi / cutoff * r) ** 2
    series = jnp.full_like(y2, _COSINE[-1])
    for coefficient in _COSINE[-2::-1]:
        series = series * y2 + coefficient
    return series * series


# cos(y) = Σ (−1)ᵏ y²ᵏ / (2k)! to the last digit for y ≤ π/2. CPUs take cosines one by one, this several at a time.
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(12)]


def _bump(x: Array) -> Array:
    """exp(1 − 1/(1 − x²)), with all derivatives 0 from x = 1 on."""
    rest = 1 - x**2
    inside = rest > 0
    return jnp.where(inside, jnp.exp(1 - 1 / jnp.where(inside, rest, 1)), 0)


# Functions of 0 ≤ x < 1 that fall from 1 to 0, flat at both ends: of distances here, of distances and angles in
# :mod:`miniffx.descriptors.compact`. The polynomials are factored so that no digits cancel near x = 1.
FALLING: dict[str, Callable[[Array], Array]] = {
    "exp": _bump,
    "poly1": lambda x: (1 - x) ** 2 * (1 + 2 * x),
    "poly2": lambda x: (1 - x) ** 3 * (1 + x * (3 + 6 * x)),
    "poly3": lambda x: (1 - x) ** 4 * (1 + x * (4 + x * (10 + 20 * x))),
    "poly4": lambda x: (1 - x) ** 5 * (1 + x * (5 + x * (15 + x * (35 + 70 * x)))),
}
WITHOUT_INNER_CUTOFF = ("hard", "tanh3", "tanh3_normalized")
NAMES = ("hard", "cosine", "tanh3", "tanh3_normalized", *FALLING)


def check(name: str, alpha: float) -> float:
    """`alpha` as a float; ValueError unless there is a cutoff function `name` with an inner cutoff `alpha`."""
    if name not in NAMES:
        raise ValueError(f"`cutoff_function` must be one of {', '.join(NAMES)}, got {name!r}")
    alpha = _checks.non_negative("cutoff_alpha", alpha)
    if alpha >= 1:
        raise ValueError(f"`cutoff_alpha` must be less than 1, got {alpha}")
    if alpha and name in WITHOUT_INNER_CUTOFF:
        raise ValueError(f"`cutoff_alpha` must be 0 for {name!r}, which has no inner cutoff, got {alpha}")
    return alpha


def screen(name: str, r: Array, cutoff: float, alpha: float = 0.0) -> Array:
    """f_c(r) by name.

    Args:
        name: one of those in the table above.
        r: [...] distances in Å, below the cutoff.
        cutoff: r_c, Å.
        alpha: r_in / r_c, from 0 to below 1.

    >>> import jax.numpy as jnp
    >>> from miniffx.descriptors import cutoffs
    >>> cutoffs.screen("poly2", jnp.array([0.0, 3.0, 4.5]), cutoff=6.0, alpha=0.5).tolist()
    [1.0, 1.0, 0.5]
    """
    if name == "hard":
        return jnp.ones_like(r)
    if name in ("tanh3", "tanh3_normalized"):
        falling = jnp.tanh(1 - r / cutoff) ** 3
        return falling if name == "tanh3" else falling / math.tanh(1.0) ** 3
    if alpha:
        inner = alpha * cutoff
        r, cutoff = jnp.where(r > inner, r - inner, 0), cutoff - inner
    return cosine(r, cutoff) if name == "cosine" else FALLING[name](r / cutoff)
