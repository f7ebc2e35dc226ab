"""How wrong an Ewald sum is, and the cheapest one that is not too wrong.

The root mean square error of the force on a particle, for charges without correlations beyond the cutoffs, is

    real-space part         k Q 2 / √(N r_c V) · exp(−η² r_c²)
    reciprocal part         k Q η √(8 / (N K V)) · exp(−K²/4η²)

with Q = Σ_i q_i², N particles, real-space cutoff r_c, reciprocal cutoff K (2π n/L along the edge of a cubic cell).

Source: J. Kolafa, J. W. Perram, Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126, equations of section 3, with
K for 2π n/L.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from miniffx.potentials.ewald.charges import COULOMB

# What a pair of the list and a wave vector per atom cost with their derivatives, in the same unit of time.
PAIR_COST, WAVE_COST = 1.0, 0.05
NEAREST, FARTHEST = 2.0, 40.0  # Å: the real-space cutoffs considered


@dataclasses.dataclass(frozen=True)
class Charges:
    """What the estimates take from a structure.

    Attributes:
        squares: Σ_i q_i², in squared elementary charges.
        n: number of particles.
        cell: [3, 3], Å.
    """

    squares: float
    n: int
    cell: np.ndarray

    @property
    def volume(self) -> float:
        """Å³."""
        return abs(float(np.linalg.det(self.cell)))


def real_error(charges: Charges, eta: float, cutoff: float) -> float:
    """RMS error of forces in eV/Å from leaving out pairs beyond the cutoff."""
    scale = COULOMB * charges.squares * 2 / math.sqrt(charges.n * cutoff * charges.volume)
    return scale * math.exp(-((eta * cutoff) ** 2))


def reciprocal_error(charges: Charges, eta: float, cutoff: float) -> float:
    """RMS error of forces in eV/Å from leaving out wave vectors beyond the cutoff."""
    scale = COULOMB * charges.squares * eta * math.sqrt(8 / (charges.n * cutoff * charges.volume))
    return scale * math.exp(-((cutoff / (2 * eta)) ** 2))
