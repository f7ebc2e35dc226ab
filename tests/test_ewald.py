"""Electrostatics: Madelung constants, the reference kernels, direct sums, and what an Ewald sum must not depend on."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import miniffx as mff
import systems
from miniffx import Structure
from miniffx import potentials as P
from miniffx.potentials.ewald import coulomb, structure_factors
from oracles import central_difference, tolerance

COULOMB = 14.399645

# One compiled program per shape and pair of cutoffs.
total = jax.jit(lambda energy, structure, nl: energy(structure, nl))
total_and_charge_gradient = jax.jit(
    lambda energy, structure, nl: jax.value_and_grad(lambda q: energy(dataclasses.replace(structure, charges=q), nl))(
        structure.charges
    )
)
total_and_forces = jax.jit(lambda energy, structure, nl: mff.energy_and_forces(energy)(structure, nl))
efs = jax.jit(lambda energy, structure, nl: mff.energy_forces_stress(energy)(structure, nl))
everything = jax.jit(
    lambda energy, structure, nl: (*mff.energy_forces_stress(energy)(structure, nl), energy.atomic(structure, nl))
)
K_MAX = (16, 16, 16)


def of(energy, structure, function=everything):
    found = function(energy, structure, energy.neighbor_list(structure))
    return jax.tree.map(np.asarray, found)


def ions(n=6, charged=True, seed=0):
    """Random charges at random places, no two close, in an oblique cell."""
    rng = np.random.default_rng(seed)
    cell = np.array([[5.5, 0, 0.3], [1.2, 5.0, 0], [-1.5, 0.7, 5.8]])
    grid = np.stack(np.meshgrid([0, 0.5], [0, 0.5], [0, 0.5], indexing="ij"), axis=-1).reshape(-1, 3)[:n]
    charges = rng.normal(size=n)
    charges += (2.3 if charged else 0.0) / n - charges.mean()
    labels = ["Si", "O"] * (n // 2)
    return Structure.create(grid + rng.uniform(-0.1, 0.1, (n, 3)), labels, cell, fractional=True, charges=charges)


def sum_of(eta):
    """A sum with erfc(η r_c) and exp(−K²/4η²) below 1e-14 for η from 0.75 to 1.2."""
    return P.Ewald(eta=eta, real_cutoff=7.6, reciprocal_cutoff=13.8, k_max=K_MAX)


# -- crystals --------------------------------------------------------------------------------------

# Negated electrostatic energy per formula unit, in units of C q²/d with the shortest distance d. Rock salt and cesium
# chloride: OEIS A085469 and A181152, and Y. Sakamoto, J. Chem. Phys. 28, 164 (1958), doi:10.1063/1.1744060.
ROCK_SALT, CESIUM_CHLORIDE = 1.74756459463318219, 1.76267477307098840
# The others follow: all are made of fcc sublattices at 0, ¼, ½ or ¾ of the body diagonal, and energies are sums over
# pairs of these. Rounded, they are the 1.6381 and 5.0388 of tables.
ZINCBLENDE = 3**0.5 / 4 * ROCK_SALT + CESIUM_CHLORIDE / 2
FLUORITE = 2 * ZINCBLENDE + CESIUM_CHLORIDE
FACE_CENTERED = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
CRYSTALS = {
    "rock salt": (FACE_CENTERED, [[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], 0.5, ROCK_SALT),
    "cesium chloride": (np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], 3**0.5 / 2, CESIUM_CHLORIDE),
    "zincblende": (FACE_CENTERED, [[0, 0, 0], [0.25] * 3], [1, -1], 3**0.5 / 4, ZINCBLENDE),
    "fluorite": (FACE_CENTERED, [[0, 0, 0], [0.25] * 3, [0.75] * 3], [2, -1, -1], 3**0.5 / 4, FLUORITE),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_madelung_constants(name):
    cell, places, charges, d, madelung = CRYSTALS[name]
    edge = 5.3
    crystal = Structure.create(places, ["X"] * len(charges), edge * cell, fractional=True, charges=charges)
    ewald = P.Ewald.for_structure(crystal, accuracy=1e-10)
    nl = ewald.neighbor_list(crystal)
    assert_allclose(-ewald(crystal, nl) * d * edge / COULOMB, madelung, rtol=1e-11)


@pytest.mark.parametrize("index", range(4))
def test_reference_kernels(miniff, index):
    """The same η and cutoffs give the same energies, neutral and charged; gradients there are sums over atoms."""
    case = miniff["ewald"][index]
    given = miniff["structures"][case["structure"]]
    structure = Structure.create(
        given["fractional"], given["species"], given["cell"], fractional=True, charges=case["charges"]
    )
    ewald = P.Ewald(case["eta"], real_cutoff=case["r_cut"], reciprocal_cutoff=case["k_cut"], k_max=(12, 12, 12))
    energy, slope = of(ewald, structure, total_and_charge_gradient)
    assert case["coulomb_constant"] == COULOMB
    assert_allclose(energy, case["energy"], rtol=1e-13)
    assert_allclose(slope.sum(), case["charge_gradient"][0], rtol=1e-11)


# -- what it must not depend on --------------------------------------------------------------------


@pytest.mark.float32_too
@pytest.mark.parametrize("charged", [False, True])
def test_independent_of_the_screening(charged):
    """Energy, forces, stress, energies of atoms, neutral or charged: the parts differ by eV."""
    structure = ions(charged=charged)
    expected, *others = (of(sum_of(eta), structure) for eta in (0.9, 0.75, 1.2))
    assert abs(float(structure.charges.sum()) - 2.3 * charged) < 1e-5
    for found in others:
        for a, b in zip(found, expected, strict=True):
            assert_allclose(a, b, atol=tolerance(1e-11, 3e-5) * np.abs(b).max())
    nl = sum_of(0.75).neighbor_list(structure)
    parts = [np.array([part(structure, nl) for part in sum_of(eta).parts(structure)]) for eta in (0.75, 1.2)]
    assert (np.abs(parts[1] - parts[0])[: 4 if charged else 3] > 0.02).all()


def test_parts_add_up():
    """`.atomic` of each part sums to the part, the parts to the whole; and they compose."""
    structure, ewald = ions(), sum_of(0.9)
    nl = ewald.neighbor_list(structure)
    whole = ewald(structure, nl)
    parts = ewald.parts(structure)
    assert [type(part) for part in parts] == [P.EwaldReal, P.EwaldReciprocal, P.EwaldSelf, P.EwaldBackground]
    for part in parts:
        assert_allclose(part.atomic(structure, nl).sum(), part(structure, nl), rtol=1e-12)
    assert_allclose(sum(parts[1:], parts[0])(structure, nl), whole, rtol=1e-13)
    lj = P.LennardJones(0.01, 2.0, cutoff=4.0, species=("Si", "O"))
    both = lj + 0.5 * ewald
    assert both.cutoff == ewald.cutoff
    assert_allclose(both(structure, nl), lj(structure, nl) + 0.5 * whole, rtol=1e-13)


def test_gradient_in_charges_is_the_potential():
    """∂E/∂q_i = 2 E_i/q_i, of atoms without a charge too; by central differences."""
    structure, ewald = ions(), sum_of(0.9)
    structure = dataclasses.replace(structure, charges=structure.charges.at[2].set(0.0))
    nl = ewald.neighbor_list(structure)
    energy = jax.jit(lambda q: ewald(dataclasses.replace(structure, charges=q), nl))
    slope = jax.grad(energy)(structure.charges)
    assert_allclose(slope, central_difference(energy, structure.charges, 0.1), rtol=1e-9, atol=1e-9)
    assert_allclose(ewald.atomic(structure, nl), structure.charges * slope / 2, rtol=1e-10, atol=1e-13)
    assert slope[2] != 0


def test_padding_contributes_nothing(monkeypatch):
    """Whatever charges the padding has; and however atoms are split into chunks."""
    structure, ewald = ions(), sum_of(0.9)
    expected = of(ewald, structure)
    padded = structure.pad(9)
    padded = dataclasses.replace(padded, charges=padded.charges.at[6:].set(7.0))
    monkeypatch.setattr(structure_factors, "CHUNK", 33 * 4)
    found = of(ewald, padded)
    assert not found[1][6:].any()
    assert not found[3][6:].any()
    for a, b in zip((found[0], found[1][:6], found[2], found[3][:6]), expected, strict=True):
        assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_batch_shares_a_sum():
    """vmap over crystals of different cells and sizes, with the parameters of for_structure."""
    singles = [ions(), ions(4, charged=False, seed=1).strain(np.diag([0.1, 0, -0.1]))]
    batch = mff.stack(singles)
    ewald = P.Ewald.for_structure(batch, accuracy=1e-9)
    energies = jax.jit(jax.vmap(lambda s, nl: ewald(s, nl)))(batch, ewald.needs.neighbor_list(batch))
    for energy, single in zip(energies, singles, strict=True):
        assert_allclose(energy, of(sum_of(0.9), single, total), atol=1e-8)


# -- accuracy --------------------------------------------------------------------------------------


def test_the_error_is_what_was_asked_for():
    """RMS error of the forces, and energy and stress per atom: below `accuracy`, and of forces not far below."""
    rng, n, cell = np.random.default_rng(0), 60, np.array([[9.0, 0, 0], [4, 7, 0], [-3, 2, 12]])
    structure = Structure.create(rng.random((n, 3)), ["X"] * n, cell, fractional=True, charges=rng.normal(size=n))
    (e0, f0, s0), *found = (
        of(P.Ewald.for_structure(structure, accuracy), structure, efs) for accuracy in (1e-11, 1e-3, 1e-8)
    )
    for accuracy, (e, f, s) in zip((1e-3, 1e-8), found, strict=True):
        error = np.sqrt(((f - f0) ** 2).sum(axis=1).mean())
        assert 0.1 * accuracy < error < accuracy
        assert abs(e - e0) < accuracy * n
        assert np.abs(s - s0).max() * float(structure.volume) < 2 * accuracy * n


# -- molecules -------------------------------------------------------------------------------------


@pytest.mark.float32_too
def test_molecules_have_the_direct_sum(monkeypatch):
    molecule = dataclasses.replace(systems.molecule(), charges=jnp.asarray([1.2, -0.7, 0.0, -0.4, 1.0]))
    r, q = np.asarray(molecule.positions, np.float64), np.asarray(molecule.charges, np.float64)
    expected, forces = np.zeros(5), np.zeros((5, 3))
    for i in range(5):
        for j in range(5):
            if i != j:
                D = r[i] - r[j]
                d = np.sqrt(D @ D)
                expected[i] += 0.5 * COULOMB * q[i] * q[j] / d
                forces[i] += COULOMB * q[i] * q[j] * D / d**3
    short = P.Ewald(eta=0.3, real_cutoff=1.0, reciprocal_cutoff=1.0)  # a molecule does not look at any of these
    monkeypatch.setattr(coulomb, "CHUNK", 10)
    for energy in (P.Coulomb(), P.Ewald.for_structure(molecule), short):
        nl = mff.neighbor_list(molecule, 1.0)
        value, f = total_and_forces(energy, molecule, nl)
        assert_allclose(value, expected.sum(), rtol=tolerance(1e-13, 1e-5))
        assert_allclose(f, forces, rtol=tolerance(1e-12, 1e-4), atol=tolerance(1e-12, 1e-5))
        assert_allclose(energy.atomic(molecule, nl), expected, rtol=tolerance(1e-13, 1e-5), atol=1e-15)


def test_a_crystal_of_far_molecules_is_almost_a_molecule():
    """A neutral cluster of cubic symmetry hardly sees its images, 15 Å away: its first moment is the hexadecapole."""
    r = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [0, 0, 0]]) * 0.9
    q = np.array([1.0] * 6 + [-6.0])
    molecule = Structure.create(r, ["X"] * 7, charges=q)
    crystal = Structure.create(r, ["X"] * 7, cell=[15.0] * 3, charges=q)
    assert_allclose(of(P.Ewald.for_structure(crystal), crystal, total), of(P.Coulomb(), molecule, total), rtol=1e-8)


# -- cells that change -----------------------------------------------------------------------------


def test_a_cell_may_grow_until_wave_vectors_are_missing():
    structure = ions()
    ewald = P.Ewald.for_structure(structure, 1e-6)
    grown, too_large = structure.strain(0.15 * np.eye(3)), structure.strain(0.3 * np.eye(3))
    assert_allclose(of(ewald, grown, total), of(sum_of(0.9), grown, total), atol=1e-5)
    nl = ewald.neighbor_list(too_large)
    with pytest.raises(ValueError, match=r"`k_max` must be at least"):
        ewald(too_large, nl)
    with pytest.raises(ValueError, match=r"`k_max` must be at least \(8, 8, 9\)"):
        mff.energy_forces_stress(ewald)(too_large, nl)
    for part in efs(ewald, too_large, nl):
        assert np.isnan(part).all()
    larger = dataclasses.replace(ewald, k_max=K_MAX)
    expected = of(dataclasses.replace(sum_of(0.9), k_max=(20, 20, 20)), too_large, total)
    assert_allclose(of(larger, too_large, total), expected, atol=1e-5)


def test_relaxation_of_a_salt():
    """Rock salt with a repulsion B/r¹²: at the minimum the edge follows from Madelung's constant alone."""
    B = 2000.0
    repulsion = P.PairPotential(lambda r: B / r**12, cutoff=2.9, species=("X", "X"))
    # Per ion pair, 6 neighbours at d: −M C/d + 6 B/d¹²; so d¹¹ = 72 B/(M C).
    d = (72 * B / (ROCK_SALT * COULOMB)) ** (1 / 11)
    cell, places, charges, *_ = CRYSTALS["rock salt"]
    start = Structure.create(places, ["X", "X"], 2 * 1.08 * d * cell, fractional=True, charges=charges)
    ewald = P.Ewald.for_structure(start, 1e-6)
    result = mff.relax(ewald + repulsion, start, fmax=1e-5, cell=True, smax=1e-6)
    assert result.converged
    assert_allclose(result.structure.volume, 2 * d**3, rtol=1e-4)
    assert_allclose(result.energy, -ROCK_SALT * COULOMB / d * 11 / 12, rtol=1e-6)


