// The one loop construct of the core.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

namespace miniffx {

// Threads to use for `items` pieces of work: as many as requested, or for 0 the default number, but then no more than
// items / items_per_thread, so that each has enough to do to be worth starting.
// Throws std::invalid_argument when `requested` is negative.
int thread_count(int requested, std::int64_t items, std::int64_t items_per_thread);

// work(thread) on that many threads, the caller's being number 0. The first exception to be caught is rethrown once
// all are done. Where the system refuses threads there are fewer; the others' numbers are then missing.
void on_threads(int threads, const std::function<void(int)>& work);

// body(item, thread) for every item, 0 <= thread < threads. Items are handed out `grain` at a time, in no
// particular order: each may write only what belongs to it or to its thread. The first exception to be caught
// is rethrown once all threads are done.
template <class Body>
void parallel_for(std::int64_t items, int threads, int grain, const Body& body) {
    const std::int64_t portions = (items + grain - 1) / grain;
    if (threads <= 1 || portions <= 1) {
        for (std::int64_t item = 0; item < items; ++item) body(item, 0);
        return;
    }
    std::atomic<std::int64_t> next{0};
    on_threads(static_cast<int>(std::min<std::int64_t>(threads, portions)), [&](int thread) {
        for (;;) {
            const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= items) return;
            const std::int64_t end = std::min<std::int64_t>(items, begin + grain);
            for (std::int64_t item = begin; item < end; ++item) body(item, thread);
        }
    });
}

}  // namespace miniffx
