"""Frames of DFT or MD data: whatever ASE reads, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miniffx.io.files import replacing
from miniffx.structure import Structure, host_structure_from_ase

if TYPE_CHECKING:
    import ase


@dataclass(frozen=True)
class Frame:
    """A structure with what was computed for it.

    Attributes:
        structure: the atoms; its arrays stay on the host (NumPy).
        energy: total energy in eV.
        forces: [n_atoms, 3] in eV/Å, or None where there are none.
        group: where the frame belongs, for reports ("" where nothing is said).
    """

    structure: Structure
    energy: float
    forces: np.ndarray | None = None
    group: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite(self.energy):
            raise ValueError(f"`energy` must be finite, got {self.energy}")
        if self.forces is not None:
            forces = np.asarray(self.forces)
            if forces.shape != (self.structure.n_atoms, 3):
                raise ValueError(f"`forces` must have shape ({self.structure.n_atoms}, 3), got {forces.shape}")
            if not np.isfinite(forces).all():
                atom = int(np.argwhere(~np.isfinite(forces))[0][0])
                raise ValueError(f"`forces` must be finite, got {forces[atom]} on atom {atom}")


def read_frames(path: str | os.PathLike[str], index: str | slice = ":") -> list[Frame]:
    """Read structures with energies, and forces where present, from any format that ASE reads.

    Args:
        path: for instance an extended XYZ file; eV, Å, eV/Å.
        index: which frames, as in :func:`ase.io.read`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty, truncated or unreadable file, a frame without energy, numbers that are not finite,
            a singular periodic cell; the message names file and frame.
    """
    frames = []
    for number, atoms in enumerate(read_images(path, index)):
        try:
            frames.append(frame_from_ase(atoms))
        except ValueError as error:
            raise ValueError(f"{path}, frame {number}: {error}") from error
    return frames


def read_images(path: str | os.PathLike[str], index: str | slice = ":") -> list[ase.Atoms]:
    """Read structures, with or without energies, from any format that ASE reads; errors as :func:`read_frames`."""
    import ase.io

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"`path` must be a file, got {path}, which does not exist")
    if path.is_dir() or path.stat().st_size == 0:
        raise ValueError(f"`path` must be a file with structures, got {path}, which is {_what(path)}")
    try:
        images = ase.io.read(path, index=index)
    except Exception as error:  # ASE's readers raise whatever their parser meets
        raise ValueError(f"{path} could not be read: {type(error).__name__}: {error}") from error
    images = images if isinstance(images, list) else [images]
    if not images:
        raise ValueError(f"`path` must be a file with structures, got {path}, which holds none")
    return images


def frame_from_ase(atoms: ase.Atoms) -> Frame:
    """A Frame from an :class:`ase.Atoms` with a calculator's results. Raises ValueError without an energy."""
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("energy", results.get("free_energy"))
    if energy is None:
        raise ValueError("a frame must have an `energy` (in eV), got none")
    structure = host_structure_from_ase(atoms)
    forces = results.get("forces")
    return Frame(
        structure=structure,
        energy=float(energy),
        forces=None if forces is None else np.asarray(forces, dtype=np.float64),
        group=str(atoms.info.get("group", "")),
    )


def frame_to_ase(frame: Frame) -> ase.Atoms:
    """An :class:`ase.Atoms` with energy and forces as results."""
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = frame.structure.to_ase()
    results: dict[str, Any] = {"energy": frame.energy}
    if frame.forces is not None:
        results["forces"] = np.asarray(frame.forces)
    atoms.calc = SinglePointCalculator(atoms, **results)
    if frame.group:
        atoms.info["group"] = frame.group
    return atoms


def write_frames(path: str | os.PathLike[str], frames: Iterable[Frame]) -> None:
    """Write frames as extended XYZ: eV, Å, eV/Å. The file appears whole or not at all."""
    write_images(path, [frame_to_ase(frame) for frame in frames])


def write_images(path: str | os.PathLike[str], images: Sequence[ase.Atoms]) -> None:
    """Write structures with their results as extended XYZ. The file appears whole or not at all."""
    import ase.io

    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "empty"
