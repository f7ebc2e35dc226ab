"""What a fit can do besides: checkpoints, schedules, averages, stress, charges, normalization, committees."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ase.build import bulk

import miniffx as mff
from miniffx.io.tensor_files import write_tensors
from miniffx.training import problem, stored
from miniffx.training.checkpoint import FORMAT, VERSION, load_checkpoint
from miniffx.training.loop import Loop
from miniffx.training.loss import Sums
from miniffx.training.steps import MiniBatches
from test_training import D, crystals, labelled


def with_everything(structures):
    """Frames with energies, forces, stress, energies of atoms and weights."""
    energy = mff.potentials.stillinger_weber("Si")
    data = labelled(structures, energy)
    compute = jax.jit(lambda s, nl: (mff.stress(energy)(s, nl), energy.atomic(s, nl)))
    frames = []
    for number, frame in enumerate(data):
        stress, atomic = compute(frame.structure, energy.neighbor_list(frame.structure))
        stress, atomic = np.asarray(stress), np.asarray(atomic)
        frames.append(
            dataclasses.replace(frame, stress=stress, partial_energies=atomic, weight=(1.0, 0.5, 2.0)[number % 3])
        )
    return mff.Dataset(frames)


@pytest.fixture(scope="module")
def data():
    return with_everything(list(crystals(9))[2::3] * 4)  # of one size


@pytest.fixture(scope="module")
def descriptors():
    return D.DescriptorSet([D.G2(eta=eta, r_shift=1.5, cutoff=3.5, species=("Si", "Si")) for eta in (0.1, 1.0, 4.0)])


@pytest.fixture(scope="module")
def model(descriptors):
    return mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(4,), activation="tanh")


def quick(model, data, **options):
    return mff.fit(model, data, **{"optimizer": "adam", "steps": 20, "batch_size": 4, "progress": False} | options)


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


class Killed(Exception):
    pass


def killer(at):
    def callback(entry, model):
        if entry["step"] == at:
            raise Killed

    return callback


# -- checkpoints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"average": 0.9, "force_fraction": 0.5, "patience": 15},
        {"optimizer": "lbfgs", "batch_size": None, "steps": 8},
        {"optimizer": optax.chain(optax.add_noise(1e-3, 0.5, jax.random.key(1)), optax.adam(1e-3))},
    ],
)
def test_resuming_repeats_the_uninterrupted_fit_bit_for_bit(data, model, tmp_path, options):
    train, validation = data[:9], data[9:]
    whole = quick(model, train, validation=validation, **options)
    path = tmp_path / "checkpoint.safetensors"
    for at in (3, 5):
        with pytest.raises(Killed):
            quick(model, train, validation=validation, checkpoint=path, resume=True, callback=killer(at), **options)
    result = quick(model, train, validation=validation, checkpoint=path, resume=True, **options)
    assert bits(result.model) == bits(whole.model)
    assert result.best_step == whole.best_step
    timeless = [[entry | {"seconds": 0} for entry in each.history] for each in (result, whole)]
    assert timeless[0] == timeless[1]
    again = quick(model, train, validation=validation, checkpoint=path, resume=True, **options)  # nothing left to do
    assert bits(again.model) == bits(whole.model)


def test_a_checkpoint_of_another_fit_is_refused(data, model, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    quick(model, data, steps=2, checkpoint=path)
    # With the seed the command line changes the initial weights, and with the validation data the scaling.
    other = mff.NNPotential.init(jax.random.key(1), model.descriptors, hidden=(4,), activation="tanh")
    with pytest.raises(ValueError, match="another `seed`"):
        quick(other, data[:-2], validation=data[-2:], steps=2, seed=1, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="another `model`"):
        quick(other, data, steps=2, checkpoint=path, resume=True)
    for change, name in (
        ({"steps": 3}, "steps"),
        ({"normalization": mff.Normalization(features="range")}, "normalization"),
        ({"validation": data[-2:]}, "validation"),
        ({"seed": 1}, "seed"),
        ({"train": data[:-1]}, "train"),
        ({"weights": mff.LossWeights(forces=0.1)}, "weights"),
        ({"optimizer": mff.Optimizer("adam", learning_rate=1e-3)}, "optimizer"),
    ):
        arguments = {"steps": 2, "train": data} | change
        with pytest.raises(ValueError, match=f"made by a fit with another `{name}`"):
            quick(model, arguments.pop("train"), checkpoint=path, resume=True, **arguments)
    result = quick(model, data, steps=2, checkpoint=path, resume=True, optimizer="adam")
    assert len(result.history) == 2
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="is not a readable miniffx checkpoint"):
        quick(model, data, steps=2, checkpoint=path, resume=True)
    model.save(path)
    with pytest.raises(ValueError, match="is not a miniffx checkpoint: its format is 'miniffx-model'"):
        load_checkpoint(path, (), {})
    write_tensors(path, FORMAT, VERSION, {}, {"origin": "{}"})
    with pytest.raises(ValueError, match="does not hold a complete checkpoint: 'progress'"):
        load_checkpoint(path, (), {})
    with pytest.raises(ValueError, match="`resume` needs a `checkpoint`"):
        quick(model, data, resume=True)


def test_a_checkpoint_is_there_from_the_start(data, model, tmp_path, monkeypatch):
    """Not that of a former fit: who is killed before the first report goes on with what was begun."""
    path = tmp_path / "checkpoint.safetensors"
    quick(model, data, steps=2, checkpoint=path)
    whole = quick(model, data, seed=1)

    def stop(*arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_report", stop)
        with pytest.raises(Killed):
            quick(model, data, seed=1, checkpoint=path)
    assert bits(quick(model, data, seed=1, checkpoint=path, resume=True).model) == bits(whole.model)


# -- optimizers -----------------------------------------------------------------------------------------------


def test_schedules():
    def at(steps, **options):
        rate = mff.Optimizer("sgd", learning_rate=1.0, **{"warmup": 0} | options).rate(100)
        return [float(rate(step)) for step in steps]

    assert at((0, 50, 100)) == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert at((0, 50, 100), schedule="constant") == [1, 1, 1]
    assert at((0, 50, 100), schedule="linear", final=0.5) == pytest.approx([1, 0.75, 0.5])
    assert at((0, 50, 100), schedule="exponential", final=0.01) == pytest.approx([1, 0.1, 0.01], rel=1e-5)
    assert at((0, 10, 20, 60, 100), warmup=20) == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-6)
    assert at((0, 5, 10, 100), warmup=None) == pytest.approx([0, 0.5, 1, 0], abs=1e-6)
    default = mff.Optimizer("adam").rate(5000)
    assert [float(default(step)) for step in (0, 50, 100, 5000)] == pytest.approx([0, 2.5e-3, 5e-3, 0], abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "adm"}, "`optimizer` must be one of .*, got 'adm'; did you mean 'adam'?"),
        ({"schedule": "cosinus"}, "did you mean 'cosine'?"),
        ({"options": {"weight_decai": 1}, "name": "adamw"}, "`option of adamw` .*did you mean 'weight_decay'?"),
        ({"learning_rate": -1}, "`learning_rate` must be positive"),
        ({"schedule": "exponential"}, "`final` must be positive"),
        ({"name": "lbfgs", "clip": 1.0}, "`clip` must be None for 'lbfgs'"),
        ({"warmup": -1}, "`warmup` must be a number of steps"),
        ({"final": 2}, r"`final` must be in \[0, 1\]"),
        ({"options": {"b1": [1, 2]}}, r"`b1` must be a number, got \[1, 2\]"),
        ({"options": {"b2": 1.5}}, r"`b2` must be in \[0, 1\), got 1.5"),
        ({"options": {"eps": "small"}}, "`options` must be what optax.adam takes, got eps = 'small'"),
        ({"options": {"eps": float("nan")}}, "`eps` must be finite"),
        ({"name": "lbfgs", "options": {"linesearch": 1}}, "`options` must be what optax.lbfgs takes"),
        ({"name": "ekf", "options": {"covariance": -1}}, "`covariance` must be positive"),
    ],
)
def test_bad_optimizers(arguments, message):
    with pytest.raises(ValueError, match=message):
        mff.Optimizer(**arguments)


def test_clipping_bounds_a_step(data, model):
    one = mff.Optimizer("sgd", learning_rate=1.0, schedule="constant", clip=1e-3)
    before = quick(model, data, optimizer=optax.sgd(0.0), steps=1).model.networks
    after = quick(model, data, optimizer=one, steps=1, average=0).model.networks
    moved = optax.tree_utils.tree_norm(jax.tree.map(jnp.subtract, after, before))
    assert float(moved) == pytest.approx(1e-3, rel=1e-6)


def test_averages_are_averages(data, model):
    """Of the weights after every step, with the decay that its docstring gives."""
    seen, sgd = [], optax.sgd(1e-2)
    for steps in (1, 2, 3):
        seen.append(quick(model, data, optimizer=sgd, steps=steps).model.networks)
    average = quick(model, data, optimizer=optax.sgd(0.0), steps=1).model.networks
    for step, networks in enumerate(seen):
        decay = min(0.5, (1 + step) / (10 + step))
        average = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * b, average, networks)
    result = quick(model, data, optimizer=sgd, steps=3, average=0.5)
    for a, b in zip(jax.tree.leaves(average), jax.tree.leaves(result.model.networks), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_patience_stops(data, model):
    result = quick(model, data[:8], validation=data[8:], optimizer=optax.sgd(0.0), steps=50, patience=5)
    assert result.history[-1]["step"] == 6
    assert result.best_step == 1
    with pytest.raises(ValueError, match="`patience` needs `validation`"):
        quick(model, data, patience=5)


def test_force_fraction(data, model):
    """Sums of a step hold all energies of a mini-batch and only some of its forces."""
    entry = []
    quick(model, data, steps=1, force_fraction=0.5, callback=lambda e, m: entry.append(e))
    assert {"energy_mae", "force_mae"} <= set(entry[0])
    with pytest.raises(ValueError, match="`force_fraction` must be 1 where a step takes the whole set"):
        quick(model, data, optimizer="lbfgs", batch_size=None, force_fraction=0.5)
    with pytest.raises(ValueError, match=r"`force_fraction` must be in \(0, 1\]"):
        quick(model, data, force_fraction=0.0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_forces_of_small_groups_weigh_no_more_than_others(k):
    """Per frame, what a step divides by makes up for how many frames of a mini-batch it looks at."""
    sizes, batch_size = [8, 2, 5], 4
    train = type("Train", (), {"totals": {"energy": 15.0, "force": 15.0}, "__len__": lambda self: sum(sizes)})()
    loop = SimpleNamespace(problem=SimpleNamespace(train=train), recipe=SimpleNamespace(with_forces=k))
    weights = {name: np.zeros(len(sizes)) for name in train.totals}
    for step in range(2 + 1 + 2):  # an epoch
        which, chosen, real = MiniBatches(sizes, batch_size, seed=0)(step)
        usual = Loop.usual(loop, len(chosen), int(real.sum()))
        weights["energy"][which] += real.sum() / usual["energy"] / sizes[which]
        weights["force"][which] += real[:k].sum() / usual["force"] / sizes[which]
    for found in weights.values():
        np.testing.assert_allclose(found, 1 / batch_size, rtol=1e-12)


def test_perfect_crystals_are_data_like_others():
    """All atoms alike, to rounding: nothing to learn from, nothing to fail by, and no extrapolation."""
    structure = mff.Structure.from_ase(bulk("Si", a=5.43, cubic=True))
    for dtype in (np.float32, np.float64):
        one = mff.Structure.create(np.asarray(structure.positions, dtype), structure.species, cell=structure.cell)
        perfect = mff.Dataset([mff.Frame(one, -34.7, np.zeros((8, 3)))])
        ds = D.DescriptorSet(
            [D.G2(eta=eta, r_shift=1.0, cutoff=4.5, species=("Si", "Si")) for eta in (0.1, 1.0)]
            + [D.G2(eta=1.0, r_shift=0.0, cutoff=1.5, species=("Si", "Si"))]  # without neighbours
            + [D.MomentInvariant(ranks, (1, 2), cutoff=4.5, species=("Si",) * 3) for ranks in ((1, 1), (2, 2), (3, 3))]
        )
        model = mff.NNPotential.init(jax.random.key(0), ds, hidden=(4,))
        with pytest.warns(UserWarning, match="constant in the training data and dropped"):
            result = mff.fit(model, perfect, optimizer="adam", steps=20, progress=False)
        assert mff.evaluate(result.model, perfect).force_mae < 1e-3
        nl = result.model.neighbor_list(one)
        assert not result.model.extrapolations(one, nl)
        np.testing.assert_array_equal(result.model.fidelity(one, nl), 1)


def test_a_nan_names_its_frame(data, model):
    frames = list(data)
    huge = np.array(frames[5].forces) * 1e200  # its square is infinite
    frames[5] = dataclasses.replace(frames[5], forces=huge)
    with pytest.raises(ValueError, match=r"`train` led to a loss of inf at step \d+, .* force error of frame 5 "):
        quick(model, mff.Dataset(frames))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "a"}, "`seed` must be a whole number that is not negative, got 'a'"),
        ({"seed": -1}, "`seed` must be a whole number that is not negative, got -1"),
        ({"weights": {"forces": 1.0}}, "`weights` must be LossWeights, got dict"),
        ({"checkpoint": "."}, "`checkpoint` must be a file, got ., which is a folder"),
        ({"log": "."}, "`log` must be a file, got ., which is a folder"),
    ],
)
def test_what_is_no_setting_is_told(data, model, change, message):
    with pytest.raises(ValueError, match=message):
        quick(model, data, **change)


def test_frames_of_no_weight_teach_nothing(data, model):
    nothing = mff.Dataset(dataclasses.replace(frame, weight=0.0) for frame in data)
    with pytest.raises(ValueError, match="`train` must hold a frame of positive weight with energy, got none"):
        quick(model, nothing)


def test_an_energy_out_of_all_proportion_is_told(data, model):
    frames = list(data)
    frames[5] = dataclasses.replace(frames[5], energy=1e12)
    with pytest.warns(UserWarning, match=r"`train`: the energy of frame 5 is 1.67e\+11 eV/atom away from the median"):
        quick(model, mff.Dataset(frames), steps=1)


def test_start_from_a_saved_model(data, model, tmp_path):
    first = quick(model, data).model
    first.save(tmp_path / "model.safetensors")
    loaded = mff.load(tmp_path / "model.safetensors")
    again, straight = (quick(m, data, steps=3) for m in (loaded, first))
    assert bits(again.model) == bits(straight.model)
    with pytest.raises(ValueError, match="`normalization` must be None for a model that was trained before"):
        quick(loaded, data, normalization=mff.Normalization())


# -- the loss -------------------------------------------------------------------------------------------------

WEIGHTS = mff.LossWeights(energy=2.0, forces=0.3, stress=50.0, partial_energies=0.7, huber=0.05)


def test_every_term_against_the_model_itself(data, model):
    """Energies, forces, stress and energies of atoms from stored Jacobians, weighted, and bent by Huber's function."""
    trained = quick(model, data, steps=5).model
    features = mff.featurize(model.descriptors, data, jacobian=True)
    (batch,) = stored.make_batches(trained, data, features, ("force", "stress", "partial_energy"))
    sums = Sums.of(stored.differences(trained.networks, trained, batch), WEIGHTS)
    compute = jax.jit(lambda s, nl: (*mff.energy_forces_stress(trained)(s, nl), trained.atomic(s, nl)))
    totals = {name: [0.0, 0.0, []] for name in ("energy", "force", "stress", "partial_energy")}
    for frame in data:
        e, f, s, a = map(np.asarray, compute(frame.structure, trained.neighbor_list(frame.structure)))
        n = frame.structure.n_atoms
        errors = {"energy": (e - frame.energy) / n, "force": f - frame.forces}
        errors |= {"stress": s - frame.stress, "partial_energy": a - frame.partial_energies}
        for name, error in errors.items():
            error, w = np.ravel(error), WEIGHTS.of(name)
            x = np.sqrt(w) * np.abs(error)
            value = np.where(x > 0.05, 0.05 * (2 * x - 0.05), x**2)
            totals[name][0] += frame.weight * value.sum()
            totals[name][1] += frame.weight * len(error)
            totals[name][2].append(error)
    expected = sum(value / weight for value, weight, _ in totals.values())
    assert float(sums.loss(WEIGHTS)) == pytest.approx(expected, rel=1e-9)
    weights = stored.totals(data, ("force", "stress", "partial_energy"))
    for name, (_, weight, errors) in totals.items():
        assert weights[name] == pytest.approx(weight)
        assert float(sums.errors()[f"{name}_mae"]) == pytest.approx(np.abs(np.concatenate(errors)).mean(), rel=1e-8)


