// What the atoms span, and how far a search has to reach so that no rounding makes it miss a pair.
#pragma once

#include <cmath>
#include <cstdint>

#include "miniffx/box.hpp"
#include "vec3.hpp"

namespace miniffx {

struct Coordinates {
    double along[3];  // from the origin; wrapped into [0, 1] on periodic axes (1 by round-off), Å on open ones
    double wraps[3];  // whole lattice vectors taken off
};

// As std::floor, which is a call where the processor is not known to have an instruction for it.
inline double floor_of(double x) {
    if (!(std::abs(x) < 4503599627370496.0)) return x;  // 2^52: a whole number already
    const auto whole = static_cast<double>(static_cast<std::int64_t>(x));
    return whole > x ? whole - 1 : whole;
}

// `origin` is 0 along open axes.
inline Coordinates locate(const Box& box, const double* origin, const double* position) {
    Coordinates result;
    for (int k = 0; k < 3; ++k) {
        const double along = dot(box.dual[k], position) - origin[k];
        result.wraps[k] = k < box.n_periodic ? floor_of(along) : 0;
        result.along[k] = along - result.wraps[k];
    }
    return result;
}

// Component a, in the caller's cell, of a translation given in search axes.
double caller_shift(const Box& box, const double* along, int a);

// What all atoms together span, in coordinates along the search axes: fractions along periodic axes, Å along
// open ones.
struct Extent {
    double origin[3];  // of the box that atoms are wrapped into: such that none has to be, where that can be, else 0
    double low[3], high[3];                      // before wrapping
    double wraps_low[3], wraps_high[3];          // lattice vectors taken off
    double shift_low[3], shift_high[3];          // bounds on the same in the caller's cell
    double usual[3];                             // the lattice vectors taken off most atoms, if there is a majority
    std::int64_t votes;                          // by how many it wins, at least
    double largest[3];                           // |position component|
    std::int64_t not_finite = -1, too_far = -1;  // first atom of the kind

    // Whether atoms lie in different images of the box.
    bool wraps_differ() const {
        return wraps_low[0] != wraps_high[0] || wraps_low[1] != wraps_high[1] || wraps_low[2] != wraps_high[2];
    }
};

// Throws std::invalid_argument for a position that is not finite or too far away. Atoms of negative species
// do not count; `species` may be null.
Extent measure(const Box& box, std::int64_t n_atoms, const double* positions, const std::int32_t* species, int threads);

// How far the search has to reach along each axis, with room for every rounding on the way.
struct Reach {
    double margin[3];  // along the axis: fractions or Å
    double along[3];   // the cutoff with its margin
    double images[3];  // lattice vectors, 0 on open axes
    double slack;      // Å: bound on the error of a displacement component, whatever the order of its evaluation
};

// Throws std::invalid_argument where a shift would not fit into 32 bits or doubles do not resolve the cutoff.
Reach find_reach(const Box& box, double cutoff, const Extent& extent);

}  // namespace miniffx
