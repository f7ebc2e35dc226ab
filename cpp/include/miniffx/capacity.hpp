// The padded sizes of a list, in steps, so that structures of similar size share their shapes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "miniffx/rows.hpp"

namespace miniffx {

// `count` rounded up to the next of 0, 1, 2, ..., 8, 10, 12, 14, 16, 20, 24, ...: four sizes per factor of two, at most
// a quarter of padding.
// Throws std::invalid_argument when it is negative or more than 2^62.
std::int64_t bucket(std::int64_t count);

struct Capacity {
    std::vector<std::int64_t> rows;                  // [S] atoms of each species
    std::vector<std::vector<std::int32_t>> columns;  // [S] [S + 1] offsets of the neighbour species
    std::vector<std::vector<std::int32_t>> triples;  // [S] of each kind of triple around that species
};

// Room for `counts` of n_atoms, in buckets. `kinds` in ascending order of the centre's species.
// Throws std::invalid_argument where a bucket would not fit into 32 bits.
Capacity capacity_for(const RowCounts& counts, std::int64_t n_atoms,
                      const std::vector<std::array<std::int32_t, 3>>& kinds);

}  // namespace miniffx
