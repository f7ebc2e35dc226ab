"""Selection: fewer descriptors that tell as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from miniffx import _checks
from miniffx.descriptors.descriptor import Descriptor
from miniffx.descriptors.descriptor_set import DescriptorSet
from miniffx.descriptors.naming import name
from miniffx.descriptors.statistics import per_species

DEPENDENT = 1e-6  # relative length of what a column adds to others, below which it is made of them and of noise


@dataclass(frozen=True)
class Selection:
    """Descriptors kept and removed. Printing it gives a table of the latter.

    Attributes:
        descriptors: those kept, in the order that they had.
        removed: (descriptor, reason) of the others, in that order too.
        kept: label to the columns of the features that are kept.
    """

    descriptors: DescriptorSet
    removed: tuple[tuple[Descriptor, str], ...]
    kept: dict[str, np.ndarray]

    def __str__(self) -> str:
        total = len(self.descriptors) + len(self.removed)
        counts = ", ".join(f"{len(columns)} of {label}" for label, columns in self.kept.items())
        lines = [f"kept {len(self.descriptors)} of {total} descriptors: {counts}"]
        width = max((len(name(descriptor)) for descriptor, _ in self.removed), default=0)
        lines += [f"removed {name(descriptor):<{width}}  {reason}" for descriptor, reason in self.removed]
        return "\n".join(lines)


def select(
    descriptors: DescriptorSet,
    features: Any,
    min_range: float = 1e-4,
    max_correlation: float = 0.999,
    n: int | None = None,
) -> Selection:
    """The descriptors of a set that vary, say different things, and matter.

    Three filters, one after the other, for each species alone:

    1. constant: what varies by `min_range` or less over all atoms is removed.
    2. redundant: of two whose Pearson correlation is beyond ±`max_correlation`, the one later in the set is removed.
    3. unimportant, where `n` is given: a CUR decomposition keeps the `n` columns X_c of the features X, shifted and
       scaled to mean 0 and standard deviation 1, that span the others best. One by one, it takes the column with the
       largest entry in the leading right singular vector of X, and removes from all columns their part along it.

    Nothing is random: the same features give the same selection.

    Source: M. W. Mahoney, P. Drineas, Proc. Natl. Acad. Sci. 106, 697 (2009), doi:10.1073/pnas.0803205106 (CUR);
    G. Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), doi:10.1063/1.5024611 (for
    descriptors, column by column as here).

    Args:
        descriptors: the set, for instance two recipes: ``DescriptorSet([*behler_set(data), *gaussian_set(data)])``.
        features: what :func:`miniffx.featurize` returns for it, or a mapping from species to [n_atoms, n_features].
        min_range: the largest value minus the smallest, as the descriptors are (a number of neighbours and the like).
        max_correlation: from above 0 to 1; 1 keeps all.
        n: how many descriptors a species keeps at most; None for no limit. It keeps less where they are linear
            combinations of each other.

    Returns:
        A Selection: the set that is left, and what was removed and why.

    Raises:
        ValueError: features that are not those of the set; filters that leave nothing for a species.

    >>> import miniffx as mff
    >>> D = mff.descriptors
    >>> ds = D.DescriptorSet([D.G2(eta, 0.0, 6.0, ("Ar", other)) for other in ("Ar", "He") for eta in (0.1, 0.2)])
    >>> dimers = [mff.Structure.create([[0, 0, 0], [0, 0, r]], ["Ar", "Ar"]) for r in (3.0, 3.1, 3.2, 3.3)]
    >>> print(D.select(ds, mff.featurize(ds, dimers)))
    kept 1 of 4 descriptors: 1 of Ar
    removed G2 Ar-Ar eta=0.2 r_shift=0 cutoff=6  correlation 0.9996 with G2 Ar-Ar eta=0.1 r_shift=0 cutoff=6
    removed G2 Ar-He eta=0.1 r_shift=0 cutoff=6  constant: varies by 0
    removed G2 Ar-He eta=0.2 r_shift=0 cutoff=6  constant: varies by 0
    """
    min_range = _checks.non_negative("min_range", min_range)
    max_correlation = _checks.positive("max_correlation", max_correlation)
    if max_correlation > 1:
        raise ValueError(f"`max_correlation` must be at most 1, got {max_correlation}")
    if n is not None and (not _checks.is_whole(n) or n < 1):
        raise ValueError(f"`n` must be a positive integer or None, got {n!r}")
    reasons: dict[str, dict[int, str]] = {}
    kept: dict[str, np.ndarray] = {}
    for label, values in per_species(descriptors, features).items():
        names = [name(descriptor) for descriptor in descriptors.of(label)]
        removed = _constant(values, min_range)
        if len(removed) == len(names):
            raise ValueError(f"`min_range` must leave descriptors of {label}, none varies by more than {min_range:g}")
        columns = np.setdiff1d(np.arange(len(names)), list(removed))
        varying = values[:, columns]
        scaled = (varying - varying.mean(axis=0)) / varying.std(axis=0)
        redundant = _redundant(scaled, max_correlation)
        removed |= {
            int(columns[late]): f"correlation {value:.4f} with {names[columns[early]]}"
            for late, (early, value) in redundant.items()
        }
        left = np.setdiff1d(np.arange(len(columns)), list(redundant))
        if n is not None and n < len(left):
            taken = _cur(scaled[:, left], n)
            rest = np.setdiff1d(np.arange(len(left)), taken)
            why = f"not among the {n} by CUR" if len(taken) == n else f"a linear combination of {len(taken)} others"
            removed |= {int(columns[left[column]]): why for column in rest}
        reasons[label] = removed
        kept[label] = np.setdiff1d(np.arange(len(names)), list(removed))

    places = dict.fromkeys(descriptors.species, 0)  # of the next descriptor of a species among its own
    remaining: list[Descriptor] = []
    gone: list[tuple[Descriptor, str]] = []
    for descriptor in descriptors:
        label = descriptor.species[0]
        reason = reasons[label].get(places[label])
        places[label] += 1
        if reason is None:
            remaining.append(descriptor)
        else:
            gone.append((descriptor, reason))
    return Selection(DescriptorSet(remaining), tuple(gone), kept)


def _constant(values: np.ndarray, min_range: float) -> dict[int, str]:
    """Column to reason."""
    ranges = np.ptp(values, axis=0)
    return {int(column): f"constant: varies by {ranges[column]:.2g}" for column in np.flatnonzero(ranges <= min_range)}


def _redundant(scaled: np.ndarray, max_correlation: float) -> dict[int, tuple[int, float]]:
    """Later column to (the earlier one that is kept, their correlation)."""
    correlation = scaled.T @ scaled / len(scaled)
    result: dict[int, tuple[int, float]] = {}
    kept: list[int] = []
    for column in range(scaled.shape[1]):
        with_kept = correlation[column, kept]
        if kept and np.abs(with_kept).max() > max_correlation:
            closest = int(np.abs(with_kept).argmax())
            result[column] = (kept[closest], float(with_kept[closest]))
        else:
            kept.append(column)
    return result


def _cur(scaled: np.ndarray, n: int) -> list[int]:
    """At most `n` columns in the order of their importance; fewer where those span all others."""
    rest = np.asarray(np.linalg.qr(scaled, mode="r"))  # the same inner products between columns in fewer rows
    enough = DEPENDENT * np.linalg.norm(rest, axis=0).max()
    taken: list[int] = []
    while len(taken) < n:
        importance = np.linalg.svd(rest, full_matrices=False)[2][0] ** 2
        importance[taken] = -1
        best = int(importance.argmax())
        length = np.linalg.norm(rest[:, best])
        if length <= enough:
            break
        direction = rest[:, best] / length
        rest = rest - np.outer(direction, direction @ rest)
        taken.append(best)
    return taken
