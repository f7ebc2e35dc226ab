"""Frozen dataclasses that are JAX pytrees: the form of everything that jitted code takes."""

from __future__ import annotations

import dataclasses
import functools
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
    if "__repr__" not in cls.__dict__:
        cls.__repr__ = brief_repr  # type: ignore[method-assign]
    made = dataclasses.dataclass(frozen=True, eq=False)(cls)
    if getattr(cls, "_whole_numbers_become_floats", False):
        _take_floats(made)
    return jax.tree_util.register_dataclass(made)


def _take_floats(cls: type[Any]) -> None:
    """Make 1 mean 1.0 in all fields but static ones, so that derivatives can be taken there."""
    names = [field.name for field in dataclasses.fields(cls) if not field.metadata.get("static")]
    make = cls.__init__

    @functools.wraps(make)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        for name in names:
            if type(getattr(self, name)) is int:
                object.__setattr__(self, name, float(getattr(self, name)))

    cls.__init__ = init


def brief_repr(instance: Any) -> str:
    """What a dataclass says of itself, with the types and shapes of arrays in place of their numbers."""
    shown = [field.name for field in dataclasses.fields(instance) if field.repr]
    return f"{type(instance).__name__}({', '.join(f'{name}={_brief(getattr(instance, name))}' for name in shown)})"


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        if value.ndim == 0 and not isinstance(value, jax.core.Tracer):
            return str(value)
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_brief, value))}{',' * (len(value) == 1)})"
    if type(value) is list:
        return f"[{', '.join(map(_brief, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {_brief(item)}' for key, item in value.items())}}}"
    return repr(value)


def host(array: Any) -> jax.Array:
    """A NumPy array as a leaf: JAX takes it wherever it takes its own, and it stays on the host until then."""
    return np.asarray(array)  # type: ignore[return-value]
