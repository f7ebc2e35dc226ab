"""Relaxation: the nearest structure at which forces, and with a free cell stresses, vanish."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from miniffx import _checks
from miniffx._pytree import pytree
from miniffx.derivatives import EnergyFunction, energy_and_forces, energy_forces_stress
from miniffx.minimizers import FIRE, LBFGS, Point
from miniffx.neighbors import Array, NeighborList
from miniffx.structure import Structure

LARGEST_MOVE = 0.2  # Å, of an atom in one step; for a strain, of neighbouring atoms against each other
ROOM = 0.5  # Å: a list that has to grow gets room for neighbours so much farther away
ROUNDING = 10  # in units of the last digit of an energy: what counts as no difference


@dataclasses.dataclass(frozen=True)
class RelaxResult:
    """What :func:`relax` found. For a batch, all have a leading batch axis, and there is one history per structure.

    Attributes:
        structure: relaxed as far as it went: the last state where that is converged, else the best of all.
        energy: its energy in eV (never the enthalpy).
        converged: whether this very structure meets the criterion.
        n_steps: how many steps were taken, 0 for a structure that met the criterion from the start.
        history: per step, from 0 on, a dict of "step", "energy" (eV) and "max_force" (eV/Å); where the cell was
            free, also "max_stress" (eV/Å³, of σ + pressure) and "enthalpy" (eV).
    """

    structure: Structure
    energy: Any
    converged: Any
    n_steps: Any
    history: list[Any] = dataclasses.field(repr=False)


def relax(
    energy: Any,
    structure: Structure,
    fmax: float = 1e-3,
    cell: bool = False,
    *,
    pressure: float = 0.0,
    smax: float = 1e-5,
    optimizer: Literal["lbfgs", "fire"] = "lbfgs",
    steps: int = 1000,
    fixed: Any = None,
    skin: float = 0.3,
) -> RelaxResult:
    """Move atoms, and on request the cell, until the largest force is at most `fmax`.

    The whole relaxation is one compiled program, the updates of the neighbour list included. It is left only where a
    list has to grow, and goes on from there. Structures of different sizes relax together as a batch made by
    :func:`miniffx.stack`; those that are done wait for the others.

    With a free cell the enthalpy E + pV is minimized in coordinates x and a symmetric strain U,

        r = x (1 + U),    cell = cell₀ (1 + U),

    U acting within the space of the periodic lattice vectors only: open ones stay as they are. The minimizer sees
    U times V^(1/3) n_atoms^(1/6), which makes it about as stiff as the atoms (D. Sheppard et al., J. Chem. Phys. 136,
    074103 (2012), doi:10.1063/1.3684549).

    Args:
        energy: an energy with a :meth:`neighbor_list`: a potential or a model.
        structure: one structure or a batch.
        fmax: eV/Å; the criterion is the length of the largest force on an atom that is free to move.
        cell: whether the cell relaxes too; it needs a volume and a periodic axis.
        pressure: external pressure in eV/Å³ (``ase.units.GPa`` is one GPa), for a free cell.
        smax: eV/Å³; with a free cell no component of σ + pressure may be larger either. Of the components, those
            within the space of the periodic vectors count.
        optimizer: "lbfgs" (:class:`miniffx.minimizers.LBFGS`: a smooth energy falls at every step) or "fire"
            (:class:`miniffx.minimizers.FIRE`).
        steps: at most so many. A step of L-BFGS costs one evaluation of energy and forces, rarely more.
        fixed: [n_atoms] bool (with a leading axis for a batch), atoms that stay where they are; those in a free cell
            follow the strain.
        skin: of the neighbour list in Å.

    Returns:
        RelaxResult. Its energy (with a free cell its enthalpy) is never above that of the start by more than
        rounding. Where `converged` is False, `steps` were not enough, or no step led down any more, to energies that
        are numbers: those of cells too large for an Ewald sum's `k_max` or mesh are not; choose these for the largest
        expected.

    Raises:
        ValueError: a start whose energy or forces are not finite, no volume for a free cell, pressure without one,
            an argument out of its range.

    >>> import miniffx as mff
    >>> argon = mff.Structure.create([[0, 0, 0], [0, 0, 4.0]], ["Ar", "Ar"])
    >>> lj = mff.potentials.LennardJones(epsilon=0.0103, sigma=3.40, cutoff=8.5, species=("Ar", "Ar"))
    >>> result = mff.relax(lj, argon, fmax=1e-4)
    >>> left, right = result.structure.positions
    >>> result.converged, round(result.energy, 5), round(float(right[2] - left[2]) / 3.40, 2)
    (True, -0.0103, 1.12)
    """
    fmax, smax = _checks.positive("fmax", fmax), _checks.positive("smax", smax)
    pressure, skin = _checks.real("pressure", pressure), _checks.non_negative("skin", skin)
    if optimizer not in ("lbfgs", "fire"):
        raise ValueError(f"`optimizer` must be 'lbfgs' or 'fire', got {optimizer!r}")
    if not _checks.is_whole(steps) or steps < 0:
        raise ValueError(f"`steps` must be a whole number, 0 or more, got {steps!r}")
    _checks.with_list(energy)
    _checks.structure(structure)
    structure = jax.tree.map(jnp.asarray, structure)
    if cell and not (any(structure.pbc) and np.all(_volumes(structure) > 0)):
        raise ValueError(f"`cell` must be False without a periodic axis and a volume, got pbc {structure.pbc}")
    if pressure and not cell:
        raise ValueError(f"`pressure` must be 0 unless the cell is free, got {pressure}")
    free = _free(structure, fixed)

    neighbors = energy.neighbor_list(structure, skin=skin)
    state = _start(structure, bool(cell), optimizer, steps)
    targets = (fmax, smax, pressure)
    while True:
        state, neighbors = _run(energy, structure, free, state, neighbors, targets, bool(cell))
        if not np.any(neighbors.overflow):
            break
        # Grown outside, for the positions that did not fit; the state is still that before the move to them. With room
        # to spare, because every other size is another program to compile.
        moved = dataclasses.replace(structure, positions=neighbors.positions, cell=neighbors.cell)
        roomy = energy.neighbor_list(moved, skin=skin + ROOM).capacity.union(neighbors.capacity)
        neighbors = energy.neighbor_list(moved, skin=skin, capacity=roomy)
    failed = np.atleast_1d(np.asarray(state.n_steps) < 0)
    if failed.any():
        which = f" in structure {int(np.argmax(failed))}" if structure.positions.ndim == 3 else ""
        raise ValueError(f"`structure` must have a finite energy and finite forces, got others{which}")
    return _result(structure, state, targets, bool(cell))


# -- the program -----------------------------------------------------------------------------------------------

ENERGY, ENTHALPY, FORCE, STRESS = range(4)  # columns of the history


@pytree
class _State:
    """Between two steps.

    Attributes:
        minimizer, here: where it is, in the minimizer's coordinates [n_atoms (+ 3), 3].
        n_steps: taken so far, −1 before the first evaluation.
        running: bool, whether to go on.
        history: [steps + 1, 4].
        lowest: enthalpy so far.
        best, best_step: coordinates of the smallest force among those of the lowest enthalpy, and when that was.
    """

    minimizer: Any
    here: Point
    n_steps: Array
    running: Array
    history: Array
    lowest: Array
    best: Array
    best_step: Array


@partial(jax.jit, static_argnums=(1, 2, 3))
def _start(structure: Structure, free_cell: bool, optimizer: str, steps: int) -> _State:
    def start(structure: Structure) -> _State:
        x = structure.positions
        if free_cell:
            x = jnp.concatenate([x, jnp.zeros((3, 3), x.dtype)])
        return _State(
            minimizer=LBFGS.start(x) if optimizer == "lbfgs" else FIRE.start(x),
            here=Point.before(x),
            n_steps=jnp.asarray(-1),
            running=jnp.asarray(True),
            history=jnp.full((steps + 1, 4), jnp.nan, x.dtype),
            lowest=jnp.asarray(jnp.inf, x.dtype),
            best=x,
            best_step=jnp.asarray(0),
        )

    return _each(structure)(start)(structure)


@partial(jax.jit, static_argnames="free_cell")
def _run(
    energy: EnergyFunction,
    structure: Structure,
    free: Array,
    state: _State,
    neighbors: NeighborList,
    targets: tuple[float, float, float],
    free_cell: bool,
) -> tuple[_State, NeighborList]:
    """Go on until all are done or a list overflows. The list is for where the minimizer wants to look next."""
    each = _each(structure)

    def proposed(state: _State) -> Structure:
        def place(structure: Structure, state: _State) -> Structure:
            return _place(structure, state.minimizer.propose(state.here), free_cell)

        return each(place)(structure, state)

    def step(structure: Structure, free: Array, state: _State, neighbors: NeighborList) -> _State:
        return _step(energy, structure, free, state, neighbors, targets, free_cell)

    def turn(carry: tuple[_State, NeighborList]) -> tuple[_State, NeighborList]:
        old, neighbors = carry
        state = each(step)(structure, free, old, neighbors)
        if structure.positions.ndim == 3:  # those that are done stay
            state = jax.vmap(lambda running, new, old: jax.tree.map(partial(jnp.where, running), new, old))(
                old.running, state, old
            )
        return state, neighbors.update(proposed(state))

    def go_on(carry: tuple[_State, NeighborList]) -> Array:
        state, neighbors = carry
        return state.running.any() & ~neighbors.overflow.any()

    return jax.lax.while_loop(go_on, turn, (state, neighbors))


def _step(
    energy: EnergyFunction,
    structure: Structure,
    free: Array,
    state: _State,
    neighbors: NeighborList,
    targets: tuple[float, float, float],
    free_cell: bool,
) -> _State:
    """Evaluate where the minimizer wants to; move there if it is good."""
    fmax, smax, pressure = targets
    x = state.minimizer.propose(state.here)
    moved = _place(structure, x, free_cell)
    there, record = _evaluate(energy, structure, moved, free, x, neighbors, pressure, free_cell)
    minimizer, accepted, stuck = state.minimizer.decide(state.here, there, _limits(structure, free_cell))

    n_steps = state.n_steps + accepted
    last = state.history.shape[0] - 1
    done = accepted & _meets(record, fmax, smax)
    slack = _slack(there.value)
    lower = there.value < state.lowest - slack
    calmer = (there.value <= state.lowest + slack) & (record[FORCE] < state.history[state.best_step, FORCE])
    better = accepted & (lower | calmer)
    return _State(
        minimizer=minimizer,
        here=jax.tree.map(partial(jnp.where, accepted), there, state.here),
        n_steps=n_steps,
        running=~done & ~stuck & (n_steps >= 0) & (n_steps < last),
        history=state.history.at[jnp.where(accepted, n_steps, last + 1)].set(record, mode="drop"),
        lowest=jnp.where(accepted, jnp.minimum(there.value, state.lowest), state.lowest),
        best=jnp.where(better, x, state.best),
        best_step=jnp.where(better, n_steps, state.best_step),
    )


def _evaluate(
    energy: EnergyFunction,
    structure: Structure,
    moved: Structure,
    free: Array,
    x: Array,
    neighbors: NeighborList,
    pressure: float | Array,
    free_cell: bool,
) -> tuple[Point, Array]:
    """Enthalpy and its gradient in the minimizer's coordinates; a line of the history."""
    if not free_cell:
        value, forces = energy_and_forces(energy)(moved, neighbors)
        forces = jnp.where(free[:, None], forces, 0)
        record = jnp.stack([value, value, _longest(forces), jnp.zeros_like(value)])
        return Point(x, value, -forces), record
    value, forces, stress = energy_forces_stress(energy)(moved, neighbors)
    forces = jnp.where(free[:, None], forces, 0)
    volume, periodic = moved.volume, _periodic_space(structure)
    enthalpy = value + pressure * volume
    # r = x F with F = 1 + U: ∂H/∂x = −f F and, both sides of F being symmetric, ∂H/∂U = V (σ + p) F⁻¹.
    deformation = _deformation(structure, x)
    excess = _product(_product(periodic, stress + pressure * jnp.eye(3, dtype=stress.dtype)), periodic)
    slope = volume * _product(excess, jnp.linalg.inv(deformation))
    slope = (slope + slope.T) / (2 * _stiffness(structure))
    record = jnp.stack([value, enthalpy, _longest(forces), jnp.abs(excess).max()])
    return Point(x, enthalpy, jnp.concatenate([-_product(forces, deformation), slope])), record


