"""The ASE calculator under ASE's own tools and checks; our energies in jax-md's simulations, its energies as ours."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import runpy
import sys
from pathlib import Path

import ase.optimize
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed, PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.test import gradient_test
from ase.eos import calculate_eos
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.vibrations import Vibrations
from numpy.testing import assert_allclose

import miniffx as mff
import oracles
import systems
from miniffx.calculators import ASECalculator
from miniffx.calculators.ase import _evaluate
from oracles import tolerance

sw = mff.potentials.stillinger_weber("Si")


def well(r):
    """Smooth to the cutoff of 6 Å; of real and complex distances."""
    return ((2.4 / r) ** 6 - (2.4 / r) ** 3) * (1 - (r / 6.0) ** 2) ** 3


DEPTH = {"SiSi": 0.1, "OSi": 0.25, "OO": 0.0}  # eV
pairs = DEPTH["SiSi"] * mff.potentials.PairPotential(well, 6.0, ("Si", "Si"))
pairs += DEPTH["OSi"] * mff.potentials.PairPotential(well, 6.0, ("O", "Si"))


def brute_force(atoms):
    """Results of `pairs` from NumPy alone: every image, derivatives by complex steps."""
    found = oracles.brute_force_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 6.0)
    symbols = atoms.get_chemical_symbols()
    depth = np.array([DEPTH["".join(sorted((symbols[i], symbols[j])))] for i, j in zip(found.i, found.j, strict=True)])
    r = np.linalg.norm(found.D, axis=1)
    slope = (depth * well(r + 1e-30j).imag / 1e-30 / r)[:, None] * found.D
    energies = np.bincount(found.i, 0.5 * depth * well(r), minlength=len(atoms))
    results = {"energies": energies, "energy": energies.sum(), "free_energy": energies.sum()}
    results["forces"] = np.stack([np.bincount(found.i, slope[:, k], minlength=len(atoms)) for k in range(3)], axis=1)
    if atoms.cell.rank == 3:
        s = 0.5 * slope.T @ found.D / atoms.get_volume()
        results["stress"] = np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
    return results


def assert_right(atoms, digits=1e-12):
    """What the calculator holds are the results for `pairs`, and all of them."""
    expected = brute_force(atoms)
    results = atoms.calc.results
    assert set(results) | {"energies"} == set(expected)
    for name, value in results.items():
        assert_allclose(value, expected[name], rtol=0, atol=digits * max(1, np.abs(value).max()), err_msg=name)


def silicon(repeat=1, scale=0.1, seed=0):
    atoms = bulk("Si", a=5.431, cubic=True) * repeat
    atoms.positions += np.random.default_rng(seed).normal(scale=scale, size=atoms.positions.shape)
    return atoms


# -- what the numbers are ------------------------------------------------------------------------------------------


@pytest.mark.float32_too
def test_results_are_those_of_the_energy_in_the_order_of_ase():
    atoms = systems.two_species().to_ase()
    atoms.calc = ASECalculator(pairs)
    energies, forces, stress = atoms.get_potential_energies(), atoms.get_forces(), atoms.get_stress()
    assert len(set(np.round(stress, 6))) == 6
    assert_right(atoms, tolerance(1e-13, 3e-6))
    assert atoms.get_potential_energy() == atoms.get_potential_energy(force_consistent=True)
    assert atoms.get_potential_energy() == pytest.approx(energies.sum(), rel=tolerance(1e-14, 1e-6))
    assert {value.dtype for value in (forces, stress, energies)} == {np.dtype(np.float64)}


@pytest.mark.parametrize("energy", [pairs, sw], ids=["pairs", "Stillinger-Weber"])
def test_checks_that_ase_offers(energy, capsys):
    atoms = systems.two_species().to_ase() if energy is pairs else silicon()
    atoms.calc = ASECalculator(energy)
    gradient_test(atoms, [0, 5])
    table = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert min(float(error) for _, error in table) < 1e-8
    assert_allclose(calculate_numerical_forces(atoms, 1e-4, [3]), atoms.get_forces()[[3]], atol=1e-6)
    assert_allclose(calculate_numerical_stress(atoms, 1e-5), atoms.get_stress(), atol=1e-8)


def test_stress_of_a_slab_and_none_without_a_volume():
    slab = systems.slab().to_ase()
    slab.calc = ASECalculator(pairs)
    assert_allclose(calculate_numerical_stress(slab, 1e-5), slab.get_stress(), atol=1e-8)
    slab.cell[2] = 0
    slab.get_potential_energy()
    assert_right(slab)
    with pytest.raises(PropertyNotImplementedError):
        slab.get_stress()
    with pytest.raises(PropertyNotImplementedError):
        slab.get_dipole_moment()


@pytest.mark.float32_too
def test_single_precision_on_request():
    atoms = systems.two_species().to_ase()
    atoms.calc = ASECalculator(pairs, dtype="float32")
    energy = atoms.get_potential_energy()
    assert atoms.calc._last.neighbors.positions.dtype == np.float32
    assert energy == np.float32(energy)
    assert_right(atoms, 1e-5)
    if not jax.config.jax_enable_x64:
        assert ASECalculator(sw).dtype == np.float32
        with pytest.raises(ValueError, match="`dtype` must be 'float32', or 'float64' with JAX's x64 mode on"):
            ASECalculator(sw, dtype="float64")
    with pytest.raises(ValueError, match="`dtype` must be"):
        ASECalculator(sw, dtype="int32")


# -- what changes between calls ------------------------------------------------------------------------------------


def charged(structure, neighbors):
    """`pairs` and, with charges, a field of 1 V/Å: a plain function."""
    charges = 0 if structure.charges is None else structure.charges
    return pairs(structure, neighbors) - (charges * structure.positions[:, 0]).sum()


def test_every_change_is_noticed():
    """One calculator through a random walk of changes, small and large, in place and by ASE's methods."""
    rng = np.random.default_rng(0)
    atoms = systems.two_species().to_ase()
    atoms.calc = ASECalculator(charged, skin=0.4, needs=pairs.needs)

    def species():
        i, j = list(atoms.symbols).index("Si"), list(atoms.symbols).index("O")
        atoms.numbers[[i, j]] = atoms.numbers[[j, i]]

    def axes():
        atoms.pbc[2] = not atoms.pbc[2]

    def strain():
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)

    def cell():
        atoms.cell[0, 0] += 0.05

    def move():
        atoms.positions += rng.normal(scale=0.02, size=atoms.positions.shape)

    def jump():
        atoms.positions[1] += atoms.cell[0] + [0.3, 0, 0]

    def charge():
        atoms.set_initial_charges(rng.normal(size=len(atoms)))

    def uncharge():
        del atoms.arrays["initial_charges"]

    def remove():
        del atoms[2]

    def add():
        atoms.append("O")
        atoms.positions[-1] = [1.0, 0.9, 0.8]

    last = atoms.get_potential_energy()
    for change in (
        *(move, move, cell, strain, move, jump, strain, move, cell, charge, move, charge, strain, jump, charge),
        *(uncharge, move, species, move, strain, jump, axes, move, cell, axes, remove, move, add, species, move),
    ):
        change()
        energy = atoms.get_potential_energy()
        charges = atoms.get_initial_charges()
        expected = brute_force(atoms)
        assert energy == pytest.approx(expected["energy"] - charges @ atoms.positions[:, 0], rel=1e-12)
        assert_allclose(atoms.get_forces(), expected["forces"] + np.outer(charges, [1, 0, 0]), rtol=0, atol=1e-12)
        if not charges.any():
            assert_right(atoms)
        assert abs(energy - last) > 1e-9, change.__name__
        last = energy


