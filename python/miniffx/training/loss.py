"""The loss: differences between predictions and references, their sums, and the number to be made small."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import pytree
from miniffx.neighbors import Array
from miniffx.training.dataset import FIELDS


@dataclass(frozen=True)
class LossWeights:
    """L = Σ_t w_t ⟨ρ(Δ_t)⟩ over energies per atom, force components, stress components, and so on; ρ(Δ) = Δ².

    A mean is Σ_i v_i ρ(Δ_i) / Σ_i v_i with the weight v of the frame (:class:`miniffx.Frame`). √(forces/energy) is
    a length: the one at which an error of a force weighs as much as an error of an energy.

    Attributes:
        energy: of energies per atom, in (eV/atom)⁻²; of what a :class:`FeatureTable` sums up to as it is.
        forces: of force components, in (eV/Å)⁻²; 0 for forces and stress trains without Jacobians.
        stress: of the nine components, in (eV/Å³)⁻².
        partial_energies: of energies of atoms, in eV⁻².
        charges: in e⁻²; of a :class:`miniffx.ChargeModel`, whose loss holds nothing else.
        huber: None, or δ: where √w |Δ| > δ, w Δ² becomes δ (2 √w |Δ| − δ), so that outliers pull less; P. J. Huber,
            Ann. Math. Stat. 35, 73 (1964). Energies are outliers beyond δ/√energy, forces beyond δ/√forces.
    """

    energy: float = 1.0
    forces: float = 0.03
    stress: float = 0.0
    partial_energies: float = 0.0
    charges: float = 0.0
    huber: float | None = None

    def __post_init__(self) -> None:
        for name in FIELDS.values():
            _checks.non_negative(name, getattr(self, name))
        if not any(getattr(self, name) for name in FIELDS.values()):
            raise ValueError("`weights` must hold a positive weight, got 0 for everything")
        if self.huber is not None:
            _checks.positive("huber", self.huber)

    def of(self, term: str) -> float:
        """The weight of one of FIELDS."""
        return float(getattr(self, FIELDS[term]))

    def rho(self, term: str, error: Array) -> Array:
        """ρ of errors of one of FIELDS, in its unit squared."""
        if self.huber is None or not self.of(term):
            return error**2
        limit = self.huber / self.of(term) ** 0.5
        size = jnp.abs(error)
        return jnp.where(size <= limit, error**2, limit * (2 * size - limit))

    def pull(self, term: str, error: Array) -> Array:
        """ρ'(Δ) / 2Δ: how much a square has to weigh to have the gradient of ρ."""
        if self.huber is None or not self.of(term):
            return jnp.ones_like(error)
        limit = self.huber / self.of(term) ** 0.5
        return limit / jnp.maximum(jnp.abs(error), limit)


@pytree
class Difference:
    """Predictions less references of one term.

    Attributes:
        error: [batch, ...], 0 where not real.
        real: bool, of the same shape.
        weight: [batch] of the frames.
    """

    error: Array
    real: Array
    weight: Array

    def weights(self) -> Array:
        """The weight of every error, 0 where not real."""
        return self.real * self.weight.reshape(-1, *(1,) * (self.error.ndim - 1))

    def of_frames(self) -> Array:
        """[batch] the largest size of an error in each frame, NaN where one is."""
        return jnp.abs(self.error).reshape(self.error.shape[0], -1).max(axis=1)


@pytree
class Term:
    """Sums over the errors of one term: their number, weights, and what errors and losses are made of."""

    count: Array
    weight: Array
    abs: Array
    squared: Array
    loss: Array


@pytree
class Sums:
    """Sums over a batch, from which errors and losses of any collection of batches follow; they add up.

    The leaves are scalars, or [members] in a committee.
    """

    terms: dict[str, Term]

    @classmethod
    def of(cls, differences: Mapping[str, Difference], weights: LossWeights) -> Sums:
        """The sums over the errors of a batch."""
        terms = {}
        for name, d in differences.items():
            v = d.weights()
            terms[name] = Term(
                count=d.real.sum().astype(v.dtype),
                weight=v.sum(),
                abs=jnp.abs(d.error).sum(),
                squared=(d.error**2).sum(),
                loss=(v * weights.rho(name, d.error)).sum(),
            )
        return cls(terms)

    @classmethod
    def zero(cls, names: Iterable[str], shape: tuple[int, ...], dtype: Any) -> Sums:
        """The sums over nothing."""
        nothing = jnp.zeros(shape, dtype)
        return cls({name: Term(nothing, nothing, nothing, nothing, nothing) for name in names})

    def loss(self, weights: LossWeights, totals: Mapping[str, Any] | None = None) -> Array:
        """The loss of all that was summed, or with other sums of weights to divide by."""
        parts = []
        for name, term in self.terms.items():
            total = jnp.where(term.weight > 0, term.weight, 1) if totals is None else totals[name]
            parts.append(weights.of(name) * term.loss / total)
        return sum(parts[1:], parts[0])

    def errors(self) -> dict[str, np.ndarray]:
        """MAE and RMSE of every term, in its unit."""
        result = {}
        for name, term in self.terms.items():
            count = np.maximum(np.asarray(term.count, np.float64), 1)
            result[f"{name}_mae"] = np.asarray(term.abs, np.float64) / count
            result[f"{name}_rmse"] = np.sqrt(np.asarray(term.squared, np.float64) / count)
        return result

    def score(self, weights: LossWeights) -> np.ndarray:
        """Σ_t √w_t MAE_t: absolute errors, because few outliers among few frames decide over squared ones."""
        errors = self.errors()
        return sum((weights.of(name) ** 0.5 * errors[f"{name}_mae"] for name in self.terms), np.zeros(()))


def add_sums(parts: Iterable[Sums]) -> Sums:
    """The sum of several."""
    first, *rest = parts
    for part in rest:
        first = jax.tree.map(jnp.add, first, part)
    return first


def positive_terms(weights: LossWeights) -> tuple[str, ...]:
    """The terms that count."""
    return tuple(name for name in FIELDS if weights.of(name) > 0)


def only(weights: LossWeights, **changes: float) -> LossWeights:
    """Weights of nothing but what is given."""
    nothing = dict.fromkeys(FIELDS.values(), 0.0)
    return dataclasses.replace(weights, **(nothing | changes))
