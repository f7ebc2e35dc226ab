"""Structures: making, changing, padding, stacking."""

from __future__ import annotations

import dataclasses

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk, molecule
from numpy.testing import assert_allclose, assert_array_equal

import miniffx as mff
import systems
from miniffx import Structure, stack
from oracles import brute_force_pairs, tolerance

CELL = np.array([[3.0, 0.1, 0], [0.4, 3.5, 0.2], [-0.3, 0.5, 4.0]])
PLACES = np.array([[0.1, 0.2, 0.3], [1.5, 4.6, -2.0]])


def value(structure, cutoff=3.3):
    """Σ exp(−r) (cutoff − r)² over the pairs that the oracle finds: an energy of no library at all."""
    real = np.asarray(structure.mask)
    pairs = brute_force_pairs(np.asarray(structure.positions)[real], structure.cell, structure.pbc, cutoff)
    r = np.linalg.norm(pairs.D, axis=1)
    return 0.5 * (np.exp(-r) * (cutoff - r) ** 2).sum()


def test_what_is_printed_is_short():
    """Arrays show their type and shape."""
    structure = Structure.create(np.zeros((200, 3), np.float32), ["O"] * 200)
    form = "float32[200,3], species_index=int32[200], cell=float32[3,3], charges=None, labels=('O',)"
    assert f"Structure(positions={form}" in repr(structure)
    assert "energy=1.5, forces=float64[200,3]" in repr(mff.Frame(structure, 1.5, np.ones((200, 3))))
    printed = []
    jax.vmap(lambda s: printed.append(repr(s)))(mff.stack([structure] * 2))
    assert "cell=float32[3,3]" in printed[0]
    assert repr(mff.potentials.OnSite(energy=jnp.asarray(0.5), species="O")) == "OnSite(energy=0.5, species='O')"


# -- create ----------------------------------------------------------------------------------------


@pytest.mark.float32_too
def test_create_with_defaults():
    free = Structure.create(PLACES, ["O", "H"])
    assert free.pbc == (False, False, False)
    assert_array_equal(free.cell, np.zeros((3, 3)))
    assert free.charges is None
    assert free.n_atoms == 2
    assert free.labels == ("H", "O")
    assert free.species == ("O", "H")
    assert_array_equal(free.species_index, [1, 0])
    assert free.volume == 0
    assert_array_equal(free.mask, [True, True])
    assert_allclose(free.positions, PLACES, rtol=1e-7)
    crystal = Structure.create(PLACES, ("O", "H"), cell=CELL)
    assert crystal.pbc == (True, True, True)
    assert_allclose(crystal.volume, abs(np.linalg.det(CELL)), rtol=tolerance(1e-14, 1e-6))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(crystal))


@pytest.mark.float32_too
def test_fractional_positions_go_round():
    fractions = np.array([[0.25, -0.5, 3.125], [0, 1, 0.5]])
    structure = Structure.create(fractions, ["X", "Y"], cell=CELL, fractional=True)
    assert_allclose(structure.positions, fractions @ CELL, rtol=tolerance(1e-14, 1e-6))
    assert_allclose(structure.fractional_positions, fractions, atol=tolerance(1e-14, 1e-6))
    for make in (systems.thin, systems.left_handed, systems.far_outside):
        structure = make()
        again = Structure.create(
            structure.fractional_positions, structure.species, cell=structure.cell, fractional=True
        )
        scale = np.abs(structure.positions).max() * 10
        assert_allclose(again.positions, structure.positions, rtol=0, atol=scale * tolerance(1e-14, 3e-6))


def test_a_rectangular_box_by_its_edges():
    structure = Structure.create(PLACES, ["O", "H"], cell=[3, 4.5, 5], pbc=(True, False, True))
    assert_array_equal(structure.cell, np.diag([3, 4.5, 5]))
    assert structure.pbc == (True, False, True)


