"""An extended Kalman filter: second-order training of small networks, on the features that a fit keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from miniffx import _checks
from miniffx._pytree import pytree
from miniffx.models import MLP, NNPotential
from miniffx.neighbors import Array
from miniffx.training.featurize import SpeciesFeatures
from miniffx.training.loss import Difference, LossWeights
from miniffx.training.stored import Batch

HIGHEST = jax.lax.Precision.HIGHEST
MOST_WEIGHTS = 10_000  # of which the information matrix has 400 MB in single precision
BATCH_SIZE = 32


@dataclass(frozen=True)
class Kalman:
    """θ ← θ − (A + δ)⁻¹ Jᵀ r with A ← λ A + Jᵀ J: Gauss–Newton with a fading memory of earlier mini-batches.

    r are the weighted errors of a mini-batch, one energy for each of its frames and the forces on some of its atoms, J
    their derivatives in the weights θ, and A [n_weights, n_weights] the information gathered so far: the inverse
    covariance of an extended Kalman filter with as many streams as there are errors. The forgetting λ approaches 1,
    λ ← ν λ + 1 − ν, so that late steps are small and average. δ, 10⁻⁶ of the mean of the diagonal, is for rounding.

    A step takes about (2 n_errors + n_weights / 3) n_weights² operations in matrix products and a factorization, where
    n_errors = n_frames (1 + 3 atoms). That is for networks of up to some thousand weights.

    Sources: T. B. Blank, S. D. Brown, J. Chemometrics 8, 391 (1994), doi:10.1002/cem.1180080605 (forgetting);
    A. Singraber, T. Morawietz, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 3075 (2019),
    doi:10.1021/acs.jctc.8b01092 (energies and forces, several streams).

    Attributes:
        atoms: per frame, drawn anew in every step, whose forces are looked at.
        forgetting: λ of the first step.
        fading: ν.
        prior: the diagonal of the first A per error of a step, with errors in units of the energy scale.

    >>> import miniffx as mff
    >>> mff.training.Kalman(atoms=8).forgetting
    0.95
    """

    atoms: int = 16
    forgetting: float = 0.95
    fading: float = 0.99
    prior: float = 1e-3

    def __post_init__(self) -> None:
        if not isinstance(self.atoms, int) or self.atoms < 1:
            raise ValueError(f"`atoms` must be a positive integer, got {self.atoms!r}")
        for name in ("forgetting", "fading"):
            if not 0 < _checks.real(name, getattr(self, name)) <= 1:
                raise ValueError(f"`{name}` must be in (0, 1], got {getattr(self, name)}")
        _checks.positive("prior", self.prior)


@pytree
class Memory:
    """What the filter carries from step to step: A, λ and the key of the atoms that it draws."""

    information: Array
    forgetting: Array
    key: Array


def start(settings: Kalman, networks: tuple[MLP, ...], n_frames: int, seed: int) -> Memory:
    """The memory before the first step of `n_frames` frames.

    Raises:
        ValueError: networks of too many weights.
    """
    weights, _ = ravel_pytree(networks)
    if len(weights) > MOST_WEIGHTS:
        raise ValueError(f"`model` must have at most {MOST_WEIGHTS} weights for 'ekf', got {len(weights)}")
    prior = settings.prior * n_frames * (1 + 3 * settings.atoms)
    return Memory(
        information=prior * jnp.eye(len(weights), dtype=weights.dtype),
        forgetting=jnp.asarray(settings.forgetting, weights.dtype),
        key=jax.random.key_data(jax.random.key(seed)),  # as numbers, which a checkpoint can hold
    )


def update(
    settings: Kalman,
    weights: LossWeights,
    networks: tuple[MLP, ...],
    memory: Memory,
    model: NNPotential,
    batch: Batch,
    usual_size: Array | float,
) -> tuple[tuple[MLP, ...], Memory, dict[str, Difference]]:
    """One step on a mini-batch.

    Args:
        settings: of the filter.
        weights: of energies and forces.
        networks: to be trained.
        memory: from :func:`start` or the last step.
        model: what stays as it is.
        batch: the frames.
        usual_size: atoms of a frame on average; the force on an atom counts the same in every frame.

    Returns:
        The new networks and memory, and the errors before the step.
    """
    key, here = jax.random.split(jax.random.wrap_key_data(memory.key))
    places = jax.random.uniform(here, (len(batch.sizes), settings.atoms), batch.sizes.dtype)
    atoms = jnp.minimum(places * batch.sizes[:, None], batch.sizes[:, None] - 1).astype(jnp.int32)
    energy, force, slopes = jax.vmap(partial(_errors, model, networks))(batch, atoms)
    scale = model.scaling.scale  # type: ignore[union-attr]
    frame = jnp.sqrt(batch.real * batch.weights)[:, None]
    rows = jnp.concatenate(
        [
            jnp.sqrt(3 * settings.atoms * weights.energy) * frame,
            jnp.sqrt(weights.forces * batch.sizes[:, None] / usual_size) * frame * jnp.ones(force.shape[1]),
        ],
        axis=1,
    )
    errors = (rows * jnp.concatenate([energy[:, None], force], axis=1) / scale).reshape(-1)
    slopes = (rows[..., None] * slopes / scale).reshape(len(errors), -1)

    information = memory.forgetting * memory.information + jnp.matmul(slopes.T, slopes, precision=HIGHEST)
    diagonal = jnp.arange(len(information))
    floor = 1e-6 * jnp.diagonal(information).mean()
    factor = jax.scipy.linalg.cho_factor(information.at[diagonal, diagonal].add(floor))
    change = jax.scipy.linalg.cho_solve(factor, jnp.matmul(slopes.T, errors, precision=HIGHEST))
    flat, unravel = ravel_pytree(networks)
    forgetting = settings.fading * memory.forgetting + 1 - settings.fading
    force = force.reshape(*atoms.shape, 3)
    differences = {
        "energy": Difference(jnp.where(batch.real, energy, 0), batch.real, batch.weights),
        "force": Difference(
            jnp.where(batch.real[:, None, None], force, 0),
            jnp.broadcast_to(batch.real[:, None, None], force.shape),
            batch.weights,
        ),
    }
    return unravel(flat - change), Memory(information, forgetting, jax.random.key_data(key)), differences


def _errors(model: NNPotential, networks: tuple[MLP, ...], frame: Any, atoms: Array) -> tuple[Array, Array, Array]:
    """The errors of one frame, eV/atom and eV/Å: energy, forces [3 n_atoms], and their slopes in the weights [1 + 3
    n_atoms, n_weights]."""
    scaling = model.scaling
    assert scaling is not None
    values = {label: features.values for label, features in frame.species.items()}
    moves = {label: _moves(model, label, features, atoms) for label, features in frame.species.items()}

    def total(networks: tuple[MLP, ...], values: dict[str, Array]) -> Array:
        energy = jnp.zeros((), scaling.scale.dtype)
        for label, features in values.items():
            index = model.species.index(label)
            atomic = networks[index](scaling.apply(index, features)) * scaling.scale
            energy += jnp.where(frame.species[label].centers < frame.n_atoms, atomic, 0).sum()
        return energy

    def energy_and_gradient(values: dict[str, Array]) -> tuple[Array, Array]:
        energy, gradient = jax.value_and_grad(total)(networks, values)
        return energy, ravel_pytree(gradient)[0]

    def along(move: dict[str, Array]) -> Any:
        return jax.jvp(energy_and_gradient, (values,), (move,))

    # F = −∂E/∂r. What does not depend on the move is computed once.
    (energy, gradient), (slope, slope_gradient) = jax.vmap(along, out_axes=((None, None), 0))(moves)
    return (
        (energy - frame.energies) / frame.sizes,
        -slope - frame.forces[atoms].reshape(-1),
        jnp.concatenate([gradient[None] / frame.sizes, -slope_gradient]),
    )


def _moves(model: NNPotential, label: str, features: SpeciesFeatures, atoms: Array) -> Array:
    """[3 n_atoms, rows, n_features]: the change of features per Å where one atom moves along x, y or z."""
    assert features.neighbors is not None
    arriving = (features.neighbors == atoms[:, None, None]).astype(features.values.dtype)
    leaving = (features.centers == atoms[:, None]).astype(features.values.dtype)
    signs = arriving - leaving[..., None]
    rows, columns = features.neighbors.shape
    if features.jacobian is not None:
        jacobian = features.jacobian.reshape(rows, -1, columns, 3)
        moves = jnp.einsum("ark,rfkx->axrf", signs, jacobian, precision=HIGHEST)
        return moves.reshape(-1, *moves.shape[2:])

    def values(vectors: Array) -> Array:
        assert features.environments is not None
        return model.descriptors.features_of_displacements(label, vectors, features.environments, features.labels)

    directions = signs[:, None, :, :, None] * jnp.eye(3, dtype=signs.dtype)[:, None, None, :]
    directions = directions.reshape(-1, rows, columns, 3)
    return jax.vmap(lambda direction: jax.jvp(values, (features.vectors,), (direction,))[1])(directions)
