#include <algorithm>
#include <cmath>

#include "within.hpp"

namespace miniffx {
namespace {

// No branch depends on the distances.
std::int64_t find(const Block& b, const float* center, Range range, std::int32_t* label, bool& doubt) {
    std::int64_t found = 0;
    bool unsure = false;
    for (std::int64_t k = 0; k < b.size; ++k) {
        const float dx = b.x[k] - center[0], dy = b.y[k] - center[1], dz = b.z[k] - center[2];
        const float square = dx * dx + dy * dy + dz * dz;
        const bool possible = square <= range.high;
        label[found] = b.label[k];
        found += possible ? 1 : 0;
        unsure |= possible & !(square < range.low);
    }
    doubt = unsure;
    return found;
}

void gather(const Source& from, const Bounds& bounds, Block& to) {
    std::int64_t taken = to.size;
    for (std::int64_t k = 0; k < from.size; ++k) {
        const auto x = static_cast<float>((from.x[k] - from.origin[0]) * from.scale);
        const auto y = static_cast<float>((from.y[k] - from.origin[1]) * from.scale);
        const auto z = static_cast<float>((from.z[k] - from.origin[2]) * from.scale);
        const float dx = std::max(std::abs(x) - bounds.half[0], 0.0f);
        const float dy = std::max(std::abs(y) - bounds.half[1], 0.0f);
        const float dz = std::max(std::abs(z) - bounds.half[2], 0.0f);
        to.x[taken] = x;
        to.y[taken] = y;
        to.z[taken] = z;
        to.label[taken] = from.label + static_cast<std::int32_t>(k);
        taken += dx * dx + dy * dy + dz * dz <= bounds.square ? 1 : 0;
    }
    to.size = taken;
}

}  // namespace

const Within& within_portable() {
    static const Within variant{find, gather};
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