@pytest.mark.parametrize("pbc", [True, 1, np.True_, (1, 1, 1), [True] * 3, np.ones(3, bool)])
def test_forms_of_pbc(pbc):
    structure = Structure.create(PLACES, ["O", "H"], cell=CELL, pbc=pbc)
    assert structure.pbc == (True, True, True)
    assert all(type(flag) is bool for flag in structure.pbc)


@pytest.mark.float32_too
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_dtype_is_that_of_the_positions(dtype):
    structure = Structure.create(np.array([[0, 0, 0], [1, 2, 3]], dtype), ["O", "H"], cell=CELL, charges=[1, -1])
    expected = np.float32 if dtype == np.float32 or not jax.config.jax_enable_x64 else np.float64
    assert structure.positions.dtype == structure.cell.dtype == structure.charges.dtype == expected
    assert structure.species_index.dtype == np.int32
    for changed in (
        structure.repeat(2),
        structure.wrap(),
        structure.strain(np.full((3, 3), 0.01)),
        structure.pad(5),
        structure.relabel(("H", "N", "O")),
        stack([structure, structure]),
    ):
        assert changed.positions.dtype == changed.cell.dtype == changed.charges.dtype == expected
        assert changed.species_index.dtype == np.int32
    assert structure.volume.dtype == structure.fractional_positions.dtype == expected


def test_charges():
    structure = Structure.create(PLACES, ["O", "H"], charges=[0.5, -0.5])
    assert_array_equal(structure.charges, [0.5, -0.5])
    assert_array_equal(Structure.create(PLACES, ["O", "H"], charges=np.array([1, 2])).charges, [1.0, 2.0])


def test_any_string_is_a_label():
    structure = Structure.create(PLACES, ["water oxygen", "Si_2"])
    assert structure.labels == ("Si_2", "water oxygen")
    assert structure.species == ("water oxygen", "Si_2")


GOOD = {"positions": PLACES, "species": ["O", "H"], "cell": CELL}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("positions", {"positions": [0.0, 0, 0]}),
        ("positions", {"positions": np.zeros((2, 2))}),
        ("positions", {"positions": [[0, 0, 0], [0, np.nan, 0]]}),
        ("positions", {"positions": [[0, 0, 0], [0, -np.inf, 0]]}),
        ("positions", {"positions": [["a", 0, 0], [0, 0, 0]]}),
        ("positions", {"positions": None}),
        ("positions", {"positions": [[0, 0, 0], [0, 0]]}),
        ("positions", {"positions": 1j * PLACES}),
        ("species", {"species": ["O"]}),
        ("species", {"species": ["O", "H", "H"]}),
        ("species", {"species": "OH"}),
        ("species", {"species": ["O", ""]}),
        ("species", {"species": [8, 1]}),
        ("species", {"species": ["O", None]}),
        ("species", {"species": None}),
        ("cell", {"cell": 3.0}),
        ("cell", {"cell": [3.0, 3.0]}),
        ("cell", {"cell": np.zeros((3, 3))}),
        ("cell", {"cell": None, "pbc": True}),
        ("cell", {"cell": [3.0, 3.0, 0.0]}),
        ("cell", {"cell": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}),
        ("cell", {"cell": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}),
        ("cell", {"cell": np.full((3, 3), np.nan)}),
        ("cell", {"cell": np.full((3, 3), np.inf)}),
        ("cell", {"cell": None, "fractional": True}),
        ("cell", {"cell": [3.0, 3.0, 0.0], "pbc": False, "fractional": True}),
        ("pbc", {"pbc": (True, True)}),
        ("pbc", {"pbc": "yes"}),
        ("pbc", {"pbc": 2}),
        ("pbc", {"pbc": [[True, True, True]]}),
        ("charges", {"charges": [1.0]}),
        ("charges", {"charges": [1.0, np.nan]}),
        ("charges", {"charges": 1.0}),
        ("charges", {"charges": ["+", "-"]}),
    ],
)
def test_bad_input_is_named(name, changes):
    with pytest.raises(ValueError, match=f"`{name}`"):
        Structure.create(**{**GOOD, **changes})


