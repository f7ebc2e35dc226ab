"""``miniffx relax``: structures of a file to the nearest minimum of a model's energy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

import miniffx as mff
from miniffx.io.frames import read_images, write_images

if TYPE_CHECKING:
    import ase


def relax_file(model: Path, source: Path, output: Path, cell: bool, fmax: float, steps: int) -> None:
    """Relax every frame, print a line for each, and write them all with energies and forces (extended XYZ).

    Frames keep what else they carry. A warning names those that did not converge.

    Raises:
        ValueError: a file that cannot be read, species that the model does not know, constraints other than FixAtoms.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    energy = mff.load(model)
    if not isinstance(energy, mff.potentials.Energy):
        raise ValueError(f"`model` must be an energy to relax with, got a {type(energy).__name__}")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"`output` must be in an existing folder, got {output}")
    images = read_images(source)
    forces_of = jax.jit(mff.forces(energy))
    left = []
    for number, atoms in enumerate(images):
        try:
            fixed = _fixed(atoms)
            result = mff.relax(energy, mff.Structure.from_ase(atoms), fmax, cell, steps=steps, fixed=fixed)
        except ValueError as error:
            raise ValueError(f"{source}, frame {number}: {error}") from error
        relaxed = result.structure
        atoms.set_cell(np.asarray(relaxed.cell, dtype=np.float64))
        atoms.set_positions(np.asarray(relaxed.positions, dtype=np.float64), apply_constraint=False)
        forces = np.asarray(forces_of(relaxed, energy.neighbor_list(relaxed)), dtype=np.float64)
        atoms.calc = SinglePointCalculator(atoms, energy=result.energy, free_energy=result.energy, forces=forces)
        first = result.history[0]["energy"]
        largest = np.linalg.norm(forces if fixed is None else forces[~fixed], axis=1).max(initial=0)
        print(
            f"frame {number}: {len(atoms)} atoms, {first:.6f} -> {result.energy:.6f} eV in {result.n_steps} steps, "
            f"largest force {largest:.1e} eV/Å{'' if result.converged else ', not converged'}"
        )
        if not result.converged:
            left.append(number)
    write_images(output, images)
    if left:
        warnings.warn(
            f"{len(left)} of {len(images)} frames did not converge: {', '.join(map(str, left))}", stacklevel=2
        )


def _fixed(atoms: ase.Atoms) -> np.ndarray | None:
    """[n_atoms] bool, atoms under FixAtoms; None for none."""
    from ase.constraints import FixAtoms

    if not atoms.constraints:
        return None
    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise ValueError(f"constraints must be FixAtoms, got {type(constraint).__name__}")
        fixed[constraint.index] = True
    return fixed
