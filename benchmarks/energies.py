"""Time of energy and forces per atom against other programs in one process, and what bounds it.

    python benchmarks/energies.py                        # minutes; writes benchmarks/results/energies.json and .png
    python benchmarks/energies.py --sizes 1000 10000     # fewer atoms
    python benchmarks/energies.py --plot                 # picture and table from the result that is there

Lennard-Jones argon (8.5 Å, 75 neighbours), Stillinger–Weber silicon, and a sum of Stillinger–Weber, Lennard-Jones and
charges, all rattled crystals. Programs that are not installed are left out (`pip install '.[bench]'`). Each is called
as its documentation says, compiled and warmed up before; programs take turns, so that a disturbance meets all of them.
Lists are made before and their time is given apart. What programs compute is compared before it is timed.

Beside the times: the least that the work costs, in bytes and operations counted by hand, the bandwidth and the rate of
arithmetic that this machine reaches in JAX, what a sum of terms costs compared with its terms, and an Ewald sum over
10 648 charges with the error of its forces.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import miniffx as mff
from machine import machine

jax.config.update("jax_enable_x64", True)

SIZES = (1_000, 10_000, 100_000)
RESULTS = Path(__file__).parent / "results"
EPSILON, SIGMA, CUTOFF = 0.0103, 3.40, 8.5
# Sizes beyond which a program would take minutes or more memory than there is.
MOST = {"ase": 1_500, "miniff": 8_500}
Run = Callable[[], Any]


@dataclasses.dataclass
class Program:
    """What is timed, and the energy in eV and the forces in eV/Å that it finds."""

    run: Run
    make_list: Run | None
    result: Callable[[], tuple[float, np.ndarray]]


def rattled(cell: mff.Structure, n: int, amplitude: float) -> mff.Structure:
    """About n atoms of a cubic crystal, every one displaced."""
    m = max(2, round((n / cell.n_atoms) ** (1 / 3)))
    crystal = cell.repeat((m, m, m))
    noise = np.random.default_rng(0).normal(0, amplitude, crystal.positions.shape)
    return dataclasses.replace(crystal, positions=np.asarray(crystal.positions) + noise)


def argon(n: int) -> mff.Structure:
    face = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return rattled(mff.Structure.create(face, ["Ar"] * 4, cell=[5.26] * 3, fractional=True), n, 0.1)


def silicon(n: int) -> mff.Structure:
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites, charges = np.concatenate([face, face + 0.25]), [0.1] * 4 + [-0.1] * 4
    cell = mff.Structure.create(sites, ["Si"] * 8, cell=[5.43] * 3, fractional=True, charges=charges)
    return rattled(cell, n, 0.05)


def lennard_jones(structure: mff.Structure) -> Any:
    return mff.potentials.LennardJones(EPSILON, SIGMA, CUTOFF, ("Ar", "Ar"))


def stillinger_weber(structure: mff.Structure) -> Any:
    return mff.potentials.stillinger_weber("Si")


def composed(structure: mff.Structure) -> Any:
    total = stillinger_weber(structure) + mff.potentials.LennardJones(0.01, 3.0, 6.0, ("Si", "Si"))
    if hasattr(mff.potentials, "Ewald"):
        total += mff.potentials.Ewald.for_structure(structure, accuracy=1e-4)
    return total


SYSTEMS = {"LJ": (argon, lennard_jones), "SW": (silicon, stillinger_weber), "SW + LJ + Ewald": (silicon, composed)}


# -- programs ----------------------------------------------------------------------------------------------------------


def run_miniffx(structure: mff.Structure, system: str, dtype: str = "float64") -> Program:
    structure = dataclasses.replace(
        structure, positions=jnp.asarray(structure.positions, dtype), cell=jnp.asarray(structure.cell, dtype)
    )
    energy = SYSTEMS[system][1](structure)
    neighbors = energy.neighbor_list(structure)
    compute = jax.jit(lambda e, s, nl: mff.energy_and_forces(e)(s, nl)).lower(energy, structure, neighbors).compile()

    def result() -> tuple[float, np.ndarray]:
        e, f = compute(energy, structure, neighbors)
        return float(e), np.asarray(f, np.float64)

    return Program(
        run=lambda: jax.block_until_ready(compute(energy, structure, neighbors)),
        make_list=lambda: jax.block_until_ready(energy.neighbor_list(structure)),
        result=result,
    )


def run_float32(structure: mff.Structure, system: str) -> Program:
    return run_miniffx(structure, system, "float32")


def run_jax_md(structure: mff.Structure, system: str) -> Program:
    """Its list inside jit, made again for atoms that have moved a little, and its energy, differentiated."""
    from jax_md import energy as energies
    from jax_md import partition, smap, space

    box = np.diag(np.asarray(structure.cell))
    displacement, _ = space.periodic(box)
    r = jnp.asarray(np.asarray(structure.positions) % box)
    if system == "LJ":
        functions = partition.neighbor_list(
            displacement, box, CUTOFF, dr_threshold=0.0, format=partition.NeighborListFormat.OrderedSparse
        )
        energy = smap.pair_neighbor_list(
            lambda r, **_: jnp.where(r < CUTOFF, 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6), 0),
            space.canonicalize_displacement_or_metric(displacement),
        )
    else:
        parameters = {"epsilon": 2.1683, "cutoff": 1.8 * 2.0951, "dr_threshold": 0.0}
        functions, energy = energies.stillinger_weber_neighbor_list(displacement, box, **parameters)
    neighbors = functions.allocate(r)
    update = jax.jit(lambda r, neighbors: neighbors.update(r))
    moved = jax.block_until_ready(r + 1e-6)
    compute = jax.jit(jax.value_and_grad(lambda r, neighbors: energy(r, neighbor=neighbors)))

    def result() -> tuple[float, np.ndarray]:
        e, gradient = compute(r, neighbors)
        return float(e), -np.asarray(gradient)

    return Program(
        run=lambda: jax.block_until_ready(compute(r, neighbors)),
        make_list=lambda: jax.block_until_ready(update(moved, neighbors)),
        result=result,
    )


def run_miniff(structure: mff.Structure, system: str) -> Program:
    """Energy and gradient kernels; it counts ordered pairs and triples, so everything comes out twice."""
    from miniff import potentials
    from miniff.kernel import Cell, NeighborWrapper

    cell = np.asarray(structure.cell)
    fractional = np.asarray(structure.positions) @ np.linalg.inv(cell)
    if system == "LJ":
        family, reach = potentials.lj_potential_family, CUTOFF
        terms = [family(epsilon=EPSILON, sigma=SIGMA, a=CUTOFF / SIGMA, tag="Ar-Ar")]
    else:
        shared, reach = {"epsilon": 2.1683, "sigma": 2.0951, "a": 1.8}, 1.8 * 2.0951
        gauge = {"gauge_a": 7.049556277, "gauge_b": 0.6022245584, "p": 4.0, "q": 0.0}
        terms = [
            potentials.sw2_potential_family(**shared, **gauge, tag="Si-Si"),
            potentials.sw3_potential_family(**shared, l=21.0, gamma=1.2, cos_theta0=-1 / 3, tag="Si-Si-Si"),
        ]
    crystal = Cell(cell, fractional, list(structure.species))
    wrapper = NeighborWrapper(crystal, cutoff=reach)
    return Program(
        run=lambda: (wrapper.total(terms), wrapper.grad(terms)),
        make_list=lambda: NeighborWrapper(crystal, cutoff=reach),
        result=lambda: (float(np.sum(wrapper.total(terms))) / 2, -np.asarray(wrapper.grad(terms)) / 2),
    )


def run_ase(structure: mff.Structure, system: str) -> Program:
    """Its Lennard-Jones calculator, the list included, from which it is not to be had apart."""
    from ase.calculators.lj import LennardJones

    atoms = structure.to_ase()
    atoms.calc = LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF)
    start = atoms.positions.copy()
    state = {"turn": 0}

    def run() -> Any:
        state["turn"] ^= 1  # it keeps results of atoms that have not moved
        atoms.positions = start + 1e-6 * state["turn"]
        return atoms.get_potential_energy(), atoms.get_forces()

    def result() -> tuple[float, np.ndarray]:
        forces = atoms.get_forces()
        r, fc = CUTOFF, 4 * EPSILON * ((SIGMA / CUTOFF) ** 12 - (SIGMA / CUTOFF) ** 6)
        pairs = len(mff.neighbors.pairs(start, np.asarray(structure.cell), True, r)[0]) / 2
        return atoms.get_potential_energy() + fc * pairs, forces  # it shifts the potential to 0 at the cutoff

    return Program(run=run, make_list=None, result=result)


PROGRAMS: dict[str, tuple[str, tuple[str, ...], Callable[..., Program]]] = {
    "miniffx": ("miniffx", tuple(SYSTEMS), run_miniffx),
    "miniffx, float32": ("miniffx", tuple(SYSTEMS), run_float32),
    "jax-md": ("jax-md", ("LJ", "SW"), run_jax_md),
    "miniff": ("miniff", ("LJ", "SW"), run_miniff),
    "ase": ("ase", ("LJ",), run_ase),
}


def available() -> list[str]:
    """The programs that are installed."""
    names = []
    for name, (distribution, _, _) in PROGRAMS.items():
        try:
            version(distribution)
        except PackageNotFoundError:
            print(f"{name} is not installed and left out")
        else:
            names.append(name)
    return names


# -- timing ------------------------------------------------------------------------------------------------------------


def measure(runs: dict[str, Run], seconds: float) -> dict[str, list[float]]:
    """Times of all runs in turn after a warm-up: for so many seconds each, three times at least."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        timed(run)
    while names := [name for name in times if sum(times[name]) < seconds or len(times[name]) < 3]:
        for name in names:
            times[name].append(timed(runs[name]))
    return times


