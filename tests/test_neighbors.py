"""Neighbour lists against all images tried one by one."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import miniffx as mff
import systems
from miniffx import _core
from miniffx.neighbors import Capacity, bucket, neighbor_list, pairs, triples
from oracles import brute_force_pairs, brute_force_triples, pair_keys, tolerance, triple_key

PBC = list(itertools.product((False, True), repeat=3))
ids_of_pbc = ["".join("TF"[not flag] for flag in pbc) for pbc in PBC]


def assert_pairs(positions, cell, pbc, cutoff):
    """The flat list of the library is that of the oracle, and its other promises hold."""
    i, j, shift, D = pairs(positions, cell, pbc, cutoff)
    expected = brute_force_pairs(positions, cell, pbc, cutoff)
    assert pair_keys(i, j, shift) == expected.keys()
    assert (np.diff(i) >= 0).all()
    assert (i.dtype, j.dtype, shift.dtype, D.dtype) == (np.int32, np.int32, np.int32, np.float64)
    assert not shift[:, ~np.broadcast_to(pbc, (3,))].any()
    order = np.lexsort((*shift.T, j, i))
    wanted = np.lexsort((*expected.shift.T, expected.j, expected.i))
    assert_allclose(D[order], expected.D[wanted], rtol=0, atol=1e-15 * (1 + np.abs(positions).max(initial=0)))
    return len(i)


# -- the flat list over random and adversarial structures ------------------------------------------


def random_cell(rng, kind):
    cell = np.zeros((3, 3))
    while abs(np.linalg.det(cell)) < 6:  # what is nearly singular has too many images for the oracle
        cell = rng.normal(size=(3, 3)) + 2.5 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    if kind == "sheared":
        cell[1] += rng.integers(-3, 4) * cell[0]
        cell[2] += rng.integers(-3, 4) * cell[0] + rng.integers(-2, 3) * cell[1]
    if kind == "thin":
        cell[0] = 2.0 * cell[1] + 0.7 * cell[2] + 0.25 * np.cross(cell[1], cell[2]) / np.linalg.norm(cell[1:])
    if kind == "small":
        cell *= 0.35
    if kind == "left-handed":
        cell[2] *= -np.sign(np.linalg.det(cell))
    return cell


def nominal(rng, cell, pbc):
    """The cell with vectors on its open axes that must have no influence."""
    cell = cell.copy()
    for axis in np.flatnonzero(~np.array(pbc)):
        cell[axis] = [
            np.zeros(3),
            np.eye(3)[axis],
            1000 * np.eye(3)[axis],
            cell[axis],
            cell[(axis + 1) % 3],  # the same as another
        ][rng.integers(5)]
    return cell


@pytest.mark.parametrize("kind", ["oblique", "sheared", "thin", "small", "left-handed", "far", "one-atom"])
@pytest.mark.parametrize("pbc", PBC, ids=ids_of_pbc)
def test_pairs_of_random_structures(pbc, kind):
    rng = np.random.default_rng([PBC.index(pbc), len(kind), ord(kind[0])])
    total = 0
    for _ in range(7):
        cell = random_cell(rng, kind)
        cutoff = rng.uniform(0.5, 3.5) * (0.5 if kind in ("small", "thin") else 1)
        n = 1 if kind == "one-atom" else rng.integers(2, 4 if kind in ("small", "thin") else 7)
        positions = rng.uniform(-0.5, 1.5, size=(n, 3)) @ cell
        if kind == "far":
            positions += (rng.integers(-5000, 5000, size=(n, 3)) * pbc) @ cell
        total += assert_pairs(positions, nominal(rng, cell, pbc), pbc, cutoff)
    assert total > 0 or not any(pbc)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("pbc", PBC, ids=ids_of_pbc)
def test_triples_of_random_structures(pbc, closed):
    rng = np.random.default_rng([PBC.index(pbc), closed])
    for kind in ("oblique", "sheared", "one-atom", "left-handed"):
        cell = nominal(rng, random_cell(rng, kind), pbc)
        n = 1 if kind == "one-atom" else rng.integers(3, 6)
        positions = rng.uniform(0, 3, size=(n, 3))
        i, j, k, shift_j, shift_k = triples(positions, cell, pbc, 2.6, closed=closed)
        found = [triple_key(*row) for row in zip(i, j, shift_j, k, shift_k, strict=True)]
        assert len(set(found)) == len(found), "a triple is listed twice"
        assert set(found) == brute_force_triples(positions, cell, pbc, 2.6, closed=closed)
        assert (np.diff(i) >= 0).all()
        assert (i.dtype, j.dtype, k.dtype, shift_j.dtype, shift_k.dtype) == (np.int32,) * 5


@pytest.mark.parametrize("make", systems.ALL)
def test_pairs_of_the_nasty_systems(make):
    structure = make()
    positions, cell = np.asarray(structure.positions), np.asarray(structure.cell)
    for cutoff in (1.0, 2.5, 3.9):
        assert_pairs(positions, cell, structure.pbc, cutoff)


@pytest.mark.parametrize("nominal_vector", [0, 1, 1000, "dependent"])
@pytest.mark.parametrize("open_axis", [0, 1, 2])
def test_the_vector_of_an_open_axis_has_no_influence(open_axis, nominal_vector):
    cell = np.array([[3.1, 0.2, 0], [0.4, 2.9, 0], [0.5, -0.3, 3.3]])
    cell[open_axis] = (
        cell[(open_axis + 1) % 3] if nominal_vector == "dependent" else nominal_vector * np.eye(3)[open_axis]
    )
    pbc = tuple(axis != open_axis for axis in range(3))
    positions = np.random.default_rng(0).uniform(-4, 4, size=(5, 3))
    assert assert_pairs(positions, cell, pbc, 3.5) > 0


def test_zero_atoms():
    i, j, shift, D = pairs(np.zeros((0, 3)), np.eye(3), True, 3.0)
    assert (i.shape, j.shape, shift.shape, D.shape) == ((0,), (0,), (0, 3), (0, 3))
    i, j, k, shift_j, shift_k = triples(np.zeros((0, 3)), None, False, 3.0)
    assert (i.shape, j.shape, k.shape, shift_j.shape, shift_k.shape) == ((0,), (0,), (0,), (0, 3), (0, 3))


def test_extreme_shear_is_only_another_name_for_the_same_lattice():
    lattice = np.array([[2.0, 0, 0], [0.3, 2.1, 0], [0.1, -0.2, 1.9]])
    sheared = np.array([[1, 0, 0], [1000, 1, 0], [-700, 400, 1]]) @ lattice
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 2, size=(3, 3))
    plain = pairs(positions, lattice, True, 3.0)
    skew = pairs(positions, sheared, True, 3.0)

    def vectors(found):
        i, j, _, D = found
        return sorted((int(a), int(b), *np.round(d, 7) + 0.0) for a, b, d in zip(i, j, D, strict=True))

    assert vectors(plain) == vectors(skew)
    i, j, shift, D = skew
    assert_allclose(D, positions[j] - positions[i] + shift @ sheared, atol=1e-9)


def test_pairs_at_the_cutoff_are_not_listed():
    grid = np.array(list(itertools.product(range(3), repeat=3)), dtype=float)
    for cutoff, neighbors in ((1.0, 0), (np.nextafter(1.0, 2), 6), (2.0, 26), (2.0 + 1e-12, 32)):
        i, *_ = pairs(grid, 3 * np.eye(3), True, cutoff)
        assert len(i) == 27 * neighbors, cutoff


def test_triples_at_the_cutoff_are_not_listed():
    corner = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert len(triples(corner, None, False, 1.0)[0]) == 0
    assert len(triples(corner, None, False, 1.25)[0]) == 1
    assert len(triples(corner, None, False, 1.25, closed=True)[0]) == 0
    # The legs of 3 and 4 have a third side of exactly 5.
    right = [[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]
    assert len(triples(right, None, False, 5.0)[0]) == 1
    assert len(triples(right, None, False, 5.0, closed=True)[0]) == 0
    assert len(triples(right, None, False, np.nextafter(5.0, 6), closed=True)[0]) == 3


def test_atoms_on_faces_edges_and_corners():
    cell = np.array([[3.0, 0, 0], [0.5, 2.5, 0], [0, 0.25, 2.0]])
    fractions = np.array(list(itertools.product((0.0, 0.5, 1.0), repeat=3)))[[1, 3, 5, 9, 13, 22, 26]]
    for nudge in (0.0, 1e-16, -1e-16, 1e-9, -1e-9):
        assert assert_pairs(fractions @ cell + nudge, cell, True, 2.2) > 0


def test_identical_for_any_number_of_threads():
    rng = np.random.default_rng(5)
    positions = rng.uniform(-5, 30, size=(3000, 3))
    cell = np.array([[24.0, 0, 0], [3, 25, 0], [-2, 1, 23]])
    one, *others = [
        (
            *pairs(positions, cell, (True, True, False), 3.0, n_threads=n),
            *triples(positions, cell, (True, True, False), 2.5, closed=True, n_threads=n),
        )
        for n in (1, 2, 8)
    ]
    assert len(one[0]) > 10000
    for other in others:
        for a, b in zip(one, other, strict=True):
            assert_array_equal(a, b)


# -- properties ------------------------------------------------------------------------------------

coordinate = st.floats(-20, 20, allow_nan=False).map(lambda x: round(x, 3))
lattice = st.builds(
    lambda lengths, shears, flip: np.array(
        [
            [lengths[0], 0, 0],
            [shears[0], lengths[1] * flip, 0],
            [shears[1], shears[2], lengths[2]],
        ]
    ),
    st.tuples(*[st.floats(1.2, 6)] * 3),
    st.tuples(*[st.floats(-4, 4)] * 3),
    st.sampled_from([1, -1]),
)
periodicity = st.tuples(st.booleans(), st.booleans(), st.booleans())
places = st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=6).map(
    lambda rows: np.array(rows, dtype=float).reshape(-1, 3)
)
CUTOFF = 2.7182818


def assume_none_at_the_cutoff(positions, cell, pbc):
    """Round-off may decide about a pair at the cutoff when atoms are moved by lattice vectors."""
    D = pairs(positions, cell, pbc, CUTOFF + 1e-6)[3]
    assume((np.abs(np.linalg.norm(D, axis=1) - CUTOFF) > 1e-9).all())


@given(places, lattice, periodicity)
def test_any_structure(positions, cell, pbc):
    assert_pairs(positions, cell, pbc, CUTOFF)


@given(places, lattice, periodicity, st.data())
def test_lattice_translations_of_single_atoms(positions, cell, pbc, data):
    assume_none_at_the_cutoff(positions, cell, pbc)
    n = len(positions)
    turns = np.array(data.draw(st.lists(st.tuples(*[st.integers(-1000, 1000)] * 3), min_size=n, max_size=n)), int)
    turns = turns.reshape(n, 3) * np.array(pbc)
    i, j, shift, D = pairs(positions, cell, pbc, CUTOFF)
    i2, j2, shift2, D2 = pairs(positions + turns @ cell, cell, pbc, CUTOFF)
    assert pair_keys(i, j, shift + turns[i] - turns[j]) == pair_keys(i2, j2, shift2)
    assert_allclose(np.sort(np.linalg.norm(D, axis=1)), np.sort(np.linalg.norm(D2, axis=1)), rtol=0, atol=1e-10)


@given(places, lattice, periodicity, st.randoms(use_true_random=False))
def test_permutation_of_atoms(positions, cell, pbc, random):
    order = list(range(len(positions)))
    random.shuffle(order)
    order = np.array(order, int)
    i, j, shift, _ = pairs(positions[order], cell, pbc, CUTOFF)
    expected = pairs(positions, cell, pbc, CUTOFF)
    assert pair_keys(order[i], order[j], shift) == pair_keys(*expected[:3])


@given(places, lattice, periodicity)
def test_displacements_and_both_directions(positions, cell, pbc):
    i, j, shift, D = pairs(positions, cell, pbc, CUTOFF)
    assert_allclose(D, positions[j] + shift @ cell - positions[i], rtol=0, atol=1e-12)
    assert (np.linalg.norm(D, axis=1) < CUTOFF * (1 + 1e-15)).all()
    assert pair_keys(i, j, shift) == pair_keys(j, i, -shift)
    assert not ((i == j) & ~shift.any(axis=1)).any()


# -- what comes in ---------------------------------------------------------------------------------

GOOD = {"positions": np.array([[0.1, 0.2, 0.3], [1.0, 1.1, 1.2]]), "cell": 3.0 * np.eye(3), "pbc": True, "cutoff": 2.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("positions", np.zeros(3)),
        ("positions", np.zeros((2, 2))),
        ("positions", np.zeros((1, 2, 3))),
        ("positions", [[0, 0, np.nan]]),
        ("positions", [[0, 0, np.inf]]),
        ("positions", "nonsense"),
        ("positions", None),
        ("positions", object()),
        ("positions", [[0, 0, 0], [1, 2]]),
        ("positions", np.zeros((1, 3)) + 1j),
        ("cell", np.zeros((3, 3))),
        ("cell", [[1, 0, 0], [2, 0, 0], [0, 0, 1]]),
        ("cell", [[1, 0, 0], [0, 1, 0], [1, 1, 0]]),
        ("cell", np.zeros((2, 3))),
        ("cell", 3.0),
        ("cell", [[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("cell", [[np.inf, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("cell", "cubic"),
        ("cell", None),  # nothing can be periodic without a cell
        ("pbc", (True, False)),
        ("pbc", "TTF"),
        ("pbc", 2),
        ("pbc", None),
        ("pbc", (0.5, 1.0, 0.0)),
        ("cutoff", 0),
        ("cutoff", 0.0),
        ("cutoff", -1.0),
        ("cutoff", np.inf),
        ("cutoff", np.nan),
        ("cutoff", "far"),
        ("cutoff", None),
        ("cutoff", [1.0, 2.0]),
    ],
)
@pytest.mark.parametrize("search", [pairs, triples])
def test_bad_input_is_named(search, name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        search(**{**GOOD, name: value})


@pytest.mark.parametrize(
    "form",
    [
        lambda a: a.tolist(),
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a[::-1][::-1],
        lambda a: jnp.asarray(a, jnp.float64 if jax.config.jax_enable_x64 else jnp.float32),
    ],
    ids=["list", "fortran", "strided rows", "strided columns", "reversed", "jax"],
)
def test_any_form_of_array_will_do(form):
    rng = np.random.default_rng(0)
    positions, cell = rng.uniform(0, 3, size=(4, 3)), np.array([[3.0, 0, 0], [0.5, 3, 0], [0, 0.5, 3]])
    expected = pairs(positions, cell, True, 2.0)
    for a, b in zip(pairs(form(positions), form(cell), [1, True, np.True_], 2.0), expected, strict=True):
        assert_allclose(a, b, atol=1e-12)


def test_read_only_float32_and_integer_input():
    positions, cell = np.array([[0, 0, 0], [1, 2, 1], [2, 1, 0]]), np.array([[3, 0, 0], [0, 3, 1], [0, 0, 4]])
    expected = pairs(positions.astype(float), cell.astype(float), True, 2.5)
    assert len(expected[0]) > 0
    for dtype in (np.int32, np.int64, np.uint8, np.float32, np.float16, ">f8"):
        for a, b in zip(pairs(positions.astype(dtype), cell.astype(dtype), True, 2.5), expected, strict=True):
            assert_array_equal(a, b)
    frozen = positions.astype(float)
    frozen.setflags(write=False)
    before = frozen.copy()
    for a, b in zip(pairs(frozen, cell, True, np.float32(2.5)), expected, strict=True):
        assert_array_equal(a, b)
    assert_array_equal(frozen, before)


def test_results_outlive_each_other():
    """Arrays own or keep alive their memory."""
    first = pairs(np.zeros((1, 3)), np.eye(3), True, 1.1)
    copies = [array.copy() for array in first]
    for _ in range(50):
        pairs(np.ones((2, 3)) * [[0.0], [0.3]], np.eye(3), True, 2.0)
    for a, b in zip(first, copies, strict=True):
        assert_array_equal(a, b)


# -- padded lists ----------------------------------------------------------------------------------


def listed_pairs(nl):
    """(i, j, shift) of every entry of a padded list that is not padding."""
    keys = set()
    n_atoms = nl.positions.shape[-2]
    for environment in nl.environments:
        for row, center in enumerate(np.asarray(environment.centers)):
            if center == n_atoms:
                assert not np.asarray(environment.counts[row]).any()
                continue
            for b, count in enumerate(np.asarray(environment.counts[row])):
                for column in range(environment.columns[b], environment.columns[b] + count):
                    shift = np.asarray(environment.shifts[row, column])
                    key = (int(center), int(environment.neighbors[row, column]), *(int(s) for s in shift))
                    assert key not in keys, "a pair is listed twice"
                    keys.add(key)
    return keys


def listed_triples(nl):
    """The set of (i, {(j, shift), (k, shift)}) of every triple of a padded list that is not padding."""
    found = []
    for environment in nl.environments:
        neighbors, shifts = np.asarray(environment.neighbors), np.asarray(environment.shifts)
        for slots in environment.triples:
            first, second = np.asarray(slots.first), np.asarray(slots.second)
            for row, count in enumerate(np.asarray(slots.counts)):
                for a, b in zip(first[row, :count], second[row, :count], strict=True):
                    center = environment.centers[row]
                    found.append(
                        triple_key(center, neighbors[row, a], shifts[row, a], neighbors[row, b], shifts[row, b])
                    )
    assert len(set(found)) == len(found), "a triple is listed twice"
    return set(found)


def numpy_structure(structure):
    return np.asarray(structure.positions, np.float64), np.asarray(structure.cell, np.float64), structure.pbc


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("make", systems.ALL)
def test_a_padded_list_holds_what_the_oracle_finds(make, closed):
    structure = make()
    nl = neighbor_list(structure, 3.3, triple_cutoff=2.9, closed=closed)
    expected_pairs = brute_force_pairs(*numpy_structure(structure), 3.3).keys()
    expected_triples = brute_force_triples(*numpy_structure(structure), 2.9, closed)
    assert listed_pairs(nl) == expected_pairs
    assert listed_triples(nl) == expected_triples
    assert nl.n_pairs == len(expected_pairs) > 0
    assert nl.n_triples == len(expected_triples)
    assert closed or expected_triples
    assert not nl.overflow
    assert (nl.cutoff, nl.triple_cutoff, nl.closed, nl.skin) == (3.3, 2.9, closed, 0.0)


@pytest.mark.parametrize("make", [systems.molecule, systems.slab, systems.far_outside])
def test_columns_are_grouped_by_species_and_padding_is_harmless(make):
    structure = make().pad(11)
    species = np.asarray(structure.species_index)
    nl = neighbor_list(structure, 3.3, triple_cutoff=2.9)
    assert len(nl.environments) == len(structure.labels) == 2
    rows = [center for e in nl.environments for center in np.asarray(e.centers) if center < structure.n_atoms]
    assert sorted(rows) == np.flatnonzero(species >= 0).tolist()
    for a, environment in enumerate(nl.environments):
        centers = np.asarray(environment.centers)
        assert (species[centers[centers < structure.n_atoms]] == a).all()
        assert environment.triple_kinds == ((0, 0), (0, 1), (1, 1))
        assert environment.columns[0] == 0
        assert environment.columns[-1] == environment.neighbors.shape[1]
        neighbors, shifts, counts = (
            np.asarray(x) for x in (environment.neighbors, environment.shifts, environment.counts)
        )
        for row, center in enumerate(centers):
            for b in range(2):
                group = slice(environment.columns[b], environment.columns[b + 1])
                count = counts[row, b]
                assert count <= group.stop - group.start
                assert (species[neighbors[row, group][:count]] == b).all()
                assert (neighbors[row, group][count:] == (center if center < structure.n_atoms else 0)).all()
                assert not shifts[row, group][count:].any()
        for (b, c), slots in zip(environment.triple_kinds, environment.triples, strict=True):
            first, second = np.asarray(slots.first), np.asarray(slots.second)
            real = np.arange(first.shape[1]) < np.asarray(slots.counts)[:, None]
            row = np.broadcast_to(np.arange(len(centers))[:, None], first.shape)[real]
            assert (species[neighbors[row, first[real]]] == b).all()
            assert (species[neighbors[row, second[real]]] == c).all()
            assert not first[~real].any()
            assert not second[~real].any()


def test_triples_of_some_species_only():
    structure = systems.two_species()
    nl = neighbor_list(structure, 3.3, triple_cutoff=2.9, triple_species=[("Si", "Si", "O"), ("O", "Si", "Si")])
    labels = structure.species
    expected = {
        (i, legs)
        for i, legs in brute_force_triples(*numpy_structure(structure), 2.9)
        if (labels[i], *sorted(labels[j] for j, *_ in legs)) in {("Si", "O", "Si"), ("O", "Si", "Si")}
    }
    assert listed_triples(nl) == expected
    assert nl.n_triples == len(expected) > 0
    assert [e.triple_kinds for e in nl.environments] == [((1, 1),), ((0, 1),)]
    assert neighbor_list(structure, 3.3, triple_cutoff=2.9, triple_species=[]).n_triples == 0
    assert neighbor_list(structure, 3.3, triple_cutoff=2.9, triple_species=[("Si", "Ar", "O")]).n_triples == 0
    assert neighbor_list(structure, 3.3).n_triples == 0


def test_zero_atoms_and_no_neighbors():
    nothing = mff.Structure.create(np.zeros((0, 3)), [])
    nl = neighbor_list(nothing, 3.0, triple_cutoff=3.0)
    assert nl.n_pairs == nl.n_triples == 0
    assert nl.update(nothing) is nl
    alone = mff.Structure.create(np.zeros((1, 3)), ["Ar"])
    nl = neighbor_list(alone, 3.0, triple_cutoff=3.0)
    assert nl.n_pairs == nl.n_triples == 0
    assert listed_pairs(nl) == set()


def test_buckets():
    sizes = [bucket(n) for n in range(4097)]
    assert sorted(set(sizes))[:15] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24]
    for n, size in enumerate(sizes):
        assert n <= size <= max(n, 1.25 * n)
        assert bucket(size) == size
    assert sizes == sorted(sizes)
    assert len([size for size in set(sizes) if 1024 < size <= 2048]) == 4


def test_capacities_are_buckets_and_similar_structures_share_them():
    base = systems.silicon()
    for scale in (1.0, 1.0005):
        structure = dataclasses.replace(base, positions=base.positions * scale, cell=base.cell * scale)
        nl = neighbor_list(structure, 3.3, triple_cutoff=3.3)
        (environment,) = nl.environments
        assert environment.neighbors.shape[1] == bucket(int(environment.counts.max()))
        assert environment.triples[0].first.shape[1] == bucket(int(environment.triples[0].counts.max()))


@pytest.mark.float32_too
@pytest.mark.parametrize("way", ["quick", "default device", "changed", "gone"])
def test_arrays_go_to_the_device_as_by_device_put(way, monkeypatch):
    """The short cut through JAX, and the way round it where there is none."""
    device = sys.modules["miniffx.neighbors.device"]
    tree = {"i": np.arange(6, dtype=np.int32).reshape(2, 3), "none": np.zeros((0, 4), np.int32), "there": jnp.ones(2)}
    tree |= {
        "flag": np.array(True),
        "r": np.ones((2, 3)),
        "n": np.arange(3),
        "strided": np.arange(8, dtype=np.int32)[::2],
    }
    expected = jax.device_put(tree)
    if way == "changed":
        monkeypatch.setattr(device, "_below_device_put", lambda like: lambda array: 2 * like)
    if way == "gone":
        monkeypatch.delattr(device, "_below_device_put")
    monkeypatch.setattr(device, "_quick", device._quick.__wrapped__)
    assert (device._quick() is None) == (way in ("changed", "gone"))
    with jax.default_device(jax.devices()[0] if way == "default device" else None):
        found = device.on_device(tree)
    for name, want in expected.items():
        have = found[name]
        assert_array_equal(have, want)
        assert isinstance(have, jax.Array)
        assert all(getattr(have, each) == getattr(want, each) for each in ("aval", "sharding", "committed"))
    assert found["there"] is tree["there"]
    with pytest.raises(TypeError, match="not a valid JAX array"):
        device.put(np.arange(3, dtype=np.dtype(np.float32).newbyteorder()))


def structures_of_200_sizes(kind):
    """Silicon with 10 % of disorder: balls cut from the crystal, crystals with vacancies, or a gas without order."""
    rng = np.random.default_rng(3)
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    unit = mff.Structure.create(5.43 * np.concatenate([face, face + 0.25]), ["Si"] * 8, cell=5.43 * np.eye(3))
    crystal = unit.repeat((3, 3, 4))
    positions = np.asarray(crystal.positions)
    nearest = np.argsort(((positions - positions.mean(axis=0)) ** 2).sum(axis=1))
    for n in rng.permutation(np.arange(11, 211)).tolist():
        noise = rng.normal(0, 0.1, (n, 3))
        if kind == "balls":
            yield mff.Structure.create(positions[nearest[:n]] + noise, ["Si"] * n)
        elif kind == "vacancies":
            kept = rng.permutation(len(positions))[:n]
            yield mff.Structure.create(positions[kept] + noise, ["Si"] * n, cell=crystal.cell)
        else:
            edge = (n / 0.05) ** (1 / 3)
            yield mff.Structure.create(rng.uniform(0, edge, (n, 3)), ["Si"] * n, cell=edge * np.eye(3))


@pytest.mark.parametrize("kind", ["balls", "vacancies", "gas"])
def test_200_sizes_take_6_programs_at_most(kind):
    sw = mff.potentials.stillinger_weber("Si")
    buckets, energy = mff.Buckets(sw), jax.jit(sw)
    for structure in structures_of_200_sizes(kind):
        padded, neighbors = buckets(structure)
        assert np.isfinite(energy(padded, neighbors))
        where = np.asarray(structure.positions), np.asarray(structure.cell), structure.pbc, sw.cutoff
        assert int(neighbors.n_pairs) == len(mff.neighbors.pairs(*where)[0])
        assert int(neighbors.n_triples) == len(mff.neighbors.triples(*where)[0])
    assert energy._cache_size() <= 6


def test_evaluating_200_sizes_takes_6_programs_at_most():
    program = sys.modules["miniffx.training.predictions"]._batched
    frames = [mff.Frame(structure, energy=0.0) for structure in structures_of_200_sizes("vacancies")]
    lj = mff.potentials.LennardJones(epsilon=0.1, sigma=2.0, cutoff=3.0, species=("Si", "Si"))
    before = program._cache_size()
    mff.evaluate(lj, mff.Dataset(frames))
    assert 1 <= program._cache_size() - before <= 6


MEMORY_OF_A_LIST = """
import resource, sys
import numpy as np
from miniffx import _core
rng = np.random.default_rng(0)
n = int(sys.argv[1])
positions, pbc = rng.uniform(0, 1, (n, 3)) * [float(x) for x in sys.argv[2:5]], np.ones(3, bool)
cell = np.diag([float(x) for x in sys.argv[5:8]])
_core.find_pairs(positions[:10], cell, pbc, 5.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pairs = _core.find_pairs(positions, cell, pbc, 5.0)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before), pairs.n_pairs)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
@pytest.mark.parametrize("height", [1.0, 1e7], ids=["bulk", "slab in vacuum"])
def test_a_list_takes_little_more_memory_than_its_arrays(height):
    n, edge = 200_000, (200_000 / 0.05) ** (1 / 3)
    sizes = [edge] * 6 if height == 1.0 else [10 * edge, 10 * edge, edge / 100, 10 * edge, 10 * edge, height]
    arguments = [sys.executable, "-c", MEMORY_OF_A_LIST, str(n), *map(str, sizes)]
    peak, n_pairs = map(int, subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split())
    assert n_pairs > 1_000_000
    output = n_pairs * (4 + 4 + 3 * 4 + 3 * 8)
    assert peak < 1.5 * output + 400 * n


