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

static_assert(kLanes == 8);

struct Center {
    __m512d x, y, z, sx, sy, sz;
};

MINIFFX_TARGET inline Center broadcast(const Block& b, const double* center) {
    return {_mm512_set1_pd(center[0]), _mm512_set1_pd(center[1]), _mm512_set1_pd(center[2]),
            _mm512_set1_pd(b.sx[0]),   _mm512_set1_pd(b.sy[0]),   _mm512_set1_pd(b.sz[0])};
}

struct Distance {
    __m512d x, y, z;
    __mmask8 inside;
};

template <bool kShifted>
MINIFFX_TARGET inline Distance distance(const Block& b, std::int64_t k, const Center& c, __m512d square) {
    const __m512d sx = kShifted ? _mm512_loadu_pd(b.sx + k) : c.sx;
    const __m512d sy = kShifted ? _mm512_loadu_pd(b.sy + k) : c.sy;
    const __m512d sz = kShifted ? _mm512_loadu_pd(b.sz + k) : c.sz;
    const __m512d x = _mm512_add_pd(_mm512_sub_pd(_mm512_loadu_pd(b.x + k), c.x), sx);
    const __m512d y = _mm512_add_pd(_mm512_sub_pd(_mm512_loadu_pd(b.y + k), c.y), sy);
    const __m512d z = _mm512_add_pd(_mm512_sub_pd(_mm512_loadu_pd(b.z + k), c.z), sz);
    const __m512d sum = _mm512_add_pd(_mm512_add_pd(_mm512_mul_pd(x, x), _mm512_mul_pd(y, y)), _mm512_mul_pd(z, z));
    return {x, y, z, _mm512_cmp_pd_mask(sum, square, _CMP_LT_OQ)};
}

template <bool kShifted>
MINIFFX_TARGET std::int64_t count_of(const Block& block, const double* center, double square) {
    const Block b = block;
    const Center c = broadcast(b, center);
    const __m512d limit = _mm512_set1_pd(square);
    std::int64_t found = 0;
    for (std::int64_t k = 0; k < b.size; k += kLanes) {
        found += _mm_popcnt_u32(distance<kShifted>(b, k, c, limit).inside);
    }
    return found;
}

template <bool kShifted>
MINIFFX_TARGET std::int64_t find_of(const Block& block, const double* center, double square, const Hits& to) {
    const Block b = block;  // copies, for the compiler to see that no store changes them
    const Hits hits = to;
    const Center c = broadcast(b, center);
    const __m512d limit = _mm512_set1_pd(square);
    std::int64_t found = 0;
    for (std::int64_t k = 0; k < b.size; k += kLanes) {
        const Distance d = distance<kShifted>(b, k, c, limit);
        // Compressed in registers: compressing stores are slow on some processors.
        const __m256i label = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b.label + k));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(hits.label + found),
                            _mm256_maskz_compress_epi32(d.inside, label));
        _mm512_storeu_pd(hits.x + found, _mm512_maskz_compress_pd(d.inside, d.x));
        _mm512_storeu_pd(hits.y + found, _mm512_maskz_compress_pd(d.inside, d.y));
        _mm512_storeu_pd(hits.z + found, _mm512_maskz_compress_pd(d.inside, d.z));
        found += _mm_popcnt_u32(d.inside);
    }
    return found;
}

MINIFFX_TARGET std::int64_t count(const Block& b, const double* center, double square) {
    return b.shifted ? count_of<true>(b, center, square) : count_of<false>(b, center, square);
}

MINIFFX_TARGET std::int64_t find(const Block& b, const double* center, double square, const Hits& hits) {
    return b.shifted ? find_of<true>(b, center, square, hits) : find_of<false>(b, center, square, hits);
}

