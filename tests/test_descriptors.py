"""Descriptors: reference kernels, brute force, the layout of the rows, and the points where formulas are delicate."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import miniffx as mff
import systems
from miniffx import Structure, blocks, geometry, mapping
from miniffx import descriptors as D
from oracles import angular_sums, each_triple, pairs_of, quick_jit, radial_sums, tolerance
from systems import in_one_shape

values = quick_jit(lambda ds, structure, nl: ds(structure, nl))


@quick_jit
def values_and_two_derivatives(ds, structure, nl):
    """[n_atoms, n] and the first and second derivatives of all its entries in all positions."""

    def of_positions(positions):
        return ds(dataclasses.replace(structure, positions=positions), nl)

    first = jax.jacrev(of_positions)
    return of_positions(structure.positions), first(structure.positions), jax.jacfwd(first)(structure.positions)


# -- the formulas as printed, in NumPy -------------------------------------------------------------


def cosine(r, cutoff):
    return 0.5 * (1 + np.cos(np.pi * r / cutoff))


def g2(r, eta, r_shift, cutoff):
    return np.exp(-eta * (r - r_shift) ** 2) * cosine(r, cutoff)


def g4(r1, r2, r3, cos_theta, eta, zeta, lam, cutoff):
    angular = 2 ** (1 - zeta) * max(1 + lam * cos_theta, 0) ** zeta
    screens = cosine(r1, cutoff) * cosine(r2, cutoff) * cosine(r3, cutoff)
    return angular * np.exp(-eta * (r1**2 + r2**2 + r3**2)) * screens


def oracle(structure, descriptor):
    """[n_atoms] by brute force."""
    if isinstance(descriptor, D.G2):
        parameters = {"eta": descriptor.eta, "r_shift": descriptor.r_shift, "cutoff": descriptor.cutoff}
        return radial_sums(structure, descriptor.species, descriptor.cutoff, lambda r: g2(r, **parameters))
    parameters = {name: getattr(descriptor, name) for name in ("eta", "zeta", "lam", "cutoff")}
    return angular_sums(structure, descriptor.species, descriptor.cutoff, lambda *t: g4(*t, **parameters))


# -- brute force -----------------------------------------------------------------------------------


def three_species():
    """Seven atoms of H, O and Si in an oblique cell smaller than twice the cutoffs."""
    rng = np.random.default_rng(11)
    grid = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    cell = np.array([[4.0, 0.2, 0], [0.3, 3.8, 0], [0, -0.4, 4.2]])
    positions = grid / 2 @ cell + rng.normal(scale=0.1, size=(7, 3))
    return Structure.create(positions, ["Si", "H", "O", "Si", "O", "H", "O"], cell=cell)


def mixed_set():
    """Descriptors of three species in no order at all."""
    return D.DescriptorSet(
        [
            D.G4(eta=0.05, zeta=2, lam=1.0, cutoff=3.3, species=("Si", "O", "H")),
            D.G2(eta=0.3, r_shift=0.0, cutoff=3.6, species=("O", "Si")),
            D.G2(eta=0.1, r_shift=1.5, cutoff=3.6, species=("Si", "O")),
            D.G2(eta=0.7, r_shift=0.5, cutoff=3.6, species=("O", "Si")),
            D.G4(eta=0.02, zeta=1.5, lam=-1.0, cutoff=3.0, species=("O", "O", "O")),
            D.G2(eta=0.2, r_shift=2.0, cutoff=3.6, species=("Si", "Si")),
            D.G4(eta=0.07, zeta=2, lam=-1.0, cutoff=3.3, species=("Si", "H", "O")),
            D.G2(eta=0.2, r_shift=1.0, cutoff=2.9, species=("H", "H")),
            D.G4(eta=0.01, zeta=4.7, lam=1.0, cutoff=3.3, species=("O", "Si", "H")),
        ]
    )


def expected_rows(structure, ds):
    """Row i: the descriptors of atom i's species in the order of the set, then zeros."""
    rows = np.zeros((structure.n_atoms, ds.n_descriptors))
    for label in set(structure.species):
        for column, descriptor in enumerate(d for d in ds if d.species[0] == label):
            of_label = np.array(structure.species) == label
            rows[of_label, column] = oracle(structure, descriptor)[of_label]
    return rows


