"""Angular descriptor from the user's own function of two distances and the angle between them."""

from __future__ import annotations

from collections.abc import Callable

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Angular
from miniffx.neighbors import Array


@pytree
class AngularDescriptor(Angular):
    """G_i = Σ_{j<k} g(r_ij, r_ik, cos θ_jik) over pairs of neighbours closer than cutoff, with the user's own g.

    g is summed as it is: for forces without a jump it has to reach 0 at the cutoff by itself, for instance by factors
    of :func:`miniffx.descriptors.cutoffs.cosine`. Each unordered pair of neighbours counts once, however far they are
    from each other. Model files cannot hold Python functions.

    Args:
        g: g(r1, r2, cos_theta), elementwise in JAX, distances in Å. r1 belongs to the first neighbour in `species`, r2
            to the second; where those are the same label, g has to be symmetric. Descriptors with the same function
            object are evaluated together.
        cutoff: of both distances, Å. species: three labels, the centre first.

    >>> import miniffx as mff
    >>> straight = mff.descriptors.AngularDescriptor(
    ...     lambda r1, r2, cos_theta: (1 - r1 / 4.0) * (1 - r2 / 4.0) * cos_theta**2, cutoff=4.0,
    ...     species=("C", "O", "O"))
    >>> dioxide = mff.Structure.create([[0, 0, 0], [0, 0, 1.0], [0, 0, -1.0]], ["C", "O", "O"])
    >>> ds = mff.descriptors.DescriptorSet([straight])
    >>> round(float(ds(dioxide, ds.neighbor_list(dioxide))[0, 0]), 4)
    0.5625
    """

    closed = False

    g: Callable[[Array, Array, Array], Array] = static()
    cutoff: float = static()
    species: tuple[str, str, str] = static()

    def __post_init__(self) -> None:
        species = self.species
        super().__post_init__()
        object.__setattr__(self, "species", _checks.labels("species", species, 3))  # the order matters to g
        if not callable(self.g):
            raise ValueError(f"`g` must be a function of r1, r2 and cos_theta, got {self.g!r}")

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """g(r₁, r₂, cos θ)."""
        return self.g(r1, r2, cos_theta)
