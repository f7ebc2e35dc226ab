"""An atom and its neighbours within the cutoff."""

import numpy as np
from _common import BLUE, GREY, ORANGE, arrow, atom, bare, crowd
from matplotlib.patches import Circle

SIZE = (5.0, 2.7)
CUTOFF = 1.75


def draw(ax, ink):
    bare(ax, (-4.4, 4.4), (-2.4, 2.4))
    ax.add_patch(Circle((0, 0), CUTOFF, facecolor=ORANGE, alpha=0.15, edgecolor="none"))
    ax.add_patch(Circle((0, 0), CUTOFF, facecolor="none", edgecolor=ORANGE, linestyle="--"))
    direction = np.array([np.cos(0.5), np.sin(0.5)])
    label = 1.33 * CUTOFF * direction
    for number, (x, y) in enumerate(crowd()):
        if abs(x - label[0]) < 0.9 and abs(y - label[1]) < 0.45:
            continue
        near = np.hypot(x, y) < CUTOFF
        if near and number:
            ax.plot([0, x], [0, y], color=ink, linewidth=0.8, zorder=1)
        atom(ax, x, y, ORANGE if number == 0 else BLUE if near else GREY, "i" if number == 0 else "", 0.22,
             alpha=1 if near else 0.45)  # fmt: skip
    arrow(ax, 0.22 * direction, CUTOFF * direction, ORANGE)
    ax.text(*label, "cutoff", color=ORANGE, ha="center", va="center")
