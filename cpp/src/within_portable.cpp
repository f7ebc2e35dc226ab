#include <algorithm>

#include "cell_list.hpp"
#include "within.hpp"

namespace miniffx {
namespace {

template <bool kShifted>
std::int64_t count(const Block& b, const double* center, double square) {
    std::int64_t found = 0;
    for (std::int64_t k = 0; k < b.size; ++k) {
        const std::int64_t s = kShifted ? k : 0;
        const double dx = (b.x[k] - center[0]) + b.sx[s];
        const double dy = (b.y[k] - center[1]) + b.sy[s];
        const double dz = (b.z[k] - center[2]) + b.sz[s];
        found += dx * dx + dy * dy + dz * dz < square ? 1 : 0;
    }
    return found;
}

// No branch depends on the distances.
template <bool kShifted>
std::int64_t find(const Block& b, const double* center, double square, const Hits& hits) {
    std::int64_t found = 0;
    for (std::int64_t k = 0; k < b.size; ++k) {
        const std::int64_t s = kShifted ? k : 0;
        const double dx = (b.x[k] - center[0]) + b.sx[s];
        const double dy = (b.y[k] - center[1]) + b.sy[s];
        const double dz = (b.z[k] - center[2]) + b.sz[s];
        hits.label[found] = b.label[k];
        hits.x[found] = dx;
        hits.y[found] = dy;
        hits.z[found] = dz;
        found += dx * dx + dy * dy + dz * dz < square ? 1 : 0;
    }
    return found;
}

void interleave(const Hits& hits, std::int64_t n, double* vector) {
    for (std::int64_t k = 0; k < n; ++k) {
        vector[3 * k] = hits.x[k];
        vector[3 * k + 1] = hits.y[k];
        vector[3 * k + 2] = hits.z[k];
    }
}

double gap(double x, double low, double high) { return std::max({low - x, x - high, 0.0}); }

std::int64_t gather(const Source& from, const Bounds& b, const Gathered& to) {
    std::int64_t taken = 0;
    for (std::int64_t k = 0; k < from.size; ++k) {
        const double x = gap(from.x[k], b.low[0], b.high[0]);
        const double y = gap(from.y[k], b.low[1], b.high[1]);
        const double z = gap(from.z[k], b.low[2], b.high[2]);
        to.x[taken] = from.x[k];
        to.y[taken] = from.y[k];
        to.z[taken] = from.z[k];
        to.atom[taken] = from.atom[k];
        taken += x * x + y * y + z * z <= b.square ? 1 : 0;
    }
    return taken;
}

}  // namespace

const Within& within_portable() {
    static const Within variant{[](const Block& b, const double* center, double square) {
                                    return b.shifted ? count<true>(b, center, square) : count<false>(b, center, square);
                                },
                                [](const Block& b, const double* center, double square, const Hits& hits) {
                                    return b.shifted ? find<true>(b, center, square, hits)
                                                     : find<false>(b, center, square, hits);
                                },
                                interleave, gather};
    return variant;
}

const Within& within() {
#if MINIFFX_X86
    if (simd_in_use() == Simd::avx512) return within_avx512();
    if (simd_in_use() == Simd::avx2) return within_avx2();
#endif
    return within_portable();
}

}  // namespace miniffx