@pytest.mark.float32_too
def test_rows_by_brute_force():
    structure, ds = three_species(), mixed_set()
    found = values(ds, structure, ds.neighbor_list(structure))
    expected = expected_rows(structure, ds)
    assert found.shape == expected.shape == (7, 4)
    assert_allclose(found, expected, rtol=tolerance(1e-12, 1e-5), atol=tolerance(1e-15, 1e-6))
    of_hydrogen = np.array(structure.species) == "H"
    assert not np.asarray(found)[of_hydrogen, 1:].any()
    assert np.count_nonzero(found) == 2 * 4 + 3 * 4 + 2 * 1


@pytest.mark.float32_too
def test_nasty_systems_by_brute_force():
    ds = D.DescriptorSet(
        [
            D.G2(eta=0.2, r_shift=1.0, cutoff=3.6, species=("Si", "O")),
            D.G4(eta=0.05, zeta=3, lam=1.0, cutoff=3.4, species=("Si", "Si", "Si")),
            D.G4(eta=0.05, zeta=1.5, lam=-1.0, cutoff=3.4, species=("O", "Si", "O")),
        ]
    )
    makers = systems.resolved()
    originals = [make() for make in makers]
    for make, original, (structure, nl) in zip(makers, originals, in_one_shape(originals, ds), strict=True):
        found = np.asarray(values(ds, structure, nl))
        assert_allclose(
            found[: original.n_atoms],
            expected_rows(original, ds),
            rtol=tolerance(1e-9, 1e-4),
            atol=tolerance(1e-11, 1e-5),
            err_msg=make.__name__,
        )
        assert not found[original.n_atoms :].any()


# -- products, evaluated together and few rows at a time ------------------------------------------


def products_of_every_kind():
    """Functions that share legs, angles, both or nothing, with open and closed triples and two cutoffs."""
    species = ("A", "A", "B")
    for eta, zeta in [(0.02, 1.0), (0.02, 4.0), (0.3, 4.0)]:
        yield D.G4(eta=eta, zeta=zeta, lam=-1.0, cutoff=4.0, species=species)
    yield D.G2(eta=0.1, r_shift=1.0, cutoff=4.0, species=("A", "B"))
    yield D.G4(eta=0.3, zeta=4.0, lam=-1.0, r_shift=1.0, cutoff=4.0, species=species)
    yield D.G5(eta=0.02, zeta=4.0, lam=-1.0, cutoff=3.5, species=species)
    yield D.WeightedG4(eta=0.02, zeta=4.0, lam=-1.0, cutoff=4.0, species=("A", "B"), weights=(2.5,))


@pytest.mark.float32_too
def test_products_together_are_what_each_is_alone(monkeypatch):
    """A set that jit closes over shares factors, and takes rows in blocks, the last one filled up: to no effect."""
    rng = np.random.default_rng(0)
    cell = np.array([[5.0, 0, 0], [1.0, 4.5, 0], [-1.0, 0.5, 5.5]])
    structure = Structure.create(rng.random((11, 3)), ["A"] * 7 + ["B"] * 4, cell, fractional=True)
    ds = D.DescriptorSet(products_of_every_kind())
    nl = ds.neighbor_list(structure)
    environments = nl.environments[nl.labels.index("A")]
    width = max(environments.neighbors.shape[1], *(slots.first.shape[1] for slots in environments.triples))
    assert environments.centers.shape[0] == 7  # 3 rows, 3 rows, 1 row
    monkeypatch.setattr(blocks, "BLOCK", {"cpu": 3 * width})
    vectors = geometry.displacements(structure, environments)
    weights = jnp.asarray(rng.normal(size=(environments.centers.shape[0], len(ds))), vectors.dtype)

    def together(vectors):
        return ds.features_of_displacements("A", vectors, environments, nl.labels)

    def alone(vectors):
        return jnp.stack(
            [d.sums(vectors, environments, nl.labels) for d in mapping.cast(ds.of("A"), vectors.dtype)], -1
        )

    direction = jnp.asarray(rng.normal(size=vectors.shape), vectors.dtype)

    def derivatives(function):
        slope = jax.grad(lambda vectors: (function(vectors) * weights).sum())
        return quick_jit(lambda vectors: (function(vectors), *jax.jvp(slope, (vectors,), (direction,))))(vectors)

    for found, expected in zip(derivatives(together), derivatives(alone), strict=True):
        scale = np.abs(expected).max()
        assert scale > 0
        assert_allclose(found, expected, rtol=0, atol=tolerance(1e-13, 2e-5) * scale)
    batch = quick_jit(jax.vmap(together))(jnp.stack([vectors, 0.97 * vectors]))
    expected = jnp.stack([alone(vectors), alone(0.97 * vectors)])
    assert_allclose(batch, expected, rtol=0, atol=tolerance(1e-13, 2e-5) * np.abs(expected).max())


