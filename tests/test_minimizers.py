"""Minimizers on functions whose minima are known, by the loop they are made for."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from miniffx.minimizers import FIRE, LBFGS, Point

BOTH = pytest.mark.parametrize("kind", [LBFGS, FIRE])


@functools.partial(jax.jit, static_argnums=(0, 1))
def minimize(kind, function, x, limit=0.2, tolerance=1e-10, turns=3000):
    """(point, turns, whether stuck, the largest move, the largest rise of a value)."""

    def turn(carry):
        minimizer, here, count, _, longest, rise = carry
        x = minimizer.propose(here)
        value, gradient = jax.value_and_grad(function)(x)
        there = Point(x, value, gradient)
        minimizer, accepted, stuck = minimizer.decide(here, there, jnp.full(len(x), limit, x.dtype))
        longest = jnp.maximum(longest, jnp.sqrt(((x - here.x) ** 2).sum(axis=-1)).max())
        rise = jnp.where(accepted, jnp.maximum(rise, value - here.value), rise)
        here = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), there, here)
        return minimizer, here, count + 1, stuck, longest, rise

    def go_on(carry):
        _, here, count, stuck, _, _ = carry
        return (count == 0) | ((count < turns) & ~stuck & (jnp.abs(here.gradient).max() > tolerance))

    none = jnp.zeros((), x.dtype)
    carry = (kind.start(x), Point.before(x), 0, jnp.asarray(False), none, none - jnp.inf)
    return jax.lax.while_loop(go_on, turn, carry)[1:]


STIFFNESS = jnp.asarray(np.random.default_rng(0).uniform(0.5, 60.0, size=(4, 3)))


def bowl(x):
    return 0.5 * (STIFFNESS * (x - 1.5) ** 2).sum()


def rosenbrock(x):
    """Minimum 0 at 1 for all rows and components: Comput. J. 3, 175 (1960)."""
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum()


def cliff(x):
    """A bowl cut by a step up on the way to its minimum, which no derivative shows."""
    return bowl(x) + jnp.where(x[0, 0] > 1.45, 20.0, 0.0)


def hole(x):
    """A bowl that is no number beyond half of the way to its minimum."""
    return jnp.where(x[0, 0] < 0.75, bowl(x), jnp.nan)


@BOTH
def test_a_bowl(kind):
    here, turns, stuck, longest, rise = minimize(kind, bowl, jnp.zeros((4, 3)))
    assert_allclose(here.x, 1.5, atol=1e-9)
    assert not stuck
    assert turns < (60 if kind is LBFGS else 1000)
    assert longest <= 0.2 * (1 + 1e-12)
    if kind is LBFGS:
        assert rise <= 1e-14


@BOTH
def test_a_curved_valley(kind):
    most = 200 if kind is LBFGS else 30000
    here, turns, stuck, _, rise = minimize(kind, rosenbrock, jnp.full((2, 3), -1.2), tolerance=1e-6, turns=most)
    assert_allclose(here.x, 1, atol=1e-5)  # the smallest curvature there is 0.48
    assert not stuck
    assert turns < most
    if kind is LBFGS:
        assert rise < 0


@BOTH
def test_a_step_that_the_gradient_does_not_see(kind):
    here, _, stuck, _, rise = minimize(kind, cliff, jnp.zeros((4, 3)))
    assert_allclose(here.x, 1.5, atol=1e-9)
    assert not stuck
    assert 15 < rise < 20  # up the step, and on


@BOTH
def test_a_function_that_ends(kind):
    """Where there is no number ahead, stay on this side of it, and say so."""
    here, turns, stuck, _, _ = minimize(kind, hole, jnp.zeros((4, 3)))
    assert np.isfinite(here.x).all()
    assert 0.5 < here.x[0, 0] < 0.75
    assert stuck or turns == 3000


@BOTH
def test_the_start_is_the_first_that_is_evaluated(kind):
    x = jnp.full((4, 3), 1.5)
    here, turns, _, longest, _ = minimize(kind, bowl, x)
    assert (turns, longest) == (1, 0)
    assert (here.x == x).all()
    nowhere, turns, _, _, _ = minimize(kind, hole, jnp.full((4, 3), 1.5), turns=5)
    assert np.isinf(nowhere.value)
