"""The whole family of descriptors: reference values, sums done the slow way, derivatives, files, errors."""

import dataclasses
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import miniffx as mff
import oracles
import systems
from miniffx.descriptors import compact, cutoffs
from miniffx.descriptors.descriptor import Weighted

D = mff.descriptors
CUTOFF = 3.4


def own_radial(r):
    return (1 - r / CUTOFF) ** 3 * jnp.exp(-r)


def own_angular(r1, r2, cos_theta):  # not symmetric: r1 belongs to the first neighbour
    return (1 - r1 / CUTOFF) ** 3 * (1 - r2 / CUTOFF) ** 4 * (cos_theta + 0.3) ** 2


SI_O, SI_SI_O, SI_O_O = ("Si", "O"), ("Si", "Si", "O"), ("Si", "O", "O")
SMOOTH = {  # no jump in the derivatives at the cutoff
    "G2": D.G2(eta=0.3, r_shift=0.9, cutoff=CUTOFF, species=SI_O),
    "G2-poly2": D.G2(0.3, 0.9, CUTOFF, SI_O, cutoff_function="poly2", cutoff_alpha=0.4),
    "G4": D.G4(eta=0.05, zeta=3, lam=-1.0, cutoff=CUTOFF, species=SI_SI_O),
    "G4-shift": D.G4(0.4, 1.5, 1.0, CUTOFF, SI_O_O, r_shift=1.1, cutoff_function="exp"),
    "G5": D.G5(eta=0.05, zeta=2, lam=1.0, cutoff=CUTOFF, species=SI_SI_O),
    "G5-1": D.G5(eta=0.05, zeta=1, lam=-1.0, cutoff=CUTOFF, species=("Si", "Si", "Si"), r_shift=0.5),
    "G5-3": D.G5(eta=0.05, zeta=3, lam=1.0, cutoff=CUTOFF, species=SI_O_O),
    "G5-4": D.G5(eta=0.05, zeta=4, lam=-1.0, cutoff=CUTOFF, species=("Si", "Si", "Si")),
    "G5-shift": D.G5(0.4, 0.7, -1.0, CUTOFF, SI_O_O, r_shift=1.1, cutoff_function="tanh3"),
    "G5x": D.G5x(eta1=0.05, eta2=0.4, cos_theta0=-0.3, cutoff=CUTOFF, species=SI_SI_O),
    "Sigmoid": D.Sigmoid(r0=2.2, dr=0.2, cutoff=CUTOFF, species=SI_O),
    "RadialDescriptor": D.RadialDescriptor(own_radial, CUTOFF, SI_O),
    "AngularDescriptor": D.AngularDescriptor(own_angular, CUTOFF, SI_SI_O),
    "AngularDescriptor-swapped": D.AngularDescriptor(own_angular, CUTOFF, ("Si", "O", "Si")),
    "WeightedG2": D.WeightedG2(eta=0.3, r_shift=0.9, cutoff=CUTOFF, species=("Si", "Si", "O")),
    "WeightedG4": D.WeightedG4(0.3, 2, -1.0, CUTOFF, ("Si", "O", "Si"), r_shift=0.5, weights=(1.5, -0.4)),
    "CompactRadial": D.CompactRadial(r_low=0.8, cutoff=CUTOFF, species=SI_O, core="poly2"),
    "CompactRadial-offset": D.CompactRadial(-1.2, CUTOFF, SI_O, core="poly4", steep=True),
    "CompactRadial-steep": D.CompactRadial(-CUTOFF, CUTOFF, SI_O, core="poly3", steep=True),
    "CompactNarrow": D.CompactNarrow(0.5, 20.0, 150.0, CUTOFF, SI_SI_O, core="poly3"),
    "CompactWide": D.CompactWide(-CUTOFF, 60.0, 300.0, CUTOFF, SI_O_O, core="poly2"),
    "WeightedCompactRadial": D.WeightedCompactRadial(0.8, CUTOFF, ("Si", "O", "Si"), core="exp"),
    "WeightedCompactNarrow": D.WeightedCompactNarrow(-CUTOFF, -130.0, 130.0, CUTOFF, ("Si", "O", "Si"), core="poly4"),
    "WeightedCompactWide": D.WeightedCompactWide(0.3, 10.0, 180.0, CUTOFF, ("Si", "O", "Si"), core="poly2"),
}


