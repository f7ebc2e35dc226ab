// A stable parallel sort of atoms by an integer key.
#pragma once

#include <cstdint>

#include "miniffx/memory.hpp"

namespace miniffx {

struct Keyed {
    std::int64_t key;
    std::int32_t atom;
    std::int32_t mark;  // the caller's
};

// Sorts by key, atoms of the same key staying in order. Keys lie in [0, bound).
void radix_sort(Buffer<Keyed>& items, std::int64_t bound, int threads);

}  // namespace miniffx
