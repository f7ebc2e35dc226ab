"""What the pictures share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart by the color-blind, too: P. Tol, "Colour Schemes", SRON/EPS/TN/09-002 (2021), bright.
COLORS = ("#4477aa", "#cc6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
TRAIN, VALIDATION = COLORS[:2]


class Picture(Figure):
    """A figure that a notebook shows as a picture, also where pyplot was never asked to draw there."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_axes(ax: Axes | None, width: float = 5.0, height: float = 4.0) -> Axes:
    """`ax`, or the axes of a new figure. The figure belongs to nobody's global state."""
    return Picture(figsize=(width, height), layout="constrained").add_subplot() if ax is None else ax


def draw_curves(ax: Axes, x: Any, curves: Sequence[tuple[str, Any]]) -> None:
    """One line per (label, values); beyond seven, other dashes."""
    for number, (label, y) in enumerate(curves):
        style = ("-", "--", ":", "-.")[number // len(COLORS) % 4]
        ax.plot(x, y, style, color=COLORS[number % len(COLORS)], label=label, linewidth=1.3)
    ax.legend(frameon=False, fontsize="small", ncols=1 + len(curves) // 10)
    ax.grid(alpha=0.3, linewidth=0.5)
