"""The total energy of a dimer and of a crystal is one sum over their atoms."""

import numpy as np
from _common import BLUE, atom, bare

SIZE = (5.2, 1.9)


def draw(ax, ink):
    bare(ax, (-0.6, 9.4), (-0.6, 3.0))
    for x in (0.4, 1.2):
        atom(ax, x, 1.4, BLUE, "", 0.3)
    ax.text(0.8, 0.0, "$E_1 + E_2$", ha="center", color=ink)
    for x, y in np.ndindex(6, 4):
        atom(ax, 3.4 + 0.62 * x, 0.75 + 0.62 * y, BLUE, "", 0.24)
    ax.text(4.95, 0.0, "$E_1 + E_2 + \\dots + E_{24}$", ha="center", color=ink)
    ax.text(7.6, 1.5, "extensive:\ntwice the crystal,\ntwice the energy", va="center", color=ink, fontsize=9)
