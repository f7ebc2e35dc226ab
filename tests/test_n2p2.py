"""RuNNer/n2p2: published potentials against n2p2's own answers, every keyword that changes a number, damaged files."""

import dataclasses
import itertools
import json
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import units

import miniffx as mff
import oracles
import systems
from miniffx.descriptors import cutoffs
from miniffx.io.n2p2 import settings, symmetry_functions
from miniffx.io.n2p2.units import Units

D = mff.descriptors

# Potentials with the same functions share this program.
features = oracles.quick_jit(lambda ds, structure, nl: ds(structure, nl), static_argnums=0)
energy_and_forces = oracles.quick_jit(lambda model, structure, nl: mff.energy_and_forces(model)(structure, nl))

PUBLISHED = {"H2O_RPBE-D3": ("bohr", "hartree"), "Cu2S_PBE": ("angstrom", "ev")}


# -- what n2p2 computes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_energies_and_forces_of_n2p2(shared, name):
    folder, names = shared / "reference" / "n2p2" / name, PUBLISHED[name]
    model = mff.io.read_n2p2(folder, *names)
    frames = mff.io.read_n2p2_frames(folder, *names)
    staged = systems.in_one_shape([frame.structure for frame in frames], model)  # one program; `predict` makes three
    energies, forces = zip(*(energy_and_forces(model, *stage) for stage in staged), strict=True)
    reference = json.loads((folder / "reference.json").read_text())
    unit = Units.named(*names)
    np.testing.assert_allclose(energies, np.array(reference["energy_output"]) * unit.energy, rtol=1e-13)
    for ours, theirs in zip(forces, reference["forces"], strict=True):
        theirs = np.array(theirs) * unit.energy / unit.length
        np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("units", [("angstrom", "ev"), ("bohr", "hartree")])
def test_published_potentials_survive_writing(shared, tmp_path, name, units):
    model = mff.io.read_n2p2(shared / "reference" / "n2p2" / name, *PUBLISHED[name])
    mff.io.write_n2p2(model, tmp_path / "out", *units)
    again = mff.io.read_n2p2(tmp_path / "out")
    assert jax.tree.structure(again) == jax.tree.structure(model)
    for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14)


def test_frames_of_water(shared):
    folder = shared / "reference" / "n2p2" / "H2O_RPBE-D3"
    frames = mff.io.read_n2p2_frames(folder / "input.data", "Bohr", "Hartree")
    assert [frame.structure.n_atoms for frame in frames] == [192, 48, 96]
    first = frames[0]
    assert first.structure.pbc == (True, True, True)
    assert first.structure.cell[0, 0] == pytest.approx(24.623508 * units.Bohr)
    assert first.energy == pytest.approx(-4900.37328433 * units.Hartree)
    assert first.structure.labels == ("H", "O")
    assert abs(first.forces.sum(axis=0)).max() < 1e-3
    reference = json.loads((folder / "reference.json").read_text())
    theirs = np.array(reference["forces"][0]) * units.Hartree / units.Bohr
    assert np.sqrt(((first.forces - theirs) ** 2).mean()) < 0.1  # the potential was fitted to such forces


