"""Train as examples/silicon.toml says and record time and test errors, for one or more seeds.

    python benchmarks/silicon.py [--seeds 3] [--config examples/silicon.toml]

The time is wall time of the whole process, neighbour lists, descriptors and compilation included.
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
ARGUMENTS.add_argument("--seeds", type=int, default=1)
ARGUMENTS.add_argument("--config", type=Path, default=HERE.parent / "examples" / "silicon.toml")
ARGUMENTS.add_argument("--output", type=Path, default=HERE / "results" / "silicon.json")


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


def main() -> None:
    """Run, summarize, write."""
    options = ARGUMENTS.parse_args()
    runs = [run(options.config, seed) for seed in range(options.seeds)]
    settings = tomllib.loads(options.config.read_text())
    settings["data"] = {name: Path(str(value)).name for name, value in settings["data"].items()}
    result = {"machine": machine(), "config": settings, "runs": runs}
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{'':<24}{'median':>10}{'min':>10}{'max':>10}")
    for name, unit, factor in (
        ("energy_mae", "meV/atom", 1e3),
        ("energy_rmse", "meV/atom", 1e3),
        ("force_mae", "meV/Å", 1e3),
        ("force_rmse", "meV/Å", 1e3),
    ):
        values = [factor * each["test"][name] for each in runs]
        print(f"{f'{name} ({unit})':<24}{statistics.median(values):>10.1f}{min(values):>10.1f}{max(values):>10.1f}")
    seconds = [each["seconds"] for each in runs]
    print(f"{'wall time (s)':<24}{statistics.median(seconds):>10.0f}{min(seconds):>10.0f}{max(seconds):>10.0f}")


if __name__ == "__main__":
    main()
