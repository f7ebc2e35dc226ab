// The neighbour list, and the convention that everything else refers to.
//
// A pair (i, j, shift) points from atom i to the image of atom j displaced by `shift` lattice vectors:
//
//     D = (r_j - r_i) + ((s0 * a + s1 * b) + s2 * c)
//
// with the positions as the caller gave them and the rows a, b, c of the cell, evaluated in double in just
// this order. It is listed if and only if Dx*Dx + Dy*Dy + Dz*Dz < cutoff*cutoff. Both directions are listed,
// and decide alike since they differ in signs only. All images count, however many there are; an atom sees
// its own images but not itself. The shift is zero along open axes, whose cell vectors play no part. Atoms
// may lie anywhere, also far outside the box.
#pragma once

#include <cstdint>
#include <memory>

#include "miniffx/memory.hpp"

namespace miniffx {

constexpr double kRowBytes = 16;   // of a pair in a row: neighbour and shift
constexpr double kPairBytes = 44;  // of a pair in Pairs

struct Pairs {
    std::int64_t n_atoms = 0;
    double cutoff = 0;
    Buffer<std::int64_t> offsets;  // [n_atoms + 1] the pairs of atom i are offsets[i] ... offsets[i + 1] - 1
    Buffer<std::int32_t> i;        // [n_pairs]
    Buffer<std::int32_t> j;        // [n_pairs]
    Buffer<std::int32_t> shift;    // [n_pairs, 3]
    Buffer<double> vector;         // [n_pairs, 3] D

    std::int64_t size() const noexcept { return i.size(); }
};

// What a search found, before it is written out as pairs or as rows: cpp/src/found.hpp.
struct Found;
using Neighbors = std::shared_ptr<const Found>;

// positions [n_atoms, 3] and cell [3, 3] are row-major. Atoms of negative species are ignored, whatever their
// position; `species` may be null. The result, its order included, does not depend on `threads` (0: the
// default number). Throws std::invalid_argument for arguments that make no sense and OutOfMemory for a list
// that does not fit: while it searches, as soon as `bytes_per_pair`, what each pair will take afterwards, come to more
// than there is for those found so far.
Neighbors find_neighbors(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc,
                         double cutoff, const std::int32_t* species = nullptr, int threads = 0,
                         double bytes_per_pair = kRowBytes);

Pairs list_pairs(const Neighbors& neighbors, int threads = 0);

// One after the other.
Pairs find_pairs(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc, double cutoff,
                 const std::int32_t* species = nullptr, int threads = 0);

}  // namespace miniffx
