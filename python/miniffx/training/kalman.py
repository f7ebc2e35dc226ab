"""Kalman: weights estimated from a stream of measurements, by a multi-stream extended Kalman filter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from miniffx import _checks
from miniffx._pytree import pytree
from miniffx.neighbors import Array
from miniffx.training.loss import Difference, LossWeights, Sums
from miniffx.training.memory import free_memory

ROWS = 128  # measurements that are taken in at once, about as many
MOST_AMPLIFIED = 7  # the logarithm of how much rounding may be amplified
ROUNDING = 32  # in units of the last place, of diagonals
COPIES = 5  # of the covariance: before and after an update, its change, the one of the last report, one to be saved


@pytree
class Filter:
    """What the filter knows besides the weights.

    Attributes:
        covariance: P [n_weights, n_weights], in units of the variance of a measurement.
        forgetting: λ.
    """

    covariance: Array
    forgetting: Array


@dataclass(frozen=True)
class Kalman:
    """Every step takes in the errors e of a mini-batch, with their derivatives H in the weights θ, all at once:

    S = λ 1 + H P Hᵀ,  θ ← θ − P Hᵀ S⁻¹ e,  P ← (P − P Hᵀ S⁻¹ H P) / λ,  λ ← λ_r λ + 1 − λ_r.

    e are errors times the square roots of their weights in the loss, so that Σ e² is the loss of a frame. Of the errors
    of a frame that are many (forces), random sums Σ ±e / √k take the place, k of them, with signs drawn anew in every
    step: the sum of their squares is the same on average. With λ = 1 and a linear model θ is after every step the
    minimum of Σ e² over all that was seen, plus (θ − θ₀)²/P₀; with λ < 1 what was seen counts less as time passes,
    because it was linearized around other weights. No variance exceeds P₀.

    Sources: S. Singhal and L. Wu, Adv. Neural Inf. Process. Syst. 1, 133 (1988); λ: T. B. Blank and S. D. Brown,
    J. Chemom. 8, 391 (1994), doi:10.1002/cem.1180080605; on potentials, with several streams: A. Singraber,
    T. Morawietz, J. Behler and C. Dellago, J. Chem. Theory Comput. 15, 3075 (2019), doi:10.1021/acs.jctc.8b01092.

    Attributes:
        covariance: P₀, by which P starts as P₀ 1: how far weights may go from where they start, over the noise of the
            measurements. Larger learns faster; too large diverges. It has the unit of 1/loss.
        forgetting: λ at the first step.
        forgetting_rate: λ_r, by which λ goes to 1.
        projections: k; a term with no more errors than that in a frame is taken in as it is.
    """

    covariance: float = 1000.0
    forgetting: float = 0.99
    forgetting_rate: float = 0.998
    projections: int = 8

    def __post_init__(self) -> None:
        _checks.positive("covariance", self.covariance)
        for name in ("forgetting", "forgetting_rate"):
            if not 0 < _checks.real(name, getattr(self, name)) <= 1:
                raise ValueError(f"`{name}` must be in (0, 1], got {getattr(self, name)}")
        k = self.projections
        if not _checks.is_whole(k) or k < 1:
            raise ValueError(f"`projections` must be a positive integer, got {k!r}")

    def init(self, parameters: Any) -> Filter:
        """Before the first step."""
        theta, _ = ravel_pytree(parameters)
        eye = jnp.eye(len(theta), dtype=theta.dtype)
        return Filter(self.covariance * eye, jnp.asarray(self.forgetting, theta.dtype))

    def step(
        self,
        differences: Callable[[Any, Any], dict[str, Difference]],
        weights: LossWeights,
        parameters: Any,
        state: Filter,
        batch: Any,
        chosen: Array,
        real: Array,
        usual: dict[str, Array],
        key: Array,
    ) -> tuple[Any, Filter, Sums]:
        """Take in the errors of some frames of a batch, some at a time.

        Args:
            differences: (parameters, batch) → the differences of every term.
            weights: of the loss.
            parameters, state: before the step.
            batch, chosen, real: frames, which of them, and whether these count.
            usual: what the errors of each term weigh in a frame, on average.
            key: of the signs.

        Returns:
            Parameters and state after the step, and the sums over the errors before it.
        """
        theta, unravel = ravel_pytree(parameters)
        rows = partial(self._rows, lambda theta, frame: differences(unravel(theta), frame), weights, usual)
        size = max(1, ROWS // self._rows_per_frame(differences, parameters, batch.take(chosen[:1], real[:1])))
        blocks = -(-len(chosen) // size)
        size = -(-len(chosen) // blocks)
        where = jnp.arange(blocks * size)
        exists = (where < len(chosen)).reshape(blocks, size)
        where = jnp.minimum(where, len(chosen) - 1).reshape(blocks, size)
        keys = jax.random.split(key, (blocks, size))

        def take_in(carry: tuple[Array, Array, Array], block: Any) -> tuple[tuple[Array, Array, Array], Sums]:
            theta, covariance, forgetting = carry
            where, exists, keys = block
            frames = batch.take(chosen[where], real[where] & exists)
            errors, jacobian, sums = jax.vmap(rows, in_axes=(None, 0, 0))(theta, frames, keys)
            errors, jacobian = errors.reshape(-1), jacobian.reshape(-1, len(theta))
            change, covariance = update(
                covariance, forgetting, errors, jacobian, self.covariance, symmetrize=self._amplifies_rounding
            )
            # What is taken in within one step is of the same age.
            return (theta + change, covariance, jnp.ones_like(forgetting)), jax.tree.map(lambda x: x.sum(axis=0), sums)

        carry = theta, state.covariance, state.forgetting
        if blocks == 1:
            carry, sums = take_in(carry, (where[0], exists[0], keys[0]))
        else:
            carry, sums = jax.lax.scan(take_in, carry, (where, exists, keys))
            sums = jax.tree.map(lambda x: x.sum(axis=0), sums)
        forgetting = self.forgetting_rate * state.forgetting + 1 - self.forgetting_rate
        return unravel(carry[0]), Filter(carry[1], forgetting), sums

    @property
    def _amplifies_rounding(self) -> bool:
        """Whether the covariance has to be made symmetric again in every step.

        Rounding breaks the symmetry, and forgetting amplifies what is broken: by exp((1 − λ)/(1 − λ_r)) in all.
        """
        return 1 - self.forgetting > MOST_AMPLIFIED * (1 - self.forgetting_rate)

    def _rows(
        self,
        differences: Callable[[Array, Any], dict[str, Difference]],
        weights: LossWeights,
        usual: dict[str, Array],
        theta: Array,
        frame: Any,
        key: Array,
    ) -> tuple[Array, Array, Sums]:
        """Measurements [rows] of a frame, their derivatives [rows, n_weights], and the sums over its errors."""
        frame = jax.tree.map(lambda leaf: leaf[None], frame)

        def weighted(theta: Array) -> tuple[list[Array], Sums]:
            found = differences(theta, frame)
            terms = []
            for name, d in found.items():
                pull = jax.lax.stop_gradient(weights.pull(name, d.error))
                terms.append((jnp.sqrt(weights.of(name) / usual[name] * d.weights() * pull) * d.error).reshape(-1))
            return terms, Sums.of(found, weights)

        errors, back, sums = jax.vjp(weighted, theta, has_aux=True)
        keys = jax.random.split(key, len(errors))
        signs = [self._signs(each, e) for each, e in zip(keys, errors, strict=True)]
        measured = [jnp.matmul(s, e, precision=jax.lax.Precision.HIGHEST) for s, e in zip(signs, errors, strict=True)]
        # Block diagonal: a row sees one term.
        counts = [len(s) for s in signs]
        cotangents = [jnp.pad(s, ((sum(counts[:n]), sum(counts[n + 1 :])), (0, 0))) for n, s in enumerate(signs)]
        (jacobian,) = jax.vmap(back)(cotangents)
        return jnp.concatenate(measured), jacobian, sums

    def _signs(self, key: Array, errors: Array) -> Array:
        """[rows, n_errors]: how measurements are made of the errors of a term."""
        if len(errors) <= self.projections:
            return jnp.eye(len(errors), dtype=errors.dtype)
        signs = jax.random.rademacher(key, (self.projections, len(errors)), errors.dtype)
        return signs / jnp.sqrt(jnp.asarray(self.projections, errors.dtype))

    def _rows_per_frame(self, differences: Any, parameters: Any, frame: Any) -> int:
        found = jax.eval_shape(differences, parameters, frame)
        return sum(min(self.projections, math.prod(d.error.shape)) for d in found.values())


def update(
    covariance: Array,
    forgetting: Array,
    errors: Array,
    jacobian: Array,
    most: float = math.inf,
    symmetrize: bool = True,
) -> tuple[Array, Array]:
    """(the change of the weights, P after it), from e and H as :class:`Kalman` has them; no variance exceeds `most`.

    With S = L Lᵀ and V = L⁻¹ H P the change is −Vᵀ L⁻¹ e, and P loses Vᵀ V. The diagonals of S and P grow by what
    rounding may take from them: in single precision they would not stay positive otherwise. What is not seen would
    grow without end as the filter forgets, and is scaled down where it would pass `most`.

    After H P the covariance is read once and written once: the rest of the cost is two products. On CPUs a transpose
    takes longer than either: there P is made symmetric only where that is asked for. In single precision Vᵀ V is
    symmetric to the bit, in double to the last place.
    """
    if symmetrize or jax.default_backend() != "cpu":
        covariance = (covariance + covariance.T) / 2
    rounding = ROUNDING * jnp.finfo(covariance.dtype).eps
    multiply = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    pulled = multiply(jacobian, covariance)
    spread = multiply(pulled, jacobian.T)
    spread += jnp.diag(forgetting + rounding * jnp.diag(spread))
    whitener = inverse_root(spread)
    half = multiply(whitener, pulled)
    change = -multiply(multiply(whitener, errors), half)
    variance = (1 + rounding) * jnp.diag(covariance) - (half * half).sum(axis=0)
    factor = jnp.sqrt(jnp.minimum(1 / forgetting, most / variance))
    own = jnp.eye(len(variance), dtype=bool)
    covariance = jnp.where(own, variance, covariance - multiply(half.T, half))
    return change, covariance * (factor[:, None] * factor)


def inverse_root(matrix: Array) -> Array:
    """L⁻¹ of a positive definite L Lᵀ, by elimination without pivots.

    For the hundred rows there are it takes as long as LAPACK, whose threads on CPUs stay awake beside those of XLA and
    make what comes next twice as slow.
    """
    n = len(matrix)

    def eliminate(k: Array, both: Array) -> Array:
        row = both[k]
        factors = jnp.where(jnp.arange(n) > k, both[:, k] / row[k], 0)
        return both - factors[:, None] * row

    both = jax.lax.fori_loop(0, n, eliminate, jnp.concatenate([matrix, jnp.eye(n, dtype=matrix.dtype)], axis=1))
    return both[:, n:] / jnp.sqrt(jnp.diag(both))[:, None]


def require_memory(parameters: Any, members: int | None) -> None:
    """MemoryError if the covariance is too large for the memory that is free."""
    count, leaf = members or 1, jax.tree.leaves(parameters)[0]
    n = sum(leaf.size for leaf in jax.tree.leaves(parameters)) // count
    needed = count * (COPIES * n + 3 * ROWS) * n * leaf.dtype.itemsize
    if needed > (free := free_memory()):
        raise MemoryError(
            f"`optimizer` 'ekf' needs {needed / 2**30:.3g} GiB for the covariances of {n} weights"
            f"{f' of {members} members' if members else ''}, of which {free / 2**30:.3g} GiB are free"
        )
