"""Invariants of moments against sums written out, and what training does with them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import miniffx as mff
from miniffx.models.scaling import fit_scaling
from miniffx.training import stored
from miniffx.training.featurize import compute
from oracles import quick_jit

D = mff.descriptors
CUTOFF = 4.0
EQUATIONS = {
    (0,): "->",
    (1, 1): "i,i",
    (2, 2): "ij,ij",
    (3, 3): "ijk,ijk",
    (4, 4): "ijkl,ijkl",
    (1, 2, 1): "i,ij,j",
    (2, 2, 2): "ij,jk,ki",
    (1, 3, 2): "i,ijk,jk",
    (3, 2, 3): "ikl,ij,jkl",
    (2, 4, 2): "ij,ijkl,kl",
    (1, 4, 3): "i,ijkl,jkl",
    (4, 2, 4): "iklm,ij,jklm",
}
SETS = {
    "O": [
        *(((0,), (2,), "H"), ((1, 1), (1, 2), "HO"), ((2, 2), (1, 3), "HH"), ((3, 3), (1, 1), "OO")),
        *(((1, 2, 1), (1, 2, 1), "HOO"), ((2, 2, 2), (1, 2, 3), "HOO"), ((2, 4, 2), (1, 2, 3), "OHO")),
    ],
    "H": [
        *(((0,), (1,), "H"), ((1, 1), (2, 1), "OH"), ((4, 4), (1, 3), "HO"), ((1, 3, 2), (1, 2, 2), "HOO")),
        *(((3, 2, 3), (2, 2, 1), "OHO"), ((1, 4, 3), (1, 2, 1), "HOO"), ((4, 2, 4), (2, 1, 1), "HOH")),
    ],
}


@pytest.fixture(scope="module")
def structure():
    rng = np.random.default_rng(0)
    cell = 6 * np.eye(3) + rng.normal(size=(3, 3), scale=0.3)
    return mff.Structure.create(rng.uniform(0, 6, (8, 3)), ["O", "H"] * 4, cell=cell)


@pytest.fixture(scope="module")
def descriptors():
    return D.DescriptorSet(
        D.MomentInvariant(ranks, orders, CUTOFF, (center, *others), factor=0.5)
        for center, chosen in SETS.items()
        for ranks, orders, others in chosen
    )


def moment(vectors, order, rank):
    """The tensor written out."""
    r = np.linalg.norm(vectors, axis=1)
    u, eye = vectors / r[:, None], np.eye(3)
    radial = np.sin(order * np.pi * r / CUTOFF) * 0.5 * (1 + np.cos(np.pi * r / CUTOFF)) / r
    if rank == 0:
        return radial.sum()
    if rank == 1:
        return np.einsum("n,ni->i", radial, u)
    if rank == 2:
        return np.einsum("n,nij->ij", radial, np.einsum("ni,nj->nij", u, u) - eye / 3)
    if rank == 3:
        traces = [np.einsum(f"{a},n{b}->nijk", eye, u) for a, b in (("ij", "k"), ("ik", "j"), ("jk", "i"))]
        return np.einsum("n,nijk->ijk", radial, np.einsum("ni,nj,nk->nijk", u, u, u) - sum(traces) / 5)
    halves = [("ij", "kl"), ("ik", "jl"), ("il", "jk"), ("jk", "il"), ("jl", "ik"), ("kl", "ij")]
    once = [np.einsum(f"{a},n{b[0]},n{b[1]}->nijkl", eye, u, u) for a, b in halves]
    twice = [np.einsum(f"{a},{b}->ijkl", eye, eye) for a, b in halves[:3]]
    product = np.einsum("ni,nj,nk,nl->nijkl", u, u, u, u)
    return np.einsum("n,nijkl->ijkl", radial, product - sum(once) / 7 + sum(twice) / 35)


def test_values_are_contractions_of_moments(structure, descriptors):
    values = np.asarray(quick_jit(descriptors)(structure, descriptors.neighbor_list(structure)))
    i, j, _, vectors = mff.neighbors.pairs(structure.positions, structure.cell, structure.pbc, CUTOFF)
    labels = np.array(structure.species)
    for atom, label in enumerate(structure.species):
        for column, d in enumerate(descriptors.of(label)):
            tensors = [
                moment(vectors[(i == atom) & (labels[j] == other)], order, rank)
                for other, order, rank in zip(d.species[1:], d.orders, d.ranks, strict=True)
            ]
            expected = 0.5 * np.einsum(EQUATIONS[d.ranks], *tensors)
            assert_allclose(values[atom, column], expected, rtol=1e-11, atol=1e-13)


def test_two_moments_make_legendre_polynomials(structure):
    """Σ_jk R(r_ij) R(r_ik) P_l(cos θ), times 2/3 for l = 2, 2/5 for l = 3 and 8/35 for l = 4."""
    ds = D.DescriptorSet(D.MomentInvariant((l, l), (1, 2), CUTOFF, ("O", "H", "H")) for l in (1, 2, 3, 4))
    values = quick_jit(ds)(structure, ds.neighbor_list(structure))[0]
    i, j, _, vectors = mff.neighbors.pairs(structure.positions, structure.cell, structure.pbc, CUTOFF)
    near = vectors[(i == 0) & (np.array(structure.species)[j] == "H")]
    r = np.linalg.norm(near, axis=1)
    screen = 0.5 * (1 + np.cos(np.pi * r / CUTOFF)) / r
    one, two = (np.sin(n * np.pi * r / CUTOFF) * screen for n in (1, 2))
    cosine = (near / r[:, None]) @ (near / r[:, None]).T
    for l, factor in ((1, 1.0), (2, 2 / 3), (3, 2 / 5), (4, 8 / 35)):
        legendre = np.polynomial.legendre.Legendre.basis(l)(cosine)
        assert_allclose(values[l - 1], factor * one @ legendre @ two, rtol=1e-11)


@pytest.mark.float32_too
def test_rotations_change_nothing(structure, descriptors):
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = mff.Structure.create(
        np.asarray(structure.positions) @ rotation, structure.species, cell=np.asarray(structure.cell) @ rotation
    )
    before, after = (np.asarray(quick_jit(descriptors)(s, descriptors.neighbor_list(s))) for s in (structure, turned))
    assert_allclose(after, before, atol=1e-4 if before.dtype == np.float32 else 1e-11)


@pytest.fixture(scope="module")
def frame(structure):
    forces = np.random.default_rng(2).normal(size=(8, 3))
    return mff.Frame(structure, energy=-8.0, forces=forces)


def scaled_model(descriptors):
    model = mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(5,), activation="silu")
    scaling = mff.models.Scaling((jnp.full(7, 0.1),) * 2, (jnp.full(7, 2.0),) * 2, jnp.zeros(2), jnp.asarray(3.0))
    return dataclasses.replace(model, scaling=scaling)


def test_training_predicts_what_the_model_does(frame, descriptors):
    """Forces and stress through moments of pairs are those of the energy."""
    model = scaled_model(descriptors)
    energy, forces, stress = quick_jit(mff.energy_forces_stress(model))(
        frame.structure, model.descriptors.neighbor_list(frame.structure)
    )
    frame = dataclasses.replace(frame, stress=np.zeros((3, 3)))
    features = compute(descriptors, [frame.structure], "pairs")
    (batch,) = stored.make_batches(model, mff.Dataset([frame]), features, ("energy", "force", "stress"))
    assert all(f.jacobian is None and f.pairs is not None for f in batch.species.values())
    energies, _, found, virial = quick_jit(stored.predict)(model, batch)
    assert_allclose(energies[0], energy, rtol=1e-12)
    assert_allclose(found[0, :8], forces, atol=1e-11)
    assert_allclose(virial[0], stress, atol=1e-13)
    without = quick_jit(stored.predict)(model, batch.without_forces())
    assert_allclose(without[0][0], energy, rtol=1e-12)


def test_jacobians_are_derivatives(frame, descriptors):
    """Those stored beside other descriptors, against derivatives of values, and through moments of pairs."""
    neighbors = descriptors.neighbor_list(frame.structure)
    for label, environments in zip(neighbors.labels, neighbors.environments, strict=True):
        vectors = mff.geometry.displacements(frame.structure, environments)

        def sums(vectors, label=label, environments=environments):
            return descriptors.features_of_displacements(label, vectors, environments, neighbors.labels).sum(axis=0)

        expected = np.moveaxis(quick_jit(jax.jacrev(sums))(vectors), 0, 1)
        found = quick_jit(descriptors.jacobian, static_argnums=(0, 3))(label, vectors, environments, neighbors.labels)
        assert_allclose(found, expected, atol=1e-11)


def test_beside_other_descriptors_jacobians_are_stored(frame, descriptors):
    mixed = D.DescriptorSet([*descriptors, D.G2(0.1, 0.0, CUTOFF, species=("O", "H"))])
    features = compute(mixed, [frame.structure], "pairs").batches[0].species
    assert features["O"].jacobian is not None
    assert features["O"].pairs is None
    assert features["H"].jacobian is None
    assert features["H"].pairs is not None
    asked_for = mff.featurize(descriptors, [frame], jacobian=True).batches[0].species["H"]
    assert asked_for.jacobian.shape[2] == len(descriptors.of("H"))
    assert asked_for.pairs is None


def test_training_scales_invariants_alike(frame, descriptors):
    """One unit for all invariants, its own for every other descriptor."""
    g2 = [D.G2(eta, 0.0, CUTOFF, species=("O", "H")) for eta in (0.1, 1.0)]
    model = mff.NNPotential.init(
        jax.random.key(0), D.DescriptorSet([*descriptors, *g2]), hidden=(3,), activation="tanh"
    )
    trained = mff.fit(model, mff.Dataset([frame]), steps=1, weights=mff.LossWeights(forces=0), progress=False).model
    values = mff.featurize(model.descriptors, [frame]).per_species()["O"]
    chosen = model.descriptors.share_unit("O")
    factor = np.asarray(trained.scaling.factor[trained.species.index("O")])
    assert_allclose(factor[:7], 0.3 / np.sqrt(values[:, :7].var(axis=0).mean()), rtol=1e-10)
    assert_allclose(factor[7:], 1 / values[:, 7:].std(axis=0), rtol=1e-10)
    plain = fit_scaling({"O": values}, [[4]], [0.0], None, mff.Normalization(features="none"), {"O": chosen})
    assert (plain.factor[0] == 1).all()


def test_what_is_wrong_is_named():
    for arguments, name in (
        ({"ranks": (2, 1)}, "ranks"),
        ({"orders": (1,)}, "orders"),
        ({"orders": (0, 1)}, "orders"),
        ({"orders": (1.0, 1)}, "orders"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"species": ("O", "H")}, "species"),
        ({"factor": np.nan}, "factor"),
    ):
        valid = {"ranks": (1, 1), "orders": (1, 1), "cutoff": 4.0, "species": ("O", "H", "H")}
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            D.MomentInvariant(**(valid | arguments))


def test_missing_neighbors_leave_zero():
    ds = D.DescriptorSet([D.MomentInvariant((1, 1), (1, 1), CUTOFF, ("O", "He", "H"))])
    alone = mff.Structure.create([[0, 0, 0], [0, 0, 1.0]], ["O", "H"])
    assert quick_jit(ds)(alone, ds.neighbor_list(alone)).tolist() == [[0.0], [0.0]]