# -- coordinates -----------------------------------------------------------------------------------------------


def _place(structure: Structure, x: Array, free_cell: bool) -> Structure:
    """The structure at the minimizer's coordinates."""
    if not free_cell:
        return dataclasses.replace(structure, positions=x)
    deformation = _deformation(structure, x)
    cell = jnp.where(np.array(structure.pbc)[:, None], _product(structure.cell, deformation), structure.cell)
    return dataclasses.replace(structure, positions=_product(x[:-3], deformation), cell=cell)


def _deformation(structure: Structure, x: Array) -> Array:
    """1 + U."""
    return jnp.eye(3, dtype=x.dtype) + x[-3:] / _stiffness(structure)


def _stiffness(structure: Structure) -> Array:
    """V^(1/3) n^(1/6), in Å: the last rows of the coordinates are U times this."""
    return structure.volume ** (1 / 3) * structure.mask.sum().astype(structure.cell.dtype) ** (1 / 6)


def _limits(structure: Structure, free_cell: bool) -> Array:
    """[rows] how far each row of the coordinates may move in a step."""
    n = structure.n_atoms
    limits = jnp.full(n + 3 * free_cell, LARGEST_MOVE, structure.positions.dtype)
    # Neighbours are (V/n)^(1/3) apart: a strain U moves them by U (V/n)^(1/3), which is its row by √n.
    return limits.at[n:].multiply(jnp.sqrt(structure.mask.sum().astype(limits.dtype)))


