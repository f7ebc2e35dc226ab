// The one loop construct of the core.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

namespace miniffx {

// Threads to use for `items` pieces of work: as many as requested, or for 0 the default number, but then no more than
// items / items_per_thread, so that each has enough to do to be worth starting.
// Throws std::invalid_argument when `requested` is negative.
int thread_count(int requested, std::int64_t items, std::int64_t items_per_thread);

// work(thread) on that many threads, the caller's being number 0. The first exception to be caught is rethrown once
// all are done. Where the system refuses threads there are fewer; the others' numbers are then missing.
void on_threads(int threads, const std::function<void(int)>& work);

// body(item, thread) for every item, 0 <= thread < threads, `grain` at a time: each may write only what belongs to it
// or to its thread. A thread begins with a part of its own, the same in every loop over as many items, so that what it
// wrote in one loop is near it in the next: cores that share no cache exchange data slowly. Whoever is done first helps
// the others. The first exception to be caught is rethrown once all threads are done.
template <class Body>
void parallel_for(std::int64_t items, int threads, int grain, const Body& body) {
    const std::int64_t portions = (items + grain - 1) / grain;
    if (threads <= 1 || portions <= 1) {
        for (std::int64_t item = 0; item < items; ++item) body(item, 0);
        return;
    }
    const std::int64_t parts = std::min<std::int64_t>(threads, portions);
    struct alignas(128) Part {
        std::atomic<std::int64_t> next{0};
        std::int64_t end = 0;
    };
    std::vector<Part> part_of(static_cast<std::size_t>(parts));
    for (std::int64_t p = 0; p < parts; ++p) {
        part_of[static_cast<std::size_t>(p)].next = portions * p / parts * grain;
        part_of[static_cast<std::size_t>(p)].end = std::min(items, portions * (p + 1) / parts * grain);
    }
    on_threads(static_cast<int>(parts), [&](int thread) {
        for (std::int64_t turn = 0; turn < parts; ++turn) {
            Part& part = part_of[static_cast<std::size_t>((thread + turn) % parts)];
            for (;;) {
                const std::int64_t begin = part.next.fetch_add(grain, std::memory_order_relaxed);
                if (begin >= part.end) break;
                const std::int64_t end = std::min<std::int64_t>(part.end, begin + grain);
                for (std::int64_t item = begin; item < end; ++item) body(item, thread);
            }
        }
    });
}

}  // namespace miniffx
