#include "miniffx/capacity.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace miniffx {
namespace {

std::int32_t to_offset(std::int64_t size) {
    if (size > std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("`cutoff` must leave fewer than 2^31 pairs and triples per atom, got room for " +
                                    std::to_string(size));
    }
    return static_cast<std::int32_t>(size);
}

}  // namespace

std::int64_t bucket(std::int64_t count) {
    constexpr std::int64_t kMost = std::int64_t{1} << 62;
    if (count < 0 || count > kMost) {
        throw std::invalid_argument("`count` must be from 0 to 2^62, got " + std::to_string(count));
    }
    std::int64_t step = 1;
    while (step < (count + 7) / 8) step *= 2;
    return count / step * step + (count % step == 0 ? 0 : step);
}

Capacity capacity_for(const RowCounts& counts, std::int64_t n_atoms,
                      const std::vector<std::array<std::int32_t, 3>>& kinds) {
    const std::size_t n = counts.rows.size();
    Capacity capacity{{}, {}, std::vector<std::vector<std::int32_t>>(n)};
    for (std::size_t a = 0; a < n; ++a) {
        capacity.rows.push_back(std::min(bucket(counts.rows[a]), n_atoms));
        std::vector<std::int32_t> offsets = {0};
        for (std::size_t b = 0; b < n; ++b) {
            offsets.push_back(to_offset(offsets.back() + bucket(counts.pair_max[a * n + b])));
        }
        capacity.columns.push_back(std::move(offsets));
    }
    for (std::size_t m = 0; m < kinds.size(); ++m) {
        capacity.triples[static_cast<std::size_t>(kinds[m][0])].push_back(to_offset(bucket(counts.triple_max[m])));
    }
    return capacity;
}

}  // namespace miniffx
