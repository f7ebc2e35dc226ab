"""Local minima, a saddle point, and the curvature at the bottom."""

import numpy as np
from _common import BLUE, GREEN, GREY, RED

SIZE = (4.8, 2.5)


def draw(ax, ink):
    x = np.linspace(-1.75, 1.75, 400)
    energy = x**4 - 2 * x**2 + 0.35 * x
    ax.plot(x, energy, color=BLUE)
    roots = np.sort(np.roots([4, 0, -4, 0.35]).real)
    for root, name, color, dy in zip(roots, ("global minimum", "barrier", "local minimum"), (RED, GREY, GREEN),
                                     (-0.32, 0.18, -0.32), strict=True):  # fmt: skip
        value = root**4 - 2 * root**2 + 0.35 * root
        ax.plot(root, value, "o", color=color)
        ax.text(root, value + dy, name, ha="center", va="center", color=color, fontsize=9)
    ax.set_ylim(-1.85, 1.4)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("coordinate")
    ax.set_ylabel("energy")
