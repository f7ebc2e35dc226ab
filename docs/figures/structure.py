"""A cell, its atoms, and their periodic images."""

import numpy as np
from _common import BLUE, GREEN, RED, arrow, atom, bare

SIZE = (5.4, 2.7)
CELL = np.array([[2.6, 0.0], [0.7, 2.0]])
BASIS = (((0.22, 0.25), BLUE, "Si"), ((0.62, 0.55), RED, "O"), ((0.3, 0.8), RED, "O"))


def draw(ax, ink):
    bare(ax, (-3.4, 6.6), (-2.1, 4.1))
    for n in range(-1, 2):
        for m in range(-1, 2):
            corner = np.array([n, m]) @ CELL
            loop = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ CELL + corner
            ax.plot(*loop.T, color=ink, linewidth=0.6, alpha=0.4, zorder=1)
            for place, color, label in BASIS:
                here = n == m == 0
                x, y = np.array(place) @ CELL + corner
                atom(ax, x, y, color, label if here else "", 0.25, alpha=1 if here else 0.25)
    for vector, name, shift in zip(CELL, "ab", ((0.0, -0.35), (-0.3, 0.1)), strict=True):
        arrow(ax, (0, 0), vector, GREEN, 2.2)
        ax.text(*(0.55 * vector + shift), f"$\\mathbf{{{name}}}$", color=GREEN, ha="center", va="center", fontsize=12)
