"""Padding never reaches a number: masks on hand-written lists, and padded structures against plain ones."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import miniffx as mff
import systems
from miniffx import mapping
from miniffx.neighbors import Capacity, Environments, TripleSlots
from oracles import pair_energies, quick_jit, tolerance, triple_energies

CUTOFF = 2.0

# What is infinite, or not a number, at 0, at the cutoff, or beyond.
SINGULAR = {
    "1/r": (lambda r: 1 / r, lambda r: 1 / r),
    "log": (jnp.log, np.log),
    "r^-12": (lambda r: r**-12, lambda r: r**-12.0),
    "1/(r-c)": (lambda r: 1 / (r - CUTOFF), lambda r: 1 / (r - CUTOFF)),
    "sqrt(c-r)": (lambda r: jnp.sqrt(CUTOFF - r), lambda r: np.sqrt(CUTOFF - r)),
    "exp(1/(r-c))": (lambda r: jnp.exp(1 / (r - CUTOFF)), lambda r: np.exp(1 / (r - CUTOFF))),
    "all": (
        lambda r: jnp.log(r) / jnp.sqrt(CUTOFF - r) + jnp.sqrt(r),
        lambda r: np.log(r) / np.sqrt(CUTOFF - r) + np.sqrt(r),
    ),
}

# Two atoms of one species, a padding row, and two species of neighbours: three columns and two.
#            species 0                           species 1
VECTORS = [
    [[0.5, 0, 0], [0, 1.2, 0], [0, 0, -1.9], [0.3, 0.4, 0], [0, 0, 0]],
    [[0, 0, 2.0], [0, 2.5, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],  # one at the cutoff, one beyond
    [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
]
COUNTS = [[3, 1], [2, 0], [0, 0]]
REAL = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)


def environments(triples=(), kinds=()):
    return Environments(
        centers=jnp.array([4, 7, 99], jnp.int32),
        neighbors=jnp.zeros((3, 5), jnp.int32),
        shifts=jnp.zeros((3, 5, 3), jnp.int32),
        counts=jnp.array(COUNTS, jnp.int32),
        triples=tuple(triples),
        columns=(0, 3, 5),
        triple_kinds=tuple(kinds),
    )


def vectors():
    return jnp.array(VECTORS, jnp.result_type(float))


def garbage():
    """The same vectors with numbers in the padding."""
    noise = np.random.default_rng(0).uniform(-1, 1, size=(3, 5, 3))
    return jnp.where(REAL[..., None], vectors(), noise)


def with_derivatives(function):
    """value, first and second derivatives of a function of one array, in one compiled program."""
    return quick_jit(lambda x: (function(x), jax.jacrev(function)(x), jax.jacfwd(jax.jacrev(function))(x)))


@pytest.mark.float32_too
@pytest.mark.parametrize("name", SINGULAR)
def test_sum_over_pairs(name):
    formula, plain = SINGULAR[name]

    @with_derivatives
    def sums(displacements):
        both = [mapping.sum_over_pairs(formula, displacements, environments(), neighbor, CUTOFF) for neighbor in (0, 1)]
        return jnp.stack(both)

    expected = [[plain(0.5) + plain(1.2) + plain(1.9), 0, 0], [plain(0.5), 0, 0]]
    inside = REAL & (np.linalg.norm(VECTORS, axis=-1) < CUTOFF)
    for displacements in (vectors(), garbage()):
        values, slope, curvature = (np.asarray(part) for part in sums(displacements))
        assert_allclose(values, expected, rtol=tolerance(1e-14, 1e-5))
        assert np.isfinite(slope).all()
        assert np.isfinite(curvature).all()
        assert not slope[:, :, ~inside].any()
        assert not curvature[:, :, ~inside].any()
        assert not slope[0, :, :, 3:].any()  # the other species
        assert not slope[1, :, :, :3].any()
        # One neighbour on the x axis: dE/dD = f'(0.5) x̂.
        h = 1e-5
        expected_slope = (plain(0.5 + h) - plain(0.5 - h)) / (2 * h)
        assert_allclose(slope[0, 0, 0, 0], [expected_slope, 0, 0], rtol=tolerance(1e-7, 1e-4))


@pytest.mark.float32_too
@pytest.mark.parametrize("closed", [False, True])
def test_sum_over_triples(closed):
    # Row 0: (0, 1) of r = 0.5, 1.2; (0, 2) of 0.5, 1.9; (1, 2) of 1.2, 1.9, the third side longer than the cutoff.
    # Row 1: a leg at the cutoff. The rest is padding.
    slots = TripleSlots(
        first=jnp.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], jnp.int32),
        second=jnp.array([[1, 2, 2, 0], [1, 0, 0, 0], [0, 0, 0, 0]], jnp.int32),
        counts=jnp.array([3, 1, 0], jnp.int32),
    )
    lists = environments([slots], [(0, 0)])

    def formula(r1, r2, r3, cos_theta, xp=jnp):
        return xp.log(r1 * r2) / xp.sqrt((CUTOFF - r1) * (CUTOFF - r2)) + 1 / r3 + xp.arccos(cos_theta) * r1

    @with_derivatives
    def sums(displacements):
        return mapping.sum_over_triples(formula, displacements, lists, (0, 0), CUTOFF, closed)

    # All three vectors of row 0 stand on each other at right angles.
    third = [np.hypot(0.5, 1.2), np.hypot(0.5, 1.9), np.hypot(1.2, 1.9)]
    terms = [formula(0.5, 1.2, third[0], 0.0, np), formula(0.5, 1.9, third[1], 0.0, np)]
    if not closed:
        terms.append(formula(1.2, 1.9, third[2], 0.0, np))
    assert third[1] < CUTOFF < third[2]
    for displacements in (vectors(), garbage()):
        values, slope, curvature = (np.asarray(part) for part in sums(displacements))
        assert_allclose(values, [sum(terms), 0, 0], rtol=tolerance(1e-13, 1e-5))
        assert np.isfinite(slope).all()
        assert np.isfinite(curvature).all()
        for derivative in (slope, curvature):
            assert derivative[0, 0, :3].any()
            assert not derivative[1:].any()
            assert not derivative[:, 1:].any()
            assert not derivative[:, :, 3:].any()


@pytest.mark.float32_too
def test_legs_of_two_species_stay_apart():
    """r1 belongs to the first species of the kind, whatever the order of the columns."""
    slots = TripleSlots(
        first=jnp.array([[1, 0], [0, 0], [0, 0]], jnp.int32),
        second=jnp.array([[3, 0], [0, 0], [0, 0]], jnp.int32),
        counts=jnp.array([1, 0, 0], jnp.int32),
    )
    lists = environments([slots], [(0, 1)])
    sums = mapping.sum_over_triples(
        lambda r1, r2, r3, c: r1 + 10 * r2 + 100 * c, vectors(), lists, (0, 1), CUTOFF, False
    )
    assert_allclose(sums, [1.2 + 10 * 0.5 + 100 * 0.8, 0, 0], rtol=tolerance(1e-14, 1e-6))


def test_collinear_and_coincident_neighbors():
    """cos θ = ±1 has finite derivatives, and an atom on top of the centre has no angle but finite numbers."""
    slots = TripleSlots(
        first=jnp.array([[0, 0]], jnp.int32), second=jnp.array([[1, 2]], jnp.int32), counts=jnp.array([2], jnp.int32)
    )
    lists = Environments(
        centers=jnp.array([0], jnp.int32),
        neighbors=jnp.zeros((1, 3), jnp.int32),
        shifts=jnp.zeros((1, 3, 3), jnp.int32),
        counts=jnp.array([[3]], jnp.int32),
        triples=(slots,),
        columns=(0, 3),
        triple_kinds=((0, 0),),
    )

    @with_derivatives
    def sums(displacements):
        return mapping.sum_over_triples(
            lambda r1, r2, r3, c: (1 + c) * r1 * r2 + r3**2, displacements, lists, (0, 0), CUTOFF, False
        )

    line = jnp.array([[[1.0, 0, 0], [-1.5, 0, 0], [0.7, 0, 0]]])
    assert_allclose(sums(line)[0], [0 + 2.5**2 + 2 * 0.7 + 0.3**2], rtol=1e-14)
    touching = jnp.array([[[1.0, 0, 0], [0, 0, 0], [0, 0.7, 0]]])
    for displacements in (line, touching):
        for part in sums(displacements):
            assert np.isfinite(part).all()


def test_rows_of_padding_reach_neither_atoms_nor_total():
    structure = systems.molecule()
    rows = (
        mapping.Rows(jnp.array([3, 0, 5], jnp.int32), jnp.array([1.0, 2.0, 0.0])),
        mapping.Rows(jnp.array([0, 5], jnp.int32), jnp.array([4.0, 0.0])),
    )
    assert_array_equal(mapping.per_atom(rows, structure), [6, 0, 0, 1, 0])
    assert mapping.total(rows, structure) == 7
    assert_array_equal(mapping.per_atom((), structure), np.zeros(5))
    assert mapping.total((), structure) == 0
    # Even a padding row that is not 0 has no atom to go to.
    stray = (mapping.Rows(jnp.array([5], jnp.int32), jnp.array([9.0])),)
    assert_array_equal(mapping.per_atom(stray, structure), np.zeros(5))


# -- whole structures ------------------------------------------------------------------------------


def singular_energy():
    """Infinite at r = 0 and not a number beyond the cutoffs, in pairs and in triples."""
    pair = mff.potentials.PairPotential(
        lambda r: 1 / r + jnp.sqrt(3.0 - r) ** 3 + jnp.exp(1 / (r - 3.0)), cutoff=3.0, species=("Si", "O")
    )
    triple = mff.potentials.TriplePotential(
        lambda r1, r2, c: jnp.log(r1) * jnp.log(r2) * c * jnp.sqrt((2.5 - r1) * (2.5 - r2)) ** 3,
        cutoff=2.5,
        species=("Si", "O", "O"),
    )
    return pair + triple


def expected_energies(structure):
    pairs = pair_energies(structure, ("Si", "O"), 3.0, lambda r: 1 / r + np.sqrt(3.0 - r) ** 3 + np.exp(1 / (r - 3.0)))
    triples = triple_energies(
        structure,
        ("Si", "O", "O"),
        2.5,
        lambda r1, r2, c: np.log(r1) * np.log(r2) * c * np.sqrt((2.5 - r1) * (2.5 - r2)) ** 3,
    )
    return pairs + triples


@quick_jit
def derivatives(energy, structure, nl):
    """Energies of atoms, forces, Hessian, and the gradient of |F|²."""

    def squared_force(positions):
        moved = dataclasses.replace(structure, positions=positions)
        return (mff.forces(energy)(moved, nl) ** 2).sum()

    return (
        energy.atomic(structure, nl),
        mff.forces(energy)(structure, nl),
        mff.hessian(energy)(structure, nl),
        jax.grad(squared_force)(structure.positions),
    )


def padded_derivatives(energy, structure):
    """The same with padding of every kind; padding atoms lie at the origin, in the middle of the real ones."""
    padded = structure.pad(6)
    room = Capacity(rows=(4, 5), columns=((0, 40, 75), (0, 30, 66)), triples=((), (100,)))
    nl = mff.neighbor_list(padded, 3.0, triple_cutoff=2.5, skin=0.4, triple_species=[("Si", "O", "O")], capacity=room)
    return [np.asarray(part) for part in derivatives(energy, padded, nl)]


@pytest.fixture(scope="module")
def energy():
    return singular_energy()


@pytest.mark.float32_too
def test_padding_never_reaches_a_number(energy):
    structure = systems.left_handed()
    n = structure.n_atoms
    plain = derivatives(energy, structure, energy.neighbor_list(structure))
    atomic, forces, hessian, gradient = padded_derivatives(energy, structure)
    for part in (*plain, atomic, forces, hessian, gradient):
        assert np.isfinite(part).all()
    assert_allclose(plain[0], expected_energies(structure), rtol=tolerance(1e-12, 1e-5), atol=tolerance(1e-14, 1e-5))
    for part, reference in zip((atomic[:n], forces[:n], hessian[:n, :, :n], gradient[:n]), plain, strict=True):
        scale = np.abs(reference).max()
        assert_allclose(part, reference, rtol=0, atol=tolerance(1e-12, 1e-4) * scale)
    for part in (atomic[n:], forces[n:], hessian[n:], hessian[:, :, n:], gradient[n:]):
        assert not part.any()


@pytest.mark.float32_too
def test_an_atom_exactly_at_the_cutoff(energy):
    """It is not inside, and no derivative of the formula is taken there."""
    positions = [[0.0, 0, 0], [0, 0, 3.0], [2.5, 0, 0], [0, 2.5, 0]]
    structure = mff.Structure.create(positions, ["Si", "O", "O", "O"], cell=[20.0] * 3)
    atomic, forces, hessian, gradient = padded_derivatives(energy, structure)
    assert_allclose(atomic[:4], expected_energies(structure), rtol=tolerance(1e-13, 1e-5))
    assert forces[0].any()
    assert not forces[1].any()
    for part in (forces, hessian, gradient):
        assert np.isfinite(part).all()


@pytest.mark.parametrize("make", [systems.molecule, lambda: mff.Structure.create(np.zeros((0, 3)), [])])
def test_structures_of_nothing_but_padding(make, energy):
    structure = make().pad(6)
    empty = dataclasses.replace(structure, species_index=jnp.full_like(structure.species_index, -1))
    nl = energy.neighbor_list(empty)
    value, forces = mff.energy_and_forces(energy)(empty, nl)
    assert value == 0
    assert forces.shape == (6, 3)
    assert not forces.any()
    assert nl.n_pairs == nl.n_triples == 0
