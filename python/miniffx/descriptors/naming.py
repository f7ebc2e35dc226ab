"""Names of descriptors, for tables and pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

from miniffx.descriptors.descriptor import Descriptor, Weighted


def name(descriptor: Descriptor) -> str:
    """What a descriptor is, in one line: formula, species, and the parameters that are not at their defaults.

    >>> import miniffx as mff
    >>> from miniffx.descriptors.naming import name
    >>> name(mff.descriptors.G2(eta=0.25, r_shift=2.0, cutoff=6.0, species=("Si", "O")))
    'G2 Si-O eta=0.25 r_shift=2 cutoff=6'
    """
    values = [f"{key}={text(value)}" for key, value in parameters(descriptor).items()]
    return " ".join([type(descriptor).__name__, kind(descriptor), *values])


def kind(descriptor: Descriptor) -> str:
    """The species: "Si-O", "Si-O-O", or "Si-(O,Si)" for neighbours that all count with their weights."""
    center, *others = descriptor.species
    return f"{center}-({','.join(others)})" if isinstance(descriptor, Weighted) else "-".join(descriptor.species)


def parameters(descriptor: Descriptor) -> dict[str, Any]:
    """The fields of a descriptor but its species and those at their defaults."""
    if not dataclasses.is_dataclass(descriptor):
        return {"cutoff": descriptor.cutoff}
    fields = [field for field in dataclasses.fields(descriptor) if field.name != "species"]
    values = [(field.name, getattr(descriptor, field.name), field.default) for field in fields]
    return {
        key: value
        for key, value, default in values
        if default is dataclasses.MISSING or isinstance(value, tuple) or value != default
    }


def text(value: Any) -> str:
    """A parameter in few characters."""
    if callable(value):
        return getattr(value, "__name__", repr(value))
    if isinstance(value, tuple):
        return "(" + ", ".join(map(text, value)) + ")"
    return str(value) if isinstance(value, (str, bool)) else f"{float(value):.4g}"
