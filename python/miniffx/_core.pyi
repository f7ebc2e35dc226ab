"""The compiled neighbour core (cpp/bindings/python.cpp). Its convention is that of :mod:`miniffx.neighbors`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

has_openmp: bool
xla_ffi_version: str

class PairList:
    n_atoms: int
    n_pairs: int
    offsets: np.ndarray
    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    vectors: np.ndarray

class Neighbors: ...

def max_threads() -> int: ...
def xla_update_handler() -> Any: ...
def find_pairs(
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: Sequence[bool],
    cutoff: float,
    threads: int = 0,
) -> PairList: ...
def find_neighbors(
    positions: np.ndarray,
    cells: np.ndarray,
    pbc: Sequence[bool],
    cutoff: float,
    species: np.ndarray,
    threads: int = 0,
) -> Neighbors: ...
def find_triples(pairs: PairList, cutoff: float, closed: bool, threads: int = 0) -> tuple[np.ndarray, np.ndarray]: ...
def list_centers(species: np.ndarray, rows: Sequence[int]) -> tuple[list[np.ndarray], list[int]]: ...
def count_rows(
    neighbors: Neighbors,
    species: np.ndarray,
    n_species: int,
    triple_cutoff: float,
    closed: bool,
    triple_kinds: Sequence[tuple[int, int, int]],
    threads: int = 0,
) -> tuple[list[int], list[list[int]], list[int]]: ...
def fill_rows(
    neighbors: Neighbors,
    species: np.ndarray,
    n_species: int,
    centers: list[np.ndarray],
    columns: Sequence[Sequence[int]],
    triple_cutoff: float,
    closed: bool,
    triple_kinds: Sequence[tuple[int, int, int]],
    triple_capacity: Sequence[int],
    threads: int = 0,
) -> tuple[list[tuple[np.ndarray, ...]], list[tuple[np.ndarray, ...]], np.ndarray]: ...