def test_what_a_set_says_about_itself():
    ds = mixed_set()
    assert len(ds) == 9
    assert [d.species for d in ds][:2] == [("Si", "H", "O"), ("O", "Si")]
    assert ds.species == ("H", "O", "Si")
    assert [len(ds.of(label)) for label in ("H", "O", "Si", "Ar")] == [1, 4, 4, 0]
    assert [d.eta for d in ds.of("O")] == [0.3, 0.7, 0.02, 0.01]
    assert (ds.n_descriptors, ds.cutoff) == (4, 3.6)
    needs = ds.needs
    assert (needs.cutoff, needs.triple_cutoff, needs.closed) == (3.6, 3.3, True)
    assert needs.triple_species == {("Si", "H", "O"), ("O", "O", "O"), ("O", "H", "Si")}
    nl = ds.neighbor_list(three_species(), skin=0.3)
    assert (nl.cutoff, nl.triple_cutoff, nl.closed, nl.skin) == (3.6, 3.3, True, 0.3)


def test_any_list_that_reaches_will_do():
    structure, ds = three_species(), mixed_set()
    expected = values(ds, structure, ds.neighbor_list(structure))
    longer = mff.neighbor_list(structure, 4.0, triple_cutoff=3.4, closed=False, skin=0.2)
    assert longer.n_triples > 2 * ds.neighbor_list(structure).n_triples
    assert_allclose(values(ds, structure, longer), expected, rtol=1e-12, atol=1e-15)


def test_species_that_the_structure_lacks():
    """Neighbours that are not there contribute nothing; centres that are not there have no row."""
    structure, ds = systems.two_species(), mixed_set()
    found = values(ds, structure, ds.neighbor_list(structure))
    assert found.shape == (8, 4)
    assert_allclose(found, expected_rows(structure, ds), rtol=1e-12, atol=1e-15)
    assert not np.asarray(found)[:4, [0, 3]].any()  # Si with (H, O) neighbours
    assert np.asarray(found)[:4, [1, 2]].all()
    argon = Structure.create([[0, 0, 0], [0, 0, 2.0]], ["Ar", "Ar"])
    assert_array_equal(ds(argon, ds.neighbor_list(argon)), np.zeros((2, 4)))


def test_results_have_the_dtype_of_the_positions():
    ds = mixed_set()
    structure = three_species()
    single = Structure.create(np.asarray(structure.positions, np.float32), structure.species, cell=structure.cell)
    assert jax.eval_shape(ds, single, ds.neighbor_list(single)).dtype == np.float32
    assert jax.eval_shape(ds, structure, ds.neighbor_list(structure)).dtype == np.float64


def test_gradients_in_parameters():
    structure = three_species()
    parameters = {"eta": 0.1, "r_shift": 1.5}

    nl = mff.neighbor_list(structure, 3.6)

    @jax.jit
    def feature(parameters):
        return D.DescriptorSet([D.G2(**parameters, cutoff=3.6, species=("Si", "O"))])(structure, nl).sum()

    gradient = jax.jit(jax.grad(feature))(parameters)
    for name, value in parameters.items():
        h = 1e-5
        ahead, behind = (feature({**parameters, name: value + step}) for step in (h, -h))
        assert_allclose(gradient[name], (ahead - behind) / (2 * h), rtol=1e-7)


# -- delicate points -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def angular_set():
    return D.DescriptorSet(
        [D.G4(eta=0.05, zeta=zeta, lam=lam, cutoff=4.0, species=("A",) * 3) for zeta in (1, 0.5) for lam in (1.0, -1.0)]
    )