def timed(run: Run) -> float:
    start = time.perf_counter()
    result = run()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def per_atom(times: list[float], atoms: int) -> dict[str, Any]:
    """Microseconds per atom."""
    found = 1e6 * np.array(times) / atoms
    return {"median": np.median(found), "min": found.min(), "max": found.max(), "repeats": len(times)}


def compare(system: str, size: int, names: list[str], seconds: float) -> dict[str, Any]:
    """All programs on one system: energy and forces, and the list."""
    structure = SYSTEMS[system][0](size)
    n = structure.n_atoms
    programs = {
        name: PROGRAMS[name][2](structure, system)
        for name in names
        if system in PROGRAMS[name][1] and n <= 1.1 * MOST.get(name, n)
    }
    energy, forces = programs["miniffx"].result()
    for name, program in programs.items():
        e, f = program.result()
        tolerance = 1e-4 if name == "miniffx, float32" else 1e-6
        if (
            abs(e - energy) > tolerance * abs(energy)
            or np.abs(f - forces).max() > 10 * tolerance * np.abs(forces).max()
        ):
            raise RuntimeError(
                f"{name} differs on {system}: {e} eV instead of {energy}, {np.abs(f - forces).max()} eV/Å"
            )
    times = measure({name: program.run for name, program in programs.items()}, seconds)
    lists = {name: program.make_list for name, program in programs.items() if program.make_list is not None}
    list_times = measure(lists, seconds / 2)  # type: ignore[arg-type]
    entry: dict[str, Any] = {"system": system, "atoms": n, "programs": {}}
    for name in programs:
        entry["programs"][name] = {"energy_and_forces_us": per_atom(times[name], n)}
        if name in list_times:
            entry["programs"][name]["list_us"] = per_atom(list_times[name], n)
    line = f"{system} {n}:"
    for name, found in entry["programs"].items():
        line += f"  {name} {found['energy_and_forces_us']['median']:.2f}"
        line += f" + list {found['list_us']['median']:.2f}" if "list_us" in found else " with list"
    print(line, flush=True)
    return entry


