"""Data sets: frames in order."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, overload

import numpy as np

from miniffx import _checks
from miniffx.io.frames import Frame, read_frames, write_frames

# What a term of the loss compares with, in a frame (charges: in its structure).
FIELDS = {
    "energy": "energy",
    "force": "forces",
    "stress": "stress",
    "partial_energy": "partial_energies",
    "charge": "charges",
}


class Dataset:
    """An immutable sequence of frames with energies (eV) and, mostly, forces (eV/Å).

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
    >>> data = mff.Dataset([mff.Frame(argon, energy=-0.02)] * 10)
    >>> train, valid = data.split(0.2, seed=0)
    >>> len(train), len(valid), data[0].energy
    (8, 2, -0.02)
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = tuple(frames)
        for number, frame in enumerate(self._frames):
            if not isinstance(frame, Frame):
                raise ValueError(f"`frames` must hold Frame objects, got {type(frame).__name__} at {number}")

    @classmethod
    def read(cls, path: str | os.PathLike[str], index: str | slice = ":") -> Dataset:
        """Read extended XYZ or whatever ASE reads (:func:`miniffx.io.read_frames` tells the errors)."""
        return cls(read_frames(path, index))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write extended XYZ."""
        write_frames(path, self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice | list[int] | np.ndarray) -> Dataset: ...
    def __getitem__(self, index: int | slice | list[int] | np.ndarray) -> Frame | Dataset:
        if isinstance(index, slice):
            return Dataset(self._frames[index])
        if isinstance(index, (list, np.ndarray)):
            return Dataset(self._frames[i] for i in np.arange(len(self))[index])
        return self._frames[index]

    def __add__(self, other: Dataset) -> Dataset:
        return Dataset((*self._frames, *other._frames)) if isinstance(other, Dataset) else NotImplemented

    def split(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """(rest, part): a random `fraction` of the frames, and the others; both keep the order.

        Raises:
            ValueError: a fraction outside (0, 1), or one that leaves either part empty.
        """
        fraction = _checks.positive("fraction", fraction)
        size = round(fraction * len(self))
        if fraction >= 1 or not 0 < size < len(self):
            raise ValueError(f"`fraction` must leave frames in both parts of {len(self)}, got {fraction}")
        chosen = np.zeros(len(self), dtype=bool)
        chosen[np.random.default_rng(seed).permutation(len(self))[:size]] = True
        return self[~chosen], self[chosen]

    def minus(self, energy: Any) -> Dataset:
        """The same frames with energies, forces, stress and energies of atoms less those of another energy.

        What is left to learn where a part of the physics is known ("Δ-learning"). An energy that reads charges gets
        those of the structures.

        >>> import miniffx as mff
        >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
        >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
        >>> data = mff.Dataset([mff.Frame(argon, energy=float(lj(argon, lj.neighbor_list(argon))))])
        >>> abs(data.minus(lj)[0].energy) < 1e-8
        True
        """
        from miniffx.training import predictions  # which reads data sets

        with_stress = any(frame.stress is not None for frame in self)
        function = predictions.energy_forces_stress if with_stress else predictions.energy_and_forces
        found = predictions.of_frames(function, energy, self)
        of_atoms: list[Any] = [None] * len(self)
        if any(frame.partial_energies is not None for frame in self):
            of_atoms = predictions.of_frames(predictions.atomic, energy, self)
        frames = []
        for frame, (value, forces, *stress), atomic in zip(self, found, of_atoms, strict=True):
            less: dict[str, Any] = {"energy": frame.energy - float(value)}
            if frame.forces is not None:
                less["forces"] = frame.forces - forces[: frame.structure.n_atoms]
            if frame.stress is not None:
                less["stress"] = frame.stress - stress[0]
            if frame.partial_energies is not None:
                less["partial_energies"] = frame.partial_energies - atomic[: frame.structure.n_atoms]
            frames.append(dataclasses.replace(frame, **less))
        return Dataset(frames)

    @property
    def species(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({label for frame in self._frames for label in frame.structure.labels}))

    @property
    def n_atoms(self) -> int:
        """The number of atoms of all frames."""
        return sum(frame.structure.n_atoms for frame in self._frames)

    @property
    def has_forces(self) -> bool:
        """Whether every frame has forces."""
        return all(frame.forces is not None for frame in self._frames)

    def require(self, name: str, term: str) -> None:
        """ValueError unless every frame has what a term of the loss compares with, and one at least.

        Frames without three independent cell vectors have no stress and need none.

        Args:
            name: of the argument, for the message.
            term: "energy", "force", "stress", "partial_energy" or "charge".
        """

        def has(frame: Frame) -> bool:
            if term == "charge":
                return frame.structure.charges is not None
            return getattr(frame, FIELDS[term]) is not None

        what = FIELDS[term].replace("_", " ")
        concerned = [n for n, frame in enumerate(self._frames) if term != "stress" or frame.volume > 0]
        missing = [n for n in concerned if not has(self._frames[n])]
        if missing or not concerned:
            where = f"none in frame {missing[0]}" if missing else "no frame with a volume"
            why = "for a ChargeModel" if term == "charge" else f"where `weights.{FIELDS[term]}` > 0"
            raise ValueError(f"`{name}` must have {what} in every frame {why}, got {where}")

    def counts(self, species: tuple[str, ...]) -> np.ndarray:
        """[n_frames, n_species] atoms of each species."""
        counters = [Counter(frame.structure.species) for frame in self._frames]
        return np.array([[counter[label] for label in species] for counter in counters]).reshape(-1, len(species))

    def __repr__(self) -> str:
        return f"Dataset({len(self)} frames, {self.n_atoms} atoms, {', '.join(self.species) or 'empty'})"
