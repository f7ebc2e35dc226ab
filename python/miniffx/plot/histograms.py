"""What a model has seen: the distributions of its descriptors."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm

from miniffx.models import Committee, NNPotential
from miniffx.plot.axes import new_axes


def histograms(model: NNPotential | Committee, label: str | None = None, ax: Axes | None = None) -> Axes:
    """The histograms that a trained model keeps, one line for each descriptor of a species.

    A line goes from the least value in the training set to the largest; the darker, the more of the atoms were there,
    relative to the fullest bin. White parts within a line are gaps: values that the model has never seen, where
    :meth:`miniffx.NNPotential.fidelity` is 0 as it is outside.

    Args:
        model: a trained model.
        label: of the species; may be left out where there is one.
        ax: where to draw; a new figure by default.

    Raises:
        ValueError: a model that was not trained, or a label that it does not have.
    """
    network = model.stacked if isinstance(model, Committee) else model
    if network.histograms is None:
        raise ValueError("`model` must have been trained, got one without histograms")
    if label is None and len(network.species) == 1:
        label = network.species[0]
    if label not in network.species:
        raise ValueError(f"`label` must be one of {network.species}, got {label!r}")
    density = np.asarray(network.histograms.density[network.species.index(label)])
    n_features = len(density)
    ax = new_axes(ax, 5.0, min(1.5 + 0.12 * n_features, 6.0))
    blues = ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0.15, 1, 256)))  # without its white
    image = ax.imshow(
        np.ma.masked_equal(density, 0),
        aspect="auto",
        cmap=blues,
        norm=LogNorm(1e-3, 1),
        extent=(0, 1, n_features - 0.5, -0.5),
        interpolation="nearest",
        rasterized=True,
    )
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, extend="min")
    bar.set_label("atoms, relative to the fullest bin")
    ax.set_xticks([0, 1], ["least", "largest"])
    ax.set_xlabel("value of the descriptor in the training set")
    ax.set_ylabel(f"number of the descriptor of {label}")
    return ax
