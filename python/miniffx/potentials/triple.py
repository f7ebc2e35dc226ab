"""Triple potential from the user's own function of two distances and the angle between them."""

from __future__ import annotations

from collections.abc import Callable

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure


@pytree
class TriplePotential(Energy):
    """E = Σ f(r₁, r₂, cos θ) over centres and unordered pairs of neighbours closer than cutoff.

    Args:
        function: f(r1, r2, cos_theta), elementwise in JAX: Å, Å, dimensionless to eV. r1 belongs to the first
            neighbour in `species`, r2 to the second; where those are the same label, f has to be symmetric.
        cutoff: of both legs, Å.
        species: three labels, the centre first.

    >>> import miniffx as mff
    >>> water = mff.Structure.create([[0, 0, 0], [0.96, 0, 0], [0, 0.96, 0]], ["O", "H", "H"])
    >>> bend = mff.potentials.TriplePotential(
    ...     lambda r1, r2, cos_theta: 2.0 * (cos_theta + 0.25) ** 2, cutoff=1.2, species=("O", "H", "H")
    ... )
    >>> float(bend(water, bend.neighbor_list(water)))
    0.125
    """

    function: Callable[[Array, Array, Array], Array] = static()
    cutoff: float = static()
    species: tuple[str, str, str] = static()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", _checks.positive("cutoff", self.cutoff))
        object.__setattr__(self, "species", _checks.labels("species", self.species, 3))

    @property
    def needs(self) -> Needs:
        """Pairs and open triples up to the cutoff."""
        center, *others = self.species
        first, second = sorted(others)
        return Needs(self.cutoff, self.cutoff, closed=False, triple_species=frozenset({(center, first, second)}))

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of centres."""
        return mapping.triple_energies(
            lambda r1, r2, r3, cos_theta: self.function(r1, r2, cos_theta),
            structure,
            neighbors,
            self.species,
            self.cutoff,
        )
