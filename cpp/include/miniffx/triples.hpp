// Pairs of neighbours around a centre.
#pragma once

#include <cstdint>

#include "miniffx/memory.hpp"
#include "miniffx/pairs.hpp"

namespace miniffx {

// Each triple once: two pairs of the same centre i, first < second, as indices into the Pairs that they were
// made from. Sorted by first, then second, hence by centre.
struct Triples {
    Buffer<std::int64_t> first, second;
};

// All triples whose two pairs are both shorter than `cutoff`. With `closed`, the third side too:
// |D_second - D_first|^2 < cutoff^2.
// Throws std::invalid_argument if `cutoff` is not positive or exceeds that of the pairs (triples would be
// missing).
Triples find_triples(const Pairs& pairs, double cutoff, bool closed, int threads = 0);

}  // namespace miniffx
