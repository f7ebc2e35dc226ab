"""Featurization of large data sets, in single precision, against what the device can do at best.

    python benchmarks/featurize.py [--atoms 100000 1000000]       # writes benchmarks/results/featurize.json

Silicon: the training frames of mlearn (64 atoms and fewer) with 3 × G2 + 24 × G4 (three η, 5.5 Å). Water: frames of
the n2p2 reference with its 57 functions (6.35 Å). Both are read from `../shared` and repeated until there are so many
atoms.

Reported: seconds for everything that `featurize` does (sizes, lists, transfer, descriptors), after a first call has
compiled; of one batch, as full as they come, what its lists take on the host, their transfer, and its descriptors alone
on the device; the operations and bytes that XLA counts in that program (not on CPUs, where it loops, and XLA counts the
body of a loop once); and the bandwidth of a copy and the rate of a matrix product (float32, highest precision) as this
device reaches them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import miniffx as mff
from machine import machine
from miniffx.training.batching import padded_groups
from miniffx.training.featurize import batch_features

D = mff.descriptors
SHARED = Path(__file__).parents[2] / "shared"


def silicon() -> tuple[D.DescriptorSet, list[mff.Structure]]:
    kinds = itertools.product((0.003, 0.02, 0.06), (1.0, 2.0, 4.0, 16.0), (1.0, -1.0))
    triples = [D.G4(eta=e, zeta=z, lam=x, cutoff=5.5, species=("Si",) * 3) for e, z, x in kinds]
    pairs = [D.G2(eta=e, r_shift=0.0, cutoff=5.5, species=("Si", "Si")) for e in (0.01, 0.1, 1.0)]
    frames = mff.Dataset.read(SHARED / "data" / "mlearn" / "Si_train.extxyz")
    return D.DescriptorSet([*pairs, *triples]), [frame.structure for frame in frames]


def water() -> tuple[D.DescriptorSet, list[mff.Structure]]:
    folder = SHARED / "reference" / "n2p2" / "H2O_RPBE-D3"
    frames = mff.io.read_n2p2_frames(folder, "bohr", "hartree")
    return mff.io.read_n2p2(folder, "bohr", "hartree").descriptors, [frame.structure for frame in frames]


def repeated(structures: list[mff.Structure], n_atoms: int) -> list[mff.Structure]:
    """The structures in turn until there are so many atoms, in single precision."""
    singles = [dataclasses.replace(s, positions=np.float32(s.positions), cell=np.float32(s.cell)) for s in structures]
    result, atoms = [], 0
    for structure in itertools.cycle(singles):
        if atoms >= n_atoms:
            return result
        result.append(structure)
        atoms += structure.n_atoms
    return result


def timed(run: Callable[[], Any], repeats: int = 5) -> list[float]:
    """Seconds of every call, after one that compiles."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return times


def spread(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def ceilings() -> dict[str, float]:
    """GB/s of a copy, bytes read and written; GFLOP/s of a product of matrices in float32."""
    on_cpu = jax.default_backend() == "cpu"
    x = jax.random.uniform(jax.random.key(0), (2**26 if on_cpu else 2**30,), jnp.float32)
    copy = jax.jit(lambda x: -x)
    n = 2048 if on_cpu else 8192
    a = jax.random.uniform(jax.random.key(1), (n, n), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST))
    return {
        "copy_GB_per_s": 2e-9 * x.nbytes / min(timed(lambda: copy(x))),
        "product_GFLOP_per_s": 2e-9 * n**3 / min(timed(lambda: product(a))),
    }


def case(descriptors: D.DescriptorSet, structures: list[mff.Structure], jacobian: bool) -> dict[str, Any]:
    atoms = sum(s.n_atoms for s in structures)
    start = time.perf_counter()
    features = mff.featurize(descriptors, structures, jacobian=jacobian)
    jax.block_until_ready([batch.species for batch in features.batches])
    first = time.perf_counter() - start
    kept = sum(leaf.nbytes for batch in features.batches for leaf in jax.tree.leaves(batch.species))
    del features

    def everything() -> Any:
        return [batch.species for batch in mff.featurize(descriptors, structures, jacobian=jacobian).batches]

    whole = timed(everything, 3)
    # One batch of the largest group, its parts apart.
    groups = padded_groups(structures, descriptors.species, descriptors.needs)
    group = max(groups, key=lambda group: len(group) * group.n_atoms)
    order = np.argsort([-s.n_atoms for s in group.structures], kind="stable")
    group = dataclasses.replace(group, structures=[group.structures[n] for n in order])
    batch, lists, _ = next(group.parts(group.at_once))
    in_batch = int(np.sum(batch.mask))
    host = timed(lambda: next(group.parts(group.at_once)), 3)
    moved = timed(lambda: jax.device_put((batch, lists)))
    arguments = descriptors, *jax.device_put((batch, lists)), "jacobian" if jacobian else None
    program = batch_features.lower(*arguments).compile()
    alone = timed(lambda: program(*arguments[1:3]))
    counted = {} if jax.default_backend() == "cpu" else program.cost_analysis() or {}
    rates = (
        {
            "GFLOP_per_s": 1e-9 * counted["flops"] / statistics.median(alone),
            "GB_per_s": 1e-9 * counted["bytes accessed"] / statistics.median(alone),
        }
        if counted
        else {}
    )
    return {
        "atoms": atoms,
        "jacobian": jacobian,
        "structures": len(structures),
        "groups": len(groups),
        "first_call_s": first,
        "whole_s": spread(whole),
        "whole_us_per_atom": 1e6 * statistics.median(whole) / atoms,
        "results_GB": 1e-9 * kept,
        "of_a_batch": {
            "atoms": in_batch,
            "lists_us_per_atom": 1e6 * statistics.median(host) / in_batch,
            "transfer_us_per_atom": 1e6 * statistics.median(moved) / in_batch,
            "descriptors_us_per_atom": 1e6 * statistics.median(alone) / in_batch,
            **rates,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="+", default=(100_000, 1_000_000))
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "featurize.json")
    arguments = parser.parse_args()
    limits = ceilings()
    print(json.dumps(limits), flush=True)
    sets = {"silicon, 27 functions": silicon(), "water, 57 functions": water()}
    cases = [(name, n, False) for n in arguments.atoms for name in sets]
    # Beyond that Jacobians take tens of gigabytes, most of them zeros in water.
    cases += [(name, n, True) for n in arguments.atoms for name in sets if n <= 100_000]
    results = []
    for name, n, jacobian in cases:
        descriptors, structures = sets[name]
        results.append({"case": name, **case(descriptors, repeated(structures, n), jacobian)})
        print(json.dumps(results[-1]), flush=True)
        record = {"what": "featurize, float32", "machine": machine(), "limits": limits, "results": results}
        arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
