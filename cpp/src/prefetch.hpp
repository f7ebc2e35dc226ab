// Hints that memory will be needed soon. Where the compiler has none they do nothing.
#pragma once

#include <cstddef>

namespace miniffx {

inline void prefetch(const void* address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
#else
    (void)address;
#endif
}

// All cache lines of an array that is about to be written, for this core alone. Compilers have an instruction for that
// only if they know that the processor does; x86-64 processors without it take it for one that does nothing.
template <class T>
void prefetch_to_write(T* array, std::ptrdiff_t size) {
#if defined(__GNUC__) || defined(__clang__)
    constexpr std::ptrdiff_t kLine = 64;
    const char* const begin = reinterpret_cast<const char*>(array);
    const auto bytes = static_cast<std::ptrdiff_t>(sizeof(T)) * size;
    for (std::ptrdiff_t at = 0; at < bytes; at += kLine) {
#if defined(__x86_64__)
        asm volatile("prefetchw %0" : : "m"(begin[at]));
#else
        __builtin_prefetch(begin + at, 1);
#endif
    }
#else
    (void)array;
    (void)size;
#endif
}

}  // namespace miniffx