# -- single precision ------------------------------------------------------------------------------


@pytest.mark.float32_too
def test_single_precision():
    """Parts cancel to about 1e-6 of the self energy, however small an error was asked for."""
    cell, places, charges, d, madelung = CRYSTALS["rock salt"]
    crystal = Structure.create(
        np.asarray(places, np.float32), ["X", "X"], 5.6 * cell, fractional=True, charges=charges
    ).repeat(2)
    ewald = P.Ewald.for_structure(crystal)
    nl = ewald.neighbor_list(crystal)
    energy = total(ewald, crystal, nl)
    assert energy.dtype == np.float32
    own = abs(float(P.EwaldSelf(ewald.eta)(crystal, nl)))
    assert abs(float(energy) + 8 * madelung * COULOMB / (d * 5.6)) < 1e-6 * own


# -- what is refused -------------------------------------------------------------------------------


def test_what_cannot_be_summed_is_refused():
    structure, ewald = ions(), sum_of(0.9)
    nl = ewald.neighbor_list(structure)
    neutral = dataclasses.replace(structure, charges=None)
    for energy in (ewald, *ewald.parts(structure)):
        with pytest.raises(ValueError, match=r"`structure` must have charges"):
            energy(neutral, nl)
    with pytest.raises(ValueError, match=r"`structure` must have charges"):
        P.Ewald.for_structure(neutral)
    for pbc in ((True, True, False), (False, False, True)):
        slab = dataclasses.replace(structure, pbc=pbc)
        with pytest.raises(ValueError, match=r"`structure` must be periodic along all three axes"):
            ewald(slab, ewald.neighbor_list(slab))
        with pytest.raises(ValueError, match=r"`structure` must be periodic along all three axes"):
            P.Ewald.for_structure(slab)
    with pytest.raises(ValueError, match=r"`structure` must not be periodic"):
        P.Coulomb()(structure, nl)
    with pytest.raises(ValueError, match=r"`eta`, `real_cutoff` and `reciprocal_cutoff` must be given"):
        P.Ewald()(structure, nl)
    with pytest.raises(ValueError, match=r"`neighbors` must be built for pbc"):
        P.Ewald()(dataclasses.replace(structure, pbc=(False,) * 3), nl)
    with pytest.raises(ValueError, match=r"`neighbors`.*cutoff"):
        ewald(structure, mff.neighbor_list(structure, 3.0))
    with pytest.raises(ValueError, match=r"`eta` must be positive"):
        dataclasses.replace(ewald, eta=-0.9)(structure, nl)
    assert np.isnan(jax.jit(lambda eta: P.EwaldSelf(eta)(structure, nl))(-0.9))
    with pytest.raises(ValueError, match=r"outside jit"):
        jax.jit(lambda s: P.Ewald.for_structure(s).eta)(structure)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("real_cutoff", lambda: P.Ewald(1.0, 0.0, 3.0)),
        ("reciprocal_cutoff", lambda: P.Ewald(1.0, 3.0, -1.0)),
        ("k_max", lambda: P.Ewald(1.0, 3.0, 3.0, k_max=(1, 2))),
        ("k_max", lambda: P.EwaldReciprocal(1.0, 3.0, k_max=(1, 2, 2.5))),
        ("cutoff", lambda: P.EwaldReal(1.0, 0.0)),
        ("accuracy", lambda: P.Ewald.for_structure(ions(), accuracy=0.0)),
    ],
)
def test_bad_parameters_are_named(name, make):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make()


def test_structures_without_any_charge():
    """Zero charges have no energy, and parameters can be chosen before charges are known."""
    structure = dataclasses.replace(ions(), charges=jnp.zeros(6))
    for ewald in (P.Ewald.for_structure(structure, 1e-4), sum_of(0.9)):
        assert of(ewald, structure, total) == 0
