"""Networks on stored descriptors and Jacobians, or where these do not fit, on those of stored lists: energies, forces
and stress."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx._pytree import pytree, static
from miniffx.descriptors import DescriptorSet
from miniffx.descriptors.tensor_moments import Moments
from miniffx.models import MLP, NNPotential
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure
from miniffx.training.batching import at_once
from miniffx.training.dataset import Dataset
from miniffx.training.featurize import Features, Slopes, SpeciesFeatures, batch_features
from miniffx.training.loss import Difference


@pytree
class Batch:
    """Frames of similar size with their features and what is to be learnt.

    Attributes:
        species: label to features.
        sizes: [batch] real atoms.
        weights: [batch] of the frames.
        real: [batch] bool, False for frames that only fill the batch.
        energies: [batch] in eV, less the offsets of the species: small numbers that single precision can hold.
        forces: [batch, n_atoms, 3] in eV/Å, or None.
        stress: [batch, 3, 3] in eV/Å³, or None.
        volumes: [batch] in Å³; 0 for frames that have no stress.
        partial_energies: [batch, n_atoms] in eV, less the offsets, or None.
        n_atoms: rows of the padded structures (static).
        lists: the structures and their lists, from which :meth:`computed` makes the features; None where these are
            there.
    """

    species: dict[str, SpeciesFeatures]
    sizes: Array
    weights: Array
    real: Array
    energies: Array
    forces: Array | None
    stress: Array | None
    volumes: Array
    partial_energies: Array | None
    n_atoms: int = static()
    lists: tuple[Structure, NeighborList] | None = None

    def computed(self, descriptors: DescriptorSet) -> Batch:
        """The same with its features."""
        if self.lists is None:
            return self
        slopes: Slopes = None if self.forces is None and self.stress is None else "pairs"
        return dataclasses.replace(self, species=batch_features(descriptors, *self.lists, slopes), lists=None)

    def take(self, chosen: Array, real: Array) -> Batch:
        """Some of the frames."""
        return dataclasses.replace(jax.tree.map(lambda leaf: leaf[chosen], self), real=real)

    def without_forces(self) -> Batch:
        """The same frames without what needs Jacobians."""
        species = {
            label: dataclasses.replace(features, neighbors=None, vectors=None, jacobian=None, moments=None, pairs=None)
            for label, features in self.species.items()
        }
        return dataclasses.replace(self, species=species, forces=None, stress=None)


def targets(data: Dataset, species: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the scaling is made from: atoms of each species [n_frames, n_species], and energies [n_frames]."""
    return data.counts(species), np.array([frame.energy for frame in data])


def make_batches(model: NNPotential, data: Dataset, features: Features, terms: tuple[str, ...]) -> list[Batch]:
    """The batches of a data set for a model whose scaling is set, on the device; `terms` of the loss."""
    assert model.scaling is not None
    offsets = np.asarray(model.scaling.offsets, dtype=np.float64)
    energies = np.array([frame.energy for frame in data]) - data.counts(model.species) @ offsets
    of_species = dict(zip(model.species, offsets, strict=True))
    weights = np.array([frame.weight for frame in data])
    batches = []
    for batch in features.batches:
        dtype = next(iter(batch.species.values())).values.dtype
        frames = [data[int(index)] for index in batch.indices]
        shape = (len(frames), batch.n_atoms)
        forces = np.zeros((*shape, 3), dtype) if "force" in terms else None
        partial_energies = np.zeros(shape, dtype) if "partial_energy" in terms else None
        stress = np.zeros((len(frames), 3, 3), dtype) if "stress" in terms else None
        volumes = np.zeros(len(frames), dtype)
        for row, frame in enumerate(frames):
            n = frame.structure.n_atoms
            if forces is not None:
                forces[row, :n] = frame.forces
            if partial_energies is not None:
                shift = [of_species[label] for label in frame.structure.species]
                partial_energies[row, :n] = np.asarray(frame.partial_energies) - shift
            if stress is not None and frame.stress is not None:
                stress[row], volumes[row] = frame.stress, frame.volume
        on_device = partial(jax.tree.map, partial(jnp.asarray, dtype=dtype))
        batches.append(
            Batch(
                species={} if batch.lists is not None else batch.species,
                sizes=on_device(np.array(features.sizes)[batch.indices]),
                weights=on_device(weights[batch.indices]),
                real=jnp.ones(len(frames), bool),
                energies=on_device(energies[batch.indices]),
                forces=on_device(forces),
                stress=on_device(stress),
                volumes=on_device(volumes),
                partial_energies=on_device(partial_energies),
                n_atoms=batch.n_atoms,
                lists=batch.lists,
            )
        )
    return batches


def totals(data: Dataset, terms: tuple[str, ...]) -> dict[str, float]:
    """What the errors of every term weigh in all."""
    weights = np.array([frame.weight for frame in data])
    sizes = np.array([frame.structure.n_atoms for frame in data])
    with_stress = np.array([frame.stress is not None for frame in data])
    every = {"energy": weights, "force": 3 * sizes * weights, "stress": 9 * with_stress * weights}
    every |= {"partial_energy": sizes * weights}
    return {name: float(every[name].sum()) for name in ("energy", *terms)}


