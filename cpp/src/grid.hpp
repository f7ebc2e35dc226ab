// Bins over the search basis, and which of them a bin has to look at.
#pragma once

#include <cstdint>
#include <vector>

#include "extent.hpp"
#include "miniffx/box.hpp"

namespace miniffx {

struct Grid {
    std::int64_t bins[3];
    double low[3];
    double step[3];  // of one bin, along the axis

    double size() const;  // the number of bins, however large
};

// Fine bins waste fewer distance checks, coarse ones less bookkeeping.
Grid choose_grid(const Box& box, std::int64_t n_atoms, const Extent& extent, const Reach& reach);

// A row of bins along axis 0, relative to a bin.
struct StencilRow {
    std::int64_t d2, d1, low, high;  // offsets along the axes 2 and 1; inclusive range along axis 0
};

// The rows that can hold an atom within the cutoff of any atom in the bin.
std::vector<StencilRow> build_stencil(const Box& box, double cutoff, const Grid& grid, const Reach& reach);

}  // namespace miniffx
