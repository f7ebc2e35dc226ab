"""Errors over the steps of a fit."""

from __future__ import annotations

from matplotlib.axes import Axes

from miniffx.plot.axes import TRAIN, VALIDATION, new_axes


def convergence(history: list[dict[str, float]], ax: Axes | None = None) -> Axes:
    """Mean absolute errors over training steps, training and validation: energies (solid), forces (dashed), charges.

    Args:
        history: of a :class:`miniffx.FitResult`.
        ax: where to draw; a new figure by default.
    """
    if not history:
        raise ValueError("`history` must hold at least one entry, got none")
    ax = new_axes(ax, 6.0, 4.0)
    steps = [entry["step"] for entry in history]
    quantities = [
        (quantity, unit, style)
        for quantity, unit, style in (("energy", "meV/atom", "-"), ("force", "meV/Å", "--"), ("charge", "me", "-"))
        if f"{quantity}_mae" in history[0]
    ]
    for prefix, name, color in (("", "training", TRAIN), ("validation_", "validation", VALIDATION)):
        for quantity, unit, style in quantities:
            key = f"{prefix}{quantity}_mae"
            if key in history[0]:
                values = [1e3 * entry[key] for entry in history]
                label = f"{quantity}, {name}: {values[-1]:.3g} {unit}"
                ax.plot(steps, values, style, color=color, label=label, linewidth=1.3)
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel(f"mean absolute error ({', '.join(unit for _, unit, _ in quantities)})")
    ax.legend(title="at the last step", frameon=False, fontsize="small")
    ax.grid(alpha=0.3, which="both", linewidth=0.5)
    return ax
