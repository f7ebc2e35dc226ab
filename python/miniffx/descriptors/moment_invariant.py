"""Invariants of moments: three bodies resolved in distance and angle, four bodies besides, linear in the neighbours."""

from __future__ import annotations

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Descriptor
from miniffx.descriptors.tensor_moments import CONTRACTIONS, tensor_moments
from miniffx.neighbors import Array, Environments, Needs


@pytree
class MomentInvariant(Descriptor):
    """A contraction of one, two or three moments of the neighbours to a number, times a factor.

    A moment of rank l and order n is the symmetric traceless tensor of l indices

        T = Σ_j R_n(r_ij) (û_ij ⊗ … ⊗ û_ij − traces),   R_n(r) = sin(n π r / r_c) f_c(r) / r,

    over the neighbours j of one species, with the cosine cutoff f_c; neighbours at the centre itself are left out. Two
    of them contract over all of their indices, to Σ_jk R_n(r_ij) R_m(r_ik) P_l(cos θ_jik) with their rank l, times 2/3
    for l = 2, 2/5 for l = 3 and 8/35 for l = 4. Three of them see four bodies at once. All invariants of a set share
    the moments, so that their cost is linear in the number of neighbours.

    Sources: A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183 (invariants of moments);
    V. Zaverkin, J. Kästner, J. Chem. Theory Comput. 16, 5410 (2020), doi:10.1021/acs.jctc.0c00347 (as what a network
    sees); E. Kocer, J. K. Mason, H. Erturk, AIP Adv. 10, 015021 (2020), doi:10.1063/1.5111045 (these R_n).

    Args:
        ranks: of the moments: (0,), (1, 1), (2, 2), (3, 3), (4, 4), (1, 2, 1), (2, 2, 2), (1, 3, 2), (3, 2, 3),
            (2, 4, 2), (1, 4, 3) or (4, 2, 4) (static).
        orders: n ≥ 1 of every moment (static).
        cutoff: r_c, Å.
        species: the centre, then that of the neighbours in every moment.
        factor: of the whole invariant, in Å to the power of the number of moments (static).

    >>> import miniffx as mff
    >>> D = mff.descriptors
    >>> dipole = D.MomentInvariant(ranks=(1, 1), orders=(1, 1), cutoff=4.0, species=("C", "O", "O"))
    >>> straight = mff.Structure.create([[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]], ["C", "O", "O"])
    >>> ds = D.DescriptorSet([dipole])
    >>> abs(float(ds(straight, ds.neighbor_list(straight))[0, 0])) < 1e-6
    True
    """

    ranks: tuple[int, ...] = static()
    orders: tuple[int, ...] = static()
    cutoff: float = static()
    species: tuple[str, ...] = static()
    factor: float = static(default=1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        object.__setattr__(self, "ranks", tuple(self.ranks))
        object.__setattr__(self, "orders", tuple(self.orders))
        if self.ranks not in CONTRACTIONS:
            raise ValueError(f"`ranks` must be one of {', '.join(map(str, CONTRACTIONS))}, got {self.ranks}")
        whole = all(_checks.is_whole(n) and n >= 1 for n in self.orders)
        if not whole or len(self.orders) != len(self.ranks):
            raise ValueError(f"`orders` must be {len(self.ranks)} whole numbers from 1, got {self.orders}")
        object.__setattr__(self, "species", _checks.labels("species", self.species, 1 + len(self.ranks)))
        object.__setattr__(self, "factor", _checks.real("factor", self.factor))

    @property
    def needs(self) -> Needs:
        """Pairs."""
        return Needs(self.cutoff)

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] the invariant of the atoms of one species."""
        return tensor_moments([self], displacements, environments, labels).contract([self])[:, 0]
