"""The Kalman filter: its errors and slopes, and that it learns, goes on where it stopped, and says what it can't do."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpy.testing import assert_allclose

import miniffx as mff
from miniffx.training import Kalman, kalman, stored

D = mff.descriptors
CUTOFF = 4.0


@pytest.fixture(scope="module")
def data():
    """Shaken clusters of two species with energies and forces of a pair potential."""
    rng = np.random.default_rng(0)
    energy = mff.potentials.Morse(0.5, 1.2, 1.8, cutoff=CUTOFF, species=("O", "H"))
    sites = 1.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0.0]])
    frames = []
    for _ in range(12):
        s = mff.Structure.create(sites + rng.normal(scale=0.1, size=sites.shape), ["O", "H", "H", "O", "O"])
        e, f = mff.energy_and_forces(energy)(s, energy.neighbor_list(s))
        frames.append(mff.Frame(s, energy=float(e), forces=np.asarray(f)))
    return mff.Dataset(frames)


def radial_set():
    etas = (0.1, 0.4, 1.6)
    return D.DescriptorSet(D.G2(eta, 0.0, CUTOFF, pair) for pair in (("O", "H"), ("H", "O")) for eta in etas)


def moment_set():
    return D.DescriptorSet(
        D.MomentInvariant((0,), (n,), CUTOFF, pair) for pair in (("O", "H"), ("H", "O")) for n in (1, 2, 3)
    )


@pytest.fixture(scope="module")
def model():
    return mff.NNPotential.init(jax.random.key(0), radial_set(), hidden=(4,))


@pytest.mark.parametrize("descriptors", [radial_set, moment_set])
def test_errors_and_slopes_are_those_of_the_predictions(data, descriptors):
    model = mff.NNPotential.init(jax.random.key(1), descriptors(), hidden=(4,))
    scaling = mff.models.Scaling((jnp.full(3, 0.2),) * 2, (jnp.full(3, 1.5),) * 2, jnp.zeros(2), jnp.asarray(0.7))
    model = dataclasses.replace(model, scaling=scaling)
    features = mff.featurize(model.descriptors, data[:1], jacobian=True)
    (batch,) = stored.make_batches(model, data[:1], features, ("energy", "force"))
    atoms = jnp.array([3, 0, 4])
    flat, unravel = ravel_pytree(model.networks)

    def errors(weights):
        d = stored.differences(unravel(weights), model, batch)
        return jnp.concatenate([d["energy"].error, d["force"].error[0, atoms].reshape(-1)])

    frame = jax.tree.map(lambda leaf: leaf[0], batch)
    energy, force, slopes = jax.jit(kalman._errors)(model, model.networks, frame, atoms)
    assert_allclose(jnp.concatenate([energy[None], force]), jax.jit(errors)(flat), atol=1e-12)
    assert_allclose(slopes, jax.jit(jax.jacrev(errors))(flat), atol=1e-12)


def test_it_learns_faster_than_first_order(data, model):
    """40 steps bring forces where 40 of Adam come nowhere near."""
    errors = {}
    for optimizer in (Kalman(atoms=4), "adam"):
        fitted = mff.fit(model, data, optimizer=optimizer, batch_size=6, steps=40, progress=False).model
        errors[optimizer] = mff.evaluate(fitted, data).force_mae
    assert errors[Kalman(atoms=4)] < 0.1 * errors["adam"]


def test_resumed_is_the_same(data, model, tmp_path):
    class Stop(Exception):
        pass

    def stop(entry, _):
        if entry["step"] == 3:
            raise Stop

    arguments = {"optimizer": "ekf", "batch_size": 6, "steps": 5, "progress": False}
    whole = mff.fit(model, data, **arguments).model
    file = tmp_path / "checkpoint"
    with pytest.raises(Stop):
        mff.fit(model, data, **arguments, checkpoint=file, callback=stop)
    resumed = mff.fit(model, data, **arguments, checkpoint=file, resume=True).model
    for a, b in zip(jax.tree.leaves(whole.networks), jax.tree.leaves(resumed.networks), strict=True):
        assert np.array_equal(a, b)


def test_what_is_wrong_is_named(data, model):
    for wrong, name in (
        ({"atoms": 0}, "atoms"),
        ({"forgetting": 0.0}, "forgetting"),
        ({"fading": 1.5}, "fading"),
        ({"prior": -1.0}, "prior"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must"):
            Kalman(**wrong)
    for weights in (mff.LossWeights(forces=0), mff.LossWeights(huber=0.1)):
        with pytest.raises(ValueError, match="`weights` must be of energies and forces, squared"):
            mff.fit(model, data, optimizer="ekf", weights=weights, progress=False)
    with pytest.raises(ValueError, match="`force_fraction` must be 1"):
        mff.fit(model, data, optimizer="ekf", force_fraction=0.5, progress=False)
    large = mff.NNPotential.init(jax.random.key(0), radial_set(), hidden=(80, 80))
    with pytest.raises(ValueError, match="`model` must have at most 10000 weights"):
        mff.fit(large, data, optimizer="ekf", progress=False)
