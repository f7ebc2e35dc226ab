"""An energy over two coordinates, with the way that a relaxation takes."""

import numpy as np
from _common import RED

SIZE = (4.4, 3.2)


def surface(x, y):
    wells = ((-1.1, -0.2, 1.0), (1.0, 0.5, 1.25), (0.2, -1.2, 0.6))
    return 0.12 * (x**2 + y**2) - sum(d * np.exp(-1.3 * ((x - a) ** 2 + (y - b) ** 2)) for a, b, d in wells)


def draw(ax, ink):
    x, y = np.meshgrid(np.linspace(-2.3, 2.3, 200), np.linspace(-2.0, 1.8, 180))
    levels = np.linspace(-1.1, 0.9, 21)
    ax.contourf(x, y, surface(x, y), levels, cmap="viridis", alpha=0.85, extend="both")
    place, path, h = np.array([-0.35, 1.5]), [], 1e-4
    for _ in range(120):
        path.append(place)
        slope = np.array([surface(place[0] + h, place[1]) - surface(place[0] - h, place[1]),
                          surface(place[0], place[1] + h) - surface(place[0], place[1] - h)]) / (2 * h)  # fmt: skip
        place = place - 0.07 * slope
    ax.plot(*np.array(path).T, color="white", linewidth=2)
    ax.plot(*path[0], "o", color="white")
    ax.plot(*path[-1], "o", color=RED, markersize=7)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("one coordinate")
    ax.set_ylabel("another")