# Collinear neighbours on both sides (cos θ = −1) and on one side (+1), one neighbour, and no neighbour at all.
LINES = {
    "on both sides": [[0, 0, 0], [1.1, 0, 0], [-1.3, 0, 0]],
    "on one side": [[0, 0, 0], [1.1, 0, 0], [2.5, 0, 0]],
    "both, oblique": [[0, 0, 0], [0.3, 0.6, 0.9], [-0.3, -0.6, -0.9]],
    "one neighbour": [[0, 0, 0], [1.1, 0, 0], [9.0, 9, 9]],
    "no neighbours": [[0, 0, 0], [11.0, 0, 0], [0, 19.0, 9]],
    "a right angle": [[0, 0, 0], [1.0, 0, 0], [0, 1.5, 0]],
}


@pytest.mark.float32_too
@pytest.mark.parametrize("line", LINES)
def test_collinear_and_missing_neighbors(line, angular_set):
    structure = Structure.create(np.array(LINES[line]), ["A"] * 3)
    ((structure, nl), _) = in_one_shape([structure, Structure.create(0.1 * np.eye(3), ["A"] * 3)], angular_set)
    found, first, second = map(np.asarray, values_and_two_derivatives(angular_set, structure, nl))
    expected = expected_rows(structure, angular_set)
    assert_allclose(found, expected, rtol=tolerance(1e-12, 1e-4), atol=tolerance(1e-7, 1e-3))
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()
    if line in ("one neighbour", "no neighbours"):
        assert not found.any()
        assert not first.any()
        assert not second.any()
    elif line != "a right angle" and jax.config.jax_enable_x64:
        # Where the function is smooth (whole ζ), the derivatives are those of its neighbourhood.
        whole = [0, 1]

        def slopes(positions):
            moved = dataclasses.replace(structure, positions=positions)
            return values_and_two_derivatives(angular_set, moved, nl)[1]

        positions, h = np.asarray(structure.positions), 1e-4
        for atom, axis in itertools.product(range(3), range(3)):
            step = np.zeros((3, 3))
            step[atom, axis] = h
            slope = (np.asarray(slopes(positions + step)) - np.asarray(slopes(positions - step))) / (2 * h)
            assert_allclose(slope[:, whole], second[:, whole][..., atom, axis], atol=1e-6)


def test_radial_functions_at_the_cutoff():
    ds = D.DescriptorSet([D.G2(eta=0.0, r_shift=0.0, cutoff=2.0, species=("A", "A"))])
    for r, expected in ((1.0, 0.5), (2.0, 0.0), (2.0 - 1e-9, 0.0), (3.0, 0.0)):
        dimer = Structure.create([[0, 0, 0], [0, 0, r]], ["A", "A"])
        nl = mff.neighbor_list(dimer, 4.0)
        found, first, second = values_and_two_derivatives(ds, dimer, nl)
        assert_allclose(found, [[expected]] * 2, atol=1e-15)
        assert np.isfinite(first).all()
        assert np.isfinite(second).all()


# -- a user's own ----------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Shell(D.Radial):
    width: float
    cutoff: float = dataclasses.field(metadata={"static": True})
    species: tuple = dataclasses.field(metadata={"static": True})

    def formula(self, r):
        return jnp.tanh(1 - r / self.cutoff) ** 3 / self.width


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Open(D.Angular):
    closed = False
    eta: float
    cutoff: float = dataclasses.field(metadata={"static": True})
    species: tuple = dataclasses.field(metadata={"static": True})

    def formula(self, r1, r2, r3, cos_theta):
        return jnp.exp(-self.eta * (r1 + r2)) * cos_theta + 0.1 * r3


