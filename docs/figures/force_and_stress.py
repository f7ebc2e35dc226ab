"""Forces are slopes in positions, the stress is the slope in the strain of everything."""

import numpy as np
from _common import BLUE, GREEN, RED, arrow, atom, bare

SIZE = (5.6, 2.3)
PLACES = np.array([[0.5, 0.5], [1.9, 0.7], [0.7, 1.8], [2.0, 1.9]])
FORCES = np.array([[-0.5, -0.25], [0.35, -0.55], [-0.25, 0.45], [0.4, 0.35]])


def draw(ax, ink):
    bare(ax, (-0.6, 9.3), (-0.8, 3.2))
    for place, force in zip(PLACES, FORCES, strict=True):
        atom(ax, *place, BLUE, "", 0.24)
        arrow(ax, place, place + 1.4 * force, RED, 2)
    ax.text(1.25, -0.7, "$\\mathbf{F}_i = -\\partial E / \\partial \\mathbf{r}_i$", ha="center", color=RED)
    box = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * 2.5
    there = np.array([5.2, 0.0])
    ax.plot(*(box + there).T, color=ink, linewidth=1, linestyle="--")
    shear = np.array([[1.15, 0.08], [0.08, 1.05]])
    ax.plot(*(box @ shear + there).T, color=GREEN, linewidth=2)
    for place in PLACES:
        atom(ax, *(place @ shear + there), BLUE, "", 0.24)
    ax.text(6.6, -0.7, "$\\sigma = \\partial E / (V\\, \\partial \\varepsilon)$", ha="center", color=GREEN)
