"""Potentials of n2p2, written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from miniffx import descriptors as D
from miniffx.descriptors.descriptor import Screened, Weighted
from miniffx.io.files import replacing
from miniffx.io.n2p2 import symmetry_functions
from miniffx.io.n2p2.reading import ACTIVATIONS, FAR
from miniffx.io.n2p2.settings import Entry
from miniffx.io.n2p2.units import Units
from miniffx.models import MLP, NNPotential

LETTERS = {name: letter for letter, name in ACTIVATIONS.items()}


def write_n2p2(
    model: NNPotential, folder: str | os.PathLike[str], length_unit: str = "angstrom", energy_unit: str = "ev"
) -> None:
    """Write a potential for n2p2 and LAMMPS (pair style hdnnp): `input.nn`, `scaling.data`, `weights.ZZZ.data`.

    :func:`read_n2p2` gives the model back to rounding, with the features in n2p2's order. Four things look different
    there, to no effect on energies: networks without biases have biases of 0, a feature that the scaling drops has
    weights of 0 instead, networks of different widths are filled up with nodes of weight 0 (versions of n2p2
    disagree on how to tell one element's network from another's, so all get the same shape), and of the histograms of
    the training set there is the range of every feature, by which n2p2 and LAMMPS warn of extrapolation. A model
    without histograms gets ranges of ±1e30: no warnings.

    Args:
        model: its labels must be chemical elements, its descriptors those of n2p2 with one cutoff function for all,
            its networks of the same depth with the same activations and a linear output.
        folder: where to write; made, with those that it is in, where it does not exist. Every file appears whole or not
            at all.
        length_unit, energy_unit: "angstrom" or "bohr", "ev" or "hartree": of the files.

    Raises:
        ValueError: a model that n2p2 cannot express, or a `folder` that is a file; nothing is written then.
    """
    units = Units.named(length_unit, energy_unit)
    if not isinstance(model, NNPotential):
        raise ValueError(f"`model` must be a NNPotential, got {type(model).__name__}")
    numbers = _atomic_numbers(model.species)
    elements = sorted(model.species, key=numbers.__getitem__)
    orders = {element: _order(model, element, elements, units) for element in elements}
    hidden = _hidden(model)

    files = {
        "input.nn": _input(model, elements, orders, hidden, units),
        "scaling.data": _scaling(model, elements, orders),
    }
    for element in elements:
        order = [index for index, _ in orders[element]]
        files[f"weights.{numbers[element]:03d}.data"] = _weights(model, element, order, hidden)

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"`folder` must be a folder or a new one, got {folder}, of which a part is a file") from error
    with ExitStack() as stack:  # all of them are written before the first takes its place
        for name, lines in files.items():
            path = stack.enter_context(replacing(folder / name))
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _atomic_numbers(species: Sequence[str]) -> dict[str, int]:
    from ase.data import atomic_numbers

    unknown = [label for label in species if atomic_numbers.get(label, 0) == 0]
    if unknown:
        raise ValueError(f"`model` must have chemical elements as species for n2p2, got {', '.join(unknown)}")
    return {label: int(atomic_numbers[label]) for label in species}


def _order(
    model: NNPotential, element: str, elements: Sequence[str], units: Units
) -> list[tuple[int, tuple[str, ...]]]:
    """(place in the model, values of the line) of an element's descriptors, in n2p2's order."""
    functions = []
    for index, descriptor in enumerate(model.descriptors.of(element)):
        unknown = sorted(set(descriptor.species) - set(elements))
        if unknown:
            raise ValueError(f"`model` must have networks for all species of its descriptors, got none for {unknown}")
        if isinstance(descriptor, Weighted):
            expected = _atomic_numbers(elements)
            weights = dict(zip(descriptor.neighbors, map(float, descriptor.weights), strict=True))
            if weights != expected:
                raise ValueError(
                    "`model` must have weighted descriptors of all its elements with their atomic numbers as weights "
                    f"for n2p2, got {descriptor}"
                )
        values = symmetry_functions.line_values(descriptor, units)
        entry = Entry(Path("input.nn"), 0, symmetry_functions.KEYWORD, values)
        functions.append((index, symmetry_functions.parse(entry, elements)))
    functions.sort(key=lambda item: item[1].sort_key(elements))
    return [(index, function.entry.values) for index, function in functions]


# -- input.nn -----------------------------------------------------------------------------------------------------


def _input(
    model: NNPotential,
    elements: Sequence[str],
    orders: dict[str, list[tuple[int, tuple[str, ...]]]],
    hidden: Sequence[int],
    units: Units,
) -> list[str]:
    lines = [
        "# Neural-network potential for n2p2, written by miniffx.",
        f"# miniffx: length_unit={units.names[0]} energy_unit={units.names[1]}",
        _line("number_of_elements", len(elements)),
        _line("elements", *elements),
    ]
    if model.scaling is not None:
        offsets, scale = np.asarray(model.scaling.offsets, np.float64), float(model.scaling.scale)
        _check_finite("scaling.offsets", offsets)
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"`model` must have a positive `scaling.scale` for n2p2, got {scale}")
        if offsets.any():
            for element in elements:
                energy = float(offsets[model.species.index(element)]) / units.energy
                lines.append(_line("atom_energy", element, energy))
        if scale != units.energy:
            lines += [_line("mean_energy", 0.0), _line("conv_energy", units.energy / scale), _line("conv_length", 1.0)]
        lines += [_line("scale_symmetry_functions_sigma"), _line("scale_min_short", 0.0), _line("scale_max_short", 1.0)]
    elif units.energy != 1:
        lines += [_line("mean_energy", 0.0), _line("conv_energy", units.energy), _line("conv_length", 1.0)]
    lines.append(_line("cutoff_type", *_cutoff(model.descriptors)))
    lines += [
        _line("global_hidden_layers_short", len(hidden)),
        _line("global_nodes_short", *hidden),
        _line("global_activation_short", *(LETTERS[name] for name in model.networks[0].activations)),
    ]
    for element in elements:
        lines += [_line(symmetry_functions.KEYWORD, *values) for _, values in orders[element]]
    return lines


def _cutoff(descriptors: Iterable[D.Descriptor]) -> tuple[int, float]:
    """cutoff_type and inner cutoff."""
    found = {(d.cutoff_function, d.cutoff_alpha) for d in descriptors if isinstance(d, Screened)}
    if len(found) > 1:
        raise ValueError(f"`model` must have one cutoff function for all descriptors for n2p2, got {sorted(found)}")
    name, alpha = found.pop() if found else ("cosine", 0.0)
    return symmetry_functions.CUTOFFS.index(name), alpha


def _hidden(model: NNPotential) -> list[int]:
    """The widths of the hidden layers, wide enough for all networks; ValueError unless they fit in one shape."""
    shapes = {network.activations for network in model.networks}
    if len(shapes) > 1:
        raise ValueError(f"`model` must have the same activations for all species for n2p2, got {sorted(shapes)}")
    *inner, output = shapes.pop()
    if not inner:
        raise ValueError("`model` must have networks with a hidden layer for n2p2, got a linear map")
    unknown = [name for name in inner if name not in LETTERS]
    if unknown:
        raise ValueError(f"`model` must have activations among {', '.join(LETTERS)} for n2p2, got {unknown[0]!r}")
    if output != "linear":
        raise ValueError(f"`model` must have linear outputs for n2p2, got {output!r}, which not all versions know")
    return [max(network.weights[layer].shape[1] for network in model.networks) for layer in range(len(inner))]


def _line(keyword: str, *values: Any) -> str:
    return " ".join([keyword, *(repr(v) if isinstance(v, float) else str(v) for v in values)])


# -- scaling.data and weights.ZZZ.data ------------------------------------------------------------------------------


def _scaling(
    model: NNPotential, elements: Sequence[str], orders: dict[str, list[tuple[int, tuple[str, ...]]]]
) -> list[str]:
    known = model.histograms is not None
    lines = [f"# Element, symmetry function, minimum, maximum{'' if known else ' (both unknown)'}, mean, sigma"]
    for number, element in enumerate(elements, start=1):
        center, factor = _center_and_factor(model, element)
        low, high = _range(model, element)
        for place, (index, _) in enumerate(orders[element], start=1):
            sigma = 1 / factor[index] if factor[index] else 1.0
            columns = "".join(f" {value:24.16E}" for value in (low[index], high[index], center[index], sigma))
            lines.append(f"{number:10d} {place:10d}{columns}")
    return lines


def _range(model: NNPotential, element: str) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest of the features in the training set."""
    if model.histograms is None:
        n_features = len(model.descriptors.of(element))
        return np.full(n_features, -FAR), np.full(n_features, FAR)
    index = model.species.index(element)
    low, high = (np.asarray(part[index], np.float64) for part in (model.histograms.low, model.histograms.high))
    _check_finite("histograms", np.stack([low, high]))
    return low, high