def test_a_pinned_capacity_is_a_minimum():
    sparse, dense = systems.slab(), systems.two_species()
    large = neighbor_list(dense, 3.3, triple_cutoff=2.9).capacity
    nl = neighbor_list(sparse, 3.3, triple_cutoff=2.9, capacity=large)
    plain = neighbor_list(sparse, 3.3, triple_cutoff=2.9)
    union = large.union(plain.capacity)
    assert nl.capacity == union == plain.capacity.union(large)
    assert listed_pairs(nl) == listed_pairs(plain)
    assert listed_triples(nl) == listed_triples(plain)
    # Too small a capacity is no truncation.
    none = Capacity(rows=(0, 0), columns=((0, 0, 0),) * 2, triples=((0, 0, 0),) * 2)
    grown = neighbor_list(sparse, 3.3, triple_cutoff=2.9, capacity=none)
    assert grown.capacity == plain.capacity
    assert not grown.overflow


@pytest.mark.parametrize(
    "capacity",
    [
        Capacity(rows=(1,), columns=((0, 1),), triples=((),)),
        Capacity(rows=(1, 1), columns=((0, 1, 2),) * 2, triples=((1,), (1,))),
    ],
)
def test_a_capacity_of_another_kind_is_refused(capacity):
    with pytest.raises(ValueError, match="`capacity`"):
        neighbor_list(systems.slab(), 3.3, triple_cutoff=2.9, capacity=capacity)


