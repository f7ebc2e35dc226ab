"""What all descriptors have in common: species, a cutoff, a formula."""

from __future__ import annotations

from typing import ClassVar

from miniffx import _checks
from miniffx.neighbors import Array, Needs


class Descriptor:
    """A number per atom of one species, summed over its neighbours (radial) or pairs of neighbours (angular).

    Subclasses are frozen dataclasses with static fields `cutoff` (Å) and `species` (centre first) and a method
    `formula`; their other leaves may be differentiated and batched. Descriptors are evaluated in sets:
    :class:`miniffx.descriptors.DescriptorSet`.
    """

    cutoff: float
    species: tuple[str, ...]
    n_bodies: ClassVar[int]
    closed: ClassVar[bool] = True  # whether triples with r_jk ≥ cutoff contribute nothing

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        center, *others = _checks.labels("species", self.species, self.n_bodies)
        object.__setattr__(self, "species", (center, *sorted(others)))

    @property
    def needs(self) -> Needs:
        """The pairs and triples that the descriptor reads."""
        if self.n_bodies == 2:
            return Needs(self.cutoff)
        a, b, c = self.species
        return Needs(self.cutoff, self.cutoff, self.closed, frozenset({(a, b, c)}))


class Radial(Descriptor):
    """A descriptor Σ_j f(r_ij)."""

    n_bodies = 2

    def formula(self, r: Array) -> Array:
        """f(r), elementwise, for r in Å below the cutoff."""
        raise NotImplementedError


class Angular(Descriptor):
    """A descriptor Σ_{j<k} f(r_ij, r_ik, r_jk, cos θ_jik), f symmetric in j and k."""

    n_bodies = 3

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """f, elementwise, for legs r1, r2 in Å below the cutoff (and r3 too where `closed`)."""
        raise NotImplementedError