def test_nothing_is_computed_twice(monkeypatch):
    calls = []
    calculate = ASECalculator.calculate
    monkeypatch.setattr(ASECalculator, "calculate", lambda *args: calls.append(args[2]) or calculate(*args))
    atoms = silicon()
    atoms.calc = ASECalculator(sw)
    forces = atoms.get_forces()
    forces[:] = 0  # a copy
    assert np.abs(atoms.get_forces()).max() > 0.1
    atoms.get_potential_energy(), atoms.get_potential_energy(force_consistent=True), atoms.get_stress()
    assert not atoms.calc.calculation_required(atoms, ["energy", "forces", "stress", "free_energy"])
    assert calls == [["forces"]]
    atoms.get_potential_energies(), atoms.get_potential_energies(), atoms.get_forces()
    assert calls == [["forces"], ["energies"]]
    atoms.set_initial_magnetic_moments([1] * 8)
    atoms.get_potential_energy()
    assert len(calls) == 3


def test_many_sizes_share_a_handful_of_programs():
    rng = np.random.default_rng(3)
    frames = []
    for size in rng.permutation(np.arange(5, 205)):
        edge = 3.0 * np.ceil(size ** (1 / 3))
        grid = np.stack(np.meshgrid(*[np.arange(0, edge - 1e-9, 3.0)] * 3), axis=-1).reshape(-1, 3)[:size]
        positions = grid + rng.uniform(-0.3, 0.3, grid.shape)
        frames.append(Atoms("Si" * size, positions, cell=[edge] * 3, pbc=True))
    before = _evaluate._cache_size()
    calc = ASECalculator(pairs)
    for number, atoms in enumerate(frames):
        atoms.calc = calc
        atoms.get_potential_energy()
        if number % 8 == 0:
            assert_right(atoms)
    assert len({len(atoms) for atoms in frames}) == 200
    assert _evaluate._cache_size() - before <= 6


