#include "miniffx/triples.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "near_slots.hpp"
#include "parallel_for.hpp"
#include "text.hpp"

namespace miniffx {
namespace {

void check_cutoff(double cutoff, const Pairs& pairs) {
    if (cutoff > 0 && cutoff <= pairs.cutoff) return;
    throw std::invalid_argument("`cutoff` must be positive and not exceed that of the pairs (" +
                                text_of(pairs.cutoff, 17) + "), got " + text_of(cutoff, 17));
}

void collect(const Pairs& pairs, std::int64_t i, NearSlots& near) {
    near.clear();
    const double* const d = pairs.vector.data();
    for (std::int64_t p = pairs.offsets[i]; p < pairs.offsets[i + 1]; ++p) {
        near.add(p, d[3 * p], d[3 * p + 1], d[3 * p + 2]);
    }
}

}  // namespace

Triples find_triples(const Pairs& pairs, double cutoff, bool closed, int threads) {
    check_cutoff(cutoff, pairs);
    threads = thread_count(threads, pairs.size(), 16384);
    constexpr int kGrain = 16;
    const std::int64_t n = pairs.n_atoms;

    std::int64_t most = 0;
    for (std::int64_t i = 0; i < n; ++i) most = std::max(most, pairs.offsets[i + 1] - pairs.offsets[i]);
    std::vector<NearSlots> scratch(static_cast<std::size_t>(threads), NearSlots(most, cutoff, closed));

    Buffer<std::int64_t> offsets(n + 1);
    offsets[0] = 0;
    parallel_for(n, threads, kGrain, [&](std::int64_t i, int thread) {
        NearSlots& near = scratch[static_cast<std::size_t>(thread)];
        collect(pairs, i, near);
        std::int64_t count = 0;
        for (std::int64_t a = 0; a < near.size(); ++a) count += near.count_joined(a, a + 1, near.size());
        offsets[i + 1] = count;
    });
    for (std::int64_t i = 0; i < n; ++i) offsets[i + 1] += offsets[i];

    const std::int64_t n_triples = offsets[n];
    constexpr double kTripleBytes = 52;  // two indices of pairs, and what a caller looks up by them: i, j, k, shifts
    require_memory(kTripleBytes * static_cast<double>(n_triples),
                   "A list of " + std::to_string(n_triples) + " triples");
    Triples triples{Buffer<std::int64_t>(n_triples), Buffer<std::int64_t>(n_triples)};
    parallel_for(n, threads, kGrain, [&](std::int64_t i, int thread) {
        NearSlots& near = scratch[static_cast<std::size_t>(thread)];
        collect(pairs, i, near);
        std::int64_t at = offsets[i];
        for (std::int64_t a = 0; a < near.size(); ++a) {
            const std::int64_t count = near.find_joined(a, a + 1, near.size());
            std::fill_n(triples.first.data() + at, count, near.slot(a));
            std::copy_n(near.joined(), count, triples.second.data() + at);
            at += count;
        }
    });
    return triples;
}

}  // namespace miniffx
