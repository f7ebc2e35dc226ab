"""Silicon at 300 K: jax-md's Nosé–Hoover thermostat, energy and neighbour list of miniffx, in one compiled loop."""

import jax
import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from jax_md import quantity, simulate, space

import miniffx as mff

jax.config.update("jax_enable_x64", True)
MASS = 28.0855 * 1.0364269e-4  # u in eV ps²/Å²: so times are in ps
BOLTZMANN = 8.617333e-5  # eV/K
TEMPERATURE, STEPS = 300.0, 2000

structure = mff.Structure.from_ase(bulk("Si", a=5.431, cubic=True) * 2)
energy = mff.potentials.stillinger_weber("Si")
neighbor_fn, energy_fn = mff.calculators.to_jax_md(energy, structure, skin=0.3)
_, shift = space.free()  # atoms need not be wrapped into the box
kT = BOLTZMANN * TEMPERATURE
init, apply = simulate.nvt_nose_hoover(energy_fn, shift, dt=1e-3, kT=kT, thermostat_kwargs={"tau": 0.05})

neighbors = neighbor_fn.allocate(structure.positions)
state = init(jax.random.key(0), structure.positions, mass=MASS, neighbor=neighbors, kT=2 * kT)


@jax.jit
def run(state, neighbors):
    def step(carry, _):
        state, neighbors = carry
        state = apply(state, neighbor=neighbors)
        neighbors = neighbors.update(state.position)
        temperature = quantity.temperature(momentum=state.momentum, mass=state.mass) / BOLTZMANN
        return (state, neighbors), temperature

    return jax.lax.scan(step, (state, neighbors), length=STEPS)


(state, neighbors), temperatures = run(state, neighbors)
if neighbors.did_buffer_overflow:
    raise SystemExit("give `to_jax_md` a larger `capacity_multiplier`")
temperatures = np.asarray(temperatures)[STEPS // 4 :]
moved = jnp.sqrt(((state.position - structure.positions) ** 2).sum(axis=1).mean())
print(f"{temperatures.mean():.0f} ± {temperatures.std():.0f} K, root mean square displacement {moved:.2f} Å")