# Values of n2p2 for the first atom of small clusters, from its own tests (test/cpp/fixtures.h of its repository), with
# cutoff type 2: (positions, elements, {line of input.nn: value}).
TRIANGLE = [[0, 0, 0], [1, 2, 1], [0, 3, -1]]
OF_ONE_ELEMENT = {
    "H 2 H 0.030 1.0 10.0": 4.2613074319879601e-01,
    "H 3 H H 0.001 1.0 1.0 10.0 0.0": 2.2781144245150042e-02,
    "H 3 H H 0.030 -1.0 4.0 10.0 2.0": 2.6506732726623567e-05,
    "H 9 H H 0.001 1.0 1.0 10.0 0.0": 8.8187604914213763e-02,
    "H 9 H H 0.031 -1.0 4.0 10.0 2.0": 1.0245670290254523e-04,
    "H 12 0.030 1.0 10.0": 4.2613074319879601e-01,
    "H 13 0.030 2.0 -1.0 4.0 10.0": 2.6506732726623567e-05,
    "H 20 H -10.0 10.0 p2": 1.71653828561074920,
    "H 20 H 0.0 8.0 p2": 1.63829178699555840,
    "H 20 H 1.0 3.0 p2": 0.59406437434580717,
    "H 21 H H -10.0 10.0 0.0 180.0 p2": 0.39698365829232357,
    "H 21 H H 0.0 10.0 10.0 60.0 p2": 0.056548996092037257,
    "H 21 H H 1.0 10.0 40.0 120.0 p2": 0.0017053618495084467,
    "H 22 H H -10.0 10.0 0.0 180.0 p2": 0.440241957350979370,
    "H 22 H H 0.0 10.0 10.0 60.0 p2": 0.117549886737894540,
    "H 22 H H 1.0 10.0 40.0 120.0 p2": 0.008811770360680239,
}
WITH_HELIUM = {  # whose weight is 2
    "H 12 0.030 1.0 10.0": 8.5226148639759169e-01,
    "H 13 0.030 2.0 -1.0 4.0 10.0": 1.0602693090649413e-04,
    "H 23 -10.0 10.0 p2": 3.4330765712215,
    "H 23 1.0 3.0 p2": 1.18812874869161,
    "H 24 0.0 10.0 10.0 60.0 p2": 0.226195984368149,
    "H 24 1.0 10.0 40.0 120.0 p2": 0.00682144739803379,
    "H 25 0.0 10.0 10.0 60.0 p2": 0.470199546951578,
    "H 25 1.0 10.0 40.0 120.0 p2": 0.035247081442721,
}
OF_THREE_ELEMENTS = {
    "S 2 Cu 0.030 1.0 10.0": 1.8212508087363616e-01,
    "S 2 U 0.030 1.0 10.0": 2.5814603379946083e-01,
    "S 3 S Cu 0.001 1.0 1.0 10.0 0.0": 2.2781144245150042e-02,
    "S 3 S U 0.001 1.0 1.0 10.0 0.0": 1.1723866787654575e-02,
    "S 3 Cu U 0.001 1.0 1.0 10.0 0.0": 1.8921487310992163e-02,
    "S 12 0.030 1.0 10.0": 3.2935153052088403e01,
    "S 13 0.001 1.0 -1.0 4.0 10.0": 3.6978004634143264e00,
}
CLUSTERS = {
    "one element": (TRIANGLE, ["H", "H", "H"], OF_ONE_ELEMENT),
    "helium": (TRIANGLE, ["H", "He", "He"], WITH_HELIUM),
    "three elements": ([*TRIANGLE, [-2, 1, -0.5]], ["S", "S", "Cu", "U"], OF_THREE_ELEMENTS),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_values_of_n2p2(name):
    positions, elements, lines = CLUSTERS[name]
    labels = tuple(dict.fromkeys(elements))
    descriptors = []
    for line in lines:
        entry = settings.Entry("input.nn", 1, "symfunction_short", tuple(line.split()))
        function = symmetry_functions.parse(entry, labels)
        descriptors.append(function.descriptor(labels, 2, 0.0, Units.named("angstrom", "ev")))
    structure = mff.Structure.create(positions, elements)
    ds = D.DescriptorSet(descriptors)
    values = oracles.quick_jit(ds.__call__)(structure, ds.neighbor_list(structure))[0]
    # The values of the second cluster have 15 digits. Those of the first and the last have 17, and those tests ask
    # for 1000 ε, which the smallest of them, 3e-5, makes 1e-8 of it.
    np.testing.assert_allclose(values, list(lines.values()), rtol=2e-12, atol=1e-15)


def test_cutoff_functions_of_n2p2():
    """f and f' of types 0 to 8 at 0.8 of the cutoff 3, inner cutoff 0.2 of it (test/cpp/test_CutoffFunction.cpp).

    There, polynomials are sums of terms of up to 100 that cancel: 14 digits after the point are left.
    """
    values = [
        1.0,
        1.4644660940672610e-01,
        7.6891537120697719e-03,
        1.7406350897769041e-02,
        2.7645304662956399e-01,
        1.5624999999999989e-01,
        1.0351562500000000e-01,
        7.0556640624999223e-02,
        4.8927307128898589e-02,
    ]
    slopes = [
        0.0,
        -4.6280030605816297e-01,
        -3.7439367857705103e-02,
        -8.4753511078717925e-02,
        -9.0270382572918972e-01,
        -4.6874999999999978e-01,
        -4.3945312499999933e-01,
        -3.8452148437500017e-01,
        -3.2444000244142152e-01,
    ]
    for name, value, slope in zip(symmetry_functions.CUTOFFS, values, slopes, strict=True):
        alpha = 0.0 if name in cutoffs.WITHOUT_INNER_CUTOFF else 0.2
        f, df = jax.value_and_grad(lambda r, name=name, alpha=alpha: cutoffs.screen(name, r, 3.0, alpha))(2.4)
        np.testing.assert_allclose([f, df], [value, slope], rtol=1e-13, atol=1e-14, err_msg=name)


# -- made-up potentials -------------------------------------------------------------------------------------------

CUTOFF = 3.3
FUNCTIONS = """
symfunction_short Si 2 O  0.4 0.0 3.3      # comments follow values
   symfunction_short Si 2 Si 0.4 0.0 3.3
symfunction_short O 2 Si 0.4 0.0 3.3
symfunction_short Si 3 Si O 0.1 1.0 2.0 3.3
symfunction_short O 3 Si Si 0.1 -1 1.5 3.3 0.5
symfunction_short Si 2 O  0.4 0.0 3.0
"""
INPUT = """
number_of_elements 2
elements Si O
cutoff_type 1
global_hidden_layers_short 2
global_nodes_short 3 2
global_activation_short t t l
"""
# The functions above in n2p2's order: O before Si; by type, cutoff, eta, shift, ..., neighbours by atomic number.
ORDERED = {
    "O": [D.G2(0.4, 0.0, 3.3, ("O", "Si")), D.G4(0.1, 1.5, -1.0, 3.3, ("O", "Si", "Si"), r_shift=0.5)],
    "Si": [
        D.G2(0.4, 0.0, 3.0, ("Si", "O")),
        D.G2(0.4, 0.0, 3.3, ("Si", "O")),
        D.G2(0.4, 0.0, 3.3, ("Si", "Si")),
        D.G4(0.1, 2, 1.0, 3.3, ("Si", "Si", "O")),
    ],
}
NUMBERS = {"O": 8, "Si": 14}
ACTIVATIONS = {
    "l": lambda x: x,
    "t": np.tanh,
    "s": lambda x: 1 / (1 + np.exp(-x)),
    "p": lambda x: np.log(1 + np.exp(x)),
    "r": lambda x: np.maximum(x, 0),
    "g": lambda x: np.exp(-(x**2) / 2),
    "c": np.cos,
    "S": lambda x: 1 - 1 / (1 + np.exp(-x)),
    "e": lambda x: np.exp(-x),
    "h": lambda x: x**2,
}


class Made:
    """A folder with a made-up potential, and its energy computed once more in NumPy."""

    def __init__(self, folder, widths=None, extra="", text=INPUT, functions=FUNCTIONS):
        self.folder = folder
        rng = np.random.default_rng(0)
        self.widths = {"O": (2, 3, 2, 1), "Si": (4, 3, 2, 1)} | (widths or {})
        (folder / "input.nn").write_text(text + functions + extra)
        rows = ["# element, number, min, max, mean, sigma"]
        self.table = {}
        for number, label in enumerate(ORDERED, start=1):
            self.table[label] = rng.uniform(0.1, 0.5, size=(self.widths[label][0], 4)) + np.array([0.0, 1.0, 0.3, 0.1])
            for index, row in enumerate(self.table[label], start=1):
                rows.append(f"{number:4d} {index:4d} " + " ".join(map(repr, row.tolist())) + "  99.0")
        (folder / "scaling.data").write_text("\n".join(rows) + "\n")
        self.layers = {}
        for label, widths in self.widths.items():
            layers = [(rng.normal(size=(n, m)), rng.normal(size=m)) for n, m in itertools.pairwise(widths)]
            self.layers[label] = layers
            flat = [value for weights, biases in layers for value in (*weights.ravel(), *biases)]
            lines = ["# a comment", *(f"  {float(value)!r}" for value in flat)]
            (folder / f"weights.{NUMBERS[label]:03d}.data").write_text("\n".join(lines) + "\n")

    def read(self, length_unit="angstrom", energy_unit="ev"):
        return mff.io.read_n2p2(self.folder, length_unit, energy_unit)

    def replace(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def energies(self, structure, scale=lambda g, table: g, letters="ttl", divide=False):
        """[n_atoms] of the networks."""
        result = np.zeros(structure.n_atoms)
        for label, descriptors in ORDERED.items():
            of = np.array(structure.species) == label
            ds = D.DescriptorSet(descriptors)
            x = scale(np.asarray(features(ds, structure, ds.neighbor_list(structure)))[of], self.table[label])
            for (weights, biases), letter in zip(self.layers[label], letters, strict=True):
                x = x @ weights + biases
                x = ACTIVATIONS[letter](x / len(weights) if divide else x)
            result[of] = x[:, 0]
        return result


@pytest.fixture
def made(tmp_path):
    return partial(Made, tmp_path)


def atomic(model, structure):
    return np.asarray(oracles.quick_jit(model.atomic)(structure, model.neighbor_list(structure)))


def check(potential, expected, structure, model=None):
    """What the file says of scaling and networks; the next test and the published potentials go all the way."""
    model = model or potential.read()
    values = features(model.descriptors, structure, model.descriptors.neighbor_list(structure))
    found = np.zeros(structure.n_atoms)
    for label in structure.labels:
        of = np.array(structure.species) == label
        found[of] = model.atomic_energies(label, values[of, : len(model.descriptors.of(label))])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_functions_are_sorted_as_n2p2_does(made):
    model = made().read()
    assert model.species == ("O", "Si")
    for label, descriptors in ORDERED.items():
        assert [dataclasses.asdict(d) for d in model.descriptors.of(label)] == [
            dataclasses.asdict(d) for d in descriptors
        ]
    assert model.scaling is None
    potential = made()
    structure = systems.molecule()
    np.testing.assert_allclose(atomic(potential.read(), structure), potential.energies(structure), rtol=1e-12)


MIN, MAX, MEAN, SIGMA = range(4)
SCALINGS = {
    "scale_symmetry_functions": lambda g, t, a, b: a + (b - a) * (g - t[:, MIN]) / (t[:, MAX] - t[:, MIN]),
    "center_symmetry_functions": lambda g, t, a, b: g - t[:, MEAN],
    "scale_symmetry_functions\ncenter_symmetry_functions": lambda g, t, a, b: (
        a + (b - a) * (g - t[:, MEAN]) / (t[:, MAX] - t[:, MIN])
    ),
    "scale_symmetry_functions_sigma": lambda g, t, a, b: a + (b - a) * (g - t[:, MEAN]) / t[:, SIGMA],
    # As n2p2: where another keyword stands too, sigma is not looked at.
    "scale_symmetry_functions_sigma\nscale_symmetry_functions": lambda g, t, a, b: (
        a + (b - a) * (g - t[:, MIN]) / (t[:, MAX] - t[:, MIN])
    ),
    "scale_symmetry_functions_sigma\ncenter_symmetry_functions": lambda g, t, a, b: g - t[:, MEAN],
}


@pytest.mark.parametrize("keywords", SCALINGS)
@pytest.mark.parametrize("limits", [None, (-0.5, 1.7)])
def test_scalings(made, keywords, limits):
    extra = keywords if limits is None else f"{keywords}\nscale_min_short {limits[0]}\nscale_max_short {limits[1]}"
    potential = made(extra=extra)
    low, high = limits or (0.0, 1.0)
    expected = potential.energies(systems.molecule(), lambda g, t: SCALINGS[keywords](g, t, low, high))
    check(potential, expected, systems.molecule())


def test_normalization_and_atomic_energies(made):
    keywords = "mean_energy -2.5\nconv_energy 8.0\nconv_length 3.0\natom_energy O -1.0\natom_energy Si 0.25\n"
    potential = made(extra=keywords)
    structure = systems.molecule()
    own = np.where(np.array(structure.species) == "O", -1.0, 0.25)
    check(potential, potential.energies(structure) / 8.0 - 2.5 + own, structure)
    check(
        potential,
        (potential.energies(structure) / 8.0 - 2.5 + own) * units.Hartree,
        structure,
        potential.read("angstrom", "Hartree"),
    )


def test_what_only_matters_to_training_is_ignored(made):
    """Any number of times, as in published files; and the names that versions of n2p2 have for one keyword."""
    extra = (
        "use_short_forces\nuse_short_forces # twice\nmemorize_symfunc_results\nbond_threshold 0.5\nnnp_gen 2G-HDNNP\n"
    )
    potential = made(extra=extra, functions=FUNCTIONS.replace("symfunction_short Si", "symfunction Si"))
    check(potential, potential.energies(systems.molecule()), systems.molecule())


def test_units_of_length(made):
    potential = made()
    structure = systems.molecule()
    smaller = dataclasses.replace(structure, positions=structure.positions * units.Bohr)
    np.testing.assert_allclose(
        atomic(potential.read("bohr", "ev"), smaller), atomic(potential.read(), structure), rtol=1e-12
    )


def test_nodes_may_be_normalized(made):
    potential = made(extra="normalize_nodes\n")
    check(potential, potential.energies(systems.molecule(), divide=True), systems.molecule())


@pytest.mark.parametrize("letters", ["tlt", "spl", "rgl", "cSl", "ehs"])
def test_activations(made, letters):
    potential = made(text=INPUT.replace("t t l", " ".join(letters)))
    check(potential, potential.energies(systems.molecule(), letters=letters), systems.molecule())
    again = potential.read()
    assert again.networks[0].activations == again.networks[1].activations


ELEMENT = {
    "layer by layer": "element_nodes_short Si 1 4\nelement_activation_short Si t s l\n",
    "all layers": "element_nodes_short Si 4 2\nelement_activation_short Si t s l\n",
}


@pytest.mark.parametrize("how", ELEMENT)
def test_networks_of_single_elements(made, how):
    potential = made(widths={"Si": (4, 4, 2, 1)}, extra=ELEMENT[how])
    network = dict(zip(("O", "Si"), potential.read().networks, strict=True))
    assert network["O"].activation == "tanh"
    assert network["Si"].activation == ("tanh", "sigmoid", "linear")
    assert [w.shape for w in network["Si"].weights] == [(4, 4), (4, 2), (2, 1)]
    silicon = potential.energies(systems.silicon(), letters="tsl")
    check(potential, silicon, systems.silicon())


def test_numbers_of_hidden_layers_of_single_elements(made):
    extra = "element_hidden_layers_short Si 1\nelement_nodes_short Si 5\nelement_activation_short Si c l\n"
    network = made(widths={"Si": (4, 5, 1)}, extra=extra).read().networks[1]
    assert [w.shape for w in network.weights] == [(4, 5), (5, 1)]
    assert network.activation == "cosine"


@pytest.mark.parametrize("number", range(9))
def test_cutoff_types(made, number):
    alpha = 0.25
    potential = made(text=INPUT.replace("cutoff_type 1", f"cutoff_type {number} {alpha}"))
    descriptor = potential.read().descriptors.of("O")[0]
    names = "hard cosine tanh3 tanh3_normalized exp poly1 poly2 poly3 poly4".split()  # noqa: SIM905
    assert descriptor.cutoff_function == names[number]
    assert descriptor.cutoff_alpha == (0.0 if number in (0, 2, 3) else alpha)


OTHER_TYPES = """
symfunction_short Si 9 Si O 0.1 1.0 2.0 3.3 0.4
symfunction_short Si 12 0.3 0.5 3.3
symfunction_short Si 13 0.3 0.5 -1 2.0 3.3
symfunction_short Si 20 O 0.5 3.3 p2
symfunction_short Si 21 O Si 0.5 3.3 20.0 150.0 p3
symfunction_short Si 22 O O -1.3 3.3 -90.0 90.0 p4a
symfunction_short Si 23 0.5 3.3 e
symfunction_short Si 24 0.5 3.3 20.0 180.0 p1
symfunction_short Si 25 0.5 3.3 20.0 180.0 p1a
symfunction_short O 12 0.3 0.5 3.3
"""


def test_compact_functions_are_sorted_as_n2p2_does():
    """By subtype, then neighbours, and only then by cutoff and the other numbers; the other types by cutoff first."""
    lines = """
        Si 2 Si 0.4 0.0 3.0
        Si 2 O 0.4 0.0 3.3
        Si 20 Si 0.5 3.0 p1
        Si 20 O 0.5 3.3 p2
        Si 20 O -0.5 3.3 p2
        Si 20 Si -3.0 3.0 p2
        Si 20 O 0.0 3.0 p2a
        Si 21 O O -3.3 3.3 0.0 90.0 p3
        Si 21 O O -3.3 3.3 0.0 180.0 p3
        Si 21 Si O -3.0 3.0 0.0 180.0 p3
        Si 21 Si Si -2.0 2.0 0.0 180.0 p3
        Si 24 -2.0 2.0 0.0 180.0 e
        Si 24 -2.0 2.0 60.0 180.0 e
        Si 24 -2.5 2.5 0.0 180.0 e
    """.strip().splitlines()
    entries = [settings.Entry("input.nn", n, "symfunction_short", tuple(line.split())) for n, line in enumerate(lines)]
    functions = [symmetry_functions.parse(entry, ("O", "Si")) for entry in entries]
    shuffled = [functions[index] for index in np.random.default_rng(0).permutation(len(functions))]
    shuffled.sort(key=lambda function: function.sort_key(("O", "Si")))
    order = [function.entry.line for function in shuffled]
    assert order == [0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13]


def test_all_types_of_symmetry_functions_are_read_and_written(tmp_path):
    O_SI = ("Si", "O", "Si")
    expected = [
        D.G5(0.1, 2.0, 1.0, 3.3, ("Si", "O", "Si"), r_shift=0.4),
        D.WeightedG2(0.3, 0.5, 3.3, O_SI),
        D.WeightedG4(0.3, 2.0, -1.0, 3.3, O_SI, r_shift=0.5),
        D.CompactRadial(0.5, 3.3, ("Si", "O"), "poly2"),
        D.CompactNarrow(0.5, 20.0, 150.0, 3.3, ("Si", "O", "Si"), "poly3"),
        D.CompactWide(-1.3, -90.0, 90.0, 3.3, ("Si", "O", "O"), "poly4", steep=True),
        D.WeightedCompactRadial(0.5, 3.3, O_SI, core="exp"),
        D.WeightedCompactNarrow(0.5, 20.0, 180.0, 3.3, O_SI, core="poly1"),
        D.WeightedCompactWide(0.5, 20.0, 180.0, 3.3, O_SI, core="poly1", steep=True),
        D.WeightedG2(0.3, 0.5, 3.3, ("O", "O", "Si")),
    ]
    model = mff.NNPotential.init(jax.random.key(0), D.DescriptorSet(expected), hidden=(2,), activation="tanh")
    mff.io.write_n2p2(model, tmp_path)
    text = (tmp_path / "input.nn").read_text()
    (tmp_path / "input.nn").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("symfunction")) + OTHER_TYPES
    )
    again = mff.io.read_n2p2(tmp_path)
    assert jax.tree.structure(again.descriptors.of("Si")) == jax.tree.structure(tuple(expected[:-1]))
    assert jax.tree.leaves(again.descriptors.of("Si")) == jax.tree.leaves(tuple(expected[:-1]))
    np.testing.assert_array_equal(atomic(again, systems.molecule()), atomic(model, systems.molecule()))


