"""What the pictures share."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

TRAIN, VALIDATION = "#4477aa", "#cc6677"  # told apart by the color-blind, too


def new_axes(ax: Axes | None, width: float = 5.0, height: float = 4.0) -> Axes:
    """`ax`, or the axes of a new figure. The figure belongs to nobody's global state."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot() if ax is None else ax
