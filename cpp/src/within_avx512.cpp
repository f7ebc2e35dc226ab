#include "cell_list.hpp"
#include "within.hpp"

#if MINIFFX_X86

// GCC 12 takes the operands that its own intrinsics leave undefined for a mistake.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#define MINIFFX_TARGET __attribute__((target("avx512f,avx512vl,popcnt")))

namespace miniffx {
namespace {

static_assert(kLanes == 16);

MINIFFX_TARGET std::int64_t find(const Block& block, const float* center, Range range, std::int32_t* label,
                                 bool& doubt) {
    const Block b = block;  // a copy, for the compiler to see that no store changes it
    const __m512 cx = _mm512_set1_ps(center[0]), cy = _mm512_set1_ps(center[1]), cz = _mm512_set1_ps(center[2]);
    const __m512 low = _mm512_set1_ps(range.low), high = _mm512_set1_ps(range.high);
    std::int64_t found = 0;
    unsigned unsure = 0;
    for (std::int64_t k = 0; k < b.size; k += kLanes) {
        const __m512 x = _mm512_sub_ps(_mm512_loadu_ps(b.x + k), cx);
        const __m512 y = _mm512_sub_ps(_mm512_loadu_ps(b.y + k), cy);
        const __m512 z = _mm512_sub_ps(_mm512_loadu_ps(b.z + k), cz);
        const __m512 square = _mm512_fmadd_ps(x, x, _mm512_fmadd_ps(y, y, _mm512_mul_ps(z, z)));
        const __mmask16 possible = _mm512_cmp_ps_mask(square, high, _CMP_LE_OQ);
        unsure |= _mm512_mask_cmp_ps_mask(possible, square, low, _CMP_NLT_UQ);
        // Compressed in registers: compressing stores are slow on some processors.
        _mm512_storeu_si512(label + found, _mm512_maskz_compress_epi32(possible, _mm512_loadu_si512(b.label + k)));
        found += _mm_popcnt_u32(possible);
    }
    doubt = unsure != 0;
    return found;
}

MINIFFX_TARGET inline __m256 in_frame(const double* x, __m512d origin, __m512d scale) {
    return _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_sub_pd(_mm512_loadu_pd(x), origin), scale));
}

MINIFFX_TARGET inline __m256 beyond(__m256 x, float half) {
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    return _mm256_max_ps(_mm256_sub_ps(magnitude, _mm256_set1_ps(half)), _mm256_setzero_ps());
}

MINIFFX_TARGET void gather(const Source& from, const Bounds& bounds, Block& to) {
    constexpr std::int64_t kWidth = 8;
    const Source source = from;
    const Bounds b = bounds;
    const Block target = to;
    const __m512d ox = _mm512_set1_pd(source.origin[0]), oy = _mm512_set1_pd(source.origin[1]);
    const __m512d oz = _mm512_set1_pd(source.origin[2]), scale = _mm512_set1_pd(source.scale);
    const __m256 square = _mm256_set1_ps(b.square);
    __m256i label = _mm256_add_epi32(_mm256_set1_epi32(source.label), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    std::int64_t taken = target.size;
    for (std::int64_t k = 0; k < source.size; k += kWidth) {
        const __m256 x = in_frame(source.x + k, ox, scale), y = in_frame(source.y + k, oy, scale);
        const __m256 z = in_frame(source.z + k, oz, scale);
        const __m256 dx = beyond(x, b.half[0]), dy = beyond(y, b.half[1]), dz = beyond(z, b.half[2]);
        const __m256 sum =
            _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(dx, dx), _mm256_mul_ps(dy, dy)), _mm256_mul_ps(dz, dz));
        const std::int64_t left = source.size - k;
        const auto valid = static_cast<__mmask8>(left >= kWidth ? 0xff : (1 << left) - 1);
        const __mmask8 mask = _mm256_mask_cmp_ps_mask(valid, sum, square, _CMP_LE_OQ);
        _mm256_storeu_ps(target.x + taken, _mm256_maskz_compress_ps(mask, x));
        _mm256_storeu_ps(target.y + taken, _mm256_maskz_compress_ps(mask, y));
        _mm256_storeu_ps(target.z + taken, _mm256_maskz_compress_ps(mask, z));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target.label + taken), _mm256_maskz_compress_epi32(mask, label));
        label = _mm256_add_epi32(label, _mm256_set1_epi32(kWidth));
        taken += _mm_popcnt_u32(mask);
    }
    to.size = taken;
}

}  // namespace

const Within& within_avx512() {
    static const Within variant{find, gather};
    return variant;
}

}  // namespace miniffx

#endif
