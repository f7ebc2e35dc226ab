#include "pair_row.hpp"

#include <algorithm>

#if MINIFFX_X86
#include <immintrin.h>
#endif

namespace miniffx {
namespace {

inline void write_numbers(const CellList::Exact& from, const CellList::Exact& to, const Image& image, std::int32_t k,
                          const PairRow& row) {
    const Vector d = displacement(from, to, image);
    row.j[k] = to.atom;
    row.shift[3 * k] = image.shift[0];
    row.shift[3 * k + 1] = image.shift[1];
    row.shift[3 * k + 2] = image.shift[2];
    row.vector[3 * k] = d.x;
    row.vector[3 * k + 1] = d.y;
    row.vector[3 * k + 2] = d.z;
}

void write_portable(FoundReader& reader, std::int32_t p, const PairRow& row) {
    const PairRow to_row = row;  // copies, for the compiler to see that no store changes them
    const CellList::Exact center = reader.center(p);
    reader.each(p, [=](std::int32_t k, const CellList::Exact& to, const Image& image) {
        write_numbers(center, to, image, k, to_row);
    });
}

#if MINIFFX_X86
#define MINIFFX_TARGET __attribute__((target("avx2")))

// The position, and zero where the struct holds other things.
MINIFFX_TARGET inline __m256d position_of(const CellList::Exact& atom) {
    return _mm256_and_pd(_mm256_loadu_pd(atom.position), _mm256_castsi256_pd(_mm256_setr_epi64x(-1, -1, -1, 0)));
}

// `displacement`, four numbers at a time.
MINIFFX_TARGET inline __m256d displacement_avx2(__m256d from, const CellList::Exact& to, const Image& image) {
    return _mm256_add_pd(_mm256_sub_pd(position_of(to), from), _mm256_loadu_pd(image.vector));
}

// Of a centre without a wrap. Each store reaches into the place of the next pair, which is written after it; those of
// the last stay within its own.
MINIFFX_TARGET void write_avx2(const FoundReader& reader, const FoundReader::Neighbors& neighbors,
                               const CellList::Exact& center, const PairRow& row) {
    static_assert(sizeof(CellList::Exact) == 32 && sizeof(Image) == 48);
    const FoundReader::Neighbors from = neighbors;  // copies, for the compiler to see that no store changes them
    const PairRow to_row = row;
    const __m256d origin = position_of(center);
    const std::int32_t last = from.n - 1;
    if (from.home) {
        const Image home = from.images[0];
        std::fill_n(to_row.shift, 3 * std::int64_t{from.n}, 0);
        for (std::int32_t k = 0; k <= last; ++k) {
            const CellList::Exact& to = from.atoms[from.hits[k]];
            if (to.wrap >= 0 || k == last) {
                write_numbers(center, to, reader.with_wrap(to, home), k, to_row);
            } else {
                to_row.j[k] = to.atom;
                _mm256_storeu_pd(to_row.vector + 3 * k, displacement_avx2(origin, to, home));
            }
        }
    } else {
        for (std::int32_t k = 0; k <= last; ++k) {
            const CellList::Exact& to = from.atoms[from.hits[2 * k]];
            const Image& image = from.images[from.hits[2 * k + 1]];
            if (to.wrap >= 0 || k == last) {
                write_numbers(center, to, reader.with_wrap(to, image), k, to_row);
            } else {
                to_row.j[k] = to.atom;
                _mm_storeu_si128(reinterpret_cast<__m128i*>(to_row.shift + 3 * k),
                                 _mm_loadu_si128(reinterpret_cast<const __m128i*>(image.shift)));
                _mm256_storeu_pd(to_row.vector + 3 * k, displacement_avx2(origin, to, image));
            }
        }
    }
}
#endif

}  // namespace

void write_row(FoundReader& reader, std::int32_t p, const PairRow& row) {
    const FoundReader::Neighbors neighbors = reader.neighbors(p);
    if (neighbors.n == 0) return;
    const CellList::Exact& center = reader.center(p);
#if MINIFFX_X86
    if (simd_in_use() != Simd::portable && center.wrap < 0) return write_avx2(reader, neighbors, center, row);
#endif
    write_portable(reader, p, row);
}

}  // namespace miniffx