def test_a_missing_vector_of_an_open_axis_is_no_error():
    for cell in ([3.0, 3.0, 0.0], [[3.0, 0, 0], [0, 3, 0], [0, 0, 0]], [[3.0, 0, 0], [0, 3, 0], [3, 3, 0]]):
        assert Structure.create(PLACES, ["O", "H"], cell=cell, pbc=(True, True, False)).volume == 0


def test_species_are_read_outside_jit_only():
    structure = systems.molecule()
    with pytest.raises(ValueError, match="`species`"):
        jax.jit(lambda s: len(s.species))(structure)


def test_a_structure_is_a_pytree_with_static_labels():
    structure = systems.slab()
    leaves, tree = jax.tree.flatten(structure)
    assert len(leaves) == 3
    again = jax.tree.unflatten(tree, leaves)
    assert (again.labels, again.pbc) == (structure.labels, structure.pbc)
    with pytest.raises(dataclasses.FrozenInstanceError):
        structure.positions = 0


# -- repeat, wrap, strain --------------------------------------------------------------------------


@pytest.mark.float32_too
@pytest.mark.parametrize(
    ("make", "times"),
    [(systems.one_atom, (2, 3, 1)), (systems.thin, 2), (systems.left_handed, [1, 1, 3]), (systems.slab, (2, 1, 1))],
)
def test_energies_are_extensive(make, times):
    structure = make()
    large = structure.repeat(times)
    n = int(np.prod(np.broadcast_to(times, 3)))
    assert large.n_atoms == n * structure.n_atoms
    assert large.pbc == structure.pbc
    assert_allclose(large.volume, n * structure.volume, rtol=tolerance(1e-13, 1e-5))
    assert_allclose(value(large), n * value(structure), rtol=tolerance(1e-12, 1e-5))
    assert value(structure) > 1e-3


def test_repeat_carries_species_and_charges():
    structure = Structure.create(PLACES, ["O", "H"], cell=CELL, charges=[0.5, -0.5]).repeat((1, 2, 1))
    assert structure.species == ("O", "H", "O", "H")
    assert_array_equal(structure.charges, [0.5, -0.5, 0.5, -0.5])
    assert_allclose(structure.positions[2:], PLACES + CELL[1])
    assert_allclose(structure.cell, CELL * [[1], [2], [1]])


@pytest.mark.parametrize("times", [0, -1, (1, 0, 1), 1.5, (2, 2), (1, 1, 1, 1), "2", None])
def test_repeat_refuses(times):
    with pytest.raises(ValueError, match="`times`"):
        systems.slab().repeat(times)


@pytest.mark.float32_too
@pytest.mark.parametrize("make", systems.resolved())
def test_wrap_changes_no_energy(make):
    structure = make()
    wrapped = structure.wrap()
    assert_allclose(value(wrapped), value(structure), rtol=tolerance(1e-9, 1e-4))
    assert wrapped.pbc == structure.pbc
    assert_array_equal(wrapped.cell, structure.cell)
    if structure.volume > 0:
        fractions = np.asarray(wrapped.fractional_positions)[:, np.array(structure.pbc)]
        assert (fractions > -1e-6).all()
        assert (fractions < 1 + 1e-6).all()