def _periodic_space(structure: Structure) -> Array:
    """[3, 3], the projector onto the space of the periodic lattice vectors."""
    rows = structure.cell[np.flatnonzero(structure.pbc)]
    rows = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
    return _product(rows.T, jnp.linalg.solve(_product(rows, rows.T), rows))


def _longest(forces: Array) -> Array:
    return jnp.sqrt((forces * forces).sum(axis=-1).max(initial=0))


def _slack(value: Array) -> Array:
    return ROUNDING * jnp.finfo(value.dtype).eps * jnp.abs(value)


def _meets(record: Any, fmax: Any, smax: Any) -> Any:
    return (record[..., FORCE] <= fmax) & (record[..., STRESS] <= smax)


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _each(structure: Structure) -> Callable[[Any], Any]:
    """jax.vmap for a batch, nothing for one structure."""
    return jax.vmap if structure.positions.ndim == 3 else lambda function: function


# -- before and after ------------------------------------------------------------------------------------------


def _volumes(structure: Structure) -> np.ndarray:
    return np.abs(np.linalg.det(np.asarray(structure.cell, dtype=np.float64)))


def _free(structure: Structure, fixed: Any) -> Array:
    """[n_atoms] bool, with the batch axis of the structure."""
    if fixed is None:
        return structure.mask
    given = np.asarray(fixed)
    if given.dtype != np.bool_ or given.shape != structure.species_index.shape:
        raise ValueError(
            f"`fixed` must be bools of shape {structure.species_index.shape}, got {given.dtype} {given.shape}"
        )
    return structure.mask & ~given


