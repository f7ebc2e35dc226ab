"""What minimizers share: a point with the function's value and gradient, products, and the limit of a step."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from miniffx._pytree import pytree

Array = jax.Array


@pytree
class Point:
    """x [rows, 3], f(x), and ∂f/∂x [rows, 3]."""

    x: Array
    value: Array
    gradient: Array

    @classmethod
    def before(cls, x: Array) -> Point:
        """x before anything was evaluated: infinite, so that whatever is found there is an improvement."""
        return cls(x, jnp.asarray(jnp.inf, x.dtype), jnp.zeros_like(x))

    @property
    def finite(self) -> Array:
        """Whether value and gradient are numbers."""
        return jnp.isfinite(self.value) & jnp.isfinite(self.gradient).all()


def dot(a: Array, b: Array) -> Array:
    """Σ a b over everything."""
    return (a * b).sum()


def limited(step: Array, limits: Array) -> Array:
    """The step [rows, 3], shortened as a whole until no row is longer than its limit [rows]."""
    length = jnp.sqrt((step * step).sum(axis=-1))
    return step * jnp.where(length > limits, limits / jnp.where(length > 0, length, 1), 1).min(initial=1)
