"""Distributions against the reference, plain sums and an ideal gas; profiles against energies of strained crystals."""

from __future__ import annotations

import dataclasses
import itertools
import sys

import jax
import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa
from numpy.testing import assert_allclose

import miniffx as mff
import oracles
import systems
from miniffx import Structure
from miniffx.analysis.smearing import smeared

SIGMA = 0.13


def gaussian(x, sigma=SIGMA):
    return np.exp(-(x**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))


@pytest.fixture(scope="module")
def box(miniff):
    of = miniff["structures"][miniff["distributions"]["structure"]]
    return Structure.create(of["fractional"], of["species"], cell=of["cell"], fractional=True)


# -- distributions ---------------------------------------------------------------------------------


def test_rdf_of_the_reference(miniff, box):
    """The reference gives densities, ρ_AB = g_AB N_B / V, from pairs up to some 0.57 Å beyond the last r."""
    expected = miniff["distributions"]
    r, sigma = np.array(expected["r"]), expected["rdf_sigma"]
    found = mff.rdf(box, r, sigma=sigma, density=True)
    assert set(found) == set(expected["rdf"]) == {"A-A", "A-B", "B-B"}
    normalized = mff.rdf(box, r, sigma=sigma)
    for key, values in expected["rdf"].items():
        assert_allclose(found[key][:-3], values[:-3], rtol=1e-9, atol=1e-14)
        assert_allclose(found[key], values, rtol=1e-6)
        n_b = box.species.count(key[-1])
        assert_allclose(normalized[key] * n_b / float(box.volume), found[key], rtol=1e-13)


def test_adf_of_the_reference(miniff, box):
    expected = miniff["distributions"]
    found = mff.adf(box, expected["theta"], sigma=expected["adf_sigma"], cutoff=expected["adf_cutoff"])
    assert set(found) == set(expected["adf"])
    for key, values in expected["adf"].items():
        assert_allclose(found[key], values, rtol=1e-9)


@pytest.mark.parametrize("make", [systems.thin, systems.one_atom, systems.slab, systems.left_handed])
def test_distributions_are_plain_sums(make):
    """Over every pair and triple that brute force finds, in cells where images are neighbours."""
    structure = make()
    labels, r, theta = structure.species, np.linspace(0.0, 4.0, 41), np.linspace(0, np.pi, 31)
    pairs = oracles.pairs_of(structure, 4.0 + 9 * SIGMA)
    radial = {f"{a}-{b}": np.zeros(41) for a, b in itertools.combinations_with_replacement(structure.labels, 2)}
    for i, j, D in zip(pairs.i, pairs.j, pairs.D, strict=True):
        if labels[i] <= labels[j]:
            radial[f"{labels[i]}-{labels[j]}"] += gaussian(r - np.linalg.norm(D))
    found = mff.rdf(structure, r, sigma=SIGMA)
    densities = mff.rdf(structure, r, sigma=SIGMA, density=True)
    assert set(found) == set(radial)
    for key, sums in radial.items():
        n_a, n_b = (labels.count(label) for label in key.split("-"))
        density = sums[1:] / (4 * np.pi * r[1:] ** 2 * n_a)
        assert_allclose(densities[key][1:], density, rtol=1e-12, atol=1e-14)
        assert_allclose(found[key][1:], density * float(structure.volume) / n_b, rtol=1e-12, atol=1e-13)
        assert found[key][0] == densities[key][0] == 0

    angular = mff.adf(structure, theta, sigma=SIGMA, cutoff=3.1)
    near = oracles.pairs_of(structure, 3.1)
    kinds = [
        (a, b, c) for a in structure.labels for b, c in itertools.combinations_with_replacement(structure.labels, 2)
    ]
    assert set(angular) == {f"{a}-[{b},{c}]" for a, b, c in kinds}
    for a, b, c in kinds:
        sums = np.zeros(31)
        for i, p, q in itertools.product(range(len(labels)), range(len(near.i)), range(len(near.i))):
            if near.i[p] == near.i[q] == i and (labels[i], labels[near.j[p]], labels[near.j[q]]) == (a, b, c):
                u, v = near.D[p], near.D[q]
                angle = np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)
                sums += (p != q) * (0.5 if b == c else 1.0) * gaussian(theta - angle)
        assert_allclose(angular[f"{a}-[{b},{c}]"], sums, rtol=1e-9, atol=1e-11)


