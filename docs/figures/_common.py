"""What the drawings share: colours that read on light and on dark pages, atoms, arrows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.patches import Circle

RED, BLUE, GREEN, ORANGE, GREY = "#d9534f", "#3b82c4", "#2e9e7b", "#e08a2e", "#8a929a"


def bare(ax: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Axes for a drawing in a plane: equal scales, no frame."""
    ax.set_xlim(*x)
    ax.set_ylim(*y)
    ax.set_aspect("equal")
    ax.axis("off")


def atom(ax: Any, x: float, y: float, color: str, label: str = "", radius: float = 0.28, **style: Any) -> None:
    """A disk with a label."""
    ax.add_patch(Circle((x, y), radius, facecolor=color, edgecolor="none", zorder=3, **style))
    ax.text(x, y, label, ha="center", va="center", color="white", zorder=4, fontsize=9)


def arrow(ax: Any, start: Any, end: Any, color: str, width: float = 1.6) -> None:
    """From start to end."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
    ax.annotate("", end, start, arrowprops=style, zorder=5)


def crowd(seed: int = 3) -> np.ndarray:
    """A few dozen points in a plane, none too close to another, the first in the middle."""
    rng, points = np.random.default_rng(seed), [np.zeros(2)]
    for point in rng.uniform((-4.2, -2.2), (4.2, 2.2), (600, 2)):
        if min(np.linalg.norm(point - other) for other in points) > 0.85:
            points.append(point)
    return np.array(points)
