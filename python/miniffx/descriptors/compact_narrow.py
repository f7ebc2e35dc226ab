"""Compact narrow angular function."""

from __future__ import annotations

from miniffx._pytree import pytree, static
from miniffx.descriptors.compact import CompactAngle
from miniffx.descriptors.descriptor import Product
from miniffx.neighbors import Array


@pytree
class CompactNarrow(CompactAngle, Product):
    """G_i = Σ_{j<k} C(r_ij) C(r_ik) C(r_jk) C(θ).

    C are windows: from r_low to the cutoff in distance, from angle_low to angle_high in θ
    (:mod:`miniffx.descriptors.compact`). Each unordered pair of neighbours counts once.

    Source: M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
    doi:10.1088/2632-2153/abf817; n2p2's type 21.

    Args:
        r_low: where the radial window begins, Å; may be negative, −cutoff for a window that falls from r = 0 on.
        angle_low, angle_high: where the angular window begins and ends, degrees; below 0 or above 180 only as far as it
            is symmetric there.
        cutoff: where the radial window ends, Å; of all three distances.
        species: centre and the two neighbours, in any order.
        core: "poly1", "poly2", "poly3", "poly4" or "exp" (static).
        steep: p(x (2 − x)) instead of p(x) in distance (static).

    >>> import miniffx as mff
    >>> right = mff.descriptors.CompactNarrow(r_low=-6.0, angle_low=45.0, angle_high=135.0, cutoff=6.0,
    ...     species=("O", "H", "H"))
    >>> water = mff.Structure.create([[0, 0, 0], [3.0, 0, 0], [0, 3.0, 0]], ["O", "H", "H"])
    >>> ds = mff.descriptors.DescriptorSet([right])
    >>> round(float(ds(water, ds.neighbor_list(water))[0, 0]), 4)
    0.0385
    """

    r_low: float | Array
    angle_low: float | Array
    angle_high: float | Array
    cutoff: float = static()
    species: tuple[str, str, str] = static()
    core: str = static(default="poly2")
    steep: bool = static(default=False)

    def leg(self, r: Array) -> Array:
        """C(r)."""
        return self.radial_window(r)

    def angle(self, cos_theta: Array) -> Array:
        """C(θ)."""
        return self.angle_window(cos_theta)
