"""Feature table: samples of summed points as plain arrays, for maps that are not potentials."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import pytree
from miniffx.models import MLP
from miniffx.neighbors import Array
from miniffx.training.loss import Difference


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Samples of E = Σ_p f(G_p), a sum over the points of each: what :func:`miniffx.fit` fits an MLP to.

    Attributes:
        features: [n_samples, n_points, n_features].
        energy: [n_samples], in whatever unit; the loss is the mean squared error of it, not divided by anything.
        mask: [n_samples, n_points] bool, False for points that only fill the shape; by default all are real.

    Raises:
        ValueError: shapes that do not fit together, numbers that are not finite.

    >>> import miniffx as mff, jax, numpy as np
    >>> x = np.linspace(0, 1, 20)[:, None, None]
    >>> table = mff.FeatureTable(x, 3 * x[:, 0, 0])
    >>> line = mff.MLP.init(jax.random.key(0), n_inputs=1, hidden=(), bias=False)
    >>> result = mff.fit(line, table, optimizer="lbfgs", steps=20, progress=False)
    >>> print(f"{float(result.model.weights[0][0, 0]):.3f}")
    3.000
    """

    features: Array
    energy: Array
    mask: Array | None = None

    def __post_init__(self) -> None:
        features = _checks.array("features", self.features, (None, None, None), "an array [samples, points, features]")
        energy = _checks.array("energy", self.energy, (len(features),), "one number per sample")
        mask = np.ones(features.shape[:2], bool) if self.mask is None else np.asarray(self.mask)
        if mask.dtype != np.bool_ or mask.shape != features.shape[:2]:
            raise ValueError(f"`mask` must be bool of shape {features.shape[:2]}, got {mask.dtype} of {mask.shape}")
        if not len(features):
            raise ValueError("`features` must hold at least one sample, got none")
        dtype = _dtype(self.features)
        object.__setattr__(self, "features", jnp.asarray(features, dtype))
        object.__setattr__(self, "energy", jnp.asarray(energy, dtype))
        object.__setattr__(self, "mask", jnp.asarray(mask))

    def __len__(self) -> int:
        return len(self.energy)


def _dtype(values: Any) -> Any:
    dtype = getattr(values, "dtype", np.dtype(np.float64))
    return jax.dtypes.canonicalize_dtype(dtype if jnp.issubdtype(dtype, jnp.floating) else np.float64)


@pytree
class TableBatch:
    """Samples on the device; `real` [batch] is False for those that only fill the batch."""

    features: Array
    energy: Array
    mask: Array
    real: Array

    @classmethod
    def of(cls, table: FeatureTable) -> TableBatch:
        """All samples of a table."""
        assert table.mask is not None
        return cls(table.features, table.energy, table.mask, jnp.ones(len(table), bool))

    def take(self, chosen: Array, real: Array) -> TableBatch:
        """Some of the samples."""
        return dataclasses.replace(jax.tree.map(lambda leaf: leaf[chosen], self), real=real)


def differences(mlp: MLP, fixed: None, batch: TableBatch) -> dict[str, Difference]:
    """Predictions less references."""
    values = jnp.where(batch.mask, mlp(batch.features), 0).sum(axis=1)
    error = jnp.where(batch.real, values - batch.energy, 0)
    return {"energy": Difference(error, batch.real, jnp.ones_like(error))}
