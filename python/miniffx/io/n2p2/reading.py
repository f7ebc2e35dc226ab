"""Potentials of RuNNer and n2p2, read."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from miniffx._pytree import host
from miniffx.descriptors import Descriptor, DescriptorSet, cutoffs
from miniffx.io.n2p2 import symmetry_functions
from miniffx.io.n2p2.settings import Entry, Settings, read_lines, read_settings
from miniffx.io.n2p2.units import Units
from miniffx.models import MLP, Histograms, NNPotential, Scaling

ACTIVATIONS = {
    "l": "linear",
    "t": "tanh",
    "s": "sigmoid",
    "p": "softplus",
    "r": "relu",
    "g": "gaussian",
    "c": "cosine",
    "S": "reverse_sigmoid",
    "e": "exponential",
    "h": "square",
}
FAR = 1e30  # written for the range of symmetry functions where a model does not know it: no warnings of extrapolation
UNITS_COMMENT = re.compile(r"#\s*miniffx: length_unit=(\w+) energy_unit=(\w+)\s*$")


def read_n2p2(
    folder: str | os.PathLike[str], length_unit: str | None = None, energy_unit: str | None = None
) -> NNPotential:
    """Read a published potential of RuNNer or n2p2: `input.nn`, `scaling.data` and `weights.ZZZ.data`.

    Symmetry functions of types 2, 3, 9, 12, 13 and 20 to 25, cutoff types 0 to 8, all activations and scalings of n2p2,
    data-set normalization, atom_energy, one network per element, alike or not. The ranges in `scaling.data` become what
    :meth:`miniffx.NNPotential.extrapolations` goes by. Keywords that only matter to training are ignored (`IGNORED` in
    :mod:`miniffx.io.n2p2.settings`). Energies include what atom_energy says, as n2p2's do.
    The last letter of global_activation_short, that of the output, counts, as in RuNNer and n2p2 2.2; n2p2 2.1 takes it
    for l. A triple exactly on a line, which n2p2 leaves out of types 21, 22, 24 and 25, counts like its surroundings.

    Source: A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019),
    doi:10.1021/acs.jctc.8b00770, and the documentation of n2p2.

    Args:
        folder: where the files are.
        length_unit, energy_unit: "bohr" or "angstrom", "hartree" or "ev": the units of the files, which do not say.
            May be left out for what :func:`write_n2p2` has written.

    Returns:
        A NNPotential in Å and eV. Features are in n2p2's order.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a keyword that the library cannot serve, a missing or damaged file; the message names file, line
            and keyword.

    >>> import jax, tempfile, miniffx as mff
    >>> ds = mff.descriptors.DescriptorSet([mff.descriptors.G2(0.1, 0.0, cutoff=6.0, species=("Ar", "Ar"))])
    >>> folder = tempfile.mkdtemp()
    >>> model = mff.NNPotential.init(jax.random.key(0), ds, hidden=(4,), activation="tanh")
    >>> mff.io.write_n2p2(model, folder)
    >>> mff.io.read_n2p2(folder, length_unit="angstrom", energy_unit="ev").networks[0].weights[0].shape
    (1, 4)
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"`folder` must be a folder, got {folder}, which is none")
    settings = read_settings(folder / "input.nn")
    units = _units(folder / "input.nn", length_unit, energy_unit)
    elements = _elements(settings)
    functions = _symmetry_functions(settings, elements)
    layers = {element: _layers(settings, element, len(functions[element])) for element in elements}

    cutoff_type, cutoff_alpha = _cutoff(settings)
    descriptors: dict[str, list[Descriptor]] = {
        element: [f.descriptor(elements, cutoff_type, cutoff_alpha, units) for f in functions[element]]
        for element in elements
    }
    counts = {element: len(functions[element]) for element in elements}
    scalings = _read_scaling(settings, folder / "scaling.data", counts)
    offsets, scale = _energy_scale(settings, elements, units)

    species = tuple(sorted(elements))
    networks = []
    for element in species:
        widths, activations = layers[element]
        path = folder / f"weights.{_atomic_number(element):03d}.data"
        networks.append(_read_network(path, widths, activations, "normalize_nodes" in settings))
    scaling = None
    if scalings is not None or scale != 1 or any(offsets.values()):
        parts = scalings or {e: _Scaling.none(len(functions[e])) for e in species}
        scaling = Scaling(
            center=tuple(host(parts[e].center) for e in species),
            factor=tuple(host(parts[e].factor) for e in species),
            offsets=host(np.array([offsets[element] for element in species])),
            scale=host(scale),
        )
    return NNPotential(
        DescriptorSet(descriptor for element in species for descriptor in descriptors[element]),
        tuple(networks),
        scaling,
        species,
        _histograms([scalings[element] for element in species] if scalings else []),
    )


