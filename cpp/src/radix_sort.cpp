#include "radix_sort.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "parallel_for.hpp"

namespace miniffx {
namespace {

int bits_below(std::int64_t bound) {
    int bits = 0;
    while (bits < 62 && (std::int64_t{1} << bits) < bound) ++bits;
    return bits;
}

}  // namespace

void radix_sort(Buffer<Keyed>& items, std::int64_t bound, int threads) {
    constexpr int kMostBits = 11;  // a digit's counters and write positions stay in the first-level cache
    const int bits = bits_below(bound);
    const std::int64_t n = items.size();
    if (bits == 0 || n == 0) return;
    const int passes = (bits + kMostBits - 1) / kMostBits;
    const int digit_bits = (bits + passes - 1) / passes;
    const std::size_t digits = std::size_t{1} << digit_bits;
    const auto chunks = static_cast<std::size_t>(threads);
    const auto begin = [&](std::size_t chunk) {
        return n * static_cast<std::int64_t>(chunk) / static_cast<std::int64_t>(chunks);
    };

    Buffer<Keyed> other(n);
    std::vector<std::int64_t> at(chunks * digits);
    for (int pass = 0; pass < passes; ++pass) {
        const int low = pass * digit_bits;
        const auto digit = [&](const Keyed& item) { return static_cast<std::size_t>(item.key >> low) & (digits - 1); };
        std::fill(at.begin(), at.end(), 0);
        parallel_for(threads, threads, 1, [&](std::int64_t c, int) {
            const auto chunk = static_cast<std::size_t>(c);
            std::int64_t* count = at.data() + chunk * digits;
            for (std::int64_t k = begin(chunk); k < begin(chunk + 1); ++k) ++count[digit(items[k])];
        });
        std::int64_t next = 0;
        for (std::size_t d = 0; d < digits; ++d) {
            for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
                next += std::exchange(at[chunk * digits + d], next);
            }
        }
        parallel_for(threads, threads, 1, [&](std::int64_t c, int) {
            const auto chunk = static_cast<std::size_t>(c);
            std::int64_t* place = at.data() + chunk * digits;
            for (std::int64_t k = begin(chunk); k < begin(chunk + 1); ++k) other[place[digit(items[k])]++] = items[k];
        });
        std::swap(items, other);
    }
}

}  // namespace miniffx
