"""The padded neighbourhoods that a list consists of."""

from __future__ import annotations

from miniffx._pytree import pytree, static
from miniffx.structure import Array


@pytree
class TripleSlots:
    """The triples of one kind, one row per centre. Neighbours are named by their column in the centre's row.

    Attributes:
        first, second: [rows, capacity] int32 columns of `Environments.neighbors`.
        counts: [rows] int32, how many of a row's entries are real; they come first.
    """

    first: Array
    second: Array
    counts: Array


@pytree
class Environments:
    """The padded neighbourhoods of all atoms of one species, one row per atom.

    The columns of a row are grouped by the species of the neighbour: those of species B fill
    ``columns[B] : columns[B] + counts[row, B]``, and the rest up to ``columns[B + 1]`` is padding. So whatever
    reads one species pair or triple touches nothing else.

    Attributes:
        centers: [rows] int32 atom indices; n_atoms for a padding row.
        neighbors: [rows, n_columns] int32 atom indices j; the centre itself where padded.
        shifts: [rows, n_columns, 3] int32; 0 where padded.
        counts: [rows, n_species] int32.
        triples: one TripleSlots per entry of `triple_kinds`.
        columns: n_species + 1 offsets (static).
        triple_kinds: (B, C) with B ≤ C, species indices of the neighbours of each kind of triple (static).
    """

    centers: Array
    neighbors: Array
    shifts: Array
    counts: Array
    triples: tuple[TripleSlots, ...]
    columns: tuple[int, ...] = static()
    triple_kinds: tuple[tuple[int, int], ...] = static()
