// The one loop construct of the core: every OpenMP pragma lives here.
#pragma once

#include <cstdint>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace miniffx {

// Threads to use for `items` pieces of work: as many as requested, or for 0 the default number, but then no more than
// items / items_per_thread. Where other programs keep the processors busy, every loop costs a wait for the last
// thread's turn (milliseconds), so that small work is better done alone.
// Throws std::invalid_argument when `requested` is negative.
int thread_count(int requested, std::int64_t items, std::int64_t items_per_thread);

// body(item, thread) for every item, 0 <= thread < threads. Items are handed out `grain` at a time, in no
// particular order: each may write only what belongs to it or to its thread. The first exception to be caught
// is rethrown once all threads are done.
template <class Body>
void parallel_for(std::int64_t items, int threads, int grain, const Body& body) {
#ifdef _OPENMP
    if (threads > 1) {
        std::exception_ptr error;
#pragma omp parallel for num_threads(threads) schedule(dynamic, grain)
        for (std::int64_t item = 0; item < items; ++item) {
            try {
                body(item, omp_get_thread_num());
            } catch (...) {
#pragma omp critical(miniffx_parallel_for)
                if (!error) error = std::current_exception();
            }
        }
        if (error) std::rethrow_exception(error);
        return;
    }
#endif
    (void)threads;
    (void)grain;
    for (std::int64_t item = 0; item < items; ++item) body(item, 0);
}

}  // namespace miniffx