def test_the_list_of_a_batch_is_that_of_each_structure():
    singles = [systems.two_species(), systems.silicon(), systems.left_handed(), systems.one_atom()]
    batch = mff.stack(singles)
    nl = neighbor_list(batch, 3.3, triple_cutoff=2.9)
    assert nl.overflow.shape == (4,)
    for b, single in enumerate(singles):
        part = jax.tree.map(lambda leaf, b=b: leaf[b], nl)
        assert listed_pairs(part) == brute_force_pairs(*numpy_structure(single), 3.3).keys()
        assert listed_triples(part) == brute_force_triples(*numpy_structure(single), 2.9)
    # Too small a capacity for some of them is no truncation.
    first = jax.tree.map(lambda leaf: leaf[:1], batch)
    grown = neighbor_list(batch, 3.3, triple_cutoff=2.9, capacity=neighbor_list(first, 3.3, triple_cutoff=2.9).capacity)
    jax.tree.map(assert_array_equal, grown, nl)
    none = len(nl.labels) * ((0,) * (len(nl.labels) + 1),)
    narrow = dataclasses.replace(nl.capacity, columns=none)
    jax.tree.map(assert_array_equal, neighbor_list(batch, 3.3, triple_cutoff=2.9, capacity=narrow), nl)
    # Nothing moved, then one structure of the batch did.
    assert nl.update(batch) is nl
    positions = np.array(batch.positions)
    positions[2, 0] += 0.4
    moved = nl.update(dataclasses.replace(batch, positions=positions))
    part = jax.tree.map(lambda leaf: leaf[2], moved)
    assert listed_pairs(part) == brute_force_pairs(positions[2, :3], batch.cell[2], True, 3.3).keys()


