"""How a pair energy ends at its cutoff.

    truncation    E for r < cutoff
    none          E(r): it jumps at the cutoff
    shift         E(r) − E(cutoff): continuous, the force jumps
    smooth        E(r) S(r), S falling from 1 at 0.8 cutoff: the force and its derivative are continuous too

    S(r) = (1 − x)³ (1 + 3 x + 6 x²),    x = (r − inner) / (outer − inner) clipped to [0, 1]

S has continuous first and second derivatives, and so has what it multiplies. Source: J. Mei, J. W. Davenport, G. W.
Fernando, Phys. Rev. B 43, 4653 (1991), doi:10.1103/PhysRevB.43.4653 (LAMMPS calls it lj/mdf).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from miniffx.neighbors import Array

TRUNCATIONS = ("none", "shift", "smooth")


def check(truncation: str) -> None:
    """ValueError unless `truncation` is one of those in the table above."""
    if truncation not in TRUNCATIONS:
        raise ValueError(f"`truncation` must be one of {', '.join(TRUNCATIONS)}, got {truncation!r}")


def switch(r: Array, inner: float, outer: float) -> Array:
    """S(r), which falls from 1 at `inner` to 0 at `outer`, in Å.

    >>> import jax.numpy as jnp
    >>> from miniffx.potentials.switching import switch
    >>> switch(jnp.array([1.0, 2.0, 3.0, 4.0]), inner=2.0, outer=4.0).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    x = jnp.clip((r - inner) / (outer - inner), 0, 1)
    return (1 - x) ** 3 * (1 + x * (3 + 6 * x))


def truncate(energy: Callable[[Any], Array], r: Array, cutoff: float, truncation: str) -> Array:
    """E(r) with its end as in the table above, for r < cutoff."""
    if truncation == "shift":
        return energy(r) - energy(cutoff)
    return energy(r) * switch(r, 0.8 * cutoff, cutoff) if truncation == "smooth" else energy(r)
