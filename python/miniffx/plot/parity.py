"""Predicted against true values."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from miniffx.plot.axes import TRAIN, new_axes
from miniffx.training import Dataset, predict

MOST = 0.8  # of the points, in the inset
FEWEST = 30  # points for an inset


def parity(model: Any, data: Dataset, quantity: Literal["forces", "energy"] = "forces", ax: Axes | None = None) -> Axes:
    """Predictions over reference values, with the diagonal and the errors in the title.

    Where most points lie in a small part of the range, an inset shows that part, and how many points there are where.

    Args:
        model: a trained model or any potential of the library.
        data: frames to compare with.
        quantity: "forces" (components, eV/Å) or "energy" (eV/atom).
        ax: where to draw; a new figure by default.
    """
    if quantity not in ("forces", "energy"):
        raise ValueError(f"`quantity` must be 'forces' or 'energy', got {quantity!r}")
    energies, forces = predict(model, data)
    if quantity == "energy":
        sizes = np.array([frame.structure.n_atoms for frame in data])
        true, predicted = np.array([frame.energy for frame in data]) / sizes, energies / sizes
        unit, name = "eV/atom", "energy"
    else:
        if not data.has_forces:
            raise ValueError("`data` must have forces in every frame for a parity plot of forces")
        true = np.concatenate([np.asarray(frame.forces).ravel() for frame in data])
        predicted = np.concatenate([f.ravel() for f in forces])
        unit, name = "eV/Å", "force component"
    ax = new_axes(ax, 4.6, 4.8)
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    ax.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
    ax.plot(
        true,
        predicted,
        ".",
        color=TRAIN,
        markersize=3,
        alpha=0.5 if len(true) > 200 else 1.0,
        rasterized=True,
    )
    error = predicted - true
    mae, rmse = 1e3 * np.abs(error).mean(), 1e3 * np.sqrt((error**2).mean())
    ax.set_title(f"{name}: MAE {mae:.3g}, RMSE {rmse:.3g} m{unit}", fontsize="medium")
    ax.set_xlabel(f"reference {name} ({unit})")
    ax.set_ylabel(f"predicted {name} ({unit})")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    dense = shortest_interval(true, MOST)
    if len(true) >= FEWEST and 0 < dense[1] - dense[0] < (high - low) / 2:
        _inset(ax, true, predicted, dense)
    return ax


def shortest_interval(values: np.ndarray, part: float) -> tuple[float, float]:
    """The shortest interval that holds so large a part of some numbers."""
    ordered = np.sort(values)
    count = max(1, int(np.ceil(part * len(ordered))))
    widths = ordered[count - 1 :] - ordered[: len(ordered) - count + 1]
    first = int(widths.argmin())
    return float(ordered[first]), float(ordered[first + count - 1])


def _inset(ax: Axes, true: np.ndarray, predicted: np.ndarray, dense: tuple[float, float]) -> None:
    """Below the diagonal, where there is nothing else: an enlarged part, with the density of points on a log scale."""
    inset = ax.inset_axes((0.61, 0.06, 0.36, 0.36))
    low, high = dense
    inset.set_xlim(low, high)
    inset.set_ylim(low, high)
    inside = (true >= low) & (true <= high) & (predicted >= low) & (predicted <= high)
    inset.hexbin(
        true[inside],
        predicted[inside],
        gridsize=40,
        extent=(low, high, low, high),
        bins="log",
        mincnt=1,
        cmap="Blues",
        vmin=0.1,  # so that a single point is no white one
        linewidths=0,
        rasterized=True,
    )
    inset.plot([low, high], [low, high], color="0.6", linewidth=0.8)
    inset.tick_params(labelsize="x-small")
    inset.xaxis.set_major_locator(MaxNLocator(3))
    inset.yaxis.set_major_locator(MaxNLocator(3))
    inset.set_title(f"{MOST:.0%} of the points", fontsize="x-small", pad=2)
    ax.indicate_inset_zoom(inset, edgecolor="0.4")
