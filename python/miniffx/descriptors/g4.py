"""G4, Behler's narrow angular symmetry function."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.descriptors.cutoffs import cosine
from miniffx.descriptors.descriptor import Angular
from miniffx.geometry import power
from miniffx.neighbors import Array


@pytree
class G4(Angular):
    """G_i = 2^(1−ζ) Σ_{j<k} (1 + λ cos θ)^ζ exp(−η (r_ij² + r_ik² + r_jk²)) f_c(r_ij) f_c(r_ik) f_c(r_jk).

    Each unordered pair of neighbours counts once.

    Source: J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717, equation 8.

    Args:
        eta: η, Å⁻². zeta: ζ > 0 (static). lam: λ, +1 or −1. cutoff: Å, of all three distances.
        species: centre and the two neighbours, in any order.
    """

    eta: float | Array
    zeta: float = static()
    lam: float | Array
    cutoff: float = static()
    species: tuple[str, str, str] = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "zeta", _checks.positive("zeta", self.zeta))

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """2^(1−ζ) (1 + λ cos θ)^ζ exp(−η (r₁² + r₂² + r₃²)) f_c(r₁) f_c(r₂) f_c(r₃)."""
        angular = 2 ** (1 - self.zeta) * power(1 + self.lam * cos_theta, self.zeta)
        radial = jnp.exp(-self.eta * (r1**2 + r2**2 + r3**2))
        screens = cosine(r1, self.cutoff) * cosine(r2, self.cutoff) * cosine(r3, self.cutoff)
        return angular * radial * screens
