"""Neighbour lists: their convention, capacities, and update. The only caller of the compiled core.

Convention, to which everything else refers: a pair (i, j, shift) has the displacement

    D = r_j + shift · cell − r_i,          from i to j,

with the positions as the user gave them and the lattice vectors as rows of `cell`. Every ordered pair with
|D| < cutoff is listed, every periodic image included; an atom is its own neighbour only through an image
(shift ≠ 0). There is no minimum-image convention anywhere.
"""

from miniffx.neighbors.buckets import Buckets as Buckets
from miniffx.neighbors.capacity import Capacity as Capacity
from miniffx.neighbors.capacity import bucket as bucket
from miniffx.neighbors.environments import Environments as Environments
from miniffx.neighbors.environments import TripleSlots as TripleSlots
from miniffx.neighbors.flat import pairs as pairs
from miniffx.neighbors.flat import triples as triples
from miniffx.neighbors.needs import Needs as Needs
from miniffx.neighbors.neighbor_list import NeighborList as NeighborList
from miniffx.neighbors.neighbor_list import neighbor_list as neighbor_list
from miniffx.structure import Array as Array
