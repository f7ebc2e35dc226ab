// Copies that do not go through the caches: memory that is larger than they are is otherwise read before it is written.
#pragma once

#include <algorithm>
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

// Pairs of a row that is put together in the caches before it is copied. Longer rows would fill them.
constexpr std::size_t kMostStaged = 8192;

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

// Numbers written one after the other, as copy_past_caches writes them.
class WriterPastCaches {
  public:
    explicit WriterPastCaches(std::int32_t* to) : to_(to) {}
    WriterPastCaches(const WriterPastCaches&) = delete;
    WriterPastCaches& operator=(const WriterPastCaches&) = delete;
    ~WriterPastCaches() { flush(); }

    void append(std::int64_t n, std::int32_t value) {
        while (n > 0) {
            const std::int64_t some = std::min(n, kRoom - used_);
            std::fill_n(waiting_ + used_, some, value);
            used_ += some;
            n -= some;
            if (used_ == kRoom) flush();
        }
    }

  private:
    void flush() {
        copy_past_caches(to_, waiting_, static_cast<std::size_t>(used_) * sizeof(std::int32_t));
        to_ += used_;
        used_ = 0;
    }

    static constexpr std::int64_t kRoom = 1024;
    std::int32_t waiting_[kRoom];
    std::int32_t* to_;
    std::int64_t used_ = 0;
};

inline void finish_copies() {
#if MINIFFX_X86
    _mm_sfence();
#endif
}

}  // namespace miniffx
