"""The padded sizes of a list, and the buckets that they come in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniffx.neighbors.environments import Environments


@dataclass(frozen=True)
class Capacity:
    """The padded sizes of a neighbour list: what decides whether two lists share a compiled program.

    Attributes:
        rows: atoms of each species.
        columns: for each centre species, n_species + 1 offsets of the neighbour species' column groups.
        triples: for each centre species, the capacity of each kind of triple, in the order of the list.
    """

    rows: tuple[int, ...]
    columns: tuple[tuple[int, ...], ...]
    triples: tuple[tuple[int, ...], ...]

    def union(self, other: Capacity) -> Capacity:
        """The smallest capacity that holds both."""

        def widths(offsets: tuple[int, ...]) -> np.ndarray:
            return np.diff(offsets)

        return Capacity(
            rows=tuple(map(max, self.rows, other.rows)),
            columns=tuple(
                offsets_of(np.maximum(widths(a), widths(b))) for a, b in zip(self.columns, other.columns, strict=True)
            ),
            triples=tuple(tuple(map(max, a, b)) for a, b in zip(self.triples, other.triples, strict=True)),
        )

    def enlarged(self, factor: float) -> Capacity:
        """So many times the columns and triples, in buckets."""

        def more(sizes: Any) -> list[int]:
            return [bucket(math.ceil(factor * int(size))) for size in sizes]

        return Capacity(
            rows=self.rows,
            columns=tuple(offsets_of(more(np.diff(offsets))) for offsets in self.columns),
            triples=tuple(tuple(more(sizes)) for sizes in self.triples),
        )


def bucket(count: int) -> int:
    """`count` rounded up to the next size of the geometric sequence 0, 1, 2, …, 8, 10, 12, 14, 16, 20, 24, …

    Four sizes per factor of two: at most a quarter of an array is padding, and structures of similar size share
    their shapes and so their compiled programs.
    """
    if count <= 4:
        return count
    step = 1 << (int(count - 1).bit_length() - 3)
    return -(-count // step) * step


def offsets_of(widths: Any) -> tuple[int, ...]:
    """Where columns of these widths begin, and where the last ends."""
    return (0, *(int(offset) for offset in np.cumsum(widths)))


def capacity_of(environments: tuple[Environments, ...]) -> Capacity:
    """The capacity of a list that consists of these."""
    return Capacity(
        rows=tuple(e.centers.shape[-1] for e in environments),
        columns=tuple(e.columns for e in environments),
        triples=tuple(tuple(t.first.shape[-1] for t in e.triples) for e in environments),
    )
