"""The published set of silicon with the Kalman filter and with Adam, in as much time: test errors for several seeds.

    python benchmarks/second_order.py [--seeds 3]       # ten minutes; writes benchmarks/results/second_order.json

27 symmetry functions, cutoff 5.5 Å, a 24-24 tanh network: the setup of Zuo et al., J. Phys. Chem.
A 124, 731 (2020), doi:10.1021/acs.jpca.9b08723, on their frames in `../shared`. The time is wall time of the process
from its start to the trained model: reading, neighbour lists, descriptors, compilation, training; beside it that of the
whole process, which then computes test errors. All training frames are learnt from; test frames choose no step. The
loss of the Kalman filter (weight of forces, Huber's δ) follows a cross-validation on the training frames, where 0.01
had the lower errors of energies and 0.015 those of forces; a weight between was taken after 0.015 had been tested. The
steps of both fill a minute; Adam has the default weights of the loss.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import miniffx as mff
from machine import machine

D = mff.descriptors
HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "mlearn"
BOHR = 0.529177210903  # Å
ETAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # Bohr⁻²
CUTOFF = 5.5
STEPS = {"ekf": 3200, "adam": 16000}
AVERAGE = {"ekf": 0.998, "adam": 0.999}
WEIGHTS = {"ekf": mff.LossWeights(forces=0.0125, huber=0.045), "adam": mff.LossWeights()}
COLUMNS = (("energy_mae", "meV/atom"), ("energy_rmse", "meV/atom"), ("force_mae", "meV/Å"), ("force_rmse", "meV/Å"))


def published_set() -> D.DescriptorSet:
    """9 G2 and 18 G4 of nine widths."""
    etas = [eta / BOHR**2 for eta in ETAS]
    pairs = [D.G2(eta=eta, r_shift=0.0, cutoff=CUTOFF, species=("Si", "Si")) for eta in etas]
    triples = [
        D.G4(eta=eta, zeta=1, lam=lam, cutoff=CUTOFF, species=("Si", "Si", "Si")) for eta in etas for lam in (-1.0, 1.0)
    ]
    return D.DescriptorSet([*pairs, *triples])


def single(data: mff.Dataset) -> mff.Dataset:
    """The same frames in single precision."""

    def frame(given: mff.Frame) -> mff.Frame:
        s = given.structure
        s = dataclasses.replace(s, positions=np.float32(s.positions), cell=np.float32(s.cell))
        return dataclasses.replace(given, structure=s)

    return mff.Dataset(map(frame, data))


def train(name: str, seed: int) -> dict[str, float]:
    """Train and test; the errors in meV."""
    optimizer = mff.Optimizer(name) if name == "ekf" else mff.Optimizer(name, learning_rate=1.5e-2, warmup=100)
    data, test = (single(mff.Dataset.read(DATA / f"Si_{part}.extxyz")) for part in ("train", "test"))
    model = mff.NNPotential.init(jax.random.key(seed), published_set(), hidden=(24, 24), activation="tanh")
    result = mff.fit(
        model,
        data,
        optimizer=optimizer,
        steps=STEPS[name],
        average=AVERAGE[name],
        weights=WEIGHTS[name],
        seed=seed,
        progress=False,
    )
    trained = time.time()
    errors = mff.evaluate(result.model, test)
    return {"trained": trained} | {column: 1e3 * getattr(errors, column) for column, _ in COLUMNS}


def run(name: str, seed: int) -> dict[str, Any]:
    """One training in a process of its own: seconds and errors."""
    start = time.time()
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, str(seed)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said)
    seconds = {"seconds": found.pop("trained") - start, "seconds_with_errors": time.time() - start}
    return {"optimizer": name, "seed": seed, **seconds, **found}


def table(name: str, runs: list[dict[str, Any]]) -> str:
    """Median, least and most."""
    lines = [f"{name:<28}{'median':>10}{'min':>10}{'max':>10}"]
    for column, unit in (*COLUMNS, ("seconds", "to the model"), ("seconds_with_errors", "all")):
        values = [each[column] for each in runs]
        lines.append(
            f"{f'{column} ({unit})':<28}{statistics.median(values):>10.1f}{min(values):>10.1f}{max(values):>10.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run, summarize, write; or, in a process of its own, train once."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--output", type=Path, default=HERE / "results" / "second_order.json")
    arguments.add_argument("--one", nargs=2, metavar=("OPTIMIZER", "SEED"), help="train once and print the errors")
    options = arguments.parse_args()
    if options.one:
        print(json.dumps(train(options.one[0], int(options.one[1]))))
        return
    runs = [run(name, seed) for name in STEPS for seed in range(options.seeds)]
    record = {
        "machine": machine(),
        "steps": STEPS,
        "average": AVERAGE,
        "weights": {n: repr(w) for n, w in WEIGHTS.items()},
        "runs": runs,
    }
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print("\n\n".join(table(name, [each for each in runs if each["optimizer"] == name]) for name in STEPS))


if __name__ == "__main__":
    main()
