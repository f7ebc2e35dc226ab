"""Radial distribution functions."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from miniffx.plot.axes import draw_curves, new_axes


def rdf(r: Any, distribution: dict[str, Any], density: bool = False, ax: Axes | None = None) -> Axes:
    """g(r) over r, one line per pair of species.

    Args:
        r: [n] distances in Å.
        distribution: what :func:`miniffx.rdf` returned for them.
        density: whether it was asked for the `density`, in Å⁻³.
        ax: where to draw; a new figure by default.
    """
    if not distribution:
        raise ValueError("`distribution` must hold at least one entry, got none")
    ax = new_axes(ax, 5.6, 3.8)
    if not density:
        ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    draw_curves(ax, r, list(distribution.items()))
    ax.set_xlim(min(r), max(r))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("distance r (Å)")
    ax.set_ylabel("number density (Å⁻³)" if density else "g(r)")
    return ax
