"""Stillinger–Weber: a pair and a triple term that together make tetrahedral networks.

    E_pair(r)          = ε A (B x⁻ᵖ − x⁻q) exp(1 / (x − a)),                                x = r/σ < a
    E_triple(r₁,r₂,θ)  = ε λ (cos θ − cos θ₀)² exp(γ/(x₁ − a) + γ/(x₂ − a)),                x₁, x₂ < a

Source: F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985), doi:10.1103/PhysRevB.31.5262,
equations 2.3, 2.5 and 2.6, parameters of silicon in equation 2.7 and section III.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from miniffx import _checks, mapping
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import Energy, Sum
from miniffx.structure import Structure


@pytree
class StillingerWeberPair(Energy):
    """E(r) = ε A (B x⁻ᵖ − x⁻q) exp(1/(x − a)), x = r/σ < a; each pair counts once.

    Args:
        epsilon: eV. sigma: Å. A, B, p, q: dimensionless. a: the cutoff in units of sigma.
        species: the two labels of the pair.
    """

    epsilon: float | Array
    sigma: float | Array
    A: float | Array
    B: float | Array
    p: float | Array
    q: float | Array
    a: float | Array
    species: tuple[str, str] = static()

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", _checks.labels("species", self.species, 2))

    @property
    def needs(self) -> Needs:
        """Pairs up to a σ."""
        return Needs(cutoff=concrete(self.a * self.sigma))

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < a σ."""
        x = r / self.sigma
        return self.epsilon * self.A * (self.B * x**-self.p - x**-self.q) * screen(x, self.a, 1)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.a * self.sigma)


@pytree
class StillingerWeberTriple(Energy):
    """E = ε λ (cos θ − cos θ₀)² exp(γ/(x₁ − a) + γ/(x₂ − a)), x = r/σ < a; each triple counts once.

    Args:
        epsilon: eV. sigma: Å. lam, gamma: dimensionless. cos_theta0: cosine of the preferred angle.
        a: the cutoff of both legs in units of sigma.
        species: three labels, the centre first.
    """

    epsilon: float | Array
    sigma: float | Array
    lam: float | Array
    gamma: float | Array
    cos_theta0: float | Array
    a: float | Array
    species: tuple[str, str, str] = static()

    def __post_init__(self) -> None:
        center, *others = _checks.labels("species", self.species, 3)
        object.__setattr__(self, "species", (center, *sorted(others)))

    @property
    def needs(self) -> Needs:
        """Pairs and open triples up to a σ."""
        cutoff = concrete(self.a * self.sigma)
        return Needs(cutoff, cutoff, closed=False, triple_species=frozenset({self.species}))

    def formula(self, r1: Array, r2: Array, r3: Array, cos_theta: Array) -> Array:
        """E in eV for r₁, r₂ < a σ."""
        screens = screen(r1 / self.sigma, self.a, self.gamma) * screen(r2 / self.sigma, self.a, self.gamma)
        return self.epsilon * self.lam * (cos_theta - self.cos_theta0) ** 2 * screens

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Rows, ...]:
        """Energies of atoms, species by species."""
        return mapping.triple_energies(self.formula, structure, neighbors, self.species, self.a * self.sigma)


def screen(x: Array, a: float | Array, gamma: float | Array) -> Array:
    """exp(γ/(x − a)), which goes to 0 with all derivatives as x → a from below.

    The exponent is clipped where the exponential underflows anyway: derivatives hold powers of 1/(x − a), and
    infinity times zero would be NaN.
    """
    gap = jnp.maximum(a - x, 1e-3 * gamma)
    return jnp.exp(-gamma / gap)


def concrete(cutoff: Any) -> Any:
    """A cutoff made of parameters as a float, unless it is traced."""
    return cutoff if _checks.is_traced(cutoff) else _checks.positive("cutoff", cutoff)


# ε [eV], σ [Å], A, B, p, q, a, λ, γ, cos θ₀
PUBLISHED = {
    # Stillinger and Weber 1985: ε = 50 kcal/mol makes diamond's −2ε = −4.3366 eV per atom.
    "Si": {
        "epsilon": 2.1683,
        "sigma": 2.0951,
        "A": 7.049556277,
        "B": 0.6022245584,
        "p": 4.0,
        "q": 0.0,
        "a": 1.80,
        "lam": 21.0,
        "gamma": 1.20,
        "cos_theta0": -1 / 3,
    },
}


def stillinger_weber(species: str) -> Sum:
    """The published Stillinger–Weber potential of an element: pair plus triple.

    Args:
        species: "Si" (Phys. Rev. B 31, 5262).

    Returns:
        ``StillingerWeberPair(...) + StillingerWeberTriple(...)``.

    Raises:
        ValueError: no published parameters for this element.

    >>> import miniffx as mff
    >>> from ase.build import bulk
    >>> si = mff.Structure.from_ase(bulk("Si", a=5.431))
    >>> sw = mff.potentials.stillinger_weber("Si")
    >>> round(float(sw(si, sw.neighbor_list(si))) / si.n_atoms, 3)
    -4.337
    """
    if species not in PUBLISHED:
        raise ValueError(f"`species` must be one of {', '.join(PUBLISHED)}, got {species!r}")
    parameters = dict(PUBLISHED[species])
    shared = {name: parameters.pop(name) for name in ("epsilon", "sigma", "a")}
    pair = {name: parameters.pop(name) for name in ("A", "B", "p", "q")}
    return Sum(
        (
            StillingerWeberPair(**shared, **pair, species=(species, species)),
            StillingerWeberTriple(**shared, **parameters, species=(species, species, species)),
        )
    )
