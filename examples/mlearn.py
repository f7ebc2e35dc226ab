"""Extended XYZ from the data of Zuo et al., J. Phys. Chem. A 124, 731 (2020), as the authors publish them:

    git clone --depth 1 https://github.com/materialsvirtuallab/mlearn
    python examples/mlearn.py mlearn/data/Si/training.json ../shared/data/mlearn/Si_train.extxyz
    python examples/mlearn.py mlearn/data/Si/test.json ../shared/data/mlearn/Si_test.extxyz

Energies and forces are in eV and eV/Å there, too; the virials, whose unit and sign are not said, are left out.
"""

import argparse
import json
from pathlib import Path

import jax

import miniffx as mff


def frame(record: dict) -> mff.Frame:
    crystal, outputs = record["structure"], record["outputs"]
    structure = mff.Structure.create(
        [site["xyz"] for site in crystal["sites"]],
        [site["species"][0]["element"] for site in crystal["sites"]],
        cell=crystal["lattice"]["matrix"],
    )
    return mff.Frame(structure, outputs["energy"], outputs["forces"], group=record.get("group"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="training.json or test.json of an element")
    parser.add_argument("target", type=Path, help="the file to write")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)  # all digits
    data = mff.Dataset(frame(record) for record in json.loads(options.source.read_text()))
    options.target.parent.mkdir(parents=True, exist_ok=True)
    data.write(options.target)
    print(data)
