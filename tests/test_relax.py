"""Relaxation against ASE's optimizers, closed forms, and its own promises: honest, never uphill, with a valid list."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import UnitCellFilter
from ase.optimize import LBFGS
from ase.units import GPa
from numpy.testing import assert_allclose

import miniffx as mff
import oracles
from miniffx import Structure

AR = ("Ar", "Ar")
BOTH = pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])


def shifted_lennard_jones(r):
    """Argon, with value and slope going to 0 at 6 Å."""
    well = 4 * 0.0103 * ((3.4 / r) ** 12 - (3.4 / r) ** 6)
    return well * (1 - (r / 6.0) ** 4) ** 2


lj = mff.potentials.PairPotential(shifted_lennard_jones, cutoff=6.0, species=AR)
sw = mff.potentials.stillinger_weber("Si")
efs = jax.jit(lambda energy, structure, nl: mff.energy_forces_stress(energy)(structure, nl))
ef = jax.jit(lambda energy, structure, nl: mff.energy_and_forces(energy)(structure, nl))


def fresh(energy, structure):
    """Energy, largest force, and stress of a structure by a list of its own."""
    nl = energy.neighbor_list(structure)
    if float(structure.volume) > 0:
        value, forces, stress = efs(energy, structure, nl)
    else:
        (value, forces), stress = ef(energy, structure, nl), None
    return float(value), np.linalg.norm(forces, axis=1).max(), stress


def values(result, key="energy"):
    return np.array([line[key] for line in result.history])


def rattled(atoms, scale, seed=0):
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(scale=scale, size=atoms.positions.shape)
    return Structure.from_ase(atoms)


@functools.cache
def vacancy(edge=5.1):
    """Silicon without an atom: compressed, so that the atoms around the hole reach each other."""
    atoms = bulk("Si", a=edge, cubic=True) * (2, 2, 2)
    del atoms[20]
    return rattled(atoms, 0.05)


ALL_PAIRS = 10.0  # Å: with this skin everybody is listed as everybody's neighbour, and all clusters share a program


def cluster(n=13, spread=1.0, seed=1):
    """Argon atoms on a rattled grid 3.9 Å × `spread` wide, without a cell."""
    grid = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)])[:n] * 3.9 * spread
    return Structure.create(grid + np.random.default_rng(seed).normal(scale=0.2, size=(n, 3)), ["Ar"] * n)


@functools.cache
def strained_argon():
    """A cell of argon with 4 atoms, strained and sheared by percents, and rattled."""
    atoms = bulk("Ar", a=5.2, cubic=True)
    strain = np.eye(3) + 0.03 * np.random.default_rng(2).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return rattled(atoms, 0.1)


class WithASE(Calculator):
    """An energy of the library for ASE."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, energy):
        super().__init__()
        self.energy = energy
        self.nl = None

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        structure = Structure.from_ase(atoms)
        self.nl = self.energy.neighbor_list(structure, 1.0) if self.nl is None else self.nl.update(structure)
        energy, forces, stress = efs(self.energy, structure, self.nl)
        voigt = np.asarray(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": float(energy), "forces": np.asarray(forces), "stress": voigt}


@functools.cache
def vacancy_by_ase():
    atoms = vacancy().to_ase()
    atoms.calc = WithASE(sw)
    LBFGS(atoms, logfile=None).run(fmax=1e-4)
    return atoms.get_potential_energy(), atoms.positions


# -- the right minimum -----------------------------------------------------------------------------


@BOTH
def test_vacancy_in_silicon_as_with_ase(optimizer):
    result = mff.relax(sw, vacancy(), fmax=1e-4, optimizer=optimizer)
    assert result.converged
    value, fmax, _ = fresh(sw, result.structure)
    assert_allclose(value, result.energy, rtol=1e-13)
    assert fmax <= 1e-4
    assert_allclose(values(result, "max_force")[-1], fmax, rtol=1e-6)

    energy, positions = vacancy_by_ase()
    # With forces of 1e-4 and curvatures of some 5 eV/Å² at least, energies are 1e-7 and positions 1e-3 off.
    assert_allclose(result.energy, energy, atol=1e-6)
    moved = positions - np.asarray(result.structure.positions)
    assert_allclose(moved - moved.mean(axis=0), 0, atol=1e-3)
    assert (values(result)[0] - result.energy) > 1.0
    if optimizer == "lbfgs":
        assert (np.diff(values(result)) < 0).all()
        assert result.n_steps < 40


def test_silicon_finds_its_bond_length():
    """A strained cell of silicon: −2ε per atom at a bond of 2^(1/6) σ, whatever it started from."""
    atoms = bulk("Si", a=5.431, cubic=True)
    atoms.set_cell(atoms.cell.array @ np.array([[1.04, 0.03, 0], [0, 0.95, 0.02], [0.01, 0, 1.03]]), scale_atoms=True)
    start = rattled(atoms, 0.05)
    result = mff.relax(sw, start, fmax=1e-6, smax=1e-8, cell=True)
    assert result.converged
    assert_allclose(result.energy, -16 * 2.1683, rtol=1e-7)
    metric = np.asarray(result.structure.cell @ result.structure.cell.T)
    a = 4 / np.sqrt(3) * 2 ** (1 / 6) * 2.0951
    assert_allclose(metric, a**2 * np.eye(3), atol=1e-4)
    _, fmax, stress = fresh(sw, result.structure)
    assert fmax <= 1e-6
    assert np.abs(stress).max() <= 1e-8
    # A symmetric strain: nothing turned.
    strain = np.linalg.solve(np.asarray(start.cell), np.asarray(result.structure.cell))
    assert_allclose(strain, strain.T, atol=1e-12)


@pytest.mark.parametrize(("optimizer", "pressure"), [("lbfgs", 0.0), ("lbfgs", 2 * GPa), ("fire", 2 * GPa)])
def test_argon_under_pressure_as_with_ase(optimizer, pressure):
    result = mff.relax(
        lj, strained_argon(), fmax=1e-5, smax=1e-7, cell=True, pressure=pressure, optimizer=optimizer, skin=1.0
    )
    assert result.converged
    value, fmax, stress = fresh(lj, result.structure)
    assert fmax <= 1e-5
    assert_allclose(stress, -pressure * np.eye(3), atol=1e-7)
    assert_allclose(result.energy, value, rtol=1e-12)
    enthalpy = value + pressure * float(result.structure.volume)
    assert_allclose(values(result, "enthalpy")[-1], enthalpy, rtol=1e-12)
    assert_allclose(values(result, "max_stress")[-1], np.abs(stress + pressure * np.eye(3)).max(), rtol=1e-3)
    if optimizer == "lbfgs":
        assert (np.diff(values(result, "enthalpy")) < 0).all()

    # Plain sums over a perfect crystal of the same volume: p = −dE/dV, and the energy is the same.
    def static(volume):
        crystal = Structure.from_ase(bulk("Ar", a=(4 * volume) ** (1 / 3)))
        return oracles.pair_energies(crystal, AR, 6.0, shifted_lennard_jones).sum()

    volume = float(result.structure.volume) / 4
    assert_allclose(value / 4, static(volume), rtol=1e-7)
    assert_allclose(-oracles.central_difference(static, volume, 1e-4), pressure, atol=2e-7)

    if optimizer == "lbfgs" and pressure:
        atoms = strained_argon().to_ase()
        atoms.calc = WithASE(lj)
        LBFGS(UnitCellFilter(atoms, scalar_pressure=pressure), logfile=None).run(fmax=1e-5)
        reference = atoms.get_potential_energy() + pressure * atoms.get_volume()
        assert_allclose(enthalpy, reference, atol=1e-7)
        assert_allclose(result.structure.volume, atoms.get_volume(), rtol=1e-4)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False)])
