"""Stillinger–Weber: a pair and a triple term that together make tetrahedral networks.

    E_pair(r)          = ε A (B x⁻ᵖ − x⁻q) exp(1 / (x − a)),                                x = r/σ < a
    E_triple(r₁,r₂,θ)  = ε λ (cos θ − cos θ₀)² exp(γ/(x₁ − a) + γ/(x₂ − a)),                x₁, x₂ < a

Source: F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985), doi:10.1103/PhysRevB.31.5262,
equations 2.3, 2.5 and 2.6, parameters of silicon in equation 2.7 and section III.
"""

from __future__ import annotations

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

    A and B of the published potential put the minimum where that of Lennard-Jones is
    (:func:`stillinger_weber_gauge` finds them for others):

    >>> import miniffx as mff
    >>> pair, triple = mff.potentials.stillinger_weber("Si").terms
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 2.0951 * 2 ** (1 / 6)]], ["Si", "Si"])
    >>> round(float(pair(dimer, pair.neighbor_list(dimer))), 4)
    -2.1683
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
        return Needs(cutoff=_checks.positive_unless_traced("cutoff", self.a * self.sigma))

    def formula(self, r: Array) -> Array:
        """E(r) in eV for r < a σ."""
        x = r / self.sigma
        log_x = jnp.log(x)  # powers of exponents that may be parameters XLA takes number by number, exponentials not
        powers = self.B * jnp.exp(-self.p * log_x) - jnp.exp(-self.q * log_x)
        return self.epsilon * self.A * powers * screen(x, self.a, 1)

    def rows(self, structure: Structure, neighbors: NeighborList) -> tuple[mapping.Pairs, ...]:
        """Energies of atoms, species by species."""
        return mapping.pair_energies(self.formula, structure, neighbors, self.species, self.a * self.sigma)


@pytree
class StillingerWeberTriple(Energy):
    """E = ε λ (cos θ − cos θ₀)² exp(γ/(x₁ − a) + γ/(x₂ − a)), x = r/σ < a; each triple counts once.

    Args:
        epsilon: eV. sigma: Å. lam, gamma: dimensionless. cos_theta0: cosine of the preferred angle.
        a: the cutoff of both legs in units of sigma.
        species: three labels, the centre first.

    Three atoms at a right angle, with silicon's bond length; each of them is a centre:

    >>> import miniffx as mff
    >>> pair, triple = mff.potentials.stillinger_weber("Si").terms
    >>> bent = mff.Structure.create([[0, 0, 0], [2.35, 0, 0], [0, 2.35, 0]], ["Si", "Si", "Si"])
    >>> round(float(triple(bent, triple.neighbor_list(bent))), 3)
    0.208
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
        cutoff = _checks.positive_unless_traced("cutoff", self.a * self.sigma)
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
    # Ding and Andersen 1986: A, B, p, q, a, γ as for silicon.
    "Ge": {
        "epsilon": 1.93,
        "sigma": 2.181,
        "A": 7.049556277,
        "B": 0.6022245584,
        "p": 4.0,
        "q": 0.0,
        "a": 1.80,
        "lam": 31.0,
        "gamma": 1.20,
        "cos_theta0": -1 / 3,
    },
}


def stillinger_weber(species: str) -> Sum:
    """The published Stillinger–Weber potential of an element: pair plus triple.

    Args:
        species: "Si" (Stillinger and Weber, Phys. Rev. B 31, 5262 (1985)) or "Ge" (K. Ding, H. C. Andersen, Phys.
            Rev. B 34, 6987 (1986), doi:10.1103/PhysRevB.34.6987).

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


def stillinger_weber_gauge(
    p: float | Array,
    q: float | Array,
    a: float | Array,
    minimum: tuple[float | Array, float | Array] = (2 ** (1 / 6), -1),
) -> tuple[Array, Array]:
    """The constants A and B that put the minimum of the pair term where it is wanted.

    With x the place of the minimum in units of σ, y < 0 the energy there in units of ε, and w = (x − a)²,

        B = x^(p−q) (q w + x) / (p w + x)    where the derivative is zero,
        A = y exp(1/(a − x)) / (B x⁻ᵖ − x⁻q).

    Args:
        p, q, a: of :class:`StillingerWeberPair`, p > q.
        minimum: (x, y); by default (2^⅙, −1), that of Lennard-Jones with the same ε and σ.

    Returns:
        A and B.

    Raises:
        ValueError: there is no such minimum: x is not between 0 and a, y is not negative, or p, q do not allow it.

    The default minimum is that of the published potentials:

    >>> import miniffx as mff
    >>> A, B = mff.potentials.stillinger_weber_gauge(p=4.0, q=0.0, a=1.8)
    >>> round(float(A), 4), round(float(B), 4)
    (7.0496, 0.6022)
    """
    x, y = minimum
    w = (x - a) ** 2
    if not _checks.is_traced(p, q, a, minimum):
        if not 0 < x < a:
            raise ValueError(f"`minimum` must lie between 0 and `a` ({a}), got {x}")
        if not y < 0:
            raise ValueError(f"`minimum` must have a negative energy, got {y}")
        if not (p > q and q * w + x > 0):
            raise ValueError(f"`p` and `q` must be such that p > q > −x/(x − a)² = {-x / w}, got {p} and {q}")
    B = x ** (p - q) * (q * w + x) / (p * w + x)
    return y * jnp.exp(1 / (a - x)) / (B * x**-p - x**-q), jnp.asarray(B)