def test_descriptors_of_the_user():
    """An open one among closed ones: triples with a long third side count in the one and not in the others."""
    structure = systems.two_species()
    narrow = D.G4(eta=0.05, zeta=2, lam=1.0, cutoff=3.0, species=("Si", "O", "O"))
    ds = D.DescriptorSet(
        [Shell(2.0, cutoff=3.3, species=("Si", "O")), Open(0.3, cutoff=2.8, species=("Si", "O", "O")), narrow]
    )
    assert not ds.needs.closed
    found = values(ds, structure, ds.neighbor_list(structure))
    silicon = np.array(structure.species) == "Si"
    wide = np.zeros(8)
    for i, r1, r2, (r3, cos_theta) in each_triple(structure, ("Si", "O", "O"), 2.8):
        wide[i] += np.exp(-0.3 * (r1 + r2)) * cos_theta + 0.1 * r3
    expected = np.stack(
        [
            radial_sums(structure, ("Si", "O"), 3.3, lambda r: np.tanh(1 - r / 3.3) ** 3 / 2.0),
            wide,
            oracle(structure, narrow),
        ],
        axis=1,
    )
    assert_allclose(found[silicon], expected[silicon], rtol=1e-12)
    closed = mff.neighbor_list(structure, 3.3, triple_cutoff=3.0, closed=True)
    with pytest.raises(ValueError, match=r"`neighbors`.*open"):
        values(ds, structure, closed)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cutoff", lambda: D.G2(eta=1.0, r_shift=0.0, cutoff=0.0, species=("A", "A"))),
        ("cutoff", lambda: D.G2(eta=1.0, r_shift=0.0, cutoff=np.nan, species=("A", "A"))),
        ("cutoff", lambda: D.G4(eta=1.0, zeta=1, lam=1.0, cutoff=-2.0, species=("A",) * 3)),
        ("cutoff", lambda: D.G4(eta=1.0, zeta=1, lam=1.0, cutoff="far", species=("A",) * 3)),
        ("species", lambda: D.G2(eta=1.0, r_shift=0.0, cutoff=1.0, species=("A",))),
        ("species", lambda: D.G2(eta=1.0, r_shift=0.0, cutoff=1.0, species="AA")),
        ("species", lambda: D.G4(eta=1.0, zeta=1, lam=1.0, cutoff=1.0, species=("A", "A"))),
        ("species", lambda: D.G4(eta=1.0, zeta=1, lam=1.0, cutoff=1.0, species=("A", "A", 3))),
        ("zeta", lambda: D.G4(eta=1.0, zeta=0, lam=1.0, cutoff=1.0, species=("A",) * 3)),
        ("zeta", lambda: D.G4(eta=1.0, zeta=-1.0, lam=1.0, cutoff=1.0, species=("A",) * 3)),
        ("zeta", lambda: D.G4(eta=1.0, zeta=np.inf, lam=1.0, cutoff=1.0, species=("A",) * 3)),
        ("descriptors", lambda: D.DescriptorSet([])),
        ("cutoff", lambda: D.behler_set([systems.molecule()], cutoff=0.0)),
        ("cutoff", lambda: D.default_set([systems.molecule()], cutoff=np.nan)),
        ("cutoff", lambda: D.default_set([systems.molecule()], cutoff=0.5)),  # no neighbour in reach
        ("cutoff", lambda: D.behler_set([systems.molecule()], cutoff=0.5)),
        ("cutoff", lambda: D.behler_set([systems.one_atom()], cutoff=4.0)),  # no neighbour in half of it
        ("dataset", lambda: D.behler_set([Structure.create(np.zeros((2, 3)), ["A", "A"])])),
        ("dataset", lambda: D.behler_set(systems.molecule())),
        ("dataset", lambda: D.default_set(3.0)),
        ("dataset", lambda: D.default_set([])),
        ("dataset", lambda: D.behler_set([])),
        ("angular", lambda: D.behler_set([systems.molecule()], angular="G7")),
        ("n_radial", lambda: D.behler_set([systems.molecule()], n_radial=-1)),
        ("n_radial", lambda: D.behler_set([systems.molecule()], n_radial=2.5)),
    ],
)
def test_bad_parameters_are_named(name, make):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": 3.5, "triple_cutoff": 3.4}, "`cutoff` of at least"),
        ({"cutoff": 4.0}, "triples"),
        ({"cutoff": 4.0, "triple_cutoff": 3.0}, "`triple_cutoff` of at least"),
        ({"cutoff": 4.0, "triple_cutoff": 3.4, "triple_species": [("O", "O", "O")]}, "triples"),
    ],
)
def test_lists_that_cannot_serve_are_refused(arguments, message):
    structure, ds = three_species(), mixed_set()
    nl = mff.neighbor_list(structure, **arguments)
    with pytest.raises(ValueError, match=f"`neighbors` must.*{message}"):
        values(ds, structure, nl)