def test_open_axes_are_not_strained(pbc):
    """A slab and a chain: stress vanishes within the space of the periodic vectors, and open vectors stay."""
    cell = np.array([[7.3, 0.3, 0.2], [-0.2, 7.9, 0.4], [2.0, 1.5, 12.7]])
    grid = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]) / 2
    start = grid @ cell + np.random.default_rng(3).normal(scale=0.05, size=(4, 3))
    start = Structure.create(start, ["Ar"] * 4, cell=cell, pbc=pbc)
    result = mff.relax(lj, start, fmax=1e-5, smax=1e-7, cell=True, skin=1.0)
    assert result.converged
    _, fmax, stress = fresh(lj, result.structure)
    assert fmax <= 1e-5
    rows = cell[np.array(pbc)]
    basis, _ = np.linalg.qr(rows.T)
    assert np.abs(basis.T @ np.asarray(stress) @ basis).max() <= 1e-7
    after = np.asarray(result.structure.cell)
    assert_allclose(after[~np.array(pbc)], cell[~np.array(pbc)], rtol=0, atol=0)
    assert np.abs(after - cell).max() > 0.05
    assert_allclose(after[np.array(pbc)] @ (np.eye(3) - basis @ basis.T), 0, atol=1e-12)


# -- honest ----------------------------------------------------------------------------------------


