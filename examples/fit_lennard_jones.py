"""Fit Lennard-Jones to energies and forces: parameters are leaves, so optax takes a potential as it is."""

import jax
import numpy as np
import optax
from ase.build import bulk

import miniffx as mff


def lennard_jones(epsilon: float, sigma: float) -> mff.potentials.LennardJones:
    return mff.potentials.LennardJones(epsilon, sigma, cutoff=8.0, species=("Ar", "Ar"))


# Data: rattled argon, labelled by a potential that the fit does not know.
crystal = mff.Structure.from_ase(bulk("Ar", a=5.3, cubic=True).repeat(2))
moved = crystal.positions + np.random.default_rng(0).normal(scale=0.2, size=(8, crystal.n_atoms, 3))
data = mff.stack([mff.Structure.create(positions, crystal.species, crystal.cell) for positions in moved])
nl = lennard_jones(1.0, 1.0).neighbor_list(data)
energies, forces = jax.vmap(mff.energy_and_forces(lennard_jones(0.0103, 3.40)))(data, nl)

# The fit.
lj = lennard_jones(epsilon=0.02, sigma=3.2)
optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 500))
state = optimizer.init(lj)


@jax.jit
def step(lj, state):
    def loss(lj):
        e, f = jax.vmap(mff.energy_and_forces(lj))(data, nl)
        return (((e - energies) / crystal.n_atoms) ** 2).mean() + ((f - forces) ** 2).mean()

    updates, state = optimizer.update(jax.grad(loss)(lj), state)
    return optax.apply_updates(lj, updates), state


for _ in range(500):
    lj, state = step(lj, state)
print(f"epsilon = {lj.epsilon:.5f} eV, sigma = {lj.sigma:.4f} Å")