# -- input.nn -----------------------------------------------------------------------------------------------------


def _units(path: Path, length_unit: str | None, energy_unit: str | None) -> Units:
    found = next(filter(None, map(UNITS_COMMENT.match, read_lines(path))), None)
    if found is not None:
        units = Units.named(*found.groups())
        length_unit, energy_unit = length_unit or found[1], energy_unit or found[2]
        if Units.named(length_unit, energy_unit) != units:
            raise ValueError(
                f"`length_unit` and `energy_unit` must be those that {path} was written in, {units.names}, "
                f"got {(length_unit, energy_unit)}"
            )
    if length_unit is None or energy_unit is None:
        raise ValueError(f"`length_unit` and `energy_unit` must be given, {path} does not say what it was written in")
    return Units.named(length_unit, energy_unit)


def _elements(settings: Settings) -> tuple[str, ...]:
    """The elements by atomic number, n2p2's order of everything."""
    entry = settings.need("elements")
    count = settings.need("number_of_elements").expect(1).integer()
    for symbol in entry.values:
        if _atomic_number(symbol) == 0:
            raise entry.error(f"must name chemical elements, got {symbol!r}")
    if len(entry.values) != count or len(set(entry.values)) != count:
        raise entry.error(f"must name {count} different elements (`number_of_elements`), got {' '.join(entry.values)}")
    return tuple(sorted(entry.values, key=_atomic_number))


def _symmetry_functions(
    settings: Settings, elements: Sequence[str]
) -> dict[str, list[symmetry_functions.SymmetryFunction]]:
    """The symmetry functions of each element, in n2p2's order."""
    result: dict[str, list[symmetry_functions.SymmetryFunction]] = {element: [] for element in elements}
    for entry in settings.all(symmetry_functions.KEYWORD):
        function = symmetry_functions.parse(entry, elements)
        result[function.element].append(function)
    for element, functions in result.items():
        if not functions:
            raise ValueError(f"{settings.path} must hold `{symmetry_functions.KEYWORD}` for {element}, got none")
        functions.sort(key=lambda function: function.sort_key(elements))
    return result


def _cutoff(settings: Settings) -> tuple[int, float]:
    entry = settings.get("cutoff_type")
    if entry is None:
        return 1, 0.0  # RuNNer's default
    entry.expect(1, 2)
    number = entry.integer()
    if not 0 <= number < len(symmetry_functions.CUTOFFS):
        raise entry.error(f"must be 0 to {len(symmetry_functions.CUTOFFS) - 1}, got {number}")
    alpha = entry.number(1) if len(entry.values) > 1 else 0.0
    if not 0 <= alpha < 1:
        raise entry.error(f"must have an inner cutoff from 0 to below 1, got {alpha}")
    # n2p2 accepts an inner cutoff for functions that have none, to no effect.
    return number, 0.0 if symmetry_functions.CUTOFFS[number] in cutoffs.WITHOUT_INNER_CUTOFF else alpha


def _layers(settings: Settings, element: str, n_inputs: int) -> tuple[list[int], list[str]]:
    """The widths of all layers from input to output, and the activations of all but the input."""

    def own(keyword: str) -> list[Entry]:
        entries = []
        for entry in settings.all(keyword):
            if entry.values[:1] == (element,):
                entries.append(entry)
            elif not entry.values or entry.values[0] not in settings.need("elements").values:
                raise entry.error(f"must name an element of the potential, got {' '.join(entry.values)!r}")
        return entries

    counts = own("element_hidden_layers_short")
    if len(counts) > 1:
        raise counts[1].error(f"must stand once for {element}, but stands in line {counts[0].line} already")
    count_entry = counts[0].expect(2) if counts else settings.need("global_hidden_layers_short").expect(1)
    n_hidden = count_entry.integer(1 if counts else 0)
    if n_hidden < 1:
        raise count_entry.error(f"must be at least 1, got {n_hidden}")

    nodes = _per_layer(settings, "global_nodes_short", own("element_nodes_short"), n_hidden, by_layer=True)
    hidden = [entry.integer(index) for entry, index in nodes]
    for width, (entry, _) in zip(hidden, nodes, strict=True):
        if width < 1:
            raise entry.error(f"must have positive values, got {width}")
    activations = []
    for entry, index in _per_layer(
        settings, "global_activation_short", own("element_activation_short"), n_hidden + 1, by_layer=False
    ):
        if entry.values[index] not in ACTIVATIONS:
            raise entry.error(f"must have values among {' '.join(ACTIVATIONS)}, got {entry.values[index]!r}")
        activations.append(ACTIVATIONS[entry.values[index]])
    return [n_inputs, *hidden, 1], activations


