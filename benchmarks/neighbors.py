"""Time of a full neighbour list, i, j, shift and displacement of every pair, against other programs in one process.

    python benchmarks/neighbors.py                       # minutes; writes benchmarks/results/neighbors.json and .png
    python benchmarks/neighbors.py --sizes 512 8000      # fewer atoms
    python benchmarks/neighbors.py --plot                # picture and table from the result that is there

Programs that are not installed are left out (`pip install '.[bench]'`). Each is called as its documentation says, in
double precision, on all threads that it uses; programs take turns, so that a disturbance meets all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import miniffx as mff
from machine import machine

jax.config.update("jax_enable_x64", True)

CUTOFF = 5.0
SIZES = (512, 8_000, 110_592, 1_000_000)
RESULTS = Path(__file__).parent / "results"
# Sizes beyond which a program would take minutes or more memory than there is.
MOST = {"ase": 8_000, "miniff": 8_000, "jax-md": 110_592}
Run = Callable[[], Any]


def silicon(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Diamond silicon, every atom displaced by 0.05 Å."""
    m = round((n / 8) ** (1 / 3))
    return _diamond((m, m, m)), 5.43 * m * np.eye(3)


def liquid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Atoms anywhere in a cube, in no order, 0.05 per Å³."""
    edge = (n / 0.05) ** (1 / 3)
    return np.random.default_rng(0).uniform(0, edge, (n, 3)), edge * np.eye(3)


def slab(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Four cells of silicon in a box 1 000 Å high."""
    m = max(1, round((n / 32) ** 0.5))
    return _diamond((m, m, 4)), np.diag([5.43 * m, 5.43 * m, 1000.0])


def _diamond(times: tuple[int, int, int]) -> np.ndarray:
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cells = np.stack(np.meshgrid(*map(np.arange, times), indexing="ij"), -1).reshape(-1, 1, 3)
    perfect = 5.43 * (cells + np.concatenate([face, face + 0.25])).reshape(-1, 3)
    return perfect + np.random.default_rng(0).normal(0, 0.05, perfect.shape)


SYSTEMS = {"silicon": silicon, "liquid": liquid, "slab": slab}


# -- programs: each takes positions and cell, and returns what is timed -----------------------------------------------


def run_miniffx(positions: np.ndarray, cell: np.ndarray) -> Run:
    return lambda: mff.neighbors.pairs(positions, cell, True, CUTOFF)


def run_padded(positions: np.ndarray, cell: np.ndarray) -> Run:
    structure = mff.Structure.create(positions, ["Si"] * len(positions), cell=cell)
    return lambda: jax.block_until_ready(mff.neighbor_list(structure, CUTOFF))


def run_vesin(positions: np.ndarray, cell: np.ndarray) -> Run:
    import vesin

    search = vesin.NeighborList(cutoff=CUTOFF, full_list=True)
    return lambda: search.compute(points=positions, box=cell, periodic=True, quantities="ijSD")


def run_matscipy(positions: np.ndarray, cell: np.ndarray) -> Run:
    from matscipy.neighbours import neighbour_list

    numbers, pbc = np.full(len(positions), 14, np.int32), np.ones(3, bool)
    return lambda: neighbour_list("ijSD", cutoff=CUTOFF, positions=positions, cell=cell, pbc=pbc, numbers=numbers)


def run_ase(positions: np.ndarray, cell: np.ndarray) -> Run:
    from ase.neighborlist import primitive_neighbor_list

    return lambda: primitive_neighbor_list("ijSD", (True,) * 3, cell, positions, CUTOFF)


def run_jax_md(positions: np.ndarray, cell: np.ndarray) -> Run:
    """Its list inside jit, which has neither shifts nor displacements."""
    from jax_md import partition, space

    box = np.diag(cell)
    displacement, _ = space.periodic(box)
    wrapped = jax.numpy.asarray(positions % box)
    functions = partition.neighbor_list(
        displacement, box, CUTOFF, dr_threshold=0.0, format=partition.NeighborListFormat.Sparse
    )
    first = functions.allocate(wrapped)
    update = jax.jit(lambda r, neighbors: neighbors.update(r))
    # A list that is up to date is not made again: atoms have to have moved a little.
    moved = [wrapped + 1e-6, wrapped]
    state = {"list": first, "turn": 0}

    def run() -> Any:
        state["turn"] ^= 1
        state["list"] = jax.block_until_ready(update(moved[state["turn"]], state["list"]))
        if bool(state["list"].did_buffer_overflow):
            raise RuntimeError("jax-md's list overflowed")
        return state["list"]

    return run


