"""Charges on atoms and the Coulomb energy of a pair."""

from _common import BLUE, GREY, RED, atom, bare

SIZE = (5.2, 1.5)


def draw(ax, ink):
    bare(ax, (-0.7, 9.8), (-0.9, 1.1))
    ax.plot([0, 3], [0, 0], color=GREY, linewidth=1, zorder=1)
    atom(ax, 0, 0, BLUE, "$q_i$", 0.5)
    atom(ax, 3, 0, RED, "$q_j$", 0.5)
    ax.text(1.5, 0.22, "$r_{ij}$", ha="center", color=ink)
    ax.text(4.4, 0, "$E = k\\,q_i q_j / r_{ij}$,   k = 14.399645 eV Å", va="center", color=ink)
