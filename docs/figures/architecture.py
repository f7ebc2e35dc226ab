"""From a structure through its neighbours to an energy, and to what follows from that."""

from _common import BLUE, GREEN, ORANGE, arrow, bare
from matplotlib.patches import FancyBboxPatch

SIZE = (6.4, 2.9)


def draw(ax, ink):
    bare(ax, (-0.1, 12.7), (-0.2, 5.4))

    def box(x, y, width, height, color, text):
        style = {"boxstyle": "round,pad=0,rounding_size=0.15", "facecolor": "none", "edgecolor": color}
        ax.add_patch(FancyBboxPatch((x, y), width, height, linewidth=1.4, **style))
        ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=ink, fontsize=9)

    def way(start, end, text):
        arrow(ax, start, end, ink, 1.2)
        ax.text((start[0] + end[0]) / 2, start[1] + 0.2, text, ha="center", color=ink, fontsize=9)

    box(0, 3.2, 2.0, 1.3, BLUE, "structure")
    box(3.1, 3.2, 2.5, 1.3, BLUE, "neighbours:\npairs, triples")
    box(6.8, 3.2, 1.8, 1.3, ORANGE, "energy")
    box(10.2, 2.4, 2.4, 2.9, GREEN, "forces\nstress\nHessian\nparameter\ngradients")
    box(3.1, 0, 2.5, 1.3, BLUE, "potentials")
    box(6.1, 0, 3.2, 1.3, BLUE, "descriptors,\nnetworks")
    way((2.0, 3.85), (3.1, 3.85), "C++")
    way((5.6, 3.85), (6.8, 3.85), "JAX")
    way((8.6, 3.85), (10.2, 3.85), "derivatives")
    arrow(ax, (4.7, 1.3), (7.3, 3.2), ink, 1.2)
    arrow(ax, (7.7, 1.3), (7.7, 3.2), ink, 1.2)