def test_stress_and_energies_of_atoms_are_learnt(data, model):
    weights = mff.LossWeights(forces=0.0, stress=100.0, partial_energies=1.0)
    result = quick(model, data, weights=weights, steps=400, optimizer=mff.Optimizer("adam", learning_rate=2e-2))
    for name in ("stress_mae", "partial_energy_mae"):
        assert result.history[-1][name] < 0.5 * result.history[0][name]


def test_what_the_data_lack_is_refused(data, model):
    without = mff.Dataset([data[0], dataclasses.replace(data[1], stress=None, partial_energies=None)])
    with pytest.raises(ValueError, match=r"`train` must have stress in every frame .* got none in frame 1"):
        quick(model, without, weights=mff.LossWeights(stress=1.0))
    with pytest.raises(ValueError, match=r"`train` must have partial energies in every frame"):
        quick(model, without, weights=mff.LossWeights(partial_energies=1.0))
    with pytest.raises(ValueError, match=r"`weights.charges` must be 0"):
        quick(model, data, weights=mff.LossWeights(charges=1.0))


def test_frames_are_written_back(data, tmp_path):
    charged = dataclasses.replace(data[0].structure, charges=np.linspace(-1, 1, data[0].structure.n_atoms))
    frames = mff.Dataset([dataclasses.replace(data[0], structure=charged), data[1]])
    frames.write(tmp_path / "data.extxyz")
    again = mff.Dataset.read(tmp_path / "data.extxyz")
    for a, b in zip(frames, again, strict=True):
        np.testing.assert_allclose(a.stress, b.stress, atol=1e-8)
        np.testing.assert_allclose(a.partial_energies, b.partial_energies, atol=1e-8)
        np.testing.assert_allclose(a.forces, b.forces, atol=1e-8)
        assert a.weight == b.weight
    np.testing.assert_allclose(again[0].structure.charges, charged.charges, atol=1e-8)
    assert again[1].structure.charges is None


