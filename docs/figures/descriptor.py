"""What one neighbour adds to a few radial descriptors."""

import numpy as np
from _common import BLUE, GREEN, ORANGE, RED

SIZE = (4.8, 2.6)


def draw(ax, ink):
    r, cutoff = np.linspace(0, 6, 300), 6.0
    screen = 0.5 * (1 + np.cos(np.pi * r / cutoff))
    for shell, color in zip((1.5, 2.5, 3.5, 4.5), (BLUE, GREEN, ORANGE, RED), strict=True):
        ax.plot(r, np.exp(-2.0 * (r - shell) ** 2) * screen, color=color, label=f"$r_s$ = {shell} Å")
    ax.plot(r, screen, color=ink, linewidth=0.9, linestyle="--", label="$f_c(r)$")
    ax.set_xlim(0, 6)
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("distance r (Å)")
    ax.set_ylabel("added to G")
    ax.legend()
