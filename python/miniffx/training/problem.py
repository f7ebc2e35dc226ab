"""Problem: what is trained and on what, so that one loop serves potentials, committees and plain maps."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx.descriptors import DescriptorSet
from miniffx.models import MLP, ChargedPotential, ChargeModel, Committee, Histograms, NNPotential, Normalization
from miniffx.models.scaling import feature_units, fit_scaling, without_components
from miniffx.neighbors import Array
from miniffx.training import feature_table, stored, stored_charges
from miniffx.training.dataset import FIELDS, Dataset
from miniffx.training.feature_table import FeatureTable, TableBatch
from miniffx.training.featurize import Features, Slopes, compute, groups_of, result_bytes
from miniffx.training.loss import Difference, LossWeights, only, positive_terms
from miniffx.training.memory import free_memory

OUTLIER = 1e7  # how far from the median an energy per atom has to be, in units of the median distance, to be told
KEPT = 0.5  # of the free memory that stored features may take


@dataclass(frozen=True)
class Samples:
    """A data set on the device.

    Attributes:
        name: the argument of `fit` that it came from.
        batches: samples of similar size together.
        indices: for every batch, where its samples are in the data set.
        totals: what the errors of every term weigh in all.
        labels: of the samples, for messages.
    """

    name: str
    batches: list[Any]
    indices: list[np.ndarray]
    totals: dict[str, float]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Problem:
    """Parameters, data, and how far predictions are from references.

    Attributes:
        parameters: the tree that is trained.
        fixed: a tree of what stays as it is.
        differences: (parameters, fixed, batch) → the differences of every term, a function of a module.
        train, validation: the data.
        finish: parameters → the model.
        members: of a committee, whose parameters have a leading axis; None otherwise.
        frozen: what the references were reduced by, for the fingerprint of the fit.
    """

    parameters: Any
    fixed: Any
    differences: Callable[[Any, Any, Any], dict[str, Difference]]
    train: Samples
    validation: Samples | None
    finish: Callable[[Any], Any]
    members: int | None = None
    frozen: tuple[Any, ...] = ()


def make_problem(
    model: Any,
    train: Any,
    validation: Any,
    weights: LossWeights | None,
    normalization: Normalization | None,
    memory: float | None = None,
) -> tuple[Problem, LossWeights]:
    """The problem for a model and its data, and the weights of its loss; `memory` in GiB for what forces need.

    Raises:
        ValueError: a model that cannot be trained, data that it cannot be trained on, or that lack what is weighted.
    """
    if isinstance(model, MLP):
        if normalization is not None:
            raise ValueError("`normalization` must be None for a MLP, which sees features as they are")
        return _table_problem(model, train, validation, weights)
    if isinstance(model, ChargeModel):
        return _charge_problem(model, train, validation, weights, normalization)
    weights = LossWeights() if weights is None else weights
    if "charge" in positive_terms(weights):
        raise ValueError(f"`weights.charges` must be 0 but for a ChargeModel, got {weights.charges}")
    if isinstance(model, ChargedPotential):
        return _short_range_problem(model, train, validation, weights, normalization, memory), weights
    if isinstance(model, NNPotential):
        return _network_problem(stored, model, train, validation, weights, normalization, memory), weights
    if isinstance(model, Committee):
        problem = _network_problem(stored, model.stacked, train, validation, weights, normalization, memory)

        def finish(networks: Any) -> Committee:
            return Committee(problem.finish(networks))

        return dataclasses.replace(problem, finish=finish, members=model.size), weights
    raise ValueError(
        f"`model` must be a NNPotential, Committee, ChargeModel, ChargedPotential or MLP, got {type(model).__name__}"
    )


# -- maps of plain arrays ------------------------------------------------------------------------------------


def _table_problem(
    mlp: MLP, train: FeatureTable, validation: FeatureTable | None, weights: LossWeights | None
) -> tuple[Problem, LossWeights]:
    weights = only(LossWeights(), energy=1.0) if weights is None else weights
    extra = [name for name in positive_terms(weights) if name != "energy"]
    if extra:
        raise ValueError(f"`weights` must hold only `energy` for a FeatureTable, got {weights}")
    width = mlp.weights[0].shape[0]
    samples: list[Samples | None] = []
    for name, table in (("train", train), ("validation", validation)):
        if table is None and name == "validation":
            samples.append(None)
            continue
        if not isinstance(table, FeatureTable):
            raise ValueError(f"`{name}` must be a FeatureTable for a MLP, got {type(table).__name__}")
        if table.features.shape[-1] != width:
            raise ValueError(f"`{name}` must have {width} features for this MLP, got {table.features.shape[-1]}")
        count = len(table)
        labels = [f"sample {n}" for n in range(count)]
        samples.append(Samples(name, [TableBatch.of(table)], [np.arange(count)], {"energy": float(count)}, labels))
    assert samples[0] is not None
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, train.features.dtype), mlp)
    problem = Problem(parameters, None, feature_table.differences, samples[0], samples[1], lambda trained: trained)
    return problem, weights


# -- charges, and what they leave ----------------------------------------------------------------------------


def _charge_problem(
    model: ChargeModel, train: Any, validation: Any, weights: LossWeights | None, normalization: Normalization | None
) -> tuple[Problem, LossWeights]:
    weights = only(LossWeights(), charges=1.0) if weights is None else weights
    if positive_terms(weights) != ("charge",):
        raise ValueError(f"`weights` must hold only `charges` for a ChargeModel, got {weights}")
    problem = _network_problem(stored_charges, model.network, train, validation, weights, normalization)

    def finish(networks: Any) -> ChargeModel:
        return dataclasses.replace(model, network=problem.finish(networks))

    fixed = dataclasses.replace(model, network=problem.fixed)
    return dataclasses.replace(problem, fixed=fixed, finish=finish), weights


def _short_range_problem(
    model: ChargedPotential,
    train: Any,
    validation: Any,
    weights: LossWeights,
    normalization: Normalization | None,
    memory: float | None,
) -> Problem:
    short_range = model.short_range
    if not isinstance(short_range, NNPotential | Committee):
        raise ValueError(f"`model.short_range` must be a NNPotential or a Committee, got {type(short_range).__name__}")
    for name, data in (("train", train), ("validation", validation)):
        if data is not None or name == "train":
            _check(model, name, data, positive_terms(weights))
    rest = dataclasses.replace(model, short_range=None)
    train, validation = (None if data is None else data.minus(rest) for data in (train, validation))
    problem, _ = make_problem(short_range, train, validation, weights, normalization, memory)

    def finish(networks: Any) -> ChargedPotential:
        return dataclasses.replace(model, short_range=problem.finish(networks))

    frozen = (model.charges, model.charges.descriptors, model.electrostatics)
    return dataclasses.replace(problem, finish=finish, frozen=frozen)


# -- networks of atoms ---------------------------------------------------------------------------------------


def _network_problem(
    learnt: ModuleType,
    model: NNPotential,
    train: Dataset,
    validation: Dataset | None,
    weights: LossWeights,
    normalization: Normalization | None,
    memory: float | None = None,
) -> Problem:
    """The problem for one network per species; `learnt` is `stored` or `stored_charges`, which have the same names."""
    terms = positive_terms(weights)
    if model.scaling is not None and normalization is not None:
        raise ValueError("`normalization` must be None for a model that was trained before, which keeps its scaling")
    for name, data in (("train", train), ("validation", validation)):
        if data is not None or name == "train":
            _check(model, name, data, terms)
    if learnt is stored:
        _warn_of_outlier(train)
    slopes: Slopes = "pairs" if "force" in terms or "stress" in terms else None
    features = _features(model.descriptors, "train", train, slopes, memory)
    dtype = next(iter(features.batches[0].species.values())).values.dtype
    units: tuple[Array, ...] | None = None
    if model.scaling is None:
        targets = learnt.targets(train, model.species)
        model, units = _scaled(model, train, features, targets, normalization or Normalization())
    model = _in_dtype(model, dtype)
    held_out = None
    if validation is not None:
        held_features = _features(model.descriptors, "validation", validation, slopes, memory)
        held_out = _samples(learnt, "validation", model, validation, held_features, terms)
    return Problem(
        parameters=model.networks,
        fixed=model,
        differences=learnt.differences,
        train=_samples(learnt, "train", model, train, features, terms),
        validation=held_out,
        finish=partial(_finished, model, units),
    )


def _features(descriptors: DescriptorSet, name: str, data: Dataset, slopes: Slopes, memory: float | None) -> Features:
    """Features and what forces need, or where that is too much, and more than lists, these to compute it from."""
    frames = [frame.structure for frame in data]
    groups = groups_of(descriptors, frames)
    if slopes is not None:
        needed = result_bytes(descriptors, groups, slopes) / 2**30
        bound = KEPT * free_memory() / 2**30 if memory is None else memory
        lists = result_bytes(descriptors, groups, "lists") / 2**30
        if bound < needed and lists < needed:
            warnings.warn(
                f"`{name}`: what forces need takes {needed:.3g} GiB, of {bound:.3g} that it may. Lists are kept in "
                f"its place ({lists:.3g} GiB), and features are computed anew in every step",
                stacklevel=2,
            )
            slopes, needed = "lists", lists
        if needed > (free := free_memory() / 2**30):
            raise MemoryError(f"`{name}`: what forces need takes {needed:.3g} GiB, of which {free:.3g} are free")
    return compute(descriptors, frames, slopes, groups=groups)


def _finished(model: NNPotential, units: tuple[Array, ...] | None, networks: Any) -> NNPotential:
    """The model with these networks; what was done to the features for training is undone."""
    assert model.scaling is not None
    scaling = model.scaling
    if units is not None:
        units = tuple(jnp.asarray(unit, scaling.scale.dtype) for unit in units)
        scaling, networks = without_components(scaling, networks, units)
    return dataclasses.replace(model, networks=networks, scaling=scaling)


def _in_dtype(model: NNPotential, dtype: Any) -> NNPotential:
    parts = {name: getattr(model, name) for name in ("scaling", "networks", "histograms")}
    return dataclasses.replace(model, **jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), parts))


def _samples(
    learnt: ModuleType, name: str, model: NNPotential, data: Dataset, features: Features, terms: tuple[str, ...]
) -> Samples:
    labels = [f"frame {n}" + (f" ({frame.group})" if frame.group else "") for n, frame in enumerate(data)]
    batches = learnt.make_batches(model, data, features, terms)
    indices = [batch.indices for batch in features.batches]
    totals = learnt.totals(data, terms)
    for term, total in totals.items():
        if name == "train" and not total > 0:
            raise ValueError(f"`{name}` must hold a frame of positive weight with {FIELDS[term]}, got none")
    return Samples(name, batches, indices, totals, labels)


def _scaled(
    model: NNPotential,
    train: Dataset,
    features: Features,
    targets: tuple[np.ndarray, np.ndarray],
    normalization: Normalization,
) -> tuple[NNPotential, tuple[Array, ...] | None]:
    """The model with scaling and histograms; with principal components also the factors of plain features."""
    missing = [label for label in model.species if label not in train.species]
    if missing:
        raise ValueError(f"`train` must hold every species of the model, got none of {', '.join(missing)}")
    per_species = features.per_species()
    per_species = {label: per_species[label] for label in model.species}
    shared = {label: model.descriptors.share_unit(label) for label in model.species}
    scaling = fit_scaling(
        per_species,
        *targets,
        {label: [repr(d) for d in model.descriptors.of(label)] for label in model.species},
        normalization,
        shared,
    )
    units = None
    if normalization.components is not None:
        units = feature_units(per_species, normalization, shared)
    return dataclasses.replace(model, scaling=scaling, histograms=Histograms.of(per_species)), units


def _warn_of_outlier(train: Dataset) -> None:
    """UserWarning for a frame with an energy per atom that is out of all proportion: one is enough to spoil a fit."""
    energies = np.array([frame.energy / frame.structure.n_atoms for frame in train])
    away = np.abs(energies - np.median(energies))
    worst, usual = int(np.argmax(away)), max(float(np.median(away)), 1e-3)
    if away[worst] > OUTLIER * usual:
        warnings.warn(
            f"`train`: the energy of frame {worst} is {away[worst]:.3g} eV/atom away from the median of all, others "
            f"{usual:.3g}",
            stacklevel=2,
        )


def _check(model: NNPotential | ChargedPotential, name: str, data: Any, terms: tuple[str, ...]) -> None:
    if not isinstance(data, Dataset):
        raise ValueError(f"`{name}` must be a Dataset for a {type(model).__name__}, got {type(data).__name__}")
    if len(data) == 0:
        raise ValueError(f"`{name}` must hold at least one frame, got none")
    try:
        model.check_species(data.species)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from error
    for term in terms:
        data.require(name, term)