def evaluate(ds, structure):
    return np.asarray(oracles.quick_jit(ds.__call__)(structure, ds.neighbor_list(structure)))


# -- the reference kernels ----------------------------------------------------------------------------------------

FAMILIES = {
    "behler2": lambda p, s: D.G2(eta=p["eta"], r_shift=p["r_sphere"], cutoff=p["a"], species=s),
    "sigmoid": lambda p, s: D.Sigmoid(r0=p["r0"], dr=p["dr"], cutoff=p["a"], species=s),
    "behler4": lambda p, s: D.G4(eta=p["eta"], zeta=p["zeta"], lam=p["l"], cutoff=p["a"], species=s),
    "behler5": lambda p, s: D.G5(eta=p["eta"], zeta=p["zeta"], lam=p["l"], cutoff=p["a"], species=s),
    "behler5x": lambda p, s: D.G5x(p["eta1"], p["eta2"], p["cos_theta0"], cutoff=p["a"], species=s),
}


def test_values_and_gradients_of_the_reference_kernels(miniff):
    names = ("tiny-triclinic-1", "tiny-triclinic-4", "box-24", "cluster-12")
    structures = [
        mff.Structure.create(s["fractional"], s["species"], cell=s["cell"], pbc=s["pbc"], fractional=True)
        for s in (miniff["structures"][name] for name in names)
    ]
    cases = {name: [c for c in miniff["cases"] if c["structure"] == name and c["family"] in FAMILIES] for name in names}
    made = [FAMILIES[c["family"]](c["parameters"], tuple(c["tag"].split("-"))) for c in cases[names[0]]]
    ds = D.DescriptorSet(made)
    staged = systems.in_one_shape(structures, ds)
    labels = staged[0][0].labels
    # Row i holds the descriptors of the species of atom i: where in a row each of them stands, and in which rows.
    column = np.array([ds.of(one.species[0]).index(one) for one in made])
    center = np.array([labels.index(one.species[0]) for one in made])

    def values(structure, nl):
        features = ds(structure, nl)
        return jnp.where(structure.species_index == center[:, None], features.T[column], 0)  # [descriptors, atoms]

    @oracles.quick_jit
    def values_and_slopes(structure, nl):
        def sums(positions):
            result = values(dataclasses.replace(structure, positions=positions), nl)
            return result.sum(axis=1), result

        _, pull, result = jax.vjp(sums, structure.positions, has_aux=True)
        # One descriptor after the other: all at once take longer to compile.
        return result, jax.lax.map(pull, jnp.eye(len(made)))[0]

    for name, structure, stage in zip(names, structures, staged, strict=True):
        ours, gradients = values_and_slopes(*stage)
        for n, case in enumerate(cases[name]):
            # There, each unordered pair of neighbours with equal labels is counted twice.
            _, *neighbors = case["tag"].split("-")
            counted = 2 if len(neighbors) == 2 and neighbors[0] == neighbors[1] else 1
            expected, gradient = np.array(case["values"]), np.array(case["gradient_of_sum"])
            scale = max(np.abs(expected).max(), 1e-300)
            ours_here = counted * ours[n, : structure.n_atoms]
            np.testing.assert_allclose(ours_here, expected, rtol=1e-12, atol=1e-12 * scale)
            scale = max(np.abs(gradient).max(), scale)
            gradient_here = counted * gradients[n, : structure.n_atoms]
            np.testing.assert_allclose(gradient_here, gradient, rtol=0, atol=1e-12 * scale)


# -- sums done the slow way ---------------------------------------------------------------------------------------


def fc(d, r):
    """The cutoff functions once more, written from their definitions."""
    name, inner = d.cutoff_function, d.cutoff_alpha * d.cutoff
    if name == "hard":
        return 1.0
    if name.startswith("tanh3"):
        return np.tanh(1 - r / d.cutoff) ** 3 / (np.tanh(1) ** 3 if name.endswith("normalized") else 1)
    x = max(r - inner, 0) / (d.cutoff - inner)
    return falling(name, x)


