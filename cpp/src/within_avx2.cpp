#include "cell_list.hpp"
#include "within.hpp"

#if MINIFFX_X86

#include <immintrin.h>

#include <array>

#define MINIFFX_TARGET __attribute__((target("avx2,popcnt")))

namespace miniffx {
namespace {

constexpr std::int64_t kWidth = 4;
static_assert(kLanes % kWidth == 0);

// For each mask of four lanes the permutation that moves those set to the front: of 64-bit lanes as pairs of
// 32-bit ones, and of 32-bit lanes.
struct Compression {
    alignas(32) std::array<std::array<std::int32_t, 8>, 16> wide{};
    alignas(16) std::array<std::array<std::int32_t, 4>, 16> narrow{};
};

constexpr Compression make_compression() {
    Compression table;
    for (std::size_t mask = 0; mask < 16; ++mask) {
        std::size_t to = 0;
        for (int lane = 0; lane < 4; ++lane) {
            if ((mask >> lane & 1) == 0) continue;
            table.wide[mask][2 * to] = 2 * lane;
            table.wide[mask][2 * to + 1] = 2 * lane + 1;
            table.narrow[mask][to++] = lane;
        }
    }
    return table;
}

constexpr Compression kCompression = make_compression();

struct Center {
    __m256d x, y, z, sx, sy, sz;
};

MINIFFX_TARGET inline Center broadcast(const Block& b, const double* center) {
    return {_mm256_set1_pd(center[0]), _mm256_set1_pd(center[1]), _mm256_set1_pd(center[2]),
            _mm256_set1_pd(b.sx[0]),   _mm256_set1_pd(b.sy[0]),   _mm256_set1_pd(b.sz[0])};
}

struct Distance {
    __m256d x, y, z;
    unsigned inside;
};

template <bool kShifted>
MINIFFX_TARGET inline Distance distance(const Block& b, std::int64_t k, const Center& c, __m256d square) {
    const __m256d sx = kShifted ? _mm256_loadu_pd(b.sx + k) : c.sx;
    const __m256d sy = kShifted ? _mm256_loadu_pd(b.sy + k) : c.sy;
    const __m256d sz = kShifted ? _mm256_loadu_pd(b.sz + k) : c.sz;
    const __m256d x = _mm256_add_pd(_mm256_sub_pd(_mm256_loadu_pd(b.x + k), c.x), sx);
    const __m256d y = _mm256_add_pd(_mm256_sub_pd(_mm256_loadu_pd(b.y + k), c.y), sy);
    const __m256d z = _mm256_add_pd(_mm256_sub_pd(_mm256_loadu_pd(b.z + k), c.z), sz);
    const __m256d sum = _mm256_add_pd(_mm256_add_pd(_mm256_mul_pd(x, x), _mm256_mul_pd(y, y)), _mm256_mul_pd(z, z));
    return {x, y, z, static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(sum, square, _CMP_LT_OQ)))};
}

MINIFFX_TARGET inline __m256d compress(__m256d x, __m256i order) {
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(x), order));
}

// Stores the lanes in the mask from place `at` on, and overwrites what follows.
MINIFFX_TARGET inline void store_compressed(const Gathered& to, std::int64_t at, unsigned mask, __m256d x, __m256d y,
                                            __m256d z, __m128 label) {
    const __m256i wide = _mm256_load_si256(reinterpret_cast<const __m256i*>(kCompression.wide[mask].data()));
    const __m128i narrow = _mm_load_si128(reinterpret_cast<const __m128i*>(kCompression.narrow[mask].data()));
    _mm256_storeu_pd(to.x + at, compress(x, wide));
    _mm256_storeu_pd(to.y + at, compress(y, wide));
    _mm256_storeu_pd(to.z + at, compress(z, wide));
    _mm_storeu_ps(reinterpret_cast<float*>(to.atom + at), _mm_permutevar_ps(label, narrow));
}

template <bool kShifted>
MINIFFX_TARGET std::int64_t count_of(const Block& block, const double* center, double square) {
    const Block b = block;
    const Center c = broadcast(b, center);
    const __m256d limit = _mm256_set1_pd(square);
    std::int64_t found = 0;
    for (std::int64_t k = 0; k < b.size; k += kWidth) {
        found += _mm_popcnt_u32(distance<kShifted>(b, k, c, limit).inside);
    }
    return found;
}

template <bool kShifted>
MINIFFX_TARGET std::int64_t find_of(const Block& block, const double* center, double square, const Hits& to) {
    const Block b = block;  // copies, for the compiler to see that no store changes them
    const Hits hits = to;
    const Center c = broadcast(b, center);
    const __m256d limit = _mm256_set1_pd(square);
    std::int64_t found = 0;
    for (std::int64_t k = 0; k < b.size; k += kWidth) {
        const Distance d = distance<kShifted>(b, k, c, limit);
        const __m128 label = _mm_loadu_ps(reinterpret_cast<const float*>(b.label + k));
        store_compressed({hits.x, hits.y, hits.z, hits.label}, found, d.inside, d.x, d.y, d.z, label);
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

MINIFFX_TARGET inline __m256d gap(__m256d x, __m256d low, __m256d high) {
    return _mm256_max_pd(_mm256_max_pd(_mm256_sub_pd(low, x), _mm256_sub_pd(x, high)), _mm256_setzero_pd());
}

MINIFFX_TARGET std::int64_t gather(const Source& from, const Bounds& b, const Gathered& to) {
    const Source source = from;
    const Gathered target = to;
    const __m256d low_x = _mm256_set1_pd(b.low[0]), high_x = _mm256_set1_pd(b.high[0]);
    const __m256d low_y = _mm256_set1_pd(b.low[1]), high_y = _mm256_set1_pd(b.high[1]);
    const __m256d low_z = _mm256_set1_pd(b.low[2]), high_z = _mm256_set1_pd(b.high[2]);
    const __m256d square = _mm256_set1_pd(b.square);
    std::int64_t taken = 0;
    for (std::int64_t k = 0; k < source.size; k += kWidth) {
        const __m256d x = _mm256_loadu_pd(source.x + k), y = _mm256_loadu_pd(source.y + k);
        const __m256d z = _mm256_loadu_pd(source.z + k);
        const __m128 atom = _mm_loadu_ps(reinterpret_cast<const float*>(source.atom + k));
        const __m256d dx = gap(x, low_x, high_x), dy = gap(y, low_y, high_y), dz = gap(z, low_z, high_z);
        const __m256d sum =
            _mm256_add_pd(_mm256_add_pd(_mm256_mul_pd(dx, dx), _mm256_mul_pd(dy, dy)), _mm256_mul_pd(dz, dz));
        const std::int64_t left = source.size - k;
        const unsigned valid = left >= kWidth ? 0xf : (1u << left) - 1;
        const unsigned mask = valid & static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(sum, square, _CMP_LE_OQ)));
        store_compressed(target, taken, mask, x, y, z, atom);
        taken += _mm_popcnt_u32(mask);
    }
    return taken;
}

}  // namespace

const Within& within_avx2() {
    static const Within variant{count, find, within_portable().interleave, gather};
    return variant;
}

}  // namespace miniffx

#endif
