#include "miniffx/pairs.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "found.hpp"
#include "parallel_for.hpp"
#include "prefetch.hpp"

namespace miniffx {

Pairs list_pairs(const Neighbors& neighbors, int threads) {
    const Found& found = *neighbors;
    const CellList& cells = found.cells;
    const std::int64_t n_atoms = found.n_atoms;
    Pairs pairs;
    pairs.n_atoms = n_atoms;
    pairs.cutoff = found.cutoff;
    pairs.offsets = Buffer<std::int64_t>(n_atoms + 1);
    std::fill_n(pairs.offsets.data(), n_atoms + 1, std::int64_t{0});
    for (std::int64_t p = 0; p < cells.n_atoms; ++p) pairs.offsets[cells.exact[p].atom + 1] = found.counts[p];
    for (std::int64_t i = 0; i < n_atoms; ++i) pairs.offsets[i + 1] += pairs.offsets[i];

    const std::int64_t n_pairs = pairs.offsets[n_atoms];
    require_memory(kPairBytes * static_cast<double>(n_pairs), "A list of " + std::to_string(n_pairs) + " pairs");
    pairs.i = Buffer<std::int32_t>(n_pairs);
    pairs.j = Buffer<std::int32_t>(n_pairs);
    pairs.shift = Buffer<std::int32_t>(3 * n_pairs);
    pairs.vector = Buffer<double>(3 * n_pairs);
    threads = thread_count(threads, n_pairs, 65536);
    std::vector<FoundReader> readers(static_cast<std::size_t>(threads), FoundReader(found));
    constexpr int kGrain = 8;
    constexpr std::int32_t kAhead = 8;
    parallel_for(static_cast<std::int64_t>(found.groups.size()), threads, kGrain, [&](std::int64_t g, int thread) {
        FoundReader& reader = readers[static_cast<std::size_t>(thread)];
        const Found::Group& group = found.groups[static_cast<std::size_t>(g)];
        reader.open(group);
        for (std::int32_t p = group.begin; p < group.end; ++p) {
            if (p + 2 < cells.n_atoms) {
                const std::int64_t at = pairs.offsets[cells.exact[p + 2].atom], n = found.counts[p + 2];
                prefetch_to_write(pairs.i.data() + at, n);
                prefetch_to_write(pairs.j.data() + at, n);
                prefetch_to_write(pairs.shift.data() + 3 * at, 3 * n);
                prefetch_to_write(pairs.vector.data() + 3 * at, 3 * n);
            }
            if (p + kAhead < cells.n_atoms) prefetch(pairs.offsets.data() + cells.exact[p + kAhead].atom);
            const CellList::Exact center = cells.exact[p];  // a copy, for the compiler to see that no store changes it
            const std::int64_t at = pairs.offsets[center.atom];
            std::fill_n(pairs.i.data() + at, found.counts[p], center.atom);
            std::int32_t* const j = pairs.j.data() + at;
            std::int32_t* const shift = pairs.shift.data() + 3 * at;
            double* const vector = pairs.vector.data() + 3 * at;
            reader.each(p, [=](std::int32_t k, const CellList::Exact& to, const Image& image) {
                const Vector d = displacement(center, to, image);
                j[k] = to.atom;
                shift[3 * k] = image.shift[0];
                shift[3 * k + 1] = image.shift[1];
                shift[3 * k + 2] = image.shift[2];
                vector[3 * k] = d.x;
                vector[3 * k + 1] = d.y;
                vector[3 * k + 2] = d.z;
            });
        }
    });
    return pairs;
}

Pairs find_pairs(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc, double cutoff,
                 const std::int32_t* species, int threads) {
    return list_pairs(find_neighbors(n_atoms, positions, cell, pbc, cutoff, species, threads, kPairBytes), threads);
}

}  // namespace miniffx
