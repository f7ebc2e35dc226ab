"""Steps: one update of the parameters, compiled. The compiled parts are functions of the module, so that fits of the
same shapes share them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from miniffx._pytree import pytree
from miniffx.neighbors import Array
from miniffx.training.kalman import Kalman
from miniffx.training.loss import Difference, LossWeights, Sums, add_sums


@pytree
class State:
    """What a step changes. In a committee all leaves have a leading axis [members].

    Attributes:
        parameters: what is trained.
        optimizer: the state of the optax transformation, or of the Kalman filter.
        average: the averaged parameters, or None.
        recent: the sums over the mini-batches since the last report; nothing where a step takes the whole set.
    """

    parameters: Any
    optimizer: Any
    average: Any
    recent: Sums

    @property
    def candidate(self) -> Any:
        """The parameters that a model would be made of."""
        return self.parameters if self.average is None else self.average


@dataclass(frozen=True)
class Recipe:
    """How to make a step; all of it selects code.

    Attributes:
        differences: of a Problem.
        transformation: of optax, or a :class:`miniffx.training.kalman.Kalman`.
        weights: of the loss.
        average: the decay per step of the averaged parameters, or None.
        members: of a committee, or None.
        with_forces: how many frames of a mini-batch have their forces and stress looked at; None: all of them.
    """

    differences: Callable[[Any, Any, Any], dict[str, Difference]]
    transformation: Any
    weights: LossWeights
    average: float | None = None
    members: int | None = None
    with_forces: int | None = None

    @property
    def filters(self) -> bool:
        """Whether steps are those of a Kalman filter."""
        return isinstance(self.transformation, Kalman)

    def sums(self, parameters: Any, fixed: Any, batches: list[Any]) -> Sums:
        """The sums over several batches."""
        return add_sums(Sums.of(self.differences(parameters, fixed, batch), self.weights) for batch in batches)

    def each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function` of the arguments; for a committee, of each member's part of the first one."""
        if self.members is None:
            return function(*arguments)
        return jax.vmap(function, in_axes=(0, *(None,) * (len(arguments) - 1)))(*arguments)


@partial(jax.jit, static_argnums=0)
def start(recipe: Recipe, parameters: Any, nothing: Sums) -> State:
    """The state before the first step."""

    def one(parameters: Any) -> State:
        average = None if recipe.average is None else parameters
        return State(parameters, recipe.transformation.init(parameters), average, nothing)

    return recipe.each(one, parameters)


@partial(jax.jit, static_argnums=0)
def measure(recipe: Recipe, parameters: Any, fixed: Any, batches: list[Any]) -> Sums:
    """The sums over a whole data set."""
    return recipe.each(recipe.sums, parameters, fixed, batches)


@partial(jax.jit, static_argnums=0)
def whole_set_step(recipe: Recipe, state: State, fixed: Any, batches: list[Any], step: int) -> State:
    """One step on all of the data."""

    def one(state: State, fixed: Any, batches: list[Any], step: Array) -> State:
        def loss(parameters: Any) -> Array:
            return recipe.sums(parameters, fixed, batches).loss(recipe.weights)

        # A line search has seen value and gradient where it ended.
        known = [optax.tree_utils.tree_get(state.optimizer, name) is not None for name in ("value", "grad")]
        if all(known):
            value, gradient = optax.value_and_grad_from_state(loss)(state.parameters, state=state.optimizer)
        else:
            value, gradient = jax.value_and_grad(loss)(state.parameters)
        return _moved(recipe, state, value, gradient, loss, step)

    return recipe.each(one, state, fixed, batches, step)


