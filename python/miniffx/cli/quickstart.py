"""``miniffx quickstart``: data, training, test errors, and physics, in minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ase.units
import jax
import numpy as np
from ase.build import bulk
from matplotlib.figure import Figure

import miniffx as mff
from miniffx.cli.config import Config, Data, Descriptors, Network, Training, to_toml
from miniffx.cli.fit import CONVERGENCE, MODEL, PARITY, fit_from_config, save_figure
from miniffx.cli.silicon import silicon_dataset
from miniffx.io.files import replacing

LATTICE_CONSTANT = 5.431  # Å, of diamond silicon
CURVES = "energy_volume.png"


def quickstart(folder: Path, seed: int) -> None:
    """Make data with the Stillinger-Weber potential, train on them as ``miniffx fit`` does, compare."""
    start = time.perf_counter()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`output` must be a folder, got {folder}, which is a file")
    folder.mkdir(parents=True, exist_ok=True)

    print("Data: silicon labelled by the Stillinger-Weber potential (energies and forces)")
    truth = mff.potentials.stillinger_weber("Si")
    data = silicon_dataset(truth, LATTICE_CONSTANT, seed)
    train, test = data.split(0.15, seed=seed)
    groups = list(dict.fromkeys(frame.group for frame in data))
    counts = {group: sum(frame.group == group for frame in data) for group in groups}
    print("  " + ", ".join(f"{count} {group}" for group, count in counts.items()) + f"; {data.n_atoms} atoms in all")
    train.write(folder / "train.extxyz")
    test.write(folder / "test.extxyz")
    config = Config(
        data=Data(train="train.extxyz", validation=0.1, test="test.extxyz"),
        descriptors=Descriptors(cutoff=4.5),
        network=Network(hidden=[32, 32]),
        training=Training(steps=2000, seed=seed),
        base=folder,
    )
    with replacing(folder / "config.toml") as temporary:
        temporary.write_text(to_toml(config), encoding="utf-8")

    print(f"\nTraining: miniffx fit {folder / 'config.toml'}")
    model = fit_from_config(config)

    print("\nPhysics: diamond silicon by the network, and by the potential that it learned from")
    print(compare(model, truth))
    save_figure(energy_volume_curves(model, truth), folder / CURVES)
    print(f"\nPictures: {', '.join(str(folder / name) for name in (CONVERGENCE, PARITY, CURVES))}")
    print(f"Done in {time.perf_counter() - start:.0f} s. What next:")
    print(f"  miniffx evaluate {folder / MODEL} {folder / 'test.extxyz'}   # the errors above, again")
    print(f"  miniffx fit {folder / 'config.toml'}   # change it, put your own data in")
    print(f"  python -c \"import miniffx; model = miniffx.load('{folder / MODEL}')\"   # an energy like any other")


def compare(model: Any, truth: Any) -> str:
    """A table of lattice constant, cohesive energy and elastic constants by two energies."""
    rows: list[tuple[str, list[float], int]] = []
    values = [_properties(energy) for energy in (model, truth)]
    for number, (name, digits) in enumerate(
        (
            ("lattice constant (Å)", 4),
            ("energy per atom (eV)", 4),
            ("C11 (GPa)", 1),
            ("C12 (GPa)", 1),
            ("C44 (GPa)", 1),
        )
    ):
        rows.append((name, [value[number] for value in values], digits))
    lines = [f"  {'':<22}{'network':>10}{'potential':>12}{'difference':>13}"]
    for name, (mine, true), digits in rows:
        lines.append(f"  {name:<22}{mine:>10.{digits}f}{true:>12.{digits}f}{(mine - true) / true:>13.2%}")
    return "\n".join(lines)


def _properties(energy: Any) -> tuple[float, float, float, float, float]:
    a = equilibrium_lattice_constant(energy)
    crystal = diamond(a)
    atomic = float(jax.jit(energy)(crystal, energy.neighbor_list(crystal))) / crystal.n_atoms
    constants = np.asarray(mff.elastic_constants(energy, crystal)) / ase.units.GPa
    return a, atomic, constants[0, 0], constants[0, 1], constants[3, 3]


def diamond(lattice_constant: float) -> mff.Structure:
    """The primitive cell of diamond silicon."""
    return mff.Structure.from_ase(bulk("Si", a=lattice_constant))


def equilibrium_lattice_constant(energy: Any) -> float:
    """Where the pressure of diamond vanishes, by the secant method on the trace of the stress."""

    stress = jax.jit(mff.stress(energy))

    def tension(a: float) -> float:
        crystal = diamond(a)
        return float(np.trace(stress(crystal, energy.neighbor_list(crystal))))

    a, b = 0.99 * LATTICE_CONSTANT, 1.01 * LATTICE_CONSTANT
    at_a, at_b = tension(a), tension(b)
    for _ in range(20):
        if abs(b - a) < 1e-5 or at_a == at_b:
            break
        a, at_a, b = b, at_b, b - at_b * (b - a) / (at_b - at_a)
        at_b = tension(b)
    return b


def energy_volume_curves(model: Any, truth: Any) -> Figure:
    """Energy per atom over volume per atom, of diamond, by both energies."""
    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    ax = figure.add_subplot()
    lattice_constants = LATTICE_CONSTANT * np.linspace(0.93, 1.08, 31)
    frames = mff.Dataset(mff.Frame(diamond(a), 0.0) for a in lattice_constants)
    volumes = lattice_constants**3 / 8
    for energy, label, style in ((truth, "Stillinger-Weber", "-"), (model, "network", "o")):
        energies, _ = mff.training.predict(energy, frames)
        ax.plot(volumes, energies / 2, style, label=label, markersize=4)
    ax.set_xlabel("volume (Å³/atom)")
    ax.set_ylabel("energy (eV/atom)")
    ax.legend(frameon=False)
    ax.set_title("diamond silicon", fontsize="medium")
    return figure