# -- normalization --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "normalization",
    [
        mff.Normalization(features="range", energy_scale=0.5),
        mff.Normalization(center=False, energy_offsets=False),
        mff.Normalization(components=2),
        mff.Normalization(components=0.01, center=False),
    ],
)
def test_whatever_is_done_to_the_data_is_undone_on_the_model(data, model, normalization):
    """The errors seen in training are those of the model that comes out."""
    result = quick(model, data, validation=data[:4], steps=3, normalization=normalization)
    errors = mff.evaluate(result.model, data[:4])
    entry = next(entry for entry in result.history if entry["step"] == result.best_step)
    assert errors.energy_mae == pytest.approx(entry["validation_energy_mae"], rel=1e-7)
    assert errors.force_mae == pytest.approx(entry["validation_force_mae"], rel=1e-7)
    assert [factor.ndim for factor in result.model.scaling.factor] == [1]


def test_components_are_cut(data, model):
    result = quick(model, data, steps=1, normalization=mff.Normalization(components=1))
    first = result.model.networks[0].weights[0]
    assert np.linalg.matrix_rank(first, tol=1e-9 * float(jnp.abs(first).max())) == 1
    with pytest.raises(ValueError, match="`components` must be a whole number or a fraction"):
        mff.Normalization(components=1.5)
    with pytest.raises(ValueError, match="`features` must be one of std, range, none"):
        mff.Normalization(features="max")


