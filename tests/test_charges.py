"""Charges that depend on their surroundings: learnt, fed to an electrostatic energy, and what that leaves learnt too.

Forces, stress, invariances, padding and batches of a ChargedPotential are in the grid of test_derivatives.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import miniffx as mff
from miniffx import descriptors as D
from miniffx import potentials as P
from miniffx.cli import main
from oracles import central_difference

KINDS = [(a, b) for a in ("Cl", "Na") for b in ("Cl", "Na")]
CUTOFF = 4.5
LEARNT = D.DescriptorSet(
    [D.G2(eta=eta, r_shift=shift, cutoff=CUTOFF, species=kind) for kind in KINDS for eta, shift in ((0.8, 2.2), (2, 3))]
)
KNOWN = D.DescriptorSet(
    [D.G2(eta=0.8, r_shift=2.2, cutoff=CUTOFF, species=kind) for kind in KINDS if len({*kind}) == 2]
)
REPULSION = P.PairPotential(  # what the descriptors can express
    lambda r: jnp.exp(-0.8 * (r - 2.2) ** 2) * (1 + jnp.cos(jnp.pi * r / CUTOFF)), cutoff=CUTOFF, species=("Na", "Cl")
)
EWALD = P.Ewald(eta=0.55, real_cutoff=6.0, reciprocal_cutoff=4.0, k_max=(5, 5, 5))

charges_of = jax.jit(lambda model, structure, nl: model(structure, nl))
ef = jax.jit(lambda energy, structure, nl: mff.energy_and_forces(energy)(structure, nl))


def exact(electrostatics):
    """Charges of ±(0.3 e + 0.2 e × a descriptor), neutral, and what they feed: forces follow from these charges too."""
    line = mff.NNPotential.init(jax.random.key(0), KNOWN, hidden=())
    networks = tuple(
        dataclasses.replace(network, weights=(jnp.full((1, 1), 0.2 * sign),), biases=(jnp.full(1, 0.3 * sign),))
        for network, sign in zip(line.networks, (-1.0, 1.0), strict=True)
    )
    charges = mff.ChargeModel(dataclasses.replace(line, networks=networks))
    return mff.ChargedPotential(REPULSION, charges, electrostatics)


def with_charges(structure):
    model = exact(EWALD).charges
    return dataclasses.replace(structure, charges=np.asarray(model(structure, model.neighbor_list(structure))))


def rock_salt(count, seed=0):
    """Rattled cells of rock salt, eight atoms each."""
    rng = np.random.default_rng(seed)
    places = np.indices((2, 2, 2)).reshape(3, -1).T
    species = ["Na" if place.sum() % 2 == 0 else "Cl" for place in places]
    for _ in range(count):
        a = 5.5 * rng.uniform(0.97, 1.03)
        positions = places * a / 2 + rng.normal(scale=0.15, size=(8, 3))
        yield with_charges(mff.Structure.create(positions, species, [a] * 3))


def labelled(structures, energy):
    blank = mff.Dataset(mff.Frame(structure, 0.0) for structure in structures)
    energies, forces = mff.training.predict(energy, blank)
    return mff.Dataset(
        mff.Frame(structure, float(e), f) for structure, e, f in zip(structures, energies, forces, strict=True)
    )


def bits(tree):
    return [(np.shape(leaf), np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


@pytest.fixture(scope="module")
def data():
    return labelled(list(rock_salt(24)), exact(EWALD))


@pytest.fixture(scope="module")
def untrained():
    return mff.ChargeModel.init(jax.random.key(0), LEARNT, hidden=(6,), activation="tanh")


@pytest.fixture(scope="module")
def fitted(data, untrained):
    return mff.fit(untrained, data[:18], data[18:], steps=150, progress=False)


@pytest.fixture(scope="module")
def short_range():
    return mff.NNPotential.init(jax.random.key(1), LEARNT, hidden=(6,), activation="tanh")


@pytest.fixture(scope="module")
def potential(data, fitted, short_range):
    start = mff.ChargedPotential(short_range, fitted.model, EWALD)
    return mff.fit(start, data[:18], data[18:], steps=100, progress=False).model


# -- charges --------------------------------------------------------------------------------------------------


def test_charges_are_learnt(data, fitted):
    spread = np.std([np.abs(frame.structure.charges) for frame in data])
    assert spread > 0.02
    errors = mff.evaluate(fitted.model, data[18:])
    assert errors.charge_mae < 0.1 * spread
    assert errors.charge_mae < 1e-2
    assert (errors.n_frames, errors.n_atoms) == (6, 48)
    assert f"charges (me)         {1e3 * errors.charge_mae:12.2f}{1e3 * errors.charge_rmse:10.2f}" in str(errors)
    entry = next(entry for entry in fitted.history if entry["step"] == fitted.best_step)
    assert entry["validation_charge_mae"] == pytest.approx(errors.charge_mae, rel=1e-7)
    assert entry["validation_charge_rmse"] == pytest.approx(errors.charge_rmse, rel=1e-7)
    assert not any("energy" in name for name in entry)
    fitted.plot()


def test_the_scaling_is_that_of_the_charges(data, fitted):
    scaling = fitted.model.network.scaling
    every = {
        label: np.concatenate([f.structure.charges[np.array(f.structure.species) == label] for f in data[:18]])
        for label in ("Cl", "Na")
    }
    means = [charges.mean() for charges in every.values()]
    assert_allclose(scaling.offsets, means, rtol=1e-12)
    rest = np.concatenate([charges - mean for charges, mean in zip(every.values(), means, strict=True)])
    assert_allclose(scaling.scale, rest.std(), rtol=1e-12)


@pytest.mark.parametrize("total", [0.0, 1.0, None])
def test_charges_sum_to_the_total_in_any_padding_and_batch(fitted, total):
    model = dataclasses.replace(fitted.model, total_charge=total)
    large, small = (
        next(rock_salt(1, seed=5)),
        with_charges(mff.Structure.create([[0, 0, 0], [0, 0, 2.5]], ["Na", "Cl"])),
    )
    small = dataclasses.replace(small, cell=np.diag([9.0] * 3), pbc=(True,) * 3)
    batch = mff.stack([large, small])
    together = jax.jit(jax.vmap(lambda s, nl: model(s, nl)))(batch, model.needs.neighbor_list(batch))
    for row, structure in zip(np.asarray(together), (large, small), strict=True):
        n = structure.n_atoms
        alone = np.asarray(model(structure, model.neighbor_list(structure)))
        assert_allclose(row[:n], alone, rtol=0, atol=1e-12)
        assert not row[n:].any()
        if total is not None:
            assert_allclose(alone.sum(), total, atol=1e-12)
    if total is None:
        moved = dataclasses.replace(fitted.model, total_charge=float(alone.sum()))
        assert_allclose(moved(small, moved.neighbor_list(small)), alone, atol=1e-12)
    broken = dataclasses.replace(model.neighbor_list(large), overflow=jnp.asarray(True))
    assert np.isnan(model(large, broken)).all()


def test_mini_batches_and_checkpoints(data, untrained, tmp_path):
    """Killed and resumed: the same bits."""
    options = {"optimizer": "adam", "steps": 12, "batch_size": 4, "average": 0.9, "progress": False}
    options["normalization"] = mff.Normalization(components=3)
    whole = mff.fit(untrained, data[:9], data[9:12], **options)
    path = tmp_path / "checkpoint.safetensors"

    class Killed(Exception):
        pass

    def kill(entry, model):
        if entry["step"] == 5:
            raise Killed

    with pytest.raises(Killed):
        mff.fit(untrained, data[:9], data[9:12], checkpoint=path, callback=kill, **options)
    again = mff.fit(untrained, data[:9], data[9:12], checkpoint=path, resume=True, **options)
    assert bits(again.model) == bits(whole.model)
    error = mff.evaluate(whole.model, data[9:12]).charge_mae
    entry = next(entry for entry in whole.history if entry["step"] == whole.best_step)
    assert entry["validation_charge_mae"] == pytest.approx(error, rel=1e-7)
    other = dataclasses.replace(untrained, total_charge=1.0)
    with pytest.raises(ValueError, match="another `model`"):
        mff.fit(other, data[:9], data[9:12], checkpoint=path, resume=True, **options)


# -- the potential --------------------------------------------------------------------------------------------


def test_energies_are_learnt_better_with_charges(data, fitted, potential, short_range):
    assert bits(potential.charges) == bits(fitted.model)
    errors = mff.evaluate(potential, data[18:])
    without = mff.evaluate(mff.fit(short_range, data[:18], data[18:], steps=100, progress=False).model, data[18:])
    assert errors.force_mae < 0.7 * without.force_mae
    assert errors.energy_mae < 0.7 * without.energy_mae
    assert errors.charges == mff.evaluate(fitted.model, data[18:])
    assert errors.charges.line() in str(errors)
    assert errors.numbers()["charge_mae"] == errors.charges.charge_mae
    assert without.charges is None


def test_it_is_an_energy_like_any_other(data, potential):
    structure = data[20].structure
    nl = potential.neighbor_list(structure, skin=0.3)
    e, forces = ef(potential, structure, nl)
    slopes = central_difference(
        lambda r: ef(potential, dataclasses.replace(structure, positions=r), nl)[0], structure.positions, 1e-4, order=4
    )
    assert_allclose(forces, -slopes, atol=1e-7)
    assert_allclose(potential.atomic(structure, nl).sum(), e, rtol=1e-12)
    assert_allclose((potential + 2 * REPULSION)(structure, nl), e + 2 * REPULSION(structure, nl), rtol=1e-12)
    none = dataclasses.replace(structure, charges=None)  # those of the structure are not read
    assert_allclose(potential(none, nl), e, rtol=1e-12)
    assert mff.relax(potential, none, steps=3).energy < e
    atoms = none.to_ase()
    atoms.calc = mff.calculators.ASECalculator(potential)
    assert_allclose(atoms.get_forces(), forces, atol=1e-9)


def test_files_keep_every_bit(data, potential, fitted, tmp_path):
    structure = data[0].structure
    nl = potential.neighbor_list(structure)
    for model in (potential, fitted.model, dataclasses.replace(potential, short_range=None)):
        model.save(tmp_path / "model.safetensors")
        again = mff.load(tmp_path / "model.safetensors")
        assert type(again) is type(model)
        assert bits(again) == bits(model)
        assert_array_equal(again(structure, nl), model(structure, nl))


def test_minus_leaves_the_rest(data):
    full = mff.Dataset(
        dataclasses.replace(
            frame,
            stress=np.asarray(mff.stress(REPULSION)(frame.structure, nl)),
            partial_energies=np.asarray(REPULSION.atomic(frame.structure, nl)),
        )
        for frame, nl in ((frame, EWALD.neighbor_list(frame.structure)) for frame in data[:2])
    )
    for frame, rest in zip(full, full.minus(exact(EWALD)), strict=True):
        assert abs(rest.energy) < 1e-10
        assert_allclose(rest.forces, 0, atol=1e-10)
        assert_array_equal(rest.structure.charges, frame.structure.charges)
    assert abs(full.minus(EWALD).minus(REPULSION)[0].energy) < 1e-10  # charges of the structures
    rest = full.minus(REPULSION)[0]
    assert_allclose(rest.stress, 0, atol=1e-12)
    assert_allclose(rest.partial_energies, 0, atol=1e-12)
    assert data[:1].minus(REPULSION)[0].stress is None


def test_molecules(untrained, short_range):
    """The plain Coulomb sum; frames of different sizes, and members of a committee."""
    rng = np.random.default_rng(2)
    structures = []
    for n in (2, 3, 4, 4):
        positions = np.arange(n)[:, None] * [2.1, 0, 0] + rng.normal(scale=0.1, size=(n, 3))
        structures.append(with_charges(mff.Structure.create(positions, ["Na", "Cl", "Na", "Cl"][:n])))
    data = labelled(structures, exact(P.Coulomb()))
    charges = mff.fit(untrained, data, steps=30, progress=False).model
    members = mff.Committee.init(jax.random.key(3), LEARNT, members=2, hidden=(3,), activation="tanh")
    model = mff.fit(mff.ChargedPotential(members, charges, P.Coulomb()), data, steps=2, progress=False).model
    assert isinstance(model.short_range, mff.Committee)
    structure = structures[2]
    nl = model.neighbor_list(structure)
    q, r = np.asarray(charges(structure, nl)), structure.positions
    pairs = [(i, j) for i in range(4) for j in range(i)]
    coulomb = sum(14.399645 * q[i] * q[j] / np.linalg.norm(r[i] - r[j]) for i, j in pairs)
    assert_allclose(model(structure, nl) - model.short_range(structure, nl), coulomb, rtol=1e-10)


# -- what is refused ------------------------------------------------------------------------------------------


def test_what_cannot_be_learnt_is_refused(data, untrained, short_range, fitted):
    bare = dataclasses.replace(data[1], structure=dataclasses.replace(data[1].structure, charges=None))
    some = mff.Dataset([data[0], bare])
    silicon = mff.Structure.create([[0, 0, 0], [0, 0, 2.3]], ["Si", "Si"], charges=[0.0, 0.0])
    other = mff.Dataset([mff.Frame(silicon, 0.0, np.zeros((2, 3)))])
    potential = mff.ChargedPotential(short_range, fitted.model, EWALD)
    for arguments, options, message in (
        ((untrained, some), {}, r"`train` must have charges in every frame for a ChargeModel, got none in frame 1"),
        ((untrained, data, some), {}, "`validation` must have charges in every frame"),
        ((untrained, other), {}, "`train`: `structure` must hold only species that the model knows"),
        ((potential, other), {}, "`train`: `structure` must hold only species that the model knows"),
        ((untrained, data), {"weights": mff.LossWeights()}, "`weights` must hold only `charges` for a ChargeModel"),
        ((potential, data), {"weights": mff.LossWeights(charges=1.0)}, r"`weights.charges` must be 0 but for a Charge"),
        (
            (untrained, data),
            {"optimizer": "adam", "force_fraction": 0.5},
            "`force_fraction` must be 1 where a step takes the whole set, or looks at no forces",
        ),
        ((dataclasses.replace(potential, short_range=None), data), {}, r"`model.short_range` must be a NNPotential"),
    ):
        with pytest.raises(ValueError, match=message):
            mff.fit(*arguments, progress=False, **options)
    with pytest.raises(ValueError, match="`data` must have charges in every frame"):
        mff.evaluate(fitted.model, some)
    with pytest.raises(ValueError, match="`structure` must hold only species"):
        mff.evaluate(fitted.model, other)
    with pytest.raises(ValueError, match="`total_charge` must be"):
        mff.ChargeModel.init(jax.random.key(0), LEARNT, total_charge=np.nan)


# -- the command line -----------------------------------------------------------------------------------------

CONFIG = """
[data]
train = "train.extxyz"
validation = 0.5  # two sets of one shape, and so of one program
[descriptors]
recipe = "behler"
cutoff = 5.0
[network]
hidden = [4]
[charges]
steps = 40
hidden = [5]
accuracy = 1e-3
[training]
steps = 20
batch_size = 4
warmup = 2
average = 0.9
[output]
folder = "out"
"""


def test_charges_from_the_command_line(data, tmp_path, capsys):
    data.write(tmp_path / "train.extxyz")
    (tmp_path / "config.toml").write_text(CONFIG)
    assert main(["fit", str(tmp_path / "config.toml")]) == 0
    printed = capsys.readouterr().out
    assert "charge MAE" in printed
    assert "on what the Ewald sum over predicted charges leaves" in " ".join(printed.split())
    out = tmp_path / "out"
    assert {"charges-checkpoint.safetensors", "charges-log.jsonl"} <= {item.name for item in out.iterdir()}
    model = mff.load(out / "model.safetensors")
    assert isinstance(model, mff.ChargedPotential)
    assert [w.shape[1] for w in model.charges.network.networks[0].weights] == [5, 1]
    data[:12].write(tmp_path / "some.extxyz")
    assert main(["evaluate", str(out / "model.safetensors"), str(tmp_path / "some.extxyz")]) == 0
    assert "charges (me)" in capsys.readouterr().out

    assert main(["fit", str(tmp_path / "config.toml"), "--resume"]) == 0  # both are done: nothing changes
    assert bits(mff.load(out / "model.safetensors")) == bits(model)

    text = CONFIG.replace("[charges]\nsteps = 40\nhidden = [5]\naccuracy = 1e-3\n", "")
    text = text.replace("[training]\nsteps = 20", '[training]\nstart = "out/model.safetensors"\nsteps = 2')
    (tmp_path / "more.toml").write_text(text)
    assert main(["fit", str(tmp_path / "more.toml")]) == 0
    more = mff.load(out / "model.safetensors")
    assert bits(more.charges) == bits(model.charges)
    assert bits(more.short_range) != bits(model.short_range)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("accuracy", "acuracy", "unknown key in [charges]: `acuracy`; did you mean `accuracy`?"),
        ("steps = 40\n", "", "`charges.steps` must be positive where [charges] says anything else, got 0"),
        ("hidden = [5]", "hidden = [0]", "`charges.hidden` must be positive widths, got [0]"),
        ("accuracy = 1e-3", "accuracy = 0", "`charges.accuracy` must be positive, in eV/Å, got 0.0"),
        (
            "accuracy = 1e-3",
            'total_charge = "any"',
            "`charges.total_charge` must be a finite number or 'free', got 'any'",
        ),
        ("hidden = [5]", "", "`data.train` must have charges in every frame for a ChargeModel, got none in frame 0"),
    ],
)
def test_a_bad_table_of_charges_is_one_clear_line(data, tmp_path, capsys, old, new, message):
    bare = [dataclasses.replace(f, structure=dataclasses.replace(f.structure, charges=None)) for f in data[:4]]
    mff.Dataset(bare).write(tmp_path / "train.extxyz")
    assert old in CONFIG
    (tmp_path / "config.toml").write_text(CONFIG.replace(old, new, 1))
    assert main(["fit", str(tmp_path / "config.toml")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
