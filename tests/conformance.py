"""Thousands of structures that neighbour lists are known to stumble over, each made again from its name alone.

`case("far/17")` is number 17 of the category "far"; the functions below say what is in a category. Numbers cycle
through the mixes of periodic axes. All images that could be near, tried for every pair of atoms, are at most BUDGET
per case, so that brute force can check thousands. NumPy alone: tests and benchmarks share the cases.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Pbc = tuple[bool, bool, bool]

BUDGET = 300_000  # images tried per case
MIXES: list[Pbc] = list(itertools.product((False, True), repeat=3))


class Case(NamedTuple):
    """One neighbour search: positions [n_atoms, 3] and the rows of cell in Å."""

    name: str
    positions: Array
    cell: Array
    pbc: Pbc
    cutoff: float


def case(name: str) -> Case:
    """The case of that name, always the same."""
    category, number = name.split("/")
    rng = np.random.default_rng([zlib.crc32(category.encode()), int(number)])
    mixes = [pbc for pbc in MIXES if not (category in NOMINAL and all(pbc))]
    pbc = mixes[int(number) % len(mixes)]
    positions, cell, cutoff = CATEGORIES[category][0](rng, pbc)
    if category in NOMINAL:
        cell = nominal(cell, pbc, category)
    return Case(name, positions, cell, pbc, float(cutoff))


def names(category: str) -> list[str]:
    """The names of all cases of a category."""
    return [f"{category}/{number}" for number in range(CATEGORIES[category][1])]


def rows(i: Any, j: Any, shift: Any) -> Array:
    """[n_pairs, 5] the pairs (i, j, s0, s1, s2) of a list, in lexical order, so that two lists can be compared."""
    keys = np.column_stack([i, j, np.reshape(shift, (-1, 3))]).astype(np.int64)
    return keys[np.lexsort(keys.T[::-1])]


def complaint(found: Array, required: Array, allowed: Array) -> str:
    """What is wrong with the rows found: what is missing from them, what does not belong, what is there twice."""
    sets = [set(map(tuple, keys.tolist())) for keys in (found, required, allowed)]
    missing, extra, twice = sorted(sets[1] - sets[0]), sorted(sets[0] - sets[2]), len(found) - len(sets[0])
    parts = [
        f"{len(pairs)} {what}, such as {pairs[0]}" for what, pairs in (("missing", missing), ("extra", extra)) if pairs
    ]
    parts += [f"{twice} listed twice"] if twice else []
    return "; ".join(parts) + f" (of {len(required)} pairs)" if parts else ""


# -- parts -----------------------------------------------------------------------------------------


def heights(cell: Array, pbc: Pbc) -> Array:
    """The height of the cell along each periodic axis, in the lattice that these axes span; infinite on others."""
    dual = np.linalg.pinv(np.where(np.array(pbc)[:, None], cell, 0)).T
    with np.errstate(divide="ignore"):
        return 1 / np.linalg.norm(dual, axis=1)


def n_images(cell: Array, pbc: Pbc, cutoff: float) -> int:
    """How many images of an atom brute force has to try."""
    reach = np.floor(cutoff / heights(cell, pbc) + 0.5) + np.array(pbc)
    return int(np.prod(2 * reach + 1))


def afford(rng: np.random.Generator, cell: Array, pbc: Pbc, cutoff: float, most: int = 55) -> int:
    """A number of atoms; few sizes, so that programs compiled for one can be used again."""
    limit = math.isqrt(BUDGET // n_images(cell, pbc, cutoff))
    sizes = [n for n in (1, 2, 3, 5, 8, 13, 21, 34, 55) if n <= min(most, limit)]
    return int(rng.choice(sizes[-5:]))


def shorten(cell: Array, pbc: Pbc, cutoff: float) -> float:
    """The cutoff, or less where brute force could not afford it for five atoms."""
    while n_images(cell, pbc, cutoff) * 25 > BUDGET:
        cutoff *= 0.8
    return cutoff


def rotation(rng: np.random.Generator) -> Array:
    """A random rotation."""
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


def compact(rng: np.random.Generator) -> Array:
    """A right-handed oblique cell with edges of 2 to 8 Å and no small angle."""
    cell = np.zeros((3, 3))
    while abs(np.linalg.det(cell)) < 0.5 * np.prod(np.linalg.norm(cell, axis=1)) or not cell.any():
        cell = np.diag(rng.uniform(2, 8, size=3)) @ (rotation(rng) + 0.3 * rng.normal(size=(3, 3)))
    return cell * np.sign(np.linalg.det(cell))


def shear(rng: np.random.Generator, cell: Array, pbc: Pbc) -> Array:
    """Slides lattice vectors along others, periodic along periodic ones, until they are ten times as long as high."""
    cell = cell.copy()
    periodic, open_ = (rng.permutation(np.flatnonzero(np.array(pbc) == flag)) for flag in (True, False))
    order = [*periodic, *open_]
    which = [1, 2] if len(periodic) in (0, 3) else [1]
    for m in which[-int(rng.integers(1, 3)) :]:
        below, vector = cell[order[:m]], cell[order[m]]
        inside = np.linalg.lstsq(below.T, vector, rcond=None)[0]
        across = vector - inside @ below
        slide = rng.normal(size=m)
        slide *= np.sqrt(99) * np.linalg.norm(across) / np.linalg.norm(slide @ below)
        if rng.random() < 0.5:  # by whole vectors: the lattice of before under another name
            slide = inside + np.rint(slide - inside)
        cell[order[m]] = across + slide @ below
    return cell


NOMINAL = ("open: zero", "open: dummy", "open: vacuum", "open: dependent")


def nominal(cell: Array, pbc: Pbc, kind: str) -> Array:
    """The cell with vectors on its open axes that must have no influence: zero, 1 Å, 1000 Å, or as another one."""
    cell = cell.copy()
    for axis in np.flatnonzero(~np.array(pbc)):
        if kind == "open: dependent":
            cell[axis] = cell[(axis + 1) % 3]
        elif kind in NOMINAL:
            cell[axis] = {"open: zero": 0, "open: dummy": 1, "open: vacuum": 1000}[kind] * np.eye(3)[axis]
    return cell


def reach_of(cell: Array, pbc: Pbc) -> float:
    """A length to choose cutoffs by: the smallest height, or edge of a cell that is open everywhere."""
    return float(heights(cell, pbc if any(pbc) else (True, True, True)).min())


# The corner, face, and edge of a cell, in the ways that a fractional coordinate can say so.
ON_A_FACE = (0.0, -0.0, 1.0, 1 - 2.0**-53, 1 + 2.0**-52, 1e-17, -1e-17, -1.0, 2.0)


def on_faces(rng: np.random.Generator, n: int) -> Array:
    """Fractional coordinates of n atoms at least one of which is on a face, no two in one place."""
    corners = 0.5 * rng.permutation(list(itertools.product((0, 1), repeat=3)))
    places = np.concatenate([corners[: (n + 1) // 2], rng.uniform(0.1, 0.9, size=(n // 2 + 1, 3))])[:n]
    places[(n + 1) // 2 :, 0] = 0
    for index in np.argwhere(places == 0):
        places[tuple(index)] = rng.choice(ON_A_FACE)
    return places[:, rng.permutation(3)]


def turns(rng: np.random.Generator, n: int, pbc: Pbc, most: float) -> Array:
    """Lattice vectors to move n atoms by: each its own, all alike, or a single one."""
    own = rng.integers(-int(most), int(most), size=(n, 3), endpoint=True)
    kind = rng.integers(3)
    if kind == 1:
        own[:] = own[:1]
    if kind == 2:
        own[1:] = 0
    return own * pbc


# -- categories ------------------------------------------------------------------------------------

Draft = tuple[Array, Array, float]  # positions, cell, cutoff


def ordinary(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """What everybody computes: atoms in a cell, and a cutoff below its heights."""
    cell = compact(rng)
    cutoff = rng.uniform(0.2, 1.0) * reach_of(cell, pbc)
    return rng.random((afford(rng, cell, pbc, cutoff), 3)) @ cell, cell, cutoff


def many(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """As many atoms as brute force can take, up to five hundred, sparse and dense, in cells of any shape."""
    cell = compact(rng) * 4 ** rng.uniform(-1, 1, size=(3, 1))
    cutoff = 10 ** rng.uniform(-1, 0.3) * reach_of(cell, pbc)
    return rng.random((math.isqrt(BUDGET // n_images(cell, pbc, cutoff)), 3)) @ cell, cell, cutoff


def sheared(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Lattice vectors up to ten times as long as the cell is high along them."""
    cell = shear(rng, compact(rng), pbc)
    cutoff = shorten(cell, pbc, rng.uniform(0.5, 5.0) * reach_of(cell, pbc))
    return rng.random((afford(rng, cell, pbc, cutoff, 21), 3)) @ cell, cell, cutoff