# -- committees -----------------------------------------------------------------------------------------------


def test_a_committee_learns_at_once(data, descriptors, tmp_path):
    committee = mff.Committee.init(jax.random.key(0), descriptors, members=3, hidden=(4,), activation="tanh")
    result = quick(committee, data[:8], validation=data[8:])
    trained = result.model
    assert len(result.best_step) == 3
    alone = quick(committee.member(1), data[:8], validation=data[8:])
    assert alone.best_step == result.best_step[1]
    for a, b in zip(jax.tree.leaves(alone.model.networks), jax.tree.leaves(trained.member(1).networks), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    frame = data[0]
    neighbors = trained.neighbor_list(frame.structure)
    energy_and_forces = jax.jit(lambda energy: mff.energy_and_forces(energy)(frame.structure, neighbors))
    each = [energy_and_forces(trained.member(n)) for n in range(3)]
    energies, forces = np.array([e for e, _ in each]), np.array([f for _, f in each])
    energy, force = energy_and_forces(trained)
    np.testing.assert_allclose(energy, energies.mean(), rtol=1e-12)
    np.testing.assert_allclose(force, forces.mean(axis=0), atol=1e-12)
    spread = trained.uncertainty(frame.structure, neighbors)
    np.testing.assert_allclose(spread.energy, energies.std(ddof=1), rtol=1e-9)
    np.testing.assert_allclose(spread.forces, forces.std(axis=0, ddof=1), rtol=1e-6, atol=1e-12)
    trained.save(tmp_path / "committee.safetensors")
    loaded = mff.load(tmp_path / "committee.safetensors")
    assert bits(loaded) == bits(trained)
    assert float(energy_and_forces(loaded)[0]) == float(energy)


def test_committees_are_of_a_kind(descriptors):
    one, two = (mff.NNPotential.init(jax.random.key(n), descriptors, hidden=(4,), activation="tanh") for n in range(2))
    assert mff.Committee.of([one, two]).size == 2
    wide = mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(5,), activation="tanh")
    with pytest.raises(ValueError, match="`models` must differ only in their weights, got others in number 1"):
        mff.Committee.of([one, wide])
    with pytest.raises(ValueError, match="`members` must be a whole number of at least 2"):
        mff.Committee.init(jax.random.key(0), descriptors, members=1)


