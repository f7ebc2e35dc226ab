"""Tensor moments of the neighbours: sums over them that turn with the environment, and their contractions.

The components of a moment are Σ_j R_n(r_ij) Y_lm(û_ij) over the neighbours j of one species, for all orders n and all
harmonics. Contracted, they are the invariants of :class:`MomentInvariant`. Where weights are trained and positions are
not, what a pair adds to the moments and how that changes with its displacement stay what they are: `MomentPairs`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import geometry, mapping
from miniffx._pytree import pytree, static
from miniffx.descriptors import cutoffs
from miniffx.descriptors.harmonics import COUNT, coefficients, monomials, of_rank, tensors
from miniffx.neighbors import Array, Environments

if TYPE_CHECKING:
    from miniffx.descriptors.moment_invariant import MomentInvariant

HIGHEST = jax.lax.Precision.HIGHEST

# Contractions of symmetric traceless tensors that leave a number: the ranks of the factors, and which indices meet.
CONTRACTIONS: dict[tuple[int, ...], str] = {
    (0,): "",
    (1, 1): "i,i",
    (2, 2): "ij,ij",
    (3, 3): "ijk,ijk",
    (4, 4): "ijkl,ijkl",
    (1, 2, 1): "i,ij,j",
    (2, 2, 2): "ij,jk,ki",
    (1, 3, 2): "i,ijk,jk",
    (3, 2, 3): "ikl,ij,jkl",
    (2, 4, 2): "ij,ijkl,kl",
    (1, 4, 3): "i,ijkl,jkl",
    (4, 2, 4): "iklm,ij,jklm",
}


@pytree
class Moments:
    """All moments of the atoms of one species.

    Attributes:
        values: [rows, len(labels), n_orders, COUNT].
        labels: species of the neighbours (static).
    """

    values: Array
    labels: tuple[str, ...] = static()

    def contract(self, invariants: Sequence[MomentInvariant]) -> Array:
        """[rows, len(invariants)], in their order; 0 where a species of neighbours is not there."""
        blocks, order = [], []
        for ranks in dict.fromkeys(invariant.ranks for invariant in invariants):
            places = [n for n, one in enumerate(invariants) if one.ranks == ranks]
            blocks.append(self._contract(ranks, [invariants[n] for n in places]))
            order += places
        every = jnp.concatenate(blocks, axis=1)
        return every if order == sorted(order) else every[:, np.argsort(order)]

    def _contract(self, ranks: tuple[int, ...], invariants: list[MomentInvariant]) -> Array:
        """Those of one kind: all products of channels, of which a matrix of factors takes what is asked for."""
        dtype = self.values.dtype
        channels = [[(s, n) for s, n in zip(i.species[1:], i.orders, strict=True)] for i in invariants]
        used = [sorted({channel[k] for channel in channels}) for k in range(len(ranks))]
        factors = [self._channels(rank, of) for rank, of in zip(ranks, used, strict=True)]
        if len(ranks) == 1:
            every = factors[0][..., 0]
        elif len(ranks) == 2:
            both = _scaled(factors[0], _norm(ranks[0]))
            every = jnp.einsum("rai,rbi->rab", both, factors[1], precision=HIGHEST)
        else:
            first, middle, last = factors
            turn = jnp.asarray(_coupling(ranks), dtype)
            turned = jnp.einsum("rbj,jik->rbik", middle, turn, precision=HIGHEST)
            turned = jnp.einsum("rbik,rck->rbic", turned, last, precision=HIGHEST)
            every = jnp.einsum("rai,rbic->rabc", first, turned, precision=HIGHEST)
        taken = np.zeros((*map(len, used), len(invariants)))
        for place, (invariant, channel) in enumerate(zip(invariants, channels, strict=True)):
            at = tuple(of.index(one) for of, one in zip(used, channel, strict=True))
            taken[(*at, place)] = invariant.factor
        taken = taken.reshape(-1, len(invariants))
        # A product and not indices, whose derivative would be a scatter.
        return jnp.matmul(every.reshape(len(every), len(taken)), jnp.asarray(taken, dtype), precision=HIGHEST)

    def _channels(self, rank: int, channels: list[tuple[str, int]]) -> Array:
        """[rows, len(channels), 2 rank + 1] of (species, order)."""
        rows = self.values.shape[0]
        parts = []
        for label in dict.fromkeys(label for label, _ in channels):
            orders = [order - 1 for other, order in channels if other == label]
            if label not in self.labels:
                parts.append(jnp.zeros((rows, len(orders), 2 * rank + 1), self.values.dtype))
                continue
            some = self.values[:, self.labels.index(label), :, of_rank(rank)]
            straight = orders == list(range(orders[0], orders[0] + len(orders)))
            parts.append(some[:, orders[0] : orders[-1] + 1] if straight else some[:, np.array(orders)])
        return jnp.concatenate(parts, axis=1)


def n_orders(invariants: Sequence[MomentInvariant]) -> int:
    """The largest order of a moment."""
    return max(order for invariant in invariants for order in invariant.orders)


def tensor_moments(
    invariants: Sequence[MomentInvariant], displacements: Array, environments: Environments, labels: tuple[str, ...]
) -> Moments:
    """The moments, for some invariants of one cutoff, of the neighbours at `displacements` [rows, n_columns, 3]."""
    count, cutoff = n_orders(invariants), invariants[0].cutoff
    sums = []
    for index, label in enumerate(labels):
        if not any(label in invariant.species[1:] for invariant in invariants):
            sums.append(jnp.zeros((displacements.shape[0], count, COUNT), displacements.dtype))
            continue
        vectors, inside = _inside(displacements, environments, index, cutoff)
        r = jnp.sqrt((vectors * vectors).sum(axis=0))
        radial = jnp.where(inside, _radial(r, count, cutoff), 0)
        powers = jnp.einsum("nrk,prk->rnp", radial, jnp.stack(monomials(*vectors / r)), precision=HIGHEST)
        sums.append(jnp.matmul(powers, _transposed(powers.dtype), precision=HIGHEST))
    return Moments(jnp.stack(sums, axis=1), labels)


@pytree
class PairsOfSpecies:
    """What each neighbour of one species adds to the moments, and how that changes with its displacement.

    Attributes:
        radial: [rows, n_orders, 2, columns]: R_n in 1/Å and dR_n/dr in 1/Å².
        angular: [rows, COUNT, columns]: Y_lm.
        slopes: [rows, 3, COUNT, columns]: ∂Y_lm/∂D in 1/Å.
        directions: [rows, 3, columns]: û.
    """

    radial: Array
    angular: Array
    slopes: Array
    directions: Array

    def moments(self) -> Array:
        """[rows, n_orders, COUNT]."""
        return jnp.einsum("rnk,rmk->rnm", self.radial[:, :, 0], self.angular, precision=HIGHEST)

    def pull(self, slopes: Array) -> Array:
        """∂E/∂D [rows, columns, 3] from ∂E/∂M [rows, n_orders, COUNT].

        ∂(R Y)/∂D = R' Y û + R ∂Y/∂D.
        """
        rows, orders, _, columns = self.radial.shape
        by_pairs = jnp.einsum("rnm,rnk->rmk", slopes, self.radial.reshape(rows, orders, 2 * columns), precision=HIGHEST)
        value, slope = by_pairs[..., :columns], by_pairs[..., columns:]
        along = (slope * self.angular).sum(axis=1)[:, None] * self.directions
        return jnp.moveaxis(along + (value[:, None] * self.slopes).sum(axis=2), 1, 2)


@pytree
class MomentPairs:
    """What all neighbours add to the moments, and how that changes with their displacements: linear in both.

    Attributes:
        parts: of each species of neighbours; None for those that no invariant looks at.
        columns: where the neighbours of each species begin, and where the last ones end (static).
        labels: these species (static).
        n_orders: of the moments (static).
    """

    parts: tuple[PairsOfSpecies | None, ...]
    columns: tuple[int, ...] = static()
    labels: tuple[str, ...] = static()
    n_orders: int = static()

    @classmethod
    def of(
        cls,
        invariants: Sequence[MomentInvariant],
        displacements: Array,
        environments: Environments,
        labels: tuple[str, ...],
    ) -> MomentPairs:
        """For some invariants of one cutoff, and neighbours at `displacements` [rows, n_columns, 3]."""
        count, cutoff = n_orders(invariants), invariants[0].cutoff
        parts: list[PairsOfSpecies | None] = []
        for index, label in enumerate(labels):
            if any(label in invariant.species[1:] for invariant in invariants):
                vectors, inside = _inside(displacements, environments, index, cutoff)
                parts.append(_pairs_of_species(vectors, inside, count, cutoff))
            else:
                parts.append(None)
        return cls(tuple(parts), tuple(environments.columns), labels, count)

    @staticmethod
    def numbers(n_orders: int) -> int:
        """How many are kept per pair."""
        return 2 * n_orders + 4 * COUNT + 3

    def moments(self, rows: int, dtype: Any) -> Moments:
        """The sums over all neighbours."""
        nothing = jnp.zeros((rows, self.n_orders, COUNT), dtype)
        return Moments(jnp.stack([nothing if p is None else p.moments() for p in self.parts], axis=1), self.labels)

    def pull(self, slopes: Moments) -> Array:
        """∂E/∂D [rows, n_columns, 3] from the derivatives ∂E/∂M, themselves in the form of moments."""
        pulled = []
        for index, part in enumerate(self.parts):
            width = self.columns[index + 1] - self.columns[index]
            rows, dtype = slopes.values.shape[0], slopes.values.dtype
            one = jnp.zeros((rows, width, 3), dtype) if part is None else part.pull(slopes.values[:, index])
            pulled.append(one)
        return jnp.concatenate(pulled, axis=1)


def _inside(displacements: Array, environments: Environments, neighbor: int, cutoff: float) -> tuple[Array, Array]:
    """Displacements [3, rows, columns] to the neighbours of one species, and which of them count.

    Those that do not are replaced by something harmless.
    """
    vectors = displacements[:, mapping.columns_of(neighbor, environments)]
    r = geometry.norm(vectors)
    inside = (jnp.arange(r.shape[-1]) < environments.counts[:, neighbor][:, None]) & (r < cutoff) & (r > 0)
    harmless = jnp.asarray([0.5 * cutoff, 0, 0], vectors.dtype)
    return jnp.moveaxis(jnp.where(inside[..., None], vectors, harmless), -1, 0), inside


def _radial(r: Array, count: int, cutoff: float) -> Array:
    """R_n(r) [count, ...] in 1/Å for 0 < r < cutoff."""
    orders = np.arange(1, count + 1).reshape(-1, *(1,) * r.ndim)
    return jnp.sin(jnp.asarray(np.pi / cutoff * orders, r.dtype) * r) * (cutoffs.cosine(r, cutoff) / r)


def _pairs_of_species(vectors: Array, inside: Array, count: int, cutoff: float) -> PairsOfSpecies:
    r = jnp.sqrt((vectors * vectors).sum(axis=0))
    radial = jnp.stack(jax.jvp(lambda r: _radial(r, count, cutoff), (r,), (jnp.ones_like(r),)), axis=1)

    def powers(vectors: Array) -> Array:
        return jnp.stack(monomials(*vectors / jnp.sqrt((vectors * vectors).sum(axis=0))))

    def along(axis: Array) -> Array:
        return jax.jvp(powers, (vectors,), (jnp.broadcast_to(axis[:, None, None], vectors.shape),))[1]

    of_powers = jnp.asarray(coefficients(), r.dtype)
    slopes = jax.vmap(along)(jnp.eye(3, dtype=r.dtype))
    return PairsOfSpecies(
        radial=jnp.moveaxis(jnp.where(inside, radial, 0), 2, 0),
        angular=jnp.einsum("mp,prk->rmk", of_powers, powers(vectors), precision=HIGHEST),
        slopes=jnp.einsum("mp,xprk->rxmk", of_powers, slopes, precision=HIGHEST),
        directions=jnp.moveaxis(vectors / r, 1, 0),
    )


def _transposed(dtype: Any) -> Array:
    return jnp.asarray(coefficients().T, dtype)


@functools.cache
def _coupling(ranks: tuple[int, ...]) -> np.ndarray:
    """[2 l₂ + 1, 2 l₁ + 1, 2 l₃ + 1] for three ranks: what their contraction is for components along harmonics."""
    indices = CONTRACTIONS[ranks].split(",")
    equation = ",".join(letter + part for letter, part in zip("abc", indices, strict=True)) + "->bac"
    return np.asarray(np.einsum(equation, *map(tensors, ranks)))


def _norm(rank: int) -> float:
    """Σ of the squares of a tensor that a harmonic stands for."""
    return float((tensors(rank)[0] ** 2).sum())


def _scaled(values: Array, factor: float) -> Array:
    return values if factor == 1 else values * factor
