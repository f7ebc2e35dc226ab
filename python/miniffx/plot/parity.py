"""Predicted against true values."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from miniffx.plot.axes import TRAIN, new_axes
from miniffx.training import Dataset, predict


def parity(model: Any, data: Dataset, quantity: Literal["forces", "energy"] = "forces", ax: Axes | None = None) -> Axes:
    """Predictions over reference values, with the diagonal and the errors in the title.

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
    ax.plot([low - margin, high + margin], [low - margin, high + margin], color="0.6", linewidth=0.8, zorder=0)
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
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - margin, high + margin)
    ax.set_aspect("equal")
    return ax