# -- extrapolation --------------------------------------------------------------------------------------------


def test_extrapolation_names_atom_and_descriptor(data, model):
    trained = quick(model, data, steps=1).model
    inside = data[0].structure
    neighbors = trained.neighbor_list(inside)
    fidelity = trained.fidelity(inside, neighbors)
    assert float(fidelity.min()) > 0
    assert float(fidelity.max()) <= 1
    assert trained.extrapolations(inside) == []
    positions = np.array(inside.positions)
    positions[3] += [0.9, 0.0, 0.0]
    moved = dataclasses.replace(inside, positions=positions)
    with pytest.warns(mff.ExtrapolationWarning, match=r"atom \d: G2 Si-Si .* outside of \["):
        found = trained.extrapolations(moved)
    seen = mff.featurize(model.descriptors, data).per_species()["Si"]
    values = mff.featurize(model.descriptors, [moved])[0]
    outside = (values < seen.min(axis=0)) | (values > seen.max(axis=0))
    assert sorted(item.atom for item in found) == sorted(np.argwhere(outside)[:, 0])
    assert sorted(item.value for item in found) == pytest.approx(sorted(values[outside]))
    assert [item.excess for item in found] == sorted((item.excess for item in found), reverse=True)
    fidelity = trained.fidelity(moved, trained.neighbor_list(moved))
    np.testing.assert_array_equal(fidelity == 0, [atom in {item.atom for item in found} for atom in range(len(values))])
    with pytest.raises(ValueError, match="`model` must have been trained"):
        model.extrapolations(inside)


