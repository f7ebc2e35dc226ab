// Padded rows: the neighbours of each centre in arrays of fixed shape, grouped by species.
//
// One RowTarget holds the centres of one species A, a row each. Its columns are divided among the S neighbour
// species: B's neighbours are in columns[B], columns[B] + 1, ... in the order of the pairs, counts[B] of
// them, and what is left up to columns[B + 1] is padding. A padding slot names the centre itself (atom 0 in a
// padding row) with shift 0. One TripleTarget holds the triples of one kind (A, B, C), B <= C: for each row
// of A its `first` column among B's and its `second` among C's; each unordered pair once (first < second) if
// B == C. Padding is 0.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "miniffx/pairs.hpp"

namespace miniffx {

// All pointers are the caller's; arrays are dense and row-major.
struct RowTarget {
    std::int64_t n_rows;
    const std::int32_t* centers;  // [n_rows] atoms, each once in all targets; out of range: a padding row
    const std::int32_t* columns;  // [S + 1] ascending from 0; K = columns[S]
    std::int32_t* neighbors;      // [n_rows, K]
    std::int32_t* shifts;         // [n_rows, K, 3]
    std::int32_t* counts;         // [n_rows, S]
};

struct TripleTarget {
    std::array<std::int32_t, 3> kind;  // centre A, then B <= C
    std::int64_t capacity;             // T
    std::int32_t* first;               // [n_rows of A, T]
    std::int32_t* second;              // [n_rows of A, T]
    std::int32_t* count;               // [n_rows of A]
};

// Fills rows[A] for every centre species A and all `triples`; atoms whose species is negative are left out.
// triple_cutoff = 0 stands for no triples; `closed` as in find_triples. Returns whether anything did not fit:
// then what fits is there, the counts say how much, and triples are those of the neighbours that are there.
bool fill_rows(const Neighbors& neighbors, const std::int32_t* species, const std::vector<RowTarget>& rows,
               const std::vector<TripleTarget>& triples, double triple_cutoff, bool closed, int threads = 0);

// Lists the atoms of species 0, 1, ... in centers[0], centers[1], ..., which have room for sizes[0], sizes[1], ...;
// what is left becomes n_atoms. Returns how many there are of each; where that is more than there is room, the rest is
// missing.
std::vector<std::int64_t> list_centers(std::int64_t n_atoms, const std::int32_t* species,
                                       const std::vector<std::int64_t>& sizes,
                                       const std::vector<std::int32_t*>& centers);

// The capacities that just suffice: the atoms of each species, the most neighbours of species B around any atom of
// species A, at pair_max[A * n_species + B], and the most triples of each kind around any one centre.
struct RowCounts {
    std::vector<std::int32_t> rows;
    std::vector<std::int32_t> pair_max;
    std::vector<std::int32_t> triple_max;
};

RowCounts count_rows(const Neighbors& neighbors, const std::int32_t* species, std::int32_t n_species,
                     const std::vector<std::array<std::int32_t, 3>>& kinds, double triple_cutoff, bool closed,
                     int threads = 0);

}  // namespace miniffx
