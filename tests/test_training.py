"""Data sets, features, scaling, loss, optimizers, errors."""

import dataclasses
import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ase.build import bulk
from jax.flatten_util import ravel_pytree

import miniffx as mff
import oracles
import systems
from miniffx.models.scaling import fit_scaling
from miniffx.training import batching, stored
from miniffx.training.loss import Sums, add_sums
from miniffx.training.steps import MiniBatches

D = mff.descriptors


def crystals(count=12, seed=0, symbol="Si"):
    """Rattled cells of 6 to 8 atoms: one group of padded ones."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        atoms = bulk(symbol, "diamond", a=5.43, cubic=True)
        del atoms[: number % 3]
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        yield mff.Structure.from_ase(atoms)


def mixture():
    """Crystals, a dimer and a slab: three groups."""
    dimer = mff.Structure.create([[0, 0, 0], [0, 0, 2.2]], ["Si", "Si"])
    slab = bulk("Si", a=5.43)
    slab.pbc = (True, True, False)
    return labelled([*crystals(3), dimer, mff.Structure.from_ase(slab)])


def labelled(structures, energy=None):
    """Frames with the energies and forces of a potential."""
    energy = mff.potentials.stillinger_weber("Si") if energy is None else energy
    blank = mff.Dataset(mff.Frame(structure, 0.0) for structure in structures)
    energies, forces = mff.training.predict(energy, blank)
    return mff.Dataset(
        dataclasses.replace(frame, energy=float(e), forces=f, group=str(number % 2))
        for number, (frame, e, f) in enumerate(zip(blank, energies, forces, strict=True))
    )


@pytest.fixture(scope="module")
def data():
    return labelled(crystals())


@pytest.fixture(scope="module")
def descriptors():
    return D.DescriptorSet(
        [D.G2(eta=eta, r_shift=1.5, cutoff=4.0, species=("Si", "Si")) for eta in (0.1, 1.0)]
        + [D.G4(eta=0.01, zeta=z, lam=-1.0, cutoff=4.0, species=("Si", "Si", "Si")) for z in (1, 2)]
    )


@pytest.fixture(scope="module")
def model(descriptors):
    return mff.NNPotential.init(jax.random.key(0), descriptors, hidden=(8,), activation="tanh")


# -- data sets ------------------------------------------------------------------------------------------------


def test_dataset_is_a_sequence(data):
    assert len(data) == 12
    assert len(data[2:5]) == 3
    assert data[2:5][0] is data[2]
    assert len(data + data[:3]) == 15
    assert data[[1, 3]][1] is data[3]
    assert data.species == ("Si",)
    assert data.n_atoms == sum(frame.structure.n_atoms for frame in data)


def test_split_is_a_partition_that_the_seed_repeats(data):
    rest, part = data.split(0.25, seed=3)
    assert (len(rest), len(part)) == (9, 3)
    assert {id(frame) for frame in rest} | {id(frame) for frame in part} == {id(frame) for frame in data}
    again = data.split(0.25, seed=3)[1]
    assert [id(frame) for frame in again] == [id(frame) for frame in part]
    assert any([id(f) for f in data.split(0.25, seed=s)[1]] != [id(f) for f in part] for s in range(5))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 0.01, float("nan")])
def test_split_leaves_no_part_empty(data, fraction):
    with pytest.raises(ValueError, match="`fraction`"):
        data.split(fraction)


def test_frames_are_checked(data):
    structure = data[0].structure
    with pytest.raises(ValueError, match="`energy` must be finite"):
        mff.Frame(structure, float("nan"))
    with pytest.raises(ValueError, match="`forces` must have shape"):
        mff.Frame(structure, 0.0, np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"`forces` must be finite, got .* on atom 0"):
        mff.Frame(structure, 0.0, np.full((structure.n_atoms, 3), np.inf))


# -- batching and features ------------------------------------------------------------------------------------


def test_groups_are_the_best_of_all_ways_to_cut():
    sizes = [3, 4, 4, 9, 10, 30, 31, 32]
    penalty = sum(sizes) / 10

    def cost(groups):
        return sum(max(group) * len(group) + penalty for group in groups)

    found = batching.group_by_size(sizes, ["same"] * len(sizes))
    assert sorted(itertools.chain(*found)) == list(range(len(sizes)))
    cuts = itertools.chain.from_iterable(itertools.combinations(range(1, len(sizes)), n) for n in range(len(sizes)))
    every = [[sizes[a:b] for a, b in itertools.pairwise((0, *cut, len(sizes)))] for cut in cuts]
    assert cost([[sizes[i] for i in group] for group in found]) == pytest.approx(min(map(cost, every)))


def test_groups_keep_kinds_apart():
    groups = batching.group_by_size([5, 5, 5, 5], ["a", "b", "a", "b"])
    assert sorted(map(sorted, groups)) == [[0, 2], [1, 3]]


def test_featurize_equals_the_descriptor_set(descriptors):
    data = mixture()
    features = mff.featurize(descriptors, data)
    for index, frame in enumerate(data):
        expected = descriptors(frame.structure, descriptors.neighbor_list(frame.structure))
        np.testing.assert_allclose(features[index], expected, rtol=1e-12, atol=1e-14)
    assert features.per_species()["Si"].shape == (data.n_atoms, len(descriptors))


def test_featurize_within_a_bound_of_memory(descriptors, capsys):
    data = mixture()
    free = mff.featurize(descriptors, data, jacobian=True, progress=True)
    needed, batches = re.search(r"needs (\S+) GiB, (\d+) batches", capsys.readouterr().err).groups()
    size = sum(leaf.nbytes for batch in free.batches for leaf in jax.tree.leaves(batch.species))
    assert 2 * size < float(needed) * 2**30 < 12 * size
    tight = mff.featurize(descriptors, data, jacobian=True, memory=0.8 * float(needed), progress=True)
    assert int(re.search(r"(\d+) batches", capsys.readouterr().err)[1]) > int(batches)
    for one, other in zip(free.batches, tight.batches, strict=True):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14), one.species, other.species)
    with pytest.raises(MemoryError, match=r"features need \S+ GiB, `memory` allows 1e-06"):
        mff.featurize(descriptors, data, jacobian=True, memory=1e-6)
    oxygen = mff.Structure.create([[0, 0, 0]], ["O"])  # has no features and no neighbours
    assert mff.featurize(descriptors, [data[0].structure, oxygen], memory=1.0)[1].shape == (1, len(descriptors))
    with pytest.raises(ValueError, match="`memory` must be positive"):
        mff.featurize(descriptors, data, memory=-1)


def test_featurize_two_species_with_absent_ones():
    species = ("Ga", "As")
    descriptors = D.DescriptorSet(
        [D.G2(eta=0.5, r_shift=0.0, cutoff=4.0, species=pair) for pair in itertools.product(species, species)]
        + [D.G4(eta=0.01, zeta=2, lam=1.0, cutoff=4.0, species=("Ga", "As", "Ga"))]
    )
    mixed = mff.Structure.from_ase(bulk("GaAs", "zincblende", a=5.65))
    pure = mff.Structure.from_ase(bulk("As", "sc", a=2.6))
    features = mff.featurize(descriptors, [pure, mixed])
    np.testing.assert_allclose(features[1], descriptors(mixed, descriptors.neighbor_list(mixed)), rtol=1e-12)
    np.testing.assert_allclose(features[0], descriptors(pure, descriptors.neighbor_list(pure)), rtol=1e-12)
    assert (features[0][0] > 0).tolist() == [False, True, False]  # an As atom: As-Ga, As-As, and nothing more


def test_stored_jacobians_give_the_forces_of_the_model(model):
    """Two ways that share no code beyond the formulas: stored ∂G/∂D, and jax.grad through the neighbour list."""
    data = mixture()
    result = mff.fit(model, data, steps=1, progress=False)
    features = mff.featurize(model.descriptors, data, jacobian=True)
    batches = stored.make_batches(result.model, data, features, ("force",))
    energies, forces = mff.training.predict(result.model, data)
    offsets = data.counts(result.model.species) @ np.asarray(result.model.scaling.offsets)
    for batch, group in zip(batches, features.batches, strict=True):
        some_energies, _, some_forces, _ = stored.predict(result.model, batch)
        for row, index in enumerate(group.indices):
            n = data[int(index)].structure.n_atoms
            np.testing.assert_allclose(some_energies[row], energies[index] - offsets[index], rtol=0, atol=1e-9)
            np.testing.assert_allclose(some_forces[row, :n], forces[index], rtol=0, atol=1e-9)
            np.testing.assert_array_equal(some_forces[row, n:], 0)


# -- scaling --------------------------------------------------------------------------------------------------


def test_scaling_centers_features_and_finds_energies_of_species():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 9, size=(30, 2))
    energies = counts @ np.array([-3.0, -7.0]) + 0.01 * rng.normal(size=30)
    features = {"A": rng.normal(2.0, 5.0, size=(400, 3)), "B": rng.normal(size=(300, 2))}
    scaling = fit_scaling(features, counts, energies)
    np.testing.assert_allclose(scaling.offsets, [-3.0, -7.0], atol=0.02)
    scaled = (features["A"] - scaling.center[0]) * scaling.factor[0]
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-12)


def test_scaling_of_one_composition_gives_equal_energies():
    scaling = fit_scaling(
        {"A": np.random.default_rng(0).normal(size=(9, 1)), "B": np.ones((9, 1)) * np.arange(9)[:, None]},
        np.array([[2, 1]] * 4),
        np.array([-12.0, -12.3, -11.7, -12.0]),
    )
    np.testing.assert_allclose(scaling.offsets, [-4.0, -4.0])


def test_constant_features_are_dropped_with_a_warning():
    features = {"A": np.column_stack([np.full(20, 0.3), np.arange(20.0)])}
    with pytest.warns(UserWarning, match="1 descriptors of A are constant in the training data and dropped: tall"):
        scaling = fit_scaling(features, np.ones((20, 1)), np.arange(20.0), {"A": ["tall", "small"]})
    assert scaling.factor[0][0] == 0
    assert scaling.factor[0][1] > 0


def test_a_feature_of_few_atoms_spans_no_more_than_eight_units():
    rare = np.zeros(1000)
    rare[7] = 0.4
    features = {"A": np.column_stack([rare, np.arange(1000.0)])}
    scaling = fit_scaling(features, np.ones((1000, 1)), np.arange(1000.0))
    scaled = np.asarray(scaling.apply(0, features["A"]))
    np.testing.assert_allclose(np.ptp(scaled[:, 0]), 8)
    np.testing.assert_allclose(scaled[:, 1].std(), 1)


def test_features_too_small_for_single_precision_are_dropped():
    features = {"A": np.column_stack([1e-40 * np.arange(20.0), 1e-25 * np.arange(20.0)])}
    with pytest.warns(UserWarning, match="1 descriptors of A are constant in the training data and dropped: far"):
        scaling = fit_scaling(features, np.ones((20, 1)), np.arange(20.0), {"A": ["far", "near"]})
    assert scaling.factor[0][0] == 0
    assert 0 < np.float32(scaling.factor[0][1]) < np.inf


def total_sums(model, batches, weights=mff.LossWeights()):  # noqa: B008
    """The sums over all batches."""
    return add_sums(Sums.of(stored.differences(model.networks, model, batch), weights) for batch in batches)


# -- fitting --------------------------------------------------------------------------------------------------


def test_loss_is_what_its_docstring_says(data, model):
    weights = mff.LossWeights(energy=2.0, forces=0.3)
    result = mff.fit(model, data, weights=weights, optimizer=optax.sgd(0.0), batch_size=12, steps=1, progress=False)
    energies, forces = mff.training.predict(result.model, data)
    sizes = np.array([frame.structure.n_atoms for frame in data])
    energy_term = (((energies - [frame.energy for frame in data]) / sizes) ** 2).mean()
    force_term = (
        np.concatenate([(f - frame.forces).ravel() for f, frame in zip(forces, data, strict=True)]) ** 2
    ).mean()
    features = mff.featurize(model.descriptors, data, jacobian=True)
    total = total_sums(result.model, stored.make_batches(result.model, data, features, ("force",)), weights)
    assert float(total.loss(weights)) == pytest.approx(2.0 * energy_term + 0.3 * force_term, rel=1e-9)
    errors = mff.evaluate(result.model, data)
    assert total.errors() == pytest.approx(
        {name: getattr(errors, name) for name in ("energy_mae", "energy_rmse", "force_mae", "force_rmse")}, rel=1e-9
    )


def test_gradient_of_the_loss_against_central_differences(data, model):
    model = mff.fit(model, data, steps=1, progress=False).model
    features = mff.featurize(model.descriptors, data[:4], jacobian=True)
    batches = stored.make_batches(model, data[:4], features, ("force",))
    flat, unflatten = ravel_pytree(model.networks)

    @jax.jit
    def value(weights):
        networks = unflatten(weights)
        return total_sums(dataclasses.replace(model, networks=networks), batches).loss(mff.LossWeights())

    chosen = np.random.default_rng(0).permutation(flat.size)[:10]
    gradient = jax.grad(value)(flat)[chosen]
    numeric = oracles.central_difference(
        lambda part: float(value(flat.at[chosen].set(part))), np.asarray(flat[chosen]), 1e-5
    )
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("optimizer", "steps"), [("lbfgs", 60), ("adam", 800), (optax.adam(3e-3), 800)])
def test_fit_learns(data, model, optimizer, steps):
    train, validation = data.split(0.25, seed=1)
    result = mff.fit(model, train, validation, optimizer=optimizer, steps=steps, batch_size=None, progress=False)
    first, last = result.history[0], result.history[-1]
    assert last["force_mae"] < 0.5 * first["force_mae"]
    assert last["step"] == steps
    assert result.best_step <= steps
    best = min(result.history, key=lambda entry: entry["validation_score"])
    assert best["step"] == result.best_step
    errors = mff.evaluate(result.model, validation)
    assert errors.force_mae == pytest.approx(best["validation_force_mae"], rel=1e-6)
    assert errors.energy_rmse == pytest.approx(best["validation_energy_rmse"], rel=1e-6)


def test_the_same_seed_repeats_a_fit_exactly(data, model):
    fits = [mff.fit(model, data, optimizer="adam", steps=30, batch_size=4, seed=s, progress=False) for s in (1, 1, 2)]
    weights = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(f.model.networks)]) for f in fits]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


def test_every_frame_is_seen_once_per_epoch():
    order = MiniBatches([5, 3], 2, seed=0)
    seen = []
    for step in range(5):  # three batches of the first group, two of the second
        which, chosen, real = order(step)
        assert len(chosen) == 2
        seen += [(which, int(frame)) for frame, keep in zip(chosen, real, strict=True) if keep]
    assert sorted(seen) == [(0, n) for n in range(5)] + [(1, n) for n in range(3)]


def test_energies_alone_need_no_forces(data, model):
    without = mff.Dataset(dataclasses.replace(frame, forces=None) for frame in data)
    result = mff.fit(model, without, weights=mff.LossWeights(1.0, 0.0), steps=40, progress=False)
    assert result.history[-1]["energy_mae"] < 0.5 * result.history[0]["energy_mae"]
    assert "force_mae" not in result.history[-1]
    assert mff.evaluate(result.model, without).force_mae is None


def test_training_on_keeps_the_scaling(data, model):
    first = mff.fit(model, data, steps=20, progress=False)
    second = mff.fit(first.model, data, steps=5, progress=False)
    for a, b in zip(jax.tree.leaves(first.model.scaling), jax.tree.leaves(second.model.scaling), strict=True):
        np.testing.assert_array_equal(a, b)
    assert second.history[0]["loss"] < first.history[0]["loss"]


def test_single_precision_data_train_in_single_precision(data, model):
    single = mff.Dataset(
        dataclasses.replace(
            frame,
            structure=dataclasses.replace(
                frame.structure,
                positions=np.asarray(frame.structure.positions, np.float32),
                cell=np.asarray(frame.structure.cell, np.float32),
            ),
        )
        for frame in data
    )
    result = mff.fit(model, single, steps=30, progress=False)
    assert {leaf.dtype for leaf in jax.tree.leaves(result.model.networks)} == {jnp.dtype("float32")}
    assert result.history[-1]["loss"] < result.history[0]["loss"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": mff.Dataset([])}, "`train` must hold at least one frame"),
        ({"validation": mff.Dataset([])}, "`validation` must hold at least one frame"),
        ({"optimizer": "sgdd"}, "`optimizer` must be one of lbfgs, adam, .*, got 'sgdd'; did you mean 'sgd'?"),
        ({"steps": 0}, "`steps` must be a positive integer, got 0"),
        ({"batch_size": 4}, "`batch_size` must be None for 'lbfgs'"),
        ({"optimizer": "adam", "batch_size": -1}, "`batch_size` must be a positive integer"),
    ],
)
def test_bad_arguments_of_fit(data, model, change, message):
    with pytest.raises(ValueError, match=message):
        mff.fit(**{"model": model, "train": data, "steps": 1, "progress": False} | change)


def test_missing_forces_and_unknown_species_are_refused(data, model):
    without = mff.Dataset([*data[:2], dataclasses.replace(data[2], forces=None)])
    with pytest.raises(ValueError, match=r"`train` must have forces in every frame.* got none in frame 2"):
        mff.fit(model, without, steps=1, progress=False)
    germanium = mff.Dataset([mff.Frame(next(iter(crystals(1, symbol="Ge"))), 0.0)])
    for call in (lambda: mff.fit(model, germanium, steps=1), lambda: mff.evaluate(model, germanium)):
        with pytest.raises(ValueError, match=r"only species that the model knows \(Si\), got Ge"):
            call()
    structure = germanium[0].structure
    with pytest.raises(ValueError, match=r"only species that the model knows \(Si\), got Ge"):
        model(structure, model.neighbor_list(structure))


def test_a_diverging_fit_says_so(data, model):
    with pytest.raises(ValueError, match="lower the learning rate"):
        mff.fit(model, data, optimizer=optax.sgd(1e30), steps=20, progress=False)


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_loss_weights_are_checked(weights):
    with pytest.raises(ValueError, match="`"):
        mff.LossWeights(*weights)


def test_mlp_shapes_and_errors():
    mlp = mff.MLP.init(jax.random.key(0), n_inputs=3, hidden=(), bias=False)
    assert [w.shape for w in mlp.weights] == [(3, 1)]
    np.testing.assert_allclose(mlp(jnp.eye(3)), mlp.weights[0][:, 0])
    with pytest.raises(ValueError, match="`activation` must be one of"):
        mff.MLP.init(jax.random.key(0), n_inputs=3, activation="tan")
    with pytest.raises(ValueError, match="positive integers"):
        mff.MLP.init(jax.random.key(0), n_inputs=3, hidden=(0,))


def test_errors_print_as_a_table(data, model):
    errors = mff.evaluate(mff.potentials.stillinger_weber("Si"), data)
    assert errors.energy_mae < 1e-12
    assert errors.force_rmse < 1e-12
    text = str(dataclasses.replace(errors, energy_mae=0.0123, force_rmse=0.456))
    assert "12.30" in text
    assert "456.0" in text
    assert "12 frames" in text


def test_what_cannot_be_featurized_is_named():
    ds = D.DescriptorSet([D.G2(eta=0.1, r_shift=0.0, cutoff=3.0, species=("Si", "Si"))])
    for what, message in (
        (systems.silicon(), "must be several Structures or frames, got Structure"),
        (None, "must be several Structures or frames, got NoneType"),
        ([systems.silicon(), 3], "must be Structures or frames, got int at index 1"),
    ):
        with pytest.raises(ValueError, match=f"`structures` {message}"):
            mff.featurize(ds, what)