def _per_layer(
    settings: Settings, keyword: str, own: list[Entry], n_layers: int, by_layer: bool
) -> list[tuple[Entry, int]]:
    """For each layer, the entry that decides about it and which of its values does.

    An element's own entries are ``element value … value`` for all layers (n2p2 2.2) or, `by_layer`, ``element layer
    value`` for one of them (RuNNer, n2p2 2.1). Where both readings are possible it is the latter; the weights file has
    to agree either way.
    """
    result: dict[int, tuple[Entry, int]] = {}
    for entry in own:
        _, *values = entry.values
        if by_layer and len(values) == 2 and values[0].isdecimal() and 1 <= int(values[0]) <= n_layers:
            places = {int(values[0]): 2}
        elif len(values) == n_layers:
            places = {layer: layer for layer in range(1, n_layers + 1)}
        else:
            one = f"a layer (1 to {n_layers}) and a value, or " if by_layer else ""
            raise entry.error(f"must have {one}{n_layers} values, got {values}")
        for layer, place in places.items():
            if layer in result:
                line = result[layer][0].line
                raise entry.error(f"must stand once for each layer of an element, but stands in line {line} already")
            result[layer] = (entry, place)
    if len(result) < n_layers:
        everyone = settings.need(keyword).expect(n_layers)
        for layer in range(1, n_layers + 1):
            result.setdefault(layer, (everyone, layer - 1))
    return [result[layer] for layer in range(1, n_layers + 1)]


def _energy_scale(settings: Settings, elements: Sequence[str], units: Units) -> tuple[dict[str, float], float]:
    """Energies per atom of each element in eV, and what 1 at the output of a network is."""
    keywords = ("mean_energy", "conv_energy", "conv_length")
    present = [keyword for keyword in keywords if keyword in settings]
    if present and len(present) < len(keywords):
        raise settings.need(present[0]).error(f"must come with all of {', '.join(keywords)}, got {', '.join(present)}")
    mean, scale = 0.0, 1.0
    if present:
        mean_entry, energy_entry, length_entry = (settings.need(keyword).expect(1) for keyword in keywords)
        for entry in (energy_entry, length_entry):
            if entry.number() <= 0:
                raise entry.error(f"must be positive, got {entry.number()}")
        mean, scale = mean_entry.number(), 1 / energy_entry.number()
    own: dict[str, float] = {}
    for entry in settings.all("atom_energy"):
        symbol = entry.expect(2).values[0]
        if symbol not in elements or symbol in own:
            raise entry.error(f"must stand at most once for each of {', '.join(elements)}, got {symbol!r}")
        own[symbol] = entry.number(1)
    return {element: (mean + own.get(element, 0.0)) * units.energy for element in elements}, scale * units.energy


# -- scaling.data and weights.ZZZ.data ------------------------------------------------------------------------------


class _Scaling(NamedTuple):
    """What an element's lines in scaling.data come to, [n_features] each."""

    center: np.ndarray
    factor: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def none(cls, count: int) -> _Scaling:
        """No scaling, and no range known."""
        return cls(np.zeros(count), np.ones(count), np.full(count, -np.inf), np.full(count, np.inf))


def _histograms(scalings: Sequence[_Scaling]) -> Histograms | None:
    """Of the ranges alone, nothing being known of how features are distributed in them; None where they are unknown."""
    if not scalings or any(max(np.abs(s.low).max(), np.abs(s.high).max()) >= FAR for s in scalings):
        return None
    even = (host(np.ones((len(s.low), 1))) for s in scalings)
    return Histograms(tuple(host(s.low) for s in scalings), tuple(host(s.high) for s in scalings), tuple(even))