def sums(seconds: float) -> dict[str, Any]:
    """Energy and forces of a sum, compared with those of its terms one by one."""
    structure = argon(4_000)
    lj = mff.potentials.LennardJones(EPSILON, SIGMA, CUTOFF, ("Ar", "Ar"))
    morse = mff.potentials.Morse(0.01, 1.5, 3.8, cutoff=CUTOFF, species=("Ar", "Ar"))
    harmonic = mff.potentials.HarmonicRepulsion(1.0, 3.6, ("Ar", "Ar"))
    energies = {"LennardJones": lj, "Morse": morse, "HarmonicRepulsion": harmonic, "sum": lj + morse + harmonic}
    neighbors = energies["sum"].neighbor_list(structure)
    compute = jax.jit(lambda e, s, nl: mff.energy_and_forces(e)(s, nl))

    def run_of(energy: Any) -> Run:
        return lambda: jax.block_until_ready(compute(energy, structure, neighbors))

    times = measure({name: run_of(energy) for name, energy in energies.items()}, seconds)
    found = {name: per_atom(taken, structure.n_atoms) for name, taken in times.items()}
    apart = sum(found[name]["median"] for name in ("LennardJones", "Morse", "HarmonicRepulsion"))
    program = compute.lower(energies["sum"], structure, neighbors).compile().as_text()
    print(f"sum of three pair terms: {found['sum']['median']:.2f} us per atom, one by one {apart:.2f}", flush=True)
    return {
        "atoms": structure.n_atoms,
        "us_per_atom": found,
        "terms_one_by_one_us": apart,
        "square_roots_compiled": program.count(" sqrt("),
    }


