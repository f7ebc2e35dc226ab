// Writing out the pairs of one atom: the innermost loop of making a list.
#pragma once

#include <cstdint>

#include "found.hpp"
#include "simd.hpp"

namespace miniffx {

// Where the pairs of one atom go; the atom itself is not written.
struct PairRow {
    std::int32_t *j, *shift;  // [n], [n, 3]
    double* vector;           // [n, 3]
};

// Writes the neighbours of the atom at place p, for which the reader is open.
void write_row(FoundReader& reader, std::int32_t p, const PairRow& row);

}  // namespace miniffx
