"""Optimizers: any of optax by name, with a schedule of the learning rate, warm-up and clipping; a Kalman filter."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import optax

from miniffx import _checks
from miniffx.training.kalman import Kalman

# Of optax, those that need nothing but a learning rate, and L-BFGS, which finds its steps by a line search; the filter.
NAMES = (
    *("lbfgs", "adam", "adamw", "amsgrad", "nadam", "nadamw", "radam", "adabelief", "adamax", "adan", "yogi"),
    *("lion", "rmsprop", "adagrad", "novograd", "lamb", "sgd", "ekf"),
)
LEARNING_RATE = 5e-3
WARMUP = 100
DECAYS = ("b1", "b2", "b3", "decay", "momentum")  # options that are fractions of what was
SCHEDULES = ("cosine", "constant", "linear", "exponential")


@dataclass(frozen=True)
class Optimizer:
    """How the weights move. ``fit(optimizer="adam")`` is short for ``fit(optimizer=Optimizer("adam"))``.

    Attributes:
        name: "lbfgs" (whole data set per step, steps by line search), or "adam", "adamw", "amsgrad", "nadam", "nadamw",
            "radam", "adabelief", "adamax", "adan", "yogi", "lion", "rmsprop", "adagrad", "novograd", "lamb", "sgd";
            or "ekf", an extended Kalman filter on mini-batches (training/kalman.py has the equations): of second order,
            for networks of up to some thousand weights, whose covariances it keeps.
        learning_rate: the largest, by default 5e-3; "lbfgs" and "ekf" have none, and neither clip.
        schedule: how it ends: by "cosine", "linear" or "exponential" decay to `final` of it at the last step, or
            "constant".
        final: the fraction of the learning rate at the last step.
        warmup: steps in which the learning rate grows linearly from 0; None: 100, in short runs a tenth of the steps.
        clip: gradients longer than this (global norm, in units of the loss) are shortened to it; None: never.
        options: further arguments of the optimizer, as in optax, for instance ``{"b1": 0.95}``; for "ekf"
            ``covariance`` (1000: how far weights may go from their start, over the noise of errors, in 1/loss; larger
            learns faster, too large diverges), ``forgetting`` (0.99: what former steps count at each of the first
            ones; less forgets faster) and ``forgetting_rate`` (0.998: how slowly that goes to 1), ``projections`` (8:
            random sums that stand for the force components of a frame, and for whatever else it has more of).

    Raises:
        ValueError: an unknown name, option or schedule, with the nearest known one; numbers out of range.

    >>> import miniffx as mff
    >>> mff.Optimizer("adamw", learning_rate=1e-3, options={"weight_decay": 1e-5}).schedule
    'cosine'
    """

    name: str = "adam"
    learning_rate: float | None = None
    schedule: str = "cosine"
    final: float = 0.0
    warmup: int | None = None
    clip: float | None = None
    options: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        known("optimizer", self.name, NAMES)
        known("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "clip"):
            if getattr(self, name) is not None:
                _checks.positive(name, getattr(self, name))
                if not self.has_rate:
                    raise ValueError(f"`{name}` must be None for {self.name!r}, got {getattr(self, name)}")
        if not 0 <= _checks.real("final", self.final) <= 1:
            raise ValueError(f"`final` must be in [0, 1], got {self.final}")
        if self.schedule == "exponential" and self.final == 0:
            raise ValueError("`final` must be positive for an exponential schedule, got 0")
        if self.warmup is not None and (not _checks.is_whole(self.warmup) or self.warmup < 0):
            raise ValueError(f"`warmup` must be a number of steps, got {self.warmup!r}")
        options = dict(self.options)
        accepted = [name for name in inspect.signature(self._factory).parameters if name != "learning_rate"]
        for name in options:
            known(f"option of {self.name}", name, accepted)
        object.__setattr__(self, "options", tuple(sorted(options.items())))  # hashable
        if self.name == "ekf":
            Kalman(**options)
        elif options:
            self._try()

    def _try(self) -> None:
        """ValueError unless optax takes the options and makes an update with them."""
        options = dict(self.options)
        for name, value in options.items():
            if name in DECAYS and value is not None and not 0 <= _checks.real(name, value) < 1:
                raise ValueError(f"`{name}` must be in [0, 1), got {value!r}")
            if isinstance(value, float):
                _checks.real(name, value)
        try:
            hash(self)
            made: Any = self.transformation(1)
            jax.eval_shape(lambda x: made.update(x, made.init(x), x, value=x[0], grad=x, value_fn=jnp.sum), jnp.ones(2))
        except Exception as error:  # whatever JAX raises where it is given what it does not know
            given = ", ".join(f"{name} = {value!r}" for name, value in options.items())
            why = " ".join(str(error).split())[:200]
            raise ValueError(f"`options` must be what optax.{self.name} takes, got {given}: {why}") from error

    @property
    def whole_set(self) -> bool:
        """Whether a step has to see all of the data."""
        return self.name == "lbfgs"

    @property
    def has_rate(self) -> bool:
        """Whether there is a learning rate."""
        return self.name not in ("lbfgs", "ekf")

    @property
    def _factory(self) -> Any:
        return Kalman if self.name == "ekf" else getattr(optax, self.name)

    def transformation(self, steps: int) -> optax.GradientTransformationExtraArgs | Kalman:
        """The optax transformation for a run of that many steps, or the filter; the same object every time."""
        return _transformation(self, steps)

    def rate(self, steps: int) -> Any:
        """The learning rate as a function of the step."""
        warmup = min(WARMUP, steps // 10) if self.warmup is None else self.warmup
        peak, steps = self.learning_rate or LEARNING_RATE, max(steps - warmup, 1)
        decay = {
            "constant": lambda: optax.constant_schedule(peak),
            "cosine": lambda: optax.cosine_decay_schedule(peak, steps, alpha=self.final),
            "linear": lambda: optax.linear_schedule(peak, self.final * peak, steps),
            "exponential": lambda: optax.exponential_decay(peak, steps, self.final),
        }[self.schedule]()
        if not warmup:
            return decay
        return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), decay], [warmup])


@cache  # the same object for the same optimizer, so that its compiled update is found again
def _transformation(optimizer: Optimizer, steps: int) -> optax.GradientTransformationExtraArgs | Kalman:
    if optimizer.name == "ekf":
        return Kalman(**dict(optimizer.options))
    rate = {"learning_rate": optimizer.rate(steps)} if optimizer.has_rate else {}
    result = optimizer._factory(**rate, **dict(optimizer.options))
    if optimizer.clip is not None:
        result = optax.chain(optax.clip_by_global_norm(optimizer.clip), result)
    return optax.with_extra_args_support(result)


def known(what: str, name: Any, names: Iterable[str]) -> None:
    """ValueError with the nearest known name."""
    names = list(names)
    if name not in names:
        close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"`{what}` must be one of {', '.join(names)}, got {name!r}{hint}")
