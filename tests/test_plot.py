"""Pictures: the right numbers, labels with units, no global state."""

import dataclasses

import jax
import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from ase.build import bulk

import miniffx as mff

HISTORY = [
    {"step": s, "energy_mae": 0.01 / s, "force_mae": 0.2 / s, "validation_energy_mae": 0.02 / s} for s in (1.0, 2.0)
]
ARGON = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))


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


def test_figures_are_pictures_in_notebooks():
    assert mff.plot.convergence(HISTORY).figure._repr_png_().startswith(b"\x89PNG")


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


def test_parity_enlarges_where_most_points_lie(data):
    """Forces of nine crystals near rest and of one far from it: 80 % of the components within the inset."""
    sw, rng = mff.potentials.stillinger_weber("Si"), np.random.default_rng(0)
    rest = data[0].structure
    frames = []
    for size in [0.02] * 9 + [0.4]:
        moved = dataclasses.replace(rest, positions=rest.positions + rng.normal(0, size, rest.positions.shape))
        frames.append(mff.Frame(moved, energy=0.0, forces=rng.normal(0, size, rest.positions.shape)))
    ax = mff.plot.parity(sw, mff.Dataset(frames))
    (inset,) = ax.child_axes
    true = np.concatenate([frame.forces.ravel() for frame in frames])
    low, high = inset.get_xlim()
    assert inset.get_ylim() == (low, high)
    assert np.mean((true >= low) & (true <= high)) == pytest.approx(0.8, abs=0.5 / len(true))
    assert high - low < 0.3 * np.ptp(true)
    shown = inset.collections[0].get_array()
    assert shown.sum() == np.sum((true >= low) & (true <= high) & within(sw, frames, low, high))
    spread = [dataclasses.replace(frame, forces=rng.uniform(-1, 1, rest.positions.shape)) for frame in frames[:9]]
    assert not mff.plot.parity(sw, mff.Dataset(spread)).child_axes


def within(energy, frames, low, high):
    _, forces = mff.training.predict(energy, mff.Dataset(frames))
    predicted = np.concatenate([f.ravel() for f in forces])
    return (predicted >= low) & (predicted <= high)


def test_histograms_of_what_a_model_has_seen():
    ds = D.DescriptorSet([D.G2(eta, 0.0, 4.0, (a, "B")) for a, eta in (("A", 0.1), ("A", 1.0), ("B", 0.1))])
    model = mff.NNPotential.init(jax.random.key(0), ds, hidden=(3,))
    with pytest.raises(ValueError, match="must have been trained"):
        mff.plot.histograms(model, "A")
    features = {"A": np.array([[0.0, 1.0], [0.1, 2.0], [1.0, 2.0]]), "B": np.array([[1.0], [3.0]])}
    model = dataclasses.replace(model, histograms=mff.models.Histograms.of(features, bins=4))
    ax = mff.plot.histograms(model, "A")
    drawn = ax.get_images()[0].get_array()
    np.testing.assert_allclose(drawn.filled(0), [[1, 0, 0, 0.5], [0.5, 0, 0, 1]])
    assert drawn.mask.sum() == 4  # gaps are blank
    assert "of A" in ax.get_ylabel()
    committee = mff.Committee.of([model, model])
    assert mff.plot.histograms(committee, "B").get_images()[0].get_array().shape == (1, 4)
    for label in (None, "C"):
        with pytest.raises(ValueError, match="`label` must be one of"):
            mff.plot.histograms(model, label)


D = mff.descriptors


def g2(r, eta, r_shift, cutoff):
    return np.where(r < cutoff, np.exp(-eta * (r - r_shift) ** 2) * (1 + np.cos(np.pi * r / cutoff)) / 2, 0)


