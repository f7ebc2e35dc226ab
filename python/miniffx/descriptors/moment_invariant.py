"""Invariants of moments: three bodies resolved in distance and angle, four bodies besides, linear in the neighbours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks, geometry, mapping
from miniffx._pytree import pytree, static
from miniffx.descriptors import cutoffs
from miniffx.descriptors.descriptor import Descriptor
from miniffx.neighbors import Array, Environments, Needs

Channel = tuple[str, int]
HIGHEST = jax.lax.Precision.HIGHEST

# Contractions of symmetric traceless tensors that leave a number: the ranks of the factors, and which indices meet.
CONTRACTIONS: dict[tuple[int, ...], str] = {
    (0,): "ra->ra",
    (1, 1): "rai,rbi->rab",
    (2, 2): "raij,rbij->rab",
    (3, 3): "raijk,rbijk->rab",
    (1, 2, 1): "rai,rbij,rcj->rabc",
    (2, 2, 2): "raij,rbjk,rcki->rabc",
    (1, 3, 2): "rai,rbijk,rcjk->rabc",
    (3, 2, 3): "raikl,rbij,rcjkl->rabc",
}

# Polynomials of the components of a unit vector, of every rank l: harmonics with Σ_m Y_m² = 1, so that
# Σ_m Y_m(û) Y_m(v̂) = P_l(û · v̂).
HARMONICS: tuple[tuple[dict[str, float], ...], ...] = (
    ({"": 1.0},),
    ({"x": 1.0}, {"y": 1.0}, {"z": 1.0}),
    (
        {"xy": math.sqrt(3)},
        {"yz": math.sqrt(3)},
        {"xz": math.sqrt(3)},
        {"xx": math.sqrt(3) / 2, "yy": -math.sqrt(3) / 2},
        {"zz": 1.0, "xx": -0.5, "yy": -0.5},
    ),
    (
        {"xxy": 3 * math.sqrt(5 / 8), "yyy": -math.sqrt(5 / 8)},
        {"xyz": math.sqrt(15)},
        {"yzz": 4 * math.sqrt(3 / 8), "xxy": -math.sqrt(3 / 8), "yyy": -math.sqrt(3 / 8)},
        {"zzz": 1.0, "xxz": -1.5, "yyz": -1.5},
        {"xzz": 4 * math.sqrt(3 / 8), "xxx": -math.sqrt(3 / 8), "xyy": -math.sqrt(3 / 8)},
        {"xxz": math.sqrt(15) / 2, "yyz": -math.sqrt(15) / 2},
        {"xxx": math.sqrt(5 / 8), "xyy": -3 * math.sqrt(5 / 8)},
    ),
)


@pytree
class MomentInvariant(Descriptor):
    """A contraction of one, two or three moments of the neighbours to a number, times a factor.

    A moment of rank l and order n is the symmetric traceless tensor of l indices

        T = Σ_j R_n(r_ij) (û_ij ⊗ … ⊗ û_ij − traces),   R_n(r) = sin(n π r / r_c) f_c(r) / r,

    over the neighbours j of one species, with the cosine cutoff f_c. Two of them contract over all of their indices, to
    Σ_jk R_n(r_ij) R_m(r_ik) P_l(cos θ_jik) where l is their rank, times a constant for l > 1; three of them see four
    bodies at once. All invariants of a set share the moments, so that their cost is linear in the neighbours.

    Sources: A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183 (invariants of moments);
    V. Zaverkin, J. Kästner, J. Chem. Theory Comput. 16, 5410 (2020), doi:10.1021/acs.jctc.0c00347 (as what a network
    sees); E. Kocer, J. K. Mason, H. Erturk, AIP Adv. 10, 015021 (2020), doi:10.1063/1.5111045 (these R_n).

    Args:
        ranks: (0,), (1, 1), (2, 2), (3, 3), (1, 2, 1), (2, 2, 2), (1, 3, 2) or (3, 2, 3) (static).
        orders: n ≥ 1 of every moment (static).
        cutoff: r_c, Å.
        species: the centre, then that of the neighbours in every moment.
        factor: of the whole invariant, so that those of a set have sizes that mean something to a network (static).

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
        whole = all(isinstance(n, int) and n >= 1 for n in self.orders)
        if not whole or len(self.orders) != len(self.ranks):
            raise ValueError(f"`orders` must be {len(self.ranks)} whole numbers from 1, got {self.orders}")
        object.__setattr__(self, "species", _checks.labels("species", self.species, 1 + len(self.ranks)))
        object.__setattr__(self, "factor", _checks.real("factor", self.factor))

    @property
    def needs(self) -> Needs:
        """Pairs."""
        return Needs(self.cutoff)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """(species of the neighbours, order) of every moment."""
        return tuple(zip(self.species[1:], self.orders, strict=True))

    def sums(self, displacements: Array, environments: Environments, labels: tuple[str, ...]) -> Array:
        """[rows] the invariant of the atoms of one species."""
        return Moments.of([self], displacements, environments, labels).contract([self])[:, 0]


