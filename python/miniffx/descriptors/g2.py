"""G2, Behler's radial symmetry function."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Radial, Screened
from miniffx.neighbors import Array


@pytree
class G2(Screened, Radial):
    """G_i = Σ_j exp(−η (r_ij − r_s)²) f_c(r_ij).

    Source: J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717, equation 6; n2p2's type 2.

    Args:
        eta: η, Å⁻². r_shift: r_s, Å. cutoff: Å. species: centre and neighbour.
        cutoff_function, cutoff_alpha: f_c, see :mod:`miniffx.descriptors.cutoffs`.

    >>> import miniffx as mff
    >>> G2 = mff.descriptors.G2(eta=0.5, r_shift=2.0, cutoff=6.0, species=("Ar", "Ar"))
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 3.0]], ["Ar", "Ar"])
    >>> ds = mff.descriptors.DescriptorSet([G2])
    >>> round(float(ds(dimer, ds.neighbor_list(dimer))[0, 0]), 4)  # exp(−0.5) / 2
    0.3033
    """

    eta: float | Array
    r_shift: float | Array
    cutoff: float = static()
    species: tuple[str, str] = static()
    cutoff_function: str = static(default="cosine")
    cutoff_alpha: float = static(default=0.0)

    def formula(self, r: Array) -> Array:
        """exp(−η (r − r_s)²) f_c(r)."""
        return jnp.exp(-self.eta * (r - self.r_shift) ** 2) * self.screen(r)