def test_descriptors_are_drawn_as_functions_of_distance_and_angle():
    kinds = [("Si", "O"), ("Si", "Si"), ("O", "Si")]
    shells = {("Si", "O"): (0.0, 2.0), ("Si", "Si"): (0.0, 2.5), ("O", "Si"): (2.0, 0.0)}
    radial = [D.G2(0.3, shift, 4.0, kind) for kind in kinds for shift in shells[kind]]
    narrow = [D.G4(0.05, zeta, lam, 6.0, ("Si", "O", "O")) for zeta in (1, 2, 4, 16) for lam in (1.0, -1.0)]
    wide = [D.CompactWide(1.5, 60.0, 300.0, 6.0, ("O", "Si", "Si"), "poly1")]
    first = mff.plot.descriptors(D.DescriptorSet([*narrow, *radial, *wide]))
    panels = first.figure.axes
    assert first is panels[0]
    assert [panel.get_title() for panel in panels] == ["Si-O, O-Si", "Si-Si", "Si-O-O", "O-Si-Si"]
    assert [panel.get_xlabel() for panel in panels] == ["r (Å)", "r (Å)", "θ (°)", "θ (°)"]
    assert [len(panel.get_lines()) for panel in panels] == [2, 2, 8, 1]
    for panel, kind in zip(panels, (("Si", "O"), ("Si", "Si")), strict=False):
        for line, shift in zip(panel.get_lines(), shells[kind], strict=True):
            r, y = line.get_data()
            np.testing.assert_allclose(y, g2(r, 0.3, shift, 4.0), atol=1e-6)
            assert (r[0], r[-1]) == (0, 4.0)
    legends = [panel.get_legend() for panel in panels]
    assert [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in legends[0].get_texts()] == [
        "$r_s$ = 0 Å",
        "$r_s$ = 2 Å",
    ]
    assert legends[2] is legends[3] is None  # eight curves: told in words
    words = panels[2].texts[0].get_text().replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ")
    assert words == "8 G4, η = 0.05 Å⁻², ζ = 1, 2, 4, 16, λ = ±1, cutoff 6 Å; neighbours at 2 Å"
    for line, descriptor in zip(panels[2].get_lines(), narrow, strict=True):
        theta, y = line.get_data()
        r, c = 2.0, np.cos(np.radians(theta))
        opposite = 2 * r * np.sin(np.radians(theta) / 2)
        radial_part = g2(np.array(r), 0.05, 0.0, 6.0) ** 2 * g2(opposite, 0.05, 0.0, 6.0)
        expected = 2 ** (1 - descriptor.zeta) * (1 + descriptor.lam * c) ** descriptor.zeta * radial_part
        np.testing.assert_allclose(y, expected, atol=1e-5)
    theta, y = panels[3].get_lines()[0].get_data()
    x, at = np.abs(theta - 180) / 120, (3.0 - 3.75) / 2.25  # neighbours a third into the window, at 3 Å
    window = np.where(x < 1, 1 - 3 * x**2 + 2 * x**3, 0)
    np.testing.assert_allclose(y, window * (1 - 3 * at**2 + 2 * abs(at) ** 3) ** 2, atol=1e-5)


@pytest.mark.parametrize("engine", ["constrained", None])
@pytest.mark.parametrize("loose", [False, True])
def test_panels_stay_in_the_place_of_the_axes(engine, loose):
    figure = matplotlib.figure.Figure(figsize=(9, 4), layout=engine)
    ax = figure.add_axes((0.5, 0.2, 0.45, 0.6)) if loose else figure.add_subplot(1, 2, 2)
    other = figure.add_subplot(1, 2, 1)
    data = [mff.Structure.from_ase(bulk("Si")), mff.Structure.from_ase(bulk("SiC", "zincblende", a=4.4))]
    assert mff.plot.descriptors(D.gaussian_set(data, cutoff=5.0), ax=ax) is ax
    figure.draw_without_rendering()
    panels = [panel for panel in figure.axes if panel is not other]
    assert len(panels) == 4
    for panel in panels:
        box = panel.get_position()
        assert box.x0 > 0.45
        assert box.width > 0.04
        assert box.height > 0.04
    boxes = [panel.get_position() for panel in panels]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_functions_of_the_user_are_told_apart():
    """Even where they have the same name."""
    own = [D.RadialDescriptor(lambda r, k=k: (1 - r / 4) ** k, 4.0, ("Si", f"X{k // 2}")) for k in (2, 4)]
    panels = mff.plot.descriptors(own).figure.axes
    for panel, k in zip(panels, (2, 4), strict=True):
        r, y = panel.get_lines()[0].get_data()
        np.testing.assert_allclose(y, (1 - r / 4) ** k, atol=1e-6)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="`descriptors` must hold at least one descriptor"):
        mff.plot.descriptors([])
    with pytest.raises(ValueError, match="`descriptors` must be functions of a distance or an angle, got 3"):
        mff.plot.descriptors([3])


