"""Weighted G4, a narrow angular symmetry function of neighbours of all species."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Screened, WeightedProduct
from miniffx.geometry import power
from miniffx.neighbors import Array


@pytree
class WeightedG4(Screened, WeightedProduct):
    """G_i = 2^(1−ζ) Σ_{j<k} w_j w_k (1 + λ cos θ)^ζ exp(−η Σ (r − r_s)²) f_c(r_ij) f_c(r_ik) f_c(r_jk).

    The sum in the exponent is over the three distances; w_j and w_k are the weights of the neighbours' species. Each
    unordered pair of neighbours counts once.

    Source: M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667 (wACSF);
    n2p2's type 13, whose weights are the atomic numbers.

    Args:
        eta: η, Å⁻². zeta: ζ > 0 (static). lam: λ, +1 or −1. cutoff: Å, of all three distances.
        species: the centre, then every species of neighbours that counts. r_shift: r_s, Å.
        weights: one number per species of neighbours; by default their atomic numbers.
        cutoff_function, cutoff_alpha: f_c, see :mod:`miniffx.descriptors.cutoffs`.

    >>> import miniffx as mff
    >>> w = mff.descriptors.WeightedG4(eta=0.0, zeta=1, lam=1.0, cutoff=6.0, species=("O", "H", "O"))
    >>> bent = mff.Structure.create([[0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]], ["O", "H", "O"])
    >>> ds = mff.descriptors.DescriptorSet([w])
    >>> round(float(ds(bent, ds.neighbor_list(bent))[0, 0]), 3)
    0.394
    """

    eta: float | Array
    zeta: float = static()
    lam: float | Array
    cutoff: float = static()
    species: tuple[str, ...] = static()
    r_shift: float | Array = 0.0
    weights: tuple[float | Array, ...] = None  # type: ignore[assignment]  # never None afterwards
    cutoff_function: str = static(default="cosine")
    cutoff_alpha: float = static(default=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "zeta", _checks.positive("zeta", self.zeta))

    def leg(self, r: Array) -> Array:
        """exp(−η (r − r_s)²) f_c(r)."""
        return jnp.exp(-self.eta * (r - self.r_shift) ** 2) * self.screen(r)

    def angle(self, cos_theta: Array) -> Array:
        """2^(1−ζ) (1 + λ cos θ)^ζ."""
        return 2 ** (1 - self.zeta) * power(1 + self.lam * cos_theta, self.zeta)
