"""Evaluate: predictions and errors of an energy on data, by the energy itself (no stored descriptors)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from miniffx.derivatives import energy_and_forces
from miniffx.models import NNPotential
from miniffx.neighbors import Array, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure
from miniffx.training.batching import in_chunks, padded_groups
from miniffx.training.dataset import Dataset


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root-mean-square errors. Printing it gives a table.

    Attributes:
        energy_mae, energy_rmse: eV/atom.
        force_mae, force_rmse: eV/Å over all components; None where no frame has forces.
        n_frames, n_atoms: of the data.
    """

    energy_mae: float
    energy_rmse: float
    force_mae: float | None
    force_rmse: float | None
    n_frames: int
    n_atoms: int

    def __str__(self) -> str:
        lines = [
            f"{self.n_frames} frames, {self.n_atoms} atoms       MAE      RMSE",
            f"energy  (meV/atom)   {1e3 * self.energy_mae:12.2f}{1e3 * self.energy_rmse:10.2f}",
        ]
        if self.force_mae is not None and self.force_rmse is not None:
            lines.append(f"forces  (meV/Å)      {1e3 * self.force_mae:12.1f}{1e3 * self.force_rmse:10.1f}")
        width = max(map(len, lines))
        return "\n".join([lines[0].rjust(width), *lines[1:]])


def evaluate(energy: Any, data: Dataset) -> Errors:
    """The errors of an energy function on a data set.

    Args:
        energy: a trained model or any potential of the library.
        data: frames with energies, and forces where there are any.

    Raises:
        ValueError: no frames, or species that a model has never seen.
    """
    energies, forces = predict(energy, data)
    sizes = np.array([frame.structure.n_atoms for frame in data])
    energy_errors = (energies - np.array([frame.energy for frame in data])) / sizes
    known = [(f, frame.forces) for f, frame in zip(forces, data, strict=True) if frame.forces is not None]
    force_errors = np.concatenate([(f - reference).ravel() for f, reference in known]) if known else None
    return Errors(
        energy_mae=float(np.abs(energy_errors).mean()),
        energy_rmse=float(np.sqrt((energy_errors**2).mean())),
        force_mae=None if force_errors is None else float(np.abs(force_errors).mean()),
        force_rmse=None if force_errors is None else float(np.sqrt((force_errors**2).mean())),
        n_frames=len(data),
        n_atoms=int(sizes.sum()),
    )


def predict(energy: Any, data: Dataset) -> tuple[np.ndarray, list[np.ndarray]]:
    """Energies [n_frames] in eV and forces, one [n_atoms, 3] per frame in eV/Å."""
    if len(data) == 0:
        raise ValueError("`data` must hold at least one frame, got none")
    if not isinstance(energy, Energy):
        raise ValueError(f"`energy` must be a model or a potential of the library, got {energy!r}")
    if isinstance(energy, NNPotential):
        energy.check_species(data.species)
    frames = [frame.structure for frame in data]
    energies = np.zeros(len(frames))
    forces: list[np.ndarray] = [np.zeros((frame.n_atoms, 3)) for frame in frames]
    for indices, batch, neighbors in padded_groups(frames, data.species, energy.needs):
        done = 0
        for part, keep in in_chunks(batch, neighbors):
            some_energies, some_forces = map(np.asarray, _batched(energy, *part))
            for row, index in enumerate(indices[done : done + keep]):
                energies[index] = some_energies[row]
                forces[index] = some_forces[row, : frames[index].n_atoms].astype(np.float64)
            done += keep
    return energies, forces


@jax.jit
@partial(jax.vmap, in_axes=(None, 0, 0))
def _batched(energy: Energy, structure: Structure, neighbors: NeighborList) -> tuple[Array, Array]:
    return energy_and_forces(energy)(structure, neighbors)