def test_calculators_share_programs_and_can_be_copied():
    atoms = silicon()
    atoms.calc = ASECalculator(pairs)
    atoms.get_potential_energy()
    before = _evaluate._cache_size()
    other = silicon(seed=1)
    other.calc = ASECalculator(jax.tree.map(float, pairs))
    other.get_potential_energy()
    twin = copy.deepcopy(other)
    twin.rattle(0.01)
    twin.get_potential_energy()
    assert _evaluate._cache_size() == before
    assert_right(twin)


@pytest.mark.parametrize("skin", [0.0, 0.3])
def test_a_long_walk_searches_rarely_and_is_never_wrong(skin):
    """Atoms diffuse by Å; the list grows where it must, without a program for every record."""
    rng = np.random.default_rng(1)
    atoms = silicon(2, scale=0.0)
    atoms.calc = ASECalculator(pairs, skin=skin)
    atoms.get_potential_energy()
    before, searches = _evaluate._cache_size(), 0
    last = atoms.calc._last.neighbors.positions
    for step in range(80):
        atoms.positions += rng.normal(scale=0.02, size=atoms.positions.shape)
        atoms.get_potential_energy()
        searches += not np.array_equal(atoms.calc._last.neighbors.positions, last)
        last = atoms.calc._last.neighbors.positions
        if step % 4 == 3:
            assert_right(atoms)
    assert searches == 80 if skin == 0 else searches < 30
    assert _evaluate._cache_size() - before <= 2


# -- errors --------------------------------------------------------------------------------------------------------


def test_errors_leave_a_calculator_that_works():
    atoms = systems.two_species().to_ase()
    atoms.calc = ASECalculator(pairs)
    atoms.get_potential_energy()
    good = atoms.positions.copy()
    atoms.positions[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"`positions` must be finite, got nan at index \(3, 1\)"):
        atoms.get_potential_energy()
    atoms.positions[:] = good
    atoms.rattle(0.1)
    atoms.get_potential_energy()
    assert_right(atoms)
    cell = atoms.cell.copy()
    atoms.cell[0] = atoms.cell[1]
    with pytest.raises(ValueError, match="`cell` must have independent vectors"):
        atoms.get_forces()
    atoms.cell = cell
    atoms.positions[0] = atoms.positions[1]
    with pytest.raises(CalculationFailed, match="energy and forces must be finite"):
        atoms.get_potential_energy()
    assert atoms.calc.results == {}
    with pytest.raises(CalculationFailed, match="energy and forces must be finite"):
        atoms.get_potential_energy()
    atoms.positions[:] = good
    atoms.get_potential_energy()
    assert_right(atoms)


