"""L-BFGS with a backtracking line search."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from miniffx._pytree import pytree
from miniffx.minimizers.point import Array, Point, dot, limited

MEMORY = 20  # pairs (s, y)
FIRST_INVERSE = 1 / 70  # of the Hessian before anything is known of it: 1/70 Å²/eV, a stiff bond
DECREASE = 1e-4  # of what the slope promises, at least (Armijo)
CURVATURE = 1e-8  # smallest cosine between s and y of a pair that is remembered
PATIENCE = 5  # failures after which the gradient alone decides
FAILURES = 15  # failures after which a direction is given up
BOOST, MOST = 4, 1e6  # how much farther to go after a step along which the function curves down, and in all


@pytree
class LBFGS:
    """L-BFGS: d = −H g with H built from the last steps s and changes of the gradient y.

    Two-loop recursion and scaling H₀ = (s·y / y·y) of D. C. Liu and J. Nocedal, Math. Program. 45, 503 (1989),
    doi:10.1007/BF01589116; pairs without positive curvature are left out, as D.-H. Li and M. Fukushima do for
    functions that are not convex, SIAM J. Optim. 11, 1054 (2001), doi:10.1137/S1052623499354242. After such a step,
    along which the function curves down, the next is four times as long as H would have it, and so on.

    A step t d is taken where f(x + t d) ≤ f(x) + 10⁻⁴ t g·d, and otherwise t is reduced by quadratic interpolation.
    Where values cannot tell, that is within their rounding errors, and after five failures too (an energy that jumps
    where a neighbour crosses a cutoff fails for every t), the same condition is asked of the slopes instead: the
    approximate condition of W. W. Hager and H. Zhang, SIAM J. Optim. 16, 170 (2005), doi:10.1137/030601880. So values
    fall from step to step, except by rounding errors and jumps.

    Attributes:
        direction: [rows, 3], d, no row longer than its limit.
        length: t.
        failures: of the line search, so far.
        steps, changes: [memory, rows, 3] s and y.
        products: [memory] s·y.
        count: how many pairs were ever stored; they overwrite the oldest.
        boost: how much longer than −H g the next step is to be.
    """

    direction: Array
    length: Array
    failures: Array
    steps: Array
    changes: Array
    products: Array
    count: Array
    boost: Array

    @classmethod
    def start(cls, x: Array) -> LBFGS:
        """Before the first evaluation."""
        memory = jnp.zeros((MEMORY, *x.shape), x.dtype)
        zero, one, products = jnp.zeros((), jnp.int32), jnp.ones((), x.dtype), jnp.ones(MEMORY, x.dtype)
        return cls(jnp.zeros_like(x), one, zero, memory, memory, products, zero, one)

    def propose(self, here: Point) -> Array:
        """x + t d."""
        return here.x + self.length * self.direction

    def decide(self, here: Point, there: Point, limits: Array) -> tuple[LBFGS, Array, Array]:
        """(minimizer, whether to move there, whether no way leads down)."""
        slope, slope_there = dot(here.gradient, self.direction), dot(there.gradient, self.direction)
        change = there.value - here.value
        decreased = change <= DECREASE * self.length * slope
        flat = change <= 10 * jnp.finfo(change.dtype).eps * jnp.abs(there.value)
        downhill = slope_there <= (2 * DECREASE - 1) * slope
        accepted = there.finite & (decreased | (downhill & (flat | (self.failures >= PATIENCE))))

        given_up = ~accepted & (self.failures + 1 >= FAILURES)
        stuck = given_up & (self.count == 0)
        step, difference = self.length * self.direction, there.gradient - here.gradient
        memory = self._remember(step, difference, accepted)
        memory = dataclasses.replace(
            memory,
            count=jnp.where(given_up, 0, memory.count),
            boost=jnp.where(given_up, 1, memory.boost),
        )
        direction, count = memory._direction(jnp.where(accepted, there.gradient, here.gradient))

        # The minimum of the parabola through both values and the first slope, in units of t.
        shorter = -slope * self.length / (2 * (change - slope * self.length))
        shorter = jnp.where(jnp.isfinite(shorter), jnp.clip(shorter, 0.1, 0.5), 0.1)
        renew = accepted | given_up
        updated = dataclasses.replace(
            memory,
            direction=jnp.where(renew, limited(memory.boost * direction, limits), self.direction),
            length=jnp.where(renew, 1, self.length * shorter),
            failures=jnp.where(renew, 0, self.failures + 1),
            count=count,
        )
        return updated, accepted, stuck

    def _remember(self, step: Array, change: Array, accepted: Array) -> LBFGS:
        """With the pair (s, y) in the place of the oldest, if it has positive curvature."""
        product, squared = dot(step, change), dot(step, step)
        keep = accepted & (product > CURVATURE * jnp.sqrt(squared * dot(change, change)))
        boosted = jnp.where(accepted & (squared > 0), jnp.minimum(self.boost * BOOST, MOST), self.boost)
        slot = self.count % MEMORY
        return dataclasses.replace(
            self,
            steps=self.steps.at[slot].set(jnp.where(keep, step, self.steps[slot])),
            changes=self.changes.at[slot].set(jnp.where(keep, change, self.changes[slot])),
            products=self.products.at[slot].set(jnp.where(keep, product, self.products[slot])),
            count=self.count + keep,
            boost=jnp.where(keep, 1, boosted),
        )

    def _direction(self, gradient: Array) -> tuple[Array, Array]:
        """−H g, and the count of pairs: 0 where H had to be given up because this would not lead down."""
        known = jnp.minimum(self.count, MEMORY)

        def backward(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            q, weights = carry
            slot = (self.count - 1 - k) % MEMORY  # newest first
            weight = jnp.where(k < known, dot(self.steps[slot], q) / self.products[slot], 0)
            return q - weight * self.changes[slot], weights.at[slot].set(weight)

        def forward(k: Array, q: Array) -> Array:
            slot = (self.count - MEMORY + k) % MEMORY  # oldest first
            weight = weights[slot] - dot(self.changes[slot], q) / self.products[slot]
            return q + jnp.where(k >= MEMORY - known, weight, 0) * self.steps[slot]

        newest = (self.count - 1) % MEMORY
        y = self.changes[newest]
        squared = dot(y, y)
        inverse = jnp.where(known > 0, self.products[newest] / jnp.where(squared > 0, squared, 1), FIRST_INVERSE)
        q, weights = jax.lax.fori_loop(0, MEMORY, backward, (gradient, jnp.zeros_like(self.products)))
        q = jax.lax.fori_loop(0, MEMORY, forward, inverse * q)
        leads_down = dot(q, gradient) > 1e-8 * jnp.sqrt(dot(q, q) * dot(gradient, gradient))
        return jnp.where(leads_down, -q, -FIRST_INVERSE * gradient), jnp.where(leads_down, self.count, 0)
