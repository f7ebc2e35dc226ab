"""G2, Behler's radial symmetry function."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx._pytree import pytree, static
from miniffx.descriptors.cutoffs import cosine
from miniffx.descriptors.descriptor import Radial
from miniffx.neighbors import Array


@pytree
class G2(Radial):
    """G_i = Σ_j exp(−η (r_ij − r_s)²) f_c(r_ij).

    Source: J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717, equation 6.

    Args:
        eta: η, Å⁻². r_shift: r_s, Å. cutoff: Å. species: centre and neighbour.
    """

    eta: float | Array
    r_shift: float | Array
    cutoff: float = static()
    species: tuple[str, str] = static()

    def formula(self, r: Array) -> Array:
        """exp(−η (r − r_s)²) f_c(r)."""
        return jnp.exp(-self.eta * (r - self.r_shift) ** 2) * cosine(r, self.cutoff)
