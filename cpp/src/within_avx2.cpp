#include "cell_list.hpp"
#include "within.hpp"

#if MINIFFX_X86

#include <immintrin.h>

#include <array>

#define MINIFFX_TARGET __attribute__((target("avx2,popcnt")))

namespace miniffx {
namespace {

constexpr std::int64_t kWidth = 8;
static_assert(kLanes % kWidth == 0);

// For each mask of eight lanes the permutation that moves those set to the front, a lane number per byte.
constexpr std::array<std::uint64_t, 256> make_permutations() {
    std::array<std::uint64_t, 256> table{};
    for (unsigned mask = 0; mask < 256; ++mask) {
        unsigned to = 0;
        for (std::uint64_t lane = 0; lane < 8; ++lane) {
            if ((mask >> lane & 1) != 0) table[mask] |= lane << (8 * to++);
        }
    }
    return table;
}

constexpr std::array<std::uint64_t, 256> kPermutations = make_permutations();

MINIFFX_TARGET inline __m256i front(unsigned mask) {
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(kPermutations[mask])));
}

MINIFFX_TARGET inline __m256 load(const std::int32_t* x) { return _mm256_loadu_ps(reinterpret_cast<const float*>(x)); }

MINIFFX_TARGET inline void store(float* to, __m256 x, __m256i order) {
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(x, order));
}

MINIFFX_TARGET inline __m256 sum_of_squares(__m256 x, __m256 y, __m256 z) {
    return _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(x, x), _mm256_mul_ps(y, y)), _mm256_mul_ps(z, z));
}

MINIFFX_TARGET std::int64_t find(const Block& block, const float* center, Range range, std::int32_t* label,
                                 bool& doubt) {
    const Block b = block;  // a copy, for the compiler to see that no store changes it
    const __m256 cx = _mm256_set1_ps(center[0]), cy = _mm256_set1_ps(center[1]), cz = _mm256_set1_ps(center[2]);
    const __m256 low = _mm256_set1_ps(range.low), high = _mm256_set1_ps(range.high);
    std::int64_t found = 0;
    __m256 unsure = _mm256_setzero_ps();
    for (std::int64_t k = 0; k < b.size; k += kWidth) {
        const __m256 x = _mm256_sub_ps(_mm256_loadu_ps(b.x + k), cx), y = _mm256_sub_ps(_mm256_loadu_ps(b.y + k), cy);
        const __m256 z = _mm256_sub_ps(_mm256_loadu_ps(b.z + k), cz);
        const __m256 square = sum_of_squares(x, y, z);
        const __m256 possible = _mm256_cmp_ps(square, high, _CMP_LE_OQ);
        unsure = _mm256_or_ps(unsure, _mm256_and_ps(possible, _mm256_cmp_ps(square, low, _CMP_NLT_UQ)));
        const auto mask = static_cast<unsigned>(_mm256_movemask_ps(possible));
        store(reinterpret_cast<float*>(label + found), load(b.label + k), front(mask));
        found += _mm_popcnt_u32(mask);
    }
    doubt = _mm256_movemask_ps(unsure) != 0;
    return found;
}

MINIFFX_TARGET inline __m256 in_frame(const double* x, __m256d origin, __m256d scale) {
    const __m128 low = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_sub_pd(_mm256_loadu_pd(x), origin), scale));
    const __m128 high = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_sub_pd(_mm256_loadu_pd(x + 4), origin), scale));
    return _mm256_set_m128(high, low);
}

MINIFFX_TARGET inline __m256 beyond(__m256 x, float half) {
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    return _mm256_max_ps(_mm256_sub_ps(magnitude, _mm256_set1_ps(half)), _mm256_setzero_ps());
}

MINIFFX_TARGET void gather(const Source& from, const Bounds& bounds, Block& to) {
    const Source source = from;
    const Bounds b = bounds;
    const Block target = to;
    const __m256d ox = _mm256_set1_pd(source.origin[0]), oy = _mm256_set1_pd(source.origin[1]);
    const __m256d oz = _mm256_set1_pd(source.origin[2]), scale = _mm256_set1_pd(source.scale);
    const __m256 square = _mm256_set1_ps(b.square);
    __m256i label = _mm256_add_epi32(_mm256_set1_epi32(source.label), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    std::int64_t taken = target.size;
    for (std::int64_t k = 0; k < source.size; k += kWidth) {
        const __m256 x = in_frame(source.x + k, ox, scale), y = in_frame(source.y + k, oy, scale);
        const __m256 z = in_frame(source.z + k, oz, scale);
        const __m256 sum = sum_of_squares(beyond(x, b.half[0]), beyond(y, b.half[1]), beyond(z, b.half[2]));
        const std::int64_t left = source.size - k;
        const unsigned valid = left >= kWidth ? 0xff : (1u << left) - 1;
        const unsigned mask = valid & static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(sum, square, _CMP_LE_OQ)));
        const __m256i order = front(mask);
        store(target.x + taken, x, order);
        store(target.y + taken, y, order);
        store(target.z + taken, z, order);
        store(reinterpret_cast<float*>(target.label + taken), _mm256_castsi256_ps(label), order);
        label = _mm256_add_epi32(label, _mm256_set1_epi32(kWidth));
        taken += _mm_popcnt_u32(mask);
    }
    to.size = taken;
}

}  // namespace

const Within& within_avx2() {
    static const Within variant{find, gather};
    return variant;
}

}  // namespace miniffx

#endif