def test_a_batch_does_not_depend_on_threads():
    rng = np.random.default_rng(0)
    positions, species = rng.random((9, 30, 3)) * 6, rng.integers(-1, 2, (9, 30)).astype(np.int32)
    cells = np.eye(3) * 6 + rng.normal(scale=0.3, size=(9, 3, 3))
    kinds = [(0, 0, 1), (1, 1, 1)]
    arguments = (positions, cells, [True] * 3, 3.0, species, 2, 2.5, False, kinds)
    results = []
    for threads in (1, 2, 8):
        found = _core.Found(*arguments, threads)
        rows, columns, slots = found.capacity()
        atoms = [(species == a).sum(axis=1) for a in range(2)]
        assert rows == tuple(bucket(n.max()) for n in atoms)
        filled = found.fill()
        assert not filled[3].any()
        assert filled[4] == (rows, columns, slots)
        most = [counts.max() for *_, counts in filled[2]]
        less = found.fill((rows, columns, [[n - 1] for n in most]))
        assert 0 < less[3].sum() < 9  # only where the most triples are
        few = found.fill(([n.max() - 1 for n in atoms], columns, slots))
        assert_array_equal(few[3], (atoms[0] == atoms[0].max()) | (atoms[1] == atoms[1].max()))
        results.append((filled, less, few))
    jax.tree.map(assert_array_equal, *results[:2])
    jax.tree.map(assert_array_equal, results[0], results[2])
    positions[5, 3, 1] = np.nan
    for threads in (1, 2, 8):
        with pytest.raises(ValueError, match=r"`positions` must be finite"):
            _core.Found(*arguments, threads)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cutoff", {"cutoff": 0.0}),
        ("cutoff", {"cutoff": -1}),
        ("cutoff", {"cutoff": np.nan}),
        ("cutoff", {"cutoff": np.inf}),
        ("cutoff", {"cutoff": None}),
        ("triple_cutoff", {"triple_cutoff": 0.0}),
        ("triple_cutoff", {"triple_cutoff": 3.1}),
        ("triple_cutoff", {"triple_cutoff": np.nan}),
        ("skin", {"skin": -0.1}),
        ("skin", {"skin": np.nan}),
        ("skin", {"skin": np.inf}),
        ("triple_species", {"triple_cutoff": 2.0, "triple_species": [("Si", "Si")]}),
        ("triple_species", {"triple_cutoff": 2.0, "triple_species": ["Si"]}),
    ],
)
def test_bad_requests_are_named(name, arguments):
    with pytest.raises(ValueError, match=f"`{name}`"):
        neighbor_list(systems.slab(), **{"cutoff": 3.0, **arguments})


