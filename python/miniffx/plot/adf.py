"""Angular distribution functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from miniffx.plot.axes import draw_curves, new_axes


def adf(theta: Any, distribution: dict[str, Any], ax: Axes | None = None) -> Axes:
    """The number of triples over the angle at their centre, one line per triple of species.

    Args:
        theta: [n] angles in radians; the axis shows degrees.
        distribution: what :func:`miniffx.adf` returned for them, in 1/rad; the axis shows 1/degree.
        ax: where to draw; a new figure by default.
    """
    if not distribution:
        raise ValueError("`distribution` must hold at least one entry, got none")
    ax = new_axes(ax, 5.6, 3.8)
    degrees = np.degrees(theta)
    draw_curves(ax, degrees, [(key, np.radians(values)) for key, values in distribution.items()])
    ax.set_xlim(degrees.min(), degrees.max())
    if degrees.min() < 1 and degrees.max() > 179:
        ax.set_xticks(range(0, 181, 30))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("angle θ (degrees)")
    ax.set_ylabel("triples per degree")
    return ax
