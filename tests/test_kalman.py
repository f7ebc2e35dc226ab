"""Training by a Kalman filter."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import miniffx as mff
from miniffx.training import kalman, stored
from miniffx.training.kalman import Kalman
from miniffx.training.loss import Sums
from miniffx.training.problem import make_problem
from test_feature_table import toy
from test_fit_options import Killed, bits, killer, with_everything
from test_training import D, crystals


@pytest.fixture(scope="module")
def data():
    return with_everything(list(crystals(9))[2::3] * 4)  # of one size


@pytest.fixture(scope="module")
def model():
    pairs = [D.G2(eta=eta, r_shift=1.5, cutoff=3.5, species=("Si", "Si")) for eta in (0.1, 1.0, 4.0)]
    return mff.NNPotential.init(jax.random.key(0), D.DescriptorSet(pairs), hidden=(4,), activation="tanh")


def quick(model, data, **options):
    return mff.fit(model, data, **{"optimizer": "ekf", "steps": 12, "batch_size": 4, "progress": False} | options)


def exact(**options):
    """A filter that forgets nothing."""
    return mff.Optimizer("ekf", options={"forgetting": 1.0} | options)


# -- linear models: the exact minimum -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_one_sweep_solves_linear_least_squares(batch_size):
    """Σ e² + (θ − θ₀)²/P₀ over all that was seen, however it was cut; numpy.linalg.lstsq is the oracle."""
    features, values = toy(60)
    energy = values.sum(axis=1) + np.random.default_rng(0).normal(size=60)
    line = mff.MLP.init(jax.random.key(0), n_inputs=3, hidden=(), bias=False)
    table = mff.FeatureTable(features, energy)
    steps = -(-60 // batch_size)
    result = quick(line, table, optimizer=exact(covariance=10.0), steps=steps, batch_size=batch_size)
    start = np.asarray(line.weights[0][:, 0])
    rows = np.concatenate([features.sum(axis=1), np.eye(3) / np.sqrt(10)])
    expected = np.linalg.lstsq(rows, np.concatenate([energy, start / np.sqrt(10)]))[0]
    np.testing.assert_allclose(result.model.weights[0][:, 0], expected, rtol=1e-9)


def test_what_was_seen_fades():
    """λ λ' … weights of a recursive least squares, made by hand."""
    rng = np.random.default_rng(0)
    rows, wanted = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2))
    information, pulled, theta, covariance = np.eye(4) / 5, np.zeros(4), jnp.zeros(4), jnp.eye(4) * 5
    for forgetting, h, y in zip((0.9, 0.95, 0.99), rows, wanted, strict=True):
        change, covariance = kalman.update(covariance, forgetting, h @ theta - y, jnp.asarray(h))
        theta += change
        information, pulled = forgetting * information + h.T @ h, forgetting * pulled + h.T @ y
    np.testing.assert_allclose(theta, np.linalg.solve(information, pulled), rtol=1e-10)
    np.testing.assert_allclose(covariance, np.linalg.inv(information), rtol=1e-9, atol=1e-12)


@pytest.mark.float32_too
def test_covariances_stay_symmetric_and_positive():
    """Many updates that see little of what there is, in whatever precision."""
    rng = np.random.default_rng(0)
    covariance = jnp.eye(40) * 100
    advance = jax.jit(kalman.update)
    for _ in range(300):
        covariance = advance(covariance, 0.99, jnp.zeros(8), jnp.asarray(rng.normal(size=(8, 5)) @ np.eye(5, 40)))[1]
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(np.float64(covariance)).min() > 0


