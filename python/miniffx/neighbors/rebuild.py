"""Building the environments of a list again inside jit, where capacities are fixed."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _core
from miniffx.neighbors.build import environments_from, fill, find
from miniffx.neighbors.capacity import capacity_of
from miniffx.neighbors.environments import Environments
from miniffx.neighbors.request import Request
from miniffx.structure import Array, Structure

FFI_TARGET = "miniffx_update"


def rebuild(
    structure: Structure, environments: tuple[Environments, ...], request: Request
) -> tuple[tuple[Environments, ...], Array]:
    """The environments with the capacities as they are, and whether these did not suffice.

    On CPUs the compiled core as an XLA FFI call, elsewhere the same through a host callback.
    """
    capacity, kinds = capacity_of(environments), request.kinds(structure.labels)
    rows = [(e.neighbors, e.shifts, e.counts) for e in environments]
    slots = [(t.first, t.second, t.counts) for e in environments for t in e.triples]
    shapes = jax.eval_shape(lambda: (jnp.zeros((), bool), *itertools.chain(*rows, *slots)))

    def call_core(*arrays: Any) -> Any:
        call = jax.ffi.ffi_call(FFI_TARGET, shapes, vmap_method="sequential")
        results = call(
            *arrays,
            pbc=np.array(structure.pbc, np.int64),
            cutoff=np.float64(request.reach),
            triple_cutoff=np.float64(request.triple_reach),
            closed=request.closed,
            columns=np.array(capacity.columns, np.int64).ravel(),
            triple_kinds=np.array(kinds, np.int64).ravel(),
            triple_capacity=np.array([n for row in capacity.triples for n in row], np.int64),
        )
        return tuple(results)

    def on_host(positions: Any, cell: Any, species: Any) -> Any:
        there = dataclasses.replace(structure, positions=positions, cell=cell, species_index=species, charges=None)
        try:
            found = find(there, request, kinds)
        except (ValueError, MemoryError):  # not finite, singular, beyond all capacities: nothing can be raised here
            return (np.array(True), *(np.zeros(leaf.shape, leaf.dtype) for leaf in shapes[1:]))
        _, rows, slots, overflow, _ = fill(found, capacity)
        return tuple(itertools.chain([overflow], *rows, *slots))

    def call_host(positions: Any, cell: Any, species: Any, *_: Any) -> Any:  # it lists the centres itself
        return tuple(jax.pure_callback(on_host, shapes, positions, cell, species, vmap_method="sequential"))

    arrays = (structure.positions, structure.cell, structure.species_index)
    centers = tuple(environment.centers for environment in environments)
    on_cpu = call_core if _register_core() else call_host
    overflow, *flat = jax.lax.platform_dependent(*arrays, *centers, cpu=on_cpu, default=call_host)
    parts = [tuple(flat[n : n + 3]) for n in range(0, len(flat), 3)]
    n_species = len(structure.labels)
    return environments_from(centers, parts[:n_species], parts[n_species:], capacity.columns, kinds), overflow


@cache
def _register_core() -> bool:
    """Make the compiled core known to XLA. False, with a warning, where jaxlib's FFI version does not fit."""
    try:
        jax.ffi.register_ffi_target(FFI_TARGET, _core.xla_update_handler(), platform="cpu")
    except Exception as error:  # XLA's own error type
        warnings.warn(
            f"the neighbour core was built for another version of XLA's FFI ({_core.xla_ffi_version}) than jaxlib has: "
            f"updates inside jit go through a slower host callback until miniffx is reinstalled ({error})",
            stacklevel=2,
        )
        return False
    return True
