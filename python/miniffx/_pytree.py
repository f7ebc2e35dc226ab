"""Frozen dataclasses that are JAX pytrees: the form of everything that jitted code takes."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """A field that selects code rather than carrying numbers: part of the pytree's structure, not a leaf."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass and a pytree: fields are leaves, but for those made with :func:`static`.

    Equality and hash are those of the object, since arrays have neither: so ``jax.jit(energy)`` works.
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, eq=False)(cls))


def host(array: Any) -> jax.Array:
    """A NumPy array as a leaf: JAX takes it wherever it takes its own, and it stays on the host until then."""
    return np.asarray(array)  # type: ignore[return-value]