def test_overflow_is_nan_in_every_row():
    structure, ds = three_species(), mixed_set()
    nl = dataclasses.replace(ds.neighbor_list(structure), overflow=jnp.asarray(True))
    assert np.isnan(values(ds, structure, nl)).all()


# -- recipes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [D.behler_set, D.gaussian_set])
def test_recipes_cover_every_pair_and_triple(recipe):
    data = [systems.molecule(), systems.two_species()]
    ds = recipe(data, cutoff=4.5)
    labels = ("O", "Si")
    assert ds.species == labels
    kinds = {d.species for d in ds}
    assert {kind for kind in kinds if len(kind) == 2} == set(itertools.product(labels, repeat=2))
    expected = {(a, *bc) for a in labels for bc in itertools.combinations_with_replacement(labels, 2)}
    assert {kind for kind in kinds if len(kind) == 3} == expected
    assert len(ds.of("O")) == len(ds.of("Si"))
    assert {d.cutoff for d in ds} == {4.5}
    assert len(set(map(repr, ds))) == len(ds), "a descriptor is there twice"
    for d in ds:
        assert np.isfinite(d.eta)
        assert d.eta >= 0


def test_default_set_holds_every_invariant_once():
    """Two moments of seven orders, three of two (with two species): no two descriptors have the same factors."""
    ds = D.default_set([systems.molecule(), systems.two_species()], cutoff=4.5)
    assert ds.species == ("O", "Si")
    for label in ds.species:
        found = {tuple(sorted(zip(d.ranks, d.species[1:], d.orders, strict=True))) for d in ds.of(label)}
        assert len(found) == len(ds.of(label))
        counts = {ranks: sum(d.ranks == ranks for d in ds.of(label)) for ranks in {d.ranks for d in ds}}
        two, three = 14, 4  # channels
        pairs, triples = two * (two + 1) // 2, three**2 * (three + 1) // 2
        assert counts[(0,)] == two
        assert all(counts[(rank, rank)] == pairs for rank in (1, 2, 3, 4))
        assert all(counts[ranks] == triples for ranks in ((1, 2, 1), (3, 2, 3), (2, 4, 2), (4, 2, 4)))
        assert counts[(2, 2, 2)] == three * (three + 1) * (three + 2) // 6
        assert counts[(1, 3, 2)] == counts[(1, 4, 3)] == three**3
    assert {d.cutoff for d in ds} == {4.5}


def test_default_set_of_many_species_has_no_contractions_of_three_moments():
    labels = ["H", "C", "N", "O", "F", "Si"]
    chain = Structure.create([[0, 0, 1.5 * k] for k in range(6)], labels)
    ds = D.default_set([chain], cutoff=4.0)
    assert max(len(d.ranks) for d in ds) == 2
    assert len(ds.of("H")) == 12 + 4 * 78


# The η of the package miniff 0.1.4 (`default_behler_descriptors`): shortest distances, cutoff, count.
REFERENCE_ETAS = {
    ((2.0, 3.0, 4.0), 12.0, 6): [0.05453553984, 0.02707511216, 0.01436861227, 0.007329885716, 0.002967055322, 0],
    ((2.2,), 6.0, 6): [0.04330203945, 0.03084300866, 0.02081819107, 0.01261687664, 0.005789774915, 0],
    ((3.0,), 8.0, 3): [0.02199466309, 0.008584382122, 0],
}