def predict(model: NNPotential, batch: Batch) -> tuple[Array, dict[str, Array], Array | None, Array | None]:
    """Energies of frames and atoms, less the offsets; forces and stress from stored Jacobians where the batch has them.

    Returns:
        Energies [batch] in eV, those of the rows of every species [batch, rows] in eV, forces [batch, n_atoms, 3] in
        eV/Å, stress [batch, 3, 3] in eV/Å³.
    """
    assert model.scaling is not None
    scaling = model.scaling
    batch = batch.computed(model.descriptors)
    frame = jnp.arange(len(batch.energies))[:, None]

    def total(values: dict[str, Array | Moments]) -> tuple[Array, tuple[Array, dict[str, Array]]]:
        energies = jnp.zeros_like(batch.energies)
        rows = {}
        for label, given in values.items():
            index = model.species.index(label)
            features = given if not isinstance(given, Moments) else _of_moments(model, label, given)
            centers = batch.species[label].centers
            some = model.networks[index](scaling.apply(index, features)) * scaling.scale
            rows[label] = jnp.where(centers < batch.n_atoms, some, 0)
            energies += rows[label].sum(axis=1)
        return energies.sum(), (energies, rows)

    values = {
        label: features.values if features.moments is None else features.moments
        for label, features in batch.species.items()
    }
    if batch.forces is None and batch.stress is None:
        energies, rows = total(values)[1]
        return energies, rows, None, None
    slopes, (energies, rows) = jax.grad(total, has_aux=True)(values)
    forces = jnp.zeros((len(energies), batch.n_atoms, 3), energies.dtype)
    virial = jnp.zeros((len(energies), 3, 3), energies.dtype)
    for label, features in batch.species.items():
        assert features.neighbors is not None
        # Moving the neighbour along D moves the centre against it.
        pull = _pull(slopes[label], features)
        if batch.forces is not None:
            forces = forces.at[frame, features.centers].add(pull.sum(axis=2), mode="drop")
            forces = forces.at[frame[:, :, None], features.neighbors].add(-pull)
        if batch.stress is not None:
            vectors = features.vectors
            virial += jnp.einsum("brni,brnj->bij", pull, vectors, precision=jax.lax.Precision.HIGHEST)
    volumes = jnp.where(batch.volumes > 0, batch.volumes, 1)[:, None, None]
    return (
        energies,
        rows,
        None if batch.forces is None else forces,
        None if batch.stress is None else virial / volumes,
    )


def _of_moments(model: NNPotential, label: str, moments: Moments) -> Array:
    """Features [batch, rows, n_features]: a row depends on no other, so that all are as those of one structure."""
    flat, shape = _flat(moments)
    features = model.descriptors.of_moments(label, flat)
    return features.reshape(*shape, features.shape[-1])


def _pull(slopes: Array | Moments, features: SpeciesFeatures) -> Array:
    """∂E/∂D [batch, rows, n_columns, 3] of every pair in eV/Å, from derivatives in features or in moments."""
    assert features.neighbors is not None
    if isinstance(slopes, Moments):
        (flat, pairs), _ = _flat((slopes, features.pairs))
        pull = pairs.pull(flat)
    else:
        pull = jnp.einsum("brf,brfx->brx", slopes, features.jacobian, precision=jax.lax.Precision.HIGHEST)
    return pull.reshape(*features.neighbors.shape, 3)


def _flat(tree: Any) -> tuple[Any, tuple[int, int]]:
    """The two leading axes of every leaf in one, and what they were."""
    shape = jax.tree.leaves(tree)[0].shape[:2]
    return jax.tree.map(lambda leaf: leaf.reshape(shape[0] * shape[1], *leaf.shape[2:]), tree), shape


def differences(networks: tuple[MLP, ...], model: NNPotential, batch: Batch) -> dict[str, Difference]:
    """Predictions less references, of everything that the batch has references for.

    Where features are not stored, of some frames at a time, and derivatives compute them again.
    """
    count, some = len(batch.energies), at_once(batch.n_atoms)
    if batch.lists is None or count <= some:
        return _differences(networks, model, batch)
    parts = -(-count // some)
    chosen = jnp.minimum(jnp.arange(parts * some), count - 1).reshape(parts, some)

    @jax.checkpoint
    def part(networks: tuple[MLP, ...], frames: Array) -> dict[str, Difference]:
        return _differences(networks, model, batch.take(frames, batch.real[frames]))

    result = jax.lax.map(lambda frames: part(networks, frames), chosen)
    return jax.tree.map(lambda leaf: leaf.reshape(parts * some, *leaf.shape[2:])[:count], result)


def _differences(networks: tuple[MLP, ...], model: NNPotential, batch: Batch) -> dict[str, Difference]:
    batch = batch.computed(model.descriptors)
    energies, rows, forces, stress = predict(dataclasses.replace(model, networks=networks), batch)

    def difference(predicted: Array, reference: Array, real: Array) -> Difference:
        real = jnp.broadcast_to(real, reference.shape)
        return Difference(jnp.where(real, predicted - reference, 0), real, batch.weights)

    result = {"energy": difference(energies / batch.sizes, batch.energies / batch.sizes, batch.real)}
    atoms = batch.real[:, None] & (jnp.arange(batch.n_atoms) < batch.sizes[:, None])
    if forces is not None and batch.forces is not None:
        result["force"] = difference(forces, batch.forces, atoms[..., None])
    if stress is not None and batch.stress is not None:
        result["stress"] = difference(stress, batch.stress, (batch.real & (batch.volumes > 0))[:, None, None])
    if batch.partial_energies is not None:
        frame = jnp.arange(len(energies))[:, None]
        atomic = jnp.zeros(batch.partial_energies.shape, energies.dtype)
        for label, values in rows.items():
            atomic = atomic.at[frame, batch.species[label].centers].add(values, mode="drop")
        result["partial_energy"] = difference(atomic, batch.partial_energies, atoms)
    return result
