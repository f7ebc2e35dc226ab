"""Lennard-Jones parameters of unlike pairs from those of like pairs.

    rule                σ_ij                      ε_ij
    lorentz-berthelot   (σ_i + σ_j) / 2           √(ε_i ε_j)
    geometric           √(σ_i σ_j)                √(ε_i ε_j)
    waldman-hagler      [(σ_i⁶ + σ_j⁶) / 2]^⅙     2 √(ε_i ε_j) σ_i³ σ_j³ / (σ_i⁶ + σ_j⁶)

Sources: H. A. Lorentz, Ann. Phys. 248, 127 (1881), doi:10.1002/andp.18812480110, and D. Berthelot, C. R. Acad. Sci.
126, 1703 (1898); R. J. Good, C. J. Hope, J. Chem. Phys. 53, 540 (1970), doi:10.1063/1.1674022; M. Waldman, A. T.
Hagler, J. Comput. Chem. 14, 1077 (1993), doi:10.1002/jcc.540140909.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from miniffx import _checks
from miniffx.potentials.composition import Sum
from miniffx.potentials.lennard_jones import LennardJones

Parameters = tuple[Any, Any]  # ε in eV, σ in Å


def lorentz_berthelot(one: Parameters, other: Parameters) -> Parameters:
    """(ε, σ) of the unlike pair: geometric and arithmetic mean."""
    return _root_mean(one[0], other[0]), (one[1] + other[1]) / 2


def geometric(one: Parameters, other: Parameters) -> Parameters:
    """(ε, σ) of the unlike pair: geometric means."""
    return _root_mean(one[0], other[0]), _root_mean(one[1], other[1])


def waldman_hagler(one: Parameters, other: Parameters) -> Parameters:
    """(ε, σ) of the unlike pair: ε σ⁶ is the geometric mean, σ⁶ the arithmetic mean."""
    sixth = (one[1] ** 6 + other[1] ** 6) / 2
    return _root_mean(one[0], other[0]) * (one[1] * other[1]) ** 3 / sixth, sixth ** (1 / 6)


def _root_mean(one: Any, other: Any) -> Any:
    # Two roots rather than one of the product: where ε is 0, the derivative in the other ε is finite.
    return jnp.sqrt(one) * jnp.sqrt(other)


RULES: dict[str, Callable[[Parameters, Parameters], Parameters]] = {
    "lorentz-berthelot": lorentz_berthelot,
    "geometric": geometric,
    "waldman-hagler": waldman_hagler,
}


def lennard_jones(
    table: Mapping[str, Parameters],
    cutoff: float,
    mixing: str = "lorentz-berthelot",
    pairs: Mapping[tuple[str, str], Parameters] | None = None,
    truncation: str = "none",
) -> Sum:
    """Lennard-Jones between all pairs of several species.

    The result is the sum of one :class:`LennardJones` per pair of species, whose ε and σ are its leaves. To
    differentiate in the table itself, call this inside the function that is differentiated.

    Args:
        table: (ε in eV, σ in Å) of each species.
        cutoff: of all pairs, Å.
        mixing: "lorentz-berthelot", "geometric" or "waldman-hagler", as in :mod:`miniffx.potentials.mixing`.
        pairs: (ε, σ) of pairs of species, in either order, that do not follow the rule.
        truncation: as for :class:`LennardJones`.

    Raises:
        ValueError: no species, an unknown rule, or `pairs` with a species that is not in the table or a pair twice.

    >>> import miniffx as mff
    >>> table = {"Ar": (0.0103, 3.40), "Kr": (0.0141, 3.83)}
    >>> noble = mff.potentials.lennard_jones(table, cutoff=9.0, pairs={("Ar", "Kr"): (0.0118, 3.63)})
    >>> [(term.species, term.epsilon) for term in noble.terms]
    [(('Ar', 'Ar'), 0.0103), (('Ar', 'Kr'), 0.0118), (('Kr', 'Kr'), 0.0141)]
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 3.63]], ["Ar", "Kr"])
    >>> float(noble(dimer, noble.neighbor_list(dimer)))
    0.0
    """
    if mixing not in RULES:
        raise ValueError(f"`mixing` must be one of {', '.join(RULES)}, got {mixing!r}")
    if not table:
        raise ValueError(f"`table` must hold at least one species, got {table!r}")
    given: dict[tuple[str, ...], Parameters] = {}
    for pair, parameters in (pairs or {}).items():
        labels = _checks.labels("pairs", pair, 2)
        if not set(labels) <= set(table) or labels in given:
            raise ValueError(f"`pairs` must hold each pair of the species {', '.join(table)} at most once, got {pair}")
        given[labels] = given[labels[::-1]] = parameters
    for name, entries in (("table", table), ("pairs", given)):
        for key, entry in entries.items():
            if isinstance(entry, str) or not hasattr(entry, "__len__") or len(entry) != 2:
                raise ValueError(f"`{name}` must hold (epsilon, sigma) for {key}, got {entry!r}")
    terms = []
    for pair in itertools.combinations_with_replacement(table, 2):
        one, other = (table[label] for label in pair)
        mixed = one if pair[0] == pair[1] else RULES[mixing](one, other)
        epsilon, sigma = given.get(pair, mixed)
        terms.append(LennardJones(epsilon, sigma, cutoff=cutoff, species=pair, truncation=truncation))
    return Sum(tuple(terms))
