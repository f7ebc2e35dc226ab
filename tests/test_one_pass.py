"""Models take value and derivative by displacements in one pass: the same numbers as JAX's own derivatives."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import miniffx as mff
import systems
from miniffx import blocks, mapping
from miniffx import descriptors as D
from miniffx._pytree import pytree, static
from oracles import quick_jit, tolerance

CUTOFF = 3.4


def stacked():
    """Two atoms in one place, others on a line with them and next to it, one alone."""
    positions = [[0, 0, 0], [0, 0, 0], [0, 0, 1.5], [0, 0, -1.6], [1.1, 0.2, 0.4], [40, 0, 0]]
    return mff.Structure.create(positions, ["Si", "O", "Si", "O", "O", "Si"])


DESCRIPTORS = [  # closed and open triples, of one and of several species, through moments, and what is no product
    D.G2(eta=0.3, r_shift=0.5, cutoff=CUTOFF, species=("Si", "O")),
    D.WeightedG4(eta=0.2, zeta=1.5, lam=-1.0, cutoff=CUTOFF, species=("Si", "O", "Si")),
    D.G5(eta=0.1, zeta=3.5, lam=1.0, cutoff=CUTOFF, species=("Si", "O", "O")),
    D.G5(eta=0.1, zeta=1.0, lam=1.0, cutoff=CUTOFF, species=("Si", "O", "Si")),
    D.G2(eta=0.3, r_shift=0.0, cutoff=CUTOFF, species=("O", "Si")),
]


MODEL = mff.NNPotential.init(jax.random.key(3), D.DescriptorSet(DESCRIPTORS), hidden=(4,), activation="tanh")


def in_many_passes(model, structure, neighbors):
    """The model's energy as a function of its features, which JAX differentiates."""
    total = 0.0
    for label in structure.labels:
        environments = mapping.environments_of(label, neighbors)
        energies = model.atomic_energies(label, model.descriptors.features(label, structure, neighbors))
        total += jnp.where(mapping.row_mask(environments, structure), energies, 0).sum()
    return total


def in_one_pass(model, structure, neighbors):
    return model(structure, neighbors)


BOTH = (in_one_pass, in_many_passes)


def moved(structure, positions, strain):
    return dataclasses.replace(structure, positions=positions).strain((strain + strain.T) / 2)


def everything(energy):
    """Energy, its gradients, a product with the Hessian, gradients in the weights of a loss of forces, a joint one."""

    def compute(model, structure, neighbors, along):
        def of_geometry(positions, strain):
            return energy(model, moved(structure, positions, strain), neighbors)

        here = structure.positions, jnp.zeros((3, 3), structure.positions.dtype)
        gradient = jax.grad(of_geometry, (0, 1))
        directions = along, 0.1 * along[:3]

        def loss(model, positions):
            value, slope = jax.value_and_grad(lambda p: energy(model, moved(structure, p, here[1]), neighbors))(
                positions
            )
            return value**2 + (slope**2).sum()

        def jointly(model, positions):
            return energy(model, moved(structure, positions, here[1]), neighbors)

        return {
            "value": of_geometry(*here),
            "forward": jax.jvp(of_geometry, here, directions)[1],
            "gradient": gradient(*here),
            "Hessian": jax.jvp(gradient, here, directions)[1],
            "loss of forces": jax.grad(loss)(model, here[0]).networks,
            "joint": jax.grad(jointly, (0, 1))(model, here[0]),
        }

    return compute


@pytest.fixture(scope="module")
def cases():
    structures = [systems.two_species(), systems.thin(), systems.molecule(), stacked()]
    return systems.in_one_shape(structures, MODEL)


@pytest.mark.float32_too
def test_derivatives_in_one_pass(cases, monkeypatch):
    structure, neighbors = cases[0]
    widest = max(slots.first.shape[-1] for e in neighbors.environments for slots in e.triples)
    monkeypatch.setitem(blocks.BLOCK, "cpu", 3 * widest)
    one, many = (quick_jit(everything(energy)) for energy in BOTH)
    along = np.random.default_rng(5).normal(size=structure.positions.shape)
    for structure, neighbors in cases:
        arguments = MODEL, structure, neighbors, jnp.asarray(along, structure.positions.dtype)
        found, expected = one(*arguments), many(*arguments)
        for name, leaves in expected.items():
            for a, b in zip(jax.tree.leaves(found[name]), jax.tree.leaves(leaves), strict=True):
                assert np.isfinite(a).all(), name
                scale = max(float(abs(b).max()), 1e-3)
                assert_allclose(a, b, rtol=0, atol=tolerance(1e-11, 2e-4) * scale, err_msg=name)


