"""Silicon structures of many kinds, labelled by an energy function: the data of the quickstart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import ase
import jax
import jax.numpy as jnp
import numpy as np
from ase.build import bulk, diamond100, diamond111

import miniffx as mff

MASS = 28.085 * 103.642696  # of an atom in eV fs² / Å²
BOLTZMANN = 8.617333e-5  # eV/K


def silicon_dataset(energy: Any, lattice_constant: float, seed: int) -> mff.Dataset:
    """Strained, rattled, molten, vacancy and surface structures of silicon with energies and forces."""
    rng = np.random.default_rng(seed)
    structures: list[tuple[str, mff.Structure]] = []
    for group, atoms in _crystals(lattice_constant, rng):
        structures.append((group, mff.Structure.from_ase(atoms)))
    melt = mff.Structure.from_ase(bulk("Si", a=lattice_constant, cubic=True) * (2, 2, 2))
    structures += [("molten", frame) for frame in melted(energy, melt, rng)]
    unlabelled = mff.Dataset(mff.Frame(structure, 0.0, group=group) for group, structure in structures)
    energies, forces = mff.training.predict(energy, unlabelled)
    return mff.Dataset(
        dataclasses.replace(frame, energy=float(e), forces=f)
        for frame, e, f in zip(unlabelled, energies, forces, strict=True)
    )


def _crystals(a: float, rng: np.random.Generator) -> Iterator[tuple[str, ase.Atoms]]:
    def rattled(atoms: ase.Atoms, amplitude: float) -> ase.Atoms:
        atoms.positions += rng.normal(scale=amplitude, size=atoms.positions.shape)
        return atoms

    def any_volume() -> float:
        return a * rng.uniform(0.97, 1.03)

    for _ in range(100):
        atoms = bulk("Si", a=a, cubic=True)
        strain = rng.uniform(-0.05, 0.05, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        yield "strained", rattled(atoms, rng.uniform(0.0, 0.05))
    for _ in range(50):
        yield "rattled", rattled(bulk("Si", a=any_volume(), cubic=True) * (2, 2, 2), rng.uniform(0.02, 0.12))
    for _ in range(30):
        atoms = bulk("Si", a=any_volume(), cubic=True) * (2, 2, 2)
        del atoms[rng.integers(len(atoms))]
        yield "vacancy", rattled(atoms, rng.uniform(0.02, 0.1))
    for number in range(30):
        build, layers = (diamond100, 8) if number % 2 else (diamond111, 6)
        atoms = build("Si", size=(2, 2, layers), a=any_volume(), vacuum=5.0)
        yield "surface", rattled(atoms, rng.uniform(0.02, 0.1))


def melted(
    energy: Any, structure: mff.Structure, rng: np.random.Generator, temperature: float = 3000.0
) -> list[mff.Structure]:
    """40 snapshots, 50 fs apart, of Langevin dynamics at `temperature` in K: the crystal melts."""
    time_step, friction, steps = 1.0, 0.02, 50  # fs, 1/fs
    energy_and_forces = mff.energy_and_forces(energy)
    kick = np.sqrt(BOLTZMANN * temperature / MASS)

    @jax.jit
    def run(state: Any, neighbors: mff.NeighborList, noise: jax.Array) -> Any:
        def step(state: Any, xi: jax.Array) -> Any:  # BAOAB: half kick, half drift, friction, and back
            structure, velocities, forces = state
            velocities += 0.5 * time_step * forces / MASS
            damping = jnp.exp(-friction * time_step)
            positions = structure.positions + 0.5 * time_step * velocities
            velocities = damping * velocities + kick * jnp.sqrt(1 - damping**2) * xi
            positions += 0.5 * time_step * velocities
            structure = dataclasses.replace(structure, positions=positions)
            forces = energy_and_forces(structure, neighbors)[1]
            return (structure, velocities + 0.5 * time_step * forces / MASS, forces), None

        return jax.lax.scan(step, state, noise)[0]

    # A new list every 10 fs: to use up its skin in that time, an atom has to be four times as fast as the mean.
    neighbors = energy.neighbor_list(structure, skin=1.5)
    velocities = jnp.asarray(rng.normal(scale=kick, size=structure.positions.shape), structure.positions.dtype)
    state = (structure, velocities, energy_and_forces(structure, neighbors)[1])
    snapshots = []
    for _ in range(40):
        for _ in range(steps // 10):
            neighbors = energy.neighbor_list(state[0], skin=1.5, capacity=neighbors.capacity)
            noise = rng.normal(size=(10, *structure.positions.shape))
            state = run(state, neighbors, jnp.asarray(noise, structure.positions.dtype))
        snapshots.append(state[0])
    return snapshots