@pytest.mark.parametrize("nominal", [0.0, 1.0, 10.0, "tilted", "dependent"])
@pytest.mark.parametrize("open_axis", [0, 1, 2])
def test_open_axes_are_never_wrapped(open_axis, nominal):
    """Whatever vector stands on the open axis, the atoms move by lattice vectors of the periodic axes only."""
    rng = np.random.default_rng(0)
    cell = CELL @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    others = [axis for axis in range(3) if axis != open_axis]
    if nominal == "tilted":
        cell[open_axis] += 0.8 * cell[others[0]] - 0.3 * cell[others[1]]
    elif nominal == "dependent":
        cell[open_axis] = 0.7 * cell[others[0]] + 0.9 * cell[others[1]]
    else:
        cell[open_axis] *= nominal
    positions = rng.uniform(-20, 20, size=(6, 3))
    pbc = tuple(axis != open_axis for axis in range(3))
    structure = Structure.create(positions, ["Ar"] * 6, cell=cell, pbc=pbc)
    moved = np.asarray(structure.wrap().positions) - positions
    turns, *_ = np.linalg.lstsq(cell[others].T, moved.T, rcond=None)
    assert_allclose(turns, np.round(turns), atol=1e-10)
    assert_allclose(np.round(turns).T @ cell[others], moved, atol=1e-10)
    # And they end in a neighbourhood of the cell.
    along = np.linalg.pinv(cell[others]).T @ np.asarray(structure.wrap().positions).T
    assert np.abs(along).max() < 8
    keys = brute_force_pairs(positions, cell, pbc, 3.0)
    wrapped = brute_force_pairs(structure.wrap().positions, cell, pbc, 3.0)
    assert_allclose(np.sort(np.linalg.norm(keys.D, axis=1)), np.sort(np.linalg.norm(wrapped.D, axis=1)), atol=1e-9)


def test_a_free_molecule_stays_where_it_is():
    structure = systems.molecule()
    assert structure.wrap() is structure
    boxed = Structure.create(PLACES, ["O", "H"], cell=CELL, pbc=False)
    assert_array_equal(boxed.wrap().positions, PLACES)


def test_wrap_inside_jit_and_vmap():
    batch = stack([systems.two_species(), systems.left_handed()])
    many = jax.jit(jax.vmap(Structure.wrap))(batch)
    for b, make in enumerate((systems.two_species, systems.left_handed)):
        assert_allclose(many.positions[b, : make().n_atoms], make().wrap().positions, atol=1e-12)


@pytest.mark.float32_too
def test_strain_deforms_atoms_and_cell_alike():
    structure = systems.left_handed()
    eps = np.array([[0.01, 0.02, 0.0], [-0.01, 0.03, 0.05], [0.0, 0.0, -0.02]])
    strained = structure.strain(eps)
    deformation = np.eye(3) + eps
    rtol = tolerance(1e-14, 1e-6)
    for r, s in zip(np.asarray(structure.positions), np.asarray(strained.positions), strict=True):
        assert_allclose(s, deformation @ r, rtol=rtol, atol=rtol)
    for a, b in zip(np.asarray(structure.cell), np.asarray(strained.cell), strict=True):
        assert_allclose(b, deformation @ a, rtol=rtol, atol=rtol)
    assert_allclose(strained.volume, structure.volume * np.linalg.det(deformation), rtol=10 * rtol)
    assert_allclose(strained.fractional_positions, structure.fractional_positions, atol=10 * rtol)


# -- ASE -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("NaCl", "rocksalt", a=5.64),
        molecule("H2O"),
        ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 3.0]], cell=[4, 5, 0], pbc=(True, True, False)),
        ase.Atoms("Ar", [[9, 9, 9]], cell=[4, 5, 6], pbc=False),
    ],
    ids=["bulk", "molecule", "slab", "box"],
)
def test_ase_and_back(atoms):
    structure = Structure.from_ase(atoms)
    back = structure.to_ase()
    assert_allclose(back.positions, atoms.positions, rtol=1e-15)
    assert_array_equal(back.cell.array, atoms.cell.array)
    assert_array_equal(back.pbc, atoms.pbc)
    assert back.get_chemical_symbols() == atoms.get_chemical_symbols() == list(structure.species)
    assert structure.charges is None
    assert not back.has("initial_charges")
    padded = structure.pad(structure.n_atoms + 3).to_ase()
    assert padded.get_chemical_symbols() == atoms.get_chemical_symbols()
    assert_array_equal(padded.positions, back.positions)


def test_ase_charges():
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.set_initial_charges([1.0, -1.0])
    structure = Structure.from_ase(atoms)
    assert_array_equal(structure.charges, [1.0, -1.0])
    assert_array_equal(structure.pad(4).to_ase().get_initial_charges(), [1.0, -1.0])