@pytest.mark.parametrize(("distances", "cutoff", "n_radial"), REFERENCE_ETAS)
def test_behler_set_against_the_reference(distances, cutoff, n_radial):
    """Dimers A-A, A-B and B-B at the given distances; one more of a pair that comes close nowhere changes nothing."""
    kinds = [("A", "A"), ("A", "B"), ("B", "B")]
    data = [
        Structure.create([[0, 0, 0], [0, 0, r]], kind)
        for kind, r in zip(kinds[: len(distances)], distances, strict=True)
    ]
    far = [Structure.create([[0, 0, 0], [0, 0, r]], ("A", "C")) for r in (0.51 * cutoff, 1.2 * cutoff)]
    for more in ([], far[:1], far[1:]):
        ds = D.behler_set([*data, *more], cutoff=cutoff, n_radial=n_radial)
        labels = sorted({label for structure in (*data, *more) for label in structure.species})
        for kind in itertools.product(labels, repeat=2):
            etas = [d.eta for d in ds if d.species == kind]
            assert_allclose(etas, REFERENCE_ETAS[distances, cutoff, n_radial], rtol=1e-8, atol=1e-15)
        angular = [d for d in ds if len(d.species) == 3]
        assert {(d.eta, d.zeta, d.lam) for d in angular} == set(itertools.product([0.0], [1, 2, 4, 16], [1.0, -1.0]))
        assert len(angular) == len(labels) * (len(labels) * (len(labels) + 1) // 2) * 8


def test_behler_set_by_its_description():
    data = [systems.molecule(), systems.two_species()]
    ds = D.behler_set(data, cutoff=7.0, n_radial=4, angular="G5")
    shortest = {}
    for structure in data:
        pairs = pairs_of(structure, 3.5)
        for i, j, vector in zip(pairs.i, pairs.j, pairs.D, strict=True):
            kind = tuple(sorted((structure.species[i], structure.species[j])))
            shortest[kind] = min(shortest.get(kind, np.inf), np.linalg.norm(vector))
    assert len(shortest) == 3
    assert {type(d) for d in ds} == {D.G2, D.G5}

    def curvature(eta, r, h=1e-4):
        f = [g2(x, eta, 0.0, 7.0) for x in (r - h, r, r + h)]
        return (f[0] - 2 * f[1] + f[2]) / h**2

    def eta_of(turning_point):  # by bisection of the curvature there, which grows with η
        low, high = 0.0, 10.0
        while high - low > 1e-10:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if curvature(middle, turning_point) < 0 else (low, middle)
        return low

    expected = [[eta_of(t) for t in np.linspace(nearest, 3.5, 4)] for nearest in shortest.values()]
    for kind in itertools.product(("O", "Si"), repeat=2):
        assert_allclose([d.eta for d in ds if d.species == kind], np.mean(expected, axis=0), rtol=1e-5, atol=1e-7)
    structure = data[1]
    found = np.asarray(values(ds, structure, ds.neighbor_list(structure)))
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_gaussian_set_where_pairs_stay_apart():
    """From half the cutoff on for a pair that barely meets, those of the closest pair for one that never does."""
    dimers = [(("A", "A"), 1.5), (("A", "B"), 4.9), (("B", "B"), 5.1)]
    data = [Structure.create([[0, 0, 0], [0, 0, r]], kind) for kind, r in dimers]
    ds = D.gaussian_set(data, cutoff=5.0)
    for kind, nearest in ((("A", "A"), 1.5), (("A", "B"), 2.5), (("B", "A"), 2.5), (("B", "B"), 1.5)):
        shells = [d.r_shift for d in ds if d.species == kind]
        assert_allclose(shells, np.linspace(nearest, 5.0, len(shells), endpoint=False), rtol=1e-12)


def test_default_set_scales_moments():
    """By the root mean square that those of independent directions would have, and by the root of the order."""
    data = [Structure.create([[0, 0, 0], [0, 0, r]], ["A", "A"]) for r in (1.5, 2.0)]
    ds = D.default_set(data, cutoff=5.0)
    r = np.array([1.5, 2.0])
    radial = np.sin(np.arange(1, 8)[:, None] * np.pi * r / 5) * 0.5 * (1 + np.cos(np.pi * r / 5)) / r
    unit = np.sqrt((radial**2).mean())
    for d in ds:
        assert d.factor == pytest.approx(unit ** -len(d.orders) / np.sqrt(np.prod(d.orders)))


def test_default_set_on_data():
    data = [systems.molecule(), systems.two_species()]
    ds = D.default_set(data, cutoff=3.5)
    structure = data[1]
    found = np.asarray(values(ds, structure, ds.neighbor_list(structure)))
    assert found.shape == (8, ds.n_descriptors)
    assert np.isfinite(found).all()
    assert (found.std(axis=0) > 0).all()
    # Frames and structures are both data.
    frame = mff.Frame(structure=structure, energy=0.0)
    assert len(D.default_set([data[0], frame], cutoff=3.5)) == len(ds)