@partial(jax.jit, static_argnums=3)
def _chosen(
    structure: Structure, state: _State, targets: tuple[float, float, float], free_cell: bool
) -> tuple[Structure, Array, Array]:
    """(structure, energy, whether it meets the criterion): the last state where that is good, the best otherwise."""

    def choose(structure: Structure, state: _State) -> tuple[Structure, Array, Array]:
        fmax, smax, _ = targets
        first, last = state.history[0, ENTHALPY], state.history[state.n_steps]
        keep_last = _meets(last, fmax, smax) & (last[ENTHALPY] <= first + _slack(first))
        x = jnp.where(keep_last, state.here.x, state.best)
        record = jnp.where(keep_last, last, state.history[state.best_step])
        return _place(structure, x, free_cell), record[ENERGY], _meets(record, fmax, smax)

    return _each(structure)(choose)(structure, state)


def _result(structure: Structure, state: _State, targets: tuple[float, float, float], free_cell: bool) -> RelaxResult:
    relaxed, energies, converged = _chosen(structure, state, targets, free_cell)
    histories = np.asarray(state.history, dtype=np.float64)
    counts = np.asarray(state.n_steps)
    if structure.positions.ndim == 3:
        lists = [_lines(history[: n + 1], free_cell) for history, n in zip(histories, counts, strict=True)]
        return RelaxResult(relaxed, np.asarray(energies), np.asarray(converged), counts, lists)
    lines = _lines(histories[: int(counts) + 1], free_cell)
    return RelaxResult(relaxed, float(energies), bool(converged), int(counts), lines)


def _lines(history: np.ndarray, free_cell: bool) -> list[dict[str, float]]:
    names = {"energy": ENERGY, "max_force": FORCE}
    if free_cell:
        names |= {"max_stress": STRESS, "enthalpy": ENTHALPY}
    return [
        {"step": float(step)} | {name: float(line[column]) for name, column in names.items()}
        for step, line in enumerate(history)
    ]
