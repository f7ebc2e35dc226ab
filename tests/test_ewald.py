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
from miniffx.potentials.ewald import coulomb, estimates, structure_factors
from oracles import central_difference, quick_jit, tolerance

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


# -- on a mesh -------------------------------------------------------------------------------------


def on_mesh(eta, spacing, points, order=8):
    return P.Ewald(eta=eta, real_cutoff=7.6, mesh=P.Mesh(spacing, points, order))


def random_charges(n, seed=0):
    rng = np.random.default_rng(seed)
    cell = np.array([[9.0, 0, 0], [4, 7, 0], [-3, 2, 12]]) * (n / 60) ** (1 / 3)
    return Structure.create(rng.random((n, 3)), ["X"] * n, cell, fractional=True, charges=rng.normal(size=n))


@pytest.mark.float32_too
@pytest.mark.parametrize(("order", "points", "close"), [(8, (36, 36, 40), 1e-8), (5, (32, 30, 36), 1e-4)])
def test_a_mesh_gives_the_same(order, points, close):
    """Energy, forces, stress, energies of atoms of a charged cell, atoms outside of it and padding among them."""
    structure = ions()
    expected = of(sum_of(0.9), structure)
    turns = np.random.default_rng(0).integers(-2, 3, (6, 3))
    moved = dataclasses.replace(structure, positions=structure.positions + turns @ np.asarray(structure.cell)).pad(9)
    moved = dataclasses.replace(moved, charges=moved.charges.at[6:].set(7.0))
    found = of(on_mesh(0.9, 0.2, points, order), moved)
    assert not found[1][6:].any()
    assert not found[3][6:].any()
    for a, b in zip((found[0], found[1][:6], found[2], found[3][:6]), expected, strict=True):
        assert_allclose(a, b, atol=tolerance(close, max(close, 1e-4)) * np.abs(b).max())


def test_derivatives_are_those_of_the_energy_on_the_mesh():
    """However coarse it is: forces, stress, Hessian, potentials, by central differences."""
    structure, ewald = ions(), on_mesh(0.9, 0.75, (8, 9, 10), order=6)
    nl = mff.neighbor_list(structure, 8.0)
    energy, forces, stress, atomic = everything(ewald, structure, nl)
    assert abs(energy - of(sum_of(0.9), structure, total)) > 1e-4
    positions = np.asarray(structure.positions)

    def moved(positions):
        value, forces = total_and_forces(ewald, dataclasses.replace(structure, positions=positions), nl)
        return np.concatenate([[value], np.asarray(forces).ravel()])

    slopes = central_difference(moved, positions, 2e-3, order=4)
    assert_allclose(forces, -slopes[:, :, 0], atol=1e-7)
    assert_allclose(quick_jit(mff.hessian(ewald))(structure, nl), -slopes[:, :, 1:].reshape(6, 3, 6, 3), atol=1e-5)
    strained = central_difference(lambda e: total(ewald, structure.strain(e), nl), np.zeros((3, 3)), 1e-3, order=4)
    assert_allclose(stress, strained / structure.volume, atol=1e-8)
    assert_allclose(atomic.sum(), energy, rtol=1e-12)
    _, potentials = total_and_charge_gradient(ewald, structure, nl)
    assert_allclose(atomic, structure.charges * potentials / 2, rtol=1e-10)


@pytest.mark.parametrize(("order", "points"), [(4, (36, 36, 48)), (8, (20, 18, 27))])
def test_the_error_of_a_mesh_is_the_estimated_one(order, points):
    """RMS error of the forces of charges anywhere. Without the correction for what they feel of themselves: 1.5."""
    structure = random_charges(60)
    cell = np.asarray(structure.cell)
    spacing = max(np.linalg.norm(cell, axis=1) / points)
    exact, mesh = P.EwaldReciprocal(0.45, 8.0, (20, 20, 24)), P.EwaldMesh(0.45, P.Mesh(spacing, points, order))
    (_, expected), (_, found) = (of(energy, structure, total_and_forces) for energy in (exact, mesh))
    charges = estimates.Charges(float((structure.charges**2).sum()), 60, cell)
    estimated = estimates.mesh_error(charges, 0.45, spacing, order)
    assert 0.6 < np.sqrt(((found - expected) ** 2).sum(axis=1).mean()) / estimated < 1.3


@pytest.mark.float32_too
def test_many_charges_have_a_mesh():
    """The cheapest sum for a thousand charges and moderate accuracy is on a mesh, and as good as asked for."""
    structure = random_charges(1000)
    chosen, exact = P.Ewald.for_structure(structure, 1e-3), P.Ewald(0.4, 14.0, 4.5, k_max=(30, 30, 30))
    assert chosen.mesh is not None
    (e0, f0, s0), (e, f, s) = (of(ewald, structure, efs) for ewald in (exact, chosen))
    assert np.sqrt(((f - f0) ** 2).sum(axis=1).mean()) < 1e-3
    assert abs(e - e0) < tolerance(1e-3, 1e-2) * 1000
    assert np.abs(s - s0).max() * float(structure.volume) < tolerance(2e-3, 2e-2) * 1000


def test_a_batch_shares_a_mesh_which_is_saved(tmp_path):
    singles = [ions(), ions(4, charged=False, seed=1).strain(np.diag([0.1, 0, -0.1]))]
    batch = mff.stack(singles)
    mff.io.save_model(on_mesh(0.9, 0.2, (40, 36, 40)), tmp_path / "mesh.model")
    ewald = mff.io.load_model(tmp_path / "mesh.model")
    assert ewald.mesh == P.Mesh(0.2, (40, 36, 40), 8)
    energies = jax.jit(jax.vmap(lambda s, nl: ewald(s, nl)))(batch, ewald.needs.neighbor_list(batch))
    for energy, single in zip(energies, singles, strict=True):
        assert_allclose(energy, of(sum_of(0.9), single, total), atol=1e-7)


def test_a_cell_may_grow_as_far_as_the_mesh_allows():
    structure, ewald = ions(), on_mesh(0.9, 0.2, (32, 32, 36))
    grown, too_large = structure.strain(0.1 * np.eye(3)), structure.strain(0.3 * np.eye(3))
    assert_allclose(of(ewald, grown, total), of(sum_of(0.9), grown, total), atol=1e-6)
    with pytest.raises(ValueError, match=r"`points` of the mesh must be at least \(36, 34, 40\)"):
        ewald(too_large, ewald.neighbor_list(too_large))
    assert np.isnan(of(ewald, too_large, total))


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
    with pytest.raises(ValueError, match=r"`k_max` must be at least \(6, 6, 7\)"):
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
    with pytest.raises(ValueError, match=r"`eta`, `real_cutoff` and `reciprocal_cutoff` \(or a `mesh`\) must be given"):
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
        ("reciprocal_cutoff", lambda: P.Ewald(1.0, 3.0, 3.0, mesh=P.Mesh(0.5, (9, 9, 9)))),
        ("mesh", lambda: P.Ewald(1.0, 3.0, mesh=(9, 9, 9))),
        ("spacing", lambda: P.Mesh(0.0, (9, 9, 9))),
        ("points", lambda: P.Mesh(0.5, (9, 9, 5))),
        ("points", lambda: P.Mesh(0.5, (9, 9.0, 9))),
        ("order", lambda: P.Mesh(0.5, (9, 9, 9), order=3)),
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
