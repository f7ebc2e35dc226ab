"""How wrong an Ewald sum is, and the cheapest one that is not too wrong.

The root mean square error of the forces, for charges that are not correlated beyond the cutoffs, is

    real-space part         C Q 2 / √(N r_c V) · exp(−η² r_c²)
    reciprocal part         C Q η √(8 / (N K V)) · exp(−K²/4η²)

with C = 14.399645 eV Å, Q = Σ_i q_i², N charges, real-space cutoff r_c, and reciprocal cutoff K, which is 2π n/L for
the cube of edge L of the source: J. Kolafa, J. W. Perram, Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from miniffx.potentials.ewald.charges import COULOMB

# What a pair of the list and a wave vector per charge cost with their forces, in ns on two cores (float64).
PAIR_COST, WAVE_COST = 85.0, 0.33
CUTOFFS = np.geomspace(2.0, 60.0, 200)  # Å, in real space
SAFETY = 3.0  # the estimates are means, true within a third or so; and errors of V σ are larger than those of forces
HEADROOM = 1.2  # by so much every lattice vector may grow before wave vectors are missing


@dataclasses.dataclass(frozen=True)
class Charges:
    """What the estimates take from a structure.

    Attributes:
        squares: Σ_i q_i², in squared elementary charges.
        n: number of charges.
        cell: [3, 3], Å.
    """

    squares: float
    n: int
    cell: np.ndarray

    @property
    def volume(self) -> float:
        """Å³."""
        return abs(float(np.linalg.det(self.cell)))


class Choice(NamedTuple):
    """The parameters of an Ewald sum, as :class:`miniffx.potentials.Ewald` takes them."""

    eta: float
    real_cutoff: float
    reciprocal_cutoff: float
    k_max: tuple[int, int, int]


def real_error(charges: Charges, eta: float, cutoff: float) -> float:
    """RMS error of the forces in eV/Å from leaving out pairs beyond the cutoff."""
    return _real_scale(charges, cutoff) * math.exp(-((eta * cutoff) ** 2))


def reciprocal_error(charges: Charges, eta: float, cutoff: float) -> float:
    """RMS error of the forces in eV/Å from leaving out wave vectors beyond the cutoff."""
    return _reciprocal_scale(charges, eta, cutoff) * math.exp(-((cutoff / (2 * eta)) ** 2))


def choose(systems: Sequence[Charges], accuracy: float) -> Choice:
    """The cheapest sum whose estimated error is at most `accuracy` (eV/Å) for all systems, shared by both parts."""
    target = accuracy / (SAFETY * math.sqrt(2))
    choices = [_complete(systems, float(cutoff), target) for cutoff in CUTOFFS]
    return min(choices, key=lambda choice: _cost(systems, choice))


def _complete(systems: Sequence[Charges], real_cutoff: float, target: float) -> Choice:
    """Screening and reciprocal cutoff for a real-space cutoff."""
    eta = max(_exponent(_real_scale(charges, real_cutoff), target) for charges in systems) / real_cutoff
    cutoff = 2 * eta
    for _ in range(20):  # its prefactor depends on the cutoff, weakly: this converges at once
        cutoff = 2 * eta * max(_exponent(_reciprocal_scale(charges, eta, cutoff), target) for charges in systems)
    longest = np.max([np.linalg.norm(charges.cell, axis=1) for charges in systems], axis=0)
    a, b, c = (int(n) for n in HEADROOM * cutoff / (2 * math.pi) * longest)
    return Choice(eta, real_cutoff, cutoff, (a, b, c))


def _exponent(scale: float, target: float) -> float:
    """x of scale · exp(−x²) = target; at least 1, below which the estimates mean nothing."""
    return math.sqrt(max(1.0, math.log(scale / target)))


def _cost(systems: Sequence[Charges], choice: Choice) -> float:
    """ns for forces of all systems."""
    a, b, c = choice.k_max
    waves = 2 * (a + 1) * (2 * b + 1) * (c + 1)
    ball = 4 / 3 * math.pi * choice.real_cutoff**3
    return sum(charges.n * (PAIR_COST * charges.n / charges.volume * ball + WAVE_COST * waves) for charges in systems)


def _real_scale(charges: Charges, cutoff: float) -> float:
    return COULOMB * charges.squares * 2 / math.sqrt(charges.n * cutoff * charges.volume)


def _reciprocal_scale(charges: Charges, eta: float, cutoff: float) -> float:
    return COULOMB * charges.squares * eta * math.sqrt(8 / (charges.n * cutoff * charges.volume))
