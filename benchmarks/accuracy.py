"""Train with the defaults on silicon and molybdenum, and as published on silicon; record time and test errors.

    python benchmarks/accuracy.py [--seeds 3] [--cases Si Mo Si-published] [--data ../shared/data/mlearn]

"Si" and "Mo" are what `miniffx fit` does where a config file names nothing but data and cutoff. "Si-published" has the
number of symmetry functions and the network of Zuo et al., J. Phys. Chem. A 124, 731 (2020), trained by Adam on all of
the training frames. Test frames choose nothing. The time is wall time of a whole process: neighbour lists, descriptors,
compilation, training and errors included. Curves are errors on the validation frames (for "Si-published", recent
training errors).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import machine
from miniffx.cli.config import Config, to_toml

HERE = Path(__file__).parent
CUTOFFS = {"Si": 5.5, "Mo": 5.2}
ARGUMENTS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ARGUMENTS.add_argument("--seeds", type=int, default=3)
ARGUMENTS.add_argument("--cases", nargs="+", default=["Si", "Mo", "Si-published"])
ARGUMENTS.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data" / "mlearn")
ARGUMENTS.add_argument("--output", type=Path, default=HERE / "results" / "accuracy.json")
ARGUMENTS.add_argument("--published", type=int, help=argparse.SUPPRESS)  # one training as published, with this seed


def run(case: str, seed: int, data: Path) -> dict[str, Any]:
    """One training in a process of its own: seconds, errors, learning curve."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if case == "Si-published":
            command = [sys.executable, __file__, "--published", str(seed), "--data", str(data), "--output", name]
        else:
            config = Config()
            config.data.train, config.data.test = (
                str((data / f"{case}_{n}.extxyz").resolve()) for n in ("train", "test")
            )
            config.descriptors.cutoff = CUTOFFS[case]
            config.training.seed = seed
            (folder / "config.toml").write_text(to_toml(config))
            command = [sys.executable, "-m", "miniffx", "fit", str(folder / "config.toml")]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        errors = json.loads((folder / "errors.json").read_text())["test"]
        history = json.loads((folder / "history.json").read_text())
    prefix = "validation_" if "validation_energy_mae" in history[0] else ""
    names = {
        "step": "step",
        "seconds": "seconds",
        "energy_mae": prefix + "energy_mae",
        "force_mae": prefix + "force_mae",
    }
    curve = [
        {name: round(entry[key], 6) for name, key in names.items()} for entry in history[:: max(1, len(history) // 25)]
    ]
    kept = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")
    return {"case": case, "seed": seed, "seconds": seconds, "test": {n: errors[n] for n in kept}, "curve": curve}


def published(seed: int, data: Path, folder: Path) -> None:
    """27 symmetry functions, 24-24 tanh; all of the training frames."""
    import jax

    import miniffx as mff

    train, test = (mff.Dataset.read(data / f"Si_{name}.extxyz") for name in ("train", "test"))
    descriptors, cutoff, bohr = mff.descriptors, CUTOFFS["Si"], 0.52917721
    radial = [descriptors.G2(eta / bohr**2, 0.0, cutoff, ("Si", "Si")) for eta in (0.5, 1.0, 2.0)]
    angular = [
        descriptors.G4(eta / bohr**2, zeta, lam, cutoff, ("Si", "Si", "Si"))
        for eta in (0.016, 0.041, 0.222)
        for zeta in (1, 2, 4, 16)
        for lam in (-1.0, 1.0)
    ]
    model = mff.NNPotential.init(
        jax.random.key(seed), descriptors.DescriptorSet([*radial, *angular]), hidden=(24, 24), activation="tanh"
    )
    optimizer = mff.Optimizer("adam", learning_rate=0.01, warmup=100)
    result = mff.fit(model, train, optimizer=optimizer, steps=STEPS, seed=seed)
    (folder / "errors.json").write_text(json.dumps({"test": vars(mff.evaluate(result.model, test))}))
    (folder / "history.json").write_text(json.dumps(result.history))


STEPS = 9000  # with 8 frames each


def main() -> None:
    """Run, summarize, write."""
    options = ARGUMENTS.parse_args()
    if options.published is not None:
        published(options.published, options.data, options.output)
        return
    runs = [run(case, seed, options.data) for case in options.cases for seed in range(options.seeds)]
    options.output.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")
    print(f"{'median (least – most)':<16}{'energy, meV/atom':>24}{'forces, meV/Å':>24}{'seconds':>24}")
    for case in options.cases:
        chosen = [each for each in runs if each["case"] == case]
        columns = (
            [1e3 * each["test"]["energy_mae"] for each in chosen],
            [1e3 * each["test"]["force_mae"] for each in chosen],
            [each["seconds"] for each in chosen],
        )
        texts = [f"{statistics.median(values):.1f} ({min(values):.1f} – {max(values):.1f})" for values in columns]
        print(f"{case:<16}" + "".join(f"{text:>24}" for text in texts))


if __name__ == "__main__":
    main()
