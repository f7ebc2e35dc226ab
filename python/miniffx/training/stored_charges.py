"""Networks on stored descriptors: charges of atoms. As stored.py, which has energies and what follows from them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from miniffx._pytree import pytree, static
from miniffx.models import MLP, ChargeModel, NNPotential
from miniffx.neighbors import Array
from miniffx.training.dataset import Dataset
from miniffx.training.featurize import Features, SpeciesFeatures
from miniffx.training.loss import Difference


@pytree
class ChargeBatch:
    """Frames of similar size with their features and charges.

    Attributes:
        species: label to features.
        sizes: [batch] real atoms.
        weights: [batch] of the frames.
        real: [batch] bool, False for frames that only fill the batch.
        charges: [batch, n_atoms] in elementary charges.
        n_atoms: rows of the padded structures (static).
    """

    species: dict[str, SpeciesFeatures]
    sizes: Array
    weights: Array
    real: Array
    charges: Array
    n_atoms: int = static()

    def take(self, chosen: Array, real: Array) -> ChargeBatch:
        """Some of the frames."""
        return dataclasses.replace(jax.tree.map(lambda leaf: leaf[chosen], self), real=real)


def targets(data: Dataset, species: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the scaling is made from: every atom as a sample of its own, [n, n_species], and its charge [n]."""
    labels = np.concatenate([frame.structure.species for frame in data])
    charges = np.concatenate([np.asarray(frame.structure.charges, np.float64) for frame in data])
    return labels[:, None] == np.array(species), charges


def make_batches(network: NNPotential, data: Dataset, features: Features, terms: tuple[str, ...]) -> list[ChargeBatch]:
    """The batches of a data set, on the device."""
    batches = []
    for batch in features.batches:
        dtype = next(iter(batch.species.values())).values.dtype
        frames = [data[int(index)] for index in batch.indices]
        charges = np.zeros((len(frames), batch.n_atoms), dtype)
        for row, frame in enumerate(frames):
            charges[row, : frame.structure.n_atoms] = frame.structure.charges
        batches.append(
            ChargeBatch(
                species=batch.species,
                sizes=jnp.asarray([frame.structure.n_atoms for frame in frames]),
                weights=jnp.asarray([frame.weight for frame in frames], dtype),
                real=jnp.ones(len(frames), bool),
                charges=jnp.asarray(charges),
                n_atoms=batch.n_atoms,
            )
        )
    return batches


def totals(data: Dataset, terms: tuple[str, ...]) -> dict[str, float]:
    """What the errors of every term weigh in all."""
    return {"charge": float(sum(frame.weight * frame.structure.n_atoms for frame in data))}


def differences(networks: tuple[MLP, ...], model: ChargeModel, batch: ChargeBatch) -> dict[str, Difference]:
    """Predictions less references."""
    network = dataclasses.replace(model.network, networks=networks)
    frame = jnp.arange(len(batch.sizes))[:, None]
    atoms = jnp.arange(batch.n_atoms) < batch.sizes[:, None]
    charges = jnp.zeros_like(batch.charges)
    for label, features in batch.species.items():
        values = network.atomic_energies(label, features.values)
        charges = charges.at[frame, features.centers].add(values.astype(charges.dtype), mode="drop")
    real = batch.real[:, None] & atoms
    error = jnp.where(real, model.shifted(charges, atoms) - batch.charges, 0)
    return {"charge": Difference(error, real, batch.weights)}
