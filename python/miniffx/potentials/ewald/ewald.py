"""Ewald's sum: E = E_real + E_reciprocal + E_self + E_background."""

from __future__ import annotations

import numpy as np

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array, Needs, NeighborList
from miniffx.potentials.composition import AnyRows, Energy
from miniffx.potentials.ewald import estimates
from miniffx.potentials.ewald.background import EwaldBackground
from miniffx.potentials.ewald.coulomb import Coulomb
from miniffx.potentials.ewald.mesh import EwaldMesh, Mesh
from miniffx.potentials.ewald.real import EwaldReal
from miniffx.potentials.ewald.reciprocal import K_MAX, EwaldReciprocal, checked_k_max
from miniffx.potentials.ewald.self_energy import EwaldSelf
from miniffx.structure import Structure


@pytree
class Ewald(Energy):
    """The Coulomb energy of the charges of a crystal, and of everything that their images add to it.

        E = C Σ_pairs q_i q_j erfc(η r)/r                             r < real_cutoff          :class:`EwaldReal`
          + (2π C/V) Σ_{k≠0} exp(−k²/4η²)/k² |Σ_i q_i exp(i k·r_i)|²  |k| < reciprocal_cutoff  :class:`EwaldReciprocal`
          − C η/√π Σ_i q_i²                                                                    :class:`EwaldSelf`
          − C π/(2 V η²) (Σ_i q_i)²                                                            :class:`EwaldBackground`

    or, where a `mesh` is given, :class:`EwaldMesh` in place of the second line: the same energy with an error of
    interpolation, at a cost that is linear in the number of atoms rather than growing as its power 1.5;

    with C = 14.399645 eV Å and the charges of the structure in elementary charges. The surroundings at infinity conduct
    (no surface term); a charged cell is neutralized by a uniform background, in energy, stress and potentials. But for
    what lies beyond the cutoffs, E does not depend on η. It is differentiable in positions, cell and charges. The
    energy of atom i is half of q_i times the potential where it is.

    A structure without periodicity has the plain sum over all its pairs instead, without a cutoff (:class:`Coulomb`).

    Sources: P. P. Ewald, Ann. Phys. 369, 253 (1921), doi:10.1002/andp.19213690304; S. W. de Leeuw, J. W. Perram,
    E. R. Smith, Proc. R. Soc. Lond. A 373, 27 (1980), doi:10.1098/rspa.1980.0135; for the background G. Hummer,
    L. R. Pratt, A. E. García, J. Phys. Chem. 100, 1206 (1996), doi:10.1021/jp951011v.

    In single precision the parts cancel to about 1e-6 of the self energy, however small the estimated error.

    Args:
        eta: screening, 1/Å: the Gaussians exp(−η² r²) around the charges.
        real_cutoff: Å.
        reciprocal_cutoff: 1/Å; |k| includes the factor 2π.
        k_max: the largest |n| of k = 2π (n₁ b₁ + n₂ b₂ + n₃ b₃), which fixes shapes (static): at least
            reciprocal_cutoff |a_i|/2π for the lattice vectors a_i. Time and memory grow with it, results do not
            depend on it.
        mesh: a :class:`Mesh` (static), and then no `reciprocal_cutoff`.

    The defaults are for structures without periodicity, which need none of these. :meth:`for_structure` chooses them.

    Raises:
        ValueError: a structure without charges; with one or two periodic axes, for which this is not the sum (give a
            slab a vacuum and make it periodic along all axes, if that is what is wanted); periodic, and no `eta`;
            both `reciprocal_cutoff` and `mesh`; a cell too large for `k_max` or `mesh` (NaN inside jit).

    The Madelung constant of rock salt:

    >>> import miniffx as mff
    >>> salt = mff.Structure.create(
    ...     [[0, 0, 0], [0.5, 0.5, 0.5]], ["Na", "Cl"], charges=[1.0, -1.0], fractional=True,
    ...     cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
    >>> ewald = mff.potentials.Ewald.for_structure(salt)
    >>> round(-float(ewald(salt, ewald.neighbor_list(salt))) * 2.8 / 14.399645, 4)
    1.7476
    """

    eta: float | Array | None = None
    real_cutoff: float | None = static(default=None)
    reciprocal_cutoff: float | None = static(default=None)
    k_max: tuple[int, int, int] = static(default=K_MAX)
    mesh: Mesh | None = static(default=None)

    def __post_init__(self) -> None:
        if self.mesh is not None and not isinstance(self.mesh, Mesh):
            raise ValueError(f"`mesh` must be a Mesh or None, got {self.mesh!r}")
        if self.mesh is not None and self.reciprocal_cutoff is not None:
            raise ValueError(f"`reciprocal_cutoff` must be None where there is a mesh, got {self.reciprocal_cutoff}")
        for name in ("real_cutoff", "reciprocal_cutoff"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _checks.positive(name, value))
        object.__setattr__(self, "k_max", checked_k_max(self.k_max))

    @classmethod
    def for_structure(cls, structure: Structure, accuracy: float = 1e-8) -> Ewald:
        """The fastest sum for a structure like this one with an estimated error of at most `accuracy`.

        Args:
            structure: with charges; periodic along all axes or along none. Or a batch made by :func:`miniffx.stack`,
                whose structures will share the sum.
            accuracy: root mean square error of the forces in eV/Å, absolute, estimated for charges that are not
                correlated beyond the cutoffs (`estimates.py` has the formulas). Energies per atom in eV are about
                as good.

        Returns:
            An Ewald, with a mesh where that is cheaper, whose `k_max` or mesh lets lattice vectors grow by a fifth. Its
            η and cutoffs stay as they are when structures change.

        Raises:
            ValueError: no charges, one or two periodic axes, or a call inside jit.
        """
        accuracy = _checks.positive("accuracy", accuracy)
        if structure.charges is None:
            raise ValueError("`structure` must have charges for an electrostatic energy, got None")
        if not any(structure.pbc):
            return cls()
        if not all(structure.pbc):
            raise ValueError(f"`structure` must be periodic along all three axes or none, got pbc {structure.pbc}")
        if _checks.is_traced(structure):
            raise ValueError("`structure` must be known where the shapes of a sum are chosen: outside jit")
        real = np.asarray(structure.mask)
        charges = np.where(real, np.asarray(structure.charges, np.float64), 0)
        if not charges.any():  # nothing to sum yet: as for unit charges
            charges = real.astype(np.float64)
        cells = np.asarray(structure.cell, np.float64).reshape(-1, 3, 3)
        systems = [
            estimates.Charges(squares=float((q**2).sum()), n=int(np.count_nonzero(q)), cell=cell)
            for q, cell in zip(np.atleast_2d(charges), cells, strict=True)
            if q.any()
        ]
        choice = estimates.choose(systems, accuracy)
        return cls(choice.eta, choice.real_cutoff, choice.reciprocal_cutoff, choice.k_max or K_MAX, choice.mesh)

    @property
    def needs(self) -> Needs:
        """Pairs up to the real-space cutoff."""
        return Needs(cutoff=self.real_cutoff or 0.0)

    def parts(self, structure: Structure) -> tuple[Energy, ...]:
        """Real, reciprocal, self and background part for a crystal; the plain Coulomb sum for a molecule."""
        if not any(structure.pbc):
            return (Coulomb(),)
        if self.eta is None or self.real_cutoff is None or (self.reciprocal_cutoff is None and self.mesh is None):
            raise ValueError(
                "`eta`, `real_cutoff` and `reciprocal_cutoff` (or a `mesh`) must be given for a periodic structure, "
                f"got {self.eta}, {self.real_cutoff} and {self.reciprocal_cutoff}"
            )
        if self.mesh is not None:
            reciprocal: Energy = EwaldMesh(self.eta, self.mesh)
        else:
            reciprocal = EwaldReciprocal(self.eta, self.reciprocal_cutoff, self.k_max)  # type: ignore[arg-type]
        return (
            EwaldReal(self.eta, self.real_cutoff),
            reciprocal,
            EwaldSelf(self.eta),
            EwaldBackground(self.eta),
        )

    def __call__(self, structure: Structure, neighbors: NeighborList) -> Array:
        """The energy in eV, a scalar."""
        return sum(part(structure, neighbors) for part in self.parts(structure))  # type: ignore[return-value]

    def atomic(self, structure: Structure, neighbors: NeighborList) -> Array:
        """[n_atoms] in eV, half of q_i times the potential where it is."""
        return sum(part.atomic(structure, neighbors) for part in self.parts(structure))  # type: ignore[return-value]

    def rows(self, structure: Structure, neighbors: NeighborList) -> AnyRows:
        """Energies of atoms."""
        return tuple(row for part in self.parts(structure) for row in part.rows(structure, neighbors))