def falling(name, x):
    if x >= 1:
        return 0.0
    if name == "cosine":
        return (np.cos(np.pi * x) + 1) / 2
    if name == "exp":
        return np.exp(1 - 1 / (1 - x * x))
    n = int(name[-1])  # the polynomial of degree 2n + 1 whose first n derivatives vanish at 0 and 1
    terms = (math.comb(n + k, k) * math.comb(2 * n + 1, n - k) * (-x) ** k for k in range(n + 1))
    return 1 - x ** (n + 1) * sum(terms)


def window(d, u, low, high, steep=False):
    x = abs(u - (low + high) / 2) / ((high - low) / 2)
    return falling(d.core, x * (2 - x) if steep and x < 1 else x)


def radial(d, r):
    if isinstance(d, (D.G2, D.WeightedG2)):
        return np.exp(-d.eta * (r - d.r_shift) ** 2) * fc(d, r)
    if isinstance(d, D.Sigmoid):
        return fc(d, r) / (1 + np.exp((r - d.r0) / d.dr))
    if isinstance(d, D.RadialDescriptor):
        return float(d.g(r))
    return window(d, r, d.r_low, d.cutoff, d.steep)


def angular(d, r1, r2, r3, c):
    if isinstance(d, D.AngularDescriptor):
        return float(d.g(r1, r2, c))
    legs = (r1, r2, r3) if d.closed else (r1, r2)
    if isinstance(d, D.G5x):
        g = [lambda r, eta=eta: np.exp(-eta * r * r) for eta in (d.eta1, d.eta2)]
        both = g[0](r1) * g[1](r2) + g[1](r1) * g[0](r2)
        return (c - d.cos_theta0) ** 2 / 4 * both * fc(d, r1) * fc(d, r2)
    if isinstance(d, (D.G4, D.G5, D.WeightedG4)):
        radial_part = np.exp(-d.eta * sum((r - d.r_shift) ** 2 for r in legs)) * np.prod([fc(d, r) for r in legs])
        return 2 ** (1 - d.zeta) * (1 + d.lam * c) ** d.zeta * radial_part
    theta = np.degrees(np.arccos(c))
    radial_part = np.prod([window(d, r, d.r_low, d.cutoff, d.steep) for r in legs])
    return radial_part * window(d, theta, d.angle_low, d.angle_high)


def slow(d, structure):
    """[n_atoms] by the plain sums of the oracles, for species Si (the centre) and O."""
    weights = dict(zip(d.neighbors, d.weights, strict=True)) if isinstance(d, Weighted) else {}
    center = d.species[0]
    total = np.zeros(structure.n_atoms)
    if d.n_bodies == 2:
        for label in weights or d.species[1:]:
            sums = oracles.radial_sums(structure, (center, label), d.cutoff, partial(radial, d))
            total += weights.get(label, 1.0) * sums
        return total
    pairs = itertools.combinations_with_replacement(weights, 2) if weights else [d.species[1:]]
    for first, second in pairs:
        for i, r1, r2, (r3, c) in oracles.each_triple(structure, (center, first, second), d.cutoff):
            if r3 < d.cutoff or not d.closed:
                weight = weights.get(first, 1.0) * weights.get(second, 1.0)
                total[i] += weight * angular(d, r1, r2, r3, np.clip(c, -1, 1))
    return total


def test_every_descriptor_against_plain_sums():
    structures = [systems.molecule(), systems.two_species(), systems.left_handed()]
    ds = D.DescriptorSet(SMOOTH.values())
    values_of = oracles.quick_jit(ds.__call__)
    for structure, staged in zip(structures, systems.in_one_shape(structures, ds), strict=True):
        values = np.asarray(values_of(*staged))[: structure.n_atoms]
        silicon = np.array(structure.species) == "Si"
        for column, (name, descriptor) in enumerate(SMOOTH.items()):
            expected = slow(descriptor, structure)[silicon]
            np.testing.assert_allclose(values[silicon, column], expected, rtol=1e-10, atol=1e-12, err_msg=name)
        assert (values[~silicon] == 0).all()


