"""ASE: any energy function as a calculator."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, PropertyNotImplementedError, all_changes

from miniffx import _checks
from miniffx._pytree import host
from miniffx.derivatives import EnergyFunction, energy_forces_stress
from miniffx.io import load_model
from miniffx.models import ExtrapolationWarning, NNPotential
from miniffx.models.nn_potential import extrapolation_report, find_extrapolations
from miniffx.neighbors import Array, Buckets, Capacity, Needs, NeighborList
from miniffx.structure import Structure, host_structure_from_ase

if TYPE_CHECKING:
    import ase

NOTICED = 0.1  # Å, of any coordinate since models were last asked whether they extrapolate
NEGLIGIBLE = 0.01  # of the range of a descriptor, outside of which it is: a perfect crystal is, of rattled ones
VOIGT = [0, 4, 8, 5, 2, 1]  # xx, yy, zz, yz, xz, xy of a flattened matrix


class ASECalculator(Calculator):
    """An energy function for ASE: its optimizers, filters, dynamics, phonons.

    Energy ("free_energy" is the same), energies of atoms, and forces in eV and eV/Å; the stress as ASE has it,
    (1/V) ∂E/∂ε as xx, yy, zz, yz, xz, xy in eV/Å³, tension positive, wherever the cell has a volume, a slab's too.

    The list of neighbours is kept from call to call and searched anew when atoms or cell have moved by more than the
    skin allows; other species, axes or numbers of atoms make a new one. Structures of the first composition that
    comes, such as those of a simulation, have a compiled program of their own; others are padded by
    :class:`miniffx.Buckets`, so that many sizes share a few programs. Calculators with energies of the same form
    share theirs.

    Trained models among the energy's terms know how far their descriptors went in training: an ExtrapolationWarning
    names the atom and the descriptor that is farthest out, the first time by more than a hundredth of its range, and
    whenever it is twice as far out as ever before. They are asked for new structures, and where an atom or a lattice
    vector has moved by 0.1 Å since.

    Args:
        energy: a potential, a model, a model's file (:func:`miniffx.load`), or any function
            ``energy(structure, neighbors)``.
        skin: of the neighbour list in Å. 0 searches at every step, which for a cheap potential takes about as long as a
            third of its forces (`benchmarks/calculators.py`).
        dtype: "float32" or "float64", what everything is computed in. By default what JAX has when the calculator is
            made: double precision only where its x64 mode is on (``jax.config.update("jax_enable_x64", True)``).
            Results come in double precision either way, with the digits that were computed.
        needs: the pairs and triples that `energy` reads; only for a plain function, which does not say so itself.

    Raises:
        ValueError: an energy that does not say what it reads, and no `needs`; float64 without x64 mode; when
            calculating, positions that are not finite, a singular periodic cell, species that a model does not know.
        ase.calculators.calculator.PropertyNotImplementedError: (when asked) a stress without a volume, energies of
            atoms where the energy has none.
        ase.calculators.calculator.CalculationFailed: (when calculating) an energy or forces that are not finite.

    >>> import miniffx as mff
    >>> from ase import Atoms
    >>> from ase.optimize import BFGS
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> dimer = Atoms("Ar2", [[0, 0, 0], [0, 0, 4.0]])
    >>> dimer.calc = mff.calculators.ASECalculator(lj)
    >>> converged = BFGS(dimer, logfile=None).run(fmax=1e-4)
    >>> f"{dimer.get_distance(0, 1) / 3.40:.2f} σ, {dimer.get_potential_energy():.4f} eV"
    '1.12 σ, -0.0103 eV'
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012
    name = "miniffx"

    def __init__(
        self,
        energy: Any,
        *,
        skin: float = 0.3,
        dtype: Any = None,
        needs: Needs | None = None,
    ) -> None:
        super().__init__()
        if isinstance(energy, str | os.PathLike):
            energy = load_model(energy)
        if not callable(energy):
            raise ValueError(f"`energy` must be an energy function or the file of a model, got {energy!r}")
        if needs is None and not hasattr(energy, "needs"):
            raise ValueError(
                f"`needs` must say which pairs and triples a plain function reads, got None for {energy!r}"
            )
        # Parameters go to the device once.
        self.energy: EnergyFunction = jax.device_put(
            jax.tree_util.Partial(energy) if jax.tree_util.all_leaves([energy]) else energy
        )
        self.needs: Needs = energy.needs if needs is None else needs
        self.skin = _checks.non_negative("skin", skin)
        self.dtype = _float_dtype(dtype)
        self._buckets = Buckets(self, self.skin)
        self._last: _State | None = None
        self._first: tuple[bytes, ...] | None = None  # the composition that is not padded
        self._capacity: Capacity | None = None  # of its lists
        self._models = [
            node
            for node in jax.tree.leaves(self.energy, is_leaf=lambda node: isinstance(node, NNPotential))
            if isinstance(node, NNPotential) and node.histograms is not None
        ]
        self._asked: tuple[tuple[bytes, ...], np.ndarray] | None = None  # the structure that they were asked about
        self._farthest = NEGLIGIBLE / 2  # out of the range of a descriptor, in units of the range

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What was pickled where JAX had double precision is no use where it has not: ValueError."""
        _float_dtype(state["dtype"])
        self.__dict__.update(state)

    def set(self, **parameters: Any) -> dict[str, Any]:
        """Nothing can be changed later: raises ValueError. Make another calculator; compiled programs are shared."""
        if parameters:
            raise ValueError(f"`{next(iter(parameters))}` must be given when the calculator is made")
        return {}

    def check_state(self, atoms: ase.Atoms, tol: float = 1e-15) -> list[str]:
        """What of the atoms is not as it was, to the last bit: quicker to find than what differs by more than `tol`."""
        if self.atoms is None:
            return list(all_changes)
        old, new = ({"cell": a.cell.array, "pbc": a.pbc, **a.arrays} for a in (self.atoms, atoms))
        return [name for name in all_changes if not np.array_equal(old.get(name, ()), new.get(name, ()))]

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy, forces and stress; energies of atoms where they are asked for. ASE calls it when something moved.

        What changed is seen here, whatever `system_changes` says.
        """
        current: Any = self.atoms if atoms is None else atoms
        self.results = {}
        state, self._last = self._follow(current), None  # nothing to go on from where this fails
        neighbors = state.neighbors
        if self.skin == 0 or state.expected >= 1:
            neighbors = _update(neighbors, state.padded)
        values = _evaluate(self.energy, state.padded, neighbors)
        super().calculate(atoms, properties, system_changes)  # copies the atoms, meanwhile
        numbers = np.array(values, dtype=np.float64)
        if not numbers[0, 1] < 1:  # the list did not serve
            _checks.array("positions", current.positions, (None, 3), "an array of Cartesian positions")
            neighbors = _update(neighbors, state.padded)
            numbers = np.array(_evaluate(self.energy, state.padded, neighbors), dtype=np.float64)
        if neighbors is not state.neighbors and neighbors.overflow:
            state = self._fit(state.structure, state.seen)
            neighbors = state.neighbors
            numbers = np.array(_evaluate(self.energy, state.padded, neighbors), dtype=np.float64)
        self._last = state.after(neighbors, float(numbers[0, 1]))

        energy, stress, forces = float(numbers[0, 0]), numbers[1:4], numbers[4 : 4 + len(current)]
        if not np.isfinite(forces).all() or not math.isfinite(energy):
            raise CalculationFailed(f"energy and forces must be finite, got an energy of {energy} eV")
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        if _encloses_a_volume(state.seen[2]):
            results["stress"] = stress.flat[VOIGT]
        if "energies" in properties and hasattr(self.energy, "atomic"):
            try:
                energies = _atomic(self.energy, state.padded, neighbors)
            except ValueError as error:  # one of several terms is a plain function
                raise PropertyNotImplementedError(str(error)) from error
            results["energies"] = np.asarray(energies, dtype=np.float64)[: len(current)]
        self.results = results
        if self._models:
            self._warn_of_extrapolation(state, neighbors)

    def _warn_of_extrapolation(self, state: _State, neighbors: NeighborList) -> None:
        composition = state.seen[:2]
        places = np.concatenate([np.asarray(state.padded.cell), np.asarray(state.padded.positions)])
        known, before = self._asked or ((), places)
        if composition == known and np.abs(places - before).max() < NOTICED:
            return
        self._asked = (composition, places)
        found = [item for model in self._models for item in find_extrapolations(model, state.padded, neighbors)]
        found.sort(key=lambda item: -item.excess)
        if found and found[0].excess > 2 * self._farthest:
            self._farthest = found[0].excess
            warnings.warn("\n".join(extrapolation_report(found)), ExtrapolationWarning, stacklevel=4)

    def _follow(self, atoms: ase.Atoms) -> _State:
        """The structure of these atoms with a list that the program updates: the last one where it is for them."""
        charges = atoms.arrays.get("initial_charges")
        arrays = [atoms.numbers, atoms.pbc, atoms.cell.array, *([] if charges is None else [charges])]
        seen = tuple(array.tobytes() for array in arrays)
        last = self._last
        if last is None or last.seen[:2] != seen[:2]:
            return self._fit(host_structure_from_ase(atoms, self.dtype), seen)
        if last.seen == seen:  # they only moved: all else has been checked
            structure = dataclasses.replace(last.structure, positions=host(atoms.positions.astype(self.dtype)))
        else:
            structure = host_structure_from_ase(atoms, self.dtype)
        padded = structure.pad(last.padded.n_atoms)
        return last._replace(seen=seen, structure=structure, padded=padded)

    def _fit(self, structure: Structure, seen: tuple[bytes, ...]) -> _State:
        """The structure with a new list, in a shape that has a program or gets one."""
        composition = seen[:2]
        if self._first is None:
            self._first = composition
        if composition != self._first:
            return _State(seen, structure, *self._buckets(structure))
        # Whatever stays the same goes to the device once.
        structure = dataclasses.replace(jax.device_put(structure), positions=structure.positions)
        needed = self.needs.neighbor_list(structure, self.skin).capacity
        if self._capacity is None:
            self._capacity = needed
        elif self._capacity.union(needed) != self._capacity:  # with room, so that it grows rarely
            self._capacity = self._capacity.union(needed.enlarged(1.25))
        return _State(seen, structure, structure, self.needs.neighbor_list(structure, self.skin, self._capacity))


