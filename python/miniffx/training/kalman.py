"""An extended Kalman filter for the weights of networks: second order, on stored descriptors and Jacobians."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from miniffx._pytree import pytree
from miniffx.models import MLP, NNPotential
from miniffx.neighbors import Array

HIGHEST = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Kalman:
    """θ ← θ − P⁻¹ Jᵀ r with P ← λ P + Jᵀ J: Gauss–Newton with a fading memory of what earlier mini-batches asked for.

    r are the weighted errors of a mini-batch (one energy per frame, three force components of some of its atoms), J
    their derivatives in the weights θ. This is the extended Kalman filter with as many streams as there are errors, in
    its information form: P is the inverse of the filter's covariance, [n_weights, n_weights], and λ its forgetting,
    which approaches 1: λ ← ν λ + 1 − ν. A step costs about (n_errors + n_weights / 3) · n_weights² multiplications, a
    matrix product and a factorization, and memory for J and P: for networks of up to some thousand weights.

    Sources: T. B. Blank, S. D. Brown, J. Chemometrics 8, 391 (1994), doi:10.1002/cem.1180080605 (forgetting); A.
    Singraber, T. Morawietz, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 3075 (2019),
    doi:10.1021/acs.jctc.8b01092 (several streams, energies and forces).

    Attributes:
        atoms: of every frame whose forces are looked at in a step, drawn anew.
        forgetting: λ of the first step, in (0, 1].
        fading: ν, in (0, 1].
        prior: the first P is this times the number of errors of a step, with r in units of the energy scale.
    """

    atoms: int = 16
    forgetting: float = 0.95
    fading: float = 0.99
    prior: float = 1e-3


@pytree
class KalmanState:
    """What the filter knows.

    Attributes:
        networks: the weights.
        information: P [n_weights, n_weights].
        forgetting: λ of the next step.
        squares: the mean of r² in the last step, before it.
    """

    networks: tuple[MLP, ...]
    information: Array
    forgetting: Array
    squares: Array


def start(settings: Kalman, networks: tuple[MLP, ...], n_frames: int) -> KalmanState:
    """The state before the first step on `n_frames` frames."""
    weights, _ = ravel_pytree(networks)
    prior = settings.prior * n_frames * (1 + 3 * settings.atoms)
    return KalmanState(
        networks,
        prior * jnp.eye(len(weights), dtype=weights.dtype),
        jnp.asarray(settings.forgetting, weights.dtype),
        jnp.zeros((), weights.dtype),
    )


@partial(jax.jit, static_argnums=0)
def step(
    settings: Kalman,
    model: NNPotential,
    state: KalmanState,
    batch: Any,
    chosen: Array,
    atoms: Array,
    weights: tuple[float, float],
) -> KalmanState:
    """One step.

    Args:
        settings: of the filter.
        model: whose scaling is set; its networks are not looked at.
        state: from :func:`start` or the last step.
        batch: stored features with energies and forces (:class:`miniffx.training.loss.Batch`).
        chosen: [n_frames] of the batch.
        atoms: [n_frames, settings.atoms] atoms of these frames, real ones (:func:`draw`).
        weights: of energies, (eV/atom)⁻², and forces, (eV/Å)⁻².
    """
    frames = jax.tree.map(lambda leaf: leaf[chosen], batch)
    residuals, slopes = jax.vmap(partial(_errors, model, state.networks, weights), in_axes=0)(frames, atoms)
    residuals, slopes = residuals.reshape(-1), slopes.reshape(residuals.size, -1)
    information = state.forgetting * state.information + jnp.matmul(slopes.T, slopes, precision=HIGHEST)
    # Single precision needs a floor below the curvature, or the factorization fails.
    floor = 1e-6 * jnp.trace(information) / len(information)
    factor = jax.scipy.linalg.cho_factor(information + floor * jnp.eye(len(information), dtype=information.dtype))
    change = jax.scipy.linalg.cho_solve(factor, jnp.matmul(slopes.T, residuals, precision=HIGHEST))
    flat, unravel = ravel_pytree(state.networks)
    return KalmanState(
        unravel(flat - change),
        information,
        settings.fading * state.forgetting + 1 - settings.fading,
        (residuals**2).mean(),
    )


def draw(settings: Kalman, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n_frames, settings.atoms] random atoms of frames of these sizes."""
    return (rng.random((len(sizes), settings.atoms)) * np.asarray(sizes)[:, None]).astype(np.int32)


def _errors(
    model: NNPotential, networks: tuple[MLP, ...], weights: tuple[float, float], frame: Any, atoms: Array
) -> tuple[Array, Array]:
    """The weighted errors of one frame [1 + 3 n_atoms] and their derivatives in the weights, in the energy scale."""
    scaling = model.scaling
    assert scaling is not None
    inputs, moves = {}, {}
    for label, features in frame.species.items():
        index = model.species.index(label)
        inputs[label] = scaling.apply(index, features.values)
        moves[label] = _moves(features, atoms) * scaling.factor[index]

    def total(networks: tuple[MLP, ...], inputs: dict[str, Array]) -> Array:
        energies = [
            jnp.where(frame.species[label].centers < frame.n_atoms, networks[model.species.index(label)](x), 0).sum()
            for label, x in inputs.items()
        ]
        return sum(energies[1:], energies[0])

    def energy_and_gradient(inputs: dict[str, Array]) -> tuple[Array, Array]:
        energy, gradient = jax.value_and_grad(total)(networks, inputs)
        return energy, ravel_pytree(gradient)[0]

    def along(move: dict[str, Array]) -> Any:
        return jax.jvp(energy_and_gradient, (inputs,), (move,))

    # Primal values do not depend on the move: they are computed once.
    (energy, gradient), (slope, slope_gradient) = jax.vmap(along, out_axes=((None, None), 0))(moves)
    energy_weight, force_weight = jnp.sqrt(3 * atoms.shape[0] * weights[0]), jnp.sqrt(weights[1])
    # E and F come in units of the energy scale, with F = −slope.
    energy_error = (energy - frame.energies / scaling.scale) / frame.sizes
    force_error = -slope - frame.forces[atoms].reshape(-1) / scaling.scale
    return (
        jnp.concatenate([energy_weight * energy_error[None], force_weight * force_error]),
        jnp.concatenate([energy_weight * gradient[None] / frame.sizes, -force_weight * slope_gradient]),
    )


def _moves(features: Any, atoms: Array) -> Array:
    """[3 n_atoms, rows, n_features]: how the features of all rows change where one atom moves along x, y or z."""
    rows, columns = features.neighbors.shape
    jacobian = features.jacobian.reshape(rows, -1, columns, 3)
    arriving = (features.neighbors == atoms[:, None, None]).astype(jacobian.dtype)
    leaving = (features.centers == atoms[:, None]).astype(jacobian.dtype)
    moves = jnp.einsum("ark,rfkx->axrf", arriving - leaving[..., None], jacobian, precision=HIGHEST)
    return moves.reshape(-1, rows, jacobian.shape[1])