def test_too_few_steps_are_told():
    start = cluster()
    for optimizer in ("lbfgs", "fire"):
        result = mff.relax(lj, start, optimizer=optimizer, steps=7, skin=ALL_PAIRS)
        assert result.converged is False
        assert result.n_steps == 7
        assert [line["step"] for line in result.history] == list(range(8))
        value, fmax, _ = fresh(lj, result.structure)
        assert fmax > 1e-3
        assert_allclose(value, result.energy, rtol=1e-13)
        assert result.energy <= fresh(lj, start)[0]
    unmoved = mff.relax(lj, start, steps=0)
    assert (unmoved.converged, unmoved.n_steps, len(unmoved.history)) == (False, 0, 1)
    assert (unmoved.structure.positions == start.positions).all()


def test_a_relaxed_start_takes_no_step():
    first = mff.relax(lj, cluster(), skin=ALL_PAIRS)
    assert first.converged
    assert first.n_steps > 5
    again = mff.relax(lj, first.structure, skin=ALL_PAIRS)
    assert (again.converged, again.n_steps, len(again.history)) == (True, 0, 1)
    assert (again.structure.positions == first.structure.positions).all()
    assert_allclose(again.energy, first.energy, rtol=1e-13)
    crystal = mff.relax(lj, strained_argon(), cell=True, fmax=1e-5, smax=1e-7, skin=1.0)
    again = mff.relax(lj, crystal.structure, cell=True, fmax=1.01e-5, smax=1.01e-7, skin=1.0)
    assert (again.converged, again.n_steps) == (True, 0)
    assert_allclose(again.structure.cell, crystal.structure.cell, rtol=1e-15)


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_what_comes_back_is_never_above_the_start(optimizer, seed):
    """From hot starts, with any number of steps; FIRE's own values do rise on the way."""
    start = cluster(spread=0.85, seed=seed)
    result = mff.relax(lj, start, optimizer=optimizer, steps=7, skin=ALL_PAIRS)
    assert result.energy <= fresh(lj, start)[0]
    assert_allclose(result.energy, fresh(lj, result.structure)[0], rtol=1e-12)
    assert result.energy <= values(result).min() + 1e-12 * abs(result.energy) or result.converged
    assert result.converged == (fresh(lj, result.structure)[1] <= 1e-3)


def test_an_energy_that_jumps_is_followed_by_its_forces():
    """A potential with a step up on the way to where its forces vanish: it takes the step, and says so."""
    jumping = mff.potentials.PairPotential(
        lambda r: 0.5 * (r - 3.0) ** 2 - jnp.where(r > 3.05, 0.3, 0.0), cutoff=6.0, species=AR
    )
    far, near = (Structure.create([[0, 0, 0], [0, 0, r]], AR) for r in (3.9, 3.1))
    result = mff.relax(jumping, far, fmax=1e-4)
    assert result.converged
    assert_allclose(np.diff(result.structure.positions[:, 2]), 3.0, atol=1e-4)
    assert np.diff(values(result)).max() > 0.29
    # From where the minimum lies above the start, the start is what comes back, and it is not converged.
    result = mff.relax(jumping, near, fmax=1e-4)
    assert result.converged is False
    assert result.energy <= values(result)[0]
    assert values(result)[-1] > values(result)[0]


