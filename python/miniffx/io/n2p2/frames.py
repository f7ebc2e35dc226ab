"""Data sets of RuNNer and n2p2: input.data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from miniffx.io.frames import Frame
from miniffx.io.n2p2.settings import read_lines
from miniffx.io.n2p2.units import Units
from miniffx.structure import host_structure


def read_n2p2_frames(path: str | os.PathLike[str], length_unit: str, energy_unit: str) -> list[Frame]:
    """Read structures with energies and forces from an `input.data`.

    Args:
        path: the file, or the folder that holds `input.data`.
        length_unit, energy_unit: "bohr" or "angstrom", "hartree" or "ev": the units of the file, which does not say.

    Returns:
        Frames in Å, eV, eV/Å: periodic where there is a lattice, with charges where any atom of the file has one,
        without forces where the atoms of a frame have none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file; the message names file and line.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "input.data"
    if not path.exists():
        raise FileNotFoundError(f"`path` must be a file, got {path}, which does not exist")
    units = Units.named(length_unit, energy_unit)
    blocks = _blocks(path)
    if not blocks:
        raise ValueError(f"`path` must be a file with structures, got {path}, which holds none")
    charged = any(float(values[4]) != 0 for _, block in blocks for _, _, values in block["atom"])
    return [_frame(path, begin, block, units, charged) for begin, block in blocks]


_Line = tuple[int, str, list[float]]  # its number, the element where it is an atom, numbers


def _blocks(path: Path) -> list[tuple[int, dict[str, list[_Line]]]]:
    """(line of begin, keyword to lines) of every structure."""
    blocks: list[tuple[int, dict[str, list[_Line]]]] = []
    block: dict[str, list[_Line]] | None = None
    for number, line in enumerate(read_lines(path), start=1):
        keyword, *words = line.split() or [""]
        if not keyword or keyword.startswith("#"):
            continue
        if keyword == "begin" and block is None:
            block = {"lattice": [], "atom": [], "energy": [], "charge": []}
            blocks.append((number, block))
        elif keyword == "end" and block is not None:
            block = None
        elif keyword == "comment" and block is not None:
            continue
        elif block is not None and keyword in block:
            block[keyword].append(_numbers(path, number, keyword, words))
        else:
            where = "outside begin and end" if block is None else "inside begin and end"
            raise ValueError(f"{path}, line {number}: {keyword!r} must not stand {where}")
    if block is not None:
        raise ValueError(f"{path}, line {blocks[-1][0]}: `begin` must be followed by `end`, got the end of the file")
    return blocks


def _numbers(path: Path, number: int, keyword: str, words: list[str]) -> _Line:
    symbol = ""
    if keyword == "atom":
        # x y z element charge (unused) fx fy fz, the last five optional
        if len(words) < 4 or 4 < len(words) < 9:
            raise ValueError(f"{path}, line {number}: `atom` must have 4 or 9 values, got {len(words)}")
        symbol = words[3]
        words = words[:3] + ["0"] + (words[4:9] or ["0"])
    count = {"lattice": 3, "energy": 1, "charge": 1}.get(keyword, 0)
    if len(words) < count:
        raise ValueError(f"{path}, line {number}: `{keyword}` must have {count} values, got {len(words)}")
    try:
        values = [float(word.replace("D", "E")) for word in words[: count or None]]
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: `{keyword}` must have numbers, got {' '.join(words)!r}") from error
    if not np.isfinite(values).all():
        raise ValueError(f"{path}, line {number}: `{keyword}` must have finite numbers, got {' '.join(words)!r}")
    return number, symbol, values


def _frame(path: Path, begin: int, block: dict[str, list[_Line]], units: Units, charged: bool) -> Frame:
    where = f"{path}, structure at line {begin}"
    if len(block["energy"]) != 1 or len(block["lattice"]) not in (0, 3) or not block["atom"]:
        found = ", ".join(f"{len(lines)} {keyword}" for keyword, lines in block.items())
        raise ValueError(f"{where}: must have atoms, one energy, and three lattice vectors or none, got {found}")
    with_forces = [len(values) == 9 for _, _, values in block["atom"]]
    if len(set(with_forces)) > 1:
        line = block["atom"][with_forces.index(not with_forces[0])][0]
        raise ValueError(f"{path}, line {line}: all atoms of a structure must have forces, or none")
    atoms = np.array([values for _, _, values in block["atom"]])
    try:
        structure = host_structure(
            atoms[:, :3] * units.length,
            [symbol for _, symbol, _ in block["atom"]],
            np.array([values for _, _, values in block["lattice"]]) * units.length if block["lattice"] else None,
            charges=atoms[:, 4] if charged else None,
        )
        forces = atoms[:, 6:] * (units.energy / units.length) if with_forces[0] else None
        return Frame(structure, block["energy"][0][2][0] * units.energy, forces)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
