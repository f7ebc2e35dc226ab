"""The compiled neighbour core (cpp/bindings/python.cpp). Its convention is that of :mod:`miniffx.neighbors`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Offsets = tuple[tuple[int, ...], ...]
Sizes = tuple[tuple[int, ...], Offsets, Offsets]

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

class Found:
    def __init__(
        self,
        positions: np.ndarray,
        cells: np.ndarray,
        pbc: Sequence[bool],
        cutoff: float,
        species: np.ndarray,
        n_species: int,
        triple_cutoff: float,
        closed: bool,
        triple_kinds: Sequence[tuple[int, int, int]],
        threads: int = 0,
    ) -> None: ...
    def capacity(self) -> Sizes: ...
    def fill(
        self, capacity: Sizes | None = None
    ) -> tuple[list[np.ndarray], list[tuple[np.ndarray, ...]], list[tuple[np.ndarray, ...]], np.ndarray, Sizes]: ...

def bucket(count: int) -> int: ...
def max_threads() -> int: ...
def xla_update_handler() -> Any: ...
def find_pairs(
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: Sequence[bool],
    cutoff: float,
    threads: int = 0,
) -> PairList: ...
def find_triples(pairs: PairList, cutoff: float, closed: bool, threads: int = 0) -> tuple[np.ndarray, np.ndarray]: ...