@pytest.mark.parametrize("name", cutoffs.NAMES)
def test_every_cutoff_function(name):
    alpha = 0.0 if name in cutoffs.WITHOUT_INNER_CUTOFF else 0.3
    for a in {0.0, alpha}:
        descriptor = D.G2(0.2, 0.5, CUTOFF, SI_O, name, a)
        r = np.linspace(0.01, CUTOFF * 0.9999, 37)
        expected = [fc(descriptor, one) for one in r]
        np.testing.assert_allclose(descriptor.screen(jnp.asarray(r)), expected, rtol=1e-10, atol=1e-12)
        structure = systems.two_species()
        values = evaluate(D.DescriptorSet([descriptor]), structure)[:4, 0]
        np.testing.assert_allclose(values, slow(descriptor, structure)[:4], rtol=1e-10)
    if name != "hard":
        assert float(cutoffs.screen(name, jnp.asarray(CUTOFF), CUTOFF, alpha)) == pytest.approx(0, abs=1e-15)
    inner = jax.grad(lambda r: cutoffs.screen(name, r, CUTOFF, alpha))(0.2 * CUTOFF)
    assert (float(inner) == 0) == (name == "hard" or alpha > 0)


def test_weights_are_atomic_numbers_by_default():
    descriptor = D.WeightedG2(0.3, 0.9, CUTOFF, ("Si", "Si", "O"))
    assert descriptor.weights == (14.0, 8.0)
    apart = [D.G2(0.3, 0.9, CUTOFF, ("Si", other)) for other in ("Si", "O")]
    values = evaluate(D.DescriptorSet([descriptor, *apart]), systems.molecule())
    np.testing.assert_allclose(values[:, 0], 14 * values[:, 1] + 8 * values[:, 2], rtol=1e-14)


# -- derivatives --------------------------------------------------------------------------------------------------


def weighted_sum(ds, structure):
    """A smooth function of the positions that involves every descriptor."""
    nl = mff.neighbor_list(structure, CUTOFF, triple_cutoff=CUTOFF)
    width = ds.n_descriptors
    factors = jnp.asarray(np.random.default_rng(0).normal(size=width))

    def total(positions):
        return (ds(dataclasses.replace(structure, positions=positions), nl) @ factors).sum()

    return total


def test_first_and_second_derivatives_against_central_differences():
    structure = systems.molecule()
    total = weighted_sum(D.DescriptorSet(SMOOTH.values()), structure)
    # One column of the Hessian after the other: all at once take longer to compile.
    both = oracles.quick_jit(lambda r, v: jax.jvp(jax.grad(total), (r,), (v,)))

    def gradient(positions):
        return both(jnp.asarray(positions), jnp.zeros_like(structure.positions))[0]

    numeric = oracles.central_difference(oracles.quick_jit(total), structure.positions, 1e-5)
    np.testing.assert_allclose(gradient(structure.positions), numeric, rtol=0, atol=1e-8 * np.abs(numeric).max())
    numeric = oracles.central_difference(gradient, structure.positions, 1e-5)
    shape = structure.positions.shape
    units = np.eye(structure.positions.size).reshape(-1, *shape)
    hessian = np.stack([both(structure.positions, unit)[1] for unit in units], axis=-1).reshape(*shape, *shape)
    np.testing.assert_allclose(hessian, numeric, rtol=0, atol=1e-6 * np.abs(numeric).max())


def on_a_line():
    """cos θ = ±1 exactly, by three atoms on each side of a fourth, and r = 1.7 in the middle of a window."""
    positions = [[0, 0, 0], [0, 0, 1.0], [0, 0, -1.0], [0, 0, 1.7], [0, 0, -1.7], [0, 0, 2.5]]
    return mff.Structure.create(positions, ["Si", "O", "O", "Si", "Si", "O"])


LONELY = {
    "one atom": mff.Structure.create([[0, 0, 0]], ["Si"]),
    "one neighbour": mff.Structure.create([[0, 0, 0], [0, 0, 1.5]], ["Si", "O"]),
    "on a line": on_a_line(),
    "no silicon": mff.Structure.create([[0, 0, 0], [0, 0, 1.5]], ["O", "O"]),
}