def lines_of(ax):
    return {line.get_label(): line.get_data() for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_pair_potentials_are_drawn_over_the_distance():
    ax = mff.plot.potential(ARGON)
    (label,) = lines_of(ax)
    assert label == "LennardJones Ar-Ar"
    r, energy = lines_of(ax)[label]
    inside = (r > 3) & (r < 8.5)
    np.testing.assert_allclose(energy[inside], ARGON.formula(r[inside]), rtol=1e-12)
    assert (energy[r > 8.5] == 0).all()
    assert ax.get_ylim()[0] < -0.0103 < 0.0103 < ax.get_ylim()[1] < 0.05  # the well, and not the whole wall
    assert ("Å" in ax.get_xlabel(), "eV" in ax.get_ylabel()) == (True, True)
    wall = mff.potentials.PairPotential(lambda r: (r - 2.0) ** 2, cutoff=2.0, species=("Ar", "Ar"))
    low, high = mff.plot.potential(wall).get_ylim()
    assert low < 0 < 1.5 < high < 4


def test_sums_are_drawn_term_by_term():
    """With their factors, those inside of multiples too; in black what acts together; on-site terms are no curve."""
    other = mff.potentials.LennardJones(epsilon=0.02, sigma=3.0, cutoff=7.0, species=("Kr", "Ar"))
    on_site = mff.potentials.OnSite(energy=-1.0, species="Ar")
    decay = mff.potentials.PairPotential(lambda r: (4.0 - r) ** 2, cutoff=4.0, species=("Ar", "Ar"))
    ax = mff.plot.potential(ARGON + 2.0 * (other + 0.25 * decay) + on_site)
    curves = lines_of(ax)
    assert set(curves) == {"LennardJones Ar-Ar", "2 × LennardJones Kr-Ar", "0.5 × PairPotential Ar-Ar", "all of Ar-Ar"}
    r, total = curves["all of Ar-Ar"]
    near = (r > 2) & (r < 4)
    np.testing.assert_allclose(total[near], ARGON.formula(r[near]) + 0.5 * (4 - r[near]) ** 2, rtol=1e-10)
    np.testing.assert_allclose(curves["2 × LennardJones Kr-Ar"][1][near], 2 * other.formula(r[near]), rtol=1e-10)


def test_triple_potentials_are_drawn_over_the_angle():
    sw = mff.potentials.stillinger_weber("Si")
    triple = sw.terms[1]
    ax = mff.plot.potential(triple)
    assert "degrees" in ax.get_xlabel()
    assert len(lines_of(ax)) == 3
    for label, (degrees, energy) in lines_of(ax).items():
        fraction = {"1.89": 0.5, "2.26": 0.6, "2.64": 0.7}[label.split("r = ")[1].split()[0]]
        leg = fraction * triple.cutoff
        expected = triple.formula(leg, leg, None, np.cos(np.radians(degrees)))
        np.testing.assert_allclose(energy, expected, rtol=1e-9, atol=1e-12)
        assert degrees[np.argmin(energy)] == pytest.approx(109.47, abs=0.5)
    curves = lines_of(mff.plot.potential(sw))
    assert len(curves) == 4
    r, energy = curves["StillingerWeberTriple Si-[Si,Si], 90°"]
    near = (r > 1.5) & (r < 3.7)
    np.testing.assert_allclose(energy[near], triple.formula(r[near], r[near], None, 0.0), rtol=1e-9)


def test_what_has_no_curve_is_refused():
    descriptors = mff.descriptors.DescriptorSet(
        [mff.descriptors.G2(eta=0.1, r_shift=0, cutoff=4.0, species=("A", "B"))]
    )
    model = mff.NNPotential.init(jax.random.key(0), descriptors)
    for energy in (model, ARGON + (lambda structure, nl: 0.0)):
        with pytest.raises(ValueError, match="`energy` must be made of potentials of pairs and triples, got"):
            mff.plot.potential(energy)
    with pytest.raises(ValueError, match="`energy` must hold a potential of pairs or triples, got none"):
        mff.plot.potential(mff.potentials.OnSite(energy=-1.0, species="Ar"))


def test_distributions_and_profiles_are_drawn_as_they_are(data):
    silicon = data[0].structure
    r, theta = np.linspace(0, 5, 26), np.linspace(0, np.pi, 19)
    g, n = mff.rdf(silicon, r), mff.adf(silicon, theta)
    ax = mff.plot.rdf(r, g)
    np.testing.assert_allclose(lines_of(ax)["Si-Si"], [r, g["Si-Si"]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("distance r (Å)", "g(r)")
    assert "Å⁻³" in mff.plot.rdf(r, g, density=True).get_ylabel()
    ax = mff.plot.adf(theta, n)
    np.testing.assert_allclose(lines_of(ax)["Si-[Si,Si]"], [np.degrees(theta), n["Si-[Si,Si]"] * np.pi / 180])
    assert "degree" in ax.get_ylabel()
    profile = mff.StrainProfile(np.array([0.1, -0.1, 0.0]), np.array([2.0, 3.0, 1.0]), np.array([5.0, -6.0, 0.5]))
    ax = mff.plot.strain_profile(profile)
    np.testing.assert_allclose(ax.get_lines()[0].get_data(), [[-10, 0, 10], [3, 1, 2]])
    right = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), [-6, 0.5, 5])
    assert ("eV)" in ax.get_ylabel(), "eV/Å³" in right.get_ylabel(), "%" in ax.get_xlabel()) == (True, True, True)
    for draw, x in ((mff.plot.rdf, r), (mff.plot.adf, theta)):
        with pytest.raises(ValueError, match="`distribution` must hold at least one entry"):
            draw(x, {})


def test_pictures_go_where_they_are_told_and_touch_no_global_figure(data):
    before = matplotlib.pyplot.get_fignums()
    figure = matplotlib.figure.Figure()
    ax = figure.add_subplot()
    assert mff.plot.convergence(HISTORY, ax=ax) is ax
    assert mff.plot.descriptors([D.G2(0.1, 0.0, 4.0, ("Si", "Si"))], ax=ax) is ax
    assert figure.axes == [ax]
    assert mff.plot.parity(mff.potentials.stillinger_weber("Si"), data).figure is not figure
    profile = mff.StrainProfile(np.zeros(2), np.zeros(2), np.zeros(2))
    for draw, arguments in (
        (mff.plot.potential, (ARGON,)),
        (mff.plot.rdf, ([0, 1], {"A-A": [0, 1]})),
        (mff.plot.adf, ([0, 1], {"A-[A,A]": np.array([0, 1])})),
        (mff.plot.strain_profile, (profile,)),
    ):
        ax = figure.add_subplot()
        assert draw(*arguments, ax=ax) is ax
        assert draw(*arguments).figure is not figure
    assert matplotlib.pyplot.get_fignums() == before
