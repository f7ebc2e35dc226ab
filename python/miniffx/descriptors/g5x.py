"""G5x, a wide angular symmetry function around one angle, with two radial resolutions."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Angular, Screened
from miniffx.neighbors import Array


@pytree
class G5x(Screened, Angular):
    """G_i = ¼ Σ_{j<k} (cos θ − cos θ₀)² [g₁(r_ij) g₂(r_ik) + g₂(r_ij) g₁(r_ik)] f_c(r_ij) f_c(r_ik).

    g_n(r) = exp(−η_n r²). Each unordered pair of neighbours counts once.

    Source: the "Behler 5x" descriptor of the package miniff; a variant of equation 9 in J. Behler, J. Chem. Phys. 134,
    074106 (2011), doi:10.1063/1.3553717, that tells the shorter leg from the longer.

    Args:
        eta1, eta2: η₁ and η₂, Å⁻². cos_theta0: cos θ₀. cutoff: Å, of the two distances from the centre.
        species: centre and the two neighbours, in any order.
        cutoff_function, cutoff_alpha: f_c, see :mod:`miniffx.descriptors.cutoffs`.

    >>> import miniffx as mff
    >>> G5x = mff.descriptors.G5x(eta1=0.0, eta2=0.0, cos_theta0=-1.0, cutoff=6.0, species=("O", "H", "H"))
    >>> water = mff.Structure.create([[0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]], ["O", "H", "H"])
    >>> ds = mff.descriptors.DescriptorSet([G5x])
    >>> round(float(ds(water, ds.neighbor_list(water))[0, 0]), 4)
    0.125
    """

    closed = False

    eta1: float | Array
    eta2: float | Array
    cos_theta0: float | Array
    cutoff: float = static()
    species: tuple[str, str, str] = static()
    cutoff_function: str = static(default="cosine")
    cutoff_alpha: float = static(default=0.0)

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """¼ (cos θ − cos θ₀)² [g₁(r₁) g₂(r₂) + g₂(r₁) g₁(r₂)] f_c(r₁) f_c(r₂)."""
        one = jnp.exp(-self.eta1 * r1**2 - self.eta2 * r2**2)
        other = jnp.exp(-self.eta2 * r1**2 - self.eta1 * r2**2)
        return 0.25 * (cos_theta - self.cos_theta0) ** 2 * (one + other) * (self.screen(r1) * self.screen(r2))
