// Copies that do not go through the caches: memory that is larger than they are is otherwise read before it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "simd.hpp"
#if MINIFFX_X86
#include <emmintrin.h>
#endif

namespace miniffx {

// What is larger is not in the caches when it is used next. Infinite where these copies are only memcpy.
constexpr double kCacheBytes = MINIFFX_X86 ? 64e6 : std::numeric_limits<double>::infinity();

// As memcpy, but whole cache lines of the target do not stay in the caches. Before another thread may read them the
// one that copied calls finish_copies().
inline void copy_past_caches(void* to, const void* from, std::size_t bytes) {
    auto* target = static_cast<char*>(to);
    const auto* source = static_cast<const char*>(from);
#if MINIFFX_X86
    constexpr std::size_t kLine = 64, kStep = 16;
    const std::size_t head = -reinterpret_cast<std::uintptr_t>(target) % kLine;
    if (bytes >= head + kLine) {
        std::memcpy(target, source, head);
        target += head;
        source += head;
        bytes -= head;
        for (; bytes >= kLine; bytes -= kLine, target += kLine, source += kLine) {
            for (std::size_t k = 0; k < kLine; k += kStep) {
                _mm_stream_si128(reinterpret_cast<__m128i*>(target + k),
                                 _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + k)));
            }
        }
    }
#endif
    std::memcpy(target, source, bytes);
}

inline void finish_copies() {
#if MINIFFX_X86
    _mm_sfence();
#endif
}

}  // namespace miniffx