def test_an_ideal_gas():
    """g = 1 for three species at random, within the noise of counting: ±1/√pairs per bin of σ."""
    rng = np.random.default_rng(0)
    gas = Structure.create(
        rng.uniform(0, 30, size=(3000, 3)), ["A"] * 500 + ["B"] * 1000 + ["C"] * 1500, cell=[30.0] * 3
    )
    r = np.linspace(3, 6, 31)
    found = mff.rdf(gas, r, sigma=0.2)
    assert len(found) == 6
    for key, g in found.items():
        n = [500, 1000, 1500]["ABC".index(key[0])] * [500, 1000, 1500]["ABC".index(key[-1])] / 27000
        pairs = n * 4 * np.pi * r**2 * 2 * np.sqrt(np.pi) * 0.2 / (2 if key[0] == key[-1] else 1)
        assert np.abs((g - 1) * np.sqrt(pairs)).max() < 4.5
        assert abs((g - 1).mean()) < 0.02


def test_frames_are_averaged():
    """Of any sizes, and each entry over the frames that hold its species; padding is no atom."""
    frames = [systems.two_species(), systems.slab(), systems.silicon()]
    r, theta = np.linspace(1, 4, 7), np.linspace(0.5, 3, 5)
    for distribution, grid in ((mff.rdf, r), (mff.adf, theta)):
        single = [distribution(frame, grid) for frame in frames]
        together = distribution(iter(frames), grid)
        assert set(together) == set(single[0])
        for key, values in together.items():
            expected = [result[key] for result in single if key in result]
            assert len(expected) == (3 if set(key) <= set("Si-[,]") else 2)
            assert_allclose(values, np.mean(expected, axis=0), rtol=1e-13)
        padded = distribution(frames[0].pad(13), grid)
        for key, values in single[0].items():
            assert_allclose(padded[key], values, rtol=1e-13)
        data = mff.Dataset([mff.Frame(frame, 0.0) for frame in frames])
        for key, values in distribution(data, grid).items():
            assert_allclose(values, together[key], rtol=1e-13)


def test_smearing_is_exact():
    """Against every Gaussian at every point of a grid of any order, down to widths of a thousandth of the range."""
    rng = np.random.default_rng(1)
    grid = rng.uniform(-1, 2, size=50)
    for sigma in (2.0, 0.1, 1e-3):
        points, kinds = rng.uniform(-3, 4, size=400), rng.integers(0, 3, size=400)
        found = smeared([(points[:150], kinds[:150]), (points[150:], kinds[150:])], 3, grid, sigma)
        for kind in range(3):
            expected = gaussian(grid[:, None] - points[kinds == kind], sigma).sum(axis=1)
            rounding = 1e-13 + 1e-15 * 7 / sigma  # of positions in units of σ
            assert_allclose(found[kind], expected, rtol=1e-13, atol=rounding * gaussian(0, sigma))
    assert smeared([(points, kinds)], 3, np.zeros(0), 0.1).shape == (3, 0)


def test_many_pairs_and_triples_come_in_parts(monkeypatch):
    structure, grid = systems.two_species(), [1.0, 2.0]
    whole = mff.adf(structure, grid, cutoff=4.0) | mff.rdf(structure, grid)
    for name in ("adf", "rdf", "smearing"):
        monkeypatch.setattr(sys.modules[f"miniffx.analysis.{name}"], "CHUNK", 7)
    for key, values in (mff.adf(structure, grid, cutoff=4.0) | mff.rdf(structure, grid)).items():
        assert_allclose(values, whole[key], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: mff.rdf(s, [1.0, -0.5]), "`r` must not be negative, got -0.5"),
        (lambda s: mff.rdf(s, 1.0), "`r` must be an array of distances of shape"),
        (lambda s: mff.rdf(s, [1.0], sigma=0), "`sigma` must be positive, got 0"),
        (lambda s: mff.rdf([], [1.0]), "`structures` must hold at least one structure, got none"),
        (lambda s: mff.rdf(["Si"], [1.0]), "`structures` must be a Structure or a sequence of them, got 'Si' at 0"),
        (lambda s: mff.rdf(systems.molecule(), [1.0]), "`structures` must have a cell with a volume"),
        (lambda s: mff.adf(s, [1.0], cutoff=-1), "`cutoff` must be positive, got -1"),
        (lambda s: mff.adf(s, [[1.0]]), "`theta` must be an array of angles of shape"),
    ],
)
def test_what_distributions_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call(systems.silicon())


def test_a_molecule_has_densities():
    found = mff.rdf(systems.molecule(), np.linspace(0.5, 4, 8), density=True)
    assert set(found) == {"O-O", "O-Si", "Si-Si"}
    assert found["Si-Si"].max() > 0


# -- strain profiles -------------------------------------------------------------------------------