@pytest.mark.float32_too
@pytest.mark.parametrize(("n", "rows"), [(37, 5), (300, 72)])
def test_covariances_stay_symmetric_by_themselves_where_little_is_forgotten(n, rows):
    """In single precision to the bit, alone and in a committee; in double as far as rounding goes."""
    rng = np.random.default_rng(0)
    advance = jax.jit(partial(kalman.update, errors=jnp.zeros(rows), most=1000.0, symmetrize=False))
    advance_both = jax.jit(jax.vmap(lambda p, h: advance(p, 0.99, jacobian=h)[1]))
    covariance = 1000 * jnp.eye(n)
    both = jnp.stack([covariance, covariance])
    for _ in range(20):
        h = jnp.asarray(rng.normal(size=(2, rows, n)))
        covariance, both = advance(covariance, 0.99, jacobian=h[0])[1], advance_both(both, h)
    for found in (covariance, *both):
        rounding = 1e-12 if found.dtype == jnp.float64 else 0
        np.testing.assert_allclose(found, found.T, rtol=0, atol=rounding)
        assert np.linalg.eigvalsh(np.float64(found)).min() > 0


def test_rounding_is_not_amplified():
    """What one step breaks is at most a thousand times as large at the end, or symmetry is restored in every step."""
    for forgetting, rate, restored in ((0.99, 0.998, False), (0.99, 0.9995, True), (0.9, 1.0, True), (1.0, 1.0, False)):
        filter_ = Kalman(forgetting=forgetting, forgetting_rate=rate)
        assert filter_._amplifies_rounding == restored
        steps = np.arange(100_000)
        amplified = np.sum(-np.log1p(-(1 - forgetting) * rate**steps))  # log Π 1/λ
        assert (amplified < 7.1) != restored


# -- measurements ---------------------------------------------------------------------------------------------