class _State(NamedTuple):
    """What a calculator goes on from.

    Attributes:
        seen: the bytes of numbers, pbc, cell and, where there are any, charges of the structure.
        structure: as it came.
        padded: as the program takes it.
        neighbors: a list for `padded`, or for the same atoms elsewhere.
        spent: the part of its skin that was used up.
        expected: the part that will be, if atoms go on as they went.
    """

    seen: tuple[bytes, ...]
    structure: Structure
    padded: Structure
    neighbors: NeighborList
    spent: float = 0.0
    expected: float = 0.0

    def after(self, neighbors: NeighborList, spent: float) -> _State:
        """When energies have been computed with this list."""
        return self._replace(neighbors=neighbors, spent=spent, expected=2 * spent - self.spent)


# Two programs, not one: where the list serves, none of it is written again.
@jax.jit
def _update(neighbors: NeighborList, structure: Structure) -> NeighborList:
    return neighbors.update(structure)


@jax.jit
def _evaluate(energy: EnergyFunction, structure: Structure, neighbors: NeighborList) -> Array:
    """[1 + 3 + n_atoms, 3] E and how much of the skin is spent, σ (NaN without a volume), F.

    One array, for each costs a transfer. Whether the list served is known afterwards: it mostly does, and to find that
    out on the host before would take as long as a tenth of the forces of a cheap potential.
    """
    e, forces, stress = energy_forces_stress(energy)(structure, neighbors)
    first = jnp.stack([e, neighbors._spent(structure).astype(e.dtype), jnp.zeros_like(e)])
    return jnp.concatenate([first[None], stress, forces])


@jax.jit
def _atomic(energy: Any, structure: Structure, neighbors: NeighborList) -> Array:
    return energy.atomic(structure, neighbors)


@functools.lru_cache(maxsize=8)  # few cells, asked for at every step
def _encloses_a_volume(cell: bytes) -> bool:
    vectors = np.frombuffer(cell).reshape(3, 3)
    return bool(abs(np.linalg.det(vectors)) > 1e-9 * np.prod(np.linalg.norm(vectors, axis=1)))


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as JAX has it; ValueError where it would have another."""
    try:
        wanted = np.dtype(np.float64 if dtype is None else dtype)
    except TypeError:
        raise ValueError(f"`dtype` must be 'float32', or 'float64' with JAX's x64 mode on, got {dtype!r}") from None
    available = np.dtype(jax.dtypes.canonicalize_dtype(wanted))
    if wanted not in (np.float32, np.float64) or (dtype is not None and available != wanted):
        raise ValueError(f"`dtype` must be 'float32', or 'float64' with JAX's x64 mode on, got {dtype!r}")
    return available
