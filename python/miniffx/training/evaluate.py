"""Evaluate: predictions and errors of an energy on data, by the energy itself (no stored descriptors)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from miniffx.derivatives import energy_and_forces
from miniffx.io.frames import Frame
from miniffx.models import Committee, NNPotential
from miniffx.neighbors import Array, NeighborList
from miniffx.potentials import Energy
from miniffx.structure import Structure
from miniffx.training.batching import padded_groups
from miniffx.training.dataset import Dataset


@dataclass(frozen=True)
class FrameErrors:
    """The errors of one frame.

    Attributes:
        index: of the frame in the data.
        group: of the frame.
        n_atoms: in it.
        energy: predicted less true, eV/atom.
        force_mae, force_rmse: eV/Å over its components; None without forces.
        force_max, worst_atom: the longest error of a force in eV/Å, and whose it is; None without forces.
    """

    index: int
    group: str
    n_atoms: int
    energy: float
    force_mae: float | None
    force_rmse: float | None
    force_max: float | None
    worst_atom: int | None


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root-mean-square errors. Printing it gives a table.

    Attributes:
        energy_mae, energy_rmse: eV/atom.
        force_mae, force_rmse: eV/Å over all components; None where no frame has forces.
        n_frames, n_atoms: of the data.
        frames: the errors frame by frame.
    """

    energy_mae: float
    energy_rmse: float
    force_mae: float | None
    force_rmse: float | None
    n_frames: int
    n_atoms: int
    frames: tuple[FrameErrors, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"{self.n_frames} frames, {self.n_atoms} atoms       MAE      RMSE",
            f"energy  (meV/atom)   {1e3 * self.energy_mae:12.2f}{1e3 * self.energy_rmse:10.2f}",
        ]
        if self.force_mae is not None and self.force_rmse is not None:
            lines.append(f"forces  (meV/Å)      {1e3 * self.force_mae:12.1f}{1e3 * self.force_rmse:10.1f}")
        width = max(map(len, lines))
        return "\n".join([lines[0].rjust(width), *lines[1:]])

    def numbers(self) -> dict[str, float | int | None]:
        """All but the frames, for a file."""
        return {name: value for name, value in vars(self).items() if name != "frames"}

    def worst(self, count: int = 10) -> list[FrameErrors]:
        """The frames with the largest errors, worst first: of forces by RMSE, of energies where there are none."""

        def size(frame: FrameErrors) -> tuple[float, float]:
            return (frame.force_rmse or 0.0, abs(frame.energy))

        return sorted(self.frames, key=size, reverse=True)[:count]

    def by_group(self) -> dict[str, Errors]:
        """The errors of every group of frames, in the order in which they appear."""
        groups = dict.fromkeys(frame.group for frame in self.frames)
        return {group: _errors([frame for frame in self.frames if frame.group == group]) for group in groups}

    def group_table(self) -> str:
        """The errors of every group, one line each."""
        lines = [f"{'':<16}{'frames':>7}{'energy MAE':>12}{'RMSE':>8}{'force MAE':>12}{'RMSE':>8}"]
        for group, e in self.by_group().items():
            line = f"{group or '(none)':<16}{e.n_frames:>7}{1e3 * e.energy_mae:>12.2f}{1e3 * e.energy_rmse:>8.2f}"
            if e.force_mae is not None and e.force_rmse is not None:
                line += f"{1e3 * e.force_mae:>12.1f}{1e3 * e.force_rmse:>8.1f}"
            lines.append(line)
        return "\n".join([*lines, f"{'':<23}{'meV/atom':>12}{'':>8}{'meV/Å':>12}"])

    def worst_table(self, count: int = 10) -> str:
        """The worst frames, one line each."""
        lines = [f"{'frame':>6}  {'group':<16}{'atoms':>6}{'energy':>10}{'force RMSE':>12}{'largest':>9}  on atom"]
        for f in self.worst(count):
            line = f"{f.index:>6}  {f.group:<16}{f.n_atoms:>6}{1e3 * f.energy:>+10.2f}"
            if f.force_rmse is not None and f.force_max is not None:
                line += f"{1e3 * f.force_rmse:>12.1f}{1e3 * f.force_max:>9.0f}  {f.worst_atom}"
            lines.append(line)
        return "\n".join([*lines, f"{'':<30}{'meV/atom':>10}{'meV/Å':>12}{'meV/Å':>9}"])


def evaluate(energy: Any, data: Dataset) -> Errors:
    """The errors of an energy function on a data set.

    Args:
        energy: a trained model or any potential of the library.
        data: frames with energies, and forces where there are any.

    Raises:
        ValueError: no frames, or species that a model has never seen.
    """
    energies, forces = predict(energy, data)
    return _errors([_of_frame(n, *item) for n, item in enumerate(zip(data, energies, forces, strict=True))])


def _of_frame(index: int, frame: Frame, energy: float, forces: np.ndarray) -> FrameErrors:
    n_atoms = frame.structure.n_atoms
    about = (index, frame.group, n_atoms, float((energy - frame.energy) / n_atoms))
    if frame.forces is None or not n_atoms:
        return FrameErrors(*about, None, None, None, None)
    error = forces - frame.forces
    lengths = np.linalg.norm(error, axis=1)
    rmse = float(np.sqrt((error**2).mean()))
    return FrameErrors(*about, float(np.abs(error).mean()), rmse, float(lengths.max()), int(lengths.argmax()))


def _errors(frames: list[FrameErrors]) -> Errors:
    energy = np.array([frame.energy for frame in frames])
    known = np.array([(f.n_atoms, f.force_mae, f.force_rmse) for f in frames if f.force_mae is not None], float)
    atoms, mae, rmse = known.reshape(-1, 3).T
    return Errors(
        energy_mae=float(np.abs(energy).mean()),
        energy_rmse=float(np.sqrt((energy**2).mean())),
        force_mae=float((atoms * mae).sum() / atoms.sum()) if len(known) else None,
        force_rmse=float(np.sqrt((atoms * rmse**2).sum() / atoms.sum())) if len(known) else None,
        n_frames=len(frames),
        n_atoms=sum(frame.n_atoms for frame in frames),
        frames=tuple(frames),
    )


def predict(energy: Any, data: Dataset) -> tuple[np.ndarray, list[np.ndarray]]:
    """Energies [n_frames] in eV and forces, one [n_atoms, 3] per frame in eV/Å."""
    if len(data) == 0:
        raise ValueError("`data` must hold at least one frame, got none")
    if not isinstance(energy, Energy):
        raise ValueError(f"`energy` must be a model or a potential of the library, got {energy!r}")
    if isinstance(energy, NNPotential | Committee):
        energy.check_species(data.species)
    frames = [frame.structure for frame in data]
    energies = np.zeros(len(frames))
    forces: list[np.ndarray] = [np.zeros((frame.n_atoms, 3)) for frame in frames]
    for group in padded_groups(frames, data.species, energy.needs):
        done = 0
        for batch, neighbors, keep in group.parts(group.at_once):
            some_energies, some_forces = map(np.asarray, _batched(energy, batch, neighbors))
            for row, index in enumerate(group.indices[done : done + keep]):
                energies[index] = some_energies[row]
                forces[index] = some_forces[row, : frames[index].n_atoms].astype(np.float64)
            done += keep
    return energies, forces


@jax.jit
@partial(jax.vmap, in_axes=(None, 0, 0))
def _batched(energy: Energy, structure: Structure, neighbors: NeighborList) -> tuple[Array, Array]:
    return energy_and_forces(energy)(structure, neighbors)
