#include "miniffx/pairs.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "for_each_center.hpp"
#include "found.hpp"
#include "pair_row.hpp"
#include "parallel_for.hpp"
#include "past_caches.hpp"
#include "prefetch.hpp"

namespace miniffx {
namespace {

PairRow row_at(Pairs& pairs, std::int64_t at) {
    return {pairs.j.data() + at, pairs.shift.data() + 3 * at, pairs.vector.data() + 3 * at};
}

// One thread's room for a row on its way past the caches.
struct alignas(128) Staged {
    std::vector<std::int32_t> j, shift;
    std::vector<double> vector;

    PairRow room_for(std::int32_t n) {
        const auto size = static_cast<std::size_t>(n);
        if (size > j.size()) {
            j.resize(2 * size);
            shift.resize(6 * size);
            vector.resize(6 * size);
        }
        return {j.data(), shift.data(), vector.data()};
    }
};

// Rows of a list that the caches can hold.
void write_rows(const Found& found, Pairs& pairs, std::vector<FoundReader>& readers) {
    const CellList::Exact* const atoms = found.cells.exact.data();
    const auto threads = static_cast<int>(readers.size());
    const auto reader_of = [&](int thread) -> FoundReader& { return readers[static_cast<std::size_t>(thread)]; };
    const auto body = [&](const std::int32_t* place, const std::int32_t* end, int thread) {
        if (place + kAhead < end) prefetch(pairs.offsets.data() + atoms[place[kAhead]].atom);
        if (place + kSoon < end) {
            const std::int32_t p = place[kSoon];
            const PairRow soon = row_at(pairs, pairs.offsets[atoms[p].atom]);
            const std::int64_t n = found.counts[p];
            prefetch_to_write(pairs.i.data() + pairs.offsets[atoms[p].atom], n);
            prefetch_to_write(soon.j, n);
            prefetch_to_write(soon.shift, 3 * n);
            prefetch_to_write(soon.vector, 3 * n);
        }
        const std::int64_t at = pairs.offsets[atoms[*place].atom];
        std::fill_n(pairs.i.data() + at, found.counts[*place], atoms[*place].atom);
        write_row(reader_of(thread), *place, row_at(pairs, at));
    };
    for_each_center(found, threads, threads, reader_of, body);
}

// The first atom of every pair, and no shift for any: in the order of the list, where no line is written twice.
void write_centers_past_caches(Pairs& pairs, int threads) {
    constexpr std::int64_t kBlock = 256;
    parallel_for((pairs.n_atoms + kBlock - 1) / kBlock, threads, 1, [&](std::int64_t block, int) {
        const std::int64_t begin = block * kBlock, end = std::min(pairs.n_atoms, begin + kBlock);
        const std::int64_t* const offsets = pairs.offsets.data();
        {
            WriterPastCaches centers(pairs.i.data() + offsets[begin]);
            for (std::int64_t i = begin; i < end; ++i)
                centers.append(offsets[i + 1] - offsets[i], static_cast<std::int32_t>(i));
            WriterPastCaches shifts(pairs.shift.data() + 3 * offsets[begin]);
            shifts.append(3 * (offsets[end] - offsets[begin]), 0);
        }
        finish_copies();
    });
}

// Rows of a list that the caches cannot hold: only the lines that two rows share are read before they are written. The
// neighbours are then not in the nearest caches either.
void write_rows_past_caches(const Found& found, Pairs& pairs, std::vector<FoundReader>& readers) {
    const CellList::Exact* const atoms = found.cells.exact.data();
    const auto threads = static_cast<int>(readers.size());
    const auto reader_of = [&](int thread) -> FoundReader& { return readers[static_cast<std::size_t>(thread)]; };
    write_centers_past_caches(pairs, threads);
    const bool wraps = !found.cells.wraps.empty();
    std::vector<Staged> staged(readers.size());
    const auto body = [&](const std::int32_t* place, const std::int32_t* end, int thread) {
        if (place + kAhead < end) prefetch(pairs.offsets.data() + atoms[place[kAhead]].atom);
        if (place + kSoon < end) {
            const std::int32_t p = place[kSoon];
            const PairRow soon = row_at(pairs, pairs.offsets[atoms[p].atom]);
            const std::int64_t n = found.counts[p];
            for (const std::int64_t k : {std::int64_t{0}, n}) {
                prefetch_to_write(soon.j + k, 1);
                prefetch_to_write(soon.vector + 3 * k, 1);
            }
            prefetch_neighbors(found, p);
        }
        const std::int32_t n = found.counts[*place];
        const PairRow to = row_at(pairs, pairs.offsets[atoms[*place].atom]);
        if (static_cast<std::size_t>(n) > kMostStaged) {
            write_row(reader_of(thread), *place, to);
        } else {
            const PairRow from = staged[static_cast<std::size_t>(thread)].room_for(n);
            write_row(reader_of(thread), *place, from);
            const auto copy = [n](auto* target, const auto* source, std::size_t per_pair) {
                copy_past_caches(target, source, static_cast<std::size_t>(n) * per_pair * sizeof *source);
            };
            copy(to.j, from.j, 1);
            if (wraps || !reader_of(thread).neighbors(*place).home) copy(to.shift, from.shift, 3);
            copy(to.vector, from.vector, 3);
        }
        if (place + 1 == end) finish_copies();
    };
    for_each_center(found, threads, 1, reader_of, body);
}

}  // namespace

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
    const bool fits_caches = kPairBytes * static_cast<double>(n_pairs) < kCacheBytes;
    (fits_caches ? write_rows : write_rows_past_caches)(found, pairs, readers);
    return pairs;
}

Pairs find_pairs(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc, double cutoff,
                 const std::int32_t* species, int threads) {
    return list_pairs(find_neighbors(n_atoms, positions, cell, pbc, cutoff, species, threads, kPairBytes), threads);
}

}  // namespace miniffx
