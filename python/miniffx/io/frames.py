"""Frames of DFT or MD data: whatever ASE reads, checked."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miniffx import _checks
from miniffx._pytree import brief_repr, host
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
        stress: [3, 3] in eV/Å³, (1/V) ∂E/∂strain, tension positive; or None.
        partial_energies: [n_atoms] in eV that sum to the energy; or None.
        weight: how much the frame counts in the loss of a training.

    Charges, in elementary charges, are those of the structure.
    """

    structure: Structure
    energy: float
    forces: np.ndarray | None = None
    group: str = ""
    stress: np.ndarray | None = None
    partial_energies: np.ndarray | None = None
    weight: float = 1.0

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        _checks.structure(self.structure)
        if not self.structure.n_atoms:
            raise ValueError("`structure` must have atoms, got none")
        _checks.real("energy", self.energy)
        _checks.non_negative("weight", self.weight)
        if self.stress is not None:
            _checks.array("stress", self.stress, (3, 3), "a matrix")
            if not self.volume > 0:
                raise ValueError("`stress` must be None for a structure without three independent cell vectors")
        if self.partial_energies is not None:
            shape = (self.structure.n_atoms,)
            _checks.array("partial_energies", self.partial_energies, shape, "one energy per atom")
        if self.forces is not None:
            forces = np.asarray(self.forces)
            if forces.shape != (self.structure.n_atoms, 3):
                raise ValueError(f"`forces` must have shape ({self.structure.n_atoms}, 3), got {forces.shape}")
            if not np.isfinite(forces).all():
                atom = int(np.argwhere(~np.isfinite(forces))[0][0])
                raise ValueError(f"`forces` must be finite, got {forces[atom]} on atom {atom}")

    @property
    def volume(self) -> float:
        """Of the cell in Å³; 0 without three independent vectors."""
        return abs(float(np.linalg.det(np.asarray(self.structure.cell, np.float64))))


def read_frames(path: str | os.PathLike[str], index: str | slice = ":") -> list[Frame]:
    """Read structures with energies, and whatever else a Frame holds where present, from any format that ASE reads.

    In extended XYZ these are `energy`, `forces`, `stress`, `energies` (of atoms), `charges` or `initial_charges`,
    `group` and `weight`.

    Args:
        path: for instance an extended XYZ file; eV, Å, eV/Å, eV/Å³, elementary charges.
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
    charges = results.get("charges")
    if charges is not None:
        shape = (structure.n_atoms,)
        charges = _checks.array("charges", charges, shape, "one charge per atom").astype(structure.positions.dtype)
        structure = dataclasses.replace(structure, charges=host(charges))
    forces, stress, energies = (results.get(name) for name in ("forces", "stress", "energies"))
    return Frame(
        structure=structure,
        energy=float(energy),
        forces=None if forces is None else np.asarray(forces, dtype=np.float64),
        group=str(atoms.info.get("group", "")),
        stress=None if stress is None else _full_stress(np.asarray(stress, dtype=np.float64)),
        partial_energies=None if energies is None else np.asarray(energies, dtype=np.float64),
        weight=_checks.real("weight", atoms.info.get("weight", 1.0)),
    )


def frame_to_ase(frame: Frame) -> ase.Atoms:
    """An :class:`ase.Atoms` with energy, forces, and what else there is, as results."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    atoms = frame.structure.to_ase()
    results: dict[str, Any] = {"energy": frame.energy}
    if frame.forces is not None:
        results["forces"] = np.asarray(frame.forces)
    if frame.stress is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(np.asarray(frame.stress))
    if frame.partial_energies is not None:
        results["energies"] = np.asarray(frame.partial_energies)
    atoms.calc = SinglePointCalculator(atoms, **results)
    if frame.group:
        atoms.info["group"] = frame.group
    if frame.weight != 1:
        atoms.info["weight"] = frame.weight
    return atoms


def write_frames(path: str | os.PathLike[str], frames: Iterable[Frame]) -> None:
    """Write frames as extended XYZ: eV, Å, eV/Å, eV/Å³, elementary charges. The file appears whole or not at all."""
    write_images(path, [frame_to_ase(frame) for frame in frames])


def write_images(path: str | os.PathLike[str], images: Sequence[ase.Atoms]) -> None:
    """Write structures with their results as extended XYZ. The file appears whole or not at all."""
    import ase.io

    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _full_stress(stress: np.ndarray) -> np.ndarray:
    """[3, 3] from that, nine numbers, or xx yy zz yz xz xy."""
    if stress.shape == (6,):
        xx, yy, zz, yz, xz, xy = stress
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return stress.reshape(3, 3) if stress.shape == (9,) else stress


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "empty"
