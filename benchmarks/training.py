"""What a loss and its gradient cost with everything stored, against reading what is stored once.

    python benchmarks/training.py [--copies 1]              # writes benchmarks/results/training.json

The 214 training frames of silicon of mlearn in `../shared` (repeated `--copies` times), single precision, for the 27
functions of `second_order.py`, whose Jacobian is stored, and the default set, of which training stores what each pair
adds to the moments. One evaluation is the loss of all frames, energies and forces, and its gradient in the weights; the
least it can cost is reading what is stored once, at the bandwidth that a sum over these very arrays reaches here. Steps
of "adam" on 8 and on 64 frames besides. Descriptors and compilation are timed apart.
"""

from __future__ import annotations

import argparse
import json
import math
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
from miniffx.training import steps as stepping
from miniffx.training.loss import LossWeights, Sums
from miniffx.training.problem import make_problem
from miniffx.training.steps import Recipe
from second_order import CUTOFF, DATA, published_set, single


def timed(run: Callable[[], Any], repeats: int = 7) -> dict[str, float]:
    """Milliseconds, after a first call."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(1e3 * (time.perf_counter() - start))
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


@jax.jit
def read(tree: Any) -> list[jax.Array]:
    """One number from every array, all of which has to be read for it."""
    return [jnp.sum(leaf, dtype=leaf.dtype) for leaf in jax.tree.leaves(tree)]


def case(name: str, model: mff.NNPotential, data: mff.Dataset) -> dict[str, Any]:
    start = time.perf_counter()
    problem, weights = make_problem(model, data, None, LossWeights(), None, math.inf)
    batches = jax.block_until_ready(problem.train.batches)
    prepared = time.perf_counter() - start
    recipe = Recipe(problem.differences, mff.Optimizer("adam").transformation(1000), weights)

    @jax.jit
    def evaluate(parameters: Any, fixed: Any, batches: list[Any]) -> Any:
        return jax.value_and_grad(lambda p: recipe.sums(p, fixed, batches).loss(weights))(parameters)

    start = time.perf_counter()
    program = evaluate.lower(problem.parameters, problem.fixed, batches).compile()
    compiled = time.perf_counter() - start
    stored = sum(leaf.nbytes for leaf in jax.tree.leaves([batch.species for batch in batches]))
    reading = timed(lambda: read([batch.species for batch in batches]))
    try:
        whole: Any = timed(lambda: program(problem.parameters, problem.fixed, batches))
        in_readings: Any = whole["median"] / reading["median"]
    except jax.errors.JaxRuntimeError as error:
        whole = in_readings = f"does not fit: {str(error)[:100]}"
    result = {
        "case": name,
        "frames": len(data),
        "atoms": sum(frame.structure.n_atoms for frame in data),
        "descriptors_s": prepared,
        "compilation_s": compiled,
        "stored_GB": 1e-9 * stored,
        "reading_ms": reading,
        "reading_GB_per_s": 1e-6 * stored / reading["median"],
        "loss_and_gradient_ms": whole,
        "in_readings": in_readings,
    }
    largest = max(range(len(batches)), key=lambda n: len(batches[n].energies))
    for size in (8, 64):
        dtype = jax.tree.leaves(problem.parameters)[0].dtype
        state = stepping.start(recipe, problem.parameters, Sums.zero(problem.train.totals, (), dtype))
        rng = np.random.default_rng(0)
        n = len(batches[largest].energies)
        usual = {key: size * total / len(data) for key, total in problem.train.totals.items()}

        def step(state: Any = state, size: int = size, rng: Any = rng, n: int = n, usual: Any = usual) -> Any:
            for number in range(20):
                chosen, real = rng.integers(n, size=size), np.ones(size, bool)
                state = stepping.mini_batch_step(
                    recipe, state, problem.fixed, batches[largest], chosen, real, usual, number
                )
            return state

        times = timed(step, 5)
        result[f"step_of_{size}_ms"] = {key: value / 20 for key, value in times.items()}
    return result


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--copies", type=int, nargs="+", default=[1])
    arguments.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "training.json")
    options = arguments.parse_args()
    frames = single(mff.Dataset.read(DATA / "Si_train.extxyz"))
    key, results = jax.random.key(0), []
    for copies in options.copies:
        data = mff.Dataset(list(frames) * copies)
        for name, model in (
            ("27 functions", mff.NNPotential.init(key, published_set(), hidden=(24, 24), activation="tanh")),
            ("default set", mff.NNPotential.init(key, mff.descriptors.default_set(frames, cutoff=CUTOFF))),
        ):
            results.append(case(name, model, data))
            print(json.dumps(results[-1]), flush=True)
            record = {"what": "float32, milliseconds unless said", "machine": machine(), "results": results}
            options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
