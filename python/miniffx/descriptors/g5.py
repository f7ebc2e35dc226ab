"""G5, Behler's wide angular symmetry function."""

from __future__ import annotations

import math

import jax.numpy as jnp

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Product, Screened
from miniffx.geometry import power
from miniffx.neighbors import Array


@pytree
class G5(Screened, Product):
    """G_i = 2^(1−ζ) Σ_{j<k} (1 + λ cos θ)^ζ exp(−η ((r_ij − r_s)² + (r_ik − r_s)²)) f_c(r_ij) f_c(r_ik).

    Unlike G4 it does not ask how far the neighbours are from each other. Each unordered pair of them counts once. Small
    whole ζ take a time that grows with the number of neighbours, not with its square (`moments.py`).

    Source: J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717, equation 9; n2p2's type 9, from which
    the shift r_s comes.

    Args:
        eta: η, Å⁻². zeta: ζ > 0 (static). lam: λ, +1 or −1. cutoff: Å, of the two distances from the centre.
        species: centre and the two neighbours, in any order. r_shift: r_s, Å.
        cutoff_function, cutoff_alpha: f_c, see :mod:`miniffx.descriptors.cutoffs`.

    >>> import miniffx as mff
    >>> G5 = mff.descriptors.G5(eta=0.0, zeta=1, lam=1.0, cutoff=6.0, species=("O", "H", "H"))
    >>> water = mff.Structure.create([[0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]], ["O", "H", "H"])
    >>> ds = mff.descriptors.DescriptorSet([G5])
    >>> round(float(ds(water, ds.neighbor_list(water))[0, 0]), 4)
    0.25
    """

    closed = False

    eta: float | Array
    zeta: float = static()
    lam: float | Array
    cutoff: float = static()
    species: tuple[str, str, str] = static()
    r_shift: float | Array = 0.0
    cutoff_function: str = static(default="cosine")
    cutoff_alpha: float = static(default=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "zeta", _checks.positive("zeta", self.zeta))

    @property
    def degree(self) -> int | None:
        """ζ where it is 1 or 2, which moments take less time for than triples."""
        return int(self.zeta) if self.zeta in (1, 2) else None

    def coefficients(self) -> list[float | Array]:
        """Of 2^(1−ζ) (1 + λ cos θ)^ζ in powers of cos θ."""
        zeta = int(self.zeta)
        return [2.0 ** (1 - zeta) * math.comb(zeta, p) * self.lam**p for p in range(zeta + 1)]

    def leg(self, r: Array) -> Array:
        """exp(−η (r − r_s)²) f_c(r)."""
        return jnp.exp(-self.eta * (r - self.r_shift) ** 2) * self.screen(r)

    def angle(self, cos_theta: Array) -> Array:
        """2^(1−ζ) (1 + λ cos θ)^ζ."""
        return 2 ** (1 - self.zeta) * power(1 + self.lam * cos_theta, self.zeta)
