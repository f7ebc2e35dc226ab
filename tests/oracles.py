"""Answers found the slow way, in NumPy alone: every periodic image, plain sums, central differences."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

Array = np.ndarray

# jax.jit for a function of many operations that runs but a few times: compiling is most of what it costs.
quick_jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)


def tolerance(double: float, single: float) -> float:
    """The tolerance for the precision in which the tests run (`--float32`)."""
    return double if jax.config.jax_enable_x64 else single


class Pairs(NamedTuple):
    """Ordered pairs, with D = positions[j] + shift @ cell − positions[i]."""

    i: Array
    j: Array
    shift: Array
    D: Array

    def keys(self) -> set[tuple[int, ...]]:
        """The set of (i, j, shift)."""
        return pair_keys(self.i, self.j, self.shift)


def pair_keys(i: Any, j: Any, shift: Any) -> set[tuple[int, ...]]:
    """The set of (i, j, s0, s1, s2) of any list of pairs; fails where a pair is listed twice."""
    rows = np.column_stack([i, j, np.reshape(shift, (-1, 3))]).astype(int).tolist()
    keys = {tuple(row) for row in rows}
    assert len(keys) == len(rows), "a pair is listed twice"
    return keys


def brute_force_pairs(positions: Any, cell: Any, pbc: Any, cutoff: float, extra: int = 1) -> Pairs:
    """All pairs with |D| < cutoff, by trying every image that could be near, and `extra` ones beyond.

    Along a periodic axis of height h (that of the lattice which the periodic vectors span), |D| < cutoff puts the
    image of j within cutoff/h lattice vectors of i; rounding tells which image of j is level with i to half a vector.
    So shifts up to cutoff/h + 1/2 from that one can count. Rough distances to all of these sort out what is far
    beyond the cutoff; D decides about the rest.
    """
    positions = np.asarray(positions, dtype=np.float64)
    cell = np.where(np.broadcast_to(pbc, (3,))[:, None], np.asarray(cell, dtype=np.float64), 0)
    dual = np.linalg.pinv(cell).T  # zero along open axes; the heights are 1/|dual|
    reach = np.floor(cutoff * np.linalg.norm(dual, axis=1) + 0.5).astype(int) + extra * cell.any(axis=1)
    window = np.indices(2 * reach + 1).reshape(3, -1).T - reach
    i, j = np.indices((len(positions), len(positions))).reshape(2, -1)
    level = -np.round((positions[j] - positions[i]) @ dual.T)

    base, images = (positions[j] - positions[i]) + level @ cell, window @ cell
    shifts = np.abs(level).max(initial=0) + reach.max()
    largest = np.abs(positions).max(initial=0) + shifts * np.abs(cell).sum()
    rough = (1 + 1e-6) * cutoff + 64 * np.finfo(float).eps * largest
    found, block = [], 1 + 2**15 // len(window)
    for start in range(0, len(i), block):
        rows = slice(start, start + block)
        square = sum((base[rows, None, c] + images[:, c]) ** 2 for c in range(3))
        pair, image = np.nonzero(square < rough * rough)
        found.append((start + pair, image))
    pair, image = (np.concatenate(column) for column in zip(*found, strict=True)) if found else np.zeros((2, 0), int)

    i, j, shift = i[pair], j[pair], level[pair] + window[image]
    translation = (shift[:, :1] * cell[0] + shift[:, 1:2] * cell[1]) + shift[:, 2:] * cell[2]
    D = (positions[j] - positions[i]) + translation
    near = D[:, 0] * D[:, 0] + D[:, 1] * D[:, 1] + D[:, 2] * D[:, 2] < cutoff * cutoff
    near &= (i != j) | shift.any(axis=1)
    return Pairs(i[near], j[near], shift[near].astype(int), D[near])


def brute_force_triples(positions: Any, cell: Any, pbc: Any, cutoff: float, closed: bool = False) -> set[Any]:
    """Every centre with every unordered pair of its neighbours: the set of (i, {(j, shift), (k, shift)})."""
    pairs = brute_force_pairs(positions, cell, pbc, cutoff)
    found = set()
    for i in range(len(positions)):
        of_i = np.flatnonzero(pairs.i == i)
        for a, b in itertools.combinations(of_i, 2):
            if not closed or np.linalg.norm(pairs.D[b] - pairs.D[a]) < cutoff:
                found.add(triple_key(i, pairs.j[a], pairs.shift[a], pairs.j[b], pairs.shift[b]))
    return found


def triple_key(i: Any, j: Any, shift_j: Any, k: Any, shift_k: Any) -> Any:
    """(i, {(j, shift), (k, shift)}) in plain integers."""
    legs = frozenset((int(atom), *(int(s) for s in shift)) for atom, shift in ((j, shift_j), (k, shift_k)))
    assert len(legs) == 2, "the two neighbours of a triple are the same"
    return int(i), legs


# -- sums over the atoms of a structure ------------------------------------------------------------


def pairs_of(structure: Any, cutoff: float) -> Pairs:
    """The brute-force pairs of a Structure."""
    return brute_force_pairs(structure.positions, structure.cell, structure.pbc, cutoff)


def each_triple(
    structure: Any, species: tuple[str, str, str], cutoff: float
) -> Iterator[tuple[int, float, float, Any]]:
    """(i, r_j, r_k, (r_jk, cos θ)) of every centre and unordered pair of neighbours of the given labels.

    Where the labels of the neighbours differ, r_j belongs to the first of them.
    """
    pairs = pairs_of(structure, cutoff)
    labels = structure.species
    for i in range(len(labels)):
        if labels[i] != species[0]:
            continue
        of_i = np.flatnonzero(pairs.i == i)
        for a, b in itertools.combinations(of_i, 2):
            if (labels[pairs.j[a]], labels[pairs.j[b]]) != species[1:]:
                a, b = b, a
            if (labels[pairs.j[a]], labels[pairs.j[b]]) != species[1:]:
                continue
            u, v = pairs.D[a], pairs.D[b]
            r1, r2 = np.sqrt(u @ u), np.sqrt(v @ v)
            yield i, r1, r2, (np.sqrt((v - u) @ (v - u)), (u @ v) / (r1 * r2))


def pair_energies(structure: Any, species: tuple[str, str], cutoff: float, f: Callable[[float], float]) -> Array:
    """[n_atoms] each unordered pair of the two labels once, half of f(r) on each of its atoms."""
    pairs, labels = pairs_of(structure, cutoff), structure.species
    energies = np.zeros(len(labels))
    for i, j, D in zip(pairs.i, pairs.j, pairs.D, strict=True):
        if sorted((labels[i], labels[j])) == sorted(species):
            energies[i] += 0.5 * f(np.sqrt(D @ D))
    return energies


def triple_energies(
    structure: Any, species: tuple[str, str, str], cutoff: float, f: Callable[[float, float, float], float]
) -> Array:
    """[n_atoms] each centre with each unordered pair of its neighbours once: f(r1, r2, cos θ) on the centre."""
    energies = np.zeros(structure.n_atoms)
    for i, r1, r2, (_, cos_theta) in each_triple(structure, species, cutoff):
        energies[i] += f(r1, r2, cos_theta)
    return energies


def radial_sums(structure: Any, species: tuple[str, str], cutoff: float, f: Callable[[float], float]) -> Array:
    """[n_atoms] Σ_j f(r_ij) for centres of the first label, over neighbours of the second."""
    pairs, labels = pairs_of(structure, cutoff), structure.species
    sums = np.zeros(len(labels))
    for i, j, D in zip(pairs.i, pairs.j, pairs.D, strict=True):
        if (labels[i], labels[j]) == species:
            sums[i] += f(np.sqrt(D @ D))
    return sums


def angular_sums(
    structure: Any, species: tuple[str, str, str], cutoff: float, f: Callable[[float, float, float, float], float]
) -> Array:
    """[n_atoms] Σ_{j<k} f(r_ij, r_ik, r_jk, cos θ) over triples whose three sides are shorter than the cutoff."""
    sums = np.zeros(structure.n_atoms)
    for i, r1, r2, (r3, cos_theta) in each_triple(structure, species, cutoff):
        if r3 < cutoff:
            sums[i] += f(r1, r2, r3, cos_theta)
    return sums


# -- derivatives -----------------------------------------------------------------------------------


def central_difference(f: Callable[[Array], Any], x: Any, h: float, order: int = 2) -> Array:
    """∂f/∂x by central differences: [*x.shape, *f(x).shape].

    Wrong by about h² f⁽³⁾/6 where `order` is 2, by h⁴ f⁽⁵⁾/30 where it is 4, and by the rounding of f over h.
    """
    x = np.asarray(x, dtype=np.float64)
    weights = {2: {1: 1 / 2}, 4: {1: 2 / 3, 2: -1 / 12}}[order]
    slopes = []
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        pairs = [(w, f(x + k * step), f(x - k * step)) for k, w in weights.items()]
        slopes.append(sum(w * (np.asarray(up, np.float64) - np.asarray(down, np.float64)) for w, up, down in pairs) / h)
    return np.reshape(slopes, (*x.shape, *np.shape(slopes[0]))) if slopes else np.zeros(x.shape)