def charges(n: int = 10_648, accuracy: float = 1e-6) -> dict[str, Any]:
    """An Ewald sum over rattled rock salt, from its charges to energy and forces, in seconds."""
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites, unit = np.concatenate([face, face + np.array([0.5, 0, 0])]), [1.0] * 4 + [-1.0] * 4
    cell = mff.Structure.create(sites, ["Na"] * 4 + ["Cl"] * 4, cell=[5.64] * 3, fractional=True, charges=unit)
    structure = rattled(cell, n, 0.05)
    start = time.perf_counter()
    ewald = mff.potentials.Ewald.for_structure(structure, accuracy=accuracy)
    chosen = time.perf_counter() - start
    compute = jax.jit(mff.energy_and_forces(ewald))
    first = timed(lambda: jax.block_until_ready(compute(structure, ewald.neighbor_list(structure))))
    lists = sorted(timed(lambda: jax.block_until_ready(ewald.neighbor_list(structure))) for _ in range(3))
    neighbors = ewald.neighbor_list(structure)
    again = sorted(timed(lambda: jax.block_until_ready(compute(structure, neighbors))) for _ in range(3))
    finer = mff.potentials.Ewald.for_structure(structure, accuracy=1e-3 * accuracy)
    _, exact = jax.jit(mff.energy_and_forces(finer))(structure, finer.neighbor_list(structure))
    error = np.sqrt(((np.asarray(compute(structure, neighbors)[1]) - np.asarray(exact)) ** 2).mean() * 3)
    print(f"{structure.n_atoms} charges to {accuracy} eV/Å: {again[1]:.2f} s, error {error:.1e} eV/Å", flush=True)
    return {
        "atoms": structure.n_atoms,
        "accuracy_eV_per_A": accuracy,
        "error_of_forces_eV_per_A": error,
        "choosing_cutoffs_s": chosen,
        "list_s": lists[1],
        "energy_and_forces_s": again[1],
        "first_call_compilation_included_s": first,
        "real_cutoff_A": ewald.real_cutoff,
        "reciprocal_cutoff_per_A": ewald.reciprocal_cutoff,
        "mesh": ewald.mesh and ewald.mesh.points,
    }


# -- what bounds it ----------------------------------------------------------------------------------------------------

# The least per pair of a full list, in double precision. Bytes: index and shift are read (16 B), the position of the
# neighbour and its force stay in the caches. Operations: image 18, displacement 6, square 5, root, quotient and powers
# 8, energy 3, derivative 8, force on both 9.
PAIR = {"bytes": 16, "flops": 57}
# Per triple, on top: the places of its neighbours (8 B); cosine 8, two exponentials 40, energy 6, derivatives 30,
# forces on three 30.
TRIPLE = {"bytes": 8, "flops": 114}


def bound(system: str, size: int, measured: float, rates: dict[str, float]) -> dict[str, Any]:
    """The least time of memory traffic and of arithmetic beside what was measured, in microseconds per atom."""
    structure = SYSTEMS[system][0](size)
    neighbors = SYSTEMS[system][1](structure).neighbor_list(structure)
    pairs, triples = int(neighbors.n_pairs) / structure.n_atoms, int(neighbors.n_triples) / structure.n_atoms
    traffic = (pairs * PAIR["bytes"] + triples * TRIPLE["bytes"]) / rates["GB_per_s"] * 1e-3
    arithmetic = (pairs * PAIR["flops"] + triples * TRIPLE["flops"]) / rates["Gflop_per_s"] * 1e-3
    return {
        "pairs_per_atom": pairs,
        "triples_per_atom": triples,
        "least_us_for_memory": traffic,
        "least_us_for_arithmetic": arithmetic,
        "measured_us": measured,
    }


