"""Frames and model files: round trips, and what happens to damaged ones."""

import json
import pickle

import ase.io
import jax
import numpy as np
import pytest
import safetensors.numpy
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

import miniffx as mff
from miniffx.io.tensor_files import write_tensors

D = mff.descriptors


def atoms_with_results(forces=True):
    atoms = bulk("Si", a=5.43)
    results = {"energy": -8.5} | ({"forces": np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])} if forces else {})
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def model():
    descriptors = D.DescriptorSet(
        [
            D.G2(eta=0.1, r_shift=1.0, cutoff=5.0, species=("Si", "Si")),
            D.G4(eta=0.1, zeta=4, lam=-1.0, cutoff=5.0, species=("Si",) * 3),
        ]
    )
    data = mff.Dataset([mff.Frame(mff.Structure.from_ase(bulk("Si", a=a)), e) for a, e in ((5.4, -8.6), (5.6, -8.4))])
    untrained = mff.NNPotential.init(jax.random.key(1), descriptors, hidden=(5,), activation="softplus")
    return mff.fit(untrained, data, weights=mff.LossWeights(1.0, 0.0), steps=3, progress=False).model


@pytest.mark.parametrize("suffix", ["extxyz", "xyz", "traj", "json"])
def test_read_whatever_ase_reads(tmp_path, suffix):
    path = tmp_path / f"frames.{suffix}"
    ase.io.write(path, [atoms_with_results(), atoms_with_results(forces=False)])
    data = mff.Dataset.read(path)
    assert len(data) == 2
    assert data[0].energy == -8.5
    np.testing.assert_allclose(data[0].forces[1], [-0.1, -0.2, -0.3])
    assert data[1].forces is None
    np.testing.assert_allclose(data[0].structure.positions, bulk("Si", a=5.43).positions, atol=1e-6)
    assert data[0].structure.pbc == (True, True, True)


def test_written_frames_read_back(tmp_path):
    structure = mff.Structure.create([[0.0, 0, 0], [0, 0, 1.1]], ["N", "O"])
    frame = mff.Frame(structure, -3.25, np.array([[0, 0, 1.5], [0, 0, -1.5]]), group="molecule")
    mff.Dataset([frame]).write(tmp_path / "out.extxyz")
    again = mff.Dataset.read(tmp_path / "out.extxyz")[0]
    assert again.energy == -3.25
    assert again.group == "molecule"
    assert again.structure.species == ("N", "O")
    assert again.structure.pbc == (False, False, False)
    np.testing.assert_allclose(again.forces, frame.forces)


def test_bad_frames_name_file_and_frame(tmp_path):
    path = tmp_path / "frames.extxyz"
    with pytest.raises(FileNotFoundError, match=r"frames\.extxyz, which does not exist"):
        mff.Dataset.read(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"frames\.extxyz, which is empty"):
        mff.Dataset.read(path)
    path.write_text("hello world\n")
    with pytest.raises(ValueError, match=r"frames\.extxyz could not be read"):
        mff.Dataset.read(path)
    ase.io.write(path, [atoms_with_results(), atoms_with_results()])
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole[:-1]))
    with pytest.raises(ValueError, match=r"frames\.extxyz could not be read"):
        mff.Dataset.read(path)
    ase.io.write(path, [atoms_with_results(), bulk("Si")])
    with pytest.raises(ValueError, match=r"frames\.extxyz, frame 1: .*`energy`"):
        mff.Dataset.read(path)
    path.write_text("".join(whole).replace("-8.5", "nan"))
    with pytest.raises(ValueError, match=r"frames\.extxyz, frame 0: `energy` must be finite"):
        mff.Dataset.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("old")
    unsavable = mff.potentials.PairPotential(lambda r: r, cutoff=4.0, species=("Si", "Si"))
    with pytest.raises(ValueError, match="must consist of numbers and the library's own parts"):
        mff.io.save_model(unsavable, path)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors"]
    with pytest.raises(FileNotFoundError, match="existing folder"):
        mff.io.save_model(mff.potentials.stillinger_weber("Si"), tmp_path / "no" / "model.safetensors")


def test_a_loaded_model_predicts_the_same_bits(tmp_path, model):
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = mff.load(path)
    structure = mff.Structure.from_ase(bulk("Si", a=5.5) * (2, 1, 1))
    predict = jax.jit(lambda m, s, n: mff.energy_forces_stress(m)(s, n))
    neighbors = model.neighbor_list(structure)
    for a, b in zip(predict(model, structure, neighbors), predict(loaded, structure, neighbors), strict=True):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(loaded) == jax.tree.structure(model)
    for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def test_classical_potentials_can_be_saved_too(tmp_path):
    potential = 0.5 * mff.potentials.stillinger_weber("Si") + mff.potentials.OnSite(energy=0.1, species="Si")
    mff.io.save_model(potential, tmp_path / "sw.safetensors")
    loaded = mff.load(tmp_path / "sw.safetensors")
    structure = mff.Structure.from_ase(bulk("Si", a=5.4))
    neighbors = potential.neighbor_list(structure)
    np.testing.assert_array_equal(loaded(structure, neighbors), potential(structure, neighbors))


def test_the_header_tells_units_and_version(tmp_path, model):
    model.save(tmp_path / "model.safetensors")
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["units"]) == {"energy": "eV", "length": "angstrom"}
    assert metadata["format"] == "miniffx-model"
    assert metadata["version"] == "1"


def test_damaged_and_foreign_files_are_refused(tmp_path, model):
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        mff.load(path)
    model.save(path)
    content = path.read_bytes()
    for bad in (b"", content[:20], content[:-7], b"\xff" * 100, pickle.dumps({"a": 1})):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="is not a readable miniffx model"):
            mff.load(path)
    safetensors.numpy.save_file({"x": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="is not a miniffx model"):
        mff.load(path)
    for version in ("1", "99"):
        header = {"format": "miniffx-model", "version": version, "model": "{}"}
        safetensors.numpy.save_file({"x": np.zeros(2)}, path, metadata=header)
        with pytest.raises(ValueError, match={"1": "is damaged", "99": "has version 99"}[version]):
            mff.load(path)
    units = json.dumps({"energy": "eV", "length": "angstrom"})
    for tree in ('{"type": "os.system", "fields": {}}', '{"type": "MLP", "fields": {"nonsense": 1}}', "[", "3"):
        write_tensors(path, "miniffx-model", "1", {"x": np.zeros(2)}, {"units": units, "model": tree})
        with pytest.raises(ValueError, match="does not hold a complete model"):
            mff.load(path)
    for units in ('{"energy": "Ha", "length": "bohr"}', "no"):
        write_tensors(path, "miniffx-model", "1", {}, {"units": units, "model": "3"})
        with pytest.raises(ValueError, match="does not hold a complete model"):
            mff.load(path)


def test_no_bit_of_a_file_can_change_unnoticed(tmp_path, model):
    path = tmp_path / "model.safetensors"
    model.save(path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in (*rng.integers(0, len(content), 100), len(content) - 1):
        damaged = content.copy()
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|readable|is not a miniffx|has version|complete"):
            mff.load(path)
