"""Compact radial function."""

from __future__ import annotations

from miniffx._pytree import pytree, static
from miniffx.descriptors.compact import Compact
from miniffx.descriptors.descriptor import Radial
from miniffx.neighbors import Array


@pytree
class CompactRadial(Compact, Radial):
    """G_i = Σ_j C(r_ij).

    C is a window from r_low to the cutoff (:mod:`miniffx.descriptors.compact`).

    Source: M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
    doi:10.1088/2632-2153/abf817; n2p2's type 20.

    Args:
        r_low: where the window begins, Å; may be negative, −cutoff for a window that falls from r = 0 on.
        cutoff: where it ends, Å.
        species: centre and neighbour.
        core: "poly1", "poly2", "poly3", "poly4" or "exp" (static).
        steep: p(x (2 − x)) instead of p(x) (static).

    >>> import miniffx as mff
    >>> shell = mff.descriptors.CompactRadial(r_low=2.0, cutoff=4.0, species=("O", "O"))
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 2.5]], ["O", "O"])
    >>> ds = mff.descriptors.DescriptorSet([shell])
    >>> float(ds(dimer, ds.neighbor_list(dimer))[0, 0])
    0.5
    """

    r_low: float | Array
    cutoff: float = static()
    species: tuple[str, str] = static()
    core: str = static(default="poly2")
    steep: bool = static(default=False)

    def formula(self, r: Array) -> Array:
        """C(r)."""
        return self.radial_window(r)
