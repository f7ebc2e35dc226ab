"""Potentials of pairs over the distance, of triples over the angle."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from miniffx.plot.axes import COLORS, draw_curves, new_axes
from miniffx.potentials import Energy, OnSite, Scaled, Sum
from miniffx.structure import Structure, stack

POINTS = 200


def potential(energy: Energy, ax: Axes | None = None) -> Axes:
    """What a pair of atoms costs at which distance, or a triple at which angle.

    Pair terms are drawn over the distance, one line each, and in black their sum where several act between the same
    species. Triple terms alone are drawn over the angle at the centre, for a few lengths of both legs. In a sum of
    both, triple terms are drawn over the length of both legs, dashed, at 60, 90 and 120 degrees.

    Args:
        energy: a pair or triple potential, or a sum or multiple of such; on-site terms are left out.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: a term that is neither, such as a neural network.
    """
    pairs: list[Energy] = []
    triples: list[Energy] = []
    for term in _terms(energy):
        bare = _bare(term)
        if isinstance(bare, OnSite):
            continue
        if not hasattr(bare, "species") or not (hasattr(bare, "formula") or hasattr(bare, "function")):
            raise ValueError(f"`energy` must be made of potentials of pairs and triples, got {type(bare).__name__}")
        (pairs if len(bare.species) == 2 else triples).append(term)
    if not pairs and not triples:
        raise ValueError("`energy` must hold a potential of pairs or triples, got none")
    ax = new_axes(ax, 5.6, 4.0)
    if not pairs:
        return _over_angles(triples, ax)
    cutoff = max(float(np.max(term.needs.cutoff)) for term in (*pairs, *triples))
    r = np.linspace(0.02, 1.05, 4 * POINTS) * cutoff
    by_pair: dict[str, list[np.ndarray]] = {}
    curves = []
    for term in pairs:
        values = _pair_energies(term, r)
        curves.append((_label(term), values))
        by_pair.setdefault("-".join(sorted(_bare(term).species)), []).append(values)
    totals = {key: np.sum(terms, axis=0) for key, terms in by_pair.items()}
    draw_curves(ax, r, curves)
    for key, values in totals.items():
        if len(by_pair[key]) > 1:
            ax.plot(r, values, color="black", label=f"all of {key}", linewidth=1.6)
    for number, term in enumerate(triples):
        for angle, style in ((60, ":"), (90, "-."), (120, "--")):
            values = _triple_energies(term, r, np.full_like(r, np.radians(angle)))
            label = f"{_label(term)}, {angle}°"
            ax.plot(r, values, style, color=COLORS[-2 - number % 3], label=label, linewidth=1.1)
    ax.legend(frameon=False, fontsize="small")
    _frame_the_well(ax, r, list(totals.values()))
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_xlabel("distance r (Å)" if not triples else "distance r, of triples both legs (Å)")
    ax.set_ylabel("energy (eV)")
    return ax


def _over_angles(triples: list[Energy], ax: Axes) -> Axes:
    theta = np.radians(np.linspace(0, 180, POINTS + 1)[1:])
    curves = []
    for term in triples:
        cutoff = float(np.max(term.needs.cutoff))
        for fraction in (0.5, 0.6, 0.7):
            legs = np.full_like(theta, fraction * cutoff)
            label = f"{_label(term)}, r = {fraction * cutoff:.2f} Å"
            curves.append((label, _triple_energies(term, legs, theta)))
    draw_curves(ax, np.degrees(theta), curves)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_xlim(0, 180)
    ax.set_xticks(range(0, 181, 30))
    ax.set_xlabel("angle θ at the centre (degrees), both legs r")
    ax.set_ylabel("energy (eV)")
    return ax


def _frame_the_well(ax: Axes, r: np.ndarray, totals: list[np.ndarray]) -> None:
    """Limits that show wells and the foot of the wall; of a wall alone, most of it."""
    # Left of a barrier, where some formulas fall without end, there is nothing to see.
    starts = [int(np.argmax(values[: len(r) // 2])) for values in totals]
    lowest = min(float(values[start:].min()) for start, values in zip(starts, totals, strict=True))
    highest = max(float(np.abs(values[r > 0.3 * r[-1]]).max()) for values in totals)
    depth = -lowest if np.isfinite(lowest) and -lowest > 1e-3 * highest else 0.0
    low, high = (-1.25 * depth, 1.5 * depth) if depth else (-0.05 * highest, 1.05 * highest)
    if high > low:
        ax.set_ylim(low, high)
    shown = np.any([(values < high) & (r >= r[k]) for k, values in zip(starts, totals, strict=True)], axis=0)
    ax.set_xlim(max(0.0, r[np.argmax(shown)] - 0.05 * r[-1]), r[-1])


# -- energies of two and of three atoms ------------------------------------------------------------------------


def _pair_energies(term: Energy, r: np.ndarray) -> np.ndarray:
    positions = np.zeros((len(r), 2, 3))
    positions[:, 1, 2] = r
    return np.asarray(_energies(term, positions, _bare(term).species).sum(axis=1))


def _triple_energies(term: Energy, legs: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Of the first atom only: where all three are of one species, each is the centre of a triple."""
    positions = np.zeros((len(legs), 3, 3))
    positions[:, 1, 2] = legs
    positions[:, 2, 2], positions[:, 2, 0] = legs * np.cos(theta), legs * np.sin(theta)
    return np.asarray(_energies(term, positions, _bare(term).species)[:, 0])


def _energies(term: Energy, positions: np.ndarray, species: tuple[str, ...]) -> jax.Array:
    """[n, atoms] energies of atoms."""
    batch = jax.tree.map(jnp.asarray, stack([Structure.create(atoms, species) for atoms in positions]))
    return _atomic(term, batch, term.neighbor_list(batch))


@jax.jit
def _atomic(term: Energy, batch: Structure, neighbors: Any) -> jax.Array:
    return jax.vmap(term.atomic)(batch, neighbors)


# -- terms -----------------------------------------------------------------------------------------------------


def _terms(energy: Any) -> list[Energy]:
    """The terms of sums and multiples of sums, each with its factor."""
    if isinstance(energy, Sum):
        return [term for part in energy.terms for term in _terms(part)]
    if isinstance(energy, Scaled) and isinstance(energy.term, Sum | Scaled):
        return [Scaled(energy.factor, term) for term in _terms(energy.term)]
    return [energy]


def _bare(term: Any) -> Any:
    return _bare(term.term) if isinstance(term, Scaled) else term


def _factor(term: Any) -> float:
    return float(term.factor) * _factor(term.term) if isinstance(term, Scaled) else 1.0


def _label(term: Any) -> str:
    factor, species = _factor(term), _bare(term).species
    prefix = "" if factor == 1 else f"{factor:.4g} × "
    pair = "-".join(species) if len(species) == 2 else f"{species[0]}-[{species[1]},{species[2]}]"
    return f"{prefix}{type(_bare(term)).__name__} {pair}"
