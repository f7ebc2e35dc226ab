"""How wrong an Ewald sum is, and the cheapest one that is not too wrong.

The root mean square error of the forces, for charges that are not correlated beyond the cutoffs, is

    real-space part         C Q 2 / √(N r_c V) · exp(−η² r_c²)
    reciprocal part         C Q η √(8 / (N K V)) · exp(−K²/4η²)

with C = 14.399645 eV Å, Q = Σ_i q_i², N charges, real-space cutoff r_c, and reciprocal cutoff K, which is 2π n/L for
the cube of edge L of the source: J. Kolafa, J. W. Perram, Mol. Simul. 9, 351 (1992), doi:10.1080/08927029208049126.
Of the mesh it is

    mesh            C Q / √(N V) · [V ∫d³k/(2π)³ Σ_ab |k_a|² (g U_a U_b − δ_ab ρ_a)²]^½ / √V

over the waves k of a cubic mesh of spacing h and their aliases k_a = k + 2π a/h, with the transform of the splines
U_a = Π W(k_a h), the wanted ρ_a = 4π exp(−k_a²/4η²)/k_a², and what is there instead, g U_a U_b with
g = ρ_0 U_0²/(Σ_a U_a²)²: the mean square over all places of two charges, as in R. W. Hockney, J. W. Eastwood, Computer
simulation using particles (1988), chapter 8, for forces that are derivatives of the energy.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from miniffx.potentials.ewald.charges import COULOMB
from miniffx.potentials.ewald.mesh import Mesh

# Costs with forces, in ns on two cores (float64): of a pair of the list; per charge of a wave vector, and of each
# integer along an axis; of a charge on a mesh by the order of its splines, and of a point of the mesh.
PAIR_COST, WAVE_COST, INTEGER_COST = 85.0, 1.0, 90.0
CHARGE_COST, POINT_COST = {4: 700.0, 8: 2000.0}, 50.0
WIDTHS = np.geomspace(0.03, 2.0, 40)  # η h
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
    """The parameters of an Ewald sum, as :class:`miniffx.potentials.Ewald` takes them, and what it costs in ns."""

    cost: float
    eta: float
    real_cutoff: float
    reciprocal_cutoff: float | None = None
    k_max: tuple[int, int, int] | None = None
    mesh: Mesh | None = None


def real_error(charges: Charges, eta: float, cutoff: float) -> float:
    """RMS error of the forces in eV/Å from leaving out pairs beyond the cutoff."""
    return _real_scale(charges, cutoff) * math.exp(-((eta * cutoff) ** 2))


def reciprocal_error(charges: Charges, eta: float, cutoff: float) -> float:
    """RMS error of the forces in eV/Å from leaving out wave vectors beyond the cutoff."""
    return _reciprocal_scale(charges, eta, cutoff) * math.exp(-((cutoff / (2 * eta)) ** 2))


def mesh_error(charges: Charges, eta: float, spacing: float, order: int) -> float:
    """RMS error of the forces in eV/Å from a mesh with splines of an order."""
    return _mesh_scale(charges, spacing) * math.sqrt(_interpolation_error(eta * spacing, order))


def choose(systems: Sequence[Charges], accuracy: float) -> Choice:
    """The cheapest sum whose estimated error is at most `accuracy` (eV/Å) for all systems, shared by both parts."""
    target = accuracy / (SAFETY * math.sqrt(2))
    choices = []
    for cutoff in map(float, CUTOFFS):
        eta = max(_exponent(_real_scale(charges, cutoff), target) for charges in systems) / cutoff
        choices.append(_with_waves(systems, eta, cutoff, target))
        choices += [_with_mesh(systems, eta, cutoff, target, order) for order in CHARGE_COST]
    return min(choices)


def _with_waves(systems: Sequence[Charges], eta: float, real_cutoff: float, target: float) -> Choice:
    """The reciprocal cutoff for a screening."""
    cutoff = 2 * eta
    for _ in range(20):  # its prefactor depends on the cutoff, weakly: this converges at once
        cutoff = 2 * eta * max(_exponent(_reciprocal_scale(charges, eta, cutoff), target) for charges in systems)
    a, b, c = (int(n) for n in HEADROOM * cutoff / (2 * math.pi) * _longest(systems))
    each = WAVE_COST * 2 * (a + 1) * (2 * b + 1) * (c + 1) + INTEGER_COST * (a + 2 * b + c)
    cost = sum(_real_cost(charges, real_cutoff) + charges.n * each for charges in systems)
    return Choice(cost, eta, real_cutoff, cutoff, (a, b, c))


def _with_mesh(systems: Sequence[Charges], eta: float, real_cutoff: float, target: float, order: int) -> Choice:
    """The mesh for a screening."""
    spacings = WIDTHS / eta
    errors = np.max(
        [_mesh_scale(charges, 1) * np.sqrt(_interpolation_errors(order) / spacings) for charges in systems], axis=0
    )
    # Errors grow with the spacing, as a power of it.
    spacing = float(np.exp(np.interp(math.log(target), np.log(errors), np.log(spacings))))
    n1, n2, n3 = (_smooth(max(order, math.ceil(n))) for n in HEADROOM / spacing * _longest(systems))
    cost = sum(
        _real_cost(charges, real_cutoff) + charges.n * CHARGE_COST[order] + POINT_COST * n1 * n2 * n3
        for charges in systems
    )
    if errors[0] > target:
        cost = math.inf
    return Choice(cost, eta, real_cutoff, mesh=Mesh(spacing, (n1, n2, n3), order))


def _longest(systems: Sequence[Charges]) -> np.ndarray:
    """[3] Å, of the lattice vectors."""
    return np.max([np.linalg.norm(charges.cell, axis=1) for charges in systems], axis=0)


def _smooth(n: int) -> int:
    """The least integer from n on without prime factors beyond 7, for which Fourier transforms are fast."""
    rest = n
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    return n if rest == 1 else _smooth(n + 1)


@functools.cache
def _interpolation_errors(order: int) -> np.ndarray:
    return np.array([_interpolation_error(width, order) for width in WIDTHS])


def _interpolation_error(width: float, order: int) -> float:
    """The integral over k of the error of a mesh, times h: a function of η h, with κ = k h."""
    # Waves beyond some widths of the Gaussian count for nothing. One octant, the others are alike.
    edge = min(math.pi, 12 * width)
    place, weight = np.polynomial.legendre.leggauss(12)
    kappa, weight = (place + 1) / 2 * edge, weight / 2 * edge
    a = 2 * math.pi * np.arange(-1, 2)
    along = kappa[:, None] + a  # [place, alias]
    u = np.sinc(along / (2 * math.pi)) ** (2 * order)  # squares of one axis

    def all_axes(f: np.ndarray) -> list[np.ndarray]:
        """The values of an axis as arrays over [place, place, place, alias, alias, alias]."""
        n, m = f.shape
        return [f.reshape([n if i == k else m if i == k + 3 else 1 for i in range(6)]) for k in range(3)]

    x, y, z = all_axes(along)
    squares = x**2 + y**2 + z**2
    x, y, z = all_axes(u)
    power = x * y * z
    rho = 4 * math.pi * np.exp(-squares / (4 * width**2)) / squares
    here = (..., 1, 1, 1)
    aliases = power.copy()
    aliases[here] = 0
    others = aliases.sum(axis=(3, 4, 5))  # Σ_{a≠0} U_a², small, and not from a difference
    total = power[here] + others
    g = rho[here] * power[here] / total**2
    s = others / power[here]
    own = squares[here] * (rho[here] * s * (2 + s) / (1 + s) ** 2) ** 2
    rest = squares * (g[..., None, None, None] * power - rho) ** 2
    rest[here] = 0
    without = total[..., None, None, None] - power
    without[here] = others
    mixed = g**2 * (squares * power * without).sum(axis=(3, 4, 5))
    integrand = own + rest.sum(axis=(3, 4, 5)) + mixed
    return 8 * float(np.einsum("abc,a,b,c->", integrand, weight, weight, weight)) / (2 * math.pi) ** 3


def _exponent(scale: float, target: float) -> float:
    """x of scale · exp(−x²) = target; at least 1, below which the estimates mean nothing."""
    return math.sqrt(max(1.0, math.log(scale / target)))


def _real_cost(charges: Charges, cutoff: float) -> float:
    return charges.n * PAIR_COST * charges.n / charges.volume * 4 / 3 * math.pi * cutoff**3


def _real_scale(charges: Charges, cutoff: float) -> float:
    return COULOMB * charges.squares * 2 / math.sqrt(charges.n * cutoff * charges.volume)


def _reciprocal_scale(charges: Charges, eta: float, cutoff: float) -> float:
    return COULOMB * charges.squares * eta * math.sqrt(8 / (charges.n * cutoff * charges.volume))


def _mesh_scale(charges: Charges, spacing: float) -> float:
    return COULOMB * charges.squares / math.sqrt(charges.n * spacing * charges.volume)
