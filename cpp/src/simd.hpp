// The instruction sets that the inner loops are written for. No result depends on which one is used.
#pragma once

// With MINIFFX_PORTABLE, on other processors and with other compilers only the portable variant is built.
#if !defined(MINIFFX_PORTABLE) && (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define MINIFFX_X86 1
#else
#define MINIFFX_X86 0
#endif

#include <cstdint>

namespace miniffx {

constexpr std::int64_t kLanes = 16;  // how many numbers an inner loop may take at a time, at most

enum class Simd { portable, avx2, avx512 };

// Whether the variant was built and this processor can run it.
bool supports(Simd simd) noexcept;

// The best that is supported, unless use_simd has named another.
Simd simd_in_use() noexcept;

// For tests: makes all later searches use the variant, which must be supported.
void use_simd(Simd simd) noexcept;

}  // namespace miniffx
