#include "miniffx/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "parallel_for.hpp"

#ifdef _OPENMP
#include <omp.h>
#ifndef _WIN32
#include <pthread.h>
#endif
#endif

namespace miniffx {

namespace {

#ifdef _OPENMP
// GCC's OpenMP waits for ever for the threads that a forked child does not have: a child starts its own instead.
bool in_forked_child = false;
#ifndef _WIN32
const int watch_forks = pthread_atfork(nullptr, nullptr, [] { in_forked_child = true; });
#endif
#endif

// The first exception of several threads.
class FirstError {
  public:
    void keep(const std::function<void(int)>& work, int thread) {
        try {
            work(thread);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }

    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    std::exception_ptr error_;
    std::mutex mutex_;
};

// As on_threads, on threads that end with the work.
void on_new_threads(int threads, const std::function<void(int)>& work) {
    FirstError error;
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(std::max(threads, 1)));
    try {
        for (int thread = 1; thread < threads; ++thread) {
            others.emplace_back([&error, &work, thread] { error.keep(work, thread); });
        }
    } catch (const std::system_error&) {
        // The threads that there are do all of the work.
    }
    error.keep(work, 0);
    for (std::thread& other : others) other.join();
    error.rethrow();
}

}  // namespace

bool has_openmp() noexcept {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

int max_threads() noexcept {
#ifdef _OPENMP
    static const int most = std::max(1, omp_get_max_threads());
#else
    static const int most = [] {
        const char* wanted = std::getenv("OMP_NUM_THREADS");
        const long number = wanted == nullptr ? 0 : std::strtol(wanted, nullptr, 10);
        if (number > 0) return static_cast<int>(std::min(number, 1024L));
        return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    }();
#endif
    return most;
}

int thread_count(int requested, std::int64_t items, std::int64_t items_per_thread) {
    if (requested < 0) {
        throw std::invalid_argument("`threads` must be 0 (the default number) or positive, got " +
                                    std::to_string(requested));
    }
    constexpr std::int64_t kMost = 1024;
    const std::int64_t useful = requested > 0 ? items : items / items_per_thread;
    const std::int64_t wanted = requested > 0 ? requested : max_threads();
    return static_cast<int>(std::max<std::int64_t>(1, std::min({wanted, useful, kMost})));
}

void for_each_structure(std::int64_t n_structures, std::int64_t n_atoms, int threads,
                        const std::function<void(std::int64_t, int)>& body) {
    const int most = thread_count(threads, std::numeric_limits<std::int64_t>::max(), 1);
    if (most == 1 || n_structures == 1 || (n_structures < most && thread_count(0, n_atoms, 512) > 1)) {
        for (std::int64_t structure = 0; structure < n_structures; ++structure) body(structure, threads);
        return;
    }
    // Not OpenMP's, which wait for more work where a caller wants their cores for what it does with the lists.
    std::atomic<std::int64_t> next{0};
    on_new_threads(static_cast<int>(std::min<std::int64_t>(most, n_structures)), [&](int) {
        for (std::int64_t structure = next++; structure < n_structures; structure = next++) body(structure, 1);
    });
}

void on_threads(int threads, const std::function<void(int)>& work) {
#ifdef _OPENMP
    if (!in_forked_child) {
        FirstError error;
#pragma omp parallel num_threads(threads)
        error.keep(work, omp_get_thread_num());
        error.rethrow();
        return;
    }
#endif
    on_new_threads(threads, work);
}

}  // namespace miniffx
