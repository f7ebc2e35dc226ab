"""Sigmoid, a smooth count of neighbours."""

from __future__ import annotations

import jax

from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Radial, Screened
from miniffx.neighbors import Array


@pytree
class Sigmoid(Screened, Radial):
    """G_i = Σ_j f_c(r_ij) / (1 + exp((r_ij − r₀) / dr)): neighbours closer than about r₀.

    Source: the "sigmoid" descriptor of the package miniff: a Fermi function times the cutoff function of J. Behler,
    J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717.

    Args:
        r0: r₀, Å. dr: the width of the step, Å. cutoff: Å. species: centre and neighbour.
        cutoff_function, cutoff_alpha: f_c, see :mod:`miniffx.descriptors.cutoffs`.

    >>> import miniffx as mff
    >>> step = mff.descriptors.Sigmoid(r0=3.0, dr=0.2, cutoff=6.0, species=("Ar", "Ar"))
    >>> dimer = mff.Structure.create([[0, 0, 0], [0, 0, 3.0]], ["Ar", "Ar"])
    >>> ds = mff.descriptors.DescriptorSet([step])
    >>> round(float(ds(dimer, ds.neighbor_list(dimer))[0, 0]), 4)
    0.25
    """

    r0: float | Array
    dr: float | Array
    cutoff: float = static()
    species: tuple[str, str] = static()
    cutoff_function: str = static(default="cosine")
    cutoff_alpha: float = static(default=0.0)

    def formula(self, r: Array) -> Array:
        """f_c(r) / (1 + exp((r − r₀) / dr))."""
        return jax.nn.sigmoid((self.r0 - r) / self.dr) * self.screen(r)
