"""Write what the page about the quickstart shows: python docs/start/quickstart.py (minutes)."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))

from machine import machine  # noqa: E402
from miniffx.cli import main  # noqa: E402

PICTURES = ("convergence.png", "parity.png", "energy_volume.png")

if __name__ == "__main__":
    target = HERE / "quickstart"
    target.mkdir(exist_ok=True)
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with contextlib.redirect_stdout(said):
            code = main(["quickstart"])
        if code:
            raise SystemExit(code)
        for name in PICTURES:
            shutil.copy(os.path.join("quickstart", name), target / name)
    where = machine()
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    lines = [said.getvalue().rstrip(), "", f"[{where['processor']}, {where['cores']} cores; {versions}]"]
    (target / "output.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
