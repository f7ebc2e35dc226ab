"""Training on plain arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import miniffx as mff


def toy(count=200, points=4, seed=0):
    """f(r) = (r² − r + 1) exp(−r), summed over points, and its descriptors rⁱ exp(−r)."""
    r = np.random.default_rng(seed).uniform(0.5, 5, size=(count, points))
    features = np.stack([r**i * np.exp(-r) for i in range(3)], axis=-1)
    return features, (r**2 - r + 1) * np.exp(-r)


@pytest.mark.float32_too
def test_linear_map_is_recovered():
    features, values = toy()
    mask = np.random.default_rng(1).random(values.shape) < 0.7
    features[~mask] = 1e3  # the padding must not matter
    table = mff.FeatureTable(features, (values * mask).sum(axis=1), mask)
    mlp = mff.MLP.init(jax.random.key(0), n_inputs=3, hidden=(), bias=False)
    result = mff.fit(mlp, table, optimizer="lbfgs", steps=200, progress=False)
    np.testing.assert_allclose(result.model.weights[0][:, 0], [1, -1, 1], atol=1e-3)
    assert result.history[-1]["loss"] < 1e-8
    predicted = jnp.where(mask, result.model(table.features), 0).sum(axis=1)
    np.testing.assert_allclose(predicted, table.energy, atol=1e-3)


def test_loss_is_the_mean_squared_error_and_validation_chooses():
    features, values = toy(60, 2)
    table = mff.FeatureTable(features[:40], values[:40].sum(axis=1))
    held_out = mff.FeatureTable(features[40:], values[40:].sum(axis=1))
    mlp = mff.MLP.init(jax.random.key(1), n_inputs=3, hidden=(4,))
    result = mff.fit(mlp, table, held_out, optimizer="adam", batch_size=8, steps=50, progress=False)
    best = min(result.history, key=lambda entry: entry["validation_score"])
    assert best["step"] == result.best_step
    error = result.model(held_out.features).sum(axis=1) - held_out.energy
    assert best["validation_loss"] == pytest.approx(float((error**2).mean()), rel=1e-9)
    assert best["validation_energy_mae"] == pytest.approx(float(jnp.abs(error).mean()), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 3)), np.zeros(4)), "`features` must be an array .samples, points, features. of shape"),
        ((np.zeros((4, 3, 2)), np.zeros(3)), r"`energy` must be one number per sample of shape \(4\)"),
        ((np.zeros((4, 3, 2)), np.zeros(4), np.ones((4, 2), bool)), r"`mask` must be bool of shape \(4, 3\)"),
        ((np.zeros((0, 3, 2)), np.zeros(0)), "`features` must hold at least one sample"),
        ((np.full((4, 3, 2), np.nan), np.zeros(4)), "`features` must be finite"),
    ],
)
def test_bad_tables(arguments, message):
    with pytest.raises(ValueError, match=message):
        mff.FeatureTable(*arguments)


def test_tables_and_models_have_to_fit():
    features, values = toy(10)
    table = mff.FeatureTable(features, values.sum(axis=1))
    narrow = mff.MLP.init(jax.random.key(0), n_inputs=2)
    with pytest.raises(ValueError, match="`train` must have 2 features for this MLP, got 3"):
        mff.fit(narrow, table)
    with pytest.raises(ValueError, match="`train` must be a FeatureTable for a MLP, got list"):
        mff.fit(narrow, [1, 2])
    with pytest.raises(ValueError, match="`weights` must hold only `energy` for a FeatureTable"):
        mff.fit(mff.MLP.init(jax.random.key(0), n_inputs=3), table, weights=mff.LossWeights())
    with pytest.raises(ValueError, match="`model` must be"):
        mff.fit("model", table)
