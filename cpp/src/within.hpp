// Which of many candidates are within the cutoff of one atom: the innermost loop of the search.
//
// The displacement is D = (r_j - r_i) + s, s the lattice part of the convention in pairs.hpp, evaluated in
// double in just this order, then Dx*Dx + Dy*Dy + Dz*Dz < square: every variant performs the same operations on
// every candidate, so that all give the same bits.
#pragma once

#include <cstdint>

#include "simd.hpp"

namespace miniffx {

struct Block {
    std::int64_t size;           // a multiple of kLanes; what is not a candidate has x = infinity
    const double *x, *y, *z;     // [size] r_j
    const double *sx, *sy, *sz;  // [size] s; a single one for all candidates unless `shifted`
    const std::int32_t* label;   // [size] what to report of a candidate
    bool shifted;
};

// What was found, in the order of the candidates. Room for size + kLanes.
struct Hits {
    std::int32_t* label;
    double *x, *y, *z;  // D
};

// Candidates to copy, and where to.
struct Source {
    std::int64_t size;
    const double *x, *y, *z;
    const std::int32_t* atom;
};
struct Gathered {
    double *x, *y, *z;
    std::int32_t* atom;
};

// An axis-aligned box and how far from it a candidate may be. Infinite bounds let everything pass.
struct Bounds {
    double low[3], high[3];
    double square;
};

struct Within {
    std::int64_t (*count)(const Block& block, const double* center, double square);
    std::int64_t (*find)(const Block& block, const double* center, double square, const Hits& hits);
    // vector[3 * k + c] = component c of D of hit k, for k < n.
    void (*interleave)(const Hits& hits, std::int64_t n, double* vector);
    // Copies the candidates that are in reach of some point of a box, in order; returns how many. Reads and
    // writes up to a multiple of kLanes.
    std::int64_t (*gather)(const Source& from, const Bounds& bounds, const Gathered& to);
};

const Within& within_portable();
#if MINIFFX_X86
const Within& within_avx2();
const Within& within_avx512();
#endif

// The variant in use.
const Within& within();

}  // namespace miniffx
