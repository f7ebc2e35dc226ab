"""Scaling: features and energies of order one for the network, physical units for everybody else."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import host, pytree
from miniffx.models.mlp import MLP
from miniffx.neighbors import Array

CONSTANT = 1e-7  # relative spread below which a feature carries no information; in single precision 16 last digits
NOTHING = 1e-30  # absolute spread below which nothing is near enough to be seen; its inverse fits in single precision
LONGEST = 8  # standard deviations that the range of a feature may span; longer ones get a larger unit
SHARED = 0.3  # root mean square of features that share a unit
UNITS_OF_FEATURES = ("std", "range", "none")


@dataclass(frozen=True)
class Normalization:
    """How data become numbers of order one for the networks. It ends as the :class:`Scaling` of the model.

    Attributes:
        energy_offsets: whether energies are counted from a sum over the atoms' species, the least-squares solution of
            E = Σ_s n_s e_s closest to equal energies; otherwise from 0.
        energy_scale: in eV; None: the standard deviation of what the offsets leave per atom.
        features: the unit of every feature: its standard deviation "std", or an eighth of its range where that is more
            (a function that few atoms have neighbours for spans a hundred), its "range" divided by two, or "none".
            Invariants of moments (:class:`miniffx.descriptors.MomentInvariant`) have one unit in common, the root mean
            square of theirs over 0.3, unless it is "none".
        center: whether features are counted from their mean (from the middle, for "range"); otherwise from 0.
        components: networks see principal components of the features, scaled to standard deviation 1, in the place of
            features: as many as this whole number says, or those whose singular value is at least this fraction of the
            largest. None: the features themselves. The trained model has the components multiplied into its first
            layers and sees plain features again.

    The length scale is √(forces/energy) of :class:`miniffx.LossWeights`. For a :class:`miniffx.ChargeModel` read charge
    for energy and e for eV: offsets are the mean charges of the species, the scale is the standard deviation from them.
    """

    energy_offsets: bool = True
    energy_scale: float | None = None
    features: str = "std"
    center: bool = True
    components: int | float | None = None

    def __post_init__(self) -> None:
        if self.energy_scale is not None:
            _checks.positive("energy_scale", self.energy_scale)
        if self.features not in UNITS_OF_FEATURES:
            raise ValueError(f"`features` must be one of {', '.join(UNITS_OF_FEATURES)}, got {self.features!r}")
        if self.components is None:
            return
        _checks.positive("components", self.components)
        if not isinstance(self.components, int) and self.components >= 1:
            raise ValueError(f"`components` must be a whole number or a fraction below 1, got {self.components}")


@pytree
class Scaling:
    """E_i = offset + scale · network((G_i − center) · factor), each of them per species but `scale`.

    Attributes:
        center: one vector [n_features] per species.
        factor: one vector [n_features] per species, where 0 drops the feature; or, while a model is trained on
            principal components, a matrix [n_features, n_features] with them in its columns.
        offsets: [n_species] energies per atom in eV.
        scale: eV, one for all species.
    """

    center: tuple[Array, ...]
    factor: tuple[Array, ...]
    offsets: Array
    scale: Array

    def apply(self, index: int, features: Array) -> Array:
        """What the network of a species sees of features [..., n_features]."""
        center, factor = self.center[index], self.factor[index]
        if factor.ndim == 1:
            return (features - center) * factor
        return jnp.matmul(features - center, factor, precision=jax.lax.Precision.HIGHEST)


def fit_scaling(
    features: Mapping[str, np.ndarray],
    counts: np.ndarray,
    energies: np.ndarray,
    names: Mapping[str, Sequence[str]] | None = None,
    normalization: Normalization | None = None,
    shared: Mapping[str, np.ndarray] | None = None,
) -> Scaling:
    """The scaling that a training set suggests.

    By default, features get mean 0 and standard deviation 1 over the atoms of their species, less where a few atoms are
    far from all others. Energies of species are
    the least-squares solution of E = Σ_s n_s e_s with the smallest deviation from equal energies (so that a fixed
    composition is no obstacle); the scale is the standard deviation of what remains per atom.

    Args:
        features: per species [n_atoms, n_features] of the whole set.
        counts: [n_frames, n_species] atoms of each species, in the order of `features`.
        energies: [n_frames] in eV. (Or charges in e, with an atom in the place of a frame.)
        names: what to call the features in the warning about constant ones.
        normalization: what to do; by default Normalization().
        shared: per species [n_features] bool: features that get one unit with each other where others get their own
            (:func:`_shared_unit`).

    Returns:
        A Scaling. Constant features, and such as are below 1e-30, are dropped (factor 0), with a UserWarning that names
        them.
    """
    normalization = Normalization() if normalization is None else normalization
    centers, factors = [], []
    for label, values in features.items():
        if not len(values):
            raise ValueError(f"`features` must hold atoms of every species of the model, got none of {label}")
        center, factor = _center_and_factor(values, normalization, None if shared is None else shared[label])
        constant = factor == 0
        if constant.any():
            which = [names[label][int(n)] if names else f"number {n}" for n in np.flatnonzero(constant)]
            warnings.warn(
                f"{len(which)} descriptors of {label} are constant in the training data and dropped: "
                + ", ".join(which),
                stacklevel=2,
            )
        if normalization.components is not None:
            factor = _components((values - center) * factor, factor, normalization.components)
        centers.append(center)
        factors.append(factor)

    counts, energies = np.asarray(counts, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    sizes = counts.sum(axis=1)
    common = energies.sum() / sizes.sum()
    # Weighted by 1/size: an equation per frame for its energy per atom. lstsq gives the shortest solution where the
    # compositions leave freedom, here the one closest to equal energies.
    deviation = np.linalg.lstsq(counts / sizes[:, None], energies / sizes - common, rcond=1e-6)[0]
    offsets = common + deviation if normalization.energy_offsets else np.zeros_like(deviation)
    residual = (energies - counts @ offsets) / sizes
    scale = np.asarray(normalization.energy_scale or residual.std(), float)
    if normalization.energy_scale is None and not scale > 1e-6:  # one frame, or all alike: they say nothing about it
        scale = np.asarray(1.0)
    return Scaling(tuple(map(host, centers)), tuple(map(host, factors)), host(offsets), host(scale))


def feature_units(
    features: Mapping[str, np.ndarray], normalization: Normalization, shared: Mapping[str, np.ndarray]
) -> tuple[Array, ...]:
    """The factors of plain features, one vector [n_features] per species."""
    return tuple(host(_center_and_factor(v, normalization, shared[label])[1]) for label, v in features.items())


def _shared_unit(factor: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Factors, of which those of some features are made one: SHARED over the root mean square of their units.

    Of many features of one kind those that hardly vary are the rough ones. Blown up, they are what a network overfits
    with; and a network that begins with small numbers begins almost linear, and stays smooth.
    """
    chosen = shared & (factor > 0)
    if not chosen.any():
        return factor
    return np.where(chosen, SHARED / np.sqrt((factor[chosen] ** -2.0).mean()), factor)