def test_extrapolation_is_told_once_and_again_where_it_gets_worse():
    """Models that know the range of their descriptors are asked; of a sum, a committee, alike."""
    ds = mff.descriptors.DescriptorSet([mff.descriptors.G2(eta=0.5, r_shift=2.0, cutoff=4.0, species=("Si", "Si"))])
    model = mff.NNPotential.init(jax.random.key(0), ds, hidden=(2,))
    structure = mff.Structure.from_ase(silicon(scale=0.02))
    known = mff.models.Histograms.of({"Si": np.asarray(ds(structure, ds.neighbor_list(structure)))})
    model = dataclasses.replace(model, histograms=known)
    for energy in (model, mff.Committee.of([model, model]) + pairs):
        atoms = silicon(scale=0.02)
        atoms.calc = ASECalculator(energy)
        atoms.get_forces()
        atoms.set_cell(0.96 * atoms.cell, scale_atoms=True)
        with pytest.warns(mff.models.ExtrapolationWarning, match=r"atom \d: G2 .* outside of"):
            atoms.get_forces()
        atoms.rattle(1e-3, seed=1)
        atoms.get_forces()
        atoms.set_cell(0.8 * atoms.cell, scale_atoms=True)
        with pytest.warns(mff.models.ExtrapolationWarning):
            atoms.get_forces()
        atoms.set_cell(1.2 * atoms.cell, scale_atoms=True)
        atoms.get_forces()

    for excess, told in ((0.005, False), (0.02, True)):  # of the range
        (low,), (high,) = known.low, known.high
        narrower = dataclasses.replace(known, high=((high + excess * low) / (1 + excess),))
        atoms = silicon(scale=0.02)
        atoms.calc = ASECalculator(dataclasses.replace(model, histograms=narrower))
        with pytest.warns(mff.models.ExtrapolationWarning) if told else contextlib.nullcontext():
            atoms.get_forces()


def test_what_was_pickled_in_another_precision_is_refused():
    calculator = ASECalculator(pairs)
    state = calculator.__dict__ | {"dtype": np.dtype(np.float16)}
    with pytest.raises(ValueError, match="`dtype` must be 'float32', or 'float64' with JAX's x64 mode on"):
        copy.copy(calculator).__setstate__(state)
    with pytest.raises(ValueError, match=r"`dtype` must be 'float32', or .* got 'foo'"):
        ASECalculator(pairs, dtype="foo")


def test_energies_of_every_kind(tmp_path):
    descriptors = mff.descriptors.DescriptorSet(
        [mff.descriptors.G2(eta=eta, r_shift=1.5, cutoff=4.0, species=("Si", "Si")) for eta in (0.1, 1.0)]
    )
    model = mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(4,), activation="tanh")
    model.save(tmp_path / "model.safetensors")
    atoms = silicon()
    results = []
    for energy in (model, tmp_path / "model.safetensors", str(tmp_path / "model.safetensors")):
        atoms.calc = ASECalculator(energy)
        results.append(atoms.get_potential_energies())
    assert_allclose(results, [results[0]] * 3, rtol=0)
    germanium = bulk("Ge", a=5.6)
    germanium.calc = ASECalculator(model)
    with pytest.raises(ValueError, match="`structure` must hold only species that the model knows"):
        germanium.get_potential_energy()
    with pytest.raises(FileNotFoundError):
        ASECalculator(tmp_path / "gone.safetensors")
    with pytest.raises(ValueError, match="`energy` must be an energy function or the file of a model, got 3"):
        ASECalculator(3)
    with pytest.raises(ValueError, match="`needs` must say which pairs and triples a plain function reads"):
        ASECalculator(charged)
    with pytest.raises(ValueError, match="`skin` must not be negative"):
        ASECalculator(sw, skin=-0.1)
    with pytest.raises(ValueError, match="`skin` must be given when the calculator is made"):
        ASECalculator(sw).set(skin=1.0)

    for energy in (charged, pairs + charged):  # no energies of atoms
        atoms.calc = ASECalculator(energy, needs=pairs.needs)
        atoms.get_potential_energy()
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_potential_energies()


# -- ASE's tools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["BFGS", "LBFGS", "FIRE"])
def test_optimizers(optimizer):
    atoms = silicon()
    atoms.calc = ASECalculator(sw)
    assert getattr(ase.optimize, optimizer)(atoms, logfile=None).run(fmax=1e-3, steps=500)
    assert atoms.get_potential_energy() / 8 == pytest.approx(-4.3366, abs=1e-4)  # of the crystal


