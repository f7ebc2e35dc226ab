"""Descriptors as functions of a distance and of an angle."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec

from miniffx.descriptors import Angular, Descriptor, Radial
from miniffx.descriptors.naming import kind, parameters, text
from miniffx.plot.axes import Picture

COLUMNS = 3  # panels side by side
IN_LEGEND = 6  # curves in a panel, at most, that a legend names one by one
TITLES = 3  # kinds, at most, that a title names
POINTS = 400
SPACE: Any = {"wspace": 0.45, "hspace": 0.7}  # between panels, where no layout engine sees to it
NO_BREAK = "\N{NO-BREAK SPACE}"
CHARACTER, LINE = 3.7, 10  # points that one of small print takes
SYMBOLS = {  # how parameters are written, and their units
    "eta": ("η =", " Å⁻²"),
    "eta1": ("η₁ =", " Å⁻²"),
    "eta2": ("η₂ =", " Å⁻²"),
    "r_shift": ("$r_s$ =", " Å"),
    "r0": ("r₀ =", " Å"),
    "dr": ("dr =", " Å"),
    "r_low": ("from", " Å"),
    "cutoff": ("cutoff", " Å"),
    "cutoff_function": ("$f_c$", ""),
    "cutoff_alpha": ("α =", ""),
    "zeta": ("ζ =", ""),
    "lam": ("λ =", ""),
    "cos_theta0": ("cos θ₀ =", ""),
    "angle_low": ("θ from", "°"),
    "angle_high": ("θ to", "°"),
}


def descriptors(descriptors: Iterable[Descriptor], ax: Axes | None = None) -> Axes:
    """What one neighbour adds to radial descriptors, over r, and a pair of neighbours to angular ones, over θ.

    There is one panel for each pair or triple of species; those with the same functions share a panel, titled with all
    of them. Angular functions are drawn for two neighbours at the same distance, a third of the cutoff (for compact
    functions, of their window). Where a panel has many curves, it says what their parameters are and names none.

    Args:
        descriptors: a DescriptorSet, or any descriptors.
        ax: where to draw, all panels within its place; a new figure by default.

    Returns:
        The Axes of the first panel (`ax` itself); all are in its figure.
    """
    families = _families(descriptors)
    panels = _panels(ax, len(families))
    for panel, family in zip(panels, families, strict=True):
        _draw(panel, family)
    return panels[0]


@dataclass
class _Family:
    """Descriptors of one kind, and all kinds that have the same."""

    kinds: list[str]
    members: list[Descriptor]


def _families(descriptors: Iterable[Descriptor]) -> list[_Family]:
    """Radial ones first, otherwise in the order of the set."""
    of_kind: dict[tuple[bool, str], list[Descriptor]] = {}
    for descriptor in descriptors:
        if not isinstance(descriptor, (Radial, Angular)):
            raise ValueError(f"`descriptors` must be functions of a distance or an angle, got {descriptor!r}")
        of_kind.setdefault((isinstance(descriptor, Angular), kind(descriptor)), []).append(descriptor)
    if not of_kind:
        raise ValueError("`descriptors` must hold at least one descriptor, got none")
    families: dict[Any, _Family] = {}
    for (angular, name), members in sorted(of_kind.items(), key=lambda item: item[0][0]):
        functions = frozenset((type(descriptor), *_shown(descriptor).items()) for descriptor in members)
        families.setdefault((angular, functions), _Family([], members)).kinds.append(name)
    return list(families.values())


def _shown(descriptor: Descriptor) -> dict[str, Any]:
    """The parameters that shape the function, numbers as floats."""
    shown = {key: value for key, value in parameters(descriptor).items() if key != "weights"}
    return {
        key: value if isinstance(value, (str, bool)) or callable(value) else float(value)
        for key, value in shown.items()
    }


def _panels(ax: Axes | None, count: int) -> list[Axes]:
    n_columns = min(count, COLUMNS)
    n_rows = -(-count // n_columns)
    grid: GridSpec | GridSpecFromSubplotSpec
    if ax is None:
        new = Picture(figsize=(3.5 * n_columns + 0.5, 2.9 * n_rows + 0.2), layout="constrained")
        grid = new.add_gridspec(n_rows, n_columns)
        return [new.add_subplot(grid[index]) for index in range(count)]
    if count == 1:
        return [ax]
    figure: Any = ax.figure
    place = ax.get_subplotspec()
    if place is None:  # no layout cares about it: neither shall one about the others
        box = ax.get_position()
        sides: Any = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
        grid = GridSpec(n_rows, n_columns, **sides, **SPACE)
        boxes = [grid[index].get_position(figure) for index in range(count)]
        ax.set_position(boxes[0])
        return [ax, *(figure.add_axes(box.bounds) for box in boxes[1:])]
    grid = place.subgridspec(n_rows, n_columns, **(SPACE if figure.get_layout_engine() is None else {}))
    ax.set_subplotspec(grid[0])
    return [ax, *(figure.add_subplot(grid[index]) for index in range(1, count))]


def _draw(ax: Axes, family: _Family) -> None:
    members = family.members
    angular = isinstance(members[0], Angular)
    cutoff = max(descriptor.cutoff for descriptor in members)
    x = np.linspace(0, 180 if angular else cutoff, POINTS)
    legend = 1 < len(members) <= IN_LEGEND
    labels = _labels(members) if legend else [None] * len(members)
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(members)))
    for descriptor, color, label in zip(members, colors, labels, strict=True):
        y = _of_angle(descriptor, x) if angular else _of_distance(descriptor, x)
        ax.plot(x, y, color=color, linewidth=1.2, label=label)
    ax.set_xlim(0, x[-1])
    ax.set_xlabel("θ (°)" if angular else "r (Å)")
    ax.set_ylabel("per pair of neighbours" if angular else "per neighbour")
    if angular:
        ax.set_xticks(range(0, 181, 45))
    if legend:
        ax.legend(fontsize="x-small", handlelength=1.2, framealpha=0.8, edgecolor="none", borderpad=0.2)
    kinds = ", ".join(family.kinds[:TITLES])
    if len(family.kinds) > TITLES:
        kinds += f", … ({len(family.kinds)} {'triples' if angular else 'pairs'})"
    distances = _range([_distance(descriptor) for descriptor in members])
    words = _summary(members, legend)
    if angular:
        words[-1] += "; " + f"neighbours at {distances} Å".replace(" ", NO_BREAK)
    width = max(24, int(ax.bbox.width / ax.figure.dpi * 72 / CHARACTER))
    lines = [line for part in words for line in textwrap.wrap(part, width)]
    ax.set_title(kinds, fontsize="medium", pad=5 + LINE * len(lines))
    ax.annotate(
        "\n".join(lines),
        (0.5, 1),
        (0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        fontsize="x-small",
        color="0.35",
    ).set_in_layout(False)  # the title above it makes room
    ax.grid(alpha=0.3, linewidth=0.5)


def _of_distance(descriptor: Any, r: np.ndarray) -> np.ndarray:
    inside = r < descriptor.cutoff
    return np.where(
        inside, np.asarray(descriptor.formula(jnp.asarray(np.where(inside, r, 0.5 * descriptor.cutoff)))), 0
    )


def _of_angle(descriptor: Any, theta: np.ndarray) -> np.ndarray:
    r = np.full_like(theta, _distance(descriptor))
    opposite = 2 * r * np.sin(np.deg2rad(theta) / 2)
    inside = (opposite < descriptor.cutoff) | (not descriptor.closed)
    legs = (r, r, np.where(inside, opposite, 0.5 * descriptor.cutoff), np.cos(np.deg2rad(theta)))
    return np.where(inside, np.asarray(descriptor.formula(*map(jnp.asarray, legs))), 0)


def _distance(descriptor: Any) -> float:
    """Of both neighbours from the centre, Å."""
    begin = max(float(getattr(descriptor, "r_low", 0.0)), 0.0)
    return begin + (descriptor.cutoff - begin) / 3


# -- words ----------------------------------------------------------------------------------------------------------


def _labels(members: list[Descriptor]) -> list[str]:
    """For a legend: the formula where there are several in a panel, and what it does not share with its like."""
    several = len({type(descriptor) for descriptor in members}) > 1
    labels = []
    for descriptor in members:
        varying = _varying(members, type(descriptor))
        words = [_assigned(key, [value]) for key, value in _shown(descriptor).items() if key in varying]
        labels.append(" ".join([type(descriptor).__name__] * several + [", ".join(words)]))
    return labels


def _summary(members: list[Descriptor], legend: bool) -> list[str]:
    """A line for each formula: how many, and the values of their parameters but those that a legend tells."""
    lines = []
    for formula in dict.fromkeys(type(descriptor) for descriptor in members):
        own = [_shown(descriptor) for descriptor in members if type(descriptor) is formula]
        told = _varying(members, formula) if legend else set()
        keys = [key for key in dict.fromkeys(key for values in own for key in values) if key not in told]
        lists = {key: [values[key] for values in own if key in values] for key in keys}
        words = [_assigned(key, values) for key, values in lists.items() if (key, *set(values)) != ("r_shift", 0.0)]
        lines.append(", ".join([f"{len(own)} {formula.__name__}", *words]))
    return lines


def _varying(members: list[Descriptor], formula: type) -> set[str]:
    """The parameters in which descriptors of one formula differ."""
    shown = [_shown(descriptor) for descriptor in members if type(descriptor) is formula]
    keys = {key for values in shown for key in values}
    return {key for key in keys if len({values.get(key) for values in shown}) > 1}


def _assigned(key: str, values: list[Any]) -> str:
    symbol, unit = SYMBOLS.get(key, (key.replace("_", " "), ""))
    distinct = list(dict.fromkeys(values))
    numbers = [value for value in distinct if isinstance(value, float)]
    if len(numbers) < len(distinct):
        words = f"{symbol} {', '.join(map(text, distinct))}"
    elif sorted(numbers) == [-1.0, 1.0]:
        words = f"{symbol} ±1{unit}"
    else:
        words = f"{symbol} {_range(numbers)}{unit}"
    return words.replace(" ", NO_BREAK)  # lines break between parameters only


def _range(numbers: list[float]) -> str:
    """A few numbers one by one, more of them from the least to the largest."""
    texts = list(dict.fromkeys(f"{number:.3g}" for number in sorted(numbers)))
    return ", ".join(texts) if len(texts) <= 4 else f"{texts[0]} … {texts[-1]}"
