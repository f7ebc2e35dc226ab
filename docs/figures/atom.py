"""Two atoms, each a position and a species."""

import numpy as np
from _common import BLUE, GREY, RED, arrow, atom, bare

SIZE = (4.6, 2.1)


def draw(ax, ink):
    bare(ax, (-0.6, 6.6), (-0.6, 2.7))
    arrow(ax, (0, 0), (6.3, 0), GREY, 1.2)
    arrow(ax, (0, 0), (0, 2.6), GREY, 1.2)
    for (x, y), color, label, name in (((2.0, 1.7), BLUE, "Si", "1"), ((4.7, 1.0), RED, "O", "2")):
        rest = 1 - 0.36 / np.hypot(x, y)
        arrow(ax, (0, 0), (rest * x, rest * y), ink, 1.0)
        atom(ax, x, y, color, label, 0.36)
        ax.text(x + 0.55, y + 0.05, f"$\\mathbf{{r}}_{name}$, species {label}", va="center", color=ink)