def test_cell_filter_and_equation_of_state():
    """Lattice constant, energy and bulk modulus of Stillinger-Weber silicon."""
    atoms = bulk("Si", a=5.431)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.01, 0], [0, 0.99, 0], [0, 0, 1.01]], scale_atoms=True)
    atoms.calc = ASECalculator(sw)
    assert ase.optimize.BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=2e-3, steps=300)
    assert_allclose(np.sqrt(2) * atoms.cell.lengths(), 5.4310, atol=5e-4)
    assert_allclose(atoms.cell.angles(), 60, atol=0.02)

    crystal = bulk("Si", a=5.431, cubic=True)
    crystal.calc = ASECalculator(sw)
    volume, energy, modulus = calculate_eos(crystal, npoints=7, eps=0.02).fit()
    assert volume ** (1 / 3) == pytest.approx(5.4310, abs=1e-3)
    assert energy / 8 == pytest.approx(-4.3366, abs=1e-4)
    assert modulus / units.GPa == pytest.approx(101.4, rel=0.01)


def test_vibrations(tmp_path):
    """Force constants by ASE's displacements against the exact Hessian."""
    atoms = systems.two_species().to_ase()
    atoms.calc = ASECalculator(pairs)
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"), delta=0.002)
    vibrations.run()
    structure = mff.Structure.from_ase(atoms)
    exact = jax.jit(mff.hessian(pairs))(structure, pairs.neighbor_list(structure))
    assert_allclose(vibrations.get_vibrations().get_hessian(), exact, rtol=0, atol=2e-4 * np.abs(exact).max())


def test_energy_is_conserved():
    """The error of velocity Verlet goes with the square of the time step: forces belong to the energy."""
    spread = []
    for timestep in (2.0, 1.0):
        atoms = silicon(2, scale=0.0)
        velocities = np.random.default_rng(0).normal(size=(64, 3))
        atoms.set_velocities(np.sqrt(2 * 300 * units.kB / 28.0855) * (velocities - velocities.mean(axis=0)))
        atoms.calc = ASECalculator(sw)
        dynamics = VelocityVerlet(atoms, timestep * units.fs)
        energies = []
        dynamics.attach(lambda atoms=atoms, energies=energies: energies.append(atoms.get_total_energy()))
        dynamics.run(round(200 / timestep))
        spread.append(np.ptp(energies))
    assert 0 < spread[1] < 0.02  # eV, of 64 atoms
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.25)


# -- jax-md --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jax_md():
    return pytest.importorskip("jax_md")


MASS = 28.0855 * 1.0364269e-4  # u in eV ps²/Å²


def test_without_jax_md_everything_else_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax_md", None)
    for call in (
        lambda: mff.calculators.to_jax_md(pairs, systems.silicon()),
        lambda: mff.calculators.from_jax_md(sum, 3),
    ):
        with pytest.raises(ImportError, match=r"jax-md is not installed: pip install 'miniffx\[jax-md\]'"):
            call()


@pytest.mark.parametrize("make", [systems.two_species, systems.thin, systems.slab, systems.molecule])
def test_energy_forces_and_strain_for_jax_md(jax_md, make):
    """In boxes of any size and axes: every image counts."""
    structure = make()
    expected = brute_force(structure.to_ase())
    neighbor_fn, energy_fn = mff.calculators.to_jax_md(pairs, structure)
    neighbors = neighbor_fn.allocate(structure.positions)

    @jax.jit
    def evaluate(R, perturbation):
        value, (gradient, slope) = jax.value_and_grad(
            lambda R, P: energy_fn(R, neighbor=neighbors, perturbation=P), argnums=(0, 1)
        )(R, perturbation)
        return value, -gradient, slope

    value, forces, slope = evaluate(structure.positions, jnp.eye(3))
    assert_allclose(value, expected["energy"], rtol=1e-12)
    assert_allclose(forces, expected["forces"], rtol=0, atol=1e-12)
    if structure.volume > 0:
        stress = np.asarray((slope + slope.T) / 2 / structure.volume)
        assert_allclose(stress.flat[[0, 4, 8, 5, 2, 1]], expected["stress"], rtol=0, atol=1e-13)
    else:
        with pytest.raises(ValueError, match="`fractional_coordinates` must be False without a volume"):
            mff.calculators.to_jax_md(pairs, structure, fractional_coordinates=True)
    # Far from where the list was made, moved by lattice vectors: still the energy of what is given.
    rng = np.random.default_rng(0)
    turns = np.where(structure.pbc, rng.integers(-3, 4, size=structure.positions.shape), 0)
    moved = structure.to_ase()
    moved.positions += rng.normal(scale=0.3, size=moved.positions.shape)
    expected = brute_force(moved)
    value, forces, _ = evaluate(jnp.asarray(moved.positions + turns @ np.asarray(structure.cell)), jnp.eye(3))
    if np.isfinite(value):
        assert_allclose(value, expected["energy"], rtol=1e-11)
        assert_allclose(forces, expected["forces"], rtol=0, atol=1e-9)
    else:
        assert neighbors.update(jnp.asarray(moved.positions)).neighbors.capacity != neighbors.neighbors.capacity


