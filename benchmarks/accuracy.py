"""Train with the defaults, as the files in examples/ say, and record time and test errors for several seeds.

    python benchmarks/accuracy.py [--seeds 3] [--configs examples/silicon.toml examples/molybdenum.toml]

The time is wall time of the whole process: neighbour lists, descriptors, compilation, training, errors and pictures.
Test frames choose nothing.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

from machine import machine
from miniffx.cli.config import read_config, to_toml

HERE = Path(__file__).parent
ARGUMENTS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ARGUMENTS.add_argument("--seeds", type=int, default=3)
CONFIGS = [HERE.parent / "examples" / f"{name}.toml" for name in ("silicon", "molybdenum")]
ARGUMENTS.add_argument("--configs", type=Path, nargs="+", default=CONFIGS)
ARGUMENTS.add_argument("--output", type=Path, default=HERE / "results" / "accuracy.json")
COLUMNS = (
    ("energy_mae", "meV/atom", 1e3),
    ("energy_rmse", "meV/atom", 1e3),
    ("force_mae", "meV/Å", 1e3),
    ("force_rmse", "meV/Å", 1e3),
)


def run(config_path: Path, seed: int) -> dict[str, Any]:
    """One training in a process of its own: seconds and errors."""
    config = read_config(config_path)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("train", "test"):
            setattr(config.data, name, str((config_path.parent / getattr(config.data, name)).resolve()))
        config.training.seed = seed
        config.output.folder = "out"
        path = Path(folder) / "config.toml"
        path.write_text(to_toml(config))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "miniffx", "fit", str(path)], check=True)
        seconds = time.perf_counter() - start
        return {"seed": seed, "seconds": seconds, **json.loads((Path(folder) / "out" / "errors.json").read_text())}


def case(config_path: Path, seeds: int) -> dict[str, Any]:
    """All seeds of one config."""
    settings = tomllib.loads(config_path.read_text())
    settings["data"] = {name: Path(str(value)).name for name, value in settings["data"].items()}
    runs = [run(config_path, seed) for seed in range(seeds)]
    return {"name": config_path.stem, "config": settings, "runs": runs}


def table(record: dict[str, Any]) -> str:
    """Median, least and most of the test errors and of the time."""
    lines = [f"{record['name']:<24}{'median':>10}{'min':>10}{'max':>10}"]
    for name, unit, factor in COLUMNS:
        values = [factor * each["test"][name] for each in record["runs"]]
        lines.append(
            f"{f'{name} ({unit})':<24}{statistics.median(values):>10.1f}{min(values):>10.1f}{max(values):>10.1f}"
        )
    seconds = [each["seconds"] for each in record["runs"]]
    lines.append(f"{'wall time (s)':<24}{statistics.median(seconds):>10.0f}{min(seconds):>10.0f}{max(seconds):>10.0f}")
    return "\n".join(lines)


def main() -> None:
    """Run, summarize, write."""
    options = ARGUMENTS.parse_args()
    cases = [case(path, options.seeds) for path in options.configs]
    options.output.write_text(json.dumps({"machine": machine(), "cases": cases}, indent=1) + "\n")
    print("\n\n".join(map(table, cases)))


if __name__ == "__main__":
    main()