def test_measurements_and_their_derivatives(data, model):
    """Against jax.jacobian of the errors, and the gradient of the loss; on average over the signs the same."""
    weights = mff.LossWeights(energy=2.0, forces=0.3, stress=50.0, partial_energies=0.7, huber=0.3)
    problem, _ = make_problem(model, data, None, weights, None)
    theta, unravel = ravel_pytree(problem.parameters)
    usual = {name: total / len(data) for name, total in problem.train.totals.items()}

    def differences(theta, frame):
        return stored.differences(unravel(theta), problem.fixed, frame)

    @jax.jit
    def compute(theta, frame):
        # As many rows as there are errors: they are taken in as they are.
        alone = jax.tree.map(lambda leaf: leaf[0], frame)
        found = Kalman(projections=1000)._rows(differences, weights, usual, theta, alone, jax.random.key(0))
        slopes = jax.jacrev(lambda theta: {name: d.error.ravel() for name, d in differences(theta, frame).items()})
        loss = jax.value_and_grad(lambda theta: Sums.of(differences(theta, frame), weights).loss(weights, usual))
        return found, differences(theta, frame), slopes(theta), loss(theta)

    frame = problem.train.batches[0].take(jnp.array([1]), jnp.array([True]))
    (errors, jacobian, sums), found, slopes, (loss, gradient) = compute(theta, frame)
    expected, weighted, bent = [], [], []
    for name in ("energy", "force", "stress", "partial_energy"):
        d = found[name]
        size = np.sqrt(weights.of(name)) * np.abs(d.error.ravel())
        bent.append(size > 0.3)
        factor = np.sqrt(weights.of(name) * data[1].weight / usual[name] * 0.3 / np.maximum(size, 0.3))
        expected.append(factor * d.error.ravel())
        weighted.append(np.reshape(factor, (-1, 1)) * slopes[name])
    assert 0 < np.concatenate(bent).mean() < 1
    np.testing.assert_allclose(errors, np.concatenate(expected), rtol=1e-9)
    np.testing.assert_allclose(jacobian, np.concatenate(weighted), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(2 * jacobian.T @ errors, gradient, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(sums.loss(weights, usual), loss, rtol=1e-9)

    few = Kalman(projections=2)
    keys = jax.random.split(jax.random.key(1), 4000)
    e = jnp.asarray(np.concatenate(expected))
    squares = jax.jit(jax.vmap(lambda key: (few._signs(key, e) @ e) ** 2))(keys)
    assert squares.shape == (4000, 2)
    assert float(squares.sum(axis=1).mean()) == pytest.approx(float(e @ e), rel=0.1)


def test_blocks_are_as_one(data, model, monkeypatch):
    """What is too much at once is taken in part by part; where weights hardly move, that is the same."""
    options = {
        "optimizer": exact(covariance=1e-4),
        "weights": mff.LossWeights(forces=0.0),
        "batch_size": 11,
        "steps": 2,
    }
    networks = [quick(model, data, **options).model.networks]
    monkeypatch.setattr(kalman, "ROWS", 4)
    jax.clear_caches()
    networks.append(quick(model, data, **options).model.networks)
    start, whole, parts = (np.asarray(ravel_pytree(tree)[0]) for tree in (model.networks, *networks))
    assert np.abs(whole - start).max() > 1e-8
    np.testing.assert_allclose(parts - start, whole - start, rtol=1e-3, atol=1e-10)


# -- fits -----------------------------------------------------------------------------------------------------


def test_it_learns_faster_than_adam(data, model):
    ekf, adam = (quick(model, data, optimizer=name, steps=60).history[-1] for name in ("ekf", "adam"))
    assert ekf["loss"] < 0.2 * adam["loss"]
    assert ekf["force_mae"] < 0.5 * adam["force_mae"]


def test_resuming_repeats_the_uninterrupted_fit_bit_for_bit(data, model, tmp_path):
    train, options = data[:9], {"validation": data[9:], "average": 0.9, "patience": 50}
    whole = quick(model, train, **options)
    path = tmp_path / "checkpoint.safetensors"
    for at in (3, 5):
        with pytest.raises(Killed):
            quick(model, train, checkpoint=path, resume=True, callback=killer(at), **options)
    result = quick(model, train, checkpoint=path, resume=True, **options)
    assert bits(result.model) == bits(whole.model)
    assert result.best_step == whole.best_step
    other = mff.Optimizer("ekf", options={"covariance": 3.0})
    with pytest.raises(ValueError, match="made by a fit with another `optimizer`"):
        quick(model, train, checkpoint=path, resume=True, optimizer=other, **options)


def test_a_committee_learns_at_once(data, model):
    committee = mff.Committee.init(jax.random.key(0), model.descriptors, members=2, hidden=(4,), activation="tanh")
    trained = quick(committee, data, steps=4).model
    alone = quick(committee.member(1), data, steps=4).model
    for a, b in zip(jax.tree.leaves(alone.networks), jax.tree.leaves(trained.member(1).networks), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_a_nan_names_its_frame(data, model):
    frames = list(data)
    frames[5] = dataclasses.replace(frames[5], forces=np.array(frames[5].forces) * 1e200)
    message = r"force error of frame 5 .*: lower the covariance"
    with pytest.raises(ValueError, match=message):
        quick(model, mff.Dataset(frames))


# -- what cannot be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"options": {"covarianc": 1.0}}, "`option of ekf` must be one of .*did you mean 'covariance'?"),
        ({"options": {"covariance": -1.0}}, "`covariance` must be positive, got -1.0"),
        ({"options": {"forgetting": 1.5}}, r"`forgetting` must be in \(0, 1\], got 1.5"),
        ({"options": {"projections": 0}}, "`projections` must be a positive integer, got 0"),
        ({"learning_rate": 1e-3}, "`learning_rate` must be None for 'ekf'"),
        ({"clip": 1.0}, "`clip` must be None for 'ekf'"),
    ],
)
def test_bad_options(arguments, message):
    with pytest.raises(ValueError, match=message):
        mff.Optimizer("ekf", **arguments)


def test_what_cannot_be_is_refused(data, model, monkeypatch):
    with pytest.raises(ValueError, match=r"`force_fraction` must be 1 for 'ekf', got 0\.5"):
        quick(model, data, force_fraction=0.5)
    monkeypatch.setattr(kalman, "free_memory", lambda: 5e4)
    with pytest.raises(
        MemoryError, match=r"`optimizer` 'ekf' needs .* GiB for the covariances of 21 weights, of which"
    ):
        quick(model, data)