def test_fractional_coordinates_and_other_boxes(jax_md):
    """Forces in eV/Å, and ∂E/∂box with the atoms going along, by jax-md's rule."""
    structure = systems.two_species()
    box = np.asarray(structure.cell).T
    neighbor_fn, energy_fn = mff.calculators.to_jax_md(pairs, structure, fractional_coordinates=True)
    R = structure.fractional_positions
    neighbors = neighbor_fn.allocate(R)
    larger = 1.03 * box
    atoms = structure.to_ase()
    atoms.set_cell(larger.T, scale_atoms=True)
    expected = brute_force(atoms)
    value, (gradient, slope) = jax.value_and_grad(lambda R, b: energy_fn(R, neighbor=neighbors, box=b), (0, 1))(
        R, larger
    )
    assert_allclose(value, expected["energy"], rtol=1e-12)
    assert_allclose(-gradient, expected["forces"], rtol=0, atol=1e-11)
    stress = np.asarray(slope @ larger.T / np.linalg.det(larger))
    assert_allclose(stress.flat[[0, 4, 8, 5, 2, 1]], expected["stress"], rtol=0, atol=1e-12)
    followed = neighbors.update(R, box=1.3 * box)
    assert_allclose(followed.reference_position, 1.3 * structure.positions, atol=1e-12)
    # Numbers and edges are boxes, too.
    for box in (4.5, np.array([4.5, 4.5, 4.5])):
        cubic = neighbor_fn.allocate(R, box=box)
        assert_allclose(energy_fn(R, neighbor=cubic, box=box), energy_fn(R, cubic, box=4.5 * np.eye(3)), rtol=1e-14)
    with pytest.raises(ValueError, match="`new_box` must not be given"):
        energy_fn(R, neighbor=neighbors, new_box=box)
    with pytest.raises(ValueError, match="`extra_capacity` must be 0"):
        neighbor_fn.allocate(R, 3)


def test_dynamics_in_one_compiled_loop(jax_md):
    """NVE by jax-md, list and all in one fori_loop: energy conserved, and wrapping atoms changes nothing."""
    space, simulate = jax_md.space, jax_md.simulate
    atoms = silicon(2, scale=0.0)
    structure = mff.Structure.from_ase(atoms)
    box = np.asarray(structure.cell).T
    neighbor_fn, energy_fn = mff.calculators.to_jax_md(pairs, structure, skin=0.4, capacity_multiplier=1.5)
    momenta = MASS * np.random.default_rng(0).normal(scale=3, size=(64, 3))  # 3 Å/ps,
    momenta += MASS * 10  # and all drift across the box
    ends = []
    for shift in (space.free()[1], space.periodic_general(box, fractional_coordinates=False)[1]):
        init, apply = simulate.nve(energy_fn, shift, dt=1e-3)
        neighbors = neighbor_fn.allocate(structure.positions)

        @jax.jit
        def run(state, neighbors, apply=apply):
            def step(_, carry):
                state, neighbors, searches = carry
                state = apply(state, neighbor=neighbors)
                updated = neighbors.update(state.position)
                searches += (updated.reference_position != neighbors.reference_position).any()
                return state, updated, searches

            return jax.lax.fori_loop(0, 200, step, (state, neighbors, 0))

        state = init(
            jax.random.key(0), structure.positions, 0.0, mass=MASS, momenta=jnp.asarray(momenta), neighbor=neighbors
        )
        start = energy_fn(state.position, neighbor=neighbors) + simulate.kinetic_energy(state)
        state, neighbors, searches = run(state, neighbors)
        assert not neighbors.did_buffer_overflow
        assert 5 < searches < 40
        end = energy_fn(state.position, neighbor=neighbors) + simulate.kinetic_energy(state)
        assert abs(end - start) < 1e-4 * simulate.kinetic_energy(state)
        atoms.positions = state.position
        assert energy_fn(state.position, neighbor=neighbors) == pytest.approx(brute_force(atoms)["energy"], rel=1e-11)
        ends.append(state)
    inside = np.asarray(ends[1].position)
    assert inside.min() >= 0
    assert inside.max() <= box.max() < ends[0].position.max()
    turns = (np.asarray(ends[0].position) - inside) / box.max()
    assert_allclose(turns, np.round(turns), atol=1e-9)
    assert_allclose(ends[0].momentum, ends[1].momentum, rtol=0, atol=1e-9 * np.abs(momenta).max())


