"""What an energy or a descriptor set reads of a list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from miniffx import _checks
from miniffx.neighbors.build import find
from miniffx.neighbors.capacity import Capacity
from miniffx.neighbors.device import put
from miniffx.neighbors.neighbor_list import NeighborList, make_list
from miniffx.neighbors.request import Request
from miniffx.structure import Structure


@dataclass(frozen=True)
class Needs:
    """Which pairs and triples an energy or a descriptor set reads.

    Attributes:
        cutoff: the largest distance of a pair, in Å; 0 where no pairs are read.
        triple_cutoff: the largest leg of a triple in Å, or None.
        closed: whether triples with r_jk ≥ triple_cutoff may be left out.
        triple_species: (centre, neighbour, neighbour) labels of the triples read.
    """

    cutoff: float = 0.0
    triple_cutoff: float | None = None
    closed: bool = True
    triple_species: frozenset[tuple[str, str, str]] = frozenset()

    @staticmethod
    def union(needs: Iterable[Needs]) -> Needs:
        """What serves all of `needs`."""
        needs = tuple(needs)
        legs = [n.triple_cutoff for n in needs if n.triple_cutoff is not None]
        return Needs(
            cutoff=max((n.cutoff for n in needs), default=0.0),
            triple_cutoff=max(legs, default=None),
            closed=all(n.closed for n in needs),
            triple_species=frozenset().union(*(n.triple_species for n in needs)),
        )

    def neighbor_list(self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None) -> NeighborList:
        """The neighbour list with just these pairs and triples."""
        return make_list(structure, self._request(skin), capacity, put)

    def host_neighbor_list(
        self, structure: Structure, skin: float = 0.0, capacity: Capacity | None = None
    ) -> NeighborList:
        """As :meth:`neighbor_list`, with NumPy arrays as leaves: for batches that go to the device in parts."""
        return make_list(structure, self._request(skin), capacity, lambda array: array)

    def capacity(self, structure: Structure) -> Capacity:
        """The padded sizes that :meth:`neighbor_list` would choose for a structure or a batch."""
        request = self._request(0.0)
        return Capacity(*find(structure, request, request.kinds(structure.labels)).capacity())

    def _request(self, skin: float) -> Request:
        reach = max(float(np.max(self.cutoff)), float(np.max(self.triple_cutoff or 0.0)))
        return Request(
            cutoff=reach if reach > 0 else 1.0,  # an energy that reads no pairs takes a list all the same
            triple_cutoff=None if self.triple_cutoff is None else float(np.max(self.triple_cutoff)),
            closed=self.closed,
            triple_species=self.triple_species,
            skin=_checks.non_negative("skin", skin),
        )
