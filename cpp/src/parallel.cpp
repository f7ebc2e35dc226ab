#include "miniffx/parallel.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "parallel_for.hpp"

namespace miniffx {

bool has_openmp() noexcept {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

int max_threads() noexcept {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int thread_count(int requested, std::int64_t items, std::int64_t items_per_thread) {
    if (requested < 0) {
        throw std::invalid_argument("`threads` must be 0 (the default number) or positive, got " +
                                    std::to_string(requested));
    }
    constexpr std::int64_t kMost = 1024;
    const std::int64_t useful = requested > 0 ? items : items / items_per_thread;
    const std::int64_t wanted = has_openmp() ? (requested > 0 ? requested : max_threads()) : 1;
    return static_cast<int>(std::max<std::int64_t>(1, std::min({wanted, useful, kMost})));
}

}  // namespace miniffx