# -- writing ------------------------------------------------------------------------------------------------------


def trained(**changes):
    """A model with everything in it that n2p2 can express."""
    descriptors = D.DescriptorSet([*ORDERED["Si"][::-1], *ORDERED["O"]])
    model = mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(3, 2), activation="softplus")
    rng = np.random.default_rng(1)
    scaling = mff.models.Scaling(
        center=tuple(rng.normal(size=n) for n in (2, 4)),
        factor=tuple(rng.uniform(0.5, 3.0, size=n) for n in (2, 4)),
        offsets=np.array([-3.0, -5.5]),
        scale=np.array(0.37),
    )
    return dataclasses.replace(model, **({"scaling": scaling} | changes))


@pytest.mark.parametrize("unit_names", [("angstrom", "ev"), ("bohr", "hartree")])
def test_writing_and_reading_gives_the_same_energies_and_forces(tmp_path, unit_names):
    model = trained()
    mff.io.write_n2p2(model, tmp_path / "out", *unit_names)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "input.nn",
        "scaling.data",
        "weights.008.data",
        "weights.014.data",
    ]
    again = mff.io.read_n2p2(tmp_path / "out")
    structure = systems.two_species()
    nl = model.neighbor_list(structure)
    (e, f), (e2, f2) = (energy_and_forces(m, structure, nl) for m in (model, again))
    assert float(e2) == pytest.approx(float(e), rel=1e-13)
    np.testing.assert_allclose(f2, f, rtol=0, atol=1e-12 * np.abs(f).max())
    mff.io.write_n2p2(again, tmp_path / "out", *unit_names)  # over the old one, now in n2p2's order
    third = mff.io.read_n2p2(tmp_path / "out", *unit_names)
    assert jax.tree.structure(third) == jax.tree.structure(again)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(third), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14)