@pytree
class Moments:
    """The moments of all channels that some invariants of one cutoff contract.

    Attributes:
        values: [rows, n_channels, 16], the components along HARMONICS, rank after rank.
        channels: (species of the neighbours, order) (static).
    """

    values: Array
    channels: tuple[Channel, ...] = static()

    @classmethod
    def of(
        cls,
        invariants: Sequence[MomentInvariant],
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> Moments:
        """The moments of the neighbours at `displacements` [rows, n_columns, 3]."""
        cutoff = invariants[0].cutoff
        channels = tuple(sorted({channel for invariant in invariants for channel in invariant.channels}))
        parts = []
        for label in sorted({label for label, _ in channels}):
            orders = [order for other, order in channels if other == label]
            if label in labels:
                parts.append(_moments(displacements, environments, labels.index(label), cutoff, orders))
            else:
                parts.append(jnp.zeros((displacements.shape[0], len(orders), 16), displacements.dtype))
        return cls(jnp.concatenate(parts, axis=1), channels)

    def contract(self, invariants: Sequence[MomentInvariant]) -> Array:
        """[rows, len(invariants)], in their order."""
        order: list[int] = []
        blocks: list[Array] = []
        tensors = [self.values[..., 0], self.values[..., 1:4]]
        tensors += [
            jnp.einsum("...m,mi->...i", self.values[..., l * l : (l + 1) ** 2], _tensors(l, self.values.dtype))
            for l in (2, 3)
        ]
        tensors[2] = tensors[2].reshape(*tensors[2].shape[:-1], 3, 3)
        tensors[3] = tensors[3].reshape(*tensors[3].shape[:-1], 3, 3, 3)
        for ranks, equation in CONTRACTIONS.items():
            places = [place for place, invariant in enumerate(invariants) if invariant.ranks == ranks]
            if not places:
                continue
            factors, where = [], []
            for position, rank in enumerate(ranks):
                used = sorted({invariants[place].channels[position] for place in places})
                factors.append(tensors[rank][:, np.array([self.channels.index(channel) for channel in used])])
                where.append(np.array([used.index(invariants[place].channels[position]) for place in places]))
            every = jnp.einsum(equation, *factors, precision=HIGHEST)
            blocks.append(every[:, *where])
            order += places
        size = np.array([invariants[place].factor for place in order], self.values.dtype)
        return in_order(order, jnp.concatenate(blocks, axis=1) * size, axis=1)


def in_order(places: Sequence[int], values: Array, axis: int) -> Array:
    """Values that belong to places 0 to n − 1, sorted."""
    if list(places) == sorted(places):
        return values
    return jnp.take(values, np.argsort(places), axis=axis)


def moment_jacobian(
    invariants: Sequence[MomentInvariant], displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> Array:
    """∂G/∂D [len(invariants), rows, n_columns, 3] in 1/Å: first by the moments, then of these by the displacements."""

    def moments_of(vectors: Array) -> Moments:
        return Moments.of(invariants, vectors, environments, labels)

    def contract(moments: Moments) -> Array:
        one_row = jax.tree.map(lambda leaf: leaf[None], moments)
        return one_row.contract(invariants)[0]

    moments, pull = jax.vjp(moments_of, displacements)
    slopes = jax.vmap(jax.jacrev(contract))(moments)
    return jax.vmap(lambda slope: pull(slope)[0], in_axes=1)(slopes)


def _moments(
    displacements: Array, environments: Environments, neighbor: int, cutoff: float, orders: list[int]
) -> Array:
    """[rows, len(orders), 16] over the neighbours of one species."""
    vectors = displacements[:, mapping.columns_of(neighbor, environments)]
    r = geometry.norm(vectors)
    real = jnp.arange(r.shape[-1]) < environments.counts[:, neighbor][:, None]
    inside = real & (r < cutoff) & (r > 0)
    r = jnp.where(inside, r, 0.5 * cutoff)
    x, y, z = jnp.moveaxis(jnp.where(inside[..., None], vectors, 0) / r[..., None], -1, 0)
    screen = jnp.where(inside, cutoffs.cosine(r, cutoff) / r, 0)
    radial = jnp.sin(np.array(orders) * (np.pi / cutoff) * r[..., None]) * screen[..., None]
    component = {"": jnp.ones_like(x), "x": x, "y": y, "z": z}
    for degree in ("xx", "yy", "zz", "xy", "yz", "xz"):
        component[degree] = component[degree[0]] * component[degree[1]]
    for polynomial in HARMONICS[3]:
        for monomial in polynomial:
            component[monomial] = component[monomial[:2]] * component[monomial[2]]
    harmonics = [
        sum(factor * component[monomial] for monomial, factor in polynomial.items())
        for rank in HARMONICS
        for polynomial in rank
    ]
    return jnp.einsum("rkn,rkm->rnm", radial, jnp.stack(harmonics, axis=-1), precision=HIGHEST)


def _tensors(rank: int, dtype: Any) -> np.ndarray:
    """[2 rank + 1, 3^rank]: Σ_m Y_m(û) of these is û ⊗ … ⊗ û less its traces."""
    result = np.zeros((2 * rank + 1, *(3,) * rank))
    for m, polynomial in enumerate(HARMONICS[rank]):
        for monomial, factor in polynomial.items():
            orderings = list(itertools.permutations(monomial))
            for ordering in orderings:
                result[(m, *("xyz".index(letter) for letter in ordering))] += factor / len(orderings)
    squares = (result**2).sum(axis=tuple(range(1, rank + 1)), keepdims=True)  # alike, and orthogonal
    return np.asarray((result / squares).reshape(2 * rank + 1, -1), dtype)
