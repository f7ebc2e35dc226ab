"""Adapters: energies as ASE calculators, and to and from jax-md."""

from miniffx.calculators.ase import ASECalculator as ASECalculator
from miniffx.calculators.jax_md import from_jax_md as from_jax_md
from miniffx.calculators.jax_md import to_jax_md as to_jax_md