def test_untrained_and_odd_networks_are_written(tmp_path):
    """Where elements have networks of different widths, all are written with the larger of each layer."""
    key = jax.random.key(3)
    networks = (
        mff.MLP.init(key, 2, (4, 2), activation=("cosine", "exponential", "linear")),
        mff.MLP.init(key, 4, (3, 5), activation=("cosine", "exponential", "linear"), bias=False),
    )
    model = trained(networks=networks, scaling=None)
    mff.io.write_n2p2(model, tmp_path)
    assert "element_" not in (tmp_path / "input.nn").read_text()
    again = mff.io.read_n2p2(tmp_path)
    assert again.scaling is None
    assert [network.activation for network in again.networks] == [("cosine", "exponential", "linear")] * 2
    assert [[w.shape for w in n.weights] for n in again.networks] == [
        [(2, 4), (4, 5), (5, 1)],
        [(4, 4), (4, 5), (5, 1)],
    ]
    np.testing.assert_allclose(
        atomic(again, systems.molecule()), atomic(model, systems.molecule()), rtol=1e-13, atol=1e-15
    )


def test_dropped_features_are_written(tmp_path):
    model = trained()
    factor = (model.scaling.factor[0], model.scaling.factor[1] * [1, 0, 1, 1])
    model = dataclasses.replace(model, scaling=dataclasses.replace(model.scaling, factor=factor))
    mff.io.write_n2p2(model, tmp_path)
    np.testing.assert_allclose(
        atomic(mff.io.read_n2p2(tmp_path), systems.molecule()), atomic(model, systems.molecule()), rtol=1e-13
    )


