"""What is asked of a neighbour list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What was asked of a neighbour list."""

    cutoff: float
    triple_cutoff: float | None
    closed: bool
    triple_species: frozenset[tuple[str, str, str]] | None
    skin: float

    @property
    def reach(self) -> float:
        """How far pairs are listed: the cutoff and the skin, Å."""
        return self.cutoff + self.skin

    @property
    def triple_reach(self) -> float:
        """How far triples are listed, Å; 0 for none."""
        return 0.0 if self.triple_cutoff is None else self.triple_cutoff + self.skin

    def kinds(self, labels: tuple[str, ...]) -> list[tuple[int, int, int]]:
        """Species indices (A, B, C), B ≤ C, of the kinds of triples wanted, sorted."""
        if self.triple_cutoff is None:
            return []
        n = range(len(labels))
        every = [(a, b, c) for a in n for b in n for c in n if b <= c]
        if self.triple_species is None:
            return every
        return [k for k in every if ordered_kind((labels[k[0]], labels[k[1]], labels[k[2]])) in self.triple_species]


def ordered_kind(species: tuple[str, ...]) -> tuple[str, str, str]:
    """(centre, neighbour, neighbour) with the neighbours in order."""
    center, *others = species
    first, second = sorted(others)
    return center, first, second
