"""Weighted compact narrow angular function, of neighbours of all species."""

from __future__ import annotations

from miniffx._pytree import pytree, static
from miniffx.descriptors.compact import CompactAngle
from miniffx.descriptors.descriptor import WeightedProduct
from miniffx.neighbors import Array


@pytree
class WeightedCompactNarrow(CompactAngle, WeightedProduct):
    """G_i = Σ_{j<k} w_j w_k C(r_ij) C(r_ik) C(r_jk) C(θ).

    C are windows: from r_low to the cutoff in distance, from angle_low to angle_high in θ
    (:mod:`miniffx.descriptors.compact`), w the weights of the neighbours' species. Each unordered pair of neighbours
    counts once.

    Source: M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
    doi:10.1088/2632-2153/abf817; n2p2's type 24.

    Args:
        r_low: where the radial window begins, Å; may be negative, −cutoff for a window that falls from r = 0 on.
        angle_low, angle_high: where the angular window begins and ends, degrees; below 0 or above 180 only as far as it
            is symmetric there.
        cutoff: where the radial window ends, Å; of all three distances.
        species: the centre, then every species of neighbours that counts.
        weights: one number per species of neighbours; by default their atomic numbers.
        core: "poly1", "poly2", "poly3", "poly4" or "exp" (static).
        steep: p(x (2 − x)) instead of p(x) in distance (static).

    >>> import miniffx as mff
    >>> right = mff.descriptors.WeightedCompactNarrow(r_low=-6.0, angle_low=45.0, angle_high=135.0, cutoff=6.0,
    ...     species=("O", "H", "O"))
    >>> water = mff.Structure.create([[0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]], ["O", "H", "H"])
    >>> ds = mff.descriptors.DescriptorSet([right])
    >>> round(float(ds(water, ds.neighbor_list(water))[0, 0]), 4)
    0.0385
    """

    r_low: float | Array
    angle_low: float | Array
    angle_high: float | Array
    cutoff: float = static()
    species: tuple[str, ...] = static()
    weights: tuple[float | Array, ...] = None  # type: ignore[assignment]  # never None afterwards
    core: str = static(default="poly2")
    steep: bool = static(default=False)

    def leg(self, r: Array) -> Array:
        """C(r)."""
        return self.radial_window(r)

    def angle(self, cos_theta: Array) -> Array:
        """C(θ)."""
        return self.angle_window(cos_theta)