def long_cutoff(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """A cutoff of one to five times the smallest height, of compact, flat and slender cells."""
    cell = compact(rng) * 3 ** rng.uniform(-1, 1, size=(3, 1))
    cutoff = shorten(cell, pbc, rng.uniform(1, 5) * reach_of(cell, pbc))
    return rng.random((afford(rng, cell, pbc, cutoff, 21), 3)) @ cell, cell, cutoff


def one_atom(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """A single atom, whose neighbours are its own images."""
    cell = compact(rng)
    if rng.random() < 0.5:
        cell = shear(rng, cell, pbc)
    cutoff = shorten(cell, pbc, rng.uniform(1, 5) * reach_of(cell, pbc))
    return rng.random((1, 3)) @ cell, cell, cutoff


def no_atoms(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Nothing at all."""
    return np.zeros((0, 3)), compact(rng), rng.uniform(1, 9)


def left_handed(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Cells of negative determinant."""
    cell = compact(rng)[[1, 0, 2]]
    cutoff = rng.uniform(0.2, 2.0) * reach_of(cell, pbc)
    return rng.random((afford(rng, cell, pbc, cutoff), 3)) @ cell, cell, cutoff


def outside(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms up to two cells out of the box, along open axes too."""
    cell = compact(rng)
    cutoff = rng.uniform(0.2, 2.0) * reach_of(cell, pbc)
    return rng.uniform(-2, 3, size=(afford(rng, cell, pbc, cutoff), 3)) @ cell, cell, cutoff


def far(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms thousands of lattice vectors away."""
    positions, cell, cutoff = ordinary(rng, pbc)
    return positions + turns(rng, len(positions), pbc, 5000) @ cell, cell, cutoff


def faces(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms on faces, edges and corners: fractional coordinates of exactly or nearly 0 and 1, and minus zero."""
    cell = compact(rng)
    if rng.random() < 0.5:
        cell = np.diag(np.rint(8 * np.linalg.norm(cell, axis=1)) / 8)  # 0 and 1 stay exact
    cutoff = rng.uniform(0.2, 2.0) * reach_of(cell, pbc)
    positions = on_faces(rng, afford(rng, cell, pbc, cutoff, 13)) @ cell
    positions[(positions == 0) & (rng.random(positions.shape) < 0.5)] = -0.0
    return positions, cell, cutoff


def coincident(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms in the place of others, or of their images: pairs of no length."""
    cell = compact(rng)
    cell = np.rint(8 * cell) / 8
    cutoff = rng.uniform(0.2, 2.0) * reach_of(cell, pbc)
    n = max(2, afford(rng, cell, pbc, cutoff, 21))
    positions = np.rint(64 * (rng.random((n, 3)) @ cell)) / 64
    same = rng.integers(n, size=n)
    positions = positions[np.where(rng.random(n) < 0.5, same, 0)]
    return positions + (rng.integers(-2, 3, size=(n, 3)) * pbc * rng.integers(2)) @ cell, cell, cutoff


def at_the_cutoff(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms on a grid, in cells whose vectors are on it too, with pairs of exactly the length of the cutoff.

    All numbers are integers times a power of two, so that distances are exact: 3, 4, 5 and their like.
    """
    size = rng.integers(2, 7, size=3)
    cell = np.diag(size)
    cell[1, 0], cell[2, 0], cell[2, 1] = rng.integers(0, size[[0, 0, 1]])  # any sublattice of the grid
    points = rng.permutation(list(itertools.product(*map(range, size))))  # one of each class: no two in one place
    cutoff = rng.choice([1, 2, 3, 5, 7, 9])  # 3: (1, 2, 2); 5: (3, 4, 0); 7: (2, 3, 6); 9: (1, 4, 8), (4, 4, 7)
    while n_images(cell, pbc, cutoff) * 25 > BUDGET:
        cutoff -= 2
    points = points[: afford(rng, cell, pbc, cutoff)] + rng.integers(-4, 5)
    points = points + turns(rng, len(points), pbc, rng.choice([0, 1, 1000])) @ cell
    swap = rng.permutation(3)
    unit = 2.0 ** rng.integers(-3, 2)
    return unit * points[:, swap], unit * cell[:, swap], unit * cutoff


def scattered(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Clusters up to a million Å from each other, in huge boxes and along open axes."""
    cell = compact(rng) * 10 ** rng.uniform(0, 5, size=(3, 1))
    cutoff = rng.uniform(2, 5)
    while n_images(cell, pbc, cutoff) > 125:
        cell *= 2
    n = afford(rng, cell, pbc, cutoff)
    centers = rng.random((4, 3)) @ cell * 10 ** rng.uniform(0, 1)
    return centers[rng.integers(4, size=n)] + rng.normal(scale=cutoff, size=(n, 3)), cell, cutoff


def mixed(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Several of these at once."""
    cell = compact(rng)
    if rng.random() < 0.5:
        cell = shear(rng, cell, pbc)
    if rng.random() < 0.5:
        cell = cell[rng.permutation(3)]
    cutoff = shorten(cell, pbc, 10 ** rng.uniform(-0.7, 0.7) * reach_of(cell, pbc))
    n = afford(rng, cell, pbc, cutoff, 21)
    positions = (on_faces(rng, n) if rng.random() < 0.3 else rng.uniform(-0.5, 1.5, size=(n, 3))) @ cell
    if rng.random() < 0.3:
        positions = positions[rng.integers(len(positions), size=n)]
    if rng.random() < 0.5:
        positions = positions + turns(rng, len(positions), pbc, 10 ** rng.uniform(0, 4)) @ cell
    return positions, nominal(cell, pbc, str(rng.choice(["as it is", *NOMINAL]))), cutoff


def farthest(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms up to 10⁹ lattice vectors away, where positions are given to 10⁻⁷ Å: bins are off, D still decides."""
    positions, cell, cutoff = ordinary(rng, pbc)
    return positions + turns(rng, len(positions), pbc, 10 ** rng.uniform(5, 9)) @ cell, cell, cutoff


def grazing(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """The cutoff is the length of one of the pairs, or differs from it by a few units in the last place."""
    positions, cell, cutoff = mixed(rng, pbc)
    inverse = np.linalg.pinv(np.where(np.array(pbc)[:, None], cell, 0))
    for _ in range(30):
        i, j = rng.integers(len(positions), size=2)
        s = rng.integers(-1, 2, size=3) * pbc - np.rint((positions[j] - positions[i]) @ inverse)
        D = (positions[j] - positions[i]) + ((s[0] * cell[0] + s[1] * cell[1]) + s[2] * cell[2])
        length = float(np.sqrt(D[0] * D[0] + D[1] * D[1] + D[2] * D[2]))
        if 0.05 * cutoff < length < 1.2 * cutoff and n_images(cell, pbc, length) * len(positions) ** 2 < BUDGET:
            return positions, cell, length * (1 + rng.integers(-2, 3) * 2.0**-52)
    return positions, cell, cutoff


def chains(rng: np.random.Generator, pbc: Pbc) -> Draft:
    """Atoms on lattice planes and in rows, whole numbers of cutoffs apart or hardly less, in cells of whole numbers
    or simple fractions of the cutoff, or hardly more.

    Whoever divides the cell into bins of the width of the cutoff has the atoms at the bounds of bins, and has to
    find pairs in bins that nearly do not touch. The atoms are up to 10⁹ lattice vectors away, so that rounding moves
    them across the bounds.
    """
    cutoff = rng.uniform(0.5, 2.0)
    n_bins = rng.permutation([rng.choice([1 / 3, 1 / 2, 1, *range(3, 60)]), *rng.choice([1 / 3, 1 / 2, 1, 2], size=2)])
    if rng.random() < 0.5:
        n_bins[:] = rng.choice([1 / 3, 1 / 2, 1], size=3)
    hardly = rng.choice([0, 1, 1, 1], size=3) * 10 ** -rng.uniform(5, 9, size=3) + rng.choice([0, 1e-6], size=3)
    cell = np.diag(cutoff * n_bins * (1 + hardly))
    n = min(34, math.isqrt(BUDGET // n_images(cell, pbc, cutoff)))
    places = np.floor(rng.random((n, 3)) * n_bins) * (1 - 10 ** -rng.uniform(6, 16))
    positions = cutoff * places + rng.choice([0.0, 0.5, 1.0], p=[0.6, 0.2, 0.2], size=3) * np.diag(cell)
    if rng.random() < 0.5:
        q = rotation(rng)
        positions, cell = positions @ q, cell @ q
    return positions + turns(rng, n, pbc, 10 ** rng.uniform(6, 9)) @ cell, cell, cutoff


CATEGORIES: dict[str, tuple[Callable[[np.random.Generator, Pbc], Draft], int]] = {
    "ordinary": (ordinary, 400),
    "many atoms": (many, 160),
    "sheared": (sheared, 400),
    "long cutoff": (long_cutoff, 400),
    "one atom": (one_atom, 240),
    "no atoms": (no_atoms, 24),
    "left-handed": (left_handed, 240),
    "outside": (outside, 240),
    "far": (far, 400),
    "faces": (faces, 400),
    "coincident": (coincident, 240),
    "at the cutoff": (at_the_cutoff, 400),
    "scattered": (scattered, 240),
    **dict.fromkeys(NOMINAL, (outside, 210)),
    "mixed": (mixed, 1200),
    "farthest": (farthest, 240),
    "grazing": (grazing, 400),
    "chains": (chains, 1200),
}
