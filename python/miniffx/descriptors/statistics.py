"""Statistics: how the descriptors of a data set are distributed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniffx import _checks
from miniffx.descriptors.descriptor_set import DescriptorSet
from miniffx.descriptors.naming import name


@dataclass(frozen=True)
class SpeciesStatistics:
    """The descriptors of the atoms of one species.

    Attributes:
        names: of the descriptors, in the order of the set.
        n_atoms: how many atoms.
        mean, std, min, max: [n_features] over the atoms.
        edges: [n_features, bins + 1] the limits of the bins, from min to max.
        counts: [n_features, bins] atoms in each bin.
    """

    names: tuple[str, ...]
    n_atoms: int
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray
    edges: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """The distributions of descriptors over a data set. Printing it gives a table, with the histograms in small.

    Attributes:
        species: label to SpeciesStatistics; ``statistics[label]`` is the same.
    """

    species: dict[str, SpeciesStatistics]

    def __getitem__(self, label: str) -> SpeciesStatistics:
        return self.species[label]

    def __str__(self) -> str:
        lines = []
        for label, s in self.species.items():
            heading = f"{label}: {len(s.names)} descriptors of {s.n_atoms} atoms"
            width = max(map(len, (heading, *s.names)))
            lines.append(f"{heading:<{width}}{'mean':>11}{'std':>11}{'min':>11}{'max':>11}  histogram")
            for row, title in enumerate(s.names):
                numbers = "".join(f"{values[row]:>11.4g}" for values in (s.mean, s.std, s.min, s.max))
                lines.append(f"{title:<{width}}{numbers}  {_bars(s.counts[row])}")
        return "\n".join(lines)


def statistics(descriptors: DescriptorSet, features: Any, bins: int = 20) -> Statistics:
    """Mean, spread, range and histogram of every descriptor over the atoms of its species.

    Args:
        descriptors: the set.
        features: what :func:`miniffx.featurize` returns for it, or a mapping from species to [n_atoms, n_features].
        bins: of the histograms.

    Raises:
        ValueError: features that are not those of the set, or not finite; a species without atoms.

    >>> import miniffx as mff
    >>> D = mff.descriptors
    >>> ds = D.DescriptorSet([D.G2(eta=0.1, r_shift=0.0, cutoff=6.0, species=("Ar", "Ar"))])
    >>> chain = mff.Structure.create([[0, 0, 3.8 * k] for k in range(4)], ["Ar"] * 4)
    >>> print(D.statistics(ds, mff.featurize(ds, [chain]), bins=4))
    Ar: 1 descriptors of 4 atoms              mean        std        min        max  histogram
    G2 Ar-Ar eta=0.1 r_shift=0 cutoff=6      0.105      0.035       0.07       0.14  █  █
    """
    if not _checks.is_whole(bins) or bins < 1:
        raise ValueError(f"`bins` must be a positive integer, got {bins!r}")
    result = {}
    for label, values in per_species(descriptors, features).items():
        counts, edges = zip(*(np.histogram(column, bins) for column in values.T), strict=True)
        result[label] = SpeciesStatistics(
            names=tuple(name(descriptor) for descriptor in descriptors.of(label)),
            n_atoms=len(values),
            mean=values.mean(axis=0),
            std=values.std(axis=0),
            min=values.min(axis=0),
            max=values.max(axis=0),
            edges=np.array(edges),
            counts=np.array(counts),
        )
    return Statistics(result)


def per_species(descriptors: DescriptorSet, features: Any) -> dict[str, np.ndarray]:
    """[n_atoms, n_features] in double precision for every species of the set; ValueError where they do not belong."""
    table = features.per_species() if hasattr(features, "per_species") else features
    if not isinstance(table, Mapping):
        raise ValueError(
            f"`features` must be what mff.featurize returns, or arrays by species, got {type(features).__name__}"
        )
    result = {}
    for label in descriptors.species:
        if label not in table or len(table[label]) == 0:
            raise ValueError(f"`features` must hold atoms of {', '.join(descriptors.species)}, got none of {label}")
        count = len(descriptors.of(label))
        what = f"for {label} an array [n_atoms, {count}]"
        result[label] = _checks.array("features", table[label], (None, count), what)
    return result


def _bars(counts: np.ndarray) -> str:
    """A histogram in one line: a blank for an empty bin, a full block for the fullest."""
    heights = np.ceil(8 * counts / counts.max()).astype(int)
    return "".join(" ▁▂▃▄▅▆▇█"[height] for height in heights).rstrip()
