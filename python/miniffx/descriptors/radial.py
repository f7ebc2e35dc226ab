"""Radial descriptor from the user's own function of a distance."""

from __future__ import annotations

from collections.abc import Callable

from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Radial
from miniffx.neighbors import Array


@pytree
class RadialDescriptor(Radial):
    """G_i = Σ_j g(r_ij) over neighbours closer than cutoff, with the user's own g.

    g is summed as it is: for forces without a jump it has to reach 0 at the cutoff by itself, for instance by a factor
    of :func:`miniffx.descriptors.cutoffs.cosine`. Model files cannot hold Python functions.

    Args:
        g: g(r), elementwise in JAX, r in Å. Evaluated only at 0 ≤ r < cutoff. Descriptors with the same function
            object are evaluated together.
        cutoff: Å. species: centre and neighbour.

    >>> import miniffx as mff
    >>> count = mff.descriptors.RadialDescriptor(lambda r: (1 - r / 4.0) ** 2, cutoff=4.0, species=("Ar", "Ar"))
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 2.0]], ["Ar", "Ar"])
    >>> ds = mff.descriptors.DescriptorSet([count])
    >>> ds(dimer, ds.neighbor_list(dimer)).tolist()
    [[0.25], [0.25]]
    """

    g: Callable[[Array], Array] = static()
    cutoff: float = static()
    species: tuple[str, str] = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.g):
            raise ValueError(f"`g` must be a function of r, got {self.g!r}")

    def formula(self, r: Array) -> Array:
        """g(r)."""
        return self.g(r)