def test_what_is_no_structure_capacity_or_number_of_threads_is_named():
    structure = systems.silicon()
    nl = neighbor_list(structure, 3.0)
    for wrong in (structure.to_ase(), np.zeros((3, 3)), None):
        for call in (lambda wrong: neighbor_list(wrong, 3.0), nl.update):
            with pytest.raises(ValueError, match="`structure` must be a Structure"):
                call(wrong)
    with pytest.raises(ValueError, match=r"`structure` must have a cell of shape \(3, 3\), got \(3,\)"):
        nl.update(dataclasses.replace(structure, cell=np.ones(3)))
    for capacity, message in (
        (100, "must be a Capacity"),
        (Capacity((8.0,), ((0, 16),), ((),)), "must hold whole numbers .* got 8.0"),
        (Capacity((8,), ((0, 2**31),), ((),)), "must hold whole numbers"),
        (nl.capacity.enlarged(1e20), "must hold whole numbers"),
        (Capacity((8,), ((0, 16, 20),), ((),)), "must be for 1 species"),
    ):
        with pytest.raises(ValueError, match=f"`capacity` {message}"):
            neighbor_list(structure, 3.0, capacity=capacity)
    for n_threads in (0, -1, 1.5, "2", 10**12):
        with pytest.raises(ValueError, match="`n_threads` must be"):
            pairs(structure.positions, structure.cell, True, 3.0, n_threads=n_threads)


