"""Energy and stress along a strain."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from miniffx.analysis import StrainProfile
from miniffx.plot.axes import COLORS, new_axes


def strain_profile(profile: StrainProfile, ax: Axes | None = None) -> Axes:
    """The energy over the strain on the left axis (solid), the stress on the right one (dashed).

    Args:
        profile: what :func:`miniffx.strain_profile` returned.
        ax: where to draw the energy; a new figure by default.
    """
    order = np.argsort(profile.strains)
    percent = 100 * np.asarray(profile.strains)[order]
    energies, stresses = np.asarray(profile.energies)[order], np.asarray(profile.stresses)[order]
    ax = new_axes(ax, 5.6, 3.8)
    ax.plot(percent, energies, ".-", color=COLORS[0], linewidth=1.3, markersize=4)
    ax.set_xlabel("strain (%)")
    ax.set_ylabel("energy (eV)", color=COLORS[0])
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.locator_params(axis="x", nbins=6)
    ax.grid(alpha=0.3, linewidth=0.5)
    right = ax.twinx()
    right.plot(percent, stresses, ".--", color=COLORS[1], linewidth=1.3, markersize=4)
    right.set_ylabel("stress (eV/Å³)", color=COLORS[1])
    return ax