def run_miniff(positions: np.ndarray, cell: np.ndarray) -> Run:
    """Its list of distances, which has no vectors."""
    from miniff.kernel import Cell, NeighborWrapper

    crystal = Cell(cell, positions @ np.linalg.inv(cell), ["Si"] * len(positions))
    return lambda: NeighborWrapper(crystal, cutoff=CUTOFF)


PROGRAMS = {
    "miniffx": run_miniffx,
    "miniffx, padded": run_padded,
    "vesin": run_vesin,
    "matscipy": run_matscipy,
    "jax-md": run_jax_md,
    "ase": run_ase,
    "miniff": run_miniff,
}
DISTRIBUTIONS = {"miniffx, padded": "miniffx"}


def available() -> list[str]:
    """The programs that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    names = []
    for name in PROGRAMS:
        try:
            version(DISTRIBUTIONS.get(name, name))
        except PackageNotFoundError:
            print(f"{name} is not installed and left out")
        else:
            names.append(name)
    return names


# -- timing ------------------------------------------------------------------------------------------------------------


def measure(runs: dict[str, Run], seconds: float) -> dict[str, list[float]]:
    """Times of all runs in turn after a warm-up: for so many seconds each, seven times at least.

    Each turn is two calls, of which the second counts: it finds the caches as its own program leaves them. What takes
    seconds is called twice in all.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    slow = {name for name, run in runs.items() if _timed(run) > 2}

    def unfinished(name: str) -> bool:
        return len(times[name]) < 2 if name in slow else sum(times[name]) < seconds or len(times[name]) < 7

    while names := [name for name in times if unfinished(name)]:
        for name in names:
            if name not in slow:
                _timed(runs[name])
            times[name].append(_timed(runs[name]))
    return times


def _timed(run: Run) -> float:
    start = time.perf_counter()
    result = run()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def triples() -> dict[str, Any]:
    """Triples of silicon per second, open and closed."""
    positions, cell = silicon(8_000)
    rates = {}
    for name, closed in (("open", False), ("closed", True)):
        found = mff._core.find_pairs(positions, cell, (True,) * 3, CUTOFF)
        count = len(mff._core.find_triples(found, CUTOFF, closed)[0])
        times = measure({name: lambda found=found, closed=closed: mff._core.find_triples(found, CUTOFF, closed)}, 1.0)[
            name
        ]
        rates[name] = {"triples": count, **summary(times, count)}
        print(f"triples, {name}: {1e3 / rates[name]['ns']['median']:.0f} million per second")
    return rates


def growth(turns: int = 5) -> dict[str, Any]:
    """Nanoseconds per pair of a million atoms over those of 8 000, both measured again in every turn.

    The machine is not the same from one minute to the next; in the table minutes lie between the two.
    """
    ratios = {}
    for system, make in SYSTEMS.items():
        runs, pairs = {}, {}
        for size in (8_000, 1_000_000):
            positions, cell = make(size)
            runs[size], pairs[size] = run_miniffx(positions, cell), len(run_miniffx(positions, cell)()[0])
        times: dict[int, list[float]] = {size: [] for size in runs}
        for _ in range(turns):
            for size, run in runs.items():
                times[size].append(np.median(measure({"": run}, 0.5)[""]) / pairs[size])
        small, large = times.values()
        ratio = np.array(large) / np.array(small)
        ratios[system] = {"median": np.median(ratio), "min": ratio.min(), "max": ratio.max(), "repeats": turns}
        print(f"{system}: a pair of a million atoms takes {np.median(ratio):.2f} times one of 8 000")
    return ratios


