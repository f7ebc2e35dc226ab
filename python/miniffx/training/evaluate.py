"""Evaluate: errors of an energy, or of a model of charges, on data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from miniffx.io.frames import Frame
from miniffx.models import ChargedPotential, ChargeModel
from miniffx.training import predictions
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
class ChargeErrors:
    """Mean absolute and root-mean-square errors of charges, in elementary charges. Printing it gives a table.

    Attributes:
        charge_mae, charge_rmse: e.
        n_frames, n_atoms: of the data.
    """

    charge_mae: float
    charge_rmse: float
    n_frames: int
    n_atoms: int

    def __str__(self) -> str:
        return f"{_title(self.n_frames, self.n_atoms)}\n{self.line()}"

    def line(self) -> str:
        """That of the charges."""
        return f"charges (me)         {1e3 * self.charge_mae:12.2f}{1e3 * self.charge_rmse:10.2f}"


def _title(n_frames: int, n_atoms: int) -> str:
    return f"{n_frames} frames, {n_atoms} atoms       MAE      RMSE".rjust(43)


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root-mean-square errors. Printing it gives a table.

    Attributes:
        energy_mae, energy_rmse: eV/atom.
        force_mae, force_rmse: eV/Å over all components; None where no frame has forces.
        n_frames, n_atoms: of the data.
        frames: the errors frame by frame.
        charges: of the charges of a :class:`miniffx.ChargedPotential`, where every frame has some; None otherwise.
    """

    energy_mae: float
    energy_rmse: float
    force_mae: float | None
    force_rmse: float | None
    n_frames: int
    n_atoms: int
    frames: tuple[FrameErrors, ...] = ()
    charges: ChargeErrors | None = None

    def __str__(self) -> str:
        lines = [
            _title(self.n_frames, self.n_atoms),
            f"energy  (meV/atom)   {1e3 * self.energy_mae:12.2f}{1e3 * self.energy_rmse:10.2f}",
        ]
        if self.force_mae is not None and self.force_rmse is not None:
            lines.append(f"forces  (meV/Å)      {1e3 * self.force_mae:12.1f}{1e3 * self.force_rmse:10.1f}")
        if self.charges is not None:
            lines.append(self.charges.line())
        return "\n".join(lines)

    def numbers(self) -> dict[str, float | int | None]:
        """All but the frames, for a file."""
        numbers = {name: value for name, value in vars(self).items() if name not in ("frames", "charges")}
        return numbers if self.charges is None else numbers | vars(self.charges)

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


@overload
def evaluate(energy: ChargeModel, data: Dataset) -> ChargeErrors:
    """Of charges."""


@overload
def evaluate(energy: Any, data: Dataset) -> Errors:
    """Of energies and forces."""


def evaluate(energy: Any, data: Dataset) -> Errors | ChargeErrors:
    """The errors of an energy function on a data set.

    Args:
        energy: a trained model or any potential of the library. A :class:`miniffx.ChargeModel` has ChargeErrors.
        data: frames with energies, and forces and charges where there are any.

    Raises:
        ValueError: no frames, species that a model has never seen, or no charges for a model of these.
    """
    if isinstance(energy, ChargeModel):
        data.require("data", "charge")
        return _of_charges(energy, data)
    energies, forces = predictions.predict(energy, data)
    errors = _errors([_of_frame(n, *item) for n, item in enumerate(zip(data, energies, forces, strict=True))])
    if isinstance(energy, ChargedPotential) and all(frame.structure.charges is not None for frame in data):
        errors = dataclasses.replace(errors, charges=_of_charges(energy.charges, data))
    return errors


def _of_charges(model: ChargeModel, data: Dataset) -> ChargeErrors:
    found = predictions.of_frames(predictions.charges, model, data)
    error = np.concatenate([q[: f.structure.n_atoms] - f.structure.charges for q, f in zip(found, data, strict=True)])
    return ChargeErrors(
        charge_mae=float(np.abs(error).mean()),
        charge_rmse=float(np.sqrt((error**2).mean())),
        n_frames=len(data),
        n_atoms=len(error),
    )


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
