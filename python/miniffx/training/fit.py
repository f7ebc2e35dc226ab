"""Fit: train a model on data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optax

from miniffx import _checks
from miniffx.models import ChargeModel, Normalization
from miniffx.training.checkpoint import digest
from miniffx.training.dataset import Dataset
from miniffx.training.feature_table import FeatureTable
from miniffx.training.kalman import Kalman, require_memory
from miniffx.training.loop import History, Loop
from miniffx.training.loss import LossWeights
from miniffx.training.optimizers import NAMES, Optimizer, known
from miniffx.training.problem import make_problem
from miniffx.training.session_log import SessionLog
from miniffx.training.steps import MiniBatches, Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BATCH_SIZE = 8
AVERAGE = 0.999


@dataclass(frozen=True)
class FitResult:
    """What a fit gives.

    Attributes:
        model: trained; with validation data, the state with the lowest validation score Σ_t √w_t MAE_t, over
            energies, forces and whatever else is in the loss. (Absolute errors, because a few outliers among few
            frames decide over squared ones.)
        history: one dict per report: step, seconds, loss, energy_mae, energy_rmse, force_mae, force_rmse (eV/atom,
            eV/Å), the same of stress (eV/Å³), partial_energy (eV) and charge (e) where they are in the loss, and with
            the prefix ``validation_`` the same and the score.
        best_step: the step that `model` is from; in a committee one for each member.
    """

    model: Any
    history: History
    best_step: int | list[int]

    def plot(self, ax: Axes | None = None) -> Axes:
        """The errors over the steps (:func:`miniffx.plot.convergence`)."""
        from miniffx.plot import convergence  # pictures know the results, not the other way round

        return convergence(self.history, ax=ax)


def fit(
    model: Any,
    train: Dataset | FeatureTable,
    validation: Dataset | FeatureTable | None = None,
    optimizer: str | Optimizer | optax.GradientTransformation = "lbfgs",
    weights: LossWeights | None = None,
    steps: int = 500,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
    *,
    force_fraction: float = 1.0,
    average: float | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    log: str | os.PathLike[str] | None = None,
    callback: Callable[[dict[str, float], Any], None] | None = None,
    normalization: Normalization | None = None,
    memory: float | None = None,
) -> FitResult:
    """Train the networks of a potential on energies, forces and more, those of charges, or an MLP on plain arrays.

    Descriptors and their Jacobians are computed once and kept on the device, or, where that is too much, computed anew
    in every step. A model without scaling gets the one that the training data suggest
    (:class:`miniffx.models.Scaling`); a model that has one keeps it, so that a trained model, loaded from a file for
    instance, can be trained on.

    Args:
        model: from :meth:`NNPotential.init` or trained before, for a Dataset; a :class:`MLP`, for a FeatureTable. The
            members of a :class:`Committee` are trained at once, on the same batches. A :class:`ChargeModel` learns
            the charges of the structures. Of a :class:`ChargedPotential` the short-ranged networks are trained, on what
            electrostatics leaves of energies, forces and stress (:meth:`Dataset.minus`); its charges stay.
        train: frames to learn from.
        validation: frames to choose the best state by; never learnt from.
        optimizer: "lbfgs" (whole data set per step), "adam" (mini-batches, learning rate up to 5e-3, then to 0 along a
            cosine), "ekf" (mini-batches, a Kalman filter) or another name of :class:`Optimizer`, an Optimizer, or any
            optax transformation.
        weights: of energies, forces, … in the loss; by default LossWeights(), for a FeatureTable energy=1 alone, for a
            ChargeModel charges=1 alone.
        steps: updates of the weights.
        batch_size: frames per step; None: all for "lbfgs", 8 otherwise. As many as there are, or more: all of them;
            for "ekf", all those of similar size.
        seed: of the order of mini-batches. The same seed and data repeat a fit on the same machine.
        progress: whether to show a bar with the current errors.
        force_fraction: part of the frames of a mini-batch, drawn anew for every step, whose forces and stress are
            looked at; energies of all of them are. A step takes that much less time and learns less from forces.
            Not for "ekf", which looks at ``projections`` of the forces of every frame.
        average: the model is made of averaged weights, θ̄ ← a θ̄ + (1 − a) θ after every step with this a, less in the
            first 10/(1 − a) steps; 0: of the weights as they are. None: 0.999 for the optimizers of
            :class:`Optimizer` that take mini-batches, 0 for "lbfgs", an optax transformation, and a FeatureTable.
        patience: stop when the validation score has not become better for so many steps; needs `validation`.
        checkpoint: a file to be replaced at the start and at every report (of which there are up to 100) with all that
            it takes to go on; killing the process at any moment leaves a whole one.
        resume: go on from the checkpoint, if there is one, with the same bits as without the interruption. Data,
            model and settings have to be the same.
        log: a file for the session, one JSON object per line (:class:`miniffx.training.SessionLog`).
        callback: called as ``callback(entry, model)`` at every report with the entry of the history and the best
            model so far, to draw or to watch.
        normalization: how data are brought to order one; by default Normalization(). Not for a model that was trained
            before, which keeps its scaling.
        memory: GiB that descriptors with what forces need may take, of each data set; by default half of what is free.
            Where they need more, and more than neighbour lists do, a UserWarning says so, these are kept in their
            place, and every step computes descriptors of some frames at a time, equal to stored ones but for the last
            digits.

    Returns:
        A FitResult.

    Raises:
        ValueError: empty data, species that the model does not know, missing forces or charges, an unknown optimizer, a
            checkpoint of another fit, or a loss that is no longer finite; then the message names the frame and what
            about it.
        MemoryError: covariances of "ekf", or what forces need, that do not fit into the memory.
    """
    for name, count in (("steps", steps), ("batch_size", batch_size), ("patience", patience)):
        if count is not None and (not _checks.is_whole(count) or count < 1):
            raise ValueError(f"`{name}` must be a positive integer, got {count!r}")
    if not _checks.is_whole(seed) or seed < 0:
        raise ValueError(f"`seed` must be a whole number that is not negative, got {seed!r}")
    if weights is not None and not isinstance(weights, LossWeights):
        raise ValueError(f"`weights` must be LossWeights, got {type(weights).__name__}")
    whole_set, transformation = _optimizer(optimizer, steps)
    if batch_size is not None and whole_set:
        raise ValueError(f"`batch_size` must be None for 'lbfgs', which takes the whole set, got {batch_size}")
    if average is None:
        named = isinstance(optimizer, str | Optimizer) and isinstance(train, Dataset)
        average = AVERAGE if named and not whole_set else 0.0
    if not 0 <= _checks.real("average", average) < 1:
        raise ValueError(f"`average` must be at least 0 and less than 1, got {average}")
    if patience is not None and validation is None:
        raise ValueError("`patience` needs `validation` data to stop by, got none")
    if resume and checkpoint is None:
        raise ValueError("`resume` needs a `checkpoint` to go on from, got none")
    if memory is not None:
        _checks.positive("memory", memory)
    for name, path in (("checkpoint", checkpoint), ("log", log)):
        if path is not None and not Path(path).parent.is_dir():
            raise FileNotFoundError(f"`{name}` must be in an existing folder, got {path}")
        if path is not None and Path(path).is_dir():
            raise ValueError(f"`{name}` must be a file, got {path}, which is a folder")
    filters = isinstance(transformation, Kalman)
    if filters and force_fraction != 1:
        raise ValueError(f"`force_fraction` must be 1 for 'ekf', got {force_fraction}; choose `projections`")
    problem, weights = make_problem(model, train, validation, weights, normalization, memory)

    order, size = None, batch_size or BATCH_SIZE
    groups = [len(numbers) for numbers in problem.train.indices]
    if filters:
        require_memory(problem.parameters, problem.members)
        size = min(size, max(groups))
    if filters or (not whole_set and size < len(problem.train)):
        order = MiniBatches(groups, size, seed)
    recipe = Recipe(
        differences=problem.differences,
        transformation=transformation,
        weights=weights,
        average=average or None,
        members=problem.members,
        with_forces=_with_forces(
            force_fraction,
            size if order is not None else None,
            isinstance(train, Dataset) and not isinstance(model, ChargeModel),
        ),
    )
    loop = Loop(
        problem=problem,
        recipe=recipe,
        steps=steps,
        order=order,
        patience=patience,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        # Settings first, then data, then what follows from both: what differs first is what was changed.
        origin={
            "optimizer": repr(optimizer) if isinstance(optimizer, str | Optimizer) else "an optax transformation",
            "weights": repr(weights),
            "steps": repr(steps),
            "batch_size": repr(batch_size),
            "seed": repr(seed),
            "average": repr(float(average)),
            "force_fraction": repr(force_fraction),
            "patience": repr(patience),
            "normalization": repr(normalization),
            "train": digest(*_contents(train)),
            "validation": "none" if validation is None else digest(*_contents(validation)),
            "model": digest(
                problem.parameters, problem.fixed, getattr(problem.fixed, "descriptors", None), *problem.frozen
            ),
        },
        log=SessionLog(log, append=resume),
        callback=None if callback is None else lambda entry, best: callback(entry, problem.finish(best)),
        bar=progress,
    )
    done = loop.run(resume)
    return FitResult(problem.finish(done.best), done.history, done.best_step.tolist())


def _optimizer(optimizer: Any, steps: int) -> tuple[bool, optax.GradientTransformationExtraArgs | Kalman]:
    """(whether every step takes the whole set, the transformation)."""
    if isinstance(optimizer, str):
        known("optimizer", optimizer, NAMES)
        optimizer = Optimizer(optimizer)
    if isinstance(optimizer, Optimizer):
        return optimizer.whole_set, optimizer.transformation(steps)
    if not hasattr(optimizer, "update"):
        raise ValueError(f"`optimizer` must be a name, an Optimizer or an optax transformation, got {optimizer!r}")
    return False, optax.with_extra_args_support(optimizer)


def _with_forces(fraction: float, batch_size: int | None, frames: bool) -> int | None:
    """How many frames of a mini-batch have their forces looked at; None: all."""
    if not 0 < _checks.real("force_fraction", fraction) <= 1:
        raise ValueError(f"`force_fraction` must be in (0, 1], got {fraction}")
    if fraction == 1:
        return None
    if batch_size is None or not frames:
        raise ValueError(
            f"`force_fraction` must be 1 where a step takes the whole set, or looks at no forces, got {fraction}"
        )
    return max(1, round(fraction * batch_size))


def _contents(data: Dataset | FeatureTable) -> list[Any]:
    """What makes two data sets the same to a fit."""
    if isinstance(data, FeatureTable):
        return [data.features, data.energy, data.mask]
    return [
        (frame.structure, frame.energy, frame.forces, frame.stress, frame.partial_energies, frame.weight)
        for frame in data
    ]
