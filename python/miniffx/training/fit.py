"""Fit: descriptors once, then an optimizer on the networks' weights."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from miniffx.models import MLP, NNPotential
from miniffx.models.scaling import fit_scaling
from miniffx.neighbors import Array
from miniffx.training.dataset import Dataset
from miniffx.training.featurize import featurize
from miniffx.training.loss import Batch, LossWeights, Sums, make_batches, sums, total_sums

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Networks = tuple[MLP, ...]
History = list[dict[str, float]]

REPORTS = 100  # how often errors are computed and recorded during a fit


@dataclass(frozen=True)
class FitResult:
    """What a fit gives.

    Attributes:
        model: trained; with validation data, the state with the lowest validation score √w_E MAE_E + √w_F MAE_F.
            (Absolute errors, because a few outliers among few frames decide over squared ones.)
        history: one dict per report: step, seconds, loss, energy_mae, energy_rmse, force_mae, force_rmse (eV/atom,
            eV/Å), and with the prefix ``validation_`` the same and the score.
        best_step: the step that `model` is from.
    """

    model: NNPotential
    history: History
    best_step: int

    def plot(self, ax: Axes | None = None) -> Axes:
        """The errors over the steps (:func:`miniffx.plot.convergence`)."""
        from miniffx.plot import convergence  # pictures know the results, not the other way round

        return convergence(self.history, ax=ax)


def fit(
    model: NNPotential,
    train: Dataset,
    validation: Dataset | None = None,
    optimizer: str | optax.GradientTransformation = "lbfgs",
    weights: LossWeights | None = None,
    steps: int = 500,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> FitResult:
    """Train the networks of a model on energies and forces.

    Descriptors and their Jacobians are computed once and kept on the device. A model without scaling gets the one
    that the training data suggest (:class:`miniffx.models.Scaling`); a model that has one keeps it, so that a
    trained model can be trained on.

    Args:
        model: from :meth:`NNPotential.init`, or trained before.
        train: frames to learn from.
        validation: frames to choose the best state by; never learnt from.
        optimizer: "lbfgs" (whole data set per step), "adam" (mini-batches, learning rate from 3e-3 to 0 along a
            cosine), or any optax transformation.
        weights: of energies and forces in the loss.
        steps: updates of the weights.
        batch_size: frames per step; None: all for "lbfgs", 8 otherwise.
        seed: of the order of mini-batches. The same seed and data repeat a fit on the same machine.
        progress: whether to show a bar with the current errors.

    Returns:
        A FitResult.

    Raises:
        ValueError: empty data, species that the model does not know, missing forces, an unknown optimizer, or a
            loss that is no longer finite.
    """
    weights = LossWeights() if weights is None else weights
    _check(model, train, validation, weights, steps, batch_size)
    whole_set, transformation = _optimizer(optimizer, steps)
    if batch_size is not None and whole_set:
        raise ValueError(f"`batch_size` must be None for 'lbfgs', which takes the whole set, got {batch_size}")

    with_forces = weights.forces > 0
    features = featurize(model.descriptors, train, jacobian=with_forces)
    dtype = next(iter(features.batches[0].species.values())).values.dtype
    if model.scaling is None:
        names = {label: [repr(d) for d in model.descriptors.of(label)] for label in model.species}
        energies = np.array([frame.energy for frame in train])
        per_species = features.per_species()
        missing = [label for label in model.species if label not in train.species]
        if missing:
            raise ValueError(f"`train` must hold every species of the model, got none of {', '.join(missing)}")
        scaling = fit_scaling(
            {label: per_species[label] for label in model.species},
            train.counts(model.species),
            energies,
            names,
        )
        model = dataclasses.replace(model, scaling=scaling)
    model = dataclasses.replace(
        model,
        scaling=jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), model.scaling),
        networks=jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), model.networks),
    )
    batches = make_batches(model, train, features, with_forces)
    held_out = None
    if validation is not None:
        held_features = featurize(model.descriptors, validation, jacobian=with_forces)
        held_out = make_batches(model, validation, held_features, with_forces)

    if whole_set:
        states = _whole_set_states(model, transformation, weights, batches, steps)
    else:
        states = _mini_batch_states(model, transformation, weights, batches, steps, batch_size or 8, seed)
    return _run(model, states, held_out, weights, steps, progress)


def _run(
    model: NNPotential,
    states: Iterator[tuple[Networks, Callable[[], Sums]]],
    held_out: list[Batch] | None,
    weights: LossWeights,
    steps: int,
    progress: bool,
) -> FitResult:
    """Drive an optimizer, report, and remember the best state."""
    every = max(1, steps // REPORTS)
    history: History = []
    best_score, best_step, best_networks = np.inf, 0, model.networks
    start = time.perf_counter()
    with tqdm(total=steps, disable=not progress, unit="step", dynamic_ncols=True) as bar:
        for step, (networks, recent) in enumerate(states, start=1):
            if step % every and step != steps:
                continue
            train_sums = recent()
            entry = {"step": float(step), "seconds": time.perf_counter() - start}
            entry |= {"loss": float(train_sums.loss(weights)), **train_sums.errors()}
            if not np.isfinite(entry["loss"]):
                raise ValueError(f"`train` led to a loss of {entry['loss']} at step {step}: lower the learning rate")
            score = entry["loss"]
            if held_out is not None:
                held_sums = _measure(model, networks, held_out)
                errors = held_sums.errors()
                score = weights.energy**0.5 * errors["energy_mae"] + weights.forces**0.5 * errors.get("force_mae", 0)
                entry |= {"validation_loss": float(held_sums.loss(weights)), "validation_score": score}
                entry |= {f"validation_{name}": value for name, value in errors.items()}
            history.append(entry)
            if held_out is None or score < best_score:
                best_score, best_step, best_networks = score, step, networks
            bar.update(step - bar.n)
            bar.set_postfix_str(_summary(entry))
    return FitResult(dataclasses.replace(model, networks=best_networks), history, best_step)


def _whole_set_states(
    model: NNPotential,
    transformation: Any,
    weights: LossWeights,
    batches: list[Batch],
    steps: int,
) -> Iterator[tuple[Networks, Callable[[], Sums]]]:
    """The networks after every step on all of the data."""
    networks, state = model.networks, transformation.init(model.networks)
    for _ in range(steps):
        networks, state = _whole_set_update(model, networks, state, batches, transformation, weights)
        yield networks, partial(_measure, model, networks, batches)


def _mini_batch_states(
    model: NNPotential,
    transformation: Any,
    weights: LossWeights,
    batches: list[Batch],
    steps: int,
    batch_size: int,
    seed: int,
) -> Iterator[tuple[Networks, Callable[[], Sums]]]:
    """The networks after every step on a few frames. The errors that go with them are averages over recent steps."""
    networks, state = model.networks, transformation.init(model.networks)
    n_frames = sum(len(batch.real) for batch in batches)
    n_components = 3 * sum(float(batch.sizes.sum()) for batch in batches)
    usual = (float(batch_size), batch_size * n_components / n_frames)
    recent = nothing = Sums.zero(batches[0].energies.dtype)
    order = _mini_batches([len(batch.real) for batch in batches], batch_size, seed)
    for _ in range(steps):
        which, chosen, real = next(order)
        networks, state, recent = _mini_batch_update(
            model, networks, state, recent, batches[which], chosen, real, usual, transformation, weights
        )

        def collect() -> Sums:
            nonlocal recent
            collected, recent = recent, nothing
            return collected

        yield networks, collect


# The compiled parts are functions of the module, so that fits of the same shapes share them.


@jax.jit
def _measure(model: NNPotential, networks: Networks, batches: list[Batch]) -> Sums:
    return total_sums(dataclasses.replace(model, networks=networks), batches)


@partial(jax.jit, static_argnums=(4, 5))
def _whole_set_update(
    model: NNPotential, networks: Networks, state: Any, batches: list[Batch], transformation: Any, weights: LossWeights
) -> tuple[Networks, Any]:
    def loss(networks: Networks) -> Array:
        return total_sums(dataclasses.replace(model, networks=networks), batches).loss(weights)

    value, gradient = optax.value_and_grad_from_state(loss)(networks, state=state)
    changes, state = transformation.update(gradient, state, networks, value=value, grad=gradient, value_fn=loss)
    return optax.apply_updates(networks, changes), state


@partial(jax.jit, static_argnums=(8, 9))
def _mini_batch_update(
    model: NNPotential,
    networks: Networks,
    state: Any,
    recent: Sums,
    batch: Batch,
    chosen: Array,
    real: Array,
    usual: tuple[float, float],
    transformation: Any,
    weights: LossWeights,
) -> tuple[Networks, Any, Sums]:
    data = dataclasses.replace(jax.tree.map(lambda leaf: leaf[chosen], batch), real=real)

    def loss(networks: Networks) -> tuple[Array, Sums]:
        result = sums(dataclasses.replace(model, networks=networks), data)
        # Divided by what a batch usually holds, not by what this one does: a frame in a batch that is not full, or
        # among smaller ones, counts no more than it does in the loss of the whole set.
        return result.loss(weights, *usual), result

    gradient, result = jax.grad(loss, has_aux=True)(networks)
    changes, state = transformation.update(gradient, state, networks)
    return optax.apply_updates(networks, changes), state, jax.tree.map(jnp.add, recent, result)


def _mini_batches(sizes: list[int], batch_size: int, seed: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(batch, [batch_size] frames of it, which of these are real), every frame once per epoch, in random order."""
    rng = np.random.default_rng(seed)
    while True:
        epoch = []
        for which, size in enumerate(sizes):
            shuffled = rng.permutation(size)
            for start in range(0, size, batch_size):
                chosen = shuffled[start : start + batch_size]
                real = np.arange(batch_size) < len(chosen)
                epoch.append((which, np.resize(chosen, batch_size), real))
        for index in rng.permutation(len(epoch)):
            yield epoch[index]