def _center_and_factor(
    values: np.ndarray, normalization: Normalization, shared: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """What to subtract from features [n_atoms, n_features] and what to multiply them with, 0 where constant."""
    # In single precision the same environment has features that differ in some of their last digits.
    dtype = np.asarray(values).dtype
    digits = 16 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    values = np.asarray(values, np.float64)
    low, high, spread, size = values.min(axis=0), values.max(axis=0), values.std(axis=0), np.abs(values).max(axis=0)
    constant = spread <= np.maximum(max(CONSTANT, digits) * size, NOTHING)
    if shared is not None:  # they may be 0 by symmetry: sums of what cancels
        constant |= shared & (spread <= digits * size.max(initial=0))
    middle = (low + high) / 2 if normalization.features == "range" else values.mean(axis=0)
    unit = {"std": spread, "range": (high - low) / 2, "none": np.ones_like(spread)}[normalization.features]
    if normalization.features == "std":
        own = np.ones(len(spread), bool) if shared is None else ~shared
        unit = np.where(own, np.maximum(spread, (high - low) / LONGEST), spread)
    center = middle if normalization.center else np.zeros_like(middle)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, unit))
    return center, factor if shared is None or normalization.features == "none" else _shared_unit(factor, shared)


def _components(scaled: np.ndarray, factor: np.ndarray, components: int | float) -> np.ndarray:
    """[n_features, n_features]: principal components of scaled features in the first columns, 0 in the others."""
    _, singular, rows = np.linalg.svd(scaled, full_matrices=False)
    informative = singular > CONSTANT * singular[0]
    if isinstance(components, int):
        kept = informative & (np.arange(len(singular)) < components)
    else:
        kept = informative & (singular >= components * singular[0])
    # Where features are not centred, these are not standard deviations but root mean squares.
    sizes = singular / np.sqrt(len(scaled))
    result = np.zeros((len(factor), len(factor)))
    result[:, : kept.sum()] = factor[:, None] * rows[kept].T / sizes[kept]
    return result


def without_components(scaling: Scaling, networks: tuple[MLP, ...], units: Sequence[Array]) -> tuple[Scaling, Any]:
    """The same function with principal components multiplied into the first layers of the networks.

    Args:
        scaling: with matrices for factors.
        networks: that see components.
        units: one vector [n_features] per species: the factors of the features that the new networks see.
    """
    new = []
    for factor, network, unit in zip(scaling.factor, networks, units, strict=True):
        first = jnp.matmul(factor, network.weights[0], precision=jax.lax.Precision.HIGHEST)
        first = jnp.where(unit[:, None] > 0, first / jnp.where(unit > 0, unit, 1)[:, None], 0)
        new.append(dataclasses.replace(network, weights=(first, *network.weights[1:])))
    return dataclasses.replace(scaling, factor=tuple(units)), tuple(new)
