"""A total energy shared out among atoms."""

import numpy as np
from _common import arrow, atom, bare
from matplotlib import colormaps

SIZE = (5.2, 2.2)
PLACES = ((0.3, 0.4), (1.4, 1.3), (2.4, 0.3), (3.1, 1.5), (1.0, 2.2), (2.2, 2.4))
ENERGIES = np.array([-3.1, -4.4, -3.6, -4.0, -3.3, -3.8])


def draw(ax, ink):
    bare(ax, (-0.3, 9.2), (-0.2, 2.9))
    shades = colormaps["viridis"]((ENERGIES - ENERGIES.min()) / np.ptp(ENERGIES) * 0.75)
    for (x, y), energy, shade in zip(PLACES, ENERGIES, shades, strict=True):
        atom(ax, x, y, shade, f"{energy:.1f}", 0.42)
    arrow(ax, (4.1, 1.3), (5.0, 1.3), ink)
    total = f"{ENERGIES.sum():.1f}".replace("-", "−")
    ax.text(5.2, 1.3, f"$E = \\sum_i E_i$ = {total} eV", va="center", color=ink, fontsize=12)