def swapped(new, label="O"):
    descriptors = [d for d in trained().descriptors if d.species[0] != label]
    return trained(descriptors=D.DescriptorSet([*descriptors, *new]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mff.potentials.stillinger_weber("Si"), "`model` must be a NNPotential, got"),
        (lambda: swapped([D.Sigmoid(1.0, 0.2, 3.3, ("O", "O"))]), "descriptors that n2p2 knows, got Sigmoid"),
        (lambda: swapped([D.RadialDescriptor(jnp.cos, 3.3, ("O", "O"))]), "descriptors that n2p2 knows, got Radial"),
        (lambda: swapped([D.G2(0.1, 0.0, 3.3, ("O", "O"), "poly2")]), "`model` must have one cutoff function"),
        (lambda: swapped([D.G2(0.1, 0.0, 3.3, ("O", "H"))]), r"networks for all species .* got none for \['H'\]"),
        (lambda: swapped([D.WeightedG2(0.1, 0.0, 3.3, ("O", "O"))]), "weighted descriptors of all its elements"),
        (lambda: swapped([D.WeightedG2(0.1, 0.0, 3.3, ("O", "O", "Si"), (1.0, 2.0))]), "weighted descriptors of all"),
        (lambda: trained(networks=(mff.MLP.init(jax.random.key(0), 2, ()),) * 2), "hidden layer for n2p2"),
        (lambda: trained(networks=(mff.MLP.init(jax.random.key(0), 2, (2,), "silu"),) * 2), "got 'silu'"),
        (
            lambda: trained(networks=(mff.MLP.init(jax.random.key(0), 2, (2,), ("tanh", "tanh")),) * 2),
            "linear outputs for n2p2, got 'tanh'",
        ),
        (
            lambda: trained(networks=tuple(mff.MLP.init(jax.random.key(0), 2, hidden) for hidden in ((2,), (2, 2)))),
            "the same activations for all species",
        ),
        (lambda: trained(species=("A", "Si")), "chemical elements as species for n2p2, got A"),
        (lambda: trained(networks=jax.tree.map(lambda w: w * jnp.nan, trained().networks)), "finite numbers"),
    ],
)
def test_what_n2p2_cannot_express_is_not_written(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        mff.io.write_n2p2(make(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_write_leaves_the_old_files(tmp_path, monkeypatch):
    mff.io.write_n2p2(trained(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = type(tmp_path).write_text

    def full_disk(self, text, **kwargs):
        if "weights.014" in self.name:
            raise OSError("no space left on device")
        return write(self, text, **kwargs)

    monkeypatch.setattr(type(tmp_path), "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        mff.io.write_n2p2(trained(scaling=None), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# -- what is refused ----------------------------------------------------------------------------------------------

LAST = len((INPUT + FUNCTIONS).splitlines()) + 1  # the line of the first keyword that is appended


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("use_electrostatics", f"input.nn, line {LAST}: `use_electrostatics` is not supported"),
        ("nnp_type 4G-HDNNP", f"line {LAST}: `nnp_type` must be .* got '4G-HDNNP'"),
        ("nn_type_short 2", f"line {LAST}: `nn_type_short` must be 1, .* got '2'"),
        ("elements Si O", f"line {LAST}: `elements` must stand once, but stands in line 3 already"),
        ("nn_type 1", f"line {LAST}: `nn_type` must be 2g-hdnnp or 2 or 0, .* got '1'"),
        ("fixed_gausswidth Si 1.0", f"line {LAST}: `fixed_gausswidth` is not supported"),
        ("cutoff_alpha 0.1", f"line {LAST}: `cutoff_alpha` is not supported"),
        ("symfunction_short Si 4 O 0.1 3.3", f"line {LAST}: `symfunction_short` must be of type 2, 3, .* got 4"),
        ("symfunction_short Si two O 0.1 3.3", "must have a whole number as value 2, got 'two'"),
        ("symfunction_short Si", "`symfunction_short` must have an element and a type"),
        ("symfunction_short Si 2 H 0.1 0.0 3.3", "must name elements among O, Si, got 'H'"),
        ("symfunction_short Si 2 O 0.1 3.3", "`symfunction_short` must have 6 values, got 5"),
        ("symfunction_short Si 2 O 0.1 0.0 3.3 1.0", "`symfunction_short` must have 6 values, got 7"),
        ("symfunction_short Si 2 O 0.1 nan 3.3", "must have finite values, got 'nan'"),
        ("symfunction_short Si 2 O x 0.0 3.3", "must have a number as value 4, got 'x'"),
        ("symfunction_short Si 2 O 0.1 0.0 -3.3", "cannot be used: `cutoff` must be positive"),
        ("symfunction_short Si 20 O 0.0 3.3 p5", "must have a subtype p1 to p4, p1a to p4a or e, got 'p5'"),
        ("scale_symmetry_functions\nscale_max_short -1", "`scale_max_short` must be greater"),
        ("mean_energy 1.0", "`mean_energy` must come with all of mean_energy, conv_energy, conv_length"),
        ("mean_energy 1\nconv_energy 0\nconv_length 1", "`conv_energy` must be positive, got 0"),
        ("atom_energy H 1.0", "`atom_energy` must stand at most once for each of O, Si, got 'H'"),
        ("atom_energy O 1.0\natom_energy O 1.0", f"line {LAST + 1}: `atom_energy` must stand at most once"),
        ("element_nodes_short Si 1 2 3", "must have a layer"),
        ("element_nodes_short H 1 2", "`element_nodes_short` must name an element of the potential"),
        ("element_nodes_short Si 1 4\nelement_nodes_short Si 1 5", "must stand once for each layer"),
        ("element_hidden_layers_short Si 0", "`element_hidden_layers_short` must be at least 1, got 0"),
        ("element_activation_short Si t x l", "`element_activation_short` must have values among l t s .* got 'x'"),
        ("element_activation_short Si 1 t", r"`element_activation_short` must have 3 values, got \['1', 't'\]"),
        ("element_activation_short Si 1 2 t", "`element_activation_short` must have values among l t s .* got '1'"),
        ("element_nodes_short Si 1 4", "weights.014.data"),  # which was made for three nodes
    ],
)
def test_bad_input_is_refused_by_line(made, extra, message):
    potential = made(extra=extra + "\n")
    with pytest.raises(ValueError, match=message):
        potential.read()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("elements Si O", "", "must hold the keyword `elements`, which is missing"),
        ("elements Si O", "elements Si Xx", "`elements` must name chemical elements, got 'Xx'"),
        ("elements Si O", "elements Si O H", "must name 2 different elements .* got Si O H"),
        ("cutoff_type 1", "cutoff_type 9", "`cutoff_type` must be 0 to 8, got 9"),
        ("cutoff_type 1", "cutoff_type 1 1.0", "`cutoff_type` must have an inner cutoff from 0 to below 1, got 1.0"),
        ("global_nodes_short 3 2", "global_nodes_short 3", "`global_nodes_short` must have 2 values, got 1"),
        ("global_nodes_short 3 2", "global_nodes_short 3 0", "`global_nodes_short` must have positive values, got 0"),
        ("t t l", "t q l", "`global_activation_short` must have values among"),
        ("symfunction_short O 2", "# ", None),
    ],
)
def test_bad_lines_are_refused(made, old, new, message):
    potential = made()
    potential.replace("input.nn", old, new)
    if message is None:  # one function less: the files no longer fit
        message = r"weights\.008\.data, line|scaling"
    with pytest.raises(ValueError, match=message):
        potential.read()


def test_elements_without_functions_are_refused(made):
    potential = made(functions="\n".join(line for line in FUNCTIONS.splitlines() if "short O" not in line) + "\n")
    with pytest.raises(ValueError, match="must hold `symfunction_short` for O, got none"):
        potential.read()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("scaling.data", None, r"scaling\.data does not exist"),
        ("weights.014.data", None, r"weights\.014\.data does not exist"),
        ("input.nn", None, r"input\.nn does not exist"),
        ("scaling.data", lambda lines: lines[:-1], r"scaling\.data must hold 6 symmetry functions, got 5"),
        (
            "scaling.data",
            lambda lines: [*lines, "2 5 1 2 3 4"],
            r"scaling\.data, line 8: must hold 6 symmetry functions",
        ),
        (
            "scaling.data",
            lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
            "line 2: must be symmetry function 1",
        ),
        ("scaling.data", lambda lines: [lines[0], "1 1 0.5 0.5 0.1 0.0", *lines[2:]], "line 2: sigma must be positive"),
        ("scaling.data", lambda lines: [lines[0], "1 1 0.5 0.5 0.1", *lines[2:]], "line 2: must hold 6 finite numbers"),
        ("scaling.data", lambda lines: [lines[0], "1 1 x 1 1 1", *lines[2:]], "line 2: must hold numbers"),
        ("weights.008.data", lambda lines: lines[:-1], r"must hold 20 numbers for layers 2-3-2-1, got 19"),
        ("weights.008.data", lambda lines: [*lines, "1.0"], r"weights\.008\.data, line 22: must end after 20 numbers"),
        ("weights.008.data", lambda lines: [lines[0], "x", *lines[2:]], "line 2: must begin with a number, got 'x'"),
        ("weights.008.data", lambda lines: [lines[0], "inf", *lines[2:]], "line 2: must be finite, got 'inf'"),
        ("weights.008.data", lambda lines: [lines[0], "1.0 b", *lines[2:]], "line 2: must be of kind 'a'"),
    ],
)
def test_damaged_files_are_refused(made, name, damage, message):
    potential = made(extra="scale_symmetry_functions_sigma\n")
    potential.read()
    path = potential.folder / name
    if damage is None:
        path.unlink()
    else:
        path.write_text("\n".join(damage(path.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=message):
        potential.read()


def test_units_must_be_given(made, tmp_path):
    made()
    with pytest.raises(ValueError, match="`length_unit` and `energy_unit` must be given"):
        mff.io.read_n2p2(tmp_path)
    with pytest.raises(ValueError, match="`length_unit` must be 'angstrom' or 'bohr', got 'nm'"):
        mff.io.read_n2p2(tmp_path, "nm", "ev")
    with pytest.raises(ValueError, match="`energy_unit` must be 'ev' or 'hartree', got 3"):
        mff.io.read_n2p2(tmp_path, "bohr", 3)
    with pytest.raises(FileNotFoundError, match="`folder` must be a folder"):
        mff.io.read_n2p2(tmp_path / "none", "bohr", "ev")
    mff.io.write_n2p2(trained(), tmp_path / "out", "bohr", "hartree")
    with pytest.raises(ValueError, match=r"must be those that .* was written in"):
        mff.io.read_n2p2(tmp_path / "out", "angstrom", "ev")


def test_comments_may_hold_anything(made):
    potential = made()
    expected = atomic(potential.read(), systems.molecule())
    path = potential.folder / "input.nn"
    text = path.read_text()
    comment = "# J\xf6rg, 5 \xc5 \x0c symfunction_short Si 2 O 0.1 0.0 3.3 \x0b \x85 nonsense\r\n"
    for data in ((comment + text).encode("latin-1"), (comment + text).encode(), (text + comment).encode("utf-8-sig")):
        path.write_bytes(data)
        np.testing.assert_array_equal(atomic(potential.read(), systems.molecule()), expected)


def test_ranges_are_read_and_written(made, tmp_path):
    """They are what extrapolation is told by; how features are distributed in between is not in the files."""
    potential = made(extra="scale_symmetry_functions_sigma\n")
    model = potential.read()
    for low, high, density, table in zip(
        model.histograms.low, model.histograms.high, model.histograms.density, potential.table.values(), strict=True
    ):
        np.testing.assert_array_equal(low, table[:, MIN])
        np.testing.assert_array_equal(high, table[:, MAX])
        assert (np.asarray(density) == 1).all()
    structure = systems.molecule()
    with pytest.warns(mff.models.ExtrapolationWarning):
        found = model.extrapolations(structure, model.neighbor_list(structure))
    values = features(model.descriptors, structure, model.descriptors.neighbor_list(structure))
    outside = 0
    for label, table in potential.table.items():
        g = np.asarray(values)[np.array(structure.species) == label][:, : len(table)]
        outside += ((g < table[:, MIN]) | (g > table[:, MAX])).sum()
    assert len(found) == outside > 0
    mff.io.write_n2p2(model, tmp_path / "new" / "out")
    again = mff.io.read_n2p2(tmp_path / "new" / "out").histograms
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(model.histograms), strict=True):
        np.testing.assert_array_equal(a, b)
    mff.io.write_n2p2(dataclasses.replace(model, histograms=None), tmp_path / "unknown")
    assert mff.io.read_n2p2(tmp_path / "unknown").histograms is None
    with pytest.raises(ValueError, match="`folder` must be a folder or a new one"):
        mff.io.write_n2p2(model, tmp_path / "unknown" / "input.nn" / "below")


@pytest.mark.float32_too
def test_single_precision(made):
    potential = made(extra="scale_symmetry_functions_sigma\n")
    structure = systems.molecule()
    structure = dataclasses.replace(
        structure,
        positions=jnp.asarray(structure.positions, jnp.float32),
        cell=jnp.asarray(structure.cell, jnp.float32),
    )
    energies = atomic(potential.read(), structure)
    assert energies.dtype == np.float32
    expected = potential.energies(structure, lambda g, t: (g - t[:, MEAN]) / t[:, SIGMA])
    np.testing.assert_allclose(energies, expected, rtol=1e-4, atol=1e-4)


def test_keywords_of_training_are_ignored(made):
    potential = made()
    expected = atomic(potential.read(), systems.molecule())
    lines = "\n".join(f"{keyword} 1 2 3" for keyword in sorted(settings.IGNORED))
    potential.replace("input.nn", "elements Si O", f"elements Si O ! both\n{lines}")
    np.testing.assert_array_equal(atomic(potential.read(), systems.molecule()), expected)
    assert not settings.IGNORED & (settings.ONCE | settings.OFTEN)


def test_runner_ends_scaling_data_with_two_energies(made):
    potential = made(extra="scale_symmetry_functions\n")
    before = potential.read().scaling
    with open(potential.folder / "scaling.data", "a") as file:
        file.write("  -1.5 -0.2\n")
    np.testing.assert_array_equal(potential.read().scaling.factor[1], before.factor[1])


# -- input.data ---------------------------------------------------------------------------------------------------

FRAME = """begin
comment anything # at all
atom 0.0 0.0 0.0 Si 0.5 0.0 0.1 0.2 0.3
 atom 1.0 0.0 0.0 O -0.5 0.0 -0.1 -0.2 -0.3
energy -2.0
charge 0.0
end
"""
LATTICE = "lattice 4 0 0\nlattice 0 4 0\nlattice 0 0 4\n"


def read_text(tmp_path, text):
    (tmp_path / "input.data").write_text(text)
    return mff.io.read_n2p2_frames(tmp_path, "bohr", "hartree")


def test_frames(tmp_path):
    periodic = FRAME.replace("energy", LATTICE + "energy")
    without = FRAME.replace(" 0.0 0.1 0.2 0.3", "").replace(" 0.0 -0.1 -0.2 -0.3", "")
    without = without.replace("Si 0.5", "Si").replace("O -0.5", "O")
    first, second, third = read_text(tmp_path, FRAME + periodic + without)
    assert first.structure.pbc == (False, False, False)
    assert first.structure.species == ("Si", "O")
    np.testing.assert_allclose(first.structure.positions[1], [units.Bohr, 0, 0])
    np.testing.assert_allclose(first.structure.charges, [0.5, -0.5])
    np.testing.assert_allclose(first.forces[0], np.array([0.1, 0.2, 0.3]) * units.Hartree / units.Bohr)
    assert first.energy == pytest.approx(-2 * units.Hartree)
    assert second.structure.pbc == (True, True, True)
    np.testing.assert_allclose(second.structure.cell, 4 * units.Bohr * np.eye(3))
    assert third.forces is None
    uncharged = read_text(tmp_path, FRAME.replace("0.5", "0.0"))
    assert uncharged[0].structure.charges is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "which holds none"),
        (FRAME.replace("end\n", ""), "line 1: `begin` must be followed by `end`"),
        (FRAME + "energy 1.0\n", "line 8: 'energy' must not stand outside begin and end"),
        (FRAME.replace("comment", "remark"), "line 2: 'remark' must not stand inside"),
        (
            FRAME.replace("energy -2.0\n", ""),
            "structure at line 1: must have atoms, one energy, .* got 0 lattice, 2 atom",
        ),
        (FRAME.replace("energy -2.0", "energy"), "line 5: `energy` must have 1 values, got 0"),
        (FRAME.replace("-2.0", "nan"), "line 5: `energy` must have finite numbers"),
        (FRAME.replace("1.0 0.0 0.0 O", "1.0 x 0.0 O"), "line 4: `atom` must have numbers"),
        (FRAME.replace(" -0.2 -0.3", ""), "line 4: `atom` must have 4 or 9 values, got 7"),
        (FRAME.replace(" -0.5 0.0 -0.1 -0.2 -0.3", ""), "line 4: all atoms of a structure must have forces, or none"),
        (FRAME.replace("energy", "lattice 1 0 0\nenergy"), "three lattice vectors or none, got 1 lattice"),
        (FRAME.replace("energy", LATTICE.replace("4 0 0", "0 4 0") + "energy"), "line 1: `cell` must have independent"),
    ],
)
def test_damaged_frames_are_refused_by_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_text(tmp_path, text)


def test_missing_data_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        mff.io.read_n2p2_frames(tmp_path, "bohr", "hartree")
    shutil.rmtree(tmp_path)


# -- networks -----------------------------------------------------------------------------------------------------


def test_activations_of_single_layers_are_checked():
    mlp = mff.MLP.init(jax.random.key(0), 2, (3,), activation=["tanh", "square"])
    assert mlp.activation == ("tanh", "square")
    x = np.array([0.3, -0.7])
    hidden = np.tanh(x @ mlp.weights[0] + mlp.biases[0])
    assert float(mlp(jnp.asarray(x))) == pytest.approx(float((hidden @ mlp.weights[1] + mlp.biases[1])[0] ** 2))
    with pytest.raises(
        ValueError, match=r"`activation` must be one name, or one for each of 2 layers, got \('tanh',\)"
    ):
        dataclasses.replace(mlp, activation=("tanh",))
    with pytest.raises(ValueError, match=r"`activation` must be one of tanh, .*, got 'tan'"):
        dataclasses.replace(mlp, activation=("tan", "tanh"))
