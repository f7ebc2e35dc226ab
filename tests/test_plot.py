"""Pictures: the right numbers, labels with units, no global state."""

import dataclasses

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from ase.build import bulk

import miniffx as mff

HISTORY = [
    {"step": s, "energy_mae": 0.01 / s, "force_mae": 0.2 / s, "validation_energy_mae": 0.02 / s} for s in (1.0, 2.0)
]


@pytest.fixture(scope="module")
def data():
    energy = mff.potentials.stillinger_weber("Si")
    blank = mff.Dataset(mff.Frame(mff.Structure.from_ase(bulk("Si", a=a).repeat((2, 1, 1))), 0.0) for a in (5.3, 5.6))
    for frame in blank:
        frame.structure.positions.at[0, 0].add(0.1)
    energies, forces = mff.training.predict(energy, blank)
    return mff.Dataset(
        dataclasses.replace(f, energy=float(e) + 0.5, forces=x) for f, e, x in zip(blank, energies, forces, strict=True)
    )


def test_convergence_draws_what_the_history_holds():
    ax = mff.plot.convergence(HISTORY)
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    assert len(lines) == 3
    np.testing.assert_allclose(lines["energy, training: 5 meV/atom"], [10, 5])
    np.testing.assert_allclose(lines["force, training: 100 meV/Å"], [200, 100])
    np.testing.assert_allclose(lines["energy, validation: 10 meV/atom"], [20, 10])
    assert "meV" in ax.get_ylabel()
    with pytest.raises(ValueError, match="`history`"):
        mff.plot.convergence([])


def test_parity_draws_predictions_over_references(data):
    energy = mff.potentials.stillinger_weber("Si")
    ax = mff.plot.parity(energy, data, "energy")
    x, y = ax.get_lines()[1].get_data()
    np.testing.assert_allclose(x - y, 0.5 / 4, atol=1e-9)
    assert "MAE 125, RMSE 125 meV/atom" in ax.get_title()
    assert "eV/atom" in ax.get_xlabel()
    ax = mff.plot.parity(energy, data)
    assert len(ax.get_lines()[1].get_xdata()) == 2 * 4 * 3
    assert "meV/Å" in ax.get_title()
    with pytest.raises(ValueError, match="`quantity`"):
        mff.plot.parity(energy, data, "stress")
    with pytest.raises(ValueError, match="forces in every frame"):
        mff.plot.parity(energy, mff.Dataset([dataclasses.replace(data[0], forces=None)]))


def test_pictures_go_where_they_are_told_and_touch_no_global_figure(data):
    before = matplotlib.pyplot.get_fignums()
    figure = matplotlib.figure.Figure()
    ax = figure.add_subplot()
    assert mff.plot.convergence(HISTORY, ax=ax) is ax
    assert mff.plot.parity(mff.potentials.stillinger_weber("Si"), data).figure is not figure
    assert matplotlib.pyplot.get_fignums() == before