# -- networks -------------------------------------------------------------------------------------------------


def test_networks_per_species_and_biases_per_layer():
    species = ("Ga", "As")
    ds = D.DescriptorSet([D.G2(eta=0.5, r_shift=0.0, cutoff=4.0, species=(a, b)) for a in species for b in species])
    model = mff.NNPotential.init(
        jax.random.key(0), ds, hidden={"Ga": (3,), "As": (4, 5)}, activation={"Ga": "tanh", "As": "silu"}, bias=False
    )
    assert [len(network.weights) for network in model.networks] == [3, 2]
    assert [network.activation for network in model.networks] == ["silu", "tanh"]
    assert model.networks[0].biases == ()
    mlp = mff.MLP.init(jax.random.key(0), n_inputs=2, hidden=(3,), bias=(True, False))
    assert mlp.biases[1] is None
    x = jnp.ones((4, 2))
    assert mlp(x).shape == (4,)
    with pytest.raises(ValueError, match="`hidden` must have an entry for each of As, Ga"):
        mff.NNPotential.init(jax.random.key(0), ds, hidden={"Ga": (3,)}, activation="tanh")
    with pytest.raises(ValueError, match="`bias` must be a bool, or one for each of 2 layers"):
        mff.MLP.init(jax.random.key(0), n_inputs=2, hidden=(3,), bias=(True,))


