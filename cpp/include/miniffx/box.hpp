// The geometry of a box: which axes repeat, and a well-conditioned basis to search in.
#pragma once

#include <cstdint>

namespace miniffx {

struct Box {
    double cell[3][3];  // the caller's lattice vectors, one per row; zero on open (non-periodic) axes
    bool periodic[3];
    int n_periodic;

    // The search basis. Its first n_periodic axes are a reduced basis of the lattice,
    //     axis[k] = sum_a transform[k][a] * cell[a],
    // so that a sheared cell needs no more images than a cubic one. The rest are unit vectors, orthogonal to
    // all others: the caller's vector on an open axis has no influence on anything.
    double axis[3][3];
    std::int64_t transform[3][3];
    double dual[3][3];  // dual[k] . axis[l] = 1 if k == l, else 0; 1 / |dual[k]| is the height along k
};

// Throws std::invalid_argument when the periodic vectors are non-finite or linearly dependent.
// `cell` holds nine numbers, row by row.
Box make_box(const double* cell, const bool* pbc);

}  // namespace miniffx
