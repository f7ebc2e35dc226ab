"""Predictions: what a model says about every frame of a data set, by the model itself (no stored descriptors)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from miniffx import derivatives
from miniffx.models import ChargedPotential, ChargeModel, Committee, NNPotential
from miniffx.neighbors import Array, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure
from miniffx.training.batching import padded_groups
from miniffx.training.dataset import Dataset

Function = Callable[[Any, Structure, NeighborList], Any]


def predict(energy: Any, data: Dataset) -> tuple[np.ndarray, list[np.ndarray]]:
    """Energies [n_frames] in eV and forces, one [n_atoms, 3] per frame in eV/Å."""
    energies, forces = zip(*of_frames(energy_and_forces, energy, data), strict=True)
    sizes = [frame.structure.n_atoms for frame in data]
    return np.array(energies, np.float64), [f[:n].astype(np.float64) for f, n in zip(forces, sizes, strict=True)]


def of_frames(function: Function, model: Any, data: Dataset) -> list[Any]:
    """``function(model, structure, neighbors)`` of every frame: arrays (NumPy) or tuples of them, padding included.

    Args:
        function: of a module, so that its compiled program is found again.
        model: an energy or a ChargeModel.
        data: the frames, with charges where all of them have some.
    """
    if len(data) == 0:
        raise ValueError("`data` must hold at least one frame, got none")
    if not isinstance(model, Energy | ChargeModel):
        raise ValueError(f"`energy` must be a model or a potential of the library, got {model!r}")
    if isinstance(model, NNPotential | Committee | ChargeModel | ChargedPotential):
        model.check_species(data.species)
    frames = [frame.structure for frame in data]
    results: list[Any] = [None] * len(frames)
    for group in padded_groups(frames, data.species, model.needs):
        done = 0
        for batch, neighbors, keep in group.parts(group.at_once):
            some = jax.tree.map(np.asarray, _batched(function, model, batch, neighbors))
            for row, index in enumerate(group.indices[done : done + keep]):
                results[index] = jax.tree.map(lambda leaf, row=row: leaf[row], some)
            done += keep
    return results


@partial(jax.jit, static_argnums=0)
def _batched(function: Function, model: Any, structures: Structure, neighbors: NeighborList) -> Any:
    return jax.vmap(partial(function, model))(structures, neighbors)


# What is asked for.


def energy_and_forces(energy: Energy, structure: Structure, neighbors: NeighborList) -> tuple[Array, Array]:
    """In eV and eV/Å."""
    return derivatives.energy_and_forces(energy)(structure, neighbors)


def energy_forces_stress(energy: Energy, structure: Structure, neighbors: NeighborList) -> tuple[Array, Array, Array]:
    """In eV, eV/Å and eV/Å³."""
    return derivatives.energy_forces_stress(energy)(structure, neighbors)


def atomic(energy: Energy, structure: Structure, neighbors: NeighborList) -> Array:
    """Of every atom, in eV."""
    return energy.atomic(structure, neighbors)


def charges(model: ChargeModel, structure: Structure, neighbors: NeighborList) -> Array:
    """Of every atom, in elementary charges."""
    return model(structure, neighbors)
