"""Functions that take a descriptor smoothly to zero at the cutoff."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx.neighbors import Array


def cosine(r: Array, cutoff: float) -> Array:
    """f_c(r) = ½ (1 + cos(π r / cutoff)) for r < cutoff; Behler, J. Chem. Phys. 134, 074106 (2011), equation 5.

    Args:
        r: distances in Å, below the cutoff.
        cutoff: Å.
    """
    return 0.5 * (1 + jnp.cos(jnp.pi / cutoff * r))