def test_constant_pressure(jax_md):
    """NPT in fractional coordinates: the box changes at every step, and the invariant of the ensemble stays."""
    space, simulate = jax_md.space, jax_md.simulate
    structure = mff.Structure.from_ase(silicon(2, scale=0.0))
    box = jnp.asarray(structure.cell).T
    neighbor_fn, energy_fn = mff.calculators.to_jax_md(
        pairs, structure, capacity_multiplier=2.0, fractional_coordinates=True
    )
    _, shift = space.periodic_general(box)
    target = {"pressure": 0.02, "kT": 0.03}
    init, apply = simulate.npt_nose_hoover(energy_fn, shift, dt=1e-3, **target)
    R = structure.fractional_positions
    neighbors = neighbor_fn.allocate(R, box=box)
    state = init(jax.random.key(0), R, box, mass=MASS, neighbor=neighbors)

    @jax.jit
    def run(state, neighbors):
        def step(carry, _):
            state, neighbors = carry
            state = apply(state, neighbor=neighbors)
            neighbors = neighbors.update(state.position, box=state.box)
            return (state, neighbors), simulate.npt_nose_hoover_invariant(
                energy_fn, state, neighbor=neighbors, **target
            )

        return jax.lax.scan(step, (state, neighbors), length=200)

    (state, neighbors), invariants = run(state, neighbors)
    assert not neighbors.did_buffer_overflow
    assert abs(state.box[0, 0] / box[0, 0] - 1) > 0.01
    assert np.ptp(invariants) < 0.02 * float(simulate.kinetic_energy(state))


def test_minimizer_and_overflow(jax_md):
    """FIRE by jax-md. Where the room does not suffice, energies are NaN and the list says so."""
    structure = mff.Structure.from_ase(silicon())
    neighbor_fn, energy_fn = mff.calculators.to_jax_md(pairs, structure)
    init, apply = jax_md.minimize.fire_descent(energy_fn, jax_md.space.free()[1], dt_start=0.1, dt_max=0.4)
    neighbors = neighbor_fn.allocate(structure.positions)

    @jax.jit
    def run(state, neighbors):
        def step(_, carry):
            state, neighbors = carry
            state = apply(state, neighbor=neighbors)
            return state, neighbors.update(state.position)

        return jax.lax.fori_loop(0, 1500, step, (state, neighbors))

    state, neighbors = run(init(structure.positions, neighbor=neighbors), neighbors)
    assert np.abs(state.force).max() < 1e-3
    relaxed = structure.to_ase()
    relaxed.positions = state.position
    assert_allclose(brute_force(relaxed)["forces"], 0, atol=1e-3)

    squeezed, box = 0.75 * structure.positions, 0.75 * structure.cell.T
    full = jax.jit(lambda neighbors: neighbors.update(squeezed, box=box))(neighbors)
    assert full.did_buffer_overflow
    value, gradient = jax.jit(jax.value_and_grad(energy_fn))(squeezed, full, box=box)
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    again = neighbor_fn.allocate(squeezed, box=box)
    assert not again.did_buffer_overflow
    crowded = structure.to_ase()
    crowded.set_cell(box.T, scale_atoms=True)
    assert energy_fn(squeezed, neighbor=again, box=box) == pytest.approx(brute_force(crowded)["energy"], rel=1e-12)
    with pytest.raises(ValueError, match="`capacity_multiplier` must be at least 1"):
        mff.calculators.to_jax_md(pairs, structure, capacity_multiplier=0.9)