def rates() -> dict[str, float]:
    """Bandwidth of a large sum of two arrays and rate of a polynomial, both as JAX compiles them, on all cores."""
    a, b = jnp.ones(1 << 25), jnp.full(1 << 25, 2.0)
    add = jax.jit(lambda a, b: a + b, donate_argnums=0)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a = jax.block_until_ready(add(a, b))
        times.append(time.perf_counter() - start)
    x = jnp.full(1 << 16, 0.5)

    def polynomial(x: Any) -> Any:
        y = [x + k for k in range(8)]
        for _ in range(64):
            y = [v * x + 0.25 for v in y]
        return sum(y)

    compiled = jax.jit(polynomial)
    jax.block_until_ready(compiled(x))
    flops = min(timed(lambda: jax.block_until_ready(compiled(x))) for _ in range(20))
    return {"GB_per_s": 3 * a.nbytes / min(times) * 1e-9, "Gflop_per_s": 2 * 8 * 64 * x.size / flops * 1e-9}


# -- output ------------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each program and system")
    parser.add_argument("--plot", action="store_true", help="only show the result that is there")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "energies.json")
    arguments = parser.parse_args()
    if not arguments.plot:
        names = available()
        sizes = {system: list(arguments.sizes) for system in arguments.systems}
        if "SW" in sizes and "miniff" in names and max(arguments.sizes) > MOST["miniff"]:
            sizes["SW"] = sorted({*sizes["SW"], 8_000})  # the largest that the reference can do
        entries = [
            compare(system, size, names, arguments.seconds) for system in arguments.systems for size in sizes[system]
        ]
        measured = rates()
        largest = max(arguments.sizes)
        record = {
            "what": "microseconds per atom of energy and forces, lists made before; float64 unless said",
            "machine": machine(sorted({PROGRAMS[name][0] for name in names})),
            "results": entries,
            "sums": sums(arguments.seconds),
            "charges": charges(),
            "rates": measured,
            "bounds": {
                entry["system"]: bound(
                    entry["system"],
                    largest,
                    entry["programs"]["miniffx"]["energy_and_forces_us"]["median"],
                    measured,
                )
                for entry in entries
                if entry["system"] in ("LJ", "SW") and abs(entry["atoms"] / largest - 1) < 0.2
            },
        }
        arguments.output.write_text(json.dumps(record, indent=1, default=float) + "\n")
    record = json.loads(arguments.output.read_text())
    print(table(record))
    draw(record, arguments.output.with_suffix(".png"))


def table(record: dict[str, Any]) -> str:
    """The medians as markdown: energy and forces, + list, in microseconds per atom."""
    names = [name for name in PROGRAMS if any(name in entry["programs"] for entry in record["results"])]
    lines = ["| | atoms | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for entry in record["results"]:
        cells = []
        for name in names:
            found = entry["programs"].get(name)
            cell = "" if found is None else f"{found['energy_and_forces_us']['median']:.3g}"
            cells.append(cell + (f" + {found['list_us']['median']:.2g}" if found and "list_us" in found else ""))
        lines.append(f"| {entry['system']} | {entry['atoms']:,} | ".replace(",", " ") + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(record: dict[str, Any], path: Path) -> None:
    """Time of energy and forces over atoms, both logarithmic, a panel for each system."""
    from matplotlib.figure import Figure

    systems = list(dict.fromkeys(entry["system"] for entry in record["results"]))
    figure = Figure(figsize=(4.2 * len(systems), 3.9), layout="constrained")
    axes = figure.subplots(1, len(systems), sharey=True, squeeze=False)[0]
    colors = dict(zip(PROGRAMS, ("#cc3311", "#ee7733", "#009988", "#333333", "#999999"), strict=True))
    for ax, system in zip(axes, systems, strict=True):
        entries = [entry for entry in record["results"] if entry["system"] == system]
        for name in PROGRAMS:
            points = [
                (entry["atoms"], 1e-6 * entry["atoms"] * entry["programs"][name]["energy_and_forces_us"]["median"])
                for entry in entries
                if name in entry["programs"]
            ]
            if points:
                ax.loglog(*zip(*points, strict=True), "o-", color=colors[name], label=name, markersize=4, linewidth=1.3)
        ax.set_title(system)
        ax.set_xlabel("atoms")
        ax.grid(alpha=0.3, which="major", linewidth=0.5)
    axes[0].set_ylabel("time for energy and forces (s)")
    axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