def test_values_and_derivatives_are_finite():
    powers = itertools.product((D.G4, D.G5), (0.3, 1.5), (-1.0, 1.0))
    windows = itertools.product(((0.0, 180.0), (-90.0, 90.0)), ("exp", "poly1"))
    cores = itertools.product((0.0, -CUTOFF), ("exp", "poly1"), (False, True))
    everything = [
        *SMOOTH.values(),
        *(of(0.1, zeta, lam, CUTOFF, SI_O_O) for of, zeta, lam in powers),
        *(D.CompactWide(0.0, *angles, CUTOFF, SI_O_O, core) for angles, core in windows),
        *(D.CompactRadial(low, CUTOFF, SI_O, core, steep) for low, core, steep in cores),
        D.MomentInvariant((1, 1), (1, 2), CUTOFF, SI_O_O),
        D.MomentInvariant((3, 2, 3), (1, 1, 2), CUTOFF, ("Si", "O", "Si", "O")),
    ]
    ds = D.DescriptorSet(everything)
    assert np.isfinite(evaluate(ds, LONELY["no silicon"])).all()  # without a row for the descriptors
    alone = oracles.quick_jit(jax.value_and_grad(weighted_sum(ds, LONELY["one atom"])))(
        LONELY["one atom"].positions
    )  # no column
    assert all(np.isfinite(leaf).all() for leaf in alone)
    batch = mff.stack(list(LONELY.values()))
    lists = mff.neighbor_list(batch, CUTOFF, triple_cutoff=CUTOFF)
    factors = jnp.asarray(np.random.default_rng(0).normal(size=ds.n_descriptors))

    @oracles.quick_jit
    def both(structure, nl, direction):
        def total(positions):
            return (ds(dataclasses.replace(structure, positions=positions), nl) @ factors).sum()

        # What is not finite in the Hessian is not finite in its product with a direction either.
        return total(structure.positions), jax.jvp(jax.grad(total), (structure.positions,), (direction,))

    for n, name in enumerate(LONELY):
        structure, nl = jax.tree.map(lambda leaf, n=n: leaf[n], (batch, lists))
        direction = jnp.asarray(np.random.default_rng(1).normal(size=structure.positions.shape))
        for leaf in jax.tree.leaves(both(structure, nl, direction)):
            assert np.isfinite(leaf).all(), name


@pytest.mark.parametrize("core", cutoffs.FALLING)
@pytest.mark.parametrize("angles", [(60.0, 300.0), (-170.0, 170.0)])
def test_compact_angles_bend_rightly_out_of_a_line(core, angles):
    """The second derivative where θ is exactly 0° or 180°, against differences of the first around it."""
    structure = mff.Structure.create([[0, 0, 0], [0, 0, 1.0], [0, 0, -1.1]], ["Si", "O", "O"])
    total = weighted_sum(D.DescriptorSet([D.CompactWide(-CUTOFF, *angles, CUTOFF, SI_O_O, core)]), structure)
    numeric = oracles.central_difference(oracles.quick_jit(jax.grad(total)), structure.positions, 1e-6)
    hessian = oracles.quick_jit(jax.hessian(total))(structure.positions)
    np.testing.assert_allclose(hessian, numeric, rtol=0, atol=1e-4 * np.abs(numeric).max())


def test_middle_of_a_window_is_smooth():
    """d²/dr² of 1 − 3x² + 2|x|³ at x = 0 is −6/w²: an absolute value would give 0."""
    second = jax.grad(jax.grad(lambda r: compact.window(r, 1.0, 3.0, "poly1")))(2.0)
    assert float(second) == pytest.approx(-6.0)


@pytest.mark.float32_too
def test_single_precision():
    structure = systems.two_species()
    structure = dataclasses.replace(
        structure,
        positions=jnp.asarray(structure.positions, jnp.float32),
        cell=jnp.asarray(structure.cell, jnp.float32),
    )
    ds = D.DescriptorSet(SMOOTH.values())
    values = oracles.quick_jit(ds.__call__)(structure, ds.neighbor_list(structure))
    assert values.dtype == jnp.float32
    expected = np.stack([slow(d, structure) for d in SMOOTH.values()], axis=-1)
    np.testing.assert_allclose(values[:4], expected[:4], rtol=2e-4, atol=1e-4)


