"""Time of angular descriptors per atom against other programs in one process.

    python benchmarks/descriptors.py            # three minutes; writes benchmarks/results/descriptors.json

Silicon: 8 × G4 (ζ 1, 2, 4, 16; λ ±1; η 0.01 Å⁻²; 6 Å) of 8 000 atoms of the diamond crystal rattled by 0.05 Å, values,
and energy and forces of a 24-24 network of them; 3 × G2 + 24 × G4 with three η (5.5 Å), 4 096 atoms, energy and forces
with the neighbour list. `featurize` of 200 cells of 64 atoms with these, lists included, with and without Jacobians.
G5 with λ = ±1, 1 000 atoms, through moments and through triples, for several ζ and numbers of neighbours. Water: the
set of the n2p2 reference, 57 functions, where `../shared` is. Lists are made before unless said; DScribe makes its own.
What other programs compute is compared before it is timed; those that are not installed are left out
(`pip install '.[bench]'`).
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import miniffx as mff
from energies import measure, per_atom, rattled
from machine import machine
from miniffx._pytree import pytree

jax.config.update("jax_enable_x64", True)

D = mff.descriptors
ETA, CUTOFF = 0.01, 6.0
NETWORK: dict[str, Any] = {"hidden": (24, 24), "activation": "tanh"}
ANGLES = list(itertools.product((1.0, 2.0, 4.0, 16.0), (1.0, -1.0)))
WATER = Path(__file__).parents[2] / "shared" / "reference" / "n2p2" / "H2O_RPBE-D3"
Run = Callable[[], Any]


def silicon(n: int) -> mff.Structure:
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = np.concatenate([face, face + 0.25])
    return rattled(mff.Structure.create(sites, ["Si"] * 8, cell=[5.43] * 3, fractional=True), n, 0.05)


def angular(etas: tuple[float, ...], cutoff: float) -> list[Any]:
    return [D.G4(eta=e, zeta=z, lam=x, cutoff=cutoff, species=("Si",) * 3) for e in etas for z, x in ANGLES]


def single(tree: Any) -> Any:
    """The same in single precision."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32") if jnp.result_type(leaf) == "float64" else leaf, tree)


def values(structure: mff.Structure, descriptors: Any) -> Run:
    neighbors = descriptors.neighbor_list(structure)
    compute = jax.jit(lambda s, nl: descriptors(s, nl))
    return lambda: jax.block_until_ready(compute(structure, neighbors))


def energy_and_forces(structure: mff.Structure, model: Any, with_list: bool = False) -> Run:
    neighbors = model.neighbor_list(structure)
    compute = jax.jit(mff.energy_and_forces(model))

    def run() -> Any:
        return jax.block_until_ready(compute(structure, model.neighbor_list(structure) if with_list else neighbors))

    return run


@pytree
class ByTriples(D.G5):
    """G5, every triple visited."""

    degree = None


@pytree
class ByMoments(D.G5):
    """G5 through moments."""

    @property
    def degree(self) -> int:
        return int(self.zeta)


def wide(kind: Any, zeta: int, cutoff: float) -> mff.NNPotential:
    ds = D.DescriptorSet([kind(eta=ETA, zeta=zeta, lam=x, cutoff=cutoff, species=("Si",) * 3) for x in (1.0, -1.0)])
    return mff.NNPotential.init(jax.random.key(0), ds, **NETWORK)


def featurized(descriptors: Any, structures: list[mff.Structure], jacobian: bool) -> Run:
    return lambda: jax.block_until_ready(
        [batch.species for batch in mff.featurize(descriptors, structures, jacobian=jacobian).batches]
    )


def miniff_values(structure: mff.Structure) -> Run:
    from miniff import potentials
    from miniff.kernel import Cell, NeighborWrapper

    cell = np.asarray(structure.cell)
    fractional = np.asarray(structure.positions) @ np.linalg.inv(cell)
    wrapper = NeighborWrapper(Cell(cell, fractional, list(structure.species)), cutoff=CUTOFF)
    family = potentials.behler4_descriptor_family
    terms = [family(a=CUTOFF, eta=ETA, zeta=z, l=x, tag="Si-Si-Si") for z, x in ANGLES]
    return lambda: wrapper.eval(terms, "kernel")


def dscribe_values(structure: mff.Structure) -> Run:
    from dscribe.descriptors import ACSF

    acsf = ACSF(species=["Si"], r_cut=CUTOFF, g4_params=[[ETA, z, x] for z, x in ANGLES], periodic=True)
    atoms = structure.to_ase()
    return lambda: acsf.create(atoms)


def installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        print(f"{name} is not installed and left out")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each program")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "descriptors.json")
    arguments = parser.parse_args()
    programs = [name for name in ("miniff", "dscribe") if installed(name)]
    results: dict[str, Any] = {}

    def record(case: str, structure: mff.Structure, runs: dict[str, Run]) -> None:
        write(case, structure.n_atoms, measure(runs, arguments.seconds))

    def write(case: str, n_atoms: int, times: dict[str, list[float]]) -> None:
        results[case] = {
            "atoms": n_atoms,
            "us_per_atom": {name: per_atom(taken, n_atoms) for name, taken in times.items()},
        }
        for name, found in results[case]["us_per_atom"].items():
            print(f"{case:36s} {name:36s} {found['median']:7.1f} ({found['min']:.1f} – {found['max']:.1f})", flush=True)

    big = silicon(8_000)
    eight = D.DescriptorSet(angular((ETA,), CUTOFF))
    model = mff.NNPotential.init(jax.random.key(0), eight, **NETWORK)
    runs = {
        "values": values(big, eight),
        "values, float32": values(single(big), eight),
        "energy and forces": energy_and_forces(big, model),
        "energy and forces, float32": energy_and_forces(single(big), single(model)),
    }
    found = np.asarray(runs["values"]())
    small = silicon(1_000)
    if "miniff" in programs:
        runs["values, miniff"] = miniff_values(big)
        # It counts every pair of neighbours twice.
        theirs = np.asarray(runs["values, miniff"]()).reshape(len(eight), -1).T / 2
        np.testing.assert_allclose(found, theirs, rtol=1e-9)
    record("8 G4, 6 Å", big, runs)
    if "dscribe" in programs:
        runs = {"values": values(small, eight), "values, DScribe": dscribe_values(small)}
        theirs = runs["values, DScribe"]()[:, 1:]  # the first is the sum of cutoff functions
        np.testing.assert_allclose(np.sort(runs["values"](), axis=1), np.sort(theirs, axis=1), rtol=1e-6)
        record("8 G4, 6 Å, 1 000 atoms", small, runs)

    radial = [D.G2(eta=e, r_shift=0.0, cutoff=5.5, species=("Si", "Si")) for e in (0.01, 0.1, 1.0)]
    descriptors = D.DescriptorSet([*radial, *angular((0.003, 0.02, 0.06), 5.5)])
    three = mff.NNPotential.init(jax.random.key(0), descriptors, **NETWORK)
    medium = silicon(4_096)
    record(
        "3 G2 + 24 G4, 5.5 Å, with list",
        medium,
        {
            "energy and forces": energy_and_forces(medium, three, with_list=True),
            "energy and forces, float32": energy_and_forces(single(medium), single(three), with_list=True),
        },
    )
    many = [silicon(64)] * 200
    times = measure(
        {
            "values": featurized(three.descriptors, many, False),
            "values and Jacobians": featurized(three.descriptors, many, True),
        },
        arguments.seconds,
    )
    write("featurize, 200 × 64 atoms, 27 functions", 200 * 64, times)

    for zeta, cutoff in itertools.product((1, 2, 4, 6, 8), (4.0, 5.5, 7.0)):
        neighbors = len(mff.neighbors.pairs(small.positions, small.cell, small.pbc, cutoff)[0]) / small.n_atoms
        record(
            f"2 G5, ζ {zeta}, {neighbors:.0f} neighbours",
            small,
            {
                "energy and forces, moments": energy_and_forces(small, wide(ByMoments, zeta, cutoff)),
                "energy and forces, triples": energy_and_forces(small, wide(ByTriples, zeta, cutoff)),
            },
        )
    if WATER.is_dir():
        water = mff.io.read_n2p2(WATER, "bohr", "hartree")
        frame = max(
            (frame.structure for frame in mff.io.read_n2p2_frames(WATER, "bohr", "hartree")), key=lambda s: s.n_atoms
        ).repeat((2, 2, 2))
        record(
            "water, 57 functions, 6.35 Å",
            frame,
            {
                "values": values(frame, water.descriptors),
                "energy and forces": energy_and_forces(frame, water),
            },
        )
    what = "microseconds per atom, float64 unless said"
    text = json.dumps({"what": what, "machine": machine(programs), "results": results}, indent=1, default=float)
    arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
