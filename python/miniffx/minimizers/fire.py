"""FIRE: molecular dynamics that stops where it runs uphill."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx._pytree import pytree
from miniffx.minimizers.point import Array, Point, dot, limited

# The constants of the paper; the first time step and the largest are for masses of 1 and eV, Å.
FIRST, LARGEST = 0.1, 1.0
LATENCY = 5
FASTER, SLOWER = 1.1, 0.5
MIXING, LESS_MIXING = 0.1, 0.99
TINY = 1e-6  # the time step at which it gives up


@pytree
class FIRE:
    """FIRE, the fast inertial relaxation engine, with semi-implicit Euler steps.

    With F = −∂f/∂x: v ← (1 − α) v + α |v| F/|F| while F·v ≥ 0, with the time step growing and α falling after the
    fifth such step; where F·v < 0, v ← 0, half the time step, α as at the start. Then v ← v + Δt F, x ← x + Δt v.
    Source: E. Bitzek, P. Koskinen, F. Gähler, M. Moseler and P. Gumbsch, Phys. Rev. Lett. 97, 170201 (2006),
    doi:10.1103/PhysRevLett.97.170201. Values may rise on the way. A step to where the function is no number is taken
    back and tried again with half the time step.

    Attributes:
        velocity: [rows, 3]. move: [rows, 3], the next step. time_step, mixing: Δt, α. downhill: steps since F·v < 0.
    """

    velocity: Array
    move: Array
    time_step: Array
    mixing: Array
    downhill: Array

    @classmethod
    def start(cls, x: Array) -> FIRE:
        """At rest."""
        zero, first, mixing = jnp.zeros_like(x), jnp.asarray(FIRST, x.dtype), jnp.asarray(MIXING, x.dtype)
        return cls(zero, zero, first, mixing, jnp.zeros((), jnp.int32))

    def propose(self, here: Point) -> Array:
        """x + Δt v."""
        return here.x + self.move

    def decide(self, here: Point, there: Point, limits: Array) -> tuple[FIRE, Array, Array]:
        """(minimizer, whether to move there, whether the time step has become too small)."""
        accepted = there.finite
        force = -jnp.where(accepted, there.gradient, here.gradient)
        onward = accepted & (dot(force, self.velocity) >= 0)
        settled = onward & (self.downhill >= LATENCY)
        time_step = jnp.where(settled, jnp.minimum(self.time_step * FASTER, LARGEST), self.time_step)
        time_step = jnp.where(onward, time_step, self.time_step * SLOWER)

        squared = dot(force, force)
        along = jnp.sqrt(dot(self.velocity, self.velocity) / jnp.where(squared > 0, squared, 1)) * force
        velocity = jnp.where(onward, (1 - self.mixing) * self.velocity + self.mixing * along, 0) + time_step * force
        updated = FIRE(
            velocity=velocity,
            move=limited(time_step * velocity, limits),
            time_step=time_step,
            mixing=jnp.where(onward, jnp.where(settled, self.mixing * LESS_MIXING, self.mixing), MIXING),
            downhill=jnp.where(onward, self.downhill + 1, 0),
        )
        return updated, accepted, ~accepted & (time_step < TINY)
