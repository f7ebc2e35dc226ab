"""Weighted compact radial function, of neighbours of all species."""

from __future__ import annotations

from miniffx._pytree import pytree, static
from miniffx.descriptors.compact import Compact
from miniffx.descriptors.descriptor import WeightedRadial
from miniffx.neighbors import Array


@pytree
class WeightedCompactRadial(Compact, WeightedRadial):
    """G_i = Σ_j w_j C(r_ij).

    C is a window from r_low to the cutoff (:mod:`miniffx.descriptors.compact`), w the weights of the neighbours'
    species.

    Source: M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
    doi:10.1088/2632-2153/abf817; n2p2's type 23.

    Args:
        r_low: where the window begins, Å; may be negative, −cutoff for a window that falls from r = 0 on.
        cutoff: where it ends, Å.
        species: the centre, then every species of neighbours that counts.
        weights: one number per species of neighbours; by default their atomic numbers.
        core: "poly1", "poly2", "poly3", "poly4" or "exp" (static).
        steep: p(x (2 − x)) instead of p(x) (static).

    >>> import miniffx as mff
    >>> shell = mff.descriptors.WeightedCompactRadial(r_low=2.0, cutoff=4.0, species=("O", "H", "O"))
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 2.5]], ["O", "H"])
    >>> ds = mff.descriptors.DescriptorSet([shell])
    >>> float(ds(dimer, ds.neighbor_list(dimer))[0, 0])
    0.5
    """

    r_low: float | Array
    cutoff: float = static()
    species: tuple[str, ...] = static()
    weights: tuple[float | Array, ...] = None  # type: ignore[assignment]  # never None afterwards
    core: str = static(default="poly2")
    steep: bool = static(default=False)

    def formula(self, r: Array) -> Array:
        """C(r)."""
        return self.radial_window(r)