def test_numbers_that_are_none():
    holed = mff.potentials.PairPotential(lambda r: jnp.where(r > 3.5, r, jnp.nan), cutoff=6.0, species=AR)
    dimer = Structure.create([[0, 0, 0], [0, 0, 4.2]], AR)
    result = mff.relax(holed, dimer)
    assert result.converged is False
    assert np.isfinite(values(result)).all()
    distance = float(result.structure.positions[1, 2] - result.structure.positions[0, 2])
    assert 3.5 < distance < 3.6
    assert_allclose(result.energy, distance, rtol=1e-12)
    with pytest.raises(ValueError, match=r"`structure` must have a finite energy and finite forces"):
        mff.relax(holed, Structure.create([[0, 0, 0], [0, 0, 3.4]], AR))
    pair = mff.stack([dimer, Structure.create([[0, 0, 0], [0, 0, 3.4]], AR)])
    with pytest.raises(ValueError, match=r"`structure`.* in structure 1"):
        mff.relax(holed, pair)


# -- the list --------------------------------------------------------------------------------------


def test_the_list_follows_atoms_that_move_farther_than_the_skin():
    start = cluster(spread=1.25)
    result = mff.relax(lj, start, skin=0.1)
    assert result.converged
    moved = np.linalg.norm(result.structure.positions - start.positions, axis=1).max()
    assert moved > 10 * 0.1
    value, fmax, _ = fresh(lj, result.structure)
    assert_allclose(value, result.energy, rtol=1e-13)
    assert fmax <= 1e-3
    # It started with a list that had no room for what it found, and the relaxation went on in a larger one.
    before = lj.neighbor_list(start, skin=0.1).capacity
    assert before.union(lj.neighbor_list(result.structure).capacity) != before
    assert (np.diff(values(result)) < 0).all()


def test_the_width_of_the_skin_changes_nothing():
    results = [mff.relax(lj, cluster(), fmax=1e-5, skin=skin) for skin in (0.0, ALL_PAIRS)]
    assert_allclose(results[0].energy, results[1].energy, rtol=1e-9)
    assert_allclose(results[0].structure.positions, results[1].structure.positions, atol=1e-4)


def test_a_batch_is_updated_inside_jit():
    """All lists as soon as one needs it, none before; what does not fit is told apart."""
    batch = jax.tree.map(jnp.asarray, mff.stack([cluster(8), cluster(13)]))
    nl = lj.neighbor_list(batch, skin=0.4)
    update = jax.jit(lambda structure, nl: nl.update(structure))

    def shaken(scales):
        noise = np.random.default_rng(0).uniform(-1, 1, size=batch.positions.shape)
        return dataclasses.replace(batch, positions=batch.positions + noise * np.reshape(scales, (2, 1, 1)))

    kept = update(shaken([0.05, 0.05]), nl)
    assert (kept.positions == batch.positions).all()
    for scales in ([0.3, 0.05], [0.05, 0.3]):
        moved = shaken(scales)
        inside, outside = update(moved, nl), nl.update(moved)
        assert (inside.positions == moved.positions).all()
        assert not inside.overflow.any()
        for a, b in zip(inside.environments, outside.environments, strict=True):
            assert_allclose(a.counts, b.counts)
    crowded = dataclasses.replace(batch, positions=batch.positions * np.array([1.0, 0.5]).reshape(2, 1, 1))
    assert update(crowded, nl).overflow.tolist() == [False, True]


# -- batches, fixed atoms, arguments ---------------------------------------------------------------