def test_moments_keep_small_values_beside_a_near_neighbour():
    """In single precision, with x64 on: the values and their dtype are those of the positions."""
    structure = mff.Structure.create([[0, 0, 0], [0.97, 0, 0], [0, 2.6, 0.4], [-1.5, 0, 2.2]], ["H", "O", "O", "O"])
    ds = D.DescriptorSet([D.G5(4.0, zeta, 1.0, CUTOFF, ("H", "O", "O")) for zeta in (1, 2, 4)])
    single = dataclasses.replace(
        structure, positions=jnp.asarray(structure.positions, "float32"), cell=jnp.asarray(structure.cell, "float32")
    )
    found = mff.featurize(ds, [single])[0]
    assert found.dtype == np.float32
    expected = np.stack([slow(d, structure) for d in ds], axis=-1)
    assert (expected[0] < 1e-6).all()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4)
    lonely = mff.Structure.create([[0, 0, 0], [0.97, 0, 0]], ["H", "O"])
    assert (mff.featurize(ds, [lonely])[0] == 0).all()


def test_parameters_have_gradients():
    structure = systems.molecule()
    ds = D.DescriptorSet([SMOOTH["WeightedG4"], SMOOTH["CompactNarrow"], SMOOTH["G5x"]])
    nl = ds.neighbor_list(structure)
    slopes = oracles.quick_jit(jax.grad(lambda ds: ds(structure, nl).sum()))(ds)
    flat, unflatten = jax.flatten_util.ravel_pytree(ds)
    numeric = oracles.central_difference(oracles.quick_jit(lambda p: unflatten(p)(structure, nl).sum()), flat, 1e-5)
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(slopes)[0], numeric, rtol=1e-6, atol=1e-9)


# -- sets, files, errors ------------------------------------------------------------------------------------------


def test_descriptors_that_differ_in_parameters_are_evaluated_together():
    etas = [0.1, 0.2, 0.3]
    many = [D.WeightedG2(eta, 0.5, CUTOFF, ("Si", "Si", "O")) for eta in etas]
    many += [D.CompactWide(0.1, 10.0 * k, 150.0, CUTOFF, SI_O_O) for k in (1, 2, 3)]
    structures = {jax.tree.structure(descriptor) for descriptor in many}
    assert len(structures) == 2
    apart = [evaluate(D.DescriptorSet([descriptor]), systems.molecule())[:, 0] for descriptor in many]
    together = evaluate(D.DescriptorSet(many), systems.molecule())
    np.testing.assert_allclose(together, np.stack(apart, axis=-1), rtol=1e-14)