def _read_scaling(settings: Settings, path: Path, counts: Mapping[str, int]) -> dict[str, _Scaling] | None:
    """The scaling of the features of each element, in n2p2's order; None where the file is not asked for."""
    by_range, centered, by_sigma = (
        settings.get(keyword)
        for keyword in ("scale_symmetry_functions", "center_symmetry_functions", "scale_symmetry_functions_sigma")
    )
    if by_range is not None or centered is not None:
        by_sigma = None  # n2p2 then does not look at it
    if by_range is None and centered is None and by_sigma is None:
        return None
    low_entry, high_entry = settings.get("scale_min_short"), settings.get("scale_max_short")
    low = 0.0 if low_entry is None else low_entry.expect(1).number()  # RuNNer's defaults
    high = 1.0 if high_entry is None else high_entry.expect(1).number()
    if low >= high:
        entry = high_entry or low_entry
        assert entry is not None
        raise entry.error(f"must be greater than `scale_min_short`, got {low} and {high}")

    n_columns = 6 if by_sigma is not None else 5 if centered is not None else 4
    rows = _numbers(path, n_columns)
    result = {}
    start, total = 0, sum(counts.values())
    for element, (label, count) in enumerate(counts.items(), start=1):
        part = rows[start : start + count]
        for index in range(1, count + 1):
            if index > len(part):
                raise ValueError(f"{path} must hold {total} symmetry functions, got {len(rows)}")
            line, values = part[index - 1]
            if (values[0], values[1]) != (element, index):
                raise ValueError(
                    f"{path}, line {line}: must be symmetry function {index} of element {element}, "
                    f"got {values[1]:g} of {values[0]:g}"
                )
        start += count
        table = np.array([values[2:n_columns] for _, values in part])
        least, most = table[:, 0], table[:, 1]
        if by_range is None and by_sigma is None:  # centered only
            result[label] = _Scaling(table[:, 2], np.ones(count), least, most)
            continue
        spread = table[:, 3] if by_sigma is not None else table[:, 1] - table[:, 0]
        if (spread <= 0).any():
            row = int(np.flatnonzero(spread <= 0)[0])
            what = "sigma" if by_sigma is not None else "maximum − minimum"
            raise ValueError(f"{path}, line {part[row][0]}: {what} must be positive, got {spread[row]:g}")
        factor = (high - low) / spread
        middle = table[:, 2] if by_sigma is not None or centered is not None else table[:, 0]
        result[label] = _Scaling(middle - low / factor, factor, least, most)
    extra = rows[start:]
    if extra and len(extra[0][1]) > 2:  # RuNNer ends with a line of two energies
        raise ValueError(f"{path}, line {extra[0][0]}: must hold {total} symmetry functions, got {len(rows)}")
    return result


def _numbers(path: Path, n_columns: int) -> list[tuple[int, list[float]]]:
    """(line, numbers) of a table with comments; further columns are kept."""
    rows: list[tuple[int, list[float]]] = []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            values = [float(word.replace("D", "E")) for word in words]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: must hold numbers, got {line.strip()!r}") from error
        if not np.isfinite(values).all() or (len(values) < n_columns and len(values) != 2):
            raise ValueError(f"{path}, line {number}: must hold {n_columns} finite numbers, got {line.strip()!r}")
        rows.append((number, values))
    return rows


def _read_network(path: Path, widths: Sequence[int], activations: Sequence[str], normalize: bool) -> MLP:
    """The network of one element. Columns beyond the first are checked where there are any."""
    sizes = list(itertools.pairwise(widths))
    kinds = [kind for n, m in sizes for kind in ["a"] * (n * m) + ["b"] * m]
    values: list[float] = []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(values) == len(kinds):
            raise ValueError(f"{path}, line {number}: must end after {len(kinds)} numbers for layers {_dashed(widths)}")
        try:
            value = float(words[0].replace("D", "E"))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: must begin with a number, got {line.strip()!r}") from error
        if not np.isfinite(value):
            raise ValueError(f"{path}, line {number}: must be finite, got {words[0]!r}")
        kind = kinds[len(values)]
        if len(words) > 1 and words[1] in ("a", "b") and words[1] != kind:
            raise ValueError(
                f"{path}, line {number}: must be of kind {kind!r} for layers {_dashed(widths)}, got {words[1]!r}"
            )
        values.append(value)
    if len(values) < len(kinds):
        raise ValueError(f"{path} must hold {len(kinds)} numbers for layers {_dashed(widths)}, got {len(values)}")
    weights, biases, start = [], [], 0
    for n, m in sizes:
        part = np.array(values[start : start + (n + 1) * m]).reshape(n + 1, m) / (n if normalize else 1)
        weights.append(host(part[:-1]))
        biases.append(host(part[-1]))
        start += (n + 1) * m
    *hidden, output = activations
    same = output == "linear" and len(set(hidden)) == 1
    return MLP(tuple(weights), tuple(biases), hidden[0] if same else tuple(activations))


def _dashed(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def _atomic_number(symbol: str) -> int:
    from ase.data import atomic_numbers

    return int(atomic_numbers.get(symbol, 0))