def summary(times: list[float], items: int) -> dict[str, Any]:
    """Nanoseconds per item."""
    nanoseconds = 1e9 * np.array(times) / items
    return {
        "ns": {"median": np.median(nanoseconds), "min": nanoseconds.min(), "max": nanoseconds.max()},
        "repeats": len(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each program and system")
    parser.add_argument("--plot", action="store_true", help="only show the result that is there")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "neighbors.json")
    arguments = parser.parse_args()
    if not arguments.plot:
        names = available()
        distributions = sorted({DISTRIBUTIONS.get(name, name) for name in names})
        entries = []
        for system in arguments.systems:
            for size in arguments.sizes:
                entries.append(compare(system, size, names, arguments.seconds))
        record = {
            "what": "nanoseconds per pair of a full neighbour list (i, j, shift, displacement), cutoff 5 Å, float64",
            "machine": machine(distributions),
            "threads": mff._core.max_threads(),
            "results": entries,
            "triples": triples(),
            "growth": growth(),
        }
        arguments.output.write_text(json.dumps(record, indent=1, default=float) + "\n")
    record = json.loads(arguments.output.read_text())
    print(table(record))
    draw(record, arguments.output.with_suffix(".png"))


def compare(system: str, size: int, names: list[str], seconds: float) -> dict[str, Any]:
    """All programs on one system."""
    positions, cell = SYSTEMS[system](size)
    n_atoms, n_pairs = len(positions), len(mff.neighbors.pairs(positions, cell, True, CUTOFF)[0])
    runs = {name: PROGRAMS[name](positions, cell) for name in names if n_atoms <= 1.1 * MOST.get(name, n_atoms)}
    times = measure(runs, seconds)
    entry: dict[str, Any] = {"system": system, "atoms": n_atoms, "pairs": n_pairs, "programs": {}}
    for name, taken in times.items():
        entry["programs"][name] = summary(taken, n_pairs)
    ours = entry["programs"]["miniffx"]["ns"]
    line = f"{system} {n_atoms}:"
    for name, result in entry["programs"].items():
        line += f"  {name} {result['ns']['median']:.1f}"
        if name != "miniffx":
            line += f" ({result['ns']['median'] / ours['median']:.1f}x)"
    print(line, flush=True)
    return entry


def table(record: dict[str, Any]) -> str:
    """The medians as markdown, nanoseconds per pair."""
    names = [name for name in PROGRAMS if any(name in entry["programs"] for entry in record["results"])]
    lines = ["| | atoms | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for entry in record["results"]:
        cells = [
            f"{entry['programs'][name]['ns']['median']:.3g}" if name in entry["programs"] else "" for name in names
        ]
        lines.append(f"| {entry['system']} | {entry['atoms']:,} | ".replace(",", " ") + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(record: dict[str, Any], path: Path) -> None:
    """Time over atoms, both logarithmic, a panel for each system."""
    from matplotlib.figure import Figure

    systems = list(dict.fromkeys(entry["system"] for entry in record["results"]))
    figure = Figure(figsize=(4.2 * len(systems), 3.9), layout="constrained")
    axes = figure.subplots(1, len(systems), sharey=True, squeeze=False)[0]
    colors = dict(
        zip(PROGRAMS, ("#cc3311", "#ee7733", "#0077bb", "#33bbee", "#009988", "#999999", "#333333"), strict=True)
    )
    for ax, system in zip(axes, systems, strict=True):
        entries = [entry for entry in record["results"] if entry["system"] == system]
        for name in PROGRAMS:
            points = [
                (entry["atoms"], entry["pairs"] * 1e-9 * entry["programs"][name]["ns"]["median"])
                for entry in entries
                if name in entry["programs"]
            ]
            if points:
                ax.loglog(*zip(*points, strict=True), "o-", color=colors[name], label=name, markersize=4, linewidth=1.3)
        ax.set_title(f"{system}, {CUTOFF:g} Å")
        ax.set_xlabel("atoms")
        ax.grid(alpha=0.3, which="major", linewidth=0.5)
    axes[0].set_ylabel("time for the full list (s)")
    axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
