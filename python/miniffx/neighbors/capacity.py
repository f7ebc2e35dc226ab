"""The padded sizes of a list, and the buckets that they come in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from miniffx import _core
from miniffx.neighbors.environments import Environments

LIMIT = 2**31  # all sizes of a list are below


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
        return Capacity(
            rows=tuple(map(max, self.rows, other.rows)),
            columns=tuple(
                offsets_of(map(max, widths_of(a), widths_of(b)))
                for a, b in zip(self.columns, other.columns, strict=True)
            ),
            triples=tuple(tuple(map(max, a, b)) for a, b in zip(self.triples, other.triples, strict=True)),
        )

    def enlarged(self, factor: float) -> Capacity:
        """So many times the columns and triples, in buckets."""

        def more(sizes: Iterable[int]) -> list[int]:
            return [bucket(min(math.ceil(factor * size), LIMIT)) for size in sizes]

        return Capacity(
            rows=self.rows,
            columns=tuple(offsets_of(more(widths_of(offsets))) for offsets in self.columns),
            triples=tuple(tuple(more(sizes)) for sizes in self.triples),
        )


def bucket(count: int) -> int:
    """`count` rounded up to the next size of the geometric sequence 0, 1, 2, …, 8, 10, 12, 14, 16, 20, 24, …

    Four sizes per factor of two: at most a quarter of an array is padding, and structures of similar size share
    their shapes and so their compiled programs.

    Raises:
        ValueError: a negative count, or one of more than 2⁶².

    >>> import miniffx as mff
    >>> mff.neighbors.bucket(13)
    14
    """
    return _core.bucket(count)


def offsets_of(widths: Iterable[int]) -> tuple[int, ...]:
    """Where columns of these widths begin, and where the last ends."""
    return tuple(itertools.accumulate(widths, initial=0))


def widths_of(offsets: tuple[int, ...]) -> list[int]:
    """How many columns lie between one offset and the next."""
    return [end - begin for begin, end in itertools.pairwise(offsets)]


def capacity_of(environments: tuple[Environments, ...]) -> Capacity:
    """The capacity of a list that consists of these."""
    return Capacity(
        rows=tuple(e.centers.shape[-1] for e in environments),
        columns=tuple(e.columns for e in environments),
        triples=tuple(tuple(t.first.shape[-1] for t in e.triples) for e in environments),
    )