# -- the log --------------------------------------------------------------------------------------------------


def test_the_log_can_be_read(data, model, tmp_path):
    log, path = tmp_path / "log.jsonl", tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        quick(model, data, log=log, checkpoint=path, callback=killer(5))
    with log.open("a") as file:
        file.write('{"event": "rep')  # a process killed in the middle of a line
    result = quick(model, data, log=log, checkpoint=path, resume=True)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", *["report"] * 5, "resume", *["report"] * 15, "end"]
    reports = {event["step"]: event for event in events if event["event"] == "report"}
    assert [reports[entry["step"]]["loss"] for entry in result.history] == [e["loss"] for e in result.history]


# -- memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "lbfgs", "batch_size": None, "steps": 5},
        {"optimizer": "adam", "batch_size": 4, "steps": 12, "force_fraction": 0.5},
        {"optimizer": "ekf", "batch_size": 4, "steps": 3},
    ],
)
def test_without_memory_for_jacobians_a_fit_is_the_same(monkeypatch, data, descriptors, options, moments):
    if moments:
        descriptors = D.DescriptorSet(
            [D.MomentInvariant(ranks=(l, l), orders=(1, 2), cutoff=3.5, species=("Si",) * 3) for l in (1, 2)]
        )
    model = mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(4,), activation="tanh")
    weights = mff.LossWeights(forces=0.1, stress=1.0, partial_energies=0.01)
    train, validation = data[:9], data[9:]
    known = quick(model, train, validation=validation, weights=weights, **options)
    # Whole sets are seen four frames at a time, the last one repeated.
    monkeypatch.setattr(stored, "at_once", lambda n_atoms: 4)
    with pytest.warns(UserWarning, match=r"`\w+`: what forces need takes .* GiB, of 1e-09 that it may"):
        found = quick(model, train, validation=validation, weights=weights, memory=1e-9, **options)
    for one, other in zip(found.history, known.history, strict=True):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(
            [one[name] for name in one if name != "seconds"],
            [other[name] for name in other if name != "seconds"],
            rtol=1e-7,
            atol=1e-12,
        )
    expected, got = (jax.tree.leaves(result.model.networks) for result in (known, found))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-10)


def test_lists_that_do_not_fit_are_an_error(monkeypatch, data, model):
    monkeypatch.setattr(problem, "free_memory", lambda: 1e3)
    with (
        pytest.warns(UserWarning, match="what forces need"),
        pytest.raises(MemoryError, match=r"`train`: what forces need takes .* GiB, of which"),
    ):
        quick(model, data)
    with pytest.raises(ValueError, match="`memory`"):
        quick(model, data, memory=0.0)


def test_lists_that_need_more_than_jacobians_are_not_kept(data):
    few = D.DescriptorSet([D.G4(eta=0.1, zeta=1.0, lam=1.0, cutoff=6.5, species=("Si",) * 3)])
    model = mff.NNPotential.init(jax.random.key(0), few, hidden=(2,))
    quick(model, data, memory=1e-9, steps=1)  # without a warning, which would be an error


def test_names_of_optimizers_average_by_default(data, model):
    one, other, none = (quick(model, data, **options).model for options in ({}, {"average": 0.999}, {"average": 0}))
    assert bits(one) == bits(other) != bits(none)
    plain = optax.adam(1e-3)
    assert bits(quick(model, data, optimizer=plain).model) == bits(quick(model, data, optimizer=plain, average=0).model)
    with pytest.raises(ValueError, match="`average` must be at least 0 and less than 1, got 1"):
        quick(model, data, average=1)
