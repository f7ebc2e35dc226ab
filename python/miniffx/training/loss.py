"""The loss on stored descriptors and Jacobians: energies per atom and forces, without touching a neighbour list."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.models import NNPotential
from miniffx.neighbors import Array
from miniffx.training.dataset import Dataset
from miniffx.training.featurize import Features, SpeciesFeatures


@dataclass(frozen=True)
class LossWeights:
    """L = energy · ⟨(ΔE/n_atoms)²⟩ + forces · ⟨ΔF²⟩, over frames and over force components.

    Attributes:
        energy: in (eV/atom)⁻².
        forces: in (eV/Å)⁻²; 0 trains on energies alone and stores no Jacobian.
    """

    energy: float = 1.0
    forces: float = 0.03

    def __post_init__(self) -> None:
        _checks.non_negative("energy", self.energy)
        _checks.non_negative("forces", self.forces)
        if self.energy == 0 and self.forces == 0:
            raise ValueError("`weights` must hold a positive weight, got 0 for energy and forces")


@pytree
class Batch:
    """Frames of similar size with their features and what is to be learnt.

    Attributes:
        species: label to features.
        sizes: [batch] real atoms.
        energies: [batch] in eV, less the offsets of the species: small numbers that single precision can hold.
        forces: [batch, n_atoms, 3] in eV/Å, or None.
        real: [batch] bool, False for frames that only fill the batch.
        n_atoms: rows of the padded structures (static).
    """

    species: dict[str, SpeciesFeatures]
    sizes: Array
    energies: Array
    forces: Array | None
    real: Array
    n_atoms: int = static()


@pytree
class Sums:
    """Sums over a batch, from which errors and losses of any collection of batches follow."""

    frames: Array
    components: Array
    energy_abs: Array
    energy_squared: Array
    forces_abs: Array
    forces_squared: Array

    @classmethod
    def zero(cls, dtype: Any) -> Sums:
        """The sums over nothing."""
        return cls(*[jnp.zeros((), dtype) for _ in dataclasses.fields(cls)])

    def loss(self, weights: LossWeights, frames: Any = None, components: Any = None) -> Array:
        """The loss of all that was summed, or with other numbers of frames and force components to divide by."""
        energy = weights.energy * self.energy_squared / (self.frames if frames is None else frames)
        components = jnp.maximum(self.components, 1) if components is None else components
        return energy + weights.forces * self.forces_squared / components

    def errors(self) -> dict[str, float]:
        """MAE and RMSE of energies (eV/atom) and forces (eV/Å)."""
        frames, components = float(self.frames), float(self.components)
        result = {
            "energy_mae": float(self.energy_abs) / frames,
            "energy_rmse": float(np.sqrt(float(self.energy_squared) / frames)),
        }
        if components:
            result["force_mae"] = float(self.forces_abs) / components
            result["force_rmse"] = float(np.sqrt(float(self.forces_squared) / components))
        return result


def make_batches(model: NNPotential, data: Dataset, features: Features, with_forces: bool) -> list[Batch]:
    """The batches of a data set for a model whose scaling is set."""
    assert model.scaling is not None
    offsets = np.asarray(model.scaling.offsets, dtype=np.float64)
    energies = np.array([frame.energy for frame in data]) - data.counts(model.species) @ offsets
    batches = []
    for batch in features.batches:
        dtype = next(iter(batch.species.values())).values.dtype
        forces = None
        if with_forces:
            forces = np.zeros((len(batch.indices), batch.n_atoms, 3), dtype)
            for row, index in enumerate(batch.indices):
                forces[row, : data[int(index)].structure.n_atoms] = data[int(index)].forces
        batches.append(
            Batch(
                species=batch.species,
                sizes=jnp.asarray(np.array(features.sizes)[batch.indices], dtype),
                energies=jnp.asarray(energies[batch.indices], dtype),
                forces=None if forces is None else jnp.asarray(forces),
                real=jnp.ones(len(batch.indices), bool),
                n_atoms=batch.n_atoms,
            )
        )
    return batches


def predict(model: NNPotential, batch: Batch) -> tuple[Array, Array | None]:
    """Energies [batch] in eV, less the offsets, and forces [batch, n_atoms, 3] in eV/Å from stored Jacobians."""
    assert model.scaling is not None
    scaling = model.scaling

    def total(values: dict[str, Array]) -> tuple[Array, Array]:
        energies = jnp.zeros_like(batch.energies)
        for label, features in values.items():
            index = model.species.index(label)
            scaled = (features - scaling.center[index]) * scaling.factor[index]
            atomic = model.networks[index](scaled) * scaling.scale
            energies += jnp.where(batch.species[label].centers < batch.n_atoms, atomic, 0).sum(axis=1)
        return energies.sum(), energies

    values = {label: features.values for label, features in batch.species.items()}
    if batch.forces is None:
        return total(values)[1], None
    slopes, energies = jax.grad(total, has_aux=True)(values)
    forces = jnp.zeros_like(batch.forces)
    frame = jnp.arange(forces.shape[0])[:, None]
    for label, features in batch.species.items():
        assert features.jacobian is not None
        assert features.neighbors is not None
        # ∂E/∂D of every pair; moving the neighbour along D moves the centre against it.
        pull = jnp.einsum("brf,brfx->brx", slopes[label], features.jacobian, precision=jax.lax.Precision.HIGHEST)
        pull = pull.reshape(*features.neighbors.shape, 3)
        forces = forces.at[frame, features.centers].add(pull.sum(axis=2), mode="drop")
        forces = forces.at[frame[:, :, None], features.neighbors].add(-pull)
    return energies, forces


def sums(model: NNPotential, batch: Batch) -> Sums:
    """What a batch contributes to loss and errors."""
    energies, forces = predict(model, batch)
    energy_error = jnp.where(batch.real, (energies - batch.energies) / batch.sizes, 0)
    zero = jnp.zeros((), energy_error.dtype)
    frames, components = batch.real.sum().astype(zero.dtype), zero
    forces_abs = forces_squared = zero
    if forces is not None:
        assert batch.forces is not None
        atom = jnp.arange(forces.shape[1])
        real = batch.real[:, None] & (atom < batch.sizes[:, None])
        force_error = jnp.where(real[..., None], forces - batch.forces, 0)
        components = 3 * real.sum().astype(zero.dtype)
        forces_abs, forces_squared = jnp.abs(force_error).sum(), (force_error**2).sum()
    return Sums(frames, components, jnp.abs(energy_error).sum(), (energy_error**2).sum(), forces_abs, forces_squared)


def total_sums(model: NNPotential, batches: list[Batch]) -> Sums:
    """The sums over several batches."""
    parts = [sums(model, batch) for batch in batches]
    return jax.tree.map(lambda *terms: sum(terms[1:], terms[0]), *parts)
