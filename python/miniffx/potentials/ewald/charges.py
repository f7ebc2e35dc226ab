"""The charges of a structure as electrostatic energies read them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure

COULOMB = 14.399645  # eV Å: e²/4πε₀


def charges_of(structure: Structure) -> Array:
    """[n_atoms] in elementary charges, 0 for padding. Raises ValueError for a structure without charges."""
    if structure.charges is None:
        raise ValueError("`structure` must have charges for an electrostatic energy, got None")
    return jnp.where(structure.mask, jnp.asarray(structure.charges, structure.positions.dtype), 0)


def checked_eta(eta: Any) -> Any:
    """The screening; ValueError unless it is positive (NaN inside jit)."""
    return jnp.where(eta > 0, eta, jnp.nan) if _checks.is_traced(eta) else _checks.positive("eta", eta)


def on_atoms(values: Array, structure: Structure) -> tuple[mapping.Rows, ...]:
    """[n_atoms] energies, one per atom, as rows."""
    return (mapping.Rows(jnp.arange(structure.n_atoms), values),)


def require_crystal(structure: Structure, neighbors: NeighborList) -> None:
    """ValueError unless the structure is periodic along all three axes."""
    require_same_axes(structure, neighbors)
    if not all(structure.pbc):
        raise ValueError(
            "`structure` must be periodic along all three axes for an Ewald sum, which needs a lattice of three "
            f"vectors and its reciprocal, got pbc {structure.pbc}"
        )


def require_same_axes(structure: Structure, neighbors: NeighborList) -> None:
    """ValueError unless the list is for the periodic axes of the structure."""
    if structure.pbc != neighbors.pbc:
        raise ValueError(f"`neighbors` must be built for pbc {structure.pbc}, got {neighbors.pbc}")
