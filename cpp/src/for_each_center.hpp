// The loop over all atoms of a cell list in which a row of a table is written for each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "found.hpp"
#include "parallel_for.hpp"
#include "prefetch.hpp"

namespace miniffx {

// How many places from the one that is written it is time to fetch what writing needs, and what finds that.
constexpr std::ptrdiff_t kSoon = 2, kAhead = 8;

// A hint that the neighbours of the atom at place p are needed soon. Of a group with shifts it is every second one, and
// places at the beginning of the list for the numbers of shifts between them.
inline void prefetch_neighbors(const Found& found, std::int32_t p) {
    constexpr std::int32_t kMost = 8192;  // more would not stay in the caches
    const CellList::Exact* const atoms = found.cells.exact.data();
    const std::int32_t* const hits = found.hits[p];
    for (std::int32_t k = 0; k < std::min(found.counts[p], kMost); ++k) prefetch(atoms + hits[k]);
}

// body(at, end, thread) for every place *at in the cell list; those from at + 1 to `end` come next on this thread.
// `reader_of(thread)` is open at the group of *at.
//
// Atoms are taken as they are in the cell list: the neighbours of one are those of the next. That is not the order of
// their rows. With as many `parts` as threads, each thread begins with the rows of one part of the caller's numbers, so
// that hardly a cache line is written by two: cores that share no cache take long to exchange them. With one part a
// thread begins with a part of the cell list, and the neighbours of each of its bins are read by it alone.
template <class ReaderOf, class Body>
void for_each_center(const Found& found, int threads, int parts, const ReaderOf& reader_of, const Body& body) {
    constexpr std::int64_t kBatch = 16;
    const auto n_groups = static_cast<std::int64_t>(found.groups.size());
    const std::int64_t batches = (n_groups + kBatch - 1) / kBatch;
    struct alignas(128) Places {
        std::vector<std::int32_t> of;
    };
    std::vector<Places> places(static_cast<std::size_t>(threads));
    parallel_for(parts * batches, threads, 1, [&](std::int64_t item, int thread) {
        const std::int64_t part = item / batches, first = item % batches * kBatch;
        const Found::Group* group = found.groups.data() + first;
        const Found::Group& last = found.groups[static_cast<std::size_t>(std::min(n_groups, first + kBatch) - 1)];
        const auto low = static_cast<std::int32_t>((found.n_atoms * part + parts - 1) / parts);
        const auto high = static_cast<std::int32_t>((found.n_atoms * (part + 1) + parts - 1) / parts);
        std::vector<std::int32_t>& mine = places[static_cast<std::size_t>(thread)].of;
        mine.resize(static_cast<std::size_t>(last.end - group->begin));
        std::size_t n = 0;
        for (std::int32_t p = group->begin; p < last.end; ++p) {
            const std::int32_t atom = found.cells.exact[p].atom;
            mine[n] = p;
            n += low <= atom && atom < high ? 1 : 0;
        }
        const Found::Group* open = nullptr;
        for (const std::int32_t *at = mine.data(), *const end = at + n; at < end; ++at) {
            while (*at >= group->end) ++group;
            if (group != open) reader_of(thread).open(*(open = group));
            body(at, end, thread);
        }
    });
}

}  // namespace miniffx
