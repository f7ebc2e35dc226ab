"""Two potentials of a pair over the distance."""

import numpy as np
from _common import BLUE, GREY, ORANGE

SIZE = (4.8, 2.6)


def draw(ax, ink):
    r = np.linspace(0.9, 2.5, 400)
    inside = r < 1.8
    sw = np.where(inside, 7.049556277 * (0.6022245584 * r**-4.0 - 1) * np.exp(1 / np.where(inside, r - 1.8, -1)), 0)
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.plot(r, 4 * (r**-12.0 - r**-6.0), color=BLUE, label="Lennard-Jones")
    ax.plot(r, sw, color=ORANGE, label="Stillinger–Weber, pair term")
    ax.set_ylim(-1.2, 1.6)
    ax.set_xlim(0.9, 2.5)
    ax.set_xlabel("distance r / σ")
    ax.set_ylabel("energy E / ε")
    ax.legend()