def test_stored_jacobians_cover_the_family():
    """Against derivatives of all sums, that is through other code than stored Jacobians of products."""
    structure = systems.two_species()
    names = (
        "G2",
        "G4",
        "G4-shift",
        "G5",
        "G5-1",
        "G5-shift",
        "WeightedG4",
        "CompactNarrow",
        "WeightedCompactWide",
        "G5x",
    )
    shared = dataclasses.replace(SMOOTH["G4"], lam=1.0), dataclasses.replace(SMOOTH["G4"], zeta=1.5)
    ds = D.DescriptorSet([*(SMOOTH[name] for name in names), *shared])
    with_jacobian = mff.featurize(ds, [structure], jacobian=True)
    np.testing.assert_allclose(with_jacobian[0], evaluate(ds, structure), rtol=1e-12, atol=1e-15)

    neighbors = ds.neighbor_list(structure)
    for label in ds.species:
        environments = neighbors.environments[neighbors.labels.index(label)]
        stored = with_jacobian.batches[0].species[label]

        def sums(vectors, label=label, environments=environments):
            return ds.features_of_displacements(label, vectors, environments, neighbors.labels).sum(axis=0)

        slopes = oracles.quick_jit(jax.jacrev(sums))(stored.vectors[0])  # [features, rows, columns, 3]
        expected = np.moveaxis(slopes, 0, 1).reshape(stored.jacobian[0].shape)
        np.testing.assert_allclose(stored.jacobian[0], expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


def model_of(descriptors):
    return mff.NNPotential.init(jax.random.key(0), D.DescriptorSet(descriptors), hidden=(3,), activation="gaussian")


def test_models_survive_files(tmp_path):
    kept = [d for d in SMOOTH.values() if not isinstance(d, (D.RadialDescriptor, D.AngularDescriptor))]
    model = model_of([*kept, D.G2(0.1, 0.0, CUTOFF, ("O", "Si")), D.MomentInvariant((2, 2), (1, 2), CUTOFF, SI_SI_O)])
    model.save(tmp_path / "family.safetensors")
    again = mff.load(tmp_path / "family.safetensors")
    assert jax.tree.structure(again) == jax.tree.structure(model)
    structure = systems.molecule()
    nl = model.neighbor_list(structure)
    energy = oracles.quick_jit(lambda model: model(structure, nl))
    assert float(energy(again)) == float(energy(model))


@pytest.mark.parametrize("name", ["RadialDescriptor", "AngularDescriptor"])
def test_models_with_functions_of_the_user_are_not_saved(tmp_path, name):
    with pytest.raises(ValueError, match="to be saved, got <function own_"):
        model_of([SMOOTH[name]]).save(tmp_path / "own.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: D.G5(0.1, 0, 1.0, 4.0, ("Si",) * 3), "`zeta` must be positive, got 0"),
        (lambda: D.G5(0.1, 1, 1.0, -4.0, ("Si",) * 3), r"`cutoff` must be positive, got -4\.0"),
        (lambda: D.G5(0.1, 1, 1.0, 4.0, ("Si", "Si")), "`species` must be 3 non-empty species labels"),
        (lambda: D.G2(0.1, 0.0, 4.0, SI_O, "cos"), "`cutoff_function` must be one of hard, cosine, .*, got 'cos'"),
        (lambda: D.G2(0.1, 0.0, 4.0, SI_O, "poly1", 1.0), r"`cutoff_alpha` must be less than 1, got 1\.0"),
        (lambda: D.G2(0.1, 0.0, 4.0, SI_O, "poly1", -0.1), "`cutoff_alpha` must not be negative"),
        (lambda: D.G2(0.1, 0.0, 4.0, SI_O, "tanh3", 0.1), "`cutoff_alpha` must be 0 for 'tanh3'"),
        (lambda: D.RadialDescriptor(3.0, 4.0, SI_O), "`g` must be a function of r"),
        (lambda: D.AngularDescriptor(None, 4.0, SI_O_O), "`g` must be a function of r1, r2 and cos_theta, got None"),
        (
            lambda: D.WeightedG2(0.1, 0.0, 4.0, ("Si", "A")),
            "`weights` must be given where species are no elements, got A",
        ),
        (lambda: D.WeightedG2(0.1, 0.0, 4.0, ("Si", "O"), weights=(1.0, 2.0)), "`weights` must be one number for each"),
        (lambda: D.WeightedG2(0.1, 0.0, 4.0, ("Si", "O", "O")), "`species` must name each species of neighbours once"),
        (lambda: D.WeightedG2(0.1, 0.0, 4.0, ("Si",)), "`species` must be 2 non-empty species labels"),
        (lambda: D.WeightedG2(0.1, 0.0, 4.0, "Si"), "`species` must be 2 species labels, got 'Si'"),
        (lambda: D.CompactRadial(5.0, 4.0, SI_O), r"`r_low` must be less than the cutoff 4\.0, got 5\.0"),
        (lambda: D.CompactRadial(1.0, 4.0, SI_O, core="poly5"), "`core` must be one of exp, poly1, .*, got 'poly5'"),
        (lambda: D.CompactWide(0.0, 90.0, 60.0, 4.0, SI_O_O), "`angle_low` must be less than `angle_high`"),
        (lambda: D.CompactWide(0.0, -20.0, 60.0, 4.0, SI_O_O), "`angle_low` must be from 0 on"),
        (lambda: D.CompactWide(0.0, 20.0, 190.0, 4.0, SI_O_O), "`angle_high` must be at most 180"),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()