def _center_and_factor(model: NNPotential, element: str) -> tuple[np.ndarray, np.ndarray]:
    n_features = len(model.descriptors.of(element))
    if model.scaling is None:
        return np.zeros(n_features), np.ones(n_features)
    index = model.species.index(element)
    center, factor = (
        np.asarray(part, np.float64) for part in (model.scaling.center[index], model.scaling.factor[index])
    )
    _check_finite("scaling.center", center)
    _check_finite("scaling.factor", factor)
    if (factor < 0).any():
        raise ValueError(f"`model` must have no negative `scaling.factor` for n2p2, got {factor.min()} for {element}")
    return center, factor


def _weights(model: NNPotential, element: str, order: Sequence[int], hidden: Sequence[int]) -> list[str]:
    """One number per line: the weights of a layer by input and output, its biases, and on to the next layer.

    Nodes that the network lacks of `hidden` have weights and biases of 0, those that lead on from them too.
    """
    network = model.networks[model.species.index(element)]
    _, factor = _center_and_factor(model, element)
    lines = [
        "# Value, weight (a) or bias (b), index, layer and node where it starts, layer and node where it ends",
        "# (for a bias only the latter)",
    ]
    for layer, weights in enumerate(network.weights, start=1):
        values = np.asarray(weights, np.float64)
        biases = _bias(network, layer, values.shape[1])
        _check_finite(f"weights of {element}", values)
        _check_finite(f"biases of {element}", biases)
        if layer == 1:
            values = np.where(factor[:, None] == 0, 0.0, values)[list(order)]
        n_inputs, n_outputs = (len(order), *hidden)[layer - 1], (*hidden, 1)[layer - 1]
        values = np.pad(values, ((0, n_inputs - values.shape[0]), (0, n_outputs - values.shape[1])))
        biases = np.pad(biases, (0, n_outputs - len(biases)))
        for (n, m), value in np.ndenumerate(values):
            place = f"{layer - 1:5d} {n + 1:5d} {layer:5d} {m + 1:5d}"
            lines.append(f"{value:24.16E} a {len(lines) - 1:9d} {place}")
        for m, value in enumerate(biases, start=1):
            lines.append(f"{value:24.16E} b {len(lines) - 1:9d} {layer:5d} {m:5d}")
    return lines


def _check_finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"`model` must have finite numbers to be written, got others in {name}")


def _bias(network: MLP, layer: int, width: int) -> np.ndarray:
    """The biases of a layer (from 1), 0 where it has none."""
    bias = network.biases[layer - 1] if network.biases else None
    return np.zeros(width) if bias is None else np.asarray(bias, np.float64)