sw = mff.potentials.stillinger_weber("Si")
energy_of = jax.jit(lambda energy, structure, nl: energy(structure, nl))
DIRECTIONS = {
    "all": (1, 1, 1),
    "third": (0, 0, 1),
    "weights": (1.0, -0.5, 0.2),
    "along 110": np.outer([1, 1, 0], [1, 1, 0]) / 2,
    "shear": [[0, 0, 0], [0, 0, 1.0], [0, 0, 0]],
}


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_strain_profile(direction):
    """Energies of structures made by hand, each with its own list, and stresses as slopes of the energy."""
    silicon = systems.left_handed().relabel(("O", "Si"))
    silicon = Structure.create(silicon.positions * 1.1, ["Si"] * 3, cell=silicon.cell * 1.1)
    h = 1e-4
    strains = np.array([-0.1, -0.03, 0.0, 0.05, 0.15, 0.15 - h, 0.15 + h, -h, h])
    profile = mff.strain_profile(sw, silicon, strains, direction)
    assert profile.strains is profile[0]
    assert profile.energies.shape == profile.stresses.shape == (9,)
    cell, fractional = np.asarray(silicon.cell), np.asarray(silicon.fractional_positions)
    crystals = []
    for s in strains:
        if np.ndim(direction) == 1:
            moved = (1 + s * np.array(direction))[:, None] * cell
        else:
            moved = cell @ (np.eye(3) + s * np.array(direction)).T
        crystals.append(Structure.create(fractional @ moved, ["Si"] * 3, cell=moved))
    for energy, (crystal, nl) in zip(profile.energies, systems.in_one_shape(crystals, sw), strict=True):
        assert_allclose(energy, energy_of(sw, crystal, nl), rtol=1e-11)
    E = np.asarray(profile.energies)
    volume = float(silicon.volume)
    scale = np.abs(profile.stresses).max()
    assert_allclose(profile.stresses[2], (E[8] - E[7]) / (2 * h) / volume, atol=1e-5 * scale)
    assert_allclose(profile.stresses[4], (E[6] - E[5]) / (2 * h) / volume, atol=1e-5 * scale)


def test_strain_profile_of_a_crystal():
    """Silicon expanded evenly: E = 9/2 B s² per volume, B = (151.4 + 2 · 76.4)/3 GPa.

    Cowley, Phys. Rev. Lett. 60, 2379 (1988).
    """
    silicon = Structure.from_ase(bulk("Si", a=4 / np.sqrt(3) * 2 ** (1 / 6) * 2.0951))
    s = np.array([-1e-3, 0, 1e-3])
    strains, energies, stresses = mff.strain_profile(sw, silicon, s)
    assert_allclose((stresses[2] - stresses[0]) / 2e-3 / 9 / GPa, (151.4 + 2 * 76.4) / 3, rtol=2e-3)
    assert_allclose(stresses[1], 0, atol=1e-6)
    assert energies.argmin() == 1
    assert_allclose(strains, s)


@pytest.mark.parametrize(
    ("strains", "direction", "message"),
    [
        ([[0.1]], (1, 1, 1), "`strains` must be an array of strains of shape"),
        ([0.1], (1, 1), "`direction` must be three weights"),
        ([0.1], np.ones((2, 3)), "`direction` must be three weights"),
        ([0.1, -1.0], (1, 1, 1), "`strains` must leave the cell a positive volume, got -1.0"),
        ([0.1, np.nan], (1, 1, 1), "`strains` must be finite"),
    ],
)
def test_what_strain_profiles_refuse(strains, direction, message):
    with pytest.raises(ValueError, match=message):
        mff.strain_profile(sw, systems.silicon(), strains, direction)


def test_no_strain_profile_without_a_volume():
    with pytest.raises(ValueError, match="`structure` must have a cell of three independent vectors"):
        mff.strain_profile(sw, systems.molecule(), [0.0])


def test_a_strain_beyond_an_ewald_sum_says_so():
    salt = systems.two_species()
    salt = dataclasses.replace(salt, charges=np.where(np.array(salt.species) == "Si", 1.0, -1.0))
    ewald = mff.potentials.Ewald.for_structure(salt, 1e-3)
    assert np.isfinite(mff.strain_profile(ewald, salt, [0.0, 0.1]).energies).all()
    with pytest.raises(ValueError, match="`k_max` must be at least"):
        mff.strain_profile(ewald, salt, [0.0, 0.6])


def test_elastic_constants_of_what_is_padded():
    si, sw = Structure.from_ase(bulk("Si", a=5.431)), mff.potentials.stillinger_weber("Si")
    assert_allclose(mff.elastic_constants(sw, si.pad(4)), mff.elastic_constants(sw, si), atol=1e-9)
    for what, message in ((lambda s, nl: 0.0, "`energy` must have a `neighbor_list`"), (sw, "`structure` must be one")):
        with pytest.raises(ValueError, match=message):
            mff.elastic_constants(what, mff.stack([si, si]))
