"""The documentation says what there is: every public name is listed, every name that it uses exists, examples hold."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import miniffx as mff
import systems
import test_derivatives
from miniffx import potentials as P
from oracles import central_difference

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


exported = load(ROOT / "docs" / "_ext" / "exported.py")


# -- names -----------------------------------------------------------------------------------------


def test_the_reference_lists_every_public_name():
    public = {
        exported.shortest_name(package, name) for package in exported.packages() for name in exported.exported(package)
    }
    assert len(public) > 60
    assert public - set(exported.listed()) == set()


def test_the_reference_lists_no_name_twice():
    names = list(exported.listed())
    assert len(names) == len(set(names))


def resolve(name):
    """The object of a dotted name, importing modules as far as it takes. AttributeError or ImportError otherwise."""
    first, *rest = name.split(".")
    item = importlib.import_module(first)
    for number, part in enumerate(rest, start=1):
        if inspect.ismodule(item) and not hasattr(item, part):
            item = importlib.import_module(".".join([first, *rest[:number]]))
        elif part not in getattr(item, "__dataclass_fields__", {}):
            item = getattr(item, part)
    return item


def test_names_in_the_documentation_exist():
    used = {
        "miniffx." + name.rstrip(".")
        for page in PAGES
        for name in re.findall(r"\bmff\.([A-Za-z_][\w.]*)", page.read_text())
        if not name.endswith(("BornMayer", "Exponential"))  # of the worked examples
    }
    assert len(used) > 60
    for name in sorted(used):
        resolve(name)


@pytest.mark.parametrize("program", [name for name in ("jax_md", "miniff") if importlib.util.find_spec(name)])
@pytest.mark.filterwarnings("ignore")
def test_names_to_migrate_from_exist(program):
    page = (ROOT / "docs" / "howto" / "migrating.md").read_text()
    names = set(re.findall(rf"`({program}\.[\w.]+)", page))
    assert len(names) > 10
    for name in sorted(names):
        resolve(name)


# -- potentials, each by the example in its docstring --------------------------------------------------

FORMULAS = {
    name: item
    for name, item in vars(P).items()
    if inspect.isclass(item) and issubclass(item, P.Energy) and item.__module__ != P.Energy.__module__
}


def example(potential):
    """The energy and the structure in the example of a docstring."""
    (test,) = [
        found
        for found in doctest.DocTestFinder(recurse=False).find(potential, potential.__name__, globs={})
        if found.examples
    ]
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=lambda text: None, clear_globs=False)
    energies = [item for item in test.globs.values() if isinstance(item, potential)]
    structures = [item for item in test.globs.values() if isinstance(item, mff.Structure)]
    assert len(energies) == 1, f"{potential.__name__}: an example must make one energy"
    assert len(structures) == 1, f"{potential.__name__}: an example must make one structure"
    return energies[0], structures[0]


@pytest.mark.parametrize("name", FORMULAS)
def test_the_example_of_a_potential_has_the_derivatives_of_its_energy(name):
    """Forces, stress, energies of atoms, padding, at positions near those of the example, in a box far larger."""
    energy, structure = example(FORMULAS[name])
    rng = np.random.default_rng(0)
    moved = np.asarray(structure.positions) * 1.02 + rng.normal(scale=0.02, size=(structure.n_atoms, 3))
    cell = structure.cell if any(structure.pbc) else np.diag([40.0, 41.0, 42.0])
    structure = mff.Structure.create(moved, structure.species, cell, pbc=structure.pbc, charges=structure.charges)
    structure = structure.pad(structure.n_atoms + 2)
    nl = energy.neighbor_list(structure, skin=0.1)
    e, forces, stress = jax.jit(mff.energy_forces_stress(energy))(structure, nl)
    value = jax.jit(energy)

    n = structure.n_atoms - 2

    def of_positions(real):
        return value(dataclasses.replace(structure, positions=structure.positions.at[:n].set(real)), nl)

    slopes = central_difference(of_positions, np.asarray(structure.positions)[:n], 1e-4, order=4)
    assert_allclose(forces[:n], -slopes, rtol=0, atol=1e-6 * max(np.abs(slopes).max(), 1e-3))
    virial = central_difference(lambda eps: value(structure.strain(eps), nl), np.zeros((3, 3)), 1e-4, order=4)
    assert_allclose(stress * structure.volume, virial, rtol=0, atol=1e-6 * max(np.abs(virial).max(), 1e-3))
    atomic = np.asarray(energy.atomic(structure, nl))
    assert_allclose(atomic.sum(), e, rtol=1e-12)
    assert not atomic[n:].any()
    assert not np.asarray(forces)[n:].any()


def test_every_potential_is_in_the_grid_of_derivatives():
    """`POTENTIALS` of test_derivatives.py: nasty cells, several species, batches, single precision."""
    made = [make() for make in test_derivatives.POTENTIALS.values()]
    seen = {type(item) for energy in made for item in parts(energy)}
    assert {name for name, item in FORMULAS.items() if item not in seen} == set()


def parts(energy):
    """An energy and all energies that it is made of."""
    yield energy
    if isinstance(energy, P.Ewald):
        for make in (systems.molecule, systems.left_handed):
            yield from energy.parts(make())
    for value in vars(energy).values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, P.Energy):
                yield from parts(item)
