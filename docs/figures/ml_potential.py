"""From an environment through descriptors and a network to the energy of an atom."""

import itertools

import numpy as np
from _common import BLUE, GREEN, GREY, ORANGE, arrow, atom, bare

SIZE = (6.4, 2.5)


def draw(ax, ink):
    bare(ax, (-1.6, 10.6), (-2.2, 2.2))
    atom(ax, 0, 0, ORANGE, "i", 0.27)
    for angle in np.radians([15, 80, 150, 215, 300]):
        x, y = 1.15 * np.cos(angle), 1.15 * np.sin(angle)
        ax.plot([0, x], [0, y], color=ink, linewidth=0.8, zorder=1)
        atom(ax, x, y, BLUE, "", 0.22)
    arrow(ax, (1.55, 0), (2.3, 0), ink)
    layers = [(2.9, 4, GREEN), (5.0, 5, GREY), (6.7, 5, GREY), (8.4, 1, ORANGE)]
    places = [[(x, 0.8 * (k - (n - 1) / 2)) for k in range(n)] for x, n, _ in layers]
    for left, right in itertools.pairwise(places):
        for x, y in left:
            for u, v in right:
                ax.plot([x, u], [y, v], color=ink, linewidth=0.35, alpha=0.6, zorder=1)
    for (_, _, color), column in zip(layers, places, strict=True):
        for x, y in column:
            atom(ax, x, y, color, "", 0.2)
    ax.text(8.8, 0, "$E_i$", va="center", color=ink, fontsize=13)
    for x, text in ((0, "environment"), (2.9, "descriptors"), (5.85, "network of the species")):
        ax.text(x, -2.1, text, ha="center", color=ink, fontsize=9)
