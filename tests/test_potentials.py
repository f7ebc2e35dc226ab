"""Potentials: their formulas in plain sums, reference kernels, the literature on silicon, and composition."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa
from numpy.testing import assert_allclose, assert_array_equal

import miniffx as mff
import systems
from miniffx import Structure
from miniffx import potentials as P
from oracles import central_difference, pair_energies, tolerance, triple_energies
from systems import in_one_shape

# One compiled program per potential and shape, shared by all tests of this file.
total = jax.jit(lambda energy, structure, nl: energy(structure, nl))
total_and_atomic = jax.jit(lambda energy, structure, nl: (energy(structure, nl), energy.atomic(structure, nl)))
value_and_forces = jax.jit(lambda energy, structure, nl: mff.energy_and_forces(energy)(structure, nl))
everything = jax.jit(
    lambda energy, structure, nl: (*mff.energy_and_forces(energy)(structure, nl), energy.atomic(structure, nl))
)

# -- the formulas as printed, in NumPy -------------------------------------------------------------


def lj(r, epsilon, sigma):
    return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)


def sw2(r, epsilon, sigma, A, B, p, q, a):
    x = r / sigma
    return epsilon * A * (B * x**-p - x**-q) * np.exp(1 / (x - a))


def sw3(r1, r2, cos_theta, epsilon, sigma, lam, gamma, cos_theta0, a):
    x1, x2 = r1 / sigma, r2 / sigma
    return epsilon * lam * (cos_theta - cos_theta0) ** 2 * np.exp(gamma / (x1 - a) + gamma / (x2 - a))


SW2 = {"epsilon": 2.0, "sigma": 1.9, "A": 7.0, "B": 0.6, "p": 4.0, "q": 0.5, "a": 1.85}
SW3 = {"epsilon": 2.0, "sigma": 1.9, "lam": 21.0, "gamma": 1.2, "cos_theta0": 0.3, "a": 1.75}
LJ = {"epsilon": 0.4, "sigma": 1.7}

CASES = {
    "lj Si-Si": (
        lambda: P.LennardJones(**LJ, cutoff=3.6, species=("Si", "Si")),
        lambda s: pair_energies(s, ("Si", "Si"), 3.6, lambda r: lj(r, **LJ)),
    ),
    "lj Si-O": (
        lambda: P.LennardJones(**LJ, cutoff=3.6, species=("Si", "O")),
        lambda s: pair_energies(s, ("Si", "O"), 3.6, lambda r: lj(r, **LJ)),
    ),
    "sw2 O-Si": (
        lambda: P.StillingerWeberPair(**SW2, species=("O", "Si")),
        lambda s: pair_energies(s, ("O", "Si"), 1.9 * 1.85, lambda r: sw2(r, **SW2)),
    ),
    "sw3 Si-Si-Si": (
        lambda: P.StillingerWeberTriple(**SW3, species=("Si", "Si", "Si")),
        lambda s: triple_energies(s, ("Si",) * 3, 1.9 * 1.75, lambda *t: sw3(*t, **SW3)),
    ),
    "sw3 O-Si-O": (
        lambda: P.StillingerWeberTriple(**SW3, species=("O", "Si", "O")),
        lambda s: triple_energies(s, ("O", "Si", "O"), 1.9 * 1.75, lambda *t: sw3(*t, **SW3)),
    ),
    "pair O-O": (
        lambda: P.PairPotential(lambda r: jnp.exp(-r) * (4.0 - r), cutoff=3.9, species=("O", "O")),
        lambda s: pair_energies(s, ("O", "O"), 3.9, lambda r: np.exp(-r) * (4.0 - r)),
    ),
    # Two different neighbours: the first leg is the first neighbour's, in either order of the labels.
    "triple Si-O-Si": (
        lambda: P.TriplePotential(
            lambda r1, r2, c: (r1 + 3 * r2**2) * jnp.exp(c), cutoff=3.0, species=("Si", "O", "Si")
        ),
        lambda s: triple_energies(s, ("Si", "O", "Si"), 3.0, lambda r1, r2, c: (r1 + 3 * r2**2) * np.exp(c)),
    ),
    "triple Si-Si-O": (
        lambda: P.TriplePotential(
            lambda r1, r2, c: (r1 + 3 * r2**2) * jnp.exp(c), cutoff=3.0, species=("Si", "Si", "O")
        ),
        lambda s: triple_energies(s, ("Si", "Si", "O"), 3.0, lambda r1, r2, c: (r1 + 3 * r2**2) * np.exp(c)),
    ),
    "on-site O": (
        lambda: P.OnSite(energy=-1.5, species="O"),
        lambda s: np.where(np.array(s.species) == "O", -1.5, 0.0),
    ),
    "sum": (
        lambda: (
            P.LennardJones(**LJ, cutoff=3.6, species=("Si", "O"))
            + 0.5 * P.StillingerWeberTriple(**SW3, species=("O", "Si", "Si"))
            - P.OnSite(energy=-1.5, species="Si")
        ),
        lambda s: (
            pair_energies(s, ("Si", "O"), 3.6, lambda r: lj(r, **LJ))
            + 0.5 * triple_energies(s, ("O", "Si", "Si"), 1.9 * 1.75, lambda *t: sw3(*t, **SW3))
            + np.where(np.array(s.species) == "Si", 1.5, 0.0)
        ),
    ),
}


@pytest.mark.float32_too
@pytest.mark.parametrize("case", CASES)
def test_energies_are_plain_sums(case):
    make, oracle = CASES[case]
    energy = make()
    seen = 0
    structures = [make() for make in systems.resolved()]
    for original, (structure, nl) in zip(structures, in_one_shape(structures, energy), strict=True):
        expected = oracle(original)
        value, found = map(np.asarray, total_and_atomic(energy, structure, nl))
        scale = np.abs(expected).max(initial=1e-3)
        assert_allclose(found[: original.n_atoms], expected, rtol=0, atol=tolerance(2e-10, 2e-5) * scale)
        assert not found[original.n_atoms :].any()
        assert_allclose(value, expected.sum(), rtol=0, atol=tolerance(1e-9, 1e-4) * scale)
        seen += bool(expected.any())
    assert seen >= 4


# -- reference kernels -----------------------------------------------------------------------------
#
# A value there is v_i = the sum over the ordered neighbours of atom i with the labels of the tag, centre first:
#   pair A-A:     our energy of atom i is ½ v_i, and the total ½ Σ v: there, both ends count the pair in full.
#   pair A-B:     Σ v over the A atoms counts each pair once, so the total is Σ v. Ours gives half to either end:
#                 atoms A have ½ v of the tag A-B, atoms B ½ v of the tag B-A.
#   triple A-B-B: there (j, k) and (k, j) both count, so that ours are ½ v_i and ½ Σ v.
#   triple A-B-C: counted once, as ours.
# Cutoffs of lj, sw2 and sw3 are in units of sigma there.


def reference_structures(miniff):
    return {
        name: Structure.create(s["fractional"], s["species"], cell=s["cell"], pbc=s["pbc"], fractional=True)
        for name, s in miniff["structures"].items()
    }


def reference_energy(family, tag, parameters):
    parameters, species = dict(parameters), tuple(tag.split("-"))
    if family == "lj":
        cutoff = parameters["a"] * parameters["sigma"]
        return P.LennardJones(parameters["epsilon"], parameters["sigma"], cutoff=cutoff, species=species)
    if family == "sw2":
        A, B = parameters.pop("gauge_a"), parameters.pop("gauge_b")
        return P.StillingerWeberPair(A=A, B=B, **parameters, species=species)
    return P.StillingerWeberTriple(lam=parameters.pop("l"), **parameters, species=species)


@pytest.mark.parametrize(
    ("family", "tag"),
    [(family, tag) for family in ("lj", "sw2") for tag in ("A-A", "A-B", "B-A")]
    + [("sw3", tag) for tag in ("A-A-A", "A-A-B", "A-B-B", "B-A-B")],
)
def test_reference_kernels(miniff, family, tag):
    structures = reference_structures(miniff)
    cases = {c["structure"]: c for c in miniff["cases"] if (c["family"], c["tag"]) == (family, tag)}
    mirror = "-".join(reversed(tag.split("-"))) if family != "sw3" else None
    mirrored = {c["structure"]: c for c in miniff["cases"] if (c["family"], c["tag"]) == (family, mirror)}
    assert list(cases) == list(structures)
    energy = reference_energy(family, tag, cases["box-24"]["parameters"])
    center, *others = tag.split("-")
    twice = center == others[0] if family != "sw3" else others[0] == others[1]
    weight = 0.5 if twice else 1.0
    for (name, plain), (structure, nl) in zip(
        structures.items(), in_one_shape(list(structures.values()), energy), strict=True
    ):
        value, force, parts = everything(energy, structure, nl)
        n, values = plain.n_atoms, np.array(cases[name]["values"])
        gradient = np.array(cases[name]["gradient_of_sum"])
        scale = max(np.abs(values).max(), 1e-9)
        assert_allclose(value, weight * values.sum(), rtol=0, atol=1e-12 * scale)
        slope = np.abs(gradient).max(initial=scale)
        assert_allclose(-force[:n], weight * gradient, rtol=0, atol=1e-11 * slope)
        if family == "sw3":
            expected = weight * values
        elif twice:
            expected = 0.5 * values
        else:
            expected = 0.5 * (values + np.array(mirrored[name]["values"]))
        assert_allclose(parts[:n], expected, rtol=0, atol=1e-12 * scale)
    assert np.abs(cases["box-24"]["values"]).max() > 0.01


# -- silicon ---------------------------------------------------------------------------------------


def silicon(a=5.431):
    return Structure.from_ase(bulk("Si", "diamond", a=a))


def energy_per_volume(structure, eps):
    """Energy density in eV/Å³ of the Stillinger–Weber crystal under a strain, atoms following affinely: plain sums."""
    p = {"epsilon": 2.1683, "sigma": 2.0951, "a": 1.80}
    cutoff = p["a"] * p["sigma"]
    strained = structure.strain(eps)
    pair = pair_energies(
        strained, ("Si", "Si"), cutoff, lambda r: sw2(r, **p, A=7.049556277, B=0.6022245584, p=4.0, q=0.0)
    )
    triple = triple_energies(
        strained, ("Si",) * 3, cutoff, lambda *t: sw3(*t, **p, lam=21.0, gamma=1.2, cos_theta0=-1 / 3)
    )
    return (pair.sum() + triple.sum()) / float(structure.volume)


def test_silicon_of_stillinger_and_weber():
    """−2ε per atom at rest: Stillinger and Weber, Phys. Rev. B 31, 5262 (1985), section III; a₀ = 5.431 Å."""
    sw = P.stillinger_weber("Si")
    structure = silicon()
    nl = mff.neighbor_list(structure, 3.9, triple_cutoff=3.9)
    run = jax.jit(mff.energy_forces_stress(sw))
    energy, force, stress = run(structure, nl)
    assert_allclose(energy / 2, -4.3366, atol=1e-4)
    assert_allclose(energy / 2, energy_per_volume(structure, np.zeros((3, 3))) * structure.volume / 2, rtol=1e-12)
    assert_allclose(force, 0, atol=1e-12)
    assert_allclose(stress, 0, atol=1e-3 * GPa * 100)
    # Where the stress is zero: by the secant through two lattice constants.
    a, pull = np.array([5.42, 5.44]), []
    for edge in a:
        scaled = dataclasses.replace(
            structure, positions=structure.positions * (edge / 5.431), cell=structure.cell * (edge / 5.431)
        )
        pull.append(float(jnp.trace(run(scaled, nl)[2])))
    assert pull[0] < 0 < pull[1]
    assert_allclose(a[0] - pull[0] * (a[1] - a[0]) / (pull[1] - pull[0]), 5.431, atol=5e-4)


def test_elastic_constants_of_silicon():
    """E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988): C11 = 151.4, C12 = 76.4, C44 = 56.4 GPa.

    With clamped atoms C44 is 109.7 GPa, by second differences of plain sums that have nothing to do with the library.
    """
    sw, structure = P.stillinger_weber("Si"), silicon()
    C = np.asarray(mff.elastic_constants(sw, structure)) / GPa
    assert_allclose(C[0, 0], 151.4, atol=0.15)
    assert_allclose(C[0, 1], 76.4, atol=0.15)
    assert_allclose(C[3, 3], 56.4, atol=0.15)
    cubic = np.zeros((6, 6))
    cubic[:3, :3] = C[0, 1]
    cubic[range(3), range(3)] = C[0, 0]
    cubic[range(3, 6), range(3, 6)] = C[3, 3]
    assert_allclose(C, cubic, atol=1e-8)

    clamped = np.asarray(mff.elastic_constants(sw, structure, relaxed=False)) / GPa
    assert_allclose(clamped[:3, :3], C[:3, :3], atol=1e-8)

    def density(eps):
        return energy_per_volume(structure, eps) / GPa

    h = 1e-3
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = h / 2
    c44 = (density(shear) - 2 * density(0 * shear) + density(-shear)) / h**2
    stretch = np.diag([h, 0, 0])
    c11 = (density(stretch) - 2 * density(0 * shear) + density(-stretch)) / h**2
    assert_allclose(clamped[3, 3], c44, rtol=1e-4)
    assert_allclose(clamped[0, 0], c11, rtol=1e-3)
    assert_allclose(c44, 109.7, atol=0.1)


def test_no_elastic_constants_without_a_volume():
    with pytest.raises(ValueError, match="`structure`"):
        mff.elastic_constants(P.stillinger_weber("Si"), systems.molecule())


def test_published_parameters():
    sw = P.stillinger_weber("Si")
    assert_allclose(sw.cutoff, 1.8 * 2.0951)
    assert [type(term) for term in sw.terms] == [P.StillingerWeberPair, P.StillingerWeberTriple]
    with pytest.raises(ValueError, match=r"`species`.*'Xx'"):
        P.stillinger_weber("Xx")


# -- composition -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def terms():
    return (
        P.LennardJones(**LJ, cutoff=3.6, species=("Si", "O")),
        P.PairPotential(lambda r: jnp.exp(-r), cutoff=3.5, species=("Si", "Si")),
        P.StillingerWeberTriple(**SW3, species=("Si", "O", "O")),
    )


@pytest.fixture(scope="module")
def molecule():
    return systems.molecule()


@pytest.fixture(scope="module")
def long_list(molecule):
    return mff.neighbor_list(molecule, 4.0, triple_cutoff=4.0)


def test_composition(terms, molecule, long_list):
    a, b, c = terms
    e_a, e_b, e_c = values = [float(total(term, molecule, long_list)) for term in terms]
    assert all(abs(value) > 1e-3 for value in values)
    half = np.float64(0.5)
    for energy, expected in [
        (a + b, e_a + e_b),
        (a + b + c, e_a + e_b + e_c),
        (a + (b + c), e_a + e_b + e_c),
        (sum(terms), e_a + e_b + e_c),
        (sum([a]), e_a),
        (0.5 * a, e_a / 2),
        (a * 0.5, e_a / 2),
        (half * a, e_a / 2),
        (a * jnp.float32(0.5), e_a / 2),
        (jnp.asarray(0.5) * a, e_a / 2),
        (2 * (a + 3 * b), 2 * e_a + 6 * e_b),
        (-a, -e_a),
        (a - b, e_a - e_b),
        (a - (b - c), e_a - e_b + e_c),
    ]:
        assert isinstance(energy, P.Energy)
        value, parts = total_and_atomic(energy, molecule, long_list)
        assert_allclose(value, expected, rtol=1e-12)
        assert_allclose(parts.sum(), expected, rtol=1e-12)


def test_a_sum_asks_for_what_its_terms_need(terms, molecule):
    a, b, c = terms
    assert (a.cutoff, b.cutoff, (a + b).cutoff, (0.1 * b).cutoff) == (3.6, 3.5, 3.6, 3.5)
    assert_allclose(c.cutoff, 1.9 * 1.75)
    nl = (a + b).neighbor_list(molecule)
    assert (nl.cutoff, nl.triple_cutoff) == (3.6, None)
    nl = sum(terms).neighbor_list(molecule, skin=0.2)
    assert nl.cutoff == 3.6
    assert_allclose(nl.triple_cutoff, 1.9 * 1.75)
    assert (nl.closed, nl.skin, nl.triple_species) == (False, 0.2, frozenset({("Si", "O", "O")}))
    on_site = P.OnSite(energy=1.0, species="Si")
    assert total(on_site, molecule, on_site.neighbor_list(molecule)) == 2
    nl = a.neighbor_list(molecule)
    assert_allclose(total(on_site + a, molecule, nl), 2 + total(a, molecule, nl), rtol=1e-13)


def test_plain_functions_are_energies_too(terms, molecule, long_list):
    def spring(structure, nl):
        return 0.1 * (structure.positions**2).sum()

    a, *_ = terms
    expected = total(a, molecule, long_list) + spring(molecule, long_list)
    for energy in (a + spring, spring + a):
        assert_allclose(total(energy, molecule, long_list), expected, rtol=1e-13)
        with pytest.raises(ValueError, match="`atomic`"):
            energy.atomic(molecule, long_list)
    assert_allclose(
        value_and_forces(a + spring, molecule, long_list)[1],
        value_and_forces(a, molecule, long_list)[1] - 0.2 * molecule.positions,
        rtol=1e-12,
    )
    assert_allclose(mff.forces(spring)(molecule, long_list), -0.2 * molecule.positions)


@pytest.mark.parametrize("other", [1, 1.5, "energy", None, [1.0]])
def test_what_is_no_energy_does_not_compose(other, terms):
    a, *_ = terms
    for combine in (lambda: a + other, lambda: other + a, lambda: a - other):
        with pytest.raises(TypeError):
            combine()


def test_energies_multiply_by_scalars_only(terms):
    a, b, _ = terms
    for factor in (b, np.ones(3), lambda s, n: 1.0):
        with pytest.raises((TypeError, ValueError)):
            a * factor


# -- transformations -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["lj Si-O", "sw2 O-Si", "sw3 O-Si-O", "sum"])
def test_gradients_in_parameters(case):
    energy = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), CASES[case][0]())
    ((structure, nl),) = in_one_shape([systems.two_species()], energy)
    gradient = jax.jit(jax.grad(lambda energy: energy(structure, nl)))(energy)
    leaves, tree = jax.tree.flatten(energy)

    def of_leaves(values):
        return total(jax.tree.unflatten(tree, list(np.asarray(values))), structure, nl)

    expected = central_difference(of_leaves, np.array(leaves), 1e-5)
    found = np.array(jax.tree.leaves(gradient))
    assert jax.tree.structure(gradient) == tree
    assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
    assert np.abs(found).min() > 0


def test_the_gradient_is_a_potential(molecule, long_list):
    energy = P.LennardJones(**LJ, cutoff=3.6, species=("Si", "O"))
    gradient = jax.grad(lambda lj: lj(molecule, long_list))(energy)
    # E is proportional to ε.
    assert_allclose(gradient.epsilon * LJ["epsilon"], energy(molecule, long_list), rtol=1e-12)
    assert (gradient.cutoff, gradient.species) == (3.6, ("Si", "O"))


def test_vmap_over_parameters(molecule, long_list):
    sigmas = jnp.array([1.5, 1.6, 1.7])
    epsilons = jnp.array([0.1, 0.2, 0.3])

    def lennard_jones(epsilon, sigma):
        return P.LennardJones(epsilon, sigma, cutoff=3.6, species=("Si", "O"))

    def stillinger_weber(epsilon, sigma):
        return P.StillingerWeberTriple(**{**SW3, "epsilon": epsilon, "sigma": sigma}, species=("Si", "O", "O"))

    for make in (lennard_jones, stillinger_weber):
        many = jax.jit(jax.vmap(lambda e, s, make=make: make(e, s)(molecule, long_list)))(epsilons, sigmas)
        single = [jax.tree.map(np.asarray, make(e, s)) for e, s in zip(epsilons, sigmas, strict=True)]
        expected = [total(energy, molecule, long_list) for energy in single]
        assert_allclose(many, expected, rtol=1e-12)
        assert np.abs(np.diff(expected)).min() > 1e-3
        # A batch of potentials is a potential with longer leaves.
        batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
        of_batch = jax.jit(jax.vmap(lambda energy: energy(molecule, long_list)))(batch)
        assert_allclose(of_batch, expected, rtol=1e-12)


def test_jit_of_the_energy_itself(terms, molecule, long_list):
    energy = sum(terms)
    assert_allclose(jax.jit(energy)(molecule, long_list), energy(molecule, long_list), rtol=1e-13)


def test_integer_parameters_are_numbers():
    dimer = Structure.create([[0, 0, 0], [0, 0, 3]], ["Ar", "Ar"])
    energy = P.LennardJones(epsilon=1, sigma=3, cutoff=8, species=("Ar", "Ar"))
    assert energy(dimer, energy.neighbor_list(dimer)) == 0
    closer = Structure.create([[0, 0, 0], [0, 0, 3 * 2 ** (1 / 6)]], ["Ar", "Ar"])
    assert_allclose(energy(closer, energy.neighbor_list(closer)), -1)


@pytest.mark.parametrize("case", CASES)
def test_results_have_the_dtype_of_the_positions(case):
    """Single precision in, single precision out, with x64 enabled and parameters in double precision."""
    energy = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), CASES[case][0]())
    positions = np.asarray(systems.two_species().positions, np.float32)
    structure = Structure.create(positions, ["Si"] * 4 + ["O"] * 4, cell=[4.1] * 3)
    nl = energy.neighbor_list(structure)
    results = jax.eval_shape(
        lambda structure, nl: (
            mff.energy_forces_stress(energy)(structure, nl),
            energy.atomic(structure, nl),
            mff.hessian(energy)(structure, nl),
        ),
        structure,
        nl,
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {np.dtype(np.float32)}


# -- what cannot be served -------------------------------------------------------------------------


def test_species_that_are_not_there_contribute_nothing(terms, molecule, long_list):
    a, *_ = terms
    pairs_only, expected = a.neighbor_list(molecule), a(molecule, long_list)
    for stranger in (
        P.LennardJones(**LJ, cutoff=3.6, species=("Ar", "Ar")),
        P.LennardJones(**LJ, cutoff=3.6, species=("Si", "Ar")),
        P.StillingerWeberTriple(**SW3, species=("Ar", "Si", "Si")),
        P.StillingerWeberTriple(**SW3, species=("Si", "Si", "Ar")),
        P.TriplePotential(lambda r1, r2, c: 1 + 0 * c, cutoff=3.0, species=("Si", "Ar", "O")),
        P.OnSite(energy=1.0, species="Ar"),
    ):
        value, parts = total_and_atomic(stranger, molecule, long_list)
        assert value == 0
        assert_array_equal(parts, np.zeros(5))
        assert total(stranger, molecule, stranger.neighbor_list(molecule)) == 0
        # Not even a list with triples is asked for.
        assert_allclose((a + stranger)(molecule, pairs_only), expected, rtol=1e-13)


def test_lists_that_cannot_serve_are_refused(terms, molecule):
    a, _, c = terms
    short = mff.neighbor_list(molecule, 3.5)
    no_triples = mff.neighbor_list(molecule, 4.0)
    short_triples = mff.neighbor_list(molecule, 4.0, triple_cutoff=3.0)
    closed = mff.neighbor_list(molecule, 4.0, triple_cutoff=4.0, closed=True)
    others = mff.neighbor_list(molecule, 4.0, triple_cutoff=4.0, triple_species=[("O", "Si", "Si")])
    relabelled = mff.neighbor_list(molecule.relabel(("Ar", "O", "Si")), 4.0, triple_cutoff=4.0)
    padded = mff.neighbor_list(molecule.pad(6), 4.0, triple_cutoff=4.0)
    for energy, nl, message in [
        (a, short, r"`cutoff` of at least 3\.6 Å, got 3\.5"),
        (a + c, short, r"`cutoff` of at least"),
        (c, no_triples, "triples"),
        (a + c, no_triples, "triples"),
        (c, short_triples, "`triple_cutoff` of at least"),
        (c, closed, "open triples"),
        (c, others, "triples"),
        (a, relabelled, r"labels.*Ar"),
        (a, padded, "5 atoms"),
    ]:
        for evaluate in (energy, energy.atomic, mff.forces(energy), jax.jit(energy)):
            with pytest.raises(ValueError, match=f"`neighbors` must.*{message}"):
                evaluate(molecule, nl)


def test_a_batch_is_for_vmap(terms):
    batch = mff.stack([systems.molecule(), systems.molecule()])
    a, *_ = terms
    with pytest.raises(ValueError, match=r"`structure`.*vmap"):
        a(batch, a.neighbor_list(batch))


@pytest.mark.parametrize("which", ["pair", "triple", "both"])
def test_a_traced_cutoff_that_the_list_does_not_reach_is_nan(which, molecule):
    """Where cutoffs are made of parameters, those of a traced potential cannot raise."""
    pair = P.StillingerWeberPair(**SW2, species=("Si", "O"))
    triple = P.StillingerWeberTriple(**SW3, species=("Si", "O", "O"))
    energy = {"pair": pair, "triple": triple, "both": pair + 2.0 * triple}[which]

    value, force = value_and_forces(energy, molecule, energy.neighbor_list(molecule))
    assert np.isfinite(value)
    assert np.isfinite(force).all()
    assert np.asarray(force).any(axis=1).sum() >= 4
    short = {
        "pair": mff.neighbor_list(molecule, 3.4),
        "triple": mff.neighbor_list(molecule, 3.6, triple_cutoff=3.2),
        "both": mff.neighbor_list(molecule, 3.6, triple_cutoff=3.2),
    }[which]
    value, force = value_and_forces(energy, molecule, short)
    assert np.isnan(value)
    assert np.isnan(force).all()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cutoff", lambda: P.LennardJones(1.0, 1.0, cutoff=0.0, species=("A", "A"))),
        ("cutoff", lambda: P.LennardJones(1.0, 1.0, cutoff=np.inf, species=("A", "A"))),
        ("cutoff", lambda: P.PairPotential(jnp.exp, cutoff=-1.0, species=("A", "A"))),
        ("cutoff", lambda: P.TriplePotential(lambda a, b, c: c, cutoff=np.nan, species=("A", "A", "A"))),
        ("species", lambda: P.LennardJones(1.0, 1.0, cutoff=1.0, species=("A",))),
        ("species", lambda: P.LennardJones(1.0, 1.0, cutoff=1.0, species="AA")),
        ("species", lambda: P.PairPotential(jnp.exp, cutoff=1.0, species=("A", "A", "A"))),
        ("species", lambda: P.TriplePotential(lambda a, b, c: c, cutoff=1.0, species=("A", "A"))),
        ("species", lambda: P.TriplePotential(lambda a, b, c: c, cutoff=1.0, species=("A", "A", ""))),
        ("species", lambda: P.StillingerWeberPair(**SW2, species=("A", 1))),
        ("species", lambda: P.StillingerWeberTriple(**SW3, species=("A", "A"))),
        ("species", lambda: P.OnSite(1.0, species=("A", "B"))),
        ("species", lambda: P.OnSite(1.0, species="")),
    ],
)
def test_bad_parameters_are_named(name, make):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make()


def test_a_misspelt_parameter_is_an_error():
    with pytest.raises(TypeError, match="sigmma"):
        P.LennardJones(epsilon=1.0, sigmma=1.0, cutoff=1.0, species=("A", "A"))
