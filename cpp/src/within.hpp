// Which of many candidates are within the cutoff of one atom: the innermost loop of the search.
//
// Candidates are looked at in single precision, in a frame around the atoms that look at them and scaled to its
// size. A distance that single precision cannot decide is left to the caller, so that what is found does not depend
// on the variant in use.
#pragma once

#include <cstdint>

#include "simd.hpp"

namespace miniffx {

// Where the candidates are copied to: coordinates in the frame, and what to report of each. Room for
// kLanes more than there are.
struct Block {
    std::int64_t size;
    float *x, *y, *z;
    std::int32_t* label;
};

// Squared distances below `low` are surely within the cutoff, above `high` surely not.
struct Range {
    float low, high;
};

// Consecutive atoms, and the frame: u = (x - origin) * scale.
struct Source {
    std::int64_t size;
    const double *x, *y, *z;
    std::int32_t label;  // of the first; the others count on
    double origin[3];
    double scale;
};

// Candidates farther than this from a box around the frame's origin are left out.
struct Bounds {
    float half[3];  // half of its edges
    float square;   // of the distance
};

struct Within {
    // Labels of the candidates that are not surely out, in order; `doubt` tells whether one is not surely in. The
    // coordinates must be NaN from `size` to the next multiple of kLanes. Writes kLanes more labels than there are.
    std::int64_t (*find)(const Block& block, const float* center, Range range, std::int32_t* label, bool& doubt);
    // Appends the atoms that are in reach of the box, in order. Reads up to kLanes atoms more than there are.
    void (*gather)(const Source& from, const Bounds& bounds, Block& to);
};

const Within& within_portable();
#if MINIFFX_X86
const Within& within_avx2();
const Within& within_avx512();
#endif

// The variant in use.
const Within& within();

}  // namespace miniffx
