"""Molecular dynamics inside one compiled loop: 4 000 Lennard-Jones atoms, velocity Verlet, lists kept by `update`.

    python benchmarks/molecular_dynamics.py              # minutes; writes benchmarks/results/molecular_dynamics.json
    python benchmarks/molecular_dynamics.py --steps 1000

Argon, a crystal that fills one and a half times its volume, so that it melts within 8 ps and atoms wander. The same
run with several skins and with none, where every step searches anew. Reported: time per step, how often the list was
rebuilt, the drift of the total energy, and how many programs were compiled while it ran.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import miniffx as mff
from machine import machine

jax.config.update("jax_enable_x64", True)

EPSILON, SIGMA, CUTOFF = 0.0103, 3.40, 8.5
MASS = 39.948 * 103.642697  # u in eV fs²/Å²
BOLTZMANN = 8.617333e-5  # eV/K
TIMESTEP = 4.0  # fs


def start(cells: int) -> tuple[mff.Structure, jax.Array]:
    """The crystal, and velocities that leave it at rest as a whole."""
    edge = 5.26 * 1.5 ** (1 / 3)
    crystal = mff.Structure.create(
        edge * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]), ["Ar"] * 4, cell=edge * np.eye(3)
    )
    structure = crystal.repeat((cells,) * 3)
    velocities = np.random.default_rng(0).normal(0, np.sqrt(2 * BOLTZMANN * 94 / MASS), structure.positions.shape)
    return structure, jnp.asarray(velocities - velocities.mean(axis=0))


@functools.partial(jax.jit, static_argnames="steps")
def simulate(energy: Any, structure: Any, neighbors: Any, velocities: Any, steps: int) -> Any:
    """Total energy after every step, how often the list was rebuilt, and where the atoms end."""
    energy_and_forces = mff.energy_and_forces(energy)

    def step(state: Any, _: None) -> Any:
        structure, neighbors, velocities, forces, rebuilt = state
        half = velocities + 0.5 * TIMESTEP / MASS * forces
        structure = dataclasses.replace(structure, positions=structure.positions + TIMESTEP * half)
        updated = neighbors.update(structure)
        rebuilt += (updated.positions != neighbors.positions).any()
        potential, forces = energy_and_forces(structure, updated)
        velocities = half + 0.5 * TIMESTEP / MASS * forces
        total = potential + 0.5 * MASS * (velocities**2).sum()
        return (structure, updated, velocities, forces, rebuilt), total

    forces = energy_and_forces(structure, neighbors)[1]
    state = (structure, neighbors, velocities, forces, jnp.zeros((), int))
    (structure, neighbors, velocities, _, rebuilt), totals = jax.lax.scan(step, state, length=steps)
    return totals, rebuilt, structure, velocities, neighbors


def run(energy: Any, structure: Any, velocities: Any, skin: float, steps: int) -> dict[str, Any]:
    """One run, timed after compilation."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    room = energy.neighbor_list(structure, skin + 0.3).capacity  # the fullest environment of some step may be fuller
    neighbors = energy.neighbor_list(structure, skin, capacity=room)
    program = simulate.lower(energy, structure, neighbors, velocities, steps).compile()
    before = len(compiled)
    begin = time.perf_counter()
    totals, rebuilt, *_, last = jax.block_until_ready(program(energy, structure, neighbors, velocities))
    elapsed = time.perf_counter() - begin
    per_atom = np.asarray(totals) / structure.n_atoms
    slope = np.polyfit(TIMESTEP * 1e-6 * np.arange(steps), per_atom, 1)[0]
    return {
        "skin": skin,
        "steps": steps,
        "ms_per_step": 1e3 * elapsed / steps,
        "rebuilds": int(rebuilt),
        "overflow": bool(last.overflow),
        "compiled_during_the_run": len(compiled) - before,
        "energy_drift_eV_per_atom_per_ns": slope,
        "energy_deviation_eV_per_atom": float(np.abs(per_atom - per_atom[0]).max()),
    }


def melt(energy: Any, cells: int) -> tuple[Any, Any]:
    """Positions and velocities after 8 ps."""
    structure, velocities = start(cells)
    neighbors = energy.neighbor_list(structure, 1.0, capacity=energy.neighbor_list(structure, 4.0).capacity)
    *_, structure, velocities, last = simulate(energy, structure, neighbors, velocities, 2000)
    if last.overflow:
        raise RuntimeError("the list for melting is too short")
    return structure, velocities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--skins", type=float, nargs="*", default=(0.0, 0.5, 1.0))
    parser.add_argument("--cells", type=int, default=10, help="cubic cells of four atoms along each edge")
    output = Path(__file__).parent / "results" / "molecular_dynamics.json"
    parser.add_argument("-o", "--output", type=Path, default=output)
    arguments = parser.parse_args()
    energy = mff.potentials.LennardJones(EPSILON, SIGMA, CUTOFF, ("Ar", "Ar"), truncation="smooth")
    structure, velocities = melt(energy, arguments.cells)
    runs = []
    for skin in arguments.skins:
        runs.append(run(energy, structure, velocities, skin, arguments.steps))
        print(json.dumps(runs[-1]), flush=True)
    record = {
        "what": f"velocity Verlet, {structure.n_atoms} Lennard-Jones atoms, cutoff {CUTOFF} Å, "
        f"{TIMESTEP} fs, one lax.scan, float64",
        "machine": machine(),
        "threads": mff._core.max_threads(),
        "runs": runs,
    }
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
