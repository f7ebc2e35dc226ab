"""Histograms: where in the space of descriptors a model has learnt, and where it guesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import host, pytree
from miniffx.neighbors import Array

BINS = 32


class ExtrapolationWarning(UserWarning):
    """An atom has a descriptor outside of what the model was trained on."""


@pytree
class Histograms:
    """The distribution of every feature over the atoms of a training set.

    Attributes:
        low, high: one vector [n_features] per species, the range.
        density: one matrix [n_features, bins] per species: atoms in each of the bins that divide the range evenly,
            relative to the fullest bin.
    """

    low: tuple[Array, ...]
    high: tuple[Array, ...]
    density: tuple[Array, ...]

    @classmethod
    def of(cls, features: Mapping[str, np.ndarray], bins: int = BINS) -> Histograms:
        """The histograms of features [n_atoms, n_features] by species."""
        low, high, density = [], [], []
        for label, given in features.items():
            values = _checks.array("features", given, (None, None), f"for {label} an array [n_atoms, n_features]")
            least, most = values.min(axis=0), values.max(axis=0)
            # Where features differ by rounding alone, any of them is as common as any other.
            even = most - least <= rounding(least, most, np.asarray(given).dtype, np)
            counts = [np.ones(bins) if e else np.histogram(v, bins)[0] for e, v in zip(even, values.T, strict=True)]
            low.append(host(least))
            high.append(host(most))
            density.append(host(np.array([count / count.max() for count in counts])))
        return cls(tuple(low), tuple(high), tuple(density))

    def fidelity(self, index: int, features: Array) -> Array:
        """[...] of atoms of a species with features [..., n_features]: the least density of any; 0 out of range."""
        low, high, density = self.low[index], self.high[index], self.density[index]
        bins = density.shape[-1]
        width = jnp.where(high > low, high - low, 1)
        place = jnp.clip(((features - low) / width * bins).astype(int), 0, bins - 1)
        found = jnp.take_along_axis(jnp.broadcast_to(density, (*place.shape, bins)), place[..., None], axis=-1)[..., 0]
        return jnp.where(self.outside(index, features), 0, found).min(axis=-1)

    def outside(self, index: int, features: Array) -> Array:
        """[..., n_features] bool: beyond the range by more than rounding."""
        low, high = self.low[index], self.high[index]
        margin = 1e-5 * (high - low) + rounding(low, high, features.dtype)
        return (features < low - margin) | (features > high + margin)


def rounding(low: Array, high: Array, dtype: Any, xp: Any = jnp) -> Array:
    """[n_features]: by how much features of these ranges may differ where an environment is the same.

    Features that are 0 by symmetry are sums of what cancels: rounding is measured by the largest feature, too.
    """
    eps = float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
    size = xp.maximum(xp.abs(low), xp.abs(high))
    return max(1e-6, 32 * eps) * size + max(1e-9, 16 * eps) * size.max(initial=0)
