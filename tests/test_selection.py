"""Which descriptors to take: their statistics, and the filters against made-up features whose answer is known."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import miniffx as mff
import systems
from miniffx import descriptors as D
from miniffx.descriptors.naming import name


def radial(count, center="Si", neighbor="Si"):
    return [D.G2(0.1 * (k + 1), 0.0, 4.0, (center, neighbor)) for k in range(count)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# -- statistics ------------------------------------------------------------------------------------


@pytest.mark.float32_too
def test_statistics_of_a_data_set():
    ds = D.DescriptorSet([*radial(2), D.G2(0.3, 1.0, 4.0, ("O", "Si")), D.G5(0.1, 2, 1.0, 4.0, ("Si", "O", "Si"))])
    structures = [systems.two_species(), systems.silicon()]
    features = mff.featurize(ds, structures)
    found = D.statistics(ds, features, bins=7)
    rows = [(features[n], np.array(s.species)) for n, s in enumerate(structures)]
    for label, count in (("O", 1), ("Si", 3)):
        values = np.concatenate([part[species == label] for part, species in rows])[:, :count].astype(np.float64)
        s = found[label]
        assert s.n_atoms == len(values) == (4 if label == "O" else 12)
        assert s.names == tuple(map(name, ds.of(label)))
        assert_allclose(s.mean, values.sum(axis=0) / len(values), rtol=1e-12)
        assert_allclose(s.std, np.sqrt(((values - s.mean) ** 2).sum(axis=0) / len(values)), rtol=1e-6, atol=1e-12)
        assert_allclose([s.min, s.max], [np.sort(values, axis=0)[0], np.sort(values, axis=0)[-1]])
        assert s.counts.shape == (count, 7)
        for column, counts, edges in zip(values.T, s.counts, s.edges, strict=True):
            assert edges[0] == column.min()
            assert edges[-1] == column.max()
            inside = [((a <= column) & (column < b)).sum() for a, b in itertools.pairwise(edges)]
            inside[-1] += (column == edges[-1]).sum()
            assert counts.tolist() == inside
    text = str(found)
    assert len(text.splitlines()) == 2 + 4
    assert "Si: 3 descriptors of 12 atoms" in text
    assert f"{found['O'].mean[0]:.4g}" in text
    assert "G5 Si-O-Si eta=0.1 zeta=2 lam=1 cutoff=4" in text


def test_statistics_of_one_value():
    ds = D.DescriptorSet(radial(1))
    s = D.statistics(ds, {"Si": np.full((3, 1), 2.5)})["Si"]
    assert (s.mean[0], s.std[0], s.min[0], s.max[0], s.counts.sum()) == (2.5, 0, 2.5, 2.5, 3)


def screen(r):
    return (1 - r / 4.0) ** 3


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        (
            D.G4(0.05, 4, -1.0, 6.0, ("Si", "O", "O"), r_shift=0.5),
            "G4 Si-O-O eta=0.05 zeta=4 lam=-1 cutoff=6 r_shift=0.5",
        ),
        (D.G2(jnp.float32(0.1), 0.0, 6.0, ("A", "B"), "poly2", 0.5), "cutoff_function=poly2 cutoff_alpha=0.5"),
        (
            D.WeightedG2(0.1, 0.0, 6.0, ("Si", "O", "Si")),
            "WeightedG2 Si-(O,Si) eta=0.1 r_shift=0 cutoff=6 weights=(8, 14)",
        ),
        (D.RadialDescriptor(screen, 4.0, ("Si", "O")), "RadialDescriptor Si-O g=screen cutoff=4"),
    ],
)
def test_names(descriptor, expected):
    assert expected in name(descriptor)


# -- filters ---------------------------------------------------------------------------------------


@pytest.mark.float32_too
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_and_redundant_descriptors_go(dtype):
    a, b, c = noise(3, 200)
    columns = [
        a,
        3 - 2 * a,  # the same upside down
        np.full(200, 7.0),
        b,
        4e-5 * c / np.ptp(c),  # hardly varies
        a + 0.02 * c,  # correlation about 0.9998
        a + 0.3 * c,  # about 0.96
    ]
    features = {"Si": np.stack(columns, axis=1).astype(dtype)}
    ds = D.DescriptorSet(radial(7))
    selection = D.select(ds, features)
    assert selection.kept["Si"].tolist() == [0, 3, 6]
    assert selection.descriptors.descriptors == tuple(ds.descriptors[k] for k in (0, 3, 6))
    assert [d for d, _ in selection.removed] == [ds.descriptors[k] for k in (1, 2, 4, 5)]
    reasons = [reason for _, reason in selection.removed]
    assert reasons[0] == f"correlation -1.0000 with {name(ds.descriptors[0])}"
    assert reasons[1] == "constant: varies by 0"
    assert reasons[2] == "constant: varies by 4e-05"
    assert reasons[3].startswith("correlation 0.999")
    assert str(selection).splitlines()[0] == "kept 3 of 7 descriptors: 3 of Si"
    assert len(str(selection).splitlines()) == 5
    everything = D.select(ds, features, min_range=0.0, max_correlation=1.0)
    assert set(everything.kept["Si"]) >= {0, 3, 4, 5, 6}
    assert 2 not in everything.kept["Si"]
    assert D.select(ds, features, max_correlation=0.9).kept["Si"].tolist() == [0, 3]


def slow_cur(values, n):
    """Column by column: the singular vectors of what is left of the whole matrix by least squares."""
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    taken = []
    for _ in range(n):
        basis = scaled[:, taken]
        rest = scaled - basis @ np.linalg.lstsq(basis, scaled, rcond=None)[0] if taken else scaled
        leading = np.linalg.eigh(rest.T @ rest)[1][:, -1]
        taken.append(max(set(range(values.shape[1])) - set(taken), key=lambda column: leading[column] ** 2))
    return taken


def unexplained(values, columns):
    """The part of the variance that the columns do not span."""
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    basis = scaled[:, columns]
    return ((scaled - basis @ np.linalg.lstsq(basis, scaled, rcond=None)[0]) ** 2).sum() / scaled.size


@pytest.mark.parametrize("seed", range(4))
def test_cur_spans_nearly_as_much_as_the_best_choice(seed):
    hidden = noise(150, 3, seed=seed)
    values = hidden @ noise(3, 9, seed=seed + 100) + 0.05 * noise(150, 9, seed=seed + 200) + 5.0
    ds = D.DescriptorSet(radial(9))
    for n in (1, 3, 5):
        columns = D.select(ds, {"Si": values}, max_correlation=1.0, n=n).kept["Si"].tolist()
        assert columns == sorted(slow_cur(values, n))
        errors = [unexplained(values, list(choice)) for choice in itertools.combinations(range(9), n)]
        assert unexplained(values, columns) < 1.6 * min(errors)
        assert unexplained(values, columns) < np.median(errors)


def test_cur_takes_one_of_each_kind_and_no_combinations():
    a, b, c = noise(3, 300)
    near = 0.1 * noise(300, 9, seed=1)
    values = np.stack([a, a, a, b, b, c], axis=1) + near[:, :6]
    columns = D.select(D.DescriptorSet(radial(6)), {"Si": values}, n=3).kept["Si"]
    assert [sum(column in kind for column in columns) for kind in ((0, 1, 2), (3, 4), (5,))] == [1, 1, 1]
    combined = np.stack([a, b, c, a + b, b - 2 * c, a + b + c], axis=1)
    selection = D.select(D.DescriptorSet(radial(6)), {"Si": combined}, n=5)
    assert len(selection.kept["Si"]) == 3
    assert {reason for _, reason in selection.removed} == {"a linear combination of 3 others"}
    assert unexplained(combined, selection.kept["Si"]) < 1e-20


def test_species_are_selected_apart_and_the_order_stays():
    mixed = [d for pair in zip(radial(4, "O", "Si"), radial(4), strict=True) for d in pair]
    ds = D.DescriptorSet(mixed)
    features = {"Si": noise(60, 4), "O": noise(50, 4, seed=1), "Ar": noise(5, 2)}  # Ar is nobody's business
    features["O"][:, 2] = 1.0
    selection = D.select(ds, features, n=3)
    kept = selection.kept
    assert kept["O"].tolist() == [0, 1, 3]
    assert len(kept["Si"]) == 3
    expected = [d for k, d in enumerate(mixed) if k // 2 in kept[d.species[0]]]
    assert list(selection.descriptors) == expected
    assert "not among the 3 by CUR" in str(selection)
    again = D.select(ds, features, n=3)
    assert [kept[label].tolist() for label in kept] == [again.kept[label].tolist() for label in kept]


def test_of_recipes_on_structures():
    """Of two recipes together, a third, which tells more than a third by chance of structures it was not chosen on."""
    rng = np.random.default_rng(5)
    base = systems.silicon()

    def rattled(count):
        return [
            mff.Structure.create(
                np.asarray(base.positions) + rng.normal(scale=0.25, size=(8, 3)), base.species, cell=base.cell
            )
            for _ in range(count)
        ]

    data = rattled(40)
    ds = D.DescriptorSet([*D.behler_set(data, cutoff=5.0), *D.gaussian_set(data, cutoff=5.0)])
    selection = D.select(ds, mff.featurize(ds, data), n=16)
    assert len(selection.descriptors) == 16
    unseen = mff.featurize(ds, rattled(20)).per_species()["Si"]
    by_chance = [unexplained(unseen, rng.choice(len(ds), 16, replace=False)) for _ in range(20)]
    assert unexplained(unseen, selection.kept["Si"]) < 0.5 * np.median(by_chance)
    fewer = mff.featurize(selection.descriptors, data).per_species()["Si"]
    assert_allclose(fewer, mff.featurize(ds, data).per_species()["Si"][:, selection.kept["Si"]], rtol=1e-10, atol=1e-14)


# -- errors ----------------------------------------------------------------------------------------

SET = D.DescriptorSet(radial(2))
GOOD = {"Si": noise(9, 2)}


@pytest.mark.parametrize("function", [D.statistics, D.select])
@pytest.mark.parametrize(
    ("features", "message"),
    [
        (noise(9, 2), "must be what mff.featurize returns, or arrays by species, got ndarray"),
        ({"O": noise(9, 2)}, "must hold atoms of Si, got none of Si"),
        ({"Si": noise(0, 2)}, "must hold atoms of Si, got none of Si"),
        ({"Si": noise(9, 3)}, r"must be for Si an array \[n_atoms, 2\].*got shape \(9, 3\)"),
        ({"Si": np.where(noise(9, 2) > 0, np.nan, 0)}, "must be finite"),
    ],
)
def test_features_that_do_not_belong_are_refused(function, features, message):
    with pytest.raises(ValueError, match=f"`features` {message}"):
        function(SET, features)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_range": -1.0}, "`min_range` must not be negative, got -1"),
        ({"min_range": 100.0}, "`min_range` must leave descriptors of Si, none varies by more than 100"),
        ({"max_correlation": 0.0}, "`max_correlation` must be positive"),
        ({"max_correlation": 1.1}, "`max_correlation` must be at most 1, got 1.1"),
        ({"n": 0}, "`n` must be a positive integer or None, got 0"),
        ({"n": 2.0}, r"`n` must be a positive integer or None, got 2\.0"),
    ],
)
def test_bad_filters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        D.select(SET, GOOD, **arguments)


def test_bad_bins_are_named():
    with pytest.raises(ValueError, match="`bins` must be a positive integer, got 0"):
        D.statistics(SET, GOOD, bins=0)
