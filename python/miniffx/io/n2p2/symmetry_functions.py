"""symfunction_short: lines of input.nn as descriptors, and back; and the order in which n2p2 counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from miniffx import descriptors as D
from miniffx.descriptors import cutoffs
from miniffx.io.n2p2.settings import Entry
from miniffx.io.n2p2.units import Units

KEYWORD = "symfunction_short"
CUTOFFS = cutoffs.NAMES  # their places are n2p2's cutoff types
CORES = {"p1": "poly1", "p2": "poly2", "p3": "poly3", "p4": "poly4", "e": "exp"}
LENGTH_POWERS = {"eta": -2, "r_shift": 1, "cutoff": 1, "r_low": 1}


@dataclass(frozen=True)
class Kind:
    """A type of symmetry function.

    Attributes:
        descriptor: the class; columns have the names of its fields.
        n_neighbors: how many elements stand before the numbers; 0 for weighted functions, which take all.
        columns: the numbers of a line, in order; "subtype" is the name of a polynomial.
        optional: numbers that may follow, 0 if they do not.
        order: what n2p2 sorts the functions of one type by; "neighbors" are their elements by atomic number, ascending.
    """

    descriptor: type[D.Descriptor]
    n_neighbors: int
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    order: tuple[str, ...]


def _kind(descriptor: type[D.Descriptor], n_neighbors: int, columns: str, order: str, optional: str = "") -> Kind:
    return Kind(descriptor, n_neighbors, tuple(columns.split()), tuple(optional.split()), tuple(order.split()))


_RADIAL, _ANGULAR = "cutoff eta r_shift neighbors", "cutoff eta r_shift zeta lam neighbors"
_COMPACT, _COMPACT_ANGULAR = "subtype neighbors cutoff r_low", "subtype neighbors cutoff r_low angle_low angle_high"
_WINDOWS = "r_low cutoff angle_low angle_high subtype"

KINDS = {
    2: _kind(D.G2, 1, "eta r_shift cutoff", _RADIAL),
    3: _kind(D.G4, 2, "eta lam zeta cutoff", _ANGULAR, "r_shift"),
    9: _kind(D.G5, 2, "eta lam zeta cutoff", _ANGULAR, "r_shift"),
    12: _kind(D.WeightedG2, 0, "eta r_shift cutoff", _RADIAL),
    13: _kind(D.WeightedG4, 0, "eta r_shift lam zeta cutoff", _ANGULAR),
    20: _kind(D.CompactRadial, 1, "r_low cutoff subtype", _COMPACT),
    21: _kind(D.CompactNarrow, 2, _WINDOWS, _COMPACT_ANGULAR),
    22: _kind(D.CompactWide, 2, _WINDOWS, _COMPACT_ANGULAR),
    23: _kind(D.WeightedCompactRadial, 0, "r_low cutoff subtype", _COMPACT),
    24: _kind(D.WeightedCompactNarrow, 0, _WINDOWS, _COMPACT_ANGULAR),
    25: _kind(D.WeightedCompactWide, 0, _WINDOWS, _COMPACT_ANGULAR),
}
TYPES = {kind.descriptor: number for number, kind in KINDS.items()}


@dataclass(frozen=True)
class SymmetryFunction:
    """One line: numbers in the units of the file."""

    entry: Entry
    element: str
    type: int
    neighbors: tuple[str, ...]
    values: dict[str, float | str]

    def sort_key(self, elements: Sequence[str]) -> tuple[Any, ...]:
        """What n2p2 sorts the functions of one element by; `elements` by atomic number."""
        known = {**self.values, "neighbors": sorted(elements.index(element) for element in self.neighbors)}
        return (self.type, *(known[name] for name in KINDS[self.type].order))

    def descriptor(self, elements: Sequence[str], cutoff_type: int, cutoff_alpha: float, units: Units) -> D.Descriptor:
        """The descriptor in Å."""
        kind = KINDS[self.type]
        fields: dict[str, Any] = {}
        for name, value in self.values.items():
            if isinstance(value, str):
                fields["core"], fields["steep"] = CORES[value.removesuffix("a")], value.endswith("a")
            else:
                fields[name] = value * units.length ** LENGTH_POWERS.get(name, 0)
        if "core" not in fields:
            fields["cutoff_function"], fields["cutoff_alpha"] = CUTOFFS[cutoff_type], cutoff_alpha
        try:
            return kind.descriptor(**fields, species=(self.element, *(self.neighbors or elements)))  # type: ignore[call-arg]
        except ValueError as error:
            raise self.entry.error(f"cannot be used: {error}") from error


def parse(entry: Entry, elements: Sequence[str]) -> SymmetryFunction:
    """A line of input.nn, checked.

    Raises:
        ValueError: unknown elements or types, missing or superfluous numbers; the message names the line.
    """
    if len(entry.values) < 2:
        raise entry.error(f"must have an element and a type, got {' '.join(entry.values)!r}")
    number = entry.integer(1)
    kind = KINDS.get(number)
    if kind is None:
        raise entry.error(f"must be of type {', '.join(map(str, KINDS))}, others are not supported, got {number}")
    start = 2 + kind.n_neighbors
    names = (*kind.columns, *kind.optional)
    entry.expect(start + len(kind.columns), start + len(names))
    element, neighbors = entry.values[0], entry.values[2:start]
    for symbol in (element, *neighbors):
        if symbol not in elements:
            raise entry.error(f"must name elements among {', '.join(elements)}, got {symbol!r}")
    values: dict[str, float | str] = dict.fromkeys(kind.optional, 0.0)
    for index, name in enumerate(names[: len(entry.values) - start], start=start):
        values[name] = _subtype(entry, index) if name == "subtype" else entry.number(index)
    return SymmetryFunction(entry, element, number, neighbors, values)


def line_values(descriptor: D.Descriptor, units: Units) -> tuple[str, ...]:
    """What a line of input.nn says of a descriptor.

    Raises:
        ValueError: n2p2 has no such function.
    """
    number = TYPES.get(type(descriptor))
    if number is None:
        raise ValueError(f"`model` must have descriptors that n2p2 knows, got {descriptor}")
    kind = KINDS[number]
    values = [descriptor.species[0], str(number)]
    values += descriptor.species[1:] if kind.n_neighbors else ()
    for name in (*kind.columns, *kind.optional):
        if name == "subtype":
            core, steep = descriptor.core, descriptor.steep  # type: ignore[attr-defined]
            if core == "exp" and steep:
                raise ValueError(f"`model` must have no steep 'exp' windows for n2p2, got {descriptor}")
            subtypes = {core: subtype for subtype, core in CORES.items()}
            values.append(subtypes[core] + ("a" if steep else ""))
        else:
            value = float(getattr(descriptor, name)) / units.length ** LENGTH_POWERS.get(name, 0)
            values.append(repr(value))
    return tuple(values)


def _subtype(entry: Entry, index: int) -> str:
    name = entry.values[index]
    if name.removesuffix("a") not in CORES or name == "ea":
        raise entry.error(f"must have a subtype p1 to p4, p1a to p4a or e, got {name!r}")
    return name
