"""The ASE calculator at 1 000 atoms: what it costs over the bare jitted function, and the energy drift of dynamics.

    python benchmarks/calculators.py              # minutes; writes benchmarks/results/calculators.json
    python benchmarks/calculators.py --steps 400

Silicon, 5 × 5 × 5 cubic cells at 300 K, with the Stillinger–Weber potential and with a network trained on the spot to
imitate it. ASE's velocity Verlet moves the atoms. Overhead: the time of energy, forces and stress by the calculator,
everything included (ASE's comparison and copies, conversion, searching when the skin is used up), over that of the bare
jitted `energy_forces_stress` with the list that the calculator uses; the two take turns at every step of one
trajectory, and the overhead is the median of the ratios (that of the mean times, which searches enter more, beside it).
Drift: the slope of the total energy, and its spread, in NVE.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ase
import jax
import jax.numpy as jnp
import numpy as np
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

import miniffx as mff
from machine import machine
from miniffx.cli.silicon import silicon_dataset

jax.config.update("jax_enable_x64", True)

TEMPERATURE = 300.0  # K
TIMESTEP = 1.0  # fs


def start(calculator: Any) -> tuple[ase.Atoms, VelocityVerlet]:
    """The crystal with twice the wanted kinetic energy, half of which becomes potential energy."""
    atoms = bulk("Si", a=5.431, cubic=True) * 5
    velocities = np.random.default_rng(0).normal(size=(len(atoms), 3))
    scale = np.sqrt(2 * units.kB * TEMPERATURE / atoms.get_masses()[0])
    atoms.set_velocities(scale * (velocities - velocities.mean(axis=0)))
    atoms.calc = calculator
    return atoms, VelocityVerlet(atoms, TIMESTEP * units.fs)


def overhead(energy: Any, skin: float, steps: int) -> dict[str, Any]:
    """A piece of a trajectory again, every step by the calculator and by the bare function."""
    atoms, dynamics = start(mff.calculators.ASECalculator(energy, skin=skin))
    dynamics.run(100)
    path = []
    for _ in range(steps):
        dynamics.run(1)
        path.append(atoms.get_positions())
    bare = jax.jit(mff.energy_forces_stress(energy))
    ours, theirs, searched = [], [], []
    for step, positions in enumerate([path[0], *path]):  # the first one compiles
        last = atoms.calc._last.neighbors
        atoms.positions = positions
        begin = time.perf_counter()
        atoms.get_forces()
        between = time.perf_counter()
        state = atoms.calc._last
        structure = jax.block_until_ready(jax.tree.map(jnp.asarray, state.padded))
        restart = time.perf_counter()
        jax.block_until_ready(bare(structure, state.neighbors))
        end = time.perf_counter()
        if step:
            ours.append(1e3 * (between - begin))
            theirs.append(1e3 * (end - restart))
            searched.append(not np.array_equal(state.neighbors.positions, last.positions))
    ratios = np.array(ours) / np.array(theirs) - 1
    return {
        "skin": skin,
        "calculator_ms": float(np.median(ours)),
        "bare_ms": float(np.median(theirs)),
        "overhead": float(np.median(ratios)),
        "overhead_quartiles": np.percentile(ratios, [25, 75]).tolist(),
        "overhead_of_the_mean": float(np.mean(ours) / np.mean(theirs) - 1),
        "searches_per_step": float(np.mean(searched)),
    }


def drift(energy: Any, skin: float, steps: int) -> dict[str, Any]:
    """The total energy of NVE dynamics."""
    atoms, dynamics = start(mff.calculators.ASECalculator(energy, skin=skin))
    dynamics.run(200)
    totals, temperatures = [], []
    begin = time.perf_counter()
    for _ in range(steps):
        dynamics.run(1)
        totals.append(atoms.get_total_energy() / len(atoms))
        temperatures.append(atoms.get_temperature())
    elapsed = time.perf_counter() - begin
    return {
        "skin": skin,
        "steps": steps,
        "ms_per_step": 1e3 * elapsed / steps,
        "temperature_K": float(np.mean(temperatures)),
        "drift_eV_per_atom_per_ns": float(np.polyfit(TIMESTEP * 1e-6 * np.arange(steps), totals, 1)[0]),
        "spread_eV_per_atom": float(np.ptp(totals)),
    }


def network(energy: Any) -> mff.NNPotential:
    """A small network that imitates the potential."""
    data = silicon_dataset(energy, 5.431, seed=0)
    model = mff.NNPotential.init(jax.random.key(0), mff.descriptors.default_set(data, cutoff=4.5))
    return mff.fit(model, data, optimizer="adam", steps=300, progress=False).model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="of NVE with the potential; a quarter with the network")
    parser.add_argument("--skins", type=float, nargs="*", default=(0.0, 0.1, 0.3))
    output = Path(__file__).parent / "results" / "calculators.json"
    parser.add_argument("-o", "--output", type=Path, default=output)
    arguments = parser.parse_args()
    sw = mff.potentials.stillinger_weber("Si")
    energies = {"Stillinger-Weber": (sw, 150, arguments.steps), "network": (network(sw), 50, arguments.steps // 4 + 1)}
    record: dict[str, Any] = {
        "what": "silicon, 1000 atoms, 300 K, float64, ASE's velocity Verlet with 1 fs",
        "machine": machine(["ase"]),
        "threads": mff._core.max_threads(),
    }
    record["overhead"] = {name: [] for name in energies}
    for name, (energy, steps, _) in energies.items():
        for skin in arguments.skins:
            record["overhead"][name].append(overhead(energy, skin, steps))
            print(name, json.dumps(record["overhead"][name][-1]), flush=True)
    record["nve"] = {}
    for name, (energy, _, steps) in energies.items():
        record["nve"][name] = drift(energy, 0.3, steps)
        print(name, json.dumps(record["nve"][name]), flush=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