def test_an_energy_of_jax_md_among_ours(jax_md):
    """jax-md's Stillinger-Weber, another implementation: energy, forces, stress; also of a cell far from its box."""
    space, partition = jax_md.space, jax_md.partition
    structure = mff.Structure.from_ase(silicon(2))
    box = np.asarray(structure.cell).T
    displacement, _ = space.periodic_general(box, fractional_coordinates=False)
    _, energy_fn = jax_md.energy.stillinger_weber_neighbor_list(displacement, box)
    theirs = mff.calculators.from_jax_md(energy_fn, 3.77118, box=box, format=partition.Dense)
    ours = 2.16826 / 2.1683 * sw  # of two roundings of the published ε
    strain = np.array([[0.04, 0.02, 0], [0.02, -0.03, 0.01], [0, 0.01, 0.02]])
    evaluate = jax.jit(lambda energy, structure, nl: mff.energy_forces_stress(energy)(structure, nl))
    for crystal in (structure, structure.strain(strain)):
        nl = mff.neighbor_list(crystal, 4.3, 4.3)  # longer than needed
        for result, expected in zip(evaluate(theirs, crystal, nl), evaluate(ours, crystal, nl), strict=True):
            assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    total = theirs + 2.0 * sw
    assert total.needs.cutoff == pytest.approx(3.77118)
    assert_allclose(total(structure, nl), theirs(structure, nl) + 2 * sw(structure, nl), rtol=1e-12)
    with pytest.raises(ValueError, match="`atomic` needs energies per atom"):
        theirs.atomic(structure, nl)


def test_formats_of_jax_md_and_what_it_cannot_do(jax_md):
    """The three formats of its lists and none; cells that it would get wrong are refused."""
    space, partition = jax_md.space, jax_md.partition
    atoms = silicon(2)
    atoms.set_cell(np.diag([10.9, 11.3, 12.1]))
    structure = mff.Structure.from_ase(atoms)
    box = np.array([10.9, 11.3, 12.1])
    displacement, _ = space.periodic(box)

    def smooth(r, **_):
        return jnp.where(r < 5.0, (1 - (r / 5.0) ** 2) ** 3, 0.0)

    ours = mff.potentials.PairPotential(smooth, 5.0, ("Si", "Si"))
    nl = ours.neighbor_list(structure, skin=0.3)
    expected = ours(structure, nl)
    metric = space.metric(displacement)
    listed = jax_md.smap.pair_neighbor_list(smooth, metric)
    energies = [
        mff.calculators.from_jax_md(listed, 5.0, box=box, format=format)
        for format in (partition.Dense, partition.Sparse, partition.OrderedSparse)
    ]
    energies.append(mff.calculators.from_jax_md(jax_md.smap.pair(smooth, metric), 5.0, box=box))
    for energy in energies:
        assert_allclose(energy(structure, nl), expected, rtol=1e-12)

    energy = energies[0]
    small = structure.strain(np.diag([-0.1, 0, 0]))  # 9.8 Å
    nl = energy.neighbor_list(small)
    with pytest.raises(ValueError, match="a cell at least two cutoffs"):
        energy(small, nl)
    value, forces = jax.jit(mff.energy_and_forces(energy))(small, nl)
    assert np.isnan(value)
    assert np.isnan(forces).all()
    padded = structure.pad(70)
    with pytest.raises(ValueError, match="`structure` must have no padding"):
        energy(padded, energy.neighbor_list(padded))
    cluster = mff.Structure.create(structure.positions, structure.species)
    with pytest.raises(ValueError, match="`structure` must be periodic along all axes, as `box` is"):
        energy(cluster, energy.neighbor_list(cluster))
    free = mff.calculators.from_jax_md(jax_md.smap.pair(smooth, space.metric(space.free()[0])), 5.0)
    nl = ours.neighbor_list(cluster)
    assert_allclose(free(cluster, nl), ours(cluster, nl), rtol=1e-12)
    with pytest.raises(ValueError, match="`structure` must be periodic along no axis"):
        free(structure, nl)


def test_example_of_dynamics_at_constant_temperature(jax_md):
    """examples/nvt_jax_md.py: the temperature that was asked for."""
    result = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "nvt_jax_md.py"))
    assert np.mean(result["temperatures"]) == pytest.approx(300, rel=0.1)
