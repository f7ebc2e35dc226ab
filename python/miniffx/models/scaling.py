"""Scaling: features and energies of order one for the network, physical units for everybody else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from miniffx._pytree import host, pytree
from miniffx.neighbors import Array

CONSTANT = 1e-7  # relative spread below which a feature carries no information in single precision


@pytree
class Scaling:
    """E_i = offset + scale · network((G_i − center) · factor), each of them per species but `scale`.

    Attributes:
        center, factor: one vector [n_features] per species; a factor of 0 drops the feature.
        offsets: [n_species] energies per atom in eV.
        scale: eV, one for all species.
    """

    center: tuple[Array, ...]
    factor: tuple[Array, ...]
    offsets: Array
    scale: Array


def fit_scaling(
    features: Mapping[str, np.ndarray],
    counts: np.ndarray,
    energies: np.ndarray,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Scaling:
    """The scaling that a training set suggests.

    Features get mean 0 and standard deviation 1 over the atoms of their species. Energies of species are the
    least-squares solution of E = Σ_s n_s e_s with the smallest deviation from equal energies (so that a fixed
    composition is no obstacle); the scale is the standard deviation of what remains per atom.

    Args:
        features: per species [n_atoms, n_features] of the whole set.
        counts: [n_frames, n_species] atoms of each species, in the order of `features`.
        energies: [n_frames] in eV.
        names: what to call the features in the warning about constant ones.

    Returns:
        A Scaling. Constant features are dropped (factor 0), with a UserWarning that names them.
    """
    centers, factors = [], []
    for label, values in features.items():
        values = np.asarray(values, dtype=np.float64)
        if not len(values):
            raise ValueError(f"`features` must hold atoms of every species of the model, got none of {label}")
        center, spread = values.mean(axis=0), values.std(axis=0)
        constant = spread <= CONSTANT * np.maximum(np.abs(values).max(axis=0), 1e-300)
        if constant.any():
            which = [names[label][int(n)] if names else f"number {n}" for n in np.flatnonzero(constant)]
            warnings.warn(
                f"{len(which)} descriptors of {label} are constant in the training data and dropped: "
                + ", ".join(which),
                stacklevel=2,
            )
        centers.append(center)
        factors.append(np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread)))

    counts, energies = np.asarray(counts, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    sizes = counts.sum(axis=1)
    common = energies.sum() / sizes.sum()
    # Weighted by 1/size: an equation per frame for its energy per atom. lstsq gives the shortest solution where the
    # compositions leave freedom, here the one closest to equal energies.
    deviation = np.linalg.lstsq(counts / sizes[:, None], energies / sizes - common, rcond=1e-6)[0]
    offsets = common + deviation
    residual = (energies - counts @ offsets) / sizes
    scale = residual.std()
    if not scale > 1e-6:  # one frame, or all alike: the energies say nothing about the scale
        scale = 1.0
    return Scaling(tuple(map(host, centers)), tuple(map(host, factors)), host(offsets), host(scale))