MINIFFX_TARGET void interleave(const Hits& hits, std::int64_t n, double* vector) {
    // Lanes 0 to 7 name x, 8 to 15 what is merged into it: first y, then z.
    const __m512i xy0 = _mm512_setr_epi64(0, 8, 0, 1, 9, 0, 2, 10), z0 = _mm512_setr_epi64(0, 1, 8, 3, 4, 9, 6, 7);
    const __m512i xy1 = _mm512_setr_epi64(0, 3, 11, 0, 4, 12, 0, 5), z1 = _mm512_setr_epi64(10, 1, 2, 11, 4, 5, 12, 7);
    const __m512i xy2 = _mm512_setr_epi64(13, 0, 6, 14, 0, 7, 15, 0), z2 = _mm512_setr_epi64(0, 13, 2, 3, 14, 5, 6, 15);
    std::int64_t k = 0;
    for (; k + kLanes <= n; k += kLanes) {
        const __m512d x = _mm512_loadu_pd(hits.x + k), y = _mm512_loadu_pd(hits.y + k), z = _mm512_loadu_pd(hits.z + k);
        double* to = vector + 3 * k;
        _mm512_storeu_pd(to, _mm512_permutex2var_pd(_mm512_permutex2var_pd(x, xy0, y), z0, z));
        _mm512_storeu_pd(to + 8, _mm512_permutex2var_pd(_mm512_permutex2var_pd(x, xy1, y), z1, z));
        _mm512_storeu_pd(to + 16, _mm512_permutex2var_pd(_mm512_permutex2var_pd(x, xy2, y), z2, z));
    }
    for (; k < n; ++k) {
        vector[3 * k] = hits.x[k];
        vector[3 * k + 1] = hits.y[k];
        vector[3 * k + 2] = hits.z[k];
    }
}

MINIFFX_TARGET inline __m512d gap(__m512d x, __m512d low, __m512d high) {
    return _mm512_max_pd(_mm512_max_pd(_mm512_sub_pd(low, x), _mm512_sub_pd(x, high)), _mm512_setzero_pd());
}

MINIFFX_TARGET std::int64_t gather(const Source& from, const Bounds& b, const Gathered& to) {
    const Source source = from;
    const Gathered target = to;
    const __m512d low_x = _mm512_set1_pd(b.low[0]), high_x = _mm512_set1_pd(b.high[0]);
    const __m512d low_y = _mm512_set1_pd(b.low[1]), high_y = _mm512_set1_pd(b.high[1]);
    const __m512d low_z = _mm512_set1_pd(b.low[2]), high_z = _mm512_set1_pd(b.high[2]);
    const __m512d square = _mm512_set1_pd(b.square);
    std::int64_t taken = 0;
    for (std::int64_t k = 0; k < source.size; k += kLanes) {
        const __m512d x = _mm512_loadu_pd(source.x + k), y = _mm512_loadu_pd(source.y + k);
        const __m512d z = _mm512_loadu_pd(source.z + k);
        const __m256i atom = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source.atom + k));
        const __m512d dx = gap(x, low_x, high_x), dy = gap(y, low_y, high_y), dz = gap(z, low_z, high_z);
        const __m512d sum =
            _mm512_add_pd(_mm512_add_pd(_mm512_mul_pd(dx, dx), _mm512_mul_pd(dy, dy)), _mm512_mul_pd(dz, dz));
        const std::int64_t left = source.size - k;
        const auto valid = static_cast<__mmask8>(left >= kLanes ? 0xff : (1 << left) - 1);
        const __mmask8 mask = _mm512_mask_cmp_pd_mask(valid, sum, square, _CMP_LE_OQ);
        _mm512_storeu_pd(target.x + taken, _mm512_maskz_compress_pd(mask, x));
        _mm512_storeu_pd(target.y + taken, _mm512_maskz_compress_pd(mask, y));
        _mm512_storeu_pd(target.z + taken, _mm512_maskz_compress_pd(mask, z));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target.atom + taken), _mm256_maskz_compress_epi32(mask, atom));
        taken += _mm_popcnt_u32(mask);
    }
    return taken;
}

}  // namespace

const Within& within_avx512() {
    static const Within variant{count, find, interleave, gather};
    return variant;
}

}  // namespace miniffx

#endif
