"""Windows of distance and angle: functions with compact support, for the compact descriptors.

C(u; a, b) = p(|u − c| / w) for a < u < b and 0 elsewhere, where c = (a + b) / 2, w = (b − a) / 2 and p falls from 1
to 0: one of "poly1", "poly2", "poly3", "poly4", "exp" (:mod:`miniffx.descriptors.cutoffs`). With `steep`, p(x (2 − x)).

Source: M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
doi:10.1088/2632-2153/abf817.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from miniffx import _checks
from miniffx.descriptors.cutoffs import FALLING
from miniffx.descriptors.descriptor import Descriptor
from miniffx.neighbors import Array


def window(u: Array, low: Any, high: Any, core: str, steep: bool = False) -> Array:
    """C(u; low, high).

    Args:
        u: [...] distances or angles. low, high: where C vanishes, in the same unit. core: the name of p.
        steep: whether to take p(x (2 − x)) instead of p(x).
    """
    x = (u - 0.5 * (low + high)) / (0.5 * (high - low))
    x = jnp.where(x < 0, -x, x)  # and not jnp.abs, whose second derivative of x² would be 0 at 0
    inside = x < 1
    x = jnp.where(inside, x, 0)
    return jnp.where(inside, FALLING[core](x * (2 - x) if steep else x), 0)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def angular_window(cos_theta: Array, low: Any, high: Any, core: str) -> Array:
    """C(θ; low, high) as a function of cos θ, differentiable where the three atoms lie on a line too.

    Args:
        cos_theta: [...]. low, high: degrees. core: the name of p.
    """
    return window(_angle(cos_theta)[0], jnp.deg2rad(low), jnp.deg2rad(high), core)


@angular_window.defjvp
def _angular_window_jvp(core: str, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """∂C/∂cos θ = −C'(θ) / sin θ, and its limit ∓C''(θ) at 0° and 180°, where C'(θ) = 0 (see :func:`check`)."""
    (cos_theta, low, high), (d_cos, d_low, d_high) = primals, tangents
    theta, sine, on_line = _angle(cos_theta)

    def value(theta: Array, low: Any, high: Any) -> Array:
        return window(theta, jnp.deg2rad(low), jnp.deg2rad(high), core)

    def slope(theta: Array) -> Array:
        return jax.jvp(lambda t: value(t, low, high), (theta,), (jnp.ones_like(theta),))[1]

    curvature = jax.lax.stop_gradient(jax.jvp(slope, (theta,), (jnp.ones_like(theta),))[1])
    in_cos = jnp.where(on_line, jnp.where(cos_theta > 0, -curvature, curvature), -slope(theta) / sine)
    result, change = jax.jvp(lambda low, high: value(theta, low, high), (low, high), (d_low, d_high))
    return result, in_cos * d_cos + change


def _angle(cos_theta: Array) -> tuple[Array, Array, Array]:
    """θ in radians, sin θ (anything but 0 on a line), and whether the atoms lie on a line."""
    cos_theta = jnp.asarray(cos_theta)
    squared = (1 - cos_theta) * (1 + cos_theta)
    on_line = squared < 4 * jnp.finfo(cos_theta.dtype).eps
    sine = jnp.sqrt(jnp.where(on_line, 0.5, squared))
    still, still_squared = jax.lax.stop_gradient((cos_theta, squared))
    there = jnp.arctan2(jnp.sqrt(jnp.maximum(still_squared, 0)), still)
    return jnp.where(on_line, there, jnp.arctan2(sine, cos_theta)), sine, on_line


class Compact(Descriptor):
    """A descriptor of windows: `r_low` to `cutoff` in distance, with static fields `core` and `steep`."""

    r_low: float | Array
    core: str
    steep: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_core(self.core)
        # An array inside jit cannot be checked.
        if isinstance(self.r_low, (int, float)) and _checks.real("r_low", self.r_low) >= self.cutoff:
            raise ValueError(f"`r_low` must be less than the cutoff {self.cutoff}, got {self.r_low}")

    def radial_window(self, r: Array) -> Array:
        """C(r; r_low, cutoff)."""
        return window(r, self.r_low, self.cutoff, self.core, self.steep)


class CompactAngle(Compact):
    """A compact descriptor with a window in the angle too: `angle_low` to `angle_high` in degrees."""

    angle_low: float | Array
    angle_high: float | Array

    def __post_init__(self) -> None:
        super().__post_init__()
        check_angles(self.angle_low, self.angle_high)

    def angle_window(self, cos_theta: Array) -> Array:
        """C(θ; angle_low, angle_high)."""
        return angular_window(cos_theta, self.angle_low, self.angle_high, self.core)


def check_core(core: str) -> None:
    """ValueError unless there is a function p of this name."""
    if core not in FALLING:
        raise ValueError(f"`core` must be one of {', '.join(FALLING)}, got {core!r}")


def check_angles(low: Any, high: Any) -> None:
    """ValueError unless the window is smooth at 0° and 180°: ends there or before, or is symmetric there."""
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return
    low, high = _checks.real("angle_low", low), _checks.real("angle_high", high)
    if low >= high:
        raise ValueError(f"`angle_low` must be less than `angle_high`, got {low} and {high}")
    if low < 0 and abs(low + high) > 1e-9 * high:
        raise ValueError(f"`angle_low` must be from 0 on, or −angle_high ({-high}) for a window around 0°, got {low}")
    if high > 180 and abs(low + high - 360) > 1e-9 * high:
        raise ValueError(
            f"`angle_high` must be at most 180, or 360 − angle_low ({360 - low}) for a window around 180°, got {high}"
        )
