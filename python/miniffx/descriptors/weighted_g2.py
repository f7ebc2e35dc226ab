"""Weighted G2, a radial symmetry function of neighbours of all species."""

from __future__ import annotations

import jax.numpy as jnp

from miniffx._pytree import pytree, static
from miniffx.descriptors.descriptor import Screened, WeightedRadial
from miniffx.neighbors import Array


@pytree
class WeightedG2(Screened, WeightedRadial):
    """G_i = Σ_j w_j exp(−η (r_ij − r_s)²) f_c(r_ij), w_j the weight of the neighbour's species.

    One function for all species of neighbours instead of one for each.

    Source: M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667 (wACSF);
    n2p2's type 12, whose weights are the atomic numbers.

    Args:
        eta: η, Å⁻². r_shift: r_s, Å. cutoff: Å.
        species: the centre, then every species of neighbours that counts.
        weights: one number per species of neighbours; by default their atomic numbers.
        cutoff_function, cutoff_alpha: f_c, see :mod:`miniffx.descriptors.cutoffs`.

    >>> import miniffx as mff
    >>> w = mff.descriptors.WeightedG2(eta=0.0, r_shift=0.0, cutoff=6.0, species=("O", "H", "O"))
    >>> hydroxyl = mff.Structure.create([[0, 0, 0], [0, 0, 3.0], [3.0, 0, 0]], ["O", "H", "O"])
    >>> ds = mff.descriptors.DescriptorSet([w])
    >>> round(float(ds(hydroxyl, ds.neighbor_list(hydroxyl))[0, 0]), 4)  # (1 + 8) / 2
    4.5
    """

    eta: float | Array
    r_shift: float | Array
    cutoff: float = static()
    species: tuple[str, ...] = static()
    weights: tuple[float | Array, ...] = None  # type: ignore[assignment]  # never None afterwards
    cutoff_function: str = static(default="cosine")
    cutoff_alpha: float = static(default=0.0)

    def formula(self, r: Array) -> Array:
        """exp(−η (r − r_s)²) f_c(r)."""
        return jnp.exp(-self.eta * (r - self.r_shift) ** 2) * self.screen(r)