def test_a_padded_list_beyond_all_memory_is_refused_with_an_estimate():
    with pytest.raises(MemoryError, match=r"padded list .* would need about .* GB, .* GB are available"):
        neighbor_list(systems.silicon(), 3.0, capacity=Capacity((10**6,), ((0, 2**30),), ((),)))


@pytest.mark.parametrize("on_host", [False, True])
def test_a_collapsing_cell_overflows_inside_jit(on_host, monkeypatch):
    """More pairs than any memory holds are more than the list holds: nothing is raised."""
    if on_host:
        monkeypatch.setattr("miniffx.neighbors.rebuild._register_core", lambda: False)
    structure = systems.silicon()
    nl = neighbor_list(structure, 3.0)
    update = jax.jit(lambda nl, scale: nl.update(dataclasses.replace(structure, cell=structure.cell * scale)).overflow)
    assert update(nl, 1e-4)
    assert not update(nl, 1.0)


def test_another_precision_inside_jit_is_named():
    structure = systems.silicon()
    single = mff.Structure.create(np.float32(structure.positions), structure.species, cell=structure.cell)
    update = jax.jit(lambda nl, positions: nl.update(dataclasses.replace(single, positions=positions)))
    with pytest.raises(ValueError, match="must have positions of float32, as the list's, inside jit, got float64"):
        update(neighbor_list(single, 3.0), jnp.asarray(structure.positions))


def test_positions_that_are_not_finite_are_refused():
    structure = systems.slab()
    broken = dataclasses.replace(structure, positions=structure.positions.at[2, 1].set(jnp.nan))
    with pytest.raises(ValueError, match="`positions`"):
        neighbor_list(broken, 3.0)
    with pytest.raises(ValueError, match="`positions`"):
        neighbor_list(structure, 3.0, skin=0.5).update(broken)
    with pytest.raises(ValueError, match="`cell`"):
        neighbor_list(dataclasses.replace(structure, cell=0 * structure.cell), 3.0)


# -- skin and update -------------------------------------------------------------------------------

energy_of = jax.jit(lambda energy, structure, nl: energy(structure, nl))


def lennard_jones():
    return mff.potentials.LennardJones(epsilon=0.3, sigma=1.7, cutoff=3.3, species=("Si", "O"))


def move(structure, positions, cell=None):
    dtype = structure.positions.dtype
    return dataclasses.replace(
        structure,
        positions=jnp.asarray(positions, dtype),
        cell=structure.cell if cell is None else jnp.asarray(cell, dtype),
    )


@pytest.mark.float32_too
def test_energies_do_not_depend_on_the_skin():
    lj, triple = (
        lennard_jones(),
        mff.potentials.TriplePotential(
            lambda r1, r2, c: c * (3.0 - r1) * (3.0 - r2), cutoff=3.0, species=("Si", "O", "O")
        ),
    )
    energy = lj + triple
    structure = systems.two_species()
    wide = energy.neighbor_list(structure, skin=1.0)
    expected = energy_of(energy, structure, energy.neighbor_list(structure))
    assert wide.n_pairs > energy.neighbor_list(structure).n_pairs
    assert_allclose(energy_of(energy, structure, wide), expected, rtol=tolerance(1e-12, 1e-4))
    assert abs(expected) > 0.1


@pytest.mark.parametrize("make", [systems.molecule, systems.thin, systems.slab, systems.two_species])
def test_update_covers_what_it_accepts(make):
    """As long as `update` returns the list unchanged, no pair and no triple within the cutoffs is missing from it."""
    structure = make()
    positions, cell, pbc = numpy_structure(structure)
    nl = neighbor_list(structure, 3.0, triple_cutoff=2.5, skin=0.6)
    n_listed, rng = listed_pairs(nl), np.random.default_rng(7)
    accepted = 0
    for trial in range(60):
        # Motions that turn around 0.3 Å = skin/2, strains around 0.2 = skin/cutoff, and mixtures of them.
        size = rng.uniform(0.5, 1.6) * np.array([(1, 0), (0, 1), (0.5, 0.5)][trial % 3 if any(pbc) else 0])
        direction = rng.normal(size=positions.shape)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        strain = rng.normal(size=(3, 3))
        if trial % 2:
            strain = -np.abs(strain)  # compression brings pairs in
        strain *= 0.15 * size[1] / np.linalg.norm(strain)
        deformation = np.eye(3) + strain
        new_positions = positions @ deformation + 0.3 * size[0] * direction
        new_cell = np.where(np.array(pbc)[:, None], cell @ deformation, cell)
        updated = nl.update(move(structure, new_positions, new_cell))
        if updated is nl:
            accepted += 1
            assert brute_force_pairs(new_positions, new_cell, pbc, 3.0).keys() <= n_listed
        else:
            wide = brute_force_pairs(new_positions, new_cell, pbc, 3.6).keys()
            if jax.config.jax_enable_x64:
                assert listed_pairs(updated) == wide
    assert 10 <= accepted <= 50


@pytest.mark.parametrize("cell", [None, [50.0, 50.0, 3.61], [50.0, 50.0, 50.0]])
def test_update_rebuilds_before_two_atoms_that_approach_each_other_are_missed(cell):
    """The atoms are just outside of cutoff + skin = 3.6 Å, and come within 3 Å by 0.3 Å of motion each."""
    apart = mff.Structure.create([[0, 0, 0], [0, 3.601, 0]], ["Si", "O"], cell=cell)
    nl = neighbor_list(apart, 3.0, skin=0.6)
    assert (0, 1, 0, 0, 0) not in listed_pairs(nl)
    for motion, covered in ((0.299, True), (0.302, False)):
        closer = move(apart, np.array([[0, motion, 0], [0, 3.601 - motion, 0]]))
        assert (nl.update(closer) is nl) == covered
        assert ((0, 1, 0, 0, 0) in listed_pairs(nl.update(closer))) == (not covered)


@pytest.mark.parametrize("pbc", [(False, False, True), (False, True, True), (True, True, True)])
def test_update_rebuilds_before_images_that_a_strain_brings_near_are_missed(pbc):
    """Uniaxial compression e brings images from 3.6 Å to 3 Å at e = 1/6, with no atom leaving its place."""
    chain = mff.Structure.create([[0.1, 0.2, 0.3]], ["Si"], cell=[4.0, 4.0, 3.601], pbc=pbc)
    nl = neighbor_list(chain, 3.0, skin=0.6)
    assert listed_pairs(nl) == set()
    for compression, covered in ((0.165, True), (0.168, False)):
        squeezed = chain.strain(np.diag([0, 0, -compression]))
        assert (nl.update(squeezed) is nl) == covered
        assert len(listed_pairs(nl.update(squeezed))) == (0 if covered else 2)