def _optimizer(optimizer: Any, steps: int) -> tuple[bool, Any]:
    """(whether every step takes the whole set, the transformation)."""
    if optimizer in ("lbfgs", "adam"):
        return optimizer == "lbfgs", _named_optimizer(optimizer, steps)
    if isinstance(optimizer, str) or not hasattr(optimizer, "update"):
        raise ValueError(f"`optimizer` must be 'lbfgs', 'adam' or an optax transformation, got {optimizer!r}")
    return False, optimizer


@cache  # the same object for the same optimizer, so that its compiled update is found again
def _named_optimizer(name: str, steps: int) -> Any:
    return optax.lbfgs() if name == "lbfgs" else optax.adam(optax.cosine_decay_schedule(3e-3, steps))


def _check(
    model: NNPotential,
    train: Dataset,
    validation: Dataset | None,
    weights: LossWeights,
    steps: int,
    batch_size: int | None,
) -> None:
    for name, data in (("train", train), ("validation", validation)):
        if data is None:
            continue
        if len(data) == 0:
            raise ValueError(f"`{name}` must hold at least one frame, got none")
        try:
            model.check_species(data.species)
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from error
        if weights.forces > 0 and not data.has_forces:
            number = next(n for n, frame in enumerate(data) if frame.forces is None)
            raise ValueError(
                f"`{name}` must have forces in every frame where `weights.forces` > 0, got none in frame {number}"
            )
    for name, count in (("steps", steps), ("batch_size", batch_size)):
        if count is not None and (not isinstance(count, int) or count < 1):
            raise ValueError(f"`{name}` must be a positive integer, got {count!r}")


def _summary(entry: dict[str, float]) -> str:
    """The errors of a history entry in meV."""
    parts = []
    for prefix, name in (("", "train"), ("validation_", "valid")):
        if f"{prefix}energy_mae" in entry:
            text = f"{name} {1e3 * entry[f'{prefix}energy_mae']:.1f} meV/atom"
            if f"{prefix}force_mae" in entry:
                text += f" {1e3 * entry[f'{prefix}force_mae']:.0f} meV/Å"
            parts.append(text)
    return ", ".join(parts)
