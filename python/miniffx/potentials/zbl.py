"""Ziegler–Biersack–Littmark: the repulsion of two nuclei behind their electrons, universal screening.

    E(r) = (k Z₁ Z₂ / r) φ(r/a) S(r),    k = 14.399645 eV Å,    a = 0.4685 Å / (Z₁^0.23 + Z₂^0.23)
    φ(x) = 0.18175 e^(−3.1998 x) + 0.50986 e^(−0.94229 x) + 0.28022 e^(−0.4029 x) + 0.02817 e^(−0.20162 x)

Source: J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids (Pergamon, New York, 1985),
chapter 2. S(r) is :func:`miniffx.potentials.switching.switch`.
"""

from __future__ import annotations

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials import switching
from miniffx.potentials.composition import Energy
from miniffx.structure import Structure

COULOMB = 14.399645  # eV Å
LENGTH = 0.4685  # Å: 0.8854 Bohr radii
SCREENING = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))


@pytree
class ZBL(Energy):
    """E(r) = (k Z₁ Z₂ / r) φ(r/a) S(r), r < cutoff (:mod:`miniffx.potentials.zbl`); each pair counts once.

    Below `inner` the energy is that of the source; between there and the cutoff a factor takes it to 0 with
    continuous first and second derivatives, and leaves what lies below as it is (LAMMPS's pair_style zbl adds a
    polynomial instead, which shifts the energy by a constant below `inner`).

    Args:
        inner: where the switch to 0 begins, Å.
        cutoff: where it ends, Å.
        species: the two labels of the pair.
        Z: their atomic numbers; None: those of the labels, which must be chemical symbols then.

    Raises:
        ValueError: `inner` is not less than the cutoff, or a label is no chemical symbol and no `Z` is given.

    >>> import miniffx as mff
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 0.5]], ["Si", "Si"])
    >>> zbl = mff.potentials.ZBL(inner=1.0, cutoff=2.0, species=("Si", "Si"))
    >>> round(float(zbl(dimer, zbl.neighbor_list(dimer))), 1)
    470.5
    """

    inner: float = static()
    cutoff: float = static()
    species: tuple[str, str] = static()
    Z: tuple[float | Array, float | Array] | None = None

    def __post_init__(self) -> None:
        inner, cutoff = _checks.non_negative("inner", self.inner), _checks.positive("cutoff", self.cutoff)
        if inner >= cutoff:
            raise ValueError(f"`inner` must be less than `cutoff` ({cutoff}), got {inner}")
        species = _checks.labels("species", self.species, 2)
        Z = tuple(map(atomic_number, species)) if self.Z is None else tuple(1.0 * number for number in self.Z)
        if len(Z) != 2:
            raise ValueError(f"`Z` must be two atomic numbers, got {self.Z}")
        for name, value in (("inner", inner), ("cutoff", cutoff), ("species", species), ("Z", Z)):
            object.__setattr__(self, name, value)

    @property
    def needs(self) -> Needs:
        """Pairs up to the cutoff."""
        return Needs(cutoff=self.cutoff)

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < cutoff."""
        Z1, Z2 = self.Z  # type: ignore[misc]  # never None once made
        x = r * ((Z1**0.23 + Z2**0.23) / LENGTH)
        phi = sum(c * jnp.exp(-d * x) for c, d in SCREENING)
        return COULOMB * Z1 * Z2 / r * phi * switching.switch(r, self.inner, self.cutoff)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.cutoff)


def atomic_number(label: str) -> float:
    """The atomic number of a chemical symbol; ValueError for other labels."""
    from ase.data import atomic_numbers

    number = atomic_numbers.get(label, 0)
    if number == 0:
        raise ValueError(f"`Z` must be given for labels that are no chemical symbols, got the label {label!r}")
    return float(number)