@pytest.mark.parametrize("closed", [False, True])
def test_update_covers_triples_too(closed):
    """Legs and third sides of 3.0 Å, outside of 2.7 Å and inside of 2.7 Å + skin, come within 2.7 Å."""
    triangle = np.array([[0.0, 0, 0], [3.0, 0, 0], [1.5, 1.5 * np.sqrt(3), 0]])
    positions = np.concatenate([triangle, systems.molecule().positions + 20])
    apart = mff.Structure.create(positions, ["Si"] * 8)
    nl = neighbor_list(apart, 3.5, triple_cutoff=2.7, closed=closed, skin=0.4)
    shrunk = triangle.mean(axis=0) + (triangle - triangle.mean(axis=0)) * 2.69 / 3.0
    closer = move(apart, np.concatenate([shrunk, positions[3:]]))
    assert nl.update(closer) is nl
    missing = brute_force_triples(*numpy_structure(apart), 2.7, closed)
    wanted = brute_force_triples(*numpy_structure(closer), 2.7, closed)
    assert len(wanted) == len(missing) + 3
    assert wanted <= listed_triples(nl)


def test_update_outside_jit_rebuilds_only_when_it_must():
    structure = systems.slab()
    nl = neighbor_list(structure, 3.0, skin=0.5)
    assert nl.update(structure) is nl
    assert nl.update(move(structure, structure.positions + 0.1)) is nl
    moved = move(structure, structure.positions.at[0].add(0.2))
    updated = nl.update(moved)
    assert updated is not nl
    assert listed_pairs(updated) == brute_force_pairs(*numpy_structure(moved), 3.5).keys()
    assert_array_equal(updated.positions, moved.positions)
    assert (updated.cutoff, updated.skin) == (3.0, 0.5)
    assert updated.update(moved) is updated
    # The cell alone.
    strained = move(structure, structure.positions, structure.cell * 0.8)
    updated = nl.update(strained)
    assert updated is not nl
    assert listed_pairs(updated) == brute_force_pairs(*numpy_structure(strained), 3.5).keys()
    # The nominal vector of the open axis is nobody's business.
    taller = move(structure, structure.positions, structure.cell.at[2].multiply(3))
    assert nl.update(taller) is nl


def test_without_a_skin_any_motion_rebuilds():
    structure = systems.slab()
    nl = neighbor_list(structure, 3.0)
    assert nl.update(structure) is nl
    assert nl.update(move(structure, structure.positions.at[1, 2].add(1e-3))) is not nl
    assert nl.update(move(structure, structure.positions, structure.cell.at[0, 0].add(1e-3))) is not nl


def test_update_outside_jit_grows():
    structure = systems.two_species()
    loose = move(structure, structure.positions * 1.5, structure.cell * 1.5)
    nl = neighbor_list(loose, 3.0, triple_cutoff=3.0)
    tight = nl.update(structure)
    assert not tight.overflow
    assert listed_pairs(tight) == brute_force_pairs(*numpy_structure(structure), 3.0).keys()
    assert listed_triples(tight) == brute_force_triples(*numpy_structure(structure), 3.0)
    # It never shrinks, so that a program is compiled again only when it must be.
    assert tight.update(loose).capacity == tight.capacity
    assert listed_pairs(tight.update(loose)) == brute_force_pairs(*numpy_structure(loose), 3.0).keys()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: mff.Structure.create(s.positions, ["Si"] * s.n_atoms, cell=s.cell, pbc=s.pbc),
        lambda s: dataclasses.replace(s, species_index=s.species_index[::-1]),
        lambda s: dataclasses.replace(s, pbc=(True, True, True)),
        lambda s: s.pad(s.n_atoms + 1),
    ],
    ids=["labels", "species", "pbc", "atoms"],
)
@pytest.mark.parametrize("skin", [0.0, 0.5])
def test_update_needs_the_same_atoms(change, skin):
    structure = systems.slab()
    with pytest.raises(ValueError, match="`structure`"):
        neighbor_list(structure, 3.0, skin=skin).update(change(structure))


# -- update inside jit -----------------------------------------------------------------------------

update = jax.jit(lambda nl, structure: nl.update(structure))


def trajectory(n_steps=6, seed=0, step=0.12):
    """Positions [n_steps, n_atoms, 3] and cells [n_steps, 3, 3] that wander off from the two-species bulk."""
    rng = np.random.default_rng(seed)
    positions, cell, _ = numpy_structure(systems.two_species())
    steps = np.cumsum(rng.normal(scale=step, size=(n_steps, *positions.shape)), axis=0)
    cells = cell * (1 + 0.01 * np.arange(n_steps)[:, None, None])
    dtype = systems.two_species().positions.dtype
    return jnp.asarray(positions + steps, dtype), jnp.asarray(cells, dtype)


def roomy_list(energy, skin):
    """A list of the two-species bulk with room for its motions."""
    structure = systems.two_species()
    tight = move(structure, structure.positions * 0.9, structure.cell * 0.9)
    capacity = neighbor_list(tight, energy.cutoff, skin=skin).capacity
    return neighbor_list(structure, energy.cutoff, skin=skin, capacity=capacity)


@pytest.mark.float32_too
@pytest.mark.parametrize("skin", [0.0, 0.3])
def test_update_inside_jit_is_update_outside(skin):
    lj = lennard_jones()
    structure, nl = systems.two_species(), roomy_list(lennard_jones(), skin)
    positions, cells = trajectory()
    inside = outside = nl
    for r, c in zip(positions, cells, strict=True):
        structure = move(structure, r, c)
        inside, outside = update(inside, structure), outside.update(structure)
        assert outside.capacity == nl.capacity
        for a, b in zip(jax.tree.leaves(inside), jax.tree.leaves(outside), strict=True):
            assert_array_equal(a, b)
            assert a.dtype == b.dtype
        fresh = neighbor_list(structure, lj.cutoff, capacity=nl.capacity)
        assert_allclose(energy_of(lj, structure, inside), energy_of(lj, structure, fresh), rtol=tolerance(1e-12, 1e-5))


@pytest.mark.parametrize("skin", [0.0, 0.3])
def test_update_under_scan(skin):
    lj, structure = lennard_jones(), systems.two_species()

    @jax.jit
    def run(nl, path):
        def step(nl, frame):
            moved = dataclasses.replace(structure, positions=frame[0], cell=frame[1])
            nl = nl.update(moved)
            return nl, (lj(moved, nl), nl.n_pairs)

        return jax.lax.scan(step, nl, path)

    path = trajectory()
    last, (energies, n_pairs) = run(roomy_list(lj, skin), path)
    assert not last.overflow
    for r, c, energy, n in zip(*path, energies, n_pairs, strict=True):
        frame = move(structure, r, c)
        fresh = neighbor_list(frame, lj.cutoff, capacity=roomy_list(lj, 0.0).capacity)
        assert_allclose(energy, energy_of(lj, frame, fresh), rtol=1e-12)
        if skin == 0:
            assert n == fresh.n_pairs
    assert len(set(np.asarray(n_pairs).tolist())) > 1