@partial(jax.jit, static_argnums=0)
def mini_batch_step(
    recipe: Recipe,
    state: State,
    fixed: Any,
    batch: Any,
    chosen: Array,
    real: Array,
    usual: dict[str, float],
    step: int,
) -> State:
    """One step on a few frames of a batch. The sums over them are added to the recent ones.

    The loss is divided by what a mini-batch usually holds (`usual`: weights by term), not by what this one does: a
    frame in one that is not full, or among smaller frames, counts no more than it does in the loss of the whole set.
    """
    parts = [batch.take(chosen, real)]
    k = recipe.with_forces
    if k is not None:
        parts = [batch.take(chosen[:k], real[:k]), batch.without_forces().take(chosen[k:], real[k:])]

    def one(state: State, fixed: Any, parts: list[Any], usual: dict[str, Any], step: Array) -> State:
        def loss(parameters: Any) -> tuple[Array, Sums]:
            sums = _merged([Sums.of(recipe.differences(parameters, fixed, part), recipe.weights) for part in parts])
            return sums.loss(recipe.weights, usual), sums

        (value, sums), gradient = jax.value_and_grad(loss, has_aux=True)(state.parameters)
        moved = _moved(recipe, state, value, gradient, lambda parameters: loss(parameters)[0], step)
        return dataclasses.replace(moved, recent=add_sums([state.recent, sums]))

    return recipe.each(one, state, fixed, parts, usual, step)


@partial(jax.jit, static_argnums=0)
def filter_step(
    recipe: Recipe,
    state: State,
    fixed: Any,
    batch: Any,
    chosen: Array,
    real: Array,
    usual: dict[str, float],
    step: int,
) -> State:
    """As :func:`mini_batch_step`, by a Kalman filter. The signs of a step follow from its number."""

    def one(state: State, fixed: Any, batch: Any, usual: dict[str, Any], step: Array) -> State:
        parameters, optimizer, sums = recipe.transformation.step(
            lambda parameters, part: recipe.differences(parameters, fixed, part),
            recipe.weights,
            state.parameters,
            state.optimizer,
            batch,
            chosen,
            real,
            {name: total / len(chosen) for name, total in usual.items()},
            jax.random.fold_in(jax.random.key(0), step),
        )
        average = _averaged(recipe, state.average, parameters, step)
        return State(parameters, optimizer, average, add_sums([state.recent, sums]))

    return recipe.each(one, state, fixed, batch, usual, step)


def _moved(recipe: Recipe, state: State, value: Any, gradient: Any, loss: Any, step: Any) -> State:
    changes, optimizer = recipe.transformation.update(
        gradient, state.optimizer, state.parameters, value=value, grad=gradient, value_fn=loss
    )
    parameters = optax.apply_updates(state.parameters, changes)
    average = _averaged(recipe, state.average, parameters, step)
    return dataclasses.replace(state, parameters=parameters, optimizer=optimizer, average=average)


def _averaged(recipe: Recipe, average: Any, parameters: Any, step: Any) -> Any:
    """The averaged parameters after a step."""
    if recipe.average is None:
        return None
    # Young averages forget faster, or the initial weights would stay in them for long.
    decay = jnp.minimum(recipe.average, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: (decay * old + (1 - decay) * new).astype(new.dtype), average, parameters)


def _merged(parts: list[Sums]) -> Sums:
    """The sum, where not all have the same terms."""
    names = dict.fromkeys(name for part in parts for name in part.terms)
    return Sums(
        {
            name: add_sums(Sums({name: part.terms[name]}) for part in parts if name in part.terms).terms[name]
            for name in names
        }
    )


class MiniBatches:
    """The order of mini-batches: every frame once per epoch, shuffled by the seed and the number of the epoch.

    Called with a step (from 0) it returns (batch, [batch_size] frames of it, [batch_size] which of these are real).
    """

    def __init__(self, sizes: list[int], batch_size: int, seed: int) -> None:
        self._sizes, self._batch_size, self._seed = sizes, batch_size, seed
        self._epoch, self._order = -1, []  # type: ignore[var-annotated]
        self._per_epoch = sum(-(-size // batch_size) for size in sizes)

    def __call__(self, step: int) -> tuple[int, np.ndarray, np.ndarray]:
        epoch, position = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return self._order[position]

    def _shuffled(self, epoch: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng((self._seed, epoch))
        order = []
        for which, size in enumerate(self._sizes):
            frames = rng.permutation(size)
            for first in range(0, size, self._batch_size):
                chosen = frames[first : first + self._batch_size]
                real = np.arange(self._batch_size) < len(chosen)
                order.append((which, np.resize(chosen, self._batch_size), real))
        return [order[index] for index in rng.permutation(len(order))]