def test_a_batch(cases):
    """Under vmap over structures, and over models."""
    structures, lists = (jax.tree.map(lambda *leaves: jnp.stack(leaves), *of) for of in zip(*cases, strict=True))
    one, many = (
        quick_jit(jax.vmap(mff.energy_and_forces(lambda s, nl, energy=energy: energy(MODEL, s, nl)))) for energy in BOTH
    )
    for a, b in zip(one(structures, lists), many(structures, lists), strict=True):
        assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    committee = mff.Committee.of([MODEL, jax.tree.map(lambda leaf: 1.5 * leaf, MODEL)])
    structure, neighbors = cases[0]
    each = [quick_jit(mff.energy_and_forces(committee.member(n)))(structure, neighbors) for n in range(2)]
    mean = quick_jit(mff.energy_and_forces(committee))(structure, neighbors)
    for of_mean, *of_each in zip(mean, *each, strict=True):
        assert_allclose(of_mean, sum(of_each) / 2, rtol=1e-10, atol=1e-12)


def test_a_jitted_energy_is_differentiated_from_outside():
    structure = systems.silicon()
    three = ("Si", "Si", "Si")
    ds = D.DescriptorSet([D.G4(eta=0.1, zeta=2.0, lam=1.0, cutoff=CUTOFF, species=three)])
    model = mff.NNPotential.init(jax.random.key(0), ds, hidden=(3,))
    neighbors = model.neighbor_list(structure)

    def slope(energy):
        inner = jax.jit(energy)
        return jax.grad(lambda p: inner(model, dataclasses.replace(structure, positions=p), neighbors))(
            structure.positions
        )

    assert_allclose(slope(in_one_pass), slope(in_many_passes), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kept", ["in a leaf", "in a function", "in a class"])
def test_numbers_that_descriptors_depend_on_are_differentiated(kept):
    """Whether JAX can see them or only the user's own functions know of them."""
    structure = systems.molecule()
    neighbors = mff.neighbor_list(structure, CUTOFF)

    def energy(width, positions):
        def own(r):
            return jnp.exp(-width * r**2) * (1 - r / CUTOFF) ** 3

        @pytree
        class Own(D.Radial):
            cutoff: float = static()
            species: tuple[str, str] = static()

            def formula(self, r):
                return own(r)

        arguments = {"cutoff": CUTOFF, "species": ("Si", "O")}
        descriptor = {
            "in a leaf": lambda: D.G2(eta=width, r_shift=0.0, **arguments),
            "in a function": lambda: D.RadialDescriptor(own, **arguments),
            "in a class": lambda: Own(**arguments),
        }[kept]()
        other = D.G2(eta=0.2, r_shift=1.0, cutoff=CUTOFF, species=("O", "Si"))
        model = mff.NNPotential.init(jax.random.key(0), D.DescriptorSet([descriptor, other]), hidden=(3,))
        return model(dataclasses.replace(structure, positions=positions), neighbors)

    def squared_forces(width):
        return (jax.grad(energy, 1)(width, structure.positions) ** 2).sum()

    h = 1e-5
    slope = jax.jit(jax.grad(energy))(0.3, structure.positions)
    ahead, behind = (energy(0.3 + s, structure.positions) for s in (h, -h))
    assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-7)
    ahead, behind = (squared_forces(0.3 + s) for s in (h, -h))
    assert_allclose(jax.grad(squared_forces)(0.3), (ahead - behind) / (2 * h), rtol=1e-6)
    inner = jax.jit(energy)
    assert np.isfinite(jax.grad(lambda p: inner(0.3, p))(structure.positions)).all()


def test_numbers_of_another_precision(cases):
    """Without :func:`miniffx.mapping.cast`, which a model does before."""
    structure, neighbors = cases[0]
    positions, cell = (jnp.asarray(leaf, "float32") for leaf in (structure.positions, structure.cell))
    single = dataclasses.replace(structure, positions=positions, cell=cell)

    def energy(positions):
        rows = MODEL.rows(dataclasses.replace(single, positions=positions), neighbors)
        return sum(row.values.sum() for row in rows)

    found = quick_jit(jax.grad(energy))(single.positions)
    expected = quick_jit(jax.grad(lambda p: MODEL(dataclasses.replace(structure, positions=p), neighbors)))
    assert_allclose(found, expected(structure.positions), rtol=1e-3, atol=1e-5)