def test_update_under_vmap():
    lj, structure = lennard_jones(), systems.two_species()
    positions, cells = trajectory()
    frames = [move(structure, r, c) for r, c in zip(positions, cells, strict=True)]
    batch = mff.stack(frames)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def run(nl, structure):
        nl = nl.update(structure)
        return lj(structure, nl), nl

    energies, lists = run(roomy_list(lj, 0.3), batch)
    assert not lists.overflow.any()
    for b, (frame, energy) in enumerate(zip(frames, energies, strict=True)):
        fresh = neighbor_list(frame, lj.cutoff, capacity=roomy_list(lj, 0.0).capacity)
        assert_allclose(energy, energy_of(lj, frame, fresh), rtol=1e-12)
        one = jax.tree.map(lambda leaf, b=b: leaf[b], lists)
        for a, b_ in zip(jax.tree.leaves(one), jax.tree.leaves(update(roomy_list(lj, 0.3), frame)), strict=True):
            assert_array_equal(a, b_)


def test_gradients_pass_through_an_update():
    """An energy that keeps its own list up to date can be differentiated: the list itself is piecewise constant."""
    lj, structure = lennard_jones(), systems.two_species()
    moved = move(structure, structure.positions + 0.05 * np.sin(np.arange(24)).reshape(8, 3))
    nl = roomy_list(lj, 0.05)

    def energy(structure, nl):
        return lj(structure, nl.update(structure))

    expected = jax.jit(mff.forces(lj))(moved, neighbor_list(moved, lj.cutoff))
    assert_allclose(jax.jit(mff.forces(energy))(moved, nl), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.float32_too
@pytest.mark.parametrize("skin", [0.0, 0.3])
def test_overflow_inside_jit_is_nan_in_energy_and_forces(skin):
    energy = lennard_jones() + mff.potentials.TriplePotential(
        lambda r1, r2, c: c**2, cutoff=2.5, species=("Si", "O", "O")
    )
    structure = systems.two_species()
    loose = move(structure, structure.positions * 1.5, structure.cell * 1.5)
    nl = energy.neighbor_list(loose, skin=skin)

    @jax.jit
    def run(nl, structure):
        nl = nl.update(structure)
        return nl.overflow, mff.energy_forces_stress(energy)(structure, nl), energy.atomic(structure, nl), nl

    overflow, results, atomic, full = run(nl, structure)
    assert overflow
    for result in (*results, atomic):
        assert np.isnan(result).all()
    # The same program is right where the list suffices, and again after the overflow.
    for start in (nl, full):
        overflow, (value, forces, stress), atomic, _ = run(start, loose)
        assert not overflow
        for result in (value, forces, stress, atomic):
            assert np.isfinite(result).all()
    # Outside jit the list grows instead, and heals.
    healed = full.update(structure)
    assert not healed.overflow
    assert listed_pairs(healed) == listed_pairs(energy.neighbor_list(structure, skin=skin))


@pytest.mark.float32_too
def test_overflow_of_an_empty_list_is_nan_in_all_forces():
    """Atoms that were alone when the list was made: there is no listed pair that could carry the NaN to them."""
    lj = lennard_jones()
    apart = mff.Structure.create([[0, 0, 0], [0, 9.0, 0], [9.0, 0, 0]], ["Si", "O", "Si"], cell=[30.0] * 3)
    close = move(apart, np.array([[0, 0, 0], [0, 2.0, 0], [9.0, 0, 0]]))

    @jax.jit
    def run(nl, structure):
        nl = nl.update(structure)
        return nl.overflow, mff.energy_forces_stress(lj)(structure, nl), lj.atomic(structure, nl)

    nl = lj.neighbor_list(apart)
    assert nl.n_pairs == 0
    overflow, results, atomic = run(nl, close)
    assert overflow
    for result in (*results, atomic):
        assert np.isnan(result).all()
    overflow, results, atomic = run(nl, apart)
    assert not overflow
    for result in (*results, atomic):
        assert not np.asarray(result).any()


def test_overflow_of_triples_alone():
    """A triangle opens and closes: the pairs of the centre fit all the time, the closed triples do not."""
    flat = mff.Structure.create([[0.0, 0, 0], [1.5, 0, 0], [-1.5, 0, 0]], ["Si"] * 3)
    bent = move(flat, [[0.0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]])
    pairs_for_both = neighbor_list(bent, 2.5, triple_cutoff=2.5, closed=True).capacity
    no_triples = dataclasses.replace(pairs_for_both, triples=((0,),))
    nl = neighbor_list(flat, 2.5, triple_cutoff=2.5, closed=True, capacity=no_triples)
    assert not update(nl, flat).overflow
    assert update(nl, bent).overflow
    assert not nl.update(bent).overflow


def test_other_species_inside_jit_are_nan():
    lj, structure = lennard_jones(), systems.two_species()
    other = dataclasses.replace(structure, species_index=structure.species_index[::-1])
    for skin in (0.0, 0.3):
        nl = roomy_list(lj, skin)
        updated = update(nl, other)
        assert updated.overflow
        assert np.isnan(energy_of(lj, other, updated))
        updated = update(nl, structure)
        assert not updated.overflow


def test_positions_that_are_not_finite_are_nan_inside_jit():
    lj, structure = lennard_jones(), systems.two_species()
    nl = roomy_list(lj, 0.3)
    for broken in (
        move(structure, structure.positions.at[3, 0].set(jnp.nan)),
        move(structure, structure.positions.at[3, 0].set(jnp.inf)),
        move(structure, structure.positions, 0 * structure.cell),
    ):
        updated = update(nl, broken)
        assert updated.overflow
        assert np.isnan(energy_of(lj, structure, updated))


def test_a_first_list_cannot_be_made_inside_jit():
    structure = systems.molecule()
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda s: neighbor_list(s, 3.0).n_pairs)(structure)
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda s: lennard_jones().neighbor_list(s).n_pairs)(structure)


@pytest.mark.parametrize("skin", [0.0, 0.5])
def test_a_list_serves_as_long_as_update_would_keep_it(skin):
    structure = systems.two_species()
    nl = neighbor_list(structure, 3.0, skin=skin)
    assert nl.serves(structure)
    for step in (1e-3, 0.2, 0.3):
        positions = np.asarray(structure.positions).copy()
        positions[0, 0] += step
        moved = dataclasses.replace(structure, positions=positions)
        assert nl.serves(moved) == (nl.update(moved) is nl) == (2 * step < skin)
    assert not nl.serves(dataclasses.replace(structure, positions=np.full_like(structure.positions, np.nan)))
    assert not nl.serves(dataclasses.replace(structure, cell=np.zeros((3, 3), structure.positions.dtype)))
    with pytest.raises(ValueError, match=r"`structure` must have positions of shape"):
        nl.serves(structure.pad(structure.n_atoms + 1))
    with pytest.raises(ValueError, match=r"`structure` must have the labels"):
        nl.serves(dataclasses.replace(structure, pbc=(False, False, False)))