def test_a_batch_of_different_structures():
    """Every one as if it were alone; those that are done wait."""
    singles = [cluster(4), cluster(13), cluster(9, spread=1.25)]
    batch = mff.relax(lj, mff.stack(singles), fmax=1e-4, skin=2.0)
    padded = [jax.tree.map(lambda leaf, b=b: leaf[b], mff.stack(singles)) for b in range(3)]
    assert batch.converged.tolist() == [True] * 3
    assert len(set(batch.n_steps.tolist())) == 3
    for b, start in enumerate(singles):
        alone = mff.relax(lj, padded[b], fmax=1e-4, skin=ALL_PAIRS)
        assert len(batch.history[b]) == batch.n_steps[b] + 1
        assert_allclose(batch.energy[b], alone.energy, atol=1e-7)
        assert_allclose(batch.history[b][0]["energy"], alone.history[0]["energy"], rtol=1e-12)
        assert_allclose(batch.history[b][5]["energy"], alone.history[5]["energy"], rtol=1e-9)
        part = dataclasses.replace(start, positions=batch.structure.positions[b, : start.n_atoms])
        value, fmax, _ = fresh(lj, part)
        assert_allclose(batch.energy[b], value, rtol=1e-12)
        assert fmax <= 1e-4
        assert not np.asarray(batch.structure.positions[b, start.n_atoms :]).any()


def test_a_batch_of_cells():
    starts = [rattled(bulk("Ar", a=a), 0.05) for a in (5.2, 5.5)] + [rattled(bulk("Ar", "sc", a=3.7) * (2, 1, 1), 0.02)]
    batch = mff.relax(lj, mff.stack(starts), cell=True, pressure=0.5 * GPa, fmax=1e-4, smax=1e-6, skin=1.0)
    assert batch.converged.all()
    for b in (0, 2):
        start, n = starts[b], starts[b].n_atoms
        part = dataclasses.replace(start, positions=batch.structure.positions[b, :n], cell=batch.structure.cell[b])
        _, fmax, stress = fresh(lj, part)
        assert fmax <= 1e-4
        assert_allclose(stress, -0.5 * GPa * np.eye(3), atol=1e-6)
    assert_allclose(batch.structure.volume[0], batch.structure.volume[1], rtol=1e-4)


def test_fixed_atoms_stay():
    start = cluster()
    fixed = np.arange(13) < 4
    result = mff.relax(lj, start, fixed=fixed, skin=ALL_PAIRS)
    assert result.converged
    assert (result.structure.positions[:4] == start.positions[:4]).all()
    forces = np.linalg.norm(ef(lj, result.structure, lj.neighbor_list(result.structure))[1], axis=1)
    assert forces[:4].max() > 1e-2
    assert forces[4:].max() <= 1e-3
    everything = mff.relax(lj, start, fixed=np.ones(13, bool), skin=ALL_PAIRS)
    assert (everything.converged, everything.n_steps) == (True, 0)


@pytest.mark.float32_too
@BOTH
def test_in_the_precision_of_the_positions(optimizer):
    result = mff.relax(lj, cluster(), optimizer=optimizer, skin=ALL_PAIRS)
    assert result.converged
    assert result.structure.positions.dtype == cluster().positions.dtype
    value, fmax, _ = fresh(lj, result.structure)
    assert fmax <= 1e-3 * oracles.tolerance(1 + 1e-9, 1.01)
    assert_allclose(value, result.energy, rtol=oracles.tolerance(1e-13, 1e-5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fmax": 0.0}, "`fmax` must be positive, got 0.0"),
        ({"fmax": "tight"}, "`fmax` must be a number, got 'tight'"),
        ({"smax": -1.0}, "`smax` must be positive, got -1.0"),
        ({"skin": -0.1}, "`skin` must not be negative, got -0.1"),
        ({"steps": -1}, "`steps` must be a whole number, 0 or more, got -1"),
        ({"steps": 2.5}, "`steps` must be a whole number, 0 or more, got 2.5"),
        ({"optimizer": "bfgs"}, "`optimizer` must be 'lbfgs' or 'fire', got 'bfgs'"),
        ({"cell": True}, "`cell` must be False without a periodic axis and a volume"),
        ({"pressure": 1.0}, "`pressure` must be 0 unless the cell is free, got 1.0"),
        ({"fixed": [0, 1]}, r"`fixed` must be bools of shape \(13,\), got int64 \(2,\)"),
        ({"fixed": np.ones(12, bool)}, r"`fixed` must be bools of shape \(13,\), got bool \(12,\)"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mff.relax(lj, cluster(), **options)


def test_a_function_without_a_list_is_refused():
    with pytest.raises(ValueError, match="`energy` must have a `neighbor_list`"):
        mff.relax(lambda structure, nl: 0.0, cluster())
