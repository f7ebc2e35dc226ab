"""Handing the core's arrays to JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from miniffx.structure import Array

T = TypeVar("T")


def on_device(tree: T) -> T:
    """``jax.device_put(tree)``, sooner; what JAX has already is not handled again."""
    return jax.tree.map(put, tree)


def put(leaf: Any) -> Array:
    """``jax.device_put(leaf)`` of an array, sooner.

    :func:`jax.device_put` spends so much Python on each array that the five of a list take as long as the core needs
    to find the neighbours of some hundred atoms; what it calls in the end takes a fraction of that.
    """
    if type(leaf) is np.ndarray and jax.config.jax_default_device is None:  # type: ignore[attr-defined]
        quick = _quick() if _needs_no_conversion(leaf.dtype) else None
        if quick is not None:
            return quick(leaf)
    return leaf if isinstance(leaf, jax.Array) else jax.device_put(leaf)


def _needs_no_conversion(dtype: np.dtype[Any]) -> bool:
    return dtype.isnative and (dtype.itemsize < 8 or jax.dtypes.canonicalize_dtype(dtype) == dtype)


@functools.cache
def _quick() -> Callable[[np.ndarray], Array] | None:
    """What :func:`jax.device_put` calls for an array that needs no conversion.

    None where this JAX has no such function, or one that does something else: it is none that JAX promises to keep.
    """
    probe = np.arange(6, dtype=np.int32).reshape(2, 3)
    expected = jax.device_put(probe)
    try:
        put = _below_device_put(expected)
        found = put(probe)
        same = all(getattr(found, name) == getattr(expected, name) for name in ("aval", "sharding", "committed"))
        return put if same and np.array_equal(found, expected) else None
    except Exception:  # whatever a function that has changed may raise
        return None


def _below_device_put(like: Array) -> Callable[[np.ndarray], Array]:
    from jax._src.lib import xla_client

    sharding, devices, kind = like.sharding, list(like.devices()), functools.lru_cache(256)(jax.core.ShapedArray)

    def put(array: np.ndarray) -> Array:
        return xla_client.batched_device_put(kind(array.shape, array.dtype), sharding, [array], devices, False)

    return put
