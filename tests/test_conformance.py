"""Neighbour lists of thousands of random and adversarial structures (conformance.py) against all images, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

import conformance
from miniffx.neighbors import Needs, pairs
from miniffx.structure import host_structure
from oracles import brute_force_pairs

BLOCK = 200
BLOCKS = [
    pytest.param(category, start, id=f"{category.replace(' ', '-')}-{start}")
    for category, (_, count) in conformance.CATEGORIES.items()
    for start in range(0, count, BLOCK)
]


def problem(case):
    """What is wrong with the flat list of a case: "" for nothing. D has to be what the convention says, exactly."""
    i, j, shift, D = pairs(*case[1:])
    expected = brute_force_pairs(*case[1:])
    found, required = conformance.rows(i, j, shift), conformance.rows(*expected[:3])
    if not np.array_equal(found, required):
        return conformance.complaint(found, required, required)
    order, wanted = (np.lexsort((*s.T, b, a)) for a, b, s in ((i, j, shift), expected[:3]))
    wrong = (D[order] != expected.D[wanted]).any(axis=1)
    return f"{wrong.sum()} displacements are wrong, such as that of {found[wrong][0]}" if wrong.any() else ""


def padded_problem(case):
    """What is wrong with the padded list of a case, over two species. In NumPy: JAX would compile for every size."""
    species = [("Si", "O")[atom % 2] for atom in range(len(case.positions))]
    structure = host_structure(case.positions, species, case.cell, case.pbc)
    nl = Needs(cutoff=case.cutoff).host_neighbor_list(structure)
    listed = [np.zeros((0, 5), int)]
    for environment in nl.environments:
        column = np.arange(environment.neighbors.shape[1])
        begin = np.asarray(environment.columns[:-1])[:, None]
        taken = (column >= begin) & (column < begin + environment.counts[..., None])
        row, column = np.nonzero(taken.any(axis=1))
        listed.append(
            np.column_stack(
                [environment.centers[row], environment.neighbors[row, column], environment.shifts[row, column]]
            )
        )
    found = conformance.rows(*np.split(np.concatenate(listed), [1, 2], axis=1))
    required = conformance.rows(*brute_force_pairs(*case[1:])[:3])
    return "" if np.array_equal(found, required) else conformance.complaint(found, required, required)


def assert_none(check, names):
    """No case has a problem; the message names all that do."""
    problems = {name: text for name in names if (text := check(conformance.case(name)))}
    assert not problems, "\n".join(
        [f"{len(problems)} of {len(names)} cases; to run one again: {check.__name__}(conformance.case(name))"]
        + [f"{name!r}: {text}" for name, text in problems.items()]
    )


@pytest.mark.parametrize(("category", "start"), BLOCKS)
def test_pairs(category, start):
    assert_none(problem, conformance.names(category)[start : start + BLOCK])


@pytest.mark.parametrize("category", conformance.CATEGORIES, ids=lambda category: category.replace(" ", "-"))
def test_padded_lists(category):
    assert_none(padded_problem, conformance.names(category)[3::11])


def test_no_image_is_out_of_the_reach_of_the_oracle():
    """Two more images on every side do not add a pair."""
    for category in conformance.CATEGORIES:
        for name in conformance.names(category)[1::23]:
            case = conformance.case(name)
            if len(case.positions) ** 2 * conformance.n_images(*case[2:]) < 20_000:
                plain, wide = (brute_force_pairs(*case[1:], extra=extra) for extra in (1, 3))
                assert plain.keys() == wide.keys(), name


# -- the cases are what they are called ------------------------------------------------------------


def share(category, holds):
    """How many of the cases, relative to all of them, have a property."""
    return np.mean([holds(conformance.case(name)) for name in conformance.names(category)])


def lengths(case, cutoff):
    return np.linalg.norm(brute_force_pairs(case.positions, case.cell, case.pbc, cutoff).D, axis=1)


def flatness(case):
    """The smallest height relative to the edge, of the cell as if it were periodic."""
    edges = np.linalg.norm(case.cell, axis=1)
    return (conformance.heights(case.cell, (True, True, True)) / edges).min()


def test_cases_are_many_affordable_and_not_empty():
    assert sum(count for _, count in conformance.CATEGORIES.values()) > 5000
    for category in conformance.CATEGORIES:
        seen = [conformance.case(name) for name in conformance.names(category)]
        mixes = conformance.MIXES[:-1] if category in conformance.NOMINAL else conformance.MIXES
        assert {case.pbc for case in seen} == set(mixes)
        for case in seen:
            assert len(case.positions) ** 2 * conformance.n_images(*case[2:]) <= conformance.BUDGET, case.name
        if category != "no atoms":
            assert np.mean([len(brute_force_pairs(*case[1:]).i) > 0 for case in seen[::9]]) > 0.5, category


@pytest.mark.parametrize(
    ("category", "holds", "least"),
    [
        ("many atoms", lambda case: len(case.positions) > 100, 0.6),
        ("sheared", lambda case: flatness(case) < 0.12, 1),
        ("long cutoff", lambda case: (case.cutoff > conformance.heights(case.cell, case.pbc)).any(), 0.8),
        ("one atom", lambda case: len(case.positions) == 1, 1),
        ("no atoms", lambda case: len(case.positions) == 0, 1),
        ("left-handed", lambda case: np.linalg.det(case.cell) < 0, 1),
        ("far", lambda case: (np.abs(case.positions @ np.linalg.inv(case.cell)) > 1000).any(), 0.7),
        ("farthest", lambda case: (np.abs(case.positions @ np.linalg.inv(case.cell)) > 1e7).any(), 0.3),
        ("faces", lambda case: (np.signbit(case.positions) & (case.positions == 0)).any(), 0.2),
        ("coincident", lambda case: (lengths(case, case.cutoff) == 0).any(), 0.8),
        ("at the cutoff", lambda case: (lengths(case, 1.0001 * case.cutoff) == case.cutoff).any(), 0.6),
        ("scattered", lambda case: np.ptp(case.positions, axis=0).max() > 1e3, 0.6),
        ("open: zero", lambda case: (~case.cell.any(axis=1) == ~np.array(case.pbc)).all(), 1),
        ("open: vacuum", lambda case: (np.linalg.norm(case.cell, axis=1) == 1000).any(), 1),
        (
            "grazing",
            lambda case: (np.abs(lengths(case, 1.0001 * case.cutoff) / case.cutoff - 1) < 1e-15).any(),
            0.5,
        ),
    ],
)
def test_cases_are_what_they_are_called(category, holds, least):
    assert share(category, holds) >= least
