#include "simd.hpp"

#include <atomic>
#include <initializer_list>

namespace miniffx {
namespace {

Simd best() noexcept {
    for (const Simd simd : {Simd::avx512, Simd::avx2}) {
        if (supports(simd)) return simd;
    }
    return Simd::portable;
}

std::atomic<Simd>& in_use() noexcept {
    static std::atomic<Simd> simd{best()};
    return simd;
}

}  // namespace

bool supports(Simd simd) noexcept {
#if MINIFFX_X86
    __builtin_cpu_init();
    if (simd == Simd::avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    if (simd == Simd::avx512) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("popcnt");
    }
#endif
    return simd == Simd::portable;
}

Simd simd_in_use() noexcept { return in_use().load(std::memory_order_relaxed); }

void use_simd(Simd simd) noexcept { in_use().store(simd, std::memory_order_relaxed); }

}  // namespace miniffx
