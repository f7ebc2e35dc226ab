"""Checks of arguments: each names the argument, what is required, and what came."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np


def is_traced(*values: Any) -> bool:
    """Whether any array in `values` is a tracer, so that nothing about its numbers can be checked."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def positive(name: str, value: float) -> float:
    """`value` as a float; ValueError unless it is positive and finite."""
    number = real(name, value)
    if number <= 0:
        raise ValueError(f"`{name}` must be positive, got {value!r}")
    return number


def positive_unless_traced(name: str, value: Any) -> Any:
    """`value`, which may be made of parameters: as :func:`positive`, or as it is where it is traced."""
    return value if is_traced(value) else positive(name, value)


def non_negative(name: str, value: float) -> float:
    """`value` as a float; ValueError unless it is finite and not negative."""
    number = real(name, value)
    if number < 0:
        raise ValueError(f"`{name}` must not be negative, got {value!r}")
    return number


def real(name: str, value: float) -> float:
    """`value` as a float; ValueError unless it is one finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be a number, got {value!r}") from error
    if not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {value!r}")
    return number


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number, NumPy's included; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def with_list(energy: Any) -> None:
    """ValueError unless the energy makes the neighbour lists that it reads."""
    if not hasattr(energy, "neighbor_list"):
        raise ValueError(f"`energy` must have a `neighbor_list`, as potentials and models do, got {energy!r}")


def structure(value: Any) -> None:
    """ValueError unless `value` is a Structure."""
    if not all(hasattr(value, name) for name in ("positions", "species_index", "labels", "pad")):
        hint = "Structure.from_ase makes one of Atoms, " if hasattr(value, "get_atomic_numbers") else ""
        raise ValueError(f"`structure` must be a Structure, {hint}got {type(value).__name__}")


def labels(name: str, value: Any, count: int) -> tuple[str, ...]:
    """`value` as a tuple of `count` species labels."""
    if count == 1 and isinstance(value, str):
        value = (value,)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ValueError(f"`{name}` must be {count} species labels, got {value!r}")
    result = tuple(value)
    if len(result) != count or not all(isinstance(label, str) and label for label in result):
        raise ValueError(f"`{name}` must be {count} non-empty species labels, got {value!r}")
    return result


def array(name: str, value: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    """`value` as a finite float64 array of the given shape (None: any length)."""
    try:
        raw = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"`{name}` must be {what}, got {type(value).__name__}: {error}") from error
    if raw.dtype.kind not in "biuf" and raw.size:
        raise ValueError(f"`{name}` must be {what}, real numbers, got {type(value).__name__} of {raw.dtype}")
    result = raw.astype(np.float64)
    wanted = ", ".join("n" if length is None else str(length) for length in shape)
    if result.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, result.shape, strict=True)):
        raise ValueError(f"`{name}` must be {what} of shape ({wanted}), got shape {result.shape}")
    bad = ~np.isfinite(result)
    if bad.any():
        where = tuple(int(index) for index in np.argwhere(bad)[0])
        raise ValueError(f"`{name}` must be finite, got {result[where]} at index {where}")
    return result
