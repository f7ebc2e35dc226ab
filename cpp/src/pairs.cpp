#include "miniffx/pairs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "candidates.hpp"
#include "cell_list.hpp"
#include "miniffx/box.hpp"
#include "parallel_for.hpp"
#include "within.hpp"

namespace miniffx {
namespace {

// A few atoms of one bin: what a thread takes at a time.
struct Task {
    std::int32_t bin, begin, end;
};

constexpr std::int32_t kTaskAtoms = 64;

std::vector<Task> divide(const CellList& cells) {
    std::vector<Task> tasks;
    tasks.reserve(cells.key.size() + static_cast<std::size_t>(cells.n_atoms / kTaskAtoms));
    for (std::size_t bin = 0; bin < cells.key.size(); ++bin) {
        for (std::int32_t p = cells.begin[bin]; p < cells.begin[bin + 1]; p += kTaskAtoms) {
            tasks.push_back({static_cast<std::int32_t>(bin), p, std::min(p + kTaskAtoms, cells.begin[bin + 1])});
        }
    }
    return tasks;
}

// One thread's means of searching, on cache lines of its own.
struct alignas(128) Searcher {
    explicit Searcher(const CellList& cells)
        : within(miniffx::within()),
          candidates(cells, within),
          label(Candidates::kCapacity + kLanes),
          x(Candidates::kCapacity + kLanes),
          y(Candidates::kCapacity + kLanes),
          z(Candidates::kCapacity + kLanes) {}

    const Within& within;
    Candidates candidates;
    Buffer<std::int32_t> label;
    Buffer<double> x, y, z;
    Hits hits{label.data(), x.data(), y.data(), z.data()};
};

// Writes n hits of atom i as pairs from `at` on.
void write(Pairs& pairs, std::int64_t at, std::int32_t i, const Searcher& searcher, std::int64_t n) {
    const Candidates& candidates = searcher.candidates;
    const std::int32_t* label = searcher.hits.label;
    std::int32_t* shift = pairs.shift.data() + 3 * at;
    std::fill_n(pairs.i.data() + at, n, i);
    searcher.within.interleave(searcher.hits, n, pairs.vector.data() + 3 * at);
    if (candidates.labels_are_atoms()) {
        std::copy_n(label, n, pairs.j.data() + at);
        std::fill_n(shift, 3 * n, 0);
    } else {
        const Candidates::Entry* entries = candidates.entries();
        std::int32_t* j = pairs.j.data() + at;
        for (std::int64_t k = 0; k < n; ++k) {
            const Candidates::Entry& entry = entries[label[k]];
            j[k] = entry.atom;
            std::copy_n(entry.shift, 3, shift + 3 * k);
        }
    }
}

}  // namespace

Pairs find_pairs(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc, double cutoff,
                 const std::int32_t* species, int threads) {
    if (!(cutoff > 0 && cutoff < 1e100)) {  // its square stays finite
        std::ostringstream message;
        message << "`cutoff` must be a positive, finite number, got " << cutoff;
        throw std::invalid_argument(message.str());
    }
    if (n_atoms < 0 || n_atoms >= std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("`positions` must hold fewer than 2^31 - 1 atoms, got " + std::to_string(n_atoms));
    }

    const CellList cells = build_cell_list(make_box(cell, pbc), n_atoms, positions, cutoff, species, threads);
    const std::vector<Task> tasks = divide(cells);
    const double square = cutoff * cutoff;
    threads = thread_count(threads, cells.n_atoms * static_cast<std::int64_t>(cells.stencil.size()), 4096);
    constexpr int kGrain = 8;
    std::vector<Searcher> searchers;
    for (int t = 0; t < threads; ++t) searchers.emplace_back(cells);

    Pairs pairs;
    pairs.n_atoms = n_atoms;
    pairs.cutoff = cutoff;
    pairs.offsets = Buffer<std::int64_t>(n_atoms + 1);
    std::fill_n(pairs.offsets.data(), n_atoms + 1, std::int64_t{0});
    parallel_for(static_cast<std::int64_t>(tasks.size()), threads, kGrain, [&](std::int64_t t, int thread) {
        const Task& task = tasks[static_cast<std::size_t>(t)];
        Searcher& mine = searchers[static_cast<std::size_t>(thread)];
        mine.candidates.start(task.bin, task.begin, task.end);
        while (mine.candidates.next()) {
            for (std::int32_t p = task.begin; p < task.end; ++p) {
                const Block& block = mine.candidates.around(p);
                pairs.offsets[cells.index(p) + 1] += mine.within.count(block, mine.candidates.center(), square);
            }
        }
    });
    for (std::int64_t i = 0; i < n_atoms; ++i) pairs.offsets[i + 1] += pairs.offsets[i];

    const std::int64_t n_pairs = pairs.offsets[n_atoms];
    require_memory(44.0 * static_cast<double>(n_pairs), "A list of " + std::to_string(n_pairs) + " pairs");
    pairs.i = Buffer<std::int32_t>(n_pairs);
    pairs.j = Buffer<std::int32_t>(n_pairs);
    pairs.shift = Buffer<std::int32_t>(3 * n_pairs);
    pairs.vector = Buffer<double>(3 * n_pairs);
    parallel_for(static_cast<std::int64_t>(tasks.size()), threads, kGrain, [&](std::int64_t t, int thread) {
        const Task& task = tasks[static_cast<std::size_t>(t)];
        Searcher& mine = searchers[static_cast<std::size_t>(thread)];
        std::int64_t next[kTaskAtoms];
        for (std::int32_t p = task.begin; p < task.end; ++p) next[p - task.begin] = pairs.offsets[cells.index(p)];
        mine.candidates.start(task.bin, task.begin, task.end);
        while (mine.candidates.next()) {
            for (std::int32_t p = task.begin; p < task.end; ++p) {
                const std::int32_t i = cells.index(p);
                const Block& block = mine.candidates.around(p);
                const std::int64_t n = mine.within.find(block, mine.candidates.center(), square, mine.hits);
                std::int64_t& at = next[p - task.begin];
                if (n > pairs.offsets[i + 1] - at) break;
                write(pairs, at, i, mine, n);
                at += n;
            }
        }
        for (std::int32_t p = task.begin; p < task.end; ++p) {
            if (next[p - task.begin] == pairs.offsets[cells.index(p) + 1]) continue;
            throw std::logic_error("find_pairs: counting and filling disagree; please report this");
        }
    });
    return pairs;
}

}  // namespace miniffx
