"""Every energy through the same grid of derivatives and invariances."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import miniffx as mff
import systems
from miniffx import Structure
from miniffx import descriptors as D
from miniffx import potentials as P
from oracles import central_difference, quick_jit, tolerance
from systems import in_one_shape

SI, O = "Si", "O"
SW2 = {"epsilon": 2.0, "sigma": 1.9, "A": 7.0, "B": 0.6, "p": 4.0, "q": 0.5, "a": 1.8}
SW3 = {"epsilon": 0.5, "sigma": 1.9, "lam": 21.0, "gamma": 1.2, "cos_theta0": 0.1, "a": 1.75}


# Where an energy or one of its first two derivatives jumps, no difference may cross: no two atoms of any system are
# within 0.025 Å of these distances, Si and O of the first, any of the second.
SI_O_GAP, GAP = 3.75, 3.37


class SquaredDescriptors:
    """The sum of the squares of all descriptors: an energy that no potential of the library is."""

    def __init__(self, descriptors):
        self.descriptors = descriptors

    needs = property(lambda self: self.descriptors.needs)

    def __call__(self, structure, nl):
        return (self.descriptors(structure, nl) ** 2).sum()


jax.tree_util.register_pytree_node(
    SquaredDescriptors, lambda e: ((e.descriptors,), None), lambda _, children: SquaredDescriptors(*children)
)


def descriptor_set():
    return D.DescriptorSet(
        [
            D.G2(eta=0.3, r_shift=1.0, cutoff=GAP, species=(SI, SI)),
            D.G4(eta=0.02, zeta=1.5, lam=-1.0, cutoff=GAP, species=(SI, SI, O)),
            D.G4(eta=0.03, zeta=4, lam=1.0, cutoff=GAP, species=(O, SI, SI)),
            D.MomentInvariant((1, 1), (1, 2), cutoff=GAP, species=(SI, SI, O)),
            D.MomentInvariant((1, 2, 1), (1, 1, 1), cutoff=GAP, species=(O, SI, SI, SI)),
        ]
    )


def model():
    descriptors = [
        D.G2(eta=0.3, r_shift=1.0, cutoff=GAP, species=(SI, SI)),
        D.G2(eta=0.1, r_shift=0.0, cutoff=GAP, species=(SI, SI)),
        D.G4(eta=0.03, zeta=2, lam=1.0, cutoff=GAP, species=(O, SI, SI)),
    ]
    return mff.NNPotential.init(jax.random.key(0), D.DescriptorSet(descriptors), hidden=(5,), activation="tanh")


# Neither cutoff is crossed: no pair is near the one, and terms at the other are below 1e-16.
EWALD = P.Ewald(eta=1.2, real_cutoff=GAP, reciprocal_cutoff=14.5, k_max=(16, 16, 16))
MESH = P.Ewald(eta=1.2, real_cutoff=GAP, mesh=P.Mesh(spacing=0.4, points=(24, 24, 24), order=8))

TABLE = {SI: (0.3, 1.7), O: (0.2, 1.5)}

POTENTIALS = {
    "LennardJones": lambda: P.LennardJones(epsilon=0.3, sigma=1.7, cutoff=SI_O_GAP, species=(SI, O)),
    "LennardJones, shift": lambda: P.LennardJones(0.3, 1.7, cutoff=SI_O_GAP, species=(SI, O), truncation="shift"),
    "LennardJones, smooth": lambda: P.LennardJones(0.3, 1.7, cutoff=3.6, species=(SI, O), truncation="smooth"),
    "lennard_jones": lambda: P.lennard_jones(TABLE, cutoff=GAP, mixing="waldman-hagler"),
    "HarmonicRepulsion": lambda: P.HarmonicRepulsion(epsilon=3.0, radius=SI_O_GAP, species=(O, SI)),
    "Morse": lambda: P.Morse(0.4, 1.6, 1.9, cutoff=SI_O_GAP, species=(SI, O)),
    "Buckingham": lambda: P.Buckingham(A=900.0, rho=0.3, C=20.0, cutoff=3.6, species=(SI, O), truncation="smooth"),
    "ZBL": lambda: P.ZBL(inner=1.8, cutoff=3.6, species=(O, SI)),
    "StillingerWeberPair": lambda: P.StillingerWeberPair(**SW2, species=(O, SI)),
    "StillingerWeberTriple": lambda: P.StillingerWeberTriple(**SW3, species=(SI, O, SI)),
    "stillinger_weber": lambda: P.stillinger_weber(SI),
    "PairPotential": lambda: 0.7 * P.PairPotential(lambda r: jnp.exp(-r) * (3.5 - r) ** 3, cutoff=3.5, species=(SI, O)),
    "TriplePotential": lambda: (
        0.7
        * P.TriplePotential(
            lambda r1, r2, c: ((3.1 - r1) * (3.1 - r2)) ** 3 * (0.2 * r1 + c) ** 2, cutoff=3.1, species=(SI, SI, O)
        )
    ),
    "Sum": lambda: (
        0.5 * P.LennardJones(epsilon=0.3, sigma=1.7, cutoff=SI_O_GAP, species=(SI, O))
        - 2.0 * (P.StillingerWeberTriple(**SW3, species=(O, SI, SI)) + P.OnSite(energy=0.1, species=O))
    ),
    "Ewald": lambda: 0.7 * EWALD,
    "Ewald, mesh": lambda: 0.7 * MESH,
    "DescriptorSet": lambda: SquaredDescriptors(descriptor_set()),
    "NNPotential": model,
    "ChargedPotential": lambda: mff.ChargedPotential(
        P.LennardJones(epsilon=0.3, sigma=1.7, cutoff=SI_O_GAP, species=(SI, O)), mff.ChargeModel(model()), EWALD
    ),
}

# Those with an Ewald sum, which has two programs, for molecules and for crystals, and refuses slabs.
ELECTROSTATIC = ("Ewald", "Ewald, mesh", "ChargedPotential")

# Interpolated: derivatives are exact, but where atoms lie on the mesh matters a little, and forces that vanish by
# symmetry are what rounding leaves of parts of some eV/Å.
INTERPOLATED = {"Ewald, mesh": 1e-4}

efs = jax.jit(lambda energy, structure, nl: mff.energy_forces_stress(energy)(structure, nl))
e_of_batch = jax.jit(jax.vmap(lambda e, s, nl: e(s, nl), in_axes=(None, 0, 0)))
ef_of_batch = jax.jit(jax.vmap(lambda e, s, nl: mff.energy_and_forces(e)(s, nl), in_axes=(None, 0, 0)))


@quick_jit
def second(energy, structure, nl):
    """Hessian and ∂|F|²/∂parameters."""
    gradient = jax.grad(lambda energy: (mff.forces(energy)(structure, nl) ** 2).sum())(energy)
    return mff.hessian(energy)(structure, nl), gradient


# -- structures and what must not change them ------------------------------------------------------


def numbers(structure):
    return np.asarray(structure.positions, np.float64), np.asarray(structure.cell, np.float64)


CHARGES = {SI: 1.2, O: -0.7}  # and so most systems are charged


def charged(structure):
    charges = np.array([CHARGES[label] for label in structure.species], structure.positions.dtype)
    return dataclasses.replace(structure, charges=charges)


def rebuilt(structure, positions, cell, species=None):
    return charged(Structure.create(positions, species or structure.species, cell=cell, pbc=structure.pbc))


def rotated(structure):
    positions, cell = numbers(structure)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return rebuilt(structure, positions @ turn, cell @ turn)


def shifted(structure):
    positions, cell = numbers(structure)
    return rebuilt(structure, positions + np.array([0.7, -1.3, 2.1]), cell)


def translated_one_by_one(structure):
    positions, cell = numbers(structure)
    turns = np.random.default_rng(1).integers(-3, 4, size=positions.shape) * np.array(structure.pbc)
    return rebuilt(structure, positions + turns @ cell, cell)


def reversed_order(structure):
    positions, cell = numbers(structure)
    return rebuilt(structure, positions[::-1], cell, structure.species[::-1])


def unchanged(structure):
    return structure


VARIANTS = (unchanged, rotated, shifted, translated_one_by_one, reversed_order)


def supercell(structure):
    return structure.repeat((2, 1, 1))


@functools.cache
def grid(name):
    """The energy, and per system its variants, in few shapes: {system: [(original, structure, list), ...]}."""
    energy = jax.tree.map(lambda leaf: np.asarray(leaf, jnp.result_type(float)), POTENTIALS[name]())
    ewald = name in ELECTROSTATIC
    makers = [make for make in systems.resolved() if not (ewald and make is systems.slab)]
    originals = [(make, variant(charged(make()))) for make in makers for variant in VARIANTS]
    originals += [(make, supercell(charged(make()))) for make in makers if make is systems.left_handed]
    staged = in_one_shape([original for _, original in originals], energy, any_axes=not ewald)
    result = {}
    for (make, original), (structure, nl) in zip(originals, staged, strict=True):
        result.setdefault(make.__name__, []).append((original, structure, nl))
    return energy, result


def each_system(name):
    energy, staged = grid(name)
    for system, variants in staged.items():
        yield system, energy, *variants[0]


every_potential = pytest.mark.parametrize("name", POTENTIALS)


def assert_close(found, expected, rtol, message, floor=1e-6):
    scale = max(np.abs(expected).max(initial=0), floor)
    assert_allclose(found, expected, rtol=0, atol=rtol * scale, err_msg=message)


@every_potential
def test_the_grid_is_not_empty(name):
    """Every energy sees forces in most systems; otherwise the tests below would compare zeros."""
    forces = [np.abs(efs(energy, s, nl)[1]).max() for _, energy, _, s, nl in each_system(name)]
    assert sum(force > 1e-3 for force in forces) >= 5
    assert np.isfinite(forces).all()


# Steps of central differences of fourth order, in Å and in strain. Their own error is below 1e-7 of the largest slope,
# and so the rest is rounding: that of energies of tens of eV, over the step.
STEP, STRAIN = tolerance(5e-4, 2**-7), tolerance(5e-4, 2**-9)


@pytest.mark.float32_too
@every_potential
def test_forces_and_hessian(name):
    """F = −∂E/∂r and H = −∂F/∂r by central differences, in all components."""
    for system, energy, original, structure, nl in each_system(name):
        n = original.n_atoms

        def energy_and_forces(real, structure=structure, nl=nl, energy=energy, n=n):
            positions = np.asarray(structure.positions).copy()
            positions[:n] = real
            value, forces, _ = efs(energy, dataclasses.replace(structure, positions=positions), nl)
            return np.concatenate([[value], np.asarray(forces)[:n].ravel()])

        slopes = central_difference(energy_and_forces, np.asarray(structure.positions)[:n], STEP, order=4)
        _, forces, _ = efs(energy, structure, nl)
        hessian, _ = second(energy, structure, nl)
        rtol = tolerance(1e-7 if system != "far_outside" else 1e-6, 1e-3)
        # An Ewald sum is what remains of parts of a hundred eV, each rounded: in single precision, differences over a
        # step are good to some meV/Å, and second derivatives to some 1e-5 eV/Å².
        cancelled = tolerance(1.0 if name in INTERPOLATED else 0.0, 4.0) if name in ELECTROSTATIC else 0.0
        assert_close(
            forces[:n], -slopes[:, :, 0], rtol, f"forces of {system}", floor=cancelled or tolerance(1e-3, 1e-2)
        )
        expected = -slopes[:, :, 1:].reshape(n, 3, n, 3)
        assert_close(
            np.asarray(hessian)[:n, :, :n],
            expected,
            rtol,
            f"Hessian of {system}",
            floor=max(cancelled * (name in INTERPOLATED), tolerance(1e-2, 0.1)),
        )
        matrix = np.asarray(hessian).reshape(3 * structure.n_atoms, -1)
        symmetric = tolerance(1e-12 if system != "far_outside" else 1e-9, 1e-5)
        assert_close(matrix, matrix.T, symmetric, f"symmetry of the Hessian of {system}", floor=cancelled or 1e-2)


@pytest.mark.float32_too
@every_potential
def test_stress(name):
    """σ = (1/V) ∂E/∂ε at r → (1 + ε) r, by central differences in all nine components of ε."""
    for system, energy, original, structure, nl in each_system(name):
        volume = float(original.volume)
        value, _, stress = efs(energy, structure, nl)
        if volume == 0:
            assert np.isnan(stress).all()
            continue

        def strained(eps, structure=structure, nl=nl, energy=energy):
            return efs(energy, structure.strain(eps), nl)[0]

        expected = central_difference(strained, np.zeros((3, 3)), STRAIN, order=4) / volume
        rtol = tolerance(1e-7 if system != "far_outside" else 1e-5, 1e-3)
        assert_close(
            stress, expected, rtol, f"stress of {system}", floor=1e-3 * abs(value) / volume + tolerance(1e-9, 1e-4)
        )
        symmetric = tolerance(1e-12 if system != "far_outside" else 1e-9, 1e-5)
        assert_close(stress, np.asarray(stress).T, symmetric, f"symmetry of the stress of {system}")


@pytest.mark.float32_too
@every_potential
def test_forces_sum_to_zero(name):
    for system, energy, _, structure, nl in each_system(name):
        _, forces, _ = efs(energy, structure, nl)
        scale = max(np.abs(forces).max(), float(name in INTERPOLATED))
        rtol = max(tolerance(1e-11, 2e-4), INTERPOLATED.get(name, 0))
        assert_allclose(np.asarray(forces).sum(axis=0), 0, atol=rtol * scale + 1e-6, err_msg=system)


@pytest.mark.float32_too
@every_potential
def test_invariances(name):
    """Rotation, translation, lattice translation of single atoms, permutation, with lists of their own."""
    energy, staged = grid(name)
    floor = 1.0 if name in INTERPOLATED else 1e-3
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    for system, variants in staged.items():
        results = [[np.asarray(part) for part in efs(energy, s, nl)] for _, s, nl in variants[: len(VARIANTS)]]
        e, f, s = results[0]
        n = variants[0][0].n_atoms
        expected = [
            (e, f, s),
            (e, f @ turn, turn.T @ s @ turn),
            (e, f, s),
            (e, f, s),
            (e, np.concatenate([f[:n][::-1], f[n:]]), s),
        ]
        rtol = tolerance(1e-11 if system != "far_outside" else 1e-8, 5e-4)
        for found, wanted, variant in zip(results, expected, VARIANTS, strict=True):
            if variant is shifted:
                rtol = max(rtol, INTERPOLATED.get(name, 0))
            for a, b, what in zip(found, wanted, ("energy", "forces", "stress"), strict=True):
                if np.isnan(b).all():
                    assert np.isnan(a).all()
                else:
                    assert_close(a, b, rtol, f"{what} of {system}, {variant.__name__}", floor=floor)
        assert not f[n:].any(), "padding atoms have no forces"


@pytest.mark.float32_too
@every_potential
def test_supercells_are_extensive(name):
    energy, staged = grid(name)
    (_, one, nl_one), *_, (large, two, nl_two) = staged["left_handed"]
    assert large.n_atoms == 6
    (e1, f1, s1), (e2, f2, s2) = efs(energy, one, nl_one), efs(energy, two, nl_two)
    rtol = max(tolerance(1e-12, 1e-4), INTERPOLATED.get(name, 0))
    assert_close(e2, 2 * e1, rtol, "energy")
    assert_close(f2[:6], np.concatenate([f1[:3], f1[:3]]), 10 * rtol, "forces")
    assert_close(s2, s1, 10 * rtol, "stress")


@pytest.mark.float32_too
@every_potential
def test_a_batch_of_different_structures(name):
    """vmap over stacked structures of different sizes equals the single ones, each with a list of its own."""
    energy, _ = grid(name)
    makers = (systems.one_atom, systems.two_species, systems.left_handed, systems.silicon, systems.thin)
    singles = [charged(make()) for make in makers]
    batch = mff.stack(singles)
    nl = energy.needs.neighbor_list(batch)
    if name in ("Sum", "NNPotential"):  # for others, forces of a batch would only cost compilations
        energies, forces = ef_of_batch(energy, batch, nl)
        assert forces.shape == (5, 8, 3)
    else:
        energies, forces = e_of_batch(energy, batch, nl), None
    assert energies.shape == (5,)
    _, staged = grid(name)
    rtol = tolerance(1e-11, 1e-4)
    for b, single in enumerate(singles):
        system = ("one_atom", "two_species", "left_handed", "silicon", "thin")[b]
        _, structure, nl = staged[system][0]
        e, f, _ = efs(energy, structure, nl)
        assert_close(energies[b], e, rtol, f"energy of {system}")
        if forces is not None:
            assert_close(forces[b], f, rtol, f"forces of {system}")
            assert not np.asarray(forces[b, single.n_atoms :]).any()


@every_potential
def test_gradient_in_parameters_of_the_squared_forces(name):
    """∂|F|²/∂p, what training on forces needs: finite, and along random directions equal to central differences."""
    rng = np.random.default_rng(0)
    for system, energy, _, structure, nl in each_system(name):
        _, gradient = second(energy, structure, nl)
        leaves, tree = jax.tree.flatten(energy)
        slopes = [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)]
        assert len(slopes) == len(leaves) > 0
        assert all(np.isfinite(slope).all() for slope in slopes)
        direction = [rng.normal(size=leaf.shape) * np.maximum(np.abs(leaf), 0.1) for leaf in leaves]

        def squared(t, leaves=leaves, direction=direction, tree=tree, structure=structure, nl=nl):
            moved = [leaf + t * d for leaf, d in zip(leaves, direction, strict=True)]
            return (np.asarray(efs(jax.tree.unflatten(tree, moved), structure, nl)[1]) ** 2).sum()

        expected = central_difference(squared, 0.0, 1e-4, order=4)
        found = sum((slope * d).sum() for slope, d in zip(slopes, direction, strict=True))
        terms = [np.abs(slope * d).max() for slope, d in zip(slopes, direction, strict=True)]
        scale = max(terms, default=1e-6)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * scale + 1e-9, err_msg=system)


# -- the functions themselves ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def lennard_jones():
    return P.LennardJones(epsilon=0.3, sigma=1.7, cutoff=3.6, species=(SI, O))


def test_one_function_per_question(lennard_jones):
    energy, staged = grid("LennardJones")
    _, structure, nl = staged["two_species"][0]
    expected = efs(energy, structure, nl)
    e, f, s = expected
    assert (e.shape, f.shape, s.shape) == ((), (8, 3), (3, 3))
    found = (
        *jax.jit(mff.energy_and_forces(energy))(structure, nl),
        jax.jit(mff.forces(energy))(structure, nl),
        jax.jit(mff.stress(energy))(structure, nl),
    )
    for a, b in zip(found, (e, f, f, s), strict=True):
        assert_allclose(a, b, rtol=1e-13, atol=1e-14)
    # Attraction and tension: pulled apart beyond the minimum, forces point inwards and the stress is positive.
    far = mff.Structure.create([[0, 0, 0], [0, 0, 2.6]], [SI, O], cell=[12.0] * 3)
    value, force, stress = efs(lennard_jones, far, lennard_jones.neighbor_list(far))
    assert value < 0
    assert force[0, 2] > 0 > force[1, 2]
    assert_allclose(stress[2, 2] * far.volume, force[0, 2] * 2.6, rtol=1e-12)
    assert_allclose(stress[0, 0], 0, atol=1e-15)


@pytest.mark.parametrize("cell", [None, [[3.0, 0, 0], [0, 3.0, 0], [3.0, 3.0, 0]]])
def test_no_stress_without_a_volume(cell, lennard_jones):
    structure = Structure.create([[0, 0, 0], [0, 0, 1.8]], [SI, O], cell=cell, pbc=False)
    nl = lennard_jones.neighbor_list(structure)
    for take in (mff.stress, mff.energy_forces_stress):
        with pytest.raises(ValueError, match=r"`structure`.*cell"):
            take(lennard_jones)(structure, nl)
    energy, forces, stress = efs(lennard_jones, structure, nl)
    assert np.isfinite(energy)
    assert np.isfinite(forces).all()
    assert np.isnan(stress).all()


def test_any_callable_is_an_energy():
    def spring(structure, nl):
        return 0.5 * ((structure.positions[1] - structure.positions[0]) ** 2).sum()

    structure = Structure.create([[0.1, 0, 0], [1.0, 2.0, 2.0]], ["A", "B"], cell=[5.0] * 3)
    nl = mff.neighbor_list(structure, 1.0)
    pull = np.array([0.9, 2.0, 2.0])
    e, f, s = jax.jit(mff.energy_forces_stress(spring))(structure, nl)
    assert_allclose(e, 0.5 * pull @ pull)
    assert_allclose(f, [pull, -pull], rtol=1e-14)
    assert_allclose(s, np.outer(pull, pull) / 125, rtol=1e-14)
    expected = np.kron([[1, -1], [-1, 1]], np.eye(3)).reshape(2, 3, 2, 3)
    assert_allclose(jax.jit(mff.hessian(spring))(structure, nl), expected, atol=1e-14)