def test_labels_that_are_no_elements_are_refused_by_ase():
    with pytest.raises(ValueError, match=r"`species`.*tip3p"):
        Structure.create(PLACES, ["O", "tip3p"]).to_ase()


# -- relabel, pad, stack ---------------------------------------------------------------------------


def test_relabel():
    structure = systems.slab().pad(8)
    renamed = structure.relabel(("Ar", "O", "Si", "Zr"))
    assert renamed.labels == ("Ar", "O", "Si", "Zr")
    assert renamed.species == structure.species
    assert_array_equal(renamed.species_index, [2, 1, 1, 2, 1, 2, -1, -1])
    backwards = structure.relabel(["Si", "O"])
    assert backwards.species == structure.species
    assert structure.relabel(structure.labels) is structure
    with pytest.raises(ValueError, match=r"`labels`.*Si"):
        structure.relabel(("O", "H"))


@pytest.mark.parametrize("labels", [("Si", "O"), ("Ar", "O", "Si"), ("Zr", "Si", "Ar", "O")])
def test_the_order_of_the_labels_changes_no_energy(labels):
    mixed = mff.potentials.TriplePotential(
        lambda r1, r2, c: (3.0 - r1) ** 2 * (3.0 - r2) * (1 + c + 0.3 * r1), cutoff=3.0, species=("Si", "Si", "O")
    )
    structure = systems.two_species()
    renamed = structure.relabel(labels)
    expected = mixed(structure, mixed.neighbor_list(structure))
    assert abs(expected) > 0.1
    assert_allclose(mixed(renamed, mixed.neighbor_list(renamed)), expected, rtol=1e-12)


def test_pad():
    structure = Structure.create(PLACES, ["O", "H"], cell=CELL, charges=[1, -1])
    padded = structure.pad(5)
    assert padded.n_atoms == 5
    assert padded.species == ("O", "H", "", "", "")
    assert_array_equal(padded.mask, [True, True, False, False, False])
    assert_array_equal(padded.positions[2:], np.zeros((3, 3)))
    assert_array_equal(padded.charges, [1, -1, 0, 0, 0])
    assert_allclose(value(padded), value(structure), rtol=1e-13)
    assert_array_equal(structure.pad(2).positions, structure.positions)
    with pytest.raises(ValueError, match="`n_atoms`"):
        structure.pad(1)


def test_stack():
    a, b, c = systems.one_atom(), systems.two_species(), systems.left_handed()
    batch = stack([a, b, c])
    assert batch.positions.shape == (3, 8, 3)
    assert batch.cell.shape == (3, 3, 3)
    assert batch.species_index.shape == (3, 8)
    assert batch.labels == ("O", "Si")
    assert batch.n_atoms == 8
    for n, single in enumerate((a, b, c)):
        one = jax.tree.map(lambda leaf, n=n: leaf[n], batch)
        assert one.species[: single.n_atoms] == single.species
        assert set(one.species[single.n_atoms :]) <= {""}
        assert_array_equal(one.positions[: single.n_atoms], single.positions)
        assert_array_equal(one.cell, single.cell)
    assert stack([a, b], n_atoms=10).n_atoms == 10
    with pytest.raises(ValueError, match="`n_atoms`"):
        stack([a, b], n_atoms=5)


def test_stack_refuses():
    with pytest.raises(ValueError, match=r"`structures`.*periodic"):
        stack([systems.molecule(), systems.silicon()])
    with pytest.raises(ValueError, match="`structures` must be single structures, got a batch"):
        stack([stack([systems.silicon()])] * 2)
    with pytest.raises(ValueError, match=r"`structures`.*at least one"):
        stack([])
    charged = dataclasses.replace(systems.molecule(), charges=jnp.zeros(5))
    with pytest.raises(ValueError, match=r"`structures`.*charges"):
        stack([systems.molecule(), charged])
    assert stack([charged, charged]).charges.shape == (2, 5)
